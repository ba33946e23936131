"""The prompt gate where words become jobs: whatever road they come by, what is refused is told with its rule, is written nowhere and costs nothing."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from bot.domain import Ack, Action, Card, Place, Upload, Verb, Visibility
from bot.drawing import is_read_at_once
from bot.gate import Asked, People, Policy, Sexual
from tests.unit.house import ADA, ENGLISH, House, open_house

GRACE = replace(ADA, id="grace", name="Grace", admin=True)
SERVER = Place(platform="web", server="s", channel="art")
SEXUAL, MINORS, EDITS = (ENGLISH.say(f"refused.gate_{rule}") for rule in ("sexual", "minors", "edits"))


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(f"sqlite:///{tmp_path / 'bot.db'}", tmp_path) as opened:
        yield opened


def photograph() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(out, "PNG")
    return out.getvalue()


def form(verb: Verb, card: Card) -> str:
    return Action(verb=verb, job_id=card.job_id, index=0).encode()


async def refused(house: House, card: Card, sentence: str) -> None:
    assert card.text.startswith(sentence), card
    assert card.visibility is Visibility.PRIVATE and not card.job_id
    assert await house.balance() == 60
    assert (await house.store.load()).queued == 0


async def test_what_is_refused_is_told_with_its_rule_and_costs_nothing(house: House) -> None:
    for words, sentence in (("a naked woman", SEXUAL), ("a n.a.k.e.d woman", SEXUAL), ("nude girl, 9 years old", MINORS)):
        await refused(house, await house.imagine(words), sentence)
    assert (await house.imagine("a naked mole rat --n 1")).job_id, "it is an animal"


async def test_it_is_told_to_their_author_alone_already_when_it_is_acknowledged(house: House) -> None:
    ack: Ack = house.studio.greet(house.command("imagine", "a naked woman"))
    assert ack.visibility is Visibility.PRIVATE and ack.card is not None and ack.card.text.startswith(SEXUAL)
    assert house.studio.greet(house.command("imagine", "a fox")).visibility is Visibility.PUBLIC


async def test_one_prompt_of_a_set_is_enough(house: House) -> None:
    await refused(house, await house.imagine("a {clothed, naked} woman --n 1"), SEXUAL)
    many = await house.imagine("a {red, green, blue, white, black, grey, naked} woman --n 1")
    await refused(house, many, SEXUAL)


async def test_words_that_styles_lists_and_preferences_add_are_read_as_well(house: House) -> None:
    await house.say("styles", "save bare naked woman")
    await refused(house, await house.imagine("a portrait --style bare"), SEXUAL)
    await house.say("lists", "save look naked")
    await refused(house, await house.imagine("a __look__ woman"), SEXUAL)
    await house.say("prefer", "suffix=naked woman")
    await refused(house, await house.imagine("a portrait"), SEXUAL)


async def test_both_ends_of_a_morph_and_what_is_kept_away_are_read(house: House) -> None:
    await refused(house, await house.say("morph", "a fox | a naked woman"), SEXUAL)
    await refused(house, await house.imagine("a woman --no clothes"), SEXUAL)


async def test_long_words_are_read_to_their_end(house: House) -> None:
    await refused(house, await house.imagine("a fox in the snow, " * 200 + "a naked woman"), SEXUAL)


def test_words_that_take_long_to_be_read_are_not_read_on_the_loop():
    assert is_read_at_once(Asked(wanted="a fox in the snow, " * 40, unwanted="a hat")), "usual words"
    assert is_read_at_once(Asked(wanted="n u d e"))
    assert not is_read_at_once(Asked(wanted="a fox in the snow, " * 60))
    assert not is_read_at_once(Asked(wanted="a $ c ! " * 20)), "letters that stand alone"


async def test_other_words_by_a_form_and_a_phrase_are_read(house: House) -> None:
    card = await house.drawn("a woman --n 1")
    spent = await house.balance()
    remixed = await house.studio.handle(house.submit(form(Verb.REMIX, card), "a naked woman"))
    assert remixed.text.startswith(SEXUAL)
    region = await house.studio.handle(house.submit(form(Verb.REGION, card), "a woman", what="naked breasts"))
    assert region.text.startswith(SEXUAL)
    assert await house.balance() == spent


async def test_a_picture_from_outside_is_not_made_into_a_sexual_one_whatever_job_it_came_by(house: House) -> None:
    house.studio.policy = Policy(sexual=Sexual.ALLOW)
    await refused(house, await house.imagine("the same without clothes, topless", uploads=(Upload(name="me.png", data=photograph()),)), EDITS)
    again = await house.drawn("a woman in a red coat --n 1", uploads=(photograph(),))
    spent = await house.balance()
    edited = await house.studio.handle(house.submit(form(Verb.VARY, again), "a topless woman"))
    assert edited.text.startswith(EDITS), edited
    assert await house.balance() == spent
    own = await house.drawn("a woman in a blue coat --n 1")
    edited = await house.studio.handle(house.submit(form(Verb.VARY, own), "a topless woman"))
    assert edited.job_id, "this one was drawn here"
    house.studio.policy = Policy(sexual=Sexual.ALLOW, edits=True)
    assert (await house.imagine("a topless woman --n 1", uploads=(photograph(),))).job_id


async def test_who_manages_a_server_loosens_and_tightens_it_there_alone(house: House) -> None:
    async def ask(words: str, place: Place = SERVER) -> Card:
        return await house.imagine(words, place=place)

    assert (await ask("a naked woman")).text.startswith(SEXUAL)
    denied = await house.say("settings", "adult=art", place=SERVER)
    assert denied.text.startswith(ENGLISH.say("refused.admins_only"))
    await house.say("settings", "adult=<#art>", place=SERVER, actor=GRACE)
    assert (await ask("a naked woman --n 1")).job_id
    assert (await ask("a naked woman", replace(SERVER, channel="lobby"))).text.startswith(SEXUAL)
    assert (await ask("a naked woman", replace(SERVER, age_restricted=False))).text.startswith(SEXUAL), "the platform says that the young are there"
    assert (await ask("nude girl, 9 years old")).text.startswith(MINORS), "whatever the settings"
    await house.say("settings", "rules=dragon*, swamp", place=SERVER, actor=GRACE)
    assert (await ask("three dragons")).text.startswith(ENGLISH.say("refused.gate_words", word="dragon*"))
    assert (await house.imagine("three dragons --n 1")).job_id, "elsewhere they are drawn"


async def test_what_may_be_drawn_behind_a_click_stands_behind_one(house: House) -> None:
    house.studio.policy = Policy(sexual=Sexual.HIDE)
    card = await house.drawn("a naked woman --n 1")
    assert card.spoiler and card.pictures and (await house.shown(card)).job.hidden
    assert not (await house.drawn("a fox --n 1")).spoiler


async def test_who_manages_a_server_chooses_channels_where_it_stands_behind_a_click(house: House) -> None:
    lobby = replace(SERVER, age_restricted=False)
    await house.say("settings", "spoiler=<#art>, <#lounge>", place=SERVER, actor=GRACE)
    card = await house.drawn("a naked woman --n 1", place=lobby)
    assert card.spoiler and card.pictures
    assert not (await house.drawn("a fox --n 1", place=lobby)).spoiler
    assert (await house.imagine("a naked woman", place=replace(SERVER, channel="kitchen"))).text.startswith(SEXUAL), "nobody named that one"
    assert (await house.imagine("nude girl, 9 years old", place=lobby)).text.startswith(MINORS), "whatever the settings"
    held = dict((await house.say("settings", "adult=<#art>", place=SERVER, actor=GRACE)).details)
    assert (held[ENGLISH.say("preference.adult")], held[ENGLISH.say("preference.spoiler")]) == ("art", "lounge"), "the newest choice holds"
    assert not (await house.drawn("a naked woman --n 1", place=SERVER)).spoiler
    held = dict((await house.say("settings", "spoiler=", place=SERVER, actor=GRACE)).details)
    assert (held[ENGLISH.say("preference.adult")], held[ENGLISH.say("preference.spoiler")]) == ("art", ENGLISH.say("prefer.none"))
    denied = await house.say("settings", "spoiler=kitchen", place=SERVER)
    assert denied.text.startswith(ENGLISH.say("refused.admins_only"))


async def test_a_setting_that_makes_no_sense_is_refused_and_an_empty_one_is_the_operators_again(house: House) -> None:
    async def settings(text: str) -> Card:
        return await house.say("settings", text, place=SERVER, actor=GRACE)

    assert "*" in (await settings("rules=a*b*c")).text
    assert "refuse" in (await settings("people=maybe")).text
    assert dict((await settings("artists=off")).details)[ENGLISH.say("preference.artists")] == ENGLISH.say("settings.artists_off")
    assert dict((await settings("artists=")).details)[ENGLISH.say("preference.artists")] == ENGLISH.say("settings.artists_usual")
    house.studio.policy = Policy(people=People.ALLOW)
    await settings("people=refuse")
    assert dict((await settings("")).details)[ENGLISH.say("preference.people")] == ENGLISH.say("settings.people_refuse")
