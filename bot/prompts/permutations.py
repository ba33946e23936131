r"""Permutations: `{red, blue} car in {snow, rain}` is four prompts. Pure; called by `bot.prompts.prepare`.

A group is a pair of braces with a comma of its own, and stands anywhere, also within a flag's value (`--ar {3:2, 1:1}`) or in another group. A pair
without a comma is words. ``\,`` is a comma that parts nothing, ``\{`` and ``\}`` are braces that are meant. Prompts are counted before any is
made: `count` takes one pass over the characters, whatever the number, and `expand` refuses more than `MAX_PROMPTS`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bot.errors import BadWords
from bot.prompts.clean import Clean, clean

MAX_PROMPTS = 40
MAX_TOGETHER = 60_000  #: characters of all of them
CONFIRM_ABOVE = 5  #: more prompts than this are drawn only when the member says yes once more
_COUNTED_TO = 1_000_000  #: counting ends here: a number that means "far too many"
_ESCAPED = frozenset("{},")


@dataclass(slots=True)
class _Piece:
    """Plain characters, or one of ``{``, ``,`` and ``}`` of a group."""

    text: str
    start: int  #: in the cleaned text
    is_mark: bool = False


@dataclass(slots=True)
class _Level:
    """A group being read (or the text around all groups): what its options have come to so far."""

    options: list[list[list[tuple[int, int]]]] = field(default_factory=list)  #: those that are complete, each as the texts it may be, as stretches
    current: list[list[tuple[int, int]]] = field(default_factory=lambda: [[]])
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


def expand(text: str) -> list[Clean]:
    """The prompts, the last group changing first, each with the way back into `text`.

    Raises BadWords, also for more than `MAX_PROMPTS`, or more characters in all of them than `MAX_TOGETHER`.
    """
    cleaned = clean(text)
    if "{" not in cleaned.text and "}" not in cleaned.text:
        return [cleaned]
    if count(text) > MAX_PROMPTS:
        raise _too_many(cleaned, "words.too_many_prompts", MAX_PROMPTS)
    levels = [_Level()]
    for piece in _pieces(cleaned):
        level = levels[-1]
        if not piece.is_mark:
            for each in level.current:
                each.append((piece.start, piece.start + len(piece.text)))
        elif piece.text == "{":
            levels.append(_Level())
        else:
            level.options.append([_stripped(each, cleaned.text) for each in level.current])
            level.current = [[]]
            if piece.text == "}":
                levels.pop()
                choices = [each for option in level.options for each in option]
                levels[-1].current = [before + each for before in levels[-1].current for each in choices]
    prompts = levels[0].current
    if len(prompts) > 1 and sum(end - start for each in prompts for start, end in each) > MAX_TOGETHER:
        raise _too_many(cleaned, "words.prompts_too_long", MAX_TOGETHER)
    return [_joined(each, cleaned) for each in prompts]


def group_marks(text: str) -> tuple[tuple[int, int], ...]:
    """Where the braces and commas of groups stand in the text as typed. Raises BadWords for a brace without its partner."""
    cleaned = clean(text)
    return tuple(cleaned.span(at, at + 1) for at in sorted(_marks(cleaned)))


def _too_many(cleaned: Clean, message: str, limit: int) -> BadWords:
    start, end = cleaned.span(cleaned.text.index("{"), cleaned.text.rindex("}") + 1)
    return BadWords(message, start=start, end=end, limit=limit)


def _stripped(stretches: list[tuple[int, int]], text: str) -> list[tuple[int, int]]:
    """Without the spaces at either end."""
    kept = [(start, end) for start, end in stretches if start < end]
    while kept and not text[kept[0][0] : kept[0][1]].strip():
        kept.pop(0)
    while kept and not text[kept[-1][0] : kept[-1][1]].strip():
        kept.pop()
    if kept:
        start, end = kept[0]
        kept[0] = (end - len(text[start:end].lstrip()), end)
        start, end = kept[-1]
        kept[-1] = (start, start + len(text[start:end].rstrip()))
    return kept


def _joined(stretches: list[tuple[int, int]], cleaned: Clean) -> Clean:
    text = "".join(cleaned.text[start:end] for start, end in stretches)
    return Clean(text, tuple(origin for start, end in stretches for origin in cleaned.origins[start:end]), cleaned.typed)


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
                pieces.append(_Piece(text[start:at], start))
            if at in marks:
                pieces.append(_Piece(c, at, is_mark=True))
            start = at + 1
    if start < len(text):
        pieces.append(_Piece(text[start:], start))
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
