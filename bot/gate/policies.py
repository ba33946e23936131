"""Which policy holds where: the operator's, and what those who manage a server have set. Pure; asked by `bot.drawing`, read by `bot.usecases.preferences`.

A server's settings (`bot.wishes.Standing.server`) are plain values by these names; whatever makes no sense counts as unsaid, and the operator's holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from bot.domain import Place
from bot.errors import Refused
from bot.gate.rules import People, Policy, Sexual
from bot.gate.terms import Terms, read_rules

ADULT, PEOPLE, EDITS, ARTISTS, RULES = "adult", "people", "edits", "artists", "rules"
NAMES = (ADULT, PEOPLE, EDITS, ARTISTS, RULES)
_CHOICES = frozenset(People)


def policy_of(server: Mapping[str, Any], place: Place, usual: Policy) -> Policy:
    """What holds at this place. `usual` is the operator's.

    In a server sexual content is drawn in the channels named for it alone, and of those only in such as the platform itself keeps from the young, where it
    has a mark for that. The operator's own choice about it holds where there is no server.
    """
    if not place.server:
        return usual
    channels = server.get(ADULT)
    adult = isinstance(channels, (list, tuple)) and place.channel in channels and place.age_restricted is not False
    people, edits, artists, rules = (server.get(name) for name in (PEOPLE, EDITS, ARTISTS, RULES))
    return replace(
        usual,
        sexual=Sexual.ALLOW if adult and place.channel else Sexual.REFUSE,
        people=People(people) if isinstance(people, str) and people in _CHOICES else usual.people,
        edits=edits if isinstance(edits, bool) else usual.edits,
        artists=artists if isinstance(artists, bool) else usual.artists,
        words=_terms(rules) if isinstance(rules, str) else usual.words,
    )


def split_rules(value: str) -> str:
    """Rules as they are kept, one a line; commas part them as well. Raises Refused for one that cannot be a rule."""
    kept = "\n".join(rule for line in value.splitlines() for each in line.split(",") if (rule := each.strip()))
    read_rules(kept)
    return kept


@lru_cache(maxsize=256)
def _terms(rules: str) -> Terms:
    try:
        return read_rules(rules)
    except Refused:  # stored by another version
        return Terms(())
