"""Corners of the engine that a reviewer found open: fairness, memory, and calls that must not be joined."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from engine import hub as hubs
from engine import probe, tuning
from engine.api import ImagePrompt
from engine.calls import Share, Task, Wanted
from engine.collate import Arguments, concatenate, count_rows
from engine.hub import ERRANDS, Hub
from engine.model import Model
from engine.residents import Residents
from engine.rows import Row, Traits
from engine.shelf import Shelf
from tests.contract.engines import ignore, imagine, local_engine, tiny, write_manifest
from tests.contract.seeing import seeing
from tests.contract.test_device import GB, loaded, twin, until


class Clock:
    """Seconds pass when they are spent."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def send(function: Callable[..., Any], name: str, share: Share, **kwargs: Any) -> Any:
    """One call of a task's."""
    found = hubs.seat()
    assert found is not None
    hub, task = found
    return hub.wait(task, [Wanted(function, name, Arguments((), kwargs, count_rows((), kwargs)), share)])[0]


def run(hub: Hub, *tasks: Task) -> None:
    for task in tasks:
        hub.join(task)
    while not hub.idle:
        hub.tick()


def task(body: Callable[[], Any], rows: int = 1, **changes: Any) -> Task:
    return Task(body, rows, lambda task: None, **changes)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# ------------------------------------------------------------------------------------------------ whose turn it is


@pytest.mark.parametrize(("share", "before"), [(Share.TURN, 2), (Share.ROWS, ERRANDS)], ids=["tiles take turns", "errands do not go first for ever"])
def test_an_upscale_of_many_tiles_lets_others_step_in_between(share: Share, before: int) -> None:
    log: list[str] = []

    def noted(what: str) -> Callable[..., torch.Tensor]:
        return lambda x: log.append(what) or x  # type: ignore[func-returns-value]

    def upscale() -> None:
        for _ in range(40):
            send(noted("tile"), "upscaler", share, x=torch.zeros(1, 3))

    def draw() -> None:
        for _ in range(4):
            send(noted("step"), "unet", Share.BATCH, x=torch.zeros(1, 3))

    run(Hub(max_rows=8, clock=time.perf_counter), task(upscale), task(draw))
    assert log.index("step") <= before


def test_a_cold_first_forward_does_not_make_its_model_wait_for_minutes() -> None:
    clock, ended = Clock(), list[float]()

    def forward(each: float, cold: list[float], notes: list[float]) -> Callable[..., torch.Tensor]:
        def run(x: torch.Tensor) -> torch.Tensor:
            clock.now += each * len(x) + (cold.pop() if cold else 0.0)
            notes.append(clock.now)
            return x

        return run

    def steps(forward: Callable[..., torch.Tensor], name: str, rows: int, count: int) -> Task:
        def body() -> None:
            for _ in range(count):
                send(forward, name, Share.BATCH, x=torch.zeros(rows, 1))

        return task(body, rows, kind=name)

    big, small = forward(0.01, [], []), forward(0.01, [5.0], ended)
    run(Hub(max_rows=64, clock=clock), steps(big, "big", 32, 1000), steps(small, "small", 1, 3))
    assert ended[1] - ended[0] < 20  # it was 95 seconds for a forward of 10 ms


def test_a_model_whose_forwards_are_capped_has_its_share_of_the_device() -> None:
    clock, spent = Clock(), {"capped": 0.0, "free": 0.0}

    def steps(name: str, rows: int) -> Task:
        def forward(x: torch.Tensor) -> torch.Tensor:
            clock.now += 0.01 * len(x)
            spent[name] += 0.01 * len(x)
            return x

        forwards.setdefault(name, forward)

        def body() -> None:
            for _ in range(1000):
                send(forwards[name], name, Share.BATCH, x=torch.zeros(rows, 1))

        return task(body, 1, kind=name)

    forwards: dict[str, Callable[..., torch.Tensor]] = {}
    hub = Hub(max_rows=64, clock=clock)
    hub.caps["capped"] = 4
    for each in [*(steps("capped", 4) for _ in range(4)), *(steps("free", 4) for _ in range(4))]:
        hub.join(each)
    for _ in range(300):
        hub.tick()
    assert spent["capped"] > 0.8 * spent["free"]
    for each in hub.live:
        hub.cancel(each)


