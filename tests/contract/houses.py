"""A database and a data directory with something of everything in them: what the tests of backups keep and restore."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select
from ulid import ULID

from bot.backup import SECRET
from bot.domain import Artifact, Offer, Receipt, Said, Style
from bot.store import dialect
from bot.store.blobs import DiskBlobs
from bot.store.sql import SqlStore
from bot.store.tables import metadata
from bot.store.vault import SqlVault
from tests.contract.jobs import ALICE, BOB, WHEN, job, submit

LEASE = timedelta(hours=1)
KEY = b"k" * 32
NEVER = "ok 日本 \\ \" 'quoted'\n::2"


@dataclass
class House:
    """A database and a data directory."""

    url: str
    data: Path

    def store(self) -> SqlStore:
        return SqlStore(self.url, data_dir=self.data, secret=KEY)


async def drawn(store: SqlStore, data: Path, *names: bytes) -> str:
    """A job that is done, its pictures on the disk before its row says so."""
    blobs = DiskBlobs(data / "blobs")
    try:
        digests = [await blobs.put(name) for name in names]
    finally:
        blobs.close()
    asked = job()
    await submit(store, asked)
    taken = await store.claim("w", LEASE)
    while taken is not None and taken.id != asked.id:
        taken = await store.claim("w", LEASE)
    made = [Artifact(job_id=asked.id, index=index - 1, digest=digest, seed=2**32 - 1, width=128, height=96) for index, digest in enumerate(digests)]
    assert await store.finish("w", asked.id, made, 1.5)
    return asked.id


async def a_full_house(house: House) -> None:
    """Something in every table."""
    house.data.mkdir(parents=True, exist_ok=True)
    (house.data / SECRET).write_bytes(KEY)
    store = house.store()
    await store.start()
    first = await drawn(store, house.data, b"the sheet", b"a picture")
    await store.placed(first, Receipt(platform="web", channel="pictures", handle="1"))
    await store.remember("a memo", "its value")
    failed, refused, again, waiting = job(BOB, words=NEVER), job(), job(), job(source=hashlib.sha256(b"a picture").hexdigest(), words=NEVER)
    await submit(store, failed)
    await store.cancel(failed.id)
    await submit(store, job(BOB))
    await store.forget(BOB.key)
    await submit(store, refused)
    await store.fail(None, refused.id, Said(message="error.cannot", parameters={"model": NEVER, "n": None}))
    await submit(store, again, waiting)
    assert await store.claim("w", LEASE) is not None
    await store.prefer(ALICE.key, {"suffix": NEVER, "deep": {"list": [1, 2.5, None, True]}})
    await store.save_style(Style(name="Straße", words=NEVER, owner=ALICE.key))
    await store.save_word_list(ALICE.key, "beasts", [NEVER, "fox"])
    facts = {"picture": hashlib.sha256(b"the sheet").hexdigest()}
    await store.offer(Offer(id=str(ULID()), actor=ALICE, kind="prompts", prompts=(NEVER,), facts=facts, created_at=WHEN))
    await SqlVault(store, KEY).put("token", b"sealed \0 bytes")
    await store.aclose()


async def contents(house: House) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, as the program sees it, whatever the database."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    db = dialect.connect(dialect.parse_url(house.url))
    try:
        async with db.connect() as connection:
            for table in metadata.sorted_tables:
                rows = await connection.execute(select(table).order_by(*table.primary_key.columns))
                found[table.name] = [tuple(row) for row in rows]
    finally:
        await db.dispose()
    return found


def pictures(data: Path) -> set[bytes]:
    return {path.read_bytes() for path in (data / "blobs").glob("??/??/*")}
