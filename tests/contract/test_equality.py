"""A request drawn alone, in company, and by the stock pipeline is the same picture (design: 1/255 a channel; measured here far below).

The hub is driven directly, one forward at a time, so that who joins, leaves and fails when is exact.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from engine import codec, guidance, operations
from engine.api import ImagineRequest, Part
from engine.canvas import Canvas
from engine.hub import Cancelled, Hub, Task
from engine.model import Model
from engine.shelf import SCHEDULERS, Shelf
from tests.contract.engines import imagine, picture, tiny

#: The design promises 1/255 a channel; in float32 the hub is far better than that.
TOLERANCE = 1e-4
SOURCE = codec.decode(picture(4, 64, 64))
Images = NDArray[np.float32]


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Model.load(Shelf.open([tiny()], pocket=False).entries[0], torch.device("cpu"))
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def stock(model: Model) -> Callable[[ImagineRequest, Image.Image | None], Images]:
    """The pipeline as diffusers loads it from the directory, without anything of ours in between."""
    pipelines = {kind: kind.from_pretrained(tiny(), safety_checker=None) for kind in (StableDiffusionPipeline, StableDiffusionImg2ImgPipeline)}
    drawn: dict[ImagineRequest, Images] = {}

    def draw(request: ImagineRequest, source: Image.Image | None) -> Images:
        if request not in drawn:
            pipeline = pipelines[StableDiffusionPipeline if source is None else StableDiffusionImg2ImgPipeline]
            pipeline.set_progress_bar_config(disable=True)
            pipeline.scheduler = model.scheduler(request.scheduler)
            canvas = {"width": request.width, "height": request.height} if source is None else {"image": source, "strength": request.strength}
            drawn[request] = pipeline(
                request.parts[0].text,
                negative_prompt=", ".join(request.unwanted) or None,
                num_inference_steps=request.steps,
                guidance_scale=request.guidance,
                num_images_per_prompt=request.count,
                generator=[torch.Generator().manual_seed(request.seed + k) for k in range(request.count)],
                output_type="np",
                **canvas,
            ).images
        return drawn[request]

    return draw


@dataclass(eq=False)
class Guest:
    """One request at the hub: when it joins, and what becomes of it."""

    request: ImagineRequest
    source: Image.Image | None = None
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


def party(model: Model, guests: Sequence[Guest], *, fixed_rows: int = 0, max_rows: int = 64) -> Hub:
    """Run them all to their ends."""
    hub = Hub(max_rows=max_rows, clock=time.perf_counter, fixed_rows=fixed_rows)
    tasks: dict[Guest, Task] = {}

    def task_of(guest: Guest) -> Task:
        def ended(task: Task) -> None:
            guest.images, guest.error = task.result, task.error

        return Task(lambda: operations.draw(model, guest.request, Canvas(start=guest.source), guest), guest.request.count, ended)

    turn = 0
    while not hub.idle or any(guest not in tasks for guest in guests):
        for guest in guests:
            if guest.joins <= turn and guest not in tasks:
                tasks[guest] = task_of(guest)
                hub.join(tasks[guest])
            if guest.leaves == turn and guest in tasks:
                hub.cancel(tasks[guest])
        hub.tick()
        turn += 1
    return hub


def furthest(one: Images | None, other: Images) -> float:
    assert one is not None
    return float(np.abs(one - other).max())


MIXED = [
    (imagine("a cat", steps=9, seed=1), None),
    (imagine("a dog on the beach", steps=5, seed=2, guidance=7.5, unwanted=("rain", "fog"), count=2), None),
    (imagine("two hats", steps=7, seed=3, guidance=1.0, scheduler="EulerDiscreteScheduler"), None),
    (imagine("a map", steps=6, seed=4, source="0" * 64, strength=0.5, count=2), SOURCE),
    (imagine("a boat", steps=8, seed=5, source="0" * 64, strength=0.9, scheduler="EulerAncestralDiscreteScheduler", unwanted=("sail",)), SOURCE),
    (imagine("wide", steps=4, seed=6, width=96), None),
]


@pytest.mark.parametrize("fixed_rows", [0, 8], ids=["as many rows as there are", "fixed rows"])
def test_requests_of_every_kind_share_a_batch_and_each_equals_stock(model: Any, stock: Any, fixed_rows: int) -> None:
    guests = [Guest(request, source, joins=2 * k) for k, (request, source) in enumerate(MIXED)]
    hub = party(model, guests, fixed_rows=fixed_rows)
    assert hub.counters.forwards < sum(guest.steps for guest in guests)  # they did share
    for guest in guests:
        assert furthest(guest.images, stock(guest.request, guest.source)) < TOLERANCE, guest.request


@pytest.mark.filterwarnings("ignore:__array_wrap__")  # a diffusers scheduler hands tensors to numpy
def test_every_scheduler_mixes_with_every_other(model: Any, stock: Any) -> None:
    guests = [Guest(imagine("a fox", steps=5, seed=k, scheduler=name), joins=k % 4) for k, name in enumerate(SCHEDULERS)]
    party(model, guests)
    assert not [guest.error for guest in guests if guest.error]
    far = {guest.request.scheduler: furthest(guest.images, stock(guest.request, None)) for guest in guests}
    assert max(far.values()) < TOLERANCE, far


def test_a_request_alone_gives_the_stock_pipelines_very_bits(model: Any, stock: Any) -> None:
    guest = Guest(imagine("a cat", steps=9, seed=1))
    party(model, [guest])
    assert np.array_equal(guest.images, stock(guest.request, None))


def test_with_fixed_rows_a_pictures_bits_do_not_depend_on_its_company(model: Any) -> None:
    alone = [Guest(request, source) for request, source in MIXED]
    for guest in alone:
        party(model, [guest], fixed_rows=8)
    company = [Guest(request, source, joins=k) for k, (request, source) in enumerate(MIXED)]
    party(model, company, fixed_rows=8)
    for one, other in zip(alone, company, strict=True):
        assert np.array_equal(one.images, other.images), one.request


def test_a_guest_that_fails_or_leaves_takes_nobody_along(model: Any, stock: Any) -> None:
    stays = [Guest(request, source) for request, source in MIXED[:3]]
    fails = Guest(imagine("trouble", steps=8), fails_after=3)
    leaves = Guest(imagine("impatient", steps=9, count=3), joins=1, leaves=18)
    never_admitted = Guest(imagine("late", count=9), joins=2, leaves=6)
    party(model, [*stays, fails, leaves, never_admitted], max_rows=9)
    assert isinstance(fails.error, ValueError) and fails.steps == 3
    assert isinstance(leaves.error, Cancelled) and 0 < leaves.steps < 9
    assert isinstance(never_admitted.error, Cancelled) and never_admitted.steps == 0
    for guest in stays:
        assert furthest(guest.images, stock(guest.request, guest.source)) < TOLERANCE


def test_previews_do_not_touch_the_picture(model: Any) -> None:
    request = imagine("a cat", steps=9, seed=1, scheduler="EulerAncestralDiscreteScheduler", count=2)
    curious, calm = Guest(request), Guest(request, curious=False)
    for guest in (curious, calm):
        party(model, [guest])
    assert (len(curious.previews), len(calm.previews)) == (2 * 4, 0)  # both pictures, at every other step but the last
    assert curious.images is not None and np.array_equal(curious.images, calm.images)


fates = st.fixed_dictionaries(
    {
        "which": st.integers(0, len(MIXED) - 1),
        "joins": st.integers(0, 20),
        "leaves": st.none() | st.integers(0, 30),
        "fails_after": st.none() | st.integers(1, 4),
    }
)


@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(fates, min_size=2, max_size=5), st.sampled_from([2, 5, 64]))
def test_whatever_the_others_do_a_survivor_equals_stock(model: Any, stock: Any, evening: list[dict[str, Any]], max_rows: int) -> None:
    guests = []
    for fate in evening:
        request, source = MIXED[fate.pop("which")]
        guests.append(Guest(request, source, **fate))
    party(model, guests, max_rows=max_rows)
    for guest in guests:
        if guest.error is None:
            assert furthest(guest.images, stock(guest.request, guest.source)) < TOLERANCE
        else:
            assert isinstance(guest.error, Cancelled if guest.leaves is not None and guest.steps != guest.fails_after else ValueError)


# ------------------------------------------------------------------------------------------------ weighted parts


def parts(**weights: float) -> tuple[Part, ...]:
    return tuple(Part(text=text, weight=weight) for text, weight in weights.items())


@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_a_part_of_no_weight_changes_nothing_and_weights_are_relative(model: Any, stock: Any, guidance: float) -> None:
    plain = imagine("cat", guidance=guidance, count=2)
    for weighted in (parts(cat=1, dog=0), parts(cat=3, dog=0), (Part(text="cat", weight=0.5), Part(text="cat", weight=2.5))):
        guest = Guest(imagine(parts=weighted, guidance=guidance, count=2))
        party(model, [guest])
        assert furthest(guest.images, stock(plain, None)) < TOLERANCE


def test_weighted_guidance_is_the_weighted_sum_of_the_parts_directions(model: Any) -> None:
    """The formula itself, written out against the bare denoiser."""
    unet = model.pipeline("words").unet
    torch.manual_seed(0)
    sample, without, cat, dog = torch.randn(2, 4, 8, 8), torch.randn(1, 24, 32), torch.randn(1, 24, 32), torch.randn(1, 24, 32)

    def predict(context: torch.Tensor) -> torch.Tensor:
        return unet(sample, torch.tensor(400), encoder_hidden_states=context.expand(2, -1, -1), return_dict=False)[0]

    blend = guidance.weighted([{"encoder_hidden_states": cat}, {"encoder_hidden_states": dog}], [1.5, -0.5])
    wrapped = guidance.Conditioned(unet, model.family, blend, guided=True)
    context = torch.cat([without.expand(2, -1, -1), cat.expand(2, -1, -1)])
    base, mixed = wrapped(torch.cat([sample, sample]), torch.tensor(400), encoder_hidden_states=context, return_dict=False)[0].chunk(2)
    wanted = predict(without) + 1.5 * (predict(cat) - predict(without)) - 0.5 * (predict(dog) - predict(without))
    assert torch.allclose(base, predict(without), atol=1e-5) and torch.allclose(mixed, wanted, atol=1e-5)


def test_weighted_requests_share_the_batch_with_plain_ones(model: Any, stock: Any) -> None:
    weighted = Guest(imagine(parts=parts(cat=2, dog=1, bird=-0.5), unwanted=("rain",), count=2))
    alone = Guest(weighted.request)
    party(model, [alone])
    plain = [Guest(request, source, joins=k) for k, (request, source) in enumerate(MIXED[:4])]
    party(model, [*plain, weighted])
    assert furthest(weighted.images, alone.images if alone.images is not None else np.zeros(1, np.float32)) < TOLERANCE
    for guest in plain:
        assert furthest(guest.images, stock(guest.request, guest.source)) < TOLERANCE
