"""A studio in memory, for tests of the adapters: real words and real pictures, no engine, no queue, no store.

Jobs stand still until a test moves them (`step`, `finish`, `fail`), so nothing here depends on time.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from PIL import Image, ImageDraw, ImageFilter

from bot.domain import (
    CLIP,
    GRID,
    Ack,
    Action,
    Actor,
    Artifact,
    Button,
    Card,
    Command,
    Family,
    Field,
    Form,
    Hint,
    Inbound,
    Job,
    Load,
    Origin,
    Page,
    Picture,
    Place,
    Press,
    Reading,
    Receipt,
    Shown,
    Status,
    Submit,
    Verb,
    Visibility,
    Wallet,
)
from bot.errors import NotFound
from engine.api import Capabilities, ImagineRequest, Part

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HEAD = "01KD" + "0" * 16

MODEL = Capabilities(
    model="pocket",
    title="Pocket",
    licence="MIT",
    operations=frozenset({"imagine", "source", "unwanted", "upscale"}),
    width=128,
    height=128,
    multiple=8,
    min_edge=64,
    max_edge=256,
    steps=20,
    max_steps=60,
    guidance=4.0,
    max_guidance=12.0,
    max_count=9,
    schedulers=("EulerDiscreteScheduler",),
    examples=("a fox in the snow, 3d render", "a lighthouse at night, pixel art", "a red apple on a blue background"),
)


def paint(seed: int, width: int = 128, height: int = 128, *, blur: float = 0.0) -> bytes:
    """A small landscape, different for each seed, as a PNG."""
    digits = hashlib.sha256(str(seed).encode()).digest()
    sky, sun, near = (tuple(digits[i : i + 3]) for i in (0, 3, 6))
    picture = Image.new("RGB", (width, height), sky)
    draw = ImageDraw.Draw(picture)
    for y in range(height):
        draw.line([(0, y), (width, y)], tuple(min(255, int(c * (0.5 + y / height))) for c in sky))
    left, top, r = width * (0.2 + digits[9] / 420), height * (0.15 + digits[10] / 800), width * (0.08 + digits[11] / 1600)
    draw.ellipse([left - r, top - r, left + r, top + r], fill=sun)
    for layer in range(3):
        base, high = height * (0.5 + 0.15 * layer), height * 0.12
        points = [(i, base + high * math.sin(i / width * (4 + digits[12 + layer] / 30) + digits[15 + layer])) for i in range(0, width + 4, 4)]
        draw.polygon([(0, height), *points, (width, height)], fill=tuple(int(c * (0.9 - 0.25 * layer)) for c in near))
    out = io.BytesIO()
    picture.filter(ImageFilter.GaussianBlur(blur)).save(out, "PNG")
    return out.getvalue()


def _rows(job: Job, frames: Sequence[Artifact]) -> tuple[tuple[Button, ...], ...]:
    def button(verb: Verb, label: str, hint: str, index: int = GRID, *, pressed: bool = False, argument: str = "") -> Button:
        return Button(label=label, hint=hint, action=Action(verb=verb, job_id=job.id, index=index, argument=argument), pressed=pressed)

    marked = any(frame.favourite for frame in frames)
    rest = (
        button(Verb.REMIX, "Remix", "Change the words and draw again"),
        button(Verb.PARAMS, "Details", "Show the seed and all settings"),
        button(Verb.FAVOURITE, "⭐", "Mark as a favourite", pressed=marked),
        button(Verb.DELETE, "Delete", "Delete these pictures for good"),
    )
    if len(frames) == 1:
        return ((button(Verb.UPSCALE, "Upscale 2×", "Enlarge this picture 2 times", 0, argument="2"), button(Verb.VARY, "Vary", "Draw variations", 0)), rest)
    picks = tuple(button(Verb.PICK, f"U{f.index + 1}", f"Take picture {f.index + 1} and enlarge it", f.index) for f in frames)
    varies = tuple(button(Verb.VARY, f"V{f.index + 1}", f"Draw variations of picture {f.index + 1}", f.index) for f in frames)
    return ((*picks, button(Verb.REROLL, "🔄", "Draw the same words again")), varies, rest)


class FakeStudio:
    """`bot.ports.Studio`, driven by the test. `changed` is called with (actor, card) whenever a card changes, as the outbox would show it."""

    def __init__(self, changed: Callable[[Actor, Card], Awaitable[None]] | None = None) -> None:
        self.jobs: dict[str, Shown] = {}
        self.events: list[Inbound] = []
        self.places: dict[tuple[str, str, str], str] = {}
        self.changed = changed
        self._answers: dict[str, Card] = {}
        self._blobs: dict[str, tuple[bytes, Actor | None]] = {}
        self._numbers = itertools.count(1)

    # -- the port

    def greet(self, event: Inbound) -> Ack:
        if isinstance(event, Command):
            reading = self.read(event.actor, event.text)
            if reading.mistake or not event.text.strip():
                return Ack(visibility=Visibility.PRIVATE, card=Card(title="Not this time", text=reading.mistake or "There are no words yet."))
        if isinstance(event, Press) and event.action.startswith("w1:m:"):
            shown = self.jobs[Action.decode(event.action).job_id]
            fields = (Field(name="words", label="What to draw", value=shown.job.words, long=True),)
            return Ack(form=Form(name=f"remix:{shown.job.id}", title="Remix", fields=fields))
        return Ack()

    async def handle(self, event: Inbound) -> Card:
        self.events.append(event)
        if event.delivery_id not in self._answers:
            self._answers[event.delivery_id] = await self._do(event)
        return self._answers[event.delivery_id]

    async def _do(self, event: Inbound) -> Card:
        if isinstance(event, Command):
            return await self.card(event.actor, self.accept(event.actor, event.text).job.id)
        if isinstance(event, Submit):
            return await self.card(event.actor, self.accept(event.actor, event.values["words"]).job.id)
        assert isinstance(event, Press)
        try:
            action = Action.decode(event.action)
            shown = self._mine(event.actor, action.job_id)
        except (ValueError, NotFound):
            return Card(title="Not this time", text="This button is not one of mine.", visibility=Visibility.PRIVATE)
        match action.verb:
            case Verb.PARAMS:
                return Card(title="How it was made", details=(("Seed", "7"),), visibility=Visibility.PRIVATE)
            case Verb.DELETE:
                del self.jobs[action.job_id]
                return Card(title="Deleted", visibility=Visibility.PRIVATE)
            case Verb.CANCEL:
                await self._move(shown.evolve(job=replace(shown.job, status=Status.CANCELLED)))
                return await self.card(event.actor, action.job_id)
            case Verb.FAVOURITE:
                on = not any(a.favourite for a in shown.artifacts)
                arts = tuple(replace(a, favourite=on and a.index == 0) for a in shown.artifacts)
                await self._move(shown.evolve(artifacts=arts))
                return await self.card(event.actor, action.job_id)
        count = 1 if action.verb in (Verb.PICK, Verb.UPSCALE) else 4
        origin = Origin(job_id=action.job_id, verb=action.verb, index=action.index)
        child = self.accept(event.actor, shown.job.words, count=count, parent=origin)
        self.jobs[action.job_id] = shown.evolve(children=(*shown.children, child.job))
        return await self.card(event.actor, child.job.id)

    def read(self, actor: Actor, text: str) -> Reading:
        at = text.find("--")
        if at < 0:
            return Reading(spans=((0, len(text), "text"),), cost=1.3)
        words = text[at:].split()
        if words[0] not in ("--ar", "--seed", "--n", "--no"):
            end = at + len(words[0])
            return Reading(spans=((0, at, "text"), (at, end, "mistake")), mistake=f"There is no flag {words[0]}.", mistake_at=(at, end))
        middle = at + len(words[0])
        return Reading(spans=((0, at, "text"), (at, middle, "flag"), (middle, len(text), "value")), cost=1.3)

    async def complete(self, actor: Actor, text: str, at: int) -> tuple[Hint, ...]:
        start = text.rfind(" ", 0, at) + 1
        word = text[start:at]
        flags = {"--ar": "shape, width to height", "--seed": "where chance starts", "--no": "what should not be there"}
        return tuple(Hint(insert=f"{f} ", label=f, start=start, end=at, detail=d) for f, d in flags.items() if word and f.startswith(word))

    async def card(self, actor: Actor, job_id: str) -> Card:
        return self.card_of(self._mine(actor, job_id), reader=actor)

    async def seen(self, actor: Actor, job_id: str) -> Shown:
        return self._mine(actor, job_id)

    def at_hand_for(self, actor: Actor, job_id: str) -> Job | None:
        return self._mine(actor, job_id).job

    def card_of(self, shown: Shown, *, reader: Actor) -> Card:
        job, words, job_id = shown.job, shown.job.words, shown.job.id
        if job.status is Status.DONE:
            frames = [a for a in shown.artifacts if a.index >= 0]
            pictures = tuple(Picture(alt=f"{words}, picture {a.index + 1}", digest=a.digest, width=a.width, height=a.height) for a in frames)
            clips = (Picture(alt=f"{words}, a clip", digest=a.digest, width=a.width, height=a.height, moves=True) for a in shown.artifacts if a.index == CLIP)
            return Card(
                title=words,
                text="Drawn in 8 s.",
                job_id=job_id,
                status=job.status,
                pictures=pictures,
                clip=next(clips, None),
                rows=_rows(job, frames),
                details=(("Seed", "7"),),
            )
        cancel = (Button(label="Cancel", action=Action(verb=Verb.CANCEL, job_id=job_id), hint="Stop drawing this", style="danger"),)
        if job.status is Status.QUEUED:
            return Card(title=words, text="Queued, 1st, about 10 s.", job_id=job_id, status=job.status, percent=0, rows=(cancel,))
        if job.status is Status.RUNNING:
            preview = (Picture(alt="forming", data=shown.preview),) if shown.preview else ()
            percent = 100 * shown.step // max(1, shown.of)
            text = f"Drawing, step {shown.step} of {shown.of}, about 6 s left."
            return Card(title=words, text=text, job_id=job_id, status=job.status, percent=percent, pictures=preview, rows=(cancel,))
        return Card(title=words, text="Nothing was charged.", job_id=job_id, status=job.status)

    async def history(self, actor: Actor, *, search: str = "", favourites: bool = False, before: str | None = None, limit: int = 24) -> Page:
        mine = [s for s in sorted(self.jobs.values(), key=lambda s: s.job.id, reverse=True) if s.job.actor.key == actor.key]
        found = [s for s in mine if search.lower() in s.job.words.lower() and (before is None or s.job.id < before)]
        found = [s for s in found if not favourites or any(a.favourite for a in s.artifacts)]
        return Page(items=tuple(found[:limit]), before=found[limit - 1].job.id if len(found) > limit else None)

    async def family(self, actor: Actor, job_id: str) -> Family:
        shown = self._mine(actor, job_id)
        above: list[Shown] = []
        while (origin := (above[-1] if above else shown).job.parent) and origin.job_id in self.jobs:
            above.append(self.jobs[origin.job_id])
        return Family(shown=shown, ancestors=tuple(above), children=tuple(self.jobs[c.id] for c in shown.children if c.id in self.jobs))

    async def picture(self, actor: Actor, digest: str) -> bytes:
        data, owner = self._blobs.get(digest, (b"", None))
        if not data or (owner and owner.key != actor.key):
            raise NotFound("error.not_found")
        return data

    async def wallet(self, actor: Actor) -> Wallet:
        return Wallet(balance=742.4, at=NOW, cap=1000, per_hour=100)

    def wallet_at_hand(self, actor: Actor) -> Wallet | None:
        return None

    async def load(self) -> Load:
        return Load()

    def models(self) -> tuple[Capabilities, ...]:
        return (MODEL,)

    async def placed(self, event: Inbound, card: Card, receipt: Receipt) -> None:
        if card.job_id and card.status is not None:
            self.places[(receipt.platform, receipt.channel, receipt.handle)] = card.job_id

    async def job_at(self, receipt: Receipt) -> str | None:
        return self.places.get((receipt.platform, receipt.channel, receipt.handle))

    async def place(self, job_id: str) -> Receipt | None:
        found = [key for key, job in self.places.items() if job == job_id]
        return Receipt(platform=found[-1][0], channel=found[-1][1], handle=found[-1][2]) if found else None

    async def watch(self, actor: Actor) -> AsyncIterator[Card]:
        for job_id in tuple(self.jobs):
            yield await self.card(actor, job_id)

    # -- what a test does

    def accept(self, actor: Actor, words: str, *, count: int = 4, private: bool = False, parent: Origin | None = None) -> Shown:
        number = next(self._numbers)
        request = ImagineRequest(model="pocket", parts=(Part(text=words),), seed=number * 10, width=128, height=128, count=count, steps=20, guidance=4.0)
        job = Job(
            id=f"{HEAD}{number:06d}",
            request=request,
            words=words,
            actor=actor,
            place=Place(platform=actor.platform, channel=actor.id),
            cost=1.3,
            parent=parent,
            private=private,
            created_at=NOW + timedelta(seconds=number),
        )
        self.jobs[job.id] = Shown(job=job)
        return self.jobs[job.id]

    def keep(self, data: bytes, owner: Actor | None = None) -> str:
        digest = hashlib.sha256(data).hexdigest()
        self._blobs[digest] = (data, owner)
        return digest

    async def step(self, job_id: str, step: int, of: int = 20) -> None:
        shown = self.jobs[job_id]
        preview = paint(shown.job.request.seed, blur=(1 - step / of) * 12)
        await self._move(shown.evolve(job=replace(shown.job, status=Status.RUNNING), step=step, of=of, preview=preview))

    async def finish(self, job_id: str, clip: bytes = b"") -> None:
        shown = self.jobs[job_id]
        request = shown.job.request
        assert isinstance(request, ImagineRequest)
        owner = shown.job.actor if shown.job.private else None
        indexes = range(request.count) if request.count == 1 else (GRID, *range(request.count))
        artifacts = tuple(
            Artifact(job_id=job_id, index=i, digest=self.keep(paint(request.seed + i), owner), seed=request.seed + i, width=128, height=128) for i in indexes
        )
        if clip:
            moving = Artifact(job_id=job_id, index=CLIP, digest=self.keep(clip, owner), seed=request.seed, width=128, height=128)
            artifacts = (moving, *artifacts)
        await self._move(shown.evolve(job=replace(shown.job, status=Status.DONE), artifacts=artifacts, preview=None))

    async def fail(self, job_id: str) -> None:
        shown = self.jobs[job_id]
        await self._move(shown.evolve(job=replace(shown.job, status=Status.FAILED)))

    async def _move(self, shown: Shown) -> None:
        self.jobs[shown.job.id] = shown
        if self.changed:
            await self.changed(shown.job.actor, await self.card(shown.job.actor, shown.job.id))

    def _mine(self, actor: Actor, job_id: str) -> Shown:
        shown = self.jobs.get(job_id)
        if shown is None or (shown.job.private and shown.job.actor.key != actor.key):
            raise NotFound("error.not_found")
        return shown
