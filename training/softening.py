"""Painted pictures made to look as a small generator might have drawn them: what `training.judge` learns from, wherever its network is."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator


def soften(pictures: torch.Tensor, rng: Generator) -> torch.Tensor:
    """Pictures in 0..1 as a small generator might have drawn them: a quarter each crisp, blurred, half-sized, or squeezed in blocks as JPEG does; all of
    them moved by a few pixels together, and tinted, lit and speckled a little.
    """
    lots = rng.integers(0, 4, len(pictures))
    out = pictures.contiguous(memory_format=torch.contiguous_format).clone()
    for lot, way in ((1, _blurred), (2, _halved), (3, _squeezed)):
        if (lots == lot).any():
            some = torch.from_numpy(np.flatnonzero(lots == lot)).to(out.device)
            out[some] = way(out[some], rng)
    across, down = (int(v) for v in rng.integers(-4, 5, 2))
    out = torch.roll(F.pad(out, (4, 4, 4, 4), mode="replicate"), (down, across), (2, 3))[:, :, 4:-4, 4:-4]
    gain, lift = _each(rng, out, 0.9, 1.1, 3), _each(rng, out, -0.04, 0.04, 3)
    seeded = torch.Generator(out.device).manual_seed(int(rng.integers(2**31)))
    noise = torch.randn(out.shape, generator=seeded, device=out.device) * _each(rng, out, 0, 0.03, 1)
    return (out * gain + lift + noise).clamp(0, 1)


def _each(rng: Generator, pictures: torch.Tensor, low: float, high: float, channels: int) -> torch.Tensor:
    return torch.from_numpy(rng.uniform(low, high, (len(pictures), channels, 1, 1)).astype(np.float32)).to(pictures.device)


def _blurred(pictures: torch.Tensor, rng: Generator) -> torch.Tensor:
    soft = F.pad(pictures, (2, 2, 2, 2), mode="replicate")
    for _ in range(2):  # a binomial of five taps each way; slices are several times faster here than a pooling
        soft = (soft[..., :-2] + soft[..., 2:]) / 4 + soft[..., 1:-1] / 2
        soft = (soft[..., :-2, :] + soft[..., 2:, :]) / 4 + soft[..., 1:-1, :] / 2
    return torch.lerp(pictures, soft, _each(rng, pictures, 0.3, 1, 1))


def _halved(pictures: torch.Tensor, rng: Generator) -> torch.Tensor:
    small = F.avg_pool2d(pictures, 2)
    large = F.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)
    return torch.lerp(pictures, large, _each(rng, pictures, 0.5, 1, 1))


def _squeezed(pictures: torch.Tensor, rng: Generator) -> torch.Tensor:
    """The cosine transform of 8 × 8 or 16 × 16 blocks, its finer waves rounded more coarsely."""
    edge = int(rng.choice((8, 16)))
    count, channels, height, width = pictures.shape
    basis = cosines(edge).to(pictures.device)
    blocks = pictures.reshape(count, channels, height // edge, edge, width // edge, edge).permute(0, 1, 2, 4, 3, 5)
    waves = basis @ blocks @ basis.T
    pitch = torch.arange(edge, device=pictures.device).float() * 8 / edge
    step = (1 + pitch[:, None] + pitch[None]) * _each(rng, pictures, 0.01, 0.06, 1)[..., None, None]
    back = basis.T @ ((waves / step).round() * step) @ basis
    return back.permute(0, 1, 2, 4, 3, 5).reshape(pictures.shape).clamp(0, 1)


def cosines(edge: int) -> torch.Tensor:
    """The orthonormal cosine basis (DCT-II), one wave a row: (edge, edge)."""
    n = torch.arange(edge).float()
    basis = torch.cos(math.pi / edge * (n[None] + 0.5) * n[:, None]) * math.sqrt(2 / edge)
    basis[0] /= math.sqrt(2)
    return basis
