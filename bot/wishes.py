"""What members and servers prefer, read from the store at start and kept at hand. Made by `bot.drawing`; changed by `bot.usecases.preferences`.

A greeting may not wait for a database: it takes what is at hand. Whatever is done reads again what is older than a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bot.domain import Actor, Place
from bot.gate import ADULT, SPOILER, People, channels_of
from bot.ports import Store

FRESH = timedelta(seconds=30)  #: another process may have changed them meanwhile
_REMEMBERED = 4096  #: members and servers, before those who prefer nothing are dropped


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A member's wishes and their server's. Whatever is stored and makes no sense counts as unsaid."""

    member: Mapping[str, Any] = field(default_factory=dict)
    server: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sets(self) -> Mapping[str, str]:
        """Flags under a name of the member's own."""
        return _texts_by_name(self.member.get("sets"))

    @property
    def locale(self) -> str:
        """The language they chose; empty: as their platform says."""
        return _text(self.member.get("locale"))

    @property
    def relaxed(self) -> bool:
        return (self.member.get("lane") or self.server.get("lane")) == "relax"

    @property
    def direct(self) -> bool:
        """Whether a copy of what they draw goes to their direct messages."""
        return self.member.get("direct") is True

    @property
    def remix(self) -> bool:
        """Whether variations and rerolls ask for the words first."""
        return self.member.get("remix") is True

    @property
    def model(self) -> str:
        """The server's default."""
        return _text(self.server.get("model"))

    @property
    def off(self) -> frozenset[str]:
        """Commands that are turned off here."""
        return frozenset(_texts(self.server.get("off")))

    @property
    def channels(self) -> frozenset[str]:
        """Where the bot may be used; empty: everywhere."""
        return frozenset(_texts(self.server.get("channels")))

    @property
    def owners_only(self) -> bool:
        """Whether only its owner may draw from a picture."""
        return self.server.get("press") == "owner"

    @property
    def adult(self) -> frozenset[str]:
        """Channels where sexual content may be drawn, as far as the platform keeps them from the young."""
        return frozenset(channels_of(self.server, ADULT)) - self.spoiler

    @property
    def spoiler(self) -> frozenset[str]:
        """Channels where sexual content may be drawn, and is shown behind a click."""
        return frozenset(channels_of(self.server, SPOILER))

    @property
    def gate(self) -> Mapping[str, str]:
        """What this server has set about the prompt gate's other rules, by name; "usual": as whoever runs the bot has."""
        people = _text(self.server.get("people"))
        return {"people": people if people in list(People) else "usual", **{name: _switched(self.server.get(name)) for name in ("edits", "artists")}}

    @property
    def rules(self) -> str:
        """The server's own word rules, one a line."""
        return _text(self.server.get("rules"))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, (list, tuple)) else ()


def _switched(value: object) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else "usual"


def _texts_by_name(value: object) -> dict[str, str]:
    return {name: text for name, text in value.items() if isinstance(name, str) and isinstance(text, str)} if isinstance(value, Mapping) else {}


class Wishes:
    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store, self._clock = store, clock
        self._kept: dict[str, tuple[datetime, Mapping[str, Any]]] = {}

    async def start(self) -> None:
        """Read what everybody prefers: most prefer nothing."""
        for owner, found in (await self._store.all_preferences()).items():
            self.keep(owner, found)

    def at_hand(self, actor: Actor, place: Place) -> Standing:
        """In memory alone: what another process changed within the last moments may be missing."""
        return Standing(member=self._look(actor.key), server=self._look(place.owner))

    async def of(self, actor: Actor, place: Place) -> Standing:
        """What holds for this member at this place."""
        return Standing(member=await self._read(actor.key), server=await self._read(place.owner))

    async def change(self, owner: str, changes: Mapping[str, Any]) -> None:
        """A value of None takes one back."""
        self.keep(owner, await self._store.prefer(owner, changes))

    def forget(self, owner: str) -> None:
        self._kept.pop(owner, None)

    def _look(self, owner: str) -> Mapping[str, Any]:
        return self._kept[owner][1] if owner in self._kept else {}

    async def _read(self, owner: str) -> Mapping[str, Any]:
        if not owner:
            return {}
        when, found = self._kept.get(owner, (None, {}))
        if when is None or not timedelta(0) <= self._clock() - when < FRESH:
            found = await self._store.preferences(owner)
            self.keep(owner, found)
        return found

    def keep(self, owner: str, found: Mapping[str, Any]) -> None:
        """What the store has just said that this owner prefers."""
        self._kept[owner] = (self._clock(), found)
        if not found and len(self._kept) > _REMEMBERED:  # what is kept for nothing but the moment
            self._kept = {each: kept for each, kept in self._kept.items() if kept[1]}
