"""What goes wrong on the way to Discord: the picture still arrives, or the reason does, and once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from bot.app import PROGRESS_EVERY, App
from bot.domain import Status
from bot.errors import Fault
from engine.fake import FakeEngine
from tests.fakes.discord import DiscordWire, Message
from tests.scenario.bots import discord_settings, running, unknown_requests


class Gate:
    """Holds every job at its second step until it is opened."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def __call__(self, request: Any, step: int) -> None:
        if step == 2:
            await self.open.wait()


@pytest.fixture
async def wire() -> AsyncIterator[DiscordWire]:
    async with DiscordWire() as wire:
        yield wire
        assert wire.violations == [] and not unknown_requests(wire)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def bot(wire: DiscordWire, tmp_path, gate: Gate) -> AsyncIterator[App]:
    async with held(wire, tmp_path, gate) as app:
        yield app
        gate.open.set()


@asynccontextmanager
async def held(wire: DiscordWire, folder, gate: Gate, **settings: Any) -> AsyncIterator[App]:
    async with running(folder, engine=FakeEngine(on_step=gate), **{**discord_settings(wire), **settings}) as app:
        await wire.connected()
        yield app


async def asked(wire: DiscordWire, words: str = "a fox", channel: Any = None, **more: Any) -> Message:
    """A job of ada's that is being drawn, and its card."""
    answer = await wire.command(wire.ada, channel or wire.art, "imagine", prompt=words, **more)
    return await (await answer.message()).until(lambda m: "Queued" in m.text or "Drawing" in m.text)


def done(message: Message) -> bool:
    return "Drawn in" in message.text


async def told(bot: App) -> None:
    """Nothing is owed any more."""

    end = asyncio.get_running_loop().time() + 60
    while await bot.store.notices(["discord"]):
        assert asyncio.get_running_loop().time() < end
        await asyncio.sleep(0.02)


# ------------------------------------------------------------------------------------------------ places that close


async def test_after_the_tokens_quarter_of_an_hour_the_bot_edits_its_message(wire: DiscordWire, bot: App, gate: Gate) -> None:
    message = await asked(wire)
    wire.expire_tokens()
    gate.open.set()
    await message.until(done)
    assert len(message.pictures) == 1 and len(wire.messages(wire.art)) == 1
    assert any(sent.status == 401 for sent in wire.requests), "the token was tried first"


async def test_a_token_past_its_time_by_our_own_clock_is_not_even_tried(wire: DiscordWire, tmp_path, gate: Gate) -> None:
    async with held(wire, tmp_path, gate) as app:
        message = await asked(wire)
        before = len([sent for sent in wire.requests if "/webhooks/" in sent.path])
        real = app.adapters["discord"]._clock
        app.adapters["discord"]._clock = lambda: real() + timedelta(minutes=16)
        gate.open.set()
        await message.until(done)
        assert len([sent for sent in wire.requests if "/webhooks/" in sent.path]) == before


async def test_a_message_a_moderator_deleted_comes_anew_once(wire: DiscordWire, bot: App, gate: Gate) -> None:
    message = await asked(wire)
    await wire.delete_message(message)
    gate.open.set()
    await wire.until(lambda: any(done(m) for m in wire.messages(wire.art)))
    await told(bot)
    assert len(wire.messages(wire.art)) == 1


async def test_when_the_channel_is_closed_to_the_bot_it_writes_directly(wire: DiscordWire, bot: App, gate: Gate) -> None:
    await asked(wire)
    wire.forbid(wire.art)
    wire.expire_tokens()
    gate.open.set()
    await wire.until(lambda: any(done(m) for m in wire.dms(wire.ada)))
    assert len(wire.dms(wire.ada)[0].pictures) == 1


async def test_when_the_channel_is_gone_it_writes_directly(wire: DiscordWire, bot: App, gate: Gate) -> None:
    await asked(wire)
    wire.delete_channel(wire.art)
    wire.expire_tokens()
    gate.open.set()
    await wire.until(lambda: any(done(m) for m in wire.dms(wire.ada)))


