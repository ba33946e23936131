"""What every engine does besides drawing from words, over the fake and the real one with a random-weight model. How it looks is for
docs/operations.md to show.
"""

from __future__ import annotations

import io
import itertools
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from numpy.typing import NDArray
from PIL import Image

from engine import codec
from engine.api import BadInput, Control, Emphasis, ImagePrompt, Lora, MorphRequest, Part, Progress, Spot, UnsupportedOperation, UpscaleRequest
from tests.contract.engines import CARD, add_upscaler, digest, local_engine, picture, pixels, tiny, write_manifest
from tests.contract.subjects import SHIPPED, Subject, furthest, make

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOURCE, OTHER = picture(1, 64, 64), picture(2, 64, 64)


def png(values: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(values.astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


#: The right half is drawn anew.
MASK = png(np.repeat((np.arange(64) >= 32)[None] * 255, 64, axis=0))


@pytest_asyncio.fixture(params=["fake", "tiny"], scope="module", loop_scope="module")
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    engine = make(request.param)
    await engine.start()
    yield Subject(engine, engine.models()[0])
    await engine.aclose()


async def drawn(subject: Subject, *pictures: bytes, **changes: Any) -> list[NDArray[np.int16]]:
    request = subject.request(**{"width": 64, "height": 64, **changes})
    return [pixels(frame.png) for frame in (await subject.draw(request, *pictures)).frames]


# ------------------------------------------------------------------------------------------------ parts of pictures


async def test_what_a_mask_keeps_is_the_sources_own_pixels_and_the_rest_is_drawn_anew(subject: Subject) -> None:
    (image,) = await drawn(subject, SOURCE, MASK, source=digest(SOURCE), mask=digest(MASK), strength=0.9)
    assert np.array_equal(image[:, :28], pixels(SOURCE)[:, :28])
    assert np.abs(image[:, 32:] - pixels(SOURCE)[:, 32:]).mean() > 5


@SHIPPED
async def test_a_model_of_any_number_of_channels_changes_a_region() -> None:
    """Stock inpainting pipelines refuse latents of 32 channels."""
    engine = make("pocket")
    subject = Subject(engine, engine.models()[0])
    try:
        (image,) = await drawn(subject, SOURCE, MASK, source=digest(SOURCE), mask=digest(MASK), strength=0.9)
        assert np.array_equal(image[:, :28], pixels(SOURCE)[:, :28])
        assert np.abs(image[:, 32:] - pixels(SOURCE)[:, 32:]).mean() > 5
    finally:
        await engine.aclose()


async def test_an_empty_mask_gives_the_source_back(subject: Subject) -> None:
    black = png(np.zeros((64, 64)))
    (image,) = await drawn(subject, SOURCE, black, source=digest(SOURCE), mask=digest(black))
    assert np.array_equal(image, pixels(SOURCE))


@pytest.mark.parametrize(
    ("spot", "size", "kept"),
    [
        (Spot(left=16, top=16, width=32, height=32), (64, 64), (20, 20, 44, 44)),  # zoom out 2×
        (Spot(left=0, top=0, width=64, height=64), (96, 64), (0, 0, 60, 64)),  # pan →
        (Spot(left=32, top=0, width=64, height=64), (96, 64), (36, 0, 96, 64)),  # pan ←
        (Spot(left=0, top=32, width=64, height=64), (64, 96), (0, 36, 64, 96)),  # pan ↑
        (Spot(left=-32, top=0, width=64, height=64), (64, 64), (0, 0, 28, 64)),  # pan → on a canvas of the same size
    ],
    ids=["zoom", "right", "left", "up", "beyond the edge"],
)
async def test_around_a_picture_more_is_drawn_and_the_picture_stays(subject: Subject, spot: Spot, size: tuple[int, int], kept: tuple[int, ...]) -> None:
    width, height = size
    (image,) = await drawn(subject, SOURCE, source=digest(SOURCE), spot=spot, width=width, height=height)
    assert image.shape == (height, width, 3)
    large = Image.new("RGB", size)
    large.paste(codec.decode(SOURCE).resize((spot.width, spot.height), Image.Resampling.LANCZOS), (spot.left, spot.top))
    left, top, right, bottom = kept
    assert np.array_equal(image[top:bottom, left:right], np.asarray(large)[top:bottom, left:right])


async def test_a_mask_lies_where_the_source_lies(subject: Subject) -> None:
    """On a canvas twice as wide the masked right half of the source is the second quarter."""
    spot = Spot(left=0, top=0, width=64, height=64)
    (image,) = await drawn(subject, SOURCE, MASK, source=digest(SOURCE), mask=digest(MASK), spot=spot, width=128)
    assert np.array_equal(image[:, :28], pixels(SOURCE)[:, :28])
    assert not np.array_equal(image[:, 32:64], pixels(SOURCE)[:, 32:64])


@pytest.mark.parametrize("changes", [{"source": digest(SOURCE)}, {"source": digest(SOURCE), "mask": digest(MASK)}], ids=["a source", "a mask"])
async def test_every_picture_of_a_grid_from_a_picture_is_the_one_its_own_seed_gives(subject: Subject, changes: dict[str, Any]) -> None:
    request = subject.request(seed=5, count=3, width=64, height=64, **changes)
    for frame in (await subject.draw(request, SOURCE, MASK)).frames:
        alone = subject.request(seed=frame.seed, count=1, width=64, height=64, **changes)
        assert furthest(await subject.draw(alone, SOURCE, MASK), frame) <= 1


async def test_several_pictures_start_one_together(subject: Subject) -> None:
    one, other = digest(SOURCE), digest(OTHER)
    mixes: list[dict[str, Any]] = [
        {"source": one, "mix": (other,)},
        {"source": other, "mix": (one,)},
        {"mix": (one, other)},
        {"source": one},
        {"mix": (other,)},
    ]
    both, again, thrice, first, second = [(await drawn(subject, SOURCE, OTHER, strength=0.2, **mix))[0] for mix in mixes]
    assert np.array_equal(both, again) and np.array_equal(both, thrice)
    assert not np.array_equal(both, first) and not np.array_equal(both, second)


# ------------------------------------------------------------------------------------------------ words


async def test_weights_emphasis_and_what_is_unwanted_all_matter_together_too(subject: Subject) -> None:
    def spoken(text: str, weight: float = 1.0, emphasis: float | None = None) -> Part:
        return Part(text=text, weight=weight, emphasis=() if emphasis is None else (Emphasis(start=6, end=len(text), weight=emphasis),))

    variants: list[dict[str, Any]] = [
        {"parts": (spoken("a fox in the snow"),)},
        {"parts": (spoken("a fox in the snow", emphasis=0.5),)},
        {"parts": (spoken("a fox in the snow", emphasis=1.8),)},
        {"parts": (spoken("a fox in the snow", 2), spoken("an apple"))},
        {"parts": (spoken("a fox in the snow", 2), spoken("an apple", -0.5))},
        {"parts": (spoken("a fox in the snow", 2, 1.3), spoken("an apple", -0.5)), "unwanted": ("rain",)},
    ]
    images = [(await drawn(subject, **variant))[0] for variant in variants]
    for i, one in enumerate(images):
        assert not any(np.array_equal(one, other) for other in images[i + 1 :]), variants[i]


# ------------------------------------------------------------------------------------------------ seamless, unfinished, moving


def seam(image: NDArray[np.int16]) -> tuple[float, float]:
    """How much neighbours differ where the picture meets itself, and on the borders of the 16-pixel cells that the shipped model's latents are."""
    turns = [np.abs(image - np.roll(image, -1, axis=axis)).mean(axis=(1 - axis, 2)) for axis in (0, 1)]  # pixel k from k + 1, the last from the first
    return float(np.mean([turn[-1] for turn in turns])), float(np.mean([turn[15:-1:16] for turn in turns]))


@pytest.mark.parametrize("kind", ["fake", pytest.param("pocket", marks=SHIPPED)])
async def test_a_tile_meets_itself_without_a_seam(kind: str) -> None:
    engine = make(kind)
    subject = Subject(engine, engine.models()[0])
    try:
        for tile in (True, False):
            images = [await drawn(subject, tile=tile, seed=seed, width=128, height=128, parts=(Part(text="a castle at sunset, cartoon"),)) for seed in range(4)]
            across, elsewhere = np.mean([seam(image) for (image,) in images], axis=0)
            assert bool(across < 1.2 * elsewhere) is tile, (across, elsewhere)
    finally:
        await engine.aclose()


async def test_a_stopped_picture_ends_early_and_is_not_the_finished_one(subject: Subject) -> None:
    reports: list[Progress] = []
    request = subject.request(steps=10, stop=0.3)
    (frame,) = (await subject.draw(request, report=reports.append)).frames
    assert {report.of for report in reports} == {3} and reports[-1].step == 3
    assert not np.array_equal(pixels(frame.png), pixels((await subject.draw(subject.request(steps=10))).frames[0].png))


def shown(clip: bytes | None) -> list[NDArray[np.uint8]]:
    """The frames of a clip."""
    assert clip is not None
    with Image.open(io.BytesIO(clip)) as image:
        assert image.format == "WEBP"
        frames = []
        for k in range(image.n_frames):
            image.seek(k)
            frames.append(np.asarray(image.convert("RGB")))
        return frames


async def test_a_video_shows_the_grid_forming_and_ends_on_the_finished_pictures(subject: Subject) -> None:
    result = await subject.draw(subject.request(width=64, height=64, steps=30, count=2, video=True))
    frames = shown(result.clip)
    assert 10 < len(frames) <= 24
    assert frames[0].shape == (64, 128, 3)
    finished = np.concatenate([pixels(frame.png) for frame in result.frames], axis=1)
    first, last = (np.abs(frame.astype(int) - finished).mean() for frame in (frames[0], frames[-1]))
    assert last < 15 and last < first / 1.5  # lossy, and a random model's pictures are all noise
    assert (await subject.draw(subject.request(steps=4))).clip is None


def a_morph(subject: Subject, **changes: Any) -> MorphRequest:
    fields: dict[str, Any] = {"before": (Part(text="a fox"),), "after": (Part(text="an apple"),), "seed": 7, "steps": 4, "guidance": 3.0, "frames": 5}
    return MorphRequest(model=subject.can.model, **{**fields, "width": 64, "height": 64, **changes})


async def test_a_morph_begins_on_one_prompts_picture_ends_on_the_others_and_comes_back(subject: Subject) -> None:
    result = await subject.draw(a_morph(subject))
    images = [pixels(frame.png) for frame in result.frames]
    assert len(images) == 5 and {frame.seed for frame in result.frames} == {7}
    for one, following in itertools.pairwise(images):
        assert not np.array_equal(one, following)
    frames = shown(result.clip)
    assert len(frames) == 8  # there, and back without the ends twice
    assert all(np.abs(frames[k].astype(int) - images[k]).mean() < 15 for k in (0, 4))  # lossy
    still = await subject.draw(a_morph(subject, after=(Part(text="a fox"),)))
    assert furthest(still, still.frames[-1]) <= 1


async def test_a_picture_moves_without_an_end_and_stays_near_itself(subject: Subject) -> None:
    words = (Part(text="a fox"),)
    request = a_morph(subject, before=words, after=words, source=digest(SOURCE), strength=0.5, frames=6, steps=6)
    result = await subject.draw(request, SOURCE)
    images = [pixels(frame.png) for frame in result.frames]
    assert len(images) == len(shown(result.clip)) == 6  # round and round, not there and back
    apart = [np.abs(images[k] - images[(k + 1) % 6]).mean() for k in range(6)]
    assert min(apart) > 0 and max(apart) < 4 * min(apart)
    again, other = [await subject.draw(replace(request, seed=seed), SOURCE) for seed in (7, 8)]
    assert furthest(again, result.frames[0]) == 0 and furthest(other, result.frames[0]) > 1
    with Image.open(io.BytesIO(result.frames[0].png)) as image:
        assert image.text["parameters"].startswith("a fox\n") and f"Source: {digest(SOURCE)[:12]}" in image.text["parameters"]


async def test_the_frames_of_a_clip_are_finished_like_pictures(subject: Subject) -> None:
    raw, finished = await subject.draw(a_morph(subject)), await subject.draw(a_morph(subject, enlarge=4))
    for small, large in zip(raw.frames, finished.frames, strict=True):
        assert (large.width, large.height) == (256, 256) and np.abs(reduced(large.png) - pixels(small.png)).mean() < 8
    assert shown(finished.clip)[0].shape == (256, 256, 3)


async def test_chaos_sets_the_pictures_of_a_grid_apart_and_a_seed_is_still_a_picture(subject: Subject) -> None:
    settled, grid = await drawn(subject, seed=5, count=3), await drawn(subject, seed=5, count=3, chaos=0.7)
    assert not any(np.array_equal(one, other) for one, other in zip(settled, grid, strict=True))
    (second,) = await drawn(subject, seed=6, count=1, chaos=0.7)
    assert np.abs(second - grid[1]).max() <= 1
    (frame,) = (await subject.draw(chaos=0.7)).frames
    assert "Chaos: 0.7" in Image.open(io.BytesIO(frame.png)).text["parameters"]


async def test_a_creative_upscale_is_larger_and_differs_in_detail(subject: Subject) -> None:
    def request(**changes: Any) -> UpscaleRequest:
        return UpscaleRequest(model=subject.can.model, source=digest(SOURCE), factor=2, seed=5, width=64, height=64, steps=4, **changes)

    (plain,) = (await subject.draw(request(), SOURCE)).frames
    reports: list[Progress] = []
    (creative,) = (await subject.draw(request(creative=True, parts=(Part(text="a fox"),), strength=0.6), SOURCE, report=reports.append)).frames
    assert (creative.width, creative.height) == (128, 128)
    assert reports[-1].step == reports[-1].of and [report.step for report in reports] == sorted(report.step for report in reports)
    small = [np.asarray(Image.fromarray(pixels(each.png).astype(np.uint8)).reduce(32)).astype(int) for each in (plain, creative)]
    assert not np.array_equal(pixels(plain.png), pixels(creative.png)) and np.abs(small[0] - small[1]).mean() < 25
    again = (await subject.draw(request(creative=True, parts=(Part(text="a fox"),), strength=0.6), SOURCE)).frames[0]
    assert np.array_equal(pixels(again.png), pixels(creative.png))


# ------------------------------------------------------------------------------------------------ finished pictures


def reduced(png: bytes) -> NDArray[np.int16]:
    """A quarter of the picture's size, each pixel the mean of sixteen."""
    return np.asarray(Image.fromarray(pixels(png).astype(np.uint8)).reduce(4)).astype(np.int16)


async def test_a_finished_picture_is_the_same_picture_larger(subject: Subject) -> None:
    request = subject.request(width=64, height=64, count=2, steps=6, video=True)
    raw, finished = await subject.draw(request), await subject.draw(replace(request, enlarge=4))
    for small, large in zip(raw.frames, finished.frames, strict=True):
        assert (large.seed, large.width, large.height) == (small.seed, 256, 256)
        assert np.abs(reduced(large.png) - pixels(small.png)).mean() < 8
    with Image.open(io.BytesIO(finished.frames[1].png)) as image:
        assert "Size: 64x64" in image.text["parameters"] and "Hires upscale: 4" in image.text["parameters"]
    assert shown(finished.clip)[0].shape == shown(raw.clip)[0].shape == (64, 128, 3)


async def test_finished_pictures_come_from_the_models_own_upscaler(tmp_path: Path) -> None:
    import torch

    from engine import upscale

    folder = shutil.copytree(tiny(), tmp_path / "tiny")
    add_upscaler(folder)
    (folder / "card.toml").write_text(f"{CARD}finish = 4\n", encoding="utf-8")
    write_manifest(folder)
    engine = local_engine([folder])
    try:
        (can,) = engine.models()
        subject = Subject(engine, can)
        assert can.finish == 4
        (raw,) = (await subject.draw()).frames
        (finished,) = (await subject.draw(enlarge=can.finish)).frames
        reports: list[Progress] = []
        anew = UpscaleRequest(model=can.model, source=digest(finished.png), width=finished.width, height=finished.height, creative=True, steps=5, strength=0.4)
        (creative,) = (await subject.draw(anew, finished.png, report=reports.append)).frames
    finally:
        await engine.aclose()
    assert (finished.width, creative.width, creative.height) == (4 * raw.width, 2 * finished.width, 2 * finished.height)
    assert reports[-1].step == reports[-1].of == 2 * 3  # two steps of nine tiles, four of which step together; at the size that is shown they would be 25
    network = upscale.load(folder / "upscaler", torch.device("cpu"))
    assert network is not None
    with torch.no_grad():
        wanted = upscale.enlarge(network, network.reach, pixels(raw.png).astype(np.uint8), 4, torch.device("cpu"))
    assert np.abs(pixels(finished.png) - wanted).max() <= 1


async def test_what_a_mask_keeps_of_a_fine_source_stays_as_fine(subject: Subject) -> None:
    fine = png(np.random.default_rng(3).integers(0, 256, (256, 256, 3)))
    (image,) = await drawn(subject, fine, MASK, source=digest(fine), mask=digest(MASK), strength=0.9, enlarge=4)
    assert image.shape == (256, 256, 3)
    assert np.array_equal(image[:, :112], pixels(fine)[:, :112])
    assert np.abs(image[:, 128:] - pixels(fine)[:, 128:]).mean() > 5


async def test_around_a_fine_picture_more_is_drawn_and_the_picture_stays_as_fine(subject: Subject) -> None:
    fine = png(np.random.default_rng(3).integers(0, 256, (256, 256, 3)))
    spot = Spot(left=16, top=16, width=64, height=64)
    (image,) = await drawn(subject, fine, source=digest(fine), spot=spot, width=96, height=96, strength=0.9, enlarge=4)
    assert image.shape == (384, 384, 3)
    assert np.array_equal(image[88:296, 88:296], pixels(fine)[24:232, 24:232])


async def test_a_finished_picture_can_be_varied_and_blended(subject: Subject) -> None:
    (frame,) = (await subject.draw(width=64, height=64, enlarge=4)).frames
    changes: dict[str, Any] = {"source": digest(frame.png), "mix": (digest(OTHER),), "strength": 0.3}
    (image,) = await drawn(subject, frame.png, OTHER, enlarge=4, **changes)
    (raw,) = await drawn(subject, frame.png, OTHER, **changes)
    assert image.shape == (256, 256, 3) and np.abs(np.asarray(Image.fromarray(image.astype(np.uint8)).reduce(4)) - raw).mean() < 8


# ------------------------------------------------------------------------------------------------ refusals


ABSENT: list[tuple[dict[str, Any], str]] = [
    ({"image_prompts": (ImagePrompt(picture=digest(SOURCE)),)}, "image prompts"),
    ({"image_prompts": (ImagePrompt(picture=digest(SOURCE), style=True),)}, "--sref"),
    ({"control": Control(kind="depth", picture=digest(SOURCE))}, "--control depth"),
    ({"loras": (Lora(name="no such"),)}, "--lora"),
    ({"best_of": 4}, "--best"),
    ({"clip": 0.5}, "--clip"),
    ({"synthesis": True}, "--synthesis"),
]


@pytest.mark.parametrize(("changes", "what"), ABSENT, ids=[what for _, what in ABSENT])
async def test_what_needs_files_the_model_has_not_is_refused_by_name_before_anything_is_drawn(changes: dict[str, Any], what: str) -> None:
    engine = make("tiny")
    subject, reports = Subject(engine, engine.models()[0]), list[Progress]()
    try:
        with pytest.raises(UnsupportedOperation) as refused:
            await subject.draw(subject.request(**changes), SOURCE, report=reports.append)
        assert refused.value.what == what and not reports and engine.stats().steps == 0
    finally:
        await engine.aclose()


async def test_a_mask_or_a_place_without_a_picture_is_bad_input(subject: Subject) -> None:
    for changes in ({"mask": digest(MASK)}, {"spot": Spot(left=0, top=0, width=64, height=64)}):
        with pytest.raises(BadInput):
            await drawn(subject, MASK, **changes)
