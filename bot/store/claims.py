"""A job's way from queued to its end. Called by `bot.store.sql`, each function inside one writing transaction.

Transitions are those of `bot.domain.MOVES`. Claims are leases by the database's clock. Every end (`_end`, `finish`) writes status, money and
the notice owed together.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, literal, select, true, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain import Artifact, Job, Load, Said, Status
from bot.limits import RELAX_PATIENCE, RELAXED
from bot.store import dialect, mail, wallet
from bot.store.rows import Row, artifact_values, job_of
from bot.store.tables import artifacts, fairness, jobs, notices, wallets

_OPEN = (Status.QUEUED.value, Status.RUNNING.value)
_IDLE: dict[str, Any] = {"worker": None, "leased_until": None}


async def claim(db: AsyncConnection, worker: str, lease: timedelta) -> Job | None:
    """See `Store.claim`. Those who wait for nobody first, of them the lowest start tag; virtual time moves up to it."""
    now = await dialect.now(db)
    # FOR NO KEY UPDATE: a row that is merely referred to (a receipt being written) is not skipped.
    lowest = select(jobs.c.id).where(jobs.c.status == Status.QUEUED.value).order_by(_patient(now), jobs.c.start_tag, jobs.c.id).limit(1)
    job_id = (await db.execute(lowest.with_for_update(skip_locked=True, key_share=True))).scalar_one_or_none()
    if job_id is None:
        return None
    taken = {"status": Status.RUNNING.value, "worker": worker, "leased_until": now + lease, "started_at": now, "attempts": jobs.c.attempts + 1}
    row = (await db.execute(update(jobs).where(jobs.c.id == job_id).values(taken).returning(jobs))).mappings().one()
    await db.execute(update(fairness).where(fairness.c.id == 1, fairness.c.tag < row["start_tag"]).values(tag=row["start_tag"]))
    return job_of(row)


async def heartbeat(db: AsyncConnection, worker: str, job_ids: Sequence[str], lease: timedelta) -> frozenset[str]:
    now = await dialect.now(db)
    kept = await db.execute(update(jobs).where(_held(worker), jobs.c.id.in_(job_ids)).values(leased_until=now + lease).returning(jobs.c.id))
    return frozenset(kept.scalars())


async def finish(db: AsyncConnection, worker: str, job_id: str, made: Sequence[Artifact], device_seconds: float, hidden: bool = False) -> bool:
    """See `Store.finish`. Raises ValueError for another job's artifacts."""
    if any(artifact.job_id != job_id for artifact in made):
        raise ValueError(f"artifacts of another job than {job_id}")
    now = await dialect.now(db)
    done = {"status": Status.DONE.value, "ended_at": now, "device_seconds": device_seconds, **_IDLE, **({"hidden": True} if hidden else {})}
    row = (await db.execute(update(jobs).where(_held(worker), jobs.c.id == job_id).values(done).returning(jobs))).mappings().one_or_none()
    if row is None:
        return False
    if made:
        await db.execute(artifacts.insert(), [artifact_values(artifact) for artifact in made])
    await wallet.settle(db, row, now)
    await _owe(db, row, now)
    return True


async def fail(db: AsyncConnection, worker: str | None, job_id: str, error: Said) -> bool:
    return await _end(db, job_id, Status.FAILED, error=error, where=_held(worker) if worker is not None else true())


async def cancel(db: AsyncConnection, job_id: str) -> bool:
    return await _end(db, job_id, Status.CANCELLED, where=true())


async def requeue(db: AsyncConnection, worker: str, job_ids: Sequence[str]) -> int:
    """See `Store.requeue`: the claim is undone, as if it had not been made."""
    back = {"status": Status.QUEUED.value, "started_at": None, "attempts": jobs.c.attempts - 1, **_IDLE}
    result = await db.execute(update(jobs).where(_held(worker), jobs.c.id.in_(job_ids)).values(back).returning(jobs.c.id))
    return len(result.all())


async def expire(db: AsyncConnection) -> None:
    """Every lease ends now. At the start on SQLite, where the data directory's lock proves that whoever held them is dead."""
    await db.execute(update(jobs).where(jobs.c.status == Status.RUNNING.value).values(leased_until=await dialect.now(db)))
    await mail.expire(db)


