"""The queue over a real store (SQLite) and a device that does what each test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.domain import Job, Load, Said, Status
from bot.errors import Fault
from bot.queue import Queue
from bot.store.sql import SqlStore
from engine.api import EngineDied
from engine.fake import FAKE_MODEL, FakeEngine
from tests.contract.jobs import ALICE, BOB, execute, job, pictures, submit

LONG = timedelta(hours=1)
SOON = timedelta(seconds=0.05)


class Device(FakeEngine):
    """An engine with some rows, and the workshop's part: `draw` holds each job until its gate opens, then ends it in the store."""

    def __init__(self, store: SqlStore, rows: int = 4) -> None:
        super().__init__(pace=0.5)
        self.store, self.rows = store, rows
        self.drawing: list[str] = []  # ids, in the order they began
        self.gates: dict[str, asyncio.Event] = {}
        self.open = False  # every gate
        self.trouble: Callable[[Job], BaseException | None] = lambda job: None

    def free_rows(self) -> int:
        return self.rows - len(self.gates)

    async def draw(self, job: Job) -> None:
        self.drawing.append(job.id)
        self.gates[job.id] = asyncio.Event()
        try:
            if (error := self.trouble(job)) is not None:
                await asyncio.sleep(0)
                raise error
            if not self.open:
                await self.gates[job.id].wait()
            await self.store.finish("w", job.id, pictures(job.id, job.id), 0.5)
        finally:
            del self.gates[job.id]


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.queue.LONGEST_PAUSE", 0.02)


@pytest.fixture
async def store(sqlite_url: str) -> AsyncIterator[SqlStore]:
    store = SqlStore(sqlite_url)
    await store.start()
    yield store
    await store.aclose()


@pytest.fixture
def device(store: SqlStore) -> FakeEngine:
    return Device(store)


@asynccontextmanager
async def running(store: SqlStore, device: Device, *, poll: timedelta = SOON, lease: timedelta = LONG, **options: Any) -> AsyncIterator[Queue]:
    queue = Queue(store, device, device.draw, worker="w", lease=lease, poll=poll, **options)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(queue.run())
        try:
            yield queue
        finally:
            await queue.drain(0)
            await task


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while True:
            found = condition()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.01)


async def status(store: SqlStore, job: Job) -> Status:
    return (await store.shown(job.id)).job.status


def ended(store: SqlStore, *jobs: Job) -> Callable[[], Any]:
    async def check() -> bool:
        return all([(await status(store, each)).ended for each in jobs])

    return check


async def test_it_takes_as_many_as_the_engine_has_rows_for_and_the_next_when_one_ends(store: SqlStore, device: Device) -> None:
    device.rows = 2
    jobs = (await submit(store, *(job() for _ in range(4)))).jobs
    async with running(store, device) as queue:
        await until(lambda: len(device.drawing) == 2)
        assert device.drawing == [each.id for each in jobs[:2]]
        assert await store.load() == Load(queued=2, running=2, cost_ahead=4.0)
        assert queue.running == 2
        device.gates[jobs[1].id].set()
        await until(lambda: len(device.drawing) == 3)
        assert device.drawing[2] == jobs[2].id
        device.rows, device.open = 0, True
        for gate in device.gates.values():
            gate.set()
        await until(lambda: not device.gates)
        assert await status(store, jobs[3]) is Status.QUEUED


async def test_a_submitted_job_starts_when_it_is_told_without_waiting_for_the_poll(store: SqlStore, device: Device) -> None:
    device.open = True
    async with running(store, device, poll=LONG) as queue:
        await asyncio.sleep(0.05)
        (one,) = (await submit(store, job())).jobs
        queue.wake()
        await until(ended(store, one))


async def test_a_job_of_another_process_is_found_by_the_poll(store: SqlStore, device: Device) -> None:
    device.open = True
    async with running(store, device):
        await asyncio.sleep(0.05)
        await until(ended(store, *(await submit(store, job())).jobs))


