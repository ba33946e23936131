"""The prompt gate on Discord: what is drawn where, by the channel's own mark and the server's setting."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.fakes.discord import DiscordWire
from tests.scenario.bots import discord_settings, running, unknown_requests


@pytest.fixture
async def wire() -> AsyncIterator[DiscordWire]:
    async with DiscordWire() as wire:
        yield wire
        assert wire.violations == [] and not unknown_requests(wire)


async def test_sexual_content_needs_a_channel_that_is_named_for_it_and_that_discord_keeps_from_the_young(wire: DiscordWire, tmp_path) -> None:
    adults = wire.channel(wire.art.guild, "adults", nsfw=True)
    async with running(tmp_path, **discord_settings(wire)):
        await wire.connected()

        async def asked(where: object) -> str:
            answer = await wire.command(wire.ada, where, "imagine", prompt="a naked woman --n 1")
            return (await (await answer.message()).until(lambda m: "Drawn in" in m.text or "Rule" in m.text)).text

        assert "Rule" in await asked(adults), "the mark alone is not enough"
        named = f"{adults.mention} {wire.art.mention}"
        await (await wire.command(wire.owner, wire.art, "settings", name="adult", value=named)).message()
        assert "Drawn in" in await asked(adults)
        assert "Rule" in await asked(wire.art), "and neither is the name"


async def test_a_channel_that_the_young_may_see_can_show_it_behind_a_click(wire: DiscordWire, tmp_path) -> None:
    async with running(tmp_path, **discord_settings(wire)):
        await wire.connected()
        await (await wire.command(wire.owner, wire.art, "settings", name="spoiler", value=wire.art.mention)).message()

        async def files(words: str) -> list[str]:
            message = await (await wire.command(wire.ada, wire.art, "imagine", prompt=words)).message()
            return [each.name for each in (await message.until(lambda m: "Drawn in" in m.text)).attachments]

        assert [name.startswith("SPOILER_") for name in await files("a naked woman --n 1")] == [True]
        assert [name.startswith("SPOILER_") for name in await files("a fox --n 1")] == [False]
