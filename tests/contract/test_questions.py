"""What every engine says of pictures and words, over the fake and the real one with random weights that see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest
import pytest_asyncio

from engine.api import MOST_LOOKED_AT, BadInput, EngineDied, ModelMissing, UnsupportedOperation
from engine.fake import FAKE_MODEL, FakeEngine
from tests.contract.engines import local_engine, picture, pixels, tiny
from tests.contract.seeing import seeing
from tests.contract.subjects import ROWS, Subject, Told, make

pytestmark = pytest.mark.asyncio(loop_scope="module")

PICTURES = [picture(1, 64, 64), picture(2, 300, 50), picture(3, 40, 90)]
TEXT = "a small fox, in the snow"


@pytest_asyncio.fixture(params=["fake", "seeing"], scope="module", loop_scope="module")
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    engine = make("fake") if request.param == "fake" else local_engine([seeing()], max_rows=ROWS)
    await engine.start()
    yield Subject(engine, engine.models()[0])
    await engine.aclose()


# ------------------------------------------------------------------------------------------------ pictures


async def test_each_picture_is_described_in_the_models_own_words(subject: Subject) -> None:
    found = await subject.engine.look(subject.can.model, PICTURES)
    assert len(found) == len(PICTURES)
    words = subject.can.words
    for seen in found:
        assert 1 <= len(seen.prompts) <= 4 and len(set(seen.prompts)) == len(seen.prompts)
        assert len(seen.fits) == len(seen.prompts) and list(seen.fits) == sorted(seen.fits, reverse=True)
        assert seen.things and set(seen.things) <= set(words["things"]) and all(thing in seen.prompts[0] for thing in seen.things)
        assert len(seen.scores) == len(seen.things) and all(0 < score <= 1 for score in seen.scores)
        assert seen.ground in (*words["places"], *words["colours"]) and seen.style in words["styles"]


async def test_a_picture_looks_the_same_every_time_and_in_any_company(subject: Subject) -> None:
    together = await subject.engine.look(subject.can.model, PICTURES)
    (alone,) = await subject.engine.look(subject.can.model, PICTURES[1:2])
    assert alone.prompts == together[1].prompts and alone.fits == pytest.approx(together[1].fits, abs=1e-5)
    assert await subject.engine.look(subject.can.model, []) == ()


async def test_a_picture_fits_what_is_seen_in_it_as_well_as_it_was_said_to(subject: Subject) -> None:
    (seen,) = await subject.engine.look(subject.can.model, PICTURES[:1])
    (fit,) = await subject.engine.find(subject.can.model, seen.prompts[0], PICTURES[:1])
    (other,) = await subject.engine.find(subject.can.model, "nothing of the kind", PICTURES[:1])
    assert fit == pytest.approx(seen.fits[0], abs=1e-5) and other != fit
    assert len(await subject.engine.find(subject.can.model, "a fox", PICTURES)) == len(PICTURES)


async def test_what_is_no_picture_and_too_many_pictures_are_bad_input(subject: Subject) -> None:
    for pictures in ([PICTURES[0], b"a text file named .png"], PICTURES[:1] * (MOST_LOOKED_AT + 1)):
        with pytest.raises(BadInput):
            await subject.engine.look(subject.can.model, pictures)
        with pytest.raises(BadInput):
            await subject.engine.find(subject.can.model, "a fox", pictures)
    assert subject.engine.free_rows() == ROWS


# ------------------------------------------------------------------------------------------------ words


async def test_every_word_has_a_weight_in_its_place(subject: Subject) -> None:
    found = await subject.engine.weigh(subject.can.model, TEXT)
    assert [TEXT[each.start : each.end] for each in found] == ["a", "small", "fox", "in", "the", "snow"]
    weights = [each.weight for each in found]
    assert max(weights) == 1 and min(weights) >= 0 and len(set(weights)) > 1
    assert await subject.engine.weigh(subject.can.model, TEXT) == found


async def test_a_word_alone_carries_all_and_no_words_carry_nothing(subject: Subject) -> None:
    assert [each.weight for each in await subject.engine.weigh(subject.can.model, "fox")] == [1.0]
    assert await subject.engine.weigh(subject.can.model, " …, ") == ()


# ------------------------------------------------------------------------------------------------ refusals


async def test_a_model_that_is_not_there_is_missing(subject: Subject) -> None:
    for asked in (subject.engine.look("no such", []), subject.engine.find("no such", "a fox", []), subject.engine.weigh("no such", "a fox")):
        with pytest.raises(ModelMissing):
            await asked


async def test_a_model_that_cannot_see_says_so_and_yet_weighs_words() -> None:
    blind = replace(FAKE_MODEL, operations=FAKE_MODEL.operations - {"describe"})
    for engine in (FakeEngine([blind]), local_engine([tiny()])):
        (can,) = engine.models()
        try:
            with pytest.raises(UnsupportedOperation, match="/describe"):
                await engine.look(can.model, PICTURES[:1])
            assert await engine.weigh(can.model, TEXT)
        finally:
            await engine.aclose()


async def test_more_words_than_are_read_together_are_refused(subject: Subject) -> None:
    with pytest.raises(UnsupportedOperation, match="/shorten"):
        await subject.engine.weigh(subject.can.model, "fox " * 200)


# ------------------------------------------------------------------------------------------------ company


async def test_questions_are_answered_while_others_draw_and_change_no_picture(subject: Subject) -> None:
    alone = await subject.draw(seed=3, steps=20)
    reports = Told()
    drawing = asyncio.create_task(subject.draw(seed=3, steps=20, report=reports))
    await reports.begun()
    assert subject.engine.free_rows() == ROWS - 1
    seen, weights = await asyncio.gather(subject.engine.look(subject.can.model, PICTURES), subject.engine.weigh(subject.can.model, TEXT))
    assert len(seen) == 3 and len(weights) == 6
    company = await drawing
    assert np.abs(pixels(alone.frames[0].png) - pixels(company.frames[0].png)).max() <= 1
    assert subject.engine.free_rows() == ROWS


async def test_a_question_nobody_waits_for_any_more_is_dropped(subject: Subject) -> None:
    asked = asyncio.create_task(subject.engine.look(subject.can.model, PICTURES))
    await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert len(await subject.engine.look(subject.can.model, PICTURES[:1])) == 1


@pytest.mark.parametrize("kind", ["fake", "tiny"])
async def test_a_closed_engine_answers_nothing(kind: str) -> None:
    engine = make(kind)
    (can,) = engine.models()
    await engine.aclose()
    with pytest.raises(EngineDied):
        await engine.weigh(can.model, TEXT)
