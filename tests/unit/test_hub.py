"""The hub on its own: plain functions in place of pipelines, a small module in place of a denoiser."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch

from engine.hub import Cancelled, Hub, Proxy, Share, Task, is_out_of_memory


class Doubling(torch.nn.Module):
    """Doubles its rows and remembers how many came at once."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(2.0))
        self.seen: list[int] = []
        self.fits = 1 << 30

    def forward(self, x: torch.Tensor, t: Any = 0) -> torch.Tensor:
        self.seen.append(len(x))
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

    def add(self, body: Callable[[], Any], rows: int = 1) -> Task:
        task = Task(body, rows, self.ended.append)
        self.hub.join(task)
        return task

    def steps(self, start: float, count: int, rows: int = 1) -> Task:
        """A task that puts `rows` rows through the module `count` times."""

        def body() -> torch.Tensor:
            x = torch.full((rows, 3), start)
            for _ in range(count):
                x = self.proxy(x)
            return x

        return self.add(body, rows)

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
