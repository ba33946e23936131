"""The writing half of the studio: words become jobs, one or a set, with whatever a member and a server prefer. What `bot.usecases` are made of."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

import structlog

from bot import notes, presses
from bot.board import Board
from bot.cards import WATTS
from bot.clicks import Clicks
from bot.domain import Actor, Artifact, Card, Event, Job, Limits, Offer, Origin, Shown, Style, Submission, Upload
from bot.errors import BadWords, NotFound, Refused
from bot.exports import Exports
from bot.gate import Answer, Asked, Gate, Policy, Rule, Verdict, asked_of, in_full, outside_pictures, policy_of, refusal
from bot.gate.output import OutputGate
from bot.licences import Licences
from bot.limits import price
from bot.looks import Looks
from bot.messages import Catalogues
from bot.moderation.doing import Moderation
from bot.moderation.policy import is_paused, limits_of, needs_private
from bot.pausing import Pausing
from bot.ports import Blobs, Store
from bot.prompts import MOST_PICTURES, Located, Prompt, Source, Words, choose_model, layered, layers, prepare, resolve
from bot.prompts.clean import clean
from bot.provenance import Provenance
from bot.queries import Desk, Queries
from bot.uploads import Admit, Picture, Uploads
from bot.wishes import Wishes
from engine.api import Capabilities, Engine, ImagineRequest, Request

log = structlog.get_logger(__name__)

READ_AT_ONCE = 1000  #: characters that the gate reads on the loop: a few milliseconds
LONE_AT_ONCE = 50  #: of them letters that stand alone: a word may be hidden between any two, and that takes long
_LONE = re.compile(r"(?<!\w)[\w@$€!|](?!\w)")
_MAY_BE_STYLE = ("style", "{", "__", "\\")


def is_read_at_once(asked: Asked) -> bool:
    """Whether the gate reads it so fast that the loop need not be spared. Pure."""
    text = f"{asked.wanted} {asked.unwanted}"
    return len(text) <= READ_AT_ONCE + 1 and len(_LONE.findall(text)) <= LONE_AT_ONCE


def may_name_style(texts: Iterable[str], defaults: Sequence[Words]) -> bool:
    """Whether a style could be meant: by a preference, or by words as they are typed. What braces, lists and escapes come to is not known yet."""
    return any(layer.style for layer in defaults) or any(mark in text for text in (clean(each).text.casefold() for each in texts) for mark in _MAY_BE_STYLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One job to be, before it has a number."""

    request: Request
    words: str  #: as they are shown and given back
    parent: Origin | None = None
    private: bool = False
    relaxed: bool = False
    hidden: bool = False  #: the gate lets it be drawn, behind a click


