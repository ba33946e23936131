"""The sentences of a job's card: its words made short, where it stands, where it came from. Pure; used by the other modules of this package."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache

from bot.domain import Job, Shown, Status, Verb
from bot.errors import BadWords
from bot.messages import Catalogue
from bot.prompts import parse

MAX_TITLE = 200  #: characters
MAX_PARENT = 80  #: characters of a parent's words in its child's card


def plain_words(job: Job) -> str:
    """The words without flags and weights; as typed where they do not parse (an older version's)."""
    return plain_text(job.words)


@lru_cache(maxsize=1024)  # a running job's card is made anew with every step
def plain_text(words: str) -> str:
    """As `plain_words`, of words that belong to no job."""
    try:
        return parse(words).text
    except BadWords:
        return " ".join(words.split())


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, cut between words where that costs little."""
    if len(text) <= limit:
        return text
    cut = text[: limit - 1]
    head = cut.rpartition(" ")[0]
    return (head if len(head) > limit // 2 else cut).rstrip() + "…"


def titled(job: Job, catalogue: Catalogue) -> str:
    """The title of a job's cards: its words."""
    return shorten(plain_words(job), MAX_TITLE) or catalogue.say("card.untitled")


def percent(shown: Shown) -> int | None:
    """How far a running job is, 0..100."""
    if shown.job.status is not Status.RUNNING:
        return None
    return min(100, 100 * shown.step // shown.of) if shown.of > 0 else 0


def left(shown: Shown, now: datetime) -> float | None:
    """Seconds a running job still needs, from its own pace; what was estimated before it took a step; None when nobody knows."""
    started = shown.job.started_at
    if started is None or shown.step <= 0 or shown.of <= 0:
        return shown.eta
    return max(0.0, (now - started).total_seconds()) * max(0, shown.of - shown.step) / shown.step


def status_line(shown: Shown, catalogue: Catalogue, now: datetime) -> str:
    """Where it stands, in one sentence; empty where there is nothing to say."""
    job = shown.job
    match job.status:
        case Status.QUEUED if shown.position is not None and shown.eta is not None:
            return catalogue.say("card.queued", position=shown.position, eta=shown.eta)
        case Status.QUEUED:
            return catalogue.say("card.queued_soon")
        case Status.RUNNING:
            remaining = left(shown, now)
            if shown.of > 0 and remaining is not None:
                return catalogue.say("card.running", step=shown.step, of=shown.of, eta=remaining)
            return catalogue.say("card.running_soon")
        case Status.FAILED:
            return catalogue.tell(job.error) if job.error else catalogue.say("error.fault")
        case Status.CANCELLED:
            return catalogue.say("card.cancelled")
        case Status.DONE if job.started_at and job.ended_at:
            return catalogue.say("card.done", took=(job.ended_at - job.started_at).total_seconds())
    return ""


# ------------------------------------------------------------------------------------------------ family

_PARENTS: Mapping[str, str] = {
    Verb.PICK: "card.parent_u",
    Verb.VARY: "card.parent_v",
    Verb.UPSCALE: "card.parent_x",
    Verb.CREATIVE: "card.parent_t",
    Verb.REMIX: "card.parent_m",
    Verb.ENHANCE: "card.parent_h",
    Verb.ZOOM: "card.parent_z",
    Verb.SQUARE: "card.parent_q",
    Verb.PAN: "card.parent_a",
    Verb.REGION: "card.parent_e",
    Verb.ANIMATE: "card.parent_n",
}


def parent_line(job: Job, catalogue: Catalogue, parent_words: str = "") -> str:
    """Where a child came from ("V2 of “a fox in the snow”."), or empty. Where the parent's words are not at hand it is "an earlier picture"."""
    if job.parent is None:
        return ""
    words = shorten(plain_text(parent_words), MAX_PARENT) if parent_words else ""
    parent = catalogue.say("card.parent_words", words=words) if words else catalogue.say("card.parent_unknown")
    return catalogue.say(_PARENTS.get(job.parent.verb, "card.parent_r"), number=max(job.parent.index, 0) + 1, parent=parent)


_RELATIONS: Mapping[str, str] = {
    Verb.PICK: "web.from_pick",
    Verb.VARY: "web.from_vary",
    Verb.REROLL: "web.from_reroll",
    Verb.UPSCALE: "web.from_upscale",
    Verb.CREATIVE: "web.from_creative",
    Verb.ENHANCE: "web.from_enhance",
    Verb.ZOOM: "web.from_zoom",
    Verb.SQUARE: "web.from_square",
    Verb.PAN: "web.from_pan",
    Verb.REGION: "web.from_region",
    Verb.ANIMATE: "web.from_animate",
}


def relation(child: Job, catalogue: Catalogue) -> str:
    """How a child came from its parent, in a word ("V2")."""
    parent = child.parent
    if parent is None:
        return catalogue.say("web.from_words")
    return catalogue.say(_RELATIONS.get(parent.verb, "web.from_remix"), number=parent.index + 1)


def children_of(shown: Shown) -> tuple[Job, ...]:
    """What came of it and can be looked at, oldest first: nobody is told of private ones that are not as private as the job itself."""
    gone = (Status.FAILED, Status.CANCELLED)
    return tuple(child for child in shown.children if child.status not in gone and (shown.job.private or not child.private))
