"""The reading half of the studio: cards as they stand, history, family, pictures, and who may see what. `bot.drawing.Drawing` builds on it."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from bot import notes
from bot.board import Board
from bot.cards import WATTS, children_of, job_card, params_card
from bot.domain import Actor, Card, Family, Inbound, Job, Limits, Load, Page, Receipt, Shown, Status, Wallet
from bot.errors import NotFound
from bot.messages import Catalogue, Catalogues
from bot.ports import Blobs, Store
from bot.presses import may_see
from bot.prompts.clean import clean
from engine.api import Capabilities, Engine, ModelMissing

MAX_ANCESTORS = 50
REMEMBERED = 4096  #: jobs whose words are at hand without looking them up


class Desk(Protocol):
    """What the studio asks of `bot.queue`."""

    def wake(self) -> None:
        """Something was submitted."""

    async def cancel(self, job_id: str) -> bool:
        """Stop it, wherever it is; False when it had ended."""

    async def eta(self, job: Job) -> tuple[int, float] | None:
        """(how many start before it, seconds until its pictures); None unless it waits."""


class Queries:
    def __init__(
        self,
        store: Store,
        blobs: Blobs,
        engine: Engine,
        queue: Desk,
        board: Board,
        catalogues: Catalogues,
        limits: Limits,
        *,
        clock: Callable[[], datetime],
        public_url: str | None = None,
        watts: float = WATTS,
    ) -> None:
        self.store, self.blobs, self.engine, self.queue, self.board = store, blobs, engine, queue, board
        self.catalogues, self.limits, self.clock, self.url = catalogues, limits, clock, public_url or ""
        self.watts = watts
        self.at_hand: OrderedDict[str, Job] = OrderedDict()
        self._wallets: OrderedDict[str, Wallet] = OrderedDict()

    # -- one job

    async def card(self, actor: Actor, job_id: str) -> Card:
        """The card of a job as it stands. Raises NotFound."""
        return self.card_of(await self.seen(actor, job_id), reader=actor)

    async def seen(self, actor: Actor, job_id: str) -> Shown:
        """The job with its progress, if this actor may see it. Raises NotFound."""
        if not (len(job_id) == 26 and job_id.isascii() and job_id.isalnum()):
            raise NotFound("error.not_found")
        shown = await self.store.shown(job_id)
        if not may_see(actor, shown.job):
            raise NotFound("error.not_found")
        return await self.live(shown)

    async def live(self, shown: Shown) -> Shown:
        """With what only this process knows: position and estimate, or step and preview."""
        self.remember(shown.job)
        if (parent := shown.job.parent) is not None and parent.job_id not in self.at_hand:
            with contextlib.suppress(NotFound):
                self.remember((await self.store.shown(parent.job_id)).job)
        match shown.job.status:
            case Status.QUEUED:
                if standing := await self.queue.eta(shown.job):
                    return shown.evolve(position=standing[0], eta=standing[1])
                return self._stepped(await self.store.shown(shown.job.id))  # it was claimed a moment ago
            case Status.RUNNING:
                return self._stepped(shown)
        return shown

    def _stepped(self, shown: Shown) -> Shown:
        live = self.board.live(shown.job.id)
        return shown.evolve(step=live[0], of=live[1], preview=None if shown.job.hidden else live[2]) if live else shown

    def card_of(self, shown: Shown, *, parent_words: str = "", reader: Actor | None = None) -> Card:
        """A job's card, in its owner's language: many see the same one. A `reader` who is its owner may have changed their mind since it was asked for."""
        owner = reader if reader is not None and reader.key == shown.job.actor.key else shown.job.actor
        catalogue, can = self.say_to(owner), self.can(shown.job.request.model)
        return job_card(shown, catalogue, now=self.clock(), url=self.url, can=can, parent_words=parent_words or self._parents_words(shown.job))

    def _parents_words(self, job: Job) -> str:
        """As far as they are at hand, and may be said where this job's card stands: a public child may not tell what a private parent was."""
        before = self.at_hand.get(job.parent.job_id) if job.parent is not None else None
        return before.words if before is not None and (job.private or not before.private) else ""

    def say_to(self, actor: Actor) -> Catalogue:
        """In whose language a word to this member is."""
        return self.catalogues.of(actor.locale)

    def can(self, model: str) -> Capabilities | None:
        """What a model can do; None when it is not on the shelf any more."""
        try:
            return self.engine.capabilities(model)
        except ModelMissing:
            return None

    def params(self, actor: Actor, shown: Shown, *, direct: bool) -> Card:
        """Everything about a picture, for whoever asked; about its model as long as that is on the shelf."""
        return params_card(shown, self.say_to(actor), self.can(shown.job.request.model), watts=self.watts, direct=direct)

    def children(self, actor: Actor, shown: Shown) -> Card:
        """What came of a job, as far as this actor may see it."""
        return notes.children_card(shown, [child for child in children_of(shown) if may_see(actor, child)], self.say_to(actor))

    async def show(self, actor: Actor, job_id: str) -> Card:
        """A job by its number, or the actor's newest. Raises NotFound."""
        if job_id:
            return await self.card(actor, job_id.upper())
        newest = await self.history(actor, limit=1)
        if not newest.items:
            raise NotFound("error.nothing_yet")
        return self.card_of(newest.items[0], reader=actor)

    def remember(self, job: Job) -> None:
        """Keep it at hand: a form must be shown before anything can be looked up."""
        self.at_hand[job.id] = job
        self.at_hand.move_to_end(job.id)
        if len(self.at_hand) > REMEMBERED:
            self.at_hand.popitem(last=False)

    def at_hand_for(self, actor: Actor, job_id: str) -> Job | None:
        """A job that is at hand, if this actor may see it."""
        job = self.at_hand.get(job_id)
        return job if job is not None and may_see(actor, job) else None

    def keep_wallet(self, actor: Actor, wallet: Wallet) -> None:
        """For whoever answers this member in a moment."""
        self._wallets[actor.key] = replace(wallet, cap=self.limits.cap, per_hour=self.limits.per_hour)
        if len(self._wallets) > REMEMBERED:
            self._wallets.popitem(last=False)

    def wallet_at_hand(self, actor: Actor) -> Wallet | None:
        """See `bot.ports.Studio.wallet_at_hand`."""
        return self._wallets.pop(actor.key, None)

    # -- where cards stand

    async def placed(self, event: Inbound, card: Card, receipt: Receipt) -> None:
        """See `bot.ports.Studio.placed`."""
        if card.job_id and card.status is not None:
            await self.store.moved(card.job_id, event.actor.key, receipt, event.reply_to)

    async def job_at(self, receipt: Receipt) -> str | None:
        """See `bot.ports.Studio.job_at`."""
        return await self.store.job_at(receipt.platform, receipt.channel, receipt.handle)

    async def place(self, job_id: str) -> Receipt | None:
        """See `bot.ports.Studio.place`."""
        try:
            return (await self.store.reply_to(job_id))[1]
        except NotFound:
            return None

    # -- many

    async def history(self, actor: Actor, *, search: str = "", favourites: bool = False, before: str | None = None, limit: int = 24) -> Page:
        """The actor's own jobs, newest first."""
        limit = min(max(limit, 1), 200)
        found = await self.store.history(actor.key, search=clean(search).text, favourites=favourites, before=before, limit=limit + 1)
        items = tuple([await self.live(shown) for shown in found[:limit]])
        return Page(items=items, before=items[-1].job.id if len(found) > limit else None)

    async def family(self, actor: Actor, job_id: str) -> Family:
        """A job with its ancestors and children, as far as they are there and the actor may see them. Raises NotFound."""
        shown = await self.seen(actor, job_id)
        ancestors: list[Shown] = []
        parent = shown.job.parent
        while parent is not None and len(ancestors) < MAX_ANCESTORS:
            try:
                ancestors.append(await self.seen(actor, parent.job_id))
            except NotFound:
                break
            parent = ancestors[-1].job.parent
        children: list[Shown] = []
        for child in shown.children:
            try:
                children.append(await self.seen(actor, child.id))
            except NotFound:
                continue
        return Family(shown=shown, ancestors=tuple(ancestors), children=tuple(children))

    async def picture(self, actor: Actor, digest: str) -> bytes:
        """A stored picture this actor may see. Raises NotFound."""
        found = await self.store.find_picture(digest, actor.key)
        if found is None or not may_see(actor, found[0]):
            raise NotFound("error.not_found")
        try:
            return await self.blobs.get(digest)
        except KeyError:
            raise NotFound("error.not_found") from None

    async def wallet(self, actor: Actor) -> Wallet:
        return await self.store.wallet(actor.key, cap=self.limits.cap, per_hour=self.limits.per_hour)

    async def load(self) -> Load:
        return await self.store.load()

    def models(self) -> tuple[Capabilities, ...]:
        return self.engine.models()

    async def watch(self, actor: Actor) -> AsyncGenerator[Card, None]:
        """Cards of the actor's jobs as they change; the newest state only when the reader is slow, but an end always.

        While a job runs and nothing but its progress moves, the store is not asked again.
        """
        running: dict[str, Shown] = {}
        reader = self.board.subscribe(actor.key)
        try:
            async for job_id in reader:
                shown = running.get(job_id)
                if shown is not None and self.board.live(job_id) is not None:
                    yield self.card_of(self._stepped(shown), reader=actor)
                    continue
                running.pop(job_id, None)
                try:
                    shown = await self.seen(actor, job_id)
                except NotFound:
                    continue
                if shown.job.status is Status.RUNNING:
                    running[job_id] = shown
                yield self.card_of(shown, reader=actor)
        finally:
            await reader.aclose()
