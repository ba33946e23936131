"""Shorter versions of a prompt, by what its words carry. Pure; called by `bot.usecases.words`."""

from __future__ import annotations

from collections.abc import Sequence

from engine.api import Weight

KEPT = (0.75, 0.5, 0.3)  #: shares of the words in the versions, the longest first
LEAST = 2  #: words
#: Words that join others: alone at the end of a version they say nothing.
_JOINTS = frozenset({"a", "an", "the", "of", "in", "on", "at", "and", "with", "to", "by", "for", "from", "under", "over", "is", "are"})


def shorter(words: str, weights: Sequence[Weight], shares: Sequence[float] = KEPT) -> tuple[str, ...]:
    """Up to one version for each share, each without the words that carry least, in their order; none where there is nothing to leave out."""
    found: list[str] = []
    for share in shares:
        count = max(LEAST, round(len(weights) * share))
        if count >= len(weights):
            continue
        kept = sorted(sorted(weights, key=lambda each: -each.weight)[:count], key=lambda each: each.start)
        texts = [words[each.start : each.end].strip(",.;") for each in kept]
        while texts and texts[-1].casefold() in _JOINTS:
            texts.pop()
        version = " ".join(texts)
        if version and version not in found and version != words:
            found.append(version)
    return tuple(found)
