"""Noise that walks in a circle: how a picture is made to move. Used by `engine.operations.animate`, on the request's own copy of a scheduler.

Image-to-image pipelines draw noise and let their scheduler lay it over the picture. Here the scheduler lays other noise over each row instead: points of a
small circle on the sphere that noise lies on, evenly spaced, once around. Every point of it is noise like any other (the mean 0, the deviation 1), neighbours
are alike, and the last leads to the first.
"""

from __future__ import annotations

import math
from typing import Any

import torch

#: The circle's radius, as an angle: how far from its middle every frame's noise is. A right angle would have nothing in common with the middle.
RADIUS = 0.6


def around(scheduler: Any, seed: int) -> None:
    """Let `scheduler`, which is the caller's own, lay circling noise over its rows, of which the pipeline gives all the same."""
    if hasattr(scheduler, "add_noise"):
        add = scheduler.add_noise
        scheduler.add_noise = lambda original, noise, timesteps: add(original, circle(noise, seed), timesteps)
    if hasattr(scheduler, "scale_noise"):
        scale = scheduler.scale_noise
        scheduler.scale_noise = lambda sample, timestep, noise: scale(sample, timestep, circle(noise, seed))


def circle(noise: torch.Tensor, seed: int) -> torch.Tensor:
    """Rows × …, all rows the same → each at its place on a circle around them, in directions that are the noises of the next two seeds."""
    rows = len(noise)
    across, along = (torch.randn(noise.shape[1:], generator=torch.Generator("cpu").manual_seed((seed + k) % 2**32)).to(noise) for k in (1, 2))
    angles = [2 * math.pi * row / rows for row in range(rows)]
    aside = torch.stack([math.cos(angle) * across + math.sin(angle) * along for angle in angles])
    return math.cos(RADIUS) * noise + math.sin(RADIUS) * aside
