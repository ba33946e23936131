"""Requests at a hub, one forward at a time, so that who joins and leaves when is exact; and the same requests by stock pipelines."""

from __future__ import annotations

import copy
import inspect
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from engine import codec, operations
from engine.api import ImagineRequest
from engine.canvas import Canvas
from engine.hub import Hub, Task
from engine.model import Model
from tests.contract.engines import picture

Images = NDArray[np.float32]

START = codec.decode(picture(4, 64, 64))
#: The right half is drawn anew.
MASK = Image.fromarray((np.arange(64)[None, :].repeat(64, 0) >= 32).astype(np.uint8) * 255)
CANVASES = {"words": Canvas(), "picture": Canvas(start=START), "mask": Canvas(start=START, mask=MASK)}


@dataclass(eq=False)
class Guest:
    """One request: when it joins, and what becomes of it."""

    request: ImagineRequest
    start: str = "words"
    joins: int = 0  #: once the first of them has done so many steps
    leaves: int | None = None  #: cancelled after so many steps of its own
    steps: list[tuple[int, int]] = field(default_factory=list)
    images: Images | None = None
    error: Exception | None = None
    previews: list[codec.Pixels] = field(default_factory=list)

    def progress(self, step: int, of: int) -> None:
        self.steps.append((step, of))

    def wants_preview(self) -> bool:
        return len(self.steps) == 1

    def preview(self, pictures: list[codec.Pixels]) -> None:
        self.previews += pictures


def party(model: Model, guests: Sequence[Guest], *, fixed_rows: int = 0) -> Hub:
    """Run them all to their ends."""
    hub = Hub(max_rows=64, clock=time.perf_counter, fixed_rows=fixed_rows)
    tasks: dict[Guest, Task] = {}

    def task_of(guest: Guest) -> Task:
        def ended(task: Task) -> None:
            guest.images, guest.error = getattr(task.result, "images", None), task.error

        return Task(lambda: operations.draw(model, guest.request, CANVASES[guest.start], guest), guest.request.count, ended, left=guest.request.steps)

    while not hub.idle or any(guest not in tasks for guest in guests):
        for guest in guests:
            if guest.joins <= len(guests[0].steps) and guest not in tasks:
                tasks[guest] = task_of(guest)
                hub.join(tasks[guest])
            if guest.leaves == len(guest.steps) and guest in tasks:
                hub.cancel(tasks[guest])
        hub.tick()
    return hub


def by_stock(pipeline: Any, guest: Guest, scheduler: Any = None, **arguments: Any) -> Images:
    """The guest's pictures by a stock pipeline. `arguments` are how it is told of guidance and unwanted words."""
    request, canvas = guest.request, CANVASES[guest.start]
    pipeline = copy.copy(pipeline)
    pipeline.scheduler = copy.deepcopy(scheduler or pipeline.scheduler)
    if canvas.start is not None:
        arguments |= {"image": canvas.start, "strength": request.strength}
    if canvas.mask is not None:
        arguments |= {"mask_image": canvas.mask}
    if "height" in inspect.signature(type(pipeline).__call__).parameters:
        arguments |= {"width": request.width, "height": request.height}
    images: Images = pipeline(
        prompt=request.parts[0].text,
        num_inference_steps=request.steps,
        num_images_per_prompt=request.count,
        generator=[torch.Generator().manual_seed(request.seed + k) for k in range(request.count)],
        output_type="np",
        **arguments,
    ).images
    return images


def far(one: Images | None, other: Images) -> float:
    """The largest difference against the largest value."""
    assert one is not None
    return float(np.abs(one - other).max() / np.abs(other).max())
