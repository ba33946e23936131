"""The Store's contract, over SQLite and Postgres: the relaxed lane, and sets of jobs that are accepted together."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain import Job, Load, ReplyTo
from bot.errors import OutOfCredits, QueueFull
from bot.limits import RELAX_PATIENCE, work
from bot.store.sql import SqlStore
from bot.store.tables import jobs
from tests.contract.jobs import ALICE, BOB, PLENTY, execute, job, pictures, submission, submit

LEASE = timedelta(minutes=5)


async def drawn_in_order(store: SqlStore) -> list[str]:
    """The words of all that waits, as it is claimed and drawn."""
    found = []
    while (taken := await store.claim("w", LEASE)) is not None:
        found.append(taken.words)
        assert await store.finish("w", taken.id, pictures(taken.id, taken.id), 0.0)
    return found


async def waited(store: SqlStore, asked: Job, longer: timedelta) -> None:
    """Set a job's beginning back."""
    began = await store.now() - longer

    async def verb(db: AsyncConnection) -> None:
        await db.execute(update(jobs).where(jobs.c.id == asked.id).values(created_at=began))

    await store.write(verb)


# ------------------------------------------------------------------------------------------------ the relaxed lane


async def test_a_relaxed_job_lets_everybody_else_go_first(store: SqlStore) -> None:
    await submit(store, job(words="relaxed", relaxed=True))
    await submit(store, job(BOB, words="one"), job(BOB, words="two"))
    await submit(store, job(words="mine"))
    assert await drawn_in_order(store) == ["one", "mine", "two", "relaxed"]


async def test_a_relaxed_job_is_drawn_at_once_when_nobody_else_waits(store: SqlStore) -> None:
    await submit(store, job(words="relaxed", relaxed=True))
    assert await drawn_in_order(store) == ["relaxed"]


async def test_a_relaxed_job_that_has_waited_long_counts_as_others_do(store: SqlStore) -> None:
    (old, young) = (await submit(store, job(words="old", relaxed=True), job(words="young", relaxed=True))).jobs
    await submit(store, job(BOB, words="one"), job(BOB, words="two"))
    await waited(store, old, RELAX_PATIENCE - timedelta(minutes=1))
    assert (await store.position(old.id) or (None,))[0] == 2
    await waited(store, old, RELAX_PATIENCE + timedelta(seconds=1))
    assert (await store.position(old.id) or (None,))[0] == 0
    assert await drawn_in_order(store) == ["old", "one", "two", "young"]
    assert young.relaxed


async def test_relaxed_jobs_are_fair_among_themselves(store: SqlStore) -> None:
    await submit(store, *(job(words=f"alice {number}", relaxed=True) for number in range(3)))
    await submit(store, *(job(BOB, words=f"bob {number}", relaxed=True) for number in range(2)))
    assert [words.split()[0] for words in await drawn_in_order(store)] == ["alice", "bob", "alice", "bob", "alice"]


async def test_what_a_member_asks_for_in_one_lane_does_not_hold_them_up_in_the_other(store: SqlStore) -> None:
    await submit(store, *(job(words="relaxed", cost=50.0, relaxed=True) for _ in range(3)))
    await submit(store, job(BOB, words="bob"))
    await submit(store, job(words="mine"))
    await submit(store, job(BOB, words="bob again"))
    assert await drawn_in_order(store) == ["bob", "mine", "bob again", "relaxed", "relaxed", "relaxed"]


async def test_a_cancelled_job_moves_up_only_what_waits_behind_it_in_its_lane(store: SqlStore) -> None:
    first, _ = (await submit(store, job(words="first", cost=8.0), job(words="second"))).jobs
    _, last = (await submit(store, job(words="relaxed one", cost=2.0, relaxed=True), job(words="relaxed two", relaxed=True))).jobs
    await store.cancel(first.id)
    tags = {str(words): tag for words, tag in await execute(store, "SELECT words, start_tag FROM jobs")}
    assert (tags["second"], tags["relaxed one"], tags["relaxed two"]) == (0.0, 0.0, 2.0)
    assert await execute(store, "SELECT finish_tag, relaxed_tag FROM wallets") == [(1.0, 3.0)]
    await store.cancel(last.id)
    assert await execute(store, "SELECT finish_tag, relaxed_tag FROM wallets") == [(1.0, 2.0)]


async def test_what_is_ahead_is_counted_in_the_order_in_which_jobs_start_and_in_full_credits(store: SqlStore) -> None:
    relaxed, later = (await submit(store, job(cost=2.0, relaxed=True), job(cost=2.0, relaxed=True))).jobs
    (quick,) = (await submit(store, job(BOB, cost=3.0))).jobs
    assert await store.position(quick.id) == (0, 0.0)
    assert await store.position(relaxed.id) == (1, 3.0)
    assert await store.position(later.id) == (2, 3.0 + work(2.0, True))
    assert await store.load() == Load(queued=3, running=0, cost_ahead=3.0 + 2 * work(2.0, True))
    taken = await store.claim("w", LEASE)
    assert taken is not None and taken.id == quick.id
    assert await store.position(relaxed.id) == (0, 3.0)


