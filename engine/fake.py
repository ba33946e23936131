"""FakeEngine: the engine's contract without torch, for tests of everything else. It draws a deterministic picture from (words, seed).

It takes a hook that is awaited before every step, so a test can hold a request, fail it, or look at who runs beside it::

    gate = asyncio.Event()
    engine = FakeEngine(on_step=lambda request, step: gate.wait())
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from engine import canvas as canvases
from engine import checks, codec, outline, results
from engine.api import (
    Capabilities,
    EngineDied,
    EngineStats,
    ImagineRequest,
    ModelMissing,
    MorphRequest,
    Part,
    Progress,
    Report,
    Request,
    Result,
    Seen,
    UpscaleRequest,
    Weight,
)
from engine.canvas import Canvas
from engine.results import FILM, Drawn

#: What the fake can do unless a test says otherwise.
FAKE_MODEL = Capabilities(
    model="fake",
    title="Fake",
    licence="MIT",
    operations=frozenset(
        (
            *("imagine", "unwanted", "weights", "emphasis", "tile", "stop", "video", "morph"),
            *("source", "mask", "extend", "mix", "image_prompt", "style", "control:edges", "control:sketch", "lora"),
            *("upscale", "creative", "best", "clip", "synthesis", "chaos", "animate", "describe", "shorten", "phrase"),
        )
    ),
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
    loras=("ink", "paper"),
    controls=("edges", "sketch"),
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
        rows = request.rows
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

    async def look(self, model: str, pictures: Sequence[bytes]) -> tuple[Seen, ...]:
        """One of the model's words of each kind, by the picture's pixels. Raises ModelMissing, UnsupportedOperation, BadInput."""
        can, pixels = await self._read(model, pictures)
        return tuple(_seen(each, can.words) for each in pixels)

    async def find(self, model: str, words: str, pictures: Sequence[bytes]) -> tuple[float, ...]:
        """What is seen in a picture fits it best, other words the less the more they differ. Raises as `look`."""
        can, pixels = await self._read(model, pictures)
        return tuple(_fit(words, _seen(each, can.words).prompts[0]) for each in pixels)

    async def _read(self, model: str, pictures: Sequence[bytes]) -> tuple[Capabilities, list[bytes]]:
        """The pictures' pixels: what a file says beside them is nothing that is seen."""
        if self._closed:
            raise EngineDied("the engine is closed")
        can = self.capabilities(model)
        checks.check_pictures(pictures, "/describe", can)
        return can, [(await self._blocking(codec.decode, data)).tobytes() for data in pictures]

    async def weigh(self, model: str, text: str) -> tuple[Weight, ...]:
        """The longer a word, the more it carries. Raises ModelMissing, UnsupportedOperation."""
        if self._closed:
            raise EngineDied("the engine is closed")
        words = checks.check_words(text, self.capabilities(model))
        longest = max((end - start for start, end in words), default=1)
        return tuple(Weight(start=start, end=end, weight=(end - start) / longest) for start, end in words)

    async def mask(self, model: str, picture: bytes, phrase: str) -> bytes:
        """An ellipse whose place and shape hash from the phrase. Raises ModelMissing, UnsupportedOperation, BadInput, NothingFound."""
        if self._closed:
            raise EngineDied("the engine is closed")
        checks.check_phrase(phrase, self.capabilities(model))
        read: Image.Image = await self._blocking(codec.decode, picture)
        return outline.encoded(_ellipse(phrase, *read.size), phrase)

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
        canvas = await self._blocking(_laid, request, inputs)
        steps = _steps(request)
        for step in range(1, steps + 1):
            if self._on_step is not None:
                await self._on_step(request, step)
            await asyncio.sleep(self._pause)
            self._steps += 1
            preview = await self._blocking(_preview, request, canvas, step) if isinstance(request, ImagineRequest) and step * 4 % steps < 4 else None
            report(Progress(step=step, of=steps, preview=preview))
        drawn = await self._blocking(_drawn, request, canvas)
        frames, clip = await self._blocking(results.finish, request, canvas, drawn, "Fake")
        return Result(frames=frames, device_seconds=steps * self._pace, clip=clip)

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


