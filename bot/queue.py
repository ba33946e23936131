"""Who is drawn when: the one owner of drawing tasks. Made and run by `bot.app`; the studio calls `wake`, `cancel` and `eta`.

The order is the store's (fair by cost, one flow a member and lane); here is how much is taken at a time (as the engine reports free rows), that leases
are kept, and that a job is handed back when its engine died, its process is told to leave, or its worker was never heard of again. A job whose engine
or process died is suspected: it is drawn alone from then on, so that of a company only the guilty one runs out of attempts. Asyncio only.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta

import structlog

from bot import limits
from bot.domain import Job
from bot.errors import Fault
from bot.ports import Store
from engine.api import Engine, EngineDied, ModelMissing

log = structlog.get_logger(__name__)

Draw = Callable[[Job], Awaitable[None]]
"""`bot.workshop.Workshop.draw`: draws a claimed job and tells the store how it ended. Raises EngineDied, and what the store raises."""

#: Seconds between looks at the engine while it is full or is only just taking a job in. In memory, and cheap.
GLANCE = 0.05
#: Seconds after which the engine is taken to have counted a job it was handed.
SETTLE = 0.5
LONGEST_PAUSE = 30.0  #: seconds, between attempts while the database or the engine is away


async def _never() -> bool:
    return False


class Queue:
    """Claims, draws, keeps leases, recovers.

    `worker` names this process's claims; unique among processes that share a Postgres. `lease`: how long a silent process keeps its jobs; leases are
    renewed three times as often. `poll`: how often to look for work nobody called `wake` for (another process's, or one handed back).
    `changed` hears of jobs that this class moved by itself (claimed jobs are the workshop's to announce). `held`: whether nothing may be begun just now,
    asked before each claim (`bot.pausing`); what waits keeps its place meanwhile. Raises Fault as the store does.
    """

    def __init__(
        self,
        store: Store,
        engine: Engine,
        draw: Draw,
        *,
        worker: str,
        lease: timedelta = timedelta(seconds=60),
        poll: timedelta = timedelta(seconds=2),
        changed: Callable[[Job], None] = lambda job: None,
        jitter: Callable[[], float] = random.random,
        held: Callable[[], Awaitable[bool]] = _never,
    ) -> None:
        self._store, self._engine, self._draw, self._worker, self._lease = store, engine, draw, worker, lease
        self._held = held
        self._poll, self._changed, self._jitter = poll.total_seconds(), changed, jitter
        self._drawing: dict[str, asyncio.Task[None]] = {}
        self._awake = asyncio.Event()
        self._leaving = asyncio.Event()  # claim no more
        self._left = asyncio.Event()  # nothing is drawn any more: end
        self._claimer: asyncio.Task[None] | None = None
        self._deaths = 0  # of the engine, since it last drew something
        self._suspect: str | None = None  # a job that is drawn alone now

    @property
    def running(self) -> int:
        """Jobs being drawn here."""
        return len(self._drawing)

    def wake(self) -> None:
        """Something was submitted: look now."""
        self._awake.set()

    async def run(self) -> None:
        """Until `drain`, or until cancelled: then what runs is handed back at once."""
        async with asyncio.TaskGroup() as group:
            self._claimer = group.create_task(self._claiming(group), name="queue claims")
            group.create_task(self._beating(), name="queue heartbeat")
            group.create_task(self._recovering(), name="queue recovery")
            await self._claimer
            await self._left.wait()

    async def drain(self, timeout: float) -> None:
        """Claim no more; give what runs `timeout` seconds to end, then cancel it and put it back in its place. `run` ends."""
        self._leaving.set()
        self._awake.set()
        if self._claimer is not None:
            await asyncio.wait({self._claimer})
        if tasks := set(self._drawing.values()):
            _, slow = await asyncio.wait(tasks, timeout=timeout)
            for task in slow:
                task.cancel()
            if slow:
                log.info("queue.handing_back", jobs=len(slow))
                await asyncio.wait(slow)
        self._left.set()

    async def cancel(self, job_id: str) -> bool:
        """Stop it wherever it is; False when it had ended. Raises Fault."""
        stopped = await self._store.cancel(job_id)
        task = self._drawing.get(job_id)
        if stopped and task is not None:
            task.cancel()
        return stopped

    async def eta(self, job: Job) -> tuple[int, float] | None:
        """(how many start before it, seconds until its pictures); None unless it is queued now.

        Seconds are the credits of work ahead and its own, at the pace the engine measures now: `limits.seconds_per_credit`, of the job's own model.
        """
        place = await self._store.position(job.id)
        if place is None:
            return None
        ahead, credits = place
        return ahead, (credits + limits.work(job.cost, job.relaxed)) * self.seconds_per_credit(job.request.model)

    def seconds_per_credit(self, model: str) -> float:
        """Of the model; of the default one where it is not on the shelf any more."""
        try:
            self._engine.capabilities(model)
        except ModelMissing:
            model = self._engine.models()[0].model
        return limits.seconds_per_credit(self._engine.capabilities(model), self._engine.pace(model))

    # ------------------------------------------------------------------------------------------------ the loops

    async def _claiming(self, group: asyncio.TaskGroup) -> None:
        outages = 0
        while not self._leaving.is_set():
            self._awake.clear()
            probing = self._deaths > 0  # the engine died: one job at a time, and not at once, until it has drawn again
            free = self._engine.free_rows()
            if free <= 0 or ((probing or self._suspect) and self._drawing):
                await _happens(self._awake, GLANCE if self._drawing else SETTLE)
                continue
            if probing and await _happens(self._leaving, self._backoff(self._deaths)):
                break
            try:
                job = None if await self._held() else await self._store.claim(self._worker, self._lease)
            except Fault as fault:
                outages += 1
                log.warning("queue.outage", during="claim", attempt=outages, error=str(fault))
                await _happens(self._leaving, self._backoff(outages))
                continue
            except Exception:  # a row that cannot be read: a process that ended of it would find it again at its next start
                outages += 1
                log.exception("queue.claim_failed", attempt=outages)
                await _happens(self._leaving, self._backoff(outages))
                continue
            outages = 0
            if job is None:
                await _happens(self._awake, self._poll)
            elif job.id not in self._drawing:  # else its lease had run out while the database was away, and it is being drawn already
                company = tuple(self._drawing.values()) if job.attempts > 1 else ()
                self._suspect = job.id if job.attempts > 1 else None
                task = self._drawing[job.id] = group.create_task(self._one(job, company), name=f"draw {job.id}")
                if not company:
                    await self._until_counted(task, free)

    async def _until_counted(self, task: asyncio.Task[None], free: int) -> None:
        """Let the engine count the job before asking it again, or more would be handed over than it has room for."""
        patience = SETTLE
        while patience > 0 and self._engine.free_rows() >= free and not task.done() and not self._leaving.is_set():
            await asyncio.wait({task}, timeout=GLANCE / 5)
            patience -= GLANCE / 5

    async def _beating(self) -> None:
        while not await _happens(self._left, self._lease.total_seconds() / 3):
            drawn = dict(self._drawing)
            if not drawn:
                continue
            try:
                ours = await self._store.heartbeat(self._worker, tuple(drawn), self._lease)
            except Fault as fault:
                log.warning("queue.outage", during="heartbeat", error=str(fault))
                continue
            for job_id in drawn.keys() - ours:
                if not drawn[job_id].done():  # cancelled, or given to another while we were silent
                    log.info("queue.no_longer_ours", job=job_id)
                    drawn[job_id].cancel()

    async def _recovering(self) -> None:
        outages = 0
        while True:
            outages = 0 if await self._recover() else outages + 1
            if await _happens(self._left, self._backoff(outages) if outages else max(self._poll, self._lease.total_seconds() / 2)):
                return

    async def _recover(self) -> bool:
        """Put back what was claimed and not heard of again; False while the database is away."""
        try:
            count = await self._store.requeue_expired()
        except Fault as fault:
            log.warning("queue.outage", during="recovery", error=str(fault))
            return False
        if count:
            log.info("queue.recovered", jobs=count)
            self._awake.set()
        return True

    def _backoff(self, attempt: int) -> float:
        """Seconds: 0.5, 1, 2 … at most LONGEST_PAUSE, half to all of it."""
        return float(min(LONGEST_PAUSE, 0.5 * 2.0 ** min(attempt - 1, 10))) * (0.5 + self._jitter() / 2)

    # ------------------------------------------------------------------------------------------------ one job

    async def _one(self, job: Job, company: Collection[asyncio.Task[None]]) -> None:
        """Draw it, once those of `company` have ended."""
        try:
            if company:
                await asyncio.wait(company)
            if self._leaving.is_set():
                await self._hand_back(job)
            else:
                await self._draw(job)
                self._deaths = 0
        except asyncio.CancelledError:  # its member cancelled it (then this changes nothing), or we are leaving
            await self._hand_back(job)
            raise
        except EngineDied as error:
            self._deaths += 1
            log.error("queue.engine_died", job=job.id, deaths=self._deaths, attempt=job.attempts, company=len(self._drawing) - 1, error=str(error))
            # An engine that is closed because we leave died of nobody. Else the attempt counts: whose fault it was in company, the next one tells, alone.
            await (self._hand_back(job) if self._leaving.is_set() else self._let_go(job))
        except Exception:
            log.exception("queue.draw_failed", job=job.id)
            await self._let_go(job)
        finally:
            self._drawing.pop(job.id, None)
            self._suspect = None if self._suspect == job.id else self._suspect
            self._awake.set()

    async def _hand_back(self, job: Job) -> None:
        """As if it had not been claimed."""
        try:
            if await self._store.requeue(self._worker, [job.id]):
                self._changed(job)
        except Fault as fault:
            log.warning("queue.outage", during="requeue", job=job.id, error=str(fault))  # its lease will run out

    async def _let_go(self, job: Job) -> None:
        """End the lease now; the claim counts as an attempt, and the last one fails the job."""
        try:
            if await self._store.heartbeat(self._worker, [job.id], timedelta(0)):
                await self._store.requeue_expired()
                self._changed(job)
        except Fault as fault:
            log.warning("queue.outage", during="requeue", job=job.id, error=str(fault))  # its lease will run out


async def _happens(event: asyncio.Event, seconds: float) -> bool:
    """Wait for it, that long at most; whether it has happened."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
