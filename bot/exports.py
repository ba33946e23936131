"""Files made for one member, such as a copy of all that is stored of them: written to the disk piece by piece, a few at a time, and gone after an hour.

Made by `bot.drawing`, filled by `bot.usecases.privacy` and `bot.usecases.sets`; a chat reads the file by its path (`Document.path`) while it is there. What
a process that was killed left behind goes the same way: by its age, at the next start and from then on every hour (`bot.app`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import tempfile
import time
import zipfile
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from bot.domain import Document
from bot.errors import NotFound, Refused

T = TypeVar("T")

LIFE = timedelta(hours=1)
AT_ONCE = 2  #: that are written at once
WAITING = 8  #: that wait for that; whoever comes then is asked to come again
KEPT = 16  #: files, the newest


class Archive:
    """A zip that is being written: what is added is on the disk before the next piece is asked for."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file

    async def add(self, name: str, data: bytes) -> None:
        """Raises OSError."""
        await _on_thread(lambda: self._file.writestr(name, data))


class Exports:
    def __init__(self, folder: Path | None = None) -> None:
        """`folder`: is made when it is needed; several processes may have the same. None: a temporary one, which goes with `close`."""
        self._folder, self._is_temporary = folder, folder is None
        self._turns, self._waiting = asyncio.Semaphore(AT_ONCE), 0
        self._making: set[str] = set()
        self._unwanted: set[str] = set()  #: owners who were forgotten while theirs is being made
        self._latest: dict[tuple[str, str], Path] = {}  #: by owner and name

    async def make(self, owner: str, name: str, fill: Callable[[Archive], Awaitable[None]]) -> Document:
        """A zip that `fill` writes. It takes the place of the owner's former one of that name. Whatever `fill` raises leaves nothing behind.

        Raises Refused: one at a time for each owner, and a few in all. Raises NotFound where it was dropped before it was done; and OSError.
        """
        if owner in self._making:
            raise Refused("refused.export_under_way")
        if self._turns.locked() and self._waiting >= WAITING:
            raise Refused("refused.exports_busy")
        self._making.add(owner)
        try:
            self._waiting += 1
            try:
                await self._turns.acquire()
            finally:
                self._waiting -= 1
            try:
                path = await self._written(fill)
            finally:
                self._turns.release()
            if owner in self._unwanted:
                await asyncio.to_thread(path.unlink, missing_ok=True)
                raise NotFound("error.not_found")
        finally:
            self._making.discard(owner)
            self._unwanted.discard(owner)
        former, self._latest[owner, name] = self._latest.get((owner, name)), path
        if former is not None:
            await asyncio.to_thread(former.unlink, missing_ok=True)
        await self.sweep()
        return Document(name=name, path=str(path))

    async def drop(self, owner: str) -> None:
        """Their files go now, and what is being made for them as soon as it is done."""
        if owner in self._making:
            self._unwanted.add(owner)
        for key in [each for each in self._latest if each[0] == owner]:
            if (path := self._latest.pop(key, None)) is not None:  # swept meanwhile
                await asyncio.to_thread(path.unlink, missing_ok=True)

    async def sweep(self) -> None:
        """Remove what is old, whoever made it, and all but the newest. Raises OSError."""
        if self._folder is not None:
            await asyncio.to_thread(_sweep, self._folder)
            self._latest = {key: path for key, path in self._latest.items() if path.exists()}

    def close(self) -> None:
        """Blocking."""
        if self._is_temporary and self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _written(self, fill: Callable[[Archive], Awaitable[None]]) -> Path:
        path = await asyncio.to_thread(self._begun)
        try:
            file = await _on_thread(lambda: zipfile.ZipFile(path, "w", zipfile.ZIP_STORED))  # pictures are compressed already
            try:
                await fill(Archive(file))
            finally:
                await _on_thread(file.close)
            return path
        except BaseException:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            raise

    def _begun(self) -> Path:
        """A new file that only we may read."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="wordup-exports-"))
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{secrets.token_hex(16)}.zip"
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        return path


def _sweep(folder: Path) -> None:
    now, found = time.time(), []
    for path in folder.glob("*.zip"):
        with contextlib.suppress(FileNotFoundError):
            found.append((path.stat().st_mtime, path))
    newest = sorted(found, reverse=True)
    for number, (written, path) in enumerate(newest):
        if number >= KEPT or abs(now - written) > LIFE.total_seconds():  # one of the future: the clock was set back
            path.unlink(missing_ok=True)


async def _on_thread(work: Callable[[], T]) -> T:
    """To its end, also when the caller is cancelled meanwhile: nobody closes or removes a file that is being written."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
