"""The board: progress coalesces, ends are kept, a slow reader costs nothing."""

from __future__ import annotations

import asyncio

import pytest

from bot import board as module
from bot.board import Board
from engine.api import Progress


async def drained(reader: module.Subscription) -> list[str]:
    """What is pending, without waiting for more."""
    reader.close()
    return [each async for each in reader]


def step(number: int, preview: bytes | None = None) -> Progress:
    return Progress(step=number, of=10, preview=preview)


async def test_live_keeps_the_newest_step_and_the_last_preview():
    board = Board()
    assert board.live("a") is None
    board.update("a", "web:1", step(1, b"one"))
    board.update("a", "web:1", step(2))
    assert board.live("a") == (2, 10, b"one")
    board.forget("a")
    board.forget("a")
    assert board.live("a") is None


async def test_many_steps_are_one_line_to_a_slow_reader():
    board = Board()
    reader = board.subscribe("web:1")
    for number in range(1000):
        board.update("a", "web:1", step(number))
        board.update("b", "web:1", step(number))
    assert await drained(reader) == ["a", "b"]


async def test_a_reader_hears_of_its_own_actor_alone_and_nobody_of_all():
    board = Board()
    mine, everybodys = board.subscribe("web:1"), board.subscribe(None)
    board.changed("a", "web:1")
    board.changed("b", "web:2")
    assert await drained(mine) == ["a"]
    assert await drained(everybodys) == ["a", "b"]


async def test_a_waiting_reader_is_woken():
    board = Board()
    reader = board.subscribe(None)
    waiting = asyncio.ensure_future(anext(reader))
    await asyncio.sleep(0)
    board.changed("a", "web:1")
    assert await waiting == "a"
    await reader.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(reader)


async def test_progress_is_dropped_before_an_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MAX_PENDING", 10)
    board = Board()
    reader = board.subscribe(None)
    board.changed("end", "web:1")
    for number in range(50):
        board.update(f"job {number}", "web:1", step(1))
    pending = await drained(reader)
    assert len(pending) == 10
    assert pending[0] == "end"


async def test_a_reader_hopelessly_behind_is_let_go_rather_than_robbed_of_an_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MAX_PENDING", 10)
    board = Board()
    reader = board.subscribe(None)
    for number in range(50):
        board.changed(f"job {number}", "web:1")
    assert [each async for each in reader] == [f"job {number}" for number in range(11)]


async def test_a_closed_reader_is_forgotten():
    board = Board()
    reader = board.subscribe(None)
    await reader.aclose()
    board.changed("a", "web:1")
    assert not board._readers
    assert [each async for each in reader] == []
