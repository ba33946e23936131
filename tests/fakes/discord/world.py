"""The people and places of the fake Discord, and the JSON in which the gateway and the REST API show them."""

from __future__ import annotations

import io
import mimetypes
import time
import warnings
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

Json = dict[str, Any]

EPOCH = 1420070400000
"""Discord's epoch in Unix milliseconds: https://discord.com/developers/docs/reference#snowflakes"""

JOINED = "2026-01-02T03:04:05.000000+00:00"
VIEW, SEND, ATTACH, REACT, MANAGE_MESSAGES, MANAGE_GUILD, ADMINISTRATOR = 1 << 10, 1 << 11, 1 << 15, 1 << 6, 1 << 13, 1 << 5, 1 << 3
EVERYBODY = VIEW | SEND | ATTACH | REACT | 1 << 14 | 1 << 16 | 1 << 18 | 1 << 31
"""View, send, attach, react, embed links, read history, external emojis, use application commands."""

DENIED = {"view": VIEW, "send": SEND, "attach": ATTACH, "react": REACT}


class Snowflakes:
    """Ids that carry the time and only grow."""

    def __init__(self) -> None:
        self._last = 0

    def __call__(self) -> int:
        now = (int(time.time() * 1000) - EPOCH) << 22
        self._last = max(now, self._last + 1)
        return self._last


@dataclass(frozen=True, kw_only=True)
class File:
    """What a member attaches to a command or a message."""

    name: str
    content: bytes
    content_type: str = ""


@dataclass(eq=False, kw_only=True)
class Attachment:
    """A file kept by the content delivery network."""

    id: int
    name: str
    bytes: bytes
    content_type: str
    url: str
    description: str | None = None

    @property
    def size(self) -> int:
        return len(self.bytes)

    def dimensions(self) -> Json:
        if not self.content_type.startswith("image/"):
            return {}
        try:
            with warnings.catch_warnings(), Image.open(io.BytesIO(self.bytes)) as image:
                warnings.simplefilter("ignore")
                return {"width": image.width, "height": image.height}
        except (OSError, ValueError, Image.DecompressionBombError):
            return {}

    def payload(self) -> Json:
        told = {"description": self.description} if self.description else {}
        return {
            "id": str(self.id),
            "filename": self.name,
            "size": self.size,
            "url": self.url,
            "proxy_url": self.url,
            "content_type": self.content_type,
            **self.dimensions(),
            **told,
        }

    def media(self) -> Json:
        """As a component shows it (unfurled media item)."""
        shape = self.dimensions()
        return {
            "url": self.url,
            "proxy_url": self.url,
            "width": shape.get("width", 0),
            "height": shape.get("height", 0),
            "content_type": self.content_type,
            "flags": 0,
            "attachment_id": str(self.id),
        }


