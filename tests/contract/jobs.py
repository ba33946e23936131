"""Makers of jobs and submissions, and ways behind a store's back, shared by the tests of the store, the queue and the outbox."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from ulid import ULID

from bot.domain import GRID, Accepted, Actor, Artifact, Job, Limits, Origin, Place, ReplyTo, Submission
from bot.ports import Store
from bot.store.sql import SqlStore
from engine.api import ImagineRequest, Part

ALICE = Actor(platform="web", id="alice", name="Alice")
BOB = Actor(platform="web", id="bob", name="Bob")
PLENTY = Limits(cap=1000.0, per_hour=0.0, queued_per_actor=1000, queued_total=1000)
OpenStore = Callable[[], Awaitable[SqlStore]]
"""Opens another store on the same database (on SQLite the data directory's lock allows only one at a time)."""

WHEN = datetime(2020, 1, 1, tzinfo=UTC)  # the database's clock overrules it


def imagine(**changes: Any) -> ImagineRequest:
    fields: dict[str, Any] = {"model": "pocket", "parts": (Part(text="a fox"),), "width": 128, "height": 96, "steps": 20, "guidance": 3.0}
    return ImagineRequest(**(fields | changes))


def job(
    actor: Actor = ALICE,
    *,
    cost: float = 1.0,
    words: str = "a fox",
    parent: Origin | None = None,
    private: bool = False,
    relaxed: bool = False,
    batch: str = "",
    **request: Any,
) -> Job:
    return Job(
        id=str(ULID()),
        request=imagine(**request),
        words=words,
        actor=actor,
        place=Place(platform=actor.platform, server="guild", channel="pictures"),
        cost=cost,
        parent=parent,
        private=private,
        relaxed=relaxed,
        batch=batch,
        created_at=WHEN,
    )


def submission(*jobs: Job, delivery: str | None = None, limits: Limits = PLENTY, platform: str = "web", **reply_to: Any) -> Submission:
    return Submission(delivery=delivery or str(ULID()), jobs=jobs, reply_to=ReplyTo(platform=platform, channel="pictures", **reply_to), limits=limits)


async def submit(store: Store, *jobs: Job, **options: Any) -> Accepted:
    return await store.submit(submission(*jobs, **options))


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def pictures(job_id: str, *names: str) -> tuple[Artifact, ...]:
    """One artifact a name, and a contact sheet before them."""
    sheet = Artifact(job_id=job_id, index=GRID, digest=digest("sheet of " + " ".join(names)), seed=7, width=256, height=192)
    return (sheet, *(Artifact(job_id=job_id, index=index, digest=digest(name), seed=7 + index, width=128, height=96) for index, name in enumerate(names)))


async def execute(store: SqlStore, statement: str, **parameters: object) -> list[tuple[object, ...]]:
    """Raw SQL, for what no verb allows: looking behind the curtain and setting clocks back."""

    async def verb(db: AsyncConnection) -> list[tuple[object, ...]]:
        result = await db.execute(text(statement), parameters)
        return [tuple(row) for row in result.all()] if result.returns_rows else []

    return await store.write(verb)
