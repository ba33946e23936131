"""Words owed to moderators and members: who sends which, until a chat has taken it. Called by `bot.store.casebook` and `bot.store.moderating`.

Whoever sends a letter claims it first, by a lease of the database's clock: of two processes one sends it, and what a process held when it was killed is
owed again once its lease has run out. Of the letters about one case one is on its way at a time: they are the same card, and the second has to know where
the first put it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy import delete as delete_from
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain import Receipt
from bot.domain.moderation import ANNOUNCED, Letter
from bot.store import dialect
from bot.store.rows import Row, reply_to_dict, reply_to_of
from bot.store.tables import cases, letters

FAR = timedelta(days=1)  #: no delay and no lease is this long: what is later was written before the clock was set back
KEPT = timedelta(days=7)  #: how long a letter is kept once it was told, or given up; and how long one waits for a chat that nobody serves


async def post(db: AsyncConnection, owed: Sequence[Letter], owner: str = "") -> None:
    """Owe these. `owner`: the server (`Place.owner`) whose words they are; of a case's letter it is looked up."""
    if not owed:
        return
    now = await dialect.now(db)
    about = {each.case_id for each in owed if each.case_id}
    found = (await db.execute(select(cases.c.id, cases.c.owner).where(cases.c.id.in_(about)))).all() if about and not owner else ()
    owners = {case_id: of_case for case_id, of_case in found}
    rows = [
        {
            "id": each.id,
            "owner": owner or owners.get(each.case_id, ""),
            "platform": each.reply_to.platform,
            "reply_to": reply_to_dict(each.reply_to),
            "receipt": {"platform": each.receipt.platform, "channel": each.receipt.channel, "handle": each.receipt.handle} if each.receipt else None,
            "case_id": each.case_id,
            "member": each.member,
            "title": each.title,
            "text": each.text,
            "parameters": dict(each.parameters),
            "locale": each.locale[:35],
            "created_at": now,
            "due_at": now,
        }
        for each in owed
    ]
    await db.execute(letters.insert(), rows)


async def due(db: AsyncConnection, limit: int, platforms: Sequence[str] | None) -> tuple[Letter, ...]:
    """See `CaseBook.due`."""
    owed = and_(letters.c.told_at.is_(None), _now_or_never(await dialect.now(db)))
    if platforms is not None:
        owed = and_(owed, letters.c.platform.in_(platforms))
    rows = await db.execute(select(letters).where(owed).order_by(letters.c.created_at, letters.c.id).limit(limit))
    return tuple(map(_letter_of, rows.mappings()))


async def claim(db: AsyncConnection, letter_id: str, lease: timedelta) -> Letter | None:
    """See `CaseBook.claim`."""
    case_id = (await db.execute(select(letters.c.case_id).where(letters.c.id == letter_id))).scalar_one_or_none()
    if case_id is None:
        return None
    if case_id:
        await dialect.take_turn(db, f"letters\0{case_id}")  # else two could each claim one and see nothing of the other's
    now = await dialect.now(db)
    leased = and_(letters.c.leased_until > now, letters.c.leased_until <= now + FAR)
    if case_id:
        another = select(letters.c.id).where(letters.c.case_id == case_id, letters.c.id != letter_id, letters.c.told_at.is_(None), leased)
        if (await db.execute(another.limit(1))).scalar_one_or_none() is not None:
            return None
    free = and_(letters.c.id == letter_id, letters.c.told_at.is_(None), _now_or_never(now), or_(letters.c.leased_until.is_(None), ~leased))
    taken = update(letters).where(free).values(leased_until=now + lease, attempts=letters.c.attempts + 1).returning(letters)
    row = (await db.execute(taken)).mappings().one_or_none()
    return None if row is None else _letter_of(row)


async def told(db: AsyncConnection, letter: Letter, receipt: Receipt | None, *, undelivered: bool) -> None:
    """See `CaseBook.told`. Whoever holds the lease by now: it was told."""
    if letter.case_id and receipt is not None:
        where = {"post_platform": receipt.platform, "post_channel": receipt.channel, "post_handle": receipt.handle}
        await db.execute(update(cases).where(cases.c.id == letter.case_id).values(where))
    ended = {"told_at": await dialect.now(db), "leased_until": None, "undelivered": undelivered}
    await db.execute(update(letters).where(letters.c.id == letter.id, letters.c.told_at.is_(None)).values(ended))


async def put_off(db: AsyncConnection, letter: Letter, delay: timedelta, *, undelivered: bool) -> None:
    """See `CaseBook.put_off`. Only by whoever claimed it last: it is another's to send else."""
    later = {"due_at": await dialect.now(db) + delay, "leased_until": None, "undelivered": undelivered}
    mine = and_(letters.c.id == letter.id, letters.c.attempts == letter.attempts, letters.c.told_at.is_(None))
    await db.execute(update(letters).where(mine).values(later))


async def expire(db: AsyncConnection) -> None:
    """Every lease ends now. At the start on SQLite, where whoever held them is dead."""
    await db.execute(update(letters).where(letters.c.leased_until.is_not(None)).values(leased_until=None))


async def undelivered(db: AsyncConnection, owner: str, since: datetime) -> int:
    """How many letters of a server nobody took: those that were given up, and those that are tried again still."""
    lost = select(func.count()).select_from(letters).where(letters.c.owner == owner, letters.c.undelivered, letters.c.created_at >= since)
    count: int = (await db.execute(lost)).scalar_one()
    return count


async def closed(db: AsyncConnection, owner: str, since: datetime) -> tuple[str, ...]:
    """Channels of a server, as `Place.channel` has them, in which a word to all could not be posted: each once, in order."""
    lost = and_(letters.c.owner == owner, letters.c.undelivered, letters.c.title == ANNOUNCED, letters.c.created_at >= since)
    places = [reply_to_of(each) for each in (await db.execute(select(letters.c.reply_to).where(lost))).scalars()]
    return tuple(sorted({each.channel.rpartition(":")[2] for each in places}))


async def tidy(db: AsyncConnection) -> None:
    """Forget what was told; what waits for a chat that nobody serves any more is given up. Deleted a week later, as all."""
    past = await dialect.now(db) - KEPT
    await db.execute(delete_from(letters).where(letters.c.told_at < past))
    left = {"told_at": await dialect.now(db), "leased_until": None, "undelivered": True}
    await db.execute(update(letters).where(letters.c.told_at.is_(None), letters.c.created_at < past).values(left))


def _now_or_never(now: datetime) -> ColumnElement[bool]:
    """A clock that was set back by more than the longest delay makes nobody wait."""
    return or_(letters.c.due_at <= now, letters.c.due_at > now + FAR)


def _letter_of(row: Row) -> Letter:
    return Letter(
        id=row["id"],
        reply_to=reply_to_of(row["reply_to"]),
        receipt=Receipt(**row["receipt"]) if row["receipt"] else None,
        case_id=row["case_id"],
        member=row["member"],
        title=row["title"],
        text=row["text"],
        parameters=row["parameters"],
        locale=row["locale"],
        attempts=row["attempts"],
    )