async def requeue_expired(db: AsyncConnection, max_attempts: int) -> int:
    """See `Store.requeue_expired`. A job that was claimed `max_attempts` times and never let go of properly kills its engine: it fails, with a refund."""
    ran_out = (jobs.c.status == Status.RUNNING.value) & (jobs.c.leased_until <= await dialect.now(db))
    poisonous = (await db.execute(select(jobs.c.id).where(ran_out, jobs.c.attempts >= max_attempts).order_by(jobs.c.id))).scalars().all()
    for job_id in poisonous:
        await _end(db, job_id, Status.FAILED, error=Said(message="error.poison"), where=ran_out)
    back = {"status": Status.QUEUED.value, "started_at": None, **_IDLE}
    result = await db.execute(update(jobs).where(ran_out, jobs.c.attempts < max_attempts).values(back).returning(jobs.c.id))
    return len(result.all())


async def load(db: AsyncConnection) -> Load:
    counted = select(
        func.count().filter(jobs.c.status == Status.QUEUED.value),
        func.count().filter(jobs.c.status == Status.RUNNING.value),
        func.coalesce(func.sum(_work()), 0.0),
    ).where(jobs.c.status.in_(_OPEN))
    queued, running, cost = (await db.execute(counted)).one()
    return Load(queued=queued, running=running, cost_ahead=cost)


async def position(db: AsyncConnection, job_id: str) -> tuple[int, float] | None:
    """See `Store.position`."""
    patient = _patient(await dialect.now(db))
    place = select(patient, jobs.c.start_tag).where(jobs.c.id == job_id, jobs.c.status == Status.QUEUED.value)
    mine = (await db.execute(place)).one_or_none()
    if mine is None:
        return None
    sooner = tuple_(patient, jobs.c.start_tag, jobs.c.id) < tuple_(literal(mine[0]), literal(mine[1]), literal(job_id))
    waiting = (jobs.c.status == Status.QUEUED.value) & sooner
    ahead = select(func.count().filter(waiting), func.coalesce(func.sum(_work()), 0.0)).where(waiting | (jobs.c.status == Status.RUNNING.value))
    count, cost = (await db.execute(ahead)).one()
    return count, cost


def _patient(now: datetime) -> ColumnElement[int]:
    """1 for a job that lets all others go first, 0 for those others."""
    return case((jobs.c.relaxed & (jobs.c.created_at > now - RELAX_PATIENCE), 1), else_=0)


def _work() -> ColumnElement[float]:
    """Full credits: `bot.limits.work`."""
    return case((jobs.c.relaxed, jobs.c.cost / RELAXED), else_=jobs.c.cost)


def _held(worker: str) -> ColumnElement[bool]:
    return and_(jobs.c.status == Status.RUNNING.value, jobs.c.worker == worker)


async def _end(db: AsyncConnection, job_id: str, status: Status, *, error: Said | None = None, where: ColumnElement[bool]) -> bool:
    """Queued or running → failed or cancelled: refund, notice. False when it had ended, or `where` does not hold (any more)."""
    actor_key = (await db.execute(select(jobs.c.actor_key).where(jobs.c.id == job_id))).scalar_one_or_none()
    if actor_key is None:
        return False
    await wallet.lock_order(db)
    await db.execute(select(wallets.c.actor_key).where(wallets.c.actor_key == actor_key).with_for_update())
    here = select(jobs).where(jobs.c.id == job_id, jobs.c.status.in_(_OPEN), where)
    row = (await db.execute(here.with_for_update(key_share=True))).mappings().one_or_none()
    if row is None:
        return False
    now = await dialect.now(db)
    said = {"error_message": error.message, "error_parameters": dict(error.parameters)} if error else {}
    await db.execute(update(jobs).where(jobs.c.id == job_id).values(status=status.value, ended_at=now, **said, **_IDLE))
    if row["status"] == Status.QUEUED.value:
        await _close_the_gap(db, row)
    await wallet.refund(db, row, now)
    await _owe(db, row, now)
    return True


async def _close_the_gap(db: AsyncConnection, row: Row) -> None:
    """A job that left the queue undrawn cost nobody anything: what its member has waiting behind it moves up by its cost."""
    mine = (jobs.c.actor_key == row["actor_key"]) & (jobs.c.relaxed == row["relaxed"]) & (jobs.c.status == Status.QUEUED.value)
    await db.execute(update(jobs).where(mine, jobs.c.start_tag > row["start_tag"]).values(start_tag=jobs.c.start_tag - row["cost"]))
    end = wallet.TAGS[row["relaxed"]]
    await db.execute(update(wallets).where(wallets.c.actor_key == row["actor_key"]).values({end.name: end - row["cost"]}))


async def _owe(db: AsyncConnection, row: Row, when: datetime) -> None:
    """The end of this job is to be shown where it was asked for."""
    await db.execute(notices.insert().values(id=row["id"], platform=row["reply_to"]["platform"], attempts=0, created_at=when, due_at=when))
