"""A moderator's day: pictures are reported and decided about, refusals contested, members banned, and everybody is told what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bot.domain import Action, Actor, Card, Offer, Place, Receipt, ReplyTo, Status, Verb, Visibility
from bot.domain.moderation import Decision, Deed, Kind
from bot.errors import Fault, NotFound, Refused
from bot.moderation import mail as mailing
from bot.usecases import admin as admins
from tests.fakes.chat import Post
from tests.unit.house import ADA, BOB, ENGLISH, button
from tests.unit.moderated import CHIEF, ELSEWHERE, MOD, MODS, NOWHERE, PICTURES, Moderated, moderated

say = ENGLISH.say


@pytest.fixture
async def day(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Moderated]:
    """With a moderators' channel."""
    async with moderated(sqlite_url, tmp_path) as there:
        assert (await there.admin("moderators here", place=MODS)).text == say("admin.changed")
        yield there


# ------------------------------------------------------------------------------------------------ reports


async def test_a_report_brings_the_picture_to_the_moderators(day: Moderated) -> None:
    picture = await day.drawn("a fox in the snow")
    await day.reported(picture, "too  much\nfur")
    (card,) = day.in_channel("mods")
    assert card.title == say("moderation.report_case") and card.spoiler and card.visibility is Visibility.PUBLIC
    assert "Ada (ada)" in card.text and "a fox in the snow" in card.text and "too much fur" in card.text
    assert "Bob" not in card.text and "bob" not in card.text
    (shown,) = card.pictures
    assert shown.data == await day.house.blobs.get((await day.house.store.shown(picture.job_id)).artifacts[0].digest)
    assert [each.label for row in card.rows for each in row] == ["Keep", "Remove", "Warn", "Ban"]


async def test_the_button_of_a_picture_opens_a_form_that_reports_it(day: Moderated) -> None:
    picture = await day.drawn()
    press = day.house.press(Action(verb=Verb.REPORT, job_id=picture.job_id), actor=BOB)
    form = day.house.studio.greet(press).form
    assert form is not None and [field.name for field in form.fields] == ["reason"] and not form.fields[0].required
    assert Action.decode(form.name).job_id == picture.job_id


async def test_the_button_stands_with_the_details_for_those_who_may_report_it(day: Moderated) -> None:
    picture = await day.drawn()
    details = Action(verb=Verb.PARAMS, job_id=picture.job_id)

    async def offered(actor: Actor, place: Place = PICTURES) -> list[Verb]:
        card = await day.press(details, actor=actor, place=place)
        assert card.visibility is Visibility.PRIVATE
        return [each.action.verb for row in card.rows for each in row]

    assert await offered(BOB) == await offered(BOB, NOWHERE) == [Verb.REPORT]
    assert await offered(ADA) == [], "one's own"
    assert await offered(BOB, replace(PICTURES, server=ELSEWHERE)) == [], "shown on another server"
    assert (await day.admin("moderators off", place=MODS)).text == say("admin.changed")
    assert await offered(BOB) == [], "nobody would be told"


async def test_a_report_is_answered_to_who_reports_alone(day: Moderated) -> None:
    picture = await day.drawn()
    form = day.house.submit(Action(verb=Verb.REPORT, job_id=picture.job_id).encode(), "", actor=BOB)
    assert day.house.studio.greet(form).visibility is Visibility.PRIVATE


async def test_reports_and_decisions_are_counted(day: Moderated) -> None:
    counted: list[tuple[Kind, Decision | None]] = []
    desk = day.house.studio.moderation
    assert desk is not None
    desk.seen = lambda kind, decision: counted.append((kind, decision))
    case = await day.reported(await day.drawn())
    await day.decide(case, "warn")
    assert (await day.decide(case, "ban")).refusal, "it was decided"
    assert counted == [(Kind.REPORT, None), (Kind.REPORT, Decision.WARN)]


async def test_more_reports_change_the_one_card(day: Moderated) -> None:
    picture = await day.drawn()
    case = await day.reported(picture, "gore")
    again = await day.reported(picture, "blood", actor=MOD)
    assert case.id == again.id and again.reports == 2
    (card,) = day.in_channel("mods")
    assert "Reports: 2" in card.text and "gore" in card.text and "blood" in card.text


