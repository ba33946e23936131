"""Credits: the arithmetic is `bot.domain.Wallet`'s, the rows are here. Used by `inbox` (reserve), `claims` (settle, refund) and `sql`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain import Job, Limits, Wallet
from bot.errors import OutOfCredits
from bot.store import dialect
from bot.store.rows import Row
from bot.store.tables import jobs, ledger, wallets

RESERVE, SETTLE, REFUND = "reserve", "settle", "refund"


async def read(db: AsyncConnection, actor_key: str, *, cap: float, per_hour: float) -> Wallet:
    """Refilled until now; a full one for a newcomer. Writes nothing."""
    now = await dialect.now(db)
    row = (await db.execute(select(wallets).where(wallets.c.actor_key == actor_key))).mappings().one_or_none()
    if row is None:
        return Wallet(balance=cap, at=now, cap=cap, per_hour=per_hour)
    return _wallet(row, cap=cap, per_hour=per_hour).now(now)


async def lock(db: AsyncConnection, actor_key: str, limits: Limits) -> tuple[Wallet, float]:
    """Take the member's row, making it for a newcomer, until the transaction ends. Returns the wallet, refilled until now, and the flow's finish tag."""
    newcomer = dialect.insert(db, wallets).values(actor_key=actor_key, balance=limits.cap, at=await dialect.now(db), finish_tag=0.0)
    await db.execute(newcomer.on_conflict_do_nothing())
    row = (await db.execute(select(wallets).where(wallets.c.actor_key == actor_key).with_for_update())).mappings().one()
    return _wallet(row, cap=limits.cap, per_hour=limits.per_hour).now(await dialect.now(db)), row["finish_tag"]


async def reserve(db: AsyncConnection, wallet: Wallet, actor_key: str, charged: Iterable[Job], finish_tag: float) -> None:
    """Take the jobs' costs out of a locked wallet. Raises OutOfCredits when it does not hold them all."""
    charged = tuple(charged)
    cost = sum(job.cost for job in charged)
    wait = wallet.wait(cost)
    if wait is None:
        raise OutOfCredits("error.too_dear", cost=cost, balance=wallet.balance, wait=None, cap=wallet.cap)
    if wait > timedelta(0):
        raise OutOfCredits("error.out_of_credits", cost=cost, balance=wallet.balance, wait=wait.total_seconds(), cap=wallet.cap)
    balance = wallet.balance - cost
    await db.execute(update(wallets).where(wallets.c.actor_key == actor_key).values(balance=balance, at=wallet.at, finish_tag=finish_tag))
    await db.execute(ledger.insert(), [_entry(job.id, actor_key, RESERVE, job.cost, wallet.at) for job in charged])


async def settle(db: AsyncConnection, row: Row, when: datetime) -> None:
    """The reserved cost of a finished job (a row of `jobs`) stays spent."""
    await db.execute(ledger.insert(), [_entry(row["id"], row["actor_key"], SETTLE, row["cost"], when)])


async def refund(db: AsyncConnection, row: Row, when: datetime) -> None:
    """The reserved cost of a job (a row of `jobs`) goes back, to the moment the balance was last written: as if it had never left, refill included."""
    await db.execute(update(wallets).where(wallets.c.actor_key == row["actor_key"]).values(balance=wallets.c.balance + row["cost"]))
    await db.execute(ledger.insert(), [_entry(row["id"], row["actor_key"], REFUND, row["cost"], when)])


async def discrepancies(db: AsyncConnection) -> tuple[str, ...]:
    """Ids of jobs whose ledger is not exact: reserved = settled + refunded + still running or queued. Empty unless there is a bug."""
    booked = select(
        ledger.c.job_id,
        func.sum(ledger.c.amount).filter(ledger.c.kind == RESERVE).label("reserved"),
        func.coalesce(func.sum(ledger.c.amount).filter(ledger.c.kind == SETTLE), 0.0).label("settled"),
        func.coalesce(func.sum(ledger.c.amount).filter(ledger.c.kind == REFUND), 0.0).label("refunded"),
    ).group_by(ledger.c.job_id)
    found = booked.subquery()
    ended_well = (jobs.c.status == "done") & (found.c.settled == jobs.c.cost) & (found.c.refunded == 0.0)
    given_back = jobs.c.status.in_(("failed", "cancelled")) & (found.c.settled == 0.0) & (found.c.refunded == jobs.c.cost)
    open_still = jobs.c.status.in_(("queued", "running")) & (found.c.settled == 0.0) & (found.c.refunded == 0.0)
    exact = (found.c.reserved == jobs.c.cost) & (ended_well | given_back | open_still)
    rows = await db.execute(select(jobs.c.id).outerjoin(found, found.c.job_id == jobs.c.id).where(func.coalesce(exact, False).is_(False)))
    return tuple(rows.scalars())


def _wallet(row: Row, *, cap: float, per_hour: float) -> Wallet:
    return Wallet(balance=row["balance"], at=row["at"], cap=cap, per_hour=per_hour)


def _entry(job_id: str, actor_key: str, kind: str, amount: float, when: datetime) -> dict[str, object]:
    return {"job_id": job_id, "actor_key": actor_key, "kind": kind, "amount": amount, "at": when}