class Drawing(Queries):
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
        new_id: Callable[[], str],
        new_seed: Callable[[], int],
        model: str = "",
        public_url: str | None = None,
        watts: float = WATTS,
        lists: Mapping[str, Sequence[str]] | None = None,
        retention: int = 0,
        link: Callable[[Actor], str] | None = None,
        painter: Callable[[Actor, str, int], str] | None = None,
        provenance: Provenance | None = None,
        gate: Gate | None = None,
        output: OutputGate | None = None,
        policy: Policy | None = None,
        moderation: Moderation | None = None,
        pausing: Pausing | None = None,
        told: Callable[[str], None] = lambda message: None,
        forbidden: Collection[str] = (),
        exports: Exports | None = None,
    ) -> None:
        """`model` is the default one's name (empty: the shelf's first). `watts`: what the machine takes while it draws. `lists`: the operator's wildcards.
        `retention`: days that ended jobs are kept; 0: for ever.

        `link` makes a one-time address that signs a member in to the studio page, `painter` one that opens a picture of a job in the mask painter.
        `provenance` reads what pictures say of themselves; None: nobody can. `gate` says which words are not drawn (None: the lists that ship), by the
        operator's `policy` and what each server makes of it. `moderation`: where reports go and bans are known; None: there is none.
        `pausing`: whether the operator has the whole house paused (None: what the store says).
        `told`: called with the id of each mistake and refusal that a member is told. `forbidden`: models that are not offered for their licence's sake.
        """
        super().__init__(store, blobs, engine, queue, board, catalogues, limits, clock=clock, public_url=public_url, watts=watts)
        self.uploads, self.provenance = Uploads(blobs), provenance
        self.gate, self.policy, self.output = gate or Gate.load(), policy or Policy(), output
        self.new_id, self.new_seed, self.default_model, self.lists = new_id, new_seed, model, dict(lists or {})
        self.link, self.painter, self.retention, self.moderation, self.told = link, painter, retention, moderation, told
        self.wishes, self.clicks, self.pausing = Wishes(store, clock), Clicks(clock), pausing or Pausing(store)
        self.looks, self.exports = Looks(limits.looks_per_minute), exports or Exports()
        self.licences = Licences(self.gate, store, self.models, forbidden)

    async def start(self) -> None:
        """Once the store is open, and before anybody is greeted."""
        await self.wishes.start()
        await self.pausing.read()

    async def aclose(self) -> None:
        self.uploads.close()
        await asyncio.to_thread(self.exports.close)

    # ------------------------------------------------------------------------------------------ models and pictures

    def model_of(self, name: str | None) -> Capabilities:
        """None: the default one. Raises Refused."""
        name = name or self.default_model or next((each.model for each in self.models()), "")
        self.licences.need_offered(name)
        can = self.can(name)
        if can is None:
            raise Refused("refused.model_gone", model=name, available=tuple(each.model for each in self.models()))
        return can

    def capabilities(self, located: Located, defaults: Sequence[Words] = ()) -> Capabilities:
        """Of the model the words ask for, else the first of `defaults` that is on the shelf. Raises UserError."""
        models = self.models()
        if not models:
            raise Refused("refused.no_model")
        self.licences.need_offered(located.words.model)
        return choose_model(located.words, models, default=self.default_model, defaults=defaults, places=located.places)

    async def keep(self, event: Event, uploads: Sequence[Upload]) -> tuple[Source, ...]:
        """Check and store the pictures among them, in their order. Raises BadPicture, Refused, OSError."""
        pictures = [each for each in uploads if each.role != "list"]
        if len(pictures) > MOST_PICTURES:
            raise Refused("refused.too_many_pictures", count=len(pictures), limit=MOST_PICTURES)
        admit = await self._admit(event)
        return tuple([replace(await self.uploads.keep(each, admit), role=each.role) for each in pictures])

    async def glanced(self, event: Event, upload: Upload) -> Picture:
        """Check a picture that is only looked at: it is stored nowhere. Raises BadPicture, Refused, OSError."""
        return await self.uploads.read(upload, await self._admit(event))

    async def _admit(self, event: Event) -> Admit | None:
        """What the output gate has to say of what is sent there; None: there is no gate."""
        if self.output is None:
            return None
        policy = policy_of((await self.wishes.of(event.actor, event.place)).server, event.place, self.policy)
        return partial(self.output.admit, policy=policy)

    async def drawn(self, shown: Shown, index: int) -> tuple[ImagineRequest, Artifact]:
        """The request a picture was drawn by and the picture as drawn, looking through upscales. Raises Refused, NotFound."""
        picture = presses.picture_at(shown, index)
        while not isinstance(shown.job.request, ImagineRequest):
            if shown.job.parent is None:
                raise Refused("refused.no_ancestor")
            index = presses.index_of(shown.job.parent)
            try:
                shown = await self.store.shown(shown.job.parent.job_id)
                picture = presses.picture_at(shown, index)
            except NotFound:
                raise Refused("refused.no_ancestor") from None
        return shown.job.request, picture

    # ------------------------------------------------------------------------------------------ words become jobs

    async def styles(self, event: Event) -> tuple[Style, ...]:
        """The member's own and their server's saved ones."""
        return await self.store.styles([each for each in (event.actor.key, event.place.owner) if each])

    async def prompts(self, event: Event, text: str) -> tuple[Prompt, ...]:
        """The single prompts in what was typed: one each permutation and repetition, with wildcards filled. Raises BadWords."""
        standing = await self.wishes.of(event.actor, event.place)
        listed = await self.store.word_lists([each for each in (event.actor.key, event.place.owner) if each]) if "__" in text else {}
        defaults = layers(standing.member, standing.server)
        # Most words name no style: then the saved ones need not be read.
        styles = await self.styles(event) if may_name_style((text, *standing.sets.values()), defaults) else ()
        return prepare(text, lists={**self.lists, **listed}, seed=self.new_seed, styles=styles, sets=standing.sets, defaults=defaults)

    async def order(
        self,
        event: Event,
        prompt: Prompt,
        pictures: Sequence[Source] = (),
        *,
        before: Sequence[Words] = (),
        parent: Origin | None = None,
        private: bool = False,
    ) -> Order:
        """What a prompt asks for, after what this member and this server prefer; `before` are layers that go before all preferences.

        Raises BadWords, Refused.
        """
        standing = await self.wishes.of(event.actor, event.place)
        located, words = prompt.located, prompt.located.words
        defaults = (*before, prompt.style, *layers(standing.member, standing.server))
        request = resolve(words, self.capabilities(located, defaults), seed=prompt.seed, pictures=pictures, defaults=defaults, places=located.places)
        said = layered(words, *defaults)
        return Order(request=request, words=prompt.text, parent=parent, private=private or bool(said.private), relaxed=bool(said.relax))

    async def orders(
        self,
        event: Event,
        text: str,
        pictures: Sequence[Source] = (),
        *,
        before: Sequence[Words] = (),
        parent: Origin | None = None,
        private: bool = False,
    ) -> list[Order]:
        """All that a text asks for. Raises BadWords (that knows the text, which need not be the event's), Refused."""
        try:
            prompts = await self.prompts(event, text)
            return [await self.order(event, each, pictures, before=before, parent=parent, private=private) for each in prompts]
        except BadWords as error:
            error.words = text
            raise

    # ------------------------------------------------------------------------------------------ what may be drawn

    async def let_pass(self, event: Event, orders: Sequence[Order]) -> list[Order]:
        """The prompt gate, for whatever is about to be drawn: the orders, some of them hidden. Raises Refused, which names the rule."""
        policy = policy_of((await self.wishes.of(event.actor, event.place)).server, event.place, self.policy)
        passed: list[Order] = []
        for order in orders:
            asked = asked_of(order.request, order.words, photograph=bool(order.request.pictures))
            await self.licences.need(event, order.request, order.parent, asked, policy)
            verdict = await self._judged(asked, policy)
            outside = await self._from_outside(event, order) if verdict is not None and verdict.contestable else frozenset()
            if verdict is not None and verdict.rule is Rule.EDITS and not outside:
                verdict = await self._judged(replace(asked, photograph=False), policy)
            words = in_full(asked, order.words) if verdict is not None and await self._may_be_excepted(verdict, asked, policy) else ""
            if verdict is not None and words and await self._is_allowed(event, verdict, words, outside):
                verdict = None
            self._refuse(event, verdict, words, order, outside)
            passed.append(replace(order, hidden=verdict is not None))
        return passed

    async def _may_be_excepted(self, verdict: Verdict, asked: Asked, policy: Policy) -> bool:
        """Whether moderators are asked, and heard: not where it would be a server's way past the operator's choice about real people and photographs."""
        if verdict.rule in policy.servers or verdict.rule not in (Rule.PEOPLE, Rule.EDITS):
            return verdict.contestable
        return not await asyncio.to_thread(self.gate.is_suggestive, asked)

    async def _from_outside(self, event: Event, order: Order) -> frozenset[str]:
        """Digests of the pictures that somebody uploaded, and of which this would be made."""
        return await outside_pictures(self.store, order.request, order.parent, event.actor.key) if order.request.pictures else frozenset()

    async def _is_allowed(self, event: Event, verdict: Verdict, words: str, outside: frozenset[str]) -> bool:
        """Whether moderators have allowed this member these words for those pictures from outside, whatever rule it was but the one about minors."""
        if not verdict.contestable or self.moderation is None:
            return False
        return await self.moderation.allows(event.actor, event.place, verdict.rule.value, words, outside)

    async def let_phrase_pass(self, event: Event, phrase: str) -> None:
        """The same for words that are not drawn but looked for in a picture. Raises Refused."""
        policy = policy_of((await self.wishes.of(event.actor, event.place)).server, event.place, self.policy)
        self._refuse(event, await self._judged(Asked(wanted=phrase), policy))

    def let_pass_in_memory(self, event: Event, request: Request) -> bool:
        """What can be said at once, so that a refusal is seen by nobody else: whatever comes of long words, or of pictures, is said later. Raises Refused.

        True where moderators may have allowed it: then what comes of it is for one member alone.
        """
        asked = asked_of(request, "", photograph=False)
        if is_read_at_once(asked):
            server = self.wishes.at_hand(event.actor, event.place).server
            policy = policy_of(server, event.place, self.policy)
            self.licences.need_at_once(event, request.model, asked, policy)
            verdict = self.gate.judge(asked, policy)
            if verdict is not None and verdict.contestable and self.moderation is not None and server.get("moderators"):
                return True
            self._refuse(event, verdict)
        return False

    async def _judged(self, asked: Asked, policy: Policy) -> Verdict | None:
        if is_read_at_once(asked):
            return self.gate.judge(asked, policy)
        return await asyncio.to_thread(self.gate.judge, asked, policy)

    @staticmethod
    def _refuse(event: Event, verdict: Verdict | None, words: str = "", order: Order | None = None, outside: frozenset[str] = frozenset()) -> None:
        """`words` and what they were for go along, to be sent to the moderators if their member likes. Raises Refused."""
        if verdict is not None and verdict.answer is Answer.REFUSE:
            log.info("gate.refused", rule=verdict.rule.value, actor=event.actor.key, server=event.place.server)
            refused = refusal(verdict)
            refused.parameters |= {"words": words, "order": order, "outside": tuple(sorted(outside))} if words else {}
            raise refused

    # ------------------------------------------------------------------------------------------ jobs

    async def submit(self, event: Event, *orders: Order, delivery: str = "", batch: str = "") -> Card:
        """Write it down, wake the queue, and show where it stands. Raises OutOfCredits, QueueFull, Refused.

        `delivery`: under which name it is done once, where that is not the event's own. `batch`: the offer they belong to, where there is one already.
        """
        passed = await self.let_pass(event, orders)
        first = passed[0]
        if not (event.reply_to.can_post or event.reply_to.token):  # the picture could not be shown: nothing is reserved
            plain = len(passed) == 1 and isinstance(first.request, ImagineRequest) and not first.request.pictures
            return notes.closed_card(first.words, self.say_to(event.actor), again=plain)
        server = (await self.wishes.of(event.actor, event.place)).server
        if is_paused(server):
            raise Refused("refused.paused")
        if self.pausing.at_hand.paused:  # meanwhile: pictures that were sent along take a while, and the queue asks at every turn
            raise Refused("refused.house_paused")
        if needs_private(server):
            passed = [replace(order, private=True) for order in passed]
        limits = limits_of(server, event.actor, self.limits)
        if len(passed) > 1 and not batch:
            batch = await self._batch(event.actor, passed)
        jobs = tuple(self._job(event, order, batch) for order in passed)
        limits = limits if len(jobs) == 1 else replace(limits, queued_per_actor=max(limits.queued_per_actor, len(jobs)))
        accepted = await self.store.submit(Submission(delivery=delivery or event.delivery_id, jobs=jobs, reply_to=event.reply_to, limits=limits))
        if not accepted.again:
            for job in accepted.jobs:
                log.info("job.accepted", job=job.id, actor=job.actor.key, kind=job.request.kind, cost=round(job.cost, 3))
                self.board.changed(job.id, job.actor.key)
            self.queue.wake()
        if len(accepted.jobs) > 1:
            return await self.batch_card(event.actor, accepted.jobs[0].batch)
        if accepted.again:
            return replace(await self.card(event.actor, accepted.jobs[0].id), again=True)
        new = Shown(job=accepted.jobs[0])
        if event.brief and accepted.wallet is not None:
            self.remember(new.job)
            self.keep_wallet(event.actor, accepted.wallet)
            return self.card_of(new)
        return self.card_of(await self.live(new))

    def price(self, order: Order) -> float:
        """Credits."""
        return price(order.request, self.model_of(order.request.model), relaxed=order.relaxed)

    def _job(self, event: Event, order: Order, batch: str) -> Job:
        policy = policy_of(self.wishes.at_hand(event.actor, event.place).server, event.place, self.policy)
        return Job(
            id=self.new_id(),
            request=order.request,
            words=clean(order.words).text.strip(),  # nothing a database or a page could choke on
            actor=event.actor,
            place=event.place,
            cost=self.price(order),
            parent=order.parent,
            private=order.private,
            relaxed=order.relaxed,
            hidden=order.hidden,
            batch=batch,
            sexual=policy.sexual.value,
            created_at=self.clock(),
        )

    async def _batch(self, actor: Actor, orders: Sequence[Order]) -> str:
        offer = await self.offer(actor, "batch", [order.words for order in orders])
        return offer.id

    async def batch_card(self, actor: Actor, batch: str) -> Card:
        """How far a set of jobs is. Raises NotFound."""
        offer = await self.offered(actor, batch)
        return notes.batch_card(offer, await self.store.batch(offer.id), self.say_to(actor))

    async def likes_copy(self, job_id: str) -> bool:
        """Whether the pictures of a job go to its owner's direct messages, too: not those that were asked for there. Raises NotFound."""
        job = (await self.store.shown(job_id)).job
        return bool(job.place.server) and (await self.wishes.of(job.actor, job.place)).direct

    # ------------------------------------------------------------------------------------------ offers

    async def offer(self, actor: Actor, kind: str, prompts: Sequence[str], **facts: Any) -> Offer:
        """Keep prompts for buttons that may draw them."""
        offer = Offer(id=self.new_id(), actor=actor, kind=kind, prompts=tuple(prompts), facts=facts, created_at=self.clock())
        await self.store.offer(offer)
        return offer

    async def offered(self, actor: Actor, offer_id: str) -> Offer:
        """One that was made to this member. Raises NotFound."""
        offer = await self.store.offered(offer_id)
        if offer.actor.key != actor.key:
            raise NotFound("error.not_found")
        return offer
