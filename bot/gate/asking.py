"""What a job asks for, as both gates want to hear it. Used where words become jobs (`bot.drawing`) and where pictures come of them (`bot.workshop`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from bot.domain import Artifact, Job, Origin, Shown
from bot.errors import NotFound
from bot.gate.rules import Asked
from engine.api import ImagineRequest, Part, Request, UpscaleRequest

MOST_ANCESTORS = 32  #: jobs in a line that are followed to where a picture came from
MOST_FOLLOWED = 128  #: jobs of all lines together


class Records(Protocol):
    """The two questions to the store that are needed here (`bot.ports.Store`)."""

    async def shown(self, job_id: str) -> Shown: ...

    async def find_picture(self, digest: str, actor_key: str) -> tuple[Job, Artifact] | None: ...


def asked_of(request: Request, words: str, *, photograph: bool) -> Asked:
    """The words of a request. Those with weights of nothing and less are unwanted ones. Pure.

    `words`: as they were typed, for a request that has none of its own (an enlargement carries those of its picture, flags and all).
    """
    parts: Sequence[Part]
    unwanted: tuple[str, ...] = ()
    if isinstance(request, UpscaleRequest):
        parts = request.parts
    elif isinstance(request, ImagineRequest):
        parts, unwanted = request.parts, request.unwanted
    else:
        parts, unwanted = (*request.before, *request.after), request.unwanted
    wanted = " , ".join(each.text for each in parts if each.weight > 0)
    away = (*unwanted, *(each.text for each in parts if each.weight <= 0))
    return Asked(wanted=wanted if parts else words, unwanted=" , ".join(away), photograph=photograph)


def in_full(asked: Asked, words: str) -> str:
    """What moderators are shown of a refusal, and what they then allow: `words` as they were typed, and what styles, lists and suffixes make of them. Pure.

    These are their member's to change: the same typed words may be others tomorrow.
    """
    typed = " ".join(words.split())
    return "\n".join((words, *(each for each in (asked.wanted, asked.unwanted) if " ".join(each.split()) not in typed)))


async def from_outside(records: Records, request: Request, parent: Origin | None, actor_key: str) -> bool:
    """Whether a picture that somebody uploaded is in it. Raises Fault."""
    return bool(await outside_pictures(records, request, parent, actor_key))


async def outside_pictures(records: Records, request: Request, parent: Origin | None, actor_key: str) -> frozenset[str]:
    """Digests of the pictures that somebody uploaded: among what the request starts from, or what any job before it did. Empty: all of it was drawn here.

    What cannot be told any more (a job before it was deleted, its pictures are not this member's to see) counts as from outside itself. A picture that was
    drawn here and is sent again as an upload is followed to the job that drew it. Raises Fault.
    """
    found: set[str] = set()
    left: list[tuple[Request, Origin | None, int]] = [(request, parent, 0)]
    seen: set[str] = set()
    for _ in range(MOST_FOLLOWED):
        if not left:
            break
        request, parent, depth = left.pop()
        pictures = _looked_like(request)
        if depth >= MOST_ANCESTORS:
            found.update(pictures)
            continue
        for digest in pictures:
            drawn = await records.find_picture(digest, actor_key)
            if drawn is None or drawn[1].index < -1:  # uploads are found under an index of their own
                found.add(digest)
            elif drawn[0].id not in seen and (parent is None or drawn[0].id != parent.job_id):
                seen.add(drawn[0].id)
                left.append((drawn[0].request, drawn[0].parent, depth + 1))
        if parent is None or not request.pictures:
            continue
        try:
            before = (await records.shown(parent.job_id)).job
        except NotFound:
            found.update(request.pictures)
            continue
        left.append((before.request, before.parent, depth + 1))
    return frozenset(found.union(*(request.pictures for request, _, _ in left)))


def _looked_like(request: Request) -> tuple[str, ...]:
    """Digests of the pictures that it takes more from than a shape: a mask is none of them, unless the same file is another of its pictures, too."""
    return replace(request, mask=None).pictures if isinstance(request, ImagineRequest) else request.pictures
