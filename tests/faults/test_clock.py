"""The machine's clock is set back by an hour while the bot runs: nothing waits an hour for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain import Limits, Status, Wallet
from bot.store.dialect import Clock
from bot.store.sql import SqlStore
from tests.contract.jobs import ALICE, job, pictures, submission, submit

LEASE = timedelta(minutes=1)


class Machine:
    """Two clocks that go with the test's hands: the wall's may be set, the other cannot."""

    def __init__(self) -> None:
        self.wall, self.seconds = datetime(2026, 3, 1, 12, tzinfo=UTC), 1000.0

    def passes(self, **time: float) -> None:
        delta = timedelta(**time)
        self.wall += delta
        self.seconds += delta.total_seconds()

    def set_back(self, **time: float) -> None:
        self.wall -= timedelta(**time)

    def clock(self) -> Clock:
        return Clock(lambda: self.wall, lambda: self.seconds)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
async def store(sqlite_url: str, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqlStore]:
    monkeypatch.setattr("bot.store.dialect._clock", machine.clock())
    store = SqlStore(sqlite_url)
    await store.start()
    yield store
    await store.aclose()


def test_the_databases_clock_goes_on_where_the_machines_goes_back(machine: Machine) -> None:
    clock = machine.clock()
    before = clock()
    machine.set_back(hours=1)
    assert clock() == before
    machine.passes(seconds=5)
    assert clock() == "2026-03-01 12:00:05.000000"
    machine.passes(minutes=30)
    assert clock() == "2026-03-01 12:30:05.000000", "as fast as time goes"
    machine.wall += timedelta(hours=3)
    assert clock() == machine.wall.strftime("%Y-%m-%d %H:%M:%S.%f"), "set forward, it follows"


async def test_leases_ends_and_wallets_do_not_notice(store: SqlStore, machine: Machine) -> None:
    small = Limits(cap=10.0, per_hour=3600.0, queued_per_actor=10, queued_total=10)
    dead, alive, put_off = (await store.submit(submission(job(cost=4.0), job(cost=4.0), job(), limits=small))).jobs
    for worker in ("dead", "alive", "third"):
        assert await store.claim(worker, LEASE) is not None
    await store.finish("third", put_off.id, (), 0.0)
    (owed,) = await store.notices(["web"])
    await store.put_off(owed.id, timedelta(seconds=30))

    machine.set_back(hours=1)
    machine.passes(seconds=31)
    assert [each.job_id for each in await store.notices(["web"])] == [put_off.id], "due after thirty seconds, not after an hour"
    assert await store.heartbeat("alive", [alive.id], LEASE) == {alive.id}
    machine.passes(seconds=31)
    assert await store.requeue_expired() == 1, "the dead process's, after its minute"
    assert (await store.shown(dead.id)).job.status is Status.QUEUED
    assert await store.finish("alive", alive.id, pictures(alive.id, "a"), 1.0)
    wallet: Wallet = await store.wallet(ALICE.key, cap=10.0, per_hour=3600.0)
    assert wallet.balance == 10.0, "a minute refills it, whatever the wall says"
    assert await store.discrepancies() == ()


async def test_the_order_of_the_queue_is_not_the_clocks(store: SqlStore, machine: Machine) -> None:
    first = (await submit(store, job())).jobs[0]
    machine.set_back(hours=1)
    second = (await submit(store, job())).jobs[0]
    taken = [await store.claim("w", LEASE) for _ in range(2)]
    assert [each.id for each in taken if each] == [first.id, second.id]
