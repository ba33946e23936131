"""The use cases: what members say and press becomes jobs and cards. Implements `bot.ports.Studio`; chats call nothing else.

`greet` decides in memory how to acknowledge, so that a mistake in the words is answered at once and to its author alone; `handle` does what was
asked, once a delivery. Here is only who is asked: what there is to ask for is in `bot.usecases`, the meaning of buttons in `bot.presses`, reading in
`bot.queries`, drawing in `bot.drawing`.
"""

from __future__ import annotations

import errno
from dataclasses import replace
from datetime import datetime

import structlog

from bot import notes, presses
from bot.domain import Ack, Action, Actor, Card, Command, Event, Form, Hint, Inbound, Place, Press, Reaction, Reading, ReplyTo, Submit, Verb, Visibility
from bot.drawing import Drawing
from bot.errors import Fault, NotFound, OutOfCredits, QueueFull, Refused, UserError
from bot.limits import price, until_old_enough
from bot.moderation.policy import needs_private
from bot.notes.moderating import report_form
from bot.prompts import complete, layers, read
from bot.usecases import ALWAYS, COMMANDS, OFFERED, PRESSES, admin, commands_of, forms, imagine, preferences
from bot.wishes import Standing

log = structlog.get_logger(__name__)

OWN_AFFAIRS = frozenset({"privacy", "help"})  #: what a banned member may still ask for
OWN_PROMPTS = 20  #: of the newest jobs, for autocomplete
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
#: What a server forbids, and may have allowed meanwhile.
_CHANGING = frozenset({"refused.turned_off", "refused.not_here"})
#: Buttons that draw nothing themselves and are kept to a server's channels all the same.
_BOUND = frozenset({*presses.DRAWS, Verb.REMIX, Verb.REGION, Verb.DESCRIBE})
#: Commands that keep the machine busy.
_WORK = frozenset({"imagine", "blend", "describe", "shorten", "morph", "upscale", "remix"})