async def test_a_running_job_is_cancelled_and_the_others_go_on(store: SqlStore, device: Device) -> None:
    one, two = (await submit(store, job(), job())).jobs
    async with running(store, device) as queue:
        await until(lambda: len(device.gates) == 2)
        assert await queue.cancel(one.id)
        await until(lambda: len(device.gates) == 1)
        device.gates[two.id].set()
        await until(ended(store, one, two))
        assert not await queue.cancel(one.id)
    assert (await status(store, one), await status(store, two)) == (Status.CANCELLED, Status.DONE)


async def test_a_waiting_job_is_cancelled_and_never_drawn(store: SqlStore, device: Device) -> None:
    device.rows = 0
    (one,) = (await submit(store, job())).jobs
    async with running(store, device) as queue:
        assert await queue.cancel(one.id)
        device.rows = 4
        await asyncio.sleep(0.1)
    assert device.drawing == []


async def test_a_drain_lets_what_runs_end_and_claims_no_more(store: SqlStore, device: Device) -> None:
    device.rows = 1
    one, two = (await submit(store, job(), job())).jobs
    queue = Queue(store, device, device.draw, worker="w", poll=SOON)
    task = asyncio.ensure_future(queue.run())
    await until(lambda: one.id in device.gates)
    draining = asyncio.ensure_future(queue.drain(20))
    await asyncio.sleep(0.05)
    assert not draining.done()
    device.gates[one.id].set()
    await draining
    await task
    assert (await status(store, one), await status(store, two)) == (Status.DONE, Status.QUEUED)


async def test_what_does_not_end_in_time_is_put_back_in_its_place(store: SqlStore, device: Device) -> None:
    one, two = (await submit(store, job(), job())).jobs
    async with running(store, device):
        await until(lambda: len(device.gates) == 2)
    assert await store.position(one.id) == (0, 0.0)
    assert await store.position(two.id) == (1, 1.0)
    assert [(await store.shown(each.id)).job.attempts for each in (one, two)] == [0, 0]


async def test_a_queue_that_is_cancelled_puts_back_what_runs(store: SqlStore, device: Device) -> None:
    (one,) = (await submit(store, job())).jobs
    task = asyncio.ensure_future(Queue(store, device, device.draw, worker="w").run())
    await until(lambda: len(device.gates) == 1)
    task.cancel()
    await asyncio.wait({task})
    assert await status(store, one) is Status.QUEUED


async def test_a_drain_before_the_start_ends_it_at_once(store: SqlStore, device: Device) -> None:
    queue = Queue(store, device, device.draw, worker="w")
    await queue.drain(0)
    await submit(store, job())
    await queue.run()
    assert device.drawing == []


async def test_what_a_dead_process_left_running_is_drawn(store: SqlStore, device: Device) -> None:
    (one,) = (await submit(store, job())).jobs
    await store.claim("dead", timedelta(0))
    device.open = True
    async with running(store, device):
        await until(ended(store, one))
    assert await status(store, one) is Status.DONE


async def test_leases_are_kept_while_drawing_and_a_job_that_was_taken_away_is_let_go(store: SqlStore, device: Device) -> None:
    kept, taken = (await submit(store, job(), job())).jobs
    async with running(store, device, lease=timedelta(seconds=0.6)):
        await until(lambda: len(device.gates) == 2)
        await execute(store, "UPDATE jobs SET worker = 'other', leased_until = '2999-01-01 00:00:00.000000' WHERE id = :id", id=taken.id)
        await until(lambda: set(device.gates) == {kept.id})
        await asyncio.sleep(1)
        assert await store.requeue_expired() == 0
        assert device.drawing == [kept.id, taken.id]
    assert await status(store, taken) is Status.RUNNING


async def test_jobs_that_were_in_company_when_the_engine_died_are_drawn_again(store: SqlStore, device: Device) -> None:
    died: set[str] = set()
    moved: list[str] = []

    def once(job: Job) -> BaseException | None:
        if job.id in died:
            return None
        died.add(job.id)
        return EngineDied("gone")

    device.trouble, device.open = once, True
    jobs = (await submit(store, *(job() for _ in range(3)))).jobs
    async with running(store, device, changed=lambda job: moved.append(job.id)):
        await until(ended(store, *jobs))
    assert [await status(store, each) for each in jobs] == [Status.DONE] * 3
    assert set(moved) == {each.id for each in jobs}


