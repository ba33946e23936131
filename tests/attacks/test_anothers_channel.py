"""Whoever makes a server and invites the bot says there which channels it is kept to; what they announce is posted on no other server all the same."""

from __future__ import annotations

from pathlib import Path

from bot.messages import Catalogue
from tests.fakes.discord import DiscordWire
from tests.scenario.bots import discord_settings, running

say = Catalogue.load("en").say


async def test_an_announcement_is_posted_in_no_channel_of_another_server_though_the_bot_may_write_there(tmp_path: Path) -> None:
    async with DiscordWire() as wire, running(tmp_path, **discord_settings(wire)):
        await wire.connected()
        others = wire.channel(wire.guild("Others"), "general")
        assert wire.art.guild is not None
        last = wire.channel(wire.art.guild, "last")

        async def told(what: str, text: str) -> str:
            return (await (await wire.command(wire.owner, wire.art, "admin", what=what, text=text)).message()).text

        assert say("admin.changed") in await told("channels", f"{wire.art.id} {others.id} {last.id}")
        await told("announce", "all your pictures are mine")
        await wire.until(lambda: any("all your pictures" in each.text for each in wire.messages(last, seen_by=wire.bob)))
        assert any("all your pictures" in each.text for each in wire.messages(wire.art, seen_by=wire.bob))
        assert wire.messages(others, seen_by=wire.bob) == [], "it was its turn before the last one's"
