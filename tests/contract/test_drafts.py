"""Drafts in the engine: a model's one-step adapter beside other people's full pictures, and what one step of a stock scheduler is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from safetensors.torch import save_file

from engine import rows, tuning
from engine.api import Effort, ImagineRequest, Lora
from engine.efforts import drafted
from engine.local import LocalEngine
from engine.shelf import POCKET, Shelf
from tests.contract.engines import CARD, ignore, imagine, local_engine, pixels, tiny, write_manifest
from tests.contract.test_device import twin

SWIFT = 'name = "swift"\n[loras]\ndraft = "draft.safetensors"\n[draft]\nlora = "draft"\nsteps = 1\nguidance = 1.0\n'


@pytest.fixture
def swift(tmp_path: Path) -> Path:
    """The tiny model with a draft: a low-rank change of some linear layers and of the last convolution."""
    model, dice, found = twin(tmp_path, "swift"), torch.Generator().manual_seed(3), {}
    unet: Any = StableDiffusionPipeline.from_pretrained(tiny(), safety_checker=None).unet
    for name, layer in unet.named_modules():
        if name.endswith("attn2.to_v") or name == "conv_out":
            found[f"unet.{name}.lora_A.weight"] = torch.randn(2, *layer.weight.shape[1:], generator=dice)
            found[f"unet.{name}.lora_B.weight"] = torch.randn(len(layer.weight), 2, *(1,) * (layer.weight.dim() - 2), generator=dice)
    save_file(found, model / "draft.safetensors")
    (model / "card.toml").write_text(CARD + SWIFT, encoding="utf-8")
    write_manifest(model)
    return model


@pytest.fixture
def draft(swift: Path) -> ImagineRequest:
    can = Shelf.open([swift], pocket=False).entries[0].can
    assert can.draft == Effort(steps=1, lora="draft") and can.loras == () and "lora" not in can.operations
    return drafted(imagine(model="swift", count=2), can)


def watched(engine: LocalEngine) -> list[tuple[bool, ...]]:
    """Of each forward from now on, which of its rows are a draft's."""
    assert engine._device is not None
    model, seen = engine._device._models.get("swift"), [(True,)][:0]
    assert model is not None
    tuning.denoiser_of(model).register_forward_pre_hook(lambda module, args: seen.append(tuple(bool(row.traits.loras) for row in rows.now())))
    return seen


async def test_a_draft_shares_a_forward_with_a_full_picture_and_neither_notices(swift: Path, draft: ImagineRequest) -> None:
    engine, full = local_engine([swift], max_rows=8), imagine(model="swift", seed=5, count=1, steps=6)
    try:
        alone = [await engine.run(each, {}, ignore) for each in (full, draft)]
        forwards = watched(engine)
        company = await asyncio.gather(*(engine.run(each, {}, ignore) for each in (full, draft)))
        for one, other in zip(alone, company, strict=True):
            for a, b in zip(one.frames, other.frames, strict=True):
                assert np.abs(pixels(a.png) - pixels(b.png)).max() <= 1
        mixed = [drafts for drafts in forwards if any(drafts) and not all(drafts)]
        assert len(mixed) == 1 and sum(drafts.count(True) for drafts in forwards) == 2
    finally:
        await engine.aclose()


async def test_a_draft_is_another_picture_than_one_step_without_its_adapter(swift: Path, draft: ImagineRequest) -> None:
    engine = local_engine([swift], max_rows=8)
    try:
        with_it = await engine.run(draft, {}, ignore)
        without = await engine.run(imagine(model="swift", count=2, steps=1, guidance=1.0), {}, ignore)
        assert np.abs(pixels(with_it.frames[0].png) - pixels(without.frames[0].png)).max() > 1
        assert draft.loras == (Lora(name="draft"),) and with_it.frames[0].seed == draft.seed
    finally:
        await engine.aclose()


def test_one_step_of_the_usual_scheduler_is_what_the_network_foresees_at_the_last_timestep() -> None:
    """From pure noise at t = 999 to the predicted picture itself: the noise that is left is zero, not that of some earlier timestep."""
    build: Any = DPMSolverMultistepScheduler
    scheduler = build.from_pretrained(POCKET, subfolder="scheduler")
    scheduler.set_timesteps(1)
    noise, velocity = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    assert scheduler.timesteps.tolist() == [999] and scheduler.init_noise_sigma == 1
    signal = scheduler.alphas_cumprod[-1]
    foreseen = signal.sqrt() * noise - (1 - signal).sqrt() * velocity
    drawn = scheduler.step(velocity, scheduler.timesteps[0], noise, return_dict=False)[0]
    assert torch.allclose(drawn, foreseen, atol=1e-5) and bool(torch.isfinite(drawn).all())
