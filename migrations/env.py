"""Alembic's entry: run by `bot.store.migrate` with its connection in `config.attributes`, or by a developer for ``alembic revision --autogenerate``."""

from __future__ import annotations

import asyncio

from alembic import context
from sqlalchemy import Connection

from bot.store import dialect
from bot.store.tables import metadata


def run(connection: Connection) -> None:
    """In the connection's transaction, if it is in one."""
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


async def run_alone(url: str) -> None:
    """With ``-x`` nothing: the URL is the main option ``sqlalchemy.url``."""
    db = dialect.connect(dialect.parse_url(url), foreign_keys=False)
    try:
        async with dialect.writing(db).begin() as connection:
            await connection.run_sync(run)
    finally:
        await db.dispose()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    asyncio.run(run_alone(context.config.get_main_option("sqlalchemy.url") or ""))
