"""The sides of `benchmarks.engine_load`: the stock pipeline one request at a time, static batches of stock pipelines, and the product's own hub.

Every side makes the same PNG files of what it draws, in turn with its drawing: on a clock that counts the whole process's CPU time it makes no difference
which thread would have done it.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.engine_stream import Arrival, Outcome, VirtualClock
from engine import checks, codec, perform
from engine.api import ImagineRequest
from engine.canvas import EMPTY, Canvas
from engine.codec import Pixels
from engine.hub import Hub, Task
from engine.jobs import Paced
from engine.model import Model
from engine.results import Drawn, finish

Images = NDArray[np.float32]
"""Count × height × width × 3 in 0..1."""


def source_of(request: ImagineRequest) -> Image.Image | None:
    """The picture a variation starts from: blurred colours that depend on nothing but its name."""
    if request.source is None:
        return None
    colours = np.random.default_rng(list(request.source.encode())).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((request.width, request.height), Image.Resampling.BICUBIC)


def encode(request: ImagineRequest, drawn: Drawn) -> None:
    """PNG files with their parameters, by the product's own hand."""
    finish(request, EMPTY, drawn, "")


# ------------------------------------------------------------------------------------------------ stock


class Stock:
    """Diffusers' pipelines as they are read from a model's directory; nothing of ours in them."""

    def __init__(self, folder: Path) -> None:
        options = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False, "low_cpu_mem_usage": False}
        self.from_words = diffusers.StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32, local_files_only=True, use_safetensors=True, **options)
        self.from_picture = diffusers.StableDiffusionImg2ImgPipeline(**self.from_words.components, requires_safety_checker=False)
        for pipeline in (self.from_words, self.from_picture):
            pipeline.set_progress_bar_config(disable=True)

    def draw(self, requests: Sequence[ImagineRequest]) -> list[Images]:
        """One call of the pipeline for requests that agree in everything but words, seeds, pictures and their number."""
        first, alone = requests[0], len(requests) == 1
        source = self.from_words if first.source is None else self.from_picture
        pipeline = copy.copy(source)
        pipeline.scheduler = copy.deepcopy(source.scheduler)
        arguments: dict[str, Any] = {
            "prompt": first.parts[0].text if alone else [request.parts[0].text for request in requests for _ in range(request.count)],
            "num_images_per_prompt": first.count if alone else 1,
            "num_inference_steps": first.steps,
            "guidance_scale": first.guidance,
            "generator": [torch.Generator("cpu").manual_seed(seed) for request in requests for seed in checks.grid_seeds(request)],
            "output_type": "np",
        }
        if first.source is None:
            arguments |= {"width": first.width, "height": first.height}
        else:
            sources = [source_of(request) for request in requests]
            arguments["image"] = sources[0] if alone else [image for image, request in zip(sources, requests, strict=True) for _ in range(request.count)]
            arguments["strength"] = first.strength
        images: Images = pipeline(**arguments).images
        ends = np.cumsum([request.count for request in requests])[:-1]
        return list(np.split(images, ends))


def alike(request: ImagineRequest) -> tuple[Any, ...]:
    """Requests for which this is equal can be one static batch."""
    return (request.steps, request.guidance, request.width, request.height, request.source is None, request.strength)


def take(waiting: Sequence[ImagineRequest], limit: int) -> list[int]:
    """Indexes of the next static batch: who has waited longest, and those like it, up to `limit` pictures (or one request, however large)."""
    taken, pictures = [0], waiting[0].count
    for i in range(1, len(waiting)):
        if alike(waiting[i]) == alike(waiting[0]) and pictures + waiting[i].count <= limit:
            taken.append(i)
            pictures += waiting[i].count
    return taken


@dataclass(frozen=True, slots=True)
class Alone:
    """What one request took of the stock pipeline, by itself."""

    seconds: float  #: of CPU time
    wall: float


def run_alone(stock: Stock, requests: Sequence[ImagineRequest]) -> list[Alone]:
    """Draw them one after the other. How long each takes does not depend on when it came, so this serves every load."""
    times = []
    for request in requests:
        busy, wall = time.process_time(), time.perf_counter()
        encode(request, Drawn(stock.draw([request])[0]))
        times.append(Alone(time.process_time() - busy, time.perf_counter() - wall))
    return times


