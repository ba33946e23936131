"""Letters of moderation are told once: whatever dies between sending one and writing that down, and however many processes send at once."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ulid import ULID

from bot.domain import Actor, Card, Place, Receipt, ReplyTo
from bot.domain.moderation import Case, Kind, Letter
from bot.moderation.mail import Mail
from bot.store.casebook import SqlCaseBook
from bot.store.sql import SqlStore
from tests.contract.jobs import WHEN, execute
from tests.fakes.discord import DiscordWire
from tests.fakes.slack import SlackWire
from tests.scenario.bots import discord_settings, running, slack_settings, unknown_requests
from tests.unit.house import ENGLISH, LANGUAGES

PATIENCE = 120.0


def contest(place: Place, member: Actor) -> Case:
    """A refusal that a member contests."""
    reply_to = ReplyTo(platform=place.platform, user=member.id)
    return Case(id=str(ULID()), kind=Kind.CONTEST, owner=place.owner, subject=member, words="a mole rat", rule="sexual", reply_to=reply_to, opened_at=WHEN)


# ------------------------------------------------------------------------------------------------ killed between sending and writing down


async def owe(url: str, server: str, channel: str, mods: str, member: Actor, user: str) -> None:
    """A letter to a member, an announcement, and a case's card."""
    store = SqlStore(url)
    await store.start()
    book = SqlCaseBook(store, store._secret)
    case, _ = await book.open(contest(Place(platform=member.platform, server=server), member))
    there = ReplyTo(platform=member.platform, channel=channel)
    directly = ReplyTo(platform=member.platform, user=user)
    letters = [
        Letter(id="1" * 26, reply_to=directly, member=member.key, title="letter.title", text="letter.banned"),
        Letter(id="2" * 26, reply_to=there, title="letter.announcement", text="letter.words", parameters={"words": "back at noon"}),
        Letter(id="3" * 26, reply_to=ReplyTo(platform=member.platform, channel=mods), case_id=case.id),
    ]
    await book.post(letters)
    await store.aclose()


