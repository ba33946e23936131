"""The case book's contract, over SQLite and Postgres: one case a picture, decided once; bans and records under pseudonyms; letters until they are told."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from ulid import ULID

from bot.domain import Actor, Job, Place, Receipt, ReplyTo
from bot.domain.moderation import Case, Decision, Deed, Entry, Kind, Letter, Record, Report
from bot.errors import NotFound
from bot.store.casebook import SqlCaseBook
from bot.store.moderating import KEPT
from bot.store.sql import SqlStore
from tests.contract.jobs import ALICE, BOB, WHEN, execute, job, pictures, submit

MOD = Actor(platform="web", id="mod", name="Mod")
HERE = Place(platform="web", server="guild", channel="pictures")
THERE = Place(platform="web", server="elsewhere", channel="pictures")
SECRET = b"s" * 32


@pytest.fixture
def book(store: SqlStore) -> SqlCaseBook:
    return SqlCaseBook(store, store._secret)


def told_at(actor: Actor) -> ReplyTo:
    return ReplyTo(platform="web", channel=actor.id, user=actor.id)


def reported(job_id: str = "J" * 26, **changes: Any) -> Case:
    fields: dict[str, Any] = {"id": str(ULID()), "kind": Kind.REPORT, "owner": HERE.owner, "subject": ALICE, "job_id": job_id}
    return Case(**({"reply_to": told_at(ALICE), "opened_at": WHEN} | fields | changes))


def contested(words: str = "a naked mole rat", **changes: Any) -> Case:
    return reported("", kind=Kind.CONTEST, words=words, rule="sexual", **changes)


def report(actor: Actor = BOB, reason: str = "") -> Report:
    return Report(actor=actor, reply_to=told_at(actor), reason=reason)


def entry(book: SqlCaseBook, deed: Deed = Deed.REMOVE, **changes: Any) -> Entry:
    fields: dict[str, Any] = {"id": str(ULID()), "owner": HERE.owner, "deed": deed, "who": book.alias(MOD.key), "at": WHEN}
    return Entry(**(fields | changes))


def letter(**changes: Any) -> Letter:
    fields: dict[str, Any] = {"id": str(ULID()), "reply_to": told_at(BOB), "title": "letter.title", "text": "letter.report_upheld"}
    return Letter(**(fields | changes))


async def drawn(store: SqlStore, asked: Job) -> Job:
    await submit(store, asked)
    taken = await store.claim("w", timedelta(minutes=5))
    assert taken is not None and taken.id == asked.id
    assert await store.finish("w", taken.id, pictures(taken.id, taken.id), 0.5)
    return taken


# ------------------------------------------------------------------------------------------------ cases


async def test_a_case_comes_back_as_it_was_opened(store: SqlStore, book: SqlCaseBook) -> None:
    before = await store.now()
    made, fresh = await book.open(reported(), report(reason="gore"))
    assert fresh and made.opened_at >= before
    assert replace(made, opened_at=WHEN) == reported(id=made.id, subject=ALICE, reasons=("gore",), reports=1)
    assert await book.case(made.id) == made
    with pytest.raises(NotFound):
        await book.case("0" * 26)


async def test_a_second_report_of_a_picture_joins_the_first(book: SqlCaseBook) -> None:
    first, _ = await book.open(reported(), report(reason="gore"))
    same, joined = await book.open(reported(), report(MOD, "too much \0 blood"))
    assert (same.id, joined, same.reports, same.reasons) == (first.id, True, 2, ("gore", "too much  blood"))
    same, joined = await book.open(reported(), report(reason="and once more"))
    assert (same.id, joined, same.reports) == (first.id, False, 2)
    assert [each.actor.key for each in await book.reporters(first.id)] == [BOB.key, MOD.key]


async def test_ten_who_report_at_once_open_one_case(book: SqlCaseBook) -> None:
    members = [Actor(platform="web", id=f"member{number}") for number in range(10)]
    opened = await asyncio.gather(*(book.open(reported(), report(each)) for each in members))
    assert len({case.id for case, _ in opened}) == 1
    assert (await book.case(opened[0][0].id)).reports == 10


async def test_the_same_words_under_the_same_rule_are_one_contest(book: SqlCaseBook) -> None:
    first, fresh = await book.open(contested("a naked  mole rat"))
    same, again = await book.open(contested())
    other, _ = await book.open(contested("a naked man"))
    theirs, _ = await book.open(contested(subject=BOB))
    assert fresh and not again and same.id == first.id
    assert len({first.id, other.id, theirs.id}) == 3
    assert first.words == "a naked  mole rat" and first.rule == "sexual"


async def test_what_waits_is_listed_by_server_and_oldest_first(book: SqlCaseBook) -> None:
    one, _ = await book.open(reported("A" * 26, id="1" * 26))
    two, _ = await book.open(contested(id="2" * 26))
    await book.open(reported(owner=THERE.owner))
    assert [each.id for each in await book.waiting(HERE.owner)] == [one.id, two.id]
    assert await book.decide(one, Decision.APPROVE, entry(book, Deed.APPROVE))
    assert [each.id for each in await book.waiting(HERE.owner)] == [two.id]


async def test_a_case_is_decided_once_however_many_press(book: SqlCaseBook) -> None:
    case, _ = await book.open(reported(), report())
    choices = [Decision.APPROVE, Decision.REMOVE, Decision.WARN, Decision.BAN]
    taken = await asyncio.gather(*(book.decide(case, each, entry(book, Deed(each.value)), letters=[letter()]) for each in choices))
    assert sum(taken) == 1
    decided = await book.case(case.id)
    assert decided.decision is choices[taken.index(True)] and decided.decided_at is not None
    assert [each.deed for each in await book.log(HERE.owner)] == [Deed(decided.decision.value)]
    assert len(await book.due()) == 1


async def test_a_decision_hides_bans_and_owes_in_one(store: SqlStore, book: SqlCaseBook) -> None:
    made = await drawn(store, job())
    case, _ = await book.open(reported(made.id), report())
    owed = letter()
    assert await book.decide(case, Decision.BAN, entry(book, Deed.BAN), hide=[made.id], bans=True, letters=[owed])
    with pytest.raises(NotFound):
        await store.shown(made.id)
    (ban,) = await book.bans()
    assert (ban.owner, ban.alias, ban.name, ban.until) == (HERE.owner, book.alias(ALICE.key), "Alice", None)
    (line,) = await book.log(HERE.owner)
    assert (line.subject, line.who, line.job_id) == (book.alias(ALICE.key), book.alias(MOD.key), made.id)
    assert await book.due() == (owed,)


async def test_every_message_that_showed_a_picture_is_known(store: SqlStore, book: SqlCaseBook) -> None:
    made = await drawn(store, job())
    first, second, third = (Receipt(platform="web", channel=channel, handle=handle) for channel, handle in ("a1", "a3", "b2"))
    await store.placed(made.id, first)
    await store.moved(made.id, BOB.key, third, ReplyTo(platform="web"))
    await store.placed(made.id, second)
    assert await book.stands(made.id) == (first, second, third)
    assert await book.stands("0" * 26) == ()


async def test_who_reports_what_was_decided_gets_the_decision(book: SqlCaseBook) -> None:
    case, _ = await book.open(reported(), report())
    await book.decide(case, Decision.APPROVE, entry(book, Deed.APPROVE))
    again, joined = await book.open(reported(), report(MOD))
    assert (again.decision, joined, again.reports) == (Decision.APPROVE, False, 1)


async def test_only_an_approved_contest_allows_its_words_to_its_member(book: SqlCaseBook) -> None:
    case, _ = await book.open(contested())
    other, _ = await book.open(contested("a naked man"))
    assert not await book.allowed(contested())
    await book.decide(case, Decision.APPROVE, entry(book, Deed.APPROVE))
    await book.decide(other, Decision.REMOVE, entry(book))
    assert await book.allowed(contested()) and await book.allowed(contested("a  naked mole rat "))
    for not_theirs in (contested("a naked man"), contested(subject=BOB), contested(owner=THERE.owner), replace(contested(), rule="words")):
        assert not await book.allowed(not_theirs)


async def test_a_record_counts_what_was_decided_on_that_server(book: SqlCaseBook) -> None:
    for number, decision in enumerate((Decision.APPROVE, Decision.REMOVE, Decision.WARN, Decision.WARN, Decision.BAN)):
        case, _ = await book.open(reported(f"{number:026}"))
        await book.decide(case, decision, entry(book, Deed(decision.value)))
    assert await book.record(HERE.owner, ALICE.key) == Record(removed=4, warned=2, banned=1, approved=1)
    assert await book.record(THERE.owner, ALICE.key) == Record()
    assert await book.record(HERE.owner, BOB.key) == Record()


# ------------------------------------------------------------------------------------------------ bans and the log


async def test_a_ban_is_renewed_runs_out_and_is_taken_back(store: SqlStore, book: SqlCaseBook) -> None:
    soon = await store.now() + timedelta(days=7)
    await book.ban(HERE.owner, ALICE, None, entry(book, Deed.BAN))
    await book.ban(HERE.owner, ALICE, soon, entry(book, Deed.BAN))
    assert [each.until for each in await book.bans()] == [soon]
    await book.ban(THERE.owner, ALICE, await store.now() - timedelta(seconds=1), entry(book, Deed.BAN, owner=THERE.owner))
    assert [each.owner for each in await book.bans()] == [HERE.owner]
    assert await book.unban(HERE.owner, ALICE.key, entry(book, Deed.UNBAN))
    assert not await book.unban(HERE.owner, ALICE.key, entry(book, Deed.UNBAN))
    assert await book.bans() == ()
    assert [each.deed for each in await book.log(HERE.owner)] == [Deed.UNBAN, Deed.BAN, Deed.BAN]


async def test_the_log_is_read_by_pages_and_by_server(book: SqlCaseBook) -> None:
    lines = [entry(book, Deed.SET, id=f"{number:026}", detail={"name": "sexual", "after": ["a", 1]}) for number in range(5)]
    for each in lines:
        await book.write_down(each)
    await book.write_down(entry(book, Deed.PAUSE, owner=THERE.owner))
    newest = await book.log(HERE.owner, limit=3)
    assert [each.id for each in newest] == [each.id for each in lines[:1:-1]]
    assert [each.id for each in await book.log(HERE.owner, before=newest[-1].id)] == [lines[1].id, lines[0].id]
    assert newest[0].detail == {"name": "sexual", "after": ["a", 1]} and newest[0].at != WHEN


async def test_a_purge_takes_the_ended_jobs_of_a_server_a_member_or_a_span(store: SqlStore, book: SqlCaseBook) -> None:
    old, new = await drawn(store, job()), await drawn(store, job())
    theirs = await drawn(store, job(BOB))
    (open_still,) = (await submit(store, job())).jobs
    await execute(store, "UPDATE jobs SET place_server = 'elsewhere' WHERE id = :id", id=theirs.id)
    past = (await store.now() - timedelta(days=2)).replace(tzinfo=None)
    await execute(store, f"UPDATE jobs SET created_at = '{past:%Y-%m-%d %H:%M:%S.%f}' WHERE id = :id", id=old.id)  # noqa: S608
    assert await book.jobs_in(HERE, limit=9) == tuple(sorted((old.id, new.id), reverse=True))
    assert await book.jobs_in(HERE, since=timedelta(days=1), limit=9) == (new.id,)
    assert await book.jobs_in(HERE, actor_key=BOB.key, limit=9) == ()
    assert await book.jobs_in(THERE, actor_key=BOB.key, limit=9) == (theirs.id,)
    assert len(await book.jobs_in(HERE, limit=1)) == 1
    assert await book.purge([old.id, new.id, open_still.id], entry(book, Deed.PURGE, detail={"hours": 48})) == 2
    assert (await book.log(HERE.owner))[0].detail == {"hours": 48, "count": 2}
    assert await book.jobs_in(HERE, limit=9) == ()
    assert (await store.shown(open_still.id)).job.id == open_still.id


async def test_the_numbers_are_of_that_server_and_span(store: SqlStore, book: SqlCaseBook) -> None:
    await drawn(store, job(cost=2.0))
    (broken,) = (await submit(store, job(BOB))).jobs
    await store.cancel(broken.id)
    await book.open(reported(), report())
    await book.open(contested())
    await book.ban(HERE.owner, BOB, None, entry(book, Deed.BAN))
    found = await book.stats(HERE, timedelta(days=7))
    assert (found.jobs, found.failed, found.members, found.credits) == (2, 0, 2, 2.0)
    assert (found.reports, found.contests, found.open, found.banned) == (1, 1, 2, 1)
    assert (await book.stats(THERE, timedelta(days=7))).jobs == 0


# ------------------------------------------------------------------------------------------------ letters


async def test_letters_are_owed_until_they_are_told(book: SqlCaseBook) -> None:
    case, _ = await book.open(reported())
    stands = Receipt(platform="web", channel="mods", handle="1")
    first = letter(id="1" * 26, case_id=case.id, title="", text="")
    second = letter(id="2" * 26, receipt=stands, member=BOB.key, locale="de", parameters={"count": 2})
    await book.post([first, second])
    assert await book.due() == (first, second)
    assert await book.due(1) == (first,)
    taken = await book.claim(second.id, timedelta(minutes=1))
    assert taken is not None
    await book.put_off(taken, timedelta(hours=1))
    await book.told(first, stands)
    assert await book.due() == ()
    assert (await book.case(case.id)).receipt == stands
    await book.put_off(taken, timedelta(0))
    assert [each.attempts for each in await book.due()] == [1]


async def test_what_nobody_asks_for_any_more_goes_and_the_log_stays(store: SqlStore, book: SqlCaseBook) -> None:
    old, _ = await book.open(reported("A" * 26), report())
    new, _ = await book.open(reported("B" * 26), report())
    for case in (old, new):
        await book.decide(case, Decision.APPROVE, entry(book, Deed.APPROVE), letters=[letter()])
    long_ago = (await store.now() - KEPT - timedelta(days=1)).replace(tzinfo=None)
    await execute(store, f"UPDATE cases SET decided_at = '{long_ago:%Y-%m-%d %H:%M:%S.%f}' WHERE id = :id", id=old.id)  # noqa: S608
    await execute(store, f"UPDATE letters SET told_at = '{long_ago:%Y-%m-%d %H:%M:%S.%f}'")  # noqa: S608
    await book.tidy()
    with pytest.raises(NotFound):
        await book.case(old.id)
    assert (await book.case(new.id)).reports == 1
    assert await execute(store, "SELECT count(*) FROM letters") == [(0,)]
    assert len(await book.log(HERE.owner)) == 2


# ------------------------------------------------------------------------------------------------ who is forgotten


async def test_an_export_has_what_is_known_of_a_member(book: SqlCaseBook) -> None:
    await book.open(contested())
    await book.open(reported("B" * 26, subject=BOB), report(ALICE, "mine"))
    await book.ban(HERE.owner, ALICE, None, entry(book, Deed.BAN))
    kept = await book.kept(ALICE.key)
    assert [each["words"] for each in kept["cases"]] == ["a naked mole rat"]
    assert [each["reason"] for each in kept["reports"]] == ["mine"]
    assert [each["owner"] for each in kept["bans"]] == [HERE.owner]
    assert await book.kept(MOD.key) == {"cases": [], "reports": [], "bans": []}


async def test_forgetting_takes_words_and_names_and_leaves_ban_and_record(store: SqlStore, book: SqlCaseBook) -> None:
    made = await drawn(store, job())
    case, _ = await book.open(contested("secret words"))
    about, _ = await book.open(reported(made.id), report())
    mine, _ = await book.open(reported("B" * 26, subject=BOB), report(ALICE, "secret reason"))
    await book.decide(about, Decision.WARN, entry(book, Deed.WARN), letters=[letter(member=ALICE.key)])
    await book.ban(HERE.owner, ALICE, None, entry(book, Deed.BAN))
    await store.forget(ALICE.key)
    everything = [await execute(store, f"SELECT * FROM {name}") for name in ("cases", "reports", "bans", "audit", "letters")]  # noqa: S608
    for secret in ("secret words", "secret reason", ALICE.key, "Alice"):
        assert secret not in str(everything)
    assert (await book.case(case.id)).words == "" and await book.reporters(mine.id) == ()
    assert [(each.alias, each.name) for each in await book.bans()] == [(book.alias(ALICE.key), "")]
    assert (await book.record(HERE.owner, ALICE.key)).warned == 1
    assert await book.due() == ()
    assert await book.decide(await book.case(case.id), Decision.BAN, entry(book, Deed.BAN), bans=True)
    assert ALICE.key not in str(await execute(store, "SELECT * FROM bans"))


async def test_an_alias_says_nothing_without_the_secret(store: SqlStore) -> None:
    book, other = SqlCaseBook(store, SECRET), SqlCaseBook(store, b"t" * 32)
    assert book.alias(ALICE.key) == book.alias(ALICE.key) != other.alias(ALICE.key)
    assert "alice" not in book.alias(ALICE.key)
