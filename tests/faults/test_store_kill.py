"""kill -9 in the middle of submitting, claiming and finishing: what was promised is kept, and nothing is there twice."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import defaultdict
from datetime import timedelta

from bot.store.sql import SqlStore
from tests.contract.jobs import PLENTY, execute

ROUNDS = 5


async def suffer(url: str, seed: int, lines: int, delay: float) -> list[list[str]]:
    """Run a victim, kill it `delay` seconds after it has said so many lines, and return all it said."""
    victim = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.faults.store_victim", url, str(seed), stdout=asyncio.subprocess.PIPE)
    assert victim.stdout is not None
    async with asyncio.timeout(120):
        assert await victim.stdout.readline() == b"ready\n"
        said = [await victim.stdout.readline() for _ in range(lines)]
    await asyncio.sleep(delay)
    assert victim.returncode is None, "it died by itself"
    victim.kill()
    said += (await victim.stdout.read()).splitlines()
    await victim.wait()
    return [line.decode().split() for line in said]


async def test_a_killed_process_loses_nothing_doubles_nothing_and_owes_nobody(sqlite_url: str) -> None:
    chance = random.Random(20)
    promised: dict[str, list[str]] = {}
    ended: dict[str, str] = {}
    for number in range(ROUNDS):
        for kind, subject, *rest in await suffer(sqlite_url, number, chance.randrange(2, 25), chance.random() / 100):
            if kind == "accepted":
                promised[subject] = rest
            else:
                assert subject not in ended, "ended twice"
                ended[subject] = rest[0]
        store = SqlStore(sqlite_url, max_attempts=1000)
        await store.start()
        await check(store, promised, ended)
        await store.aclose()
    assert promised and ended, "the victims proved nothing"

    store = SqlStore(sqlite_url, max_attempts=1000)
    await store.start()
    await store.requeue_expired()
    while (taken := await store.claim("survivor", timedelta(hours=1))) is not None:
        assert taken.id not in ended
        assert await store.finish("survivor", taken.id, (), 0.0)
        ended[taken.id] = "done"
    await check(store, promised, ended)
    # By what is written: a process killed between writing an end down and saying so has ended the job all the same.
    how = {str(job_id): str(each) for job_id, each in await execute(store, "SELECT id, status FROM jobs")}
    assert {how[job_id] for ids in promised.values() for job_id in ids} <= {"done", "failed", "cancelled"}
    await store.aclose()


async def check(store: SqlStore, promised: dict[str, list[str]], ended: dict[str, str]) -> None:
    assert await execute(store, "PRAGMA integrity_check") == [("ok",)]
    assert await execute(store, "PRAGMA foreign_key_check") == []
    assert await store.discrepancies() == ()

    found = await execute(store, "SELECT id, status, actor_key, cost FROM jobs")
    status = {str(job_id): str(each) for job_id, each, *_ in found}
    assert all(job_id in status for ids in promised.values() for job_id in ids), "a job was lost"
    assert all(status[job_id] == how for job_id, how in ended.items()), "an end was lost"

    spent: defaultdict[str, float] = defaultdict(float)
    for _, each, actor_key, cost in found:
        assert isinstance(cost, float)
        spent[str(actor_key)] += cost if each in ("queued", "running", "done") else 0.0
    for actor_key, balance in await execute(store, "SELECT actor_key, balance FROM wallets"):
        assert balance == PLENTY.cap - spent[str(actor_key)]

    # One delivery, its jobs; one end, one notice; pictures exactly of what was drawn.
    written = await execute(store, "SELECT delivery, value FROM deliveries, json_each(job_ids)")
    by_delivery: defaultdict[str, list[str]] = defaultdict(list)
    for delivery, job_id in written:
        by_delivery[str(delivery)].append(str(job_id))
    assert all(by_delivery[delivery] == ids for delivery, ids in promised.items())
    assert sorted(job_id for ids in by_delivery.values() for job_id in ids) == sorted(status)
    owed = {str(job_id) for (job_id,) in await execute(store, "SELECT id FROM notices")}
    assert owed == {job_id for job_id, each in status.items() if each in ("done", "failed", "cancelled")}
    drawn = {str(job_id) for (job_id,) in await execute(store, "SELECT job_id FROM artifacts")}
    assert all(status[job_id] == "done" for job_id in drawn)
