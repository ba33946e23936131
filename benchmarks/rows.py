"""What rows with a will of their own cost and bring: different adapters in one forward, steps taken over row by row, and what there is to win in schedulers.

`python -m benchmarks.rows` prints one JSON object a line. All of it runs on one thread and is timed by that thread's CPU time; whatever is compared is run
in turns, and the best of several turns counts. Ratios hold on a busy machine; milliseconds are this machine's.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import FluxTransformer2DModel, StableDiffusionPipeline
from safetensors.torch import save_file
from torch import nn

from benchmarks import launch_bound
from engine import hub, rows
from engine.adapters import Adapters
from engine.hub import Hub, Share, Task
from engine.proxy import Proxy
from engine.rows import Row, Traits
from engine.shelf import POCKET
from engine.stepcache import StepCache

WORDS = ("a fox in the snow, 3d render", "a castle at sunset", "a rocket in space, pixel art", "an octopus under the sea", "a penguin on a beach, cartoon")
SHARES = {"unet": {"__call__": Share.BATCH}, "text_encoder": {"__call__": Share.WHOLE}, "vae": {"decode": Share.ROWS}}


def report(of: str, **found: Any) -> None:
    print(json.dumps({"of": of, **{name: round(value, 4) if isinstance(value, float) else value for name, value in found.items()}}), flush=True)


def seconds(work: Callable[[], object]) -> float:
    """Of this thread's CPU time."""
    begun = time.thread_time()
    work()
    return time.thread_time() - begun


def best_ms(ways: Mapping[str, Callable[[], float]], turns: int) -> dict[str, float]:
    """Milliseconds of the best turn of each way; each says how many seconds it took."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns + 1):
        for name, way in ways.items():
            spent = way()
            if turn:  # the first is for warming up
                taken[name].append(1e3 * spent)
    return {name: min(each) for name, each in taken.items()}


@contextlib.contextmanager
def models() -> Iterator[dict[str, Any]]:
    """The stock pipelines everything is measured with, by name."""
    with tempfile.TemporaryDirectory() as folder:
        folders = {"launch-bound": launch_bound.write(Path(folder)), "pocket": POCKET}
        found = {name: StableDiffusionPipeline.from_pretrained(where, safety_checker=None, dtype=torch.float32) for name, where in folders.items()}
        for pipeline in found.values():
            pipeline.set_progress_bar_config(disable=True)
        yield found


# ------------------------------------------------------------------------------------------------ adapters


def write_adapters(folder: Path, unet: nn.Module, names: Sequence[str], rank: int) -> dict[str, Path]:
    """Adapters for everything linear in the denoiser's attention blocks."""
    layers = {name: layer for name, layer in unet.named_modules() if isinstance(layer, nn.Linear) and ("attn" in name or ".ff." in name)}
    files = {}
    for name in names:
        state = {f"unet.{key}.lora_A.weight": 0.1 * torch.randn(rank, layer.in_features) for key, layer in layers.items()}
        state |= {f"unet.{key}.lora_B.weight": 0.1 * torch.randn(layer.out_features, rank) for key, layer in layers.items()}
        files[name] = folder / f"{name}.safetensors"
        save_file(state, files[name])
    return files


def adapters(model: str, pipeline: Any, rank: int = 8) -> None:
    """Eight rows: three adapters and none, two rows each, in one forward; against a forward for each, and against one adapter for everybody."""
    unet, names, count = pipeline.unet, ("ink", "glow", "lace"), 8
    channels, edge, words = unet.config.in_channels, unet.config.sample_size, unet.config.cross_attention_dim
    sample, times, text = torch.randn(count, channels, edge, edge), torch.randint(0, 999, (count,)), torch.randn(count, 20, words)
    takes = [*names, "", *names, ""]

    def forward(takes: Sequence[str], which: Sequence[int]) -> None:
        with rows.running([Row("request", Traits(loras=((name, 1.0),) if name else ())) for name in takes]):
            unet(sample[which], times[which], text[which])

    everybody = list(range(count))
    works = {
        "none": lambda: forward([""] * count, everybody),
        "one_for_all": lambda: forward(["ink"] * count, everybody),
        "mixed": lambda: forward(takes, everybody),
        "sub_batches": lambda: [forward([name] * 2, [k for k in everybody if takes[k] == name]) for name in (*names, "")],
    }

    def with_adapters(work: Callable[[], object], steady: bool) -> float:
        attached = Adapters(type(pipeline), pipeline.components, files, steady=steady)
        attached.load(names)
        spent = seconds(work)
        attached.detach()
        return spent

    with tempfile.TemporaryDirectory() as folder:
        files = write_adapters(Path(folder), unet, names, rank)
        ways = {name: functools.partial(with_adapters, work, False) for name, work in works.items()}
        ways |= {"untouched": functools.partial(seconds, works["none"]), "steady_mixed": functools.partial(with_adapters, works["mixed"], True)}
        taken = best_ms(ways, turns=9)
    report(
        "adapters",
        model=model,
        rows=count,
        adapters=len(names),
        **{f"{name}_ms": each for name, each in taken.items()},
        none_against_untouched=taken["none"] / taken["untouched"],
        mixed_against_sub_batches=taken["mixed"] / taken["sub_batches"],
        mixed_against_one_for_all=taken["mixed"] / taken["one_for_all"],
        mixed_against_none=taken["mixed"] / taken["none"],
        steady_mixed_against_none=taken["steady_mixed"] / taken["none"],
    )


