"""Which policy holds where: the operator's, and what those who manage a server have set. Pure; asked by `bot.drawing`, read by `bot.usecases.preferences`.

A server's settings (`bot.wishes.Standing.server`) are plain values by these names; whatever makes no sense counts as unsaid, and the operator's holds. So it
does where a server chose more than the operator lets servers choose: that is looked at where the policy is read, so that what was stored before is bounded too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from bot.domain import Place
from bot.errors import Refused
from bot.gate.rules import People, Policy, Rule, Sexual, stricter
from bot.gate.terms import Terms, read_rules

ADULT, SPOILER, PEOPLE, EDITS, ARTISTS, RULES = "adult", "spoiler", "people", "edits", "artists", "rules"
_CHOICES = frozenset(People)
_FROM_STRICT = tuple(People)
_BOUND = {ADULT: Rule.SEXUAL, SPOILER: Rule.SEXUAL, PEOPLE: Rule.PEOPLE, EDITS: Rule.EDITS, ARTISTS: Rule.ARTISTS}  #: which rule a setting loosens


def policy_of(server: Mapping[str, Any], place: Place, usual: Policy) -> Policy:
    """What holds at this place. `usual` is the operator's.

    In a server sexual content is drawn in the channels named for it alone. Those named as `adult` show it, if the platform itself keeps them from the young,
    where it has a mark for that; those named as `spoiler` show it behind a click, whatever their mark. The operator's own choice about it holds where there
    is no server, and bounds a channel's where servers may not loosen it.
    """
    if not place.server:
        return usual
    server = bounded(server, usual)
    chosen = choice_of(server, place.channel)
    if chosen is Sexual.ALLOW and place.age_restricted is False:  # the young are there
        chosen = Sexual.REFUSE
    if Rule.SEXUAL not in usual.servers:
        chosen = stricter(chosen, usual.sexual)
    people, edits, artists, rules = (server.get(name) for name in (PEOPLE, EDITS, ARTISTS, RULES))
    return replace(
        usual,
        sexual=chosen,
        people=People(people) if isinstance(people, str) and people in _CHOICES else usual.people,
        edits=edits if isinstance(edits, bool) else usual.edits,
        artists=artists if isinstance(artists, bool) else usual.artists,
        words=_terms(rules) if isinstance(rules, str) else usual.words,
    )


def bounded(server: Mapping[str, Any], usual: Policy) -> Mapping[str, Any]:
    """A server's settings without those that go beyond what the operator lets servers choose: they count as unsaid."""
    beyond = [name for name in _BOUND if name in server and goes_beyond(name, server[name], usual)]
    return {name: value for name, value in server.items() if name not in beyond} if beyond else server


def goes_beyond(name: str, value: object, usual: Policy) -> bool:
    """Whether a server's setting of that name lets through what the operator's own choice does not, and servers may not loosen."""
    if _BOUND.get(name, Rule.MINORS) in usual.servers:
        return False
    match name:
        case "people":
            return isinstance(value, str) and value in _CHOICES and _FROM_STRICT.index(People(value)) > _FROM_STRICT.index(usual.people)
        case "edits":
            return value is True and not usual.edits
        case "artists":
            return value is False and usual.artists
        case "spoiler" | "adult":  # where the operator hides it, a channel for adults hides it, too: `policy_of`
            return bool(value) and usual.sexual is Sexual.REFUSE
    return False


def choice_of(server: Mapping[str, Any], channel: str) -> Sexual:
    """What a server has chosen for a channel, before its mark is looked at. One that stands in both lists (two programs that wrote at once) is a `spoiler`."""
    if channel and channel in channels_of(server, SPOILER):
        return Sexual.HIDE
    return Sexual.ALLOW if channel and channel in channels_of(server, ADULT) else Sexual.REFUSE


def choose_channels(server: Mapping[str, Any], name: str, channels: Sequence[str]) -> dict[str, list[str] | None]:
    """The changes that make `channels` those of ADULT or SPOILER, whichever `name` is: a channel has one choice, so those named leave the other list."""
    other = SPOILER if name == ADULT else ADULT
    others = channels_of(server, other)
    left = [each for each in others if each not in channels]
    changes: dict[str, list[str] | None] = {name: list(channels) or None}
    return changes if len(left) == len(others) else {**changes, other: left or None}


def channels_of(server: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Those that a setting names (ADULT, SPOILER)."""
    value = server.get(name)
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, (list, tuple)) else ()


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
