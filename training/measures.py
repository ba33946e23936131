"""How near pictures are to the truth, and how sharp. Used by `training.autoencoder` and `training.upscaler`."""

from __future__ import annotations

import numpy as np


def compare(pictures: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """PSNR in dB; how sharp the pictures are (their steepest twentieth of gradients, of the truth's); how far gradients are off, of the truth's own size."""
    return compare_all({"": pictures}, truth)[""]


def compare_all(ways: dict[str, np.ndarray], truth: np.ndarray) -> dict[str, dict[str, float]]:
    """`compare` of several ways' pictures with the same truth, which is looked at once."""
    wanted = np.stack([_slopes(picture) for picture in truth])
    steep = np.quantile(wanted, 0.95, axis=(1, 2), keepdims=True)
    edges = wanted >= np.maximum(steep, 1.0)
    figures = {}
    for way, pictures in ways.items():
        error = np.mean([np.square(a.astype(np.float32) - b).mean() for a, b in zip(pictures, truth, strict=True)])
        slopes = np.stack([_slopes(picture) for picture in pictures])
        figures[way] = {
            "psnr_db": round(float(10 * np.log10(255**2 / max(1e-9, error))), 2),
            "sharpness": round(float(slopes[edges].mean() / max(1e-9, wanted[edges].mean())), 3),
            "gradient_error": round(float(np.abs(slopes - wanted).mean() / max(1e-9, wanted.mean())), 3),
        }
    return figures


def _slopes(picture: np.ndarray) -> np.ndarray:
    """How steep each pixel's brightness is, of 0..255 a pixel."""
    grey = picture.astype(np.float32).mean(axis=-1)
    down, across = np.gradient(grey)
    return np.asarray(np.hypot(down, across))
