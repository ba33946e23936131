"""Migrations, on both databases: from nothing, again, at start, in step with the tables, with a backup, under a lock."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from bot.errors import Fault
from bot.store import dialect
from bot.store.lock import DirectoryLock
from bot.store.migrate import configuration, migrate, script_folder
from bot.store.sql import SqlStore
from bot.store.tables import metadata
from engine.api import request_to_dict
from tests.contract.jobs import ALICE, imagine, job, submit

ALL = sorted(path.name.split("_")[0] for path in (script_folder() / "versions").glob("*.py"))


@pytest.fixture(params=["sqlite", "postgres"])
async def empty(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new.db'}"
    make: Callable[[str], Awaitable[str]] = request.getfixturevalue("new_postgres_database")
    return await make("empty")


async def test_an_empty_database_gets_every_revision_once(empty: str) -> None:
    assert await migrate(empty) == ALL
    assert await migrate(empty) == []


async def test_the_migrated_schema_is_what_the_tables_say(empty: str) -> None:
    await migrate(empty)
    db = dialect.connect(dialect.parse_url(empty))

    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata))

    async with db.connect() as connection:
        assert await connection.run_sync(differences) == []
    await db.dispose()


async def test_a_store_migrates_by_itself_and_can_be_used_at_once(empty: str) -> None:
    store = SqlStore(empty)
    await store.start()
    assert (await submit(store, job())).jobs
    await store.aclose()
    assert await migrate(empty) == []


async def test_a_database_of_a_newer_program_is_left_alone(empty: str) -> None:
    await migrate(empty)
    db = dialect.connect(dialect.parse_url(empty))
    async with dialect.writing(db).begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await db.dispose()
    with pytest.raises(Fault) as caught:
        await SqlStore(empty).start()
    assert (caught.value.message, caught.value.parameters["revision"]) == ("fault.database_newer", "9999")


async def test_two_processes_that_migrate_postgres_at_once_do_it_once(new_postgres_database: Callable[[str], Awaitable[str]]) -> None:
    url = await new_postgres_database("twice")
    applied = await asyncio.gather(migrate(url), migrate(url), migrate(url))
    assert sorted(applied) == [[], [], ALL]


async def test_a_database_nobody_serves_is_one_fault() -> None:
    with pytest.raises(Fault) as caught:
        await SqlStore("postgresql://nobody@127.0.0.1:1/nothing").start()
    assert caught.value.message == "fault.database"


async def test_what_the_two_chats_wrote_is_read_after_the_upgrade(empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database of the revision before members could keep anything, with a drawn job in it."""
    scripts = tmp_path / "migrations"
    (scripts / "versions").mkdir(parents=True)
    versions = [path for path in (script_folder() / "versions").glob("*.py") if path.name[:4] <= "0002"]
    for path in [*script_folder().glob("*.py"), *versions]:
        (scripts / path.relative_to(script_folder())).write_text(path.read_text())
    with monkeypatch.context() as patched:
        patched.setattr("bot.store.migrate.script_folder", lambda: scripts)
        assert await migrate(empty) == ["0001", "0002"]
    old = {
        **{"id": "0" * 26, "request": json.dumps(request_to_dict(imagine())), "words": "a fox", "folded": "a fox"},
        **{"actor_key": "web:alice", "actor_platform": "web", "actor_id": "alice", "actor_name": "Alice"},
        **{"place_platform": "web", "place_server": "", "place_channel": "", "reply_to": '{"platform": "web"}', "status": "done", "cost": 1.0},
        **{"private": False, "start_tag": 0.0},
    }
    values = ", ".join(f"CAST(:{name} AS JSON)" if name in ("request", "reply_to") and empty.startswith("postgres") else f":{name}" for name in old)
    db = dialect.connect(dialect.parse_url(empty))
    async with dialect.writing(db).begin() as connection:
        columns = f"INSERT INTO jobs ({', '.join(old)}, created_at, ended_at) VALUES ({values}, "  # noqa: S608  (names of our own columns)
        now = "now(), now())" if empty.startswith("postgres") else "'2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000')"
        await connection.execute(text(columns + now), old)
        picture = {"job": "0" * 26, "digest": "a" * 64}
        await connection.execute(text("INSERT INTO artifacts (job_id, idx, digest, seed, width, height) VALUES (:job, 0, :digest, 7, 128, 96)"), picture)
    await db.dispose()

    assert await migrate(empty) == [revision for revision in ALL if revision > "0002"]
    store = SqlStore(empty)
    await store.start()
    shown = await store.shown("0" * 26)
    assert (shown.job.words, shown.job.actor, shown.job.relaxed, shown.job.batch) == ("a fox", ALICE, False, "")
    assert [(artifact.digest, artifact.seen) for artifact in shown.artifacts] == [("a" * 64, "")]
    assert (await submit(store, job(relaxed=True))).jobs
    await store.aclose()


