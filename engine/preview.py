"""What the forming picture looks like now: latents → small RGB, cheaply, and without touching the request's own numbers.

What is shown is the scheduler's forecast of the finished latents where it makes one (it sharpens from the first step on), else the noisy latents
themselves. A small autoencoder decodes them outright; for a large one a linear map from a latent's channels to its patch's mean colour is fitted at
load time on synthetic pictures, which works for any autoencoder that also encodes. Used by `engine.operations`, on the device thread.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from engine.codec import Pixels

#: An autoencoder of at most this many parameters is its own previewer.
SMALL = 10_000_000


class Previewer:
    """Latents (pictures × channels × h × w, as the pipeline holds them) to one small picture each."""

    def __init__(self, vae: Any) -> None:
        self._vae = vae
        self._decodes = sum(parameter.numel() for parameter in vae.parameters()) <= SMALL
        self._matrix = None if self._decodes else _fit(vae)

    def __call__(self, latents: torch.Tensor) -> list[Pixels]:
        latents = latents.to(self._vae.dtype)
        if self._matrix is None:
            images = self._vae.decode(_unscaled(latents, self._vae), return_dict=False)[0]
        else:
            images = torch.einsum("nchw,cd->ndhw", latents.float(), self._matrix[:-1]) + self._matrix[-1][None, :, None, None]
        pixels = ((images.float() / 2 + 0.5).nan_to_num().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        return [np.ascontiguousarray(picture) for picture in pixels]


def _unscaled(latents: torch.Tensor, vae: Any) -> torch.Tensor:
    result: torch.Tensor = latents / vae.config.scaling_factor
    return result


def _fit(vae: Any, pictures: int = 6, cells: int = 24) -> torch.Tensor:
    """Least squares from latents (and a constant 1) to the patches' mean colour in -1..1: (channels + 1) × 3."""
    seeded = torch.Generator().manual_seed(0)
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    coarse = torch.rand(pictures, 3, 5, 5, generator=seeded) * 2 - 1
    smooth = torch.nn.functional.interpolate(coarse, size=(cells * factor,) * 2, mode="bicubic")
    blocks = torch.nn.functional.interpolate(torch.rand(pictures, 3, 9, 9, generator=seeded) * 2 - 1, size=(cells * factor,) * 2)
    images = torch.where(torch.rand(pictures, 1, 1, 1, generator=seeded) < 0.5, smooth, (smooth + blocks) / 2).clamp(-1, 1)
    rows, targets = [], []
    for image in torch.split(images, 1):
        encoded = vae.encode(image.to(vae.device, vae.dtype))
        latents = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
        latents = (latents * vae.config.scaling_factor).float().cpu()
        rows.append(latents.permute(0, 2, 3, 1).reshape(-1, latents.shape[1]))
        targets.append(torch.nn.functional.adaptive_avg_pool2d(image, latents.shape[-2:]).permute(0, 2, 3, 1).reshape(-1, 3))
    x = torch.cat(rows)
    x = torch.cat([x, torch.ones(len(x), 1)], dim=1)
    ridge = 1e-3 * len(x) * torch.eye(x.shape[1])
    matrix: torch.Tensor = torch.linalg.solve(x.T @ x + ridge, x.T @ torch.cat(targets))
    return matrix.to(vae.device)


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