def run_static(stock: Stock, stream: Sequence[Arrival], limit: int, clock: VirtualClock) -> list[Outcome]:
    """Batches of up to `limit` pictures that start together and end together, as soon as anybody waits."""
    line, done = list(range(len(stream))), dict[int, Outcome]()
    while line:
        clock.skip_to(stream[line[0]].due)
        now = clock.now()
        here = [i for i in line if stream[i].due <= now]
        batch = [here[k] for k in take([stream[i].request for i in here], limit)]
        drawn = stock.draw([stream[i].request for i in batch])
        for i, images in zip(batch, drawn, strict=True):
            encode(stream[i].request, Drawn(images))
        for i in batch:
            done[i] = Outcome(seen=clock.now(), done=clock.now())
        line = [i for i in line if i not in done]
    return [done[i] for i in range(len(stream))]


# ------------------------------------------------------------------------------------------------ ours


@dataclass(frozen=True, slots=True)
class Settings:
    """How the hub is set up."""

    max_rows: int  #: pictures that step together
    forward_rows: int  #: rows of one forward
    fixed_rows: int = 0
    previews: bool = True  #: as members see them; False where only the drawing is compared


class Member:
    """Who waits for one request: receives its previews and its pictures. What `engine.device` knows as a job."""

    def __init__(self, request: ImagineRequest, clock: Callable[[], float], *, previews: bool, keep: bool) -> None:
        self._request, self._clock, self._previews, self._keep = request, clock, previews, keep
        self.task: Task | None = None
        self.seen = self.done = float("inf")
        self.images: Images | None = None  #: what was drawn, if it is to be kept

    def progress(self, step: int, of: int) -> None:
        """The chats would be told; here nobody listens."""

    def wants_preview(self) -> bool:
        return self._previews

    def preview(self, pictures: list[Pixels]) -> None:
        codec.encode_webp(codec.preview_grid(pictures, self._request.width, self._request.height))
        self.seen = min(self.seen, self._clock())

    def ended(self, task: Task) -> None:
        if task.error is not None:
            raise task.error
        self.images = task.result.images if self._keep else None
        encode(self._request, task.result)
        self.done = self._clock()
        self.seen = min(self.seen, self.done)


class Ours:
    """The product's hub, and the one place in the benchmarks that knows how a request is handed to it."""

    def __init__(self, model: Model, settings: Settings, clock: Callable[[], float]) -> None:
        self._model, self._settings, self._clock = model, settings, clock
        self.hub = Hub(max_rows=settings.max_rows, clock=clock, fixed_rows=settings.fixed_rows, forward_rows=settings.forward_rows)

    def join(self, request: ImagineRequest, *, keep: bool = False) -> Member:
        """As `engine.device` does for a request that has come from the bot's queue."""
        member = Member(request, self._clock, previews=self._settings.previews, keep=keep)
        canvas, watch = Canvas(start=source_of(request)), Paced(member, self._clock)  # type: ignore[arg-type]  # a watch asks for less than a whole job
        member.task = Task(
            lambda: perform.perform(self._model, request, canvas, watch),
            request.rows,
            member.ended,
            left=perform.steps(request),
            kind=(request.model, request.width, request.height),
            traits=perform.traits(request),
            decoded=perform.decoded(request),
        )
        self.hub.join(member.task)
        return member


def run_ours(model: Model, stream: Sequence[Arrival], settings: Settings, clock: VirtualClock) -> list[Outcome]:
    """Everybody joins the hub when they come."""
    ours, members = Ours(model, settings, clock.now), list[Member]()
    while len(members) < len(stream) or not ours.hub.idle:
        if ours.hub.idle:
            clock.skip_to(stream[len(members)].due)
        now = clock.now()
        while len(members) < len(stream) and stream[len(members)].due <= now:
            members.append(ours.join(stream[len(members)].request))
        ours.hub.tick()
    return [Outcome(seen=member.seen, done=member.done) for member in members]


def draw_together(model: Model, requests: Sequence[ImagineRequest], settings: Settings) -> list[Member]:
    """All of them in the hub at once; their pictures are kept."""
    ours = Ours(model, settings, time.process_time)
    members = [ours.join(request, keep=True) for request in requests]
    while ours.hub.tick():
        pass
    return members
