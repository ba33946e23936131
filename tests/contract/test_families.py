"""Every family: a request drawn alone, in company and by the stock pipeline of the same directory is the same picture, from the words on.

What is measured is the decoded pictures (0..1) before they become 8 bits, the largest difference against the largest value, in float32. The small models
behind it have every part that a real one has (`tests.contract.families`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from engine import guidance, reading, steps
from engine.api import ImagineRequest, Part
from engine.hub import Cancelled, Hub, Task
from engine.model import Model
from engine.preview import Forecast
from engine.shelf import SCHEDULERS
from tests.contract.engines import imagine
from tests.contract.families import shelves
from tests.contract.families.company import Guest, by_stock, far, party
from tests.contract.families.shelves import BUILDERS

TOLERANCE = 2e-5
#: Drawn in every run; the others are variants of these.
MAIN = ("sd", "sdxl", "sd3", "flux", "klein", "pixart", "sana", "sprint", "zimage", "qwen")
#: How a stock pipeline is told of guidance and unwanted words, as its own documentation says.
UNBINNED = {"use_resolution_binning": False, "clean_caption": False}
TOLD: Mapping[str, Any] = {
    "sd": lambda scale, unwanted: {"guidance_scale": scale, "negative_prompt": unwanted},
    "sdxl": lambda scale, unwanted: {"guidance_scale": scale, "negative_prompt": unwanted},
    "sd3": lambda scale, unwanted: {"guidance_scale": scale, "negative_prompt": unwanted},
    "flux": lambda scale, unwanted: {"guidance_scale": scale},
    "flux2": lambda scale, unwanted: {"guidance_scale": scale},
    "pixart": lambda scale, unwanted: {"guidance_scale": scale, "negative_prompt": unwanted or "", **UNBINNED},
    "sana": lambda scale, unwanted: {"guidance_scale": scale, "negative_prompt": unwanted or "", **UNBINNED},
    "sprint": lambda scale, unwanted: {"guidance_scale": scale, "intermediate_timesteps": None, **UNBINNED},
    "zimage": lambda scale, unwanted: {"guidance_scale": scale - 1, "negative_prompt": unwanted},
    "qwen": lambda scale, unwanted: {"true_cfg_scale": scale, "negative_prompt": unwanted or " "},
}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    yield
    torch.set_grad_enabled(True)
    torch.set_num_threads(threads)


def stock(name: str, guest: Guest, scheduler: Any = None) -> Any:
    """The guest's pictures by the stock pipeline."""
    request, family = guest.request, BUILDERS[name][0]
    told = TOLD[name if name == "sprint" else family](request.guidance, ", ".join(request.unwanted) or None)
    if name == "sprint" and request.steps == 2:
        del told["intermediate_timesteps"]
    kind = shelves.model(name).family.pipelines[guest.start]
    return by_stock(shelves.stock(name, kind), guest, scheduler, **told)


def ask(name: str, words: str, **changes: Any) -> ImagineRequest:
    if not shelves.model(name).family.negative:
        changes.pop("unwanted", None)
    return imagine(words, name, **changes)


def evening(name: str) -> list[Guest]:
    """Requests that differ in everything: words and their length, steps, guidance, unwanted words, how many, what they start from, when they join."""
    guests = [
        Guest(ask(name, "a cat", steps=5, guidance=4.0, seed=1)),
        Guest(ask(name, "a long-haired dog on the beach, at noon", steps=2, guidance=3.0, seed=2, count=2, unwanted=("rain", "fog")), joins=3),
        Guest(ask(name, "hats", steps=3, guidance=1.0, seed=3), joins=2),
    ]
    source = {"source": "0" * 64, "guidance": 2.5}
    if "picture" in shelves.model(name).family.pipelines:
        guests.append(Guest(ask(name, "a map", steps=4, seed=4, strength=0.6, **source), "picture", joins=1))
    if "mask" in shelves.model(name).family.pipelines:
        guests.append(Guest(ask(name, "a boat", steps=3, seed=5, strength=0.9, **source), "mask", joins=4))
    return guests


def calls(guests: Sequence[Guest]) -> int:
    """Forwards they would have taken one after the other, at the least."""
    return sum(len(guest.steps) for guest in guests)


@pytest.mark.parametrize("name", MAIN)
def test_requests_of_a_family_share_forwards_and_each_equals_stock(name: str) -> None:
    model, guests = shelves.model(name), evening(name)
    leaves = Guest(ask(name, "impatient", steps=30, seed=6), joins=1, leaves=3)
    hub = party(model, [*guests, leaves])
    assert isinstance(leaves.error, Cancelled) and len(leaves.steps) == 3
    assert not [guest.error for guest in guests if guest.error]
    alone = [Guest(guest.request, guest.start) for guest in guests]
    forwards = sum(party(model, [guest]).counters.forwards for guest in alone)
    assert hub.counters.forwards < forwards + len(leaves.steps)
    for guest, single in zip(guests, alone, strict=True):
        wanted = stock(name, guest)
        assert wanted.std() > 0.05 and ((wanted > 0) & (wanted < 1)).mean() > 0.5  # there is something to compare
        assert far(single.images, wanted) < TOLERANCE, guest.request
        assert far(guest.images, wanted) < TOLERANCE, guest.request
        assert guest.steps == [(step + 1, len(guest.steps)) for step in range(len(guest.steps))]
    assert len(guests[0].steps) == 5 and [preview.shape for preview in guests[0].previews] == [(64, 64, 3)]


