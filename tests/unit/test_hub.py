"""The hub on its own: plain functions in place of pipelines, a small module in place of a denoiser."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch

from engine import rows as row_names
from engine.hub import Cancelled, Hub, Share, Task, is_out_of_memory, stepped
from engine.proxy import Proxy
from engine.rows import Row, Traits


class Doubling(torch.nn.Module):
    """Doubles its rows and remembers how many came at once."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(2.0))
        self.seen: list[int] = []
        self.named: list[tuple[Row, ...]] = []
        self.fits = 1 << 30

    def forward(self, x: torch.Tensor, t: Any = 0) -> torch.Tensor:
        self.seen.append(len(x))
        self.named.append(row_names.now())
        if len(x) > self.fits:
            raise torch.OutOfMemoryError("no room")
        if bool((x < 0).any()):
            raise ValueError("negative")
        return x * self.weight


class Party:
    """A hub, a proxied module, and the tasks that were given to it in the order they ended."""

    def __init__(self, share: Share = Share.BATCH, **settings: Any) -> None:
        ticks = itertools.count()
        self.module = Doubling()
        self.proxy = Proxy(self.module, {"__call__": share})
        self.hub = Hub(**{"max_rows": 16, "clock": lambda: float(next(ticks)), **settings})
        self.ended: list[Task] = []

    def add(self, body: Callable[[], Any], rows: int = 1, **fields: Any) -> Task:
        task = Task(body, rows, self.ended.append, **fields)
        self.hub.join(task)
        return task

    def steps(self, start: float, count: int, rows: int = 1, **fields: Any) -> Task:
        """A task that puts `rows` rows through the module `count` times."""

        def body() -> torch.Tensor:
            x = torch.full((rows, 3), start)
            for _ in range(count):
                x = self.proxy(x)
                stepped()
            return x

        return self.add(body, rows, **{"left": count, **fields})

    def run(self) -> None:
        while self.hub.tick():
            pass


def test_requests_of_different_lengths_share_every_forward_they_can() -> None:
    party = Party()
    long, short = party.steps(1.0, 5), party.steps(10.0, 2, rows=3)
    party.run()
    assert party.module.seen == [4, 4, 1, 1, 1]
    assert long.result.tolist() == [[32.0] * 3] and short.result.tolist() == [[40.0] * 3] * 3
    assert party.ended == [short, long] and party.hub.idle


def test_one_that_comes_later_joins_at_the_next_step() -> None:
    party = Party()
    party.steps(1.0, 4)
    party.hub.tick()
    party.steps(1.0, 2)
    party.run()
    assert party.module.seen == [1, 2, 2, 1]


def test_fixed_rows_pad_what_is_less_and_cut_what_is_more() -> None:
    party = Party(fixed_rows=4)
    tasks = [party.steps(float(k), 1, rows=k) for k in (1, 2, 3)]
    party.run()
    assert party.module.seen == [4, 4]
    assert [task.result.shape[0] for task in tasks] == [1, 2, 3]
    assert [float(task.result[0, 0]) for task in tasks] == [2.0, 4.0, 6.0]


def test_out_of_memory_halves_the_rows_and_is_remembered() -> None:
    party = Party()
    party.module.fits = 3
    task = party.steps(1.0, 2, rows=8)
    party.run()
    assert party.module.seen == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2]
    assert task.result.tolist() == [[4.0] * 3] * 8


def test_a_row_that_does_not_fit_alone_is_its_owners_out_of_memory() -> None:
    party = Party()
    party.module.fits = 0
    task = party.steps(1.0, 1, rows=2)
    party.run()
    assert isinstance(task.error, torch.OutOfMemoryError) and party.hub.idle


def test_a_batch_that_fails_is_retried_one_by_one() -> None:
    party = Party()
    bad, good = party.steps(-1.0, 1), party.steps(1.0, 1)
    party.run()
    assert party.module.seen == [2, 1, 1]
    assert isinstance(bad.error, ValueError) and good.error is None and good.result.tolist() == [[2.0] * 3]


def test_a_request_may_catch_what_its_call_raised() -> None:
    party = Party()

    def careful() -> str:
        try:
            party.proxy(torch.full((1, 3), -1.0))
        except ValueError:
            return "caught"
        return "not raised"

    task = party.add(careful)
    party.run()
    assert task.result == "caught"


