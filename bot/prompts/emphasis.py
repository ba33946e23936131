"""Emphasis: `(glow:1.3)` inside a part's words, read and written. Pure; called by `bot.prompts.grammar`.

Brackets are emphasis when a colon and a number stand directly before the closing one; all others stay words. So does a ratio, a time or a verse:
whole numbers on both sides of the colon, `(16:9)`. Emphasis inside emphasis is refused, because the engine tells stretches of words apart and
a word in two of them would have two weights. One pass over the characters, with a stack of open brackets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bot.errors import BadWords
from bot.prompts.flags import Malformed, number, plain
from engine.api import Emphasis, Part

MAX_EMPHASIS = 2.0
_MINUS = str.maketrans("−–—", "---")
_UNCLOSED = re.compile(r"\([^():]{1,200}:[0-9]*\.[0-9]+(?=[\s,;]|\Z)")  # a weight with a decimal point, so that it is no ratio or time


@dataclass(frozen=True, slots=True)
class Read:
    """A part's words as they are drawn, what is emphasised in them, and where brackets and weights stood in what was read."""

    text: str
    emphasis: tuple[Emphasis, ...]
    marks: tuple[tuple[int, int], ...]  #: each emphasis leaves two: its opening bracket, and its colon, weight and closing bracket


@dataclass(slots=True)
class _Found:
    start: int  #: of the opening bracket
    colon: int
    end: int  #: after the closing bracket
    weight: float


def read_emphasis(raw: str) -> Read:
    """Take the brackets of emphasis out of `raw`. Raises BadWords, its place being offsets into `raw`."""
    if "(" not in raw:
        return Read(raw, (), ())
    found: list[_Found] = []
    opened: list[tuple[int, int]] = []  # where, and how many emphases had been found by then
    for at, c in enumerate(raw):
        if c == "(":
            opened.append((at, len(found)))
        elif c == ")" and opened:
            start, before = opened.pop()
            each = _emphasis(raw, start, at)
            if each and len(found) > before:
                raise BadWords("words.nested_emphasis", start=start, end=at + 1)
            if each:
                found.append(each)
    for start, _ in opened:
        if unclosed := _UNCLOSED.match(raw, start):
            raise BadWords("words.open_bracket", start=start, end=unclosed.end())
    return _without_brackets(raw, found)


def _emphasis(raw: str, start: int, closing: int) -> _Found | None:
    """What a pair of brackets emphasises, or None when they are words. Raises BadWords for a weight out of bounds."""
    colon = raw.rfind(":", max(start, closing - 32), closing)
    if colon < 0:
        return None
    words, given = raw[start + 1 : colon].strip(), raw[colon + 1 : closing].translate(_MINUS)
    try:
        weight = number(given)
    except Malformed:
        return None
    if not words or (raw[colon - 1].isdecimal() and given.isdecimal()):
        return None
    if not 0 <= weight <= MAX_EMPHASIS:
        raise BadWords("words.emphasis_out_of_bounds", start=colon + 1, end=closing, high=plain(MAX_EMPHASIS), given=given)
    return _Found(start, colon, closing + 1, abs(weight))


def _without_brackets(raw: str, found: list[_Found]) -> Read:
    text: list[str] = []
    length = end = 0
    emphasis: list[Emphasis] = []
    marks: list[tuple[int, int]] = []
    for each in found:
        words = raw[each.start + 1 : each.colon].strip()
        text += (raw[end : each.start], words)
        length += each.start - end + len(words)
        emphasis.append(Emphasis(start=length - len(words), end=length, weight=each.weight))
        marks += ((each.start, each.start + 1), (each.colon, each.end))
        end = each.end
    return Read("".join([*text, raw[end:]]), tuple(emphasis), tuple(marks))


def print_emphasis(part: Part) -> str:
    """The part's words with their brackets back: read_emphasis gives the same part."""
    pieces: list[str] = []
    end = 0
    for each in part.emphasis:
        words, weight = part.text[each.start : each.end], plain(float(each.weight))
        if words.endswith(":"):
            words += " "  # else two colons would end the part
        if words[-1].isdecimal() and weight.isdecimal():
            weight += ".0"  # else it would be a ratio
        pieces += (part.text[end : each.start], f"({words}:{weight})")
        end = each.end
    return "".join([*pieces, part.text[end:]])
