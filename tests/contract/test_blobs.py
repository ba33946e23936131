"""The Blobs' contract, over files on a disk."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot.store.blobs import DiskBlobs

DAY = timedelta(days=1)
NOW = timedelta(0)


@pytest.fixture
def blobs(tmp_path: Path) -> Iterator[DiskBlobs]:
    blobs = DiskBlobs(tmp_path / "blobs")
    yield blobs
    blobs.close()


def path_of(tmp_path: Path, digest: str) -> Path:
    return tmp_path / "blobs" / digest[:2] / digest[2:4] / digest


def age(path: Path, by: timedelta) -> None:
    then = path.stat().st_mtime - by.total_seconds()
    os.utime(path, (then, then))


async def test_what_is_put_is_got_by_its_sha256(blobs: DiskBlobs, tmp_path: Path) -> None:
    for data in (b"", b"a picture", os.urandom(300_000)):
        digest = await blobs.put(data)
        assert digest == hashlib.sha256(data).hexdigest()
        assert await blobs.get(digest) == data
        assert path_of(tmp_path, digest).read_bytes() == data
    assert not list((tmp_path / "blobs" / "tmp").iterdir())


async def test_putting_twice_or_fifty_times_at_once_is_one_file(blobs: DiskBlobs, tmp_path: Path) -> None:
    digests = await asyncio.gather(*(blobs.put(b"same") for _ in range(50)))
    assert len(set(digests)) == 1
    assert len([path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]) == 1


async def test_what_is_not_there_is_a_key_error_and_so_is_no_digest(blobs: DiskBlobs, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    for name in ("0" * 64, "", "A" * 64, "../../secret", "/etc/passwd", "0" * 63 + "/"):
        with pytest.raises(KeyError):
            await blobs.get(name)


async def test_a_file_that_is_not_what_its_name_says_is_not_given_out_and_is_mended_by_putting(blobs: DiskBlobs, tmp_path: Path) -> None:
    digest = await blobs.put(b"a picture")
    path_of(tmp_path, digest).write_bytes(b"a pict")
    with pytest.raises(KeyError):
        await blobs.get(digest)
    assert await blobs.put(b"a picture") == digest
    assert await blobs.get(digest) == b"a picture"


async def test_deleting_is_for_good_and_idempotent(blobs: DiskBlobs) -> None:
    gone, kept = await blobs.put(b"gone"), await blobs.put(b"kept")
    await blobs.delete([gone, "0" * 64, "../x"])
    await blobs.delete(iter([gone]))
    with pytest.raises(KeyError):
        await blobs.get(gone)
    assert await blobs.get(kept) == b"kept"


async def test_only_what_is_old_enough_may_be_collected(blobs: DiskBlobs, tmp_path: Path) -> None:
    assert await blobs.digests(NOW) == frozenset()
    old, young = await blobs.put(b"old"), await blobs.put(b"young")
    age(path_of(tmp_path, old), by=2 * DAY)
    assert await blobs.digests(DAY) == {old}
    assert await blobs.digests(NOW) == {old, young}


async def test_a_candidate_that_is_put_again_before_it_is_collected_stays(blobs: DiskBlobs, tmp_path: Path) -> None:
    digest = await blobs.put(b"upload")
    age(path_of(tmp_path, digest), by=2 * DAY)
    candidates = await blobs.digests(DAY)
    await blobs.put(b"upload")
    await blobs.delete(candidates)
    assert await blobs.get(digest) == b"upload"
    assert await blobs.digests(DAY) == frozenset()


async def test_a_killed_processs_temporary_files_go_with_age_and_are_never_digests(blobs: DiskBlobs, tmp_path: Path) -> None:
    await blobs.put(b"x")
    stale, fresh = tmp_path / "blobs" / "tmp" / "stale", tmp_path / "blobs" / "tmp" / "fresh"
    for path in (stale, fresh):
        path.write_bytes(b"half a pict")
    age(stale, by=2 * DAY)
    assert await blobs.digests(DAY) == frozenset()
    assert (stale.exists(), fresh.exists()) == (False, True)


async def test_files_are_touched_on_threads_named_blobs_only(blobs: DiskBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    names = set()
    fsync = os.fsync

    def watched(fd: int) -> None:
        names.add(threading.current_thread().name.split("_")[0])
        fsync(fd)

    monkeypatch.setattr(os, "fsync", watched)
    await blobs.put(b"x")
    assert names == {"blobs"}
