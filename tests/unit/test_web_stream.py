"""A page that reads slowly costs one card a job, and misses no end."""

from __future__ import annotations

import asyncio

import pytest

from bot.chat.web.stream import MOST_JOBS, MOST_PAGES, Streams, Subscription
from bot.domain import Card, Status


def card(job: int, status: Status = Status.RUNNING, percent: int = 0) -> Card:
    return Card(title="", job_id=str(job), status=status, percent=percent)


async def everything(page: Subscription) -> list[Card | None]:
    page.close()
    return [one async for one in page]


async def test_newer_progress_takes_the_place_of_older() -> None:
    page = Subscription()
    for percent in range(100):
        page.put(card(1, percent=percent))
    assert await everything(page) == [card(1, percent=99)]


async def test_an_end_is_never_replaced_by_progress_but_by_another_end() -> None:
    page = Subscription()
    page.put(card(1, Status.DONE))
    page.put(card(1, percent=50))
    assert await everything(page) == [card(1, Status.DONE)]
    page = Subscription()
    page.put(card(1, Status.FAILED))
    page.put(card(1, Status.DONE))
    assert await everything(page) == [card(1, Status.DONE)]


async def test_jobs_come_in_the_order_they_first_spoke() -> None:
    page = Subscription()
    for job in (1, 2, 3, 1):
        page.put(card(job, percent=job))
    assert [one.job_id for one in await everything(page) if one] == ["1", "2", "3"]


async def test_a_hopelessly_slow_page_is_told_to_read_again() -> None:
    page = Subscription()
    for job in range(MOST_JOBS + 10):
        page.put(card(job, Status.DONE))
    seen = await everything(page)
    assert seen[0] is None
    assert len(seen) <= 10


async def test_a_page_that_waits_gets_the_next_card_and_the_goodbye() -> None:
    page = Subscription()
    waiting = asyncio.ensure_future(anext(page))
    await asyncio.sleep(0)
    page.put(card(1))
    assert await waiting == card(1)
    ending = asyncio.ensure_future(anext(page))
    await asyncio.sleep(0)
    page.close()
    with pytest.raises(StopAsyncIteration):
        await ending


async def test_cards_go_to_every_page_of_their_member_and_no_other() -> None:
    streams = Streams()
    first, second, other = streams.subscribe("ada"), streams.subscribe("ada"), streams.subscribe("bob")
    streams.push("ada", card(1))
    streams.push("nobody", card(2))
    assert await everything(first) == await everything(second) == [card(1)]
    assert await everything(other) == []


async def test_the_oldest_of_too_many_pages_is_let_go() -> None:
    streams = Streams()
    pages = [streams.subscribe("ada") for _ in range(MOST_PAGES + 1)]
    streams.push("ada", card(1))
    with pytest.raises(StopAsyncIteration):
        await anext(pages[0])
    assert await anext(pages[-1]) == card(1)


async def test_a_page_that_left_is_forgotten_and_may_leave_twice() -> None:
    streams = Streams()
    page = streams.subscribe("ada")
    streams.unsubscribe("ada", page)
    streams.unsubscribe("ada", page)
    streams.push("ada", card(1))
    assert await everything(page) == []
