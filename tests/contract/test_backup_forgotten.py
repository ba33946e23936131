"""A backup made before a member was forgotten does not bring them back: rows and files are purged again while it is restored, in either database."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ulid import ULID

from bot.backup import MANIFEST, SECRET, BackupError, backup, restore
from bot.domain import Actor, Artifact, Offer, Receipt, Style
from bot.domain.moderation import Case, Deed, Entry, Kind, Letter, Report
from bot.store import forgotten
from bot.store.blobs import DiskBlobs
from bot.store.casebook import SqlCaseBook
from bot.store.privacy import pseudonym
from bot.store.sql import SqlStore
from tests.contract.houses import KEY, LEASE, House, contents, pictures
from tests.contract.jobs import BOB, WHEN, job, submit
from tests.contract.test_backup import resealed

MEMBER = Actor(platform="discord", id="4711081512345", name="Rumpelstiltskin", locale="de")
WORDS = "spinning straw into gold"
TRACES = ("4711081512345", "Rumpelstiltskin", "spinning straw", "hidden-channel")


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> House:
    return House(database_url, tmp_path / "data")


@pytest.fixture
def small(sqlite_url: str, tmp_path: Path) -> House:
    return House(sqlite_url, tmp_path / "data")


def new(tmp_path: Path, name: str = "new") -> House:
    return House(f"sqlite:///{tmp_path / name / 'wordup.db'}", tmp_path / name)


async def put(house: House, data: bytes) -> str:
    blobs = DiskBlobs(house.data / "blobs")
    try:
        return await blobs.put(data)
    finally:
        blobs.close()


async def drawn(house: House, store: SqlStore, actor: Actor, data: bytes, *, source: str | None = None) -> str:
    made = job(actor, words=WORDS if actor == MEMBER else "a fox", **({"source": source} if source else {}))
    made = replace(made, place=replace(made.place, channel="hidden-channel" if actor == MEMBER else "pictures"))
    await submit(store, made)
    assert (await store.claim("w", LEASE)) is not None
    assert await store.finish("w", made.id, [Artifact(job_id=made.id, index=0, digest=await put(house, data), seed=1, width=128, height=96)], 1.0)
    return made.id


async def a_life(house: House) -> SqlStore:
    """A member and Bob, each with a picture, and one of Bob's that starts from the member's; and everything a member may leave besides. Open."""
    house.data.mkdir(parents=True, exist_ok=True)
    (house.data / SECRET).write_bytes(KEY)
    store = house.store()
    await store.start()
    theirs = await drawn(house, store, MEMBER, b"their picture")
    await drawn(house, store, MEMBER, b"their other one, which Bob used")
    await drawn(house, store, BOB, b"bob's", source=hashlib.sha256(b"their other one, which Bob used").hexdigest())
    await store.placed(theirs, Receipt(platform="discord", channel="hidden-channel", handle="1"))
    await store.prefer(MEMBER.key, {"suffix": WORDS})
    await store.save_style(Style(name="straw", words=WORDS, owner=MEMBER.key))
    await store.save_word_list(MEMBER.key, "straw", [WORDS])
    facts = {"picture": await put(house, b"sent along with a question")}
    await store.offer(Offer(id=str(ULID()), actor=MEMBER, kind="prompts", prompts=(WORDS,), facts=facts, created_at=WHEN))
    book = SqlCaseBook(store, KEY)
    there = (await store.reply_to(theirs))[0]
    case = Case(id=str(ULID()), kind=Kind.REPORT, owner="server:discord:g", subject=MEMBER, job_id=theirs, reply_to=there, opened_at=WHEN)
    await book.open(case, Report(actor=BOB, reply_to=there))
    await book.open(replace(case, id=str(ULID()), subject=BOB, job_id=str(ULID())), Report(actor=MEMBER, reply_to=there, reason=WORDS))
    letter = Letter(id=str(ULID()), reply_to=replace(there, user=MEMBER.id), member=MEMBER.key, title="letter.title", text="letter.banned")
    entry = Entry(id=str(ULID()), owner="server:discord:g", deed=Deed.BAN, who="x", at=WHEN)
    await book.ban("server:discord:g", MEMBER, None, entry, [letter])
    waiting = job(MEMBER, words=WORDS)
    await submit(store, waiting, token="secret-token", user=MEMBER.id)
    return store


async def traces(house: House) -> list[str]:
    told = repr(await contents(house))
    return [each for each in (*TRACES, "secret-token") if each in told]


async def test_who_was_forgotten_after_a_backup_is_forgotten_again_rows_and_files(house: House, tmp_path: Path) -> None:
    store = await a_life(house)
    await backup(tmp_path / "b.zip", house.url, house.data)
    assert await traces(house) == [*TRACES, "secret-token"], "what is looked for below was there"
    await store.forget(MEMBER.key)
    await store.aclose()
    assert await traces(house) == []
    before = pictures(house.data)
    blobs = DiskBlobs(house.data / "blobs")
    await blobs.delete([hashlib.sha256(data).hexdigest() for data in before])
    blobs.close()

    made = await restore(tmp_path / "b.zip", house.url, house.data, force=True)

    assert made.again == 1
    assert await traces(house) == []
    assert pictures(house.data) == {b"bob's", b"their other one, which Bob used"}, "what Bob made from theirs is Bob's"
    store = house.store()
    await store.start()
    assert await store.discrepancies() == () and await store.everything(MEMBER.key) == ()
    assert len(await store.everything(BOB.key)) == 1
    assert [ban.alias for ban in await SqlCaseBook(store, KEY).bans()] == [pseudonym(MEMBER.key, KEY)], "a ban stays, unnamed"
    await store.aclose()


async def test_who_came_back_and_who_was_forgotten_before_are_as_they_were(small: House, tmp_path: Path) -> None:
    store = await a_life(small)
    await store.forget(MEMBER.key)
    await drawn(small, store, MEMBER, b"a new life")
    await store.aclose()
    await backup(tmp_path / "b.zip", small.url, small.data)
    before = await contents(small)
    assert (await restore(tmp_path / "b.zip", small.url, small.data, force=True)).again == 0
    assert await contents(small) == before


async def test_the_list_goes_along_with_backups_and_restorations(small: House, tmp_path: Path) -> None:
    """Moved to another machine, an old backup of the first one is restored there: who was forgotten on the first is known."""
    store = await a_life(small)
    await backup(tmp_path / "old.zip", small.url, small.data)
    await store.forget(MEMBER.key)
    await store.aclose()
    await backup(tmp_path / "moved.zip", small.url, small.data, with_secret=True)
    there = new(tmp_path)
    assert (await restore(tmp_path / "moved.zip", there.url, there.data)).again == 0
    listed = there.data / forgotten.FILE
    assert forgotten.read(listed.read_bytes()).keys() == {pseudonym(MEMBER.key, KEY)} and stat.S_IMODE(listed.stat().st_mode) == 0o600
    assert (await restore(tmp_path / "old.zip", there.url, there.data, force=True)).again == 1
    assert await traces(there) == []


async def test_without_the_key_nothing_is_restored_that_might_bring_somebody_back(small: House, tmp_path: Path) -> None:
    store = await a_life(small)
    await backup(tmp_path / "b.zip", small.url, small.data)
    await store.forget(MEMBER.key)
    await store.aclose()
    there = new(tmp_path)
    there.data.mkdir()
    (there.data / forgotten.FILE).write_bytes((small.data / forgotten.FILE).read_bytes())
    with pytest.raises(BackupError, match=r"secret\.key"):
        await restore(tmp_path / "b.zip", there.url, there.data)
    assert not (there.data / "wordup.db").exists() and not (there.data / "blobs").exists()
    (there.data / SECRET).write_bytes(KEY)
    assert (await restore(tmp_path / "b.zip", there.url, there.data)).again == 1, "the two may lie there already"
    assert await traces(there) == [] and (there.data / SECRET).read_bytes() == KEY


async def test_a_key_that_lies_there_is_not_replaced_by_another_unless_forced(small: House, tmp_path: Path) -> None:
    await (await a_life(small)).aclose()
    await backup(tmp_path / "b.zip", small.url, small.data, with_secret=True)
    there = new(tmp_path)
    there.data.mkdir()
    (there.data / SECRET).write_bytes(b"another")
    with pytest.raises(BackupError, match="--force"):
        await restore(tmp_path / "b.zip", there.url, there.data)
    assert (there.data / SECRET).read_bytes() == b"another"


async def test_a_backup_that_does_not_say_when_its_rows_were_read_counts_from_its_end(small: House, tmp_path: Path) -> None:
    store = await a_life(small)
    await backup(tmp_path / "b.zip", small.url, small.data)
    resealed(tmp_path / "b.zip", lambda name, data: _without_moment(data) if name == MANIFEST else data)
    await store.forget(MEMBER.key)
    await store.aclose()
    assert (await restore(tmp_path / "b.zip", small.url, small.data, force=True)).again == 1


def _without_moment(manifest: bytes) -> bytes:
    said = json.loads(manifest)
    assert said.pop("moment")
    return json.dumps(said).encode()


async def test_who_is_forgotten_while_a_backup_is_made_is_forgotten_again(small: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the rows and the pictures: the backup has their rows."""
    store = await a_life(small)
    get: Callable[[DiskBlobs, str], Awaitable[bytes]] = DiskBlobs.get
    left = [MEMBER.key]

    async def meanwhile(self: DiskBlobs, digest: str) -> bytes:
        while left:
            await store.forget(left.pop())
        return await get(self, digest)

    monkeypatch.setattr(DiskBlobs, "get", meanwhile)
    await backup(tmp_path / "b.zip", small.url, small.data)
    await store.aclose()
    assert (await restore(tmp_path / "b.zip", small.url, small.data, force=True)).again == 1
    assert await traces(small) == []


