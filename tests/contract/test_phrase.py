"""A part of a picture by its name: what every engine promises of the mask, over the fake, one with random weights and the shipped one."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest
import pytest_asyncio
from numpy.typing import NDArray
from PIL import Image

from engine.api import BadInput, EngineDied, ModelMissing, NothingFound, UnsupportedOperation
from engine.fake import FAKE_MODEL, FakeEngine
from tests.contract.engines import digest, local_engine, picture, pixels, tiny
from tests.contract.subjects import KINDS, ROWS, SHIPPED, Subject, Told, make

pytestmark = pytest.mark.asyncio(loop_scope="module")

PICTURE = picture(1, 96, 64)
FINDING = ["fake", pytest.param("pocket", marks=SHIPPED)]  #: random weights see the same everywhere


@pytest_asyncio.fixture(params=KINDS, scope="module", loop_scope="module")
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    engine = make(request.param)
    await engine.start()
    yield Subject(engine, engine.models()[0])
    await engine.aclose()


@pytest_asyncio.fixture(params=FINDING, scope="module", loop_scope="module")
async def finding(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    engine = make(request.param)
    await engine.start()
    yield Subject(engine, engine.models()[0])
    await engine.aclose()


async def fox(subject: Subject) -> bytes:
    """Drawn as the model draws best."""
    can = subject.can
    drawn = await subject.draw(subject.request(width=can.width, height=can.height, steps=can.steps, guidance=can.guidance))
    return drawn.frames[0].png


def white(mask: bytes) -> NDArray[np.bool_]:
    image = Image.open(io.BytesIO(mask))
    assert image.format == "PNG" and image.mode == "L"
    return np.asarray(image) > 127


async def test_a_mask_is_of_the_pictures_size_and_the_same_every_time(finding: Subject) -> None:
    large = io.BytesIO()
    Image.open(io.BytesIO(await fox(finding))).resize((300, 200)).save(large, "JPEG")
    mask = await finding.engine.mask(finding.can.model, large.getvalue(), "fox")
    found = white(mask)
    assert found.shape == (200, 300) and 0.005 <= found.mean() <= 0.9
    assert set(np.unique(np.asarray(Image.open(io.BytesIO(mask))))) == {0, 255}
    assert await finding.engine.mask(finding.can.model, large.getvalue(), "fox") == mask


async def test_a_mask_is_one_to_draw_with(finding: Subject) -> None:
    source = await fox(finding)
    mask = await finding.engine.mask(finding.can.model, source, "fox")
    size = {"width": finding.can.width, "height": finding.can.height}
    request = finding.request(**size, source=digest(source), mask=digest(mask), strength=0.9, seed=8)
    drawn = await finding.draw(request, source, mask)
    changed = np.abs(pixels(drawn.frames[0].png) - pixels(source)).max(axis=2) > 0
    assert changed[white(mask)].mean() > 0.5 > changed[~white(mask)].mean()


@SHIPPED
async def test_the_shipped_model_finds_the_fox_and_leaves_the_ground() -> None:
    shipped = Subject(engine := make("pocket"), engine.models()[0])
    try:
        found = white(await engine.mask(shipped.can.model, await fox(shipped), "fox"))
    finally:
        await engine.aclose()
    down, across = found.shape
    assert found[down * 2 // 5 : down * 3 // 5, across * 2 // 5 : across * 3 // 5].mean() > 0.8
    assert not any(corner.any() for corner in (found[:8, :8], found[:8, -8:], found[-8:, :8], found[-8:, -8:]))
    assert 0.1 < found.mean() < 0.7


async def test_where_every_word_makes_the_same_difference_nothing_is_found() -> None:
    engine = local_engine([tiny()])
    try:
        with pytest.raises(NothingFound, match="the hat"):
            await engine.mask("tiny", PICTURE, "the hat")
    finally:
        await engine.aclose()


async def test_no_words_name_nothing(subject: Subject) -> None:
    with pytest.raises(NothingFound):
        await subject.engine.mask(subject.can.model, PICTURE, "  ")


async def test_what_is_no_picture_is_bad_input_and_a_model_that_is_not_there_missing(subject: Subject) -> None:
    with pytest.raises(BadInput):
        await subject.engine.mask(subject.can.model, b"a text file named .png", "the hat")
    with pytest.raises(ModelMissing):
        await subject.engine.mask("no such", PICTURE, "the hat")
    assert subject.engine.free_rows() == ROWS


async def test_a_model_without_it_says_so() -> None:
    engine = FakeEngine([replace(FAKE_MODEL, operations=FAKE_MODEL.operations - {"phrase"})])
    with pytest.raises(UnsupportedOperation, match="a part by its name"):
        await engine.mask("fake", PICTURE, "the hat")


async def test_a_part_is_found_while_others_draw_and_changes_no_picture(finding: Subject) -> None:
    source, alone = await fox(finding), await finding.draw(seed=3, steps=20)
    reports = Told()
    drawing = asyncio.create_task(finding.draw(seed=3, steps=20, report=reports))
    await reports.begun()
    mask = await finding.engine.mask(finding.can.model, source, "fox")
    company = await drawing
    assert np.abs(pixels(alone.frames[0].png) - pixels(company.frames[0].png)).max() <= 1
    again = await finding.engine.mask(finding.can.model, source, "fox")
    assert (white(again) == white(mask)).mean() > 0.98  # its forwards had company, too
    assert finding.engine.free_rows() == ROWS


async def test_a_mask_nobody_waits_for_any_more_is_dropped(subject: Subject) -> None:
    asked = asyncio.create_task(subject.engine.mask(subject.can.model, PICTURE, "the hat"))
    await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert subject.engine.free_rows() == ROWS


@pytest.mark.parametrize("kind", ["fake", "tiny"])
async def test_a_closed_engine_finds_nothing(kind: str) -> None:
    engine = make(kind)
    (can,) = engine.models()
    await engine.aclose()
    with pytest.raises(EngineDied):
        await engine.mask(can.model, PICTURE, "the hat")