async def test_when_nobody_can_be_reached_the_picture_waits_for_show(wire: DiscordWire, bot: App, gate: Gate) -> None:
    await asked(wire)
    wire.forbid(wire.art)
    wire.block_dm(wire.ada)
    wire.expire_tokens()
    gate.open.set()
    await wire.until(lambda: any(sent.route == "POST /users/@me/channels" for sent in wire.requests))
    await told(bot)
    answer = await wire.command(wire.ada, wire.lounge, "show")
    assert done(await answer.message())


async def test_a_user_install_in_a_server_without_the_bot_ends_in_a_direct_message(wire: DiscordWire, bot: App, gate: Gate) -> None:
    elsewhere = wire.channel(wire.guild("Elsewhere", joined=False), "random")
    await asked(wire, channel=elsewhere, user_install=True)
    wire.expire_tokens()
    gate.open.set()
    await wire.until(lambda: any(done(m) for m in wire.dms(wire.ada)))


async def test_a_private_job_never_becomes_public(wire: DiscordWire, bot: App, gate: Gate) -> None:
    await asked(wire, private=True)
    wire.expire_tokens()
    gate.open.set()
    await wire.until(lambda: any(done(m) for m in wire.dms(wire.ada)))
    assert not wire.messages(wire.art)


async def test_a_picture_too_large_for_the_chat_comes_smaller_and_says_so(wire: DiscordWire, tmp_path, gate: Gate) -> None:
    gate.open.set()
    wire.attachment_limit = 40_000
    async with held(wire, tmp_path, gate, public_url="https://pictures.example.org", web=True, web_port=0):
        message = await asked(wire, "a fox --size 1024x1024")
        await message.until(done)
        ((data, _),) = message.pictures
        assert data.startswith(b"RIFF") and len(data) <= 40_000
        assert "Sent smaller" in message.text
        assert any(url.startswith("https://pictures.example.org/job/") for url in message.urls), "the full size is a link away"


async def test_a_server_that_takes_less_than_it_said_gets_less(wire: DiscordWire, bot: App, gate: Gate) -> None:
    message = await asked(wire)
    wire.fail("PATCH /webhooks/{app}/{token}/messages/@original", 413, 40005, "Request entity too large")
    gate.open.set()
    await message.until(done)
    assert message.pictures


async def test_a_card_discord_refuses_comes_without_its_picture_rather_than_never(
    wire: DiscordWire, tmp_path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROGRESS_EVERY, "discord", 1000)  # one at once, then none
    async with held(wire, tmp_path, gate):
        await refused(wire, gate)


async def refused(wire: DiscordWire, gate: Gate) -> None:
    message = await asked(wire)
    await wire.until(lambda: sum(sent.route.endswith("@original") for sent in wire.requests) == 2)  # the placeholder and the one card of progress
    wire.fail("PATCH /webhooks/{app}/{token}/messages/@original", 400, 50035, "Invalid Form Body")
    gate.open.set()
    await message.until(done)
    assert not message.pictures


# ------------------------------------------------------------------------------------------------ trouble that passes

ROUTES = [
    "POST /interactions/{interaction}/{token}/callback",
    "PATCH /webhooks/{app}/{token}/messages/@original",
    "PATCH /channels/{channel}/messages/{message}",
    "POST /channels/{channel}/messages",
    "POST /users/@me/channels",
]


@pytest.mark.parametrize("route", ROUTES)
async def test_429_on_every_route_in_turn_only_delays(wire: DiscordWire, bot: App, gate: Gate, route: str) -> None:
    wire.limit(route, retry_after=0.2, times=1)
    message = await asked(wire)
    if "channels" in route:  # the ways of a bot whose token has died
        wire.expire_tokens()
    if route == "POST /channels/{channel}/messages":
        await wire.delete_message(message)
    if route == "POST /users/@me/channels":
        wire.forbid(wire.art)
    gate.open.set()
    await wire.until(lambda: any(done(m) for m in [*wire.messages(wire.art), *wire.dms(wire.ada)]))
    await told(bot)
    assert len([m for m in [*wire.messages(wire.art), *wire.dms(wire.ada)] if done(m)]) == 1
    assert any(sent.status == 429 for sent in wire.requests), "the limit was met"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("route", ROUTES[1:4])
