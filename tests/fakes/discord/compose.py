"""Makes and changes the bot's messages from request bodies, by the rules; channel routes, callbacks and webhooks all come through here."""

from __future__ import annotations

import copy
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.fakes.discord import rules
from tests.fakes.discord.errors import invalid, too_large
from tests.fakes.discord.messages import COMPONENTS_V2, EPHEMERAL, LOADING, SUPPRESS_EMBEDS, Message, walk
from tests.fakes.discord.rest import Call
from tests.fakes.discord.world import Attachment, Channel, Json, User, content_type_of

if TYPE_CHECKING:
    from tests.fakes.discord.wire import DiscordWire

SUPPRESS_NOTIFICATIONS = 1 << 12


class Composer:
    def __init__(self, wire: DiscordWire) -> None:
        self._wire = wire

    def create(
        self,
        call: Call,
        body: Json,
        channel: Channel,
        *,
        where: str = "",
        ephemeral: bool | None = None,
        seen_by: User | None = None,
        metadata: Json | None = None,
        reply_to: Message | None = None,
    ) -> Message:
        """`ephemeral` None means that the body's own flag decides nothing: a channel message is never ephemeral."""
        wanted = body.get("flags") or 0
        if ephemeral is None and wanted & EPHEMERAL:
            raise invalid(f"{where}flags", "MESSAGE_FLAGS_INVALID", "A channel message cannot be ephemeral")
        flags = wanted & (COMPONENTS_V2 | SUPPRESS_EMBEDS | SUPPRESS_NOTIFICATIONS) | (EPHEMERAL if ephemeral else 0)
        files = self._files(call, body, [], channel, where)
        rules.message(body, flags=flags, files={kept.name for kept in files}, where=where)
        other = body.get("poll") or body.get("sticker_ids")
        rules.not_empty(flags=flags, content=body.get("content"), embeds=body.get("embeds"), files=files, components=body.get("components"), other=other)
        self._mentions(call, body)
        message = Message(
            wire=self._wire,
            id=self._wire.snowflake(),
            channel=channel,
            author=self._wire.bot,
            content=body.get("content") or "",
            embeds=[{"type": "rich", **embed} for embed in body.get("embeds") or []],
            attachments=files,
            components=self._components(body.get("components") or [], files),
            flags=flags,
            nonce=None if body.get("nonce") is None else str(body["nonce"]),
            seen_by=seen_by if ephemeral else None,
            metadata=metadata,
            reply_to=reply_to,
        )
        self._wire.keep(message)
        return message

    def placeholder(self, channel: Channel, *, ephemeral: bool, seen_by: User, metadata: Json) -> Message:
        """ "… is thinking": a deferred response before its first edit."""
        message = Message(
            wire=self._wire,
            id=self._wire.snowflake(),
            channel=channel,
            author=self._wire.bot,
            flags=LOADING | (EPHEMERAL if ephemeral else 0),
            seen_by=seen_by if ephemeral else None,
            metadata=metadata,
        )
        self._wire.keep(message)
        return message

    def edit(self, call: Call, body: Json, message: Message, *, where: str = "") -> None:
        wanted = body.get("flags")
        flags = message.flags & ~LOADING
        if wanted is not None:
            if message.v2 and not wanted & COMPONENTS_V2:
                raise invalid(f"{where}flags", "MESSAGE_FLAGS_INVALID", "IS_COMPONENTS_V2 cannot be taken away once it is set")
            flags = flags & ~SUPPRESS_EMBEDS | wanted & (COMPONENTS_V2 | SUPPRESS_EMBEDS)
        kept = message.attachments
        if body.get("attachments") is not None:
            told = {str(entry["id"]): entry for entry in body["attachments"]}
            kept = [one for one in kept if str(one.id) in told]
            for one in kept:
                if "description" in told[str(one.id)]:
                    one.description = told[str(one.id)]["description"]
        files = self._files(call, body, kept, message.channel, where)
        content = (body["content"] or "") if "content" in body else message.content
        embeds = [{"type": "rich", **embed} for embed in body["embeds"] or []] if "embeds" in body else message.embeds
        after = {**body, "content": content, "embeds": embeds}
        rules.message(after, flags=flags, files={one.name for one in files}, where=where)
        components = self._components(body["components"] or [], files) if "components" in body else message.components
        rules.not_empty(flags=flags, content=content, embeds=embeds, files=files, components=components)
        self._mentions(call, body)
        if not message.loading:
            message.remember()
            message.edits += 1
            message.edited_at = datetime.now(UTC)
        message.content, message.embeds, message.attachments, message.components, message.flags = content, embeds, files, components, flags
        self._wire.tell_of(message, "MESSAGE_UPDATE")

    def _mentions(self, call: Call, body: Json) -> None:
        fault = rules.mentions(body)
        if fault is not None:
            self._wire.rest.blame(call.sent, fault)

    def _files(self, call: Call, body: Json, kept: list[Attachment], channel: Channel, where: str) -> list[Attachment]:
        told = {str(entry.get("id")): entry for entry in body.get("attachments") or []}
        known = {str(number) for number in call.uploads} | {str(one.id) for one in kept}
        for index, name in enumerate(told):
            if name not in known:
                raise invalid(f"{where}attachments.{index}.id", "ATTACHMENT_NOT_FOUND", f"No file and no kept attachment has the id {name}")
        if len(kept) + len(call.uploads) > 10:
            raise invalid(f"{where}attachments", "BASE_TYPE_MAX_LENGTH", "Must be 10 or fewer in length.")
        if any(len(content) > self._wire.attachment_limit for _, _, content in call.uploads.values()):
            raise too_large()
        made = []
        for number, (name, said, content) in call.uploads.items():
            entry = told.get(str(number), {})
            name = re.sub(r"[^A-Za-z0-9_.\-]+", "_", entry.get("filename") or name)
            made.append(self._wire.store(name, content, content_type_of(name, content, said), channel, entry.get("description")))
        return [*kept, *made]

    def _components(self, components: list[Json], files: list[Attachment]) -> list[Json]:
        """As Discord keeps them: every component has an id, every medium its address."""
        mine = copy.deepcopy(components)
        taken = {c["id"] for c in walk(mine) if c.get("id")}
        following = 1
        for component in walk(mine):
            if not component.get("id"):
                while following in taken:
                    following += 1
                component["id"] = following
                taken.add(following)
            for item in [*(component.get("items") or []), component]:
                for key in ("media", "file"):
                    if isinstance(item.get(key), dict):
                        item[key] = self._medium(item[key]["url"], files)
            if component.get("type") == rules.FILE:
                kept = next((one for one in files if str(one.id) == component["file"].get("attachment_id")), None)
                component |= {"name": kept.name, "size": kept.size} if kept else {}
        return mine

    def _medium(self, url: str, files: list[Attachment]) -> dict[str, Any]:
        name = url.removeprefix("attachment://")
        # The newest of that name: an edit may bring a file under the name of one that it keeps.
        found = next((one for one in reversed(files) if (one.name == name if name != url else one.url == url)), None)
        if found is not None:
            return found.media()
        return {"url": url, "proxy_url": url, "width": 0, "height": 0, "content_type": None, "flags": 0}
