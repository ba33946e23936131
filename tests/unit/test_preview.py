"""Previews of the forming picture: what a latent shows, and what a scheduler expects to come of it."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from engine.codec import decode
from engine.families import FAMILIES
from engine.preview import Forecast, Previewer
from tests.contract.engines import picture


@pytest.fixture(autouse=True)
def no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


class Config(dict[str, Any]):
    """As diffusers' own: its values are attributes, too."""

    __getattr__ = dict.__getitem__


class LinearAutoencoder(torch.nn.Module):
    """Keeps the 12 coarsest of the 48 numbers of each 4 × 4 patch, mixed, at a scale of its own."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.mix = torch.nn.Parameter(torch.linalg.qr(torch.randn(12, 12))[0])
        self.config = Config(scaling_factor=0.2)
        self.device, self.dtype = torch.device("cpu"), torch.float32

    def encode(self, image: torch.Tensor) -> Any:
        halves = torch.nn.functional.pixel_unshuffle(torch.nn.functional.avg_pool2d(image, 2), 2)
        return SimpleNamespace(latents=torch.einsum("nchw,cd->ndhw", halves, self.mix) * 3)


class Ending(LinearAutoencoder):
    """Like one that diffusers gets next year."""

    def encode(self, image: torch.Tensor) -> Any:
        return SimpleNamespace(something="else")


def previewer(vae: torch.nn.Module | None) -> Previewer:
    return Previewer(FAMILIES["sd"], SimpleNamespace(vae=vae))


def test_previews_show_what_an_autoencoder_encoded() -> None:
    vae = LinearAutoencoder()
    image = torch.from_numpy(np.array(decode(picture(5, 64, 32)))).permute(2, 0, 1)[None].float() / 127.5 - 1
    (shown,) = previewer(vae)(vae.encode(image).latents * vae.config.scaling_factor, 64, 32)
    wanted = ((image[0] / 2 + 0.5) * 255).permute(1, 2, 0).numpy()
    assert shown.shape == (32, 64, 3) and np.abs(shown - wanted).mean() < 4


def test_previews_are_never_large() -> None:
    (shown,) = previewer(LinearAutoencoder())(torch.zeros(1, 12, 200, 100), 400, 800)
    assert shown.shape == (400, 200, 3)


@pytest.mark.parametrize("vae", [None, Ending()], ids=["no autoencoder", "one of an unknown kind"])
def test_what_nobody_understands_is_not_shown(vae: torch.nn.Module | None) -> None:
    assert previewer(vae)(torch.zeros(1, 12, 8, 8), 32, 32) == []


def test_latents_of_another_number_of_channels_are_not_shown() -> None:
    assert previewer(LinearAutoencoder())(torch.zeros(1, 16, 8, 8), 32, 32) == []


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("DDIMScheduler", {"clip_sample": False}),
        ("EulerDiscreteScheduler", {}),
        ("DPMSolverMultistepScheduler", {}),
        ("UniPCMultistepScheduler", {}),
        ("PNDMScheduler", {"skip_prk_steps": True}),
    ],
)
def test_the_forecast_is_the_finished_picture_when_the_model_is_right(name: str, options: dict[str, Any]) -> None:
    """A denoiser that knows the answer: every scheduler's forecast is that answer from the first step on."""
    scheduler = getattr(diffusers, name)(beta_schedule="scaled_linear", **options)
    forecast = Forecast(scheduler)
    answer = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1)) * scheduler.init_noise_sigma
    assert torch.equal(forecast.latents(latents), latents)  # nothing was forecast yet
    scheduler.set_timesteps(10)
    for timestep in scheduler.timesteps[:3]:
        alpha = scheduler.alphas_cumprod[int(timestep)]
        seen = scheduler.scale_model_input(latents, timestep)
        noise = (seen - alpha.sqrt() * answer) / (1 - alpha).sqrt()
        latents = scheduler.step(noise, timestep, latents, return_dict=False)[0]
        assert torch.allclose(forecast.latents(latents), answer, atol=0.05)


@pytest.mark.parametrize(
    ("name", "options"),
    [("FlowMatchEulerDiscreteScheduler", {}), ("DPMSolverMultistepScheduler", {"use_flow_sigmas": True, "prediction_type": "flow_prediction"})],
)
def test_the_forecast_of_a_flow_is_its_end(name: str, options: dict[str, Any]) -> None:
    scheduler = getattr(diffusers, name)(**options)
    forecast = Forecast(scheduler)
    answer, noise = (torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    scheduler.set_timesteps(10)
    latents = noise * scheduler.init_noise_sigma if hasattr(scheduler, "init_noise_sigma") else noise
    for timestep in scheduler.timesteps[:3]:
        latents = scheduler.step(noise - answer, timestep, latents, return_dict=False)[0]
        assert torch.allclose(forecast.latents(latents), answer, atol=0.01)


def test_a_scheduler_without_a_forecast_shows_its_latents() -> None:
    scheduler = diffusers.FlowMatchHeunDiscreteScheduler()
    forecast = Forecast(scheduler)
    scheduler.set_timesteps(5)
    latents = torch.zeros(1, 4, 4, 4)
    after = scheduler.step(latents + 0.1, scheduler.timesteps[0], latents, return_dict=False)[0]
    assert forecast.latents(after) is after
