"""What a server's settings come to beside the gate's (`bot.gate.policies`): limits by role, pausing, privacy. Pure; for `bot.drawing` and `bot.usecases`.

Settings are the server's preferences (`bot.wishes.Standing.server`), so whatever is stored and makes no sense counts as unsaid: the usual.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bot.domain import Actor, Limits
from bot.errors import Refused
from bot.gate import People, Policy, bounded, choice_of, stricter

EVERYBODY = "*"  #: in place of a role

_USUAL = Policy()


def needs_private(server: Mapping[str, Any]) -> bool:
    """Whether everything that is drawn here is for its member alone."""
    return server.get("private") is True


def is_paused(server: Mapping[str, Any]) -> bool:
    """Whether nothing new is taken here."""
    return server.get("paused") is True


def limits_of(server: Mapping[str, Any], actor: Actor, limits: Limits) -> Limits:
    """The operator's limits, times what the server gives this member: the largest factor of their roles, else that of everybody.

    A wallet is one, wherever its member asks: what a server gives beyond the usual, its members have everywhere, and whoever runs a server of their own would
    give it to themselves. So the operator says how much that may be at most (`Limits.most_given`), here as well, where older settings are read.
    Raises Refused where it is nothing.
    """
    given = given_by_role(server)
    role = role_that_counts(server, actor)
    factor = min(given[role] if role else 1.0, limits.most_given)
    if factor <= 0:
        raise Refused("refused.no_role")
    return limits if factor == 1 else replace(limits, cap=limits.cap * factor, per_hour=limits.per_hour * factor)


def given_by_role(server: Mapping[str, Any]) -> dict[str, float]:
    """What a server gives each role, and EVERYBODY, of the operator's limits."""
    return {role: _factor(value) for role, value in _mapping(server.get("roles")).items()}


def role_that_counts(server: Mapping[str, Any], actor: Actor) -> str:
    """Of this member's roles the one with the largest factor, else EVERYBODY where that has one; else empty: the usual holds."""
    given = given_by_role(server)
    theirs = [role for role in actor.roles if role in given]
    return max(theirs, key=lambda role: given[role], default=EVERYBODY if EVERYBODY in given else "")


def loosens(name: str, before: Mapping[str, Any], after: Mapping[str, Any], usual: Policy = _USUAL) -> bool:
    """Whether a change of a setting lets something through that was held back before. `before` and `after`: all settings. For the audit log.

    `usual`: the operator's policy, which holds where a server has chosen nothing, or more than servers may.
    """
    before, after = bounded(before, usual), bounded(after, usual)
    was, now = before.get(name), after.get(name)
    match name:
        case "people":
            return _rank(now, usual) > _rank(was, usual)
        case "edits":
            return _switch(now, usual.edits) and not _switch(was, usual.edits)
        case "artists":
            return _switch(was, usual.artists) and not _switch(now, usual.artists)
        case "rules":
            return bool({*_text(was).splitlines()} - {*_text(now).splitlines()})
        case "private":
            return needs_private(before) and not needs_private(after)
        case "adult" | "spoiler":  # a channel may have moved from one to the other
            return any(stricter(choice_of(before, each), choice_of(after, each)) is not choice_of(after, each) for each in _list(was) | _list(now))
        case "off":
            return bool(_list(was) - _list(now))
        case "channels":
            return bool(_list(was)) and (not _list(now) or bool(_list(now) - _list(was)))
        case "roles":
            was_given, now_given = ({role: _factor(value) for role, value in _mapping(each).items()} for each in (was, now))
            return any(now_given.get(role, 1.0) > was_given.get(role, 1.0) for role in {*was_given, *now_given})
    return False


def _rank(people: object, usual: Policy) -> int:
    order = list(People)
    return order.index(People(people)) if isinstance(people, str) and people in order else order.index(usual.people)


def _switch(value: object, unsaid: bool) -> bool:
    return value if isinstance(value, bool) else unsaid


def _factor(value: object) -> float:
    return max(float(value), 0.0) if isinstance(value, (int, float)) and not isinstance(value, bool) else 1.0


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> frozenset[str]:
    return frozenset(each for each in value if isinstance(each, str)) if isinstance(value, (list, tuple)) else frozenset()


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
