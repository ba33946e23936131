"""What members do in Slack, answered. `bot.chat.slack.intake` acknowledges and calls; everything here runs in tasks of the adapter's.

Each event goes the same road: `greet` in memory → a form, a private word, or `handle` → the card where it belongs, and `placed`. From `handle` until
the card stands the event holds its turn (`bot.chat.turns`), so that the outbox edits that message and posts no second one.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from bot.chat.slack import blocks, events, forms, trouble
from bot.chat.slack.blocks import Catalogues
from bot.chat.slack.events import FileRef, Payload, Spot
from bot.chat.slack.files import Files
from bot.chat.slack.home import Home, asks
from bot.chat.slack.posts import Answers, Posts
from bot.chat.slack.wire import Wire
from bot.chat.turns import Turns
from bot.domain import Ack, Action, Card, Command, Form, Inbound, Press, Receipt, Submit, Upload, Verb, Visibility
from bot.errors import BadPicture, BotError, Fault, NotFound
from bot.ports import Studio

log = structlog.get_logger(__name__)

_REMEMBERED = 4096  #: deliveries that were answered in this process
ANYWHERE = "imagine_anywhere"  #: the shortcut that needs no message
FROM, DESCRIBE, UPSCALE, REMIX, REPORT = "imagine_from", "describe", "upscale", "remix", "report"  #: those of a message
SHORTCUTS = (ANYWHERE, FROM, DESCRIBE, UPSCALE, REMIX, REPORT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """What handlers work with."""

    studio: Studio
    wire: Wire
    posts: Posts
    files: Files
    home: Home
    turns: Turns
    catalogues: Catalogues
    clock: Callable[[], datetime]
    paused: Callable[[], bool]
    via: str = ""  #: see `bot.chat.slack.events.Spot`


class Handlers:
    """Of one workspace."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._studio, self._posts, self._wire = kit.studio, kit.posts, kit.wire
        self._answered: OrderedDict[str, Receipt | None] = OrderedDict()

    @property
    def team(self) -> str:
        return self._wire.identity.team

    def now(self) -> datetime:
        return self._kit.clock()

    # -- what came in

    async def command(self, body: Payload) -> None:
        spot = await self._met(events.spot_of_command(body, self.team))
        await self._answer(spot, events.command(spot, body, self.now()))

    async def action(self, body: Payload) -> None:
        spot = await self._met(events.spot_of_interaction(body, self.team))
        action_id, value = events.pressed_value(body)
        if action_id.startswith(blocks.LINK):
            return
        if action_id == blocks.DIRECT:
            await self._directly(spot, blocks.resent(value))
            return
        if action_id == blocks.IMAGINE:
            await self._answer(spot, events.said(spot, "imagine", "", self.now()))
            return
        await self._answer(spot, events.press(spot, value, self.now()))

    async def shortcut(self, body: Payload) -> None:
        spot = await self._met(events.spot_of_interaction(body, self.team))
        if await self._refused_pause(spot):
            return
        name, message = body.get("callback_id"), body.get("message") or {}
        if name == ANYWHERE:
            await self._answer(spot, events.said(spot, "imagine", "", self.now()))
            return
        try:
            job_id = await self._job_there(spot, message)
        except Fault as error:
            await self._sorry(spot, self._say(spot, error.message, **error.parameters))
            return
        picture = FileRef(job=job_id) if job_id else events.shared_picture(message)
        if name == FROM:
            await self._begun(spot, picture or events.shared_list(message), "" if job_id else events.words_of(message))
            return
        sent = (picture,) if picture is not None and not job_id and name not in (REMIX, REPORT) else ()
        uploads = tuple(each.holder() for each in sent)
        await self._answer(spot, events.said(spot, str(name), "", self.now(), uploads, job_id=job_id), pictures=sent)

    async def _begun(self, spot: Spot, file: FileRef | None, words: str) -> None:
        """The form, with the picture (or the prompts) of a message and what it says."""
        if file is None and not words:
            await self._sorry(spot, self._say(spot, "refused.no_picture_there"))
            return
        form = self._studio.greet(events.said(spot, "imagine", "", self.now())).form
        if form is None:
            return
        first = form.fields[0]
        if first.kind == "text":
            needed = first.required and (file is None or file.role != "list")  # a file of prompts says enough
            form = replace(form, fields=(replace(first, value=first.value or words, required=needed), *form.fields[1:]))
        await self._open(spot, form, file)

    async def _job_there(self, spot: Spot, message: Payload) -> str:
        """Of the message a shortcut was used on: as it was written down, else as a message of ours says itself. Raises Fault."""
        found = await self._studio.job_at(_receipt(spot))
        return found or events.job_of(message, self._wire.identity.user, self._wire.identity.bot)

    async def reaction(self, body: Payload) -> None:
        spot, asked = self._known(events.spot_of_event(body, self.team)), events.emoji_of(body)
        if asked is None or spot.user in ("", self._wire.identity.user):
            return
        receipt = _receipt(spot)
        job_id = await self._studio.job_at(receipt)
        if job_id is None:
            return
        spot = replace(await self._met(spot), thread=await self._posts.thread_of(receipt))
        await self._answer(spot, events.reaction(spot, asked[0], job_id, self.now(), added=asked[1]))

    async def opened(self, body: Payload) -> None:
        event = body.get("event") or {}
        if event.get("tab", "home") == "home":
            await self._kit.home.opened(self._studio, str(event.get("user", "")))

    def submission(self, body: Payload) -> tuple[Submit | None, dict[str, str]]:
        """What a form says, or what is wrong with it by block: the form stays open with the words in it."""
        spot, view = self._known(events.spot_of_submission(body, self.team)), body["view"]
        uploads = tuple(each.holder() for each in events.pictures_of(view))
        submit = events.submit(spot, str(view.get("callback_id", "")), view, self.now(), uploads)
        if self._kit.paused():
            return None, {events.first_field(view): self._say(spot, "chat.paused")}
        card = self._studio.greet(submit).card
        return (submit, {}) if card is None else (None, {events.first_field(view): blocks.spelled(card.text) or card.title})

    async def submitted(self, body: Payload, submit: Submit) -> None:
        spot = self._known(events.spot_of_submission(body, self.team))
        await self._answer(spot, submit, pictures=events.pictures_of(body["view"]))

    # -- who it is

    async def _met(self, spot: Spot) -> Spot:
        """With what Slack says of the member, where that does not take long: the first word is to be in their language."""
        await self._wire.people.soon(spot.user)
        return self._known(spot)

    def _known(self, spot: Spot) -> Spot:
        member = self._wire.people.known(spot.user)
        return replace(spot, via=self._kit.via, name=member.name or spot.name, locale=member.locale, admin=member.admin)

    def _say(self, spot: Spot, message: str, **parameters: object) -> str:
        return self._kit.catalogues.of(spot.locale).say(message, **parameters)

    # -- the one road

    async def _answer(self, spot: Spot, event: Inbound, *, pictures: Sequence[FileRef] = ()) -> None:
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
        if pictures and isinstance(event, Command | Submit):
            try:
                event = replace(event, uploads=tuple([await self._fetched(spot, each) for each in pictures]))
            except BotError as error:
                await self._sorry(spot, self._say(spot, error.message, **error.parameters), answers)
                return
        card: Card | None = None
        try:
            if not spot.channel:  # the home tab, or a form that was opened there
                spot = replace(spot, channel=await self._posts.dm(spot.user))
            can_post = ack.visibility is not Visibility.PUBLIC or await self._wire.is_in(spot.channel)
            await self._wire.people.member(spot.user)  # whether they may change this workspace's settings must be known by now
            spot = self._known(spot)
            event = replace(event, actor=spot.actor, place=spot.place, reply_to=spot.reply_to(self.now(), can_post=can_post))
            async with self._kit.turns.turn(event.delivery_id):
                before = self._answered.get(event.delivery_id)
                if before is None and event.delivery_id in self._answered:
                    return  # the same once more, and it has been said
                card = await self._studio.handle(event)
                if card.again and card.job_id and before is None and (before := await self._studio.place(card.job_id)) is not None:
                    return  # Slack told us before we were restarted, and its card stands
                self._answered[event.delivery_id] = await self._deliver(spot, answers, event, ack, card, before)
                while len(self._answered) > _REMEMBERED:
                    self._answered.popitem(last=False)
        except Exception as error:
            said = trouble.name_of(error) or type(error).__name__
            log.warning("slack.not_shown", delivery=event.delivery_id, job=card.job_id if card else "", error=said, exc_info=not trouble.expected(error))
            if card is None or card.status is None or card.status.ended:  # a job that goes on is shown at its end
                await self._sorry(spot, self._say(spot, "chat.not_shown"), answers)

    async def _deliver(self, spot: Spot, answers: Answers, event: Inbound, ack: Ack, card: Card, before: Receipt | None) -> Receipt | None:
        at = _receipt(spot)
        if ack.in_place and card.job_id and card.status is None:
            await self._deleted(spot, answers, card)
            return None
        if card.status is None and (card.visibility is not Visibility.PUBLIC or ack.in_place or spot.home):
            await self._worded(spot, answers, event, ack, card)
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
            await self._sorry(spot, self._say(spot, "chat.not_shown"), answers)
            return None
        if card.status is None:  # of a set, or of nothing that was drawn
            return placed
        await self._studio.placed(event, card, placed)
        if again and card.status is not None and not card.status.ended:
            await self._caught_up(spot, card, placed)
        return placed

    async def _worded(self, spot: Spot, answers: Answers, event: Inbound, ack: Ack, card: Card) -> None:
        """A card that stands for no job. What was chosen in the home tab, or on such a card (a set's, too), changes there."""
        if spot.home and (ack.in_place or isinstance(event, Submit) or _chooses(event)):
            await self._kit.home.opened(self._studio, spot.user)
            if asks(card):
                return
        elif ack.in_place and asks(card):
            if spot.ephemeral:
                await self._posts.whisper(answers, card, replace=True)
                return
            if spot.message and not spot.home and await self._posts.change(_receipt(spot), card, spot.user):
                return
        await self._posts.whisper(answers, card)

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
        view = forms.modal(form, self._kit.catalogues.of(spot.locale), events.metadata(spot, picture, forms.shortened(form)))
        try:
            await self._wire.open_view(spot.trigger, view)
        except trouble.EXPECTED as error:
            log.info("slack.no_form", error=trouble.name_of(error) or type(error).__name__)
            await self._sorry(spot, self._say(spot, "chat.form_late"))

    async def _fetched(self, spot: Spot, picture: FileRef) -> Upload:
        """Raises BadPicture."""
        if not picture.job:
            return await self._kit.files.fetch(picture)
        try:
            card = await self._studio.card(spot.actor, picture.job)
            first = next((each for each in card.pictures if each.digest), None)
            if first is None:
                raise BadPicture("refused.no_picture_there")
            return Upload(name=first.name, data=await self._studio.picture(spot.actor, first.digest), role=picture.role)
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
            await self._sorry(spot, self._say(spot, "error.fault"), answers)
            return
        once = events.delivery(f"{spot.channel}/{spot.message}/{spot.user}")  # a double click has two triggers
        there = replace(spot, channel=dm, thread="", message="", ephemeral=False, response_url="", delivery=once)
        await self._answer(there, events.said(there, "imagine", words, self.now()))
        note = Card(title=self._say(spot, "chat.direct"), visibility=Visibility.PRIVATE)
        if spot.ephemeral:
            await self._posts.whisper(answers, note, replace=True)

    async def _refused_pause(self, spot: Spot, answers: Answers | None = None) -> bool:
        if not self._kit.paused():
            return False
        card = Card(title=self._say(spot, "card.sorry"), text=self._say(spot, "chat.paused"), visibility=Visibility.PRIVATE)
        await self._posts.whisper(answers or Answers(spot, self.now()), card)
        return True

    async def _sorry(self, spot: Spot, text: str, answers: Answers | None = None) -> None:
        card = Card(title=self._say(spot, "card.sorry"), text=text, visibility=Visibility.PRIVATE)
        await self._posts.whisper(answers or Answers(spot, self.now()), card)


def _receipt(spot: Spot) -> Receipt:
    return Receipt(platform=events.PLATFORM, channel=spot.channel, handle=spot.message)


def _chooses(event: Inbound) -> bool:
    """Whether a setting is changed by it."""
    if not isinstance(event, Press):
        return False
    try:
        return Action.decode(event.action).verb is Verb.CHOOSE
    except ValueError:
        return False


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
