"""What members do in Discord, answered. Made by `bot.chat.discord.adapter`, one for each connection; called by `client`, `commands` and `layout`'s buttons.

Each event goes the same way: translated (`events`), greeted in memory, acknowledged within Discord's three seconds, handled, and its card written
where the acknowledgement made room for it (`places`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import aiohttp
import discord
import structlog

from bot.chat.discord import events, layout, limits
from bot.chat.discord.events import Found
from bot.chat.discord.layout import Parts
from bot.chat.discord.places import PLATFORM, Places, closed, receipt_of
from bot.chat.fetching import Foreign, TooHeavy, Unreachable, fetch
from bot.chat.turns import Turns
from bot.domain import Ack, Action, Actor, Card, Command, Event, Hint, Inbound, Press, Receipt, Submit, Upload, Verb, Visibility
from bot.errors import BadPicture, BotError, Refused, UserError
from bot.messages import Catalogue
from bot.ports import Studio
from engine.api import Capabilities

log = structlog.get_logger(__name__)

Interaction = discord.Interaction[Any]

#: Emoji that mean something, without their variation selectors. Everything else is people talking.
EMOJI = frozenset({"1\u20e3", "2\u20e3", "3\u20e3", "4\u20e3", "🔄", "❌", "✉", "⭐"})
UNKNOWN, ANSWERED = 10062, 40060  #: the interaction is too old; somebody (a twin process, a replay) has answered it
REMEMBERED = 2048
PRIVATELY = "private"  #: the context of a form that was asked for in private


class Handlers:
    """`removals`: how often a reaction was taken away, part of its delivery's name; it outlives the connection. `hosts`: where pictures may be fetched.
    `busy`: the tasks that answer something now.
    """

    def __init__(
        self,
        client: discord.Client,
        places: Places,
        *,
        studio: Studio,
        turns: Turns,
        catalogue: Catalogue,
        session: aiohttp.ClientSession,
        hosts: frozenset[str],
        max_upload: int,
        paused: Callable[[], bool],
        removals: OrderedDict[str, int],
        busy: set[asyncio.Task[Any]],
    ) -> None:
        self._client, self._places, self._studio, self._turns, self._catalogue = client, places, studio, turns, catalogue
        self._session, self._hosts, self._max_upload, self._paused, self._removals, self._busy = session, hosts, max_upload, paused, removals, busy

    # ------------------------------------------------------------------------------------------------ what members do

    async def commanded(self, interaction: Interaction, name: str, text: str = "", pictures: Sequence[Found] = (), *, private: bool = False) -> None:
        """`private` is in the text already; a form that asks for the text remembers it."""
        await self._hear(interaction, events.command(interaction, name, text, pictures), pictures, context=PRIVATELY if private else "")

    async def pressed(self, interaction: Interaction, action: str) -> None:
        await self._hear(interaction, events.press(interaction, action))

    async def submitted(self, interaction: Interaction) -> None:
        event, context = events.submit(interaction)
        if context == PRIVATELY:
            event = replace(event, values={**event.values, "words": events.words(event.values.get("words", ""), private=True)})
        if context in ("", PRIVATELY):
            await self._hear(interaction, event)
            return
        # The form was about a picture in a message: it is looked for only after the acknowledgement.
        placeholder = (Found(url="", name="picture"),)
        await self._hear(interaction, events.submit(interaction, placeholder)[0], find=lambda: self._meant(context))

    async def imagine_from(self, interaction: Interaction, message: discord.Message) -> None:
        """Ask for the words to draw from this message's picture."""
        event = events.command(interaction, "imagine")
        if self._paused() or not events.pictures(message):
            await self._refuse(interaction, "chat.paused" if self._paused() else "refused.no_picture_there")
            return
        ack = self._studio.greet(event)
        assert ack.form is not None  # noqa: S101  no words: there is nothing else to answer
        await self._acknowledge(interaction, Ack(form=ack.form), context=f"{message.channel.id}/{message.id}")

    async def upscale(self, interaction: Interaction, message: discord.Message) -> None:
        """Of a picture made here, or any other."""
        pictures = events.pictures(message)[:1]
        await self._hear(interaction, events.command(interaction, "upscale", pictures=pictures), pictures, of=receipt_of(message))

    async def command_failed(self, interaction: Interaction, error: Exception) -> None:
        """A command of another version of ours, or a fault."""
        log.warning("discord.command_failed", error=repr(error))
        with contextlib.suppress(discord.HTTPException):
            await self._refuse(interaction, "error.fault")

    async def reacted(self, payload: discord.RawReactionActionEvent, *, added: bool) -> None:
        emoji = str(payload.emoji)
        if emoji.replace("\ufe0f", "") not in EMOJI or payload.user_id == getattr(self._client.user, "id", 0):
            return
        if payload.member is not None and payload.member.bot:
            return  # one that marks every picture would have us draw for ever
        key = f"{payload.message_id}:{payload.user_id}:{emoji}"
        removals = self._removals.get(key, 0)
        if not added:
            self._removals[key] = removals + 1
            self._removals.move_to_end(key)
            if len(self._removals) > REMEMBERED:
                self._removals.popitem(last=False)
        if self._paused():
            return
        try:
            with self._at_work():
                await self._react(payload, removals, added=added)
        except (BotError, discord.HTTPException, aiohttp.ClientError, OSError, TimeoutError) as error:
            log.warning("discord.reaction_unanswered", error=repr(error))

    async def _react(self, payload: discord.RawReactionActionEvent, removals: int, *, added: bool) -> None:
        channel, handle, emoji = str(payload.channel_id), str(payload.message_id), str(payload.emoji)
        job_id = await self._studio.job_at(Receipt(platform=PLATFORM, channel=channel, handle=handle))
        if job_id is None or not (added or emoji.startswith("⭐")):
            return
        name = payload.member.display_name if payload.member else ""
        event = events.reaction(payload, job_id, removals=removals, added=added, name=name)
        ack = self._studio.greet(event)
        async with self._turns.turn(event.delivery_id):
            card = ack.card or await self._studio.handle(event)
            await self._answer_reaction(event, ack, card, payload)

    # ------------------------------------------------------------------------------------------------ one interaction

    async def _hear(
        self,
        interaction: Interaction,
        event: Command | Press | Submit,
        pictures: Sequence[Found] = (),
        *,
        find: Callable[[], Awaitable[Sequence[Found]]] | None = None,
        of: Receipt | None = None,
        context: str = "",
    ) -> None:
        """Greet, acknowledge, handle, show. `find` looks for the pictures after the acknowledgement; `of` may be a message of a job of ours."""
        with self._at_work():
            await self._heard(interaction, event, pictures, find, of, context)

    async def _heard(
        self,
        interaction: Interaction,
        event: Command | Press | Submit,
        pictures: Sequence[Found],
        find: Callable[[], Awaitable[Sequence[Found]]] | None,
        of: Receipt | None,
        context: str,
    ) -> None:
        if self._paused():
            await self._refuse(interaction, "chat.paused")
            return
        ack = self._studio.greet(event)
        if not await self._acknowledge(interaction, ack, context=context) or ack.form is not None or ack.card is not None:
            return
        try:
            if of is not None and (job_id := await self._studio.job_at(of)):
                event = events.command(interaction, "upscale", job_id)
            elif find is not None or pictures:
                event = events.with_uploads(event, await self._fetch(await find() if find else pictures))
        except BotError as error:
            await self._answer(interaction, event, ack, self._note(error))
            return
        async with self._turns.turn(event.delivery_id):
            await self._answer(interaction, event, ack, await self._studio.handle(event))

    async def _acknowledge(self, interaction: Interaction, ack: Ack, *, context: str = "") -> bool:
        """The first response, which decides for good who sees the answer. False when the interaction is somebody else's, or too old."""
        unsure = False
        for attempt in (1, 2):
            try:
                await self._respond(interaction, ack, context)
                return True
            except discord.HTTPException as error:
                if error.code == ANSWERED and unsure:
                    return True  # by ourselves: only Discord's word that it was had been lost
                if error.code not in (UNKNOWN, ANSWERED):
                    raise
                log.info("discord.not_ours_to_answer", code=error.code)
                return False
            except (aiohttp.ClientError, OSError, TimeoutError):
                unsure = True
                if attempt == 2:
                    raise
        raise AssertionError("unreachable")

    async def _respond(self, interaction: Interaction, ack: Ack, context: str) -> None:
        response = interaction.response
        if ack.form is not None:
            form = layout.modal(ack.form, context)
            form.stop()  # discord.py needs not wait for it: what comes back names its form itself
            await response.send_modal(form)
        elif ack.card is not None:
            await response.send_message(**layout.message(ack.card).to_send(), ephemeral=True)
        elif ack.in_place and interaction.message is not None:
            await response.defer()
        else:
            await response.defer(ephemeral=ack.visibility is not Visibility.PUBLIC, thinking=True)

    async def _answer(self, interaction: Interaction, event: Inbound, ack: Ack, card: Card) -> None:
        """Write the card where the acknowledgement made room for it."""
        try:
            if ack.in_place and interaction.message is not None:
                await self._change(interaction, card)
            elif ack.visibility is Visibility.PUBLIC and card.visibility is not Visibility.PUBLIC:
                await interaction.delete_original_response()  # the room is public, the answer is not
                await self._whisper(interaction, card)
            else:
                await self._place(interaction, event, card)
        except (BotError, discord.HTTPException, aiohttp.ClientError, OSError, TimeoutError) as error:
            # A job is safe: the outbox will show its end by whatever way is open then.
            log.warning("discord.answer_lost", job=card.job_id, error=repr(error))

    async def _place(self, interaction: Interaction, event: Inbound, card: Card) -> None:
        placed = await self._places.by_token(event.reply_to, card, event.actor, interaction.filesize_limit)
        await self._stand(event, card, placed)
        if card.status is not None and not card.status.ended and _brings(event):
            now = await self._studio.card(event.actor, card.job_id)
            if now.status is not None and now.status.ended:  # on the way here: its end went to the place before
                self._turns.stands(now, await self._places.by_token(event.reply_to, now, event.actor, interaction.filesize_limit))

    async def _whisper(self, interaction: Interaction, card: Card) -> None:
        """To the member alone, beside the answer."""

        async def send(parts: Parts) -> Any:
            return await interaction.followup.send(**parts.to_send(), ephemeral=True, wait=True)

        await self._places.written(send, card, self._member(interaction), interaction.filesize_limit)

    async def _change(self, interaction: Interaction, card: Card) -> None:
        """The message that was pressed becomes the card; a refusal is whispered and leaves it alone."""
        if card.job_id and card.status is None:  # deleted
            await interaction.delete_original_response()
            await self._whisper(interaction, card)
        elif not card.job_id:
            await self._whisper(interaction, card)
        else:

            async def send(parts: Parts) -> Any:
                return await interaction.edit_original_response(**parts.to_edit())

            await self._places.written(send, card, self._member(interaction), interaction.filesize_limit)

    async def _refuse(self, interaction: Interaction, message: str) -> None:
        await self._acknowledge(interaction, Ack(card=self._note(Refused(message))))

    async def _answer_reaction(self, event: Event, ack: Ack, card: Card, payload: discord.RawReactionActionEvent) -> None:
        """A reaction has no answer of its own: what changes is changed, a child is posted, what is for one member goes to them directly."""
        here = Receipt(platform=PLATFORM, channel=str(payload.channel_id), handle=str(payload.message_id))
        if card.job_id and card.status is None:  # deleted
            await self._client.get_partial_messageable(payload.channel_id).get_partial_message(payload.message_id).delete()
        elif ack.in_place and card.status is not None:
            await self._places.edited(here, card, event.actor)
        elif card.status is None or card.visibility is not Visibility.PUBLIC:
            placed = await self._places.direct(event.actor.id, card, event.actor, delivery=event.delivery_id)
            if card.status is not None:
                await self._stand(event, card, placed)
        elif card.again and await self._studio.place(card.job_id) is not None:
            log.info("discord.reaction_told_again", job=card.job_id)
        else:
            try:
                placed = await self._places.posted(here.channel, card, event.actor, answers=payload.message_id)
            except discord.HTTPException as error:
                if not closed(error):
                    raise
                placed = await self._places.direct(event.actor.id, card, event.actor)
            await self._stand(event, card, placed)

    async def _stand(self, event: Any, card: Card, placed: Receipt) -> None:
        self._turns.stands(card, placed)
        await self._studio.placed(event, card, placed)

    # ------------------------------------------------------------------------------------------------ pictures

    async def _fetch(self, pictures: Sequence[Found]) -> list[Upload]:
        """Raises BadPicture, Refused."""
        fetched = []
        for each in pictures:
            try:
                if each.size > self._max_upload:
                    raise TooHeavy
                data = await fetch(self._session, each.url, self._hosts, limit=self._max_upload)
            except TooHeavy:
                raise BadPicture("error.picture_too_heavy", limit=self._max_upload // 2**20) from None
            except Foreign:
                raise Refused("chat.foreign") from None
            except Unreachable:
                raise BadPicture("chat.unreachable") from None
            fetched.append(Upload(name=each.name, data=data))
        return fetched

    async def _meant(self, context: str) -> Sequence[Found]:
        """The picture of the message a form was opened on. Raises Refused."""
        channel, _, handle = context.partition("/")
        try:
            message = await self._client.get_partial_messageable(int(channel)).get_partial_message(int(handle)).fetch()
        except (discord.HTTPException, ValueError):
            raise Refused("chat.gone") from None
        found = events.pictures(message)[:1]
        if not found:
            raise Refused("refused.no_picture_there")
        return found

    # ------------------------------------------------------------------------------------------------ while typing

    async def complete(self, interaction: Interaction, text: str) -> Sequence[Hint]:
        return await self._studio.complete(self._member(interaction), text, len(text))

    def models(self) -> tuple[Capabilities, ...]:
        return self._studio.models()

    async def own_jobs(self, interaction: Interaction, search: str) -> list[tuple[str, str]]:
        """(words, id) of the member's newest jobs."""
        page = await self._studio.history(self._member(interaction), search=search, limit=limits.CHOICES)
        return [(shown.job.words or shown.job.id, shown.job.id) for shown in page.items]

    # ------------------------------------------------------------------------------------------------ parts

    def _note(self, error: BotError) -> Card:
        """A sentence for the member; of a fault of ours they hear that it is one."""
        text = self._catalogue.say(error.message, **error.parameters) if isinstance(error, UserError) else self._catalogue.say("error.fault")
        return Card(title=self._catalogue.say("card.sorry"), text=text, visibility=Visibility.PRIVATE)

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  discord.py calls us in tasks
        self._busy.add(task)
        try:
            yield
        finally:
            self._busy.discard(task)

    @staticmethod
    def _member(interaction: Interaction) -> Actor:
        return Actor(platform=PLATFORM, id=str(interaction.user.id), name=interaction.user.display_name)


def _brings(event: Inbound) -> bool:
    """Whether it shows a job that was there before."""
    if isinstance(event, Press):
        return Action.decode(event.action).verb is Verb.SHOW
    return isinstance(event, Command) and event.name == "show"
