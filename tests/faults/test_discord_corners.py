"""What a second look at the Discord adapter found: answers that were seen by too many, ends that were shown nowhere, tasks that stayed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from bot.app import PROGRESS_EVERY, App
from bot.clicks import Clicks
from bot.domain import Actor, Place, Press, ReplyTo
from engine.fake import FakeEngine
from tests.fakes.discord import DiscordWire, File
from tests.fakes.discord.interactions import NoAnswer
from tests.fakes.studio import paint
from tests.scenario.bots import discord_settings, running
from tests.scenario.discord_scene import Gate, asked, done, held, told

POST, CALLBACK = "POST /channels/{channel}/messages", "POST /interactions/{interaction}/{token}/callback"
ORIGINAL = "PATCH /webhooks/{app}/{token}/messages/@original"


# ------------------------------------------------------------------------------------------------ private stays private


async def test_a_remix_made_private_in_its_form_is_private_from_the_first_response(wire: DiscordWire, bot: App, gate: Gate) -> None:
    gate.open.set()
    grid = await (await asked(wire)).until(done)
    form = await wire.press(wire.bob, grid, "Remix")
    wire.cut("DELETE .*@original", times=9)  # nothing public may have to be taken back
    answer = await wire.submit(wire.bob, form, words="a secret fox --private")
    assert answer.ephemeral
    await (await answer.message()).until(done)
    await told(bot)
    assert wire.messages(wire.art) == [grid] and not wire.dms(wire.bob)


async def test_a_picture_without_words_is_as_private_as_was_asked(wire: DiscordWire, bot: App, gate: Gate) -> None:
    gate.open.set()
    image = File(name="me.png", content=paint(1), content_type="image/png")
    answer = await wire.command(wire.ada, wire.art, "imagine", image=image, private=True, aspect="3:2")
    assert answer.ephemeral
    await (await answer.message()).until(done)
    (shown,) = await bot.store.history(f"discord:{wire.ada.id}")
    assert shown.job.private and shown.job.words == "--ar 3:2 --private"
    assert not wire.messages(wire.art)


async def test_a_form_asked_for_in_private_is_answered_in_private(wire: DiscordWire, bot: App, gate: Gate) -> None:
    gate.open.set()
    form = await wire.command(wire.ada, wire.art, "imagine", private=True)
    answer = await wire.submit(wire.ada, form, words="a secret fox")
    assert answer.ephemeral
    await (await answer.message()).until(done)
    assert not wire.messages(wire.art)


async def test_a_star_on_a_private_card_marks_that_card(wire: DiscordWire, bot: App, gate: Gate) -> None:
    await asked(wire, private=True)
    wire.expire_tokens()
    gate.open.set()
    await wire.until(lambda: any(done(m) for m in wire.dms(wire.ada)))
    await told(bot)
    (letter,) = wire.dms(wire.ada)
    wire.nonce_seconds = 0  # it was written a while ago
    await wire.react(wire.ada, letter, "⭐")
    await letter.until(lambda m: "⭐ Kept" in m.labels and m.buttons["⭐ Kept"].style == 3)
    assert wire.dms(wire.ada) == [letter]


async def test_what_a_member_typed_is_not_logged_with_a_press_that_fails(wire: DiscordWire, bot: App, caplog: pytest.LogCaptureFixture) -> None:
    await asked(wire, "a confidential fox")
    listed = await (await wire.command(wire.ada, wire.art, "queue")).message()
    wire.fail(CALLBACK, 400, 50035, "Invalid Form Body")
    with pytest.raises(NoAnswer):
        await wire.press(wire.ada, listed, listed.labels[0])
    assert "Ignoring exception" in caplog.text and "confidential" not in caplog.text


# ------------------------------------------------------------------------------------------------ told twice


async def test_a_letter_that_is_asked_for_by_one_reaction_told_twice_comes_once(wire: DiscordWire, bot: App, gate: Gate) -> None:
    gate.open.set()
    grid = await (await asked(wire)).until(done)
    await wire.react(wire.bob, grid, "✉️", delivery=2)
    await wire.until(lambda: sum(sent.route == POST and sent.status == 200 for sent in wire.requests) == 2)
    assert len(wire.dms(wire.bob)) == 1
    await wire.unreact(wire.bob, grid, "✉️")
    await wire.react(wire.bob, grid, "✉️")  # another wish
    await wire.until(lambda: len(wire.dms(wire.bob)) == 2)


def test_a_clock_that_is_set_back_makes_no_double_clicks() -> None:
    now = [datetime(2026, 3, 1, 12, tzinfo=UTC)]
    clicks = Clicks(lambda: now[0])

    def press(delivery: str) -> Press:
        place, reply_to = Place(platform="discord"), ReplyTo(platform="discord")
        return Press(actor=Actor(platform="discord", id="1"), place=place, reply_to=reply_to, delivery_id=delivery, action="w1:r")

    assert not clicks.is_second(press("1")) and clicks.is_second(press("2"))
    now[0] -= timedelta(minutes=10)
    assert not clicks.is_second(press("3"))


# ------------------------------------------------------------------------------------------------ the end is shown


async def test_a_reactions_card_whose_posting_was_not_confirmed_still_shows_its_end(wire: DiscordWire, bot: App, gate: Gate) -> None:
    """Discord gives the old message back for its nonce: it must become the new card."""
    gate.open.set()
    grid = await (await asked(wire)).until(done)
    gate.open.clear()
    wire.cut(POST, after=True)
    await wire.react(wire.bob, grid, "1️⃣")
    await wire.until(lambda: len(wire.messages(wire.art)) == 2)
    gate.open.set()
    await wire.messages(wire.art)[1].until(done)
    await told(bot)
    assert len(wire.messages(wire.art)) == 2 and wire.messages(wire.art)[1].pictures


async def test_a_reactions_card_that_was_deleted_comes_anew_once(wire: DiscordWire, bot: App, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bot.outbox, "delay", lambda attempt: 0.05)
    gate.open.set()
    grid = await (await asked(wire)).until(done)
    gate.open.clear()
    await wire.react(wire.bob, grid, "1️⃣")
    await wire.until(lambda: len(wire.messages(wire.art)) == 2)
    await wire.delete_message(wire.messages(wire.art)[1])
    wire.cut(POST, after=True)
    gate.open.set()
    await wire.until(lambda: any(done(m) for m in wire.messages(wire.art)[1:]))
    await told(bot)
    assert len(wire.messages(wire.art)) == 2 and not wire.dms(wire.bob)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refusal_without_a_reason_is_no_last_word(wire: DiscordWire, bot: App, gate: Gate, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """As while the operator changes the token, or Discord's gatekeeper (Cloudflare) blocks the address for a while."""
    monkeypatch.setattr(bot.outbox, "delay", lambda attempt: 0.05)
    message = await asked(wire)
    wire.expire_tokens()
    for route in ("PATCH /channels/{channel}/messages/{message}", POST, "POST /users/@me/channels"):
        wire.fail(route, status)
    gate.open.set()
    await message.until(done)
    await told(bot)
    assert len(wire.messages(wire.art)) == 1 and not wire.dms(wire.ada)


