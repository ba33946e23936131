"""What the forming picture looks like now: latents → small RGB, for next to nothing, and without touching the request's own numbers.

What is shown is the scheduler's forecast of the finished latents where it makes one (it sharpens from the first step on), else the noisy latents
themselves. They become pixels by a linear map from one latent's channels to its patch of pixels, fitted when the model is loaded on synthetic
pictures: it works for any autoencoder that also encodes, and costs a thousandth of decoding. Used by `engine.operations`, on the device thread.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from engine.codec import Pixels

#: No edge of a preview need be longer.
EDGE = 512


class Previewer:
    """Latents (pictures × channels × h × w, scaled as the pipeline holds them) to one small picture each."""

    def __init__(self, vae: Any) -> None:
        self._map, self._patch = _fit(vae)

    def __call__(self, latents: torch.Tensor) -> list[Pixels]:
        """Height × width × 3 each, of the picture's own shape and at most EDGE on its longer side."""
        patches = torch.einsum("nchw,cd->ndhw", latents.float(), self._map[:-1]) + self._map[-1][None, :, None, None]
        images = F.pixel_shuffle(patches, self._patch)
        while max(images.shape[-2:]) > EDGE:
            images = F.avg_pool2d(images, 2)
        pixels = ((images / 2 + 0.5).nan_to_num().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        return [np.ascontiguousarray(picture) for picture in pixels]


def _fit(vae: Any) -> tuple[torch.Tensor, int]:
    """Least squares from latents (and a constant 1) to patches in -1..1: (channels + 1) × (3 · patch²), and the patch's edge in pixels."""
    latents, images = [], _synthetic(16, 256)
    for image in torch.split(images, 1):
        encoded = vae.encode(image.to(vae.device, vae.dtype))
        mean = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
        latents.append((mean * vae.config.scaling_factor).float().cpu())
    codes = torch.cat(latents)
    patch = images.shape[-1] // codes.shape[-1]
    x = codes.permute(0, 2, 3, 1).reshape(-1, codes.shape[1])
    x = torch.cat([x, torch.ones(len(x), 1)], dim=1)
    y = F.pixel_unshuffle(images, patch).permute(0, 2, 3, 1).reshape(len(x), -1)
    ridge = 1e-4 * len(x) * torch.eye(x.shape[1])
    matrix: torch.Tensor = torch.linalg.solve(x.T @ x + ridge, x.T @ y)
    return matrix.to(vae.device), patch


def _synthetic(count: int, edge: int) -> torch.Tensor:
    """Pictures with the spectrum of natural ones (noise in octaves, coarse ones strongest) and discs with hard edges: count × 3 × edge × edge in -1..1."""
    seeded = torch.Generator().manual_seed(0)
    images = torch.rand(count, 3, 1, 1, generator=seeded) * 2 - 1
    size = 2
    while size <= edge:
        colour, grey = torch.randn(count, 3, size, size, generator=seeded), torch.randn(count, 1, size, size, generator=seeded)
        images = images + F.interpolate((colour + 2 * grey) * (0.6 / size**0.9), size=(edge, edge), mode="bicubic")
        size *= 2
    grid = torch.linspace(0, 1, edge)
    for _ in range(12):
        x, y, radius = torch.rand(3, count, 1, 1, 1, generator=seeded)
        inside = (grid[None, None, None, :] - x) ** 2 + (grid[None, None, :, None] - y) ** 2 < (radius * 0.3) ** 2
        images = torch.where(inside, images + torch.rand(count, 3, 1, 1, generator=seeded) - 0.5, images)
    return images.clamp(-1, 1)


class Forecast:
    """Watches one request's scheduler and remembers its newest forecast of the finished latents. Changes nothing."""

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self._latest: torch.Tensor | None = None
        scheduler.step = self._watching(scheduler.step)

    def _watching(self, step: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(step)  # pipelines read the signature to learn what a scheduler takes
        def watched(*args: Any, **kwargs: Any) -> Any:
            output = step(*args, **kwargs)
            self._latest = output[1] if isinstance(output, tuple) and len(output) > 1 else self._from_history()
            return output

        return watched

    def _from_history(self) -> torch.Tensor | None:
        """Multistep solvers that keep their past predictions as finished latents (DPM-Solver++, UniPC)."""
        config, history = self._scheduler.config, getattr(self._scheduler, "model_outputs", None)
        finished = str(config.get("algorithm_type", "")).endswith("dpmsolver++") or bool(config.get("predict_x0", False))
        latest: torch.Tensor | None = history[-1] if finished and history else None
        return latest

    def latents(self, current: torch.Tensor) -> torch.Tensor:
        """The forecast, or `current` when this scheduler makes none."""
        return current if self._latest is None else self._latest
