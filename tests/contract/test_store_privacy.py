"""The Store's contract, over SQLite and Postgres: everything of a member, and nothing of them; and what lies in the vault."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection
from ulid import ULID

from bot.domain import Actor, Offer, Origin, Receipt, Said, Style
from bot.errors import NotFound
from bot.store.privacy import pseudonym
from bot.store.sql import SqlStore
from bot.store.tables import metadata
from bot.store.vault import LARGEST, SqlVault
from tests.contract.jobs import BOB, PLENTY, WHEN, digest, execute, job, pictures, submission, submit

LEASE = timedelta(minutes=5)
MEMBER = Actor(platform="discord", id="4711081512345", name="Rumpelstiltskin", locale="de")
#: What gives a member away, wherever it stands.
TRACES = ("4711081512345", "Rumpelstiltskin", "spinning straw", "hidden-channel", "secret-token", digest("drawn"), digest("upload"))


async def everything_there(store: SqlStore) -> str:
    """Every value in every table, as text."""

    async def verb(db: AsyncConnection) -> str:
        return "\n".join([f"{table.name}: {row}" for table in metadata.sorted_tables for row in (await db.execute(select(table))).all()])

    return await store.read(verb)


async def a_life(store: SqlStore) -> list[str]:
    """A member draws, fails, keeps things, and leaves one job waiting and one running. Returns the jobs' ids, oldest first."""
    words = "spinning straw into gold"
    place = replace(job(MEMBER).place, channel="hidden-channel")

    async def asked(**changes: object) -> str:
        made = replace(job(MEMBER, words=words, source=digest("upload")), place=place)
        made = replace(made, **changes)  # type: ignore[arg-type]
        await submit(store, made, token="secret-token", user=MEMBER.id)
        return made.id

    drawn = await asked()
    await store.claim("w", LEASE)
    seen = [replace(each, seen=words) for each in pictures(drawn, "drawn")]
    await store.finish("w", drawn, seen, 1.0)
    await store.placed(drawn, Receipt(platform="discord", channel="hidden-channel", handle="1"))
    failed = await asked(parent=Origin(job_id=drawn, verb="v", index=0))
    await store.fail(None, failed, Said(message="error.cannot", parameters={"model": words}))
    deleted = await asked()
    await store.cancel(deleted)
    await store.delete(deleted)
    running = await asked()
    await store.claim("w", LEASE)
    waiting = await asked(batch="B" * 26)
    await store.prefer(MEMBER.key, {"suffix": words})
    await store.save_style(Style(name="straw", words=words, owner=MEMBER.key))
    await store.save_word_list(MEMBER.key, "straw", [words])
    await store.offer(Offer(id=str(ULID()), actor=MEMBER, kind="prompts", prompts=(words,), facts={"picture": digest("upload")}, created_at=WHEN))
    return sorted([drawn, failed, running, waiting])


async def balance(store: SqlStore, actor: Actor = MEMBER) -> float:
    return (await store.wallet(actor.key, cap=PLENTY.cap, per_hour=0.0)).balance


# ------------------------------------------------------------------------------------------------ the export


async def test_everything_of_a_member_is_all_their_jobs_with_pictures_oldest_first(store: SqlStore) -> None:
    ids = await a_life(store)
    await submit(store, job(BOB))
    found = await store.everything(MEMBER.key)
    assert [shown.job.id for shown in found] == ids
    assert [artifact.seen for shown in found for artifact in shown.artifacts] == ["spinning straw into gold"] * 2
    assert await store.everything("web:nobody") == ()


