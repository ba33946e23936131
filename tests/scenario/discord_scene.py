"""Discord with the whole bot behind it, whose jobs a test can hold half drawn. Used by the tests of what goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bot.app import App
from engine.fake import FakeEngine
from tests.contract.jobs import execute
from tests.fakes.discord import DiscordWire, Message
from tests.scenario.bots import discord_settings, running


class Gate:
    """Holds every job at its second step until it is opened."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def __call__(self, request: Any, step: int) -> None:
        if step == 2:
            await self.open.wait()


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
    while await execute(bot.store, "SELECT id FROM notices WHERE told_at IS NULL"):
        assert asyncio.get_running_loop().time() < end
        await asyncio.sleep(0.02)
