"""Discord, as members see it: the real discord.py client in the bot, over loopback, against a stand-in for Discord's wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bot.app import App
from engine.fake import FakeEngine
from tests.fakes.discord import DiscordWire, File, Message
from tests.scenario.bots import discord_settings, running


@pytest.fixture
async def wire() -> AsyncIterator[DiscordWire]:
    async with DiscordWire() as wire:
        yield wire
        assert wire.violations == []


@pytest.fixture
async def bot(wire: DiscordWire, tmp_path) -> AsyncIterator[App]:
    async with running(tmp_path, **discord_settings(wire)) as app:
        await wire.connected()
        yield app


async def drawn(wire: DiscordWire, words: str = "a fox in the snow --seed 7", **options: object) -> Message:
    """A finished grid, asked for by ada in #art."""
    answer = await wire.command(wire.ada, wire.art, "imagine", prompt=words, **options)
    return await ended(await answer.message())


async def ended(message: Message) -> Message:
    return await message.until(lambda m: "Drawn in" in m.text)


async def test_a_command_becomes_a_card_that_becomes_a_picture(wire: DiscordWire, bot: App) -> None:
    answer = await wire.command(wire.ada, wire.art, "imagine", prompt="a fox in the snow --seed 7")
    assert answer.kind == "deferred" and not answer.ephemeral
    message = await ended(await answer.message())
    assert message.channel is wire.art
    assert message.text.startswith("**a fox in the snow**")
    assert message.labels[:10] == ["U1", "U2", "U3", "U4", "🔄", "V1", "V2", "V3", "V4", "⭐"]
    ((picture, alt),) = message.pictures
    assert picture.startswith(b"\x89PNG") and "a fox in the snow" in alt
    assert len(wire.messages(wire.art)) == 1
