"""Two outboxes on one Postgres tell every end once, on chats that would not know it again; and what a process held when it went is told by the other."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.domain import Actor, Card, Job, Place, Receipt, ReplyTo, Status, Submission, Visibility
from bot.errors import Fault
from bot.outbox import Outbox
from bot.store.sql import SqlStore
from tests.contract.jobs import PLENTY, execute, job, submit
from tests.fakes.slack import SlackWire
from tests.scenario.bots import running, slack_settings, unknown_requests
from tests.unit.test_outbox import LEASE, Chat, House, settled, until

BOTH = 2


class Forgetful(Chat):
    """Whatever names no message of its own is another one, and takes a while."""

    def __init__(self) -> None:
        super().__init__()
        self.posted: Counter[str] = Counter()

    async def show(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None) -> Receipt | None:
        for _ in range(3):  # as long as it takes others to get in between
            await asyncio.sleep(0.001)
        await super().show(reply_to, card, receipt)
        self.posted[card.job_id] += receipt is None
        return receipt or Receipt(platform="web", channel=reply_to.channel, handle=card.job_id)


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.outbox.LONGEST_DELAY", 0.02)
    monkeypatch.setattr("bot.outbox.LONGEST_REST", 0.02)


@pytest.fixture
async def houses(postgres_url: str) -> AsyncIterator[list[House]]:
    """Two processes' parts: each a store, a board and an outbox of its own, and one chat."""
    chat, found = Forgetful(), []
    for _ in range(BOTH):
        store = SqlStore(postgres_url)
        await store.start()
        found.append(House(store))
        found[-1].chat = chat
    yield found
    for house in found:
        await house.store.aclose()


async def ended(house: House, count: int) -> list[Job]:
    """Jobs whose end is owed."""
    jobs = [(await submit(house.store, job(words=f"fox {number}"))).jobs[0] for number in range(count)]
    for each in jobs:
        await house.store.cancel(each.id)
    return jobs


