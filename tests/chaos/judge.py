"""What became of what members were promised: the journal of what they saw beside the database. Reads only; the verdict itself is a pure function."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bot.store import wallet
from tests.chaos.server import ENDS

EXACT = 1e-6  #: credits: costs are floats, and hundreds of them are added up here in another order than the wallet did


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What the database says: a job's status, the pictures of a job, the jobs of a delivery."""

    status: Mapping[str, str]
    pictures: Mapping[str, frozenset[str]]
    deliveries: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Each a list of sentences, empty when all is well."""

    lost: tuple[str, ...]
    doubled: tuple[str, ...]


def judge(journal: Iterable[Mapping[str, Any]], written: Written) -> Verdict:
    """`journal`: what was shown, in order (`tests.chaos.server`). After the bot has had time to tell everything."""
    lost: list[str] = []
    doubled: list[str] = []
    messages: defaultdict[str, dict[str, str]] = defaultdict(dict)  # job → handle → what it says in the end
    ends: defaultdict[str, set[tuple[str, frozenset[str]]]] = defaultdict(set)  # job → different ends that were shown
    answers: defaultdict[str, set[str]] = defaultdict(set)  # delivery → jobs it was answered with
    for entry in journal:
        if not (job := entry.get("job", "")):
            continue
        if entry["delivery"] and job in written.deliveries.get(entry["delivery"], (job,)):
            answers[entry["delivery"]].add(job)
        elif entry["delivery"]:
            doubled.append(f"{entry['delivery']} was answered with {job}, and made others")
        if entry["do"] == "whisper":
            continue
        before = messages[job].get(entry["handle"], "")
        if before in ENDS and entry["status"] not in ENDS:
            lost.append(f"{job} had ended, and was shown as {entry['status']}")
        messages[job][entry["handle"]] = entry["status"]
        if entry["status"] in ENDS:
            ends[job].add((entry["status"], frozenset(entry["pictures"])))
    for job in sorted(messages.keys() | written.status.keys()):
        status, shown = written.status.get(job), messages.get(job, {})
        if status is None:
            lost.append(f"{job} was shown and is not written down")
        elif status not in ENDS:
            lost.append(f"{job} is {status} still")
        elif not shown:
            lost.append(f"{job} was accepted, is {status}, and nobody was shown")
        elif any(each != status for each in shown.values()):
            lost.append(f"{job} is {status}, and a card says {shown}")
        if len(shown) > 1:
            doubled.append(f"{job} has {len(shown)} messages")
        if len(ends[job]) > 1:
            doubled.append(f"{job} ended in {len(ends[job])} ways")
        if status == "done" and not all(pictures and pictures <= written.pictures.get(job, frozenset()) for _, pictures in ends[job]):
            lost.append(f"{job} is done, and its pictures are not those that were shown")
    doubled += [f"{delivery} made {len(jobs)} jobs" for delivery, jobs in (*answers.items(), *written.deliveries.items()) if len(jobs) > 1]
    orphans = written.status.keys() - {job for jobs in written.deliveries.values() for job in jobs}
    doubled += [f"{job} is of no delivery" for job in sorted(orphans)]
    return Verdict(lost=tuple(lost), doubled=tuple(doubled))


def read(journal: Path) -> list[dict[str, Any]]:
    with journal.open() as lines:
        return [json.loads(line) for line in lines]


# ------------------------------------------------------------------------------------------------ the database, from outside


async def rows(db: AsyncConnection, statement: str) -> Sequence[Any]:
    found: Sequence[Any] = (await db.execute(text(statement))).all()
    return found


async def look(db: AsyncEngine) -> Written:
    async with db.connect() as connection:
        status = {job: each for job, each in await rows(connection, "SELECT id, status FROM jobs")}
        pictures: defaultdict[str, set[str]] = defaultdict(set)
        for job, digest in await rows(connection, "SELECT job_id, digest FROM artifacts"):
            pictures[job].add(digest)
        made = await rows(connection, "SELECT delivery, job_ids FROM deliveries")
    deliveries = {delivery: tuple(json.loads(jobs) if isinstance(jobs, str) else jobs) for delivery, jobs in made}
    return Written(status=status, pictures={job: frozenset(each) for job, each in pictures.items()}, deliveries=deliveries)


async def owed(db: AsyncEngine) -> int:
    """Jobs that have not ended, and ends that were not told."""
    async with db.connect() as connection:
        [[jobs]] = await rows(connection, "SELECT count(*) FROM jobs WHERE status IN ('queued', 'running')")
        [[notices]] = await rows(connection, "SELECT count(*) FROM notices WHERE told_at IS NULL")
    return int(jobs + notices)


async def wallets(db: AsyncEngine, cap: float) -> tuple[str, ...]:
    """What is not exact, at this very moment: of each job in the ledger, and of each member's balance."""
    async with db.connect() as connection:
        wrong = [f"the ledger of {job}" for job in await wallet.discrepancies(connection)]
        statement = """SELECT wallets.actor_key, wallets.balance, coalesce(sum(jobs.cost), 0) FROM wallets LEFT JOIN jobs
            ON jobs.actor_key = wallets.actor_key AND jobs.status IN ('queued', 'running', 'done') GROUP BY wallets.actor_key, wallets.balance"""
        wrong += [f"{key} has {balance}, not {cap - spent}" for key, balance, spent in await rows(connection, statement) if abs(balance + spent - cap) > EXACT]
    return tuple(wrong)


async def integrity(db: AsyncEngine, blobs: Path, pictures: Iterable[frozenset[str]]) -> tuple[str, ...]:
    """What the database finds wrong with itself, references to nothing, and pictures that are not there or not whole."""
    async with db.connect() as connection:
        if connection.dialect.name == "sqlite":
            wrong = [str(each) for (each,) in await rows(connection, "PRAGMA integrity_check") if each != "ok"]
            wrong += [f"foreign key: {tuple(each)}" for each in await rows(connection, "PRAGMA foreign_key_check")]
        else:
            wrong = await _postgres(connection)
    wrong += [f"picture {digest}" for digest in sorted(frozenset().union(*pictures)) if not _whole(blobs / digest[:2] / digest[2:4] / digest)]
    return tuple(wrong)


async def _postgres(connection: AsyncConnection) -> list[str]:
    """Every table read through and through and by its index: the same rows. (`amcheck` does not come with every Postgres.)"""
    wrong = []
    for (table,) in await rows(connection, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"):
        counts = []
        for through in (True, False):
            for scan in ("seqscan", "bitmapscan"):
                await connection.execute(text(f"SET LOCAL enable_{scan} = {'on' if through else 'off'}"))
            for scan in ("indexscan", "indexonlyscan"):
                await connection.execute(text(f"SET LOCAL enable_{scan} = {'off' if through else 'on'}"))
            [[count]] = await rows(connection, f"SELECT count(*) FROM {table}")  # noqa: S608  (names of our own tables)
            counts.append(count)
        if counts[0] != counts[1]:
            wrong.append(f"{table} has {counts[0]} rows, and {counts[1]} by its index")
    return wrong


def _whole(file: Path) -> bool:
    return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == file.name
