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
from bot.store.blobs import DiskBlobs
from bot.store.sql import SqlStore
from bot.workshop import LOOKED_AT, Workshop
from engine.api import BadInput, EngineDied, Seen
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
