"""A whole database as plain rows, out of one and into another, SQLite or Postgres. Used by `bot.backup`.

Tables are read as they lie there (reflected), not as this program would have them: a backup made by an older one is put back into the tables of its own
time, and these are then brought up to date like any others. Only tables this program knows are touched: a Postgres database may hold others' besides.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import JSON, Column, Connection, DateTime, Integer, LargeBinary, MetaData, Table, func, select, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bot.errors import Fault
from bot.store import dialect
from bot.store.migrate import configuration
from bot.store.tables import metadata

T = TypeVar("T")

BATCH = 500  #: rows read or written at once
GLANCES, GLANCE = 15, 0.2  #: how often, and seconds between, to see whether somebody else is connected
_VERSION = "alembic_version"
_BY_MIGRATION = frozenset({"fairness"})  # has its row from the beginning
_OUTAGES: tuple[type[Exception], ...] = (*dialect.OUTAGES, sqlite3.Error)
_SIDES = ("-wal", "-shm", "-journal")  # SQLite's files beside the file


class InUse(Exception):
    """Somebody else is connected to the database that was to be replaced."""


Fill = Callable[[str], tuple[list[str], Iterable[list[Any]]]]
"""A table's name → its columns and its rows, plain JSON (`rows_of` made them). Raises KeyError for a table that was not there."""

Then = Callable[[AsyncConnection], Awaitable[None]]
"""What is done about the rows, once they are there and up to date, before anybody else sees them."""


async def nothing(db: AsyncConnection) -> None:
    """Leave them as they are."""


# ------------------------------------------------------------------------------------------------ out


async def at_one_moment(url: str, take: Callable[[Connection], T], folder: Path) -> T:
    """Call `take` with a connection that sees the database as it is now, however long that takes and whatever is written meanwhile.

    Postgres: one REPEATABLE READ transaction. SQLite: a copy by its own backup, in `folder`, so that nobody's log grows while it is read.
    Raises Fault for an outage, and for a SQLite file that is not there.
    """
    parsed = dialect.parse_url(url)
    file = dialect.sqlite_file(parsed)
    try:
        if file is not None:
            with tempfile.TemporaryDirectory(prefix=".wordup-", dir=folder) as beside:
                copied = Path(beside) / "copy.db"
                _copy(file, copied)
                here = dialect.connect_here(parsed.set(database=str(copied)))
                try:
                    with here.connect() as connection:
                        return take(connection)
                finally:
                    here.dispose()
        db = dialect.connect(parsed)
        try:
            async with db.connect() as remote:
                await remote.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
                return await remote.run_sync(take)
        finally:
            await db.dispose()
    except _OUTAGES as error:
        raise dialect.fault(error) from error


def _copy(file: Path, target: Path) -> None:
    """All pages in one step: a single read of the log, which no writer waits for."""
    with (
        contextlib.closing(sqlite3.connect(f"file:{quote(str(file))}?mode=rw", uri=True, timeout=dialect.BUSY_TIMEOUT)) as source,
        contextlib.closing(sqlite3.connect(target)) as copied,
    ):
        source.backup(copied, pages=-1)


def revision_of(connection: Connection) -> str | None:
    """What the schema is; None where there is none."""
    there = MetaData()
    there.reflect(connection, only=lambda name, _: name == _VERSION)
    if _VERSION not in there.tables:
        return None
    found: str | None = connection.execute(select(there.tables[_VERSION].c.version_num)).scalar_one_or_none()
    return found


def tables_of(connection: Connection) -> list[Table]:
    """Ours among those that are there; what refers comes after what it refers to."""
    there = MetaData()
    there.reflect(connection, only=lambda name, _: name in metadata.tables)
    for table in there.tables.values():
        for column in table.columns:
            if isinstance(column.type, JSON):
                column.type.none_as_null = True
    return list(there.sorted_tables)


def rows_of(connection: Connection, table: Table) -> Iterator[list[Any]]:
    """Plain JSON, in the order of the columns; sorted by the primary key."""
    columns = list(table.columns)
    query = select(table).order_by(*table.primary_key.columns).execution_options(yield_per=BATCH)
    for row in connection.execute(query):
        yield [_plain(column, value) for column, value in zip(columns, row, strict=True)]


def _plain(column: Column[Any], value: Any) -> Any:
    if isinstance(value, datetime):
        return (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)).isoformat()
    if isinstance(column.type, LargeBinary) and value is not None:
        return base64.b64encode(value).decode()
    return value


# ------------------------------------------------------------------------------------------------ in


def revisions() -> frozenset[str]:
    """The schemas this program knows."""
    from alembic.script import ScriptDirectory

    return frozenset(script.revision for script in ScriptDirectory.from_config(configuration()).walk_revisions())


