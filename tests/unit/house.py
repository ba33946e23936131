"""The whole bot without a chat, for tests of its use cases: a real store on SQLite, real blobs, the real queue and workshop, and the fake engine."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from ulid import ULID

from bot.board import Board
from bot.domain import Action, Actor, Button, Card, Command, Limits, Place, Press, Reaction, ReplyTo, Shown, Status, Submit, Upload, Verb
from bot.messages import Catalogues
from bot.pausing import Pausing
from bot.queue import Queue
from bot.store.blobs import DiskBlobs
from bot.store.sql import SqlStore
from bot.studio import WordUpStudio
from bot.workshop import Workshop
from engine.api import ImagineRequest, Report, Request, Result
from engine.fake import FakeEngine

ADA = Actor(platform="web", id="ada", name="Ada")
BOB = Actor(platform="web", id="bob", name="Bob")
PLACE = Place(platform="web")
REPLY = ReplyTo(platform="web")
LIMITS = Limits(cap=60, per_hour=30, queued_per_actor=4, queued_total=6)
LANGUAGES = Catalogues.load()
ENGLISH = LANGUAGES.first
PATIENCE = 60  #: seconds before a test that waits gives up


class FilmingEngine(FakeEngine):
    """Makes a clip of every drawing, asked for or not."""

    async def run(self, request: Request, inputs: Mapping[str, bytes], report: Report) -> Result:
        filmed = replace(request, video=True) if isinstance(request, ImagineRequest) else request
        return await super().run(filmed, inputs, report)


@dataclass(kw_only=True)
class House:
    store: SqlStore
    blobs: DiskBlobs
    engine: FakeEngine
    board: Board
    queue: Queue
    workshop: Workshop
    studio: WordUpStudio
    deliveries: itertools.count[int] = field(default_factory=itertools.count)

    def command(
        self,
        name: str,
        text: str = "",
        *,
        actor: Actor = ADA,
        delivery: str = "",
        uploads: tuple[bytes | Upload, ...] = (),
        place: Place = PLACE,
        job_id: str = "",
    ) -> Command:
        files = tuple(each if isinstance(each, Upload) else Upload(name="picture.png", data=each) for each in uploads)
        return Command(
            actor=actor,
            place=place,
            reply_to=REPLY,
            delivery_id=delivery or self.delivery(),
            name=name,
            text=text,
            uploads=files,
            job_id=job_id,
        )

    def press(self, action: str | Action, *, actor: Actor = ADA, delivery: str = "") -> Press:
        text = action.encode() if isinstance(action, Action) else action
        return Press(actor=actor, place=PLACE, reply_to=REPLY, delivery_id=delivery or self.delivery(), action=text)

    def reaction(self, emoji: str, job_id: str, *, actor: Actor = ADA, added: bool = True) -> Reaction:
        return Reaction(actor=actor, place=PLACE, reply_to=REPLY, delivery_id=self.delivery(), emoji=emoji, job_id=job_id, added=added)

    def submit(self, form: str, words: str, *, actor: Actor = ADA, uploads: tuple[Upload, ...] = (), place: Place = PLACE, **values: str) -> Submit:
        said = {"words": words, **values}
        return Submit(actor=actor, place=place, reply_to=REPLY, delivery_id=self.delivery(), form=form, values=said, uploads=uploads)

    def delivery(self) -> str:
        return f"delivery-{next(self.deliveries)}"

    async def say(self, name: str, text: str = "", **more: object) -> Card:
        return await self.studio.handle(self.command(name, text, **more))  # type: ignore[arg-type]

    async def imagine(self, text: str, **more: object) -> Card:
        return await self.say("imagine", text, **more)

    async def push(self, card: Card, verb: Verb, index: int | None = None, argument: str | None = None, *, actor: Actor = ADA) -> Card:
        """Press the card's own button for that."""
        return await self.studio.handle(self.press(button(card, verb, index, argument).action, actor=actor))

    async def end(self, card: Card, actor: Actor = ADA) -> Card:
        """The card once its job has ended."""
        async with asyncio.timeout(PATIENCE):
            reader = self.board.subscribe(None)
            try:
                now = await self.studio.card(actor, card.job_id)
                while now.status is None or not now.status.ended:
                    await anext(reader)
                    now = await self.studio.card(actor, card.job_id)
            finally:
                await reader.aclose()
        return now

    async def drawn(self, text: str, *, actor: Actor = ADA, **more: object) -> Card:
        card = await self.end(await self.imagine(text, actor=actor, **more), actor)
        assert card.status is Status.DONE, card
        return card

    async def shown(self, card: Card) -> Shown:
        return await self.store.shown(card.job_id)

    async def balance(self, actor: Actor = ADA) -> float:
        return round((await self.studio.wallet(actor)).balance, 6)


def button(card: Card, verb: Verb, index: int | None = None, argument: str | None = None) -> Button:
    choices = [*itertools.chain(*card.rows), *itertools.chain(*(select.choices for select in card.selects))]
    for each in choices:
        action = each.action
        if action.verb is verb and index in (None, action.index) and (argument is None or action.argument == argument):
            return each
    raise AssertionError(f"no {verb.name} {index} {argument} among {[each.label for each in choices]}")


@asynccontextmanager
async def open_house(
    url: str, folder: Path, engine: FakeEngine | None = None, *, limits: Limits = LIMITS, model: str = "", queue: bool = True
) -> AsyncIterator[House]:
    """`queue` False: jobs stay queued. Refills are so slow that a balance only moves by what is spent."""
    engine = engine or FakeEngine()
    store, blobs, board = SqlStore(url, data_dir=folder), DiskBlobs(folder / "blobs"), Board()
    await store.start()
    await engine.start()
    workshop = Workshop(store, blobs, engine, board, worker="here")
    pausing = Pausing(store)
    line = Queue(store, engine, workshop.draw, worker="here", changed=lambda job: board.changed(job.id, job.actor.key), held=pausing.is_held)
    seeds = itertools.count(1000, 100)
    studio = WordUpStudio(
        store,
        blobs,
        engine,
        line,
        board,
        LANGUAGES,
        replace(limits, per_hour=1e-6),
        clock=lambda: datetime.now(UTC),
        new_id=lambda: str(ULID()),
        new_seed=lambda: next(seeds),
        model=model,
        pausing=pausing,
    )
    await studio.start()
    runner = asyncio.create_task(line.run()) if queue else None
    try:
        yield House(store=store, blobs=blobs, engine=engine, board=board, queue=line, workshop=workshop, studio=studio)
    finally:
        if runner:
            await line.drain(0)
            await runner
        await studio.aclose()
        await engine.aclose()
        await store.aclose()
        blobs.close()
