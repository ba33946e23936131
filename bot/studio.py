"""The use cases: what members say and press becomes jobs and cards. Implements `bot.ports.Studio`; chats call nothing else.

`greet` decides in memory how to acknowledge, so that a mistake in the words is answered at once and to its author alone; `handle` does what was
asked, once a delivery. The reading half is in `bot.queries`, the meaning of buttons in `bot.presses`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import structlog

from bot import notes, presses
from bot.board import Board
from bot.cards import WATTS, choose_card, frames
from bot.clicks import Clicks
from bot.domain import (
    Ack,
    Action,
    Actor,
    Artifact,
    Card,
    Command,
    Event,
    Hint,
    Inbound,
    Job,
    Limits,
    Origin,
    Press,
    Reaction,
    Reading,
    Shown,
    Submission,
    Submit,
    Upload,
    Verb,
    Visibility,
)
from bot.errors import Fault, NotFound, OutOfCredits, QueueFull, Refused, UserError
from bot.limits import cost
from bot.messages import Catalogue
from bot.ports import Blobs, Store
from bot.prompts import Located, Source, Words, choose_model, complete, locate, read, resolve
from bot.prompts.clean import clean
from bot.queries import Desk, Queries
from bot.uploads import Uploads
from engine.api import Capabilities, Engine, ImagineRequest, ModelMissing, Request

log = structlog.get_logger(__name__)

OWN_PROMPTS = 20  #: of the newest jobs, for autocomplete
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class WordUpStudio(Queries):
    def __init__(
        self,
        store: Store,
        blobs: Blobs,
        engine: Engine,
        queue: Desk,
        board: Board,
        catalogue: Catalogue,
        limits: Limits,
        *,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
        new_seed: Callable[[], int],
        model: str = "",
        public_url: str | None = None,
        watts: float = WATTS,
        link: Callable[[Actor], str] | None = None,
    ) -> None:
        """`model` is the default one's name (empty: the shelf's first). `watts`: what the machine takes while it draws.

        `link` makes a one-time address that signs a member in to the studio page.
        """
        super().__init__(store, blobs, engine, queue, board, catalogue, limits, clock=clock, public_url=public_url, watts=watts)
        self._uploads = Uploads(blobs)
        self._new_id, self._new_seed, self._model, self._link = new_id, new_seed, model, link
        self._clicks = Clicks(clock)

    async def aclose(self) -> None:
        self._uploads.close()

    # ------------------------------------------------------------------------------------------ greet

    def greet(self, event: Inbound) -> Ack:
        """See `bot.ports.Studio.greet`."""
        try:
            return self._greet(event)
        except UserError as error:
            return Ack(visibility=Visibility.PRIVATE, card=notes.error_card(error, self._catalogue, _words_of(event)))
        except Exception:
            log.exception("studio.greet_failed", delivery=event.delivery_id)
            return Ack(visibility=Visibility.PRIVATE, card=notes.error_card(Fault("error.fault"), self._catalogue, _words_of(event)))

    def _greet(self, event: Inbound) -> Ack:
        match event:
            case Command(name="imagine") if not event.text.strip() and not event.uploads:
                return Ack(form=notes.imagine_form(self._catalogue))
            case Command(name="imagine"):
                return _ack(quiet=bool(self._check(event.text, event.uploads).private))
            case Command(name="show"):
                return _ack(quiet=False)
            case Command(name="upscale"):
                if not event.text and not event.uploads:
                    raise Refused("refused.no_picture_there")
                return _ack(quiet=False)
            case Command(name=name) if name in COMMANDS:
                return _ack(quiet=True)
            case Command():
                raise Refused("refused.unknown_command", name=event.name[:40])
            case Submit(form="imagine"):
                return _ack(quiet=bool(self._check(_words_of(event), event.uploads).private))
            case Submit():
                action = _remix_of(event)
                words = presses.kept_whole(_words_of(event), self._words.get(action.job_id, ""))
                return _ack(quiet=presses.is_private(action) or bool(words and locate(words).words.private))
            case Press():
                action = presses.action_of(event.action)
                if action.verb in presses.DRAWS and self._clicks.is_second(event):
                    raise Refused("refused.pressed_twice")
                if action.verb is Verb.REMIX:
                    return Ack(visibility=Visibility.PRIVATE, form=notes.remix_form(action, self._words.get(action.job_id), self._catalogue))
            case Reaction():
                action = presses.reaction_of(event)
        return _ack(quiet=action.verb in presses.QUIET or presses.is_private(action), in_place=action.verb in presses.IN_PLACE)

    def _check(self, text: str, uploads: tuple[Upload, ...]) -> Words:
        """The words, if something can be drawn from them. Raises UserError."""
        located = locate(text)
        capabilities = self._capabilities(located)
        source = Source(digest="", width=capabilities.width, height=capabilities.height) if uploads else None
        resolve(located.words, capabilities, seed=0, source=source, places=located.places)
        return located.words

    def _capabilities(self, located: Located, default: str = "") -> Capabilities:
        """Of the model the words ask for. Raises UserError."""
        models = self._engine.models()
        if not models:
            raise Refused("refused.no_model")
        return choose_model(located.words, models, default=default or self._model, places=located.places)

    # ------------------------------------------------------------------------------------------ handle

    async def handle(self, event: Inbound) -> Card:
        """See `bot.ports.Studio.handle`."""
        try:
            match event:
                case Command():
                    return await self._command(event)
                case Press():
                    return await self._act(event, presses.action_of(event.action))
                case Reaction():
                    return await self._act(event, presses.reaction_of(event))
                case Submit(form="imagine"):
                    return await self._imagine(event, _words_of(event), event.uploads)
                case Submit():
                    return await self._remix(event, _remix_of(event))
        except UserError as error:
            return notes.error_card(await self._explained(error, event), self._catalogue, _words_of(event))
        except Exception as error:
            full = (isinstance(error, OSError) and error.errno in _FULL) or (isinstance(error, Fault) and error.message == "error.disk_full")
            log.exception("studio.handle_failed", delivery=event.delivery_id, actor=event.actor.key)
            return notes.error_card(Fault("error.disk_full" if full else "error.fault"), self._catalogue, _words_of(event))

    async def _explained(self, error: UserError, event: Event) -> UserError:
        """Fill in what only the whole picture knows: that a full wallet would not do either, how long until there is room."""
        if isinstance(error, OutOfCredits) and error.parameters.get("wait") is None:
            return OutOfCredits("error.too_dear", cost=error.parameters.get("cost", 0), cap=self._limits.cap)
        if isinstance(error, QueueFull) and error.parameters.get("wait") is None:
            waits = [eta[1] for job in await self._store.active(event.actor.key) if (eta := await self._queue.eta(job))]
            return QueueFull(error.message, **{**error.parameters, "wait": min(waits, default=None)})
        return error

    async def _command(self, event: Command) -> Card:
        actor, text = event.actor, clean(event.text).text.strip()
        match event.name:
            case "imagine":
                return await self._imagine(event, event.text, event.uploads)
            case "history":
                return notes.history_card(await self.history(actor, search=text, limit=notes.HISTORY), text, self._catalogue)
            case "info":
                return notes.info_card(await self.wallet(actor), await self._store.active(actor.key), await self.load(), self.models(), self._catalogue)
            case "queue":
                mine = [await self._live(Shown(job=job)) for job in await self._store.active(actor.key)]
                return notes.queue_card(mine, await self.load(), self._catalogue)
            case "cancel":
                return await self._cancel_mine(actor, text)
            case "show":
                return await self._show(actor, text)
            case "upscale":
                return await self._upscale(event, text)
            case "web":
                if self._link is None:
                    raise Refused("refused.no_web")
                return notes.web_card(self._link(actor), self._catalogue)
            case "help":
                return notes.help_card(self.models(), self._catalogue)
        raise Refused("refused.unknown_command", name=event.name[:40])

    async def _imagine(self, event: Event, text: str, uploads: tuple[Upload, ...]) -> Card:
        located = locate(text)
        capabilities = self._capabilities(located)
        self._check(text, uploads)
        if len(uploads) > 1:
            raise Refused("refused.one_picture", count=len(uploads))
        source = await self._uploads.keep(uploads[0]) if uploads else None
        request = resolve(located.words, capabilities, seed=self._new_seed(), source=source, places=located.places)
        return await self._submit(event, request, text, private=bool(located.words.private))

    async def _upscale(self, event: Command, job_id: str) -> Card:
        """A picture of a job made here, or one that was sent along. Raises UserError."""
        if job_id:
            shown = await self._seen(event.actor, job_id.upper())
            if len(frames(shown)) > 1:
                return choose_card(shown, self._catalogue)
            action = Action(verb=Verb.UPSCALE, job_id=shown.job.id, index=0, argument="2")
            request, words = await self._child(shown, action)
            return await self._submit(event, request, words, parent=presses.origin_of(action), private=shown.job.private)
        capabilities = self._model_of(None)
        source = await self._uploads.keep(event.uploads[0])
        picture = Artifact(job_id="", index=0, digest=source.digest, seed=0, width=source.width, height=source.height)
        return await self._submit(event, presses.enlarged(picture, capabilities, presses.PICK_FACTOR), "")

    async def _submit(self, event: Event, request: Request, words: str, *, parent: Origin | None = None, private: bool = False) -> Card:
        """Write it down, wake the queue, and show where it stands. Raises OutOfCredits, QueueFull, Refused."""
        if not (event.reply_to.can_post or event.reply_to.token):  # the picture could not be shown: nothing is reserved
            return notes.closed_card(words, self._catalogue, again=isinstance(request, ImagineRequest) and request.source is None)
        job = Job(
            id=self._new_id(),
            request=request,
            words=clean(words).text.strip(),  # nothing a database or a page could choke on
            actor=event.actor,
            place=event.place,
            cost=cost(request, self._model_of(request.model)),
            parent=parent,
            private=private,
            created_at=self._clock(),
        )
        accepted = await self._store.submit(Submission(delivery=event.delivery_id, jobs=(job,), reply_to=event.reply_to, limits=self._limits))
        if accepted.again:
            return replace(await self.card(event.actor, accepted.jobs[0].id), again=True)
        log.info("job.accepted", job=job.id, actor=event.actor.key, kind=request.kind, cost=round(job.cost, 3))
        self._queue.wake()
        self._board.changed(job.id, event.actor.key)
        return self._card(await self._live(Shown(job=accepted.jobs[0])))

    def _model_of(self, name: str | None) -> Capabilities:
        """None: the default one. Raises Refused."""
        name = name or self._model or next((each.model for each in self.models()), "")
        try:
            return self._engine.capabilities(name)
        except ModelMissing:
            raise Refused("refused.model_gone", model=name, available=tuple(each.model for each in self.models())) from None

    # ------------------------------------------------------------------------------------------ buttons, reactions, forms

    async def _act(self, event: Event, action: Action) -> Card:
        actor = event.actor
        by_reaction = isinstance(event, Reaction)
        if action.verb in (Verb.DELETE, Verb.FAVOURITE) and await self._store.seen(actor.platform, event.delivery_id):
            return await self._again(actor, action)
        shown = await self._seen(actor, action.job_id)
        job = shown.job
        match action.verb:
            case Verb.SHOW:
                return self._card(shown)
            case Verb.CHILDREN:
                return self._children(actor, shown)
            case Verb.PARAMS:
                return self._params(shown, direct=by_reaction)
            case Verb.REMIX:
                raise Refused("refused.unknown_button")  # its answer is a form, given by `greet`
            case Verb.CANCEL:
                return await self._cancel(actor, shown)
            case Verb.DELETE if by_reaction and not job.status.ended:
                return await self._cancel(actor, shown)
            case Verb.DELETE:
                return await self._delete(actor, shown)
            case Verb.FAVOURITE:
                wanted = event.added if isinstance(event, Reaction) else None
                return await self._favourite(actor, shown, action.index, wanted)
        request, words = await self._child(shown, action)
        return await self._submit(event, request, words, parent=presses.origin_of(action), private=job.private)

    async def _child(self, shown: Shown, action: Action) -> tuple[Request, str]:
        """What a button that draws asks for, and the words it is shown with. Raises Refused, NotFound."""
        job = shown.job
        capabilities = self._model_of(job.request.model)
        match action.verb:
            case Verb.PICK:
                return presses.enlarged(presses.picture_at(shown, action.index), capabilities, presses.PICK_FACTOR), job.words
            case Verb.UPSCALE:
                return presses.enlarged(presses.picture_at(shown, action.index), capabilities, presses.factor_of(action)), job.words
            case Verb.VARY:
                base, picture = await self._drawn(shown, action.index)
                return presses.varied(base, picture, capabilities, self._new_seed()), presses.unseeded(job.words)
        return presses.rerolled(job, self._new_seed()), presses.unseeded(job.words)

    async def _drawn(self, shown: Shown, index: int) -> tuple[ImagineRequest, Artifact]:
        """The request a picture was drawn by and the picture as drawn, looking through upscales. Raises Refused, NotFound."""
        picture = presses.picture_at(shown, index)
        while not isinstance(shown.job.request, ImagineRequest):
            if shown.job.parent is None:
                raise Refused("refused.no_ancestor")
            index = shown.job.parent.index if shown.job.parent.verb != Verb.REROLL else 0
            try:
                shown = await self._store.shown(shown.job.parent.job_id)
                picture = presses.picture_at(shown, index)
            except NotFound:
                raise Refused("refused.no_ancestor") from None
        return shown.job.request, picture

    async def _remix(self, event: Submit, action: Action) -> Card:
        shown = await self._seen(event.actor, action.job_id)
        job = shown.job
        text = presses.kept_whole(_words_of(event), job.words)
        located = locate(text)
        was = job.request
        on_shelf = {each.model for each in self.models()}
        capabilities = self._capabilities(located, was.model if was.model in on_shelf else "")
        source, before = None, Words()
        if event.uploads:
            source = await self._uploads.keep(event.uploads[0])
        elif isinstance(was, ImagineRequest) and was.source:
            source, before = Source(digest=was.source, width=was.width, height=was.height), Words(strength=was.strength)
        request = resolve(located.words, capabilities, seed=self._new_seed(), source=source, defaults=(before,), places=located.places)
        private = job.private or bool(located.words.private)
        return await self._submit(event, request, text, parent=presses.origin_of(action), private=private)

    async def _again(self, actor: Actor, action: Action) -> Card:
        """The answer to a delivery that was answered before."""
        try:
            return await self.card(actor, action.job_id)
        except NotFound:
            return notes.deleted_card(action.job_id, self._catalogue)

    async def _cancel(self, actor: Actor, shown: Shown) -> Card:
        presses.need_owner(actor, shown.job)
        if not shown.job.status.ended and await self._queue.cancel(shown.job.id):
            self._board.changed(shown.job.id, actor.key)
        return await self.card(actor, shown.job.id)

    async def _delete(self, actor: Actor, shown: Shown) -> Card:
        presses.need_owner(actor, shown.job)
        if not shown.job.status.ended:
            raise Refused("refused.still_going")
        await self._store.delete(shown.job.id)
        self._words.pop(shown.job.id, None)
        self._board.changed(shown.job.id, actor.key)
        return notes.deleted_card(shown.job.id, self._catalogue)

    async def _favourite(self, actor: Actor, shown: Shown, index: int, wanted: bool | None) -> Card:
        """Mark a picture, or take the mark away; `wanted` None turns it over."""
        presses.need_owner(actor, shown.job)
        picture = presses.picture_at(shown, index)
        await self._store.favourite(shown.job.id, picture.index, not picture.favourite if wanted is None else wanted)
        self._board.changed(shown.job.id, actor.key)
        return await self.card(actor, shown.job.id)

    async def _cancel_mine(self, actor: Actor, job_id: str) -> Card:
        """One of the actor's jobs, or all that wait and run."""
        if job_id:
            return await self._cancel(actor, await self._seen(actor, job_id))
        count = 0
        for job in await self._store.active(actor.key):
            if await self._queue.cancel(job.id):
                count += 1
                self._board.changed(job.id, actor.key)
        if not count:
            return notes.note(self._catalogue, "queue.title", "queue.none_of_yours")
        return notes.note(self._catalogue, "queue.title", "queue.cancelled", count=count)

    # ------------------------------------------------------------------------------------------ while typing

    def read(self, actor: Actor, text: str) -> Reading:
        """See `bot.ports.Studio.read`."""
        return read(text, self.models(), self._catalogue.say, default=self._model, cost=cost)

    async def complete(self, actor: Actor, text: str, at: int) -> tuple[Hint, ...]:
        """See `bot.ports.Studio.complete`."""
        own = [shown.job.words for shown in await self._store.history(actor.key, limit=OWN_PROMPTS)]
        return complete(text, at, self.models(), self._catalogue.say, own, default=self._model)


COMMANDS = frozenset({"imagine", "history", "info", "queue", "cancel", "show", "upscale", "web", "help"})


def _ack(*, quiet: bool, in_place: bool = False) -> Ack:
    return Ack(visibility=Visibility.PRIVATE if quiet else Visibility.PUBLIC, in_place=in_place)


def _words_of(event: Inbound) -> str:
    """The words an event brings, to be given back when they are not taken."""
    match event:
        case Command(name="imagine"):
            return event.text
        case Submit():
            return event.values.get("words", "").strip()
    return ""


def _remix_of(event: Submit) -> Action:
    """Raises Refused."""
    try:
        action = Action.decode(event.form)
    except ValueError:
        raise Refused("refused.unknown_form") from None
    if action.verb is not Verb.REMIX:
        raise Refused("refused.unknown_form")
    return action