async def test_a_connection_cut_on_the_way_is_tried_again_and_shows_once(
    wire: DiscordWire, bot: App, gate: Gate, route: str, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`after`: Discord had done it already, and only its answer was lost."""
    monkeypatch.setattr(bot.outbox, "delay", lambda attempt: 0.05)
    message = await asked(wire)
    if "channels" in route:
        wire.expire_tokens()
    if route == "POST /channels/{channel}/messages":
        await wire.delete_message(message)
    wire.cut(route, times=2, after=after)
    gate.open.set()
    await wire.until(lambda: any(done(m) for m in wire.messages(wire.art)))
    await told(bot)
    assert len(wire.messages(wire.art)) == 1


async def test_a_global_limit_is_waited_out(wire: DiscordWire, bot: App, gate: Gate) -> None:
    message = await asked(wire)
    wire.limit("PATCH .*", retry_after=0.3, times=1, is_global=True)
    gate.open.set()
    await message.until(done)


async def test_a_small_bucket_coalesces_progress_and_lets_the_end_through(wire: DiscordWire, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROGRESS_EVERY, "discord", 0.01)
    wire.bucket("PATCH /webhooks/{app}/{token}/messages/@original", limit=2, per_seconds=0.5)
    async with running(tmp_path, engine=FakeEngine(steps_per_second=50), **discord_settings(wire)):
        await wire.connected()
        message = await asked(wire, "a fox --steps 60")
        await message.until(done)
    assert len(message.history) < 15


async def test_a_card_that_could_not_be_placed_at_first_is_shown_at_the_end(wire: DiscordWire, bot: App, gate: Gate) -> None:
    wire.cut("PATCH /webhooks/{app}/{token}/messages/@original", times=1)
    answer = await wire.command(wire.ada, wire.art, "imagine", prompt="a fox")
    gate.open.set()
    await (await answer.message()).until(done)
    assert len(wire.messages(wire.art)) == 1


# ------------------------------------------------------------------------------------------------ told once


async def test_the_same_interaction_again_is_one_job(wire: DiscordWire, bot: App, gate: Gate) -> None:
    answer = await wire.command(wire.ada, wire.art, "imagine", prompt="a fox", delivery=2)
    await wire.again(answer)
    gate.open.set()
    await (await answer.message()).until(done)
    assert len(await bot.store.history(f"discord:{wire.ada.id}")) == 1
    assert len(wire.messages(wire.art)) == 1


async def test_a_resumed_gateway_that_replays_makes_nothing_twice(wire: DiscordWire, bot: App, gate: Gate) -> None:
    message = await asked(wire)
    await wire.replay(3)
    await wire.until(lambda: wire.resumes == 1)
    gate.open.set()
    await message.until(done)
    assert len(await bot.store.history(f"discord:{wire.ada.id}")) == 1
    assert len(wire.messages(wire.art)) == 1


@pytest.mark.parametrize("how", ["drop", "reconnect", "invalidate"])
async def test_the_gateway_comes_back(wire: DiscordWire, bot: App, gate: Gate, how: str) -> None:
    message = await asked(wire)
    before = wire.identifies + wire.resumes
    await getattr(wire, how)()
    await wire.until(lambda: wire.identifies + wire.resumes > before)
    await wire.connected()
    gate.open.set()
    await message.until(done)
    again = await wire.command(wire.ada, wire.art, "imagine", prompt="another fox")
    await (await again.message()).until(done)


async def test_two_processes_on_one_token_make_one_job(wire: DiscordWire, tmp_path, gate: Gate) -> None:
    """Each has a house of its own here (a shared one is Postgres'): the one that answers second finds the interaction answered, and leaves it."""
    gate.open.set()
    async with held(wire, tmp_path / "one", gate) as one, held(wire, tmp_path / "two", gate) as two:
        await wire.until(lambda: wire.identifies == 2)
        for number in range(5):
            answer = await wire.command(wire.ada, wire.art, "imagine", prompt=f"fox number {number}")
            await (await answer.message()).until(done)
        jobs = [len(await app.store.history(f"discord:{wire.ada.id}")) for app in (one, two)]
    assert sum(jobs) == 5
    assert len(wire.messages(wire.art)) == 5


# ------------------------------------------------------------------------------------------------ restarts


async def test_buttons_and_reactions_work_after_a_restart(wire: DiscordWire, tmp_path, gate: Gate) -> None:
    gate.open.set()
    async with held(wire, tmp_path, gate):
        grid = await (await asked(wire)).until(done)
    puts = [sent for sent in wire.requests if sent.method == "PUT"]
    async with held(wire, tmp_path, gate):
        form = await wire.press(wire.bob, grid, "Remix")
        kept = await wire.submit(wire.bob, form, words="")
        assert (await (await kept.message()).until(done)).text.startswith("**a fox**"), "an empty form keeps the words"
        answer = await wire.press(wire.bob, grid, "V2")
        child = await (await answer.message()).until(done)
        assert "V2 of" in child.text
        await wire.react(wire.bob, grid, "1️⃣")
        await wire.until(lambda: len(wire.messages(wire.art)) == 4)
        await wire.messages(wire.art)[3].until(done)
    assert [sent for sent in wire.requests if sent.method == "PUT"] == puts, "commands are synced only when they changed"


async def test_what_runs_at_a_stop_is_shown_after_the_restart_in_its_place(wire: DiscordWire, tmp_path, gate: Gate) -> None:
    import bot.app

    patience = bot.app.DRAIN
    bot.app.DRAIN = patience * 0
    try:
        async with held(wire, tmp_path, gate):
            message = await asked(wire)
        assert not done(message)
        gate.open.set()
        async with held(wire, tmp_path, gate):
            await message.until(done)
        assert len(wire.messages(wire.art)) == 1
    finally:
        bot.app.DRAIN = patience


async def test_while_it_closes_it_takes_nothing_new_and_says_so(wire: DiscordWire, bot: App, gate: Gate) -> None:
    message = await asked(wire)
    await bot.adapters["discord"].pause()
    answer = await wire.command(wire.ada, wire.art, "imagine", prompt="another fox")
    assert answer.ephemeral and "closing" in (await answer.message()).text
    pressed = await wire.press(wire.ada, message, "Cancel")
    assert pressed.ephemeral
    gate.open.set()
    await message.until(done)


async def test_a_token_discord_refuses_ends_the_start_with_one_sentence(wire: DiscordWire, tmp_path) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with running(tmp_path, **{**discord_settings(wire), "discord_token": "not-the-token"}):
            raise AssertionError("it must not start")
    fault = caught.value.subgroup(Fault)
    assert fault is not None and re.search("fault.discord_token", str(fault.exceptions))


async def test_without_discord_the_rest_goes_on_and_discord_comes_later(wire: DiscordWire, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bot.chat.discord import adapter

    monkeypatch.setattr(adapter, "LOGIN_PATIENCE", 0.1)
    monkeypatch.setattr(adapter, "FIRST_PAUSE", 0.1)
    wire.cut("GET /users/@me", times=3)
    async with running(tmp_path, **discord_settings(wire)) as app:
        assert (await app.store.load()).queued == 0
        await wire.connected()
        answer = await wire.command(wire.ada, wire.art, "imagine", prompt="a fox")
        await (await answer.message()).until(done)


async def test_presence_says_what_is_drawn_and_with_what(wire: DiscordWire, tmp_path, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    from bot.chat.discord import presence

    monkeypatch.setattr(presence, "EVERY", 0.05)
    async with held(wire, tmp_path, gate):

        def says(text: str) -> bool:
            return text in str(wire.presences[-1:])

        await wire.until(lambda: says("Ready · Fake"))
        message = await asked(wire)
        await wire.until(lambda: says("Drawing 1 · Fake"))
        gate.open.set()
        await message.until(done)
        await wire.until(lambda: says("Ready · Fake"))


async def test_a_picture_from_elsewhere_is_not_fetched(wire: DiscordWire, tmp_path, gate: Gate) -> None:
    from tests.fakes.discord import File
    from tests.fakes.studio import paint

    gate.open.set()
    async with held(wire, tmp_path, gate, discord_cdn_hosts="cdn.discordapp.com") as app:
        image = File(name="x.png", content=paint(1), content_type="image/png")
        answer = await wire.command(wire.ada, wire.art, "imagine", prompt="a fox", image=image)
        assert "own servers" in (await answer.followup()).text
        assert await app.store.load() == await app.store.load() and not await app.store.history(f"discord:{wire.ada.id}")
        assert Status.QUEUED not in {job.status for job in await app.store.active(f"discord:{wire.ada.id}")}
