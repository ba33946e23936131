"""Files of a card that are no pictures (a set's zip, an export): shared beside the card, once. Used by `bot.chat.slack.posts`.

No block shows such a file, so it is shared as Slack shares any: a message of its own in the card's channel or thread, or in the direct message with
the member where the card is theirs alone. That it was shared there is remembered (memo ``slack:shared:<digest>:<channel>/<thread>``): a card that is
written again brings no second one. A crash between sharing and remembering can.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import structlog
from slack_sdk.errors import SlackApiError

from bot.chat.slack import limits, trouble
from bot.chat.slack.events import address
from bot.chat.slack.files import Bytes, Files, size_of
from bot.domain import Actor, Card, Document
from bot.errors import NotFound
from bot.ports import Memos

log = structlog.get_logger(__name__)


def named(card: Card) -> Card:
    """A card that stands for no job may show pictures that are stored nowhere: they get their digest here, so that they are uploaded like all others."""
    if card.status is not None or all(each.digest or not each.data for each in card.files):
        return card
    pictures = tuple(replace(each, digest=each.digest or digest_of(each.data)) for each in card.pictures)
    clip = replace(card.clip, digest=card.clip.digest or digest_of(card.clip.data)) if card.clip else None
    return replace(card, pictures=pictures, clip=clip)


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Documents:
    def __init__(self, files: Files, memos: Memos) -> None:
        self._files, self._memos = files, memos

    async def share(self, card: Card, actor: Actor, read: Bytes, channel: str, thread: str = "") -> tuple[str, ...]:
        """Into the channel or thread. The names of those that Slack does not take. Raises what is worth another try."""
        left: list[str] = []
        for document in card.documents:
            key = f"slack:shared:{document.digest or Path(document.path).stem or digest_of(document.data)}:{address(channel, thread)}"
            if await self._memos.recall(key):
                continue
            try:
                file = await self._put(document, actor, read, channel, thread)
            except NotFound:
                continue  # deleted since the card was made
            except (SlackApiError, trouble.Never) as error:
                if trouble.passing(error):
                    raise
                log.warning("slack.no_document", error=trouble.name_of(error) or str(error))
                left.append(document.name)
                continue
            await self._memos.remember(key, file)
        return tuple(left)

    async def _put(self, document: Document, actor: Actor, read: Bytes, channel: str, thread: str) -> str:
        data: bytes | Path = Path(document.path) if document.path else document.data or await read(actor, document.digest)
        size = await size_of(data)
        if size > limits.DOCUMENT:
            raise trouble.Never(f"{size} bytes")
        file, _ = await self._files.put(document.name, data, channel=channel, thread=thread)
        return file