async def test_a_picture_is_kept_and_no_further_report_opens_it(day: Moderated) -> None:
    picture = await day.drawn()
    case = await day.reported(picture)
    answer = await day.decide(case, "approve")
    assert answer.text == say("moderation.report_approve_was")
    assert (await day.house.store.shown(picture.job_id)).job.status is Status.DONE
    (card,) = day.in_channel("mods")
    assert card.rows == () and say("moderation.report_approve_was") in card.text
    assert day.letters(BOB) == [say("letter.report_stays")] and day.letters(ADA) == []
    told = await day.say("report", picture.job_id, actor=MOD)
    assert told.text == say("moderation.reported_stays") and await day.book.waiting(PICTURES.owner) == ()


async def test_a_removed_picture_goes_from_channel_history_and_disk_with_its_enlargements(day: Moderated) -> None:
    grid = await day.drawn()
    picked = await day.house.end(await day.press(button(grid, Verb.PICK, 1).action, actor=ADA, place=PICTURES))
    other = await day.house.end(await day.press(button(grid, Verb.PICK, 2).action, actor=ADA, place=PICTURES))
    varied = await day.house.end(await day.press(button(grid, Verb.VARY, 1).action, actor=ADA, place=PICTURES))
    case = await day.reported(picked)
    assert (await day.decide(case, "remove")).text == say("moderation.report_remove_was")
    for gone in (grid, picked):
        with pytest.raises(NotFound):
            await day.house.store.shown(gone.job_id)
    for kept in (other, varied):
        assert (await day.house.store.shown(kept.job_id)).artifacts
    (card,) = day.in_channel("pictures")
    assert (card.title, card.pictures, card.rows) == (say("letter.removed_title"), (), ())
    (moderators,) = day.in_channel("mods")
    assert moderators.pictures == ()
    assert day.letters(ADA) == [say("letter.report_remove")] and day.letters(BOB) == [say("letter.report_upheld")]
    assert (await day.book.record(PICTURES.owner, ADA.key)).removed == 1


async def test_a_removed_picture_goes_from_wherever_somebody_had_it_shown(day: Moderated) -> None:
    picture = await day.drawn()
    day.chat.posts["shown again"] = Post("lounge", picture)
    again = Receipt(platform="web", channel="lounge", handle="shown again")
    await day.house.store.moved(picture.job_id, BOB.key, again, ReplyTo(platform="web", channel="lounge"))
    await day.decide(await day.reported(picture), "remove")
    for channel in ("pictures", "lounge"):
        (card,) = day.in_channel(channel)
        assert (card.title, card.pictures, card.rows) == (say("letter.removed_title"), (), ()), channel


async def test_a_warning_stands_in_the_record_of_the_next_case(day: Moderated) -> None:
    await day.decide(await day.reported(await day.drawn("one")), "warn")
    await day.reported(await day.drawn("two"))
    card = day.in_channel("mods")[-1]
    assert "1 removed, 1 warnings, 0 bans" in card.text
    assert day.letters(ADA) == [say("letter.report_warn")]


async def test_a_banned_member_hears_one_sentence_whatever_they_ask_and_stops_being_drawn(day: Moderated) -> None:
    picture = await day.drawn()
    await day.decide(await day.reported(picture), "ban")
    for name, text in (("imagine", "a fox"), ("history", ""), ("info", "")):
        card, greeted = await day.say(name, text), day.greeted(name, text)
        assert card.text == say("refused.banned") and card.refusal
        assert greeted is not None and greeted.text == say("refused.banned")
    assert (await day.say("imagine", "a fox", place=NOWHERE)).text == say("refused.banned")  # nor by direct message
    other = await day.say("imagine", "a fox", place=Place(platform="web", server=ELSEWHERE, channel="x"))
    assert not other.refusal
    assert not (await day.say("privacy")).refusal
    assert not (await day.say("imagine", "a fox", actor=BOB)).refusal
    assert day.letters(ADA) == [say("letter.report_ban")]


async def test_what_a_decision_did_stands_in_the_log_without_names(day: Moderated) -> None:
    picture = await day.drawn("secret words")
    await day.decide(await day.reported(picture, "secret reason"), "ban")
    newest = (await day.log())[0]
    assert (newest.deed, newest.job_id) == (Deed.BAN, picture.job_id)
    assert (newest.who, newest.subject) == (day.book.alias(MOD.key), day.book.alias(ADA.key))
    text = (await day.admin("log")).text
    assert "banned" in text and "secret" not in f"{newest}{text}"
    for name in (ADA.key, MOD.key, BOB.key, "Ada"):
        assert name not in str(newest)


# ------------------------------------------------------------------------------------------------ who may


