"""Where a card can be written, and how: by an interaction's token, by the bot's own, as a new message, as a direct one.

`ways` says in which order to try (pure); `Places` does it. A way that is closed for good (the token ran out, the message or the permission is
gone) leads to the next; trouble that passes is raised, for the outbox to come back to. 429 and `retry_after` are discord.py's to wait for.

Jobs of one command share its token. Its first answer belongs to the card that stands in it; the others are posted, or sent beside it where the bot may
not post: at most five times in a place it is not in, so only ends are.

A card that must be a new message carries a nonce made of the job's id: Discord gives back the message that has it instead of posting another, for
some minutes, and that one is edited if it shows something older. A letter of moderation carries one of its own (`Card.once`). Beyond those minutes, a crash
between posting and writing the receipt down can post an end twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import hashlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import discord
import structlog

from bot.chat.discord import layout, limits
from bot.chat.discord.layout import Attached, Parts
from bot.chat.discord.memory import Memory
from bot.chat.pictures import Fitted, fitted_async
from bot.domain import Action, Actor, Card, Picture, Receipt, ReplyTo, Visibility
from bot.errors import NotFound
from bot.messages import Catalogue, Catalogues

log = structlog.get_logger(__name__)

PLATFORM = "discord"
ORIGINAL = "@original"
NOBODY = discord.AllowedMentions.none()

Read = Callable[[Actor, str], Awaitable[bytes]]
"""`Studio.picture`: the bytes of a stored picture. Raises NotFound."""

#: JSON error codes after which trying the same way again is pointless.
CLOSED = frozenset(
    {
        10003,  # unknown channel
        10004,  # unknown guild
        10008,  # unknown message
        10013,  # unknown user
        10015,  # unknown webhook: the token is not known any more
        10062,  # unknown interaction
        40094,  # as many messages beside an answer as there may be
        50001,  # missing access
        50005,  # the message is somebody else's
        50007,  # this user takes no direct messages
        50013,  # missing permissions
        50027,  # invalid webhook token
        50083,  # the thread is archived
        160005,  # the thread is locked
    }
)
TOO_LARGE = 40005
UNEXPLAINED = frozenset(
    {0, 40333}
)  #: a refusal that is none of Discord's reasons: a token being changed, its gatekeeper; another way is tried, but it may pass


class Way(enum.Enum):
    TOKEN = "the interaction's answer"  # noqa: S105
    EDIT = "the bot's own message"
    POST = "a new message"
    BESIDE = "beside the interaction's answer"
    DIRECT = "a direct message"


FREE = ""  #: the token's first answer is still "thinking": nobody's
NOBODY_KNOWS = None  #: it was not asked for, or cannot be


def alive(reply_to: ReplyTo, now: datetime) -> bool:
    """Whether its token still opens something."""
    return bool(reply_to.token) and reply_to.expires_at is not None and now < reply_to.expires_at - limits.TOKEN_MARGIN


def ways(reply_to: ReplyTo, card: Card, receipt: Receipt | None, now: datetime, original: str | None = NOBODY_KNOWS, followed: int = 0) -> tuple[Way, ...]:
    """In the order to try. A receipt without a channel is an answer that only its member sees: the token alone reaches it.

    `original`: the message in which the token's first answer stands, or FREE. `followed`: how many were sent beside it.
    """
    found: list[Way] = []
    living, at = alive(reply_to, now), bool(reply_to.channel)
    if card.visibility is Visibility.DIRECT:  # a copy: what stands in the channel is left alone
        return (*((Way.EDIT,) if receipt is not None and receipt.channel else ()), *((Way.DIRECT,) if reply_to.user else ()))
    posts = reply_to.can_post and at and card.visibility is Visibility.PUBLIC
    theirs = receipt is None and bool(original)  # of another job of the same command
    if living and (original == FREE if receipt is None else original == receipt.handle or not (receipt.channel and reply_to.can_post)):
        found.append(Way.TOKEN)
    if receipt is not None and receipt.channel and receipt.handle:
        found.append(Way.EDIT)
    if posts:
        found.append(Way.POST)
    elif living and theirs and (reply_to.can_post or followed < limits.FOLLOWUPS):
        found.append(Way.BESIDE)
    if reply_to.user:
        found.append(Way.DIRECT)
    return tuple(found)


def closed(error: discord.HTTPException) -> bool:
    """Whether this way will not open again."""
    return error.code in CLOSED or error.status in (401, 403, 404)


def receipt_of(data: discord.Message) -> Receipt:
    """Where a message stands. One that its member alone sees has no channel: nothing but its token reaches it."""
    return Receipt(platform=PLATFORM, channel="" if data.flags.ephemeral else str(data.channel.id), handle=str(data.id))


def nonce(job_id: str, instead_of: str = "") -> str:
    """25 characters at most: a ULID's first says nothing before the year 10889. Another one for a message that comes `instead_of` one that is gone."""
    return hashlib.sha256(f"{job_id}/{instead_of}".encode()).hexdigest()[: limits.NONCE] if instead_of else job_id[-limits.NONCE :]