class WordUpStudio(Drawing):
    """See `bot.drawing.Drawing` for what it is made of."""

    # ------------------------------------------------------------------------------------------ greet

    def greet(self, event: Inbound) -> Ack:
        """See `bot.ports.Studio.greet`."""
        standing = self.wishes.at_hand(event.actor, event.place)
        event = _in_their_language(event, standing)
        try:
            ack = self._greet(event, standing)
            quiet = needs_private(standing.server) and ack.visibility is Visibility.PUBLIC
            return replace(ack, visibility=Visibility.PRIVATE) if quiet else ack
        except UserError as error:
            return Ack(visibility=Visibility.PRIVATE, card=self._mistake(error, event))
        except Exception:
            log.exception("studio.greet_failed", delivery=event.delivery_id)
            return Ack(visibility=Visibility.PRIVATE, card=self._mistake(Fault("error.fault"), event))

    def _greet(self, event: Inbound, standing: Standing) -> Ack:
        self._need_welcome(event)
        if isinstance(event, Submit) and (command := forms.as_command(self, event)):
            event = command
        try:
            _need_allowed(event, standing)
        except Refused as error:
            if error.message not in _CHANGING:
                raise
            return _ack(quiet=True)  # the answer says why, or takes it: another process may have allowed it a moment ago
        _need_old_enough(event, self.limits.account_days, self.clock())
        if self.pausing.at_hand.paused and _is_work(event):
            return _ack(quiet=True)  # the answer says so, unless it was taken back a moment ago
        self.looks.greet(event)
        match event:
            case Command(name=name) if name in COMMANDS:
                return COMMANDS[name].greet(self, event)
            case Command():
                raise Refused("refused.unknown_command", name=event.name[:40])
            case Submit():
                action = forms.action_of(event)
                forms.check(self, event, action, standing)
                return _ack(quiet=action.verb in (Verb.ASK, Verb.REPORT) or presses.is_private(action) or "--private" in _words_of(event).casefold())
            case Press():
                action = presses.action_of(event.action)
                if form := self._form(event, action, standing):
                    return Ack(visibility=Visibility.PRIVATE, form=form)
                if presses.draws(action) and self.clicks.is_second(event):
                    raise Refused("refused.pressed_twice")
            case Reaction():
                action = presses.reaction_of(event)
        return _ack(quiet=presses.is_quiet(action) or presses.is_private(action), in_place=presses.is_in_place(action))

    def _form(self, event: Press, action: Action, standing: Standing) -> Form | None:
        """What a button asks before it does anything. Raises Refused."""
        catalogue, job = self.say_to(event.actor), self.at_hand_for(event.actor, action.job_id)
        words = forms.shown_words(action, job.words) if job else None
        if action.verb is Verb.ASK:
            if presses.is_of_server(action):
                preferences.need_admin(event)
            return notes.ask_form(action, catalogue, standing.member, standing.server)
        if action.verb is Verb.REPORT:
            return report_form(action, catalogue)
        if action.verb is Verb.REGION:
            return None if self.painter is not None else notes.region_form(action, words, catalogue)
        if action.verb is Verb.ZOOM:
            return notes.zoom_form(action, words, catalogue) if presses.asks(action) else None
        remixed = standing.remix and action.verb in (Verb.VARY, Verb.REROLL)
        return notes.remix_form(action, words, catalogue) if remixed or action.verb is Verb.REMIX else None

    # ------------------------------------------------------------------------------------------ handle

    async def handle(self, event: Inbound) -> Card:
        """See `bot.ports.Studio.handle`."""
        async with self.uploads.settled(self.store.referenced):
            return await self._answered(event)

    async def _answered(self, event: Inbound) -> Card:
        """The answer, whatever happens."""
        try:
            standing = await self.wishes.of(event.actor, event.place)
            event = _in_their_language(event, standing)
            if self.moderation is not None:
                await self.moderation.bans.read()
            try:
                return await self._handle(event, standing)
            except UserError as error:  # what is said of it asks the database, too, which may be away by now
                return await admin.contestable(self, event, error, self._mistake(await self._explained(error, event), event))
        except Exception as error:
            full = (isinstance(error, OSError) and error.errno in _FULL) or (isinstance(error, Fault) and error.message == "error.disk_full")
            log.exception("studio.handle_failed", delivery=event.delivery_id, actor=event.actor.key)
            return self._mistake(Fault("error.disk_full" if full else "error.fault"), event)

    async def _handle(self, event: Inbound, standing: Standing) -> Card:
        self._need_welcome(event)
        if isinstance(event, Submit) and (command := forms.as_command(self, event)):
            event = command
        _need_allowed(event, standing)
        _need_old_enough(event, self.limits.account_days, self.clock())
        if _is_work(event) and (await self.pausing.read()).paused:
            raise Refused("refused.house_paused")
        with self.looks.turn(event):
            match event:
                case Submit():
                    return await forms.submitted(self, event, forms.action_of(event))
                case Command():
                    return await COMMANDS[event.name].run(self, event)
                case Press():
                    return await self._pressed(event, presses.action_of(event.action), standing)
                case Reaction():
                    return await self._act(event, presses.reaction_of(event))

    def _need_welcome(self, event: Inbound) -> None:
        """Everybody's own affairs stay open to who is banned. Raises Refused."""
        if self.moderation is not None and not (isinstance(event, Command) and event.name in OWN_AFFAIRS):
            self.moderation.bans.need_welcome(event.actor, event.place)

    async def _pressed(self, event: Press, action: Action, standing: Standing) -> Card:
        if presses.is_of_set(action):
            return await imagine.of_set(self, event, action)
        if standing.remix and action.verb in (Verb.VARY, Verb.REROLL):
            raise Refused("refused.once_more")  # another process changed it a moment ago: the greeting did not know
        if action.verb in (Verb.REMIX, Verb.ASK, Verb.REPORT) or (action.verb is Verb.ZOOM and presses.asks(action)):
            raise Refused("refused.once_more")  # the greeting took it for forbidden
        if action.verb in OFFERED:
            return await OFFERED[action.verb](self, event, action)
        return await self._act(event, action)

    async def _act(self, event: Press | Reaction, action: Action) -> Card:
        actor = event.actor
        if action.verb not in PRESSES:
            raise Refused("refused.unknown_button")  # its answer is a form, given by `greet`
        if action.verb in (Verb.DELETE, Verb.FAVOURITE) and await self.store.seen(actor.platform, event.delivery_id):
            return await self._again(actor, action)
        return await PRESSES[action.verb](self, event, action, await self.seen(actor, action.job_id))

    async def _again(self, actor: Actor, action: Action) -> Card:
        """The answer to a delivery that was answered before."""
        try:
            return await self.card(actor, action.job_id)
        except NotFound:
            return notes.deleted_card(action.job_id, self.say_to(actor))

    # ------------------------------------------------------------------------------------------ mistakes

    def _mistake(self, error: UserError | Fault, event: Inbound) -> Card:
        self.told(error.message)
        return notes.error_card(error, self.say_to(event.actor), _words_of(event))

    async def _explained(self, error: UserError, event: Event) -> UserError:
        """Fill in what only the whole picture knows: that a full wallet would not do either, how long until there is room."""
        if isinstance(error, OutOfCredits) and error.parameters.get("wait") is None:
            if error.message == "error.too_dear_together":
                return error
            return OutOfCredits("error.too_dear", cost=error.parameters.get("cost", 0), cap=self.limits.cap)
        if isinstance(error, QueueFull) and error.parameters.get("wait") is None:
            waits = [eta[1] for job in await self.store.active(event.actor.key) if (eta := await self.queue.eta(job))]
            return QueueFull(error.message, **{**error.parameters, "wait": min(waits, default=None)})
        return error

    # ------------------------------------------------------------------------------------------ for chats and the page

    async def reply_here(self, actor: Actor, job_id: str) -> tuple[Place, ReplyTo]:
        """See `bot.ports.Studio.reply_here`."""
        job = (await self.seen(actor, job_id)).job
        stored, _ = await self.store.reply_to(job_id)
        return job.place, replace(stored, token="", expires_at=None, uses_left=None, delivery="", user=actor.id if job.actor.key != actor.key else stored.user)

    def read(self, actor: Actor, text: str) -> Reading:
        """See `bot.ports.Studio.read`."""
        standing = self.wishes.at_hand(actor, Place(platform=actor.platform))
        defaults = layers(standing.member, standing.server)
        return read(text, self.models(), self.say_to(actor).say, default=self.default_model, cost=price, sets=standing.sets, defaults=defaults)

    async def complete(self, actor: Actor, text: str, at: int) -> tuple[Hint, ...]:
        """See `bot.ports.Studio.complete`."""
        own = [shown.job.words for shown in await self.store.history(actor.key, limit=OWN_PROMPTS)]
        styles = await self.store.styles([actor.key])
        return complete(
            text,
            at,
            self.models(),
            self.say_to(actor).say,
            own,
            default=self.default_model,
            styles=styles,
            sets=self.wishes.at_hand(actor, Place(platform=actor.platform)).sets,
        )