# ------------------------------------------------------------------------------------------------ joining


def test_calls_that_share_different_vectors_are_not_joined() -> None:
    def scaled(x: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
        return x * by.sum()

    tasks = [task(lambda by=by: send(scaled, "m", Share.BATCH, x=torch.ones(2, 3), by=torch.tensor(by))) for by in ([1.0, 2.0, 3.0], [10.0, 20.0, 30.0])]
    run(Hub(max_rows=8, clock=time.perf_counter), *tasks)
    assert [float(each.result[0, 0]) for each in tasks] == [6.0, 60.0]


def test_with_fixed_rows_bits_do_not_depend_on_how_long_the_companys_texts_are() -> None:
    from tests.contract.families import shelves
    from tests.contract.families.company import Guest, party
    from tests.contract.test_families import ask

    model = shelves.model("qwen")
    guest = Guest(ask("qwen", "a cat", steps=2, guidance=1.0, seed=1))
    longer = Guest(ask("qwen", "a cat on a much longer mat in the rain with hats", steps=2, guidance=1.0, seed=2))
    party(model, [guest, longer], fixed_rows=8)
    alone = Guest(guest.request)
    party(model, [alone], fixed_rows=8)
    assert guest.images is not None and alone.images is not None and np.array_equal(guest.images, alone.images)


# ------------------------------------------------------------------------------------------------ memory


def test_rows_come_back_after_memory_was_found() -> None:
    sizes, found = list[int](), list[bool]()

    def forward(x: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x))
        if not found:
            raise torch.OutOfMemoryError("too much")
        return x

    def body() -> None:
        for _ in range(3):
            send(forward, "m", Share.BATCH, x=torch.zeros(8, 3))

    run(Hub(max_rows=8, clock=time.perf_counter, relieve=lambda kind: found.append(True) or True), task(body, 8))  # type: ignore[func-returns-value]
    assert sizes[-1] == 8


def test_a_hub_holds_nothing_of_a_task_that_ended() -> None:
    class Large:
        """What its body holds."""

    large = Large()
    held = weakref.ref(large)

    def turns(large: Large = large) -> None:
        for _ in range(3):
            send(lambda x: x, "gradient", Share.TURN, x=torch.zeros(1))

    def draw() -> None:
        for _ in range(5):
            send(lambda x: x, "unet", Share.BATCH, x=torch.zeros(1, 3))

    hub = Hub(max_rows=8, clock=time.perf_counter)
    run(hub, task(turns), task(draw))
    del turns, large
    run(hub, task(draw))
    gc.collect()
    assert held() is None


def resident(name: str, memory: int = 100) -> Any:
    return SimpleNamespace(can=SimpleNamespace(model=name), memory=memory)


async def test_models_that_were_read_at_once_are_within_the_budget_when_they_are_idle(tmp_path: Path) -> None:
    weight = loaded().bytes
    engine = local_engine([twin(tmp_path, name) for name in ("one", "two", "three")], memory_gb=1.5 * weight * GB, max_rows=8)
    try:
        await asyncio.gather(*(engine.run(imagine(model=name, steps=2), {}, ignore) for name in ("one", "two", "three")))
        await asyncio.sleep(0.2)
        assert engine.stats().model_bytes <= 1.5 * weight
    finally:
        await engine.aclose()


async def test_knees_that_are_half_measured_limit_nobody() -> None:
    engine = local_engine([tiny()])
    await engine.start()
    device = engine._device
    assert device is not None
    try:
        await until(lambda: len(getattr(device._findings.get("tiny"), "seconds", {})) > 1)
        await asyncio.gather(*(engine.run(imagine(seed=k, steps=1), {}, ignore) for k in range(8)))
        assert device._hub is not None
        assert device._idle_work == [] or not device._hub.caps
    finally:
        await engine.aclose()


