"""The workspace behind the wire: its state, its clock of timestamps and the rules that several methods share."""

from __future__ import annotations

import asyncio
import copy
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tests.fakes.slack.blocks import BlockKit
from tests.fakes.slack.model import Answer, Channel, File, Message, ResponseUrl, Sent, Trigger, User, View, Violation
from tests.fakes.slack.readers import Blocks, elements

#: What may stand in angle brackets: mentions, commands and links.
SEQUENCE = re.compile(r"<(?:@[UW][A-Z0-9]+(?:\|[^<>]*)?|#C[A-Z0-9]+(?:\|[^<>]*)?|![a-z][^<>]*|(?:https?://|mailto:|tel:)[^<>\s|]+(?:\|[^<>]*)?)>")
ENTITY = re.compile(r"&(?:amp|lt|gt);")


class Refused(Exception):
    """Slack's own error for a request."""

    def __init__(self, error: str, *messages: str, **more: Any) -> None:
        super().__init__(error)
        self.error, self.messages, self.more = error, list(messages), more


class World:
    def __init__(self, mark: str = "0") -> None:
        """`mark` is part of every id: no two workspaces share one."""
        self.team_id, self.app_id, self.enterprise = f"T{mark}WORDUP00", "A0WORDUP00", None
        self.bot_user_id, self.bot_id = f"U{mark}WORDUPBOT", f"B{mark}WORDUP00"
        self.bot_token = f"xoxb-{secrets.randbelow(10**12):012}-{secrets.token_hex(12)}"
        self.app_token = f"xapp-1-{self.app_id}-{secrets.token_hex(12)}"
        self.signing_secret = secrets.token_hex(16)
        #: The token of old, which Slack still puts into payloads and nobody should look at.
        self.verification_token = secrets.token_hex(12)
        self.scopes = {"commands", "chat:write", "files:write", "files:read", "im:write", "im:read", "im:history", "users:read"}
        self.scopes |= {f"{kind}:{verb}" for kind in ("channels", "groups") for verb in ("read", "history")}
        self.scopes |= {"reactions:read", "reactions:write"}
        self.ada, self.bob = User(f"U{mark}ADA00000", "ada", "Ada Lovelace", admin=True), User(f"U{mark}BOB00000", "bob", "Bob Tables", "en-GB")
        self.users = {user.id: user for user in (self.ada, self.bob, User(self.bot_user_id, "wordup", "Word Up!"))}
        people = {self.ada.id, self.bob.id}
        self.art = Channel(f"C{mark}ART00000", "art", "public", {*people, self.bot_user_id})
        self.lounge = Channel(f"C{mark}LOUNGE00", "lounge", "public", set(people))
        self.secret = Channel(f"C{mark}SECRET00", "secret", "private", set(people))
        #: A direct message between two members, which the bot is no part of.
        self.talk = Channel(f"D{mark}TALK0000", "directmessage", "im", set(people))
        self.channels = {channel.id: channel for channel in (self.art, self.lounge, self.secret, self.talk)}
        self.files: dict[str, File] = {}
        self.uploads: dict[str, File] = {}
        self.views: dict[str, View] = {}
        self.homes: dict[str, View] = {}
        self.triggers: dict[str, Trigger] = {}
        self.response_urls: dict[str, ResponseUrl] = {}
        #: Every message ever, shown to one or to all, in order.
        self.spoken: list[Message] = []
        self.requests: list[Sent] = []
        self.violations: list[Violation] = []
        self.processing_seconds, self.response_seconds, self.trigger_seconds = 0.2, 1800.0, 3.0
        self.host = ""
        self._count = 0
        self._changed = asyncio.Event()

    # -- waiting and noting

    def changed(self) -> None:
        self._changed.set()

    async def until(self, reached: Callable[[], Any], patience: float = 60.0, otherwise: Callable[[], str] = lambda: "") -> Any:
        """Wait until `reached()` is true and answer with what it said; an AssertionError tells what was there instead."""
        deadline = time.monotonic() + patience
        while not (found := reached()):
            if time.monotonic() > deadline:
                noted = "; ".join(map(str, self.violations)) or "no violations"
                raise AssertionError(f"not reached in {patience} s: {otherwise()}\nasked: {self.table()}\n{noted}")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), 0.02)
            self._changed.clear()
        return found

    def violation(self, method: str, what: str) -> None:
        self.violations.append(Violation(method, what))

    def table(self) -> dict[str, int]:
        """How often each method was asked for."""
        return dict(Counter(sent.method for sent in self.requests))

    # -- ids

    def new_ts(self) -> str:
        self._count += 1
        return f"{1767323045 + self._count}.{100 + self._count % 900:06}"

    @staticmethod
    def new_id(letter: str) -> str:
        return letter + secrets.token_hex(5).upper()

    def new_trigger(self, answer: Answer) -> str:
        trigger_id = f"{secrets.randbelow(10**13)}.{secrets.randbelow(10**12)}.{secrets.token_hex(16)}"
        self.triggers[trigger_id] = Trigger(answer.user, time.monotonic(), answer)
        return trigger_id

    def new_response_url(self, answer: Answer, origin: Message | None = None) -> str:
        token = f"{self.team_id}/{secrets.randbelow(10**13)}/{secrets.token_urlsafe(18)}"
        self.response_urls[token] = ResponseUrl(answer.user, answer.channel, time.monotonic(), answer, origin)
        return f"http://{self.host}/response/{token}"

    # -- looking up

    def user(self, user_id: str) -> User:
        if user_id not in self.users:
            raise Refused("user_not_found")
        return self.users[user_id]

    def dm(self, user_id: str) -> Channel:
        """The direct message with the bot, made on first use."""
        found = next((c for c in self.channels.values() if c.user == user_id), None)
        if found is None:
            found = Channel("D" + user_id[1:], "directmessage", "im", {user_id, self.bot_user_id}, user=user_id)
            self.channels[found.id] = found
        return found

    def channel(self, channel_id: str) -> Channel:
        """A channel that the bot can see."""
        channel = self.channels.get(channel_id)
        if channel is None or (channel.kind != "public" and self.bot_user_id not in channel.members):
            raise Refused("channel_not_found")
        return channel

    def own_channel(self, channel_id: str) -> Channel:
        """A channel that the bot may write in; a member's id stands for the direct message with them."""
        if channel_id.startswith(("U", "W")):
            if channel_id not in self.users:
                raise Refused("channel_not_found")
            return self.dm(channel_id)
        channel = self.channel(channel_id)
        if self.bot_user_id not in channel.members:
            raise Refused("not_in_channel")
        if channel.archived:
            raise Refused("is_archived")
        return channel

    def message(self, channel_id: str, ts: str) -> Message:
        for message in self.spoken:
            if (message.channel, message.ts) == (channel_id, ts) and not message.deleted and not message.ephemeral:
                return message
        raise Refused("message_not_found")

    def named_file(self, named: dict[str, Any]) -> File | None:
        """What a `slack_file` names, by id or by URL."""
        if "id" in named:
            return self.files.get(str(named["id"]))
        return next((file for file in self.files.values() if named.get("url") in (self.url_private(file), self.permalink(file))), None)

    def file_is_usable(self, named: dict[str, Any]) -> bool:
        """Whether an image block may show it: this app's, completed, processed, and a kind of picture that Slack shows."""
        file = self.named_file(named)
        if file is None or file.deleted or file.user != self.bot_user_id or file.content is None:
            return False
        processed = time.monotonic() >= file.completed + self.processing_seconds
        return processed and file.kind[1] in ("png", "jpg", "gif")

    def url_private(self, file: File) -> str:
        return f"http://{self.host}/files/{self.team_id}-{file.id}/{re.sub(r'[^A-Za-z0-9._-]', '_', file.name).lower()}"

    def permalink(self, file: File) -> str:
        return f"https://wordup.slack.com/files/{file.user}/{file.id}/{file.name}"

    # -- saying

    def checked_content(self, method: str, said: dict[str, Any], *, metadata: bool = True) -> None:
        """Refuse what Slack refuses in a message, and note what it lets pass."""
        kit = BlockKit(self.file_is_usable)
        text, blocks = said.get("text"), said.get("blocks")
        if text is not None and not isinstance(text, str):
            raise Refused("invalid_arguments", "[ERROR] must provide a string [json-pointer:/text]")
        if not text and not blocks and not said.get("markdown_text") and not said.get("attachments"):
            raise Refused("no_text")
        if text and len(text) > 40_000:
            raise Refused("msg_too_long")
        if blocks is not None and (complaints := kit.blocks(blocks, most=50)):
            for complaint in complaints:
                self.violation(method, f"invalid_blocks: {complaint}")
            raise Refused("invalid_blocks", *(f"[ERROR] {complaint}" for complaint in complaints), errors=complaints)
        if blocks and not text:
            self.violation(method, "blocks without the text that screen readers and notifications use")
        for marked, at in [(text or "", "/text"), *kit.mrkdwn]:
            if what := unescaped_in(marked):
                self.violation(method, f"unescaped {what!r} in {marked[:80]!r} at {at}")
        if metadata and (told := said.get("metadata")):
            unknown = told.keys() ^ {"event_type", "event_payload"} if isinstance(told, dict) else {"metadata"}
            if unknown or not isinstance(told["event_type"], str) or not isinstance(told["event_payload"], dict):
                self.violation(method, f"metadata is an event_type and an event_payload: {sorted(unknown)}")
                raise Refused("invalid_metadata_format")

    def post(self, channel: str, user: str, said: dict[str, Any], *, to: str = "") -> Message:
        """Put a checked message into the channel; `to` makes it one for that member's eyes only."""
        message = Message(
            ts=self.new_ts(),
            channel=channel,
            user=user,
            text=said.get("text") or "",
            blocks=stored(said.get("blocks") or []),
            world=self,
            metadata=said.get("metadata") or {},
            thread_ts=said.get("thread_ts", ""),
            ephemeral=bool(to),
            to=to,
        )
        self.spoken.append(message)
        self.changed()
        return message

    def edit(self, message: Message, said: dict[str, Any]) -> None:
        """Replace what is told; what is left out stays, as `chat.update` has it."""
        message.text = said.get("text", message.text) or ""
        if said.get("blocks") is not None:
            message.blocks = stored(said["blocks"])
        if said.get("metadata") is not None:
            message.metadata = said["metadata"]
        message.edits += 1
        self.changed()


