"""A member, or many, who ask for copies of everything without end: one at a time each, a few in all, a piece in memory, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import stat
import time
import tracemalloc
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.domain import Card
from bot.errors import Refused
from bot.exports import AT_ONCE, KEPT, LIFE, WAITING, Archive, Exports
from bot.usecases import privacy
from tests.scenario.bots import running
from tests.unit.house import ADA, ENGLISH, House, open_house

MANY = 20
PIECE = 1_000_000  #: bytes


@pytest.fixture
async def house(sqlite_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(sqlite_url, tmp_path) as opened:
        opened.studio.exports = Exports(tmp_path / "exports")
        yield opened


async def nothing(archive: Archive) -> None:
    """An empty file."""


def lying_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir()) if folder.exists() else []


async def test_of_twenty_copies_that_a_member_asks_for_at_once_one_is_made(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.drawn("a fox --n 1")
    begun, go, get = asyncio.Event(), asyncio.Event(), house.blobs.get

    async def slow(digest: str) -> bytes:
        begun.set()
        await go.wait()
        return await get(digest)

    monkeypatch.setattr(house.blobs, "get", slow)
    first = asyncio.create_task(house.say("privacy", "export"))
    await begun.wait()
    others = await asyncio.gather(*(house.say("privacy", "export") for _ in range(MANY - 1)))
    assert {(each.refusal, each.text) for each in others} == {(True, ENGLISH.say("refused.export_under_way"))}
    go.set()
    made = await first
    (document,) = made.documents
    assert lying_in(tmp_path / "exports") == [Path(document.path).name]
    assert stat.S_IMODE(os.stat(document.path).st_mode) == 0o600, "nobody else on this machine reads it"
    again: Card = await house.say("privacy", "export")
    assert lying_in(tmp_path / "exports") == [Path(again.documents[0].path).name], "the newer one takes its place"
    assert zipfile.ZipFile(again.documents[0].path).testzip() is None


async def test_of_many_members_who_ask_at_once_two_are_served_a_few_wait_and_the_others_hear_it(tmp_path: Path) -> None:
    exports, running, most, both, go = Exports(tmp_path), 0, 0, asyncio.Event(), asyncio.Event()

    async def slow(archive: Archive) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == AT_ONCE:
            both.set()
        await go.wait()
        await archive.add("words.txt", b"hello")
        running -= 1

    asked = [asyncio.create_task(exports.make(f"member{number}", "all.zip", slow)) for number in range(MANY)]
    turned_away = MANY - AT_ONCE - WAITING
    await both.wait()
    left = set(asked)
    while len(left) > AT_ONCE + WAITING:
        _, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
    go.set()
    told = await asyncio.gather(*asked, return_exceptions=True)
    assert [each.message for each in told if isinstance(each, Refused)] == ["refused.exports_busy"] * turned_away
    assert most == AT_ONCE and len(lying_in(tmp_path)) == MANY - turned_away
    assert (await exports.make("member0", "all.zip", nothing)).path, "those who were turned away may come again"


async def test_a_file_of_any_size_takes_a_pieces_memory(tmp_path: Path) -> None:
    async def large(archive: Archive) -> None:
        for number in range(64):
            await archive.add(f"{number}.png", os.urandom(PIECE))

    tracemalloc.start()
    try:
        made = await Exports(tmp_path).make("member", "all.zip", large)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert os.stat(made.path).st_size > 64 * PIECE > 10 * most


async def test_a_copy_is_gathered_a_picture_at_a_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        await house.drawn(f"a fox, {number} --n 1")
    seen: list[str] = []
    get, add = house.blobs.get, Archive.add

    async def got(digest: str) -> bytes:
        seen.append("read")
        return await get(digest)

    async def added(archive: Archive, name: str, data: bytes) -> None:
        seen.append("written" if name.startswith("pictures/") else "told")
        await add(archive, name, data)

    monkeypatch.setattr(house.blobs, "get", got)
    monkeypatch.setattr(Archive, "add", added)
    await house.say("privacy", "export")
    assert seen == ["read", "written"] * (len(seen[:-3]) // 2) + ["told"] * 3 and len(seen) > 6


async def test_what_breaks_or_is_cancelled_in_the_middle_leaves_nothing_behind(tmp_path: Path) -> None:
    exports, begun = Exports(tmp_path), asyncio.Event()

    async def broken(archive: Archive) -> None:
        await archive.add("one.png", b"1")
        raise OSError(28, "no space left")

    async def endless(archive: Archive) -> None:
        await archive.add("one.png", b"1")
        begun.set()
        await asyncio.Event().wait()

    with pytest.raises(OSError, match="no space"):
        await exports.make("member", "all.zip", broken)
    task = asyncio.create_task(exports.make("member", "all.zip", endless))
    await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert lying_in(tmp_path) == []
    for number in range(AT_ONCE + WAITING + 1):
        await exports.make(f"member{number}", "all.zip", nothing)  # no turn was lost


async def test_what_a_killed_process_left_behind_is_gone_after_an_hour(tmp_path: Path) -> None:
    for name, age in (("old", LIFE.total_seconds() + 60), ("young", 60), ("of-tomorrow", -86400)):
        (tmp_path / f"{name}.zip").write_bytes(b"PK half of it")
        os.utime(tmp_path / f"{name}.zip", (time.time() - age,) * 2)
    await Exports(tmp_path).sweep()
    assert lying_in(tmp_path) == ["young.zip"]


async def test_many_accounts_do_not_fill_the_disk(tmp_path: Path) -> None:
    exports = Exports(tmp_path)
    for number in range(KEPT + 5):
        newest = await exports.make(f"member{number}", "all.zip", nothing)
    left = lying_in(tmp_path)
    assert len(left) == KEPT and Path(newest.path).name in left


async def test_being_forgotten_takes_the_copy_as_well(house: House, tmp_path: Path) -> None:
    await house.drawn("a fox --n 1")
    await house.say("privacy", "export")
    assert len(lying_in(tmp_path / "exports")) == 1
    await house.say("privacy", privacy.CONFIRMED)
    assert lying_in(tmp_path / "exports") == [] and not await house.store.everything(ADA.key)


async def test_a_copy_that_is_being_made_while_its_member_is_forgotten_comes_to_nothing(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.drawn("a fox --n 1")
    begun, go, get = asyncio.Event(), asyncio.Event(), house.blobs.get

    async def slow(digest: str) -> bytes:
        begun.set()
        await go.wait()
        return await get(digest)

    monkeypatch.setattr(house.blobs, "get", slow)
    asked = asyncio.create_task(house.say("privacy", "export"))
    await begun.wait()
    await house.say("privacy", privacy.CONFIRMED)
    go.set()
    card = await asked
    assert (card.documents, card.text) == ((), ENGLISH.say("error.not_found"))
    assert lying_in(tmp_path / "exports") == []
    assert (await house.say("privacy", "export")).documents, "whoever comes back may have one again"


async def test_the_program_removes_them_when_it_starts_and_makes_its_own_beside_its_pictures(tmp_path: Path) -> None:
    left = tmp_path / "exports" / "left.zip"
    left.parent.mkdir()
    left.write_bytes(b"PK half of it")
    os.utime(left, (time.time() - LIFE.total_seconds() - 60,) * 2)
    async with running(tmp_path) as app:
        assert not left.exists()
        made = await app.studio.exports.make("member", "all.zip", nothing)
        assert Path(made.path).parent == left.parent
