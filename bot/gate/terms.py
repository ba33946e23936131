"""Words and phrases to look for in a reading: the lists that ship, an operator's names, a server's own rules. Pure; called by `bot.gate.rules`.

A term is one or more words; a `*` behind its last one stands for any ending. A term in a script without spaces is found anywhere. Terms are folded as texts are
(`bot.gate.letters`), so a rule for "Köln" finds "KÖLN" and "koln" too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from bot.errors import Refused
from bot.gate.letters import CJK, Reading, fold, unspaced

MOST_RULES = 500  #: rules a server may have
_LONGEST_RULE = 60  #: characters
_WORD = re.compile(r"[^\W_]+\*?|[\u2600-\u27bf\U0001f300-\U0001faff]")


@dataclass(frozen=True, slots=True)
class Hit:
    """Words [start, end) of a reading, and the term as it was listed. Found in text without spaces: start is -1."""

    start: int
    end: int
    term: str


class Terms:
    """A list of terms, ready to be looked for. Immutable; safe to share."""

    def __init__(self, terms: Iterable[str] | Mapping[str, str], *, except_in: Iterable[str] = ()) -> None:
        """`terms` may name each what a hit is called by. `except_in` are words without spaces in which a term is not meant (noodles in Japanese, for one)."""
        named = terms if isinstance(terms, Mapping) else {each: each for each in terms}
        self._whole: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        self._stems: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        anywhere: dict[str, str] = {}
        for term, name in named.items():
            folded = fold(term)
            if CJK.search(folded):
                anywhere[unspaced(folded)] = name
                continue
            words = tuple(_WORD.findall(folded))
            if words and words[0].endswith("*"):
                self._stems.setdefault(words[0][:-1], []).append((words[1:], name))
            elif words:
                self._whole.setdefault(words[0], []).append((words[1:], name))
        self._anywhere = anywhere
        self._unspaced = _any_of(anywhere)
        self._except_in = _any_of(unspaced(fold(each)) for each in except_in)
        sizes = {len(each) for each in self._stems}
        self._sizes = range(min(sizes, default=0), max(sizes, default=-1) + 1)
        self._head = min(3, self._sizes.start)  # most words begin like no stem at all
        self._heads = {each[: self._head] for each in self._stems}

    def __bool__(self) -> bool:
        return bool(self._whole or self._stems or self._unspaced)

    def hits(self, reading: Reading, *, within_breaks: bool = False) -> Iterator[Hit]:
        """Each place where a term stands, in order. `within_breaks`: a phrase does not reach over a comma."""
        for at, ways in enumerate(reading.words):
            for rest, name in self._starting(ways):
                if self._follow(reading, at, rest) and not (within_breaks and any(at < each <= at + len(rest) for each in reading.breaks)):
                    yield Hit(at, at + 1 + len(rest), name)
        if self._unspaced and reading.unspaced:
            text = self._except_in.sub("\n", reading.unspaced) if self._except_in else reading.unspaced
            for found in self._unspaced.finditer(text):
                yield Hit(-1, -1, self._anywhere[found[0]])

    def first(self, reading: Reading, ignored: frozenset[int] = frozenset()) -> str:
        """What the first hit is called that does not lie in the `ignored` words; empty where there is none."""
        return next((each.term for each in self.hits(reading) if each.start < 0 or not ignored.issuperset(range(each.start, each.end))), "")

    def _starting(self, ways: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
        for way in ways:
            yield from self._whole.get(way, ())
            if way[: self._head] in self._heads:
                for size in self._sizes[: max(0, len(way) - self._sizes.start + 1)]:
                    yield from self._stems.get(way[:size], ())

    def _follow(self, reading: Reading, at: int, rest: tuple[str, ...]) -> bool:
        words = reading.words[at + 1 : at + 1 + len(rest)]
        return len(words) == len(rest) and all(any(_fits(way, wanted) for way in ways) for ways, wanted in zip(words, rest, strict=True))


@dataclass(frozen=True, slots=True)
class Names:
    """People, each under the name that a refusal tells."""

    terms: Terms
    count: int


def read_names(text: str) -> Names:
    """A file of names: one person a line, further spellings behind bars, `#` before remarks. A name of fewer than three letters is left out."""
    named: dict[str, str] = {}
    people = 0
    for line in text.splitlines():
        spellings = [each.strip() for each in line.partition("#")[0].split("|")]
        usable = [each for each in spellings if _letters(each) >= (2 if CJK.search(fold(each)) else 3)]
        people += bool(usable)
        named.update((each, spellings[0]) for each in usable)
    return Names(Terms(named), people)


def read_rules(text: str) -> Terms:
    """A server's own word rules, one a line; blank lines and those that begin with `#` are remarks.

    Raises Refused for a rule that is too short to mean one thing, too long, or one too many.
    """
    rules = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if len(rules) > MOST_RULES:
        raise Refused("refused.gate_too_many_rules", limit=MOST_RULES)
    for each in rules:
        folded = fold(each)
        words = _WORD.findall(folded)
        short = not words or (not CJK.search(folded) and any(word.endswith("*") and len(word) < 4 for word in words)) or not _letters(each)
        if short or len(each) > _LONGEST_RULE or any(word.endswith("*") for word in words[:-1]):
            raise Refused("refused.gate_bad_rule", given=each[:40], limit=_LONGEST_RULE)
    return Terms(rules)


def _letters(text: str) -> int:
    return sum(not c.isspace() and c != "*" for c in fold(text))


def _fits(way: str, wanted: str) -> bool:
    return way.startswith(wanted[:-1]) if wanted.endswith("*") else way == wanted


def _any_of(words: Iterable[str]) -> re.Pattern[str] | None:
    longest_first = sorted((re.escape(each) for each in words if each), key=len, reverse=True)
    return re.compile("|".join(longest_first)) if longest_first else None
