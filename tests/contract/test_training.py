"""The road to the pocket model, walked end to end in a few steps: what it leaves loads in stock classes, and the engine draws with it."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.api import ImagineRequest, Part
from tests.contract.engines import ignore, local_engine

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def made(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, list[float]]]:
    """(work directory, model directory, each stage's losses)."""
    from training.__main__ import run

    root = tmp_path_factory.mktemp("training")
    torch.manual_seed(0)
    with torch.enable_grad():
        losses = run(root / "work", root / "pocket", 3_600, tiny=True)
    return root / "work", root / "pocket", losses


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


@pytest.mark.parametrize("stage", ["autoencoder", "denoiser", "polish", "upscaler", "sight", "image_prompts", "sketch", "quick", "draft"])
def test_every_stage_takes_its_steps(made: Any, stage: str) -> None:
    losses = made[2][stage]
    assert len(losses) == (24 if stage == "sight" else 12)
    assert all(0 <= loss < 1e4 for loss in losses)


@pytest.mark.parametrize("stage", ["autoencoder", "denoiser", "sight", "quick"])
def test_losses_fall(made: Any, stage: str) -> None:
    losses = made[2][stage]
    assert mean(losses[-4:]) < mean(losses[:3])


def test_the_manifest_names_every_file_as_it_is(made: Any) -> None:
    folder = made[1]
    listed = dict(reversed(line.split("  ", 1)) for line in (folder / "MANIFEST.sha256").read_text().splitlines())
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {"MANIFEST.sha256"}
    assert set(listed) == found
    assert all(hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest for name, digest in listed.items())


def test_stock_classes_load_what_was_written(made: Any) -> None:
    from diffusers import ControlNetModel, DiffusionPipeline
    from transformers import CLIPModel, CLIPVisionModelWithProjection

    folder = made[1]
    pipeline = DiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    picture = pipeline("a fox in the snow", num_inference_steps=2, guidance_scale=2.0, width=160, height=96, output_type="np").images[0]
    assert picture.shape == (96, 160, 3)
    CLIPModel.from_pretrained(folder / "sight")
    CLIPVisionModelWithProjection.from_pretrained(folder / "sight")
    ControlNetModel.from_pretrained(folder / "control" / "edges", low_cpu_mem_usage=False)


def test_the_card_says_what_was_trained(made: Any) -> None:
    card = tomllib.loads((made[1] / "card.toml").read_text())
    assert card["finish"] == 4
    assert (card["quick"]["steps"], card["draft"]["steps"]) == (4, 1)
    assert {"upscaler", "sight", "image_adapter", "controls", "loras"} <= set(card)


async def test_the_engine_draws_with_it(made: Any) -> None:
    engine = local_engine([made[1]])
    await engine.start()
    try:
        request = ImagineRequest(model="pocket", width=128, height=96, steps=2, guidance=1.0, count=1, parts=(Part(text="a fox"),), enlarge=4)
        result = await engine.run(request, {}, ignore)
    finally:
        await engine.aclose()
    assert (result.frames[0].width, result.frames[0].height) == (512, 384)
