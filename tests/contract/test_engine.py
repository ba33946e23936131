"""What every engine promises, over each implementation: the fake, and the real one with a random-weight model and with the shipped one."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from PIL import Image

from engine.api import BadInput, EngineDied, ModelMissing, Part, Progress, Result, UnsupportedOperation, UpscaleRequest
from engine.fake import FakeEngine
from tests.contract.engines import digest, ignore, imagine, local_engine, picture, pixels, tiny
from tests.contract.subjects import KINDS, ROWS, Subject, Told, furthest, make

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(params=KINDS, scope="module", loop_scope="module")
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    engine = make(request.param)
    await engine.start()
    yield Subject(engine, engine.models()[0])
    await engine.aclose()


# ------------------------------------------------------------------------------------------------ pictures


async def test_a_seed_is_a_picture(subject: Subject) -> None:
    first, again, other = [await subject.draw(seed=seed) for seed in (7, 7, 8)]
    assert np.array_equal(pixels(first.frames[0].png), pixels(again.frames[0].png))
    assert not np.array_equal(pixels(first.frames[0].png), pixels(other.frames[0].png))


async def test_every_picture_of_a_grid_is_the_one_its_own_seed_gives(subject: Subject) -> None:
    grid = await subject.draw(seed=2**32 - 1, count=3)
    assert [frame.seed for frame in grid.frames] == [2**32 - 1, 0, 1]
    for frame in grid.frames:
        alone = await subject.draw(seed=frame.seed, count=1)
        assert furthest(alone, frame) <= 1


async def test_three_others_in_the_batch_change_no_pixel_by_more_than_one(subject: Subject) -> None:
    alone = await subject.draw(seed=7, steps=6)
    others = [subject.request(parts=(Part(text=f"number {k}"),), seed=k, steps=3 + k, guidance=1.0 + k, count=k) for k in (1, 2, 3)]
    company, *_ = await asyncio.gather(subject.draw(seed=7, steps=6), *(subject.draw(other) for other in others))
    assert furthest(alone, company.frames[0]) <= 1


async def test_reproducible_three_others_in_the_batch_change_not_a_bit() -> None:
    engine = local_engine([tiny()], max_rows=ROWS, reproducible=True)
    try:
        wanted = imagine(seed=7, steps=6)
        alone = await engine.run(wanted, {}, ignore)
        others = [imagine(f"number {k}", seed=k, steps=3 + k, guidance=1.0 + k, count=k) for k in (1, 2, 3)]
        company, *_ = await asyncio.gather(*(engine.run(each, {}, ignore) for each in (wanted, *others)))
        assert alone.frames[0].png == company.frames[0].png
    finally:
        await engine.aclose()


@pytest.mark.parametrize("landscape", [True, False])
async def test_pictures_have_the_size_asked_for(subject: Subject, landscape: bool) -> None:
    long, short = subject.edge + 2 * subject.can.multiple, subject.edge
    width, height = (long, short) if landscape else (short, long)
    (frame,) = (await subject.draw(width=width, height=height)).frames
    assert (frame.width, frame.height) == (width, height) == Image.open(io.BytesIO(frame.png)).size


async def test_the_file_tells_its_words_and_seed(subject: Subject) -> None:
    (frame,) = (await subject.draw(parts=(Part(text="a fox, 3d render"),), seed=11)).frames
    text = Image.open(io.BytesIO(frame.png)).text["parameters"]
    assert text.startswith("a fox, 3d render") and "Seed: 11" in text and f"Model: {subject.can.model}" in text


async def test_words_numbers_and_sampler_all_matter(subject: Subject) -> None:
    variants: list[dict[str, Any]] = [
        {},
        {"parts": (Part(text="an apple"),)},
        {"unwanted": ("rain",)},
        {"guidance": 1.0},
        {"guidance": 6.0},
        {"steps": 5},
        {"scheduler": "EulerDiscreteScheduler"},
        {"parts": (Part(text="a fox"), Part(text="an apple", weight=0.5))},
    ]
    drawn = [pixels((await subject.draw(**variant)).frames[0].png) for variant in variants]
    for i, one in enumerate(drawn):
        assert not any(np.array_equal(one, other) for other in drawn[i + 1 :]), variants[i]


async def test_the_device_time_is_told(subject: Subject) -> None:
    assert (await subject.draw()).device_seconds > 0
    assert subject.engine.pace(subject.can.model) > 0


# ------------------------------------------------------------------------------------------------ from pictures


async def test_a_source_is_varied_by_strength(subject: Subject) -> None:
    source = picture(1, subject.edge, subject.edge)
    requests = [subject.request(source=digest(source), strength=strength, steps=8) for strength in (0.3, 0.9)]
    little, much = [pixels((await subject.draw(request, source)).frames[0].png) for request in requests]
    again = pixels((await subject.draw(requests[0], source)).frames[0].png)
    assert np.array_equal(little, again) and not np.array_equal(little, much)
    assert little.shape == (subject.edge, subject.edge, 3)


@pytest.mark.parametrize("strength", [0.0, 0.01, 1.0])
async def test_no_strength_is_too_small_or_too_large(subject: Subject, strength: float) -> None:
    source = picture(2, 300, 50)  # of another size and shape
    (frame,) = (await subject.draw(subject.request(source=digest(source), strength=strength), source)).frames
    assert (frame.width, frame.height) == (subject.edge, subject.edge)


async def test_a_source_that_is_no_picture_or_was_not_given_is_bad_input(subject: Subject) -> None:
    text = b"a text file named .png"
    with pytest.raises(BadInput):
        await subject.draw(subject.request(source=digest(text)), text)
    with pytest.raises(BadInput):
        await subject.draw(subject.request(source=digest(text)))
    assert subject.engine.free_rows() == ROWS


@pytest.mark.parametrize("factor", [2, 4])
async def test_an_enlarged_picture_is_the_same_picture_larger(subject: Subject, factor: int) -> None:
    source = picture(3, 72, 40)
    request = UpscaleRequest(model=subject.can.model, source=digest(source), factor=factor, seed=5, width=72, height=40)
    reports: list[Progress] = []
    (frame,) = (await subject.draw(request, source, report=reports.append)).frames
    assert (frame.width, frame.height, frame.seed) == (72 * factor, 40 * factor, 5)
    small = np.asarray(Image.fromarray(pixels(frame.png).astype(np.uint8)).resize((72, 40), Image.Resampling.BOX)).astype(int)
    assert np.abs(small - pixels(source)).mean() < 6


# ------------------------------------------------------------------------------------------------ refusals


async def test_a_model_that_is_not_there_is_missing(subject: Subject) -> None:
    with pytest.raises(ModelMissing):
        subject.engine.capabilities("no such model")
    with pytest.raises(ModelMissing):
        await subject.draw(model="no such model")
    with pytest.raises(ModelMissing):
        subject.engine.pace("no such model")


@pytest.mark.parametrize("changes", [{"width": 9}, {"scheduler": "os.system"}, {"guidance": 1.0, "unwanted": ("rain",)}, {"count": 0}, {"parts": ()}])
async def test_what_cannot_be_done_is_refused_before_it_takes_a_row(subject: Subject, changes: dict[str, Any]) -> None:
    reports: list[Progress] = []
    with pytest.raises(UnsupportedOperation):
        await subject.draw(report=reports.append, **changes)
    assert not reports and subject.engine.free_rows() == ROWS


# ------------------------------------------------------------------------------------------------ reports


async def test_progress_only_grows_and_ends_when_everything_is_drawn(subject: Subject) -> None:
    reports: list[Progress] = []
    await subject.draw(steps=9, count=2, report=reports.append)
    at = [report.step for report in reports]
    assert at == sorted(at) and at[0] >= 1
    assert {report.of for report in reports} == {9} and at[-1] == 9
    seen = len(reports)
    await asyncio.sleep(0.05)
    assert len(reports) == seen  # nothing comes after the end


async def test_a_preview_is_a_small_webp_of_the_forming_grid(subject: Subject) -> None:
    reports: list[Progress] = []
    await subject.draw(steps=12, count=2, report=reports.append)
    previews = [report.preview for report in reports if report.preview]
    assert previews
    image = Image.open(io.BytesIO(previews[0]))
    assert image.format == "WEBP" and max(image.size) <= 512
    assert abs(image.width / image.height - 2) < 0.1


async def test_a_report_that_raises_harms_nobody(subject: Subject) -> None:
    def broken(progress: Progress) -> None:
        raise RuntimeError("the reader has gone")

    if isinstance(subject.engine, FakeEngine):
        pytest.skip("a fake lets a test see its own mistakes")
    assert (await subject.draw(report=broken)).frames


# ------------------------------------------------------------------------------------------------ rows and cancelling


async def test_rows_in_flight_are_not_free(subject: Subject) -> None:
    assert subject.engine.free_rows() == ROWS
    reports = Told()
    task = asyncio.create_task(subject.draw(count=3, steps=20, report=reports))
    await reports.begun()
    assert subject.engine.free_rows() == ROWS - 3 == ROWS - subject.engine.stats().rows_in_flight
    await task
    assert subject.engine.free_rows() == ROWS and subject.engine.stats().rows_in_flight == 0
    assert subject.engine.stats().steps >= 20


async def test_a_cancelled_request_leaves_at_once_and_its_company_never_knows(subject: Subject) -> None:
    alone = await subject.draw(seed=3, steps=10)
    reports = Told()
    task = asyncio.create_task(subject.draw(count=2, steps=50, report=reports))
    other = asyncio.create_task(subject.draw(seed=3, steps=10))
    await reports.begun()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    seen = len(reports)
    company = await other
    assert len(reports) == seen and reports[-1].step < 50
    assert subject.engine.free_rows() == ROWS
    assert furthest(alone, company.frames[0]) <= 1


async def test_cancelling_before_it_has_begun_and_twice_is_fine(subject: Subject) -> None:
    for wait in (0, 1):
        task = asyncio.create_task(subject.draw(steps=50))
        for _ in range(wait):
            await asyncio.sleep(0)
        task.cancel()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert subject.engine.free_rows() == ROWS


async def test_more_than_fits_is_drawn_all_the_same(subject: Subject) -> None:
    results = await asyncio.gather(*(subject.draw(seed=k, count=4, steps=2) for k in range(6)))
    assert [len(result.frames) for result in results] == [4] * 6


# ------------------------------------------------------------------------------------------------ the end


@pytest.mark.parametrize("kind", ["fake", "tiny"])
@pytest.mark.parametrize("begun", [True, False])
async def test_closing_ends_what_runs_and_may_be_repeated(kind: str, begun: bool) -> None:
    engine = make(kind)
    await engine.start()
    reports = Told()
    request = Subject(engine, engine.models()[0]).request(steps=50, count=2)
    task: Awaitable[Result] = asyncio.create_task(engine.run(request, {}, reports))
    await (reports.begun() if begun else asyncio.sleep(0))
    await engine.aclose()
    with pytest.raises(EngineDied):
        await task
    await engine.aclose()
    with pytest.raises(EngineDied):
        await engine.run(request, {}, ignore)
