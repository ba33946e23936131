"""A page that asks again by itself is answered as soon as its job is written down: nothing more is read, and nothing is said before it is written."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from bot.domain import Card, Status
from bot.errors import Fault
from tests.contract.stores import sqlite_url  # noqa: F401  (a fixture)
from tests.fakes.web import Site
from tests.unit.house import ADA, House, open_house


@pytest.fixture
async def house(sqlite_url: str, tmp_path: Path) -> AsyncIterator[House]:  # noqa: F811
    async with open_house(sqlite_url, tmp_path, queue=False) as house:
        yield house


async def briefly(house: House, words: str, delivery: str = "") -> Card:
    return await house.studio.handle(replace(house.command("imagine", words, delivery=delivery), brief=True))


async def test_nothing_is_read_once_it_is_written_down_and_its_card_says_queued_without_a_place(house: House) -> None:
    await briefly(house, "a fox --n 1")  # what is read once is read
    statements: list[str] = []

    def heard(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        statements.append(statement)

    event.listen(house.store.engine, "before_cursor_execute", heard)
    card = await briefly(house, "an owl --n 1")
    event.remove(house.store.engine, "before_cursor_execute", heard)
    assert card.status is Status.QUEUED and card.text == "Queued."
    assert [each for each in statements if each.startswith("BEGIN")][-1] == "BEGIN IMMEDIATE", "the last transaction is the one that wrote it down"
    assert (await house.shown(card)).job.words == "an owl --n 1"


async def test_who_does_not_ask_again_is_told_its_place(house: House) -> None:
    await house.imagine("a fox --n 1")
    assert (await house.imagine("an owl --n 1")).text.startswith("Queued, 2nd, about ")


async def test_the_wallet_is_at_hand_once_as_the_job_has_left_it(house: House) -> None:
    assert house.studio.wallet_at_hand(ADA) is None
    await briefly(house, "a fox --n 1")
    left = house.studio.wallet_at_hand(ADA)
    assert left is not None and round(left.balance, 3) == round((await house.studio.wallet(ADA)).balance, 3) < left.cap
    assert house.studio.wallet_at_hand(ADA) is None, "the next answer reads it: another process may have changed it"


async def test_the_same_delivery_again_is_read_anew(house: House) -> None:
    first = await briefly(house, "a fox --n 1", "twice")
    house.studio.wallet_at_hand(ADA)
    again = await briefly(house, "a fox --n 1", "twice")
    assert again.job_id == first.job_id and again.again and again.text != "Queued." and house.studio.wallet_at_hand(ADA) is None


async def test_nothing_is_said_to_be_queued_that_could_not_be_written_down(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*arguments: Any) -> Any:
        raise Fault("fault.database", detail="away")

    monkeypatch.setattr(house.store, "submit", away)
    card = await briefly(house, "a fox --n 1")
    assert card.status is None and not card.job_id and house.studio.wallet_at_hand(ADA) is None


async def test_the_pages_script_asks_again_and_a_plain_form_does_not() -> None:
    async with Site() as site, site.visitor() as visitor:
        await visitor.post("/imagine", {"text": "a fox"})
        status, text, *_ = await visitor.post("/imagine", {"text": "an owl"}, headers={"Accept": "application/json"})
    assert status == 200 and json.loads(text)["wallet"]
    assert [each.brief for each in site.studio.events] == [False, True]
