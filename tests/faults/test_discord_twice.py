"""Told once on Discord: deliveries that come again, gateways that come back, processes that end and begin."""

from __future__ import annotations

import re

import pytest

from bot.app import App
from bot.domain import Status
from bot.errors import Fault
from tests.fakes.discord import DiscordWire, File
from tests.fakes.studio import paint
from tests.scenario.bots import discord_settings, running
from tests.scenario.discord_scene import Gate, asked, done, held, told

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


async def test_two_processes_on_one_postgres_make_one_job_and_one_card(wire: DiscordWire, tmp_path, gate: Gate, postgres_url: str) -> None:
    """Both hear everything: of an interaction the second finds it answered, of a reaction it finds the delivery taken."""
    gate.open.set()
    async with held(wire, tmp_path, gate, database_url=postgres_url) as one, held(wire, tmp_path, gate, database_url=postgres_url):
        await wire.until(lambda: wire.identifies == 2)
        grid = await (await asked(wire)).until(done)
        await wire.react(wire.bob, grid, "2️⃣")
        await wire.until(lambda: len(wire.messages(wire.art)) >= 2)
        await wire.messages(wire.art)[1].until(done)
        await told(one)
        pressed = await wire.press(wire.bob, grid, "V1")
        await (await pressed.message()).until(done)
        await told(one)
        assert len(wire.messages(wire.art)) == 3
        assert len(await one.store.history(f"discord:{wire.bob.id}")) == 2


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
    gate.open.set()
    async with held(wire, tmp_path, gate, discord_cdn_hosts="cdn.discordapp.com") as app:
        image = File(name="x.png", content=paint(1), content_type="image/png")
        answer = await wire.command(wire.ada, wire.art, "imagine", prompt="a fox", image=image)
        assert "own servers" in (await answer.followup()).text
        assert await app.store.load() == await app.store.load() and not await app.store.history(f"discord:{wire.ada.id}")
        assert Status.QUEUED not in {job.status for job in await app.store.active(f"discord:{wire.ada.id}")}
