"""How many cases a member may have open at once. Called by `bot.store.moderating` in the transaction that opens one."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.moderation import Kind
from bot.errors import Refused
from bot.store import dialect
from bot.store.tables import cases, reports

COUNTED = timedelta(days=30)  #: how long one that nobody decides counts against its member: else absent moderators would silence them for good


async def take_turn(db: AsyncConnection, owner: str, alias: str) -> None:
    """Before anything is opened: until this transaction ends no other counts what this member has open on that server."""
    await dialect.take_turn(db, f"cases\0{owner}\0{alias}")


async def need_room(db: AsyncConnection, kind: Kind, owner: str, alias: str, most: int) -> None:
    """After it was opened: the transaction is undone by what this raises. By pseudonym, so that being forgotten makes no room.

    Raises Refused where it is one too many.
    """
    since = await dialect.now(db) - COUNTED
    waiting = select(func.count()).where(cases.c.owner == owner, cases.c.decision.is_(None))
    if kind is Kind.REPORT:
        mine = waiting.select_from(cases.join(reports, reports.c.case_id == cases.c.id)).where(reports.c.alias == alias, reports.c.at > since)
    else:
        mine = waiting.select_from(cases).where(cases.c.kind == kind.value, cases.c.alias == alias, cases.c.opened_at > since)
    if (await db.execute(mine)).scalar_one() > most:
        raise Refused("refused.open_reports" if kind is Kind.REPORT else "refused.open_contests", limit=most)
