"""Which language somebody reads: what they chose in the footer, else what their browser says. Pure; `bot.chat.web.frame` asks."""

from __future__ import annotations

import re
from collections.abc import Sequence

_TAG = re.compile(r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8}){0,4}")
_MOST = 20  #: entries of a header that are read


def wanted(chosen: str, header: str, codes: Sequence[str]) -> str:
    """An IETF tag: `chosen` where it is one of `codes`, else the first language of an ``Accept-Language`` header that there is, else empty."""
    if chosen in codes:
        return chosen
    languages = {code.casefold().partition("-")[0] for code in codes}
    return next((tag for tag in accepted(header) if tag.casefold().partition("-")[0] in languages), "")


def accepted(header: str) -> list[str]:
    """The tags of an ``Accept-Language`` header (RFC 9110 §12.5.4), most wanted first; what makes no sense is left out."""
    found: list[tuple[float, str]] = []
    for entry in header.split(",")[:_MOST]:
        tag, _, weight = (part.strip() for part in entry.partition(";"))
        try:
            quality = float(weight.removeprefix("q=")) if weight else 1.0
        except ValueError:
            continue
        if _TAG.fullmatch(tag) and 0 < quality <= 1:
            found.append((-quality, tag))
    return [tag for _, tag in sorted(found, key=lambda each: each[0])]
