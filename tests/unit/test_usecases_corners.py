"""Corners of what forms and buttons draw: whose words they show, what they keep private, what they ask first, and what they are paid."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain import Action, Job, Upload, Verb, Visibility
from bot.store.tables import deliveries
from engine.api import ImagineRequest, MorphRequest, UpscaleRequest
from tests.unit.house import ADA, BOB, ENGLISH, House, button
from tests.unit.test_studio import png

SIX = "a {red, blue, green, white, black, grey} fox --n 1"


async def newest(house: House) -> Job:
    return (await house.store.history(ADA.key))[0].job


def words_of(job: Job) -> str:
    assert isinstance(job.request, ImagineRequest)
    return job.request.parts[0].text


# ------------------------------------------------------------------------------------------------ whose words


@pytest.mark.parametrize("verb", [Verb.REMIX, Verb.ZOOM, Verb.REGION])
async def test_a_form_shows_nobody_the_words_of_anothers_private_picture(house: House, verb: Verb):
    secret = await house.drawn("a secret fox --n 1 --private")
    action = Action(verb=verb, job_id=secret.job_id, index=0)
    theirs, own = (house.studio.greet(house.press(action, actor=who)).form for who in (BOB, ADA))
    assert theirs is not None and own is not None
    assert not any("secret" in field.value for field in theirs.fields) and any("secret" in field.value for field in own.fields)
    on_message = house.studio.greet(house.command("remix", job_id=secret.job_id, actor=BOB)).form
    assert on_message is not None and not any("secret" in field.value for field in on_message.fields)


async def test_words_said_to_be_private_in_a_form_make_a_private_picture(house: House):
    grid = await house.drawn("a fox --n 1")
    zoom = Action(verb=Verb.ZOOM, job_id=grid.job_id, index=0).encode()
    card = await house.studio.handle(house.submit(zoom, "a fox in the dark --private", factor="1.5"))
    assert card.visibility is Visibility.PRIVATE and (await newest(house)).private
    region = Action(verb=Verb.REGION, job_id=grid.job_id, index=0).encode()
    card = await house.studio.handle(house.submit(region, "an owl --private", what="fox"))
    assert card.visibility is Visibility.PRIVATE and (await newest(house)).private


async def test_a_zoom_with_the_same_words_keeps_those_of_their_style(house: House):
    grid = await house.drawn("a fox --style ink --n 1")
    was = words_of((await house.shown(grid)).job)
    zoom = Action(verb=Verb.ZOOM, job_id=grid.job_id, index=0).encode()
    await house.studio.handle(house.submit(zoom, "a fox --style ink --n 1", factor="1.5"))
    assert words_of(await newest(house)) == was != "a fox"
    await house.studio.handle(house.submit(zoom, "an owl --style ink", factor="1.5"))
    assert words_of(await newest(house)) == was.replace("a fox", "an owl")


# ------------------------------------------------------------------------------------------------ a yes before many


async def test_a_remix_into_many_wants_a_yes_and_remembers_its_parent(house: House):
    grid = await house.drawn("a fox --n 1")
    remix = Action(verb=Verb.REMIX, job_id=grid.job_id).encode()
    card = await house.studio.handle(house.submit(remix, SIX))
    assert card.title == ENGLISH.say("offer.confirm_title") and len(await house.store.history(ADA.key)) == 1
    await house.push(card, Verb.RUN)
    drawn = [shown.job for shown in (await house.store.history(ADA.key))[:6]]
    assert {job.parent.job_id for job in drawn if job.parent} == {grid.job_id} and len({job.words for job in drawn}) == 6


async def test_a_button_and_a_blend_that_make_many_want_a_yes(house: House):
    offer = await house.studio.offer(ADA, "prompts", [SIX])
    card = await house.studio.handle(house.press(Action(verb=Verb.RUN, job_id=offer.id, index=0)))
    assert card.title == ENGLISH.say("offer.confirm_title")
    blended = await house.say("blend", SIX, uploads=(png(), png()))
    assert blended.title == ENGLISH.say("offer.confirm_title") and not await house.store.history(ADA.key)


async def test_a_question_before_many_is_greeted_as_what_it_is_a_private_word(house: House):
    assert house.studio.greet(house.command("imagine", SIX)).visibility is Visibility.PRIVATE
    assert house.studio.greet(house.command("imagine", "a {fox, owl} --n 1")).visibility is Visibility.PUBLIC


async def test_a_set_that_is_private_in_part_is_greeted_privately(house: House):
    assert house.studio.greet(house.command("imagine", "a {fox, owl --private} --n 1")).visibility is Visibility.PRIVATE


async def test_a_yes_said_again_long_after_its_delivery_was_forgotten_draws_nothing_more(house: House):
    card = await house.imagine(SIX)
    await house.push(card, Verb.RUN)
    await house.store.write(_forget_deliveries)
    again = await house.push(card, Verb.RUN)
    assert len(await house.store.history(ADA.key)) == 6 and again.title == ENGLISH.say("batch.title", count=6)


async def _forget_deliveries(db: AsyncConnection) -> None:
    await db.execute(delete(deliveries))


async def test_another_price_than_was_told_is_told_first(house: House, monkeypatch: pytest.MonkeyPatch):
    card = await house.imagine(SIX)
    dearer = tuple(replace(each, cost_factor=2.0) for each in house.engine.models())
    monkeypatch.setattr(house.engine, "models", lambda: dearer)
    monkeypatch.setattr(house.engine, "capabilities", lambda model: dearer[0])
    told = await house.push(card, Verb.RUN)
    assert told.title == card.title and told.text != card.text and not await house.store.history(ADA.key)
    await house.push(told, Verb.RUN)
    assert len(await house.store.history(ADA.key)) == 6


# ------------------------------------------------------------------------------------------------ remix mode


async def test_a_reroll_in_remix_mode_has_another_seed(house: House):
    grid = await house.drawn("a fox --n 1 --seed 7")
    await house.say("prefer", "remix=on")
    form = house.studio.greet(house.press(button(grid, Verb.REROLL).action)).form
    assert form is not None and form.fields[0].value == "a fox --n 1"
    for words in (form.fields[0].value, "", "a fox --n 1 --seed 7"):
        await house.studio.handle(house.submit(form.name, words))
        assert (await newest(house)).request.seed != 7


async def test_a_reroll_in_remix_mode_makes_the_same_kind_of_thing(house: House):
    grid = await house.drawn("a fox --n 1")
    clip = await house.end(await house.push(grid, Verb.ANIMATE))
    large = await house.end(await house.push(grid, Verb.CREATIVE))
    await house.say("prefer", "remix=on")
    for card, kind in ((clip, MorphRequest), (large, UpscaleRequest)):
        reroll = Action(verb=Verb.REROLL, job_id=card.job_id).encode()
        await house.studio.handle(house.submit(reroll, (await house.shown(card)).job.words))
        assert isinstance((await newest(house)).request, kind)


async def test_a_remixed_morph_is_a_morph(house: House):
    clip = await house.end(await house.say("morph", "a fox | an owl --seed 7"))
    remix = Action(verb=Verb.REMIX, job_id=clip.job_id).encode()
    await house.studio.handle(house.submit(remix, "a fox | a hare --seed 7"))
    job = await newest(house)
    assert isinstance(job.request, MorphRequest) and job.request.after[0].text == "a hare" and job.parent is not None


# ------------------------------------------------------------------------------------------------ what is paid


async def test_the_slow_lane_counts_for_forms_and_commands_too(house: House):
    grid = await house.drawn("a fox --n 1")
    await house.say("prefer", "lane=relax")
    zoom, region = (Action(verb=verb, job_id=grid.job_id, index=0).encode() for verb in (Verb.ZOOM, Verb.REGION))
    await house.studio.handle(house.submit(zoom, "", factor="1.5"))
    assert (await newest(house)).relaxed
    await house.studio.handle(house.submit(region, "", what="fox"))
    assert (await newest(house)).relaxed
    await house.say("upscale", grid.job_id)
    assert (await newest(house)).relaxed


# ------------------------------------------------------------------------------------------------ mistakes


async def test_a_mistake_in_a_list_is_shown_in_its_own_line(house: House):
    upload = Upload(name="list.txt", data=b"a fox\n\nan owl --nonsense 3\n", role="list")
    card = await house.imagine("--n 1", uploads=(upload,))
    line, carets = card.code.splitlines()[:2]
    assert line == "an owl --nonsense 3 --n 1" and line[carets.index("^") :].startswith("--nonsense")


async def test_a_mistake_in_a_morph_points_to_its_place_in_all_of_the_words(house: House):
    card = house.studio.greet(house.command("morph", "a fox | an owl --nonsense 3")).card
    assert card is not None
    line, carets = card.code.splitlines()[:2]
    assert line[carets.index("^") :].startswith("--nonsense")
