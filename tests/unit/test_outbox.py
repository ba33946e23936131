"""The outbox over a real store (SQLite), the real board, and a chat that does what each test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from bot.board import Board
from bot.domain import Card, Job, Receipt, ReplyTo, Status, Visibility
from bot.errors import Fault
from bot.outbox import FIRST_DELAY, LONGEST_DELAY, Outbox
from bot.ports import Studio
from bot.store.sql import SqlStore
from engine.api import Progress
from tests.contract.jobs import execute, job, submit

LEASE = timedelta(hours=1)


class Chat:
    """Writes down what it is given, in order; `gate` holds every call while it is closed; `trouble` is raised by the next calls of show."""

    def __init__(self, platform: str = "web") -> None:
        self.platform = platform
        self.said: list[tuple[str, str, Status | None, Receipt | None]] = []  # ("show" or "progress", job id, status, receipt)
        self.seen_by: list[Visibility] = []
        self.trouble: list[BaseException] = []
        self.place: Receipt | None = Receipt(platform=platform, channel="c", handle="message")
        self.gate = asyncio.Event()
        self.gate.set()
        self.inside = self.most = 0

    async def start(self, studio: Studio) -> None: ...

    async def pause(self) -> None: ...

    async def aclose(self) -> None: ...

    async def show(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None) -> Receipt | None:
        self.seen_by.append(card.visibility)
        await self._say("show", card, receipt)
        if self.trouble:
            raise self.trouble.pop(0)
        return self.place

    async def progress(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None) -> None:
        await self._say("progress", card, receipt)

    async def _say(self, verb: str, card: Card, receipt: Receipt | None) -> None:
        self.said.append((verb, card.job_id, card.status, receipt))
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await self.gate.wait()
        finally:
            self.inside -= 1

    def verbs(self) -> list[str]:
        return [verb for verb, *_ in self.said]


class House:
    """A store, a board, a chat and an outbox between them."""

    def __init__(self, store: SqlStore) -> None:
        self.store, self.board, self.chat = store, Board(), Chat()

    async def render(self, job_id: str) -> Card:
        job = (await self.store.shown(job_id)).job
        return Card(title=job.words, job_id=job_id, status=job.status)

    @asynccontextmanager
    async def open(self, **options: Any) -> AsyncIterator[Outbox]:
        defaults: dict[str, Any] = {"poll": 0.05, "interval": 0.01, "jitter": lambda: 0.0}
        outbox = Outbox(self.store, {"web": self.chat}, self.render, self.board, **(defaults | options))
        task = asyncio.ensure_future(outbox.run())
        try:
            yield outbox
        finally:
            self.chat.gate.set()
            await outbox.drain(20)
            await task

    async def owed(self) -> int:
        [(count,)] = await execute(self.store, "SELECT count(*) FROM notices WHERE told_at IS NULL")
        assert isinstance(count, int)
        return count

    async def running_job(self) -> Job:
        (asked,) = (await submit(self.store, job())).jobs
        taken = await self.store.claim("w", LEASE)
        assert taken is not None and taken.id == asked.id
        return taken

    def step(self, job: Job, step: int) -> None:
        self.board.update(job.id, job.actor.key, Progress(step=step, of=20))

    async def finish(self, job: Job) -> None:
        """As the workshop does."""
        await self.store.finish("w", job.id, (), 0.0)
        self.board.forget(job.id)
        self.board.changed(job.id, job.actor.key)


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.outbox.LONGEST_DELAY", 0.02)


@pytest.fixture
async def house(sqlite_url: str) -> AsyncIterator[House]:
    store = SqlStore(sqlite_url)
    await store.start()
    yield House(store)
    await store.aclose()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while True:
            found = condition()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.01)


async def settled(house: House) -> None:
    async def nothing_owed() -> bool:
        return await house.owed() == 0

    await until(nothing_owed)


async def test_an_end_is_shown_once_placed_and_told(house: House) -> None:
    (one,) = (await submit(house.store, job())).jobs
    async with house.open():
        await house.store.cancel(one.id)
        await settled(house)
        await asyncio.sleep(0.2)
    assert house.chat.said == [("show", one.id, Status.CANCELLED, None)]
    assert (await house.store.reply_to(one.id))[1] == house.chat.place


async def test_however_often_it_is_called_it_looks_now_and_then_and_at_once_when_it_is_to_leave(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.outbox.GLANCE", 3600.0)
    looks = 0
    notices = house.store.notices

    async def counted(*arguments: Any) -> Any:
        nonlocal looks
        looks += 1
        return await notices(*arguments)

    monkeypatch.setattr(house.store, "notices", counted)
    (one,) = (await submit(house.store, job())).jobs
    async with house.open() as outbox:
        await until(lambda: looks == 1)
        for _ in range(50):
            outbox.wake()
            await asyncio.sleep(0)
        await house.store.cancel(one.id)
        assert looks == 1
    assert looks > 1 and house.chat.said == [("show", one.id, Status.CANCELLED, None)]


async def test_what_was_owed_before_the_start_is_shown(house: House) -> None:
    for each in (await submit(house.store, *(job() for _ in range(3)))).jobs:
        await house.store.cancel(each.id)
    async with house.open(poll=3600):
        await settled(house)
    assert house.chat.verbs() == ["show"] * 3


async def test_a_change_on_the_board_wakes_the_sender(house: House) -> None:
    async with house.open(poll=3600):
        await asyncio.sleep(0.05)
        await house.finish(await house.running_job())
        await settled(house)
    assert house.chat.verbs() == ["show"]


async def test_the_card_edits_what_was_posted_before(house: House) -> None:
    one = await house.running_job()
    placeholder = Receipt(platform="web", channel="c", handle="placeholder")
    await house.store.placed(one.id, placeholder)
    async with house.open():
        await house.finish(one)
        await settled(house)
    assert house.chat.said == [("show", one.id, Status.DONE, placeholder)]


async def test_a_card_that_cannot_be_shown_is_tried_until_it_can(house: House) -> None:
    house.chat.trouble = [ConnectionError("down"), TimeoutError(), ValueError("a bug"), Fault("fault.chat")]
    (one,) = (await submit(house.store, job())).jobs
    async with house.open():
        await house.store.cancel(one.id)
        await settled(house)
    assert house.chat.verbs() == ["show"] * 5


async def test_one_members_trouble_does_not_hold_up_the_next(house: House) -> None:
    house.chat.trouble = [ConnectionError("down")]
    one, two = (await submit(house.store, job(), job())).jobs
    await house.store.cancel(one.id)
    await house.store.cancel(two.id)
    async with house.open():
        await settled(house)
    assert [job_id for _, job_id, _, _ in house.chat.said] == [one.id, two.id, one.id]


async def test_a_place_that_is_gone_for_good_is_not_asked_again(house: House) -> None:
    house.chat.place = None
    (one,) = (await submit(house.store, job())).jobs
    await house.store.cancel(one.id)
    async with house.open():
        await settled(house)
    assert len(house.chat.said) == 1
    assert (await house.store.reply_to(one.id))[1] is None


async def test_a_job_that_was_deleted_meanwhile_is_not_shown(house: House) -> None:
    (one,) = (await submit(house.store, job())).jobs
    await house.store.cancel(one.id)
    await execute(house.store, "UPDATE jobs SET deleted_at = ended_at")
    async with house.open():
        await settled(house)
    assert house.chat.said == []


async def test_a_platform_that_is_off_keeps_what_it_is_owed(house: House) -> None:
    (one,) = (await submit(house.store, job(), platform="slack")).jobs
    await house.store.cancel(one.id)
    async with house.open():
        await asyncio.sleep(0.1)
    assert house.chat.said == []
    assert len(await house.store.notices(["slack"])) == 1


async def test_an_outage_of_the_database_is_waited_out(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    works, left = house.store.notices, [3]

    async def flaky(*args: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise Fault("fault.database", detail="gone")
        return await works(*args)

    monkeypatch.setattr(house.store, "notices", flaky)
    (one,) = (await submit(house.store, job())).jobs
    await house.store.cancel(one.id)
    async with house.open():
        await settled(house)
    assert house.chat.verbs() == ["show"]


async def test_a_drain_flushes_what_is_owed(house: House) -> None:
    async with house.open(poll=3600):
        await asyncio.sleep(0.05)
        (one,) = (await submit(house.store, job())).jobs
        await house.store.cancel(one.id)
    assert house.chat.verbs() == ["show"]


async def test_a_drain_does_not_wait_for_ever(house: House) -> None:
    (one,) = (await submit(house.store, job())).jobs
    await house.store.cancel(one.id)
    house.chat.gate.clear()
    outbox = Outbox(house.store, {"web": house.chat}, house.render, house.board)
    task = asyncio.ensure_future(outbox.run())
    await until(lambda: house.chat.inside == 1)
    async with asyncio.timeout(20):
        await outbox.drain(0)
        await task
    assert await house.owed() == 1


async def test_delays_double_up_to_a_limit_and_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.outbox.LONGEST_DELAY", LONGEST_DELAY)
    low, high = (Outbox(None, {}, None, Board(), jitter=lambda j=j: j) for j in (0.0, 0.999))  # type: ignore[arg-type, misc]
    assert [low.delay(attempt) for attempt in (1, 2, 3)] == [FIRST_DELAY / 2, FIRST_DELAY, FIRST_DELAY * 2]
    assert low.delay(10_000) == LONGEST_DELAY / 2
    assert high.delay(1) > low.delay(2)


# ------------------------------------------------------------------------------------------------ progress


async def test_progress_is_shown_while_it_runs_and_the_end_comes_last(house: House) -> None:
    one = await house.running_job()
    async with house.open():
        await asyncio.sleep(0.05)
        for step in range(1, 21):
            house.step(one, step)
            await asyncio.sleep(0.005)
        await house.finish(one)
        await settled(house)
        house.step(one, 20)  # a straggler
        await asyncio.sleep(0.1)
    verbs = house.chat.verbs()
    assert verbs.count("show") == 1 and verbs[-1] == "show"
    assert 1 <= verbs.count("progress") <= 20


async def test_progress_is_coalesced_to_one_message_in_flight_a_job(house: House) -> None:
    one = await house.running_job()
    house.chat.gate.clear()
    async with house.open():
        await asyncio.sleep(0.05)
        house.step(one, 1)
        await until(lambda: house.chat.inside == 1)
        for step in range(2, 21):
            house.step(one, step)
            await asyncio.sleep(0.005)
        assert len(house.chat.said) == 1
        house.chat.gate.set()
        await until(lambda: len(house.chat.said) == 2)
        await asyncio.sleep(0.1)
        assert house.chat.verbs() == ["progress", "progress"]  # the first, and the newest
    assert house.chat.most == 1


async def test_an_end_waits_for_the_progress_that_is_on_its_way(house: House) -> None:
    one = await house.running_job()
    house.chat.gate.clear()
    async with house.open():
        await asyncio.sleep(0.05)
        house.step(one, 1)
        await until(lambda: house.chat.inside == 1)
        await house.finish(one)
        await asyncio.sleep(0.2)
        assert house.chat.verbs() == ["progress"]
        house.chat.gate.set()
        await settled(house)
    assert house.chat.verbs() == ["progress", "show"]
    assert house.chat.most == 1


async def test_an_interval_keeps_progress_rare_and_does_not_delay_the_end(house: House) -> None:
    one = await house.running_job()
    async with house.open(interval=0.01, intervals={"web": 3600.0}):
        await asyncio.sleep(0.05)
        for step in range(1, 21):
            house.step(one, step)
            await asyncio.sleep(0.01)
        await house.finish(one)
        await settled(house)
    assert house.chat.verbs() == ["progress", "show"]


async def test_progress_that_fails_is_forgotten(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    one = await house.running_job()
    calls: list[int] = []

    async def broken(*args: Any) -> None:
        calls.append(1)
        raise ConnectionError("down")

    monkeypatch.setattr(house.chat, "progress", broken)
    async with house.open():
        await asyncio.sleep(0.05)
        house.step(one, 1)
        await until(lambda: len(calls) == 1)
        house.step(one, 2)
        await until(lambda: len(calls) == 2)
        await house.finish(one)
        await settled(house)
    assert house.chat.verbs() == ["show"]


async def test_who_likes_letters_gets_a_copy_and_others_none(house: House):
    async def wants(job_id: str) -> bool:
        return (await house.store.shown(job_id)).job.words == "a letter"

    for words, expected in (("a letter", [Visibility.PUBLIC, Visibility.DIRECT]), ("no letter", [Visibility.PUBLIC])):
        await submit(house.store, job(words=words), user="ada")
        taken = await house.store.claim("w", LEASE)
        assert taken is not None
        house.chat.seen_by.clear()
        async with house.open(wants_copy=wants):
            await house.finish(taken)
        assert house.chat.seen_by == expected and not await house.owed()


async def test_a_letter_that_cannot_be_brought_holds_nothing_up(house: House):
    async def wants(job_id: str) -> bool:
        house.chat.trouble.append(RuntimeError("this member takes no letters"))
        return True

    await submit(house.store, job(), user="ada")
    taken = await house.store.claim("w", LEASE)
    assert taken is not None
    async with house.open(wants_copy=wants):
        await house.finish(taken)
    assert house.chat.seen_by == [Visibility.PUBLIC, Visibility.DIRECT] and not await house.owed()
