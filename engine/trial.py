"""Whether a network that nobody described here may be run for several requests at once: tried, not trusted. Used by `engine.model` when a model is loaded."""

from __future__ import annotations

import logging
from typing import Any

import torch

from engine import collate, guidance
from engine.collate import Arguments
from engine.families import Family

log = logging.getLogger("engine")

#: How far a row may be from what it is alone, against the largest value there is: far above what summing in another order does to it.
_FAR = {torch.float32: 1e-3, torch.float16: 5e-2, torch.bfloat16: 1e-1}


def rows_are_independent(pipelines: tuple[Any, Any], family: Family, width: int, height: int) -> bool:
    """Whether the denoiser gives each row of a joint forward what it gives that row alone, for other words, noise and timesteps in the other row.

    `pipelines` are two copies for requests of their own, with proxies in place; they are changed.
    """
    denoiser = getattr(pipelines[0], family.denoiser)
    try:
        calls = [_call(pipeline, family, words, seed, width, height) for seed, (pipeline, words) in enumerate(zip(pipelines, "ab", strict=True))]
        calls[1] = Arguments((), {name: _earlier(value, calls[1].rows) for name, value in calls[1].kwargs.items()}, calls[1].rows, calls[1].rules)
        if collate.signature(calls[0]) != collate.signature(calls[1]):
            return False
        together = collate.split(denoiser(**collate.concatenate(calls).kwargs), [call.rows for call in calls], family.rules)
        return all(_near(joint, denoiser(**call.kwargs)) for joint, call in zip(together, calls, strict=True))
    except Exception:  # whatever it is that such a network does not take
        log.info("%s: a forward of two requests fails", type(pipelines[0]).__name__, exc_info=True)
        return False


def _call(pipeline: Any, family: Family, words: str, seed: int, width: int, height: int) -> Arguments:
    denoiser = getattr(pipeline, family.denoiser)
    return denoiser.arguments((), guidance.capture(pipeline, family, family.first_call(words, width, height, seed)))  # type: ignore[no-any-return]


def _earlier(value: Any, rows: int) -> Any:
    """Timesteps halved, so that the two calls are at different ones."""
    if isinstance(value, torch.Tensor) and collate.is_timestep(value, rows):
        return (value * 0.5).to(value.dtype)
    return value


def _near(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return bool((one - other).abs().max() <= _FAR.get(other.dtype, 1e-3) * other.abs().max())
    if isinstance(one, dict):
        return all(_near(one[name], other[name]) for name in one)
    return all(_near(a, b) for a, b in zip(one, other, strict=True))
