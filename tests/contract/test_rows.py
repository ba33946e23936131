"""Rows with a will of their own, at a hub: adapters, a step cache, seamless pictures. Requests in company draw what they draw alone, and what a stock
pipeline with fused weights or circular convolutions draws.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from safetensors.torch import save_file
from torch import nn

from engine import codec, hub
from engine.adapters import Adapters
from engine.embeddings import EmbeddingCache
from engine.hub import Hub, Share, Task
from engine.proxy import Proxy
from engine.rows import PLAIN, Traits
from engine.stepcache import StepCache
from engine.tiling import Wrapping
from tests.contract.engines import picture, tiny

SOURCE = codec.decode(picture(4, 64, 64))
INK = Traits(loras=(("ink", 0.8),))
GLOW = Traits(loras=(("glow", -0.5),))
BOTH = Traits(loras=(("glow", 0.6), ("ink", 0.3)))
TILE = Traits(tile=True)


@pytest.fixture(autouse=True)
def one_thread_without_gradients() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        yield
    torch.set_num_threads(threads)


@pytest.fixture
def stock() -> Any:
    """The pipeline as diffusers loads it."""
    pipeline = StableDiffusionPipeline.from_pretrained(tiny(), safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@dataclass(eq=False)
class Guest:
    """One request at the hub."""

    seed: int
    steps: int
    traits: Traits = PLAIN
    words: str = "a fox"
    count: int = 1
    joins: int = 0  #: at which turn of the hub
    latents: torch.Tensor | None = None
    source: Any = None
    output: str = "latent"
    images: Any = None
    error: Exception | None = None

    def drawn_by(self, pipeline: Any) -> Any:
        """By a pipeline of the guest's own."""
        pipeline.__dict__["scheduler"] = copy.deepcopy(pipeline.scheduler)

        def after_step(pipeline: Any, index: int, timestep: Any, tensors: Any) -> Any:
            hub.stepped()
            return tensors

        start = {"width": 64, "height": 64, "latents": self.latents} if self.source is None else {"image": self.source, "strength": 0.7}
        return pipeline(
            self.words,
            num_inference_steps=self.steps,
            guidance_scale=3.0,
            num_images_per_prompt=self.count,
            generator=[torch.Generator().manual_seed(self.seed + k) for k in range(self.count)],
            output_type=self.output,
            callback_on_step_end=after_step,
            **start,
        ).images


@dataclass
class House:
    """A hub, and pipelines whose heavy modules are run by it."""

    words: Any
    fixed_rows: int = 0
    memory: EmbeddingCache = field(default_factory=EmbeddingCache)
    picture: Any = None

    def __post_init__(self) -> None:
        self.picture = StableDiffusionImg2ImgPipeline(**self.words.components, requires_safety_checker=False)
        self.picture.set_progress_bar_config(disable=True)
        shares = {"unet": {"__call__": Share.BATCH}, "text_encoder": {"__call__": Share.WHOLE}, "vae": {"encode": Share.WHOLE, "decode": Share.ROWS}}
        for name, share in shares.items():
            proxy = Proxy(getattr(self.words, name), share, memory=self.memory if name == "text_encoder" else None)
            for pipeline in (self.words, self.picture):
                pipeline.__dict__[name] = proxy

    def party(self, guests: Sequence[Guest]) -> Hub:
        """Run them all to their ends."""
        house, waiting, turn = Hub(max_rows=64, clock=time.perf_counter, fixed_rows=self.fixed_rows), list(guests), 0
        while waiting or not house.idle:
            for guest in [guest for guest in waiting if guest.joins <= turn]:
                waiting.remove(guest)
                house.join(self._task(guest))
            house.tick()
            turn += 1
        return house

    def _task(self, guest: Guest) -> Task:
        def ended(task: Task) -> None:
            guest.images, guest.error = task.result, task.error

        pipeline = copy.copy(self.picture if guest.source else self.words)
        return Task(lambda: guest.drawn_by(pipeline), guest.count, ended, left=guest.steps, traits=guest.traits)


