"""What comes in: deliveries and submissions. Called by `bot.store.sql`, each function inside one writing transaction.

Locks are taken in one order everywhere (delivery, wallets in common, wallet, job, virtual time), so that two transactions never wait for each other.
"""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain import Accepted, Job, Limits, Place, Status, Submission
from bot.errors import QueueFull
from bot.store import dialect, wallet
from bot.store.privacy import pseudonym
from bot.store.rows import job_of, job_values, sources
from bot.store.tables import UtcDateTime, deliveries, fairness, inputs, jobs

_THEIRS = jobs.c.actor_key == bindparam("actor")
_THERE = (jobs.c.place_platform == bindparam("platform")) & (jobs.c.place_server == bindparam("server"))
#: How many wait: everybody's, one member's, one server's. Built once: that takes longer than to answer it.
_WAITING = select(func.count(), func.count().filter(_THEIRS), func.count().filter(_THERE)).where(jobs.c.status == Status.QUEUED.value)


async def record(db: AsyncConnection, platform: str, delivery: str, job_ids: tuple[str, ...]) -> bool:
    """Write a delivery down; False when it was there before (after waiting for the transaction that is writing the same one)."""
    now = func.clock_timestamp(type_=UtcDateTime())
    statement = dialect.insert(db, deliveries).values(platform=platform, delivery=delivery, job_ids=list(job_ids), at=now)
    result = await db.execute(statement.on_conflict_do_nothing().returning(deliveries.c.delivery))
    return result.one_or_none() is not None


async def submit(db: AsyncConnection, submission: Submission, secret: bytes) -> Accepted:
    """See `Store.submit`. `secret`: of the pseudonyms. They are of one place. Raises ValueError for jobs of several members, or none."""
    actors = {job.actor.key for job in submission.jobs}
    if len(actors) != 1:
        raise ValueError(f"a submission is one member's, with at least one job: {actors}")
    [actor_key] = actors
    if not await record(db, submission.reply_to.platform, submission.delivery, tuple(job.id for job in submission.jobs)):
        return Accepted(jobs=await _jobs_of(db, submission.reply_to.platform, submission.delivery), again=True)
    place = submission.jobs[0].place
    common = await wallet.lock_common(db, place.owner, submission.limits)
    purse, ends = await wallet.lock(db, actor_key, pseudonym(actor_key, secret), submission.limits)
    virtual_time = (await db.execute(select(fairness.c.tag).where(fairness.c.id == 1).with_for_update())).scalar_one()
    await _admit(db, actor_key, place, len(submission.jobs), submission.limits)

    # Start-time fair queueing (Goyal, Vin, Cheng 1996): start = max(virtual time, the flow's last finish), finish = start + cost.
    tags: list[float] = []
    for job in submission.jobs:
        tags.append(max(virtual_time, ends[job.relaxed]))
        ends[job.relaxed] = tags[-1] + job.cost
    new = tuple(replace(job, status=Status.QUEUED, attempts=0, created_at=purse.at) for job in submission.jobs)
    rows = [job_values(job, submission.reply_to, created_at=purse.at, start_tag=tag) for job, tag in zip(new, tags, strict=True)]
    await db.execute(jobs.insert(), rows)
    await wallet.reserve(db, purse, actor_key, new, ends)
    await wallet.spend_common(db, common, sum(job.cost for job in new))
    needed = [{"job_id": job.id, "digest": digest} for job in new for digest in sources(job.request)]
    if needed:
        await db.execute(inputs.insert(), needed)
    return Accepted(jobs=new, wallet=replace(purse, balance=purse.balance - sum(job.cost for job in new)))


async def _admit(db: AsyncConnection, actor_key: str, place: Place, more: int, limits: Limits) -> None:
    """Raises QueueFull. Exact, since submissions are serialised by the virtual time's row."""
    everybody, mine, servers = (await db.execute(_WAITING, {"actor": actor_key, "platform": place.platform, "server": place.server})).one()
    own, room = max(0, limits.queued_per_actor - mine), max(0, limits.queued_total - everybody)
    if more > own:
        if more > 1:
            raise QueueFull("error.set_full_actor", limit=limits.queued_per_actor, count=more, room=own, wait=None)
        raise QueueFull("error.queue_full_actor", limit=limits.queued_per_actor, count=more, room=own, wait=None)
    there = max(0, limits.queued_per_server - servers)
    if place.server and limits.queued_per_server and more > there:
        message = "error.set_full_server" if more > 1 else "error.queue_full_server"
        raise QueueFull(message, limit=limits.queued_per_server, count=more, room=there, wait=None)
    if more > room:
        if more > 1:
            raise QueueFull("error.set_full", limit=limits.queued_total, count=more, room=room, wait=None)
        raise QueueFull("error.queue_full", limit=limits.queued_total, count=more, room=room, wait=None)


async def _jobs_of(db: AsyncConnection, platform: str, delivery: str) -> tuple[Job, ...]:
    """In the order they were submitted."""
    key = (deliveries.c.platform == platform) & (deliveries.c.delivery == delivery)
    ids: list[str] = (await db.execute(select(deliveries.c.job_ids).where(key))).scalar_one()
    rows = (await db.execute(select(jobs).where(jobs.c.id.in_(ids)))).mappings()
    found = {row["id"]: job_of(row) for row in rows}
    return tuple(found[job_id] for job_id in ids if job_id in found)
