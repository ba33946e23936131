"""What requests cost."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import limits
from bot.domain import Actor
from engine.api import Capabilities, Effort, MorphRequest, Part, Request, UpscaleRequest
from tests.contract.jobs import imagine

POCKET = Capabilities(
    model="pocket",
    title="Pocket",
    licence="MIT",
    operations=frozenset({"imagine", "source", "upscale"}),
    width=128,
    height=128,
    multiple=8,
    min_edge=64,
    max_edge=512,
    steps=20,
    max_steps=100,
    guidance=3.0,
    max_guidance=20.0,
    max_count=9,
    schedulers=(),
)
GRID = imagine(width=128, height=128, steps=20, guidance=3.0, count=4)


def work(request: Request, capabilities: Capabilities = POCKET) -> float:
    return limits.megapixel_steps(request, capabilities)


def test_a_default_grid_costs_one_credit_whatever_the_model() -> None:
    assert limits.cost(GRID, POCKET) == 1.0
    large = replace(POCKET, width=1024, height=1024, steps=30)
    assert limits.cost(replace(GRID, width=1024, height=1024, steps=30), large) == 1.0
    turbo = replace(POCKET, steps=4, guidance=1.0)
    assert limits.cost(replace(GRID, steps=4, guidance=1.0), turbo) == 1.0


def test_a_default_grid_is_drawn_in_the_models_usual_way() -> None:
    swift = replace(POCKET, quick=Effort(steps=4))
    assert limits.cost(replace(GRID, steps=4, guidance=1.0), swift) == 1.0
    assert limits.cost(GRID, swift) == 10.0


@pytest.mark.parametrize(
    ("changes", "credits"),
    [
        ({"count": 1}, 0.25),
        ({"steps": 40}, 2.0),
        ({"width": 256}, 2.0),
        ({"guidance": 1.0}, 0.5),
        ({"guidance": 12.0}, 1.0),
        ({"source": "a" * 64, "strength": 0.5}, 0.5),
        ({"stop": 0.5}, 0.5),
        ({"best_of": 8}, 2.0),
        ({"source": "a" * 64, "strength": 0.5, "stop": 0.5}, 0.25),
        ({"strength": 0.5}, 1.0),  # means nothing without a source
    ],
)
def test_everything_else_is_in_proportion(changes: dict[str, object], credits: float) -> None:
    assert limits.cost(replace(GRID, **changes), POCKET) == credits  # type: ignore[arg-type]


def test_a_dearer_model_costs_its_factor() -> None:
    assert limits.cost(GRID, replace(POCKET, cost_factor=2.5)) == 2.5


def test_an_upscale_costs_little_and_four_times_more_for_twice_the_factor() -> None:
    def price(factor: int) -> float:
        return limits.cost(UpscaleRequest(model="pocket", source="a" * 64, factor=factor, width=128, height=128), POCKET)

    assert 0 < price(2) < price(4) < limits.cost(GRID, POCKET)
    assert price(4) == pytest.approx(4 * price(2), abs=4 * limits.QUANTUM)  # both are rounded up


def test_finishing_a_picture_is_part_of_its_price() -> None:
    finished = replace(POCKET, finish=4)
    raw, shown = limits.cost(GRID, finished), limits.cost(replace(GRID, enlarge=4), finished)
    assert raw < shown == 1.0
    assert limits.cost(replace(GRID, enlarge=4), POCKET) > limits.cost(GRID, POCKET) == 1.0
    best = work(replace(GRID, enlarge=4, best_of=8)) - work(replace(GRID, best_of=8))
    assert best == pytest.approx(work(replace(GRID, enlarge=4)) - work(GRID))  # only what is kept is enlarged


def test_a_clip_of_a_picture_costs_the_steps_it_runs_and_each_frame_it_enlarges() -> None:
    words = (Part(text="a fox"),)
    clip = MorphRequest(model="pocket", before=words, after=words, width=128, height=128, frames=8, steps=20, guidance=3.0, strength=0.3)
    whole = work(clip)
    assert whole == pytest.approx(2 * work(GRID))  # strength means nothing without a source
    moving = replace(clip, source="a" * 64)
    assert work(moving) == pytest.approx(0.3 * whole)
    assert work(replace(moving, strength=0.0)) == pytest.approx(whole / 20)  # a step is the least there is
    each = (work(replace(moving, enlarge=4)) - work(moving)) / 8
    assert each == pytest.approx((work(replace(GRID, enlarge=4)) - work(GRID)) / 4)


@pytest.mark.parametrize("factor", [2, 4])
def test_a_creative_upscale_of_a_finished_picture_is_drawn_and_paid_at_the_models_own_scale(factor: int) -> None:
    plain = UpscaleRequest(model="pocket", source="a" * 64, factor=factor, width=512, height=512)
    creative = replace(plain, creative=True, parts=(Part(text="a fox"),), steps=20, guidance=3.0, strength=0.5)
    raw, finished = (work(each, replace(POCKET, finish=finish)) for each, finish in ((creative, 1), (creative, 4)))
    enlarged = work(plain)
    assert raw - enlarged == pytest.approx(512 * 512 * factor**2 / 1e6 * 10)
    assert finished - enlarged == pytest.approx((raw - enlarged) / 16)
    small = replace(creative, width=128, height=128)  # as it was drawn: nobody has finished it
    assert work(small, replace(POCKET, finish=4)) == work(small)


@pytest.mark.parametrize("count", [1, 2, 4, 9])
def test_a_relaxed_job_costs_half_and_asks_as_much_of_the_device(count: int) -> None:
    request = replace(GRID, count=count)
    full = limits.cost(request, POCKET)
    assert limits.price(request, POCKET, relaxed=False) == full
    half = limits.price(request, POCKET, relaxed=True)
    assert half == full / 2
    assert limits.work(half, True) == limits.work(full, False) == full


def test_the_least_there_is_still_costs_something() -> None:
    least = replace(GRID, count=1, steps=1, width=8, height=8)
    assert limits.cost(least, POCKET) == limits.price(least, POCKET, relaxed=True) == limits.QUANTUM


def test_a_credit_takes_the_time_of_a_default_grid() -> None:
    assert limits.seconds_per_credit(POCKET, pace=2.0) == pytest.approx(128 * 128 / 1e6 * 20 * 4 * 2.0)
    dear = replace(POCKET, cost_factor=4.0)
    assert limits.cost(GRID, dear) * limits.seconds_per_credit(dear, pace=2.0) == pytest.approx(limits.seconds_per_credit(POCKET, pace=2.0))


def test_the_defaults_let_a_member_use_what_the_grammar_offers() -> None:
    dearest = limits.cost(replace(GRID, count=9, steps=POCKET.max_steps), POCKET)
    assert limits.DEFAULTS.cap >= dearest
    assert limits.DEFAULTS.per_hour > 0
    assert limits.DEFAULTS.queued_total > limits.DEFAULTS.queued_per_actor > 1


@given(
    count=st.integers(1, 9),
    steps=st.integers(1, 100),
    width=st.integers(8, 64),
    height=st.integers(8, 64),
    guidance=st.floats(0, 20),
    factor=st.floats(0.1, 50),
)
def test_costs_are_positive_exact_multiples_that_grow_with_the_work(count: int, steps: int, width: int, height: int, guidance: float, factor: float) -> None:
    capabilities = replace(POCKET, cost_factor=factor)
    request = replace(GRID, count=count, steps=steps, width=8 * width, height=8 * height, guidance=guidance)
    cost = limits.cost(request, capabilities)
    assert cost > 0
    assert (cost / limits.QUANTUM).is_integer()
    assert (limits.price(request, capabilities, relaxed=True) / limits.QUANTUM).is_integer()
    assert cost / 2 <= limits.price(request, capabilities, relaxed=True) < cost / 2 + limits.QUANTUM
    assert limits.cost(replace(request, steps=steps + 1), capabilities) >= cost
    assert limits.cost(replace(request, count=count + 1), capabilities) >= cost


# ------------------------------------------------------------------------------------------------ how old an account is


def test_a_discord_account_is_as_old_as_its_id_says():
    """The example of Discord's own page (https://discord.com/developers/docs/reference#snowflakes)."""
    member, made = Actor(platform="discord", id="175928847299117063"), datetime(2016, 4, 30, 11, 18, 25, 796000, tzinfo=UTC)
    assert limits.account_since(member) == made
    assert limits.until_old_enough(member, 3, made + timedelta(days=1)) == timedelta(days=2)
    assert limits.until_old_enough(member, 3, made + timedelta(days=3)) is None
    assert limits.until_old_enough(member, 0, made) is None, "no bound is set"
    assert limits.account_since(Actor(platform="slack", id="T1:U1")) is None