def _laid(request: Request, inputs: Mapping[str, bytes]) -> Canvas:
    """Raises BadInput."""
    return canvases.lay(request, {digest: codec.decode(inputs[digest]) for digest in request.pictures})


def _seen(pixels: bytes, words: Mapping[str, Sequence[str]]) -> Seen:
    """Words that hash from the pixels, and four sentences of them, fewer words each."""
    digits = hashlib.sha256(pixels).digest()
    thing, place, colour, style = (
        words[kind][digit % len(words[kind])] if words.get(kind) else "" for kind, digit in zip(("things", "places", "colours", "styles"), digits, strict=False)
    )
    ground = place if digits[4] % 2 else colour
    said = dict.fromkeys(", ".join(filter(None, each)) for each in ((thing, ground, style), (thing, ground), (thing, style), (thing,)))
    prompts = tuple(filter(None, said)) or ("a picture",)
    score = (128 + digits[5] / 2) / 256
    return Seen(
        prompts=prompts,
        fits=tuple(0.3 - 0.02 * k for k in range(len(prompts))),
        things=(thing,) if thing else (),
        scores=(score,) if thing else (),
        ground=ground,
        style=style,
    )


def _fit(words: str, seen: str) -> float:
    """0.3 for the same words, 0 where none is shared."""
    one, other = (set(text.lower().replace(",", " ").split()) for text in (words, seen))
    return 0.3 * len(one & other) / max(1, len(one | other))


def _ellipse(phrase: str, width: int, height: int) -> Image.Image:
    """White on black, between a quarter and a half of the picture across and down."""
    x, y, across, down = (byte / 255 for byte in hashlib.sha256(phrase.encode()).digest()[:4])
    w, h = width * (1 + across) / 4, height * (1 + down) / 4
    left, top = x * (width - w), y * (height - h)
    image = Image.new("L", (width, height))
    ImageDraw.Draw(image).ellipse((left, top, left + w, top + h), fill=255)
    return image


def _steps(request: Request) -> int:
    if isinstance(request, UpscaleRequest):
        return request.steps if request.creative else 1
    return max(1, round(request.steps * request.stop)) if isinstance(request, ImagineRequest) else request.steps


def _drawn(request: Request, canvas: Canvas) -> Drawn:
    """Everything a request asks for, as an engine's device would give it."""
    if isinstance(request, UpscaleRequest):
        return Drawn(np.asarray(_enlarged(request, canvas))[None])
    if isinstance(request, MorphRequest):
        moved = np.stack([np.asarray(_moved(request, canvas.start, frame)) for frame in range(request.frames)])
        return _larger(request, canvas, Drawn(moved))
    seeds = checks.drawn_seeds(request)
    pictures = [np.asarray(_picture(request, seed, canvas)) for seed in seeds]
    kept = sorted(range(len(seeds)), key=lambda k: hashlib.sha256(pictures[k].tobytes()).digest())[: request.count] if request.best_of else range(len(seeds))
    film = [_forming(request, canvas, step) for step in range(1, _steps(request))] if request.video else []
    found = Drawn(np.stack([pictures[k] for k in kept]), [[step[k] for k in kept] for step in film[:FILM]], [seeds[k] for k in kept])
    return _larger(request, canvas, found)


def _larger(request: ImagineRequest | MorphRequest, canvas: Canvas, drawn: Drawn) -> Drawn:
    return results.larger(request, canvas, drawn, lambda picture: codec.enlarge(picture, request.enlarge)) if request.enlarge > 1 else drawn