def content_type_of(name: str, content: bytes, said: str = "") -> str:
    """Discord looks at the file itself and believes the sender's type only where it is more than `octet-stream`."""
    for magic, kind in ((b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif")):
        if content.startswith(magic):
            return kind
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    if said and said != "application/octet-stream":
        return said
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


@dataclass(eq=False, kw_only=True)
class User:
    id: int
    name: str
    locale: str = "en-US"
    bot: bool = False
    admin: bool = False
    blocks: bool = False
    """Takes no direct messages from the bot."""

    @property
    def mention(self) -> str:
        return f"<@{self.id}>"

    def payload(self) -> Json:
        return {
            "id": str(self.id),
            "username": self.name,
            "global_name": None if self.bot else self.name.capitalize(),
            "discriminator": "0" if not self.bot else "4242",
            "avatar": None,
            "bot": self.bot,
            "public_flags": 0,
            "flags": 0,
            "avatar_decoration_data": None,
            "primary_guild": None,
            "collectibles": None,
        }

    def member(self, *, permissions: int | None = None, user: bool = True) -> Json:
        seen: Json = {
            "nick": None,
            "avatar": None,
            "banner": None,
            "roles": [],
            "joined_at": JOINED,
            "premium_since": None,
            "deaf": False,
            "mute": False,
            "flags": 0,
            "pending": False,
            "communication_disabled_until": None,
        }
        if user:
            seen["user"] = self.payload()
        if permissions is not None:
            seen["permissions"] = str(permissions)
        return seen


@dataclass(eq=False, kw_only=True)
class Guild:
    id: int
    name: str
    owner: User
    locale: str = "en-US"
    joined: bool = True
    """Whether the bot is a member; a user-installed app is used in guilds where it is not."""
    channels: list[Channel] = field(default_factory=list)
    members: list[User] = field(default_factory=list)

    def partial(self) -> Json:
        return {"id": str(self.id), "locale": self.locale, "features": []}

    def payload(self, bot: User) -> Json:
        everyone = {
            "id": str(self.id),
            "name": "@everyone",
            "color": 0,
            "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
            "hoist": False,
            "icon": None,
            "unicode_emoji": None,
            "position": 0,
            "permissions": str(EVERYBODY),
            "managed": False,
            "mentionable": False,
            "flags": 0,
        }
        return {
            "id": str(self.id),
            "name": self.name,
            "icon": None,
            "splash": None,
            "discovery_splash": None,
            "owner_id": str(self.owner.id),
            "afk_channel_id": None,
            "afk_timeout": 300,
            "verification_level": 1,
            "default_message_notifications": 1,
            "explicit_content_filter": 0,
            "roles": [everyone],
            "emojis": [],
            "stickers": [],
            "features": [],
            "mfa_level": 0,
            "application_id": None,
            "system_channel_id": None,
            "system_channel_flags": 0,
            "rules_channel_id": None,
            "max_members": 500000,
            "vanity_url_code": None,
            "description": None,
            "banner": None,
            "premium_tier": 0,
            "premium_subscription_count": 0,
            "preferred_locale": self.locale,
            "public_updates_channel_id": None,
            "nsfw_level": 0,
            "premium_progress_bar_enabled": False,
            "safety_alerts_channel_id": None,
            "joined_at": JOINED,
            "large": False,
            "unavailable": False,
            "member_count": len(self.members) + 1,
            "voice_states": [],
            "members": [bot.member()],
            "channels": [channel.payload(bot) for channel in self.channels if not channel.deleted],
            "threads": [],
            "presences": [],
            "stage_instances": [],
            "guild_scheduled_events": [],
            "soundboard_sounds": [],
        }


@dataclass(eq=False, kw_only=True)
class Channel:
    id: int
    name: str
    guild: Guild | None = None
    people: list[User] = field(default_factory=list)
    """The members of a direct message, without the bot."""
    with_bot: bool = True
    nsfw: bool = False
    denied: int = 0
    """What the bot may not do here, as permission bits."""
    deleted: bool = False
    last_message: int | None = None

    @property
    def mention(self) -> str:
        return f"<#{self.id}>"

    @property
    def context(self) -> int:
        """Interaction context type: 0 guild, 1 direct message with the bot, 2 another private channel."""
        return 0 if self.guild is not None else 1 if self.with_bot else 2

    @property
    def reachable(self) -> bool:
        """Whether the bot itself may look in here."""
        inside = self.guild.joined if self.guild is not None else self.with_bot
        return inside and not self.denied & VIEW

    def app_permissions(self) -> int:
        allowed = EVERYBODY & ~self.denied
        return allowed & ~SEND if self.denied & VIEW else allowed

    def member_permissions(self, user: User) -> int:
        return EVERYBODY | (MANAGE_GUILD | MANAGE_MESSAGES | ADMINISTRATOR if user.admin else 0)

    def payload(self, bot: User) -> Json:
        last = str(self.last_message) if self.last_message else None
        if self.guild is None:
            return {"id": str(self.id), "type": 1, "last_message_id": last, "flags": 0, "recipients": [user.payload() for user in self.people]}
        overwrites = [{"id": str(bot.id), "type": 1, "allow": "0", "deny": str(self.denied)}] if self.denied else []
        return {
            "id": str(self.id),
            "type": 0,
            "guild_id": str(self.guild.id),
            "name": self.name,
            "position": self.guild.channels.index(self) if self in self.guild.channels else 0,
            "topic": None,
            "nsfw": self.nsfw,
            "parent_id": None,
            "last_message_id": last,
            "last_pin_timestamp": None,
            "rate_limit_per_user": 0,
            "flags": 0,
            "permission_overwrites": overwrites,
        }

    def partial(self, user: User, bot: User) -> Json:
        """As an interaction carries it."""
        seen = self.payload(bot)
        seen.pop("permission_overwrites", None)
        if self.guild is not None:
            seen["permissions"] = str(self.member_permissions(user))
        return seen
