"""First come, first served under a cap; and whose call runs next."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from engine.admission import admit, choose


@dataclass(frozen=True)
class Call:
    key: str
    rows: int
    since: int
    urgent: bool = False


def test_as_many_join_as_fit_under_the_cap() -> None:
    assert admit([4, 4, 4], in_flight=0, cap=8) == 2
    assert admit([4, 4], in_flight=6, cap=8) == 0


def test_nobody_overtakes_a_large_request_that_waits() -> None:
    assert admit([9, 1, 1], in_flight=4, cap=8) == 0


def test_a_request_larger_than_the_cap_is_drawn_alone() -> None:
    assert admit([9, 1], in_flight=0, cap=8) == 1
    assert admit([9], in_flight=1, cap=8) == 0


@given(st.lists(st.integers(1, 9), max_size=12), st.integers(0, 20), st.integers(1, 16))
def test_the_cap_holds_unless_a_single_request_exceeds_it(waiting: list[int], in_flight: int, cap: int) -> None:
    joined = admit(waiting, in_flight, cap)
    total = in_flight + sum(waiting[:joined])
    assert total <= max(cap, in_flight) or (in_flight == 0 and joined == 1)
    if joined < len(waiting):  # and it was filled as far as it goes
        assert total + waiting[joined] > cap


def test_nothing_waits_so_nothing_runs() -> None:
    assert choose([], 8) == []


def test_calls_of_one_signature_run_together_the_longest_waiting_first() -> None:
    calls = [Call("a", 2, since=5), Call("b", 2, since=1), Call("a", 2, since=3), Call("b", 2, since=2)]
    assert choose(calls, 8) == [1, 3]
    assert choose([calls[0], calls[2]], 8) == [1, 0]


def test_an_urgent_call_goes_before_everything_older() -> None:
    assert choose([Call("unet", 8, since=1), Call("text", 1, since=9, urgent=True)], 8) == [1]


def test_a_forward_holds_no_more_rows_than_the_limit_but_always_one_call() -> None:
    assert choose([Call("a", 4, 1), Call("a", 4, 2), Call("a", 4, 3)], 8) == [0, 1]
    assert choose([Call("a", 18, 1), Call("a", 1, 2)], 8) == [0]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 9), st.booleans()), min_size=1, max_size=20), st.integers(1, 32))
def test_every_call_is_run_after_at_most_as_many_turns_as_there_are_calls(shapes: list[tuple[str, int, bool]], limit: int) -> None:
    calls = [Call(key, rows, since, urgent) for since, (key, rows, urgent) in enumerate(shapes)]
    turns = 0
    while calls:
        chosen = choose(calls, limit)
        assert chosen
        assert len({calls[i].key for i in chosen}) == 1
        calls = [call for i, call in enumerate(calls) if i not in chosen]
        turns += 1
    assert turns <= len(shapes)
