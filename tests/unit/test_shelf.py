"""Model directories are read without torch; what is wrong with one is its own problem."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine.api import BadInput, Capabilities, ModelCorrupt, ModelMissing, Part, UnsupportedOperation, UpscaleRequest
from engine.checks import check, grid_seeds
from engine.shelf import SCHEDULERS, Shelf
from tests.contract.engines import imagine


def model(folder: Path, name: str = "toy", card: str = 'family = "sd"\n') -> Path:
    path = folder / name
    path.mkdir(parents=True)
    (path / "card.toml").write_text(card, encoding="utf-8")
    return path


def test_a_card_with_only_a_family_gets_sane_defaults(tmp_path: Path) -> None:
    (can,) = Shelf.open([model(tmp_path)], pocket=False).models()
    assert (can.model, can.width, can.height, can.schedulers) == ("toy", 512, 512, SCHEDULERS)
    assert can.min_edge <= can.width <= can.max_edge and can.steps <= can.max_steps
    assert {"imagine", "source", "unwanted", "upscale"} <= can.operations


def test_a_full_card_is_read_as_written(tmp_path: Path) -> None:
    card = """
    name = "pocket"
    title = "Pocket"
    family = "sd"
    licence = "MIT"
    width = 128
    height = 96
    multiple = 16
    min_edge = 64
    max_edge = 256
    steps = 12
    max_steps = 40
    guidance = 2.5
    max_guidance = 9.0
    max_count = 6
    cost_factor = 0.25
    scheduler = "DDIMScheduler"
    schedulers = ["DDIMScheduler"]
    examples = ["a fox"]
    """
    path = model(tmp_path, card=card)
    (path / "vocabulary.json").write_text(json.dumps({"things": ["fox"], "colours": ["red"], "version": [3]}))
    (can,) = Shelf.open([path], pocket=False).models()
    assert can == Capabilities(
        model="pocket",
        title="Pocket",
        licence="MIT",
        operations=can.operations,
        width=128,
        height=96,
        multiple=16,
        min_edge=64,
        max_edge=256,
        steps=12,
        max_steps=40,
        guidance=2.5,
        max_guidance=9.0,
        max_count=6,
        schedulers=("DDIMScheduler",),
        cost_factor=0.25,
        examples=("a fox",),
        words={"things": ("fox",), "colours": ("red",)},
    )


def test_other_spellings_of_a_card_and_its_vocabulary_are_read(tmp_path: Path) -> None:
    path = model(tmp_path, card='family = "sd"\nwidth = 128\nsize_multiple = 16\nmin_size = 64\nmax_size = 256\ncost = 0.5\n')
    words = {"things": [["fox", "vixen"], ["apple"]], "places": {"snow": ["in the snow"]}, "colours": ["red"], "examples": [{"prompt": "a fox", "seed": 3}]}
    (path / "vocabulary.json").write_text(json.dumps(words))
    (can,) = Shelf.open([path], pocket=False).models()
    assert (can.multiple, can.min_edge, can.max_edge, can.cost_factor) == (16, 64, 256, 0.5)
    assert can.words == {"things": ("fox", "apple"), "places": ("snow",), "colours": ("red",)} and can.examples == ("a fox",)


def test_only_a_model_with_an_upscaler_finishes_its_pictures(tmp_path: Path) -> None:
    path = model(tmp_path, card='family = "sd"\nfinish = 4\n')
    (can,) = Shelf.open([path], pocket=False).models()
    assert can.finish == 1
    (path / "upscaler").mkdir()
    (path / "upscaler" / "model.safetensors").write_bytes(b"weights")
    (can,) = Shelf.open([path], pocket=False).models()
    assert can.finish == 4


def test_a_model_without_guidance_takes_no_unwanted_words(tmp_path: Path) -> None:
    (can,) = Shelf.open([model(tmp_path, card='family = "sd"\nmax_guidance = 1.0\n')], pocket=False).models()
    assert "unwanted" not in can.operations and can.guidance <= 1


def test_a_directory_of_models_is_opened_and_the_default_comes_first(tmp_path: Path) -> None:
    for name in ("alpha", "beta", "gamma"):
        model(tmp_path, name)
    assert [can.model for can in Shelf.open([tmp_path], pocket=False).models()] == ["alpha", "beta", "gamma"]
    assert [can.model for can in Shelf.open([tmp_path], default="beta", pocket=False).models()] == ["beta", "alpha", "gamma"]


@pytest.mark.parametrize(
    ("card", "kind"),
    [
        ("family = ", ModelCorrupt),
        ('title = "no family"', ModelCorrupt),
        ('family = "nobody knows"', ModelCorrupt),
        ('family = "sd"\nwidth = "wide"', ModelCorrupt),
        ('family = "sd"\nwidth = 100\nmultiple = 64', ModelCorrupt),
        ('family = "sd"\nfinish = 3', ModelCorrupt),
        (None, ModelMissing),
    ],
)
def test_a_model_that_cannot_be_read_is_told_and_the_others_go_on(tmp_path: Path, card: str | None, kind: type[Exception]) -> None:
    good, bad = model(tmp_path, "good"), tmp_path / "bad"
    if card is not None:
        model(tmp_path, "bad", card)
    shelf = Shelf.open([bad, good], pocket=False)
    assert [can.model for can in shelf.models()] == ["good"]
    assert isinstance(shelf.problems[str(bad)], kind)
    with pytest.raises(ModelMissing):
        shelf.entry("bad")


def test_a_default_that_is_not_there_is_told(tmp_path: Path) -> None:
    shelf = Shelf.open([model(tmp_path)], default="dream", pocket=False)
    assert isinstance(shelf.problems["dream"], ModelMissing) and shelf.models()[0].model == "toy"


def test_the_manifest_is_held_against_every_file(tmp_path: Path) -> None:
    path = model(tmp_path)
    (path / "weights.safetensors").write_bytes(b"numbers")
    (path / "MANIFEST.sha256").write_text(f"{hashlib.sha256(b'numbers').hexdigest()}  weights.safetensors\n")
    entry = Shelf.open([path], pocket=False).entry("toy")
    entry.verify()
    (path / "weights.safetensors").write_bytes(b"numberz")
    with pytest.raises(ModelCorrupt, match=r"weights\.safetensors"):
        entry.verify()
    (path / "weights.safetensors").unlink()
    with pytest.raises(ModelMissing, match=r"weights\.safetensors"):
        entry.verify()


def test_prose_beside_a_model_may_be_edited(tmp_path: Path) -> None:
    path = model(tmp_path)
    (path / "README.md").write_text("what it is")
    (path / "MANIFEST.sha256").write_text(f"{'0' * 64}  README.md\n")
    Shelf.open([path], pocket=False).entry("toy").verify()


def test_a_manifest_may_not_point_outside_its_model(tmp_path: Path) -> None:
    path = model(tmp_path)
    (tmp_path / "secret").write_bytes(b"x")
    (path / "MANIFEST.sha256").write_text(f"{hashlib.sha256(b'x').hexdigest()}  ../secret\n")
    with pytest.raises(ModelCorrupt):
        Shelf.open([path], pocket=False).entry("toy").verify()


def test_reading_the_shelf_and_making_an_engine_imports_no_torch() -> None:
    code = """
