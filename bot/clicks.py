"""Double clicks: the same button by the same member a moment ago, in another delivery, is no second wish. Used by `bot.studio`.

In memory, and of one process: a delivery that is repeated is the store's to recognise.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta

from bot.domain import Press

WITHIN = timedelta(seconds=1)
_REMEMBERED = 4096  #: members' buttons


class Clicks:
    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._pressed: OrderedDict[tuple[str, str], tuple[datetime, str]] = OrderedDict()

    def is_second(self, event: Press) -> bool:
        """Whether it is the second half of a double click; else it is remembered as a first."""
        now, key = self._clock(), (event.actor.key, event.action)
        when, delivery = self._pressed.get(key, (None, ""))
        if when is not None and event.delivery_id != delivery and abs(now - when) < WITHIN:
            return True
        self._pressed[key] = (now, event.delivery_id)
        self._pressed.move_to_end(key)
        if len(self._pressed) > _REMEMBERED:
            self._pressed.popitem(last=False)
        return False
