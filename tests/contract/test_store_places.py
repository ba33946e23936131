"""The Store's contract, over SQLite and Postgres: where cards stand, which job a message shows, and what adapters remember."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain import Actor, Receipt, ReplyTo, Said
from bot.errors import NotFound
from bot.store.sql import SqlStore
from tests.contract.jobs import ALICE, BOB, OpenStore, execute, job, pictures, submit

LEASE = timedelta(minutes=5)
UNKNOWN = "0" * 26
TOKEN = ReplyTo(
    platform="web", channel="elsewhere", token="t", expires_at=datetime(2030, 1, 1, 12, tzinfo=UTC), uses_left=5, can_post=False, user="alice", delivery="d2"
)
#: Strings a platform may one day hand us as an id or a value.
ODD = ["with space", "a:b/c", "'; DROP TABLE memos; --", "%_\\", "\N{FOX FACE}", "e\u0301", "\u202e", "0", "null", "-1"]


def at(handle: str, channel: str = "pictures", platform: str = "web") -> Receipt:
    return Receipt(platform=platform, channel=channel, handle=handle)


async def job_at(store: SqlStore, receipt: Receipt) -> str | None:
    return await store.job_at(receipt.platform, receipt.channel, receipt.handle)


async def submitted(store: SqlStore, actor: Actor = ALICE) -> str:
    return (await submit(store, job(actor))).jobs[0].id


async def drawn(store: SqlStore) -> str:
    job_id = await submitted(store)
    taken = await store.claim("w", LEASE)
    assert taken is not None and taken.id == job_id
    assert await store.finish("w", job_id, pictures(job_id, "a"), 0.0)
    return job_id


# ------------------------------------------------------------------------------------------------ which job a message shows


async def test_a_message_shows_the_job_that_was_placed_there(store: SqlStore) -> None:
    job_id = await submitted(store)
    assert await job_at(store, at("m")) is None
    await store.placed(job_id, at("m"))
    assert await job_at(store, at("m")) == job_id


async def test_a_place_is_platform_channel_and_handle_together(store: SqlStore) -> None:
    here = at("m")
    others = [at("m", platform="slack"), at("m", channel="other"), at("n"), at("M"), at(""), Receipt(platform="", channel="pictures", handle="m")]
    await store.placed(await submitted(store), here)
    assert [await job_at(store, each) for each in others] == [None] * len(others)
    second = await submitted(store)
    await store.placed(second, at("m", channel="other"))
    assert await job_at(store, at("m", channel="other")) == second
    assert await job_at(store, here) != second


async def test_every_message_that_ever_showed_a_job_still_means_it(store: SqlStore) -> None:
    job_id = await submitted(store)
    for name in ("first", "second", "third"):
        await store.placed(job_id, at(name))
    assert [await job_at(store, at(name)) for name in ("first", "second", "third")] == [job_id] * 3
    assert (await store.reply_to(job_id))[1] == at("third"), "but only the newest one changes"


async def test_a_message_that_shows_another_job_now_means_that_one(store: SqlStore) -> None:
    old, new = await submitted(store), await submitted(store)
    await store.placed(old, at("m"))
    await store.placed(new, at("m"))
    await store.placed(new, at("m"))
    assert await job_at(store, at("m")) == new


@pytest.mark.parametrize("odd", ODD)
async def test_odd_names_of_places_are_only_names(store: SqlStore, odd: str) -> None:
    job_id, there = await submitted(store), at(odd, channel=odd, platform=odd[:32])
    await store.placed(job_id, there)
    assert await job_at(store, there) == job_id
    assert (await store.reply_to(job_id))[1] == there


async def test_an_answer_that_its_member_alone_sees_stands_in_no_channel(store: SqlStore) -> None:
    job_id = await submitted(store)
    await store.placed(job_id, at("m", channel=""))
    assert await job_at(store, at("m", channel="")) == job_id
    assert (await store.reply_to(job_id))[1] == at("m", channel="")


# ------------------------------------------------------------------------------------------------ moving


async def test_the_owners_open_job_moves_and_what_is_owed_goes_along(store: SqlStore) -> None:
    job_id = await submitted(store)
    await store.placed(job_id, at("old"))
    await store.moved(job_id, ALICE.key, at("new"), TOKEN)
    assert await store.reply_to(job_id) == (TOKEN, at("new"))
    assert [await job_at(store, at(name)) for name in ("old", "new")] == [job_id, job_id]
    await store.cancel(job_id)
    [notice] = await store.notices(["web"])
    assert (notice.reply_to, notice.receipt) == (TOKEN, at("new"))


async def test_a_running_job_moves_too(store: SqlStore) -> None:
    job_id = await submitted(store)
    await store.claim("w", LEASE)
    await store.moved(job_id, ALICE.key, at("new"), TOKEN)
    assert await store.finish("w", job_id, pictures(job_id, "a"), 0.0), "its worker still has it"
    [notice] = await store.notices(["web"])
    assert (notice.reply_to, notice.receipt) == (TOKEN, at("new"))


async def test_the_first_place_of_a_job_is_a_move_from_nowhere(store: SqlStore) -> None:
    job_id = await submitted(store)
    reply_to, receipt = await store.reply_to(job_id)
    assert receipt is None
    await store.moved(job_id, ALICE.key, at("first"), reply_to)
    assert await store.reply_to(job_id) == (reply_to, at("first"))


async def test_a_move_to_where_it_stands_changes_nothing(store: SqlStore) -> None:
    job_id = await submitted(store)
    for _ in range(2):
        await store.moved(job_id, ALICE.key, at("new"), TOKEN)
    assert await store.reply_to(job_id) == (TOKEN, at("new"))


async def test_a_strangers_look_moves_nothing_but_is_found_again(store: SqlStore) -> None:
    job_id = await submitted(store)
    await store.placed(job_id, at("old"))
    before = await store.reply_to(job_id)
    for stranger in (BOB.key, "web:", "", ALICE.key.upper(), "discord:alice"):
        await store.moved(job_id, stranger, at("theirs"), TOKEN)
        assert await store.reply_to(job_id) == before, stranger
    assert await job_at(store, at("theirs")) == job_id


async def test_a_job_that_ended_stays_where_it_ended_but_is_found_again(store: SqlStore) -> None:
    done, failed, cancelled = await drawn(store), await submitted(store), await submitted(store)
    await store.fail(None, failed, Said(message="error.fault"))
    await store.cancel(cancelled)
    for job_id in (done, failed, cancelled):
        await store.placed(job_id, at(f"end of {job_id}"))
        before = await store.reply_to(job_id)
        await store.moved(job_id, ALICE.key, at(f"again {job_id}"), TOKEN)
        assert await store.reply_to(job_id) == before
        assert await job_at(store, at(f"again {job_id}")) == job_id
        assert await job_at(store, at(f"end of {job_id}")) == job_id


async def test_moving_a_job_that_is_not_there_leaves_no_trace(store: SqlStore) -> None:
    deleted = await drawn(store)
    await store.delete(deleted)
    for job_id in (UNKNOWN, deleted, ""):
        await store.moved(job_id, ALICE.key, at("m"), TOKEN)
        assert await job_at(store, at("m")) is None
    with pytest.raises(NotFound):
        await store.reply_to(UNKNOWN)


async def test_a_place_is_overwritten_by_the_next_job_that_is_moved_there(store: SqlStore) -> None:
    old, new = await submitted(store), await submitted(store, BOB)
    await store.moved(old, ALICE.key, at("m"), TOKEN)
    await store.moved(new, ALICE.key, at("m"), TOKEN)  # a stranger's look counts for what the message shows
    assert await job_at(store, at("m")) == new


async def test_moving_a_job_while_it_is_claimed_and_ends_loses_nothing(store: SqlStore) -> None:
    asked = [await submitted(store) for _ in range(6)]

    async def move(job_id: str) -> None:
        for number in range(4):
            await store.moved(job_id, ALICE.key, at(f"{job_id} {number}"), TOKEN)

    async def draw() -> set[str]:
        got = set[str]()
        while len(got) < len(asked):
            if (taken := await store.claim("w", LEASE)) is not None:  # one whose row is locked is passed over, and comes later
                got.add(taken.id)
                assert await store.finish("w", taken.id, (), 0.0)
        return got

    async with asyncio.timeout(60):
        got, *_ = await asyncio.gather(draw(), *(move(job_id) for job_id in asked))
    assert got == set(asked)
    assert {notice.job_id for notice in await store.notices(["web"])} == set(asked)
    assert [await job_at(store, at(f"{job_id} 3")) for job_id in asked] == asked
    assert await store.discrepancies() == ()


# ------------------------------------------------------------------------------------------------ forgetting


async def test_a_deleted_jobs_messages_mean_nothing_any_more(store: SqlStore) -> None:
    gone, kept = await drawn(store), await drawn(store)
    for job_id in (gone, kept):
        await store.placed(job_id, at(f"one {job_id}"))
        await store.moved(job_id, BOB.key, at(f"two {job_id}"), TOKEN)
    await store.delete(gone)
    assert [await job_at(store, at(f"{name} {gone}")) for name in ("one", "two")] == [None, None]
    assert [await job_at(store, at(f"{name} {kept}")) for name in ("one", "two")] == [kept, kept]


async def test_an_open_job_cannot_be_deleted_and_keeps_its_message(store: SqlStore) -> None:
    job_id = await submitted(store)
    await store.placed(job_id, at("m"))
    await store.delete(job_id)
    assert await job_at(store, at("m")) == job_id


async def test_retired_jobs_messages_go_with_them(store: SqlStore) -> None:
    old, kept, waiting = await drawn(store), await drawn(store), await submitted(store)
    await store.favourite(kept, 0, True)
    for job_id in (old, kept, waiting):
        await store.placed(job_id, at(job_id))
    assert await store.retire(timedelta(0)) == 1
    assert [await job_at(store, at(job_id)) for job_id in (old, kept, waiting)] == [None, kept, waiting]


# ------------------------------------------------------------------------------------------------ what adapters remember


async def test_what_is_remembered_is_recalled_until_it_is_something_else(store: SqlStore) -> None:
    assert await store.recall("discord:commands:1") is None
    for value in ("one", "two", "two"):
        await store.remember("discord:commands:1", value)
        assert await store.recall("discord:commands:1") == value
    assert await execute(store, "SELECT count(*) FROM memos") == [(1,)]


async def test_keys_are_told_apart_by_every_character(store: SqlStore) -> None:
    keys = ["discord:commands:1", "discord:commands:10", "discord:commands:", "Discord:commands:1", "slack:commands:1", "discord_commands:1", *ODD]
    for key in keys:
        await store.remember(key, f"value of {key}")
    assert [await store.recall(key) for key in keys] == [f"value of {key}" for key in keys]


@pytest.mark.parametrize("value", [*ODD, "line\nline\r\n\ttab", " ", "x" * 100_000])
async def test_odd_values_come_back_as_they_were(store: SqlStore, value: str) -> None:
    await store.remember("discord:odd", value)
    assert await store.recall("discord:odd") == value


async def test_an_empty_value_forgets(store: SqlStore) -> None:
    await store.remember("discord:a", "one")
    await store.remember("discord:b", "two")
    await store.remember("discord:a", "")
    assert (await store.recall("discord:a"), await store.recall("discord:b")) == (None, "two")
    await store.remember("discord:a", "")
    await store.remember("discord:never", "")
    assert await execute(store, "SELECT count(*) FROM memos") == [(1,)]
    await store.remember("discord:a", "again")
    assert await store.recall("discord:a") == "again"


async def test_remembering_the_same_key_at_once_ends_with_one_of_the_values(store: SqlStore) -> None:
    await asyncio.gather(*(store.remember("discord:a", f"value {number}") for number in range(10)))
    assert await store.recall("discord:a") in {f"value {number}" for number in range(10)}
    assert await execute(store, "SELECT count(*) FROM memos") == [(1,)]


async def test_places_and_memos_survive_closing_and_opening(open_store: OpenStore) -> None:
    first = await open_store()
    job_id = await submitted(first)
    await first.moved(job_id, ALICE.key, at("m"), TOKEN)
    await first.remember("discord:a", "one")
    await first.aclose()
    second = await open_store()
    assert await job_at(second, at("m")) == job_id
    assert await second.reply_to(job_id) == (TOKEN, at("m"))
    assert await second.recall("discord:a") == "one"
