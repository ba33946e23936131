"""The use cases, over a real store, the real queue and the fake engine: what members say and press, and what becomes of it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from bot.domain import GRID, Action, Status, Verb, Visibility
from bot.errors import NotFound
from engine.api import ImagineRequest, OutOfMemory, Request
from engine.fake import FakeEngine
from tests.unit.house import ADA, BOB, ENGLISH, LIMITS, House, button, open_house


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


async def test_what_no_wallet_can_pay_is_told(sqlite_url: str, tmp_path: Path):
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


async def test_a_failure_is_told_and_refunded(sqlite_url: str, tmp_path: Path):
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
