"""Members: they ask, press, change their minds, and their platform delivers things twice. One task a member, driven by a seed."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from tests.chaos.server import ENDS, Event, Server

THINGS = ("a fox", "a lighthouse", "an apple", "a boat", "a small house")
PLACES = ("in the snow", "at night", "on a hill", "by the sea")
MOST_OPEN = 4  #: jobs of one member that wait or run
PATIENCE = 4.0  #: the most seconds a member waits for an answer before doing something else


class Member:
    def __init__(self, name: str, server: Server, chance: random.Random, *, think: float) -> None:
        """`think`: the most seconds between two things they do."""
        self._name, self._server, self._chance, self._think = name, server, chance, think
        self._count = 0

    async def live(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._chance.uniform(0, self._think))
            event = self._wish()
            if event is not None:
                await self._do(event)

    def _wish(self) -> Event | None:
        """What they do next; None: nothing now."""
        waiting, what = self._server.open_jobs(self._name), self._chance.random()
        if what < 0.1 and (buttons := self._buttons(waiting, cancels=True)):
            return self._event(**self._chance.choice(buttons))
        if len(waiting) >= MOST_OPEN:
            return None
        ended = [each for each in self._server.messages.values() if each.owner == self._name and each.status in ENDS]
        if what < 0.3 and (buttons := self._buttons(ended[-12:], cancels=False)):
            return self._event(**self._chance.choice(buttons))
        if what < 0.4 and (mine := [each.event for each in self._server.deliveries.values() if each.event["member"] == self._name]):
            return self._chance.choice(mine[-12:])  # the platform delivers it once more
        words = f"{self._chance.choice(THINGS)} {self._chance.choice(PLACES)}"
        return self._event(text=f"{words} --n {self._chance.choice((1, 1, 1, 2, 4))} --seed {self._chance.randrange(2**20)}")

    @staticmethod
    def _buttons(messages: list[Any], *, cancels: bool) -> list[dict[str, str]]:
        return [{"action": action, "handle": each.handle} for each in messages for action in each.actions if action.startswith("w1:c:") is cancels]

    def _event(self, **what: str) -> Event:
        self._count += 1
        return {"member": self._name, "channel": "pictures", "delivery": f"{self._name}-{self._count}", **what}

    async def _do(self, event: Event) -> None:
        """Say it, perhaps twice at once, and wait for an answer, though not for ever."""
        delivery = await self._server.deliver(event)
        if self._chance.random() < 0.08:
            await self._server.deliver(event)
        try:
            async with asyncio.timeout(self._chance.uniform(0.5, PATIENCE)):
                await delivery.answered.wait()
        except TimeoutError:
            self._server.give_up(event)
