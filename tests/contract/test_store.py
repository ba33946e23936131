"""The Store's contract, over SQLite and Postgres: deliveries, claims, leases, fairness, wallets, what is owed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain import Actor, Job, ReplyTo, Said, Status
from bot.errors import OutOfCredits, QueueFull
from bot.store.sql import SqlStore
from bot.store.tables import wallets
from tests.contract.jobs import ALICE, BOB, PLENTY, execute, job, pictures, submission, submit

LEASE = timedelta(minutes=5)
OVER = timedelta(0)  # a lease that has run out as soon as it is given


async def balance(store: SqlStore, actor: Actor = ALICE) -> float:
    return (await store.wallet(actor.key, cap=PLENTY.cap, per_hour=0.0)).balance


async def claimed(store: SqlStore, worker: str = "w", lease: timedelta = LEASE) -> Job:
    found = await store.claim(worker, lease)
    assert found is not None
    return found


async def status(store: SqlStore, job_id: str) -> Status:
    return (await store.shown(job_id)).job.status


# ------------------------------------------------------------------------------------------------ deliveries


async def test_a_submitted_job_reads_back_as_it_was_with_the_databases_time(store: SqlStore) -> None:
    actor = replace(ALICE, locale="pt-BR")
    asked = job(actor, words='a "fox" --ar 3:2 \N{FOX FACE}', source="a" * 64, unwanted=("snow", "rain"), private=True, relaxed=True, batch="B" * 26)
    expires = datetime(2030, 1, 1, 12, 30, tzinfo=UTC)
    before = await store.now()
    accepted = await store.submit(submission(asked, expires_at=expires, token="secret", uses_left=5, can_post=False))
    read = (await store.shown(asked.id)).job
    assert accepted.jobs == (read,) and not accepted.again
    assert replace(read, created_at=asked.created_at) == asked
    assert before <= read.created_at <= await store.now()
    reply_to, receipt = await store.reply_to(asked.id)
    assert reply_to == ReplyTo(platform="web", channel="pictures", token="secret", expires_at=expires, uses_left=5, can_post=False)
    assert receipt is None


async def test_the_same_delivery_twice_is_one_job(store: SqlStore) -> None:
    first = await store.submit(submission(job(), job(), delivery="d"))
    again = await store.submit(submission(job(), delivery="d"))
    assert again.again and again.jobs == first.jobs
    assert await balance(store) == PLENTY.cap - 2
    assert (await store.load()).queued == 2


async def test_the_same_delivery_at_the_same_time_is_one_job(store: SqlStore) -> None:
    answers = await asyncio.gather(*(store.submit(submission(job(), delivery="d")) for _ in range(10)))
    assert [answer.again for answer in answers].count(False) == 1
    assert len({answer.jobs[0].id for answer in answers}) == 1
    assert await balance(store) == PLENTY.cap - 1


async def test_the_same_delivery_id_on_two_platforms_is_two(store: SqlStore) -> None:
    assert not await store.seen("web", "d")
    assert not await store.seen("slack", "d")
    assert await store.seen("web", "d")
    assert not (await store.submit(submission(job(), delivery="d", platform="discord"))).again


async def test_a_refused_submission_leaves_no_trace_and_may_come_again(store: SqlStore) -> None:
    poor = replace(PLENTY, cap=1.0)
    with pytest.raises(OutOfCredits):
        await store.submit(submission(job(cost=2.0), delivery="d", limits=poor))
    assert await execute(store, "SELECT count(*) FROM deliveries") == [(0,)]
    assert not (await store.submit(submission(job(cost=1.0), delivery="d", limits=poor))).again


async def test_a_submission_of_two_members_or_of_nothing_is_a_mistake(store: SqlStore) -> None:
    for jobs in ((), (job(ALICE), job(BOB))):
        with pytest.raises(ValueError, match="one member"):
            await store.submit(submission(*jobs))


# ------------------------------------------------------------------------------------------------ wallets


async def test_a_newcomer_has_a_full_wallet_and_reading_it_writes_nothing(store: SqlStore) -> None:
    assert (await store.wallet("web:nobody", cap=5.0, per_hour=1.0)).balance == 5.0
    assert await execute(store, "SELECT * FROM wallets") == []


async def test_costs_leave_the_wallet_on_submit_and_stay_gone_when_drawn(store: SqlStore) -> None:
    await submit(store, job(cost=2.5))
    assert await balance(store) == PLENTY.cap - 2.5
    taken = await claimed(store)
    assert await store.finish("w", taken.id, pictures(taken.id, "a"), 1.25)
    assert await balance(store) == PLENTY.cap - 2.5
    assert (await store.shown(taken.id)).job.device_seconds == 1.25
    assert await store.discrepancies() == ()


@pytest.mark.parametrize("how", ["fail queued", "fail running", "cancel queued", "cancel running"])
async def test_failure_and_cancellation_give_everything_back_once(store: SqlStore, how: str) -> None:
    asked = job(cost=2.5)
    await submit(store, asked)
    verb, where = how.split()
    if where == "running":
        await claimed(store)
    said = Said(message="error.fault", parameters={"model": "pocket"})

    async def end() -> bool:
        return await (store.fail(None, asked.id, said) if verb == "fail" else store.cancel(asked.id))

    assert [await end(), await end()] == [True, False]
    assert await balance(store) == PLENTY.cap
    ended = (await store.shown(asked.id)).job
    assert ended.ended_at is not None
    assert (ended.status, ended.error) == ((Status.FAILED, said) if verb == "fail" else (Status.CANCELLED, None))
    assert await store.discrepancies() == ()


async def test_fifty_submissions_at_once_never_overdraw_a_wallet(store: SqlStore) -> None:
    limits = replace(PLENTY, cap=20.0)
    answers = await asyncio.gather(*(store.submit(submission(job(), limits=limits)) for _ in range(50)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, OutOfCredits)]
    assert len(refused) == 30
    assert not [answer for answer in answers if isinstance(answer, BaseException) and not isinstance(answer, OutOfCredits)]
    assert (await store.wallet(ALICE.key, cap=20.0, per_hour=0.0)).balance == 0.0
    assert (await store.load()).queued == 20
    assert await store.discrepancies() == ()


async def test_wallets_refill_with_time_up_to_the_cap(store: SqlStore) -> None:
    limits = replace(PLENTY, cap=10.0, per_hour=2.0)
    await store.submit(submission(job(cost=10.0), limits=limits))
    with pytest.raises(OutOfCredits) as caught:
        await store.submit(submission(job(cost=4.0), limits=limits))
    assert caught.value.message == "error.out_of_credits"
    assert 7190 < caught.value.parameters["wait"] <= 7200  # type: ignore[operator]

    async def set_back(hours: float) -> None:
        async def verb(db: AsyncConnection) -> None:
            at = (await db.execute(select(wallets.c.at))).scalar_one()
            await db.execute(update(wallets).values(at=at - timedelta(hours=hours)))

        await store.write(verb)

    await set_back(hours=2)
    assert (await store.wallet(ALICE.key, cap=10.0, per_hour=2.0)).balance == pytest.approx(4.0, abs=0.1)
    await set_back(hours=100)
    assert (await store.wallet(ALICE.key, cap=10.0, per_hour=2.0)).balance == 10.0
    await store.submit(submission(job(cost=10.0), limits=limits))


async def test_a_job_dearer_than_a_full_wallet_says_so(store: SqlStore) -> None:
    with pytest.raises(OutOfCredits) as caught:
        await store.submit(submission(job(cost=3.0), limits=replace(PLENTY, cap=2.0, per_hour=5.0)))
    assert (caught.value.message, caught.value.parameters["wait"], caught.value.parameters["cap"]) == ("error.too_dear", None, 2.0)


async def test_the_queue_is_bounded_for_one_and_for_all(store: SqlStore) -> None:
    limits = replace(PLENTY, queued_per_actor=2, queued_total=3)
    await store.submit(submission(job(), job(), limits=limits))
    with pytest.raises(QueueFull) as mine:
        await store.submit(submission(job(), limits=limits))
    with pytest.raises(QueueFull) as everybodys:
        await store.submit(submission(job(BOB), limits=replace(limits, queued_total=2)))
    assert (mine.value.message, mine.value.parameters["limit"]) == ("error.queue_full_actor", 2)
    assert (everybodys.value.message, everybodys.value.parameters["limit"]) == ("error.queue_full", 2)
    await store.submit(submission(job(BOB), limits=limits))
    assert await balance(store) == PLENTY.cap - 2
    await claimed(store)
    await store.submit(submission(job(ALICE), limits=limits))  # what is drawn does not wait


# ------------------------------------------------------------------------------------------------ claims and leases


async def test_nothing_to_claim_is_none(store: SqlStore) -> None:
    assert await store.claim("w", LEASE) is None


async def test_two_workers_never_get_the_same_job(store: SqlStore) -> None:
    asked = {each.id for each in (await submit(store, *(job() for _ in range(30)))).jobs}

    async def work(worker: str) -> list[str]:
        got = []
        while (found := await store.claim(worker, LEASE)) is not None:
            got.append(found.id)
        return got

    got = [job_id for ids in await asyncio.gather(*(work(f"w{n}") for n in range(6))) for job_id in ids]
    assert len(got) == 30 and set(got) == asked


async def test_a_claimed_job_is_running_and_only_its_workers_to_end(store: SqlStore) -> None:
    await submit(store, job())
    taken = await claimed(store, "mine")
    assert (taken.status, taken.attempts) == (Status.RUNNING, 1)
    assert taken.started_at is not None
    assert not await store.finish("other", taken.id, (), 0.0)
    assert not await store.fail("other", taken.id, Said(message="error.fault"))
    assert await store.requeue("other", [taken.id]) == 0
    assert await store.heartbeat("other", [taken.id], LEASE) == frozenset()
    assert await store.heartbeat("mine", [taken.id, "0" * 26], LEASE) == {taken.id}
    assert await store.finish("mine", taken.id, pictures(taken.id, "a"), 0.0)


async def test_an_ended_job_cannot_be_ended_again(store: SqlStore) -> None:
    await submit(store, job())
    taken = await claimed(store)
    assert await store.finish("w", taken.id, pictures(taken.id, "a"), 0.0)
    assert not await store.finish("w", taken.id, (), 0.0)
    assert not await store.fail(None, taken.id, Said(message="error.fault"))
    assert not await store.cancel(taken.id)
    assert not await store.cancel("0" * 26)
    assert await store.requeue("w", [taken.id]) == 0
    assert await store.heartbeat("w", [taken.id], LEASE) == frozenset()
    assert await status(store, taken.id) is Status.DONE


async def test_finish_and_cancel_at_once_have_one_winner_and_an_exact_ledger(store: SqlStore) -> None:
    asked = (await submit(store, *(job() for _ in range(8)))).jobs
    for _ in asked:
        await claimed(store)
    finishes = [store.finish("w", each.id, pictures(each.id, each.id), 0.0) for each in asked]
    cancels = [store.cancel(each.id) for each in asked]
    outcomes = await asyncio.gather(*(verb for pair in zip(finishes, cancels, strict=True) for verb in pair))
    assert all(sum(outcomes[at : at + 2]) == 1 for at in range(0, len(outcomes), 2))
    assert await store.discrepancies() == ()


async def test_a_drained_job_keeps_its_place_and_loses_no_attempt(store: SqlStore) -> None:
    first, second = (await submit(store, job(), job())).jobs
    taken = await claimed(store)
    assert taken.id == first.id
    assert await store.requeue("w", [first.id, second.id]) == 1
    assert (await store.position(first.id), await store.position(second.id)) == ((0, 0.0), (1, 1.0))
    again = await claimed(store)
    assert (again.id, again.attempts) == (first.id, 1)


async def test_a_lease_that_ran_out_goes_to_another_worker(store: SqlStore) -> None:
    await submit(store, job())
    taken = await claimed(store, "silent", OVER)
    assert await store.requeue_expired() == 1
    assert not await store.finish("silent", taken.id, (), 0.0)
    assert (await claimed(store, "next")).attempts == 2


async def test_a_heartbeat_keeps_the_lease(store: SqlStore) -> None:
    await submit(store, job())
    taken = await claimed(store, "w", OVER)
    await store.heartbeat("w", [taken.id], LEASE)
    assert await store.requeue_expired() == 0


async def test_a_job_that_kills_its_engine_again_and_again_fails_with_a_refund(store: SqlStore) -> None:
    await submit(store, job(cost=2.0), job(cost=1.0))
    for _ in range(2):
        await claimed(store, "w", OVER)
        assert await store.requeue_expired() == 1
    third = await claimed(store, "w", OVER)
    assert await store.requeue_expired() == 0
    failed = (await store.shown(third.id)).job
    assert (failed.status, failed.error, failed.attempts) == (Status.FAILED, Said(message="error.poison"), 3)
    assert await balance(store) == PLENTY.cap - 1.0
    assert [notice.job_id for notice in await store.notices(["web"])] == [third.id]
    assert await store.discrepancies() == ()


async def test_artifacts_of_another_job_are_a_mistake(store: SqlStore) -> None:
    await submit(store, job())
    taken = await claimed(store)
    with pytest.raises(ValueError, match="another job"):
        await store.finish("w", taken.id, pictures("0" * 26, "a"), 0.0)
    assert await status(store, taken.id) is Status.RUNNING


# ------------------------------------------------------------------------------------------------ fairness


async def order(store: SqlStore) -> list[str]:
    """Whose jobs are claimed, to the last."""
    got = []
    while (found := await store.claim("w", LEASE)) is not None:
        got.append(found.actor.id)
    return got


async def test_one_members_forty_jobs_delay_nobody_elses_one(store: SqlStore) -> None:
    await submit(store, *(job(ALICE) for _ in range(40)))
    for _ in range(3):
        await claimed(store)
    await submit(store, job(BOB))
    assert (await order(store)).index("bob") <= 1


async def test_turns_are_fair_by_cost_not_by_count(store: SqlStore) -> None:
    await submit(store, *(job(ALICE, cost=4.0) for _ in range(5)))
    await submit(store, *(job(BOB, cost=1.0) for _ in range(20)))
    assert (await order(store))[:10].count("bob") in (7, 8, 9)


async def test_who_was_away_does_not_save_up_turns(store: SqlStore) -> None:
    await submit(store, *(job(ALICE) for _ in range(20)))
    for _ in range(10):
        await claimed(store)
    await submit(store, *(job(BOB) for _ in range(10)))
    head = (await order(store))[:10]
    assert 4 <= head.count("alice") <= 6


async def test_cancelled_jobs_do_not_push_back_what_follows(store: SqlStore) -> None:
    mine = (await submit(store, *(job(ALICE) for _ in range(10)))).jobs
    for each in mine:
        await store.cancel(each.id)
    await submit(store, job(BOB), job(BOB))
    await submit(store, job(ALICE))
    assert "alice" in (await order(store))[:2]


async def test_position_counts_who_starts_sooner_and_the_credits_ahead(store: SqlStore) -> None:
    a1, a2, a3 = (await submit(store, *(job(ALICE, cost=2.0) for _ in range(3)))).jobs
    await claimed(store)
    (b1,) = (await submit(store, job(BOB, cost=0.5))).jobs
    assert await store.position(a1.id) is None
    assert await store.position(b1.id) == (0, 2.0)
    assert await store.position(a2.id) == (1, 2.5)
    assert await store.position(a3.id) == (2, 4.5)
    assert await store.position("0" * 26) is None
    load = await store.load()
    assert (load.queued, load.running, load.cost_ahead) == (3, 1, 6.5)
