"""Who joins, whose call runs next, and whose turn it is among groups that cannot share a forward."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from engine.admission import AGEING, Rounds, admit, choose, rank


@dataclass(frozen=True)
class Each:
    """A request in line, or one of its calls."""

    rows: int
    left: int = 10
    since: int = 0
    kind: str = "a"


def joined(line: Sequence[Each], *, cap: int, running: dict[Hashable, int] | None = None, caps: dict[Hashable, int] | None = None, turn: int = 0) -> list[int]:
    return admit(line, running or {}, caps or {}, cap, turn)


def test_as_many_join_as_fit_under_the_cap() -> None:
    assert joined([Each(4), Each(4), Each(4)], cap=8) == [0, 1]
    assert joined([Each(4), Each(4)], cap=8, running={"a": 6}) == []


def test_who_has_the_fewest_steps_left_joins_first() -> None:
    assert joined([Each(4, left=30), Each(4, left=4), Each(4, left=8)], cap=8) == [1, 2]


def test_who_has_waited_long_enough_joins_before_newer_and_shorter_ones() -> None:
    old, new = Each(4, left=30, since=0), Each(4, left=4, since=200)
    assert joined([new, old], cap=4, turn=200) == [1]
    assert rank(old, 200) == 30 - AGEING * 200


def test_nobody_smaller_passes_a_large_request_that_waits_for_room() -> None:
    assert joined([Each(9, left=2), Each(1), Each(1)], cap=8, running={"a": 4}) == []


def test_a_request_larger_than_the_cap_is_drawn_alone() -> None:
    assert joined([Each(9), Each(1)], cap=8) == [0]
    assert joined([Each(9)], cap=8, running={"a": 1}) == []


def test_each_model_and_shape_has_a_cap_of_its_own_and_does_not_hold_up_the_others() -> None:
    line = [Each(4, kind="large"), Each(4, kind="large"), Each(4, kind="small"), Each(4, kind="small")]
    assert joined(line, cap=32, caps={"large": 4}) == [0, 2, 3]
    assert joined(line, cap=32, caps={"large": 2}) == [0, 2, 3]  # alone of its kind it is drawn whatever its cap


REQUESTS = st.builds(Each, rows=st.integers(1, 9), left=st.integers(1, 50), kind=st.sampled_from("ab"))


@given(st.lists(REQUESTS, max_size=12), st.integers(0, 20), st.integers(1, 16))
def test_the_cap_holds_unless_a_single_request_exceeds_it(line: list[Each], running: int, cap: int) -> None:
    who = joined(line, cap=cap, running={"a": running} if running else {})
    total = running + sum(line[i].rows for i in who)
    assert total <= max(cap, running) or (running == 0 and len(who) == 1)


def test_a_group_that_fits_runs_whole() -> None:
    calls = [Each(2), Each(4), Each(2)]
    assert choose(calls, 8, turn=0) == calls


def test_of_a_group_that_does_not_fit_the_shortest_remaining_run_and_the_rest_of_the_room_is_used() -> None:
    long, short, wide = Each(2, left=30), Each(4, left=2), Each(4, left=5)
    assert choose([long, short, wide], 6, turn=0) == [short, long]


def test_one_call_runs_however_large_it_is() -> None:
    assert choose([Each(18, left=1), Each(1)], 8, turn=0) == [Each(18, left=1)]


@given(st.lists(st.builds(Each, rows=st.integers(1, 9), left=st.integers(1, 30)), min_size=1, max_size=12), st.integers(1, 16))
def test_under_a_flood_of_short_ones_everybody_is_stepped_before_long(group: list[Each], limit: int) -> None:
    waiting, turn = list(group), 0
    while waiting:
        flood = [Each(limit, left=1, since=turn)]
        chosen = choose(waiting + flood, limit, turn)
        waiting = [call for call in waiting if call not in chosen]
        turn += 1
        assert turn <= 30 / AGEING + len(group) + 1


def test_groups_share_the_device_in_proportion_to_their_rows_whatever_a_forward_costs() -> None:
    rounds, spent = Rounds(), Counter[str]()
    offers = {"slow": (4.0, 4), "quick": (1.0, 4), "lonely": (1.0, 1)}
    for _ in range(900):
        key = str(rounds.next(offers))
        spent[key] += int(offers[key][0])
    assert 0.9 < spent["slow"] / spent["quick"] < 1.1
    assert 3.6 < spent["quick"] / spent["lonely"] < 4.4


def test_a_group_that_comes_and_goes_saves_up_nothing() -> None:
    rounds = Rounds()
    for _ in range(50):
        rounds.next({"a": (1.0, 1), "b": (1.0, 1)})
    for _ in range(50):
        rounds.next({"a": (1.0, 1), "c": (1.0, 1)})
    turns = [rounds.next({"a": (1.0, 1), "b": (1.0, 1)}) for _ in range(10)]
    assert 4 <= turns.count("b") <= 6


def test_groups_that_cost_nothing_yet_are_run_all_the_same() -> None:
    rounds = Rounds()
    assert {rounds.next({"a": (0.0, 1), "b": (0.0, 2)}) for _ in range(6)} <= {"a", "b"}
