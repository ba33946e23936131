"""A job that kills its engine is failed with a reason, and nobody who was beside it is taken for the cause."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from bot.board import Board
from bot.domain import Job, Said, Status
from bot.errors import Fault
from bot.store.blobs import DiskBlobs
from bot.store.sql import SqlStore
from bot.workshop import Workshop
from engine.api import EngineDied
from engine.fake import FakeEngine
from tests.contract.jobs import ALICE, BOB, execute, job, submit
from tests.unit.test_queue import Device, ended, running, status, until

LONG = timedelta(hours=1)


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.queue.LONGEST_PAUSE", 0.02)


@pytest.fixture
async def store(sqlite_url: str) -> AsyncIterator[SqlStore]:
    store = SqlStore(sqlite_url)
    await store.start()
    yield store
    await store.aclose()


class Fragile(Device):
    """Dies, with all it is drawing, as soon as a job with the word "poison" is among them."""

    def __init__(self, store: SqlStore, rows: int) -> None:
        super().__init__(store, rows)
        self.company: list[frozenset[str]] = []  # who was drawn when it died
        self.alone: list[str] = []  # who was drawn alone, from beginning to end
        self.death = asyncio.Event()

    async def draw(self, job: Job) -> None:
        self.drawing.append(job.id)
        self.gates[job.id] = asyncio.Event()
        lonely = len(self.gates) == 1
        try:
            await asyncio.sleep(0.05)  # company may come
            if job.words == "poison":
                self.company.append(frozenset(self.gates))
                self.death.set()
                self.death = asyncio.Event()
                raise EngineDied("gone")
            death = self.death
            dying = asyncio.ensure_future(death.wait())
            died, _ = await asyncio.wait({dying}, timeout=0.1)
            dying.cancel()
            if died:
                raise EngineDied("gone, with the others")
            if lonely and len(self.gates) == 1:
                self.alone.append(job.id)
            await self.store.finish("w", job.id, (), 0.1)
        finally:
            del self.gates[job.id]


async def test_a_job_that_kills_its_engine_three_times_is_failed_and_its_company_is_drawn(store: SqlStore) -> None:
    device = Fragile(store, rows=4)
    others = (await submit(store, job(BOB), job(BOB))).jobs
    (poison,) = (await submit(store, job(words="poison", cost=3.0))).jobs
    async with running(store, device):
        await until(ended(store, poison, *others))
    assert device.drawing.count(poison.id) == 3
    assert (await store.shown(poison.id)).job.error == Said(message="error.poison")
    assert [await status(store, each) for each in others] == [Status.DONE, Status.DONE]
    assert len(device.company[0]) > 1 and [len(each) for each in device.company[1:]] == [1, 1], "once in company, then alone"
    assert (await store.wallet(ALICE.key, cap=1000.0, per_hour=0.0)).balance == 1000.0
    assert await store.discrepancies() == ()


async def test_what_was_running_when_the_process_died_is_drawn_alone_and_the_rest_in_company(store: SqlStore) -> None:
    device = Fragile(store, rows=4)
    suspects = (await submit(store, job(), job())).jobs
    for _ in suspects:
        await store.claim("dead", timedelta(0))
    fresh = (await submit(store, job(BOB), job(BOB))).jobs
    async with running(store, device):
        await until(ended(store, *suspects, *fresh))
    assert set(device.alone) >= {each.id for each in suspects}
    assert not device.company


async def test_a_suspect_that_is_cancelled_while_it_waits_for_the_others_to_end_holds_up_nobody(store: SqlStore) -> None:
    device = Device(store, rows=4)
    (suspect,) = (await submit(store, job())).jobs
    await store.claim("dead", LONG)
    (first,) = (await submit(store, job(BOB))).jobs
    async with running(store, device) as queue:
        await until(lambda: device.drawing == [first.id])
        await store.heartbeat("dead", [suspect.id], timedelta(0))
        await store.requeue_expired()
        queue.wake()
        await until(lambda: queue.running == 2)
        assert device.drawing == [first.id], "it waits until it is alone"
        assert await queue.cancel(suspect.id)
        (last,) = (await submit(store, job(BOB))).jobs
        queue.wake()
        await until(lambda: device.drawing == [first.id, last.id])
        for each in (first, last):
            device.gates[each.id].set()
        await until(ended(store, first, last))
    assert await status(store, suspect) is Status.CANCELLED


async def test_a_job_that_cannot_be_read_does_not_end_the_queue(store: SqlStore) -> None:
    device = Device(store)
    device.open = True
    (strange,) = (await submit(store, job())).jobs
    (kept,) = (await execute(store, "SELECT request FROM jobs WHERE id = :id", id=strange.id))[0]
    await execute(store, "UPDATE jobs SET request = '[]' WHERE id = :id", id=strange.id)
    async with running(store, device):
        await asyncio.sleep(0.1)
        await execute(store, "UPDATE jobs SET request = :kept WHERE id = :id", kept=kept, id=strange.id)
        await until(ended(store, strange))
    assert await status(store, strange) is Status.DONE


@pytest.mark.parametrize("fails", [3, 10**6])
async def test_what_was_drawn_while_the_database_was_away_is_kept_for_a_while(
    store: SqlStore, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, fails: int
) -> None:
    monkeypatch.setattr("bot.workshop.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("bot.workshop.PATIENCE", 0.1)
    works, left = store.finish, [fails]

    async def flaky(*args: Any, **more: Any) -> bool:
        if left[0]:
            left[0] -= 1
            raise Fault("fault.database", detail="gone")
        return await works(*args, **more)

    monkeypatch.setattr(store, "finish", flaky)
    engine, blobs = FakeEngine(), DiskBlobs(tmp_path / "blobs")
    workshop = Workshop(store, blobs, engine, Board(), worker="w")
    (one,) = (await submit(store, job(model="fake", width=64, height=64))).jobs
    taken = await store.claim("w", LONG)
    assert taken is not None
    if fails > 3:
        with pytest.raises(Fault):
            await workshop.draw(taken)
        assert await status(store, one) is Status.RUNNING, "nobody was told anything: it is drawn again"
    else:
        await workshop.draw(taken)
        assert await status(store, one) is Status.DONE
    assert len(engine.seen) == 1
    await engine.aclose()
    blobs.close()