def flaky(house: House, verb: str, times: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """That verb of the store fails so often; how often it still will."""
    works, left = getattr(house.store, verb), [times]

    async def attempt(*args: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise Fault("fault.database", detail="gone")
        return await works(*args)

    monkeypatch.setattr(house.store, verb, attempt)
    return left


async def test_two_outboxes_at_once_on_one_postgres_tell_every_end_once(houses: list[House]) -> None:
    one, two = houses
    jobs = await ended(one, 40)
    async with one.open(), two.open():
        await settled(one)
    assert isinstance(one.chat, Forgetful)
    assert one.chat.posted == Counter(each.id for each in jobs)
    assert len(one.chat.said) == len(jobs), "nor is one of them changed by the other"


async def test_two_bots_on_one_postgres_post_an_end_once_where_slack_lets_nobody_look(tmp_path: Path, postgres_url: str) -> None:
    """Slack takes no nonce, and here the app may not read the channel: a second post would be a second message."""
    async with SlackWire() as wire:
        wire.invite(wire.art)
        wire.scopes -= {"channels:history"}
        settings = {**slack_settings(wire), "database_url": postgres_url}
        async with running(tmp_path, **settings) as one, running(tmp_path, **settings) as two:
            ada = Actor(platform="slack", id=f"{wire.team_id}:{wire.ada.id}")
            place = Place(platform="slack", server=wire.team_id, channel=wire.art.id)
            there = ReplyTo(platform="slack", channel=wire.art.id, user=wire.ada.id)
            jobs: list[Job] = []
            for number in range(3):
                asked = replace(job(ada, words=f"fox {number}"), place=place)
                jobs += (await one.store.submit(Submission(delivery=f"d{number}", jobs=(asked,), reply_to=there, limits=PLENTY))).jobs
            for each in jobs:
                await one.store.cancel(each.id)
            one.outbox.wake()
            two.outbox.wake()

            async with asyncio.timeout(120):
                while True:
                    await asyncio.sleep(0.05)
                    if await execute(one.store, "SELECT id FROM notices WHERE told_at IS NULL") == []:
                        break
        shown = Counter(str(each.metadata["event_payload"]["job_id"]) for each in wire.messages(wire.art))
        assert shown == Counter(each.id for each in jobs)
        assert wire.violations == [] and not unknown_requests(wire)


async def test_what_one_could_not_tell_is_given_back_and_tried_until_it_can(houses: list[House]) -> None:
    one, two = houses
    one.chat.trouble = [ConnectionError("down")] * 5
    (asked,) = await ended(one, 1)
    async with one.open(), two.open():
        await settled(one)
    assert [job_id for _, job_id, *_ in one.chat.said] == [asked.id] * 6


@pytest.mark.parametrize("verb", ["placed", "told"])
async def test_what_was_shown_is_written_down_by_who_holds_it_and_shown_by_nobody_else(houses: list[House], verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = houses
    left = flaky(one, verb, 5, monkeypatch)
    await ended(one, 1)
    async with one.open():
        await until(lambda: len(one.chat.said) == 1)
        async with two.open():
            await settled(one)
    assert left == [0] and len(one.chat.said) == 1


async def test_what_could_not_even_be_given_back_is_given_back_later(houses: list[House], monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = houses
    left = flaky(one, "put_off", 2, monkeypatch)
    one.chat.trouble = [ConnectionError("down")]
    await ended(one, 1)
    async with one.open():
        await settled(one)
    assert left == [0] and len(one.chat.said) == 2


async def test_an_orderly_stop_gives_back_what_is_on_its_way(houses: list[House]) -> None:
    one, two = houses
    (asked,) = await ended(one, 1)
    one.chat.gate.clear()
    leaving = Outbox(one.store, {"web": one.chat}, one.render, one.board)
    task = asyncio.ensure_future(leaving.run())
    await until(lambda: one.chat.inside == 1)
    assert await two.store.notices(["web"]) == (), "it is held"
    await leaving.drain(0)
    await task
    assert [each.job_id for each in await two.store.notices(["web"])] == [asked.id]


async def test_an_end_that_another_tells_stands_after_the_last_word_of_progress(houses: list[House], monkeypatch: pytest.MonkeyPatch) -> None:
    """The other is quicker, while a word of progress of ours is on its way still: the message says in the end how the job ended."""
    one, two = houses
    asked = await one.running_job()
    placeholder = Receipt(platform="web", channel="c", handle="placeholder")
    await one.store.placed(asked.id, placeholder)
    one.chat.gate.clear()
    async with one.open(poll=3600):
        await asyncio.sleep(0.05)
        one.step(asked, 1)
        await until(lambda: one.chat.inside == 1)
        works = one.store.hold

        async def later(*args: Any) -> Any:
            two.chat = Chat()
            async with two.open():
                await settled(two)
            return await works(*args)

        monkeypatch.setattr(one.store, "hold", later)
        await one.finish(asked)
        await settled(one)
        one.chat.gate.set()
        await until(lambda: len(one.chat.said) == 2)
    assert [each[:3] for each in two.chat.said] == [("show", asked.id, Status.DONE)]
    assert one.chat.said == [("progress", asked.id, Status.RUNNING, placeholder), ("show", asked.id, Status.DONE, placeholder)]


async def test_a_copy_is_brought_by_one_of_them(houses: list[House]) -> None:
    async def wants(job_id: str) -> bool:
        return True

    one, two = houses
    await submit(one.store, job(), user="ada")
    taken = await one.store.claim("w", LEASE)
    assert taken is not None
    async with one.open(wants_copy=wants), two.open(wants_copy=wants):
        await one.finish(taken)
        await settled(one)
    assert one.chat.seen_by == [Visibility.PUBLIC, Visibility.DIRECT]


async def test_where_no_other_process_can_be_nothing_is_held(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqlStore(sqlite_url)
    await store.start()
    house = House(store)
    monkeypatch.delattr(SqlStore, "hold")
    await ended(house, 3)
    async with house.open():
        await settled(house)
    assert house.chat.verbs() == ["show"] * 3
    await store.aclose()


async def test_a_lease_that_ran_out_leaves_the_end_to_the_next(houses: list[House], monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = houses
    (asked,) = await ended(one, 1)
    assert await one.store.hold(asked.id, timedelta(minutes=30)) is not None
    async with two.open():
        await asyncio.sleep(0.2)
        assert two.chat.said == []
        await execute(two.store, "UPDATE notices SET due_at = created_at")
        await settled(two)
    assert two.chat.verbs() == ["show"]