async def test_everything_of_who_drew_very_much_is_still_everything(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.store.keeping.PORTION", 3)
    asked = sorted(each.id for each in (await submit(store, *(job() for _ in range(8)))).jobs)
    assert [shown.job.id for shown in await store.everything("web:alice")] == asked


# ------------------------------------------------------------------------------------------------ forgetting


async def test_nothing_in_the_database_tells_of_a_member_who_was_forgotten(store: SqlStore) -> None:
    ids = await a_life(store)
    before = await everything_there(store)
    assert all(trace in before for trace in TRACES)
    assert await store.forget(MEMBER.key) == len(ids)
    after = await everything_there(store)
    assert [trace for trace in TRACES if trace in after] == []
    assert await store.everything(MEMBER.key) == () == await store.history(MEMBER.key)
    assert (await store.preferences(MEMBER.key), await store.styles([MEMBER.key]), await store.word_lists([MEMBER.key])) == ({}, (), {})
    assert await store.referenced([digest("drawn"), digest("upload")]) == frozenset()
    assert await store.job_at("discord", "hidden-channel", "1") is None
    assert await store.notices(["web", "discord", "forgotten"]) == ()
    for job_id in ids:
        with pytest.raises(NotFound):
            await store.shown(job_id)


async def test_forgetting_ends_what_waits_and_runs_and_its_worker_hears_of_it(store: SqlStore) -> None:
    ids = await a_life(store)
    await store.forget(MEMBER.key)
    assert await store.heartbeat("w", ids, LEASE) == frozenset()
    assert [await store.finish("w", job_id, (), 0.0) for job_id in ids] == [False] * len(ids)
    assert await store.claim("w", LEASE) is None
    assert (await store.load()).cost_ahead == 0.0


async def test_the_books_are_exact_after_a_forgetting(store: SqlStore) -> None:
    await a_life(store)
    await store.forget(MEMBER.key)
    assert await store.discrepancies() == ()
    assert await execute(store, "SELECT DISTINCT actor_key FROM ledger") == [(pseudonym(MEMBER.key, b""),)]


async def test_forgetting_refills_no_wallet_however_often(store: SqlStore) -> None:
    for spent in (1.0, 3.0, 6.0):
        await submit(store, job(MEMBER, cost=spent))
        taken = await store.claim("w", LEASE)
        assert taken is not None
        await store.finish("w", taken.id, (), 0.0)
        before = await balance(store)
        assert await store.forget(MEMBER.key) == 1
        assert await balance(store) == before
    assert before == PLENTY.cap - 10.0
    assert await execute(store, "SELECT count(*) FROM wallets") == [(1,)]
    assert await store.discrepancies() == ()


async def test_who_comes_back_is_a_newcomer_but_for_the_wallet(store: SqlStore) -> None:
    await a_life(store)
    left = await balance(store)
    await store.forget(MEMBER.key)
    (asked,) = (await submit(store, job(MEMBER, cost=2.0))).jobs
    assert [shown.job for shown in await store.everything(MEMBER.key)] == [asked]
    assert await balance(store) == left + 2.0 - 2.0, "what had not been drawn was given back"
    assert await store.cancel(asked.id)
    assert await balance(store) == left + 2.0


async def test_forgetting_whoever_was_never_here_changes_nothing(store: SqlStore) -> None:
    (kept,) = (await submit(store, job(BOB))).jobs
    await store.prefer(BOB.key, {"lane": "fast"})
    assert await store.forget(MEMBER.key) == 0 == await store.forget("")
    assert await store.active(BOB.key) == (kept,)
    assert await store.preferences(BOB.key) == {"lane": "fast"}


async def test_what_others_made_of_it_stays_theirs(store: SqlStore) -> None:
    parent = (await a_life(store))[0]
    await store.cancel((await store.active(MEMBER.key))[1].id)
    child = job(BOB, words="my variation", parent=Origin(job_id=parent, verb="v", index=0), source=digest("drawn"))
    await submit(store, child)
    await store.forget(MEMBER.key)
    assert (await store.shown(child.id)).job.words == "my variation"
    assert await store.referenced([digest("drawn"), digest("upload")]) == {digest("drawn")}


async def test_forgetting_while_they_ask_for_more_leaves_exact_books(store: SqlStore) -> None:
    async def ask() -> None:
        for _ in range(5):
            await submit(store, job(MEMBER))

    await asyncio.gather(ask(), ask(), *(store.forget(MEMBER.key) for _ in range(4)))
    await store.forget(MEMBER.key)
    assert await store.discrepancies() == ()
    assert await balance(store) == PLENTY.cap
    assert "4711081512345" not in await everything_there(store)


def test_a_pseudonym_is_always_the_same_and_says_nothing_without_the_secret() -> None:
    assert pseudonym("discord:1", b"s") == pseudonym("discord:1", b"s")
    assert len({pseudonym("discord:1", b"s"), pseudonym("discord:2", b"s"), pseudonym("discord:1", b"t")}) == 3
    assert pseudonym("discord:1", b"s").startswith("forgotten:")


async def test_a_delivery_that_comes_again_after_a_forgetting_tells_nothing(store: SqlStore) -> None:
    asked = submission(job(MEMBER, words="spinning straw"), delivery="d")
    await store.submit(asked)
    await store.forget(MEMBER.key)
    again = await store.submit(asked)
    assert again.again and [each.words for each in again.jobs] == [""]


# ------------------------------------------------------------------------------------------------ the vault

TOKEN = b"xoxb-a-very-secret-token"


async def test_a_secret_comes_back_and_is_not_what_lies_in_the_database(store: SqlStore) -> None:
    vault = SqlVault(store, b"k" * 32)
    await vault.put("slack:install:T1", TOKEN)
    assert await vault.get("slack:install:T1") == TOKEN
    [(sealed,)] = await execute(store, "SELECT sealed FROM vault")
    assert isinstance(sealed, bytes)
    assert TOKEN not in sealed and b"xoxb" not in sealed


async def test_the_newest_secret_counts_until_it_is_removed(store: SqlStore) -> None:
    vault = SqlVault(store, b"k" * 32)
    assert await vault.get("slack:a") is None
    for value in (b"one", b"two", b"", b"\0\xff" * 1000, b"x" * LARGEST):
        await vault.put("slack:a", value)
        assert await vault.get("slack:a") == value
    await vault.put("slack:b", b"other")
    await vault.remove("slack:a")
    await vault.remove("slack:a")
    assert (await vault.get("slack:a"), await vault.get("slack:b")) == (None, b"other")
    with pytest.raises(ValueError, match="bytes"):
        await vault.put("slack:a", b"x" * (LARGEST + 1))


async def test_what_was_sealed_with_another_secret_is_as_good_as_not_there(store: SqlStore) -> None:
    await SqlVault(store, b"k" * 32).put("slack:a", TOKEN)
    assert await SqlVault(store, b"l" * 32).get("slack:a") is None
    await execute(store, "UPDATE vault SET sealed = :noise", noise=b"noise")
    assert await SqlVault(store, b"k" * 32).get("slack:a") is None
