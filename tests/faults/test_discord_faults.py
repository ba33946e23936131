"""What goes wrong on the way to Discord: the picture still arrives, or the reason does."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.app import PROGRESS_EVERY, App
from engine.fake import FakeEngine
from tests.fakes.discord import DiscordWire, File
from tests.fakes.studio import paint
from tests.scenario.bots import discord_settings, running
from tests.scenario.discord_scene import Gate, asked, done, held, told

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
    wire.attachment_limit = 24_000
    async with held(wire, tmp_path, gate, public_url="https://pictures.example.org", web=True, web_port=0):
        message = await asked(wire, "a fox --size 1024x1024 --seed 7")
        await message.until(done)
        ((data, _),) = message.pictures
        assert data.startswith(b"RIFF") and len(data) <= 24_000
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


@pytest.mark.parametrize("route", ["GET /users/@me", "GET /oauth2/applications/@me", "PUT /applications/{app}/commands", "GET /gateway/bot"])
async def test_429_on_every_route_of_the_start_only_delays_it(wire: DiscordWire, tmp_path, gate: Gate, route: str) -> None:
    gate.open.set()
    wire.limit(route, retry_after=0.2, times=1)
    async with held(wire, tmp_path, gate):
        await (await asked(wire)).until(done)
    assert any(sent.status == 429 for sent in wire.requests), "the limit was met"


ASIDE = {
    "DELETE /webhooks/{app}/{token}/messages/@original": "an answer that turns out private",
    "POST /webhooks/{app}/{token}": "a word to one member",
    "DELETE /channels/{channel}/messages/{message}": "a picture taken away",
    "GET /channels/{channel}/messages/{message}": "the picture of a form",
}


@pytest.mark.parametrize("route", ASIDE, ids=ASIDE.values())
async def test_429_on_the_routes_beside_the_road_only_delays(wire: DiscordWire, bot: App, gate: Gate, route: str) -> None:
    gate.open.set()
    grid = await (await asked(wire)).until(done)
    photo = await wire.say(wire.bob, wire.art, files=[File(name="dog.png", content=paint(1), content_type="image/png")])
    wire.limit(route, retry_after=0.2, times=1)
    form = await wire.context(wire.ada, wire.art, "Imagine from this", photo)
    child = await wire.submit(wire.ada, form, words="a dog --n 1")
    await (await child.message()).until(done)
    which = await wire.context(wire.ada, wire.art, "Upscale", grid)
    assert (await which.followup()).labels == ["U1", "U2", "U3", "U4"]
    await wire.react(wire.ada, grid, "❌")
    await wire.until(lambda: grid.deleted)
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


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_an_acknowledgement_cut_on_the_way_is_given_again(wire: DiscordWire, bot: App, gate: Gate, after: bool) -> None:
    """`after`: the first had its effect, so the second is told that it is answered; it is ours all the same."""
    gate.open.set()
    wire.cut("POST /interactions/{interaction}/{token}/callback", after=after)
    await (await asked(wire)).until(done)
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
