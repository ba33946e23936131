"""Who waits for whom: one member asks for 200 pictures at once, ten others for one each; by our queue, and by one that takes who came first.

`python -m benchmarks.fairness` runs both in turn on the pocket model, with the real store, queue and workshop, and prints how long the ten waited until theirs
were begun. The other queue is ours with one thing changed: jobs are given the next number as they come, in the place of their fair start tag.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection
from ulid import ULID

from bot.board import Board
from bot.domain import Accepted, Actor, Job, Limits, Place, ReplyTo, Submission
from bot.limits import price
from bot.queue import Queue
from bot.store import inbox
from bot.store.blobs import DiskBlobs
from bot.store.sql import SqlStore
from bot.store.tables import jobs
from bot.workshop import Workshop
from engine.api import Engine, ImagineRequest, Part
from engine.local import LocalEngine
from engine.shelf import Shelf

FLOOD, OTHERS = 200, 10
APART = 1.0  #: seconds between two of the others, the first so long after the flood
STEPS = 8
LIMITS = Limits(cap=1e6, per_hour=0.0, queued_per_actor=FLOOD, queued_total=2 * FLOOD)


class FirstCome(SqlStore):
    """Whoever came first is first."""

    _turns = itertools.count(1)

    async def submit(self, submission: Submission) -> Accepted:
        return await self.write(self._in_turn, submission)

    async def _in_turn(self, db: AsyncConnection, submission: Submission) -> Accepted:
        accepted = await inbox.submit(db, submission, b"")
        for job in accepted.jobs:
            await db.execute(update(jobs).where(jobs.c.id == job.id).values(start_tag=float(next(self._turns))))
        return accepted


SIDES: dict[str, type[SqlStore]] = {"fair": SqlStore, "first_come": FirstCome}


def asked(engine: Engine, who: str, count: int) -> Submission:
    """So many pictures for a member, all at once."""
    can = engine.models()[0]
    actor, place = Actor(platform="web", id=who, name=who), Place(platform="web", channel=who)
    made = []
    for k in range(count):
        request = ImagineRequest(
            model=can.model, parts=(Part(text="a red apple"),), seed=k, width=can.width, height=can.height, guidance=can.guidance, steps=STEPS, count=1
        )
        cost = price(request, can, relaxed=False)
        made.append(Job(id=str(ULID()), request=request, words="a red apple", actor=actor, place=place, cost=cost, created_at=datetime.now(UTC)))
    return Submission(delivery=str(ULID()), jobs=tuple(made), reply_to=ReplyTo(platform="web", channel=who), limits=LIMITS)


async def waits(kind: type[SqlStore], engine: Engine, folder: Path, *, flood: int, others: int, apart: float) -> dict[str, float]:
    """One run of it: seconds from a single job's acceptance to its beginning, and how many of the flood were begun meanwhile."""
    store, blobs, board = kind(f"sqlite:///{folder / 'bench.db'}", data_dir=folder), DiskBlobs(folder / "blobs"), Board()
    await store.start()
    try:
        workshop = Workshop(store, blobs, engine, board, worker="bench")
        queue = Queue(store, engine, workshop.draw, worker="bench", lease=timedelta(minutes=5))
        running = asyncio.create_task(queue.run())
        crowd = (await store.submit(asked(engine, "flood", flood))).jobs
        queue.wake()
        singles: list[Job] = []
        for k in range(others):
            await asyncio.sleep(apart)
            singles += (await store.submit(asked(engine, f"member{k}", 1))).jobs
            queue.wake()
        while True:
            load = await store.load()
            if not load.queued and not load.running:
                break
            await asyncio.sleep(0.05)
        await queue.drain(0)
        await running
        begun = [(await store.shown(job.id)).job for job in (*crowd, *singles)]
    finally:
        await store.aclose()
        blobs.close()
    return figures(begun[:flood], begun[flood:])


def figures(crowd: Sequence[Job], singles: Sequence[Job]) -> dict[str, float]:
    """Of ended jobs. Raises AssertionError for one that was never begun."""
    waited: list[float] = []
    passed: list[int] = []
    for job in singles:
        assert job.started_at is not None
        waited.append((job.started_at - job.created_at).total_seconds())
        passed.append(sum(job.created_at <= each.started_at < job.started_at for each in crowd if each.started_at))
    ends = [job.ended_at for job in (*crowd, *singles) if job.ended_at]
    return {
        "wait_median_s": median(waited),
        "wait_most_s": max(waited),
        "passed_by_median": median(passed),
        "passed_by_most": max(passed),
        "all_drawn_s": (max(ends) - crowd[0].created_at).total_seconds(),
    }


async def measure(make: Callable[[], Engine], *, flood: int = FLOOD, others: int = OTHERS, apart: float = APART) -> dict[str, dict[str, float]]:
    """Both sides, on one engine that is warm."""
    engine = make()
    await engine.start()
    found: dict[str, dict[str, float]] = {}
    try:
        await engine.run(asked(engine, "warm", 1).jobs[0].request, {}, lambda progress: None)
        for name, kind in SIDES.items():
            with tempfile.TemporaryDirectory() as folder:
                found[name] = await waits(kind, engine, Path(folder), flood=flood, others=others, apart=apart)
    finally:
        await engine.aclose()
    return found


def main() -> None:
    found = asyncio.run(measure(lambda: LocalEngine(Shelf.open())))
    fair, first = found["fair"], found["first_come"]
    print(f"{OTHERS} members with one job each beside one with {FLOOD}: seconds until theirs is begun, jobs of the one begun meanwhile")
    for name, side in found.items():
        waited = f"wait {side['wait_median_s']:6.2f} s, at most {side['wait_most_s']:6.2f} s"
        passed = f"passed by {side['passed_by_median']:5.0f}, at most {side['passed_by_most']:4.0f}"
        print(f"  {name:12} {waited}   {passed}   all drawn in {side['all_drawn_s']:6.1f} s")
    print(f"  the longest wait is {first['wait_most_s'] / max(1e-3, fair['wait_most_s']):.1f} times shorter")
    print(json.dumps({f"{name}_{key}": round(value, 3) for name, side in found.items() for key, value in side.items()}))


if __name__ == "__main__":
    main()
