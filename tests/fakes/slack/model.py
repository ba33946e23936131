"""What a workspace is made of: people, channels, files, messages, views, and what was asked of the platform."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from tests.fakes.slack.readers import Blocks, Readable, text_of, unescaped

if TYPE_CHECKING:
    from tests.fakes.slack.world import World

SHOWN = {b"\x89PNG\r\n\x1a\n": ("image/png", "png"), b"\xff\xd8\xff": ("image/jpeg", "jpg"), b"GIF8": ("image/gif", "gif")}


class Picture(NamedTuple):
    content: bytes
    alt_text: str


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that Slack refuses, or lets pass to the harm of those who read it."""

    method: str
    what: str

    def __str__(self) -> str:
        return f"{self.method}: {self.what}"


@dataclass(slots=True)
class Sent:
    """One request of the bot. `method` is the Web API's, or "upload", "response_url", "url_private"."""

    method: str
    args: dict[str, Any]
    #: Seconds of the monotonic clock.
    at: float
    #: Slack's error, "ratelimited" and "cut" among them; empty where it was granted.
    error: str = ""
    status: int = 200


@dataclass(frozen=True, slots=True)
class User:
    id: str
    name: str
    real_name: str
    locale: str = "en-US"
    admin: bool = False


@dataclass(eq=False, slots=True)
class Channel:
    id: str
    name: str
    kind: Literal["public", "private", "im"]
    members: set[str]
    archived: bool = False
    #: Whose direct message with the bot this is.
    user: str = ""


@dataclass(eq=False, slots=True)
class File:
    id: str
    name: str
    length: int
    user: str
    alt_text: str = ""
    title: str = ""
    content: bytes | None = None
    #: Seconds of the monotonic clock; never: not completed.
    completed: float = math.inf
    deleted: bool = False
    channels: set[str] = field(default_factory=set)
    declared: str = ""

    @property
    def kind(self) -> tuple[str, str]:
        """Mimetype and filetype, by the first bytes as Slack sees them."""
        content = self.content or b""
        if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
            return "image/webp", "webp"
        found = next((kind for magic, kind in SHOWN.items() if content.startswith(magic)), None)
        return found or (self.declared or "application/octet-stream", "binary")


@dataclass(eq=False)
class Message(Readable):
    ts: str
    channel: str
    user: str
    text: str
    blocks: Blocks
    world: World = field(repr=False)
    metadata: dict[str, Any] = field(default_factory=dict)
    files: list[File] = field(default_factory=list)
    thread_ts: str = ""
    edits: int = 0
    deleted: bool = False
    #: Seen by one member only; `to` says by whom.
    ephemeral: bool = False
    to: str = ""
    reactions: dict[str, set[str]] = field(default_factory=dict)
    #: What was chosen in menus: block_id → action_id → value, as in a payload's `state`.
    state: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def plain(self) -> str:
        """Everything read in the message; `text` where there are no blocks."""
        return super().plain if self.blocks else unescaped(self.text)

    @property
    def pictures(self) -> list[Picture]:
        return pictures(self.blocks, self.world)

    async def until(self, reached: Callable[[Message], Any], patience: float = 60.0) -> Message:
        await self.world.until(lambda: reached(self), patience, lambda: f"the message is {'deleted' if self.deleted else self.plain!r} {self.labels}")
        return self


@dataclass(eq=False)
class View(Readable):
    id: str
    body: dict[str, Any]
    user: str
    world: World = field(repr=False)
    hash: str = ""
    edits: int = 0
    closed: bool = False
    state: dict[str, dict[str, Any]] = field(default_factory=dict)
    root: str = ""

    @property
    def blocks(self) -> Blocks:  # type: ignore[override]
        return list(self.body["blocks"])

    @property
    def title(self) -> str:
        return text_of(self.body.get("title"))

    @property
    def callback_id(self) -> str:
        return str(self.body.get("callback_id", ""))

    @property
    def private_metadata(self) -> str:
        return str(self.body.get("private_metadata", ""))

    @property
    def plain(self) -> str:
        return "\n".join(line for line in (self.title, super().plain) if line)

    @property
    def pictures(self) -> list[Picture]:
        return pictures(self.blocks, self.world)

    async def until(self, reached: Callable[[View], Any], patience: float = 60.0) -> View:
        await self.world.until(lambda: reached(self), patience, lambda: f"the view is {self.plain!r} {self.labels}")
        return self


@dataclass(eq=False, slots=True)
class Trigger:
    user: str
    born: float
    answer: Answer
    used: bool = False


@dataclass(eq=False, slots=True)
class ResponseUrl:
    user: str
    channel: str
    born: float
    answer: Answer
    #: The message whose button was pressed: what `replace_original` speaks of.
    origin: Message | None = None
    uses: int = 0


@dataclass(eq=False)
class Answer:
    """What came back for something that a member did."""

    kind: str
    payload: dict[str, Any]
    user: str
    channel: str
    world: World = field(repr=False)
    trigger_id: str = ""
    response_url: str = ""
    #: Seconds to the acknowledgement; infinite when there was none in time.
    acknowledged_after: float = math.inf
    #: The body of the acknowledgement.
    ack: dict[str, Any] = field(default_factory=dict)
    #: "operation_timeout", "http_error", "not_delivered"; empty where it was acknowledged.
    failure: str = ""
    attempts: int = 0
    opened: list[View] = field(default_factory=list)
    #: How many messages, shown to one or to all, there had been before.
    before: int = 0

    @property
    def acknowledged(self) -> bool:
        return not self.failure and self.acknowledged_after < math.inf

    @property
    def errors(self) -> dict[str, str]:
        """By `block_id`, what a form was refused for."""
        return dict(self.ack.get("errors", {})) if self.ack.get("response_action") == "errors" else {}

    @property
    def ephemerals(self) -> list[Message]:
        since = self.world.spoken[self.before :]
        return [m for m in since if m.ephemeral and not m.deleted and m.to == self.user and m.channel == self.channel]

    @property
    def view(self) -> View | None:
        """The form opened with this trigger."""
        return self.opened[-1] if self.opened else None

    async def modal(self, patience: float = 60.0) -> View:
        await self.world.until(lambda: self.opened, patience, lambda: "no view was opened")
        return self.opened[-1]

    async def ephemeral(self, patience: float = 60.0) -> Message:
        await self.world.until(lambda: self.ephemerals, patience, lambda: "nothing was said to the member alone")
        return self.ephemerals[-1]

    def posted(self) -> list[Message]:
        since = self.world.spoken[self.before :]
        return [m for m in since if not m.ephemeral and m.channel == self.channel and m.user == self.world.bot_user_id]

    async def message(self, patience: float = 60.0) -> Message:
        """The first message that the bot posted in that channel afterwards."""
        await self.world.until(self.posted, patience, lambda: "the bot posted nothing there")
        return self.posted()[0]


def pictures(blocks: Blocks, world: World) -> list[Picture]:
    """The uploaded pictures that blocks show, in reading order."""
    found: list[Picture] = []
    for block in blocks:
        for part in [block, block.get("accessory", {}), *block.get("elements", [])]:
            if isinstance(part, dict) and part.get("type") == "image" and (file := world.named_file(part.get("slack_file", {}))):
                found.append(Picture(file.content or b"", str(part["alt_text"])))
    return found
