"""What the store asks of SQLite itself."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.store.sql import SqlStore
from bot.store.tables import wallets


@pytest.fixture
async def store(sqlite_url: str):  # type: ignore[no-untyped-def]
    store = SqlStore(sqlite_url)
    await store.start()
    yield store
    await store.aclose()


async def test_every_connection_is_durable_and_checks_references(store: SqlStore) -> None:
    with store.engine.connect() as db:
        found = {pragma: db.execute(text(f"PRAGMA {pragma}")).scalar_one() for pragma in ("journal_mode", "synchronous", "foreign_keys")}
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


async def test_a_writing_transaction_takes_the_lock_when_it_begins_and_a_reading_one_does_not(store: SqlStore, sqlite_url: str) -> None:
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), timeout=0, isolation_level=None)
    with store.engine.begin() as db:
        db.execute(select(wallets))
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    with store.engine.execution_options(writing=True).begin(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.close()


async def test_times_keep_their_zone_and_a_naive_one_is_refused(store: SqlStore) -> None:
    there = datetime(2026, 3, 4, 5, 6, 7, 891011, tzinfo=timezone(timedelta(hours=9)))
    row = {"actor_key": "web:a", "balance": 1.0, "finish_tag": 0.0}
    with store.engine.execution_options(writing=True).begin() as db:
        db.execute(insert(wallets).values(at=there, **row))
        assert db.execute(select(wallets.c.at)).scalar_one() == there
        assert db.execute(select(wallets.c.at)).scalar_one().tzinfo is UTC
    with pytest.raises(Exception, match="naive"), store.engine.execution_options(writing=True).begin() as db:
        db.execute(insert(wallets).values(at=datetime(2026, 1, 1), **(row | {"actor_key": "web:b"})))


async def test_a_verb_runs_on_one_thread_and_may_wait_for_nothing_else(store: SqlStore) -> None:
    async def where(db: AsyncConnection) -> set[str]:
        before = threading.current_thread().name
        await db.execute(select(wallets))
        return {before, threading.current_thread().name}

    assert len(await store.read(where)) == 1

    async def sleepy(db: AsyncConnection) -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="waited for something"):
        await store.write(sleepy)
    assert await store.write(where), "the writer goes on"


async def test_a_mistake_in_the_middle_of_a_result_leaves_nothing_open_however_long_its_traceback_is_kept(store: SqlStore, sqlite_url: str) -> None:
    numbers = "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number LIMIT 1000) SELECT n, name FROM number, sqlite_master"

    async def mistaken(db: AsyncConnection) -> None:
        for _ in await db.execute(text(numbers)):
            raise KeyError("a mistake of ours")

    with pytest.raises(KeyError) as kept:
        await store.read(mistaken)
    await store.seen("web", "delivery")
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
    busy, *_ = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    other.close()
    assert not busy, "nobody reads"
    assert kept.value.args


async def test_writers_wait_for_each_other_and_readers_for_nobody(store: SqlStore) -> None:
    begun, go_on = threading.Event(), threading.Event()

    async def slow(db: AsyncConnection) -> None:
        begun.set()
        assert go_on.wait(30)

    writing = asyncio.create_task(store.write(slow))
    await asyncio.to_thread(begun.wait, 30)
    assert (await store.load()).queued == 0, "a reader is not held up"
    second = asyncio.create_task(store.seen("web", "d"))
    await asyncio.sleep(0.05)
    assert not second.done()
    go_on.set()
    await writing
    assert await second is False