def furthest(one: Any, other: Any) -> float:
    one, other = torch.as_tensor(one), torch.as_tensor(other)
    return float((one - other).abs().max() / other.abs().max())


# ------------------------------------------------------------------------------------------------ adapters


Changes = dict[tuple[str, str], torch.Tensor]


def write(path: Path, pipeline: Any, rank: int, alpha: float, seed: int) -> Changes:
    """An adapter of the denoiser and the text encoder as kohya's trainer writes it; returns what it adds to which weights."""
    generator = torch.Generator().manual_seed(seed)
    state, changes = {}, {}
    for component, prefix in (("unet", "lora_unet"), ("text_encoder", "lora_te_text_model")):
        for name, layer in getattr(pipeline, component).named_modules():
            wanted = isinstance(layer, nn.Linear) and ("attn" in name or "mlp" in name or ".ff." in name)
            if wanted or (isinstance(layer, nn.Conv2d) and ("conv1" in name or "proj_in" in name)):
                short, shape = f"{prefix}_{name.removeprefix('text_model.').replace('.', '_')}", layer.weight.shape
                down = torch.randn(rank, *shape[1:], generator=generator) / math.sqrt(shape[1:].numel())
                up = 0.5 * torch.randn(shape[0], rank, *(1,) * (len(shape) - 2), generator=generator)
                state |= {f"{short}.lora_down.weight": down, f"{short}.lora_up.weight": up, f"{short}.alpha": torch.tensor(alpha)}
                changes[component, name] = alpha / rank * (up.flatten(1) @ down.flatten(1)).view(shape)
    save_file(state, path)
    return changes


def fused(pipeline: Any, *changes: tuple[Changes, float]) -> Any:
    """Another pipeline, with the adapters in its weights."""
    parts = {name: copy.deepcopy(getattr(pipeline, name)) for name in ("unet", "text_encoder")}
    for each, amount in changes:
        for (component, name), value in each.items():
            parts[component].get_submodule(name).weight += amount * value
    whole = StableDiffusionPipeline(**{**pipeline.components, **parts}, requires_safety_checker=False)
    whole.set_progress_bar_config(disable=True)
    return whole


@dataclass
class Atelier:
    """A house with two adapters, and what each request should come to."""

    house: House
    expected: dict[Traits, Any]