async def test_a_relaxed_job_put_back_keeps_its_lane_and_place(store: SqlStore) -> None:
    first, _ = (await submit(store, job(words="first", relaxed=True), job(words="second", relaxed=True))).jobs
    await store.claim("w", LEASE)
    await store.requeue("w", [first.id])
    await submit(store, job(BOB, words="quick"))
    assert await drawn_in_order(store) == ["quick", "first", "second"]


# ------------------------------------------------------------------------------------------------ sets of jobs


async def test_a_set_costs_what_all_its_jobs_cost_or_is_not_accepted_at_all(store: SqlStore) -> None:
    poor = replace(PLENTY, cap=10.0, per_hour=5.0)
    await store.submit(submission(job(cost=7.0), limits=poor))
    with pytest.raises(OutOfCredits) as caught:
        await store.submit(submission(*(job(cost=1.5) for _ in range(4)), delivery="set", limits=poor))
    said = caught.value.parameters
    assert (caught.value.message, said["cost"], said["balance"]) == ("error.out_of_credits", 6.0, pytest.approx(3.0, abs=0.1))
    assert (await store.load()).queued == 1
    assert len((await store.submit(submission(job(cost=1.5), job(cost=1.5), delivery="set", limits=poor))).jobs) == 2


async def test_a_set_that_does_not_fit_the_queue_says_how_many_would(store: SqlStore) -> None:
    limits = replace(PLENTY, queued_per_actor=5, queued_total=7)
    await store.submit(submission(job(), job(), limits=limits))
    with pytest.raises(QueueFull) as mine:
        await store.submit(submission(*(job() for _ in range(4)), limits=limits))
    assert mine.value.message == "error.set_full_actor"
    assert {name: mine.value.parameters[name] for name in ("limit", "count", "room")} == {"limit": 5, "count": 4, "room": 3}
    await store.submit(submission(*(job(BOB) for _ in range(4)), limits=limits))
    with pytest.raises(QueueFull) as everybodys:
        await store.submit(submission(job(), job(), limits=limits))
    assert everybodys.value.message == "error.set_full"
    assert {name: everybodys.value.parameters[name] for name in ("limit", "count", "room")} == {"limit": 7, "count": 2, "room": 1}
    assert (await store.load()).queued == 6
    assert await store.discrepancies() == ()


async def test_a_set_delivered_twice_is_there_once_and_comes_back_whole(store: SqlStore) -> None:
    asked = [job(words=str(number), batch="B" * 26) for number in range(4)]
    first = await store.submit(submission(*asked, delivery="set"))
    again = await store.submit(submission(*asked, delivery="set"))
    assert again.again and again.jobs == first.jobs
    assert [each.words for each in again.jobs] == ["0", "1", "2", "3"]


async def test_the_end_of_each_job_of_a_set_is_owed_where_the_set_was_asked_for(store: SqlStore) -> None:
    asked = (await submit(store, job(), job(), job(), token="t", uses_left=5)).jobs
    for each in asked[:2]:
        await store.claim("w", LEASE)
        await store.finish("w", each.id, pictures(each.id, each.id), 0.0)
    await store.cancel(asked[2].id)
    owed = await store.notices(["web"])
    assert {notice.job_id for notice in owed} == {each.id for each in asked}
    assert {notice.reply_to for notice in owed} == {ReplyTo(platform="web", channel="pictures", token="t", uses_left=5)}


async def test_the_jobs_of_a_set_are_found_in_the_order_of_its_prompts(store: SqlStore) -> None:
    offer_id, other = "B" * 26, "C" * 26
    asked = (await submit(store, *(job(words=str(number), batch=offer_id) for number in range(6)))).jobs
    await submit(store, job(BOB, batch=other))
    await submit(store, job())
    assert [shown.job for shown in await store.batch(offer_id)] == list(asked)
    await store.claim("w", LEASE)
    await store.finish("w", asked[0].id, pictures(asked[0].id, "a"), 0.0)
    await store.cancel(asked[3].id)
    await store.delete(asked[3].id)
    found = await store.batch(offer_id)
    assert [shown.job.words for shown in found] == ["0", "1", "2", "4", "5"]
    assert found[0].artifacts == pictures(asked[0].id, "a")
    assert await store.batch("") == () == await store.batch("D" * 26)
    assert len(await store.everything(ALICE.key)) == 6
