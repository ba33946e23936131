"""Postgres goes away, or two transactions stand in each other's way: one Fault at most, and the store goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.errors import Fault
from bot.store.sql import SqlStore
from tests.contract.jobs import job, submit


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[SqlStore]:
    store = SqlStore(postgres_url)
    await store.start()
    yield store
    await store.aclose()


async def test_connections_that_were_cut_are_replaced(store: SqlStore, postgres_url: str) -> None:
    (one,) = (await submit(store, job())).jobs
    await asyncio.gather(*(store.load() for _ in range(5)))  # several connections wait in the pool
    executioner = await asyncpg.connect(postgres_url)
    await executioner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
    await executioner.close()
    assert (await store.shown(one.id)).job == one
    assert await store.cancel(one.id)


async def test_a_connection_cut_in_the_middle_of_a_transaction_is_one_fault_and_changes_nothing(store: SqlStore, postgres_url: str) -> None:
    (one,) = (await submit(store, job())).jobs

    async def interrupted(db: AsyncConnection) -> None:
        await db.execute(text("UPDATE jobs SET status = 'done'"))
        executioner = await asyncpg.connect(postgres_url)
        pid = (await db.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        await executioner.execute("SELECT pg_terminate_backend($1)", pid)
        await executioner.close()
        await db.execute(text("SELECT 1"))

    with pytest.raises(Fault, match=r"fault\.database"):
        await store.write(interrupted)
    assert (await store.shown(one.id)).job == one


async def test_two_transactions_that_wait_for_each_other_are_both_done(store: SqlStore) -> None:
    first, second = (await submit(store, job(), job())).jobs
    met = asyncio.Barrier(2)

    async def lock_both(db: AsyncConnection, ids: list[str], first_time: list[bool]) -> None:
        await db.execute(text("UPDATE jobs SET attempts = attempts + 1 WHERE id = :id"), {"id": ids[0]})
        if first_time:
            first_time.clear()
            await met.wait()
        await db.execute(text("UPDATE jobs SET attempts = attempts + 1 WHERE id = :id"), {"id": ids[1]})

    await asyncio.gather(store.write(lock_both, [first.id, second.id], [True]), store.write(lock_both, [second.id, first.id], [True]))
    assert [(await store.shown(each.id)).job.attempts for each in (first, second)] == [2, 2]
