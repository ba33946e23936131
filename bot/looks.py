"""How often a member may have something looked at: questions that cost nothing, pictures that are sent along and phrases that are looked for in one, which is
done before anything is paid. Used by `bot.studio`.

In memory, and of one process: what it keeps from being busy is that process. The refusal is told before a chat's file is fetched.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bot import presses
from bot.domain import Command, Inbound, Press, Reaction, Submit, Verb
from bot.errors import Refused

WINDOW = 60.0  #: seconds
AT_ONCE, OF_ONE = 24, 6  #: that are answered at the same time, of everybody and of one member: each holds a picture in memory
FREE = frozenset({"describe", "verify", "shorten"})  #: commands that cost nothing, and keep the machine or a reader busy


def is_look(event: Inbound) -> bool:
    """Whether it is one that is counted. Pure. Raises Refused for a button or a reaction that does not exist."""
    match event:
        case Command() if event.name in FREE and (event.job_id or event.text.strip()):
            return True
        case Submit() if event.values.get("what", "").strip():
            return True  # what a phrase names is looked for in the picture
        case Command() | Submit():
            return any(each.role != "list" for each in event.uploads)
        case Press():
            return presses.action_of(event.action).verb is Verb.DESCRIBE
        case Reaction():
            return presses.reaction_of(event).verb is Verb.DESCRIBE


@dataclass(slots=True, kw_only=True)
class _Look:
    when: float
    delivery: str
    answered: bool  #: or being answered; not only greeted


class Looks:
    """Safe to share within one event loop."""

    def __init__(self, most: int, now: Callable[[], float] = time.monotonic) -> None:
        """`most`: of one member within `WINDOW`; 0: as many as they like, though not all at once. `now`: seconds."""
        self._most, self._now = most, now
        self._looks: OrderedDict[str, list[_Look]] = OrderedDict()  # each member's newest last, and the members by their newest
        self._answering: Counter[str] = Counter()

    def greet(self, event: Inbound) -> None:
        """Count it as one that is about to come. Raises Refused."""
        if is_look(event):
            self._count(event, answered=False)

    @contextmanager
    def turn(self, event: Inbound) -> Iterator[None]:
        """While it is answered. One that was greeted is not counted again. Raises Refused."""
        if not is_look(event):
            yield
            return
        key = event.actor.key
        if self._answering[key] >= OF_ONE or self._answering.total() >= AT_ONCE:
            raise Refused("refused.looking_at_much")
        self._count(event, answered=True)
        self._answering[key] += 1
        try:
            yield
        finally:
            self._answering[key] -= 1
            if not self._answering[key]:
                del self._answering[key]

    def _count(self, event: Inbound, *, answered: bool) -> None:
        now, key = self._now(), event.actor.key
        self._forget(now)
        looks = [each for each in self._looks.get(key, ()) if now - each.when < WINDOW]
        for look in looks:
            if look.delivery == event.delivery_id and not look.answered:
                look.answered = answered
                return
        if self._most and len(looks) >= self._most:
            raise Refused("refused.too_many_looks", limit=self._most, wait=looks[0].when + WINDOW - now)
        self._looks[key] = [*looks, _Look(when=now, delivery=event.delivery_id, answered=answered)]
        self._looks.move_to_end(key)

    def _forget(self, now: float) -> None:
        """Members whose newest is over."""
        while self._looks and now - next(iter(self._looks.values()))[-1].when >= WINDOW:
            self._looks.popitem(last=False)
