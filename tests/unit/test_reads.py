"""What one command costs the store: statements, counted at the database. They are most of what an answer takes when many come at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from bot.domain import Status, Style
from bot.drawing import may_name_style
from bot.prompts.words import Words
from tests.unit.house import ADA, House, open_house


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Nothing is drawn, so that every statement is the command's."""
    async with open_house(f"sqlite:///{tmp_path / 'bot.db'}", tmp_path, queue=False) as opened:
        await opened.imagine("an owl")  # everybody's preferences are at hand now
        yield opened


@contextmanager
def statements(house: House) -> Iterator[list[str]]:
    """All that reach the database meanwhile."""
    seen: list[str] = []

    def see(connection: Any, cursor: Any, statement: str, *more: Any) -> None:
        seen.append(statement)

    event.listen(house.store.engine, "before_cursor_execute", see)
    try:
        yield seen
    finally:
        event.remove(house.store.engine, "before_cursor_execute", see)


def reads(seen: list[str], table: str) -> int:
    return sum(f"FROM {table}" in statement for statement in seen)


async def test_a_plain_command_writes_the_job_down_and_reads_nothing_but_its_place(house: House) -> None:
    with statements(house) as seen:
        await house.imagine("a red fox --n 1")

    assert reads(seen, "styles") == 0
    assert reads(seen, "preferences") == 1  # whether the house is paused: asked each time, so that nobody takes anything after the word
    assert reads(seen, "artifacts") == 0  # a job that was written down just now has none
    assert len(seen) <= 18, seen


async def test_saved_styles_are_read_when_the_words_may_name_one(house: House) -> None:
    await house.store.save_style(Style(name="mine", words="made of glass", owner=ADA.key))

    with statements(house) as seen:
        card = await house.imagine("a fox --STYLE mine")

    assert reads(seen, "styles") == 1
    assert "made of glass" in (await house.shown(card)).job.request.parts[0].text  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "words", ["a fox --style ink", "a fox --{style ink,n 2}", "a fox __how__", "a fox —ＳＴＹＬＥ ink", "a fox --st\u200byle ink", "a fox --st\\yle ink"]
)
def test_whatever_may_come_to_a_style_counts(words: str) -> None:
    assert may_name_style([words], ())


@pytest.mark.parametrize("words", ["", "a fox in the snow", "a fox --n 2 --ar 3:2 --no trees"])
def test_most_words_name_no_style(words: str) -> None:
    assert not may_name_style([words], (Words(),))


def test_a_style_that_is_preferred_counts() -> None:
    assert may_name_style(["a fox"], (Words(), Words(style="ink")))


async def test_a_style_of_a_named_set_is_still_found(house: House) -> None:
    await house.store.save_style(Style(name="mine", words="made of glass", owner=ADA.key))
    await house.studio.wishes.change(ADA.key, {"sets": {"shiny": "--style mine"}})

    card = await house.imagine("a fox --shiny")

    assert card.status is Status.QUEUED, card
    assert "made of glass" in (await house.shown(card)).job.request.parts[0].text  # type: ignore[union-attr]
