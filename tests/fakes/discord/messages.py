"""Messages as members see them: every reader walks classic rows and Components V2 alike."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.fakes.discord.world import EPOCH, Attachment, Channel, Json, User

if TYPE_CHECKING:
    from tests.fakes.discord.stage import Stage

EPHEMERAL, LOADING, COMPONENTS_V2, SUPPRESS_EMBEDS = 1 << 6, 1 << 7, 1 << 15, 1 << 2
BUTTON, SELECTS, TEXT, THUMBNAIL, GALLERY, FILE = 2, (3, 5, 6, 7, 8), 10, 11, 12, 13


def walk(components: list[Json]) -> Iterator[Json]:
    """Every component of a tree in reading order: rows, containers, sections with their accessory, labels."""
    for component in components:
        yield component
        yield from walk(component.get("components") or [])
        for single in ("accessory", "component"):
            if isinstance(component.get(single), dict):
                yield from walk([component[single]])


@dataclass(frozen=True)
class Button:
    label: str
    custom_id: str | None
    disabled: bool
    style: int
    url: str | None
    id: int


@dataclass(frozen=True)
class Select:
    placeholder: str
    custom_id: str
    disabled: bool
    options: dict[str, str]
    """Label to value, for string selects."""
    kind: int
    id: int


@dataclass(frozen=True)
class Snapshot:
    """A message as it was before an edit."""

    content: str
    components: list[Json]
    attachments: list[Attachment]
    flags: int
    text: str
    labels: list[str]


@dataclass(eq=False, kw_only=True)
class Message:
    wire: Stage = field(repr=False)
    id: int
    channel: Channel
    author: User
    content: str = ""
    components: list[Json] = field(default_factory=list)
    embeds: list[Json] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    flags: int = 0
    nonce: str | None = None
    reply_to: Message | None = None
    metadata: Json | None = None
    """`interaction_metadata`, where the message answers an interaction."""
    seen_by: User | None = None
    """The one who sees an ephemeral message."""
    deleted: bool = False
    edits: int = 0
    history: list[Snapshot] = field(default_factory=list)
    reactions: dict[str, set[int]] = field(default_factory=dict)
    edited_at: datetime | None = None

    @property
    def ephemeral(self) -> bool:
        return bool(self.flags & EPHEMERAL)

    @property
    def loading(self) -> bool:
        return bool(self.flags & LOADING)

    @property
    def v2(self) -> bool:
        return bool(self.flags & COMPONENTS_V2)

    @property
    def text(self) -> str:
        shown = [self.content] if self.content else []
        shown += [c["content"] for c in walk(self.components) if c["type"] == TEXT]
        shown += [part for e in self.embeds for part in (e.get("title"), e.get("description")) if part]
        return "\n".join(shown)

    @property
    def button_list(self) -> list[Button]:
        return [
            Button(
                c.get("label") or (c.get("emoji") or {}).get("name") or "",
                c.get("custom_id"),
                bool(c.get("disabled")),
                c["style"],
                c.get("url"),
                c["id"],
            )
            for c in walk(self.components)
            if c["type"] == BUTTON
        ]

    @property
    def buttons(self) -> dict[str, Button]:
        return {button.label: button for button in self.button_list}

    @property
    def labels(self) -> list[str]:
        return [button.label for button in self.button_list]

    @property
    def selects(self) -> list[Select]:
        return [
            Select(
                c.get("placeholder") or "",
                c["custom_id"],
                bool(c.get("disabled")),
                {o["label"]: o["value"] for o in c.get("options") or []},
                c["type"],
                c["id"],
            )
            for c in walk(self.components)
            if c["type"] in SELECTS
        ]

    @property
    def pictures(self) -> list[tuple[bytes, str]]:
        """The files shown as pictures, each with its alt text."""
        if not self.v2:
            return [(kept.bytes, kept.description or "") for kept in self.attachments if kept.content_type.startswith("image/")]
        kept_by_id = {str(kept.id): kept for kept in self.attachments}
        shown = []
        for component in walk(self.components):
            items = component["items"] if component["type"] == GALLERY else [component] if component["type"] == THUMBNAIL else []
            for item in items:
                kept = kept_by_id.get(item["media"].get("attachment_id", ""))
                if kept is not None:
                    shown.append((kept.bytes, item.get("description") or kept.description or ""))
        return shown

    @property
    def files(self) -> list[Attachment]:
        """What the file components of a V2 message offer, or all attachments of a classic one."""
        if not self.v2:
            return list(self.attachments)
        offered = {c["file"].get("attachment_id") for c in walk(self.components) if c["type"] == FILE}
        return [kept for kept in self.attachments if str(kept.id) in offered]

    @property
    def urls(self) -> list[str]:
        """Where link buttons lead, and media that are not attachments."""
        led = [button.url for button in self.button_list if button.url]
        for component in walk(self.components):
            for item in component.get("items") or []:
                if "attachment_id" not in item["media"]:
                    led.append(item["media"]["url"])
        return led

    @property
    def url(self) -> str:
        where = self.channel.guild.id if self.channel.guild else "@me"
        return f"https://discord.com/channels/{where}/{self.channel.id}/{self.id}"

    async def until(self, predicate: Callable[[Message], bool | Awaitable[bool]], patience: float = 60.0) -> Message:
        """Waits until the message is as the predicate wants it."""
        await self.wire.until(lambda: predicate(self), patience, what=lambda: f"message shows {self.text!r} with {self.labels}, deleted {self.deleted}")
        return self

    def remember(self) -> None:
        """Called before an edit."""
        self.history.append(Snapshot(self.content, copy.deepcopy(self.components), list(self.attachments), self.flags, self.text, self.labels))

    def visible_to(self, user: User) -> bool:
        return not self.deleted and (not self.ephemeral or self.seen_by is user)

    def payload(self) -> Json:
        made = datetime.fromtimestamp(((self.id >> 22) + EPOCH) / 1000, UTC)
        seen: Json = {
            "id": str(self.id),
            "type": 0,
            "channel_id": str(self.channel.id),
            "author": self.author.payload(),
            "content": self.content,
            "timestamp": made.isoformat(),
            "edited_timestamp": self.edited_at.isoformat() if self.edited_at else None,
            "tts": False,
            "mention_everyone": False,
            "mentions": [],
            "mention_roles": [],
            # Files of a V2 message are shown by its components only: discord/discord-api-docs issue 8277.
            "attachments": [] if self.v2 else [kept.payload() for kept in self.attachments],
            "embeds": copy.deepcopy(self.embeds),
            "components": copy.deepcopy(self.components),
            "pinned": False,
            "flags": self.flags,
        }
        if self.reactions:
            seen["reactions"] = [
                {
                    "count": len(by),
                    "count_details": {"burst": 0, "normal": len(by)},
                    "me": self.wire.bot.id in by,
                    "me_burst": False,
                    "burst_colors": [],
                    "emoji": {"id": None, "name": name},
                }
                for name, by in self.reactions.items()
                if by
            ]
        if self.author is self.wire.bot:
            seen["application_id"] = str(self.wire.application_id)
        if self.metadata is not None:
            seen |= {"type": 20, "webhook_id": str(self.wire.application_id), "interaction_metadata": copy.deepcopy(self.metadata)}
        if self.nonce is not None:
            seen["nonce"] = self.nonce
        if self.reply_to is not None:
            seen["type"] = 19
            seen["message_reference"] = {"type": 0, "message_id": str(self.reply_to.id), "channel_id": str(self.channel.id)}
            if self.channel.guild:
                seen["message_reference"]["guild_id"] = str(self.channel.guild.id)
            seen["referenced_message"] = None if self.reply_to.deleted else {**self.reply_to.payload(), "referenced_message": None}
        return seen

    def event(self) -> dict[str, Any]:
        """As MESSAGE_CREATE and MESSAGE_UPDATE carry it."""
        seen = self.payload()
        if self.channel.guild is not None:
            seen["guild_id"] = str(self.channel.guild.id)
            seen["member"] = self.author.member(user=False)
        return seen
