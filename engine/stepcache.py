"""Steps that change little are taken over, row by row. Attached by `engine.model` to a denoiser whose card has a `step_cache` threshold.

A denoiser's first part tells how much its prediction has changed since the step before; where that is less than the threshold, what the rest of it added
last time is added again (First Block Cache: github.com/chengzeyi/ParaAttention; for U-Nets, whose rest is the low resolutions, DeepCache: Ma et al. 2023,
arXiv:2312.00858). As published, one decision is taken for a batch and kept with the batch. Here each row decides for itself and its memory lives with its
request, so that a request draws the same picture whoever steps beside it. After the first part the rows that go on are a smaller forward.

The denoiser's modules are not touched. For the time of a forward, its lists of blocks are hidden behind lists of callables that call the same blocks; between
forwards it is what it was. What a forward's rest was given beside its streams (embeddings of time and words, masks, positions) is cut to the rows that go on
wherever it has as many rows as the forward.
"""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from engine import rows
from engine.rows import Row

#: Denoisers made of blocks in a row, and where those are.
BLOCKS: Mapping[str, tuple[str, ...]] = {
    "FluxTransformer2DModel": ("transformer_blocks", "single_transformer_blocks"),
    "Flux2Transformer2DModel": ("transformer_blocks", "single_transformer_blocks"),
    "SD3Transformer2DModel": ("transformer_blocks",),
    "QwenImageTransformer2DModel": ("transformer_blocks",),
    "ZImageTransformer2DModel": ("layers",),
    "PixArtTransformer2DModel": ("transformer_blocks",),
    "SanaTransformer2DModel": ("transformer_blocks",),
}
