"""Brings the schema up to date: at start (`bot.store.sql`, which holds the lock already) and by `wordup migrate` (`migrate`).

Alembic is slow to import and synchronous, so a run has a thread and an event loop of its own; the bot's loop is never held.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import URL

import bot
from bot.errors import Fault
from bot.store import dialect
from bot.store.lock import DirectoryLock

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

_ADVISORY_KEY = 0x776F7264_7570  # "wordup": any number nobody else uses, as Postgres' advisory locks are per database


async def migrate(url: str) -> list[str]:
    """Upgrade the database to this program's schema and return the revisions applied, in order (empty when it was there already).

    Raises Fault when a bot is running on that SQLite database, or when the database was written by a newer program.
    """
    parsed = dialect.parse_url(url)
    file = dialect.sqlite_file(parsed)
    lock = DirectoryLock(file.parent) if file else None
    if lock:
        lock.acquire()
    try:
        return await upgrade(parsed)
    finally:
        if lock:
            lock.release()


async def check(url: str) -> list[str]:
    """The revisions `migrate` would apply, oldest first. Changes nothing; a SQLite file that is not there is not made.

    Raises Fault when the database cannot be reached or was written by a newer program.
    """
    parsed = dialect.parse_url(url)
    file = dialect.sqlite_file(parsed)
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(configuration())
    if file is not None and not file.exists():
        return _between(scripts, None)
    db = dialect.connect(parsed)
    try:
        async with db.connect() as connection:
            return _between(scripts, await connection.run_sync(_current))
    except dialect.OUTAGES as error:
        raise dialect.fault(error) from error
    finally:
        await db.dispose()


async def upgrade(url: URL) -> list[str]:
    """The same for a caller that holds the directory's lock."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="migrate") as thread:
        try:
            return await asyncio.get_running_loop().run_in_executor(thread, lambda: asyncio.run(_upgrade(url)))
        except dialect.OUTAGES as error:
            raise dialect.fault(error) from error


def script_folder() -> Path:
    """Where the revisions are: inside the package in a wheel, beside it in a checkout."""
    package = Path(bot.__file__).parent
    return next(folder for folder in (package / "_migrations", package.parent / "migrations") if (folder / "env.py").is_file())


def configuration() -> Config:
    """Alembic's, without an ini file."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(script_folder()).replace("%", "%%"))
    return config


async def _upgrade(url: URL) -> list[str]:
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(configuration())
    db = dialect.connect(url, foreign_keys=False)  # SQLite changes tables by rebuilding them, which must not look like deleting rows
    try:
        if file := dialect.sqlite_file(url):
            async with db.connect() as connection:
                current = await connection.run_sync(_current)
            if current is not None and _between(scripts, current):
                await _back_up(url, file, current)
        async with dialect.writing(db).begin() as connection:
            if not dialect.sqlite_file(url):
                await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_KEY})
            return await connection.run_sync(_apply, scripts)
    finally:
        await db.dispose()


def _apply(connection: Connection, scripts: ScriptDirectory) -> list[str]:
    """In the caller's transaction: all revisions or none."""
    from alembic import command

    revisions = _between(scripts, _current(connection))
    if revisions:
        config = configuration()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        if connection.dialect.name == "sqlite" and connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
            raise Fault("fault.migration", detail="foreign_key_check")
    return revisions


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return revision


def _between(scripts: ScriptDirectory, current: str | None) -> list[str]:
    """Revisions after `current`, oldest first. Raises Fault for one this program does not know: it is older than its database."""
    known = [script.revision for script in scripts.walk_revisions()][::-1]
    if current is None:
        return known
    if current not in known:
        raise Fault("fault.database_newer", revision=current)
    return known[known.index(current) + 1 :]


async def _back_up(url: URL, file: Path, revision: str) -> Path:
    """A consistent copy beside the database, named by the revision it has and the time."""
    target = file.with_name(f"{file.name}.{revision}.{datetime.now(UTC):%Y%m%dT%H%M%SZ}.bak")
    db = dialect.connect(url)
    try:
        async with db.connect() as connection:
            raw = await connection.get_raw_connection()
            cursor = await raw.driver_connection.execute("VACUUM INTO ?", (str(target),))  # type: ignore[union-attr]
            await cursor.close()
    finally:
        await db.dispose()
    return target
