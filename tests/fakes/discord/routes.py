"""The routes that take the bot's own token: who it is, its commands, guilds, channels, messages and reactions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from tests.fakes.discord import rules
from tests.fakes.discord.errors import (
    Refusal,
    invalid,
    missing_access,
    missing_permissions,
    no_direct_messages,
    not_the_author,
    unknown_channel,
    unknown_command,
    unknown_guild,
    unknown_message,
    unknown_user,
)
from tests.fakes.discord.messages import Message
from tests.fakes.discord.rest import Call, Route
from tests.fakes.discord.world import ATTACH, REACT, SEND, Channel, Guild, Json, User

if TYPE_CHECKING:
    from tests.fakes.discord.wire import DiscordWire

Done = tuple[int, Any]


class BotRoutes:
    def __init__(self, wire: DiscordWire) -> None:
        self._wire = wire

    def table(self) -> list[Route]:
        shapes = {
            "GET /gateway": self.gateway,
            "GET /gateway/bot": self.gateway_bot,
            "GET /users/@me": self.me,
            "GET /users/{user}": self.user,
            "GET /applications/@me": self.application,
            "GET /oauth2/applications/@me": self.application,
            "POST /users/@me/channels": self.open_dm,
            "GET /applications/{app}/commands": self.commands,
            "PUT /applications/{app}/commands": self.put_commands,
            "POST /applications/{app}/commands": self.post_command,
            "DELETE /applications/{app}/commands/{command}": self.delete_command,
            "GET /applications/{app}/guilds/{guild}/commands": self.commands,
            "PUT /applications/{app}/guilds/{guild}/commands": self.put_commands,
            "GET /guilds/{guild}": self.guild,
            "GET /guilds/{guild}/members/{user}": self.member,
            "GET /guilds/{guild}/channels": self.guild_channels,
            "GET /channels/{channel}": self.channel,
            "POST /channels/{channel}/typing": self.typing,
            "GET /channels/{channel}/messages": self.messages,
            "POST /channels/{channel}/messages": self.post,
            "GET /channels/{channel}/messages/{message}": self.get,
            "PATCH /channels/{channel}/messages/{message}": self.patch,
            "DELETE /channels/{channel}/messages/{message}": self.delete,
            "PUT /channels/{channel}/messages/{message}/reactions/{emoji}/@me": self.react,
            "DELETE /channels/{channel}/messages/{message}/reactions/{emoji}/@me": self.unreact,
            "DELETE /channels/{channel}/messages/{message}/reactions/{emoji}/{user}": self.unreact,
        }
        return [Route(shape, handler) for shape, handler in shapes.items()]

    async def gateway(self, _: Call) -> Done:
        return 200, {"url": self._wire.gateway_url}

    async def gateway_bot(self, _: Call) -> Done:
        limit = {"total": 1000, "remaining": 1000 - len(self._wire.gateway.identifies), "reset_after": 14400000, "max_concurrency": 1}
        return 200, {"url": self._wire.gateway_url, "shards": self._wire.shards, "session_start_limit": limit}

    async def me(self, _: Call) -> Done:
        return 200, {**self._wire.bot.payload(), "verified": True, "mfa_enabled": True, "email": None, "locale": "en-US"}

    async def application(self, _: Call) -> Done:
        wire = self._wire
        return 200, {
            "id": str(wire.application_id),
            "name": wire.bot.name,
            "icon": None,
            "description": "",
            "rpc_origins": [],
            "bot_public": True,
            "bot_require_code_grant": False,
            "bot": wire.bot.payload(),
            "owner": wire.owner.payload(),
            "verify_key": "0" * 64,
            "team": None,
            "flags": 1 << 23,
            "approximate_guild_count": len([guild for guild in wire.guilds if guild.joined]),
            "approximate_user_install_count": 0,
            "redirect_uris": [],
            "interactions_endpoint_url": None,
            "integration_types_config": {"0": {}, "1": {}},
        }

    async def user(self, call: Call) -> Done:
        return 200, self._user(call.id("user")).payload()

    def _user(self, ident: int) -> User:
        found = next((user for user in [self._wire.bot, *self._wire.users] if user.id == ident), None)
        if found is None:
            raise unknown_user()
        return found

    async def open_dm(self, call: Call) -> Done:
        user = self._user(int(call.body["recipient_id"]))
        if user.bot:
            raise no_direct_messages()
        return 200, self._wire.dm(user).payload(self._wire.bot)

    # Commands

    def _shelf(self, call: Call) -> list[Json]:
        if call.params["app"] != str(self._wire.application_id):
            raise missing_access()
        guild = str(self._guild(call).id) if "guild" in call.params else ""
        return self._wire.registered.setdefault(guild, [])

    async def commands(self, call: Call) -> Done:
        return 200, self._shelf(call)

    async def put_commands(self, call: Call) -> Done:
        shelf = self._shelf(call)
        rules.commands(call.body or [])
        shelf[:] = [self._registered(body, shelf, call) for body in call.body or []]
        return 200, shelf

    async def post_command(self, call: Call) -> Done:
        shelf = self._shelf(call)
        rules.command(call.body)
        made = self._registered(call.body, shelf, call)
        others = [one for one in shelf if one["id"] != made["id"]]
        shelf[:] = [*others, made]
        return (201 if len(others) == len(shelf) - 1 else 200), made

    async def delete_command(self, call: Call) -> Done:
        shelf = self._shelf(call)
        found = next((one for one in shelf if one["id"] == call.params["command"]), None)
        if found is None:
            raise unknown_command()
        shelf.remove(found)
        return 204, None

    def _registered(self, body: Json, shelf: list[Json], call: Call) -> Json:
        kind = body.get("type", 1)
        before = next((one for one in shelf if one["name"] == body["name"] and one["type"] == kind), None)
        permissions = body.get("default_member_permissions")
        kept: Json = {
            "id": before["id"] if before else str(self._wire.snowflake()),
            "application_id": str(self._wire.application_id),
            "description": "",
            "options": [],
            "name_localizations": None,
            "description_localizations": None,
            "contexts": None,
            "integration_types": [0],
            "nsfw": False,
            **body,
            "type": kind,
            "default_member_permissions": None if permissions is None else str(permissions),
        }
        kept["integration_types"] = kept["integration_types"] or [0]
        if "guild" in call.params:
            kept["guild_id"] = call.params["guild"]
        same = before is not None and {**before, "version": None} == {**kept, "version": None}
        kept["version"] = before["version"] if before is not None and same else str(self._wire.snowflake())
        return kept

    # Guilds and channels

    def _guild(self, call: Call) -> Guild:
        found = next((guild for guild in self._wire.guilds if guild.id == call.id("guild")), None)
        if found is None:
            raise unknown_guild()
        if not found.joined:
            raise missing_access()
        return found

    async def guild(self, call: Call) -> Done:
        return 200, self._guild(call).payload(self._wire.bot)

    async def guild_channels(self, call: Call) -> Done:
        return 200, [channel.payload(self._wire.bot) for channel in self._guild(call).channels if not channel.deleted]

    async def member(self, call: Call) -> Done:
        user = self._user(call.id("user"))
        if user is not self._wire.bot and user not in self._guild(call).members:
            raise Refusal(404, 10007, "Unknown Member")
        return 200, user.member()

    def _channel(self, call: Call) -> Channel:
        found = next((channel for channel in self._wire.channels if channel.id == call.id("channel")), None)
        if found is None or found.deleted:
            raise unknown_channel()
        if not found.reachable:
            raise missing_access()
        return found

    async def channel(self, call: Call) -> Done:
        return 200, self._channel(call).payload(self._wire.bot)

    async def typing(self, call: Call) -> Done:
        self._may_send(self._channel(call))
        return 204, None

    @staticmethod
    def _may_send(channel: Channel) -> None:
        if channel.denied & SEND:
            raise missing_permissions()
        if channel.guild is None and any(user.blocks for user in channel.people):
            raise no_direct_messages()

    # Messages

    def _message(self, call: Call) -> Message:
        channel = self._channel(call)
        found = self._wire.find_message(call.id("message"))
        # An ephemeral message is not in the channel; only its interaction's token reaches it.
        if found is None or found.channel is not channel or found.deleted or found.ephemeral:
            raise unknown_message()
        return found

    async def messages(self, call: Call) -> Done:
        shown = [message for message in self._wire.all_messages if message.channel is self._channel(call) and not message.deleted and not message.ephemeral]
        after, before = int(call.query.get("after", 0)), int(call.query.get("before", 1 << 64))
        found = [message for message in shown if after < message.id < before]
        limit = int(call.query.get("limit", 50))
        if not 1 <= limit <= 100:
            raise invalid("limit", "NUMBER_TYPE_MAX", "int value should be between 1 and 100.")
        cut = found[:limit] if "after" in call.query else found[-limit:]
        return 200, [message.payload() for message in reversed(cut)]

    async def get(self, call: Call) -> Done:
        return 200, self._message(call).payload()

    async def post(self, call: Call) -> Done:
        channel, body = self._channel(call), call.body or {}
        self._may_send(channel)
        if call.uploads and channel.denied & ATTACH:
            raise missing_permissions()
        nonce = None if body.get("nonce") is None else str(body["nonce"])
        rules.longest(nonce, 25, "nonce")
        if nonce is not None and body.get("enforce_nonce"):
            known = self._wire.by_nonce(channel, nonce)
            if known is not None:
                return 200, known.payload()
        message = self._wire.composer.create(call, body, channel, reply_to=self._reference(body, channel))
        return 200, message.payload()

    def _reference(self, body: Json, channel: Channel) -> Message | None:
        reference = body.get("message_reference")
        if not reference or reference.get("type", 0) != 0:
            return None
        found = self._wire.find_message(int(reference["message_id"]))
        if found is None or found.deleted or found.ephemeral or found.channel is not channel:
            if reference.get("fail_if_not_exists", True):
                refused = invalid("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
                # The message may have been deleted meanwhile: Discord's answer, not a breach.
                raise Refusal(refused.status, refused.code, refused.message, errors=refused.errors)
            return None
        return found

    async def patch(self, call: Call) -> Done:
        message = self._message(call)
        if message.author is not self._wire.bot:
            raise not_the_author()
        self._wire.composer.edit(call, call.body or {}, message)
        return 200, message.payload()

    async def delete(self, call: Call) -> Done:
        message = self._message(call)
        if message.author is not self._wire.bot:
            raise missing_permissions() if message.channel.guild else Refusal(403, 50003, "Cannot execute action on a DM channel")
        await self._wire.delete_message(message)
        return 204, None

    async def react(self, call: Call) -> Done:
        message, emoji = self._message(call), unquote(call.params["emoji"])
        if message.channel.denied & REACT:
            raise missing_permissions()
        self._wire.mark(self._wire.bot, message, emoji, added=True)
        return 204, None

    async def unreact(self, call: Call) -> Done:
        message, emoji = self._message(call), unquote(call.params["emoji"])
        if "user" in call.params and call.id("user") != self._wire.bot.id:
            # The bot has no right to manage messages here.
            raise missing_permissions()
        self._wire.mark(self._wire.bot, message, emoji, added=False)
        return 204, None
