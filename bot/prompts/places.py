"""Where in a text a mistake is: what the modules that make requests of words share."""

from __future__ import annotations

from collections.abc import Mapping

from bot.errors import BadWords, Refused, UserError

Places = Mapping[str, tuple[int, int]]  #: as `bot.prompts.words.Located.places`

NO_PLACES: Places = {}


def wrong(places: Places, name: str, message: str, **parameters: object) -> UserError:
    """The mistake at the place where `name` was said; without a place where nobody said it."""
    if name in places:
        return BadWords(message, start=places[name][0], end=places[name][1], **parameters)
    return Refused(message, **parameters)