def _ack(*, quiet: bool, in_place: bool = False) -> Ack:
    return Ack(visibility=Visibility.PRIVATE if quiet else Visibility.PUBLIC, in_place=in_place)


def _in_their_language(event: Inbound, standing: Standing) -> Inbound:
    if not standing.locale:
        return event
    return replace(event, actor=replace(event.actor, locale=standing.locale))


def _need_allowed(event: Inbound, standing: Standing) -> None:
    """What a server has turned off is off, whether it is typed, pressed or filled in; and it may keep the bot to some channels. Raises Refused."""
    names: tuple[str, ...]
    match event:
        case Command():
            if event.name not in COMMANDS:
                raise Refused("refused.unknown_command", name=event.name[:40])
            names, is_bound = (event.name,), event.name not in ALWAYS
        case Submit():
            action = forms.action_of(event)
            names, is_bound = commands_of(action, in_words=True), action.verb is not Verb.ASK
        case Press() | Reaction():
            action = presses.action_of(event.action) if isinstance(event, Press) else presses.reaction_of(event)
            names, is_bound = commands_of(action), action.verb in _BOUND
    for name in names:
        if name in standing.off and name not in ALWAYS:
            raise Refused("refused.turned_off", name=name)
    channel = event.place.channel.partition("/")[0]
    if is_bound and standing.channels and channel and channel not in standing.channels and not event.actor.admin:
        raise Refused("refused.not_here")


def _need_old_enough(event: Inbound, days: int, now: datetime) -> None:
    """Accounts made a moment ago, each with a full wallet, get no work done; everything else is theirs as everybody's. Raises Refused."""
    left = until_old_enough(event.actor, days, now)
    if left is not None and _is_work(event):
        raise Refused("refused.too_new", days=days, wait=left.total_seconds())


def _is_work(event: Inbound) -> bool:
    """Whether it keeps the machine busy, rather than being shown or settled. Raises UserError for what nobody knows."""
    match event:
        case Command():
            return event.name in _WORK
        case Submit():
            return forms.action_of(event).verb not in (Verb.ASK, Verb.REPORT)
        case Press():
            return presses.action_of(event.action).verb in _BOUND
        case Reaction():
            return presses.reaction_of(event).verb in _BOUND


def _words_of(event: Inbound) -> str:
    """The words an event brings, to be given back when they are not taken."""
    match event:
        case Command(name="imagine" | "shorten" | "morph" | "blend"):
            return event.text
        case Submit():
            return forms.given_back(event)
    return ""
