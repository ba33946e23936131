"""The audit log is kept for a time, over SQLite and Postgres: then its lines go, but for what records of members and bans are read from."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.moderation import Decision, Deed, Record
from bot.store.casebook import SqlCaseBook
from bot.store.sql import SqlStore
from bot.store.tables import audit
from tests.contract.jobs import ALICE, BOB
from tests.contract.test_casebook import HERE, entry, report, reported

YEARS = timedelta(days=730)


@pytest.fixture
def book(store: SqlStore) -> SqlCaseBook:
    return SqlCaseBook(store, store._secret)


async def aged(store: SqlStore, at: datetime) -> None:
    """Everything that is written down, as if it had been then."""

    async def verb(db: AsyncConnection) -> None:
        await db.execute(update(audit).values(at=at))

    await store.write(verb)


async def a_day(book: SqlCaseBook) -> None:
    """A setting, a ban, a purge of a member's pictures, and a decision that warns somebody."""
    await book.write_down(entry(book, Deed.SET, detail={"names": "people"}))
    await book.ban(HERE.owner, BOB, None, entry(book, Deed.BAN))
    await book.purge((), entry(book, Deed.PURGE, subject=book.alias(ALICE.key)))
    case, _ = await book.open(reported(), report())
    assert await book.decide(case, Decision.WARN, entry(book, Deed.WARN))


async def kept(book: SqlCaseBook) -> list[Deed]:
    return sorted(each.deed for each in await book.log(HERE.owner))


async def test_old_lines_go_and_what_was_decided_about_members_stays(store: SqlStore, book: SqlCaseBook) -> None:
    await a_day(book)
    await aged(store, await store.now() - YEARS - timedelta(hours=1))
    await book.write_down(entry(book, Deed.ANNOUNCE))
    await store.retire(None, audit=YEARS)
    assert await kept(book) == [Deed.ANNOUNCE, Deed.BAN, Deed.WARN]
    assert await book.record(HERE.owner, ALICE.key) == Record(removed=1, warned=1)
    assert await book.record(HERE.owner, BOB.key) == Record(removed=1, banned=1)
    assert [each.alias for each in await book.bans()] == [book.alias(BOB.key)]
    assert await book.unban(HERE.owner, BOB.key, entry(book, Deed.UNBAN)), "a ban outlives the line that tells of it"


async def test_lines_stay_until_then_and_for_ever_where_that_is_set(store: SqlStore, book: SqlCaseBook) -> None:
    await a_day(book)
    before = await kept(book)
    await aged(store, await store.now() - YEARS + timedelta(hours=1))
    await store.retire(None, audit=YEARS)
    assert await kept(book) == before
    await aged(store, await store.now() - 10 * YEARS)
    await store.retire(timedelta(days=1))
    assert await kept(book) == before