async def test_only_moderators_decide_and_only_in_their_place(day: Moderated) -> None:
    case = await day.reported(await day.drawn())
    for actor, place in ((MOD, PICTURES), (BOB, PICTURES), (MOD, replace(MODS, server=ELSEWHERE)), (CHIEF, NOWHERE)):
        assert (await day.decide(case, "remove", actor=actor, place=place)).text == say("refused.moderators_only")
    assert (await day.decide(case, "remove", actor=ADA)).text == say("refused.own_case")
    assert (await day.decide(case, "remove", place=replace(MODS, channel="mods/thread"))).text == say("moderation.report_remove_was")
    assert (await day.decide(case, "ban", actor=CHIEF, place=PICTURES)).text == say("refused.decided_before")
    assert await day.book.bans() == ()


async def test_of_two_moderators_who_press_at_once_one_decides(day: Moderated) -> None:
    case = await day.reported(await day.drawn())
    answers = await asyncio.gather(day.decide(case, "approve"), day.decide(case, "ban", actor=CHIEF))
    assert sorted(each.refusal for each in answers) == [False, True]
    assert len([each for each in await day.log() if each.deed in (Deed.APPROVE, Deed.BAN)]) == 1


async def test_a_button_that_was_made_up_decides_nothing(day: Moderated) -> None:
    case = await day.reported(await day.drawn())
    for action in (Action(verb=Verb.DECIDE, job_id=case.id, argument="promote"), Action(verb=Verb.DECIDE, job_id="0" * 26, argument="ban")):
        assert (await day.press(action)).refusal
    assert (await day.book.case(case.id)).decision is None


async def test_nobody_reports_their_own_picture_or_one_they_cannot_see(day: Moderated) -> None:
    mine, private = await day.drawn(), await day.drawn("a fox --private")
    assert (await day.say("report", mine.job_id)).text == say("refused.own_picture")
    assert (await day.say("report", private.job_id, actor=BOB)).text == say("error.not_found")
    assert (await day.say("report", "", actor=BOB)).text == say("refused.report_what")
    direct = await day.drawn(place=NOWHERE)
    assert (await day.say("report", direct.job_id, actor=BOB)).text == say("refused.no_moderators")


async def test_without_a_moderators_channel_a_report_says_so(sqlite_url: str, tmp_path: Path) -> None:
    async with moderated(sqlite_url, tmp_path) as there:
        picture = await there.drawn()
        assert (await there.say("report", picture.job_id, actor=BOB)).text == say("refused.no_moderators")


# ------------------------------------------------------------------------------------------------ contests


async def refused(day: Moderated, rule: str = "sexual", words: str = "a naked mole rat") -> Offer:
    return await day.house.studio.offer(ADA, "contest", [words], rule=rule)


async def contested(day: Moderated, offer: Offer) -> str:
    text = (await day.press(Action(verb=Verb.CONTEST, job_id=offer.id), actor=ADA, place=PICTURES)).text
    await day.mail.deliver()
    return text


async def test_a_contested_refusal_is_allowed_to_that_member_for_those_words(day: Moderated) -> None:
    assert await contested(day, await refused(day)) == say("moderation.contested")
    (case,) = await day.book.waiting(PICTURES.owner)
    (card,) = day.in_channel("mods")
    assert "a naked mole rat" in card.text and "sexual" in card.text and card.pictures == ()
    assert (await day.decide(case, "approve")).text == say("moderation.contest_approve_was")
    assert day.letters(ADA) == [say("letter.contest_approve")]
    moderation = day.house.studio.moderation
    assert moderation is not None
    assert await moderation.allows(ADA, PICTURES, "sexual", "a naked mole rat")
    for actor, place, rule, words in (
        (BOB, PICTURES, "sexual", "a naked mole rat"),
        (ADA, NOWHERE, "sexual", "a naked mole rat"),
        (ADA, PICTURES, "people", "a naked mole rat"),
        (ADA, PICTURES, "sexual", "a naked man"),
    ):
        assert not await moderation.allows(actor, place, rule, words)


async def test_a_refusal_about_minors_goes_to_nobody(day: Moderated) -> None:
    assert await contested(day, await refused(day, "minors")) == say("refused.not_contested")
    assert await day.book.waiting(PICTURES.owner) == () and day.in_channel("mods") == []


async def test_a_refusal_that_stands_is_told_once_more_when_it_is_contested_again(day: Moderated) -> None:
    await contested(day, await refused(day))
    (case,) = await day.book.waiting(PICTURES.owner)
    await day.decide(case, "remove")
    assert await contested(day, await refused(day)) == say("letter.contest_remove")
    assert len(day.in_channel("mods")) == 1


