"""What moderators mean by a word: which member, and how long. Pure; for `bot.usecases.admin`."""

from __future__ import annotations

import re
from datetime import timedelta

from bot.domain import Actor
from bot.errors import Refused

LONGEST = timedelta(days=3650)
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_SPAN = re.compile(r"(\d{1,5})([mhd])")


def member_of(text: str, asker: Actor) -> Actor:
    """Whom a mention, or an id, means. Members of one server share what stands in their ids before the last colon. Raises Refused.

    A name is no id: where ids are numbers, or in capitals, as that of who asks is, nobody has it, and a ban of nobody would look like one.
    """
    ident = text.strip().strip("<@!>").partition("|")[0]
    shared, colon, own = asker.id.rpartition(":")
    is_name = (own.isdecimal() and not ident.isdecimal()) or (own.isupper() and not ident.isupper())
    if is_name or not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", ident):
        raise Refused("refused.which_member", given=text[:40])
    return Actor(platform=asker.platform, id=f"{shared}{colon}{ident}")


def is_span(text: str) -> bool:
    """Whether it looks like one: `30m`, `24h`, `7d`."""
    return _SPAN.fullmatch(text.casefold()) is not None


def span_of(text: str) -> timedelta:
    """Of `30m`, `24h`, `7d`. Raises Refused."""
    found = _SPAN.fullmatch(text.strip().casefold())
    span = timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else timedelta(0)
    if not timedelta(0) < span <= LONGEST:
        raise Refused("refused.which_span", given=text.strip()[:40])
    return span
