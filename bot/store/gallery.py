"""Questions about jobs and pictures, and what a member may do to their own. Called by `bot.store.sql`. Deleted jobs are nowhere here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import and_, exists, or_, select, update
from sqlalchemy import delete as delete_from
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain import Artifact, Job, Shown, Status
from bot.errors import NotFound
from bot.store import dialect
from bot.store.keeping import portions
from bot.store.rows import Row, artifact_of, fold, job_of
from bot.store.tables import artifacts, inputs, jobs, messages, notices

UPLOAD = -2  #: the index under which `find_picture` returns a picture that a job started from

_HERE = jobs.c.deleted_at.is_(None)


async def shown(db: AsyncConnection, job_id: str) -> Shown:
    """See `Store.shown`. Raises NotFound."""
    found = await _with_pictures(db, (await db.execute(select(jobs).where(jobs.c.id == job_id, _HERE))).mappings().all())
    if not found:
        raise NotFound("error.not_found")
    return found[0]


async def history(db: AsyncConnection, actor_key: str, *, search: str, favourites: bool, before: str | None, limit: int) -> tuple[Shown, ...]:
    """See `Store.history`. Every word of `search` must be there, in any order; ``%`` and ``_`` are only characters."""
    query = select(jobs).where(jobs.c.actor_key == actor_key, _HERE)
    for word in fold(search).replace("\0", "").split():
        query = query.where(jobs.c.folded.contains(word, autoescape=True))
    if favourites:
        query = query.where(exists().where(artifacts.c.job_id == jobs.c.id, artifacts.c.favourite))
    if before is not None:
        query = query.where(jobs.c.id < before)
    rows = (await db.execute(query.order_by(jobs.c.id.desc()).limit(limit))).mappings().all()
    return await _with_pictures(db, rows)


async def active(db: AsyncConnection, actor_key: str) -> tuple[Job, ...]:
    """See `Store.active`."""
    open_still = jobs.c.status.in_((Status.QUEUED.value, Status.RUNNING.value))
    rows = await db.execute(select(jobs).where(jobs.c.actor_key == actor_key, open_still, _HERE).order_by(jobs.c.id))
    return tuple(job_of(row) for row in rows.mappings())


async def batch(db: AsyncConnection, offer_id: str) -> tuple[Shown, ...]:
    """See `Store.batch`. Start tags ascend as prompts do; ids made within one millisecond need not."""
    if not offer_id:
        return ()
    rows = await db.execute(select(jobs).where(jobs.c.batch == offer_id, _HERE).order_by(jobs.c.created_at, jobs.c.start_tag, jobs.c.id))
    return await _with_pictures(db, rows.mappings().all())


async def everything(db: AsyncConnection, actor_key: str) -> tuple[Shown, ...]:
    """See `Store.everything`."""
    rows = (await db.execute(select(jobs).where(jobs.c.actor_key == actor_key, _HERE).order_by(jobs.c.id))).mappings().all()
    return tuple([shown for some in portions(rows) for shown in await _with_pictures(db, some)])


async def find_picture(db: AsyncConnection, digest: str, actor_key: str) -> tuple[Job, Artifact] | None:
    """See `Store.find_picture`. Who drew it comes before who uploaded it."""
    visible = or_(jobs.c.private.is_(False), jobs.c.actor_key == actor_key)
    drawn = select(artifacts).join(jobs, jobs.c.id == artifacts.c.job_id).where(artifacts.c.digest == digest, visible, _HERE)
    picture = (await db.execute(drawn.order_by(artifacts.c.job_id, artifacts.c.idx).limit(1))).mappings().one_or_none()
    if picture is not None:
        row = (await db.execute(select(jobs).where(jobs.c.id == picture["job_id"]))).mappings().one()
        return job_of(row), artifact_of(picture)
    used = select(jobs).join(inputs, inputs.c.job_id == jobs.c.id).where(inputs.c.digest == digest, visible, _HERE)
    row_or_none = (await db.execute(used.order_by(jobs.c.id).limit(1))).mappings().one_or_none()
    if row_or_none is None:
        return None
    job = job_of(row_or_none)
    return job, Artifact(job_id=job.id, index=UPLOAD, digest=digest, seed=job.request.seed, width=job.request.width, height=job.request.height)


async def fingerprints(db: AsyncConnection, actor_key: str, *, after: tuple[str, int] | None, limit: int) -> tuple[tuple[str, int, str], ...]:
    """(job, index, fingerprint) of pictures this member may see, the newest jobs first; those that come after `after` in that order."""
    visible = or_(jobs.c.private.is_(False), jobs.c.actor_key == actor_key)
    query = select(artifacts.c.job_id, artifacts.c.idx, artifacts.c.fingerprint).join(jobs, jobs.c.id == artifacts.c.job_id)
    query = query.where(artifacts.c.fingerprint != "", visible, _HERE)
    if after is not None:
        query = query.where(or_(artifacts.c.job_id < after[0], and_(artifacts.c.job_id == after[0], artifacts.c.idx > after[1])))
    rows = await db.execute(query.order_by(artifacts.c.job_id.desc(), artifacts.c.idx).limit(limit))
    return tuple((row[0], row[1], row[2]) for row in rows)


async def picture_of(db: AsyncConnection, job_id: str, index: int, actor_key: str) -> tuple[Job, Artifact] | None:
    """That picture of that job, if this member may see it."""
    visible = or_(jobs.c.private.is_(False), jobs.c.actor_key == actor_key)
    row = (await db.execute(select(jobs).where(jobs.c.id == job_id, visible, _HERE))).mappings().one_or_none()
    if row is None:
        return None
    found = await db.execute(select(artifacts).where(artifacts.c.job_id == job_id, artifacts.c.idx == index))
    picture = found.mappings().one_or_none()
    return None if picture is None else (job_of(row), artifact_of(picture))


async def favourite(db: AsyncConnection, job_id: str, index: int, on: bool) -> None:
    """Raises NotFound."""
    marked = update(artifacts).where(artifacts.c.job_id == job_id, artifacts.c.idx == index).values(favourite=on)
    if (await db.execute(marked.returning(artifacts.c.idx))).one_or_none() is None:
        raise NotFound("error.not_found")


async def delete(db: AsyncConnection, job_ids: Sequence[str]) -> int:
    """See `Store.delete`. Jobs that have not ended are left alone; returns how many were hidden."""
    now = await dialect.now(db)
    ended = jobs.c.status.in_([status.value for status in Status if status.ended])
    hidden = update(jobs).where(jobs.c.id.in_(job_ids), ended, _HERE).values(deleted_at=now).returning(jobs.c.id)
    gone = (await db.execute(hidden)).scalars().all()
    if gone:
        await db.execute(delete_from(artifacts).where(artifacts.c.job_id.in_(gone)))
        await db.execute(delete_from(inputs).where(inputs.c.job_id.in_(gone)))
        await db.execute(delete_from(messages).where(messages.c.job_id.in_(gone)))
        await db.execute(update(notices).where(notices.c.id.in_(gone), notices.c.told_at.is_(None)).values(told_at=now))
    return len(gone)


async def _with_pictures(db: AsyncConnection, rows: Sequence[Row]) -> tuple[Shown, ...]:
    """Rows of `jobs`, in their order, with artifacts (the clip and the contact sheet first) and children (oldest first)."""
    found = [job_of(row) for row in rows]
    ids = [job.id for job in found]
    if not ids:
        return ()
    pictures: defaultdict[str, list[Artifact]] = defaultdict(list)
    for row in (await db.execute(select(artifacts).where(artifacts.c.job_id.in_(ids)).order_by(artifacts.c.job_id, artifacts.c.idx))).mappings():
        pictures[row["job_id"]].append(artifact_of(row))
    children: defaultdict[str, list[Job]] = defaultdict(list)
    for row in (await db.execute(select(jobs).where(jobs.c.parent_job.in_(ids), _HERE).order_by(jobs.c.id))).mappings():
        children[row["parent_job"]].append(job_of(row))
    return tuple(Shown(job=job, artifacts=tuple(pictures[job.id]), children=tuple(children[job.id])) for job in found)