# ------------------------------------------------------------------------------------------------ requests at a hub


class Requests:
    """The same requests, drawn together by a hub as often as wanted."""

    def __init__(self, pipeline: Any, *, count: int, steps: int, guidance: float, scheduler: str | None = None) -> None:
        self._pipeline = copy.copy(pipeline)
        for name, shares in SHARES.items():
            self._pipeline.__dict__[name] = Proxy(getattr(pipeline, name), shares)
        own = pipeline.scheduler
        self._scheduler = getattr(diffusers, scheduler).from_config(own.config) if scheduler else own
        self.count, self.steps, self._guidance = count, steps, guidance
        self._edge = pipeline.unet.config.sample_size * pipeline.vae_scale_factor

    def draw(self, output: str = "latent", watched: Callable[[Any], None] = lambda scheduler: None) -> list[Any]:
        """The pictures, one a request; `watched` is told each request's scheduler."""
        house, tasks = Hub(max_rows=self.count, clock=time.thread_time), []
        for seed in range(self.count):
            pipeline = copy.copy(self._pipeline)
            pipeline.__dict__["scheduler"] = copy.deepcopy(self._scheduler)
            watched(pipeline.scheduler)
            body = functools.partial(self._draw, pipeline, seed, output)
            tasks.append(Task(body, 1, lambda task: None, left=self.steps))
            house.join(tasks[-1])
        while not house.idle:
            house.tick()
        if failed := next((task.error for task in tasks if task.error), None):
            raise failed
        return [task.result for task in tasks]

    def _draw(self, pipeline: Any, seed: int, output: str) -> Any:
        def after_step(pipeline: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            hub.stepped()
            return tensors

        return pipeline(
            WORDS[seed % len(WORDS)],
            num_inference_steps=self.steps,
            guidance_scale=self._guidance,
            width=self._edge,
            height=self._edge,
            generator=torch.Generator().manual_seed(seed),
            output_type=output,
            callback_on_step_end=after_step,
        ).images[0]


# ------------------------------------------------------------------------------------------------ step cache


def psnr(one: Any, other: Any) -> float:
    """Decibels between two pictures in 0..1."""
    return float(-10 * np.log10(max(1e-12, np.mean((one - other) ** 2))))


def with_cache(denoiser: Any, threshold: float, work: Callable[[], object]) -> float:
    cache = StepCache(denoiser, threshold)
    spent = seconds(work)
    cache.detach()
    return spent


def step_cache(pipeline: Any, steps: int, thresholds: Sequence[float], count: int = 10) -> None:
    """The pocket model's pictures with steps taken over: what it saves until the latents are there, and how far it leads astray. At 0: what asking costs."""
    requests = Requests(pipeline, count=count, steps=steps, guidance=2.0)
    full, ways = requests.draw("np"), {"full": functools.partial(seconds, requests.draw)}
    ways |= {str(threshold): functools.partial(with_cache, pipeline.unet, threshold, requests.draw) for threshold in thresholds}
    taken = best_ms(ways, turns=3)
    for threshold in thresholds:
        cache = StepCache(pipeline.unet, threshold)
        pictures = requests.draw("np")
        cache.detach()
        decibels = [psnr(one, other) for one, other in zip(pictures, full, strict=True)]
        report(
            "step cache",
            model="pocket",
            steps=steps,
            threshold=threshold,
            taken_over=cache.taken / (cache.taken + cache.computed),
            time_saved=1 - taken[str(threshold)] / taken["full"],
            mean_difference=float(np.mean([np.abs(one - other).mean() for one, other in zip(pictures, full, strict=True)])),
            psnr_mean=float(np.mean(decibels)),
            psnr_least=min(decibels),
        )


class Owner:
    """Whose rows they are."""


def first_block_cache(thresholds: Sequence[float], count: int = 8, steps: int = 20) -> None:
    """A small FLUX.1 transformer with random weights: rows that each take their own way through their steps, in one batch."""
    torch.manual_seed(0)
    sizes = {"attention_head_dim": 32, "num_attention_heads": 4, "joint_attention_dim": 64, "pooled_projection_dim": 64, "axes_dims_rope": (8, 12, 12)}
    model = FluxTransformer2DModel(patch_size=1, in_channels=16, num_layers=4, num_single_layers=8, **sizes).eval()
    noise, picture = torch.randn(count, 64, 16), torch.randn(count, 64, 16)
    ids = {"txt_ids": torch.zeros(16, 3), "img_ids": torch.cartesian_prod(torch.zeros(1), torch.arange(8.0), torch.arange(8.0))}
    words = {"encoder_hidden_states": torch.randn(count, 16, 64), "pooled_projections": torch.randn(count, 64)}
    pace = torch.linspace(0.5, 0.9, count)  # each row slows down at a pace of its own

    def walk() -> None:
        names = [Row(Owner()) for _ in range(count)]
        for step in range(steps):
            way = (pace**step)[:, None, None]
            with rows.running(names):
                model(hidden_states=way * noise + (1 - way) * picture, timestep=0.5 + 0.3 * way.flatten(), **words, **ids)

    ways = {"full": functools.partial(seconds, walk)}
    ways |= {str(threshold): functools.partial(with_cache, model, threshold, walk) for threshold in thresholds}
    taken = best_ms(ways, turns=3)
    for threshold in thresholds:
        cache = StepCache(model, threshold)
        walk()
        cache.detach()
        over = cache.taken / (cache.taken + cache.computed)
        report("first-block cache", rows=count, threshold=threshold, taken_over=over, time_saved=1 - taken[str(threshold)] / taken["full"])


# ------------------------------------------------------------------------------------------------ schedulers


def schedulers(model: str, pipeline: Any, names: Sequence[str], counts: Sequence[int] = (1, 16)) -> None:
    """The share of a request-step that its scheduler takes: all that updating a whole batch's latents as one product could save."""
    for name in names:
        for count in counts:
            requests, spent = Requests(pipeline, count=count, steps=12, guidance=3.0, scheduler=name), Counter[str]()
            shares, per_step = [], []
            for _ in range(3):
                spent.clear()
                taken = seconds(lambda: requests.draw(watched=functools.partial(watch, spent)))  # noqa: B023  # called at once
                shares.append(spent["scheduler"] / taken)
                per_step.append(1e3 * taken / count / requests.steps)
            report("scheduler", model=model, scheduler=name, in_flight=count, request_step_ms=min(per_step), could_save=sorted(shares)[1])


def watch(spent: Counter[str], scheduler: Any) -> None:
    """Count the time of a scheduler's calls."""
    for name in ("step", "scale_model_input"):
        setattr(scheduler, name, _timed(getattr(scheduler, name), spent))


def _timed(function: Callable[..., Any], spent: Counter[str]) -> Callable[..., Any]:
    @functools.wraps(function)  # pipelines read the signature to learn what a scheduler takes
    def timed(*args: Any, **kwargs: Any) -> Any:
        begun = time.thread_time()
        output = function(*args, **kwargs)
        spent["scheduler"] += time.thread_time() - begun  # type: ignore[assignment]
        return output

    return timed


def main() -> None:
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    with models() as pipelines:
        for name, pipeline in pipelines.items():
            adapters(name, pipeline)
        first_block_cache((0.0, 0.1, 0.2, 0.4))
        for steps in (16, 30):
            step_cache(pipelines["pocket"], steps, (0.0, 0.1, 0.15, 0.2, 0.3))
        for name, pipeline in pipelines.items():
            schedulers(name, pipeline, ("EulerDiscreteScheduler", "DDIMScheduler", "DPMSolverMultistepScheduler", "UniPCMultistepScheduler"))


if __name__ == "__main__":
    main()
