"""What the model's image-text model sees is kept with each picture, and costs no job its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.board import Board
from bot.domain import GRID, Shown, Status
from bot.memory import is_short_by
from bot.store.blobs import DiskBlobs
from bot.store.sql import SqlStore
from bot.workshop import LOOKED_AT, Workshop
from engine.api import BadInput, EngineDied, EngineStats, Seen
from engine.fake import FAKE_MODEL, FakeEngine
from tests.contract.jobs import job, submit
from tests.contract.stores import sqlite_url  # noqa: F401  (a fixture)

FOX = Seen(prompts=("a fox in the snow", "a fox"), fits=(0.3, 0.2), things=("fox",), ground="in the snow")
AGES, AN_INSTANT = 600.0, 0.05  #: seconds a workshop gives a look


class Onlooker(FakeEngine):
    """Sees what it is told to see, in numbered pictures, as soon as its gate is open."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.asked: list[int] = []  # how many pictures, each time
        self.gate = asyncio.Event()
        self.gate.set()
        self.stubborn = False  # holds on when it is cancelled, as a device does that is in the middle of something
        self.begun, self.left = asyncio.Event(), asyncio.Event()
        self.error: Exception | None = None

    async def look(self, model: str, pictures: Sequence[bytes]) -> tuple[Seen, ...]:
        self.asked.append(len(pictures))
        self.begun.set()
        try:
            if self.error is not None:
                raise self.error
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                if self.stubborn:
                    await self.gate.wait()
                raise
        finally:
            self.left.set()
        return tuple(replace(FOX, prompts=(f"a fox, {number}",)) for number in range(len(pictures)))


@dataclass
class Shop:
    store: SqlStore
    blobs: DiskBlobs

    async def draw(self, engine: FakeEngine, *, look: float = AGES, **request: Any) -> Shown:
        workshop = Workshop(self.store, self.blobs, engine, Board(), worker="w", look=look)
        (asked,) = (await submit(self.store, job(**{"model": "fake", "width": 64, "height": 64, "steps": 2, "guidance": 5.0, **request}))).jobs
        taken = await self.store.claim("w", timedelta(minutes=5))
        assert taken is not None and taken.id == asked.id
        async with asyncio.timeout(60):
            await workshop.draw(taken)
        shown = await self.store.shown(asked.id)
        assert shown.job.status is Status.DONE, shown.job.error
        return shown


@pytest.fixture
async def shop(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Shop]:  # noqa: F811
    store, blobs = SqlStore(sqlite_url), DiskBlobs(tmp_path / "blobs")
    await store.start()
    yield Shop(store, blobs)
    await store.aclose()
    blobs.close()


def seen(shown: Shown) -> dict[int, str]:
    return {artifact.index: artifact.seen for artifact in shown.artifacts}


async def test_what_is_seen_in_each_picture_is_kept_with_it_and_the_sheet_has_none(shop: Shop) -> None:
    engine = Onlooker()
    assert seen(await shop.draw(engine, count=3)) == {GRID: "", 0: "a fox, 0", 1: "a fox, 1", 2: "a fox, 2"}
    assert engine.asked == [3]


async def test_the_fakes_own_sight_is_kept(shop: Shop) -> None:
    assert all(text for index, text in seen(await shop.draw(FakeEngine(), count=2)).items() if index >= 0)


async def test_a_model_that_sees_nothing_is_not_asked(shop: Shop) -> None:
    engine = Onlooker(models=(replace(FAKE_MODEL, operations=FAKE_MODEL.operations - {"describe"}),))
    assert seen(await shop.draw(engine, count=1)) == {0: ""}
    assert engine.asked == []