def unescaped_in(text: str) -> str:
    """The first raw control character of a text in Slack's markup; empty where all are part of Slack's own sequences."""
    code = ENTITY.sub("", SEQUENCE.sub("", text))
    found = re.search(r"[<>&]", code)
    return found[0] if found else ""


def stored(blocks: Blocks) -> Blocks:
    """Blocks as Slack keeps and echoes them: with ids for those that had none, and every text escaped."""
    kept: Blocks = copy.deepcopy(blocks)
    for block in kept:
        block.setdefault("block_id", secrets.token_urlsafe(4)[:5])
    for _, element in elements(kept):
        if element["type"] not in ("image", "plain_text", "mrkdwn"):
            element.setdefault("action_id", secrets.token_urlsafe(4)[:5])
    _escape(kept)
    return kept


def _escape(thing: Any) -> None:
    if isinstance(thing, list):
        for part in thing:
            _escape(part)
    elif isinstance(thing, dict):
        if thing.get("type") == "plain_text" and isinstance(thing.get("text"), str):
            text = re.sub(r"&(?!(?:amp|lt|gt);)", "&amp;", thing["text"])
            thing["text"] = text.replace("<", "&lt;").replace(">", "&gt;")
            thing.setdefault("emoji", True)
        for part in thing.values():
            _escape(part)
