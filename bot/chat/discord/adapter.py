"""Discord as a chat: takes commands, presses, forms and reactions to the studio, and shows cards. Made by `bot.app`.

Each event goes the same way: translated (`events`), greeted in memory, acknowledged within Discord's three seconds, handled, and its card written
where the acknowledgement made room (`places`). Nothing is remembered in a live object: what a button does stands in its custom_id, what
a reaction means in the store.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

import aiohttp
import discord
import structlog

from bot.chat.discord import commands, events, layout, limits
from bot.chat.discord.client import Client, use_endpoints
from bot.chat.discord.events import Found
from bot.chat.discord.layout import Parts
from bot.chat.discord.places import PLATFORM, Places, closed, receipt_of
from bot.chat.discord.presence import keep_presence
from bot.chat.fetching import Foreign, TooHeavy, Unreachable, fetch
from bot.chat.turns import Turns
from bot.domain import Ack, Actor, Card, Command, Event, Hint, Inbound, Press, Receipt, ReplyTo, Submit, Upload, Visibility
from bot.errors import BadPicture, Fault, Refused, UserError
from bot.messages import Catalogue
from bot.ports import Memos, Studio
from engine.api import Capabilities

log = structlog.get_logger(__name__)

Interaction = discord.Interaction[Any]

#: Emoji that mean something, without their variation selectors. Everything else is people talking.
EMOJI = frozenset({"1\u20e3", "2\u20e3", "3\u20e3", "4\u20e3", "🔄", "❌", "✉", "⭐"})
UNKNOWN, ANSWERED = 10062, 40060  #: the interaction is too old; somebody (a twin process, a replay) has answered it
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 300.0  #: seconds between attempts to reach Discord at all
LOGIN_PATIENCE = 20.0  #: seconds `start` waits for the first answer before it goes on without one
REMEMBERED = 2048


class DiscordAdapter:
    """Platform "discord". `cdn_hosts`: where members' attachments may be fetched. `max_upload`: bytes of one."""

    platform = PLATFORM

    def __init__(
        self,
        *,
        token: str,
        catalogue: Catalogue,
        memos: Memos,
        clock: Callable[[], datetime],
        cdn_hosts: frozenset[str],
        api_url: str = "https://discord.com/api/v10",
        gateway_url: str = "",
        max_upload: int = 20 * 2**20,
    ) -> None:
        self._token, self._catalogue, self._memos, self._clock = token, catalogue, memos, clock
        self._hosts, self._api_url, self._gateway_url, self._max_upload = cdn_hosts, api_url, gateway_url, max_upload
        self._turns = Turns()
        self._studio: Studio | None = None
        self._client: Client | None = None
        self._places: Places | None = None
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._first: asyncio.Future[None] | None = None
        self._here = asyncio.Event()
        self._paused = False
        self._removals: OrderedDict[str, int] = OrderedDict()  # how often a reaction was taken away: part of its delivery's name

    # ------------------------------------------------------------------------------------------------ the port

    async def start(self, studio: Studio) -> None:
        """Log in and listen. Raises Fault for a token that Discord refuses; anything else is tried again in the background."""
        self._studio = studio
        use_endpoints(self._api_url, self._gateway_url)
        self._session = aiohttp.ClientSession()
        self._first = asyncio.get_running_loop().create_future()
        self._tasks.add(asyncio.create_task(self._stay(), name="discord"))
        self._tasks.add(asyncio.create_task(self._keep_presence(), name="discord presence"))
        try:
            await asyncio.wait_for(asyncio.shield(self._first), LOGIN_PATIENCE)
        except TimeoutError:
            log.warning("discord.slow_start")
        except BaseException:
            await self.aclose()
            raise

    async def pause(self) -> None:
        self._paused = True

    async def show(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None) -> Receipt | None:
        """See `ChatAdapter.show`. Waits for a handler that is about to place the same job's card."""
        async with self._turns.turn(reply_to.delivery or card.job_id):
            found = receipt or self._turns.place(card.job_id)
            placed = await self._writer.show(reply_to, card, found, self._clock())
            self._turns.stands(card, placed)
            return placed

    async def progress(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None) -> None:
        async with self._turns.turn(reply_to.delivery or card.job_id):
            if not self._turns.stale(card):
                await self._writer.change(reply_to, card, receipt or self._turns.place(card.job_id), self._clock())

    async def aclose(self) -> None:
        self._paused = True
        tasks, self._tasks = self._tasks, set()
        if tasks and self._client is not None:
            await self._client.close()  # first: a cancelled closing would leave connections behind
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._session is not None:
            await self._session.close()
            self._session = None

    # ------------------------------------------------------------------------------------------------ being there

    async def _stay(self) -> None:
        """Be connected until cancelled. discord.py resumes and reconnects by itself; this is for what it gives up on."""
        pause = FIRST_PAUSE
        while True:
            client = self._client = Client(self, gateway_url=self._gateway_url)
            try:
                await client.login(self._token)
                self._places = Places(client, self._picture, self._catalogue)
                await self._sync(client)
                self._arrived(None)
                await client.connect()
                pause = FIRST_PAUSE
            except discord.LoginFailure as error:
                self._arrived(Fault("fault.discord_token"))
                log.error("discord.login_refused", error=str(error))
                pause = LONGEST_PAUSE
            except (discord.DiscordException, aiohttp.ClientError, OSError, TimeoutError) as error:
                log.warning("discord.away", seconds=round(pause), error=repr(error))
            finally:
                self._here.clear()
                self._places = None  # a closed client reaches nobody
                await client.close()
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _arrived(self, error: Fault | None) -> None:
        if self._first is None or self._first.done():
            return
        if error is None:
            self._first.set_result(None)
        else:
            self._first.set_exception(error)

    def ready(self) -> None:
        """The gateway has told us where we are."""
        log.info("discord.ready", guilds=len(self.client.guilds), shards=self.client.shard_count)
        self._here.set()

    async def _sync(self, client: Client) -> None:
        """Tell Discord of our commands, if they are not what it was told last."""
        commands.register(client.tree, self, self._catalogue)
        key, mark = f"discord:commands:{client.application_id}", commands.fingerprint(client.tree)
        if await self._memos.recall(key) != mark:
            await client.tree.sync()
            await self._memos.remember(key, mark)
            log.info("discord.commands_synced")

    async def _keep_presence(self) -> None:
        await keep_presence(self._here, lambda: self.client, lambda: self.studio, self._catalogue)

    # ------------------------------------------------------------------------------------------------ what members do

    async def commanded(self, interaction: Interaction, name: str, text: str = "", pictures: Sequence[Found] = ()) -> None:
        await self._hear(interaction, events.command(interaction, name, text, pictures), pictures)

    async def pressed(self, interaction: Interaction, action: str) -> None:
        await self._hear(interaction, events.press(interaction, action))

    async def submitted(self, interaction: Interaction) -> None:
        event, context = events.submit(interaction)
        if not context:
            await self._hear(interaction, event)
            return
        # The form was about a picture in a message: it is looked for only after the acknowledgement.
        placeholder = (Found(url="", name="picture"),)
        await self._hear(interaction, events.submit(interaction, placeholder)[0], find=lambda: self._meant(context))

    async def imagine_from(self, interaction: Interaction, message: discord.Message) -> None:
        """Ask for the words to draw from this message's picture."""
        event = events.command(interaction, "imagine")
        if self._paused or not events.pictures(message):
            await self._refuse(interaction, "chat.paused" if self._paused else "refused.no_picture_there")
            return
        ack = self.studio.greet(event)
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
        if emoji.replace("\ufe0f", "") not in EMOJI or payload.user_id == getattr(self.client.user, "id", 0):
            return
        key = f"{payload.message_id}:{payload.user_id}:{emoji}"
        removals = self._removals.get(key, 0)
        if not added:
            self._removals[key] = removals + 1
            self._removals.move_to_end(key)
            if len(self._removals) > REMEMBERED:
                self._removals.popitem(last=False)
        if self._paused:
            return
        channel, handle = str(payload.channel_id), str(payload.message_id)
        job_id = await self.studio.job_at(Receipt(platform=PLATFORM, channel=channel, handle=handle))
        if job_id is None or not (added or emoji.startswith("⭐")):
            return
        name = payload.member.display_name if payload.member else ""
        event = events.reaction(payload, job_id, removals=removals, added=added, name=name)
        ack = self.studio.greet(event)
        async with self._turns.turn(event.delivery_id):
            card = ack.card or await self.studio.handle(event)
            try:
                await self._answer_reaction(event, ack, card, payload)
            except discord.HTTPException as error:
                log.warning("discord.reaction_unanswered", job=job_id, error=repr(error))

    # ------------------------------------------------------------------------------------------------ one interaction

    async def _hear(
        self,
        interaction: Interaction,
        event: Command | Press | Submit,
        pictures: Sequence[Found] = (),
        *,
        find: Callable[[], Awaitable[Sequence[Found]]] | None = None,
        of: Receipt | None = None,
    ) -> None:
        """Greet, acknowledge, handle, show. `find` looks for the pictures after the acknowledgement; `of` may be a message of a job of ours."""
        if self._paused:
            await self._refuse(interaction, "chat.paused")
            return
        ack = self.studio.greet(event)
        if not await self._acknowledge(interaction, ack) or ack.form is not None or ack.card is not None:
            return
        try:
            if of is not None and (job_id := await self.studio.job_at(of)):
                event = events.command(interaction, "upscale", job_id)
            elif find is not None or pictures:
                event = events.with_uploads(event, await self._fetch(await find() if find else pictures))
        except UserError as error:
            await self._answer(interaction, event, ack, self._note(error))
            return
        async with self._turns.turn(event.delivery_id):
            await self._answer(interaction, event, ack, await self.studio.handle(event))

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
            await response.send_modal(layout.modal(ack.form, context))
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
        except (discord.HTTPException, aiohttp.ClientError, OSError, TimeoutError) as error:
            # A job is safe: the outbox will show its end by whatever way is open then.
            log.warning("discord.answer_lost", job=card.job_id, error=repr(error))

    async def _place(self, interaction: Interaction, event: Inbound, card: Card) -> None:
        placed = await self._writer.by_token(event.reply_to, card, event.actor, interaction.filesize_limit)
        self._turns.stands(card, placed)
        await self.studio.placed(event, card, placed)

    async def _whisper(self, interaction: Interaction, card: Card) -> None:
        """To the member alone, beside the answer."""

        async def send(parts: Parts) -> Any:
            return await interaction.followup.send(**parts.to_send(), ephemeral=True, wait=True)

        await self._writer.written(send, card, self._member(interaction), interaction.filesize_limit)

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

            await self._writer.written(send, card, self._member(interaction), interaction.filesize_limit)

    async def _refuse(self, interaction: Interaction, message: str) -> None:
        await self._acknowledge(interaction, Ack(card=self._note(Refused(message))))

    async def _answer_reaction(self, event: Event, ack: Ack, card: Card, payload: discord.RawReactionActionEvent) -> None:
        """A reaction has no answer of its own: what changes is changed, a child is posted, what is for one member goes to them directly."""
        here = Receipt(platform=PLATFORM, channel=str(payload.channel_id), handle=str(payload.message_id))
        if card.job_id and card.status is None:  # deleted
            await self.client.get_partial_messageable(payload.channel_id).get_partial_message(payload.message_id).delete()
        elif card.status is None or card.visibility is not Visibility.PUBLIC:
            placed = await self._writer.direct(event.actor.id, card, event.actor)
            if card.status is not None:
                await self._stand(event, card, placed)
        elif ack.in_place:
            await self._writer.edited(here, card, event.actor)
        elif card.again and await self.studio.place(card.job_id) is not None:
            log.info("discord.reaction_told_again", job=card.job_id)
        else:
            try:
                placed = await self._writer.posted(here.channel, card, event.actor, answers=payload.message_id)
            except discord.HTTPException as error:
                if not closed(error):
                    raise
                placed = await self._writer.direct(event.actor.id, card, event.actor)
            await self._stand(event, card, placed)

    async def _stand(self, event: Any, card: Card, placed: Receipt) -> None:
        self._turns.stands(card, placed)
        await self.studio.placed(event, card, placed)

    # ------------------------------------------------------------------------------------------------ pictures

    async def _fetch(self, pictures: Sequence[Found]) -> list[Upload]:
        """Raises BadPicture, Refused."""
        assert self._session is not None  # noqa: S101  made by `start`
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
            message = await self.client.get_partial_messageable(int(channel)).get_partial_message(int(handle)).fetch()
        except (discord.HTTPException, ValueError):
            raise Refused("chat.gone") from None
        found = events.pictures(message)[:1]
        if not found:
            raise Refused("refused.no_picture_there")
        return found

    async def _picture(self, owner: Actor, digest: str) -> bytes:
        return await self.studio.picture(owner, digest)

    # ------------------------------------------------------------------------------------------------ while typing

    async def complete(self, interaction: Interaction, text: str) -> Sequence[Hint]:
        return await self.studio.complete(self._member(interaction), text, len(text))

    def models(self) -> tuple[Capabilities, ...]:
        return self.studio.models()

    async def own_jobs(self, interaction: Interaction, search: str) -> list[tuple[str, str]]:
        """(words, id) of the member's newest jobs."""
        page = await self.studio.history(self._member(interaction), search=search, limit=limits.CHOICES)
        return [(shown.job.words or shown.job.id, shown.job.id) for shown in page.items]

    # ------------------------------------------------------------------------------------------------ parts

    def _note(self, error: UserError) -> Card:
        text = self._catalogue.say(error.message, **error.parameters)
        return Card(title=self._catalogue.say("card.sorry"), text=text, visibility=Visibility.PRIVATE)

    @staticmethod
    def _member(interaction: Interaction) -> Actor:
        return Actor(platform=PLATFORM, id=str(interaction.user.id), name=interaction.user.display_name)

    @property
    def studio(self) -> Studio:
        assert self._studio is not None  # noqa: S101  nothing is heard before `start`
        return self._studio

    @property
    def client(self) -> Client:
        assert self._client is not None  # noqa: S101  made by `start`
        return self._client

    @property
    def _writer(self) -> Places:
        """Raises ConnectionError before the first login: the outbox comes back."""
        if self._places is None:
            raise ConnectionError("not logged in to Discord yet")
        return self._places
