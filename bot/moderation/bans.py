"""Who is banned, at hand: a greeting may not wait for a database. Made by `bot.app`; asked by `bot.studio`, told by `bot.moderation.doing`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from bot.domain import Actor, Place
from bot.domain.moderation import Ban, bars
from bot.errors import Refused
from bot.ports import CaseBook

FRESH = timedelta(seconds=30)  #: another process may have banned somebody meanwhile


class Bans:
    def __init__(self, book: CaseBook, clock: Callable[[], datetime]) -> None:
        self._book, self._clock = book, clock
        self._by_alias: dict[str, list[Ban]] = {}
        self._read_at: datetime | None = None

    async def read(self, *, now: bool = False) -> None:
        """From the store, unless that was done a moment ago. Raises Fault."""
        if not now and self._read_at is not None and timedelta(0) <= self._clock() - self._read_at < FRESH:
            return
        found: dict[str, list[Ban]] = {}
        for each in await self._book.bans():
            found.setdefault(each.alias, []).append(each)
        self._by_alias, self._read_at = found, self._clock()

    def of(self, actor: Actor, place: Place) -> Ban | None:
        """The one that keeps them from asking here, as far as is known. In memory."""
        if not self._by_alias:
            return None
        now = self._clock()
        return next((each for each in self._by_alias.get(self._book.alias(actor.key), ()) if bars(each, actor, place, now)), None)

    def need_welcome(self, actor: Actor, place: Place) -> None:
        """Raises Refused: one sentence, with how long it holds where it ends."""
        ban = self.of(actor, place)
        if ban is None:
            return
        if ban.until is None:
            raise Refused("refused.banned")
        raise Refused("refused.banned_until", wait=(ban.until - self._clock()).total_seconds())
