"""Who sends a letter, over SQLite and Postgres: claimed by one for a while, one of a case at a time, and what nobody takes is counted."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from ulid import ULID

from bot.domain import Actor, Receipt, ReplyTo
from bot.domain.moderation import Case, Decision, Deed, Entry, Kind, Letter, Report
from bot.errors import Refused
from bot.store.casebook import SqlCaseBook
from bot.store.mail import KEPT
from bot.store.sql import SqlStore
from tests.contract.jobs import ALICE, WHEN, OpenStore, execute
from tests.contract.test_casebook import HERE, MOD, THERE

LEASE = timedelta(seconds=90)
STANDS = Receipt(platform="web", channel="mods", handle="1")


@pytest.fixture
def book(store: SqlStore) -> SqlCaseBook:
    return SqlCaseBook(store, store._secret)


def letter(**changes: Any) -> Letter:
    fields: dict[str, Any] = {"id": str(ULID()), "reply_to": ReplyTo(platform="web", channel="mods"), "title": "letter.title", "text": "letter.banned"}
    return Letter(**fields | changes)


async def a_case(book: SqlCaseBook) -> Case:
    case, _ = await book.open(
        Case(id=str(ULID()), kind=Kind.REPORT, owner=HERE.owner, subject=ALICE, job_id=str(ULID()), reply_to=ReplyTo(platform="web"), opened_at=WHEN)
    )
    return case


async def run_out(store: SqlStore) -> None:
    """Every lease, as if its time had passed."""
    past = (await store.now() - timedelta(seconds=1)).replace(tzinfo=None)
    await execute(store, f"UPDATE letters SET leased_until = '{past:%Y-%m-%d %H:%M:%S.%f}'")  # noqa: S608


async def test_a_letter_is_one_senders_until_its_lease_has_run_out(store: SqlStore, book: SqlCaseBook) -> None:
    owed = letter()
    await book.post([owed])
    first = await book.claim(owed.id, LEASE)
    assert first is not None and first.attempts == 1
    assert await book.claim(owed.id, LEASE) is None
    await run_out(store)
    second = await book.claim(owed.id, LEASE)
    assert second is not None and second.attempts == 2
    await book.put_off(first, timedelta(hours=1))
    assert await book.due() == (second,), "the first one has nothing to say about it any more"
    await book.told(first, None)
    assert await book.due() == () and await book.claim(owed.id, LEASE) is None, "but it was told, whoever did"
    assert await book.claim("0" * 26, LEASE) is None


async def test_what_was_put_off_is_claimed_when_it_is_due(book: SqlCaseBook) -> None:
    owed = letter()
    await book.post([owed])
    first = await book.claim(owed.id, LEASE)
    assert first is not None
    await book.put_off(first, timedelta(hours=1))
    assert await book.claim(owed.id, LEASE) is None and await book.due() == ()


async def test_of_the_letters_about_a_case_one_is_on_its_way_at_a_time(book: SqlCaseBook) -> None:
    case, other = await a_case(book), await a_case(book)
    first, second, third = letter(case_id=case.id), letter(case_id=case.id), letter(case_id=other.id)
    await book.post([first, second, third])
    taken = await book.claim(first.id, LEASE)
    assert taken is not None
    assert await book.claim(second.id, LEASE) is None
    assert await book.claim(third.id, LEASE) is not None, "another case's"
    await book.told(taken, STANDS)
    assert (await book.case(case.id)).receipt == STANDS
    assert await book.claim(second.id, LEASE) is not None


async def test_ten_senders_at_once_claim_each_letter_once_and_each_case_once(open_store: OpenStore, database_url: str) -> None:
    stores = [await open_store() for _ in range(1 if database_url.startswith("sqlite") else 2)]
    books = [SqlCaseBook(each, each._secret) for each in stores]
    case = await a_case(books[0])
    about = [letter(case_id=case.id) for _ in range(5)]
    owed = [letter() for _ in range(5)]
    await books[0].post([*about, *owed])
    claimed = await asyncio.gather(*(books[number % len(books)].claim(each.id, LEASE) for number in range(10) for each in [*about, *owed]))
    ids = [each.id for each in claimed if each is not None]
    assert len(ids) == len(set(ids)) and {each.id for each in owed} <= set(ids)
    assert len({each.id for each in about} & set(ids)) == 1


async def test_a_case_and_the_word_to_its_moderators_are_written_at_once(book: SqlCaseBook) -> None:
    made = replace(await a_case(book), id=str(ULID()), job_id=str(ULID()))
    reports = [Report(actor=Actor(platform="web", id=name), reply_to=ReplyTo(platform="web")) for name in ("bob", "carl", "bob")]
    cases = [(await book.open(replace(made, id=str(ULID())), each, letter=letter()))[0].id for each in reports]
    assert len(set(cases)) == 1
    assert [each.case_id for each in await book.due()] == cases[:2], "none for who reported it before"
    with pytest.raises(Refused):
        await book.open(replace(made, id=str(ULID()), job_id=str(ULID())), reports[0], most=1, letter=letter())
    assert len(await book.due()) == 2, "nor for what is refused"


async def test_a_process_that_serves_one_platform_leaves_the_others_letters_alone(book: SqlCaseBook) -> None:
    here, there = letter(id="1" * 26, reply_to=ReplyTo(platform="discord")), letter(id="2" * 26, reply_to=ReplyTo(platform="slack"))
    await book.post([here, there])
    assert await book.due(platforms=["discord"]) == (here,)
    assert await book.due(platforms=[]) == ()
    assert await book.due() == (here, there)


async def test_a_server_is_told_how_much_nobody_took(book: SqlCaseBook) -> None:
    case = await a_case(book)
    closed, lost, told, theirs = letter(case_id=case.id), letter(), letter(), letter()
    await book.post([closed])
    entry = Entry(id=str(ULID()), owner=HERE.owner, deed=Deed.WARN, who=book.alias(MOD.key), at=WHEN)
    await book.decide(case, Decision.WARN, entry, letters=[lost, told])
    await book.write_down(Entry(id=str(ULID()), owner=THERE.owner, deed=Deed.ANNOUNCE, who=book.alias(MOD.key), at=WHEN), [theirs])

    async def undelivered() -> list[int]:
        return [(await book.stats(place, timedelta(days=7))).undelivered for place in (HERE, THERE)]

    assert await undelivered() == [0, 0]
    await book.told(lost, None, undelivered=True)
    await book.told(told, STANDS)
    await book.told(theirs, None, undelivered=True)
    taken = await book.claim(closed.id, LEASE)
    assert taken is not None
    await book.put_off(taken, timedelta(0), undelivered=True)
    assert await undelivered() == [2, 1], "also what is tried again still"
    again = await book.claim(closed.id, LEASE)
    assert again is not None
    await book.told(again, STANDS)
    assert await undelivered() == [1, 1], "somebody opened the channel"


async def test_what_waits_for_a_chat_that_nobody_serves_is_given_up_and_then_forgotten(store: SqlStore, book: SqlCaseBook) -> None:
    owed, fresh = letter(), letter()
    await book.post([owed, fresh])
    long_ago = (await store.now() - KEPT - timedelta(minutes=1)).replace(tzinfo=None)
    await execute(store, f"UPDATE letters SET created_at = '{long_ago:%Y-%m-%d %H:%M:%S.%f}' WHERE id = :id", id=owed.id)  # noqa: S608
    await book.tidy()
    assert await book.due() == (fresh,)
    assert await execute(store, "SELECT id FROM letters WHERE undelivered AND told_at IS NOT NULL") == [(owed.id,)]
    await execute(store, f"UPDATE letters SET told_at = '{long_ago:%Y-%m-%d %H:%M:%S.%f}' WHERE id = :id", id=owed.id)  # noqa: S608
    await book.tidy()
    assert await execute(store, "SELECT id FROM letters") == [(fresh.id,)]


async def test_on_sqlite_a_restart_ends_what_the_dead_process_held(sqlite_url: str) -> None:
    first = SqlStore(sqlite_url)
    await first.start()
    book, owed = SqlCaseBook(first, first._secret), letter()
    await book.post([owed])
    assert await book.claim(owed.id, LEASE) is not None
    await first.aclose()
    second = SqlStore(sqlite_url)
    await second.start()
    assert await SqlCaseBook(second, second._secret).claim(owed.id, LEASE) is not None
    await second.aclose()
