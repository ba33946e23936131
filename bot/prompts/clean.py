"""Text as typed → text the grammar reads, with a map of positions back. Called by the modules of this package, and by whoever
stores what a member typed.

NFKC; bidi, zero-width, control and other format characters and lone surrogates are dropped; every kind of space is one space. Linear time:
text is normalised a cluster at a time (a base and its marks), and a cluster keeps at most 30 marks (the Stream-Safe Text Format of
Unicode TR15), because canonical ordering is quadratic in them.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

MAX_LENGTH = 6000  #: characters, after cleaning
MAX_TYPED = 4 * MAX_LENGTH  #: characters that are looked at all
_MAX_MARKS = 30
_DROPPED = frozenset({"Cc", "Cf", "Cs"})


@dataclass(frozen=True, slots=True)
class Clean:
    """`text` and, for each of its characters, where in the text as typed it came from: `origins[i]` is (start, end)."""

    text: str
    origins: tuple[tuple[int, int], ...]
    typed: int  #: length of the text as typed

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where text[start:end] stands in the text as typed (an empty span stays empty)."""
        if not self.origins:
            return (0, self.typed)
        if start >= len(self.origins):
            return (self.origins[-1][1], self.origins[-1][1])
        if end <= start:
            return (self.origins[start][0], self.origins[start][0])
        return (self.origins[start][0], self.origins[min(end, len(self.origins)) - 1][1])

    def offset(self, at: int) -> int:
        """The offset in `text` of offset `at` of the text as typed: how many clean characters begin before it."""
        low, high = 0, len(self.origins)
        while low < high:
            middle = (low + high) // 2
            if self.origins[middle][0] < at:
                low = middle + 1
            else:
                high = middle
        return low


def clean(typed: str) -> Clean:
    """Clean `typed` (its first MAX_TYPED characters). Never raises."""
    if len(typed) <= MAX_TYPED and typed.isascii() and typed.isprintable():  # nothing to do: most prompts
        return Clean(typed, tuple(zip(range(len(typed)), range(1, len(typed) + 1), strict=True)), len(typed))
    pieces: list[str] = []
    origins: list[tuple[int, int]] = []
    cluster: list[str] = []
    start = end = 0

    def flush() -> None:
        if cluster:
            piece = unicodedata.normalize("NFKC", "".join(cluster))
            piece = "".join(" " if c.isspace() else c for c in piece if c.isspace() or unicodedata.category(c) not in _DROPPED)
            pieces.append(piece)
            origins.extend([(start, end)] * len(piece))
            cluster.clear()

    for at, c in enumerate(typed[:MAX_TYPED]):
        if not c.isspace() and unicodedata.category(c) in _DROPPED:
            continue
        if cluster and _continues(c):
            if len(cluster) <= _MAX_MARKS:
                cluster.append(c)
            end = at + 1
            continue
        flush()
        cluster.append(c)
        start, end = at, at + 1
    flush()
    return Clean("".join(pieces), tuple(origins), len(typed))


def _continues(c: str) -> bool:
    """Whether `c` may compose with what stands before it: marks, and the Hangul vowels and finals."""
    if c < "\u0300":
        return False
    first = unicodedata.normalize("NFKD", c)[0]
    return unicodedata.category(first)[0] == "M" or "\u1160" <= first <= "\u11ff"