async def test_a_job_that_ends_while_it_is_shown_elsewhere_ends_there_too(wire: DiscordWire, tmp_path, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROGRESS_EVERY, "discord", 1000)
    async with held(wire, tmp_path, gate) as app:
        message = await asked(wire)
        await message.until(lambda m: "Drawing" in m.text)
        wire.slow(ORIGINAL, 1.0)
        answer = await wire.command(wire.ada, wire.lounge, "show")
        await wire.until(lambda: sum(sent.route == ORIGINAL and sent.status is None for sent in wire.requests) == 1)
        gate.open.set()
        await message.until(done)
        await (await answer.message()).until(done, 5)
        await told(app)


# ------------------------------------------------------------------------------------------------ other bots, closing


async def test_another_bots_reactions_are_no_wishes(wire: DiscordWire, bot: App, gate: Gate) -> None:
    """One that marks every picture would have ours draw for ever."""
    gate.open.set()
    grid = await (await asked(wire)).until(done)
    robot = wire.user("reactor")
    robot.bot = True
    await wire.react(robot, grid, "🔄")
    await (await wire.command(wire.ada, wire.art, "queue")).message()  # goes the same way: what came before was heard
    await asyncio.sleep(0.2)
    assert not await bot.store.history(f"discord:{robot.id}") and wire.messages(wire.art) == [grid]


async def test_forms_nobody_fills_in_leave_nothing_behind(wire: DiscordWire, tmp_path) -> None:
    before = asyncio.all_tasks()
    async with running(tmp_path, **discord_settings(wire)) as app:
        await wire.connected()
        for _ in range(5):
            assert (await wire.command(wire.ada, wire.art, "imagine")).kind == "modal"
        await asyncio.sleep(0.1)
        assert not [task for task in asyncio.all_tasks() - before if "timeout_task" in repr(task.get_coro())]
        assert not app.adapters["discord"].client._connection._view_store._modals  # type: ignore[attr-defined]
    assert not {task.get_name() for task in asyncio.all_tasks() - before if "timeout" in repr(task)}


async def test_an_answer_that_is_half_written_at_the_stop_leaves_no_task(wire: DiscordWire, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROGRESS_EVERY, "discord", 1000)
    before = asyncio.all_tasks()
    async with running(tmp_path, engine=FakeEngine(), **discord_settings(wire)) as app:
        await wire.connected()
        wire.limit(ORIGINAL, retry_after=600, times=9)
        await wire.command(wire.ada, wire.art, "imagine", prompt="a fox")
        await wire.until(lambda: any(sent.status == 429 for sent in wire.requests))
    wire.heal()
    left = [task for task in asyncio.all_tasks() - before if "discord" in repr(task.get_coro())]
    assert not left, left
    async with running(tmp_path, engine=FakeEngine(), **discord_settings(wire)) as app:
        await wire.until(lambda: any(done(m) for m in wire.messages(wire.art)))
        await told(app)
    assert len(wire.messages(wire.art)) == 1
