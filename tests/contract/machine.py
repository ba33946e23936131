"""A hypothesis state machine: anything that can happen to jobs, in any order, against the model in `bot.domain.life`. Played by `test_store_machine`.

Time passes in strides of 20 minutes: the database keeps its own clock, so everything it wrote down is moved instead. Leases, patience, retention and delays are
never a multiple of that, so that the milliseconds a test takes decide nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain import MOVES, Actor, Limits, Said
from bot.domain.life import LIFE, Life, Status
from bot.errors import NotFound, OutOfCredits, QueueFull
from bot.limits import RELAX_PATIENCE
from bot.store import wallet
from bot.store.privacy import pseudonym
from bot.store.sql import SqlStore
from bot.store.tables import UtcDateTime, artifacts, jobs, ledger, metadata, notices, wallets
from tests.contract.jobs import job, pictures, submission

T = TypeVar("T")

MINUTE = timedelta(minutes=1)
STRIDE = 20  # minutes, as all numbers of time here
LEASE, PUT_OFF, RETENTION = 30, 30, 30
PATIENCE = RELAX_PATIENCE / MINUTE
MAX_ATTEMPTS = 3
SECRET = b"of pseudonyms"
LIMITS = Limits(cap=24.0, per_hour=0.0, queued_per_actor=5, queued_total=8)
ACTORS = tuple(Actor(platform="web", id=name) for name in ("ann", "ben", "cho"))
WORKERS = st.sampled_from(["w1", "w2"])
SIDES = st.sampled_from([0, 1])  # which of two bots on one Postgres
COSTS = st.integers(1, 16).map(lambda quarters: quarters / 4)  # exact in floating point


@dataclass
class Known:
    """A job as it must be, and what is known of it besides."""

    actor: str
    life: Life
    tag: float
    relaxed: bool
    age: int  # minutes since it was created, as the database has it
    lease: int = 0  # minutes left
    ended: int = 0  # minutes ago
    due: int = 0  # minutes until its notice may be told
    told: bool = False
    favourite: bool = False


class StoreMachine(RuleBasedStateMachine):
    """What the store must be, kept in dictionaries. Subclasses say on which database."""

    sqlite: bool
    ids: Bundle[str] = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.stores: list[SqlStore] = []
        self.jobs: dict[str, Known] = {}
        self.before: dict[str, Status] = {}  # what the database said after the last step
        self.verb = ""  # of the last step
        self.flows: dict[tuple[str, bool], float] = {}  # where each member's flow of a lane ends
        self.written: dict[str, int] = {}  # minutes since each wallet's balance was written
        self.virtual_time = 0.0

    async def fresh(self) -> list[SqlStore]:
        """Stores on an empty database: one on SQLite, two on Postgres."""
        raise NotImplementedError

    @initialize()
    def open(self) -> None:
        self.stores = self.do(self.fresh())

    def teardown(self) -> None:
        for store in self.stores:
            self.do(store.aclose())
        self.loop.close()

    def do(self, verb: Coroutine[Any, Any, T]) -> T:
        return self.loop.run(verb)

    def store(self, side: int = 0) -> SqlStore:
        return self.stores[side % len(self.stores)]

    # -- the model's part
    def move(self, job_id: str, to: Life | None) -> bool:
        """A job becomes `to`; False, and nothing, when it may not."""
        known = self.jobs[job_id]
        if to is None:
            return False
        if to.refunded and known.life.status is Status.QUEUED:  # it left the queue undrawn: what its member has waiting behind it moves up
            for other in self.jobs.values():
                if (other.actor, other.relaxed) == (known.actor, known.relaxed) and other.life.status is Status.QUEUED and other.tag > known.tag:
                    other.tag -= known.life.cost
            self.flows[known.actor, known.relaxed] -= known.life.cost
        if to.status.ended and not known.life.status.ended:
            known.ended = known.due = 0
        if to.hidden:
            known.told = True
        known.life = to
        return True

    def of(self, actor: Actor) -> list[str]:
        return sorted(job_id for job_id, known in self.jobs.items() if known.actor == actor.key)

    def balance(self, actor_key: str) -> float:
        return LIMITS.cap - sum(known.life.settled + known.life.standing for known in self.jobs.values() if known.actor == actor_key)

    def waiting(self, actor_key: str | None = None) -> int:
        return sum(known.life.status is Status.QUEUED for known in self.jobs.values() if actor_key in (None, known.actor))

    # -- what may happen
    @rule(
        target=ids,
        actor=st.sampled_from(ACTORS),
        asked=st.lists(st.tuples(COSTS, st.booleans()), min_size=1, max_size=3),
        twice=st.booleans(),
        side=SIDES,
    )
    def submit(self, actor: Actor, asked: list[tuple[float, bool]], twice: bool, side: int) -> Any:
        self.verb = "submit"
        a_set = submission(*(job(actor, cost=cost, relaxed=relaxed) for cost, relaxed in asked), limits=LIMITS)
        full = self.waiting(actor.key) + len(asked) > LIMITS.queued_per_actor or self.waiting() + len(asked) > LIMITS.queued_total
        if full or sum(cost for cost, _ in asked) > self.balance(actor.key):
            with pytest.raises(QueueFull if full else OutOfCredits):
                self.do(self.store(side).submit(a_set))
            return multiple()
        accepted = self.do(self.store(side).submit(a_set))
        assert not accepted.again
        if twice:
            again = self.do(self.store(side + 1).submit(a_set))
            assert again.again and again.jobs == accepted.jobs
        self.written[actor.key] = min(0, self.written.get(actor.key, 0))  # a clock set back goes on from where it was
        for each in accepted.jobs:
            tag = max(self.virtual_time, self.flows.get((actor.key, each.relaxed), 0.0))
            self.flows[actor.key, each.relaxed] = tag + each.cost
            self.jobs[each.id] = Known(actor.key, Life(cost=each.cost), tag, each.relaxed, self.written[actor.key])
        return multiple(*(each.id for each in accepted.jobs))

    @rule(worker=WORKERS, lease=st.sampled_from([LEASE, LEASE, 0]), side=SIDES)
    def claim(self, worker: str, lease: int, side: int) -> None:
        self.verb = "claim"
        taken = self.do(self.store(side).claim(worker, lease * MINUTE))
        queued = {job_id: known for job_id, known in self.jobs.items() if known.life.status is Status.QUEUED}
        order = [(known.relaxed and known.age < PATIENCE, known.tag, job_id) for job_id, known in queued.items()]
        assert (taken.id if taken else None) == (min(order)[-1] if order else None)
        if taken is not None:
            known = self.jobs[taken.id]
            assert self.move(taken.id, known.life.claim(worker))
            known.lease = lease
            assert taken.attempts == known.life.attempts
            self.virtual_time = max(self.virtual_time, known.tag)

    @rule(job_id=ids, worker=WORKERS, side=SIDES)
    def finish(self, job_id: str, worker: str, side: int) -> None:
        self.verb = "finish"
        allowed = self.move(job_id, self.jobs[job_id].life.finish(worker))
        assert self.do(self.store(side).finish(worker, job_id, pictures(job_id, job_id), 0.0)) is allowed

    @rule(job_id=ids, worker=st.one_of(st.none(), WORKERS), side=SIDES)
    def fail(self, job_id: str, worker: str | None, side: int) -> None:
        self.verb = "fail"
        allowed = self.move(job_id, self.jobs[job_id].life.fail(worker))
        assert self.do(self.store(side).fail(worker, job_id, Said(message="error.fault"))) is allowed

    @rule(job_id=ids, side=SIDES)
    def cancel(self, job_id: str, side: int) -> None:
        self.verb = "cancel"
        allowed = self.move(job_id, self.jobs[job_id].life.cancel())
        assert self.do(self.store(side).cancel(job_id)) is allowed

    @rule(job_id=ids, worker=WORKERS, side=SIDES)
    def requeue(self, job_id: str, worker: str, side: int) -> None:
        self.verb = "requeue"
        allowed = self.move(job_id, self.jobs[job_id].life.requeue(worker))
        assert self.do(self.store(side).requeue(worker, [job_id])) == allowed

    @rule(job_id=ids, worker=WORKERS, side=SIDES)
    def heartbeat(self, job_id: str, worker: str, side: int) -> None:
        """Even a lease that ran out is kept, as long as nobody noticed."""
        self.verb = "heartbeat"
        held = self.jobs[job_id].life.held_by(worker)
        assert self.do(self.store(side).heartbeat(worker, [job_id], LEASE * MINUTE)) == ({job_id} if held else set())
        if held:
            self.jobs[job_id].lease = LEASE

    @rule(side=SIDES)
    def expire(self, side: int) -> None:
        self.verb = "expire"
        gone = [job_id for job_id, known in sorted(self.jobs.items()) if known.life.status is Status.RUNNING and known.lease <= 0]
        for job_id in gone:
            assert self.move(job_id, self.jobs[job_id].life.expire(MAX_ATTEMPTS))
        back = sum(self.jobs[job_id].life.status is Status.QUEUED for job_id in gone)
        assert self.do(self.store(side).requeue_expired()) == back

    @rule(worker=WORKERS, times=st.integers(1, MAX_ATTEMPTS), side=SIDES)
    def die(self, worker: str, times: int, side: int) -> None:
        """What is claimed kills its worker, again and again."""
        for _ in range(times):
            self.claim(worker, 0, side)
            self.do(self.compare())
            self.expire(side)
            self.do(self.compare())

    @rule(side=SIDES)
    def restart(self, side: int) -> None:
        """On SQLite whoever held a lease is dead; on Postgres they may be another process."""
        self.verb = "restart"
        self.do(self.store(side).aclose())
        self.do(self.store(side).start())
        for known in self.jobs.values():
            if self.sqlite:
                known.lease = 0

    @rule(strides=st.sampled_from([1, 1, 2, -1]))
    def clock(self, strides: int) -> None:
        """Time passes, or the clock is set back."""
        self.verb = "clock"
        minutes = strides * STRIDE
        self.do(self.store().write(_moved_back, minutes * MINUTE))
        for known in self.jobs.values():
            known.age += minutes
            known.ended += minutes
            known.lease -= minutes
            known.due -= minutes
        self.written = {actor_key: since + minutes for actor_key, since in self.written.items()}

    @rule(job_id=ids, later=st.booleans(), side=SIDES)
    def tell(self, job_id: str, later: bool, side: int) -> None:
        """An end is told, or cannot be just now."""
        self.verb = "tell"
        known = self.jobs[job_id]
        if later:
            self.do(self.store(side).put_off(job_id, PUT_OFF * MINUTE))
            known.due = PUT_OFF if known.life.status.ended and not known.told else known.due
        else:
            self.do(self.store(side).told(job_id))
            known.told = known.told or known.life.status.ended

    @rule(job_id=ids)
    def favourite(self, job_id: str) -> None:
        self.verb = "favourite"
        known = self.jobs[job_id]
        if known.life.status is Status.DONE and not known.life.hidden:
            self.do(self.store().favourite(job_id, 0, True))
            known.favourite = True
        else:
            with pytest.raises(NotFound):
                self.do(self.store().favourite(job_id, 0, True))

    @rule(job_id=ids)
    def delete(self, job_id: str) -> None:
        self.verb = "delete"
        self.move(job_id, self.jobs[job_id].life.hide())
        self.do(self.store().delete(job_id))

    @rule()
    def retire(self) -> None:
        self.verb = "retire"
        old = [job_id for job_id, known in self.jobs.items() if known.ended > RETENTION and not known.favourite]
        hidden = [job_id for job_id in old if self.move(job_id, self.jobs[job_id].life.hide())]
        assert self.do(self.store().retire(RETENTION * MINUTE)) == len(hidden)

    @rule(actor=st.sampled_from(ACTORS), side=SIDES)
    def forget(self, actor: Actor, side: int) -> None:
        self.verb = "forget"
        for job_id in self.of(actor):
            self.move(job_id, self.jobs[job_id].life.cancel())
        hidden = [job_id for job_id in self.of(actor) if self.move(job_id, self.jobs[job_id].life.hide())]
        assert self.do(self.store(side).forget(actor.key)) == len(hidden)

    # -- what must hold at every step
    @invariant()
    def the_store_is_what_it_must_be(self) -> None:
        if self.stores:
            self.do(self.compare())

    async def compare(self) -> None:
        rows, money, booked, notes, drawn = await self.store().read(_look)
        status = {job_id: Status(row["status"]) for job_id, row in rows.items()}
        for job_id, now in status.items():
            then = self.before.get(job_id, Status.QUEUED)
            assert now is then or (now in MOVES[then] and any((move.source, move.target) == (then, now) for move in LIFE if move.verb in _verbs(self.verb)))
        self.before = status

        assert status == {job_id: known.life.status for job_id, known in self.jobs.items()}
        assert {job_id for job_id, row in rows.items() if row["deleted_at"]} == {job_id for job_id, known in self.jobs.items() if known.life.hidden}
        for job_id, known in self.jobs.items():
            assert (rows[job_id]["attempts"], rows[job_id]["worker"] or "") == (known.life.attempts, known.life.worker)
            assert rows[job_id]["start_tag"] == known.tag
        assert drawn == {job_id for job_id, known in self.jobs.items() if known.life.status is Status.DONE and not known.life.hidden}

        ended = {job_id: known for job_id, known in self.jobs.items() if known.life.status.ended}
        assert notes == {job_id: known.told for job_id, known in ended.items()}, "an end is owed once, and what goes on is not"
        due = await self.store().notices(["web"], limit=1000)
        assert {each.job_id for each in due} == {job_id for job_id, known in ended.items() if not known.told and known.due <= 0}

        assert booked["reserve"] == booked["settle"] + booked["refund"] + sum(known.life.standing for known in self.jobs.values())
        assert booked["settle"] == sum(known.life.settled for known in self.jobs.values())
        for actor in ACTORS:
            held = [money[key] for key in (actor.key, pseudonym(actor.key, SECRET)) if key in money]
            assert held == ([self.balance(actor.key)] if self.of(actor) else [])


def _verbs(verb: str) -> set[str]:
    """The verbs of a life that one step may be."""
    return {"cancel"} if verb == "forget" else {verb}


Seen = tuple[dict[str, Any], dict[str, float], dict[str, float], dict[str, bool], set[str]]


async def _look(db: AsyncConnection) -> Seen:
    """Jobs, balances, sums of the ledger by kind, notices and whether they were told, jobs with pictures."""
    assert await wallet.discrepancies(db) == ()
    rows = {row["id"]: row for row in (await db.execute(select(jobs))).mappings()}
    money = dict((await db.execute(select(wallets.c.actor_key, wallets.c.balance))).tuples().all())
    booked = {wallet.RESERVE: 0.0, wallet.SETTLE: 0.0, wallet.REFUND: 0.0}
    for kind, amount in (await db.execute(select(ledger.c.kind, ledger.c.amount))).tuples():
        booked[kind] += amount
    notes = {job_id: told_at is not None for job_id, told_at in (await db.execute(select(notices.c.id, notices.c.told_at))).tuples()}
    return rows, money, booked, notes, set((await db.execute(select(artifacts.c.job_id))).scalars())


async def _moved_back(db: AsyncConnection, by: timedelta) -> None:
    """Every time in every table, so that as much seems to have passed."""
    for table in metadata.sorted_tables:
        times = [column for column in table.columns if isinstance(column.type, UtcDateTime)]
        keys = tuple(table.primary_key.columns)
        if not times:
            continue
        for row in (await db.execute(select(*keys, *times))).all():
            earlier = {column: value - by for column, value in zip(times, row[len(keys) :], strict=True) if value is not None}
            if earlier:
                await db.execute(update(table).where(*(key == value for key, value in zip(keys, row, strict=False))).values(earlier))