@pytest.mark.parametrize(("name", "scale"), [*((name, 3.0) for name in MAIN), ("sd", 1.0), ("zimage", 1.0), ("qwen", 1.0)])
def test_what_is_captured_of_the_words_is_all_that_the_denoiser_is_told_of_them(name: str, scale: float) -> None:
    """A pipeline that encodes other words, under the captured conditions of these, draws these: `these::1 others::0`."""
    model = shelves.model(name)
    these, others = (ask(name, text, steps=2, guidance=scale, seed=1) for text in ("a cat", "two hats in the rain"))
    found = [conditions(model, request) for request in (these, others)]
    blend = guidance.weighted([(1.0, found[0]), (0.0, found[1])])

    def body() -> Any:
        pipeline = model.pipeline("words")
        denoiser = getattr(pipeline, model.family.denoiser)
        pipeline.__dict__[model.family.denoiser] = guidance.Conditioned(denoiser, model.family, blend, guided=scale > 1)
        told = {**model.family.arguments(steps=2, guidance=scale), "prompt": "two hats in the rain", "width": 64, "height": 64}
        return pipeline(**told, generator=torch.Generator().manual_seed(1), output_type="np").images

    images = in_hub(body)
    assert far(images, stock(name, Guest(these))) < TOLERANCE
    assert far(images, stock(name, Guest(others))) > 100 * TOLERANCE


def conditions(model: Model, request: ImagineRequest) -> guidance.Conditions:
    captured = guidance.capture(model.pipeline("words"), model.family, model.family.first_call(request.parts[0].text, 64, 64))
    return guidance.conditions(captured, model.family)


def in_hub(body: Any) -> Any:
    """The result of one task."""
    hub = Hub(max_rows=8, clock=lambda: 0.0)
    task = Task(body, 1, lambda task: None)
    hub.join(task)
    while hub.tick():
        pass
    if task.error:
        raise task.error
    return task.result


@pytest.mark.parametrize("name", ["sdxl", "flux", "zimage", "qwen"])
def test_weighted_and_emphasised_requests_draw_in_company_what_they_draw_alone(name: str) -> None:
    model = shelves.model(name)
    parts = (Part(text="a cat", weight=2), Part(text="two hats in the rain", weight=1), Part(text="fog", weight=-0.5))
    weighted = Guest(ask(name, "", parts=parts, steps=3, guidance=3.0, seed=1))
    alone, plain = Guest(weighted.request), Guest(ask(name, "a cat", steps=3, guidance=3.0, seed=1))
    party(model, [alone])
    party(model, [plain, weighted])
    assert far(weighted.images, alone.images) < TOLERANCE
    assert far(weighted.images, plain.images) > 100 * TOLERANCE
    assert far(plain.images, stock(name, plain)) < TOLERANCE


# ------------------------------------------------------------------------------------------------ what keeps rows apart, and what does not


def test_z_image_draws_pictures_of_different_sizes_and_text_lengths_in_one_forward() -> None:
    sizes = [(64, 64), (96, 64), (64, 128)]
    guests = [Guest(ask("zimage", "cat " * (9 * k + 1), steps=3, guidance=1.0 + k, seed=k, width=w, height=h)) for k, (w, h) in enumerate(sizes)]
    hub = party(shelves.model("zimage"), guests)
    assert hub.counters.forwards == 3
    assert max(far(guest.images, stock("zimage", guest)) for guest in guests) < TOLERANCE


def test_qwen_draws_texts_of_different_lengths_in_one_forward() -> None:
    guests = [Guest(ask("qwen", "cat " * (9 * k + 1), steps=3, guidance=1.0, seed=k, count=k + 1)) for k in range(3)]
    hub = party(shelves.model("qwen"), guests)
    assert (hub.counters.forwards, hub.counters.rows) == (3, 3 * 6)
    assert max(far(guest.images, stock("qwen", guest)) for guest in guests) < TOLERANCE


@pytest.mark.parametrize("name", ["flux", "klein", "qwen"])
def test_as_many_tokens_in_another_shape_do_not_share_a_forward(name: str) -> None:
    guests = [Guest(ask(name, "a cat", steps=2, guidance=1.0, seed=k, width=w, height=h)) for k, (w, h) in enumerate([(64, 128), (128, 64)])]
    hub = party(shelves.model(name), guests)
    assert hub.counters.forwards == 4
    assert max(far(guest.images, stock(name, guest)) for guest in guests) < TOLERANCE


