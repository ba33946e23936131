"""The use cases, over a real store, the real queue and the fake engine: what members say and press, and what becomes of it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from bot.cards import MAX_EDGE
from bot.domain import GRID, Action, Card, Status, Verb, Visibility
from bot.errors import NotFound
from engine.api import ImagineRequest, OutOfMemory, Request, UpscaleRequest
from engine.fake import FAKE_MODEL, FakeEngine
from tests.contract.stores import sqlite_url  # noqa: F401  (a fixture)
from tests.unit.house import ADA, BOB, ENGLISH, LIMITS, House, button, open_house


@pytest.fixture
async def house(sqlite_url: str, tmp_path: Path) -> AsyncIterator[House]:  # noqa: F811
    async with open_house(sqlite_url, tmp_path) as house:
        yield house


@pytest.fixture
async def still(sqlite_url: str, tmp_path: Path) -> AsyncIterator[House]:  # noqa: F811
    """Nothing is ever drawn."""
    async with open_house(sqlite_url, tmp_path, queue=False) as house:
        yield house


def png(width: int = 32, height: int = 32, mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, (width, height)).save(out, "PNG")
    return out.getvalue()


def imagined(request: Request) -> ImagineRequest:
    assert isinstance(request, ImagineRequest)
    return request


# ------------------------------------------------------------------------------------------------ from words to pictures


async def test_words_become_a_grid(house: House):
    placeholder = await house.imagine("a fox in the snow --seed 7")
    assert placeholder.text.startswith(("Queued, 1st, about ", "Drawing"))
    card = await house.end(placeholder)
    shown = await house.shown(card)
    assert [each.index for each in sorted(shown.artifacts, key=lambda each: each.index)] == [GRID, 0, 1, 2, 3]
    assert [each.seed for each in sorted(shown.artifacts, key=lambda each: each.index)[1:]] == [7, 8, 9, 10]
    sheet = await house.studio.picture(ADA, card.pictures[0].digest)
    assert Image.open(io.BytesIO(sheet)).size == (256, 256)
    assert card.title == "a fox in the snow"
    assert house.board.live(card.job_id) is None


async def test_one_picture_has_no_sheet(house: House):
    card = await house.drawn("a fox --n 1")
    assert [each.index for each in (await house.shown(card)).artifacts] == [0]
    assert button(card, Verb.UPSCALE, argument="4")


async def test_the_same_words_and_seed_are_the_same_pixels(house: House):
    one, other = await house.drawn("a fox --seed 7"), await house.drawn("a fox --seed 7")
    assert [each.digest for each in (await house.shown(one)).artifacts] == [each.digest for each in (await house.shown(other)).artifacts]
    assert (await house.drawn("a fox")).pictures[0].digest != one.pictures[0].digest


async def test_a_delivery_counts_once(house: House):
    command = house.command("imagine", "a fox", delivery="twice")
    first, second = await house.studio.handle(command), await house.studio.handle(command)
    assert first.job_id == second.job_id
    await house.end(first)
    assert (await house.studio.handle(command)).status is Status.DONE
    assert len(house.engine.seen) == 1
    assert await house.balance() == LIMITS.cap - 1


async def test_odd_characters_are_kept_out_of_the_store(still: House):
    card = await still.imagine("a \ud800fox\x00\n\u202ein the\tsnow --seed 7")
    assert (await still.shown(card)).job.words == "a fox in the snow --seed 7"
    assert (await still.say("history", "f\ud800ox\x00")).text == "1. a fox in the snow"
    assert (await still.say("show", "sn\ud800ow")).text == ENGLISH.say("error.not_found")
    for job_id in ("", "\ud800" * 26, "\0" * 26, "a" * 2000):
        with pytest.raises(NotFound):
            await still.studio.card(ADA, job_id)
    refused = await still.imagine("a \ud800 fox --sede")
    assert refused.code.encode().splitlines()[0] == b"a ? fox --sede"


# ------------------------------------------------------------------------------------------------ mistakes


def test_bad_words_are_answered_in_the_greeting_to_their_author_alone(still: House):
    ack = still.studio.greet(still.command("imagine", "a fox --sede 7"))
    assert ack.visibility is Visibility.PRIVATE
    assert ack.card is not None
    assert ack.card.text == "There is no flag --sede. Did you mean --seed?"
    assert ack.card.code.splitlines()[1].strip() == "^^^^^^"


@pytest.mark.parametrize(
    "text", ["a fox --sede 7", "--seed 7", "a fox --seed", "a fox --chaos 300", "a fox --n 99", "cat::1x", "a --model x", "x" * 7000, "a --strength 1"]
)
async def test_bad_words_cost_nothing_and_are_given_back(still: House, text: str):
    greeted = still.studio.greet(still.command("imagine", text)).card
    handled = await still.imagine(text)
    assert greeted == handled
    assert text in handled.code or handled.code.startswith(text)
    assert (handled.status, handled.visibility) == (None, Visibility.PRIVATE)
    assert await still.balance() == LIMITS.cap
    assert (await still.studio.history(ADA)).items == ()


def test_nothing_said_opens_the_form(still: House):
    ack = still.studio.greet(still.command("imagine", "  "))
    assert ack.form is not None
    assert ack.form.fields[0].name == "words"


async def test_the_form_draws(house: House):
    card = await house.studio.handle(house.submit("imagine", "a fox --n 1"))
    assert (await house.end(card)).status is Status.DONE


async def test_what_was_never_a_button_changes_nothing(still: House):
    for text in (
        "",
        "w1",
        "w1:z:" + "0" * 26 + ":0:3",
        "w1:u:short:0:",
        "w1:x:" + "0" * 26 + ":0:3",
        "x" * 500,
        "w1:u:" + "0" * 26 + ":one:",
        "w1:r:" + "0" * 26 + ":" + "9" * 60 + ":",
    ):
        assert still.studio.greet(still.press(text)).card == await still.studio.handle(still.press(text))
        assert (await still.studio.handle(still.press(text))).text == ENGLISH.say("refused.unknown_button")
    gone = await still.studio.handle(still.press(Action(verb=Verb.PICK, job_id="0" * 26)))
    assert gone.text == ENGLISH.say("error.not_found")


async def test_unknown_commands_forms_and_emoji_are_told(still: House):
    for event in (still.command("frobnicate"), still.submit("w1:u:" + "0" * 26 + ":0:", "a"), still.submit("what", "a"), still.reaction("🦊", "0" * 26)):
        greeted, handled = still.studio.greet(event), await still.studio.handle(event)
        assert greeted.card == handled
        assert handled.visibility is Visibility.PRIVATE


async def test_an_empty_wallet_is_told_with_when_there_will_be_enough(still: House):
    for _ in range(3):
        assert (await still.imagine("a fox --q 4 --size 256x256")).status is Status.QUEUED
    card = await still.imagine("a fox --q 4 --size 256x256")
    assert card.text.startswith("This costs 16 credits and you have 12. Nothing was charged; there will be enough in ")
    assert await still.balance() == 12


async def test_what_no_wallet_can_pay_is_told(sqlite_url: str, tmp_path: Path):  # noqa: F811
    async with open_house(sqlite_url, tmp_path, limits=LIMITS.__class__(cap=2, per_hour=1, queued_per_actor=9, queued_total=9), queue=False) as house:
        assert (await house.imagine("a fox --q 4")).text == ENGLISH.say("error.too_dear", cost=4.0, cap=2)
        assert (await house.imagine("a fox")).status is Status.QUEUED
        assert (await house.imagine("a fox")).status is Status.QUEUED
        card = await house.imagine("a fox")
        assert card.text.startswith("This costs 1 credits and you have 0.")
        assert card.code == "a fox"


async def test_a_full_queue_is_told_with_how_long(still: House):
    for _ in range(LIMITS.queued_per_actor):
        await still.imagine("a fox")
    before = await still.balance()
    card = await still.imagine("a fox")
    assert card.text.startswith("You have 4 waiting already")
    assert "a while" not in card.text
    for _ in range(2):
        await still.imagine("a fox", actor=BOB)
    assert (await still.imagine("a fox", actor=BOB)).text.startswith("The queue is full: 6 are waiting.")
    assert await still.balance() == before


async def test_a_failure_is_told_and_refunded(sqlite_url: str, tmp_path: Path):  # noqa: F811
    async def fail(request: Request, step: int) -> None:
        raise OutOfMemory("no room")

    async with open_house(sqlite_url, tmp_path, FakeEngine(on_step=fail)) as house:
        card = await house.end(await house.imagine("a fox"))
        assert (card.status, card.text, card.code) == (Status.FAILED, ENGLISH.say("error.out_of_memory"), "a fox")
        assert await house.balance() == LIMITS.cap
        again = await house.push(card, Verb.REROLL)
        assert again.job_id != card.job_id


# ------------------------------------------------------------------------------------------------ pictures that come along


async def test_a_picture_can_be_started_from(house: House):
    card = await house.drawn("a fox --strength 0.3", uploads=(png(64, 32, "RGBA"),))
    request = imagined((await house.shown(card)).job.request)
    assert (request.strength, request.width, request.height) == (0.3, 176, 88)
    assert request.source is not None
    kept = await house.studio.picture(BOB, request.source)
    assert Image.open(io.BytesIO(kept)).mode == "RGB"
    assert (await house.drawn("", uploads=(png(),))).title == ENGLISH.say("card.untitled")


async def test_what_is_kept_of_an_upload_is_its_pixels_alone(house: House):
    from PIL.PngImagePlugin import PngInfo

    notes, out = PngInfo(), io.BytesIO()
    notes.add_text("secret", "where I live")
    Image.new("RGB", (3000, 100), "red").save(out, "PNG", pnginfo=notes)
    card = await house.drawn("a fox", uploads=(out.getvalue() + b"<script>",))
    request = imagined((await house.shown(card)).job.request)
    kept = await house.blobs.get(request.pictures[0])
    assert b"where I live" not in kept
    assert b"<script>" not in kept
    assert Image.open(io.BytesIO(kept)).size == (2048, 68)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"this is a text file named .png", "error.picture_unreadable"),
        (b"", "error.picture_unreadable"),
        (png()[:60], "error.picture_unreadable"),
        (b"GIF89a" + b"\0" * 40, "error.picture_unreadable"),
        (png(10_000, 5_000, "1"), "error.picture_too_large"),
        (png(20_000, 20_000, "1"), "error.picture_too_large"),
        (png() + b"\0" * 33_000_000, "error.picture_too_heavy"),
    ],
    ids=["text", "nothing", "cut off", "gif", "50 megapixels", "a bomb", "33 MB"],
)
async def test_an_upload_that_cannot_be_used_is_one_sentence_and_costs_nothing(still: House, data: bytes, message: str):
    card = await still.imagine("a fox", uploads=(data,))
    assert card.text == ENGLISH.say(message, pixels=40, limit=32)
    assert card.code == "a fox"
    assert await still.balance() == LIMITS.cap


async def test_six_pictures_are_one_too_many(still: House):
    card = await still.imagine("a fox", uploads=(png(),) * 6)
    assert card.text == ENGLISH.say("refused.too_many_pictures", limit=5, count=6)


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


async def test_a_small_models_pictures_are_finished_and_everything_goes_on_from_there(sqlite_url: str, tmp_path: Path):  # noqa: F811
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


async def test_a_running_job_is_cancelled_and_refunded(sqlite_url: str, tmp_path: Path):  # noqa: F811
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


# ------------------------------------------------------------------------------------------------ the other commands


async def test_history_is_searched_and_paged(house: House):
    for text in ("a fox", "a red fox", "a cat"):
        await house.drawn(f"{text} --n 1")
    page = await house.studio.history(ADA, limit=2)
    assert [each.job.words for each in page.items] == ["a cat --n 1", "a red fox --n 1"]
    rest = await house.studio.history(ADA, limit=2, before=page.before)
    assert ([each.job.words for each in rest.items], rest.before) == (["a fox --n 1"], None)
    card = await house.say("history", "fox")
    assert card.text.splitlines() == ["1. a red fox", "2. a fox"]
    assert (await house.say("history", "zebra")).text == "Nothing of yours has “zebra” in its words."
    assert (await house.say("history", actor=BOB)).text == ENGLISH.say("history.none")
    shown = await house.studio.handle(house.press(card.rows[0][1].action))
    assert (shown.title, shown.status) == ("a fox", Status.DONE)


async def test_show_brings_a_job_back(house: House):
    assert (await house.say("show")).text == ENGLISH.say("error.nothing_yet")
    first, second = await house.drawn("a fox"), await house.drawn("a cat")
    assert (await house.say("show")).job_id == second.job_id
    assert (await house.say("show", first.job_id.lower())).job_id == first.job_id
    assert (await house.say("show", "nonsense")).text == ENGLISH.say("error.not_found")


async def test_queue_cancel_and_info_tell_what_waits(still: House):
    await still.imagine("a fox")
    await still.imagine("a cat", actor=BOB)
    await still.imagine("a dog")
    info = dict((await still.say("info")).details)
    assert (info["Wallet"], info["Waiting"], info["Everybody's queue"]) == ("58 credits", "2", "3 waiting, 0 running")
    lines = (await still.say("queue")).text.splitlines()
    assert lines[0] == "3 waiting, 0 running."
    assert lines[1].startswith("1st, about ")
    assert (await still.say("cancel")).text == "2 cancelled. Nothing was charged for them."
    assert (await still.say("cancel")).text == ENGLISH.say("queue.none_of_yours")
    assert await still.balance() == LIMITS.cap
    bobs = (await still.studio.history(BOB)).items[0].job.id
    assert (await still.say("cancel", bobs)).text == ENGLISH.say("refused.not_yours")
    assert (await still.say("cancel", bobs, actor=BOB)).status is Status.CANCELLED


async def test_every_command_greets_and_answers(still: House):
    for name in ("history", "info", "queue", "cancel", "help"):
        assert still.studio.greet(still.command(name)).visibility is Visibility.PRIVATE
        assert isinstance(await still.say(name), Card)
    assert still.studio.greet(still.command("show")).visibility is Visibility.PUBLIC


# ------------------------------------------------------------------------------------------------ watching and typing


async def test_a_watcher_sees_the_picture_form_and_end(house: House):
    cards: list[Card] = []

    async def watch() -> None:
        async with aclosing(house.studio.watch(ADA)) as news:
            async for card in news:
                cards.append(card)
                if card.status is not None and card.status.ended:
                    return

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    await house.imagine("a fox --steps 40")
    await house.imagine("a cat", actor=BOB)
    async with asyncio.timeout(60):
        await watching
    assert {card.title for card in cards} == {"a fox"}
    percents = [card.percent for card in cards if card.percent is not None]
    assert percents == sorted(percents)
    assert any(card.pictures and card.pictures[0].data for card in cards if card.status is Status.RUNNING)
    assert cards[-1].status is Status.DONE
    assert not house.board._readers


async def test_typing_gets_prices_mistakes_and_own_prompts(still: House):
    await still.imagine("a fox on a hill")
    reading = still.studio.read(ADA, "a fox --n 2")
    assert (reading.cost, reading.mistake) == (0.5, "")
    assert still.studio.read(ADA, "a fox --n 99").mistake.startswith("--n goes from 1 to 9")
    assert [hint.label for hint in await still.studio.complete(ADA, "a fox", 5)] == ["a fox on a hill"]
    assert await still.studio.complete(BOB, "a fox", 5) == ()
    assert [hint.label for hint in await still.studio.complete(BOB, "a fox --mo", 10)] == ["--model"]


async def test_what_breaks_inside_is_apologised_for(still: House, monkeypatch: pytest.MonkeyPatch):
    async def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(still.store, "submit", broken)
    card = await still.imagine("a fox")
    assert (card.title, card.text, card.code) == ("Sorry", ENGLISH.say("error.fault"), "a fox")


async def test_a_full_disk_is_told_as_such(still: House, monkeypatch: pytest.MonkeyPatch):
    async def full(data: bytes) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(still.blobs, "put", full)
    card = await still.imagine("a fox", uploads=(png(),))
    assert card.text == ENGLISH.say("error.disk_full")
    assert await still.balance() == LIMITS.cap
