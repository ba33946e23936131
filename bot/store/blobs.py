"""`DiskBlobs`: pictures as content-addressed files. Made by `bot.app`; used by the studio, the workshop and the collection of orphans.

``<folder>/aa/bb/<sha256>``, where aabb… is the digest's beginning. A file is written under a temporary name in ``<folder>/tmp``, fsynced and
renamed, so whatever has its final name is whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import structlog

T = TypeVar("T")

log = structlog.get_logger(__name__)

_DIGEST = re.compile(r"[0-9a-f]{64}")
THREADS = 4


class DiskBlobs:
    """See `bot.ports.Blobs`. Every file operation runs on the threads named "blobs". Nothing is created before the first `put`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="blobs")
        self._collecting = threading.Lock()  # between "it is there already" and "it is old enough to go"
        self._candidates: dict[str, int] = {}  # what `digests` last called old, with the mtime it had then (ns)

    async def put(self, data: bytes) -> str:
        """See `Blobs.put`. Raises OSError; then nothing is left behind."""
        return await self._call(lambda: self._put(data))

    async def get(self, digest: str) -> bytes:
        """See `Blobs.get`. Raises KeyError."""
        return await self._call(lambda: self._get(digest))

    async def delete(self, digests: Iterable[str]) -> None:
        """See `Blobs.delete`. A candidate for collection that was put again since `digests` named it stays."""
        names = tuple(digests)
        await self._call(lambda: self._delete(names))

    async def digests(self, older_than: timedelta) -> frozenset[str]:
        """See `Blobs.digests`. Removes temporary files of that age, left by a process that was killed."""
        return await self._call(lambda: self._old(older_than))

    def close(self) -> None:
        """End the threads, after what they are doing. Idempotent."""
        self._threads.shutdown()

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _path(self, digest: str) -> Path:
        """Raises KeyError for anything that is not a digest (it may come from a URL)."""
        if not _DIGEST.fullmatch(digest):
            raise KeyError(digest)
        return self._folder / digest[:2] / digest[2:4] / digest

    def _put(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        path = self._path(digest)
        with self._collecting:
            if self._is_whole(path, digest):
                os.utime(path)  # young again: not to be collected before whoever put it has said what for
                return digest
        temporary = self._folder / "tmp" / secrets.token_hex(16)
        _make_durable_folder(temporary.parent)
        _make_durable_folder(path.parent)
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        _fsync_folder(path.parent)
        return digest

    def _get(self, digest: str) -> bytes:
        try:
            data = self._path(digest).read_bytes()
        except FileNotFoundError:
            raise KeyError(digest) from None
        if hashlib.sha256(data).hexdigest() != digest:
            log.error("blob.corrupt", digest=digest, bytes=len(data))
            raise KeyError(digest)
        return data

    @staticmethod
    def _is_whole(path: Path, digest: str) -> bool:
        try:
            return hashlib.sha256(path.read_bytes()).hexdigest() == digest
        except OSError:
            return False

    def _delete(self, digests: tuple[str, ...]) -> None:
        for digest in digests:
            with contextlib.suppress(KeyError, FileNotFoundError), self._collecting:
                path = self._path(digest)
                then = self._candidates.pop(digest, None)
                if then is None or path.stat().st_mtime_ns == then:
                    path.unlink()

    def _old(self, older_than: timedelta) -> frozenset[str]:
        limit = time.time_ns() - int(older_than.total_seconds() * 1e9)
        found: dict[str, int] = {}
        for path in self._folder.glob("??/??/*"):
            if _DIGEST.fullmatch(path.name) and (mtime := _mtime(path)) is not None and mtime <= limit:
                found[path.name] = mtime
        for path in self._folder.glob("tmp/*"):
            if (mtime := _mtime(path)) is not None and mtime <= limit:
                path.unlink(missing_ok=True)
        self._candidates = dict(found)
        return frozenset(found)


def _mtime(path: Path) -> int | None:
    """Nanoseconds; None when it has gone meanwhile."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _make_durable_folder(folder: Path) -> None:
    """Like ``mkdir -p``, with every new entry on the disk before anything relies on it."""
    if folder.is_dir():
        return
    if not folder.parent.is_dir():
        _make_durable_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _fsync_folder(folder.parent)


def _fsync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
