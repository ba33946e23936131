"""One writer at a time for each answer, and what the second one finds out."""

from __future__ import annotations

import asyncio
import gc

import pytest

from bot.chat import turns
from bot.chat.turns import Turns
from bot.domain import Card, Receipt, Status


def card(status: Status | None, job_id: str = "job") -> Card:
    return Card(title="a fox", job_id=job_id, status=status)


def at(handle: str) -> Receipt:
    return Receipt(platform="discord", channel="art", handle=handle)


async def test_the_turns_of_one_event_come_one_after_the_other_in_the_order_they_were_asked_for():
    line, told = Turns(), list[str]()

    async def write(name: str) -> None:
        async with line.turn("delivery"):
            told.append(f"{name} begins")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            told.append(f"{name} ends")

    await asyncio.gather(*(write(name) for name in "abc"))
    assert told == ["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]


async def test_two_events_do_not_wait_for_each_other():
    line = Turns()
    async with line.turn("one"), asyncio.timeout(5), line.turn("other"):
        pass


async def test_a_turn_is_given_back_when_its_writer_fails_or_is_cancelled():
    line = Turns()
    with pytest.raises(ConnectionError):
        async with line.turn("delivery"):
            raise ConnectionError
    held = asyncio.Event()

    async def hold() -> None:
        async with line.turn("delivery"):
            held.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    await held.wait()
    waiting = asyncio.create_task(hold())
    await asyncio.sleep(0)
    waiting.cancel()
    task.cancel()
    await asyncio.wait({task, waiting})
    async with asyncio.timeout(5), line.turn("delivery"):
        pass


async def test_who_waits_still_waits_when_the_first_writer_has_come_and_gone():
    """The lock lives as long as somebody holds it or waits for it: a third one must not get a new one."""
    line, inside, told = Turns(), asyncio.Semaphore(1), list[bool]()

    async def write() -> None:
        async with line.turn("delivery"):
            told.append(not inside.locked())
            async with inside:
                gc.collect()
                await asyncio.sleep(0)

    first = asyncio.create_task(write())
    second = asyncio.create_task(write())
    await first
    third = asyncio.create_task(write())
    await asyncio.gather(second, third)
    assert told == [True, True, True]


async def test_nothing_is_kept_of_a_turn_that_is_over():
    line = Turns()
    for number in range(100):
        async with line.turn(f"delivery {number}"):
            pass
    gc.collect()
    assert not len(line._locks)


def test_a_card_stands_where_it_was_written_last():
    line = Turns()
    assert line.place("job") is None
    line.stands(card(Status.QUEUED), at("first"))
    line.stands(card(Status.RUNNING), at("second"))
    line.stands(card(Status.RUNNING, "another"), at("elsewhere"))
    assert line.place("job") == at("second")
    line.stands(card(Status.RUNNING), None)
    assert line.place("job") is None, "nobody can see where"


@pytest.mark.parametrize("end", [status for status in Status if status.ended])
def test_after_an_end_was_shown_everything_before_it_is_stale(end: Status):
    line = Turns()
    line.stands(card(Status.RUNNING), at("m"))
    assert not line.stale(card(Status.RUNNING))
    line.stands(card(end), at("m"))
    assert line.stale(card(Status.RUNNING)) and line.stale(card(Status.QUEUED))
    assert not line.stale(card(end)), "the end may be shown again"
    assert not line.stale(card(Status.RUNNING, "another"))


def test_a_card_of_no_job_is_nowhere_and_never_stale():
    line = Turns()
    line.stands(card(Status.DONE, ""), at("m"))
    assert line.place("") is None
    assert not line.stale(card(None, ""))


def test_only_the_newest_jobs_are_remembered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(turns, "REMEMBERED", 3)
    line = Turns()
    for name in ("a", "b", "c"):
        line.stands(card(Status.DONE, name), at(name))
    line.stands(card(Status.DONE, "a"), at("a again"))  # newest now
    line.stands(card(Status.DONE, "d"), at("d"))
    assert [line.place(name) for name in "abcd"] == [at("a again"), None, at("c"), at("d")]
    assert [line.stale(card(Status.RUNNING, name)) for name in "abcd"] == [True, False, True, True]
