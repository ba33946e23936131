"""What is happening now, in memory: live progress of running jobs, and who wants to hear of changes.

Written by `bot.workshop` (progress, ends), the queue and the studio (a state that moved); read by `bot.studio.watch` and the outbox. Belongs
to one event loop and is not thread-safe. Everything here may be lost in a crash: the store knows what matters.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from engine.api import Progress

MAX_PENDING = 10_000  #: job ids one reader may have waiting


@dataclass(slots=True)
class _Live:
    step: int
    of: int
    preview: bytes | None


class Subscription(AsyncIterator[str]):
    """Job ids whose card changed, each at most once until it is read. Ends when closed, or when a reader has fallen hopelessly behind."""

    def __init__(self, board: Board, actor_key: str | None) -> None:
        self._board, self.actor_key = board, actor_key
        self._pending: dict[str, bool] = {}  # id → whether its state moved (those are never dropped)
        self._ready = asyncio.Event()
        self._closed = False

    def offer(self, job_id: str, *, moved: bool) -> None:
        if self._closed:
            return
        self._pending[job_id] = self._pending.get(job_id, False) or moved
        if len(self._pending) > MAX_PENDING:
            dropped = next((each for each, kept in self._pending.items() if not kept), None)
            if dropped is None:
                # Dropping an end would leave a card half drawn for ever; a closed reader comes back and reads everything anew.
                self.close()
            else:
                del self._pending[dropped]
        self._ready.set()

    def close(self) -> None:
        """Idempotent. What is pending is still handed out."""
        self._closed = True
        self._board.unsubscribe(self)
        self._ready.set()

    async def aclose(self) -> None:
        self._pending.clear()
        self.close()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> str:
        while not self._pending:
            if self._closed:
                raise StopAsyncIteration
            self._ready.clear()
            await self._ready.wait()
        job_id = next(iter(self._pending))
        del self._pending[job_id]
        return job_id


class Board:
    def __init__(self) -> None:
        self._live: dict[str, _Live] = {}
        self._readers: set[Subscription] = set()

    def update(self, job_id: str, actor_key: str, progress: Progress) -> None:
        """A running job took a step. A progress without a preview keeps the last one."""
        live = self._live.setdefault(job_id, _Live(0, 0, None))
        live.step, live.of = progress.step, progress.of
        live.preview = progress.preview or live.preview
        self._offer(job_id, actor_key, moved=False)

    def live(self, job_id: str) -> tuple[int, int, bytes | None] | None:
        """(step, of, newest preview) of a running job; None when nothing is known."""
        live = self._live.get(job_id)
        return (live.step, live.of, live.preview) if live else None

    def changed(self, job_id: str, actor_key: str) -> None:
        """The job's state moved (queued, claimed, ended, marked): every reader will hear of it."""
        self._offer(job_id, actor_key, moved=True)

    def forget(self, job_id: str) -> None:
        """Its progress is of no interest any more."""
        self._live.pop(job_id, None)

    def subscribe(self, actor_key: str | None) -> Subscription:
        """Changes of one actor's jobs, or of all (None), from now on. Close it when done."""
        reader = Subscription(self, actor_key)
        self._readers.add(reader)
        return reader

    def unsubscribe(self, reader: Subscription) -> None:
        self._readers.discard(reader)

    def _offer(self, job_id: str, actor_key: str, *, moved: bool) -> None:
        for reader in tuple(self._readers):
            if reader.actor_key in (None, actor_key):
                reader.offer(job_id, moved=moved)
