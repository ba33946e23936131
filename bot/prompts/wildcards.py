"""Wildcards: `__animal__` is a word drawn from a list of that name. Pure; called by `bot.prompts.prepare`, after permutations.

What is drawn depends on the seed, the list's name and how many wildcards stood before it in the text, by SHA-256: the same seed draws the same words on
every machine and in every version, as long as the list is the same. What a list holds is taken as it stands: wildcards in it are words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256

from bot.errors import BadWords
from bot.prompts.clean import MAX_LENGTH, MAX_TYPED, Clean
from bot.prompts.flags import nearest

_WILDCARD = re.compile(r"__([^\W_]+(?:[-_][^\W_]+)*)__")


def wildcards(text: str) -> tuple[tuple[int, int, str], ...]:
    """(start, end, name of its list as it was typed) of each wildcard in `text`."""
    return tuple((*found.span(), found[1]) for found in _WILDCARD.finditer(text))


def fill(text: str, lists: Mapping[str, Sequence[str]], seed: int) -> Clean:
    """`text` with a word for each wildcard, and the way back into it. Names mean the same in any case.

    Raises BadWords for a list there is none of, or an empty one, and for words that grow beyond what is read.
    """
    by_name = {name.casefold(): words for name, words in lists.items() if words}
    pieces: list[str] = []
    origins: list[tuple[int, int]] = []
    end = 0
    for place, found in enumerate(_WILDCARD.finditer(text)):
        name = found[1].casefold()
        if name not in by_name:
            raise _unknown(found, tuple(each for each in lists if lists[each]))
        words = by_name[name]
        number = int.from_bytes(sha256(f"{seed}:{place}:{name}".encode()).digest())
        drawn = words[number % len(words)]
        if len(origins) + len(drawn) > MAX_TYPED:
            raise BadWords("words.too_long", start=found.start(), end=found.end(), limit=MAX_LENGTH, length=len(origins) + len(drawn))
        pieces += (text[end : found.start()], drawn)
        origins += [(at, at + 1) for at in range(end, found.start())] + [found.span()] * len(drawn)
        end = found.end()
    origins += [(at, at + 1) for at in range(end, len(text))]
    return Clean("".join([*pieces, text[end:]]), tuple(origins), len(text))


def _unknown(found: re.Match[str], names: tuple[str, ...]) -> BadWords:
    if near := nearest(found[1], names):
        return BadWords("words.unknown_list_near", start=found.start(), end=found.end(), given=found[1][:40], near=near)
    return BadWords("words.unknown_list", start=found.start(), end=found.end(), given=found[1][:40])