async def test_at_most_so_many_pictures_are_looked_at(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.workshop.LOOKED_AT", 2)
    engine = Onlooker()
    assert seen(await shop.draw(engine, count=3)) == {GRID: "", 0: "a fox, 0", 1: "a fox, 1", 2: ""}
    assert engine.asked == [2] and LOOKED_AT == 9


@pytest.mark.parametrize("error", [BadInput("no"), EngineDied("gone"), RuntimeError("a bug")], ids=lambda error: type(error).__name__)
async def test_a_look_that_fails_leaves_the_pictures_as_they_are(shop: Shop, error: Exception) -> None:
    engine = Onlooker()
    engine.error = error
    assert seen(await shop.draw(engine, count=1)) == {0: ""}


@pytest.mark.parametrize("stubborn", [False, True], ids=["lets go", "holds on"])
async def test_a_look_without_an_answer_is_given_up_whatever_the_device_does(shop: Shop, stubborn: bool) -> None:
    engine = Onlooker()
    engine.gate.clear()
    engine.stubborn = stubborn
    assert seen(await shop.draw(engine, look=AN_INSTANT, count=1)) == {0: ""}
    engine.gate.set()
    async with asyncio.timeout(60):
        await engine.left.wait()


async def test_a_model_that_is_gone_by_then_is_not_asked(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Onlooker()
    run = engine.run

    async def last(*arguments: Any) -> Any:
        result = await run(*arguments)
        engine._models = ()
        return result

    monkeypatch.setattr(engine, "run", last)
    assert seen(await shop.draw(engine, count=1)) == {0: ""}


async def test_a_drawing_that_is_cancelled_during_the_look_stays_as_it_was(shop: Shop) -> None:
    engine = Onlooker()
    engine.gate.clear()
    (asked,) = (await submit(shop.store, job(model="fake", width=64, height=64, steps=2, guidance=5.0, count=1))).jobs
    taken = await shop.store.claim("w", timedelta(minutes=5))
    assert taken is not None
    drawing = asyncio.create_task(Workshop(shop.store, shop.blobs, engine, Board(), worker="w", look=AGES).draw(taken))
    async with asyncio.timeout(60):
        await engine.begun.wait()
        drawing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await drawing
        await engine.left.wait()
    assert (await shop.store.shown(asked.id)).job.status is Status.RUNNING


# ------------------------------------------------------------------------------------------------ many at once


class Crowded(Onlooker):
    """Counts how many looks share it."""

    inside = crowd = 0

    async def look(self, model: str, pictures: Sequence[bytes]) -> tuple[Seen, ...]:
        self.inside += 1
        self.crowd = max(self.crowd, self.inside)
        try:
            await asyncio.sleep(0.01)
            return await super().look(model, pictures)
        finally:
            self.inside -= 1


async def drawn_together(shop: Shop, workshop: Workshop, count: int) -> list[Shown]:
    """So many jobs of one picture, all at once."""
    asked = [(await submit(shop.store, job(model="fake", width=64, height=64, steps=1, guidance=5.0, count=1))).jobs[0] for _ in range(count)]
    taken = [each for _ in asked if (each := await shop.store.claim("w", timedelta(minutes=5))) is not None]
    async with asyncio.timeout(60):
        await asyncio.gather(*(workshop.draw(each) for each in taken))
    return [await shop.store.shown(each.id) for each in asked]


async def test_looks_wait_for_each_other_so_that_each_ends_in_time(shop: Shop) -> None:
    engine = Crowded()
    shown = await drawn_together(shop, Workshop(shop.store, shop.blobs, engine, Board(), worker="w", look=AGES), 5)
    assert engine.crowd == 1 and len(engine.asked) == 5
    assert all(seen(each) == {0: "a fox, 0"} for each in shown)


async def test_a_look_whose_turn_comes_too_late_to_end_is_not_begun_and_the_next_flood_is_looked_at_again(shop: Shop) -> None:
    engine = Onlooker()
    workshop = Workshop(shop.store, shop.blobs, engine, Board(), worker="w", look=AGES)
    workshop._look_took = AGES * 1.2  # as the last one took
    assert [seen(each) for each in await drawn_together(shop, workshop, 1)] == [{0: ""}] and engine.asked == []
    assert [seen(each) for each in await drawn_together(shop, workshop, 1)] == [{0: "a fox, 0"}]


async def test_a_look_that_was_given_up_and_holds_on_keeps_the_next_from_crowding_it(shop: Shop) -> None:
    engine = Crowded()
    engine.gate.clear()
    engine.stubborn = True
    workshop = Workshop(shop.store, shop.blobs, engine, Board(), worker="w", look=AN_INSTANT)
    assert [seen(each) for each in await drawn_together(shop, workshop, 3)] == [{0: ""}] * 3
    assert engine.crowd == 1
    engine.gate.set()
    async with asyncio.timeout(60):
        await engine.left.wait()


# ------------------------------------------------------------------------------------------------ before the first


class Loading(Onlooker):
    """Its model arrives when it is told to, and somebody draws until then."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.now = EngineStats(models_loaded=0, rows_in_flight=0)

    def stats(self) -> EngineStats:
        return self.now


async def test_the_image_text_model_is_read_once_the_first_model_is_there_and_nothing_is_drawn(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.workshop.IDLE", 0.001)
    monkeypatch.setattr("bot.memory.is_short", lambda: False)
    engine = Loading()
    warming = asyncio.create_task(Workshop(shop.store, shop.blobs, engine, Board(), worker="w").warm("fake"))
    for busy in (EngineStats(models_loaded=0), EngineStats(models_loaded=1, rows_in_flight=4)):
        engine.now = busy
        await asyncio.sleep(0.02)
        assert engine.asked == []
    engine.now = EngineStats(models_loaded=1)
    async with asyncio.timeout(60):
        await warming
    assert engine.asked == [1]


async def test_nothing_is_read_ahead_where_memory_is_short_or_the_model_sees_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for short, operations in ((True, FAKE_MODEL.operations), (False, FAKE_MODEL.operations - {"describe"})):
        monkeypatch.setattr("bot.memory.is_short", lambda short=short: short)
        engine = Loading(models=(replace(FAKE_MODEL, operations=operations),))
        engine.now = EngineStats(models_loaded=1)
        async with asyncio.timeout(60):
            await Workshop(shop.store, shop.blobs, engine, Board(), worker="w").warm("fake")
        assert engine.asked == []


async def test_reading_ahead_that_fails_is_nobodys_loss(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.memory.is_short", lambda: False)
    engine = Loading()
    engine.now, engine.error = EngineStats(models_loaded=1), EngineDied("gone")
    async with asyncio.timeout(60):
        await Workshop(shop.store, shop.blobs, engine, Board(), worker="w").warm("fake")
    assert engine.asked == [1]


@pytest.mark.parametrize(
    ("meminfo", "short"),
    [
        ("MemTotal:       8000000 kB\nMemFree:          10000 kB\nMemAvailable:    1000000 kB\n", False),
        ("MemTotal:       8000000 kB\nMemFree:         999999 kB\nMemAvailable:     999999 kB\n", True),
        ("MemTotal:       8000000 kB\nMemFree:          10000 kB\n", False),
        ("", False),
    ],
)
def test_memory_is_short_where_less_than_an_eighth_can_be_had(meminfo: str, short: bool) -> None:
    assert is_short_by(meminfo) is short
