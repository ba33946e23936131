"""The case book's contract, over SQLite and Postgres: whom a ban follows and who is told of it, settings that are chosen and written down at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from bot.domain import ReplyTo
from bot.domain.moderation import ANNOUNCED, BANNED, Deed, Entry
from bot.errors import Refused
from bot.store.casebook import SqlCaseBook
from bot.store.moderating import TOLD_OF_BANS
from bot.store.sql import SqlStore
from tests.contract.jobs import ALICE, BOB, execute, job, submit
from tests.contract.test_casebook import HERE, THERE, contested, drawn, entry, letter


@pytest.fixture
def book(store: SqlStore) -> SqlCaseBook:
    return SqlCaseBook(store, store._secret)


async def banned(book: SqlCaseBook, owner: str = HERE.owner) -> None:
    await book.ban(owner, ALICE, None, entry(book, Deed.BAN, owner=owner), [letter(member=ALICE.key, text=BANNED[0])])


async def test_a_ban_says_whether_its_member_had_asked_for_something_there(store: SqlStore, book: SqlCaseBook) -> None:
    made = await drawn(store, job())
    await store.delete(made.id)
    await banned(book)
    await banned(book, THERE.owner)
    assert {each.owner: each.asked for each in await book.bans()} == {HERE.owner: True, THERE.owner: False}


async def test_a_case_there_is_something_that_was_asked_for(book: SqlCaseBook) -> None:
    await book.open(contested())
    await banned(book)
    assert [each.asked for each in await book.bans()] == [True]


async def test_what_was_known_of_a_banned_member_stays_known(store: SqlStore, book: SqlCaseBook) -> None:
    await submit(store, job())
    await banned(book)
    await store.forget(ALICE.key)
    await banned(book)
    assert [each.asked for each in await book.bans()] == [True]


async def test_a_member_is_told_of_bans_once_a_day_and_a_stranger_never(store: SqlStore, book: SqlCaseBook) -> None:
    await banned(book)
    assert await book.due() == ()
    await submit(store, job())
    await asyncio.gather(*(banned(book) for _ in range(4)))
    (owed,) = await book.due()
    await book.told(owed, None)
    assert await book.unban(HERE.owner, ALICE.key, entry(book, Deed.UNBAN))
    await banned(book)
    assert await book.due() == ()
    yesterday = (await store.now() - TOLD_OF_BANS - timedelta(minutes=1)).replace(tzinfo=None)
    await execute(store, f"UPDATE letters SET created_at = '{yesterday:%Y-%m-%d %H:%M:%S.%f}'")  # noqa: S608
    await banned(book)
    assert len(await book.due()) == 1


# ------------------------------------------------------------------------------------------------ settings


def said(book: SqlCaseBook, before: Mapping[str, Any], after: Mapping[str, Any]) -> Entry:
    return entry(book, Deed.SET, detail={"before": dict(before), "after": dict(after)})


async def test_of_many_who_choose_at_once_each_sees_what_the_one_before_left(store: SqlStore, book: SqlCaseBook) -> None:
    def one_more(before: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"count": before.get("count", 0) + 1}

    await store.prefer(HERE.owner, {"kept": True})
    found = await asyncio.gather(*(book.choose(HERE.owner, one_more, lambda before, after: said(book, before, after)) for _ in range(8)))
    assert sorted(each["count"] for each in found) == [*range(1, 9)]
    assert await store.preferences(HERE.owner) == {"kept": True, "count": 8}
    lines = [each.detail for each in await book.log(HERE.owner)]
    assert sorted((each["before"].get("count", 0), each["after"]["count"]) for each in lines) == [(n, n + 1) for n in range(8)]


async def test_a_refused_choice_and_one_that_is_not_written_down_change_nothing(store: SqlStore, book: SqlCaseBook) -> None:
    def refuses(before: Mapping[str, Any]) -> Mapping[str, Any]:
        raise Refused("refused.no_such_rule", given="x")

    def breaks(before: Mapping[str, Any], after: Mapping[str, Any]) -> Entry:
        raise RuntimeError("no line")

    await store.prefer(HERE.owner, {"kept": True})
    with pytest.raises(Refused):
        await book.choose(HERE.owner, refuses, lambda before, after: said(book, before, after))
    with pytest.raises(RuntimeError, match="no line"):
        await book.choose(HERE.owner, lambda before: {"kept": None}, breaks)
    assert await store.preferences(HERE.owner) == {"kept": True} and await book.log(HERE.owner) == ()


# ------------------------------------------------------------------------------------------------ what waits, what was not posted


async def test_what_waits_or_runs_on_a_server_is_told_apart_from_what_ended(store: SqlStore, book: SqlCaseBook) -> None:
    done = await drawn(store, job())
    (waiting,) = (await submit(store, job(BOB))).jobs
    assert await book.jobs_in(HERE, limit=9) == (done.id,)
    assert await book.jobs_in(HERE, limit=9, ended=False) == (waiting.id,)
    assert await book.jobs_in(HERE, actor_key=ALICE.key, limit=9, ended=False) == await book.jobs_in(THERE, limit=9, ended=False) == ()


async def test_the_channels_in_which_a_word_to_all_could_not_be_posted_are_known(book: SqlCaseBook) -> None:
    there = [ReplyTo(platform="web", channel=each) for each in ("T:b", "T:a", "T:b")]
    posts = [letter(reply_to=each, title=ANNOUNCED, id=f"{number:026}") for number, each in enumerate(there)]
    await book.write_down(entry(book, Deed.ANNOUNCE), [*posts, letter(title="letter.removed_title")])
    assert (await book.stats(HERE, timedelta(days=1))).closed == ()
    for each in await book.due():
        taken = await book.claim(each.id, timedelta(minutes=1))
        assert taken is not None
        await book.put_off(taken, timedelta(hours=1), undelivered=True)
    assert (await book.stats(HERE, timedelta(days=1))).closed == ("a", "b")
    assert (await book.stats(THERE, timedelta(days=1))).closed == ()
