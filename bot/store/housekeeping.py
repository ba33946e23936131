"""Retention and what the collection of files needs to know. Called by `bot.store.sql`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete as delete_from
from sqlalchemy import exists, func, select, union
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain import Status
from bot.domain.moderation import Deed
from bot.store import dialect, gallery, keeping
from bot.store.tables import artifacts, audit, deliveries, inputs, jobs, memos, notices, offer_pictures

BATCH = 200  #: jobs hidden in one transaction, digests looked up in one query
COUNTED = tuple(deed.value for deed in (Deed.APPROVE, Deed.REMOVE, Deed.WARN, Deed.BAN))  #: deeds that a member's record is made of
OFFERS_KEPT = timedelta(days=90)
_AT_LEAST = timedelta(days=7)  #: how long deliveries are remembered, whatever the retention: no platform retries for longer


async def retire(db: AsyncConnection, older_than: timedelta) -> int:
    """Hide up to BATCH jobs past the retention; returns how many."""
    past = await dialect.now(db) - older_than
    ended = jobs.c.status.in_([status.value for status in Status if status.ended])
    kept = exists().where(artifacts.c.job_id == jobs.c.id, artifacts.c.favourite)
    old = select(jobs.c.id).where(ended, jobs.c.deleted_at.is_(None), jobs.c.ended_at <= past, ~kept).order_by(jobs.c.id).limit(BATCH)
    return await gallery.delete(db, (await db.execute(old)).scalars().all())


async def forget(db: AsyncConnection, older_than: timedelta | None) -> None:
    """Remove what nothing will ask for any more: deliveries, told notices, memos of jobs deleted long ago, and offers nobody took up."""
    now = await dialect.now(db)
    past = now - max(older_than or _AT_LEAST, _AT_LEAST)
    await db.execute(delete_from(deliveries).where(deliveries.c.at < past))
    await db.execute(delete_from(notices).where(notices.c.told_at < past))
    last = func.substr(memos.c.key, func.length(memos.c.key) - 25)  # as long as a ULID
    gone = select(jobs.c.id).where(jobs.c.deleted_at < now - _AT_LEAST)
    await db.execute(delete_from(memos).where(last.in_(gone)))
    await keeping.retire_offers(db, now - OFFERS_KEPT)


async def trim(db: AsyncConnection, older_than: timedelta) -> int:
    """Remove lines of the audit log of that age; how many. What was decided about members stays: their records are counted from it (`moderating.record`)."""
    gone = delete_from(audit).where(audit.c.at < await dialect.now(db) - older_than, ~(audit.c.deed.in_(COUNTED) & (audit.c.subject != "")))
    return (await db.execute(gone)).rowcount


async def referenced(db: AsyncConnection, digests: Sequence[str]) -> frozenset[str]:
    """See `Store.referenced`. Deleting a job removes its rows here, so what is there is needed."""
    needed: set[str] = set()
    for start in range(0, len(digests), BATCH):
        some = digests[start : start + BATCH]
        query = union(*(select(table.c.digest).where(table.c.digest.in_(some)) for table in (artifacts, inputs, offer_pictures)))
        needed.update((await db.execute(query)).scalars())
    return frozenset(needed)
