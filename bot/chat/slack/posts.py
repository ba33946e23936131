"""Cards into channels and direct messages: posting, changing, deleting, saying something to one member alone. Owned by `bot.chat.slack.adapter`.

**Told once.** A job has one message, which is changed. Where none is known (a crash between posting and writing the receipt down, an answer of
Slack's that was lost), the last 50 messages of the channel (or the first 50 of the thread) are searched for the job's metadata before another is
posted. That is the window: where more was said meanwhile, or the app may not read the channel (`channels:history`, `groups:history`, `im:history`),
a second message may appear. Letters of moderation are looked up by their own mark (`Card.once`), before a second try only.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

import structlog
from slack_sdk.errors import SlackApiError

from bot.chat.slack import blocks, limits, trouble
from bot.chat.slack.blocks import Catalogue, Catalogues
from bot.chat.slack.documents import Documents, named
from bot.chat.slack.events import PLATFORM, Spot, addressed
from bot.chat.slack.files import Bytes, Files, Uploaded
from bot.chat.slack.wire import Passed, Wire
from bot.chat.turns import Turns
from bot.domain import Actor, Card, Receipt, ReplyTo, Visibility
from bot.ports import Memos

log = structlog.get_logger(__name__)

T = TypeVar("T")

MENDED = 2  #: how often a card's files are looked after before it goes without


class Answers:
    """One member's event: its response_url and how often that may still be used."""

    def __init__(self, spot: Spot, born: datetime) -> None:
        self.spot = spot
        self._until, self._uses = born + limits.RESPONSE_LIFE, limits.RESPONSE_USES

    def take(self, now: datetime) -> str:
        """The address, for one use; empty when it is used up or too old."""
        if not self.spot.response_url or self._uses <= 0 or now >= self._until:
            return ""
        self._uses -= 1
        return self.spot.response_url


