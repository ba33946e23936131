"""The pictures of a job's card, and what each shows, in words, for those who do not see it. Pure; used by the other modules of this package."""

from __future__ import annotations

import re
from collections.abc import Callable

from bot.cards.words import plain_words, shorten
from bot.domain import CLIP, GRID, Artifact, Picture, Shown, Status
from bot.messages import Catalogue
from engine.api import MorphRequest

MAX_ALT = 1000  #: characters (Discord takes 1,024, Slack 2,000)
MAX_SEEN = 200  #: of them, of what the model sees in one picture

#: Words that say nothing of what is to be seen.
_EMPTY = frozenset(
    {
        *("a", "an", "the", "and", "or", "of", "in", "on", "at", "to", "with", "without", "by", "for", "from", "is", "are", "it", "its", "as", "this", "that"),
        *("one", "two", "three", "some", "very", "under", "over", "beside", "near", "behind", "between", "into", "against", "above", "below", "like"),
    }
)
#: Where the thing that a sentence names ends, and what is said of it begins.
_BOUNDARY = re.compile(r"[,.;:]|\b(?:in|on|at|of|with|by|under|over|beside|near|behind|between|against|above|below|from)\b")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


def frames(shown: Shown) -> tuple[Artifact, ...]:
    """The single pictures in order, without the contact sheet."""
    return tuple(sorted((each for each in shown.artifacts if each.index >= 0), key=lambda each: each.index))


def alt_text(shown: Shown, artifact: Artifact, catalogue: Catalogue) -> str:
    """What a picture shows, for those who do not see it: its words, and what the model itself sees where that is something else."""
    job, drawn = shown.job, frames(shown)
    words = plain_words(job) or catalogue.say("card.untitled")
    parameters = {"count": len(drawn), "model": job.request.model, "number": artifact.index + 1}
    key = "card.alt_grid" if artifact.index == GRID else "card.alt_of" if len(drawn) > 1 else "card.alt"
    wanted = {name: value for name, value in parameters.items() if name in catalogue.parameters(key)}
    return shorten_to(lambda text: catalogue.say(key, words=text, **wanted), words, "".join(f" {each}" for each in _seen(shown, artifact, catalogue)))


def _seen(shown: Shown, artifact: Artifact, catalogue: Catalogue) -> tuple[str, ...]:
    """What the model sees, a sentence a picture, where it is not what the words say; of a contact sheet, each picture of it."""
    words = plain_words(shown.job)
    if artifact.index != GRID:
        return (catalogue.say("card.alt_seen", seen=shorten(artifact.seen, MAX_SEEN)),) if disagrees(words, artifact.seen) else ()
    others = [each for each in frames(shown) if disagrees(words, each.seen)]
    room = MAX_SEEN * 2 // max(1, len(others))
    return tuple(catalogue.say("card.alt_seen_in", number=each.index + 1, seen=shorten(each.seen, max(room, 40))) for each in others)


def disagrees(words: str, seen: str) -> bool:
    """Whether what a picture shows, in a model's words, is not what it was asked for.

    It is not when they have no word of content in common, or the thing that `seen` names first ("a red fox" of "a red fox in the snow") is not among the
    words. Nothing seen, or nothing asked for in words, disagrees with nothing.
    """
    asked, found = _content(words), _content(seen)
    if not asked or not found:
        return False
    thing = _content(_BOUNDARY.split(seen.casefold(), maxsplit=1)[0])
    return not set(asked) & set(found) or bool(thing and thing[-1] not in asked)


def _content(text: str) -> list[str]:
    """The words that name what is to be seen, in their order, as one of each (foxes: fox)."""
    return [_singular(word) for word in _WORD.findall(text.casefold()) if word not in _EMPTY]


def _singular(word: str) -> str:
    """Near enough to tell whether two texts speak of the same thing."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("xes", "ches", "shes", "sses", "oes")):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def pictures(shown: Shown, catalogue: Catalogue, *, apart: bool = False) -> tuple[Picture, ...]:
    """The contact sheet, or one by one where there is none (or `apart`)."""
    job = shown.job
    if job.status is Status.RUNNING and shown.preview:
        words = plain_words(job) or catalogue.say("card.untitled")
        alt = shorten_to(lambda text: catalogue.say("card.alt_preview", words=text), words)
        return (Picture(alt=alt, data=shown.preview, name="preview.webp"),)
    if job.status is not Status.DONE:
        return ()
    sheet = None if apart else next((each for each in shown.artifacts if each.index == GRID), None)
    return tuple(
        Picture(
            alt=alt_text(shown, each, catalogue),
            digest=each.digest,
            width=each.width,
            height=each.height,
            name=f"wordup-{job.id}{'' if each.index < 0 else f'-{each.index + 1}'}.png",
        )
        for each in ((sheet,) if sheet else frames(shown))
    )


def clip(shown: Shown, catalogue: Catalogue) -> Picture | None:
    """What of a finished job moves; None where nothing does."""
    found = next((each for each in shown.artifacts if each.index == CLIP), None)
    if found is None or shown.job.status is not Status.DONE:
        return None
    request = shown.job.request
    words = plain_words(shown.job) or catalogue.say("card.untitled")
    key = "card.alt_clip"
    if isinstance(request, MorphRequest):
        key = "card.alt_animate" if request.source else "card.alt_morph"
    alt = shorten_to(lambda text: catalogue.say(key, words=text, model=request.model), words)
    name = f"wordup-{shown.job.id}-clip.webp"
    return Picture(alt=alt, digest=found.digest, width=found.width, height=found.height, name=name, moves=True)


def shorten_to(sentence: Callable[[str], str], words: str, more: str = "") -> str:
    """`sentence` of as many of the words as fit an alt text, and `more` after it."""
    room = MAX_ALT - len(sentence("")) - len(more)
    return (sentence(shorten(words, max(room, 1))) + more)[:MAX_ALT]
