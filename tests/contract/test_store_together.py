"""The Store's contract, over SQLite and Postgres: what a server's members, and all members, may wait for and spend together."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain import Actor, Job, Place, Said
from bot.errors import OutOfCredits, QueueFull
from bot.store import wallet
from bot.store.sql import SqlStore
from bot.store.tables import wallets
from tests.contract.jobs import PLENTY, execute, job, submission, submit

LEASE = timedelta(minutes=5)


def member(number: int) -> Actor:
    return Actor(platform="discord", id=f"{number}")


def asked(number: int, server: str = "one", *, cost: float = 1.0) -> Job:
    return replace(job(member(number), cost=cost), place=Place(platform="discord", server=server, channel="art"))


async def refusal(store: SqlStore, made: Job, **limits: float) -> tuple[str, float]:
    """Which message, and its `limit` or `wait`."""
    with pytest.raises((OutOfCredits, QueueFull)) as caught:
        await store.submit(submission(made, limits=replace(PLENTY, **limits)))  # type: ignore[arg-type]
    said = caught.value.parameters
    return caught.value.message, float(str(said.get("limit", said["wait"])))


async def later(store: SqlStore, hours: float) -> None:
    """As if the common wallets had been written so long ago."""

    async def verb(db: AsyncConnection) -> None:
        for key, at in (await db.execute(select(wallets.c.actor_key, wallets.c.at))).all():
            await db.execute(update(wallets).where(wallets.c.actor_key == key).values(at=at - timedelta(hours=hours)))

    await store.write(verb)


async def test_a_server_has_its_share_of_the_queue_and_others_go_on(store: SqlStore) -> None:
    limits = replace(PLENTY, queued_per_server=3)
    for number in range(3):
        await submit(store, asked(number), limits=limits)
    assert await refusal(store, asked(9), queued_per_server=3) == ("error.queue_full_server", 3)
    with pytest.raises(QueueFull, match="set_full_server"):
        await submit(store, *(replace(asked(9, "two"), id=asked(9).id) for _ in range(4)), limits=limits)
    await submit(store, asked(9, "two"), limits=limits)
    await submit(store, asked(9, ""), asked(9, ""), asked(9, ""), asked(9, ""), limits=limits)  # in direct messages there is no server
    assert await store.claim("w", LEASE) is not None
    await submit(store, asked(4), limits=limits)  # what is drawn does not wait


async def test_a_servers_members_spend_no_more_together_than_its_bound(store: SqlStore) -> None:
    limits = replace(PLENTY, server_per_hour=3.0)
    for number in range(3):
        await submit(store, asked(number), limits=limits)
    message, wait = await refusal(store, asked(9), server_per_hour=3.0)
    assert message == "error.server_spent" and 0 < wait <= 1200
    assert (await store.wallet(member(9).key, cap=PLENTY.cap, per_hour=0.0)).balance == PLENTY.cap, "who is refused pays nothing"
    await submit(store, asked(9, "two"), limits=limits)
    await submit(store, asked(9, ""), limits=limits)
    await later(store, hours=1 / 3)
    await submit(store, asked(9), limits=limits)


async def test_all_members_spend_no_more_together_than_the_whole_wherever_they_are(store: SqlStore) -> None:
    limits = replace(PLENTY, total_per_hour=3.0, server_per_hour=2.0)
    for number, server in enumerate(["one", "two", ""]):
        await submit(store, asked(number, server), limits=limits)
    assert (await refusal(store, asked(9, "three"), total_per_hour=3.0, server_per_hour=2.0))[0] == "error.all_spent"
    assert (await refusal(store, asked(9, "one", cost=2.0), server_per_hour=2.0))[0] == "error.server_spent"
    await later(store, hours=100)
    with pytest.raises(OutOfCredits, match="too_dear_together"):
        await submit(store, asked(9, "one", cost=2.5), limits=limits)
    await submit(store, asked(9, "one", cost=2.0), limits=limits)
    await submit(store, asked(9, "two"), limits=limits)
    assert (await refusal(store, asked(9, "three"), total_per_hour=3.0))[0] == "error.all_spent", "an hour's worth is there at most"


async def test_what_was_not_drawn_is_given_back_to_all_and_never_more_than_the_bound(store: SqlStore) -> None:
    limits = replace(PLENTY, server_per_hour=2.0, total_per_hour=2.0)
    for _ in range(5):
        (waiting,) = (await submit(store, asked(1), limits=limits)).jobs
        assert await store.cancel(waiting.id)
    (failed,) = (await submit(store, asked(1, cost=2.0), limits=limits)).jobs
    await store.fail(None, failed.id, Said(message="error.fault"))
    (free,) = (await submit(store, asked(2, cost=30.0))).jobs  # there was no bound a while
    await store.cancel(free.id)
    await submit(store, asked(3, cost=2.0), limits=limits)
    assert (await refusal(store, asked(3), server_per_hour=2.0))[0] == "error.server_spent"
    assert await store.discrepancies() == ()


async def test_forgetting_gives_nothing_back_of_what_was_drawn(store: SqlStore) -> None:
    limits = replace(PLENTY, server_per_hour=2.0)
    await submit(store, asked(1, cost=2.0), limits=limits)
    taken = await store.claim("w", LEASE)
    assert taken is not None and await store.finish("w", taken.id, (), 1.0)
    assert await store.forget(member(1).key) == 1
    assert (await refusal(store, asked(2), server_per_hour=2.0))[0] == "error.server_spent"


async def test_many_at_once_spend_exactly_what_there_is_and_none_waits_for_another_for_ever(store: SqlStore) -> None:
    """Submissions, cancellations and forgettings of several members on several servers: what they lock in common is always locked in one order."""
    limits = replace(PLENTY, server_per_hour=20.0, total_per_hour=30.0)

    async def one(number: int) -> int:
        accepted = 0
        for turn in range(6):
            try:
                made = await submit(store, asked(number, f"server {turn % 3}"), limits=limits)
            except OutOfCredits:
                continue
            accepted += 1
            if turn % 2:
                accepted -= await store.cancel(made.jobs[0].id)
        return accepted

    began = await store.now()
    kept = sum(await asyncio.gather(*(one(number) for number in range(8))))
    [(left,)] = await execute(store, "SELECT balance FROM wallets WHERE actor_key = :key", key=wallet.EVERYBODY)
    refilled = limits.total_per_hour * ((await store.now()) - began) / timedelta(hours=1)
    assert kept - refilled - 1e-6 <= limits.total_per_hour - float(str(left)) <= kept + 1e-6
    await asyncio.gather(*(store.forget(member(number).key) for number in range(8)), one(20), one(21))
    assert await store.discrepancies() == ()
