"""The operator's word to the whole house: said in one process, obeyed by another, kept over a restart, and written down."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import SecretStr

from bot.doctor import pause_findings
from bot.domain import Event, Place, Status, Verb, Visibility
from bot.domain.moderation import Deed
from bot.drawing import Order
from bot.pause_cli import NotReady, say, standing
from bot.pausing import HOUSE, Pause
from bot.settings import Settings
from bot.store.casebook import SqlCaseBook
from tests.unit.house import ADA, BOB, ENGLISH, House, button, open_house

PAUSED = ENGLISH.say("refused.house_paused")
SINCE = "2026-11-26T03:00:00+00:00"


async def wordup(*words: str, url: str, folder: Path) -> str:
    """What the program says in the terminal, in a process of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WORDUP_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", *words),
        env={**clean, "WORDUP_DATABASE_URL": url, "WORDUP_DATA_DIR": str(folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complaint = await process.communicate()
    assert process.returncode == 0, complaint.decode()
    return said.decode()


async def settled(house: House) -> tuple[float, int]:
    return await house.balance(), (await house.store.load()).queued


async def test_what_is_said_in_the_terminal_is_obeyed_by_the_bot_that_runs_and_by_the_next_one(database_url: str, tmp_path: Path) -> None:
    async with open_house(database_url, tmp_path) as house:
        drawn = await house.drawn("a fox --n 1")
        before = await settled(house)
        assert "nothing new is taken" in await wordup("pause", url=database_url, folder=tmp_path)
        for place in (Place(platform="web"), Place(platform="web", server="s", channel="art")):
            refused = await house.imagine("a hen", place=place)
            assert refused.refusal and refused.text == PAUSED and refused.visibility is Visibility.PRIVATE
        assert (await house.push(drawn, Verb.REROLL)).text == PAUSED
        assert (await house.say("describe", drawn.job_id)).text == PAUSED, "it keeps the machine busy, too"
        assert house.studio.greet(house.command("imagine", "a hen")).visibility is Visibility.PRIVATE
        for name in ("info", "help", "history", "privacy"):
            assert not (await house.say(name)).refusal, "what draws nothing is theirs as ever"
        assert await settled(house) == before
    async with open_house(database_url, tmp_path) as house:
        assert (await house.imagine("a hen")).text == PAUSED, "a restart changes nothing"
        assert "it was paused since 20" in await wordup("resume", url=database_url, folder=tmp_path)
        assert "It was not paused" in await wordup("resume", url=database_url, folder=tmp_path)
        await house.drawn("a hen --n 1")
        lines = await SqlCaseBook(house.store, b"").log(HOUSE)
        assert [(each.deed, dict(each.detail)) for each in lines] == [(Deed.RESUME, {}), (Deed.PAUSE, {"held": False})]
        assert len({each.who for each in lines}) == 1 and "operator" not in lines[0].who


def settings_of(url: str, folder: Path) -> Settings:
    return Settings(database_url=SecretStr(url), data_dir=folder)


async def test_held_what_waits_keeps_its_place_and_is_drawn_once_it_is_taken_back(sqlite_url: str, tmp_path: Path) -> None:
    async with open_house(sqlite_url, tmp_path, queue=False) as house:
        cards = [await house.imagine("a fox --n 1", actor=actor) for actor in (ADA, BOB)]
    said = await wordup("pause", "--hold", "--wait", url=sqlite_url, folder=tmp_path)
    assert "2 wait, 0 are being drawn" in said and "Nothing is being drawn any more." in said
    async with open_house(sqlite_url, tmp_path) as house:
        for _ in range(5):
            house.queue.wake()
            await asyncio.sleep(0.05)
        assert (await house.store.load()).queued == 2
        assert await house.studio.pausing.is_held()
        assert (await house.push(cards[0], Verb.CANCEL)).status is Status.CANCELLED, "who has thought better of it is not kept"
        before, load = await say(settings_of(sqlite_url, tmp_path), Pause())
        assert before.held and load.queued == 1
        assert (await house.end(cards[1], BOB)).status is Status.DONE


async def test_paused_without_more_what_was_taken_is_drawn(sqlite_url: str, tmp_path: Path) -> None:
    async with open_house(sqlite_url, tmp_path, queue=False) as house:
        card = await house.imagine("a fox --n 1")
        assert button(card, Verb.CANCEL)
    await say(settings_of(sqlite_url, tmp_path), Pause(paused=True, since=SINCE))
    async with open_house(sqlite_url, tmp_path) as house:
        assert (await house.end(card)).status is Status.DONE
    assert await standing(sqlite_url) == Pause(paused=True, since=SINCE)
    (found,) = await pause_findings(settings_of(sqlite_url, tmp_path))
    assert SINCE in found.text and "wordup resume" in found.fix, "`wordup doctor` says it to who has forgotten"
    await say(settings_of(sqlite_url, tmp_path), Pause())
    assert await pause_findings(settings_of(sqlite_url, tmp_path)) == []


async def test_what_was_still_being_read_when_the_word_came_is_not_taken(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_house(sqlite_url, tmp_path, queue=False) as house:
        let_pass = house.studio.let_pass

        async def slowly(event: Event, orders: Sequence[Order]) -> list[Order]:
            await say(settings_of(sqlite_url, tmp_path), Pause(paused=True, since=SINCE))
            assert not await house.studio.pausing.is_held()  # as the queue asks
            return await let_pass(event, orders)

        monkeypatch.setattr(house.studio, "let_pass", slowly)
        before = await settled(house)
        card = await house.imagine("a fox --n 1")
        assert (card.refusal, card.text) == (True, PAUSED) and await settled(house) == before


async def test_where_there_is_no_database_yet_none_is_made(tmp_path: Path) -> None:
    file = tmp_path / "none" / "wordup.db"
    with pytest.raises(NotReady, match="start the bot once"):
        await say(settings_of(f"sqlite:///{file}", file.parent), Pause(paused=True))
    assert not file.parent.exists()


def test_what_makes_no_sense_counts_as_not_paused_and_nobody_else_has_that_name() -> None:
    for chosen in ({}, {"paused": "yes"}, {"held": True}, {"paused": None, "since": SINCE}):
        assert Pause.of(chosen) == Pause()
    assert Pause.of({"paused": True, "held": 1, "since": 7}) == Pause(paused=True)
    whole = Pause(paused=True, held=True, since=SINCE)
    assert Pause.of(whole.kept) == whole and set(Pause().kept.values()) == {None}
    assert ":" not in HOUSE and ":" in ADA.key and ":" in Place(platform="web", server="house").owner
