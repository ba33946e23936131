"""How soon the studio page answers: after the start, under fifty commands a second and fifty at once, and how late the event loop is while the engine draws.

`python -m benchmarks.acknowledge` starts the real program with the pocket model in a temporary directory and speaks to it over loopback. An answer is
given when the job is written down, with its card; its place in the queue is what the page asks for later. Every job that was answered is waited for.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.scenario.program import Program
from tests.scenario.visitor import Visitor

A_SECOND, SECONDS = 50, 4
AT_ONCE = 50
PROMISES = {"first_acknowledgement_s": 2.0, "acknowledgement_p99_s": 0.5, "loop_lag_p99_s": 0.02}


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def lag_counts(metrics: str) -> dict[float, float]:
    return {float(bound): float(count) for bound, count in re.findall(r'wordup_event_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)', metrics)}


def histogram_p99(before: dict[float, float], after: dict[float, float]) -> float:
    """By linear interpolation inside its bucket, as Prometheus does."""
    counts = {bound: after[bound] - before.get(bound, 0.0) for bound in after}
    rank, low, below = 0.99 * counts[float("inf")], 0.0, 0.0
    for bound in sorted(counts):
        if counts[bound] >= rank:
            return low if bound == float("inf") else low + (bound - low) * (rank - below) / max(1e-9, counts[bound] - below)
        low, below = bound, counts[bound]
    return low


async def timed(member: Visitor, words: str) -> tuple[float, str]:
    begun = time.perf_counter()
    answer = await member.imagine(words)
    if answer["kind"] != "job":
        raise SystemExit(f"not accepted: {answer}")
    return time.perf_counter() - begun, answer["job"]


async def measure(program: Program, spawned: float) -> dict[str, float]:
    async with Visitor(program.url) as member:
        listening = time.perf_counter() - spawned
        first, job = await timed(member, "a fox in the snow, 3d render --seed 1")
        out = {"listening_after_start_s": listening, "first_acknowledgement_s": listening + first}
        await member.ended(job)
        out["first_picture_after_start_s"] = time.perf_counter() - spawned
        out |= await under_load(program, member, "acknowledgement", at_a_rate)
        out |= await under_load(program, member, "at_once", at_once)
    return out


async def at_a_rate(member: Visitor) -> list[tuple[float, str]]:
    """They come when they come, whether those before were answered or not."""
    async with asyncio.TaskGroup() as group:
        tasks = []
        for k in range(A_SECOND * SECONDS):
            tasks.append(group.create_task(timed(member, words(k))))
            await asyncio.sleep(1 / A_SECOND)
    return [task.result() for task in tasks]


async def at_once(member: Visitor) -> list[tuple[float, str]]:
    return await asyncio.gather(*(timed(member, words(k)) for k in range(AT_ONCE)))


def words(seed: int) -> str:
    return f"a red apple on a blue background --seed {seed} --n 1 --steps 4"


async def under_load(program: Program, member: Visitor, name: str, load: Callable[[Visitor], Awaitable[list[tuple[float, str]]]]) -> dict[str, float]:
    """Seconds to the answer, and the loop's lag until it is given, while the engine draws; then until everything is drawn."""
    before = await lags(program)
    _, running = await timed(member, "an owl at night --n 9 --steps 60")
    answers = await load(member)
    after = await lags(program)
    begun = time.perf_counter()
    for _, job in (*answers, (0.0, running)):
        await member.ended(job)
    times = [seconds for seconds, _ in answers]
    lag = "loop_lag_p99_s" if name == "acknowledgement" else f"{name}_loop_lag_p99_s"
    return {
        f"{name}_p50_s": percentile(times, 0.5),
        f"{name}_p99_s": percentile(times, 0.99),
        lag: histogram_p99(before, after),
        f"{name}_drain_s": time.perf_counter() - begun,
    }


async def lags(program: Program) -> dict[float, float]:
    return lag_counts((await asyncio.to_thread(program.get, program.metrics + "/metrics"))[1])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        program = Program(Path(folder), WORDUP_QUEUED_PER_MEMBER="1000", WORDUP_QUEUED_TOTAL="1000", WORDUP_CREDITS_CAP="100000", OMP_NUM_THREADS="")
        spawned = time.perf_counter()
        with program:
            found = asyncio.run(measure(program, spawned))
    for name, value in found.items():
        promise = f"   {value / PROMISES[name]:.2f} of the promised {PROMISES[name]} s" if name in PROMISES else ""
        print(f"{name:30} {value:8.3f}{promise}")
    print(json.dumps({name: round(value, 4) for name, value in found.items()}))


if __name__ == "__main__":
    main()
