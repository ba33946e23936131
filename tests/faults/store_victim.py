"""A process that uses the store as hard as it can until it is killed: ``python -m tests.faults.store_victim <url> <seed>``.

It says what it was promised, one line each, before it goes on: "accepted <delivery> <job>…" and "ended <job> <status>".
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from datetime import timedelta

from bot.domain import Actor, Said
from bot.store.sql import SqlStore
from tests.contract.jobs import job, pictures, submission

LEASE = timedelta(hours=1)


def say(*words: str) -> None:
    os.write(1, (" ".join(words) + "\n").encode())  # one system call: whole lines or none


async def submit(store: SqlStore, chance: random.Random) -> None:
    while True:
        actor = Actor(platform="web", id=f"member{chance.randrange(3)}")
        asked = submission(*(job(actor, cost=chance.randrange(1, 9) / 4) for _ in range(chance.randrange(1, 4))))
        accepted = await store.submit(asked)
        say("accepted", asked.delivery, *(each.id for each in accepted.jobs))
        await asyncio.sleep(chance.random() / 100)


async def work(store: SqlStore, chance: random.Random, worker: str) -> None:
    while True:
        taken = await store.claim(worker, LEASE)
        if taken is None:
            await asyncio.sleep(0.001)
            continue
        match chance.randrange(6):
            case 0:
                if await store.fail(worker, taken.id, Said(message="error.fault")):
                    say("ended", taken.id, "failed")
            case 1:
                if await store.cancel(taken.id):
                    say("ended", taken.id, "cancelled")
            case 2:
                await store.requeue(worker, [taken.id])
            case _:
                if await store.finish(worker, taken.id, pictures(taken.id, taken.id), 0.1):
                    say("ended", taken.id, "done")


async def main(url: str, seed: str) -> None:
    store = SqlStore(url)
    await store.start()
    say("ready")
    async with asyncio.TaskGroup() as group:
        for number in range(2):
            group.create_task(submit(store, random.Random(f"{seed} submit {number}")))
            group.create_task(work(store, random.Random(f"{seed} work {number}"), f"worker{number}"))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
