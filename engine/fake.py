"""FakeEngine: the engine's contract without torch, for tests of everything else. It draws a deterministic picture from (words, seed).

It takes a hook that is awaited before every step, so a test can hold a request, fail it, or look at who runs beside it::

    gate = asyncio.Event()
    engine = FakeEngine(on_step=lambda request, step: gate.wait())
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from engine import checks, codec
from engine.api import Capabilities, EngineDied, EngineStats, Frame, ImagineRequest, ModelMissing, Progress, Report, Request, Result, UpscaleRequest

#: What the fake can do unless a test says otherwise.
FAKE_MODEL = Capabilities(
    model="fake",
    title="Fake",
    licence="MIT",
    operations=frozenset({"imagine", "source", "unwanted", "weights", "upscale"}),
    width=128,
    height=128,
    multiple=8,
    min_edge=64,
    max_edge=1024,
    steps=8,
    max_steps=100,
    guidance=5.0,
    max_guidance=20.0,
    max_count=9,
    schedulers=("DDIMScheduler", "EulerDiscreteScheduler"),
    examples=("a fox in the snow, 3d render", "a red apple on a blue background"),
    words={"things": ("apple", "fox", "lighthouse"), "places": ("snow", "night"), "styles": ("3d render", "flat icon"), "colours": ("red", "blue")},
)
#: Awaited before each step (the first is 1) of each request; whatever it raises, the request raises.
Hook = Callable[[Request, int], Awaitable[object]]


class FakeEngine:
    """Every request in flight counts in `running`; the most there ever were in `most`; all that began, in order, in `seen`."""

    def __init__(
        self,
        models: Sequence[Capabilities] = (FAKE_MODEL,),
        *,
        steps_per_second: float | None = None,
        on_step: Hook | None = None,
        max_rows: int = 16,
        pace: float = 0.001,
    ) -> None:
        self._models, self._max_rows, self._pace, self._on_step = tuple(models), max_rows, pace, on_step
        self._pause = 1 / steps_per_second if steps_per_second else 0.0
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="fake-pictures")
        self._tasks: set[asyncio.Task[Any]] = set()
        self._rows = self._steps = 0
        self._closed = False
        self.running = self.most = 0
        self.seen: list[Request] = []

    async def start(self) -> None:
        """Nothing to load."""

    def models(self) -> tuple[Capabilities, ...]:
        return self._models

    def capabilities(self, model: str) -> Capabilities:
        """Raises ModelMissing."""
        for each in self._models:
            if each.model == model:
                return each
        raise ModelMissing(f"{model} is not on the shelf")

    def free_rows(self) -> int:
        return self._max_rows - self._rows

    def pace(self, model: str) -> float:
        """The same for every model; raises ModelMissing all the same."""
        self.capabilities(model)
        return self._pace

    def stats(self) -> EngineStats:
        return EngineStats(rows_in_flight=self._rows, batch_rows=self._rows, steps=self._steps, step_rows=self._steps, step_seconds=self._steps * self._pace)

    async def run(self, request: Request, inputs: Mapping[str, bytes], report: Report) -> Result:
        """Draw it, one hook and one pause a step. Raises EngineError, and what the hook raises."""
        if self._closed:
            raise EngineDied("the engine is closed")
        checks.check(request, self.capabilities(request.model), inputs)
        rows = request.count if isinstance(request, ImagineRequest) else 1
        task = asyncio.ensure_future(self._draw(request, inputs, report))
        self._tasks.add(task)
        self.seen.append(request)
        self._rows, self.running = self._rows + rows, self.running + 1
        self.most = max(self.most, self.running)
        try:
            return await self._own(task)
        finally:
            self._tasks.discard(task)
            self._rows, self.running = self._rows - rows, self.running - 1

    async def _own(self, task: asyncio.Task[Result]) -> Result:
        """The task's result; its end even when this coroutine is cancelled. A task cancelled by `aclose` is an engine that died."""
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if self._closed and task.cancelled():
                raise EngineDied("the engine was closed") from None
            task.cancel()
            await asyncio.wait([task])
            raise

    async def _draw(self, request: Request, inputs: Mapping[str, bytes], report: Report) -> Result:
        source = await self._blocking(codec.decode, inputs[request.source]) if request.source else None
        steps = request.steps if isinstance(request, ImagineRequest) else 1
        for step in range(1, steps + 1):
            if self._on_step is not None:
                await self._on_step(request, step)
            await asyncio.sleep(self._pause)
            self._steps += 1
            preview = await self._blocking(_preview, request, source, step) if isinstance(request, ImagineRequest) and step * 4 % steps < 4 else None
            report(Progress(step=step, of=steps, preview=preview))
        return Result(frames=await self._blocking(_frames, request, source), device_seconds=steps * self._pace)

    async def _blocking(self, function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *args)

    async def aclose(self) -> None:
        """End what runs; idempotent."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._pool.shutdown(wait=False)


def _frames(request: Request, source: Image.Image | None) -> tuple[Frame, ...]:
    if isinstance(request, UpscaleRequest):
        if source is None:
            return ()
        big = source.resize((source.width * request.factor, source.height * request.factor), Image.Resampling.LANCZOS)
        return (_frame(request, request.seed, big),)
    return tuple(_frame(request, seed, _picture(request, seed, source)) for seed in checks.grid_seeds(request))


def _frame(request: Request, seed: int, image: Image.Image) -> Frame:
    return Frame(png=codec.encode_png(image, codec.parameters_text(request, seed, "Fake")), seed=seed, width=image.width, height=image.height)


def _picture(request: ImagineRequest, seed: int, source: Image.Image | None) -> Image.Image:
    """A ground and seven shapes whose places and colours hash from the words, the numbers and the seed; mixed with the source by `strength`."""
    spoken = f"{codec.words(request)}|{request.unwanted}|{request.guidance}|{request.steps}|{request.scheduler}|{seed}"
    digits = hashlib.shake_256(spoken.encode()).digest(64)
    width, height = request.width, request.height
    image = Image.new("RGB", (width, height), tuple(digits[:3]))
    draw = ImageDraw.Draw(image)
    for k in range(7):
        x, y, size, kind, *colour = digits[8 + 7 * k : 15 + 7 * k]
        radius = (16 + size / 4) * min(width, height) / 256
        cx, cy = x / 255 * width, y / 255 * height
        if kind % 2:
            draw.ellipse((cx - radius, cy - radius, cx + radius, cy + radius), fill=tuple(colour))
        else:
            draw.regular_polygon((cx, cy, radius), 3 + kind % 4, rotation=size, fill=tuple(colour))
    return image if source is None else Image.blend(codec.cover(source, width, height), image, request.strength)


def _preview(request: ImagineRequest, source: Image.Image | None, step: int) -> bytes:
    """The grid so far: coarse squares that become finer with every step."""
    cells = max(4, math.ceil(32 * step / request.steps))
    tiles = [np.asarray(_picture(request, seed, source).resize((cells, cells))) for seed in checks.grid_seeds(request)]
    return codec.encode_webp(codec.preview_grid(tiles, request.width, request.height))
