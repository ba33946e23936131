"""What members do in Slack, answered. `bot.chat.slack.intake` acknowledges and calls; everything here runs in tasks of the adapter's.

Each event goes the same road: `greet` in memory → a form, a private word, or `handle` → the card where it belongs, and `placed`. From `handle` until
the card stands the event holds its turn (`bot.chat.turns`), so that the outbox edits that message and posts no second one.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from bot.chat.slack import blocks, events, trouble
from bot.chat.slack.blocks import Catalogue
from bot.chat.slack.events import FileRef, Payload, Spot
from bot.chat.slack.files import Files
from bot.chat.slack.home import Home
from bot.chat.slack.posts import Answers, Posts
from bot.chat.slack.wire import Wire
from bot.chat.turns import Turns
from bot.domain import Ack, Action, Card, Command, Form, Inbound, Press, Receipt, Submit, Upload, Verb, Visibility
from bot.errors import BadPicture, BotError, Fault, NotFound
from bot.ports import Studio

log = structlog.get_logger(__name__)

_REMEMBERED = 4096  #: deliveries that were answered in this process
_HOLDER = (Upload(name="picture", data=b""),)  #: stands for a picture that is fetched once the words are known to be good


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """What handlers work with."""

    studio: Studio
    wire: Wire
    posts: Posts
    files: Files
    home: Home
    turns: Turns
    catalogue: Catalogue
    clock: Callable[[], datetime]
    paused: Callable[[], bool]


class Handlers:
    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._studio, self._posts, self._wire, self._say = kit.studio, kit.posts, kit.wire, kit.catalogue.say
        self._answered: OrderedDict[str, Receipt | None] = OrderedDict()

    @property
    def team(self) -> str:
        return self._wire.identity.team

    def now(self) -> datetime:
        return self._kit.clock()

    # -- what came in

    async def command(self, body: Payload) -> None:
        spot = events.spot_of_command(body, self.team)
        await self._answer(spot, events.command(spot, body, self.now()))

    async def action(self, body: Payload) -> None:
        spot = events.spot_of_interaction(body, self.team)
        action_id, value = events.pressed_value(body)
        if action_id.startswith(blocks.LINK):
            return
        if action_id == blocks.DIRECT:
            await self._directly(spot, blocks.resent(value))
            return
        await self._answer(spot, events.press(spot, value, self.now()))

    async def shortcut(self, body: Payload) -> None:
        spot = events.spot_of_interaction(body, self.team)
        if await self._refused_pause(spot):
            return
        try:
            job_id = await self._studio.job_at(_receipt(spot))
        except Fault as error:
            await self._sorry(spot, self._say(error.message, **error.parameters))
            return
        picture = events.shared_picture(body.get("message") or {})
        if body.get("callback_id") == "upscale":
            uploads = _HOLDER if picture is not None and not job_id else ()
            await self._answer(spot, events.said(spot, "upscale", job_id or "", self.now(), uploads), picture=picture if uploads else None)
            return
        picture = FileRef(job=job_id) if job_id else picture
        if picture is None:
            await self._sorry(spot, self._say("refused.no_picture_there"))
            return
        form = self._studio.greet(events.said(spot, "imagine", "", self.now())).form
        if form is not None:
            await self._open(spot, form, picture)

    async def reaction(self, body: Payload) -> None:
        spot, asked = events.spot_of_event(body, self.team), events.emoji_of(body)
        if asked is None or spot.user in ("", self._wire.identity.user):
            return
        receipt = _receipt(spot)
        job_id = await self._studio.job_at(receipt)
        if job_id is None:
            return
        spot = replace(spot, thread=await self._posts.thread_of(receipt))
        await self._answer(spot, events.reaction(spot, asked[0], job_id, self.now(), added=asked[1]))

    async def opened(self, body: Payload) -> None:
        event = body.get("event") or {}
        if event.get("tab", "home") == "home":
            await self._kit.home.opened(self._studio, str(event.get("user", "")))

    def submission(self, body: Payload) -> tuple[Submit | None, dict[str, str]]:
        """What a form says, or what is wrong with it by block: the form stays open with the words in it."""
        spot, view = events.spot_of_submission(body, self.team), body["view"]
        uploads = _HOLDER if events.picture_of(view) else ()
        submit = events.submit(spot, str(view.get("callback_id", "")), view, self.now(), uploads)
        if self._kit.paused():
            return None, {events.first_field(view): self._say("chat.paused")}
        card = self._studio.greet(submit).card
        return (submit, {}) if card is None else (None, {events.first_field(view): blocks.spelled(card.text) or card.title})

    async def submitted(self, body: Payload, submit: Submit) -> None:
        await self._answer(events.spot_of_submission(body, self.team), submit, picture=events.picture_of(body["view"]))

    # -- the one road

    async def _answer(self, spot: Spot, event: Inbound, *, picture: FileRef | None = None) -> None:
        answers = Answers(spot, self.now())
        if await self._refused_pause(spot, answers):
            return
        ack = self._studio.greet(event)
        if ack.form is not None:
            await self._open(spot, ack.form, None)
            return
        if ack.card is not None:
            await self._posts.whisper(answers, ack.card)
            return
        if picture is not None and isinstance(event, Command | Submit):
            try:
                event = replace(event, uploads=(await self._fetched(spot, picture),))
            except BotError as error:
                await self._sorry(spot, self._say(error.message, **error.parameters), answers)
                return
        card: Card | None = None
        try:
            if not spot.channel:  # the home tab, or a form that was opened there
                spot = replace(spot, channel=await self._posts.dm(spot.user))
            can_post = ack.visibility is not Visibility.PUBLIC or await self._wire.is_in(spot.channel)
            actor = replace(event.actor, name=await self._wire.name_of(spot.user) or spot.name)
            event = replace(event, actor=actor, place=spot.place, reply_to=spot.reply_to(self.now(), can_post=can_post))
            async with self._kit.turns.turn(event.delivery_id):
                before = self._answered.get(event.delivery_id)
                if before is None and event.delivery_id in self._answered:
                    return  # the same once more, and it has been said
                card = await self._studio.handle(event)
                if card.again and before is None and (before := await self._studio.place(card.job_id)) is not None:
                    return  # Slack told us before we were restarted, and its card stands
                self._answered[event.delivery_id] = await self._deliver(spot, answers, event, ack, card, before)
                while len(self._answered) > _REMEMBERED:
                    self._answered.popitem(last=False)
        except Exception as error:
            said = trouble.name_of(error) or type(error).__name__
            log.warning("slack.not_shown", delivery=event.delivery_id, job=card.job_id if card else "", error=said, exc_info=not trouble.expected(error))
            if card is None or card.status is None or card.status.ended:  # a job that goes on is shown at its end
                await self._sorry(spot, self._say("chat.not_shown"), answers)

    async def _deliver(self, spot: Spot, answers: Answers, event: Inbound, ack: Ack, card: Card, before: Receipt | None) -> Receipt | None:
        at = _receipt(spot)
        if card.job_id and card.status is None:
            await self._deleted(spot, answers, card)
            return None
        if card.status is None:
            await self._posts.whisper(answers, card)
            return None
        if ack.in_place:
            if spot.home:
                await self._kit.home.opened(self._studio, spot.user)
            elif spot.ephemeral:
                await self._posts.whisper(answers, card, replace=True)
            elif not (await self._stands_at(card.job_id, at) and await self._posts.change(at, card, spot.user)):
                await self._posts.whisper(answers, card)
            return None
        if self._kit.turns.stale(card):  # its end was shown elsewhere while this one was on its way
            with contextlib.suppress(NotFound):
                card = await self._studio.card(spot.actor, card.job_id)
        again = _shows_again(event)
        placed = await self._posts.deliver(event.reply_to, card, before, self._studio.job_at if again else None)
        if placed is None:  # neither here nor directly
            await self._sorry(spot, self._say("chat.not_shown"), answers)
            return None
        await self._studio.placed(event, card, placed)
        if again and card.status is not None and not card.status.ended:
            await self._caught_up(spot, card, placed)
        return placed

    async def _deleted(self, spot: Spot, answers: Answers, card: Card) -> None:
        """The pressed message goes, with the pictures of its job."""
        if spot.ephemeral:
            await self._kit.files.delete(card.job_id)
            await self._posts.whisper(answers, card, replace=True)
            return
        if spot.message and not spot.home:
            await self._posts.delete(_receipt(spot), card, spot.user)
        else:
            await self._kit.files.delete(card.job_id)
        await self._posts.whisper(answers, card)

    async def _stands_at(self, job_id: str, at: Receipt) -> bool:
        return bool(at.handle) and (self._kit.turns.place(job_id) == at or await self._studio.job_at(at) == job_id)

    async def _caught_up(self, spot: Spot, card: Card, placed: Receipt) -> None:
        """The job may have ended while its card was brought here: then nobody else writes this message any more."""
        try:
            now = await self._studio.card(spot.actor, card.job_id)
        except NotFound:
            return
        if now.status is not None and now.status.ended:
            await self._posts.change(placed, now, spot.user)

    # -- forms, pictures, private words

    async def _open(self, spot: Spot, form: Form, picture: FileRef | None) -> None:
        view = blocks.modal(form, self._kit.catalogue, events.metadata(spot, picture, blocks.shortened(form)))
        try:
            await self._wire.open_view(spot.trigger, view)
        except trouble.EXPECTED as error:
            log.info("slack.no_form", error=trouble.name_of(error) or type(error).__name__)
            await self._sorry(spot, self._say("chat.form_late"))

    async def _fetched(self, spot: Spot, picture: FileRef) -> Upload:
        """Raises BadPicture."""
        if not picture.job:
            return await self._kit.files.fetch(picture)
        try:
            card = await self._studio.card(spot.actor, picture.job)
            first = next((each for each in card.pictures if each.digest), None)
            if first is None:
                raise BadPicture("refused.no_picture_there")
            return Upload(name=first.name, data=await self._studio.picture(spot.actor, first.digest))
        except NotFound:
            raise BadPicture("chat.gone") from None

    async def _directly(self, spot: Spot, words: str) -> None:
        """The words again, said in the direct message; what was pressed says so."""
        if await self._refused_pause(spot):
            return
        answers = Answers(spot, self.now())
        try:
            dm = await self._posts.dm(spot.user)
        except trouble.EXPECTED as error:
            log.warning("slack.no_direct", error=trouble.name_of(error) or type(error).__name__)
            await self._sorry(spot, self._say("error.fault"), answers)
            return
        once = events.delivery(f"{spot.channel}/{spot.message}/{spot.user}")  # a double click has two triggers
        there = replace(spot, channel=dm, thread="", message="", ephemeral=False, response_url="", delivery=once)
        await self._answer(there, events.said(there, "imagine", words, self.now()))
        note = Card(title=self._say("chat.direct"), visibility=Visibility.PRIVATE)
        if spot.ephemeral:
            await self._posts.whisper(answers, note, replace=True)

    async def _refused_pause(self, spot: Spot, answers: Answers | None = None) -> bool:
        if not self._kit.paused():
            return False
        card = Card(title=self._say("card.sorry"), text=self._say("chat.paused"), visibility=Visibility.PRIVATE)
        await self._posts.whisper(answers or Answers(spot, self.now()), card)
        return True

    async def _sorry(self, spot: Spot, text: str, answers: Answers | None = None) -> None:
        card = Card(title=self._say("card.sorry"), text=text, visibility=Visibility.PRIVATE)
        await self._posts.whisper(answers or Answers(spot, self.now()), card)


def _receipt(spot: Spot) -> Receipt:
    return Receipt(platform=events.PLATFORM, channel=spot.channel, handle=spot.message)


def _shows_again(event: Inbound) -> bool:
    """Whether it brings a card of a job that stands elsewhere."""
    if isinstance(event, Command):
        return event.name == "show"
    if isinstance(event, Press):
        try:
            return Action.decode(event.action).verb is Verb.SHOW
        except ValueError:
            return False
    return False