@pytest.mark.parametrize("name", ["klein", "sprint", "zimage"])
def test_with_fixed_rows_a_pictures_bits_do_not_depend_on_its_company(name: str) -> None:
    guests = [Guest(ask(name, "a cat", steps=2 + k, guidance=1.0 + k, seed=k, count=1 + k), joins=k) for k in range(2)]
    party(shelves.model(name), guests, fixed_rows=8)
    for guest in guests:
        alone = Guest(guest.request)
        party(shelves.model(name), [alone], fixed_rows=8)
        assert np.array_equal(guest.images, alone.images) and far(guest.images, stock(name, guest)) < TOLERANCE


# ------------------------------------------------------------------------------------------------ schedulers


@pytest.mark.filterwarnings("ignore:__array_wrap__")  # a diffusers scheduler hands tensors to numpy
@pytest.mark.parametrize("name", ["sdxl", "pixart"])  # tests.contract.test_equality has Stable Diffusion's
def test_every_scheduler_a_family_takes_mixes_with_every_other(name: str) -> None:
    model = shelves.model(name)
    guests = [Guest(ask(name, "a fox", steps=3, guidance=2.0, seed=k, width=32, height=32, scheduler=each), joins=k % 4) for k, each in enumerate(SCHEDULERS)]
    party(model, guests)
    assert not [guest.error for guest in guests if guest.error]
    assert all(guest.steps[-1][0] == guest.steps[-1][1] == len(guest.steps) for guest in guests)
    apart = {guest.request.scheduler: far(guest.images, stock(name, guest, model.scheduler(guest.request.scheduler))) for guest in guests}
    assert max(apart.values()) < TOLERANCE, apart


def test_a_flow_model_stays_one_under_the_scheduler_its_card_names() -> None:
    """Sana's own repository names DPM-Solver++ for flows; a card may name it where the files name Euler."""
    flows = reading.scheduler_like(shelves.stock("sana", "SanaPipeline").scheduler, "DPMSolverMultistepScheduler")
    assert (flows.config.use_flow_sigmas, flows.config.prediction_type, flows.config.flow_shift) == (True, "flow_prediction", 3.0)
    back = reading.scheduler_like(flows, "FlowMatchEulerDiscreteScheduler")
    assert back.config.shift == 3.0
    guest = Guest(ask("sana", "a fox", steps=4, scheduler="DPMSolverMultistepScheduler"))
    party(shelves.model("sana"), [guest])
    assert far(guest.images, stock("sana", guest, flows)) < TOLERANCE


# ------------------------------------------------------------------------------------------------ steps


def test_a_pipeline_that_does_not_call_back_is_watched_and_stopped_at_its_scheduler() -> None:
    """PixArt's."""
    model = shelves.model("pixart")
    whole, half = (Guest(ask("pixart", "a fox", steps=6, guidance=2.0, stop=stop)) for stop in (1.0, 0.5))
    forwards = party(model, [whole]).counters.forwards, party(model, [half]).counters.forwards
    assert forwards == (6, 3) and half.steps == [(1, 3), (2, 3), (3, 3)]
    assert half.error is None and far(half.images, whole.images) > 100 * TOLERANCE


@pytest.mark.parametrize("name", ["pixart", "sd"])
def test_latents_that_are_given_back_after_a_step_take_the_others_place(name: str) -> None:
    model = shelves.model(name)
    seen: list[tuple[int, int]] = []

    def black_at_last(done: int, of: int, latents: torch.Tensor) -> torch.Tensor | None:
        seen.append((done, of))
        return torch.zeros_like(latents) if done == of else None

    def body() -> Any:
        pipeline = model.pipeline("words")
        told = {**model.family.arguments(steps=3, guidance=1.0), "prompt": "a cat", "width": 64, "height": 64, "output_type": "latent"}
        return pipeline(**steps.watch_steps(pipeline, model.family, told, black_at_last)).images

    assert in_hub(body).abs().max() == 0 and seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("name", MAIN)
def test_previews_decode_what_the_pipeline_itself_would_decode(name: str) -> None:
    model = shelves.model(name)
    pipeline = shelves.stock(name, model.family.pipelines["words"])
    decoded: list[torch.Tensor] = []
    held: list[torch.Tensor] = []
    decode, scheduler = pipeline.vae.decode, pipeline.scheduler
    told = {**model.family.arguments(steps=2, guidance=1.0), "prompt": "a cat", "width": 96, "height": 64, "generator": torch.Generator()}
    try:
        pipeline.vae.decode = lambda latents, **kwargs: decoded.append(latents) or decode(latents, **kwargs)
        pipeline.scheduler = model.scheduler(None)
        forecast = Forecast(pipeline.scheduler)
        pipeline(**steps.watch_steps(pipeline, model.family, told, lambda done, of, latents: held.append(latents)))
    finally:
        pipeline.vae.decode, pipeline.scheduler = decode, scheduler
    wanted = decoded[-1][:, :, 0] if decoded[-1].dim() == 5 else decoded[-1]
    last = forecast.latents(held[-1]) if name == "sprint" else held[-1]  # its pipeline decodes the scheduler's own forecast
    assert torch.allclose(model.family.decodable(pipeline, last, 96, 64), wanted, atol=1e-4)
    assert [picture.shape for picture in model.previewer(last, 96, 64)] == [(64, 96, 3)]