async def test_what_was_added_can_be_taken_away_again(tmp_path: Path) -> None:
    from alembic import command

    url = f"sqlite:///{tmp_path / 'wordup.db'}"
    await migrate(url)
    db = dialect.connect(dialect.parse_url(url), foreign_keys=False)

    def down(connection: Connection) -> None:
        config = configuration()
        config.attributes["connection"] = connection
        command.downgrade(config, "0002")

    async with dialect.writing(db).begin() as connection:
        await connection.run_sync(down)
    await db.dispose()
    assert await migrate(url) == [revision for revision in ALL if revision > "0002"]


# ------------------------------------------------------------------------------------------------ SQLite's own


def backups(folder: Path) -> list[Path]:
    return list(folder.glob("wordup.db.*.bak"))


async def test_what_is_migrated_is_backed_up_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'wordup.db'}"
    store = SqlStore(url)
    await store.start()
    (kept,) = (await submit(store, job(words="do not lose me"))).jobs
    await store.aclose()
    assert not backups(tmp_path)  # there was nothing in it when it was made, and nothing to do at the next start

    scripts = tmp_path / "migrations"
    (scripts / "versions").mkdir(parents=True)
    for path in [*script_folder().glob("*.py"), *(script_folder() / "versions").glob("*.py")]:
        (scripts / path.relative_to(script_folder())).write_text(path.read_text())
    (scripts / "versions" / "9000_next.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n\n"
        f"revision = '9000'\ndown_revision = {ALL[-1]!r}\n\n\n"
        "def upgrade() -> None:\n"
        "    with op.batch_alter_table('jobs', recreate='always') as table:\n"
        "        table.add_column(sa.Column('mood', sa.String(10)))\n"
    )
    monkeypatch.setattr("bot.store.migrate.script_folder", lambda: scripts)
    assert await migrate(url) == ["9000"]

    [backup] = backups(tmp_path)
    for file, columns in ((backup, 0), (tmp_path / "wordup.db", 1)):
        connection = sqlite3.connect(file)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT id, words FROM jobs").fetchall() == [(kept.id, "do not lose me")]
        assert connection.execute("SELECT count(*) FROM ledger").fetchone() == (1,)
        assert len([row for row in connection.execute("PRAGMA table_info(jobs)") if row[1] == "mood"]) == columns
        connection.close()


async def test_a_migration_that_breaks_in_the_middle_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'wordup.db'}"
    await migrate(url)
    scripts = tmp_path / "migrations"
    (scripts / "versions").mkdir(parents=True)
    for path in [*script_folder().glob("*.py"), *(script_folder() / "versions").glob("*.py")]:
        (scripts / path.relative_to(script_folder())).write_text(path.read_text())
    (scripts / "versions" / "9000_broken.py").write_text(
        f"from alembic import op\n\nrevision = '9000'\ndown_revision = {ALL[-1]!r}\n\n\n"
        "def upgrade() -> None:\n    op.drop_table('posts')\n    op.drop_table('no_such_table')\n"
    )
    with monkeypatch.context() as patched:
        patched.setattr("bot.store.migrate.script_folder", lambda: scripts)
        with pytest.raises(Fault):
            await migrate(url)
    store = SqlStore(url)
    await store.start()
    (one,) = (await submit(store, job())).jobs
    assert (await store.reply_to(one.id))[1] is None  # reads posts
    await store.aclose()


async def test_a_second_process_is_turned_away_from_the_data_directory(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'wordup.db'}"
    first = SqlStore(url)
    await first.start()
    for second in (SqlStore(url).start, lambda: migrate(url)):
        with pytest.raises(Fault) as caught:
            await second()
        assert (caught.value.message, caught.value.parameters["folder"]) == ("fault.data_dir_in_use", str(tmp_path))
    await first.aclose()
    assert await migrate(url) == []


async def test_a_data_directory_elsewhere_is_locked_too(tmp_path: Path) -> None:
    data = tmp_path / "data"
    store = SqlStore(f"sqlite:///{tmp_path / 'db' / 'wordup.db'}", data_dir=data)
    await store.start()
    with pytest.raises(Fault):
        DirectoryLock(data).acquire()
    await store.aclose()
    free = DirectoryLock(data)
    free.acquire()
    free.release()
