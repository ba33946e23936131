"""Where a card can be written, and how: by an interaction's token, by the bot's own, as a new message, as a direct one.

`ways` says in which order to try (pure); `Places` does it. A way that is closed for good (the token ran out, the message or the permission is
gone) leads to the next; trouble that passes is raised, for the outbox to come back to. 429 and `retry_after` are discord.py's to wait for.

A card that must be a new message carries a nonce made of the job's id: Discord gives back the message that has it instead of posting another, for
some minutes, and that one is edited if it shows something older. Beyond those, a crash between posting and writing the receipt down can post an end twice.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import discord
import structlog

from bot.chat.discord import layout, limits
from bot.chat.discord.layout import Attached, Parts
from bot.chat.pictures import Fitted, fitted_async
from bot.domain import Actor, Card, Picture, Receipt, ReplyTo, Visibility
from bot.errors import NotFound
from bot.messages import Catalogue

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
    DIRECT = "a direct message"


def ways(reply_to: ReplyTo, card: Card, receipt: Receipt | None, now: datetime) -> tuple[Way, ...]:
    """In the order to try. A receipt without a channel is an answer that only its member sees: the token alone reaches it."""
    found: list[Way] = []
    if reply_to.token and reply_to.expires_at is not None and now < reply_to.expires_at - limits.TOKEN_MARGIN:
        found.append(Way.TOKEN)
    if receipt is not None and receipt.channel and receipt.handle:
        found.append(Way.EDIT)
    if reply_to.can_post and reply_to.channel and card.visibility is Visibility.PUBLIC:
        found.append(Way.POST)
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

    def __init__(self, client: discord.Client, picture: Read, catalogue: Catalogue) -> None:
        self._client, self._picture, self._catalogue = client, picture, catalogue

    # -- what goes along

    async def message(self, card: Card, owner: Actor, limit: int) -> Parts:
        """The card with its pictures."""
        attached: list[Attached] = []
        remarks: list[str] = []
        for each in card.files[: limits.ATTACHMENTS]:
            try:
                data = each.data or await self._picture(owner, each.digest)
            except NotFound:
                continue  # deleted meanwhile
            room = limit // max(1, min(len(card.files), limits.ATTACHMENTS))  # the limit is a message's
            sent = await _sent(each, data, room)
            size = f"{limit / 2**20:.3g}"
            if sent is None:
                remarks.append(self._catalogue.say("card.clip_left_out" if each.moves else "card.left_out", limit=size))
                continue
            if sent.smaller:
                remarks.append(self._catalogue.say("card.smaller", limit=size))
            attached.append(Attached(name=sent.name, data=sent.data, alt=each.alt))
        return layout.message(card, attached, list(dict.fromkeys(remarks)))

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
                elif error.status == 400 and not closed(error) and error.code != 40060 and (card.files or card.rows):
                    log.error("discord.card_refused", job=card.job_id, error=error.text)
                    card = _bare(card)
                else:
                    raise

    # -- the ways

    async def show(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None, now: datetime) -> Receipt | None:
        """By the first way that is open; None when there is none. Raises what may pass (5xx, connections, timeouts)."""
        owner = Actor(platform=PLATFORM, id=reply_to.user)
        unexplained: discord.HTTPException | None = None
        for way in ways(reply_to, card, receipt, now):
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

    async def change(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None, now: datetime) -> None:
        """Only where it stands already. Raises discord.HTTPException."""
        owner = Actor(platform=PLATFORM, id=reply_to.user)
        way = next((each for each in ways(reply_to, card, receipt, now) if each in (Way.TOKEN, Way.EDIT)), None)
        if way is not None:
            await self._by(way, reply_to, card, receipt, owner)

    async def _by(self, way: Way, reply_to: ReplyTo, card: Card, receipt: Receipt | None, owner: Actor) -> Receipt:
        match way:
            case Way.TOKEN:
                return await self.by_token(reply_to, card, owner, self.limit(reply_to.channel))
            case Way.EDIT:
                assert receipt is not None  # noqa: S101  `ways` saw it
                return await self.edited(receipt, card, owner)
            case Way.POST:
                return await self.posted(reply_to.channel, card, owner, instead_of=receipt.handle if receipt else "")
            case Way.DIRECT:
                return await self.direct(reply_to.user, card, owner, instead_of=receipt.handle if receipt else "")

    async def by_token(self, reply_to: ReplyTo, card: Card, owner: Actor, limit: int) -> Receipt:
        """The interaction's own answer, whether it is there already or still "thinking"."""
        hook = discord.Webhook.partial(self._client.application_id or 0, reply_to.token, client=self._client)

        async def send(parts: Parts) -> discord.Message:
            return await hook.edit_message(ORIGINAL, **parts.to_edit(), allowed_mentions=NOBODY)  # type: ignore[call-overload,no-any-return]

        return receipt_of(await self.written(send, card, owner, limit))

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


def _bare(card: Card) -> Card:
    return replace(card, pictures=(), clip=None, rows=(), selects=(), links=())
