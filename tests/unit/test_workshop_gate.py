"""The output gate where pictures come from the engine and where they come in: what is held back was never stored, costs nothing, and says why in one sentence.

The numbers are the test's own, by the seed that a picture was drawn from or by its colour; that the real classifier gives such numbers is another test's."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from PIL import Image

from bot.domain import Job, Place, Status
from bot.errors import Fault
from bot.gate import Gate, Policy, Sexual, policy_of
from bot.gate.output import OutputGate
from bot.workshop import Workshop
from engine.api import Progress
from tests.contract.stores import sqlite_url  # noqa: F401  (a fixture)
from tests.unit.house import ENGLISH, House, open_house

ADULT = Place(platform="discord", server="7", channel="9", age_restricted=True)
OTHER = replace(ADULT, channel="8")


class Eyes:
    """Sees the same in every picture, or breaks."""

    def __init__(self) -> None:
        self.number: float | Exception = 0.1
        self.looked = 0

    def __call__(self, picture: Image.Image) -> float:
        self.looked += 1
        if isinstance(self.number, Exception):
            raise self.number
        return self.number


@pytest.fixture
def eyes() -> Eyes:
    return Eyes()


@pytest.fixture
async def house(sqlite_url: str, tmp_path: Path, eyes: Eyes) -> AsyncIterator[House]:  # noqa: F811
    async with open_house(sqlite_url, tmp_path, queue=False) as house:
        gate = OutputGate(Gate.load(), load=lambda: eyes)
        await gate.start()
        studio = house.studio

        async def policy(job: Job) -> Policy:
            return policy_of((await studio.wishes.of(job.actor, job.place)).server, job.place, studio.policy)

        studio.output = gate
        house.workshop = Workshop(house.store, house.blobs, house.engine, house.board, worker="here", output=gate, policy=policy)
        yield house
        gate.close()


async def drawn(house: House, text: str = "a fox", **more: object) -> Job:
    card = await house.imagine(text, **more)
    job = await house.store.claim("here", timedelta(seconds=60))
    assert job is not None and job.id == card.job_id
    await house.workshop.draw(job)
    return (await house.store.shown(job.id)).job


def colour(red: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), (red, 90, 90)).save(out, "PNG")
    return out.getvalue()


async def stored(house: House) -> int:
    return len(await house.blobs.digests(timedelta(seconds=-60)))


async def test_what_is_surely_sexual_is_refused_refunded_and_never_stored(house: House, eyes: Eyes):
    before, eyes.number = await house.balance(), 0.9
    job = await drawn(house)
    assert job.status is Status.FAILED and job.error is not None
    assert ENGLISH.tell(job.error) == ENGLISH.say("error.gate_picture")
    assert await house.balance() == before
    assert await stored(house) == 0


async def test_what_only_might_be_is_shown_behind_a_click(house: House, eyes: Eyes):
    eyes.number = 0.5
    job = await drawn(house)
    shown = await house.store.shown(job.id)
    assert job.status is Status.DONE and shown.job.hidden and shown.artifacts
    assert (await house.studio.card(job.actor, job.id)).spoiler
    eyes.number = 0.1
    clear = await drawn(house, "an owl")
    assert not (await house.studio.card(clear.actor, clear.id)).spoiler


@pytest.mark.parametrize("trouble", [RuntimeError("broken"), float("nan")])
async def test_what_could_not_be_looked_at_is_held_back(house: House, eyes: Eyes, trouble: Exception | float):
    before, eyes.number = await house.balance(), trouble
    job = await drawn(house)
    assert job.status is Status.FAILED and job.error is not None
    assert ENGLISH.tell(job.error) == ENGLISH.say("error.gate_unseen")
    assert (await house.balance(), await stored(house)) == (before, 0)


async def test_while_the_database_is_away_it_is_asked_again_what_may_be_shown(house: House, eyes: Eyes):
    asked = 0

    async def away(job: Job) -> Policy:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise Fault("fault.database", detail="gone")
        return Policy()

    workshop = Workshop(house.store, house.blobs, house.engine, house.board, worker="here", output=house.studio.output, policy=away, jitter=lambda: 0.0)
    card = await house.imagine("a fox")
    job = await house.store.claim("here", timedelta(seconds=60))
    assert job is not None and job.id == card.job_id
    await workshop.draw(job)
    assert (await house.store.shown(job.id)).job.status is Status.DONE
    assert asked == 3


async def test_in_a_channel_for_it_all_is_shown_but_beside_words_for_the_young(house: House, eyes: Eyes):
    await house.studio.wishes.change(ADULT.owner, {"adult": ["9"]})
    eyes.number = 0.95
    job = await drawn(house, place=ADULT)
    assert job.status is Status.DONE and not (await house.studio.card(job.actor, job.id)).spoiler
    for place, words, message in ((OTHER, "a fox", "error.gate_picture"), (ADULT, "a child on a beach", "error.gate_picture_minors")):
        refused = await drawn(house, words, place=place)
        assert refused.error is not None and refused.error.message == message


async def test_a_channel_that_was_not_for_it_when_it_was_asked_for_is_not_for_it_when_it_is_drawn(house: House, eyes: Eyes):
    await house.studio.wishes.change(ADULT.owner, {"adult": ["9"]})
    eyes.number = 0.95
    refused = await drawn(house, place=replace(ADULT, age_restricted=False))  # the store forgets what the platform said
    assert refused.error is not None and refused.error.message == "error.gate_picture"
    card = await house.imagine("an owl", place=ADULT)
    await house.studio.wishes.change(ADULT.owner, {"adult": None})
    job = await house.store.claim("here", timedelta(seconds=60))
    assert job is not None and job.id == card.job_id and job.sexual == Sexual.ALLOW
    await house.workshop.draw(job)
    assert (await house.store.shown(job.id)).job.status is Status.FAILED


async def test_in_a_channel_that_hides_it_is_drawn_and_shown_behind_a_click_whatever_the_channels_mark(house: House, eyes: Eyes):
    await house.studio.wishes.change(ADULT.owner, {"spoiler": ["9"]})
    place = replace(ADULT, age_restricted=False)
    eyes.number = 0.95
    job = await drawn(house, place=place)
    assert job.status is Status.DONE and job.sexual == Sexual.HIDE and (await house.studio.card(job.actor, job.id)).spoiler
    eyes.number = 0.1
    by_its_words, harmless = await drawn(house, "a naked woman --n 1", place=place), await drawn(house, "an owl", place=place)
    assert (by_its_words.hidden, harmless.hidden) == (True, False)
    eyes.number = 0.95
    beside = await drawn(house, "a child on a beach", place=place)
    assert beside.error is not None and beside.error.message == "error.gate_picture_minors"


CHOICES: dict[Sexual, dict[str, list[str]]] = {Sexual.REFUSE: {}, Sexual.HIDE: {"spoiler": ["9"]}, Sexual.ALLOW: {"adult": ["9"]}}


@pytest.mark.parametrize(("asked", "now"), [(asked, now) for asked in Sexual for now in Sexual if asked is not now])
async def test_of_what_held_when_it_was_asked_for_and_when_it_is_drawn_the_stricter_holds(house: House, eyes: Eyes, asked: Sexual, now: Sexual):
    async def choose(choice: Sexual) -> None:
        await house.studio.wishes.change(ADULT.owner, {"adult": None, "spoiler": None, **CHOICES[choice]})

    eyes.number = 0.95
    await choose(asked)
    card = await house.imagine("an owl", place=ADULT)
    await choose(now)
    job = await house.store.claim("here", timedelta(seconds=60))
    assert job is not None and job.id == card.job_id and job.sexual == asked
    await house.workshop.draw(job)
    ended = (await house.store.shown(job.id)).job
    if Sexual.REFUSE in (asked, now):
        assert ended.status is Status.FAILED and ended.error is not None and ended.error.message == "error.gate_picture"
    else:
        assert ended.status is Status.DONE and ended.hidden


@pytest.mark.parametrize(("now", "status"), [(Sexual.HIDE, Status.DONE), (Sexual.REFUSE, Status.FAILED)])
async def test_words_that_were_allowed_are_read_again_where_less_is_allowed_by_now(house: House, eyes: Eyes, now: Sexual, status: Status):
    await house.studio.wishes.change(ADULT.owner, {"adult": ["9"]})
    before = await house.balance()
    await house.imagine("a naked woman --n 1", place=ADULT)
    await house.studio.wishes.change(ADULT.owner, {"adult": None, **CHOICES[now]})
    eyes.number = 0.1  # the pictures tell nothing
    seen: list[Progress] = []
    update: Callable[..., None] = house.board.update
    house.board.update = lambda job_id, key, progress: (seen.append(progress), update(job_id, key, progress))[1]  # type: ignore[method-assign]
    job = await house.store.claim("here", timedelta(seconds=60))
    assert job is not None and not job.hidden
    await house.workshop.draw(job)
    ended = (await house.store.shown(job.id)).job
    assert (ended.status, ended.hidden) == (status, status is Status.DONE)
    assert all(each.preview is None for each in seen)
    if status is Status.FAILED:
        assert await house.balance() == before and await stored(house) == 0


async def test_an_upload_that_is_sexual_is_not_used_nor_stored(house: House, eyes: Eyes):
    before, eyes.number = await house.balance(), 0.9
    card = await house.imagine("a fox", uploads=(colour(200),))
    assert card.refusal and card.text == ENGLISH.say("refused.gate_upload")
    assert (await stored(house), await house.balance()) == (0, before)
    eyes.number = RuntimeError("broken")
    card = await house.imagine("a fox", uploads=(colour(201),))
    assert card.text == ENGLISH.say("refused.gate_upload_unseen")
    assert await stored(house) == 0


async def test_what_comes_of_an_upload_needs_the_setting_for_edits(house: House, eyes: Eyes):
    house.studio.policy = Policy(sexual=Sexual.ALLOW)
    eyes.number = 0.1
    command = await house.imagine("a fox", uploads=(colour(200),))
    job = await house.store.claim("here", timedelta(seconds=60))
    assert job is not None and job.id == command.job_id
    eyes.number = 0.9
    await house.workshop.draw(job)
    ended = (await house.store.shown(job.id)).job
    assert ended.error is not None and ended.error.message == "error.gate_picture_edits"
    assert (await drawn(house, "an owl")).status is Status.DONE  # without a photograph it is shown


async def test_no_preview_of_it_is_seen_while_it_forms(house: House, eyes: Eyes):
    eyes.number = 0.9
    seen: list[Progress] = []
    update: Callable[..., None] = house.board.update
    house.board.update = lambda job_id, key, progress: (seen.append(progress), update(job_id, key, progress))[1]  # type: ignore[method-assign]
    await drawn(house)
    assert seen and all(each.preview is None for each in seen)
