"""Credits: the arithmetic is `bot.domain.Wallet`'s, the rows are here. Used by `inbox` (reserve), `claims` (settle, refund), `privacy` and `sql`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Column, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain import Job, Limits, Place, Wallet
from bot.errors import OutOfCredits
from bot.store import dialect
from bot.store.rows import Row
from bot.store.tables import jobs, ledger, wallets

RESERVE, SETTLE, REFUND = "reserve", "settle", "refund"
EVERYBODY = "everybody"  #: the key of the wallet that all members spend from together; that of a server's members is the `Place.owner`
TAGS: Mapping[bool, Column[float]] = {False: wallets.c.finish_tag, True: wallets.c.relaxed_tag}  #: where a flow ends, by whether it is the relaxed one


async def read(db: AsyncConnection, actor_key: str, pseudonym: str, *, cap: float, per_hour: float) -> Wallet:
    """Refilled until now; a full one for a newcomer. Writes nothing. `pseudonym`: under which it lies if the member was forgotten."""
    now = await dialect.now(db)
    one_of_them = select(wallets).where(wallets.c.actor_key.in_((actor_key, pseudonym)))
    row = (await db.execute(one_of_them.order_by(wallets.c.actor_key != actor_key).limit(1))).mappings().one_or_none()
    if row is None:
        return Wallet(balance=cap, at=now, cap=cap, per_hour=per_hour)
    return _wallet(row, cap=cap, per_hour=per_hour).now(now)


async def lock(db: AsyncConnection, actor_key: str, pseudonym: str, limits: Limits) -> tuple[Wallet, dict[bool, float]]:
    """Take the member's row, making it for a newcomer, until the transaction ends. Who was forgotten and comes back gets the wallet they left.

    Returns the wallet, refilled until now, and where each flow ends, by whether it is the relaxed one.
    """
    mine = select(wallets).where(wallets.c.actor_key == actor_key).with_for_update()
    while (found := (await db.execute(mine)).mappings().one_or_none()) is None:
        # None again when they are forgotten between the two: their row has another key by then.
        newcomer = dialect.insert(db, wallets).values(actor_key=actor_key, balance=limits.cap, at=await dialect.now(db), finish_tag=0.0)
        await db.execute(newcomer.on_conflict_do_nothing())
    row: Row = found
    # Only now: a forgetting that was under way has ended, and there can be no other while this row is held.
    left = (await db.execute(delete(wallets).where(wallets.c.actor_key == pseudonym).returning(wallets))).mappings().one_or_none()
    if left is not None:
        row = {**left, "actor_key": actor_key}
        await db.execute(update(wallets).where(wallets.c.actor_key == actor_key).values(row))
    purse = _wallet(row, cap=limits.cap, per_hour=limits.per_hour).now(await dialect.now(db))
    return purse, {relaxed: row[tag.name] for relaxed, tag in TAGS.items()}


async def lock_order(db: AsyncConnection) -> None:
    """Before any other wallet is locked: where there are wallets in common, everybody's is first, so that two transactions never wait for each other."""
    await db.execute(select(wallets.c.actor_key).where(wallets.c.actor_key == EVERYBODY).with_for_update())


async def lock_common(db: AsyncConnection, server: str, limits: Limits) -> dict[str, Wallet]:
    """By their keys, the wallets that a member there spends from beside their own: those that have a bound. `server`: a `Place.owner`, or empty.

    Before the member's own is locked. Full ones at first; an hour's worth is there at most.
    """
    bounds = {EVERYBODY: limits.total_per_hour, server: limits.server_per_hour if server else 0.0}
    if any(bounds.values()):
        now = await dialect.now(db)
        for key, per_hour in bounds.items():
            if per_hour or key == EVERYBODY:  # which is there for the order's sake, too
                full = dialect.insert(db, wallets).values(actor_key=key, balance=per_hour, at=now, finish_tag=0.0)
                await db.execute(full.on_conflict_do_nothing())
    if any(bounds.values()) or db.dialect.name != "sqlite":  # SQLite's writers take turns anyway
        await lock_order(db)
    common: dict[str, Wallet] = {}
    for key, per_hour in bounds.items():
        if per_hour:
            row = (await db.execute(select(wallets).where(wallets.c.actor_key == key).with_for_update())).mappings().one()
            purse = _wallet(row, cap=per_hour, per_hour=per_hour).now(await dialect.now(db))
            common[key] = replace(purse, balance=min(purse.balance, per_hour))  # what was given back while there was no bound, or another
    return common


async def spend_common(db: AsyncConnection, common: Mapping[str, Wallet], cost: float) -> None:
    """Take a cost out of locked wallets of `lock_common`. Raises OutOfCredits when one of them does not hold it."""
    for key, purse in common.items():
        wait = purse.wait(cost)
        if wait is None:
            raise OutOfCredits("error.too_dear_together", cost=cost, balance=purse.balance, wait=None, cap=purse.cap)
        if wait > timedelta(0):
            message = "error.all_spent" if key == EVERYBODY else "error.server_spent"
            raise OutOfCredits(message, cost=cost, balance=purse.balance, wait=wait.total_seconds(), cap=purse.cap)
        await db.execute(update(wallets).where(wallets.c.actor_key == key).values(balance=purse.balance - cost, at=purse.at))


async def forget(db: AsyncConnection, actor_key: str, pseudonym: str) -> None:
    """Numbers stay, under the pseudonym. The member's row must be locked."""
    await db.execute(update(wallets).where(wallets.c.actor_key == actor_key).values(actor_key=pseudonym))
    await db.execute(update(ledger).where(ledger.c.actor_key == actor_key).values(actor_key=pseudonym))


async def reserve(db: AsyncConnection, wallet: Wallet, actor_key: str, charged: Iterable[Job], ends: Mapping[bool, float]) -> None:
    """Take the jobs' costs out of a locked wallet, and write down where the flows end now. Raises OutOfCredits when it does not hold them all."""
    charged = tuple(charged)
    cost = sum(job.cost for job in charged)
    wait = wallet.wait(cost)
    if wait is None:
        raise OutOfCredits("error.too_dear", cost=cost, balance=wallet.balance, wait=None, cap=wallet.cap)
    if wait > timedelta(0):
        raise OutOfCredits("error.out_of_credits", cost=cost, balance=wallet.balance, wait=wait.total_seconds(), cap=wallet.cap)
    balance = wallet.balance - cost
    tags = {TAGS[relaxed].name: end for relaxed, end in ends.items()}
    await db.execute(update(wallets).where(wallets.c.actor_key == actor_key).values(balance=balance, at=wallet.at, **tags))
    await db.execute(ledger.insert(), [_entry(job.id, actor_key, RESERVE, job.cost, wallet.at) for job in charged])


async def settle(db: AsyncConnection, row: Row, when: datetime) -> None:
    """The reserved cost of a finished job (a row of `jobs`) stays spent."""
    await db.execute(ledger.insert(), [_entry(row["id"], row["actor_key"], SETTLE, row["cost"], when)])


async def refund(db: AsyncConnection, row: Row, when: datetime) -> None:
    """The reserved cost of a job (a row of `jobs`) goes back, to the moment the balance was last written: as if it had never left, refill included."""
    common = [EVERYBODY, Place(platform=row["place_platform"], server=row["place_server"]).owner]
    for key in [row["actor_key"], *common]:
        await db.execute(update(wallets).where(wallets.c.actor_key == key).values(balance=wallets.c.balance + row["cost"]))
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
