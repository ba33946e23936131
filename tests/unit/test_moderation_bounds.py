"""How far a moderator's word goes: whom a ban follows and who is told of it, what was on its way when its picture went, and what a purge stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.domain import Card, Job, Offer, Origin, Receipt, ReplyTo, Status, Verb
from bot.domain.moderation import Decision, Deed
from bot.errors import Fault, NotFound
from bot.gate import Rule
from bot.messages import LANGUAGES, Catalogue
from bot.notes.moderating import log_card
from tests.contract.jobs import job, pictures, submit
from tests.unit.house import ADA, BOB, ENGLISH, button
from tests.unit.moderated import CHIEF, MOD, MODS, NOWHERE, PICTURES, Moderated, moderated

say = ENGLISH.say


@pytest.fixture
async def day(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Moderated]:
    async with moderated(sqlite_url, tmp_path) as there:
        yield there


def hold(day: Moderated, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Awaitable[Job | None]]:
    """From now on nothing that waits is begun, but by what this returns."""
    claim = day.house.store.claim

    async def nothing(worker: str, lease: timedelta) -> None:
        return None

    monkeypatch.setattr(day.house.store, "claim", nothing)
    return claim


async def status(day: Moderated, card: Card) -> Status:
    return (await day.house.store.shown(card.job_id)).job.status


# ------------------------------------------------------------------------------------------------ bans


async def test_who_never_asked_on_a_server_is_kept_from_nothing_elsewhere_by_it(day: Moderated, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes a server and invites the bot would else lock anybody out, by their id alone."""
    hold(day, monkeypatch)
    waiting = await day.say("imagine", "a fox", place=NOWHERE)
    assert (await day.admin("ban <@ada>")).text == say("admin.banned")
    assert (await day.say("imagine", "a fox")).text == say("refused.banned")
    assert not (await day.say("imagine", "a hen", place=NOWHERE)).refusal
    assert day.greeted("imagine", "a hen", place=NOWHERE) is None
    assert await status(day, waiting) is Status.QUEUED, "nor is what they asked for there stopped"


