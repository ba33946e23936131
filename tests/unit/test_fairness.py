"""The fairness figure: what is compared is the same flood, by our queue and by one that takes who came first. How long anything takes is not looked at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from benchmarks import fairness
from bot.domain import Actor, Job, Place
from engine.api import ImagineRequest, Part
from engine.fake import FakeEngine

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


def narrow() -> FakeEngine:
    """One picture at a time."""
    return FakeEngine(max_rows=1)


async def test_who_asks_for_one_picture_is_not_passed_by_the_flood_that_a_first_come_queue_puts_before_them() -> None:
    found = await fairness.measure(narrow, flood=12, others=3, apart=0.0)

    assert found["first_come"]["passed_by_most"] >= 8  # nearly all of the flood: a few had begun before
    assert found["fair"]["passed_by_most"] <= 2  # what the engine was being handed when they came


@pytest.mark.parametrize("kind", fairness.SIDES.values(), ids=fairness.SIDES)
async def test_both_queues_draw_every_job(kind: type, tmp_path: Path) -> None:
    engine = narrow()
    await fairness.waits(kind, engine, tmp_path, flood=4, others=2, apart=0.0)
    await engine.aclose()

    assert len(engine.seen) == 6


def test_a_wait_is_from_the_acceptance_to_the_beginning_and_counts_whom_it_let_pass() -> None:
    crowd = [_ended(0, began) for began in (0, 1, 2, 9)]

    found = fairness.figures(crowd, [_ended(1, 3), _ended(1.5, 10)])

    assert (found["wait_median_s"], found["wait_most_s"]) == (5.25, 8.5)
    assert (found["passed_by_median"], found["passed_by_most"]) == (2, 2)
    assert found["all_drawn_s"] == 11


def _ended(asked: float, began: float) -> Job:
    def after(seconds: float) -> datetime:
        return BEGUN + timedelta(seconds=seconds)

    return Job(
        id="0" * 26,
        request=ImagineRequest(model="fake", parts=(Part(text="a fox"),), seed=1, width=128, height=128, steps=8, guidance=5.0),
        words="a fox",
        actor=Actor(platform="web", id="ada"),
        place=Place(platform="web"),
        cost=1.0,
        created_at=after(asked),
        started_at=after(began),
        ended_at=after(began + 1),
    )
