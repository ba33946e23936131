"""Whether the whole house is paused: by its operator, in the terminal (`bot.pause_cli`), for every process on the same database, until it is taken back.

Paused, nothing new is taken, wherever it is asked for; held, nothing that waits is begun either. It is kept among the preferences, under an owner that no
member and no server can have, so it outlives the program. Read by `bot.drawing` before anything is taken and by `bot.queue` before anything is begun.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.ports import Store

HOUSE = "house"  #: the owner of its preferences, and of its lines in the audit log: members' and servers' have a colon in them


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    paused: bool = False
    held: bool = False  #: nothing that waits is begun; never without `paused`
    since: str = ""  #: ISO 8601, UTC

    @classmethod
    def of(cls, chosen: Mapping[str, Any]) -> Pause:
        """As it is kept. Whatever makes no sense counts as unsaid."""
        paused, since = chosen.get("paused") is True, chosen.get("since")
        return cls(paused=paused, held=paused and chosen.get("held") is True, since=since if paused and isinstance(since, str) else "")

    @property
    def kept(self) -> dict[str, Any]:
        """The changes to the preferences of HOUSE that make it hold: None takes one back."""
        return {"paused": self.paused or None, "held": self.held or None, "since": self.since or None}


class Pausing:
    """Made by `bot.app`, once a process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.at_hand = Pause()  #: what was read last: for a greeting, which may not wait for a database

    async def read(self) -> Pause:
        """What holds now, one row by its key, read each time something is asked for. What was being read as the word came is looked at once more before it is
        taken, by what was read last (`at_hand`): that may be one look of the queue old. Raises Fault.
        """
        self.at_hand = Pause.of(await self._store.preferences(HOUSE))
        return self.at_hand

    async def is_held(self) -> bool:
        """Whether nothing may be begun. Raises Fault."""
        return (await self.read()).held