class Posts:
    def __init__(
        self,
        wire: Wire,
        files: Files,
        memos: Memos,
        turns: Turns,
        catalogues: Catalogues,
        clock: Callable[[], datetime],
        read: Bytes,
        monotonic: Callable[[], float],
    ) -> None:
        self._wire, self._files, self._memos, self._turns, self._clock, self._read = wire, files, memos, turns, clock, read
        self._documents = Documents(files, memos)
        self._catalogues, self._monotonic = catalogues, monotonic
        self._hushed_until = 0.0

    # -- what the outbox asks for

    async def show(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None, *, fresh: bool = False, passed: Passed | None = None) -> Receipt | None:
        """Change the job's message, or post one. Raises what is worth another try; None: nobody to tell.

        `fresh`: it is known that there is none. `passed`: the job stands elsewhere too, in messages that this says yes to; another is wanted.
        """
        if self._turns.stale(card):
            return receipt or self._turns.place(card.job_id)
        known = receipt or (None if fresh or passed else self._turns.place(card.job_id))
        channel, thread = addressed(reply_to)
        if known is not None and await self._edited(known, card, reply_to.user):
            self._stands(card, known)
            await self._shared(card, reply_to.user, known.channel, thread if known.channel == channel else "")
            return known
        if card.visibility is Visibility.PUBLIC and reply_to.can_post and channel:
            placed = await self._placed(channel, thread, card, reply_to.user, look=not fresh, passed=passed)
            if placed is not None:
                self._stands(card, placed)
                await self._shared(card, reply_to.user, channel, thread)
                return placed
        if not reply_to.user:  # it was only to take the place of a message, which is gone
            log.info("slack.nobody_to_tell", job=card.job_id, error="for nobody in particular")
            return None
        try:
            dm = await self._wire.dm(reply_to.user)
        except SlackApiError as error:
            if trouble.passing(error) or trouble.name_of(error) not in trouble.MEMBER_GONE - trouble.BAD_TOKEN:
                raise
            log.info("slack.nobody_to_tell", job=card.job_id, error=trouble.name_of(error))
            return None
        placed = await self._placed(dm, thread if dm == channel else "", card, reply_to.user, look=not fresh, passed=passed)
        if placed is None:
            log.info("slack.nobody_to_tell", job=card.job_id, error="direct message closed")
            return None
        self._stands(card, placed)
        await self._shared(card, reply_to.user, dm, thread if dm == channel else "")
        return placed

    async def progress(self, card: Card, receipt: Receipt | None) -> None:
        """A word in between; lost when Slack asks for fewer of them, and then kept back as long as it asks."""
        known = receipt or self._turns.place(card.job_id)
        if known is None or self._turns.stale(card) or self._monotonic() < self._hushed_until:
            return
        if not self._wire.pace.spare("chat.update"):  # the ends of jobs need the rest of this minute
            return
        try:
            await self._wire.edit(known, blocks.message(card), quickly=True)
        except SlackApiError as error:
            wait = trouble.retry_after(error)
            if wait is not None:
                self._hushed_until = self._monotonic() + wait
            elif trouble.passing(error):
                raise

    # -- what handlers ask for

    async def deliver(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None, passed: Passed | None = None) -> Receipt | None:
        """`show` with patience: the first time it is known that no message is there, later ones look. Raises when it does not work at all."""
        fresh = receipt is None and not card.again

        async def once() -> Receipt | None:
            nonlocal fresh
            first, fresh = fresh, False
            return await self.show(reply_to, card, receipt, fresh=first, passed=passed)

        return await trouble.patiently(once)

    async def change(self, at: Receipt, card: Card, user: str) -> bool:
        """Whether the message there shows the card now (or something newer)."""
        if self._turns.stale(card):
            return True
        done = await trouble.patiently(lambda: self._edited(at, card, user))
        if done:
            self._stands(card, at)
        return done

    async def delete(self, at: Receipt, card: Card, user: str) -> None:
        """The message with its pictures; one that Slack keeps says at least that they are gone."""
        try:
            await trouble.patiently(lambda: self._wire.remove(at))
        except trouble.EXPECTED as error:
            log.info("slack.message_stays", job=card.job_id, error=trouble.name_of(error) or type(error).__name__)
            if trouble.name_of(error) not in trouble.MESSAGE_GONE:
                with contextlib.suppress(*trouble.EXPECTED):
                    await self.change(at, card, user)
        await self._files.delete(card.job_id)

    async def whisper(self, answers: Answers, card: Card, *, replace: bool = False) -> None:
        """To the member alone: by the response_url, else as an ephemeral message, else directly. `replace`: in the place of what was pressed."""
        spot = answers.spot
        if card.visibility is Visibility.DIRECT or not spot.channel:
            await self._direct(spot, card)
            return
        mine = spot.channel.startswith("D") and not spot.ephemeral and await self._wire.is_in(spot.channel)
        if mine:
            try:
                await self._direct(spot, card, spot.channel)
                return
            except trouble.EXPECTED as error:  # it may be one between two members: whether we are in it could not be asked
                log.info("slack.no_direct", error=trouble.name_of(error) or type(error).__name__)
        if card.documents:
            direct = self._catalogue(spot.user).say("chat.document_direct")
            card = dataclasses.replace(card, text="\n".join(filter(None, (card.text, direct))))
            await trouble.patiently(lambda: self._shared_directly(card, spot.user))
        message = await self._rendered(named(card), spot.user)
        body = {"text": message.text, "blocks": list(message.blocks), "response_type": "ephemeral", "replace_original": replace}
        if spot.thread and not replace:
            body["thread_ts"] = spot.thread
        if (url := answers.take(self._clock())) and await self._wire.respond(url, body):
            return
        try:
            await self._wire.whisper(spot.channel, spot.thread, spot.user, message)
        except trouble.EXPECTED as error:
            log.info("slack.no_whisper", error=trouble.name_of(error) or type(error).__name__)
            await self._direct(spot, card)

    async def dm(self, user: str) -> str:
        """The channel of the direct message with a member."""
        return await trouble.patiently(lambda: self._wire.dm(user))

    async def _direct(self, spot: Spot, card: Card, channel: str = "") -> None:
        there = channel or await self.dm(spot.user)
        thread = spot.thread if channel else ""
        await trouble.patiently(lambda: self._written(card, spot.user, lambda message: self._wire.post(there, thread, message)))
        await trouble.patiently(lambda: self._shared(card, spot.user, there, thread))

    # -- what goes along

    async def _shared_directly(self, card: Card, user: str) -> None:
        await self._shared(card, user, await self._wire.dm(user))

    async def _shared(self, card: Card, user: str, channel: str, thread: str = "") -> None:
        """The card's documents, beside it. Raises what is worth another try; what Slack does not take is said there."""
        if not card.documents:
            return
        left = await self._documents.share(card, self._actor(user), self._read, channel, thread)
        if left:
            text = self._catalogue(user).say("chat.document_kept", names=left)
            await self._wire.post(channel, thread, blocks.message(Card(title=text)))

    # -- one message

    async def thread_of(self, at: Receipt) -> str:
        """The thread in which a message of ours was posted."""
        return await self._memos.recall(f"slack:thread:{at.channel}:{at.handle}") or ""

    async def _edited(self, at: Receipt, card: Card, user: str) -> bool:
        """Whether it could be changed: it may be gone."""
        try:
            await self._written(card, user, lambda message: self._wire.edit(at, message))
        except SlackApiError as error:
            if trouble.name_of(error) in trouble.MESSAGE_GONE | trouble.PLACE_CLOSED:
                log.info("slack.message_gone", job=card.job_id, error=trouble.name_of(error))
                return False
            raise
        return True

    async def _placed(self, channel: str, thread: str, card: Card, user: str, *, look: bool, passed: Passed | None = None) -> Receipt | None:
        """Where it was posted, or found and changed; None where the bot may not write."""
        mark = card.once or card.job_id
        if look and mark and (card.again or not card.once):
            found = await self._wire.find(channel, thread, mark, passed)
            if found is not None and await self._edited(found, card, user):
                return found
        try:
            placed = await self._written(card, user, lambda message: self._wire.post(channel, thread, message))
        except SlackApiError as error:
            if trouble.name_of(error) == "thread_not_found" and thread:
                return await self._placed(channel, "", card, user, look=False)
            if trouble.name_of(error) not in trouble.PLACE_CLOSED | (trouble.MEMBER_GONE - trouble.BAD_TOKEN):
                raise
            log.info("slack.closed", job=card.job_id, error=trouble.name_of(error))
            self._wire.left(channel)
            return None
        if thread:
            await self._memos.remember(f"slack:thread:{placed.channel}:{placed.handle}", thread)
        return placed

    async def _written(self, card: Card, user: str, send: Callable[[blocks.Message], Awaitable[T]]) -> T:
        """Send it with its pictures. A file that Slack does not show yet is waited for; a card is never lost for a picture or a block."""
        card = named(card)
        for tries in range(MENDED + 1):
            try:
                return await send(await self._rendered(card, user))
            except SlackApiError as error:
                if not trouble.lacks_file(error):
                    if trouble.name_of(error) not in ("invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long"):
                        raise
                    log.error("slack.refused_blocks", job=card.job_id, error=trouble.told(error)[:300])
                    break
                if tries < MENDED:
                    try:
                        await self._files.mend(card)
                    except trouble.Later:  # waited for twice by now: Slack cannot make a picture of it
                        break
                    await asyncio.sleep(0.5 * tries)
        return await send(blocks.message(card, {}, self._files.kept(card, self._catalogue(user))))

    async def _rendered(self, card: Card, user: str) -> blocks.Message:
        uploaded = await self._files.shown(card, self._actor(user), self._read, self._catalogue(user)) if card.files else Uploaded()
        return blocks.message(card, uploaded.ids, uploaded.notes)

    def _actor(self, user: str) -> Actor:
        return Actor(platform=PLATFORM, id=f"{self._wire.identity.team}:{user}", locale=self._wire.people.known(user).locale)

    def _catalogue(self, user: str) -> Catalogue:
        return self._catalogues.of(self._wire.people.known(user).locale)

    def _stands(self, card: Card, at: Receipt) -> None:
        self._turns.stands(card, at)