class Places:
    """Writes cards with one client."""

    def __init__(self, client: discord.Client, picture: Read, catalogues: Catalogues, memory: Memory) -> None:
        self._client, self._picture, self._catalogues, self._memory = client, picture, catalogues, memory

    # -- what goes along

    async def message(self, card: Card, owner: Actor, limit: int) -> Parts:
        """The card with its pictures and documents."""
        catalogue = self._catalogues.of(owner.locale or self._memory.locale(owner.id))
        remarks: list[str] = []
        documents, taken = await self._documents(card, owner, limit, remarks, catalogue)
        attached: list[Attached] = []
        files = card.files[: limits.ATTACHMENTS - len(documents)]
        left = limit - taken  # the limit is a message's
        size = f"{limit / 2**20:.3g}"
        for each in files:
            try:
                data = each.data or await self._picture(owner, each.digest)
            except NotFound:
                continue  # deleted meanwhile
            sent = await _sent(each, data, left // len(files))
            if sent is None:
                remarks.append(catalogue.say("card.clip_left_out" if each.moves else "card.left_out", limit=size))
                continue
            if sent.smaller:
                remarks.append(catalogue.say("card.smaller", limit=size))
            attached.append(Attached(name=sent.name, data=sent.data, alt=each.alt))
        return layout.message(card, attached, list(dict.fromkeys(remarks)), documents)

    async def _documents(self, card: Card, owner: Actor, limit: int, remarks: list[str], catalogue: Catalogue) -> tuple[list[Attached], int]:
        """Those that fit, as they are, and their bytes together; of the others a sentence, which points to the card's link where there is one."""
        found: list[Attached] = []
        taken = 0
        for each in card.documents[: limits.ATTACHMENTS]:
            try:
                data = b"" if each.path else each.data or await self._picture(owner, each.digest)
                size = (await asyncio.to_thread(os.stat, each.path)).st_size if each.path else len(data)
            except (NotFound, FileNotFoundError):
                continue  # deleted meanwhile
            if taken + size > limit - limits.SMALLEST_ATTACHMENT * len(card.files):
                remarks.append(catalogue.say("card.file_linked" if card.links else "card.file_left_out", name=each.name, limit=f"{limit / 2**20:.3g}"))
            else:
                taken += size
                found.append(Attached(name=each.name, data=data, path=each.path))
        return found, taken

    def limit(self, channel: str) -> int:
        """Bytes of a message's files there, as far as is known."""
        found = self._client.get_channel(int(channel)) if channel.isdecimal() else None
        guild = getattr(found, "guild", None)
        return guild.filesize_limit if guild is not None else limits.ATTACHMENT

    async def written(self, send: Callable[[Parts], Awaitable[Any]], card: Card, owner: Actor, limit: int) -> Any:
        """Send it, smaller and smaller while Discord finds it too large; what it refuses for another reason goes without pictures and buttons."""
        while True:
            parts = await self.message(card, owner, limit)
            try:
                return await send(parts)
            except discord.HTTPException as error:
                if (error.status == 413 or error.code == TOO_LARGE) and parts.files:
                    limit = min(limit, parts.size) // 2
                elif error.status == 400 and not closed(error) and error.code != 40060 and card != _bare(card):
                    log.error("discord.card_refused", job=card.job_id, error=error.text)
                    card = _bare(card)
                else:
                    raise

    # -- the ways

    async def show(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None, now: datetime) -> Receipt | None:
        """By the first way that is open; None when there is none. Raises what may pass (5xx, connections, timeouts)."""
        if reply_to.server and not await self._is_of(reply_to.server, reply_to.channel):
            log.warning("discord.anothers_channel", channel=reply_to.channel, server=reply_to.server)
            return None
        owner = Actor(platform=PLATFORM, id=reply_to.user)
        unexplained: discord.HTTPException | None = None
        for way in await self._ways(reply_to, card, receipt, now):
            try:
                return await self._by(way, reply_to, card, receipt, owner)
            except discord.HTTPException as error:
                if not closed(error):
                    raise
                log.info("discord.way_closed", way=way.value, job=card.job_id, status=error.status, code=error.code)
                unexplained = error if error.code in UNEXPLAINED else unexplained
        if unexplained is not None:
            raise unexplained
        log.warning("discord.nowhere_to_show", job=card.job_id, user=reply_to.user)
        return None

    async def _is_of(self, server: str, channel: str) -> bool:
        """Whether that server has such a channel: whoever manages a server may name any there is. Raises what may pass."""
        if not channel.isdecimal():
            return False
        found: Any = self._client.get_channel(int(channel))
        try:
            found = found or await self._client.fetch_channel(int(channel))
        except discord.HTTPException as error:
            if not closed(error):
                raise
        return str(getattr(getattr(found, "guild", None), "id", "")) == server

    async def change(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None, now: datetime) -> None:
        """Only where it stands already. Raises discord.HTTPException."""
        owner = Actor(platform=PLATFORM, id=reply_to.user)
        found = await self._ways(reply_to, card, receipt, now)
        way = next((each for each in found if each in (Way.TOKEN, Way.EDIT)), None)
        if way is not None:
            await self._by(way, reply_to, card, receipt, owner)

    async def _ways(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None, now: datetime) -> tuple[Way, ...]:
        """`ways`, knowing whose the first answer is. It is asked for only by a job that stands nowhere yet, in another life than the command's."""
        token = reply_to.token
        original = None if (known := self._memory.original(token)) is None else FREE if receipt is None and _same(known[1], card.job_id) else known[0]
        if known is None and receipt is None and card.visibility is not Visibility.DIRECT and alive(reply_to, now):
            original = await self._first_answer(token, card.job_id)
        return ways(reply_to, card, receipt, now, original, self._memory.followed(token))

    async def _first_answer(self, token: str, job_id: str) -> str | None:
        """FREE where it waits to be filled, or holds this very job's card; else the message that stands there; None where it cannot be reached."""
        try:
            message = await self._hook(token).fetch_message(ORIGINAL)  # type: ignore[arg-type]
        except discord.HTTPException as error:
            if not closed(error):
                raise
            return NOBODY_KNOWS
        if message.flags.loading or _same(found := _job_of(message), job_id):
            return FREE
        self._memory.answered(token, str(message.id), found)
        return str(message.id)

    def _hook(self, token: str) -> discord.Webhook:
        hook = discord.Webhook.partial(self._client.application_id or 0, token, client=self._client)
        hook.type = discord.WebhookType.application  # only such a one sends what a member alone sees
        return hook

    async def _by(self, way: Way, reply_to: ReplyTo, card: Card, receipt: Receipt | None, owner: Actor) -> Receipt:
        match way:
            case Way.TOKEN:
                return await self.by_token(reply_to, card, owner, self.limit(reply_to.channel), receipt)
            case Way.EDIT:
                assert receipt is not None  # noqa: S101  `ways` saw it
                return await self.edited(receipt, card, owner)
            case Way.POST:
                return await self.posted(reply_to.channel, card, owner, instead_of=receipt.handle if receipt else "")
            case Way.BESIDE:
                return await self.beside(reply_to, card, owner, self.limit(reply_to.channel))
            case Way.DIRECT:
                return await self.direct(reply_to.user, card, owner, instead_of=receipt.handle if receipt else "")

    async def by_token(self, reply_to: ReplyTo, card: Card, owner: Actor, limit: int, receipt: Receipt | None = None) -> Receipt:
        """The interaction's own answer, whether it is there already or still "thinking"; or another message of its token, where `receipt` names one."""
        hook, token = self._hook(reply_to.token), reply_to.token
        known = self._memory.original(token)
        first = receipt is None or (known is not None and receipt.handle == known[0])
        handle: Any = ORIGINAL if first or receipt is None else int(receipt.handle)

        async def send(parts: Parts) -> discord.Message:
            return await hook.edit_message(handle, **parts.to_edit(), allowed_mentions=NOBODY)

        message = await self.written(send, card, owner, limit)
        if first:
            self._memory.answered(token, str(message.id), card.job_id)
        return receipt_of(message)

    async def beside(self, reply_to: ReplyTo, card: Card, owner: Actor, limit: int, *, ephemeral: bool | None = None) -> Receipt:
        """Another message of the interaction's token; by default as private as its card."""
        hook = self._hook(reply_to.token)
        hidden = card.visibility is not Visibility.PUBLIC if ephemeral is None else ephemeral

        async def send(parts: Parts) -> discord.Message:
            return await hook.send(**parts.to_send(), ephemeral=hidden, wait=True, allowed_mentions=NOBODY)

        placed = receipt_of(await self.written(send, card, owner, limit))
        self._memory.follow(reply_to.token)
        return placed

    async def edited(self, receipt: Receipt, card: Card, owner: Actor) -> Receipt:
        place = self._client.get_partial_messageable(int(receipt.channel)).get_partial_message(int(receipt.handle))

        async def send(parts: Parts) -> discord.Message:
            return await place.edit(**parts.to_edit(), allowed_mentions=NOBODY)

        await self.written(send, card, owner, self.limit(receipt.channel))
        return receipt

    async def posted(self, channel: str, card: Card, owner: Actor, *, answers: int | None = None, instead_of: str = "") -> Receipt:
        """A new message, as an answer to another one where that is given. A job's is posted once, by its nonce; again `instead_of` one that is gone."""
        place = self._client.get_partial_messageable(int(channel))
        return await self._anew(place, card, owner, self.limit(channel), answers, instead_of)

    async def direct(self, user: str, card: Card, owner: Actor, *, instead_of: str = "", delivery: str = "") -> Receipt:
        """`delivery`: of the event that a card without a job answers, which may be told twice."""
        place = await self._client.create_dm(discord.Object(int(user)))
        return await self._anew(place, card, owner, limits.ATTACHMENT, None, instead_of, delivery)

    async def _anew(
        self, place: discord.abc.Messageable, card: Card, owner: Actor, limit: int, answers: int | None, instead_of: str, delivery: str = ""
    ) -> Receipt:
        more: dict[str, Any] = {}
        if card.job_id and card.status is not None:
            more["nonce"] = nonce(card.job_id, instead_of)
        elif card.once:
            more["nonce"] = nonce(card.once, instead_of)
        elif delivery:
            more["nonce"] = nonce("", delivery)
        if answers is not None:
            channel_id = getattr(place, "id", 0)
            more["reference"] = discord.MessageReference(message_id=answers, channel_id=channel_id, fail_if_not_exists=False)
        fresh = True

        async def send(parts: Parts) -> discord.Message:
            nonlocal fresh
            message = await place.send(**parts.to_send(), **more, allowed_mentions=NOBODY)
            fresh = _shows(message, parts)
            return message

        placed = receipt_of(await self.written(send, card, owner, limit))
        if "nonce" in more and not fresh:  # posted before, when the card was younger, and never confirmed
            return await self.edited(placed, card, owner)
        return placed


async def _sent(picture: Picture, data: bytes, room: int) -> Fitted | None:
    """As it goes into a message; None when it does not fit. What moves is sent as it is or not at all: made smaller it would stand still."""
    if room < limits.SMALLEST_ATTACHMENT:
        return None
    if picture.moves:
        return Fitted(data, picture.name) if len(data) <= room else None
    return await fitted_async(data, picture.name, room)


def _shows(message: discord.Message, parts: Parts) -> bool:
    embeds = [each.description for each in message.embeds]
    same = message.content.strip() == parts.content.strip() and len(message.attachments) == len(parts.files)
    return same and (not parts.embeds or embeds == [each.description for each in parts.embeds])


def _job_of(message: discord.Message) -> str:
    """The job whose button stands in it first; empty where there is none."""
    pressable = (child for row in message.components for child in getattr(row, "children", ()))
    for child in pressable:
        with contextlib.suppress(ValueError):
            return Action.decode(str(getattr(child, "custom_id", ""))).job_id
    return ""


def _same(one: str, other: str) -> bool:
    return bool(one) and one == other


def _bare(card: Card) -> Card:
    return replace(card, pictures=(), clip=None, documents=(), rows=(), selects=(), links=())
