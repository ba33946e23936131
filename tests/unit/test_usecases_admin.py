"""`/admin`: what those who manage a server set, who is banned, what is purged, announced and counted; all of it in the audit log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.domain import Status, Visibility
from bot.domain.moderation import Deed
from bot.errors import NotFound
from bot.gate import LOOSENED, Policy
from bot.usecases.admin import SAID
from tests.unit.house import ADA, BOB, ENGLISH
from tests.unit.moderated import CHIEF, MOD, MODS, NOWHERE, PICTURES, Moderated, moderated

say = ENGLISH.say


@pytest.fixture
async def day(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Moderated]:
    async with moderated(sqlite_url, tmp_path) as there:
        yield there


async def settings(day: Moderated) -> dict[str, object]:
    return dict(await day.house.store.preferences(PICTURES.owner))


async def test_only_those_who_manage_the_server_are_obeyed(day: Moderated) -> None:
    await day.admin("moderators here", place=MODS)
    for text in ("", "pause", "words add spider", "unban ada", "purge 24h yes", "announce hi", "log", "stats", "people allow"):
        assert (await day.admin(text, actor=MOD, place=MODS)).text == say("refused.admins_only")
    assert not (await day.admin("cases", actor=MOD, place=MODS)).refusal
    assert (await day.admin("cases", actor=MOD)).text == say("refused.admins_only")
    assert (await day.admin("pause", place=NOWHERE)).text == say("refused.no_server")
    assert [each.deed for each in await day.log()] == [Deed.SET]


async def test_what_holds_is_shown_and_a_slip_is_answered_with_what_was_meant(day: Moderated) -> None:
    card = await day.admin("")
    shown = dict(card.details)
    assert shown["State"] == "Taking requests" and shown["Cases waiting"] == "0" and card.visibility is Visibility.PRIVATE
    assert (await day.admin("purg 24h")).text == say("refused.no_such_admin", given="purg", near="purge")
    unknown = (await day.admin("xyzzy")).text
    assert all(name in unknown for name in SAID)


# ------------------------------------------------------------------------------------------------ taking requests


async def test_paused_nothing_new_is_taken_and_nothing_charged_until_it_is_resumed(day: Moderated) -> None:
    before = await day.house.balance()
    assert (await day.admin("pause")).text == say("admin.paused")
    assert (await day.say("imagine", "a fox")).text == say("refused.paused")
    assert await day.house.balance() == before
    assert not (await day.say("imagine", "a fox", place=NOWHERE)).refusal
    assert (await day.admin("resume")).text == say("admin.resumed")
    assert not (await day.say("imagine", "a fox")).refusal
    assert [each.deed for each in await day.log()] == [Deed.RESUME, Deed.PAUSE]


async def test_draining_takes_nothing_new_and_says_what_is_left(sqlite_url: str, tmp_path: Path) -> None:
    async with moderated(sqlite_url, tmp_path) as day:
        await day.drawn()
        assert (await day.admin("drain")).text == say("admin.drained", queued=0, running=0)
        assert (await day.say("imagine", "a fox")).text == say("refused.paused")
        assert (await day.log())[0].deed is Deed.DRAIN


async def test_private_makes_everything_private_from_its_first_word(day: Moderated) -> None:
    await day.admin("private on")
    ack = day.house.studio.greet(day.house.command("imagine", "a fox", place=PICTURES))
    card = await day.say("imagine", "a fox")
    assert (ack.visibility, card.visibility) == (Visibility.PRIVATE, Visibility.PRIVATE)
    assert (await day.house.store.shown(card.job_id)).job.private
    await day.admin("private off")
    assert (await day.say("imagine", "a fox")).visibility is Visibility.PUBLIC
    assert [each.detail["loosens"] for each in await day.log()] == [True, False]
    assert (await day.admin("private maybe")).text == say("refused.on_or_off", given="maybe")


async def test_a_role_is_given_more_credits_or_none(day: Moderated) -> None:
    await day.admin("limit everyone 0.01")
    assert "credits" in (await day.say("imagine", "a fox")).text
    await day.admin("limit <@&77> 1")
    assert not (await day.say("imagine", "a fox", actor=replace(ADA, roles=("77",)))).refusal
    await day.admin("limit everyone 0")
    assert (await day.say("imagine", "a fox")).text == say("refused.no_role")
    await day.admin("limit everyone")
    assert (await settings(day))["roles"] == {"77": 1.0}
    assert (await day.admin("limit everyone lots")).text == say("refused.limit_factor", low=0.0, high=1.0, given="lots")
    assert (await day.admin("limit")).text == say("refused.limit_what")


async def test_channels_and_commands_are_set_as_by_settings_and_logged_by_both_roads(day: Moderated) -> None:
    await day.admin("channels <#pictures> #mods")
    assert (await day.say("imagine", "a fox", place=replace(PICTURES, channel="other"))).text == say("refused.not_here")
    await day.admin("off imagine")
    assert (await day.say("imagine", "a fox")).text == say("refused.turned_off", name="imagine")
    await day.say("settings", "off=", actor=CHIEF)
    assert not (await day.say("imagine", "a fox")).refusal
    assert [(each.detail["names"], each.detail["loosens"]) for each in await day.log()] == [("off", True), ("off", False), ("channels", False)]
    assert (await day.admin("off admin")).text == say("refused.no_such_command", given="admin")


# ------------------------------------------------------------------------------------------------ what may be drawn


async def test_the_gates_settings_are_set_here_too_and_what_loosens_is_logged(day: Moderated) -> None:
    day.house.studio.policy = Policy(servers=frozenset(LOOSENED))
    await day.admin("people allow")
    await day.admin("artists off")
    await day.admin("adult <#mods>")
    found = await settings(day)
    assert (found["people"], found["artists"], found["adult"]) == ("allow", False, ["mods"])
    assert [(each.detail["names"], each.detail["loosens"]) for each in await day.log()] == [("adult", True), ("artists", True), ("people", True)]
    assert (await day.log())[1].detail["settings"] == {"artists": {"before": None, "after": False}}
    await day.admin("artists")
    assert "artists" not in await settings(day) and (await day.log())[0].detail["loosens"] is False


async def test_a_channel_is_made_to_hide_or_to_show_and_only_what_loosens_is_logged_as_such(day: Moderated) -> None:
    await day.admin("spoiler <#pictures> <#mods>")
    await day.admin("adult <#mods>")
    found = await settings(day)
    assert (found["spoiler"], found["adult"]) == (["pictures"], ["mods"])
    await day.say("settings", "spoiler=pictures, mods", actor=CHIEF)
    await day.admin("spoiler")
    assert not {"spoiler", "adult"} & {*await settings(day)}
    logged = [(each.detail["names"], each.detail["loosens"]) for each in await day.log()]
    assert logged == [("spoiler", False), ("adult, spoiler", False), ("adult, spoiler", True), ("spoiler", True)]
    denied = await day.admin("spoiler pictures", actor=MOD, place=MODS)
    assert denied.text == say("refused.admins_only")


async def test_word_rules_are_added_shown_and_dropped(day: Moderated) -> None:
    await day.admin("words add spider*")
    assert (await day.admin("words add Köln Dom")).text == "spider*\nKöln Dom"
    await day.admin("words add SPIDER*")
    assert (await settings(day))["rules"] == "spider*\nKöln Dom"
    assert (await day.say("imagine", "a SPIDER")).text.startswith(say("refused.gate_words", word="spider*"))
    assert (await day.admin("words drop Spider*")).text == "Köln Dom"
    assert (await day.admin("words drop spider*")).text == say("refused.no_such_rule", given="spider*")
    assert (await day.admin("words add a*")).refusal and (await day.admin("words shred")).text == say("refused.words_add_or_drop")
    assert (await settings(day))["rules"] == "Köln Dom"


# ------------------------------------------------------------------------------------------------ members


async def test_a_member_is_banned_by_mention_for_a_while_and_taken_back(day: Moderated) -> None:
    waiting = await day.say("imagine", "a fox")
    assert (await day.admin("ban <@!ada> 7d")).text == say("admin.banned")
    await day.mail.deliver()
    assert "7 days" in (await day.say("imagine", "a fox")).text
    assert day.letters(ADA) == [say("letter.banned_until", wait=7 * 86400.0)]
    assert (await day.house.store.shown(waiting.job_id)).job.status.ended
    assert "until" in (await day.admin("bans")).text
    assert (await day.admin("unban ada")).text == say("admin.unbanned")
    assert not (await day.say("imagine", "a fox")).refusal
    assert (await day.admin("unban ada")).text == say("refused.not_banned")
    assert [each.deed for each in await day.log()] == [Deed.UNBAN, Deed.BAN]


async def test_a_ban_that_means_nobody_or_oneself_is_refused(day: Moderated) -> None:
    assert (await day.admin("ban")).text == say("refused.which_member", given="")
    assert (await day.admin("ban <@chief>")).text == say("refused.ban_yourself")
    assert (await day.admin("ban bob forever")).text == say("refused.which_span", given="forever")
    assert (await day.admin("ban bob 0d")).refusal and (await day.admin("ban bob 99999d")).refusal
    assert await day.book.bans() == ()


async def test_members_of_a_workspace_are_meant_by_what_their_ids_share(day: Moderated) -> None:
    chief = replace(CHIEF, platform="slack", id="T1:U9")
    await day.admin("ban <@U7|ada>", actor=chief)
    (ban,) = await day.book.bans()
    assert ban.alias == day.book.alias("slack:T1:U7")


@pytest.mark.parametrize(("chief", "ident"), [("T1:U9", "U7"), ("900", "700")], ids=["slack", "discord"])
async def test_a_name_is_no_id_and_bans_nobody(day: Moderated, chief: str, ident: str) -> None:
    """Slack hands on "@ada" as it was typed unless its app says otherwise; and anybody may type a name."""
    asks = replace(CHIEF, platform="slack", id=chief)
    for text in ("ban @ada", "ban ada 7d", "unban ada", "purge ada yes"):
        assert (await day.admin(text, actor=asks)).text == say("refused.which_member", given=text.split()[1])
    assert await day.book.bans() == ()
    assert (await day.admin(f"ban <@{ident}>", actor=asks)).text == say("admin.banned")


async def test_a_member_is_purged_only_when_it_is_said_twice(day: Moderated) -> None:
    first, second, others = await day.drawn(), await day.drawn(), await day.drawn(actor=BOB)
    assert (await day.admin("purge <@ada>")).text == say("admin.purge_sure", count=2, target="<@ada>")
    assert (await day.house.store.shown(first.job_id)).job.status is Status.DONE
    assert (await day.admin("purge <@ada> yes")).text == say("admin.purged", count=2)
    for gone in (first, second):
        with pytest.raises(NotFound):
            await day.house.store.shown(gone.job_id)
    assert (await day.house.store.shown(others.job_id)).artifacts
    await day.mail.deliver()
    assert [bool(card.pictures) for card in day.in_channel("pictures")] == [False, False, True]
    newest = (await day.log())[0]
    assert (newest.deed, newest.subject, newest.detail) == (Deed.PURGE, day.book.alias(ADA.key), {"count": 2})


async def test_the_last_hours_are_purged_whoever_drew(day: Moderated) -> None:
    await day.drawn()
    await day.drawn(actor=BOB)
    kept = await day.drawn(place=NOWHERE)
    assert (await day.admin("purge 24h yes")).text == say("admin.purged", count=2)
    assert (await day.house.store.shown(kept.job_id)).artifacts
    assert (await day.admin("purge 24h yes")).text == say("admin.purged", count=0)


# ------------------------------------------------------------------------------------------------ all of them


async def test_an_announcement_goes_to_the_channels_the_bot_is_kept_to(day: Moderated) -> None:
    assert (await day.admin("announce back at noon", place=MODS)).text == say("admin.announced", count=1, channels="mods")
    await day.admin("channels one two")
    await day.admin("announce we are back")
    await day.mail.deliver()
    assert [card.text for card in day.in_channel("mods")] == ["back at noon"]
    assert [card.text for name in ("one", "two") for card in day.in_channel(name)] == ["we are back"] * 2
    assert (await day.admin("announce")).text == say("refused.announce_what", limit=1500)
    assert "noon" not in str(await day.log())


async def test_the_numbers_and_the_cases_that_wait(day: Moderated) -> None:
    await day.admin("moderators here", place=MODS)
    case = await day.reported(await day.drawn())
    shown = dict((await day.admin("stats 30d")).details)
    assert (shown["Jobs"], shown["Members who asked"], shown["Pictures reported"], shown["Cases waiting"]) == ("1", "1", "1", "1")
    assert case.id in (await day.admin("cases")).text
    one = await day.admin(f"cases {case.id}")
    assert one.visibility is Visibility.PRIVATE and len(one.rows[0]) == 4
    assert (await day.admin("stats soon")).text == say("refused.which_span", given="soon")


async def test_the_moderators_channel_is_chosen_where_the_bot_may_post(day: Moderated) -> None:
    assert (await day.admin("moderators there")).text == say("refused.moderators_where")
    await day.admin("moderators here", place=MODS)
    assert (await settings(day))["moderators"] == "mods"
    await day.admin("moderators off")
    assert await settings(day) == {}


async def test_what_is_known_of_a_member_is_in_their_export(day: Moderated) -> None:
    import json
    import zipfile

    await day.admin("moderators here", place=MODS)
    await day.reported(await day.drawn(actor=BOB), "my own words", actor=ADA)
    (document,) = (await day.say("privacy", "export")).documents
    kept = json.loads(zipfile.ZipFile(document.path).read("member.json"))
    assert [each["reason"] for each in kept["moderation"]["reports"]] == ["my own words"]
