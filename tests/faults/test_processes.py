"""Whole processes that are told to stop in every state, that replace themselves, and that share a database: nothing is lost, nothing is shown twice."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.domain import Said, Status
from bot.store.sql import SqlStore
from tests.contract.jobs import execute

PATIENCE = 120.0


class Victim:
    """A process of `tests.faults.house_victim`, and what it has said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process, self.said = process, list[list[str]]()

    async def until(self, *words: str, count: int = 1) -> None:
        """Until it has said so, so often."""
        async with asyncio.timeout(PATIENCE):
            while len(self.lines(*words)) < count:
                assert self.process.stdout is not None
                line = await self.process.stdout.readline()
                assert line, f"it ended before it said {words}: {self.said}"
                self.said.append(line.decode().split())

    def lines(self, *words: str) -> list[list[str]]:
        return [line for line in self.said if line[: len(words)] == list(words)]

    async def stop(self) -> int | None:
        """SIGTERM; the exit code, once it has said everything."""
        self.process.send_signal(signal.SIGTERM)
        return await self.ended()

    async def ended(self) -> int | None:
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            self.said += [line.decode().split() for line in (await self.process.stdout.read()).splitlines()]
            return await self.process.wait()


@asynccontextmanager
async def victim(data: Path, state: str, url: str = "") -> AsyncIterator[Victim]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.house_victim", str(data), state, url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield Victim(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def check(url: str, count: int) -> None:
    """Everything has ended and was told, and the books are exact."""
    store = SqlStore(url)
    await store.start()
    try:
        assert (await store.load()).queued == (await store.load()).running == 0
        assert await owed(store) == 0
        assert await store.discrepancies() == ()
        assert len(await store.history("memory:ada", limit=100)) == count
    finally:
        await store.aclose()


@pytest.mark.parametrize("state", ["starting", "waiting", "drawing", "saving", "untold", "twice"])
async def test_a_process_that_is_told_to_stop_leaves_a_job_that_the_next_one_ends(tmp_path: Path, state: str) -> None:
    async with victim(tmp_path, state) as first:
        await first.until("reached")
        if state == "twice":
            first.process.send_signal(signal.SIGTERM)
        assert await first.stop() == 0
        assert not first.lines("shown")
    async with victim(tmp_path, "works") as second:
        await second.until("shown")
        assert await second.stop() == 0
        ((_, _, how),) = second.lines("shown")
        assert how == "done"
        assert len(second.lines("draws")) == (0 if state == "untold" else 1)
    await check(f"sqlite:///{tmp_path / 'wordup.db'}", 1)


async def test_a_process_that_lost_its_device_is_replaced_by_itself_and_the_job_that_does_it_every_time_is_failed(tmp_path: Path) -> None:
    async with victim(tmp_path, "poison") as process:
        await process.until("shown", count=3)
        assert await process.stop() == 0
        lives = process.lines("alive")
        assert len(lives) == 4 and len({pid for _, pid in lives}) == 1, "three deaths, and nobody from outside noticed"
        asked = {line[1]: " ".join(line[2:]) for line in process.lines("accepted")}
        ends = {asked[job]: how for _, job, how in process.lines("shown")}
        assert len(process.lines("shown")) == 3
        assert ends == {"poison": "failed", "a fox": "done", "an apple": "done"}
        assert len(process.lines("draws", "poison")) == 3
    await check(f"sqlite:///{tmp_path / 'wordup.db'}", 3)
    store = SqlStore(f"sqlite:///{tmp_path / 'wordup.db'}")
    await store.start()
    poison = next(job for job, words in asked.items() if words == "poison")
    found = (await store.shown(poison)).job
    assert found.status is Status.FAILED and found.error == Said(message="error.poison")
    await store.aclose()


async def test_two_processes_on_one_postgres_draw_everything_once(tmp_path: Path, postgres_url: str) -> None:
    async with victim(tmp_path, "crowd", postgres_url) as one, victim(tmp_path, "crowd", postgres_url) as two:
        await asyncio.gather(one.until("accepted", count=10), two.until("accepted", count=10))
        await drained(postgres_url)
        assert await one.stop() == await two.stop() == 0
        assert {line[1] for line in one.lines("accepted")} == {line[1] for line in two.lines("accepted")}, "each delivery is one job, whoever hears it"
        drawn = Counter(" ".join(line[1:]) for each in (one, two) for line in each.lines("draws"))
        assert len(drawn) == 10 and set(drawn.values()) == {1}
    await check(postgres_url, 10)


async def test_what_a_killed_process_was_drawing_is_drawn_by_the_other(tmp_path: Path, postgres_url: str) -> None:
    async with victim(tmp_path, "drawing", postgres_url) as one:
        await one.until("reached")
        one.process.kill()
        await one.process.wait()
        async with victim(tmp_path, "works", postgres_url) as two:
            await two.until("shown")
            assert await two.stop() == 0
            assert [how for _, _, how in two.lines("shown")] == ["done"]
    await check(postgres_url, 1)


async def test_an_end_whose_teller_was_killed_is_told_by_the_other_once_the_lease_has_run_out(tmp_path: Path, postgres_url: str) -> None:
    async with victim(tmp_path, "telling", postgres_url) as one:
        await one.until("reached")
        one.process.kill()
        await one.process.wait()
    store = SqlStore(postgres_url)
    await store.start()
    try:
        assert await owed(store) == 1 and await store.notices(["memory"]) == (), "it is held still"
        async with victim(tmp_path, "works", postgres_url) as two:
            await two.until("alive")
            await execute(store, "UPDATE notices SET due_at = created_at")
            await two.until("shown")
            assert await two.stop() == 0
            assert [how for _, _, how in two.lines("shown")] == ["done"] and not two.lines("draws")
    finally:
        await store.aclose()
    await check(postgres_url, 1)


async def test_an_end_whose_teller_is_told_to_stop_is_the_next_ones_at_once(tmp_path: Path, postgres_url: str) -> None:
    async with victim(tmp_path, "telling", postgres_url) as one:
        await one.until("reached")
        assert await one.stop() == 0
    async with victim(tmp_path, "works", postgres_url) as two:
        await two.until("shown")
        assert await two.stop() == 0
        assert len(two.lines("shown")) == 1 and not two.lines("draws")
    await check(postgres_url, 1)


async def owed(store: SqlStore) -> int:
    """How many ends were not told, also those that somebody holds."""
    return len(await execute(store, "SELECT id FROM notices WHERE told_at IS NULL"))


async def drained(url: str) -> None:
    """Until nothing waits, runs or is owed any more."""
    store = SqlStore(url)
    await store.start()
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                load = await store.load()
                if not (load.queued or load.running or await owed(store)):
                    return
                await asyncio.sleep(0.05)
    finally:
        await store.aclose()
