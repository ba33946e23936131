"""Backups, tested by restoring them: into either database, while the bot writes, after damage, over something that is there, from an older program."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import stat
import threading
import zipfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import Result
from sqlalchemy import Connection
from typer.testing import CliRunner

from bot.backup import MANIFEST, SECRET, BackupError, backup, restore, verified
from bot.cli import app
from bot.domain import GRID
from bot.errors import Fault
from bot.provenance import authority
from bot.store import dialect
from bot.store.migrate import check, configuration, migrate
from bot.store.vault import SqlVault
from tests.contract.houses import KEY, LEASE, NEVER, House, a_full_house, contents, drawn, pictures
from tests.contract.jobs import BOB, imagine, job, submit

MakeDatabase = Callable[[str], Awaitable[str]]


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> House:
    """Where the bot lives."""
    return House(database_url, tmp_path / "data")


@pytest.fixture
def small(sqlite_url: str, tmp_path: Path) -> House:
    """The same on SQLite, where it does not matter which."""
    return House(sqlite_url, tmp_path / "data")


@pytest.fixture(params=["sqlite", "postgres"])
async def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> House:
    """An empty house to restore into."""
    if request.param == "sqlite":
        return House(f"sqlite:///{tmp_path / 'new' / 'wordup.db'}", tmp_path / "new")
    make: MakeDatabase = request.getfixturevalue("new_postgres_database")
    return House(await make("restored"), tmp_path / "new")


# ------------------------------------------------------------------------------------------------ there and back


async def test_what_is_restored_is_what_was_there_in_either_database(house: House, elsewhere: House, tmp_path: Path) -> None:
    await a_full_house(house)
    before = await contents(house)
    assert sum(bool(rows) for rows in before.values()) >= 17, "something in every table"
    made = await backup(tmp_path / "b.zip", house.url, house.data)
    assert (made.pictures, made.manifest.missing, made.rows) == (2, [], sum(len(rows) for rows in before.values()))
    assert await restore(tmp_path / "b.zip", elsewhere.url, elsewhere.data) == made
    assert await contents(elsewhere) == before
    assert pictures(elsewhere.data) == {b"the sheet", b"a picture"}
    assert await check(elsewhere.url) == []


async def test_the_bot_goes_on_where_the_backup_was_made(small: House, elsewhere: House, tmp_path: Path) -> None:
    await a_full_house(small)
    await backup(tmp_path / "b.zip", small.url, small.data, with_secret=True)
    await restore(tmp_path / "b.zip", elsewhere.url, elsewhere.data)
    store = elsewhere.store()
    await store.start()
    try:
        assert await store.discrepancies() == ()
        taken = await store.claim("w2", LEASE)
        assert taken is not None and taken.words == NEVER
        assert await store.finish("w2", taken.id, [], 1.0), "the ledger's numbers go on"
        await submit(store, job())
        assert await store.discrepancies() == ()
        assert {notice.job_id for notice in await store.notices(["web"])} >= {taken.id}
        assert await SqlVault(store, (elsewhere.data / SECRET).read_bytes()).get("token") == b"sealed \0 bytes"
    finally:
        await store.aclose()


async def test_the_key_is_in_it_only_when_asked_for_and_only_its_owners_to_read(small: House, tmp_path: Path) -> None:
    await a_full_house(small)
    assert not (await backup(tmp_path / "without.zip", small.url, small.data)).secret
    assert KEY not in (tmp_path / "without.zip").read_bytes()
    assert (await backup(tmp_path / "with.zip", small.url, small.data, with_secret=True)).secret
    assert stat.S_IMODE((tmp_path / "with.zip").stat().st_mode) == 0o600
    new = House(f"sqlite:///{tmp_path / 'new' / 'wordup.db'}", tmp_path / "new")
    await restore(tmp_path / "with.zip", new.url, new.data)
    assert (new.data / SECRET).read_bytes() == KEY
    assert stat.S_IMODE((new.data / SECRET).stat().st_mode) == 0o600


async def test_what_pictures_are_signed_with_goes_along_with_the_key(small: House, tmp_path: Path) -> None:
    await a_full_house(small)
    before = authority.own(small.data / "signing", datetime.now(UTC))
    await backup(tmp_path / "without.zip", small.url, small.data)
    await backup(tmp_path / "with.zip", small.url, small.data, with_secret=True)
    for name in ("without", "with"):
        new = House(f"sqlite:///{tmp_path / name / 'wordup.db'}", tmp_path / name)
        await restore(tmp_path / f"{name}.zip", new.url, new.data)
    assert not (tmp_path / "without" / "signing").exists()
    assert authority.own(tmp_path / "with" / "signing", datetime.now(UTC)) == before
    assert stat.S_IMODE((tmp_path / "with" / "signing" / "authority.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "with" / "signing").stat().st_mode) == 0o700


async def test_a_backup_made_while_the_bot_writes_is_of_one_moment(house: House, tmp_path: Path) -> None:
    elsewhere = House(f"sqlite:///{tmp_path / 'new' / 'wordup.db'}", tmp_path / "new")
    enough, stop = threading.Event(), threading.Event()

    async def busy() -> None:
        store = house.store()
        await store.start()
        count = 0
        while count < 300 and not stop.is_set():
            await drawn(store, house.data, os.urandom(50), os.urandom(50))
            await submit(store, job(BOB, cost=0.25))
            count += 1
            if count == 5:
                enough.set()
        await store.aclose()

    bot = threading.Thread(target=lambda: asyncio.run(busy()))
    bot.start()
    try:
        assert await asyncio.to_thread(enough.wait, 60)
        made = [await asyncio.to_thread(lambda n=n: asyncio.run(backup(tmp_path / f"{n}.zip", house.url, house.data))) for n in range(3)]
    finally:
        stop.set()
        await asyncio.to_thread(bot.join)
    assert [each.manifest.missing for each in made] == [[], [], []], "what the rows name was on the disk before"
    await restore(tmp_path / "2.zip", elsewhere.url, elsewhere.data)
    store = elsewhere.store()
    await store.start()
    assert await store.discrepancies() == ()
    await store.aclose()
    found = await contents(elsewhere)
    ids = {row[0] for row in found["jobs"]}
    assert len(found["artifacts"]) >= 10
    assert {row[0] for row in found["artifacts"]} <= ids and len(found["ledger"]) >= len(ids)
    assert len(pictures(elsewhere.data)) == made[2].pictures


async def test_a_picture_that_is_gone_or_rotten_is_told_and_the_rest_is_kept(small: House, tmp_path: Path) -> None:
    elsewhere = House(f"sqlite:///{tmp_path / 'new' / 'wordup.db'}", tmp_path / "new")
    await a_full_house(small)
    rotten = hashlib.sha256(b"a picture").hexdigest()
    (small.data / "blobs" / rotten[:2] / rotten[2:4] / rotten).write_bytes(b"a pictura")
    made = await backup(tmp_path / "b.zip", small.url, small.data)
    assert made.manifest.missing == [rotten]
    await restore(tmp_path / "b.zip", elsewhere.url, elsewhere.data)
    assert pictures(elsewhere.data) == {b"the sheet"}


# ------------------------------------------------------------------------------------------------ damage


def resealed(file: Path, change: Callable[[str, bytes], bytes | None]) -> None:
    """Write a backup again with other contents (None leaves a member out) and a seal that fits, as anybody could."""
    with zipfile.ZipFile(file) as old:
        members = [(name, change(name, old.read(name))) for name in old.namelist()]
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in members if data is not None}
    with zipfile.ZipFile(file, "w") as new:
        for name, data in members:
            if name == MANIFEST and data is not None:
                said = json.loads(data)
                said["files"] = {member: hashes.get(member, digest) for member, digest in said["files"].items()}
                data = json.dumps(said).encode()
            if data is not None:
                new.writestr(name, data)
        new.comment = b"0" * 64
    whole = file.read_bytes()
    file.write_bytes(whole[:-64] + hashlib.sha256(whole[:-64]).hexdigest().encode())


async def test_a_file_cut_short_or_with_any_bit_flipped_is_refused_and_nothing_is_written(small: House, tmp_path: Path) -> None:
    await a_full_house(small)
    await backup(tmp_path / "b.zip", small.url, small.data)
    whole = (tmp_path / "b.zip").read_bytes()
    chance, bad = random.Random(7), tmp_path / "bad.zip"
    damaged = [whole[:length] for length in (0, 1, 63, 64, len(whole) // 2, len(whole) - 64, len(whole) - 1)] + [whole + b"\0"]
    for place in [*range(0, len(whole), max(1, len(whole) // 300)), len(whole) - 1]:
        flipped = bytearray(whole)
        flipped[place] ^= 1 << chance.randrange(8)
        damaged.append(bytes(flipped))
    for data in damaged:
        bad.write_bytes(data)
        with pytest.raises(BackupError, match="damaged"):
            await restore(bad, f"sqlite:///{tmp_path / 'new' / 'wordup.db'}", tmp_path / "new", force=True)
    assert not (tmp_path / "new").exists()
    assert verified(tmp_path / "b.zip").tables["jobs"].rows == 6


@pytest.mark.parametrize("left_out", ["tables/jobs.jsonl", MANIFEST, "blobs/" + hashlib.sha256(b"a picture").hexdigest()])
async def test_a_file_without_one_of_its_members_is_refused(small: House, tmp_path: Path, left_out: str) -> None:
    await a_full_house(small)
    await backup(tmp_path / "b.zip", small.url, small.data)
    resealed(tmp_path / "b.zip", lambda name, data: None if name == left_out else data)
    with pytest.raises(BackupError, match="damaged"):
        verified(tmp_path / "b.zip")


async def test_a_picture_that_is_not_what_its_name_says_is_refused(small: House, tmp_path: Path) -> None:
    await a_full_house(small)
    await backup(tmp_path / "b.zip", small.url, small.data)
    resealed(tmp_path / "b.zip", lambda name, data: b"another" if name.startswith("blobs/") else data)
    with pytest.raises(BackupError, match="damaged"):
        verified(tmp_path / "b.zip")


async def test_when_the_rows_do_not_fit_what_was_there_stays(house: House, tmp_path: Path) -> None:
    """A row twice: the database refuses it in the middle of the restoration."""
    await a_full_house(house)
    before = await contents(house)
    await backup(tmp_path / "b.zip", house.url, house.data)
    resealed(tmp_path / "b.zip", lambda name, data: data * 2 if name == "tables/notices.jsonl" else data)
    with pytest.raises(Fault):
        await restore(tmp_path / "b.zip", house.url, house.data, force=True)
    assert await contents(house) == before
    assert not [path for path in house.data.parent.rglob("*.restoring*")]


# ------------------------------------------------------------------------------------------------ what is there already


async def test_nothing_is_put_where_something_is_unless_forced(small: House, elsewhere: House, tmp_path: Path) -> None:
    await a_full_house(small)
    await backup(tmp_path / "b.zip", small.url, small.data)
    before = await contents(small)
    store = elsewhere.store()
    await store.start()
    await submit(store, job(words="of another life"))
    await store.aclose()
    elsewhere.data.mkdir(exist_ok=True)
    (elsewhere.data / "models.toml").write_text("# mine")
    for _ in range(2):  # the directory, then the database alone
        with pytest.raises(BackupError, match="--force"):
            await restore(tmp_path / "b.zip", elsewhere.url, elsewhere.data)
        (elsewhere.data / "models.toml").unlink(missing_ok=True)
    (elsewhere.data / "models.toml").write_text("# mine")
    await restore(tmp_path / "b.zip", elsewhere.url, elsewhere.data, force=True)
    assert await contents(elsewhere) == before
    assert (elsewhere.data / "models.toml").read_text() == "# mine"


async def test_nothing_is_restored_under_a_bot_that_runs(elsewhere: House, small: House, tmp_path: Path) -> None:
    await a_full_house(small)
    await backup(tmp_path / "b.zip", small.url, small.data)
    store = elsewhere.store()
    await store.start()
    await submit(store, job(words="being drawn"))
    with pytest.raises((Fault, BackupError), match=r"data_dir_in_use|connected"):
        await restore(tmp_path / "b.zip", elsewhere.url, elsewhere.data, force=True)
    assert (await store.load()).queued == 1
    await store.aclose()


async def test_a_backup_is_never_written_over_another_file(small: House, tmp_path: Path) -> None:
    await a_full_house(small)
    (tmp_path / "b.zip").write_text("last month's")
    with pytest.raises(BackupError, match="there already"):
        await backup(tmp_path / "b.zip", small.url, small.data)
    assert (tmp_path / "b.zip").read_text() == "last month's"


async def test_a_backup_that_fails_leaves_nothing_behind(small: House, tmp_path: Path) -> None:
    await a_full_house(small)
    (small.data / SECRET).unlink()
    (tmp_path / "out").mkdir()
    with pytest.raises(BackupError, match=SECRET):
        await backup(tmp_path / "out" / "b.zip", small.url, small.data, with_secret=True)
    assert not list((tmp_path / "out").iterdir())


# ------------------------------------------------------------------------------------------------ other times


async def test_a_backup_of_an_older_program_is_brought_up_to_date(elsewhere: House, tmp_path: Path) -> None:
    from alembic import command

    old = House(f"sqlite:///{tmp_path / 'old' / 'wordup.db'}", tmp_path / "old")
    old.data.mkdir()
    await migrate(old.url)
    store = old.store()
    await store.start()
    kept = await drawn(store, old.data, b"a sheet", b"an old picture")
    await store.aclose()

    def down(connection: Connection) -> None:
        config = configuration()
        config.attributes["connection"] = connection
        command.downgrade(config, "0002")

    db = dialect.connect(dialect.parse_url(old.url), foreign_keys=False)
    async with dialect.writing(db).begin() as connection:
        await connection.run_sync(down)
    await db.dispose()
    made = await backup(tmp_path / "b.zip", old.url, old.data)
    assert made.manifest.revision == "0002" and "styles" not in made.manifest.tables
    await restore(tmp_path / "b.zip", elsewhere.url, elsewhere.data)
    assert await check(elsewhere.url) == []
    store = elsewhere.store()
    await store.start()
    shown = await store.shown(kept)
    assert [(picture.index, picture.seed) for picture in shown.artifacts] == [(GRID, 2**32 - 1), (0, 2**32 - 1)]
    assert shown.job.request == imagine() and await store.discrepancies() == ()
    await store.aclose()


@pytest.mark.parametrize("change", [{"revision": "9999"}, {"format": 99}])
async def test_a_backup_of_a_newer_program_is_refused(small: House, tmp_path: Path, change: dict[str, object]) -> None:
    await a_full_house(small)
    await backup(tmp_path / "b.zip", small.url, small.data)
    resealed(tmp_path / "b.zip", lambda name, data: json.dumps(json.loads(data) | change).encode() if name == MANIFEST else data)
    with pytest.raises(BackupError, match="newer"):
        verified(tmp_path / "b.zip")


# ------------------------------------------------------------------------------------------------ the commands


async def test_the_commands_say_what_they_did_and_what_was_in_the_way(small: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await a_full_house(small)
    for name in [name for name in os.environ if name.startswith("WORDUP_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    async def wordup(*arguments: str, **variables: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, app, list(arguments), env={f"WORDUP_{name.upper()}": value for name, value in variables.items()})

    here = {"database_url": small.url, "data_dir": str(small.data)}
    made = await wordup("backup", "b.zip", **here)
    assert made.exit_code == 0 and "2 pictures" in made.output and "secret.key is not in it" in made.output
    again = await wordup("backup", "b.zip", **here)
    assert again.exit_code == 1 and again.output.strip() == "b.zip is there already; nothing was written."
    back = await wordup("restore", "b.zip", data_dir="new")
    assert back.exit_code == 0 and "2 pictures" in back.output and "secret.key was not in it" in back.output
    twice = await wordup("restore", "b.zip", data_dir="new")
    assert twice.exit_code == 1 and "--force" in twice.output
    assert (await wordup("restore", "b.zip", "--force", data_dir="new")).exit_code == 0
    nowhere = await wordup("backup", "c.zip", data_dir="nowhere")
    assert nowhere.exit_code == 1 and "There is no database" in nowhere.output
    none = await wordup("restore", "d.zip", data_dir="other")
    assert none.exit_code == 1 and "d.zip" in none.output
