"""Noise that walks in a small circle: like any noise, each like its neighbours, and without an end."""

from __future__ import annotations

import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

from engine.walk import around, circle

MIDDLE = torch.randn(1, 4, 32, 32, generator=torch.Generator("cpu").manual_seed(7))


def test_every_frames_noise_is_noise_like_any_other() -> None:
    for row in circle(MIDDLE.expand(6, -1, -1, -1), 7):
        assert abs(float(row.mean())) < 0.06 and abs(float(row.std()) - 1) < 0.05


def test_neighbours_are_nearer_than_others_and_the_last_is_the_firsts_neighbour() -> None:
    rows = circle(MIDDLE.expand(8, -1, -1, -1), 7)
    near = [float((rows[k] - rows[(k + 1) % 8]).square().mean()) for k in range(8)]
    across = [float((rows[k] - rows[(k + 4) % 8]).square().mean()) for k in range(8)]
    assert max(near) < 1.3 * min(near) and max(near) < 0.3 * min(across)


def test_it_is_the_same_walk_for_the_same_seed_only() -> None:
    rows = MIDDLE.expand(3, -1, -1, -1)
    assert torch.equal(circle(rows, 7), circle(rows, 7)) and not torch.equal(circle(rows, 7), circle(rows, 8))
    assert torch.isfinite(circle(rows.half(), 2**32 - 1)).all()


def test_schedulers_of_both_kinds_lay_the_circle_over_their_rows() -> None:
    rows, start = MIDDLE.expand(4, -1, -1, -1), torch.zeros(4, 4, 32, 32)
    diffusion, flow = DDIMScheduler(), FlowMatchEulerDiscreteScheduler()
    for scheduler in (diffusion, flow):
        scheduler.set_timesteps(4)
        around(scheduler, 7)
    (first, *_), steps = flow.timesteps, diffusion.timesteps[:1].long()
    assert torch.allclose(flow.scale_noise(start, first[None], rows), circle(rows, 7), atol=1e-5)
    laid = diffusion.add_noise(start, rows, steps)
    assert torch.allclose(laid, circle(rows, 7) * (1 - diffusion.alphas_cumprod[steps]).sqrt(), atol=1e-5)
