"""A member of five hundred jobs: their export holds every row and every file of theirs, and after they were forgotten no row and no file tells of them.

On SQLite and on Postgres, row by row and file by file. Nothing is drawn: the jobs are written straight through the store.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain import GRID, Actor, Artifact, Job, Offer, Origin, Place, Receipt, ReplyTo, Said, Status, Style, Submission
from bot.store.blobs import DiskBlobs
from bot.store.privacy import pseudonym
from bot.store.sql import SqlStore
from bot.store.tables import metadata
from engine.api import request_to_dict
from tests.contract.jobs import BOB, PLENTY, WHEN, job
from tests.unit.house import House, open_house

JOBS = 500
LEASE = timedelta(hours=1)
MEMBER = Actor(platform="discord", id="4711081512345", name="Rumpelstiltskin", locale="de")
GUILD = Place(platform="discord", server="guild-of-spinners", channel="hidden-channel")
#: What gives the member away, wherever it stands; digests and ids besides.
TRACES = ("4711081512345", "Rumpelstiltskin", "spinning straw", "guild-of-spinners", "hidden-channel", "secret-token", "the-handle")


async def put(blobs: DiskBlobs, what: str) -> str:
    return await blobs.put(f"\x89PNG\r\n\x1a\n{what}".encode())


async def ended(store: SqlStore, made: Job, artifacts: tuple[Artifact, ...]) -> None:
    taken = await store.claim("w", LEASE)
    assert taken is not None and taken.id == made.id
    assert await store.finish("w", made.id, artifacts, 1.5)


async def a_long_life(house: House) -> tuple[list[Job], set[str]]:
    """Every sixth job failed, every seventh was cancelled, the last two wait. Their jobs, oldest first, and the digests of all files that are theirs."""
    store, blobs = house.store, house.blobs
    limits = replace(PLENTY, cap=10.0 * JOBS, queued_per_actor=JOBS, queued_total=JOBS)
    source, asked = await put(blobs, "an upload of theirs"), await put(blobs, "sent along with a question")
    files = {source, asked}
    made: list[Job] = []
    for number in range(JOBS):
        given: dict[str, Any] = {"source": source} if number % 50 == 0 else {}
        parent = Origin(job_id=made[-1].id, verb="v", index=0) if number % 9 == 8 else None
        made.append(replace(job(MEMBER, words=f"spinning straw into gold, {number}", private=number % 4 == 0, parent=parent, **given), place=GUILD))
    made = [replace(each, id=f"{each.id[:-4]}{number:04d}") for number, each in enumerate(made)]  # in their order, however fast they were made
    for first in range(0, JOBS, 100):
        reply_to = ReplyTo(platform="discord", channel=GUILD.channel, token="secret-token", user=MEMBER.id)
        await store.submit(Submission(delivery=f"d{first}", jobs=tuple(made[first : first + 100]), reply_to=reply_to, limits=limits))
    drawn: list[tuple[int, Job]] = []
    for number, each in enumerate(made[:-2]):
        if number % 6 == 5:
            await store.fail(None, each.id, Said(message="error.cannot", parameters={"model": "spinning straw"}))
        elif number % 7 == 6:
            assert await store.cancel(each.id)
        else:
            drawn.append((number, each))
    for number, each in drawn:
        digests = {index: await put(blobs, f"{number} {index}") for index in ((GRID, 0, 1) if number % 5 == 0 else (0,))}
        files |= set(digests.values())
        shots = [Artifact(job_id=each.id, index=i, digest=d, seed=number, width=128, height=96, seen="spinning straw") for i, d in digests.items()]
        await ended(store, each, tuple(shots))
        if number % 10 == 0:
            await store.placed(each.id, Receipt(platform="discord", channel=GUILD.channel, handle=f"the-handle-{number}"))
            await store.favourite(each.id, 0, True)
    await store.prefer(MEMBER.key, {"suffix": "spinning straw"})
    await store.save_style(Style(name="straw", words="spinning straw", owner=MEMBER.key))
    await store.save_word_list(MEMBER.key, "straw", ["spinning straw"])
    await store.offer(Offer(id="0" * 26, actor=MEMBER, kind="prompts", prompts=("spinning straw",), facts={"picture": asked}, created_at=WHEN))
    return made, files


async def a_neighbour(house: House) -> tuple[Job, set[str]]:
    """Bob, who has a picture of his own, made from one of theirs."""
    theirs = await put(house.blobs, "0 0")
    his = job(BOB, words="my variation", source=theirs)
    await house.store.submit(Submission(delivery="bob", jobs=(his,), reply_to=ReplyTo(platform="web"), limits=PLENTY))
    drawn = await put(house.blobs, "bob's own")
    await ended(house.store, his, (Artifact(job_id=his.id, index=0, digest=drawn, seed=1, width=128, height=96),))
    await house.store.told(his.id)
    return his, {theirs, drawn}


async def rows_of(store: SqlStore) -> dict[str, list[dict[str, object]]]:
    """Every row of every table."""

    async def verb(db: AsyncConnection) -> dict[str, list[dict[str, object]]]:
        return {table.name: [dict(row) for row in (await db.execute(select(table))).mappings()] for table in metadata.sorted_tables}

    return await store.read(verb)


def on_disk(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (folder / "blobs").rglob("*") if file.is_file()}


async def collect(house: House) -> None:
    """What `bot.app` does every hour, of files however young."""
    stored = await house.blobs.digests(timedelta(0))
    await house.blobs.delete(stored - await house.store.referenced(stored))


async def test_the_export_of_five_hundred_jobs_is_whole_and_forgetting_leaves_no_row_and_no_file(database_url: str, memory: Path) -> None:
    async with open_house(database_url, memory, queue=False) as house:
        store = house.store
        made, files = await a_long_life(house)
        his, his_files = await a_neighbour(house)

        # -- the export, row by row and file by file
        card = await house.say("privacy", "export", actor=MEMBER)
        (document,) = card.documents
        with zipfile.ZipFile(document.path) as archive:
            rows = json.loads(archive.read("jobs.json"))
            kept = json.loads(archive.read("member.json"))
            listed = list(csv.reader(io.StringIO(archive.read("pictures.csv").decode("utf-8-sig"))))
            pictures = {Path(name).stem: archive.read(name) for name in archive.namelist() if name.startswith("pictures/")}
        assert [row["id"] for row in rows] == [each.id for each in made] and len(rows) == JOBS
        for row, each, shown in zip(rows, made, await store.everything(MEMBER.key), strict=True):
            assert row["words"] == each.words and row["request"] == json.loads(json.dumps(request_to_dict(each.request)))
            assert (row["status"], row["cost"], row["private"]) == (shown.job.status.value, each.cost, each.private)
            assert row["place"] == ["discord", "guild-of-spinners", "hidden-channel"]
            assert row["pictures"] == [
                {"index": a.index, "picture": a.digest, "seed": a.seed, "seen": a.seen, "favourite": a.favourite} for a in shown.artifacts
            ]
        assert {row["status"] for row in rows} == {each.value for each in Status} - {Status.RUNNING.value}
        drawn = {picture["picture"] for row in rows for picture in row["pictures"]}
        assert set(pictures) == drawn | {each.request.pictures[0] for each in made if each.request.pictures} and kept["pictures_left_out"] == []
        assert all(hashlib.sha256(data).hexdigest() == digest for digest, data in pictures.items())
        assert files - set(pictures) == {kept["offers"][0]["facts"]["picture"]}, "what was sent with a question is named there"
        assert len(listed) > len(rows) / 2
        assert (kept["preferences"], kept["styles"], kept["lists"]) == (
            {"suffix": "spinning straw"},
            {"straw": "spinning straw"},
            {"straw": ["spinning straw"]},
        )
        assert kept["member"] == {"platform": "discord", "id": MEMBER.id, "name": MEMBER.name} and kept["wallet"] == (await house.balance(MEMBER))
        assert BOB.name not in json.dumps([rows, kept]) and his.id not in json.dumps(rows)

        # -- what there was before, so that what is looked for below can be found
        before = await rows_of(store)
        told = str(before)
        assert [trace for trace in TRACES if trace not in told] == []
        assert files | his_files == set(on_disk(memory))

        # -- forgetting, row by row and file by file
        left = await house.balance(MEMBER) + 2.0  # what waits is given back
        assert not (await house.say("privacy", "forget yes", actor=MEMBER)).refusal
        await collect(house)
        after = await rows_of(store)
        nobody = pseudonym(MEMBER.key, b"")
        ids = {each.id for each in made}
        for name, table in after.items():
            for row in table:
                told = str(row)
                assert not [trace for trace in TRACES if trace in told], name
                assert not [digest for digest in files - his_files if digest in told], name
        blank = [row for row in after["jobs"] if row["id"] in ids]
        assert len(blank) == JOBS, "rows stay, for the books"
        for row in blank:
            assert (row["actor_key"], row["words"], row["folded"], row["actor_name"], row["parent_job"]) == (nobody, "", "", "", None)
            assert row["deleted_at"] is not None and row["status"] in ("done", "failed", "cancelled")
        for name in ("artifacts", "inputs", "posts", "messages", "notices"):
            assert not [row for row in after[name] if row.get("job_id") in ids], name
        assert [row["actor_key"] for row in after["ledger"] if row["job_id"] in ids] == [nobody] * (2 * JOBS)
        assert await store.discrepancies() == () and await house.balance(MEMBER) == left
        assert set(on_disk(memory)) == his_files

        # -- and what is Bob's is as it was
        for name, table in before.items():
            bobs = [row for row in table if his.id in str(row) or BOB.key in str(row)]
            assert [row for row in after[name] if his.id in str(row) or BOB.key in str(row)] == bobs, name
