"""What members do in Discord, answered. Made by `bot.chat.discord.adapter`, one for each connection; called by `client`, `commands` and `layout`'s buttons.

Each event goes the same way: translated (`events`), greeted in memory, acknowledged within Discord's three seconds, handled, and its card written
where the acknowledgement made room for it (`places`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import aiohttp
import discord
import structlog

from bot.chat.discord import events, forms, layout, limits
from bot.chat.discord.events import Found
from bot.chat.discord.files import Files
from bot.chat.discord.forms import Beside
from bot.chat.discord.layout import Parts
from bot.chat.discord.memory import Memory
from bot.chat.discord.places import PLATFORM, Places, closed, receipt_of
from bot.chat.turns import Turns
from bot.domain import Ack, Action, Card, Command, Event, Hint, Inbound, Press, Receipt, Submit, Verb, Visibility
from bot.errors import BotError, Refused, UserError
from bot.messages import Catalogues
from bot.ports import Studio
from engine.api import Capabilities

log = structlog.get_logger(__name__)

Interaction = discord.Interaction[Any]

#: Emoji that mean something, without their variation selectors. Everything else is people talking.
EMOJI = frozenset({"1\u20e3", "2\u20e3", "3\u20e3", "4\u20e3", "🔄", "❌", "✉", "⭐"})
UNKNOWN, ANSWERED = 10062, 40060  #: the interaction is too old; somebody (a twin process, a replay) has answered it
LOOK_UP = 1.5  #: seconds a question to the store may take before the acknowledgement, which has three
NOTHING = Beside()


class Handlers:
    """`memory` outlives the connection. `busy`: the tasks that answer something now."""

    def __init__(
        self,
        client: discord.Client,
        places: Places,
        files: Files,
        *,
        studio: Studio,
        turns: Turns,
        catalogues: Catalogues,
        memory: Memory,
        paused: Callable[[], bool],
        busy: set[asyncio.Task[Any]],
    ) -> None:
        self._client, self._places, self._files, self._studio, self._turns = client, places, files, studio, turns
        self._catalogues, self._memory, self._paused, self._busy = catalogues, memory, paused, busy

    # ------------------------------------------------------------------------------------------------ what members do

    async def imagine(self, interaction: Interaction, prompt: str, beside: Beside) -> None:
        """Options count beside words, a picture or a list; without any the form asks for words, and they wait for it."""
        enough = any(each.role in events.ENOUGH for each in beside.pictures)
        text = beside.words(prompt, picture=enough)
        pictures = beside.pictures if text or enough else ()
        typed = {"aspect": beside.aspect, "style": beside.style, "model": beside.model}
        await self._hear(interaction, events.command(interaction, "imagine", text, pictures), pictures, beside=beside, typed=typed)

    async def commanded(
        self, interaction: Interaction, name: str, text: str = "", pictures: Sequence[Found] = (), *, typed: Mapping[str, str] | None = None
    ) -> None:
        """`typed`: what stands in the fields of those names, should a form be opened; the pictures wait for it."""
        event = events.command(interaction, name, text, pictures)
        await self._hear(interaction, event, pictures, beside=Beside(pictures=tuple(pictures)), typed=typed)

    async def pressed(self, interaction: Interaction, action: str) -> None:
        await self._hear(interaction, events.press(interaction, action))

    async def submitted(self, interaction: Interaction) -> None:
        event, told, files = events.submit(interaction)
        key = forms.kept_under(told)
        beside = self._memory.beside(key) if key else forms.read(told)
        words = event.values.get("words", "")
        if beside is None:
            await self._refuse(interaction, "chat.form_forgotten", words)
            return
        pictures = (*beside.pictures, *files)
        meant = (Found(url="", name="picture"),) if beside.message else ()
        if any(beside.options):
            enough = any(each.role in events.ENOUGH for each in (*meant, *pictures))
            event = replace(event, values={**event.values, "words": beside.words(words, picture=enough)})
        event = replace(event, uploads=events.placeholders((*meant, *pictures)))
        if not beside.message:
            await self._hear(interaction, event, pictures)
            return
        where = beside.message

        async def find() -> Sequence[Found]:
            return (*await self._files.of_message(where), *pictures)

        await self._hear(interaction, event, find=find)  # it is looked for only after the acknowledgement

    async def imagine_from(self, interaction: Interaction, message: discord.Message) -> None:
        """Ask for the words to draw from this message's picture."""
        if self._paused() or not events.pictures(message):
            await self._refuse(interaction, "chat.paused" if self._paused() else "refused.no_picture_there")
            return
        ack = self._studio.greet(events.command(interaction, "imagine"))
        await self._acknowledge(interaction, ack, beside=Beside(message=f"{message.channel.id}/{message.id}"))

    async def on_message(self, interaction: Interaction, name: str, message: discord.Message) -> None:
        """Of a picture made here, or any other."""
        pictures = events.pictures(message)[:1]
        await self._hear(interaction, events.command(interaction, name, pictures=pictures), pictures, of=receipt_of(message))

    async def remix(self, interaction: Interaction, message: discord.Message) -> None:
        """A job's words in a form; any other picture is one to start from."""
        job_id = await self._looked_up(interaction, message)
        if job_id:
            await self._hear(interaction, events.command(interaction, "remix", job_id=job_id))
        elif job_id is not None:
            await self.imagine_from(interaction, message)

    async def report(self, interaction: Interaction, message: discord.Message) -> None:
        """What is wrong with a job's picture is asked in a form, as its button does."""
        job_id = await self._looked_up(interaction, message)
        if job_id is not None:
            await self._hear(interaction, events.command(interaction, "report", job_id=job_id))

    async def _looked_up(self, interaction: Interaction, message: discord.Message) -> str | None:
        """The job whose message that is, before anything is answered: a form is a first response. Empty: no job's. None: nobody knows, and that was said."""
        try:
            async with asyncio.timeout(LOOK_UP):
                return "" if self._paused() else await self._studio.job_at(receipt_of(message)) or ""
        except (BotError, TimeoutError):
            await self._refuse(interaction, "error.fault")
            return None

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
        removals = self._memory.removals(key)
        if not added:
            self._memory.removed(key)
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
        locale = self._memory.locale(str(payload.user_id))
        event = events.reaction(payload, job_id, removals=removals, added=added, name=name, locale=locale)
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
        beside: Beside = NOTHING,
        typed: Mapping[str, str] | None = None,
    ) -> None:
        """Greet, acknowledge, handle, show. `find` looks for the pictures after the acknowledgement; `of` may be a message of a job of ours."""
        with self._at_work():
            if self._paused():
                await self._refuse(interaction, "chat.paused")
                return
            ack = self._studio.greet(event)
            if not await self._acknowledge(interaction, ack, beside=beside, typed=typed) or ack.form is not None or ack.card is not None:
                return
            await self._handle(interaction, event, ack, pictures, find, of)

    async def _handle(
        self,
        interaction: Interaction,
        event: Command | Press | Submit,
        ack: Ack,
        pictures: Sequence[Found],
        find: Callable[[], Awaitable[Sequence[Found]]] | None,
        of: Receipt | None,
    ) -> None:
        try:
            if of is not None and isinstance(event, Command) and (job_id := await self._studio.job_at(of)):
                event = replace(event, job_id=job_id, uploads=())
            elif find is not None or pictures:
                event = events.with_uploads(event, await self._files.fetched(await find() if find else pictures))
        except BotError as error:
            await self._answer(interaction, event, ack, self._note(event.actor.locale, error))
            return
        async with self._turns.turn(event.delivery_id):
            await self._answer(interaction, event, ack, await self._studio.handle(event))

    async def _acknowledge(self, interaction: Interaction, ack: Ack, *, beside: Beside = NOTHING, typed: Mapping[str, str] | None = None) -> bool:
        """The first response, which decides for good who sees the answer. False when the interaction is somebody else's, or too old."""
        self._memory.speaks(str(interaction.user.id), str(interaction.locale))
        unsure = False
        for attempt in (1, 2):
            try:
                await self._respond(interaction, ack, beside, typed or {})
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

    async def _respond(self, interaction: Interaction, ack: Ack, beside: Beside, typed: Mapping[str, str]) -> None:
        response = interaction.response
        if ack.form is not None:
            beside, key = forms.without(beside, ack.form), str(interaction.id)
            told, kept = forms.context(beside, ack.form, key)
            if kept:
                self._memory.keep(key, beside)
            form = layout.modal(forms.prefilled(ack.form, typed), told)
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
                await self._change(interaction, event, card)
            elif ack.visibility is Visibility.PUBLIC and card.visibility is not Visibility.PUBLIC:
                await interaction.delete_original_response()  # the room is public, the answer is not
                await self._whisper(interaction, event, card)
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

    async def _whisper(self, interaction: Interaction, event: Inbound, card: Card) -> None:
        """To the member alone, beside the answer."""
        await self._places.beside(event.reply_to, card, event.actor, interaction.filesize_limit, ephemeral=True)

    async def _change(self, interaction: Interaction, event: Inbound, card: Card) -> None:
        """The message that was pressed becomes the card; a refusal is whispered and leaves it alone."""
        if card.job_id and card.status is None:  # deleted
            await interaction.delete_original_response()
            await self._whisper(interaction, event, card)
        elif card.refusal:
            await self._whisper(interaction, event, card)
        else:

            async def send(parts: Parts) -> Any:
                return await interaction.edit_original_response(**parts.to_edit())

            await self._places.written(send, card, event.actor, interaction.filesize_limit)

    async def _refuse(self, interaction: Interaction, message: str, words: str = "") -> None:
        """`words` are given back."""
        await self._acknowledge(interaction, Ack(card=replace(self._note(str(interaction.locale), Refused(message)), code=words)))

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

    # ------------------------------------------------------------------------------------------------ while typing

    async def complete(self, interaction: Interaction, text: str) -> Sequence[Hint]:
        return await self._studio.complete(events.actor(interaction), text, len(text))

    def models(self) -> tuple[Capabilities, ...]:
        return self._studio.models()

    async def own_jobs(self, interaction: Interaction, search: str) -> list[tuple[str, str]]:
        """(words, id) of the member's newest jobs."""
        page = await self._studio.history(events.actor(interaction), search=search, limit=limits.CHOICES)
        return [(shown.job.words or shown.job.id, shown.job.id) for shown in page.items]

    # ------------------------------------------------------------------------------------------------ parts

    def _note(self, locale: str, error: BotError) -> Card:
        """A sentence for the member; of a fault of ours they hear that it is one."""
        catalogue = self._catalogues.of(locale)
        text = catalogue.say(error.message, **error.parameters) if isinstance(error, UserError) else catalogue.say("error.fault")
        return Card(title=catalogue.say("card.sorry"), text=text, visibility=Visibility.PRIVATE)

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  discord.py calls us in tasks
        self._busy.add(task)
        try:
            yield
        finally:
            self._busy.discard(task)


def _brings(event: Inbound) -> bool:
    """Whether it shows a job that was there before."""
    if isinstance(event, Press):
        return Action.decode(event.action).verb is Verb.SHOW
    return isinstance(event, Command) and event.name == "show"
