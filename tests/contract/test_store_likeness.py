"""The Store's contract, continued: a picture is found again by its looks, by whoever may see it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.domain import Job
from bot.errors import NotFound
from bot.store import likeness
from bot.store.likeness import Records
from bot.store.sql import SqlStore
from tests.contract.jobs import ALICE, BOB, digest, job, pictures, submit

LEASE = timedelta(minutes=5)
PRINT = "00ff00ff00ff00ff"


def off(bits: int) -> str:
    """PRINT with that many bits turned over."""
    return f"{int(PRINT, 16) ^ (2**bits - 1):016x}"


async def drawn(store: SqlStore, asked: Job, *prints: str) -> Job:
    """Submit and finish one job whose pictures have these fingerprints."""
    await submit(store, asked)
    taken = await store.claim("w", LEASE)
    assert taken is not None
    sheet, *made = pictures(taken.id, *(f"{taken.id}{number}" for number in range(len(prints))))
    made = [replace(each, fingerprint=mark) for each, mark in zip(made, prints, strict=True)]
    assert await store.finish("w", taken.id, (sheet, *made), 0.5)
    return taken


async def test_a_fingerprint_is_kept_with_its_picture(store: SqlStore) -> None:
    made = await drawn(store, job(), PRINT)
    assert [each.fingerprint for each in (await store.shown(made.id)).artifacts] == ["", PRINT]


async def test_the_nearest_is_found_and_of_equals_the_oldest(store: SqlStore) -> None:
    older = await drawn(store, job(), off(9), off(3))
    await drawn(store, job(), off(5), off(3))
    found = await store.look_alikes(PRINT, BOB.key, within=6)
    assert found is not None and (found[0].id, found[1].index, found[1].fingerprint) == (older.id, 1, off(3))


async def test_what_differs_in_more_bits_is_not_found(store: SqlStore) -> None:
    await drawn(store, job(), off(7))
    assert await store.look_alikes(PRINT, ALICE.key, within=6) is None
    assert await store.look_alikes(PRINT, ALICE.key, within=7) is not None


async def test_pictures_without_a_fingerprint_look_like_nothing(store: SqlStore) -> None:
    await drawn(store, job(), "")
    assert await store.look_alikes("", ALICE.key, within=64) is None
    assert await store.look_alikes(PRINT, ALICE.key, within=64) is None


async def test_a_private_picture_is_found_by_its_owner_alone(store: SqlStore) -> None:
    await drawn(store, job(private=True), PRINT)
    assert await store.look_alikes(PRINT, BOB.key, within=6) is None
    found = await store.look_alikes(PRINT, ALICE.key, within=6)
    assert found is not None and found[0].private


async def test_a_deleted_picture_is_found_by_nobody(store: SqlStore) -> None:
    made = await drawn(store, job(), PRINT)
    await store.delete(made.id)
    assert await store.look_alikes(PRINT, ALICE.key, within=6) is None


async def test_a_forgotten_members_pictures_are_found_by_nobody(store: SqlStore) -> None:
    made = await drawn(store, job(), PRINT)
    await store.forget(ALICE.key)
    assert await store.look_alikes(PRINT, ALICE.key, within=6) is None
    with pytest.raises(NotFound):
        await store.shown(made.id)


async def test_every_portion_is_looked_at(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likeness, "PORTION", 3)
    wanted = await drawn(store, job(), off(1), off(30), off(31))
    for _ in range(4):
        await drawn(store, job(), off(20), off(21))
    found = await store.look_alikes(PRINT, ALICE.key, within=6)
    assert found is not None and found[0].id == wanted.id


async def test_the_records_are_read_beside_a_running_bot_and_only_what_is_public(store: SqlStore) -> None:
    public, private = await drawn(store, job(), PRINT), await drawn(store, job(private=True), off(40))
    records = Records(str(store.engine.url.render_as_string(hide_password=False)).replace("+asyncpg", "").replace("+aiosqlite", ""))
    try:
        found = await records.look_alikes(off(2), 6)
        assert found is not None and found[0].id == public.id
        assert await records.look_alikes(off(40), 6) is None
        assert await records.picture_of(private.id, 0) is None and await records.find_picture(digest(f"{private.id}0")) is None
        assert await records.find_picture(digest(f"{public.id}0")) is not None
    finally:
        await records.aclose()


async def test_where_there_is_no_database_none_is_made(tmp_path: Path) -> None:
    records = Records(f"sqlite:///{tmp_path / 'none.db'}")
    assert await records.find_picture(digest("a")) is None and await records.look_alikes(PRINT, 6) is None
    await records.aclose()
    assert not (tmp_path / "none.db").exists()
