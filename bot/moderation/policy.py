"""What a server's settings come to beside the gate's (`bot.gate.policies`): limits by role, pausing, privacy. Pure; for `bot.drawing` and `bot.usecases`.

Settings are the server's preferences (`bot.wishes.Standing.server`), so whatever is stored and makes no sense counts as unsaid: the usual.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bot.domain import Actor, Limits
from bot.errors import Refused
from bot.gate import People, choice_of, stricter

EVERYBODY = "*"  #: in place of a role
FACTORS = (0.0, 10.0)  #: of the operator's limits: what a server may give a role

_PEOPLE = (People.REFUSE.value, People.DEGRADING.value, People.ALLOW.value)  #: from the strictest to the loosest


def needs_private(server: Mapping[str, Any]) -> bool:
    """Whether everything that is drawn here is for its member alone."""
    return server.get("private") is True


def is_paused(server: Mapping[str, Any]) -> bool:
    """Whether nothing new is taken here."""
    return server.get("paused") is True


def limits_of(server: Mapping[str, Any], actor: Actor, limits: Limits) -> Limits:
    """The operator's limits, times what the server gives this member: the largest factor of their roles, else that of everybody.

    Raises Refused where that is nothing.
    """
    given = {role: _factor(value) for role, value in _mapping(server.get("roles")).items()}
    theirs = [given[role] for role in actor.roles if role in given]
    factor = max(theirs, default=given.get(EVERYBODY, 1.0))
    if factor <= 0:
        raise Refused("refused.no_role")
    return limits if factor == 1 else replace(limits, cap=limits.cap * factor, per_hour=limits.per_hour * factor)


def loosens(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether a change of a setting lets something through that was held back before. `before` and `after`: all settings. For the audit log.

    What a server leaves to whoever runs the bot counts as strict as the program's own defaults are.
    """
    was, now = before.get(name), after.get(name)
    match name:
        case "people":
            return _rank(now) > _rank(was)
        case "edits":
            return now is True and was is not True
        case "artists":
            return now is False and was is not False
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


def _rank(people: object) -> int:
    return _PEOPLE.index(people) if isinstance(people, str) and people in _PEOPLE else _PEOPLE.index(People.DEGRADING.value)


def _factor(value: object) -> float:
    return min(max(float(value), FACTORS[0]), FACTORS[1]) if isinstance(value, (int, float)) and not isinstance(value, bool) else 1.0


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> frozenset[str]:
    return frozenset(each for each in value if isinstance(each, str)) if isinstance(value, (list, tuple)) else frozenset()


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