async def test_a_model_that_cannot_be_compiled_is_drawn_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: Any) -> Arguments:
        raise torch.OutOfMemoryError("no room for a first call")

    monkeypatch.setattr(probe, "call_of", refused)
    folder = twin(tmp_path, "quick")
    with (folder / "card.toml").open("a", encoding="utf-8") as card:
        card.write("compile = true\n")
    write_manifest(folder)
    engine = local_engine([folder], max_rows=8)
    try:
        assert (await engine.run(imagine(model="quick", steps=1), {}, ignore)).frames
    finally:
        await engine.aclose()


def test_a_model_is_read_while_another_is_compiled() -> None:
    hold, here = threading.Event(), threading.Event()
    residents = Residents(lambda entry: SimpleNamespace(entry=entry, bytes=1), 100, lambda name: None)  # type: ignore[arg-type,return-value]
    residents.background(lambda: hold.wait(10) and None)
    residents.fetch(resident("wanted"), frozenset(), lambda model: here.set())
    read = here.wait(2)
    hold.set()
    residents.close()
    assert read


# ------------------------------------------------------------------------------------------------ what is measured and compiled


def test_company_is_seen_to_leave_bits_alone_in_outputs_of_tokens() -> None:
    assert probe._same(probe._first_row((torch.ones(1, 5, 4),)), probe._first_row((torch.ones(4, 5, 4),)))


def test_a_forward_in_the_background_does_not_silence_image_prompts() -> None:
    from engine import imageprompts

    model = Model.load(Shelf.open([seeing()], pocket=False).entries[0], torch.device("cpu"))
    adapter = imageprompts.of(model, ImagePrompt(picture="0" * 64))
    unet, call = tuning.denoiser_of(model), probe.call_of(model)
    shown = torch.ones(1, 1, adapter._encoder.config.projection_dim)
    prompted = {**call.kwargs, "added_cond_kwargs": {"image_embeds": [shown, shown[:, :0], torch.ones(1, 1, 1)]}}
    alone, here = unet(**prompted)[0], threading.get_ident()

    def meanwhile(module: Any, args: Any) -> None:
        if threading.get_ident() == here:
            other = threading.Thread(target=torch.no_grad()(lambda: unet(**call.kwargs)))
            other.start()
            other.join()

    unet.mid_block.register_forward_pre_hook(meanwhile)
    assert torch.equal(unet(**prompted)[0], alone)


def test_nobody_waits_for_a_compiler_because_of_an_adapter() -> None:
    from engine import rows

    built = list[int]()

    def counting(graph: Any, examples: Any) -> Any:
        built.append(1)
        return graph.forward

    model = Model.load(Shelf.open([tiny()], pocket=False).entries[0], torch.device("cpu"))
    unet, call = tuning.denoiser_of(model), probe.call_of(model)
    compiled = tuning.Compiled(unet, counting)  # type: ignore[arg-type]
    compiled.warm(call, [2])
    before, pair = len(built), concatenate([call] * 2)
    layer = next(each for each in unet.modules() if type(each).__name__ == "BasicTransformerBlock").attn1.to_q
    plain = layer.forward
    layer.__dict__["forward"] = lambda x: plain(x) * 2  # as engine.adapters does for the time of a forward
    with rows.running([Row("somebody", Traits(loras=(("ink", 1.0),)))] * 2):
        unet(**pair.kwargs)
    del layer.__dict__["forward"]
    assert len(built) == before


@pytest.mark.parametrize("how", ["steered", "compiled"])
def test_a_dropped_models_memory_is_free_at_once(how: str) -> None:
    from tests.contract.test_equality import Guest, party

    model = Model.load(Shelf.open([seeing()], pocket=False).entries[0], torch.device("cpu"))
    residents = Residents(Model.load, 100, lambda name, model: None)  # type: ignore[arg-type]
    residents.settle("tiny", model)
    gc.collect()
    gc.disable()
    try:
        held = weakref.ref(tuning.denoiser_of(model))
        if how == "steered":
            party(model, [Guest(imagine(clip=0.5, steps=3))])
        else:
            tuning.Compiled(tuning.denoiser_of(model), "eager")
        del model
        residents.drop("tiny")
        assert held() is None
    finally:
        gc.enable()
        residents.close()
