"""A request drawn alone, in company, and by the stock pipeline is the same picture (design: 1/255 a channel; measured here far below), whatever it asks for.

The hub is driven directly, one forward at a time, so that who joins, leaves and fails when is exact.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from engine import codec, guidance, perform
from engine.api import Emphasis, ImagineRequest, MorphRequest, Part, Request, Spot, UpscaleRequest
from engine.canvas import lay
from engine.hub import Cancelled, Hub, Task
from engine.model import Model
from engine.shelf import SCHEDULERS, Shelf
from tests.contract.engines import imagine, picture, tiny
from tests.contract.stock import Images, Stock

#: The design promises 1/255 a channel; in float32 the hub is far better than that. An upscale is 8 bits a channel already.
TOLERANCE = 1e-4
COARSE = 1.01 / 255
SOURCE, OTHER, SMALL, MASK = "source", "other", "small", "mask"
PICTURES = {
    SOURCE: codec.decode(picture(4, 64, 64)),
    OTHER: codec.decode(picture(5, 64, 64)),
    SMALL: codec.decode(picture(6, 40, 40)),  # four tiles when it is twice as large
    MASK: Image.fromarray(np.repeat((np.arange(64) >= 32)[None] * np.uint8(255), 64, axis=0)).convert("RGB"),
}


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Model.load(Shelf.open([tiny()], pocket=False).entries[0], torch.device("cpu"))
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def stock(model: Model) -> Stock:
    return Stock(tiny(), model, PICTURES)


@dataclass(eq=False)
class Guest:
    """One request at the hub: when it joins, and what becomes of it."""

    request: Request
    joins: int = 0  #: at which turn of the hub
    leaves: int | None = None  #: cancelled at that turn
    fails_after: int | None = None  #: steps it takes before its own code raises
    curious: bool = True  #: wants previews
    steps: int = 0
    images: Images | None = None
    error: Exception | None = None
    previews: list[Any] = field(default_factory=list)

    def progress(self, step: int, of: int) -> None:
        self.steps = step
        if self.fails_after == step:
            raise ValueError("this guest's own trouble")

    def wants_preview(self) -> bool:
        return self.curious and self.steps % 2 == 0

    def preview(self, pictures: list[codec.Pixels]) -> None:
        self.previews += pictures

    def ended(self, task: Task) -> None:
        self.error = task.error
        if task.result is not None:
            images = task.result.images
            self.images = images / 255 if images.dtype == np.uint8 else images

    def task(self, model: Model) -> Task:
        request = self.request
        return Task(
            lambda: perform.perform(model, request, lay(request, PICTURES), self),
            request.rows,
            self.ended,
            left=perform.steps(request),
            traits=perform.traits(request),
        )


def party(model: Model, guests: Sequence[Guest], *, fixed_rows: int = 0, max_rows: int = 64) -> Hub:
    """Run them all to their ends."""
    hub = Hub(max_rows=max_rows, clock=time.perf_counter, fixed_rows=fixed_rows)
    tasks: dict[Guest, Task] = {}
    turn = 0
    while not hub.idle or any(guest not in tasks for guest in guests):
        for guest in guests:
            if guest.joins <= turn and guest not in tasks:
                tasks[guest] = guest.task(model)
                hub.join(tasks[guest])
            if guest.leaves == turn and guest in tasks:
                hub.cancel(tasks[guest])
        hub.tick()
        turn += 1
    return hub


def furthest(one: Images | None, other: Images) -> float:
    assert one is not None and one.shape == other.shape
    return float(np.abs(one - other).max())


def assert_stock(guest: Guest, stock: Stock) -> None:
    assert guest.error is None, guest.request
    tolerance = COARSE if isinstance(guest.request, UpscaleRequest) else TOLERANCE
    assert furthest(guest.images, stock(guest.request)) < tolerance, guest.request


def parts(**weights: float) -> tuple[Part, ...]:
    return tuple(Part(text=text, weight=weight) for text, weight in weights.items())


SNOW = Part(text="a fox in the snow", emphasis=(Emphasis(start=6, end=17, weight=1.4),))
ZOOMED = Spot(left=16, top=16, width=32, height=32)
#: One of each operation.
OPERATIONS: dict[str, Request] = {
    "words": imagine("a cat", steps=6, seed=1),
    "unwanted": imagine("a dog", steps=5, seed=2, guidance=7.5, unwanted=("rain", "fog"), count=2),
    "unguided": imagine("two hats", steps=6, seed=3, guidance=1.0),
    "picture": imagine("a map", steps=6, seed=4, source=SOURCE, strength=0.5, count=2),
    "region": imagine("a boat", steps=5, seed=5, source=SOURCE, mask=MASK, strength=0.9, count=2),
    "zoom": imagine("a town", steps=5, seed=6, source=SOURCE, spot=ZOOMED, strength=0.8),
    "pan": imagine("a coast", steps=5, seed=7, source=SOURCE, spot=Spot(left=0, top=0, width=64, height=64), width=96, strength=1.0),
    "blend": imagine("a mask", steps=5, seed=8, source=SOURCE, mix=(OTHER,), strength=0.6),
    "weights": imagine(parts=parts(cat=2, dog=1, bird=-0.5), steps=5, seed=9, unwanted=("rain",), count=2),
    "emphasis": imagine(parts=(SNOW, Part(text="3d", weight=0.5)), steps=5, seed=10, guidance=1.0),
    "tile": imagine("waves", steps=5, seed=11, tile=True),
    "stop": imagine("a tower", steps=8, seed=12, stop=0.4),
    "video": imagine("a wheel", steps=6, seed=13, video=True, count=2),
    "wide": imagine("a bench", steps=4, seed=14, width=96),
    "morph": MorphRequest(model="tiny", before=parts(cat=1), after=parts(hat=1), seed=15, width=64, height=64, frames=3, steps=5, guidance=3.0),
    "creative": UpscaleRequest(
        model="tiny", source=SMALL, factor=2, seed=16, width=40, height=40, creative=True, parts=parts(cat=1), steps=5, guidance=3.0, strength=0.4
    ),
}
ALL = list(OPERATIONS.values())


@pytest.mark.parametrize("fixed_rows", [0, 8], ids=["as many rows as there are", "fixed rows"])
def test_requests_of_every_kind_share_a_batch_and_each_equals_stock(model: Model, stock: Stock, fixed_rows: int) -> None:
    guests = [Guest(request, joins=k // 2) for k, request in enumerate(ALL)]
    hub = party(model, guests, fixed_rows=fixed_rows)
    assert hub.counters.forwards < sum(guest.steps for guest in guests) / 2  # they did share
    for guest in guests:
        assert_stock(guest, stock)


@pytest.mark.filterwarnings("ignore:__array_wrap__")  # a diffusers scheduler hands tensors to numpy
def test_every_operation_meets_every_other_and_every_scheduler_every_other(model: Model, stock: Stock) -> None:
    """In pairs: each pair of operations once, with two schedulers that change from pair to pair."""
    pairs = itertools.cycle(itertools.combinations(SCHEDULERS, 2))
    unlike = [OPERATIONS[name] for name in ("unwanted", "picture", "region", "pan", "blend", "weights", "emphasis", "tile", "stop", "morph", "creative")]
    for one, other in itertools.combinations(unlike, 2):
        guests = [Guest(_by(request, name), joins=k) for k, (request, name) in enumerate(zip((one, other), next(pairs), strict=True))]
        party(model, guests)
        for guest in guests:
            assert_stock(guest, stock)


def _by(request: Request, scheduler: str) -> Request:
    return request if isinstance(request, UpscaleRequest) else replace(request, scheduler=scheduler, steps=4)


@pytest.mark.filterwarnings("ignore:__array_wrap__")
def test_every_scheduler_mixes_with_all_the_others(model: Model, stock: Stock) -> None:
    guests = [Guest(imagine("a fox", steps=5, seed=k, scheduler=name), joins=k % 4) for k, name in enumerate(SCHEDULERS)]
    party(model, guests)
    for guest in guests:
        assert_stock(guest, stock)


@pytest.mark.parametrize("name", ["words", "picture", "region", "stop", "tile"])
def test_a_request_alone_gives_the_stock_pipelines_very_bits(model: Model, stock: Stock, name: str) -> None:
    guest = Guest(replace(OPERATIONS[name], count=1))
    party(model, [guest])
    assert np.array_equal(guest.images, stock(guest.request))


def test_with_fixed_rows_a_pictures_bits_do_not_depend_on_its_company(model: Model) -> None:
    alone = [Guest(request) for request in ALL]
    for guest in alone:
        party(model, [guest], fixed_rows=8)
    company = [Guest(request, joins=k) for k, request in enumerate(ALL)]
    party(model, company, fixed_rows=8)
    for one, other in zip(alone, company, strict=True):
        assert np.array_equal(one.images, other.images), one.request


def test_a_guest_that_fails_or_leaves_takes_nobody_along(model: Model, stock: Stock) -> None:
    stays = [Guest(OPERATIONS[name]) for name in ("words", "region", "weights")]
    fails = Guest(imagine("trouble", steps=8), fails_after=3)
    leaves = Guest(imagine("impatient", steps=9, count=3), joins=1, leaves=12)
    never_admitted = Guest(imagine("late", count=9), joins=2, leaves=6)
    party(model, [*stays, fails, leaves, never_admitted], max_rows=9)
    assert isinstance(fails.error, ValueError) and fails.steps == 3
    assert isinstance(leaves.error, Cancelled) and 0 < leaves.steps < 9
    assert isinstance(never_admitted.error, Cancelled) and never_admitted.steps == 0
    for guest in stays:
        assert_stock(guest, stock)


def test_previews_and_films_do_not_touch_the_picture(model: Model) -> None:
    request = imagine("a cat", steps=9, seed=1, scheduler="EulerAncestralDiscreteScheduler", count=2)
    curious, calm, filmed = Guest(request), Guest(request, curious=False), Guest(replace(request, video=True), curious=False)
    for guest in (curious, calm, filmed):
        party(model, [guest])
        assert guest.images is not None and np.array_equal(guest.images, calm.images if calm.images is not None else guest.images)
    assert (len(curious.previews), len(calm.previews)) == (2 * 4, 0)  # both pictures, at every other step but the last


fates = st.fixed_dictionaries(
    {
        "request": st.sampled_from(ALL),
        "joins": st.integers(0, 20),
        "leaves": st.none() | st.integers(0, 30),
        "fails_after": st.none() | st.integers(1, 4),
    }
)


@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(fates, min_size=3, max_size=8), st.sampled_from([3, 6, 64]))
def test_whatever_the_others_do_a_survivor_equals_stock(model: Model, stock: Stock, evening: list[dict[str, Any]], max_rows: int) -> None:
    guests = [Guest(**fate) for fate in evening]
    party(model, guests, max_rows=max_rows)
    for guest in guests:
        if guest.error is None:
            assert_stock(guest, stock)
        else:
            assert isinstance(guest.error, Cancelled if guest.leaves is not None and guest.steps != guest.fails_after else ValueError)


# ------------------------------------------------------------------------------------------------ weighted parts


@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_a_part_of_no_weight_changes_nothing_and_weights_are_relative(model: Model, stock: Stock, scale: float) -> None:
    plain = imagine("cat", guidance=scale, count=2)
    for weighted in (parts(cat=1, dog=0), parts(cat=3, dog=0), (Part(text="cat", weight=0.5), Part(text="cat", weight=2.5))):
        guest = Guest(imagine(parts=weighted, guidance=scale, count=2))
        party(model, [guest])
        assert furthest(guest.images, stock(plain)) < TOLERANCE


def test_weighted_guidance_is_the_weighted_sum_of_the_parts_directions(model: Model) -> None:
    """The formula itself, written out against the bare denoiser."""
    unet = model.pipeline("words").unet
    torch.manual_seed(0)
    sample, without, cat, dog = torch.randn(2, 4, 8, 8), torch.randn(1, 24, 32), torch.randn(1, 24, 32), torch.randn(1, 24, 32)

    def predict(context: torch.Tensor) -> torch.Tensor:
        return unet(sample, torch.tensor(400), encoder_hidden_states=context.expand(2, -1, -1), return_dict=False)[0]  # type: ignore[no-any-return]

    blend = guidance.weighted([(1.5, {"encoder_hidden_states": cat}), (-0.5, {"encoder_hidden_states": dog})])
    wrapped = guidance.Conditioned(unet, model.family, blend, guided=True)
    context = torch.cat([without.expand(2, -1, -1), cat.expand(2, -1, -1)])
    base, mixed = wrapped(torch.cat([sample, sample]), torch.tensor(400), encoder_hidden_states=context, return_dict=False)[0].chunk(2)
    wanted = predict(without) + 1.5 * (predict(cat) - predict(without)) - 0.5 * (predict(dog) - predict(without))
    assert torch.allclose(base, predict(without), atol=1e-5) and torch.allclose(mixed, wanted, atol=1e-5)


def test_the_requests_are_of_every_kind() -> None:
    """So that a new field of a request is not forgotten here."""
    asked = [request for request in ALL if isinstance(request, ImagineRequest)]
    for name in ("unwanted", "source", "mask", "spot", "mix", "tile", "video"):
        assert any(getattr(request, name) for request in asked), name
