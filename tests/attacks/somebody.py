"""A member's private picture, and whoever is not them: the house that the tests of somebody else share."""

from __future__ import annotations

import io
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image

from bot import presses
from bot.domain import GRID, Action, Actor, Card, Command, Inbound, Place, Press, Reaction, ReplyTo, Shown, Submit, Upload, Verb
from bot.provenance import Provenance
from bot.usecases import COMMANDS
from bot.usecases.forms import AS_COMMANDS
from tests.unit.house import House
from tests.unit.moderated import MODS, PICTURES, Moderated, moderated

OWNER = Actor(platform="web", id="owner-4711", name="Rumpelstiltskin")
EVE = Actor(platform="web", id="eve", name="Eve")
WORDS, PART = "a hidden glass lighthouse", "lighthouse"

#: What can be said after a command's name, beside a job's number.
SAID = ("", PART, "export", "everything", "yes")
#: Arguments that some button has, beside none at all; "p" marks what stands under a private picture.
ARGUMENTS = ("", "2", "2p", "1.5", "l", "subtle", "set", "everything", "approve", "remove", "style", "forget", "!moderators", "locale=de", "p")
VALUES = {"words": "an owl", "reason": "ugly", "factor": "2", "what": "the sky", "before": "an owl", "after": "a hen", "name": "mine"}


@dataclass(kw_only=True)
class Scene:
    """A house with moderation and marks, and in it a private grid of the owner's with a private enlargement of its first picture."""

    day: Moderated
    marker: Provenance
    jobs: tuple[Shown, Shown]
    pictures: Mapping[str, bytes]  #: by digest

    @property
    def house(self) -> House:
        return self.day.house

    @property
    def ids(self) -> tuple[str, str]:
        return self.jobs[0].job.id, self.jobs[1].job.id

    def told(self, what: object, asked: str = "") -> list[str]:
        """What an answer gives away that the question did not say itself: words, names, pictures and where they are to be had."""
        raw = what if isinstance(what, bytes) else repr(what).encode() + _bytes_of(what)
        found = [each for each in (WORDS, OWNER.name, OWNER.id, *self.pictures) if each.encode() in raw and each not in asked]
        return found + ["a picture" for data in self.pictures.values() if data in raw]

    def shown_to_owner(self, what: object) -> bool:
        """Whether an answer says more than whose it is."""
        return not {OWNER.name, OWNER.id} >= set(self.told(what))

    async def is_untouched(self) -> bool:
        """Whether the owner's jobs are as they were, and nothing of Eve's came of them."""
        same = tuple([await self.house.store.shown(each) for each in self.ids]) == self.jobs
        hers = await self.house.store.everything(EVE.key)
        return same and not any(set(shown.job.request.pictures) & set(self.pictures) or shown.job.parent for shown in hers)


def _bytes_of(what: object) -> bytes:
    if not isinstance(what, Card):
        return b""
    return b"".join([*(each.data for each in what.files), *(Path(each.path).read_bytes() if each.path else each.data for each in what.documents)])


@asynccontextmanager
async def a_scene(url: str, folder: Path) -> AsyncIterator[Scene]:
    marker = Provenance(folder / "signing", clock=lambda: datetime.now(UTC))
    await marker.start()
    try:
        async with moderated(url, folder) as day:
            house = day.house
            house.workshop._provenance = house.studio.provenance = marker
            await day.admin("moderators here", place=MODS)
            grid = await house.drawn(f"{WORDS} --private --n 2", actor=OWNER, place=PICTURES)
            large = await house.end(await house.push(grid, Verb.PICK, 0, actor=OWNER), OWNER)
            first, second = await house.store.shown(grid.job_id), await house.store.shown(large.job_id)
            digests = [each.digest for each in (*first.artifacts, *second.artifacts)]
            pictures = {each: await house.blobs.get(each) for each in digests}
            assert len(pictures) == 4 and first.job.private and second.job.private
            yield Scene(day=day, marker=marker, jobs=(first, second), pictures=pictures)
    finally:
        marker.close()


# ------------------------------------------------------------------------------------------------ what can be said and pressed


def common(scene: Scene, actor: Actor, place: Place = PICTURES) -> dict[str, Any]:
    """Of every event."""
    there = ReplyTo(platform="web", channel=place.channel, token="t", user=actor.id)
    return {"actor": actor, "place": place, "reply_to": there, "delivery_id": scene.house.delivery()}


def buttons(job: str, arguments: Sequence[str] = ARGUMENTS) -> Iterator[str]:
    """Every button that could be made up about a job."""
    for verb, index, argument in itertools.product(Verb, (GRID, 0), arguments):
        yield Action(verb=verb, job_id=job, index=index, argument=argument).encode()


def forms(job: str) -> Iterator[str]:
    """Every form, filled in without being asked for."""
    yield from AS_COMMANDS
    for verb in Verb:
        yield Action(verb=verb, job_id=job, index=0).encode()


def events(scene: Scene, actor: Actor, job: str) -> Iterator[tuple[str, Callable[[], Inbound]]]:
    """Every event that names the job: what it is, and how to make one."""

    def made(kind: Callable[..., Inbound], **fields: Any) -> Callable[[], Inbound]:
        return lambda: kind(**common(scene, actor), **fields)

    for name, text in itertools.product(COMMANDS, (job, job.lower(), f"{job} it is ugly", f"cases {job}", *SAID)):
        yield f"/{name} {text}", made(Command, name=name, text=text)
    for name in COMMANDS:
        yield f"/{name} on its message", made(Command, name=name, text="", job_id=job)
    for action in buttons(job):
        yield action, made(Press, action=action)
    for emoji, added in itertools.product(presses.REACTIONS, (True, False)):
        yield emoji, made(Reaction, emoji=emoji, job_id=job, added=added)
    for form in forms(job):
        yield form, made(Submit, form=form, values=VALUES)
        yield f"{form} with a mask", made(Submit, form=form, values=VALUES, uploads=(a_mask(),))


def a_mask() -> Upload:
    out = io.BytesIO()
    Image.new("L", (64, 64), 128).save(out, "PNG")
    return Upload(name="mask.png", data=out.getvalue(), role="mask")
