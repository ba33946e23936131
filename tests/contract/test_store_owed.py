"""The Store's contract, over SQLite and Postgres: what is owed to members, and how it stops."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from bot.domain import Notice, Receipt, Said, Status
from bot.errors import Fault, NotFound
from bot.store.sql import SqlStore
from tests.contract.jobs import PLENTY, OpenStore, execute, job, pictures, submit
from tests.contract.test_store import balance, claimed

LEASE = timedelta(seconds=90)

# ------------------------------------------------------------------------------------------------ what is owed


async def test_every_end_is_owed_until_told_with_the_newest_receipt(store: SqlStore) -> None:
    drawn, failed, cancelled, waiting = (await submit(store, *(job() for _ in range(4)), token="t")).jobs
    await claimed(store)
    await store.finish("w", drawn.id, pictures(drawn.id, "a"), 0.0)
    await store.fail(None, failed.id, Said(message="error.fault"))
    await store.cancel(cancelled.id)
    await store.placed(drawn.id, Receipt(platform="web", channel="c", handle="old"))
    newest = Receipt(platform="web", channel="c", handle="new")
    await store.placed(drawn.id, newest)
    owed = await store.notices(["web"])
    assert [notice.job_id for notice in owed] == [drawn.id, failed.id, cancelled.id]
    assert [notice.receipt for notice in owed] == [newest, None, None]
    assert owed[0].reply_to.token == "t"
    assert await store.reply_to(drawn.id) == (owed[0].reply_to, newest)
    assert await store.notices(["discord"]) == ()
    assert len(await store.notices(["discord", "web"], limit=2)) == 2
    for notice in owed:
        await store.told(notice.id)
        await store.told(notice.id)
    assert await store.notices(["web"]) == ()
    assert waiting.status is Status.QUEUED


async def test_a_notice_put_off_comes_again_later(store: SqlStore) -> None:
    (one,) = (await submit(store, job())).jobs
    await store.cancel(one.id)
    [notice] = await store.notices(["web"])
    await store.put_off(notice.id, timedelta(hours=1))
    assert await store.notices(["web"]) == ()
    await store.put_off(notice.id, timedelta(0))
    [notice] = await store.notices(["web"])
    assert notice.attempts == 2


async def test_an_end_is_not_put_off_for_longer_than_any_delay_where_the_databases_clock_was_set_back(store: SqlStore) -> None:
    (one,) = (await submit(store, job())).jobs
    await store.cancel(one.id)
    [notice] = await store.notices(["web"])
    await store.put_off(notice.id, timedelta(hours=1, minutes=1))  # what half a minute looks like after the clock was set back by an hour
    assert [each.id for each in await store.notices(["web"])] == [one.id]


async def test_of_many_who_want_to_tell_an_end_at_once_one_does(store: SqlStore) -> None:
    (one,) = (await submit(store, job())).jobs
    await store.cancel(one.id)
    held = await asyncio.gather(*(store.hold(one.id, LEASE) for _ in range(10)))
    [until] = [each for each in held if each is not None]
    assert await store.notices(["web"]) == () and await store.hold(one.id, LEASE) is None
    assert timedelta(0) < until - await store.now() <= LEASE
    assert [notice.attempts for notice in await _run_out(store)] == [0], "owed again by itself when the lease has run out"
    assert await store.hold(one.id, LEASE) is not None


async def test_an_end_is_held_longer_and_given_back_by_its_holder_only(store: SqlStore) -> None:
    (one,) = (await submit(store, job())).jobs
    await store.cancel(one.id)
    first = await store.hold(one.id, LEASE)
    second = await store.hold(one.id, LEASE, first)
    assert first is not None and second is not None and second > first
    assert await store.hold(one.id, LEASE, first) is None, "it is held until another time now"
    await store.put_off(one.id, timedelta(0), first)
    assert await store.notices(["web"]) == ()
    await store.put_off(one.id, timedelta(0), second)
    [notice] = await store.notices(["web"])
    assert notice.attempts == 1


async def test_what_was_told_is_held_by_nobody(store: SqlStore) -> None:
    (one,) = (await submit(store, job())).jobs
    await store.cancel(one.id)
    held = await store.hold(one.id, LEASE)
    await store.told(one.id)
    assert await store.hold(one.id, LEASE, held) is None and await store.hold("0" * 26, LEASE) is None


async def test_a_lease_of_before_the_clock_was_set_back_holds_nobody_up(store: SqlStore) -> None:
    (one,) = (await submit(store, job())).jobs
    await store.cancel(one.id)
    await store.hold(one.id, timedelta(hours=1, seconds=90))  # what a minute and a half look like then
    assert len(await store.notices(["web"])) == 1 and await store.hold(one.id, LEASE) is not None


async def _run_out(store: SqlStore) -> tuple[Notice, ...]:
    """What is owed when every lease has run out."""
    await execute(store, "UPDATE notices SET due_at = created_at")
    return await store.notices(["web"])


async def test_where_to_answer_an_unknown_job_is_not_found(store: SqlStore) -> None:
    with pytest.raises(NotFound):
        await store.reply_to("0" * 26)


# ------------------------------------------------------------------------------------------------ stopping


async def test_what_is_queued_and_owed_survives_closing_and_opening(open_store: OpenStore) -> None:
    first = await open_store()
    done, waiting = (await submit(first, job(), job())).jobs
    await claimed(first)
    await first.finish("w", done.id, pictures(done.id, "a"), 0.0)
    await first.aclose()
    await first.aclose()
    second = await open_store()
    assert [notice.job_id for notice in await second.notices(["web"])] == [done.id]
    assert (await claimed(second)).id == waiting.id


async def test_a_cancelled_caller_leaves_no_half_of_a_transaction(store: SqlStore) -> None:
    for turns in range(12):
        task = asyncio.ensure_future(submit(store, job()))
        for _ in range(turns):
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait({task})
    await submit(store, job())
    assert await store.discrepancies() == ()
    assert await balance(store) == PLENTY.cap - (await store.load()).queued


async def test_a_store_that_is_not_open_says_so() -> None:
    with pytest.raises(RuntimeError, match="not open"):
        await SqlStore("sqlite:///nowhere.db").load()


async def test_an_unknown_kind_of_database_is_refused_without_its_password() -> None:
    for url in ("mysql://root:secret@host/db", "sqlite://"):
        with pytest.raises(Fault) as caught:
            SqlStore(url)
        assert "secret" not in str(caught.value)