@pytest.mark.parametrize("error", [EngineDied("killed"), RuntimeError("a bug of ours")])
async def test_a_job_that_breaks_everything_is_given_up_with_a_refund_and_the_rest_is_drawn(store: SqlStore, device: Device, error: Exception) -> None:
    (poison,), (good,) = (await submit(store, job(words="poison", cost=3.0))).jobs, (await submit(store, job(BOB))).jobs
    device.trouble, device.open = (lambda job: error if job.words == "poison" else None), True
    async with running(store, device):
        await until(ended(store, poison, good))
    assert (await store.shown(poison.id)).job.error == Said(message="error.poison")
    assert await status(store, good) is Status.DONE
    assert (await store.wallet(ALICE.key, cap=1000.0, per_hour=0.0)).balance == 1000.0


async def test_an_outage_of_the_database_is_waited_out(store: SqlStore, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    away = {verb: 4 for verb in ("claim", "heartbeat", "requeue_expired")}

    def flaky(verb: str) -> Callable[..., Any]:
        works = getattr(store, verb)

        async def attempt(*args: Any) -> Any:
            if away[verb]:
                away[verb] -= 1
                raise Fault("fault.database", detail="gone")
            return await works(*args)

        return attempt

    for verb in away:
        monkeypatch.setattr(store, verb, flaky(verb))
    device.open = False
    (one,) = (await submit(store, job())).jobs
    async with running(store, device, lease=timedelta(seconds=0.3)):
        await until(lambda: not any(away.values()))
        await until(lambda: bool(device.gates))
        device.open = True
        for gate in device.gates.values():
            gate.set()
        await until(ended(store, one))
    assert await status(store, one) is Status.DONE


async def test_eta_is_the_work_ahead_and_ones_own_at_the_measured_pace(store: SqlStore, device: Device) -> None:
    first, second = (await submit(store, job(cost=2.0, model="fake"), job(cost=1.0, model="fake"))).jobs
    queue = Queue(store, device, device.draw, worker="w")

    async def eta(job: Job) -> Any:
        return await queue.eta(job)

    grid = FAKE_MODEL.width * FAKE_MODEL.height / 1e6 * FAKE_MODEL.steps * 4 * 0.5
    assert await eta(first) == (0, pytest.approx(2 * grid))
    assert await eta(second) == (1, pytest.approx(3 * grid))
    await store.claim("w", LONG)
    assert await queue.eta(first) is None, "it is being drawn"
    assert await eta(second) == (0, pytest.approx(3 * grid))
    assert await queue.eta(replace(first, id="0" * 26)) is None, "nobody knows it"


async def test_a_relaxed_jobs_eta_is_that_of_its_work_not_of_its_price(store: SqlStore, device: Device) -> None:
    (quick, relaxed) = (await submit(store, job(cost=1.0, model="fake"), job(cost=1.0, model="fake", relaxed=True))).jobs
    queue = Queue(store, device, device.draw, worker="w")
    (_, one), (ahead, three) = await queue.eta(quick) or (0, 0.0), await queue.eta(relaxed) or (0, 0.0)
    assert (ahead, three) == (1, pytest.approx(3 * one))


async def test_relaxed_jobs_are_drawn_when_there_is_room_and_nobody_else_waits(store: SqlStore, device: Device) -> None:
    device.rows = 1
    (relaxed,) = (await submit(store, job(relaxed=True))).jobs
    quick = (await submit(store, job(BOB), job(BOB))).jobs
    async with running(store, device):
        for each in (*quick, relaxed):
            await until(lambda each=each: each.id in device.gates)
            device.gates[each.id].set()
        await until(ended(store, *quick, relaxed))
    assert device.drawing == [each.id for each in (*quick, relaxed)]


async def test_eta_of_a_job_whose_model_left_the_shelf_is_the_default_ones(store: SqlStore, device: Device) -> None:
    here, gone = (await submit(store, job(model="fake"), job(model="gone"))).jobs
    queue = Queue(store, device, device.draw, worker="w")
    (_, one), (_, two) = await queue.eta(here) or (0, 0.0), await queue.eta(gone) or (0, 0.0)
    assert two == pytest.approx(2 * one)
