"""Fetches what members send along: attachments, files of forms, pictures of messages. Made by `bot.chat.discord.adapter`, used by `handlers`.

Discord's links to files expire within a day: they are followed as soon as they are needed, and never stored.
"""

from __future__ import annotations

from collections.abc import Sequence

import aiohttp
import discord

from bot.chat.discord import events
from bot.chat.discord.events import Found
from bot.chat.fetching import Foreign, TooHeavy, Unfit, Unreachable, fetch
from bot.domain import Upload
from bot.errors import BadPicture, Refused


class Files:
    """`hosts`: where they may be fetched. `limit`: bytes of one."""

    def __init__(self, client: discord.Client, session: aiohttp.ClientSession, hosts: frozenset[str], limit: int) -> None:
        self._client, self._session, self._hosts, self._limit = client, session, hosts, limit

    async def fetched(self, found: Sequence[Found]) -> tuple[Upload, ...]:
        """Raises BadPicture, Refused."""
        return tuple([await self._one(each) for each in found])

    async def _one(self, found: Found) -> Upload:
        try:
            if found.size > self._limit:
                raise TooHeavy
            data = await fetch(self._session, found.url, self._hosts, limit=self._limit)
        except TooHeavy:
            raise BadPicture("error.picture_too_heavy", limit=self._limit // 2**20) from None
        except Foreign:
            raise Refused("chat.foreign") from None
        except Unfit:
            raise BadPicture("error.picture_unreadable") from None
        except Unreachable:
            raise BadPicture("chat.unreachable") from None
        return Upload(name=found.name, data=data, role=found.role)

    async def of_message(self, where: str) -> tuple[Found, ...]:
        """The picture of the message that "channel/message" names, its address asked for anew. Raises Refused."""
        channel, _, handle = where.partition("/")
        try:
            message = await self._client.get_partial_messageable(int(channel)).get_partial_message(int(handle)).fetch()
        except (discord.HTTPException, ValueError):
            raise Refused("chat.gone") from None
        if not (found := events.pictures(message)[:1]):
            raise Refused("refused.no_picture_there")
        return found
