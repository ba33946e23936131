r"""Permutations: `{red, blue} car in {snow, rain}` is four prompts. Pure; for whoever makes several jobs of one text, before `parse`.

A group is a pair of braces with a comma of its own, and stands anywhere, also within a flag's value (`--ar {3:2, 1:1}`) or in another group. A pair
without a comma is words. ``\,`` is a comma that parts nothing, ``\{`` and ``\}`` are braces that are meant. Prompts are counted before any is
made: `count` takes one pass over the characters, whatever the number, and `expand` refuses more than `MAX_PROMPTS`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bot.errors import BadWords
from bot.prompts.clean import Clean, clean

MAX_PROMPTS = 40
CONFIRM_ABOVE = 5  #: more prompts than this are drawn only when the member says yes once more
_COUNTED_TO = 1_000_000  #: counting ends here: a number that means "far too many"
_ESCAPED = frozenset("{},")


@dataclass(slots=True)
class _Piece:
    """Plain characters, or one of ``{``, ``,`` and ``}`` of a group."""

    text: str
    is_mark: bool = False


@dataclass(slots=True)
class _Level:
    """A group being read (or the text around all groups): what its options have come to so far."""

    options: list[list[str]] = field(default_factory=list)  #: those that are complete, each as the texts it may be
    current: list[str] = field(default_factory=lambda: [""])
    total: int = 0
    product: int = 1


def count(text: str) -> int:
    """How many prompts `text` is: 1 without groups; 1,000,000 stands for that and all above. Raises BadWords for a brace without its partner."""
    levels = [_Level()]
    for piece in _pieces(clean(text)):
        if not piece.is_mark:
            continue
        if piece.text == "{":
            levels.append(_Level())
            continue
        level = levels[-1]
        level.total = min(level.total + level.product, _COUNTED_TO)
        level.product = 1
        if piece.text == "}":
            levels.pop()
            levels[-1].product = min(levels[-1].product * level.total, _COUNTED_TO)
    return levels[0].product


def expand(text: str) -> list[str]:
    """The prompts, the last group changing first; a text without braces as it was typed. Raises BadWords, also for more than `MAX_PROMPTS`."""
    cleaned = clean(text)
    if "{" not in cleaned.text and "}" not in cleaned.text:
        return [text]
    if count(text) > MAX_PROMPTS:
        start, end = cleaned.span(cleaned.text.index("{"), cleaned.text.rindex("}") + 1)
        raise BadWords("words.too_many_prompts", start=start, end=end, limit=MAX_PROMPTS)
    levels = [_Level()]
    for piece in _pieces(cleaned):
        level = levels[-1]
        if not piece.is_mark:
            level.current = [each + piece.text for each in level.current]
        elif piece.text == "{":
            levels.append(_Level())
        else:
            level.options.append([each.strip() for each in level.current])
            level.current = [""]
            if piece.text == "}":
                levels.pop()
                choices = [each for option in level.options for each in option]
                levels[-1].current = [before + each for before in levels[-1].current for each in choices]
    return levels[0].current


def _pieces(cleaned: Clean) -> list[_Piece]:
    """Marks of groups, and the words between them with their escapes undone. Raises BadWords."""
    text = cleaned.text
    marks = _marks(cleaned)
    escaped = _escapes(text)
    pieces: list[_Piece] = []
    start = 0
    for at, c in enumerate(text):
        if at in marks or at in escaped:
            if start < at:
                pieces.append(_Piece(text[start:at]))
            if at in marks:
                pieces.append(_Piece(c, is_mark=True))
            start = at + 1
    if start < len(text):
        pieces.append(_Piece(text[start:]))
    return pieces


def _escapes(text: str) -> frozenset[int]:
    """Where the backslashes are that stand before a brace or a comma. Commas need them between braces only, so others keep theirs."""
    found: list[int] = []
    depth = 0
    at = 0
    while at < len(text):
        if text[at] == "\\" and text[at + 1 : at + 2] in _ESCAPED and (depth or text[at + 1] != ","):
            found.append(at)
            at += 1
        elif text[at] in "{}":
            depth += 1 if text[at] == "{" else -1
        at += 1
    return frozenset(found)


def _marks(cleaned: Clean) -> frozenset[int]:
    """Where the braces and commas of groups are. Raises BadWords for a brace without its partner."""
    escaped = {at + 1 for at in _escapes(cleaned.text)}
    marks: list[int] = []
    opened: list[list[int]] = []  # each: where it was opened, then its commas
    for at, c in enumerate(cleaned.text):
        if at in escaped or c not in _ESCAPED:
            continue
        if c == "{":
            opened.append([at])
        elif c == "," and opened:
            opened[-1].append(at)
        elif c == "}":
            if not opened:
                start, end = cleaned.span(at, at + 1)
                raise BadWords("words.brace_alone", start=start, end=end, given="}")
            group = opened.pop()
            if len(group) > 1:
                marks += (*group, at)
    if opened:
        start, end = cleaned.span(opened[-1][0], opened[-1][0] + 1)
        raise BadWords("words.brace_alone", start=start, end=end, given="{")
    return frozenset(marks)
