"""Cards that have to wait, cannot be rendered or are refused: nobody else waits for them, no end is dropped, and nothing is asked for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.chat.slack import trouble
from bot.domain import Card, Receipt, ReplyTo, Said, Status
from bot.errors import Fault
from bot.messages import Catalogues
from bot.outbox import CARDS, refused
from bot.plain import plain_cards
from bot.store.sql import SqlStore
from tests.contract.jobs import job, submit
from tests.unit.test_outbox import Chat, House, settled, until


def slack_says(error: str, status: int = 200) -> SlackApiError:
    """What the SDK raises when Slack answers so."""
    data: dict[str, Any] = {"ok": False, "error": error}
    answer = AsyncSlackResponse(client=None, http_verb="POST", api_url="", req_args={}, data=data, headers={}, status_code=status)
    return SlackApiError("Slack refuses", answer)  # type: ignore[no-untyped-call]


class Stubborn(Chat):
    """Refuses, or holds back, the cards of some jobs."""

    def __init__(self) -> None:
        super().__init__()
        self.holds: dict[str, asyncio.Event] = {}
        self.refuses: dict[str, BaseException] = {}
        self.titles: list[str] = []

    async def show(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None) -> Receipt | None:
        if card.job_id in self.holds:
            await self.holds[card.job_id].wait()
        placed = await super().show(reply_to, card, receipt)
        if card.job_id in self.refuses:
            raise self.refuses[card.job_id]
        self.titles.append(card.title)
        return placed


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.outbox.LONGEST_DELAY", 0.02)
    monkeypatch.setattr("bot.outbox.LONGEST_REST", 0.02)


@pytest.fixture
async def house(sqlite_url: str) -> AsyncIterator[House]:
    store = SqlStore(sqlite_url)
    await store.start()
    house = House(store)
    house.chat = Stubborn()
    yield house
    await store.aclose()


async def ended(house: House, count: int) -> list[str]:
    """Jobs whose end is owed, by their ids, oldest first."""
    jobs = [(await submit(house.store, job(words=f"fox {number}"))).jobs[0] for number in range(count)]
    for each in jobs:
        await house.store.cancel(each.id)
    return [each.id for each in jobs]


def stubborn(house: House) -> Stubborn:
    assert isinstance(house.chat, Stubborn)
    return house.chat


async def test_a_card_that_waits_for_a_long_limit_holds_up_nobody_elses(house: House) -> None:
    chat = stubborn(house)
    slow, *others = await ended(house, 5)
    chat.holds[slow] = asyncio.Event()
    async with house.open():
        await until(lambda: len(chat.titles) == 4)

        async def only_the_slow_one_is_owed() -> bool:
            return await house.owed() == 1

        await until(only_the_slow_one_is_owed)
        chat.holds[slow].set()
        await settled(house)
    assert sorted(job_id for _, job_id, _, _ in chat.said) == sorted([slow, *others])


async def test_only_so_many_are_shown_at_once_and_all_get_their_turn(house: House) -> None:
    ids = await ended(house, CARDS + 5)
    house.chat.gate.clear()
    async with house.open():
        await until(lambda: house.chat.inside == CARDS)
        house.chat.gate.set()
        await settled(house)
    assert house.chat.most == CARDS
    assert sorted(job_id for _, job_id, _, _ in house.chat.said) == sorted(ids)


async def test_more_than_the_store_tells_of_at_once_are_all_shown_once(house: House) -> None:
    ids = await ended(house, 70)
    async with house.open(poll=3600):
        await settled(house)
    assert sorted(job_id for _, job_id, _, _ in house.chat.said) == sorted(ids)


async def test_a_card_that_cannot_be_rendered_is_shown_plainly_in_the_end(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, good = await ended(house, 2)
    works = house.render

    async def render(job_id: str) -> Card:
        if job_id == broken:
            raise KeyError("a mistake of ours")
        return await works(job_id)

    monkeypatch.setattr(house, "render", render)
    async with house.open(plain=plain_cards(house.store, Catalogues.load())):
        await settled(house)
    assert stubborn(house).titles == ["fox 1", "Cancelled. Nothing was charged."]
    assert [job_id for _, job_id, _, _ in house.chat.said] == [good, broken]


async def test_a_plain_card_says_how_it_ended(house: House) -> None:
    plain = plain_cards(house.store, Catalogues.load())
    done, failed = (await submit(house.store, job(), job(private=True))).jobs
    for _ in range(2):
        await house.store.claim("w", timedelta(hours=1))
    await house.store.finish("w", done.id, (), 0.0)
    await house.store.fail("w", failed.id, Said(message="error.poison"))
    card = await plain(done.id)
    assert card.title == f"Drawn, but its card could not be shown here. /show {done.id} shows it." and card.status is Status.DONE
    assert (await plain(failed.id)).title.startswith("This one failed again and again.")


async def test_a_refusal_nobody_knows_is_not_asked_for_ever(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.outbox.GIVE_UP_AFTER", 5)
    refused_one, good = await ended(house, 2)
    stubborn(house).refuses[refused_one] = slack_says("a_word_nobody_has_heard_of")
    async with house.open():
        await settled(house)
        await asyncio.sleep(0.1)
    asked = [job_id for _, job_id, _, _ in house.chat.said]
    assert asked.count(refused_one) == 5 and asked.count(good) == 1


async def test_a_platform_that_is_down_however_long_is_told_in_the_end(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.outbox.GIVE_UP_AFTER", 2)
    await ended(house, 1)
    house.chat.trouble = [ConnectionError("down"), slack_says("service_unavailable", 503), TimeoutError(), slack_says("ratelimited", 429)] * 3
    async with house.open():
        await settled(house)
    assert len(house.chat.said) == 13 and stubborn(house).titles == ["fox 0"]


async def test_what_was_shown_while_the_database_was_away_is_not_shown_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    away = {"placed": 3, "told": 3}

    def flaky(verb: str) -> Any:
        works = getattr(house.store, verb)

        async def attempt(*args: Any) -> Any:
            if away[verb]:
                away[verb] -= 1
                raise Fault("error.disk_full", detail="gone")
            return await works(*args)

        return attempt

    for verb in away:
        monkeypatch.setattr(house.store, verb, flaky(verb))
    (one,) = await ended(house, 1)
    async with house.open():
        await settled(house)
    assert away == {"placed": 0, "told": 0}
    assert len(house.chat.said) == 1
    assert (await house.store.reply_to(one))[1] == house.chat.place


async def test_progress_that_cannot_be_rendered_ends_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    works, failed = house.render, [0]

    async def render(job_id: str) -> Card:
        card = await works(job_id)
        if card.status is Status.RUNNING:
            failed[0] += 1
            raise ZeroDivisionError("a mistake of ours")
        return card

    monkeypatch.setattr(house, "render", render)
    one = await house.running_job()
    async with house.open():
        await asyncio.sleep(0.05)
        house.step(one, 1)
        await until(lambda: failed[0])
        await house.finish(one)
        await settled(house)
    assert house.chat.verbs() == ["show"]


@pytest.mark.parametrize(
    ("error", "is_refusal"),
    [
        (slack_says("a_word_nobody_has_heard_of"), True),
        (slack_says("ratelimited", 429), False),
        (slack_says("internal_error", 500), False),
        (aiohttp.ServerDisconnectedError(), False),
        (ConnectionResetError(), False),
        (TimeoutError(), False),
        (trouble.Later("not yet"), False),
        (Fault("fault.database"), False),
        (KeyError("a mistake of ours"), True),
        (ValueError("another"), True),
    ],
    ids=repr,
)
def test_what_waiting_mends_is_no_refusal(error: Exception, is_refusal: bool) -> None:
    assert refused(error) is is_refusal