@pytest.fixture
def atelier(stock: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Atelier:
    fixed_rows = getattr(request, "param", 0)
    files = {name: tmp_path / f"{name}.safetensors" for name in ("ink", "glow")}
    ink, glow = write(files["ink"], stock, 4, 2.0, 1), write(files["glow"], stock, 3, 3.0, 2)
    expected = {PLAIN: fused(stock), INK: fused(stock, (ink, 0.8)), GLOW: fused(stock, (glow, -0.5)), BOTH: fused(stock, (ink, 0.3), (glow, 0.6))}
    house = House(stock, fixed_rows)
    Adapters(StableDiffusionPipeline, stock.components, files, steady=fixed_rows > 0).load(files)  # behind the proxies, or through them: it is the same
    return Atelier(house, expected)


def visitors() -> list[Guest]:
    takes = (INK, PLAIN, GLOW, BOTH, INK)
    return [Guest(seed=k, steps=4 + k % 3, traits=each, joins=2 * k, count=1 + k % 2, words="a fox in the snow") for k, each in enumerate(takes)]


@pytest.mark.parametrize("atelier", [0, 8], ids=["as many rows as there are", "fixed rows"], indirect=True)
def test_requests_with_different_adapters_share_forwards_and_each_equals_fused_weights(atelier: Atelier) -> None:
    guests = visitors()
    house = atelier.house.party(guests)
    assert not [guest.error for guest in guests if guest.error]
    assert house.counters.forwards < sum(guest.steps for guest in guests)  # they did share
    for guest in guests:
        assert furthest(guest.images, guest.drawn_by(atelier.expected[guest.traits])) < 1e-5
    changed = [furthest(guest.images, guest.drawn_by(atelier.expected[PLAIN])) for guest in guests if guest.traits is not PLAIN]
    assert min(changed) > 1e-2


@pytest.mark.parametrize("atelier", [8], indirect=True)
def test_with_fixed_rows_a_pictures_bits_do_not_depend_on_its_companys_adapters(atelier: Atelier) -> None:
    together, apart = visitors(), visitors()
    atelier.house.party(together)
    for guest in apart:
        atelier.house.party([guest])
    assert all(torch.equal(one.images, other.images) for one, other in zip(together, apart, strict=True))


def test_words_are_remembered_for_each_set_of_adapters(atelier: Atelier) -> None:
    guests = [Guest(seed=1, steps=2, traits=each, joins=20 * k) for k, each in enumerate((PLAIN, INK, PLAIN, INK))]
    atelier.house.party(guests)
    assert (atelier.house.memory.misses, atelier.house.memory.hits) == (4, 4)  # the words and the empty words, with ink and without
    assert torch.equal(guests[0].images, guests[2].images) and torch.equal(guests[1].images, guests[3].images)
    assert furthest(guests[0].images, guests[1].images) > 1e-2


# ------------------------------------------------------------------------------------------------ step cache


def walkers() -> list[Guest]:
    return [Guest(seed=k, steps=10 + 3 * k, joins=3 * k, count=1 + k % 2, words=words) for k, words in enumerate(("a fox", "two hats", "a map", "the sea"))]


def test_requests_with_a_step_cache_draw_in_company_what_they_draw_alone(stock: Any) -> None:
    cache = StepCache(stock.unet, 0.1)
    house, together, apart = House(stock), walkers(), walkers()
    for guest in apart:
        house.party([guest])
    taken, computed = cache.taken, cache.computed
    assert taken > 20 and computed > 20
    house.party(together)
    assert (cache.taken, cache.computed) == (2 * taken, 2 * computed)
    assert max(furthest(one.images, other.images) for one, other in zip(together, apart, strict=True)) < 1e-5


def test_when_a_request_ends_nothing_of_it_is_remembered(stock: Any) -> None:
    cache, house = StepCache(stock.unet, 0.1), House(stock)
    seen = []
    stock.unet._module.register_forward_hook(lambda *_: seen.append(cache.bytes))
    house.party(walkers())
    assert max(seen) > 0 and cache.bytes == 0


# ------------------------------------------------------------------------------------------------ seamless pictures


def around(tensor: Any, down: int, right: int) -> torch.Tensor:
    return torch.roll(torch.as_tensor(tensor), (down, right), (-2, -1))


def wrapped(pipeline: Any) -> Any:
    """Another pipeline, circular from the start."""
    whole = copy.deepcopy(pipeline)
    for module in (whole.unet, whole.vae.decoder):
        for each in module.modules():
            if isinstance(each, nn.Conv2d):
                each.padding_mode = "circular"
    return whole


@pytest.mark.parametrize("source", [None, SOURCE], ids=["from words", "from a picture"])
def test_seamless_requests_and_others_draw_what_stock_pipelines_of_their_own_draw(stock: Any, source: Any) -> None:
    plain, seamless = copy.deepcopy(stock), wrapped(stock)
    for module in (stock.unet, stock.vae.decoder):
        Wrapping(module)
    guests = [Guest(seed=k, steps=4 + k, traits=TILE if k % 2 else PLAIN, joins=k, count=2, source=source, output="pt") for k in range(4)]
    House(stock).party(guests)
    for guest in guests:
        by = seamless if guest.traits.tile else plain
        by = by if source is None else StableDiffusionImg2ImgPipeline(**by.components, requires_safety_checker=False)
        by.set_progress_bar_config(disable=True)
        assert guest.error is None and furthest(guest.images, guest.drawn_by(by)) < 1e-5


def test_what_starts_shifted_around_ends_shifted_around(stock: Any) -> None:
    for module in (stock.unet, stock.vae.decoder):
        Wrapping(module)
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    here, there = (Guest(seed=1, steps=5, traits=TILE, latents=each, output="pt") for each in (latents, around(latents, 2, 4)))
    House(stock).party([here, there])
    scale = here.images.shape[-1] // 8
    assert furthest(there.images, around(here.images, 2 * scale, 4 * scale)) < 1e-4
