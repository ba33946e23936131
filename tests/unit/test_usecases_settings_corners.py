"""Corners of what servers set and members keep: no way around a setting, no setting that breaks every prompt, everything in a copy."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace

import pytest

from bot.domain import Action, Actor, Card, Place, Press, Submit, Upload, Verb, Visibility
from bot.usecases import privacy
from tests.unit.house import ADA, BOB, ENGLISH, REPLY, House, button
from tests.unit.test_studio import png

SERVER = Place(platform="web", server="guild", channel="art")
CHIEF = replace(BOB, admin=True)
NOBODY = "0" * 26


def press(house: House, action: Action, actor: Actor = ADA) -> Press:
    return Press(actor=actor, place=SERVER, reply_to=REPLY, delivery_id=house.delivery(), action=action.encode())


def filled(house: House, form: str, words: str = "") -> Submit:
    return house.submit(form, words, place=SERVER)


async def settle(house: House, text: str) -> Card:
    return await house.say("settings", text, actor=CHIEF, place=SERVER)


# ------------------------------------------------------------------------------------------------ no way around


async def test_what_is_turned_off_is_off_for_buttons_and_forms_too(house: House):
    grid = await house.drawn("a fox --n 1")
    offer = await house.studio.offer(ADA, "prompts", ["an owl --n 1"])
    await settle(house, "off=imagine describe upscale prefer")
    events = {
        "imagine": (
            press(house, Action(verb=Verb.RUN, job_id=offer.id, index=0)),
            filled(house, Action(verb=Verb.REMIX, job_id=grid.job_id).encode(), "an owl"),
            filled(house, "imagine", "an owl"),
        ),
        "describe": (press(house, Action(verb=Verb.DESCRIBE, job_id=grid.job_id, index=0)),),
        "upscale": (press(house, Action(verb=Verb.UPSCALE, job_id=grid.job_id, index=0, argument="2")),),
        "prefer": (press(house, Action(verb=Verb.CHOOSE, job_id=NOBODY, argument="lane=relax")),),
    }
    for name, each in ((name, each) for name, several in events.items() for each in several):
        assert (await house.studio.handle(each)).text == ENGLISH.say("refused.turned_off", name=name), each
    assert len(await house.store.history(ADA.key)) == 1 and not await house.store.preferences(ADA.key)


async def test_nobody_is_asked_for_the_words_of_a_command_that_is_turned_off(house: House):
    await settle(house, "off=imagine")
    ack = house.studio.greet(house.command("imagine", place=SERVER))
    assert ack.form is None and ack.visibility is Visibility.PRIVATE
    assert house.studio.greet(house.command("imagine", "a fox", place=SERVER)).visibility is Visibility.PRIVATE


async def test_where_only_owners_may_draw_from_a_picture_no_command_does(house: House):
    grid = await house.drawn("a fox --n 1")
    await settle(house, "press=owner")
    card = await house.say("upscale", grid.job_id, actor=BOB, place=SERVER)
    assert card.text == ENGLISH.say("refused.not_yours")


async def test_where_only_owners_may_draw_nobody_else_paints_first(house: House):
    house.studio.painter = lambda actor, job_id, index: f"https://example.org/{job_id}"
    card = await house.end(await house.say("imagine", "a fox --n 1", place=SERVER))
    await settle(house, "press=owner")
    region = Action(verb=Verb.REGION, job_id=card.job_id, index=0)
    assert (await house.studio.handle(press(house, region, BOB))).text == ENGLISH.say("refused.not_yours")
    assert (await house.studio.handle(press(house, region))).links


async def test_nobody_paints_their_way_into_another_server(house: House):
    house.studio.painter = lambda actor, job_id, index: f"https://example.org/{job_id}"
    card = await house.end(await house.say("imagine", "a fox --n 1", place=SERVER))
    region = Action(verb=Verb.REGION, job_id=card.job_id, index=0)
    elsewhere = replace(press(house, region, BOB), place=Place(platform="web", server="another", channel="art"))
    assert (await house.studio.handle(elsewhere)).text == ENGLISH.say("refused.not_yours")
    for actor, event in ((BOB, press(house, region, BOB)), (ADA, replace(elsewhere, actor=ADA, delivery_id=house.delivery()))):
        assert (await house.studio.handle(event)).links, actor


async def test_a_copy_by_direct_message_is_of_what_was_drawn_on_a_server(house: House):
    await house.say("prefer", "direct=on")
    openly, alone = await house.say("imagine", "a fox --n 1", place=SERVER), await house.imagine("a fox --n 1")
    theirs = await house.say("imagine", "a fox --n 1", place=SERVER, actor=BOB)
    assert [await house.studio.likes_copy(card.job_id) for card in (openly, alone, theirs)] == [True, False, False]


async def test_a_question_kept_by_an_older_version_is_answered_still(house: House):
    card = await house.imagine("a {red, blue, green, white, black, grey} fox --n 1")
    offer = await house.store.offered(button(card, Verb.RUN).action.job_id)
    before = [{name: value for name, value in each.items() if name != "parent"} for each in offer.facts["orders"]]
    await house.store.offer(replace(offer, facts={"orders": before}))
    await house.push(card, Verb.RUN)
    assert len(await house.store.history(ADA.key)) == 6


async def test_a_servers_settings_are_shown_to_those_alone_who_manage_it(house: House):
    await settle(house, "suffix=our secret brand")
    ask = Action(verb=Verb.ASK, job_id=NOBODY, argument="!suffix")
    theirs = house.studio.greet(press(house, ask))
    assert theirs.form is None and theirs.card is not None and theirs.card.text == ENGLISH.say("refused.admins_only")
    form = house.studio.greet(press(house, ask, CHIEF)).form
    assert form is not None and form.fields[0].value == "our secret brand"


async def test_a_command_nobody_can_turn_off_is_not_said_to_be(house: House):
    card = await settle(house, "off=privacy")
    assert card.text == ENGLISH.say("refused.no_such_command", given="privacy") and not await house.store.preferences(SERVER.owner)


# ------------------------------------------------------------------------------------------------ nothing that breaks every prompt


@pytest.mark.parametrize("flags", ["--size 8x8", "--sampler nonsense", "--sref", "--sketch", "--iw 2", "--best 2 --n 4", "--steps 400", "--lora nonsense"])
async def test_no_default_breaks_every_prompt(house: House, flags: str):
    await settle(house, f"flags={flags}")
    assert (await house.imagine("a fox", place=SERVER)).job_id


async def test_a_default_that_cannot_be_drawn_with_is_refused_when_it_is_said(house: House):
    for text in ("flags=--size 8x8", "flags=--sampler nonsense"):
        await settle(house, text)
        await house.say("prefer", text)
    assert not await house.store.preferences(SERVER.owner) and not await house.store.preferences(ADA.key)


async def test_a_set_of_flags_too_long_to_keep_is_refused_whole(house: House):
    flags = "--no " + ", ".join(["cats"] * 120)
    card = await house.say("prefer", f"set=plain {flags}")
    assert card.text == ENGLISH.say("refused.too_long_setting", length=len(flags), limit=500) and not await house.store.preferences(ADA.key)


async def test_a_set_of_flags_counts_wherever_words_are_read(house: House):
    await house.say("prefer", "set=wide --ar 3:2")
    for name, text in (("shorten", "a red fox in the deep snow --wide"), ("morph", "a fox | an owl --wide")):
        assert house.studio.greet(house.command(name, text)).card is None, name
        assert (await house.say(name, text)).title != ENGLISH.say("card.sorry"), name


async def test_a_members_own_list_goes_before_the_servers(house: House):
    await house.say("lists", "server save pet dog", actor=CHIEF, place=SERVER)
    await house.say("lists", "save pet cat", place=SERVER)
    await house.imagine("a __pet__ --n 1", place=SERVER)
    assert (await house.store.history(ADA.key))[0].job.words == "a cat --n 1"


# ------------------------------------------------------------------------------------------------ a copy of everything


async def test_a_copy_has_what_was_sent_and_what_was_offered_and_what_was_liked(house: House):
    card = await house.drawn("a fox --n 1", uploads=(Upload(name="mine.png", data=png()),))
    await house.push(card, Verb.FAVOURITE)
    await house.studio.offer(ADA, "prompts", ["an owl of a description"])
    await house.studio.offer(BOB, "prompts", ["somebody else's"])
    (document,) = (await house.say("privacy", "export")).documents
    archive = zipfile.ZipFile(document.path)
    (job,) = json.loads(archive.read("jobs.json"))
    member = json.loads(archive.read("member.json"))
    (sent,) = (await house.shown(card)).job.request.pictures
    assert any(sent in name for name in archive.namelist())
    assert any(each["favourite"] for each in job["pictures"])
    assert [each["prompts"] for each in member["offers"]] == [["an owl of a description"]]


async def test_a_copy_of_more_pictures_than_memory_holds_names_the_others(house: House, monkeypatch: pytest.MonkeyPatch):
    await house.drawn("a fox --n 4")
    monkeypatch.setattr(privacy, "MOST_BYTES", 1)
    (document,) = (await house.say("privacy", "export")).documents
    archive = zipfile.ZipFile(document.path)
    assert not [name for name in archive.namelist() if name.startswith("pictures/")]
    assert len(json.loads(archive.read("member.json"))["pictures_left_out"]) == 5
