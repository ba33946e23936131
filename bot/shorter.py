"""Shorter versions of a prompt, by what its words carry. Pure; called by `bot.usecases.words`."""

from __future__ import annotations

from collections.abc import Sequence

from engine.api import Weight

CARRYING = (0.1, 0.2, 0.5)  #: what a word must carry to stay, in each of the versions, the longest first
LEAST = 2  #: words
#: Words that join others: alone at the end of a version they say nothing.
_JOINTS = frozenset({"a", "an", "the", "of", "in", "on", "at", "and", "with", "to", "by", "for", "from", "under", "over", "is", "are"})


def shorter(words: str, weights: Sequence[Weight], carrying: Sequence[float] = CARRYING) -> tuple[str, ...]:
    """Up to one version for each bound, each without the words that carry less, in their order; none where there is nothing to leave out."""
    found: list[str] = []
    strongest = sorted(weights, key=lambda each: -each.weight)[:LEAST]
    for bound in carrying:
        texts = [words[each.start : each.end].strip(",.;") for each in weights if each.weight >= bound or each in strongest]
        while texts and texts[-1].casefold() in _JOINTS:
            texts.pop()
        version = " ".join(texts)
        if version and version not in found and version != words:
            found.append(version)
    return tuple(found)
