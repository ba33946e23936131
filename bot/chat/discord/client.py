"""The gateway's side: one discord.py client that never gives up, with our endpoints. Made by `bot.chat.discord.adapter`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import discord
import yarl
from discord import app_commands
from discord.gateway import DiscordWebSocket
from discord.http import Route

from bot.chat.discord.layout import PressButton, PressSelect

if TYPE_CHECKING:
    from bot.chat.discord.handlers import Handlers

#: Neither is privileged: nobody has to be asked for message contents, and what members write is not read.
INTENTS = discord.Intents(guilds=True, guild_reactions=True, dm_reactions=True)


class Client(discord.AutoShardedClient):
    """discord.py's client, which hands everything to `handlers` (set before it connects). As many shards as Discord asks for."""

    handlers: Handlers

    def __init__(self, *, gateway_url: str, ready: Callable[[], None]) -> None:
        super().__init__(
            intents=INTENTS,
            allowed_mentions=discord.AllowedMentions.none(),
            max_messages=None,  # nothing is remembered of messages
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
        )
        self._gateway_url, self._is_ready = gateway_url, ready
        self.tree: app_commands.CommandTree[Client] = app_commands.CommandTree(
            self,
            allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=True),
            allowed_installs=app_commands.AppInstallationType(guild=True, user=True),
        )
        self.add_dynamic_items(PressButton, PressSelect)

    async def launch_shards(self) -> None:
        """With a gateway of the operator's in the place of the one the API names."""
        if self._gateway_url:
            ask = self.http.get_bot_gateway

            async def get_bot_gateway() -> Any:
                shards, _, limits = await ask()
                return shards, self._gateway_url, limits

            self.http.get_bot_gateway = get_bot_gateway  # type: ignore[method-assign]
        await super().launch_shards()

    # -- what discord.py calls

    async def on_ready(self) -> None:
        self._is_ready()

    async def on_interaction(self, interaction: discord.Interaction[Client]) -> None:
        if interaction.type is discord.InteractionType.modal_submit:
            await self.handlers.submitted(interaction)

    async def on_raw_reaction_add(self, payload: discord.RawReactionActionEvent) -> None:
        await self.handlers.reacted(payload, added=True)

    async def on_raw_reaction_remove(self, payload: discord.RawReactionActionEvent) -> None:
        await self.handlers.reacted(payload, added=False)


def use_endpoints(api_url: str, gateway_url: str) -> None:
    """discord.py keeps its addresses on classes: one set a process."""
    Route.BASE = api_url.rstrip("/")
    if gateway_url:
        DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway_url)