def _enlarged(request: UpscaleRequest, canvas: Canvas) -> Image.Image:
    source = canvas.start or Image.new("RGB", (request.width, request.height))
    large = source.resize((source.width * request.factor, source.height * request.factor), Image.Resampling.LANCZOS)
    if not request.creative:
        return large
    spoken = f"{codec.words(request.parts) if request.parts else ''}|{request.guidance}|{request.steps}|{request.seed}"
    return Image.blend(large, _shapes(spoken, large.width, large.height), request.strength / 4)


def _moved(request: MorphRequest, start: Image.Image | None, frame: int) -> Image.Image:
    """A frame of a morph; of a picture that moves, the picture with shapes over it that walk in a circle."""
    if start is None:
        return _between(request, frame / (request.frames - 1))
    angle, reach = 2 * math.pi * frame / request.frames, min(start.size) / 16
    shapes = _shapes(f"{codec.words(request.before) if request.before else ''}|{request.guidance}|{request.seed}", start.width, start.height)
    shapes = ImageChops.offset(shapes, round(reach * math.cos(angle)), round(reach * math.sin(angle)))
    return Image.blend(start, shapes, request.strength / 2)


def _between(request: MorphRequest, way: float) -> Image.Image:
    def end(parts: Sequence[Part]) -> Image.Image:
        return _shapes(f"{codec.words(parts)}|{request.unwanted}|{request.guidance}|{request.seed}", request.width, request.height)

    return Image.blend(end(request.before), end(request.after), way)


def _picture(request: ImagineRequest, seed: int, canvas: Canvas) -> Image.Image:
    """Shapes that hash from everything the request says but its pictures' places, which are kept to; mixed with the start by `strength`."""
    pictures = f"{request.image_prompts}|{request.control}|{request.loras}|{request.clip}|{request.synthesis}"
    spoken = f"{codec.words(request.parts)}|{request.unwanted}|{request.guidance}|{request.steps}|{request.scheduler}|{pictures}|{seed}"
    spoken += f"|{request.chaos}" if request.chaos else ""
    image = _shapes(spoken, request.width, request.height, wraps=request.tile)
    if canvas.start is not None:
        image = Image.blend(canvas.start, image, request.strength)
    if canvas.start is not None and canvas.mask is not None:
        image = Image.composite(image, canvas.start, canvas.mask)
    return image.filter(ImageFilter.GaussianBlur(8 * (1 - request.stop))) if request.stop < 1 else image


def _shapes(spoken: str, width: int, height: int, *, wraps: bool = False) -> Image.Image:
    """A ground and seven shapes whose places and colours hash from what is spoken."""
    digits = hashlib.shake_256(spoken.encode()).digest(64)
    image = Image.new("RGB", (width, height), tuple(digits[:3]))
    draw = ImageDraw.Draw(image)
    aside = (-1, 0, 1) if wraps else (0,)
    for k in range(7):
        x, y, size, kind, *colour = digits[8 + 7 * k : 15 + 7 * k]
        radius = (16 + size / 4) * min(width, height) / 256
        for across, down in itertools.product(aside, aside):
            cx, cy = (x / 255 + across) * width, (y / 255 + down) * height
            if kind % 2:
                draw.ellipse((cx - radius, cy - radius, cx + radius, cy + radius), fill=tuple(colour))
            else:
                draw.regular_polygon((cx, cy, radius), 3 + kind % 4, rotation=size, fill=tuple(colour))
    return image


def _forming(request: ImagineRequest, canvas: Canvas, step: int) -> list[codec.Pixels]:
    """The pictures so far: coarse squares that become finer with every step."""
    cells = max(4, math.ceil(32 * step / _steps(request)))
    return [np.asarray(_picture(request, seed, canvas).resize((cells, cells))) for seed in checks.drawn_seeds(request)]


def _preview(request: ImagineRequest, canvas: Canvas, step: int) -> bytes:
    return codec.encode_webp(codec.preview_grid(_forming(request, canvas, step), request.width, request.height))
