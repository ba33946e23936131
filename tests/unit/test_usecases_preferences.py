"""What members and servers prefer, saved styles and lists, and what becomes of a member's things."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace

import pytest

from bot.domain import Actor, Card, Place, Verb, Visibility
from engine.api import ImagineRequest
from tests.unit.house import ADA, BOB, ENGLISH, House

SERVER = Place(platform="web", server="guild", channel="art")
CHIEF = replace(BOB, admin=True)


async def request_of(house: House, text: str, *, actor: Actor = ADA, place: Place = SERVER) -> ImagineRequest:
    card = await house.say("imagine", text, actor=actor, place=place)
    assert card.job_id, card
    request = (await house.shown(card)).job.request
    assert isinstance(request, ImagineRequest)
    return request


async def test_what_was_said_beats_what_is_preferred_and_that_the_servers_default(house: House):
    await house.say("settings", "flags=--n 3 --stop 50", actor=CHIEF, place=SERVER)
    assert (await request_of(house, "a fox")).count == 3
    await house.say("prefer", "flags=--n 2", place=SERVER)
    preferred = await request_of(house, "a fox")
    assert preferred.count == 2 and preferred.stop == 0.5
    assert (await request_of(house, "a fox --n 1")).count == 1
    assert (await request_of(house, "a fox", actor=BOB)).count == 3


async def test_a_suffix_follows_every_prompt(house: House):
    await house.say("prefer", "suffix=in ink")
    assert (await request_of(house, "a fox --n 1")).parts[0].text == "a fox, in ink"


async def test_a_set_of_flags_has_a_name_of_ones_own(house: House):
    await house.say("prefer", "set=wide --ar 3:2 --n 1")
    request = await request_of(house, "a fox --wide")
    assert request.count == 1 and request.width > request.height


async def test_only_those_who_manage_a_server_change_its_settings(house: House):
    card = await house.say("settings", "flags=--n 3", place=SERVER)
    assert card.text == ENGLISH.say("refused.admins_only") and not await house.store.preferences(SERVER.owner)
    assert (await house.say("settings", actor=CHIEF)).text == ENGLISH.say("refused.no_server")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flags=a fox", "refused.flags_only"),
        ("flags=--seed 7", "refused.no_default_seed"),
        ("remix=perhaps", "refused.on_or_off"),
        ("lane=slow", "refused.not_one_of"),
        ("nonsense=1", "refused.unknown_setting"),
        ("sufix=in ink", "refused.no_such_setting"),
        ("set=ar --n 2", "refused.bad_set_name"),
    ],
)
async def test_a_wrong_preference_changes_nothing(house: House, text: str, message: str):
    card = await house.say("prefer", text)
    assert card.visibility is Visibility.PRIVATE and card.text.startswith(beginning(message))
    assert not await house.store.preferences(ADA.key)


def beginning(message: str) -> str:
    """The words of a message before its first parameter."""
    parameters = dict.fromkeys(ENGLISH.parameters(message), "\0")
    parameters.update({name: ("\0",) for name in ("choices", "known") if name in parameters})
    return ENGLISH.say(message, **parameters).split("\0")[0].split("“")[0]


async def test_a_command_that_is_turned_off_says_so(house: House):
    await house.say("settings", "off=morph, blend", actor=CHIEF, place=SERVER)
    card = await house.say("morph", "a | b", place=SERVER)
    assert card.text == ENGLISH.say("refused.turned_off", name="morph")
    assert (await house.say("settings", "off=settings", actor=CHIEF, place=SERVER)).text == ENGLISH.say("refused.no_such_command", given="settings")


async def test_a_server_may_keep_the_bot_to_its_channels(house: House):
    await house.say("settings", "channels=art", actor=CHIEF, place=SERVER)
    elsewhere = replace(SERVER, channel="talk")
    assert (await house.say("imagine", "a fox", place=elsewhere)).text == ENGLISH.say("refused.not_here")
    assert (await house.say("imagine", "a fox", place=SERVER)).job_id
    assert (await house.say("help", place=elsewhere)).title == ENGLISH.say("help.title")


async def test_a_saved_style_is_words_and_flags(house: House):
    await house.say("styles", "save noir in black and white --n 1")
    request = await request_of(house, "a fox --style noir")
    assert request.count == 1 and "black and white" in request.parts[0].text
    assert (await house.say("styles", "drop noir")).title == ENGLISH.say("styles.title")
    assert not (await house.say("imagine", "a fox --style noir")).job_id


async def test_a_servers_style_is_everybodys(house: House):
    await house.say("styles", "server save house in gold --n 1", actor=CHIEF, place=SERVER)
    assert "in gold" in (await request_of(house, "a fox --style house")).parts[0].text
    assert (await house.say("styles", "server save house in red", place=SERVER)).text == ENGLISH.say("refused.admins_only")


async def test_a_list_of_ones_own_fills_a_wildcard(house: House):
    await house.say("lists", "save beast newt")
    assert (await request_of(house, "a __beast__ --n 1")).parts[0].text == "a newt"


async def test_the_language_chosen_beats_the_platforms(house: House):
    card = await house.say("prefer", "locale=xx")
    assert card.visibility is Visibility.PRIVATE and not await house.store.preferences(ADA.key)
    for code in house.studio.catalogues.codes:
        await house.say("prefer", f"locale={code}")
        title = (await house.say("history", actor=replace(ADA, locale="en"))).title
        assert title == house.studio.catalogues.of(code).say("history.title")


async def test_relaxed_is_a_lane_and_costs_half(house: House):
    full = (await house.shown(await house.imagine("a fox --n 1"))).job
    relaxed = (await house.shown(await house.imagine("a fox --n 1 --relax"))).job
    assert relaxed.relaxed and not full.relaxed and relaxed.cost == pytest.approx(full.cost / 2, rel=0.02)
    await house.say("prefer", "lane=relax")
    assert (await house.shown(await house.imagine("a fox --n 1"))).job.relaxed
    assert not (await house.shown(await house.imagine("a fox --n 1 --fast"))).job.relaxed


async def test_remix_mode_asks_for_the_words_before_a_variation(house: House):
    one = await house.drawn("a fox --n 1")
    await house.say("prefer", "remix=on")
    action = next(b.action for row in one.rows for b in row if b.action.verb is Verb.VARY)
    ack = house.studio.greet(house.press(action))
    assert ack.form is not None and "a fox" in ack.form.fields[0].value
    child = await house.end(await house.studio.handle(house.submit(ack.form.name, "an owl --n 1")))
    request = (await house.shown(child)).job.request
    assert isinstance(request, ImagineRequest) and request.source and request.parts[0].text == "an owl"


def opened(card: Card) -> zipfile.ZipFile:
    return zipfile.ZipFile(card.documents[0].path)


async def test_a_member_takes_everything_along_and_is_forgotten(house: House):
    one = await house.drawn("a fox --n 2")
    await house.say("prefer", "suffix=in ink")
    archive = opened(await house.say("privacy", "export"))
    assert json.loads(archive.read("jobs.json"))[0]["words"] == "a fox --n 2"
    assert json.loads(archive.read("member.json"))["preferences"] == {"suffix": "in ink"}
    assert len([name for name in archive.namelist() if name.startswith("pictures/")]) == 3
    form = house.studio.greet(house.command("privacy", "forget")).form
    assert form is not None
    refused = await house.studio.handle(house.submit(form.name, "", sure="perhaps"))
    assert refused.text == ENGLISH.say("refused.not_sure", word=ENGLISH.say("privacy.forget_word")) and await house.store.everything(ADA.key)
    await house.studio.handle(house.submit(form.name, "", sure=ENGLISH.say("privacy.forget_word")))
    assert not await house.store.everything(ADA.key) and not await house.store.preferences(ADA.key)
    assert (await house.say("show", one.job_id)).text == ENGLISH.say("error.not_found")
