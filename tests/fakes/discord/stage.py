"""The state of the fake Discord, shared by the gateway, the REST API and the members: its places, people, messages and clocks."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from tests.fakes.discord.gateway import Gateway
from tests.fakes.discord.interactions import Interaction
from tests.fakes.discord.messages import Message
from tests.fakes.discord.world import DENIED, Attachment, Channel, Guild, Json, Snowflakes, User

TOKEN = "MTIzNDU2Nzg5MDEyMzQ1Njc4.Gfake0.not-a-secret-of-anybody-000000000000"


class Stage:
    """What stands there, and what moderators, owners and the network do to it."""

    def __init__(self) -> None:
        self.snowflake = Snowflakes()
        self.token = TOKEN
        self.ack_seconds = 3.0
        """How long the first response to an interaction may take."""
        self.token_seconds = 900.0
        """How long an interaction's token opens its webhook."""
        self.nonce_seconds = 300.0
        """How far back `enforce_nonce` looks."""
        self.attachment_limit = 10 * 2**20
        """Bytes a file."""
        self.privileged_intents = 0
        """Those switched on in the developer portal."""
        self.shards = 1
        self.bot = User(id=self.snowflake(), name="wordup", bot=True)
        self.bot_id = self.application_id = self.bot.id
        self.users: list[User] = []
        self.guilds: list[Guild] = []
        self.channels: list[Channel] = []
        self.all_messages: list[Message] = []
        self.registered: dict[str, list[Json]] = {}
        """Commands by guild id; the global ones under the empty string."""
        self.interactions: dict[str, Interaction] = {}
        self.attachments: dict[int, Attachment] = {}
        self.gateway = Gateway(self)
        self.host = ""
        self.owner = self.user("grace", admin=True)
        self.ada, self.bob = self.user("ada"), self.user("bob")
        self.tests = self.guild("Tests")
        self.art, self.lounge = self.channel(self.tests, "art"), self.channel(self.tests, "lounge")

    @property
    def api_url(self) -> str:
        return f"http://{self.host}/api/v10"

    @property
    def gateway_url(self) -> str:
        return f"ws://{self.host}/gateway"

    @property
    def cdn_url(self) -> str:
        return f"http://{self.host}/cdn"

    # The world

    def user(self, name: str, *, locale: str = "en-US", admin: bool = False) -> User:
        """A new person, who is a member of every guild made so far and later."""
        made = User(id=self.snowflake(), name=name, locale=locale, admin=admin)
        self.users.append(made)
        for guild in self.guilds:
            guild.members.append(made)
        return made

    def guild(self, name: str, *, locale: str = "en-US", joined: bool = True) -> Guild:
        """`joined=False`: the bot is not in it; its user-installed commands can still be used there."""
        made = Guild(id=self.snowflake(), name=name, owner=self.owner, locale=locale, joined=joined, members=list(self.users))
        self.guilds.append(made)
        if joined:
            self.gateway.dispatch("GUILD_CREATE", made.payload(self.bot), guild_id=made.id)
        return made

    def channel(self, guild: Guild, name: str, *, nsfw: bool = False) -> Channel:
        made = Channel(id=self.snowflake(), name=name, guild=guild, nsfw=nsfw)
        guild.channels.append(made)
        self.channels.append(made)
        self.gateway.dispatch("CHANNEL_CREATE", made.payload(self.bot), made)
        return made

    def dm(self, user: User) -> Channel:
        """The direct messages of a person and the bot."""
        found = next((c for c in self.channels if c.guild is None and c.with_bot and c.people == [user]), None)
        return found or self._private([user], with_bot=True)

    def private(self, *users: User) -> Channel:
        """Direct messages between people, without the bot."""
        return self._private(list(users), with_bot=False)

    def _private(self, people: list[User], *, with_bot: bool) -> Channel:
        made = Channel(id=self.snowflake(), name="", people=people, with_bot=with_bot)
        self.channels.append(made)
        return made

    def store(self, name: str, content: bytes, content_type: str, channel: Channel, description: str | None = None) -> Attachment:
        """Lays a file on the content delivery network."""
        ident = self.snowflake()
        url = f"{self.cdn_url}/attachments/{channel.id}/{ident}/{name}?ex=7fffffff&is=7ffffff0&hm={ident:x}"
        made = Attachment(id=ident, name=name, bytes=content, content_type=content_type, url=url, description=description)
        self.attachments[ident] = made
        return made

    def keep(self, message: Message) -> None:
        self.all_messages.append(message)
        message.channel.last_message = message.id
        self.tell_of(message, "MESSAGE_CREATE")

    def tell_of(self, message: Message, event: str) -> None:
        if not message.ephemeral:
            self.gateway.dispatch(event, message.event(), message.channel)

    def find_message(self, ident: int) -> Message | None:
        return next((message for message in self.all_messages if message.id == ident), None)

    def by_nonce(self, channel: Channel, nonce: str) -> Message | None:
        """The bot's own message of the last minutes with this nonce."""
        oldest = self.snowflake() - (int(self.nonce_seconds * 1000) << 22)
        mine = (m for m in self.all_messages if m.channel is channel and m.author is self.bot and m.nonce == nonce and m.id >= oldest)
        return next(mine, None)

    def messages(self, channel: Channel, *, seen_by: User | None = None) -> list[Message]:
        """What stands in a channel, in order; `seen_by` adds the ephemeral ones of that member."""
        here = [message for message in self.all_messages if message.channel is channel and not message.deleted]
        return [message for message in here if not message.ephemeral or (seen_by is not None and message.seen_by is seen_by)]

    def dms(self, user: User) -> list[Message]:
        return self.messages(self.dm(user))

    def mark(self, user: User, message: Message, emoji: str, *, added: bool, anew: bool = False) -> None:
        """Adds or takes a reaction and tells of it; `anew` tells of it even where it stands already."""
        by = message.reactions.setdefault(emoji, set())
        if (user.id in by) == added and not anew:
            return
        (by.add if added else by.discard)(user.id)
        told: Json = {
            "user_id": str(user.id),
            "channel_id": str(message.channel.id),
            "message_id": str(message.id),
            "emoji": {"id": None, "name": emoji},
            "burst": False,
            "type": 0,
        }
        if message.channel.guild is not None:
            told["guild_id"] = str(message.channel.guild.id)
        if added:
            told["message_author_id"] = str(message.author.id)
            if message.channel.guild is not None:
                told["member"] = user.member()
        self.gateway.dispatch("MESSAGE_REACTION_ADD" if added else "MESSAGE_REACTION_REMOVE", told, message.channel)

    # What moderators and owners do

    async def delete_message(self, message: Message) -> None:
        message.deleted = True
        if not message.ephemeral:
            told = {"id": str(message.id), "channel_id": str(message.channel.id)}
            where = {"guild_id": str(message.channel.guild.id)} if message.channel.guild else {}
            self.gateway.dispatch("MESSAGE_DELETE", told | where, message.channel)

    def delete_channel(self, channel: Channel) -> None:
        channel.deleted = True
        self.gateway.dispatch("CHANNEL_DELETE", channel.payload(self.bot), channel)

    def forbid(self, channel: Channel, *what: str) -> None:
        """Takes from the bot here: `view` (50001, the default), `send`, `attach`, `react` (50013)."""
        for right in what or ("view",):
            channel.denied |= DENIED[right]
        self.gateway.dispatch("CHANNEL_UPDATE", channel.payload(self.bot), channel)

    def allow(self, channel: Channel) -> None:
        """Gives everything back."""
        channel.denied = 0
        self.gateway.dispatch("CHANNEL_UPDATE", channel.payload(self.bot), channel)

    def block_dm(self, user: User, blocked: bool = True) -> None:
        user.blocks = blocked

    def expire_tokens(self) -> None:
        """Every interaction so far is fifteen minutes old."""
        for interaction in self.interactions.values():
            interaction.expired = True

    # The gateway

    @property
    def identifies(self) -> int:
        return len(self.gateway.identifies)

    @property
    def resumes(self) -> int:
        return self.gateway.resumes

    @property
    def presences(self) -> list[Json]:
        return self.gateway.presences

    async def connected(self, patience: float = 60.0) -> None:
        """Waits until a session is ready and listens."""
        await self.until(lambda: bool(self.gateway.live), patience, what=lambda: f"{self.identifies} identifies, {self.resumes} resumes")

    async def drop(self) -> None:
        await self.gateway.drop()

    async def reconnect(self) -> None:
        await self.gateway.reconnect()

    async def invalidate(self, resumable: bool = False) -> None:
        await self.gateway.invalidate(resumable=resumable)

    async def replay(self, n: int) -> None:
        """Cuts the socket; the resume that follows brings the last `n` delivered events once more."""
        self.gateway.again = n
        await self.drop()

    async def until(self, predicate: Callable[[], bool | Awaitable[bool]], patience: float = 60.0, *, what: Callable[[], str] | None = None) -> None:
        """Polls until the predicate holds; AssertionError with `what()` after `patience` seconds."""
        loop = asyncio.get_running_loop()
        end = loop.time() + patience
        while True:
            found: Any = predicate()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return
            if loop.time() > end:
                raise AssertionError(f"not within {patience} s: {what() if what else inspect.getsource(predicate).strip()}")
            await asyncio.sleep(0.01)