# ------------------------------------------------------------------------------------------------ the list


def test_the_list_is_read_whatever_a_crash_left_in_it(tmp_path: Path) -> None:
    one, other = (pseudonym(key, KEY) for key in ("discord:1", "discord:2"))
    first, second = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=1)
    forgotten.note(tmp_path, one, second)
    forgotten.note(tmp_path, one, first)
    file = tmp_path / forgotten.FILE
    file.write_bytes(file.read_bytes() + b"2026-01-01T00:00:00+00:00 forgotten:0123")  # cut short
    forgotten.note(tmp_path, other, first)
    file.write_bytes(
        file.read_bytes() + b"never forgotten:" + b"0" * 32 + b"\n\xff\xfe\n2026-01-01T00:00:00 forgotten:" + b"1" * 32
    )  # no time, no text, no zone
    assert forgotten.read(file.read_bytes()) == {one: second, other: first}
    assert forgotten.read(forgotten.written(forgotten.read(file.read_bytes()).items())) == {one: second, other: first}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_the_list_tells_nobody_who_it_was(small: House) -> None:
    store = await a_life(small)
    await store.forget(MEMBER.key)
    await store.aclose()
    told = (small.data / forgotten.FILE).read_text()
    assert pseudonym(MEMBER.key, KEY) in told and not any(each in told for each in TRACES)