async def test_who_asked_on_a_server_walks_around_its_ban_by_no_direct_message(day: Moderated, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = await day.drawn()
    await day.house.store.delete(picture.job_id)
    hold(day, monkeypatch)
    waiting = await day.say("imagine", "a fox", place=NOWHERE)
    await day.admin("ban <@ada> 7d")
    assert (await day.say("imagine", "a fox", place=NOWHERE)).refusal, "what was deleted was asked for"
    assert await status(day, waiting) is Status.CANCELLED


async def test_a_ban_keeps_its_reach_when_its_member_is_forgotten_and_it_is_given_anew(day: Moderated) -> None:
    await day.drawn()
    await day.admin("ban <@ada> 7d")
    await day.house.store.forget(ADA.key)
    await day.admin("ban <@ada>")
    assert (await day.say("imagine", "a fox", place=NOWHERE)).text == say("refused.banned")


async def test_bans_again_and_again_are_one_letter_a_day_and_none_to_strangers(day: Moderated) -> None:
    await day.drawn()
    for _ in range(3):
        for member in (ADA, BOB):
            await day.admin(f"ban <@{member.id}>")
            await day.admin(f"ban <@{member.id}> 7d")
            assert (await day.admin(f"unban {member.id}")).text == say("admin.unbanned")
    await day.mail.deliver()
    assert day.letters(ADA) == [say("letter.banned")] and day.letters(BOB) == []
    assert len([each for each in await day.log() if each.deed is Deed.BAN]) > 1, "each is written down"


# ------------------------------------------------------------------------------------------------ what was on its way


async def test_an_enlargement_that_waits_is_stopped_and_refunded_as_its_picture_goes(day: Moderated, monkeypatch: pytest.MonkeyPatch) -> None:
    await day.admin("moderators here", place=MODS)
    grid = await day.drawn()
    picked = await day.house.end(await day.press(button(grid, Verb.PICK, 1).action, actor=ADA, place=PICTURES))
    case = await day.reported(grid)
    before = await day.house.balance()
    hold(day, monkeypatch)
    larger = await day.press(button(picked, Verb.UPSCALE).action, actor=ADA, place=PICTURES)
    varied = await day.press(button(grid, Verb.VARY, 1).action, actor=ADA, place=PICTURES)
    assert await status(day, larger) is Status.QUEUED
    assert (await day.decide(case, "remove")).text == say("moderation.report_remove_was")
    assert await status(day, larger) is Status.CANCELLED
    assert await status(day, varied) is Status.QUEUED, "a picture of its own"
    await day.house.store.cancel(varied.job_id)
    assert await day.house.balance() == before


async def test_a_picture_is_kept_with_what_is_on_its_way(day: Moderated, monkeypatch: pytest.MonkeyPatch) -> None:
    await day.admin("moderators here", place=MODS)
    picture = await day.drawn("a fox --n 1")
    case = await day.reported(picture)
    hold(day, monkeypatch)
    larger = await day.press(button(picture, Verb.UPSCALE).action, actor=ADA, place=PICTURES)
    await day.decide(case, "approve")
    assert await status(day, larger) is Status.QUEUED


async def test_a_picture_goes_with_its_enlargements_though_one_was_deleted_meanwhile(day: Moderated, monkeypatch: pytest.MonkeyPatch) -> None:
    await day.admin("moderators here", place=MODS)
    grid = await day.drawn()
    first = await day.house.end(await day.press(button(grid, Verb.PICK, 1).action, actor=ADA, place=PICTURES))
    second = await day.house.end(await day.press(button(grid, Verb.PICK, 2).action, actor=ADA, place=PICTURES))
    case, shown = await day.reported(grid), day.house.store.shown

    async def a_moment_later(job_id: str):  # type: ignore[no-untyped-def]
        found = await shown(job_id)
        if job_id == grid.job_id:
            await day.house.store.delete(first.job_id)
        return found

    monkeypatch.setattr(day.house.store, "shown", a_moment_later)
    assert (await day.decide(case, "remove")).text == say("moderation.report_remove_was")
    for gone in (grid, first, second):
        with pytest.raises(NotFound):
            await shown(gone.job_id)


async def test_a_picture_goes_with_all_its_enlargements_however_many(day: Moderated, monkeypatch: pytest.MonkeyPatch) -> None:
    await day.admin("moderators here", place=MODS)
    grid = await day.drawn()
    case = await day.reported(grid)
    claim = hold(day, monkeypatch)
    larger = [job(ADA, cost=0.5, parent=Origin(job_id=grid.job_id, verb=Verb.UPSCALE.value, index=0)) for _ in range(60)]
    larger += [job(ADA, cost=0.5, parent=Origin(job_id=each.id, verb=Verb.UPSCALE.value, index=0)) for each in larger[:3]]
    await submit(day.house.store, *larger)
    for _ in larger:
        taken = await claim("w", timedelta(minutes=5))
        assert taken is not None and await day.house.store.finish("w", taken.id, pictures(taken.id, taken.id), 0.1)
    await day.decide(case, "remove")
    for gone in larger:
        with pytest.raises(NotFound):
            await day.house.store.shown(gone.id)


async def test_a_purge_stops_what_waits_and_gives_its_credits_back(day: Moderated, monkeypatch: pytest.MonkeyPatch) -> None:
    await day.drawn()
    before = await day.house.balance()
    hold(day, monkeypatch)
    waiting, others = await day.say("imagine", "a hen"), await day.say("imagine", "a hen", actor=BOB)
    elsewhere = await day.say("imagine", "a hen", place=NOWHERE)
    assert (await day.admin("purge <@ada>")).text == say("admin.purge_sure", count=2, target="<@ada>")
    answer = (await day.admin("purge <@ada> yes")).text
    assert answer == f"{say('admin.purged', count=1)} {say('admin.purge_stopped', count=1)}"
    assert await status(day, waiting) is Status.CANCELLED
    assert [await status(day, each) for each in (others, elsewhere)] == [Status.QUEUED] * 2
    await day.house.store.cancel(elsewhere.job_id)
    assert await day.house.balance() == before
    assert (await day.log())[0].detail == {"count": 1, "stopped": 1}
    await day.admin("purge 24h yes")
    assert await status(day, others) is Status.CANCELLED


# ------------------------------------------------------------------------------------------------ settings


async def test_of_two_who_set_at_once_neither_is_lost(day: Moderated) -> None:
    words = [f"spider{number}" for number in range(6)]
    await asyncio.gather(*(day.admin(f"words add {each}") for each in words), *(day.admin(f"limit <@&{number}> 0.5") for number in range(6)))
    kept = await day.house.store.preferences(PICTURES.owner)
    assert sorted(kept["rules"].splitlines()) == words and len(kept["roles"]) == 6
    assert len(await day.log()) == 12


async def test_what_was_is_read_as_it_is_changed_and_not_from_memory(day: Moderated) -> None:
    await day.admin("private on")
    await day.house.store.prefer(PICTURES.owner, {"private": None, "rules": "spider"})  # another process, a moment ago
    await day.admin("words add hen")
    await day.admin("private on")
    assert (await day.house.store.preferences(PICTURES.owner))["rules"] == "spider\nhen"
    newest, rules = (await day.log())[:2]
    assert newest.detail["settings"] == {"private": {"before": None, "after": True}}
    assert rules.detail["settings"]["rules"] == {"before": "spider", "after": "spider\nhen"}


async def test_a_setting_that_cannot_be_written_down_does_not_hold(day: Moderated, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else something would be loosened in secret. By both roads."""
    await day.admin("off imagine")
    (line,) = await day.log()
    monkeypatch.setattr(day.house.studio.moderation, "_new_id", lambda: line.id)  # which the database refuses
    for answer in (await day.admin("words add hen"), await day.admin("off"), await day.say("settings", "off=", actor=CHIEF)):
        assert answer.refusal
    assert await day.house.store.preferences(PICTURES.owner) == {"off": ["imagine"]} and await day.log() == [line]


# ------------------------------------------------------------------------------------------------ a word to all


async def test_an_announcement_is_posted_where_the_bot_works_though_it_was_typed_where_it_may_not_post(day: Moderated, monkeypatch: pytest.MonkeyPatch) -> None:
    posted, show = [], day.chat.show

    async def may_post(reply_to: ReplyTo, card: Card, receipt: Receipt | None) -> Receipt | None:
        if not reply_to.can_post or reply_to.channel == "closed":
            return None
        posted.append(reply_to.channel)
        return await show(reply_to, card, receipt)

    monkeypatch.setattr(day.chat, "show", may_post)

    async def announce() -> str:
        command = day.house.command("admin", "announce back at noon", actor=CHIEF, place=MODS)
        return (await day.house.studio.handle(replace(command, reply_to=replace(command.reply_to, channel="mods", can_post=False)))).text

    assert await announce() == say("refused.announce_closed")
    assert say("admin.closed_count") not in dict((await day.admin("stats")).details)
    await day.admin("channels one closed two")
    assert await announce() == say("admin.announced", count=3, channels="closed, one, two")
    await day.mail.deliver()
    assert posted == ["one", "two"]
    assert dict((await day.admin("stats")).details)[say("admin.closed_count")] == "closed"


# ------------------------------------------------------------------------------------------------ in words


async def test_the_log_is_told_in_words_in_every_language(day: Moderated) -> None:
    await day.admin("moderators here", place=MODS)
    case = await day.reported(await day.drawn())
    await day.decide(case, "remove")
    await day.admin("artists off")
    await day.admin("ban <@bob> 7d")
    await day.admin("purge 24h yes")
    await day.admin("announce hi")
    entries = await day.log()
    text = log_card(entries, ENGLISH).text
    told = ("The list of living artists, loosens what is held back", "Moderators' channel", "7 days", "0 jobs", "1 channel", "A picture was reported")
    assert all(each in text for each in told), text
    for language in LANGUAGES:
        found = log_card(entries, Catalogue.load(language)).text
        assert not any(each in found for each in ("=", "True", "loosens=", "names", "seconds", "moderators_")), found


@pytest.mark.parametrize("language", list(LANGUAGES))
def test_every_rule_that_is_contested_has_a_name(language: str) -> None:
    catalogue = Catalogue.load(language)
    assert all(f"moderation.{rule}_rule" in catalogue for rule in set(Rule) - {Rule.MINORS})


async def test_a_case_that_is_decided_when_its_channel_is_nobodys_any_more_is_reached_by_its_workspace(day: Moderated) -> None:
    """Of several workspaces each is written to by its own token, which the address says."""
    await day.admin("moderators here", place=MODS)
    case = await day.reported(await day.drawn())
    assert case.receipt is not None
    await day.admin("moderators off", place=MODS)
    desk = day.house.studio.moderation
    assert desk is not None
    await desk.decide(replace(case, reply_to=replace(case.reply_to, channel="T1:C1/17.5")), Decision.APPROVE, MOD)
    (letter,) = [each for each in await day.book.due() if each.case_id]
    assert letter.reply_to.channel == f"T1:{case.receipt.channel}"


# ------------------------------------------------------------------------------------------------ while the database is away


async def test_a_refusal_is_an_apology_where_the_database_goes_away_before_its_button_is_kept(day: Moderated, monkeypatch: pytest.MonkeyPatch) -> None:
    await day.admin("moderators here", place=MODS)

    async def away(offer: Offer) -> None:
        raise Fault("fault.database", detail="it stops")

    monkeypatch.setattr(day.house.store, "offer", away)
    assert (await day.say("imagine", "a naked woman")).text == say("error.fault")


async def test_a_contest_whose_offer_could_not_be_written_keeps_it_when_it_is_pressed_again(day: Moderated, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else what moderators allow would be drawn by no press, and its pictures would be collected."""
    await day.admin("moderators here", place=MODS)
    contest = button(await day.say("imagine", "a naked woman"), Verb.CONTEST).action
    write = day.house.store.offer

    async def away(offer: Offer) -> None:
        raise Fault("fault.database", detail="it stops")

    monkeypatch.setattr(day.house.store, "offer", away)
    assert (await day.press(contest, actor=ADA, place=PICTURES)).text == say("error.fault")
    monkeypatch.setattr(day.house.store, "offer", write)
    assert (await day.press(contest, actor=ADA, place=PICTURES)).text == say("moderation.contested")
    (case,) = await day.book.waiting(PICTURES.owner)
    assert "order" in (await day.house.store.offered(case.offer_id)).facts
