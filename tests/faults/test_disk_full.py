"""A full disk: one clear error, nothing charged, nothing half written, and it goes on when there is room again."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from bot.domain import Status
from bot.errors import Fault
from bot.store.blobs import DiskBlobs
from bot.store.sql import SqlStore
from tests.contract.jobs import ALICE, PLENTY, job, pictures, submission, submit

LEASE = timedelta(hours=1)


class SmallDisk:
    """A file system of a few megabytes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.filler = folder, folder / "filler"

    def fill(self) -> None:
        with self.filler.open("ab", buffering=0) as file:
            for size in (2**16, 2**12, 1):
                try:
                    while file.write(bytes(size)) == size:
                        pass
                except OSError as error:
                    assert error.errno == errno.ENOSPC

    def make_room(self) -> None:
        self.filler.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"NO SMALL DISK HERE (mounting one needs root), a truly full disk is NOT tested: {mounted.stderr.decode().strip()}")
    yield SmallDisk(folder)
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
async def limited(sqlite_url: str) -> AsyncIterator[tuple[SqlStore, list[bool]]]:
    """A store whose database may not grow while the switch is on: SQLite says then that the disk is full."""
    store = SqlStore(sqlite_url)
    await store.start()
    full = [False]

    @event.listens_for(store.engine, "checkout")
    def limit(connection: Any, record: Any, proxy: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA max_page_count = {1 if full[0] else 2**30}")  # never below what there is
        cursor.close()

    yield store, full
    await store.aclose()


async def submit_until_full(store: SqlStore) -> int:
    """How many were accepted."""
    for accepted in range(10_000):
        try:
            await store.submit(submission(job(words="w" * 3000), delivery=f"d{accepted}"))
        except Fault as fault:
            assert fault.message == "error.disk_full"
            return accepted
    raise AssertionError("it was never full")


async def check_only_what_was_accepted_is_charged(store: SqlStore, *, queued: int, running: int = 0) -> None:
    assert (await store.load()).queued == queued
    assert (await store.wallet(ALICE.key, cap=PLENTY.cap, per_hour=0.0)).balance == PLENTY.cap - queued - running
    assert await store.discrepancies() == ()


async def test_a_database_that_cannot_grow_refuses_clearly_and_charges_nothing(limited: tuple[SqlStore, list[bool]]) -> None:
    store, full = limited
    await submit(store, job())
    full[0] = True
    more = await submit_until_full(store)
    await check_only_what_was_accepted_is_charged(store, queued=1 + more)
    full[0] = False
    again = await store.submit(submission(job(), delivery=f"d{more}"))
    assert not again.again


async def test_a_full_disk_refuses_clearly_charges_nothing_and_goes_on_when_there_is_room(disk: SmallDisk) -> None:
    store = SqlStore(f"sqlite:///{disk.folder / 'wordup.db'}")
    await store.start()
    (first,) = (await submit(store, job())).jobs
    taken = await store.claim("w", LEASE)
    assert taken is not None
    disk.fill()
    more = await submit_until_full(store)
    await check_only_what_was_accepted_is_charged(store, queued=more, running=1)
    with pytest.raises(Fault, match="disk_full"):
        await finish_until_full(store, first.id)
    assert (await store.shown(first.id)).job.status is Status.RUNNING

    disk.make_room()
    assert await store.finish("w", first.id, pictures(first.id, "a"), 0.0)
    assert not (await store.submit(submission(job(), delivery=f"d{more}"))).again
    assert await store.discrepancies() == ()
    await store.aclose()


async def finish_until_full(store: SqlStore, job_id: str) -> None:
    """Small transactions may still fit where a large one did not: heartbeats first, until not even those do."""
    for _ in range(10_000):
        await store.heartbeat("w", [job_id], LEASE)
    await store.finish("w", job_id, (), 0.0)


async def test_a_picture_that_does_not_fit_is_an_error_and_leaves_nothing_behind(disk: SmallDisk) -> None:
    blobs = DiskBlobs(disk.folder / "blobs")
    kept = await blobs.put(b"kept")
    disk.fill()
    with pytest.raises(OSError, match="No space left") as caught:
        await blobs.put(os.urandom(300_000))
    assert caught.value.errno == errno.ENOSPC
    assert await blobs.get(kept) == b"kept"
    disk.make_room()
    assert [path.name for path in files(disk.folder)] == [kept]
    data = os.urandom(300_000)
    assert await blobs.get(await blobs.put(data)) == data
    blobs.close()


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