import sys, engine.fake, engine.local
engine.local.LocalEngine(engine.local.Shelf.open())
assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


CAN = Capabilities(
    model="tiny",
    title="",
    licence="",
    operations=frozenset({"imagine", "unwanted"}),
    width=64,
    height=64,
    multiple=8,
    min_edge=32,
    max_edge=128,
    steps=6,
    max_steps=30,
    guidance=3.0,
    max_guidance=10.0,
    max_count=4,
    schedulers=("DDIMScheduler",),
)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"source": "0" * 64}, "a source image"),
        ({"unwanted": ("rain",), "guidance": 1.0}, "--no"),
        ({"parts": (Part(text="a"), Part(text="b"))}, "::weights"),
        ({"width": 60}, "--size"),
        ({"height": 136}, "--size"),
        ({"count": 5}, "--n"),
        ({"steps": 31}, "--steps"),
        ({"steps": 0}, "--steps"),
        ({"guidance": 11.0}, "--cfg"),
        ({"guidance": float("nan")}, "--cfg"),
        ({"scheduler": "UNet2DConditionModel"}, "--sampler"),
        ({"strength": 1.5}, "--strength"),
        ({"seed": 2**32}, "--seed"),
    ],
)
def test_what_a_model_cannot_do_is_refused_by_name(changes: dict[str, object], what: str) -> None:
    check(imagine(), CAN, {})
    with pytest.raises(UnsupportedOperation) as refused:
        check(imagine(**changes), CAN, {})
    assert refused.value.what == what


def test_a_missing_source_picture_is_bad_input() -> None:
    can = Capabilities(**{**{name: getattr(CAN, name) for name in CAN.__slots__}, "operations": frozenset({"imagine", "source", "upscale"})})
    with pytest.raises(BadInput):
        check(imagine(source="0" * 64), can, {})
    with pytest.raises(UnsupportedOperation):
        check(UpscaleRequest(model="tiny", source="0" * 64, factor=3, width=64, height=64), can, {"0" * 64: b""})


def test_the_seeds_of_a_grid_wrap_around() -> None:
    assert grid_seeds(imagine(seed=2**32 - 2, count=4)) == (2**32 - 2, 2**32 - 1, 0, 1)
