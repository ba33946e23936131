"""What is typed into the words box: words to draw, or one of the chats' commands as there ("/history fox"). Pure; called by `bot.chat.web.pages`."""

from __future__ import annotations

import re
from dataclasses import replace

from bot.domain import Card, Hint, Reading
from bot.messages import Catalogue

#: Offered while a command is typed; what else there is, the studio knows.
COMMANDS = (
    "imagine",
    "blend",
    "describe",
    "shorten",
    "morph",
    "history",
    "show",
    "info",
    "queue",
    "cancel",
    "upscale",
    "prefer",
    "settings",
    "styles",
    "lists",
    "models",
    "verify",
    "privacy",
    "help",
)
#: Those whose text is read by the grammar.
OF_WORDS = frozenset({"imagine", "blend", "shorten", "morph"})
#: Those that draw or look at pictures: a bare sentence in answer to one is a refusal, said beside the words.
_ASKING = OF_WORDS | {"describe", "upscale"}
_COMMAND = re.compile(r"\s*(/([A-Za-z]{2,20})(?!\S))\s*(.*)", re.DOTALL)
_BEGUN = re.compile(r"\s*(/[A-Za-z]{0,20})")


def said(text: str) -> tuple[str, str]:
    """(command, its text)."""
    found = _COMMAND.match(text)
    return (found[2].lower(), found[3].strip()) if found else ("imagine", text)


def words_at(text: str) -> int | None:
    """Where the words for the grammar begin; None when the command takes none."""
    found = _COMMAND.match(text)
    if found is None:
        return None if _BEGUN.fullmatch(text) else 0
    return found.start(3) if found[2].lower() in OF_WORDS else None


def moved(reading: Reading, by: int) -> Reading:
    """The same reading of words that begin `by` characters later; what stands before them is a command's name."""
    if not by:
        return reading
    spans = ((0, by, "flag"), *((start + by, end + by, kind) for start, end, kind in reading.spans))
    at = reading.mistake_at
    return replace(reading, spans=spans, mistake_at=(at[0] + by, at[1] + by) if at else None)


def command_hints(text: str, at: int, catalogue: Catalogue) -> tuple[Hint, ...]:
    """Commands that begin like what stands before offset `at`, where that is the beginning of one."""
    found = _BEGUN.fullmatch(text, 0, at)
    if found is None or text[at : at + 1].isalpha():
        return ()
    typed = found[1].lower()
    names = [name for name in COMMANDS if f"/{name}".startswith(typed) and f"/{name}" != typed]
    return tuple(Hint(insert=f"/{name} ", label=f"/{name}", start=found.start(1), end=at, detail=_about(name, catalogue)) for name in names)


def _about(name: str, catalogue: Catalogue) -> str:
    message = f"command.{name}"
    return catalogue.say(message) if message in catalogue else ""


def is_refusal(command: str, card: Card, *, at_once: bool) -> bool:
    """Whether a card is one sentence about words that were not taken, to be said beside them. `at_once`: it came before anything was done."""
    plain = not (card.rows or card.selects or card.documents or card.pictures or card.details or card.links)
    return plain and (at_once or command in _ASKING)
