"""Buttons and reactions over a real store, the real queue and the fake engine: what is drawn, who may, and what stays private."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from bot.cards import MAX_EDGE
from bot.domain import GRID, Action, Status, Verb, Visibility
from bot.errors import NotFound
from engine.api import Request, UpscaleRequest
from engine.fake import FAKE_MODEL, FakeEngine
from tests.unit.house import ADA, BOB, ENGLISH, LIMITS, House, button, open_house
from tests.unit.test_studio import imagined

# ------------------------------------------------------------------------------------------------ buttons


async def test_u2_brings_that_picture_alone_enlarged(house: House):
    grid = await house.drawn("a fox --seed 7")
    single = await house.end(await house.push(grid, Verb.PICK, 1))
    shown, parent = await house.shown(single), await house.shown(grid)
    second = next(each for each in parent.artifacts if each.index == 1)
    assert shown.job.request == UpscaleRequest(model="fake", source=second.digest, factor=2, seed=8, width=128, height=128)
    assert (shown.artifacts[0].width, shown.artifacts[0].seed) == (256, 8)
    assert shown.job.parent is not None
    assert (shown.job.parent.job_id, shown.job.parent.verb, shown.job.parent.index) == (grid.job_id, "u", 1)
    assert "U2 of “a fox”." in single.text
    assert [child.id for child in parent.children] == [single.job_id]


async def test_a_small_models_pictures_are_finished_and_everything_goes_on_from_there(sqlite_url: str, tmp_path: Path):
    async with open_house(sqlite_url, tmp_path, FakeEngine((replace(FAKE_MODEL, finish=4),))) as house:
        grid = await house.drawn("a fox --seed 7")
        parent = await house.shown(grid)
        assert {(each.width, each.height) for each in parent.artifacts if each.index >= 0} == {(512, 512)}
        assert next(each.width for each in parent.artifacts if each.index == GRID) == 1024
        single = await house.end(await house.push(grid, Verb.PICK, 1))
        assert (await house.shown(single)).artifacts[0].width == 1024
        larger = await house.end(await house.push(single, Verb.UPSCALE, argument="2"))
        assert (await house.shown(larger)).artifacts[0].width == 2048
        varied = await house.shown(await house.end(await house.push(larger, Verb.VARY)))
        request = imagined(varied.job.request)
        assert (request.width, request.enlarge) == (128, 4)
        assert request.source == next(each.digest for each in parent.artifacts if each.index == 1)
        assert {each.width for each in varied.artifacts if each.index >= 0} == {512}
        again = await house.shown(await house.end(await house.push(grid, Verb.REROLL)))
        assert {each.width for each in again.artifacts if each.index >= 0} == {512}
        raw = await house.shown(await house.drawn("a fox --raw --n 1"))
        assert (raw.artifacts[0].width, raw.job.cost < 0.25) == (128, True)


async def test_v2_varies_that_picture_with_another_seed(house: House):
    grid = await house.drawn("a fox --seed 7 --ar 2:1 --n 2")
    card = await house.end(await house.push(grid, Verb.VARY, 1))
    shown = await house.shown(card)
    request = imagined(shown.job.request)
    assert request.source == next(each for each in (await house.shown(grid)).artifacts if each.index == 1).digest
    assert (request.width, request.height, request.count, request.strength, request.seed) == (176, 88, 4, 0.65, 1000)
    assert shown.job.words == "a fox --ar 2:1 --n 2"  # not the seed: it is another now


async def test_varying_an_enlarged_picture_starts_from_it_as_it_was_drawn(house: House):
    grid = await house.drawn("a fox")
    single = await house.end(await house.push(grid, Verb.PICK, 2))
    larger = await house.end(await house.push(single, Verb.UPSCALE, argument="2"))
    assert (await house.shown(larger)).artifacts[0].width == 512
    varied = await house.end(await house.push(larger, Verb.VARY))
    request = imagined((await house.shown(varied)).job.request)
    assert request.source == next(each for each in (await house.shown(grid)).artifacts if each.index == 2).digest
    assert request.width == 128
    await house.push(grid, Verb.DELETE)
    assert (await house.push(larger, Verb.VARY)).text == ENGLISH.say("refused.no_ancestor")


async def test_upscales_stop_at_the_limit(house: House):
    card = await house.end(await house.push(await house.drawn("a fox --n 1 --size 1024x1024"), Verb.UPSCALE, argument="4"))
    assert (await house.shown(card)).artifacts[0].width == MAX_EDGE
    forged = Action(verb=Verb.UPSCALE, job_id=card.job_id, index=0, argument="2")
    assert (await house.studio.handle(house.press(forged))).text == ENGLISH.say("refused.too_large", width=8192, height=8192, limit=MAX_EDGE)


async def test_reroll_is_the_same_with_another_seed(house: House):
    grid = await house.drawn("a fox --seed 7 --no rain")
    shown = await house.shown(await house.end(await house.push(grid, Verb.REROLL)))
    request = imagined(shown.job.request)
    assert (request.unwanted, request.seed) == (("rain",), 1000)
    assert shown.job.words == "a fox --no rain"


async def test_a_button_pressed_twice_by_one_delivery_draws_once(house: House):
    grid = await house.drawn("a fox")
    press = house.press(button(grid, Verb.REROLL).action, delivery="again")
    assert (await house.studio.handle(press)).job_id == (await house.studio.handle(press)).job_id


async def test_remix_opens_a_form_with_the_words_and_draws_what_they_became(house: House):
    grid = await house.drawn("a fox --seed 7")
    ack = house.studio.greet(house.press(button(grid, Verb.REMIX).action))
    assert ack.form is not None
    assert ack.form.fields[0].value == "a fox --seed 7"
    wrong = house.studio.greet(house.submit(ack.form.name, "a fox --sede 7"))
    assert wrong.card is not None
    shown = await house.shown(await house.end(await house.studio.handle(house.submit(ack.form.name, "a red fox --seed 7"))))
    assert imagined(shown.job.request).parts[0].text == "a red fox"
    assert shown.job.parent is not None
    assert shown.job.parent.verb == "m"


async def test_remix_after_a_restart_keeps_the_words_when_none_are_given(house: House):
    grid = await house.drawn("a fox --seed 7")
    house.studio.at_hand.clear()
    ack = house.studio.greet(house.press(button(grid, Verb.REMIX).action))
    assert ack.form is not None
    assert (ack.form.fields[0].value, ack.form.fields[0].required) == ("", False)
    assert (await house.shown(await house.studio.handle(house.submit(ack.form.name, "")))).job.words == "a fox --seed 7"


async def test_a_remix_of_a_variation_keeps_its_picture(house: House):
    varied = await house.end(await house.push(await house.drawn("a fox"), Verb.VARY, 0))
    form = house.studio.greet(house.press(button(varied, Verb.REMIX).action)).form
    assert form is not None
    remixed = imagined((await house.shown(await house.studio.handle(house.submit(form.name, "a wolf")))).job.request)
    was = imagined((await house.shown(varied)).job.request)
    assert (remixed.source, remixed.strength, remixed.parts[0].text) == (was.source, was.strength, "a wolf")


async def test_params_are_shown_to_the_asker_alone(house: House):
    grid = await house.drawn("a fox --seed 7")
    card = await house.push(grid, Verb.PARAMS, actor=BOB)
    assert (card.visibility, card.code, dict(card.details)["Seed"]) == (Visibility.PRIVATE, "a fox --seed 7", "7")


async def test_favourites_turn_over_once_a_delivery(house: House):
    grid = await house.drawn("a fox")
    press = house.press(button(grid, Verb.FAVOURITE).action, delivery="star")
    for _ in range(2):
        assert button(await house.studio.handle(press), Verb.FAVOURITE).pressed
    assert [each.job.id for each in (await house.studio.history(ADA, favourites=True)).items] == [grid.job_id]
    assert not button(await house.push(grid, Verb.FAVOURITE), Verb.FAVOURITE).pressed


async def test_only_the_owner_cancels_deletes_and_marks(house: House):
    grid = await house.drawn("a fox")
    for verb in (Verb.DELETE, Verb.FAVOURITE):
        assert (await house.push(grid, verb, actor=BOB)).text == ENGLISH.say("refused.not_yours")
    stop = Action(verb=Verb.CANCEL, job_id=grid.job_id)
    assert (await house.studio.handle(house.press(stop, actor=BOB))).text == ENGLISH.say("refused.not_yours")
    assert (await house.studio.card(ADA, grid.job_id)).status is Status.DONE


async def test_deleting_is_final_and_may_be_told_twice(house: House):
    grid = await house.drawn("a fox")
    press = house.press(button(grid, Verb.DELETE).action, delivery="away")
    cards = [await house.studio.handle(press), await house.studio.handle(press)]
    assert [(card.title, card.job_id, card.status) for card in cards] == [("Deleted", grid.job_id, None)] * 2
    with pytest.raises(NotFound):
        await house.studio.card(ADA, grid.job_id)
    with pytest.raises(NotFound):
        await house.studio.picture(ADA, grid.pictures[0].digest)
    assert (await house.studio.history(ADA)).items == ()


async def test_a_waiting_job_is_cancelled_and_refunded(still: House):
    card = await still.imagine("a fox")
    assert await still.balance() == LIMITS.cap - 1
    assert (await still.push(card, Verb.CANCEL)).status is Status.CANCELLED
    assert await still.balance() == LIMITS.cap
    delete = Action(verb=Verb.DELETE, job_id=(await still.imagine("a fox")).job_id)
    assert (await still.studio.handle(still.press(delete))).text == ENGLISH.say("refused.still_going")


async def test_a_running_job_is_cancelled_and_refunded(sqlite_url: str, tmp_path: Path):
    begun, never = asyncio.Event(), asyncio.Event()

    async def hold(request: Request, step: int) -> None:
        begun.set()
        await never.wait()

    async with open_house(sqlite_url, tmp_path, FakeEngine(on_step=hold)) as house:
        card = await house.imagine("a fox")
        await begun.wait()
        assert (await house.push(card, Verb.CANCEL)).status is Status.CANCELLED
        assert (await house.end(card)).text == ENGLISH.say("card.cancelled")
        assert await house.balance() == LIMITS.cap


async def test_a_picture_that_is_not_there_cannot_be_picked(house: House):
    grid = await house.drawn("a fox --n 2")
    for index in (2, 99):
        card = await house.studio.handle(house.press(Action(verb=Verb.PICK, job_id=grid.job_id, index=index)))
        assert card.text == ENGLISH.say("refused.no_picture", number=index + 1)


async def test_what_is_not_drawn_yet_cannot_be_picked(still: House):
    card = await still.imagine("a fox")
    assert (await still.studio.handle(still.press(Action(verb=Verb.PICK, job_id=card.job_id, index=0)))).text == ENGLISH.say("refused.not_done")


# ------------------------------------------------------------------------------------------------ reactions


async def test_reactions_do_the_same(house: House):
    grid = await house.drawn("a fox --seed 7")
    picked = await house.shown(await house.studio.handle(house.reaction("2️⃣", grid.job_id)))
    assert picked.job.parent is not None
    assert (picked.job.parent.verb, picked.job.parent.index) == ("u", 1)
    assert imagined((await house.shown(await house.studio.handle(house.reaction("🔄", grid.job_id)))).job.request).seed == 1000
    letter = await house.studio.handle(house.reaction("✉️", grid.job_id, actor=BOB))
    assert letter.visibility is Visibility.DIRECT
    drawn = [each.digest for each in (await house.shown(grid)).artifacts if each.index >= 0]
    assert [picture.digest for picture in letter.pictures] == drawn, "the pictures themselves, not their contact sheet"
    assert button(await house.studio.handle(house.reaction("⭐", grid.job_id)), Verb.FAVOURITE).pressed
    assert not button(await house.studio.handle(house.reaction("⭐", grid.job_id, added=False)), Verb.FAVOURITE).pressed
    assert (await house.studio.handle(house.reaction("❌", grid.job_id, actor=BOB))).text == ENGLISH.say("refused.not_yours")
    assert (await house.studio.handle(house.reaction("❌", grid.job_id))).title == "Deleted"


async def test_a_cross_cancels_what_waits(still: House):
    card = await still.imagine("a fox")
    assert (await still.studio.handle(still.reaction("❌", card.job_id))).status is Status.CANCELLED


# ------------------------------------------------------------------------------------------------ privacy


async def test_a_private_picture_exists_for_its_owner_alone(house: House):
    card = await house.drawn("a fox --private")
    assert house.studio.greet(house.command("imagine", "a fox --private")).visibility is Visibility.PRIVATE
    assert card.visibility is Visibility.PRIVATE
    assert await house.studio.picture(ADA, card.pictures[0].digest)
    with pytest.raises(NotFound):
        await house.studio.picture(BOB, card.pictures[0].digest)
    with pytest.raises(NotFound):
        await house.studio.card(BOB, card.job_id)
    with pytest.raises(NotFound):
        await house.studio.family(BOB, card.job_id)
    for verb in (Verb.PICK, Verb.VARY, Verb.REROLL, Verb.PARAMS, Verb.DELETE):
        assert (await house.push(card, verb, actor=BOB)).text == ENGLISH.say("error.not_found")
    assert house.studio.greet(house.press(button(card, Verb.REROLL).action)).visibility is Visibility.PRIVATE
    child = await house.push(card, Verb.VARY, 0)
    assert (await house.shown(child)).job.private


async def test_anyone_may_vary_in_public_and_pays_for_it(house: House):
    grid = await house.drawn("a fox")
    before = await house.balance(BOB)
    child = await house.shown(await house.push(grid, Verb.VARY, 0, actor=BOB))
    assert child.job.actor == BOB
    assert await house.balance(BOB) < before
    family = await house.studio.family(ADA, grid.job_id)
    assert [each.job.id for each in family.children] == [child.job.id]


async def test_a_private_child_is_no_part_of_anybody_elses_family(house: House):
    grid = await house.drawn("a fox")
    form = house.studio.greet(house.press(button(grid, Verb.REMIX).action)).form
    assert form is not None
    child = await house.studio.handle(house.submit(form.name, "a fox --private"))
    assert [each.job.id for each in (await house.studio.family(ADA, grid.job_id)).children] == [child.job_id]
    assert (await house.studio.family(BOB, grid.job_id)).children == ()
    assert [each.job.id for each in (await house.studio.family(ADA, child.job_id)).ancestors] == [grid.job_id]