@pytest.mark.parametrize(("share", "seen"), [(Share.WHOLE, [2, 3]), (Share.ROWS, [1] * 5)])
def test_calls_that_are_not_batched_run_by_themselves(share: Share, seen: list[int]) -> None:
    party = Party(share)
    tasks = [party.steps(1.0, 1, rows=2), party.steps(1.0, 1, rows=3)]
    party.run()
    assert party.module.seen == seen and [len(task.result) for task in tasks] == [2, 3]


def test_the_cap_keeps_later_ones_in_line() -> None:
    party = Party(max_rows=4)
    for _ in range(3):
        party.steps(1.0, 2, rows=2)
    party.run()
    assert party.module.seen == [4, 4, 2, 2]


def test_a_cancelled_task_cleans_up_even_through_the_module_and_is_gone_at_once() -> None:
    party = Party()
    tidied = []

    def body() -> None:
        try:
            party.proxy(torch.ones(1, 3))
        finally:
            tidied.append(True)
            party.proxy(torch.ones(1, 3))

    task, waiting = party.add(body, rows=16), party.steps(1.0, 1)
    party.hub.tick()
    party.hub.cancel(task)
    party.hub.cancel(waiting)
    assert isinstance(task.error, Cancelled) and isinstance(waiting.error, Cancelled) and tidied == [True]
    party.hub.cancel(task)  # once more does nothing
    assert party.hub.idle and party.ended == [task, waiting] and not party.hub.tick()


def test_gradients_stay_off_whatever_a_neighbour_leaves_behind() -> None:
    party = Party()

    def rude() -> None:
        torch.set_grad_enabled(True)
        party.proxy(torch.ones(1, 3))
        torch.set_grad_enabled(True)

    def polite() -> bool:
        return bool(party.proxy(party.proxy(torch.ones(1, 3))).requires_grad) or torch.is_grad_enabled()

    before = torch.is_grad_enabled()
    try:
        party.add(rude)
        task = party.add(polite)
        party.run()
        assert task.result is False
    finally:
        torch.set_grad_enabled(before)


def test_device_time_is_shared_by_rows() -> None:
    party = Party()
    one, three = party.steps(1.0, 4), party.steps(1.0, 4, rows=3)
    party.run()
    assert three.seconds > one.seconds > 0
    assert party.hub.counters.forwards == 4 and party.hub.counters.rows == 16 and party.hub.counters.last_rows == 4


def test_a_proxy_is_its_module_to_everybody_else() -> None:
    party = Party()
    assert isinstance(party.proxy, Doubling) and party.proxy.weight is party.module.weight
    assert party.proxy(torch.ones(2, 3)).tolist() == [[2.0] * 3] * 2  # outside a task it just computes


def test_what_is_no_ordinary_exception_ends_the_hub() -> None:
    party = Party()

    def body() -> None:
        raise SystemExit

    party.add(body)
    with pytest.raises(SystemExit):
        party.hub.tick()


def test_the_cpu_allocators_plain_error_counts_as_out_of_memory() -> None:
    assert is_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"))
    assert not is_out_of_memory(RuntimeError("shape mismatch"))


# ------------------------------------------------------------------------------------------------ whose turn it is


def test_past_the_rows_that_pay_the_shortest_remaining_step_and_the_others_wait() -> None:
    party = Party(forward_rows=2)
    long, short = party.steps(1.0, 6, rows=2), party.steps(1.0, 2, rows=2)
    party.run()
    assert party.ended == [short, long] and set(party.module.seen) == {2}


def test_each_model_and_shape_has_a_cap_on_pictures_and_on_the_rows_of_a_forward() -> None:
    party = Party()
    party.hub.caps = {"small": 2}
    for _ in range(4):
        party.steps(1.0, 1, kind="small")
    party.run()
    assert party.module.seen == [2, 2]
    wide = party.steps(1.0, 1, rows=6, kind="small")
    party.run()
    assert party.module.seen[2:] == [6] and wide.error is None  # alone of its kind it is drawn all the same


def test_a_flood_of_short_ones_does_not_keep_a_long_one_from_joining() -> None:
    party = Party(max_rows=1)
    long = party.steps(1.0, 30)
    long.since = 0
    for _ in range(400):
        party.steps(1.0, 1)
        party.hub.tick()
        if long in party.ended:
            break
    assert long in party.ended


# ------------------------------------------------------------------------------------------------ several calls at once


def test_several_calls_of_one_request_are_one_forward_and_come_back_in_order() -> None:
    party = Party()

    def body() -> list[float]:
        return [float(output[0, 0]) for output in party.proxy.together([{"x": torch.full((1, 3), float(k))} for k in (3, 1, 2)])]

    task, other = party.add(body), party.steps(5.0, 1)
    party.run()
    assert party.module.seen == [4] and task.result == [6.0, 2.0, 4.0] and other.error is None