async def is_empty(url: str) -> bool:
    """Whether the database holds nothing of ours; a SQLite file must not even be there. Raises Fault."""
    parsed = dialect.parse_url(url)
    file = dialect.sqlite_file(parsed)
    if file is not None:
        return not file.exists()

    def nothing(connection: Connection) -> bool:
        tables = [table for table in tables_of(connection) if table.name not in _BY_MIGRATION]
        return all(connection.execute(select(table).limit(1)).first() is None for table in tables)

    db = dialect.connect(parsed)
    try:
        async with db.connect() as connection:
            return await connection.run_sync(nothing)
    except dialect.OUTAGES as error:
        raise dialect.fault(error) from error
    finally:
        await db.dispose()


async def replace_all(url: str, revision: str, fill: Fill, then: Then = nothing) -> None:
    """Make the database what `fill` says, in the schema of `revision`, bring it up to date, and do `then`: all of it or, when anything fails, nothing.

    SQLite: a new file beside it takes its name at the end; the caller holds the directory's lock. Postgres: one transaction, while nobody else is connected.
    `revision`: one of `revisions()`. Raises InUse, Fault for an outage, and what `fill` and `then` raise.
    """
    parsed = dialect.parse_url(url)
    file = dialect.sqlite_file(parsed)
    try:
        if file is None:
            await _write(parsed, revision, fill, then)
            return
        made = file.with_name(f"{file.name}.restoring")
        _remove(made)
        try:
            await _write(parsed.set(database=str(made)), revision, fill, then)
            _settle(made)
            _remove(file, only_sides=True)  # an old log would be taken for the new file's
            made.replace(file)
            _fsync(file.parent)
        finally:
            _remove(made)
    except _OUTAGES as error:
        raise dialect.fault(error) from error


async def _write(url: URL, revision: str, fill: Fill, then: Then) -> None:
    db = dialect.connect(url, foreign_keys=False)  # SQLite changes tables by rebuilding them, which must not look like deleting rows
    try:
        if dialect.sqlite_file(url) is None:
            await _alone(db)
        async with dialect.writing(db).begin() as connection:
            await connection.run_sync(_refill, revision, fill)
            await then(connection)
    finally:
        await db.dispose()


async def _alone(db: AsyncEngine) -> None:
    """Raises InUse. A connection that was closed just now may be seen a little longer."""
    others = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'")
    for _ in range(GLANCES):
        async with db.connect() as connection:
            if (await connection.execute(others)).scalar_one() == 0:
                return
        await asyncio.sleep(GLANCE)
    raise InUse


def _refill(connection: Connection, revision: str, fill: Fill) -> None:
    """In the caller's transaction."""
    postgres = connection.dialect.name == "postgresql"
    if postgres:
        old = MetaData()
        old.reflect(connection, only=lambda name, _: name in metadata.tables or name == _VERSION)
        old.drop_all(connection)
    _upgrade(connection, revision)
    tables = tables_of(connection)
    for table in reversed(tables):
        connection.execute(table.delete())
    for table in tables:
        try:
            names, rows = fill(table.name)
        except KeyError:
            continue
        _insert(connection, table, names, rows)
    if postgres:
        for column in (column for table in tables for column in table.primary_key.columns if isinstance(column.type, Integer)):
            _count_on(connection, column)
    elif connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
        raise Fault("fault.migration", detail="foreign_key_check")
    _upgrade(connection, "head")


def _upgrade(connection: Connection, revision: str) -> None:
    """In the caller's transaction."""
    from alembic import command

    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _insert(connection: Connection, table: Table, names: list[str], rows: Iterable[list[Any]]) -> None:
    columns = [table.columns[name] for name in names]
    some: list[dict[str, Any]] = []
    for row in rows:
        some.append({column.name: _value(connection, column, value) for column, value in zip(columns, row, strict=True)})
        if len(some) == BATCH:
            connection.execute(table.insert(), some)
            some = []
    if some:
        connection.execute(table.insert(), some)


def _value(connection: Connection, column: Column[Any], value: Any) -> Any:
    if value is None:
        return None
    if isinstance(column.type, DateTime):
        when = datetime.fromisoformat(value)
        return when.replace(tzinfo=None) if connection.dialect.name == "sqlite" else when
    return base64.b64decode(value) if isinstance(column.type, LargeBinary) else value


def _count_on(connection: Connection, column: Column[Any]) -> None:
    """Postgres numbers new rows from a counter of its own, which rows that bring their number do not move."""
    table = column.table
    counter = connection.execute(select(func.pg_get_serial_sequence(table.name, column.name))).scalar_one()
    highest = connection.execute(select(func.max(column))).scalar_one()
    if counter is not None and highest is not None:
        connection.execute(select(func.setval(counter, highest)))


def _settle(file: Path) -> None:
    """One whole file on the disk, without a log beside it. Raises sqlite3.Error when it is not sound."""
    with contextlib.closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute("PRAGMA journal_mode=DELETE")
        if (found := db.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(found)
    _fsync(file)


def _remove(file: Path, *, only_sides: bool = False) -> None:
    for each in (*(() if only_sides else (file,)), *(file.with_name(file.name + side) for side in _SIDES)):
        each.unlink(missing_ok=True)


def _fsync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
