"""Any order of submit, claim, finish, fail, cancel, requeue and expiry against a model: `bot.domain.MOVES`, exact wallets, fair order (SQLite)."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain import MOVES, Actor, Said, Status
from bot.store import wallet
from bot.store.migrate import migrate
from bot.store.sql import SqlStore
from bot.store.tables import jobs, notices, wallets
from tests.contract.jobs import PLENTY, job, pictures, submission

T = TypeVar("T")

LEASE, OVER = timedelta(hours=1), timedelta(0)
MAX_ATTEMPTS = 3
ACTORS = tuple(Actor(platform="web", id=name) for name in ("ann", "ben", "cho"))
WORKERS = st.sampled_from(["w1", "w2"])
MEMORY = Path("/dev/shm")  # noqa: S108  (what is tested here is order, not durability)
MIGRATED: list[bytes] = []
COSTS = st.integers(1, 16).map(lambda quarters: quarters / 4)  # exact in floating point


@dataclass
class Known:
    actor: str
    cost: float
    tag: float
    relaxed: bool = False
    status: Status = Status.QUEUED
    attempts: int = 0
    worker: str = ""
    expired: bool = False


class StoreMachine(RuleBasedStateMachine):
    """What the store must be, kept in dictionaries."""

    ids: Bundle[str] = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="wordup-machine-", dir=MEMORY if MEMORY.is_dir() else None))
        self.jobs: dict[str, Known] = {}
        self.flows: dict[tuple[str, bool], float] = {}  # where each member's flow of a lane ends
        self.virtual_time = 0.0

    @initialize()
    def open(self) -> None:
        if not MIGRATED:  # once; every run begins with a copy
            self.do(migrate(f"sqlite:///{self.folder / 'new.db'}"))
            MIGRATED.append((self.folder / "new.db").read_bytes())
        (self.folder / "wordup.db").write_bytes(MIGRATED[0])
        self.store = SqlStore(f"sqlite:///{self.folder / 'wordup.db'}", max_attempts=MAX_ATTEMPTS)
        self.do(self.store.start())

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.do(self.store.aclose())
        self.loop.close()
        shutil.rmtree(self.folder)

    def do(self, verb: Coroutine[Any, Any, T]) -> T:
        return self.loop.run(verb)

    def may(self, job_id: str, to: Status, worker: str | None = None) -> bool:
        known = self.jobs[job_id]
        return to in MOVES[known.status] and (worker is None or (known.status is Status.RUNNING and known.worker == worker))

    def leave(self, job_id: str, status: Status) -> None:
        """The model's part of a failure or cancellation."""
        known = self.jobs[job_id]
        if known.status is Status.QUEUED:
            for other in self.jobs.values():
                if (other.actor, other.relaxed) == (known.actor, known.relaxed) and other.status is Status.QUEUED and other.tag > known.tag:
                    other.tag -= known.cost
            self.flows[known.actor, known.relaxed] -= known.cost
        known.status = status

    @rule(target=ids, actor=st.sampled_from(ACTORS), asked=st.lists(st.tuples(COSTS, st.booleans()), min_size=1, max_size=3), twice=st.booleans())
    def submit(self, actor: Actor, asked: list[tuple[float, bool]], twice: bool) -> Any:
        set_of_jobs = submission(*(job(actor, cost=cost, relaxed=relaxed) for cost, relaxed in asked))
        accepted = self.do(self.store.submit(set_of_jobs))
        assert not accepted.again
        if twice:
            assert self.do(self.store.submit(set_of_jobs)).jobs == accepted.jobs
        for each in accepted.jobs:
            tag = max(self.virtual_time, self.flows.get((actor.key, each.relaxed), 0.0))
            self.flows[actor.key, each.relaxed] = tag + each.cost
            self.jobs[each.id] = Known(actor.key, each.cost, tag, each.relaxed)
        return multiple(*(each.id for each in accepted.jobs))

    @rule(worker=WORKERS, lease=st.sampled_from([LEASE, LEASE, OVER]))
    def claim(self, worker: str, lease: timedelta) -> None:
        taken = self.do(self.store.claim(worker, lease))
        waiting = [(known.relaxed, known.tag, job_id) for job_id, known in self.jobs.items() if known.status is Status.QUEUED]
        assert (taken.id if taken else None) == (min(waiting)[-1] if waiting else None)
        if taken is not None:
            known = self.jobs[taken.id]
            known.status, known.worker, known.expired = Status.RUNNING, worker, lease == OVER
            known.attempts += 1
            assert taken.attempts == known.attempts
            self.virtual_time = max(self.virtual_time, known.tag)

    @rule(job_id=ids, worker=WORKERS)
    def finish(self, job_id: str, worker: str) -> None:
        allowed = self.may(job_id, Status.DONE, worker)
        assert self.do(self.store.finish(worker, job_id, pictures(job_id, job_id), 0.0)) is allowed
        if allowed:
            self.jobs[job_id].status = Status.DONE

    @rule(job_id=ids, worker=st.one_of(st.none(), WORKERS))
    def fail(self, job_id: str, worker: str | None) -> None:
        allowed = self.may(job_id, Status.FAILED, worker)
        assert self.do(self.store.fail(worker, job_id, Said(message="error.fault"))) is allowed
        if allowed:
            self.leave(job_id, Status.FAILED)

    @rule(job_id=ids)
    def cancel(self, job_id: str) -> None:
        allowed = self.may(job_id, Status.CANCELLED)
        assert self.do(self.store.cancel(job_id)) is allowed
        if allowed:
            self.leave(job_id, Status.CANCELLED)

    @rule(job_id=ids, worker=WORKERS)
    def requeue(self, job_id: str, worker: str) -> None:
        allowed = self.may(job_id, Status.QUEUED, worker)
        assert self.do(self.store.requeue(worker, [job_id])) == allowed
        if allowed:
            self.jobs[job_id].status = Status.QUEUED
            self.jobs[job_id].attempts -= 1

    @rule(job_id=ids, worker=WORKERS)
    def heartbeat(self, job_id: str, worker: str) -> None:
        known = self.jobs[job_id]
        held = known.status is Status.RUNNING and known.worker == worker
        assert self.do(self.store.heartbeat(worker, [job_id], LEASE)) == ({job_id} if held else set())
        known.expired = known.expired and not held

    @rule()
    def expire(self) -> None:
        gone = {job_id: known for job_id, known in self.jobs.items() if known.status is Status.RUNNING and known.expired}
        assert self.do(self.store.requeue_expired()) == len([known for known in gone.values() if known.attempts < MAX_ATTEMPTS])
        for job_id, known in gone.items():
            if known.attempts < MAX_ATTEMPTS:
                known.status = Status.QUEUED
            else:
                self.leave(job_id, Status.FAILED)

    @rule()
    def restart(self) -> None:
        self.do(self.store.aclose())
        self.do(self.store.start())
        for known in self.jobs.values():
            known.expired = known.expired or known.status is Status.RUNNING

    @invariant()
    def the_store_is_what_it_must_be(self) -> None:
        if hasattr(self, "store"):
            self.do(self.compare())

    async def compare(self) -> None:
        async def look(db: AsyncConnection) -> tuple[dict[str, str], dict[str, float], set[str]]:
            status = dict((await db.execute(select(jobs.c.id, jobs.c.status))).tuples().all())
            balances = dict((await db.execute(select(wallets.c.actor_key, wallets.c.balance))).tuples().all())
            owed = set((await db.execute(select(notices.c.id))).scalars())
            assert await wallet.discrepancies(db) == ()
            return status, balances, owed

        status, balances, owed = await self.store.read(look)
        assert status == {job_id: known.status.value for job_id, known in self.jobs.items()}
        assert owed == {job_id for job_id, known in self.jobs.items() if known.status.ended}
        for actor_key, balance in balances.items():
            mine = [known for known in self.jobs.values() if known.actor == actor_key]
            assert balance == PLENTY.cap - sum(known.cost for known in mine if known.status not in (Status.FAILED, Status.CANCELLED))


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=10, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