def test_several_calls_that_do_not_fit_one_forward_are_waited_for_all() -> None:
    party = Party(forward_rows=2)
    task = party.add(lambda: sum(float(output.sum()) for output in party.proxy.together([{"x": torch.ones(1, 3)}] * 5)))
    party.run()
    assert task.result == 30.0 and party.module.seen == [2, 2, 1]


def test_when_one_of_several_calls_fails_the_request_is_told_once_all_are_back() -> None:
    party = Party()

    def body() -> str:
        try:
            party.proxy.together([{"x": torch.ones(1, 3)}, {"x": torch.full((1, 3), -1.0)}, {"x": torch.ones(1, 3)}])
        except ValueError as error:
            return str(error)
        return "not raised"

    task, other = party.add(body), party.steps(1.0, 2)
    party.run()
    assert task.result == "negative" and other.error is None and party.hub.idle


# ------------------------------------------------------------------------------------------------ whose rows they are


def test_a_module_can_tell_whose_rows_it_has_and_finds_the_same_ones_again_in_the_next_step() -> None:
    party = Party(fixed_rows=4)
    one = party.steps(1.0, 2, traits=Traits(loras=(("ink", 0.5),)))
    two = party.steps(1.0, 2, rows=2)
    party.run()
    first, second = party.module.named
    assert first == second and [row.owner for row in first] == [one, two, two, None]
    assert [row.index for row in first] == [0, 0, 1, 0] and first[0].traits.loras == (("ink", 0.5),)
    assert not row_names.now()


def test_two_calls_in_one_step_have_rows_of_different_names() -> None:
    party = Party()

    def body() -> None:
        for _ in range(2):
            party.proxy(torch.ones(1, 3))
            party.proxy(torch.ones(1, 3))
            stepped()

    party.add(body)
    party.run()
    assert [named[0].call for named in party.module.named] == [0, 1, 0, 1]


def test_rows_that_want_something_else_of_the_module_have_forwards_of_their_own_but_adapters_mix() -> None:
    party = Party()
    party.steps(1.0, 1)
    party.steps(1.0, 1, traits=Traits(tile=True))
    party.steps(1.0, 1, traits=Traits(loras=(("ink", 1.0),)))
    party.run()
    assert sorted(party.module.seen) == [1, 2]


# ------------------------------------------------------------------------------------------------ memory, padding


def test_when_not_even_one_row_fits_relief_is_asked_for_until_there_is_none() -> None:
    party = Party()
    party.module.fits, asked = 0, []

    def relieve(kind: Any) -> bool:
        asked.append(kind)
        party.module.fits = len(asked) - 1
        return len(asked) < 3

    party.hub.relieve = relieve
    task = party.steps(1.0, 1, kind="large")
    party.run()
    assert task.result.tolist() == [[2.0] * 3] and asked == ["large", "large"]


def test_a_call_that_cannot_be_cut_is_tried_again_when_memory_was_found() -> None:
    party = Party(Share.WHOLE)
    party.module.fits = 1

    def relieve(kind: Any) -> bool:
        party.module.fits += 1
        return party.module.fits < 4

    party.hub.relieve = relieve
    fits, too_large = party.steps(1.0, 1, rows=2), party.steps(1.0, 1, rows=9)
    party.run()
    assert fits.error is None and isinstance(too_large.error, torch.OutOfMemoryError)


def test_pictures_are_decoded_as_many_at_once_as_their_request_allows_and_memory_lets() -> None:
    party = Party(Share.ROWS)
    party.steps(1.0, 1, rows=5, decoded=3, kind="small")
    party.run()
    assert party.module.seen == [3, 2]
    party.module.fits = 2
    party.steps(1.0, 1, rows=4, decoded=3, kind="small")
    party.steps(1.0, 1, rows=2, decoded=3, kind="small")
    party.run()
    assert party.module.seen[2:] == [3, 1, 1, 1, 1, 1, 1]  # learnt, like every limit of memory


def test_rows_are_padded_to_the_sizes_a_compiled_model_knows() -> None:
    party = Party()
    party.hub.buckets = {"compiled": lambda rows: 1 << (rows - 1).bit_length()}
    compiled, plain = party.steps(1.0, 1, rows=3, kind="compiled"), party.steps(1.0, 1, rows=3)
    plain.left = compiled.left = 1
    party.hub.forward_rows = 3
    party.run()
    assert sorted(party.module.seen) == [3, 4] and len(compiled.result) == len(plain.result) == 3
