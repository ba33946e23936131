"""What is owed to members, which process tells it, and where their cards stand. Called by `bot.store.sql` for `bot.outbox`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain import Notice, Receipt, ReplyTo, Status
from bot.errors import NotFound
from bot.store import dialect
from bot.store.rows import receipt_of, reply_to_dict, reply_to_of
from bot.store.tables import jobs, memos, messages, notices, posts

_POST = (posts.c.platform.label("post_platform"), posts.c.channel.label("post_channel"), posts.c.handle.label("post_handle"))


async def placed(db: AsyncConnection, job_id: str, receipt: Receipt) -> None:
    """The newest place wins."""
    where = {"platform": receipt.platform, "channel": receipt.channel, "handle": receipt.handle, "at": await dialect.now(db)}
    await db.execute(dialect.insert(db, posts).values(job_id=job_id, **where).on_conflict_do_update(index_elements=["job_id"], set_=where))
    await _shown_at(db, job_id, receipt)


async def moved(db: AsyncConnection, job_id: str, actor_key: str, receipt: Receipt, reply_to: ReplyTo) -> None:
    """See `Store.moved`. What is owed goes to the new place, too."""
    columns = select(jobs.c.actor_key, jobs.c.status, jobs.c.reply_to)
    row = (await db.execute(columns.where(jobs.c.id == job_id, jobs.c.deleted_at.is_(None)))).mappings().one_or_none()
    if row is None:
        return
    if row["actor_key"] != actor_key or Status(row["status"]).ended:
        await _shown_at(db, job_id, receipt)
        return
    if reply_to_of(row["reply_to"]) != reply_to:  # else its row is left alone: a claim would pass over it while it is locked
        await db.execute(update(jobs).where(jobs.c.id == job_id).values(reply_to=reply_to_dict(reply_to)))
    await placed(db, job_id, receipt)


async def _shown_at(db: AsyncConnection, job_id: str, receipt: Receipt) -> None:
    where = {"platform": receipt.platform, "channel": receipt.channel, "handle": receipt.handle}
    statement = dialect.insert(db, messages).values(job_id=job_id, **where)
    await db.execute(statement.on_conflict_do_update(index_elements=list(where), set_={"job_id": job_id}))


async def job_at(db: AsyncConnection, platform: str, channel: str, handle: str) -> str | None:
    """See `Store.job_at`."""
    here = (messages.c.platform == platform) & (messages.c.channel == channel) & (messages.c.handle == handle)
    found: str | None = (await db.execute(select(messages.c.job_id).where(here))).scalar_one_or_none()
    return found


async def recall(db: AsyncConnection, key: str) -> str | None:
    """See `Memos.recall`."""
    found: str | None = (await db.execute(select(memos.c.value).where(memos.c.key == key))).scalar_one_or_none()
    return found


async def remember(db: AsyncConnection, key: str, value: str) -> None:
    """See `Memos.remember`."""
    if not value:
        await db.execute(delete(memos).where(memos.c.key == key))
        return
    await db.execute(dialect.insert(db, memos).values(key=key, value=value).on_conflict_do_update(index_elements=["key"], set_={"value": value}))


#: No delay is this long (`bot.outbox.LONGEST_DELAY` and half as much again): what is due later was put off before the clock was set back.
FAR = timedelta(hours=1)


async def owed(db: AsyncConnection, platforms: Sequence[str], limit: int) -> tuple[Notice, ...]:
    """See `Store.notices`."""
    due = and_(notices.c.platform.in_(platforms), notices.c.told_at.is_(None), _now_or_never(await dialect.now(db)))
    columns = select(notices.c.id, notices.c.attempts, jobs.c.reply_to, *_POST)
    tables = notices.join(jobs, jobs.c.id == notices.c.id).outerjoin(posts, posts.c.job_id == notices.c.id)
    rows = await db.execute(columns.select_from(tables).where(due).order_by(notices.c.created_at, notices.c.id).limit(limit))
    return tuple(
        Notice(id=row["id"], job_id=row["id"], reply_to=reply_to_of(row["reply_to"]), receipt=receipt_of(row), attempts=row["attempts"])
        for row in rows.mappings()
    )


async def hold(db: AsyncConnection, notice_id: str, lease: timedelta, held: datetime | None) -> datetime | None:
    """See `Store.hold`. Compare and set: of two at once the second finds it due no more. `due_at` is the lease's end, so that it is owed again by itself."""
    now = await dialect.now(db)
    free = _now_or_never(now) if held is None else or_(_now_or_never(now), notices.c.due_at == held)
    mine = update(notices).where(notices.c.id == notice_id, notices.c.told_at.is_(None), free).values(due_at=now + lease).returning(notices.c.due_at)
    until: datetime | None = (await db.execute(mine)).scalar_one_or_none()
    return until


async def told(db: AsyncConnection, notice_id: str) -> None:
    await db.execute(update(notices).where(notices.c.id == notice_id, notices.c.told_at.is_(None)).values(told_at=await dialect.now(db)))


async def put_off(db: AsyncConnection, notice_id: str, delay: timedelta, held: datetime | None = None) -> None:
    """See `Store.put_off`."""
    later = {"attempts": notices.c.attempts + 1, "due_at": await dialect.now(db) + delay}
    mine = and_(notices.c.id == notice_id, notices.c.told_at.is_(None))
    await db.execute(update(notices).where(mine if held is None else and_(mine, notices.c.due_at == held)).values(later))


def _now_or_never(now: datetime) -> ColumnElement[bool]:
    """A clock that was set back by more than the longest delay makes nobody wait."""
    return or_(notices.c.due_at <= now, notices.c.due_at > now + FAR)


async def reply_to(db: AsyncConnection, job_id: str) -> tuple[ReplyTo, Receipt | None]:
    """Where to answer and where the card stands. Raises NotFound."""
    columns = select(jobs.c.reply_to, *_POST).select_from(jobs.outerjoin(posts, posts.c.job_id == jobs.c.id))
    row = (await db.execute(columns.where(jobs.c.id == job_id))).mappings().one_or_none()
    if row is None:
        raise NotFound("error.not_found")
    return reply_to_of(row["reply_to"]), receipt_of(row)