async def test_a_refusal_has_its_button_only_where_it_can_be_contested(day: Moderated) -> None:
    event, card = day.house.command("imagine", "x", place=PICTURES), replace(await day.say("help"), rows=())
    house = day.house.studio

    async def rows(message: str, words: str | None = "words", at: Place = PICTURES) -> int:
        error = Refused(message, **({"words": words} if words else {}))
        return len((await admins.contestable(house, replace(event, place=at), error, card)).rows)

    assert await rows("refused.gate_sexual") == 1
    assert await rows("refused.gate_minors") == 0
    assert await rows("refused.gate_bad_rule") == 0
    assert await rows("refused.not_here") == 0
    assert await rows("refused.gate_sexual", None) == 0
    assert await rows("refused.gate_sexual", at=NOWHERE) == 0


async def ask_and_contest(day: Moderated, words: str) -> str:
    """The text of the case that comes of it; empty where there is no button for that."""
    card = await day.say("imagine", words)
    assert card.refusal, card
    offered = [each.action for row in card.rows for each in row if each.action.verb is Verb.CONTEST]
    if not offered:
        return ""
    await day.press(offered[0], actor=ADA, place=PICTURES)
    await day.mail.deliver()
    return day.in_channel("mods")[-1].text


async def test_moderators_are_shown_and_allow_what_a_style_and_a_suffix_make_of_the_words(day: Moderated) -> None:
    await day.say("styles", "save mine naked woman")
    assert "naked woman" in await ask_and_contest(day, "a portrait --style mine --n 1")
    (case,) = await day.book.waiting(PICTURES.owner)
    await day.decide(case, "approve")
    assert not (await day.say("imagine", "a portrait --style mine --n 1")).refusal, "as it was allowed"
    await day.say("styles", "save mine nude girlfriend, explicit sex")
    assert (await day.say("imagine", "a portrait --style mine --n 1")).refusal, "the same words mean something else by now"
    await day.say("prefer", "suffix=naked man")
    assert "naked man" in await ask_and_contest(day, "a harmless hat")


async def test_words_that_a_case_would_not_show_to_their_end_are_not_contested(day: Moderated) -> None:
    assert await ask_and_contest(day, "a fox in the snow, " * 60 + "a naked woman") == ""
    assert await ask_and_contest(day, "a fox in the snow, " * 40 + "a naked woman") != ""


# ------------------------------------------------------------------------------------------------ letters


async def test_a_letter_is_told_when_the_chat_is_there_again(day: Moderated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailing, "FIRST_DELAY", 0.0)
    picture = await day.drawn()
    day.chat.failing = 2
    await day.reported(picture)  # the first try
    assert await day.mail.deliver() == 0 and day.in_channel("mods") == []
    assert await day.mail.deliver() == 1
    assert len(day.in_channel("mods")) == 1
    assert await day.mail.deliver() == 0


async def test_what_no_chat_takes_for_a_day_is_left(day: Moderated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailing, "FIRST_DELAY", 0.0)
    picture = await day.drawn()
    day.chat.failing = mailing.MOST_TRIES
    await day.reported(picture)
    for _ in range(mailing.MOST_TRIES):
        await day.mail.deliver()
    assert day.chat.failing == 0 and await day.book.due() == ()


async def test_the_mail_goes_on_after_an_outage(day: Moderated, monkeypatch: pytest.MonkeyPatch) -> None:
    due, calls = day.book.due, 0

    async def broken(limit: int = 50, platforms: Sequence[str] | None = None):  # type: ignore[no-untyped-def]
        nonlocal calls
        calls += 1
        if calls < 3:
            raise Fault("fault.database", detail="gone")
        return await due(limit, platforms)

    monkeypatch.setattr(day.book, "due", broken)
    day.mail._poll = 0.01
    picture, shown, show = await day.drawn(), asyncio.Event(), day.chat.show

    async def noticed(reply_to: ReplyTo, card: Card, receipt: Receipt | None) -> Receipt | None:
        placed = await show(reply_to, card, receipt)
        shown.set()
        return placed

    monkeypatch.setattr(day.chat, "show", noticed)
    running = asyncio.create_task(day.mail.run())
    try:
        await day.say("report", picture.job_id, actor=BOB)
        async with asyncio.timeout(30):
            await shown.wait()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_what_was_told_long_ago_goes_when_the_bot_starts(day: Moderated, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only after a day: some bots are started anew more often."""
    tidied, tidy = asyncio.Event(), day.book.tidy

    async def noticed() -> None:
        await tidy()
        tidied.set()

    monkeypatch.setattr(day.book, "tidy", noticed)
    running = asyncio.create_task(day.mail.run())
    try:
        async with asyncio.timeout(30):
            await tidied.wait()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
