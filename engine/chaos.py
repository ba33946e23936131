"""Chaos: how much the pictures of a grid differ. Used by `engine.operations`, inside a hub's task.

Condition-annealed diffusion sampling (Sadat et al. 2024, arXiv:2310.17347). What a picture will show is settled in the first steps; in those, each picture is
told the words through noise of its own, which then fades: `√γ · y + √(1 − γ) · σ(y) · n`, brought back to the mean and the deviation of y. Here the noise has
the words' own scale, whatever the encoder, and the request's chaos c is its largest share: γ = 1 − c · (1 − γ'), where γ' rises as in the paper
from 0 when SETTLES of the schedule has passed to 1 at SETTLED. At 1 the first steps hear noise alone; at 0 nothing is changed, and nothing of this runs.

The noise of a picture is drawn from its own seed, so that a seed stays a picture whatever its company. It is one noise for all steps and for all the parts
of a prompt: parts weighted against each other would else have its difference blown up.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch

from engine.guidance import Blend, Conditions

#: Shares of the schedule at which the noise begins to fade, and at which it is gone: later than the paper's 0.1 and 0.4, which left small models unmoved.
SETTLES, SETTLED = 0.2, 0.6
#: The denoisers' parameters that are the words themselves. Others that come with them (masks, sizes, positions) mean nothing with noise in them.
WORDS = ("encoder_hidden_states", "pooled_projections", "text_embeds", "cap_feats")
#: Turns a picture's seed into another, times the place in WORDS: its latents are drawn from the seed itself. (Torch's generators look at 32 bits of a seed.)
APART = 0x9E3779B9


class Unsettled:
    """One request's chaos, 0..1. Its owner sets `way`, the share of the schedule that has passed, after each step."""

    def __init__(self, chaos: float, seeds: Sequence[int]) -> None:
        self.way = 0.0
        self._chaos, self._seeds = chaos, tuple(seeds)
        self._drawn: dict[Hashable, torch.Tensor] = {}

    def told(self, blend: Blend) -> Blend:
        """The same blend, every picture's words under its own noise."""
        return lambda rows: [(share, self._noised(condition)) for share, condition in blend(rows)]

    @property
    def kept(self) -> float:
        """γ: how much of the words is heard now, 0..1."""
        settled = min(1.0, max(0.0, (self.way - SETTLES) / (SETTLED - SETTLES)))
        return 1 - self._chaos * (1 - settled)

    def _noised(self, condition: Conditions) -> Conditions:
        return condition if self.kept == 1 else {name: self._under(name, value) for name, value in condition.items()}

    def _under(self, name: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {inner: self._under(inner, each) for inner, each in value.items()}
        if name not in WORDS:
            return value
        rows = value * len(self._seeds) if len(value) == 1 and isinstance(value, list) else value  # a list has a tensor a row, each as long as its text
        if isinstance(rows, list):
            return [self._mixed(name, row, words) for row, words in enumerate(rows)]
        return torch.stack([self._mixed(name, row, words) for row, words in enumerate(rows.expand(len(self._seeds), *rows.shape[1:]))])

    def _mixed(self, name: str, row: int, words: torch.Tensor) -> torch.Tensor:
        """Of one picture; computed in float32."""
        exact = words.float()
        deviation, mean = exact.std(), exact.mean()
        mixed = math.sqrt(self.kept) * exact + math.sqrt(1 - self.kept) * deviation * self._noise(name, row, exact)
        return ((mixed - mixed.mean()) / mixed.std().clamp(min=1e-6) * deviation + mean).to(words.dtype)

    def _noise(self, name: str, row: int, like: torch.Tensor) -> torch.Tensor:
        """The picture's noise for this parameter, drawn once."""
        key = (name, row, like.shape)
        if key not in self._drawn:
            seed = self._seeds[row] ^ (APART * (1 + WORDS.index(name)) % 2**32)
            self._drawn[key] = torch.randn(like.shape, generator=torch.Generator("cpu").manual_seed(seed)).to(like.device)
        return self._drawn[key]
