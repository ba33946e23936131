"""One writer at a time for each answer: what keeps a job's end from being overwritten, or posted twice. Used by the chats' adapters.

A command's handler posts "queued" while, elsewhere, the outbox may already show the end. Both take the turn of the event (its delivery id), and
the second finds out here where the card stands and whether its end is already there. Only about what happens now: after a restart no
handler is half way, and the store knows the rest.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar
from weakref import WeakValueDictionary

from bot.domain import Card, Receipt

T = TypeVar("T")

REMEMBERED = 4096  #: jobs


class Turns:
    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._places: OrderedDict[str, Receipt | None] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()

    @asynccontextmanager
    async def turn(self, delivery: str) -> AsyncIterator[None]:
        """Wait for whoever writes the answer to that event, then keep others waiting."""
        lock = self._locks.get(delivery) or asyncio.Lock()
        self._locks[delivery] = lock
        async with lock:
            yield

    def stands(self, card: Card, receipt: Receipt | None) -> None:
        """The card was written there just now (None: nobody can see where)."""
        if not card.job_id:
            return
        _keep(self._places, card.job_id, receipt)
        if card.status is not None and card.status.ended:
            _keep(self._ended, card.job_id, None)

    def place(self, job_id: str) -> Receipt | None:
        """Where it was last written in this process's life."""
        return self._places.get(job_id)

    def stale(self, card: Card) -> bool:
        """Whether it is older than what stands there: the end of its job was shown."""
        return card.job_id in self._ended and not (card.status is not None and card.status.ended)


def _keep(memory: OrderedDict[str, T], key: str, value: T) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > REMEMBERED:
        memory.popitem(last=False)
