"""Everything that differs between SQLite and Postgres, so that no query has to know: the URL, the connect hook, the vendors' errors.

Called by `bot.store.sql` and `bot.store.migrate`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Connection, Engine, Table, cast, create_engine, event, func, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from bot.errors import Fault
from bot.store.tables import UtcDateTime

try:
    from asyncpg import InterfaceError, PostgresError  # type: ignore[import-untyped]
except ImportError:  # the "postgres" extra is not installed
    _DRIVER: tuple[type[Exception], ...] = ()
else:
    _DRIVER = (PostgresError, InterfaceError)

#: What a database call may raise besides our own errors. `OSError` includes refused connections and timeouts.
OUTAGES: tuple[type[Exception], ...] = (SQLAlchemyError, OSError, *_DRIVER)

COMMAND_TIMEOUT = 30.0  #: seconds one statement may take on Postgres
BUSY_TIMEOUT = 10.0  #: seconds to wait for another connection's lock on SQLite
_FULL = frozenset({"SQLITE_FULL", "SQLITE_IOERR_SHMSIZE", "53100", errno.ENOSPC, errno.EDQUOT})  # 53100: Postgres' disk_full
_SQLSTATES_TO_RETRY = frozenset({"40001", "40P01"})  # serialization_failure, deadlock_detected


def parse_url(url: str) -> URL:
    """``sqlite:///data/wordup.db`` or ``postgresql://…`` → the same with the asynchronous driver.

    Raises Fault for any other database, and for SQLite in memory: claims and migrations need connections of their own.
    """
    parsed = make_url(url)
    match parsed.get_backend_name():
        case "sqlite" if parsed.database and parsed.database != ":memory:":
            return parsed.set(drivername="sqlite+aiosqlite")
        case "postgresql" | "postgres":
            return parsed.set(drivername="postgresql+asyncpg")
    raise Fault("fault.database_url", url=parsed.render_as_string(hide_password=True))


def sqlite_file(url: URL) -> Path | None:
    """The database's file, or None when it is not SQLite."""
    return Path(url.database).absolute() if url.get_backend_name() == "sqlite" and url.database else None


def connect(url: URL, *, foreign_keys: bool = True) -> AsyncEngine:
    """A pool of connections. Transactions of `writing(pool)` begin as writers on SQLite."""
    encode = partial(json.dumps, default=str)
    if sqlite_file(url) is None:
        return create_async_engine(url, json_serializer=encode, pool_pre_ping=True, pool_size=8, connect_args={"command_timeout": COMMAND_TIMEOUT})
    db = create_async_engine(url, json_serializer=encode, connect_args={"timeout": BUSY_TIMEOUT})
    _as_we_want_it(db.sync_engine, foreign_keys=foreign_keys)
    return db


def connect_here(url: URL) -> Engine:
    """SQLite's file with the blocking driver, for `bot.store.threads`."""
    arguments = {"timeout": BUSY_TIMEOUT, "check_same_thread": False}
    db = create_engine(url.set(drivername="sqlite"), json_serializer=partial(json.dumps, default=str), connect_args=arguments)
    _as_we_want_it(db, foreign_keys=True)
    return db


def _as_we_want_it(db: Engine, *, foreign_keys: bool) -> None:
    """SQLite's connections and transactions: durable, checked, and writers from their beginning."""

    @event.listens_for(db, "connect")
    def prepare(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions by itself
        connection.create_function("clock_timestamp", 0, _clock)
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", f"foreign_keys={'ON' if foreign_keys else 'OFF'}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(db, "begin")
    def begin(connection: Connection) -> None:
        # A deferred transaction that reads and then writes fails at once with SQLITE_BUSY_SNAPSHOT, whatever the timeout.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writing") else "BEGIN")


class Clock:
    """Postgres has `clock_timestamp()`; this is SQLite's, in the format its DateTime columns have.

    It never goes back while the program runs: where the machine's clock is set back, it goes on from where it was. Else leases would last longer by that
    much, and what was put off by seconds would be due an hour later.
    """

    def __init__(self, wall: Callable[[], datetime] = lambda: datetime.now(UTC), monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._monotonic, self._lock = wall, monotonic, threading.Lock()
        self._last, self._at = wall(), monotonic()

    def __call__(self) -> str:
        with self._lock:
            wall, at = self._wall(), self._monotonic()
            self._last = wall if wall >= self._last else self._last + timedelta(seconds=at - self._at)
            self._at = at
            return self._last.strftime("%Y-%m-%d %H:%M:%S.%f")


_clock = Clock()  #: of every connection of this process


def writing(db: AsyncEngine) -> AsyncEngine:
    """The same pool, for transactions that write."""
    return db.execution_options(writing=True)


async def now(db: AsyncConnection) -> datetime:
    """The database's clock."""
    value: datetime = (await db.execute(select(func.clock_timestamp(type_=UtcDateTime())))).scalar_one()
    return value


async def take_turn(db: AsyncConnection, name: str) -> None:
    """Until this transaction ends, no other one that writes goes on from here under the same name. Before any row is locked, and one name a transaction.

    SQLite's writers take turns anyway.
    """
    if db.dialect.name == "postgresql":
        key = int.from_bytes(hashlib.sha256(name.encode("utf-8", "replace")).digest()[:8], "big", signed=True)
        await db.execute(select(func.pg_advisory_xact_lock(cast(literal(key), BigInteger))))


def insert(db: AsyncConnection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that knows ON CONFLICT."""
    return postgresql.insert(table) if db.dialect.name == "postgresql" else sqlite.insert(table)


def worth_retrying(error: Exception) -> bool:
    """Whether the same transaction may succeed at once when tried again (two of them met on Postgres)."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _SQLSTATES_TO_RETRY


def fault(error: Exception) -> Fault:
    """Vendor errors, mapped once: a full disk is told apart because an operator can do something about it."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    codes = {getattr(cause, "sqlite_errorname", None), getattr(cause, "sqlstate", None), getattr(cause, "errno", None)}
    return Fault("fault.database" if codes.isdisjoint(_FULL) else "error.disk_full", detail=str(cause))


Jitter = Callable[[], float]
"""A number in [0, 1), as `random.random`."""


def pause_before_retry(attempt: int, jitter: Jitter = random.random) -> float:
    """Seconds."""
    return 0.01 * 2.0**attempt * (0.5 + jitter())
