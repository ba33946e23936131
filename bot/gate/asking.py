"""What a job asks for, as both gates want to hear it. Used where words become jobs (`bot.drawing`) and where pictures come of them (`bot.workshop`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bot.domain import Artifact, Job, Origin, Shown
from bot.errors import NotFound
from bot.gate.rules import Asked
from engine.api import ImagineRequest, Part, Request, UpscaleRequest

MOST_ANCESTORS = 32  #: that are followed to where a picture came from


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
    """Whether a picture that somebody uploaded is in it: among what the request starts from, or what any job before it did. Raises Fault.

    What cannot be told any more (a job before it was deleted, its pictures are not this member's to see) counts as outside.
    """
    for _ in range(MOST_ANCESTORS):
        for digest in request.pictures:
            if digest == getattr(request, "mask", None):  # shapes, not what is in the picture
                continue
            found = await records.find_picture(digest, actor_key)
            if found is None or found[1].index < -1:  # uploads are found under an index of their own
                return True
        if parent is None or not request.pictures:
            return False
        try:
            before = (await records.shown(parent.job_id)).job
        except NotFound:
            return True
        request, parent = before.request, before.parent
    return True
