"""A member who reports and contests without end, to bury the moderators: a few wait at once, whatever is tried, on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain import Actor, Verb
from bot.domain.moderation import Case, Decision, Deed
from bot.errors import Refused
from bot.moderation.doing import Most
from bot.store.casebook import SqlCaseBook
from bot.store.openings import COUNTED
from bot.store.sql import SqlStore
from bot.store.tables import reports
from tests.contract.jobs import BOB
from tests.contract.test_casebook import HERE, THERE, contested, entry, report, reported
from tests.unit import house
from tests.unit.house import ENGLISH
from tests.unit.moderated import MODS, PICTURES, Moderated, moderated

MANY = 20


@pytest.fixture
def book(store: SqlStore) -> SqlCaseBook:
    return SqlCaseBook(store, store._secret)


def of_bobs(number: int, **changes: object) -> Case:
    return reported(f"J{number:025d}", **changes)


async def opened(*tried: object) -> list[object]:
    """What came of all of them at once: a case, or the refusal's message."""
    found = await asyncio.gather(*tried, return_exceptions=True)  # type: ignore[call-overload]
    wrong = [each for each in found if isinstance(each, BaseException) and not isinstance(each, Refused)]
    assert not wrong, wrong
    return [each.message if isinstance(each, Refused) else each[0] for each in found]


async def test_of_twenty_pictures_reported_at_once_no_more_than_may_wait_come_to_the_moderators(book: SqlCaseBook) -> None:
    told = await opened(*(book.open(of_bobs(number), report(BOB), most=5) for number in range(MANY)))
    assert told.count("refused.open_reports") == MANY - 5
    assert len(await book.waiting(HERE.owner, MANY)) == 5, "what was refused left no case behind"
    mine = next(each for each in told if isinstance(each, Case))
    same, joined = await book.open(reported(mine.job_id), report(BOB), most=5)
    assert (same.id, joined) == (mine.id, False), "one's own, once more, is no new one"
    with pytest.raises(Refused) as caught:
        await book.open(of_bobs(MANY), report(BOB), most=5)
    assert caught.value.parameters["limit"] == 5
    others = Actor(platform="web", id="carol")
    assert (await book.open(of_bobs(MANY), report(others), most=5))[1], "somebody else's reports are not counted"
    with pytest.raises(Refused):
        await book.open(of_bobs(MANY), report(BOB), most=5)  # to join somebody else's is one more as well
    assert (await book.open(of_bobs(1, owner=THERE.owner), report(BOB), most=5))[1], "nor those of another server"
    assert await book.decide(mine, Decision.APPROVE, entry(book, Deed.APPROVE))
    assert (await book.open(of_bobs(MANY), report(BOB), most=5))[1], "what was decided makes room"


async def test_of_twenty_refusals_contested_at_once_no_more_than_may_wait_come_to_the_moderators(book: SqlCaseBook) -> None:
    told = await opened(*(book.open(contested(f"a naked man, {number}"), most=3) for number in range(MANY)))
    assert told.count("refused.open_contests") == MANY - 3
    waiting = await book.waiting(HERE.owner, MANY)
    assert len(waiting) == 3
    assert (await book.open(reported(), report(BOB), most=3))[1], "a contest counts against no report"
    same, again = await book.open(contested(waiting[0].words), most=3)
    assert same.id == waiting[0].id and not again


async def test_being_forgotten_makes_no_room_for_more(store: SqlStore, book: SqlCaseBook) -> None:
    for number in range(2):
        await book.open(of_bobs(number), report(BOB), most=2)
        await book.open(contested(f"a naked man, {number}", subject=BOB), most=2)
    await store.forget(BOB.key)
    told = await opened(book.open(of_bobs(2), report(BOB), most=2), book.open(contested("a naked man, 2", subject=BOB), most=2))
    assert told == ["refused.open_reports", "refused.open_contests"]


async def test_moderators_who_decide_nothing_silence_nobody_for_good(store: SqlStore, book: SqlCaseBook) -> None:
    await book.open(of_bobs(1), report(BOB), most=1)
    assert await opened(book.open(of_bobs(2), report(BOB), most=1)) == ["refused.open_reports"]
    long_ago = await store.now() - COUNTED - timedelta(hours=1)

    async def aged(db: AsyncConnection) -> None:
        await db.execute(update(reports).values(at=long_ago))

    await store.write(aged)
    assert (await book.open(of_bobs(2), report(BOB), most=1))[1]


# ------------------------------------------------------------------------------------------------ as a member meets it


@pytest.fixture
async def day(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Moderated]:
    async with moderated(sqlite_url, tmp_path) as made:
        await made.admin("moderators here", place=MODS)
        yield made


async def test_a_member_who_reports_one_too_many_hears_it_in_a_sentence_and_the_moderators_hear_nothing(day: Moderated) -> None:
    assert day.house.studio.moderation is not None
    day.house.studio.moderation._most = Most(reports=2, contests=1)
    pictures = [await day.drawn(f"a fox, {number} --n 1") for number in range(3)]
    for each in pictures[:2]:
        await day.reported(each)
    before = len(await day.book.due())
    answer = await day.say("report", f"{pictures[2].job_id} gore", actor=house.BOB)
    assert answer.refusal and answer.text == ENGLISH.say("refused.open_reports", limit=2)
    refusals = [await day.say("imagine", f"a naked man, {number}") for number in range(2)]
    buttons = [next(each for row in card.rows for each in row if each.action.verb is Verb.CONTEST).action for card in refusals]
    told = [await day.press(each, actor=house.ADA, place=PICTURES) for each in buttons]
    assert [each.text for each in told] == [ENGLISH.say("moderation.contested"), ENGLISH.say("refused.open_contests", limit=1)]
    assert len(await day.book.due()) == before + 1
