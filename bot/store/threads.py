"""SQLite's transactions, each on one thread from its beginning to its end. Made by `bot.store.sql`.

The verbs of this package are coroutines that await nothing but their connection. On Postgres every statement is a journey, and they wait for it; SQLite answers
in microseconds, and handing each statement to a thread and back costs many times that, most of all while the engine keeps every core busy. So a
verb is run to its end right where the database is. One thread writes (SQLite has one writer; waiting here is fair), a few read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, CursorResult, Dialect
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.store import dialect

T = TypeVar("T")

READERS = 3


class Threads:
    def __init__(self, url: URL) -> None:
        self.engine = dialect.connect_here(url)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store-writes")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-reads")

    async def read(self, verb: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Raises what the verb and the database raise."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, verb)

    async def write(self, verb: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, self._write, verb)

    def _read(self, verb: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        with self.engine.connect() as connection:
            return _on(connection, verb)

    def _write(self, verb: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        with self.engine.execution_options(writing=True).begin() as connection:
            return _on(connection, verb)

    async def aclose(self) -> None:
        """What runs ends first."""
        for pool in (self._writer, self._readers):
            await asyncio.to_thread(pool.shutdown)
        self.engine.dispose()


class _Here:
    """A connection whose statements are done when they are awaited: what the verbs use of an AsyncConnection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._results: list[CursorResult[Any]] = []

    @property
    def dialect(self) -> Dialect:
        return self._connection.dialect

    async def execute(self, *arguments: Any) -> CursorResult[Any]:
        result = self._connection.execute(*arguments)
        if result.returns_rows:
            self._results.append(result)
        return result

    def close(self) -> None:
        """An error in the middle of a result leaves its cursor open for as long as anybody keeps the traceback, and SQLite keeps for it what it was reading."""
        for result in self._results:
            result.close()


def _on(connection: Connection, verb: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    here = _Here(connection)
    try:
        return _to_its_end(verb(cast("AsyncConnection", here)))
    finally:
        here.close()


def _to_its_end(verb: Awaitable[T]) -> T:
    """Run a coroutine that waits for nothing. Raises RuntimeError for one that does: it would wait for ever."""
    try:
        verb.send(None)  # type: ignore[attr-defined]
    except StopIteration as ended:
        return cast("T", ended.value)
    verb.close()  # type: ignore[attr-defined]
    raise RuntimeError("a verb of the store waited for something that is not its connection")
