"""One process a data directory: SQLite and the blobs beside it have one owner. Held by `bot.store.sql` and `bot.store.migrate`."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from bot.errors import Fault

LOCK_NAME = ".lock"


class DirectoryLock:
    """An advisory lock (flock) on a file in the directory; the kernel lets go of it when the process dies, however it dies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take it, creating the directory. Raises Fault when another process (or another store of this one) has it."""
        if self._fd is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
            os.close(fd)
            raise Fault("fault.data_dir_in_use", folder=str(self.folder), pid=holder) from None
        except OSError:
            os.close(fd)
            raise
        self._fd = fd
        try:
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        except OSError:  # a full disk must not keep the bot from starting: the number is only a courtesy
            return

    def release(self) -> None:
        """Give it back. Idempotent."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