async def lives(settings: dict[str, Any], letters: int) -> int | None:
    """One life of the bot; its exit code."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.faults.letters_victim", json.dumps(settings), str(letters))
    try:
        async with asyncio.timeout(PATIENCE):
            return await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def run_out(url: str) -> None:
    """Every lease, as if its time had passed."""
    store = SqlStore(url)
    await store.start()
    past = (await store.now() - timedelta(seconds=1)).replace(tzinfo=None)
    await execute(store, f"UPDATE letters SET leased_until = '{past:%Y-%m-%d %H:%M:%S.%f}' WHERE told_at IS NULL")  # noqa: S608
    await store.aclose()


async def dies_and_dies(url: str, settings: dict[str, Any]) -> None:
    """Killed after each of the three letters; the fourth life ends them."""
    for before in (0, 1, 1):
        assert await lives(settings, before) == -signal.SIGKILL
        await run_out(url)
    assert await lives(settings, -1) == 0
    store = SqlStore(url)
    await store.start()
    found = await execute(store, "SELECT id FROM letters WHERE told_at IS NOT NULL AND NOT undelivered AND attempts > 1")
    assert len(found) == 3, "each was sent, not written down, and sent again"
    await store.aclose()


async def test_a_bot_that_is_killed_before_it_wrote_its_letters_down_tells_them_once_on_discord(wire: DiscordWire, tmp_path: Path) -> None:
    guild = wire.art.guild
    assert guild is not None
    mods = wire.channel(guild, "mods")
    url = f"sqlite:///{tmp_path / 'wordup.db'}"
    ada = Actor(platform="discord", id=str(wire.ada.id))
    await owe(url, str(guild.id), str(wire.art.id), str(mods.id), ada, ada.id)
    await dies_and_dies(url, {**discord_settings(wire), "data_dir": str(tmp_path)})
    assert [ENGLISH.say("letter.banned") in each.text for each in wire.dms(wire.ada)] == [True]
    assert ["back at noon" in each.text for each in wire.messages(wire.art, seen_by=wire.bob)] == [True]
    assert ["a mole rat" in each.text for each in wire.messages(mods, seen_by=wire.bob)] == [True]


async def test_and_on_slack_over_postgres(tmp_path: Path, postgres_url: str) -> None:
    async with SlackWire() as wire:
        mods = wire.secret
        for channel in (mods, wire.art):
            wire.invite(channel)
        ada = Actor(platform="slack", id=f"{wire.team_id}:{wire.ada.id}")
        await owe(postgres_url, wire.team_id, wire.art.id, mods.id, ada, wire.ada.id)
        await dies_and_dies(postgres_url, {**slack_settings(wire), "data_dir": str(tmp_path), "database_url": postgres_url})
        assert [ENGLISH.say("letter.banned") in each.plain for each in wire.dms(wire.ada)] == [True]
        assert ["back at noon" in each.plain for each in wire.messages(wire.art)] == [True]
        assert ["a mole rat" in each.plain for each in wire.messages(mods)] == [True]
        assert wire.violations == [] and not unknown_requests(wire)


# ------------------------------------------------------------------------------------------------ a closed channel


async def test_a_channel_that_the_bot_is_kept_out_of_was_told_nothing_until_it_is_opened(
    wire: DiscordWire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.moderation.mail.FIRST_DELAY", 0.1)
    monkeypatch.setattr("bot.moderation.mail.LONGEST_DELAY", 0.2)
    monkeypatch.setattr("bot.moderation.mail.MOST_TRIES", 10_000)
    guild = wire.art.guild
    assert guild is not None
    mods, place = wire.channel(guild, "mods"), Place(platform="discord", server=str(guild.id))
    wire.forbid(mods)
    async with running(tmp_path, **discord_settings(wire)) as app:
        await wire.connected()
        book, case = app.moderation.book, contest(place, Actor(platform="discord", id=str(wire.ada.id)))
        await book.open(case, letter=Letter(id="1" * 26, reply_to=ReplyTo(platform="discord", channel=str(mods.id))))
        app.mail.wake()
        async with asyncio.timeout(PATIENCE):
            while True:
                await asyncio.sleep(0.02)
                if (await book.stats(place, timedelta(days=7))).undelivered == 1:
                    break
        assert wire.messages(mods, seen_by=wire.bob) == []
        wire.allow(mods)
        await wire.until(lambda: bool(wire.messages(mods, seen_by=wire.bob)))
        async with asyncio.timeout(PATIENCE):
            while True:
                await asyncio.sleep(0.02)
                if (await book.case(case.id)).receipt is not None:
                    break
        assert (await book.stats(place, timedelta(days=7))).undelivered == 0
    assert len(wire.messages(mods, seen_by=wire.bob)) == 1


# ------------------------------------------------------------------------------------------------ two senders at once


class Forgetful:
    """A platform that knows nothing again: whatever names no message of its own is another one."""

    platform = "web"

    def __init__(self) -> None:
        self.posted: Counter[str] = Counter()  #: by what a card is known by
        self.changed: Counter[str] = Counter()

    async def show(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None) -> Receipt:
        for _ in range(3):  # as long as it takes others to get in between
            await asyncio.sleep(0.001)
        (self.changed if receipt else self.posted)[card.once] += 1
        return receipt or Receipt(platform="web", channel=reply_to.channel, handle=card.once)


async def test_two_senders_at_once_on_one_postgres_tell_every_letter_once(postgres_url: str) -> None:
    stores = [SqlStore(postgres_url), SqlStore(postgres_url)]
    for store in stores:
        await store.start()
    try:
        books = [SqlCaseBook(each, each._secret) for each in stores]
        there = Place(platform="web", server="guild")
        cases = [(await books[0].open(contest(there, Actor(platform="web", id=f"m{number}"))))[0] for number in range(4)]
        mods = ReplyTo(platform="web", channel="mods")
        plain = [Letter(id=f"1{number:025}", reply_to=mods, title="letter.title", text="letter.banned") for number in range(20)]
        about = [Letter(id=f"2{number:025}", reply_to=mods, case_id=cases[number % 4].id) for number in range(20)]
        await books[0].post([each for pair in zip(plain, about, strict=True) for each in pair])
        chat = Forgetful()

        def sender(book: SqlCaseBook) -> Mail:
            async def card(case_id: str) -> tuple[Card, Receipt | None]:
                case = await book.case(case_id)
                return Card(title=case.id, job_id=case.id), case.receipt

            return Mail(book, {"web": chat}, LANGUAGES, card)  # type: ignore[dict-item]

        senders = [sender(each) for each in books]
        while await books[0].due():
            assert sum(await asyncio.gather(*(each.deliver() for each in senders)))
        once = [*(each.id for each in plain), *(each.id for each in cases)]
        assert chat.posted == Counter(once), "each letter once, and each case's card once"
        assert sum(chat.changed.values()) == len(about) - len(cases), "what came later about a case changed its card"
    finally:
        for store in stores:
            await store.aclose()
