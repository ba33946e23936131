"""What the store asks of SQLite itself."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import insert, select, text

from bot.store import dialect
from bot.store.sql import SqlStore
from bot.store.tables import wallets


@pytest.fixture
async def store(sqlite_url: str):  # type: ignore[no-untyped-def]
    store = SqlStore(sqlite_url)
    await store.start()
    yield store
    await store.aclose()


async def test_every_connection_is_durable_and_checks_references(store: SqlStore) -> None:
    async with store.db.connect() as db:
        found = {pragma: (await db.execute(text(f"PRAGMA {pragma}"))).scalar_one() for pragma in ("journal_mode", "synchronous", "foreign_keys")}
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


async def test_a_writing_transaction_takes_the_lock_when_it_begins_and_a_reading_one_does_not(store: SqlStore, sqlite_url: str) -> None:
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), timeout=0, isolation_level=None)
    async with store.db.begin() as db:
        await db.execute(select(wallets))
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    async with dialect.writing(store.db).begin():
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
    other.close()


async def test_times_keep_their_zone_and_a_naive_one_is_refused(store: SqlStore) -> None:
    there = datetime(2026, 3, 4, 5, 6, 7, 891011, tzinfo=timezone(timedelta(hours=9)))
    row = {"actor_key": "web:a", "balance": 1.0, "finish_tag": 0.0}
    async with dialect.writing(store.db).begin() as db:
        await db.execute(insert(wallets).values(at=there, **row))
        assert (await db.execute(select(wallets.c.at))).scalar_one() == there
        assert (await db.execute(select(wallets.c.at))).scalar_one().tzinfo is UTC
    with pytest.raises(Exception, match="naive"):
        async with dialect.writing(store.db).begin() as db:
            await db.execute(insert(wallets).values(at=datetime(2026, 1, 1), **(row | {"actor_key": "web:b"})))
