"""What a pipeline holds while it denoises, as what its autoencoder decodes: unpacked and unscaled. Named by `engine.families`, used by whoever looks at the
forming picture (`engine.preview`).

Every pipeline does this itself after its last step, inside `__call__`; these are the same formulas for the steps before. They take the pipeline (for its
autoencoder's numbers), latents of its own shape, and the picture's width and height in pixels, and return pictures × channels × h × w.
"""

from __future__ import annotations

from typing import Any

import torch


def plain(pipeline: Any, latents: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """Pictures × channels × h × w; or packed as Flux does it, pictures × patches of 2 × 2 × 4 · channels; with a time axis of one frame or without."""
    if latents.dim() == 3 and hasattr(pipeline, "_unpack_latents"):
        latents = pipeline._unpack_latents(latents, height, width, pipeline.vae_scale_factor)
    if latents.dim() == 5:
        latents = latents[:, :, 0]
    config = pipeline.vae.config
    scaled = latents.float() / (config.get("scaling_factor") or 1.0)
    if config.get("latents_mean") is not None and config.get("latents_std") is not None:
        scaled = scaled * _channels(config.latents_std, latents) + _channels(config.latents_mean, latents)
    return scaled + (config.get("shift_factor") or 0.0)


def flux2(pipeline: Any, latents: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """Pictures × patches × 4 · channels, normalised by the statistics of the autoencoder's batch norm (FLUX.2)."""
    vae, edge = pipeline.vae, 2 * pipeline.vae_scale_factor
    grid = latents.float().transpose(1, 2).reshape(len(latents), -1, height // edge, width // edge)
    deviation = torch.sqrt(vae.bn.running_var.float() + vae.config.batch_norm_eps)
    grid = grid * deviation.view(1, -1, 1, 1) + vae.bn.running_mean.float().view(1, -1, 1, 1)
    unpatched: torch.Tensor = pipeline._unpatchify_latents(grid)
    return unpatched


def sprint(pipeline: Any, latents: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """Sana-Sprint's pipeline holds its latents larger, by the data's standard deviation that its scheduler knows."""
    return plain(pipeline, latents / pipeline.scheduler.config.sigma_data, width, height)


def _channels(values: Any, like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(values, device=like.device, dtype=torch.float32).view(1, -1, 1, 1)
