"""Where a job meets the engine: whatever it raises becomes one sentence and a refund, or goes on to the queue."""

from __future__ import annotations

import asyncio
import errno
import io
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from PIL import Image

from bot.domain import CLIP, GRID, Job, Shown, Status, Verb
from engine.api import (
    BadInput,
    BadNumbers,
    EngineDied,
    ImagineRequest,
    ModelCorrupt,
    ModelMissing,
    OutOfMemory,
    Request,
    UnsupportedOperation,
)
from engine.fake import FakeEngine
from tests.contract.stores import sqlite_url  # noqa: F401  (a fixture)
from tests.unit.house import ADA, BOB, ENGLISH, LIMITS, FilmingEngine, House, open_house


class Fuse:
    """What the engine's next step raises."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.reached = asyncio.Event()
        self.hold: asyncio.Event | None = None

    async def __call__(self, request: Request, step: int) -> None:
        self.reached.set()
        if self.hold:
            await self.hold.wait()
        if self.error:
            raise self.error


@pytest.fixture
def fuse() -> Fuse:
    return Fuse()


@pytest.fixture
async def house(sqlite_url: str, tmp_path: Path, fuse: Fuse) -> AsyncIterator[House]:  # noqa: F811
    """Without a queue: tests claim and draw by hand."""
    async with open_house(sqlite_url, tmp_path, FakeEngine(on_step=fuse), queue=False) as house:
        yield house


async def claimed(house: House, text: str = "a fox") -> Job:
    card = await house.imagine(text)
    job = await house.store.claim("here", timedelta(seconds=60))
    assert job is not None
    assert job.id == card.job_id
    return job


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UnsupportedOperation("--no", "fake"), ENGLISH.say("error.cannot", model="fake", what="--no")),
        (BadInput("what is this"), ENGLISH.say("error.picture_unreadable")),
        (OutOfMemory("no room"), ENGLISH.say("error.out_of_memory")),
        (BadNumbers("nan"), ENGLISH.say("error.bad_numbers")),
        (ModelMissing("gone"), ENGLISH.say("error.model_missing", model="fake")),
        (ModelCorrupt("torn"), ENGLISH.say("error.model_corrupt", model="fake")),
        (OSError(errno.ENOSPC, "No space left on device"), ENGLISH.say("error.disk_full")),
        (OSError(errno.EIO, "Input/output error"), ENGLISH.say("error.storage")),
        (ZeroDivisionError("a mistake of ours"), ENGLISH.say("error.fault")),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else "",
)
async def test_what_goes_wrong_is_one_sentence_and_a_refund(house: House, fuse: Fuse, error: Exception, message: str):
    job = await claimed(house)
    fuse.error = error
    await house.workshop.draw(job)
    card = await house.studio.card(job.actor, job.id)
    assert (card.status, card.text) == (Status.FAILED, message)
    assert await house.balance() == LIMITS.cap


async def test_an_engine_that_died_is_the_queues_to_answer(house: House, fuse: Fuse):
    job = await claimed(house)
    fuse.error = EngineDied("the thread is gone")
    with pytest.raises(EngineDied):
        await house.workshop.draw(job)
    assert (await house.store.shown(job.id)).job.status is Status.RUNNING
    assert house.board.live(job.id) is None


async def test_a_cancelled_drawing_leaves_the_job_as_it_was(house: House, fuse: Fuse):
    job = await claimed(house)
    fuse.hold = asyncio.Event()
    drawing = asyncio.create_task(house.workshop.draw(job))
    await fuse.reached.wait()
    drawing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await drawing
    assert (await house.store.shown(job.id)).job.status is Status.RUNNING
    assert house.engine.running == 0


async def test_the_last_write_is_not_interrupted(house: House, monkeypatch: pytest.MonkeyPatch):
    job = await claimed(house)
    writing, go_on = asyncio.Event(), asyncio.Event()
    finish = house.store.finish

    async def slow(*args: object, **more: object) -> bool:
        writing.set()
        await go_on.wait()
        return await finish(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(house.store, "finish", slow)
    drawing = asyncio.create_task(house.workshop.draw(job))
    await writing.wait()
    for _ in range(2):
        drawing.cancel()
        await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await drawing
    assert (await house.store.shown(job.id)).job.status is Status.DONE


async def test_a_full_disk_fails_the_job_and_gives_back_its_cost(house: House, monkeypatch: pytest.MonkeyPatch):
    job = await claimed(house)

    async def full(data: bytes) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(house.blobs, "put", full)
    await house.workshop.draw(job)
    assert (await house.studio.card(job.actor, job.id)).text == ENGLISH.say("error.disk_full")
    assert await house.balance() == LIMITS.cap


async def test_a_source_that_is_gone_is_told(house: House):
    grid = await claimed(house, "a fox --n 1")
    await house.workshop.draw(grid)
    card = await house.studio.card(grid.actor, grid.id)
    shown = await house.shown(card)
    child = await house.push(card, Verb.VARY)
    await house.blobs.delete([shown.artifacts[0].digest])
    job = await house.store.claim("here", timedelta(seconds=60))
    assert job is not None
    assert isinstance(job.request, ImagineRequest)
    await house.workshop.draw(job)
    assert (await house.studio.card(job.actor, child.job_id)).text.splitlines()[0] == ENGLISH.say("error.source_gone")


async def test_a_job_that_is_no_longer_ours_stays_as_it_is(house: House):
    job = await claimed(house)
    await house.store.cancel(job.id)
    await house.workshop.draw(job)
    assert (await house.store.shown(job.id)).job.status is Status.CANCELLED


async def test_progress_is_on_the_board_while_it_draws(house: House, fuse: Fuse):
    job = await claimed(house)
    news = house.board.subscribe(job.actor.key)
    steps = []

    async def listen() -> None:
        async for job_id in news:
            live = house.board.live(job_id)
            steps.append(live[0] if live else None)

    listening = asyncio.create_task(listen())
    await house.workshop.draw(job)
    news.close()
    await listening
    assert steps[-1] is None  # forgotten when it ended, and the reader heard of the end
    numbers = [step for step in steps if step is not None]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 8


async def filmed(house: House, text: str) -> Shown:
    job = await claimed(house, text)
    await house.workshop.draw(job)
    return await house.store.shown(job.id)


async def test_a_clip_is_kept_and_shown_after_a_restart(sqlite_url: str, tmp_path: Path):  # noqa: F811
    async with open_house(sqlite_url, tmp_path, FilmingEngine(), queue=False) as house:
        shown = await filmed(house, "a fox --n 2 --seed 5")
        assert [each.index for each in shown.artifacts] == [CLIP, GRID, 0, 1]
    async with open_house(sqlite_url, tmp_path, FakeEngine(), queue=False) as house:
        card = await house.studio.card(ADA, shown.job.id)
        assert card.clip is not None and card.clip.moves and len(card.pictures) == 1
        clip = await house.studio.picture(BOB, card.clip.digest)
    with Image.open(io.BytesIO(clip)) as opened:
        assert opened.format == "WEBP" and getattr(opened, "n_frames", 1) > 2
        assert (card.clip.width, card.clip.height) == opened.size


async def test_a_drawing_without_a_clip_has_none(house: House):
    shown = await filmed(house, "a fox --n 1")
    assert [each.index for each in shown.artifacts] == [0]
    assert (await house.studio.card(ADA, shown.job.id)).clip is None


async def test_a_clips_file_goes_with_its_job_and_not_before(sqlite_url: str, tmp_path: Path):  # noqa: F811
    async with open_house(sqlite_url, tmp_path, FilmingEngine(), queue=False) as house:
        shown = await filmed(house, "a fox --n 1")
        stored = await house.blobs.digests(timedelta(0))
        assert stored == {each.digest for each in shown.artifacts} == await house.store.referenced(stored)
        await house.push(await house.studio.card(ADA, shown.job.id), Verb.DELETE)
        assert await house.store.referenced(stored) == frozenset()


async def test_a_disk_that_fills_up_at_the_clip_fails_the_job_and_gives_back_its_cost(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    async with open_house(sqlite_url, tmp_path, FilmingEngine(), queue=False) as house:
        put = house.blobs.put

        async def full(data: bytes) -> str:
            if data[8:12] == b"WEBP":
                raise OSError(errno.ENOSPC, "No space left on device")
            return await put(data)

        monkeypatch.setattr(house.blobs, "put", full)
        shown = await filmed(house, "a fox --n 1")
        assert (shown.job.status, shown.artifacts) == (Status.FAILED, ())
        assert (await house.studio.card(ADA, shown.job.id)).text == ENGLISH.say("error.disk_full")
        assert await house.balance() == LIMITS.cap
