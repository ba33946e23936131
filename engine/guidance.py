"""Weighted prompts: one request's denoiser call is widened to all its parts, and their predictions are blended. Used by `engine.operations`.

With weights wᵢ of sum W, what stands in the conditional prediction's place is `uncond + Σ (wᵢ / W)(condᵢ − uncond)` (composition of
diffusion models by their scores: Liu et al. 2022, arXiv:2206.01714, with normalised weights), so `a::2` alone changes nothing and a negative
weight pushes away. Without guidance there is no unconditional half and the formula is the weighted mean of the predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


class WeightedDenoiser:
    """Stands in for `denoiser` (usually a hub's proxy) in one request's pipeline.

    `conditions` are the embeddings of the parts, each 1 × tokens × channels. `guided` says whether the pipeline's calls carry an unconditional half first.
    """

    def __init__(self, denoiser: Any, conditions: Sequence[torch.Tensor], weights: Sequence[float], guided: bool) -> None:
        total = sum(weights)
        self.__dict__.update(_denoiser=denoiser, _conditions=tuple(conditions), _shares=[weight / total for weight in weights], _guided=guided)

    @property  # type: ignore[misc]  # so that isinstance checks see the module
    def __class__(self) -> type:
        return type(self._denoiser._module) if hasattr(self._denoiser, "_module") else type(self._denoiser)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._denoiser, name)

    def __call__(self, sample: torch.Tensor, timestep: Any, encoder_hidden_states: torch.Tensor, **kwargs: Any) -> tuple[torch.Tensor]:
        pictures = sample.shape[0] // 2 if self._guided else sample.shape[0]
        latents = sample[:pictures]
        contexts = [condition.expand(pictures, -1, -1) for condition in self._conditions]
        if self._guided:
            contexts.insert(0, encoder_hidden_states[:pictures])
        widened = torch.cat([latents] * len(contexts))
        predictions = list(self._denoiser(widened, timestep, encoder_hidden_states=torch.cat(contexts), **kwargs)[0].chunk(len(contexts)))
        if not self._guided:
            return (blend(torch.zeros_like(predictions[0]), predictions, self._shares),)
        without = predictions.pop(0)
        return (torch.cat([without, blend(without, predictions, self._shares)]),)


def blend(origin: torch.Tensor, predictions: Sequence[torch.Tensor], shares: Sequence[float]) -> torch.Tensor:
    """`origin + Σ share (prediction − origin)`."""
    mixed = origin.clone()
    for share, prediction in zip(shares, predictions, strict=True):
        mixed += share * (prediction - origin)
    return mixed
