"""The questions members ask, and what they see while they watch and type, over a real store, the real queue and the fake engine."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from bot.domain import Card, Status, Visibility
from tests.unit.house import ADA, BOB, ENGLISH, LIMITS, House
from tests.unit.test_studio import png

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
