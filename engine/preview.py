"""What the forming picture looks like now: latents → small RGB, for next to nothing, and without touching the request's own numbers.

What is shown is the scheduler's forecast of the finished latents where there is one (it sharpens from the first step on), else the noisy latents
themselves. They become pixels by a linear map from one latent's channels to its patch of pixels, fitted when the model is loaded on synthetic
pictures: it works for any autoencoder that also encodes, and costs a thousandth of decoding. Used by `engine.operations`, on the device thread.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from engine.codec import Pixels
from engine.families import Family

log = logging.getLogger("engine")

#: No edge of a preview need be longer.
EDGE = 512


class Previewer:
    """Latents, as the family's pipelines hold them, to one small picture each. `pipeline` is one of them."""

    def __init__(self, family: Family, pipeline: Any) -> None:
        self._family, self._pipeline = family, pipeline
        vae = getattr(pipeline, "vae", None)
        self._fitted: tuple[torch.Tensor, int] | None = None
        try:
            self._fitted = fit(vae) if hasattr(vae, "encode") else None
        except Exception:  # an autoencoder of a kind not seen here; pictures can be drawn with it all the same
            log.warning("%s: there will be no previews", type(vae).__name__, exc_info=True)

    def __call__(self, latents: torch.Tensor, width: int, height: int) -> list[Pixels]:
        """Height × width × 3 each, of the picture's own shape and at most EDGE on its longer side. `width` and `height` are the finished picture's.

        None at all where the latents are of a shape nobody here understands.
        """
        if self._fitted is None:
            return []
        matrix, patch = self._fitted
        codes = self._family.decodable(self._pipeline, latents, width, height)
        if codes.dim() != 4 or codes.shape[1] != len(matrix) - 1:
            return []
        patches = torch.einsum("nchw,cd->ndhw", codes.float(), matrix[:-1]) + matrix[-1][None, :, None, None]
        images = F.pixel_shuffle(patches, patch)
        while max(images.shape[-2:]) > EDGE:
            images = F.avg_pool2d(images, 2)
        pixels = ((images / 2 + 0.5).nan_to_num().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        return [np.ascontiguousarray(picture) for picture in pixels]


def fit(vae: Any) -> tuple[torch.Tensor, int]:
    """Least squares from what the autoencoder decodes (and a constant 1) to patches in -1..1: (channels + 1) × (3 · patch²), and the patch's edge in pixels."""
    patch = 64 // encoded(vae, torch.zeros(1, 3, 64, 64)).shape[-1]
    images = _synthetic(8, 256) if patch > 16 else _synthetic(16, 128)
    codes = torch.cat([encoded(vae, image) for image in torch.split(images, 1)])
    x = codes.permute(0, 2, 3, 1).reshape(-1, codes.shape[1])
    x = torch.cat([x, torch.ones(len(x), 1)], dim=1)
    y = F.pixel_unshuffle(images, patch).permute(0, 2, 3, 1).reshape(len(x), -1)
    # The ridge keeps channels that say nothing from being trusted; latents of one autoencoder are a hundred times those of another.
    ridge = 1e-4 * len(x) * torch.diag(torch.cat([codes.var(dim=(0, 2, 3)).clamp_min(1e-12), torch.ones(1)]))
    matrix: torch.Tensor = torch.linalg.solve(x.T @ x + ridge, x.T @ y)
    return matrix.to(vae.device), patch


def codes_clips(vae: Any) -> bool:
    """Whether the autoencoder is one of clips, to which a still picture is one of one frame."""
    return any(isinstance(module, torch.nn.Conv3d) for module in vae.modules())


def encoded(vae: Any, image: torch.Tensor) -> torch.Tensor:
    """1 × channels × h × w of one picture, whatever the autoencoder calls it; of its only frame, where it codes clips."""
    clips = codes_clips(vae)
    image = image.to(vae.device, vae.dtype)
    encoded = vae.encode(image.unsqueeze(2) if clips else image)
    found = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents if hasattr(encoded, "latents") else encoded.latent
    return (found[:, :, 0] if clips else found).float().cpu()  # type: ignore[no-any-return]


@functools.lru_cache(1)
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
        def watched(model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            output = step(model_output, timestep, sample, *args, **kwargs)
            if isinstance(output, tuple) and len(output) > 1:
                self._latest = output[1]
            elif type(self._scheduler).__name__ == "FlowMatchEulerDiscreteScheduler":
                self._latest = sample - self._scheduler.sigmas[self._scheduler.step_index - 1] * model_output
            else:
                self._latest = self._from_history()
                if self._latest is None:
                    self._latest = self._from_schedule(model_output, timestep, sample)
            return output

        return watched

    def _from_history(self) -> torch.Tensor | None:
        """Multistep solvers that keep their past predictions as finished latents (DPM-Solver++, UniPC)."""
        config, history = self._scheduler.config, getattr(self._scheduler, "model_outputs", None)
        finished = str(config.get("algorithm_type", "")).endswith("dpmsolver++") or bool(config.get("predict_x0", False))
        latest: torch.Tensor | None = history[-1] if finished and history else None
        return latest

    def _from_schedule(self, model_output: torch.Tensor, timestep: Any, sample: torch.Tensor) -> torch.Tensor | None:
        """By definition of the noise schedule, where the sample keeps its variance (PNDM, DEIS)."""
        alphas = getattr(self._scheduler, "alphas_cumprod", None)
        if alphas is None:
            return None
        kept = float(alphas[int(timestep)])
        signal, noise = kept**0.5, (1 - kept) ** 0.5
        kind = self._scheduler.config.get("prediction_type", "epsilon")
        direct, scale = (signal, 1.0) if kind == "v_prediction" else (1.0, signal)
        forecast: torch.Tensor = model_output if kind == "sample" else (direct * sample - noise * model_output) / scale
        return forecast

    def latents(self, current: torch.Tensor) -> torch.Tensor:
        """The forecast, or `current` when this scheduler makes none."""
        return current if self._latest is None else self._latest
