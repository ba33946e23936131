"""`SqlCaseBook`: moderation's records, in the store's database and its transactions. Made by `bot.app`; everything else sees `bot.ports.CaseBook`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain import Actor, Place, Receipt
from bot.domain.moderation import Ban, Case, Decision, Entry, Letter, Plan, Record, Report, Stats
from bot.store import mail, moderating, privacy
from bot.store.sql import SqlStore


class SqlCaseBook:
    """See `bot.ports.CaseBook`. `secret`: what the store's own pseudonyms are made with."""

    def __init__(self, store: SqlStore, secret: bytes) -> None:
        self._store, self._secret = store, secret

    def alias(self, actor_key: str) -> str:
        return privacy.pseudonym(actor_key, self._secret)

    # -- cases
    async def open(self, case: Case, report: Report | None = None, *, most: int = 0, letter: Letter | None = None) -> tuple[Case, bool]:
        reporter = self.alias(report.actor.key) if report else ""
        return await self._store.write(moderating.open_case, case, self.alias(case.subject.key), report, reporter, most, letter)

    async def case(self, case_id: str) -> Case:
        return await self._store.read(moderating.case_of, case_id)

    async def waiting(self, owner: str, limit: int = 25) -> tuple[Case, ...]:
        return await self._store.read(moderating.open_cases, owner, limit)

    async def reporters(self, case_id: str) -> tuple[Report, ...]:
        return await self._store.read(moderating.reporters, case_id)

    async def record(self, owner: str, actor_key: str) -> Record:
        return await self._store.read(moderating.record, owner, self.alias(actor_key))

    async def decide(self, case: Case, made: Decision, entry: Entry, *, hide: Sequence[str] = (), bans: bool = False, letters: Sequence[Letter] = ()) -> bool:
        return await self._store.write(moderating.decide, case.id, made, entry, hide=hide, bans=bans, owed=letters)

    async def allowed(self, case: Case) -> bool:
        return await self._store.read(moderating.allowed, case.owner, case.target)

    # -- bans
    async def bans(self) -> tuple[Ban, ...]:
        return await self._store.read(moderating.all_bans)

    async def ban(self, owner: str, actor: Actor, until: datetime | None, entry: Entry, letters: Sequence[Letter] = ()) -> None:
        await self._store.write(moderating.ban, owner, self.alias(actor.key), actor, until, entry, letters)

    async def unban(self, owner: str, actor_key: str, entry: Entry) -> bool:
        return await self._store.write(moderating.unban, owner, self.alias(actor_key), entry)

    # -- settings, the log, and many jobs at once
    async def choose(self, owner: str, plan: Plan, entry: Callable[[Mapping[str, Any], Mapping[str, Any]], Entry]) -> Mapping[str, Any]:
        return await self._store.write(moderating.choose, owner, plan, entry)

    async def write_down(self, entry: Entry, letters: Sequence[Letter] = ()) -> None:
        async def both(db: AsyncConnection) -> None:
            await moderating.write_down(db, entry)
            await mail.post(db, letters, entry.owner)

        await self._store.write(both)

    async def log(self, owner: str, *, before: str | None = None, limit: int = 20) -> tuple[Entry, ...]:
        return await self._store.read(moderating.entries, owner, before, limit)

    async def jobs_in(self, place: Place, *, actor_key: str = "", since: timedelta | None = None, limit: int, ended: bool = True) -> tuple[str, ...]:
        return await self._store.read(moderating.jobs_in, place, actor_key, since, limit, ended=ended)

    async def stands(self, job_id: str) -> tuple[Receipt, ...]:
        return await self._store.read(moderating.stands, job_id)

    async def purge(self, job_ids: Sequence[str], entry: Entry, letters: Sequence[Letter] = ()) -> int:
        return await self._store.write(moderating.purge, job_ids, entry, letters)

    async def stats(self, place: Place, span: timedelta) -> Stats:
        return await self._store.read(moderating.stats, place, span)

    # -- letters
    async def post(self, letters: Sequence[Letter]) -> None:
        await self._store.write(mail.post, letters)

    async def due(self, limit: int = 50, platforms: Sequence[str] | None = None) -> tuple[Letter, ...]:
        return await self._store.read(mail.due, limit, platforms)

    async def claim(self, letter_id: str, lease: timedelta) -> Letter | None:
        return await self._store.write(mail.claim, letter_id, lease)

    async def told(self, letter: Letter, receipt: Receipt | None, *, undelivered: bool = False) -> None:
        await self._store.write(mail.told, letter, receipt, undelivered=undelivered)

    async def put_off(self, letter: Letter, delay: timedelta, *, undelivered: bool = False) -> None:
        await self._store.write(mail.put_off, letter, delay, undelivered=undelivered)

    # -- what becomes of it
    async def tidy(self) -> None:
        await self._store.write(moderating.tidy)

    async def kept(self, actor_key: str) -> Mapping[str, Any]:
        return await self._store.read(moderating.kept_of, actor_key)
