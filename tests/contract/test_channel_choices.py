"""What held for sexual content where a job was asked for is kept with it, on both databases, and comes along from a database that knew only yes and no."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Connection, text

from bot.gate import Sexual
from bot.store import dialect
from bot.store.migrate import configuration, migrate
from bot.store.sql import SqlStore
from tests.contract.jobs import job, submit


@pytest.fixture(params=["sqlite", "postgres"])
async def empty(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new.db'}"
    make: Callable[[str], Awaitable[str]] = request.getfixturevalue("new_postgres_database")
    return await make("channels")


@pytest.mark.parametrize("choice", Sexual)
async def test_each_choice_comes_back_with_its_job(store: SqlStore, choice: Sexual) -> None:
    asked = replace(job(), sexual=choice.value)
    await submit(store, asked)
    assert (await store.shown(asked.id)).job.sexual == choice
    claimed = await store.claim("here", timedelta(minutes=1))
    assert claimed is not None and claimed.sexual == choice


async def test_a_job_of_which_nobody_said_anything_is_one_of_a_channel_that_refuses(store: SqlStore) -> None:
    await submit(store, asked := job())
    assert (await store.shown(asked.id)).job.sexual == Sexual.REFUSE


async def test_a_yes_becomes_allow_and_a_no_refuse_and_on_the_way_back_what_is_hidden_is_a_no(empty: str) -> None:
    store = SqlStore(empty)
    await store.start()
    asked = {choice: replace(job(), sexual=choice.value) for choice in Sexual}
    for each in asked.values():
        await submit(store, each)
    await store.aclose()
    db = dialect.connect(dialect.parse_url(empty), foreign_keys=False)

    def down(connection: Connection) -> None:
        config = configuration()
        config.attributes["connection"] = connection
        command.downgrade(config, "0005")

    async with dialect.writing(db).begin() as connection:
        await connection.run_sync(down)
        adult = {row.id: bool(row.adult) for row in await connection.execute(text("SELECT id, adult FROM jobs"))}
    await db.dispose()
    assert adult == {each.id: choice is Sexual.ALLOW for choice, each in asked.items()}

    assert (await migrate(empty))[0] >= "0006"
    store = SqlStore(empty)
    await store.start()
    came = {choice: (await store.shown(each.id)).job.sexual for choice, each in asked.items()}
    await store.aclose()
    assert came == {Sexual.REFUSE: "refuse", Sexual.HIDE: "refuse", Sexual.ALLOW: "allow"}
