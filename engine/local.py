"""LocalEngine: asyncio in front, one device thread behind (`engine.device`), pictures coded on a small pool of their own.

Constructed by the bot's composition root. Importing this module imports no torch; the device thread does, after `start`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np
from PIL import Image

from engine import canvas, checks, codec, outline, results
from engine.api import (
    BadInput,
    Capabilities,
    EngineDied,
    EngineStats,
    Progress,
    Report,
    Request,
    Result,
    Seen,
    UpscaleRequest,
    Weight,
)
from engine.canvas import EMPTY, Canvas
from engine.codec import Pixels
from engine.device import ROWS, Device
from engine.faults import context_lost
from engine.jobs import Find, Look, Outline, Question, Weigh
from engine.shelf import Shelf

log = logging.getLogger("engine")

#: Seconds a device may take for its last turn when the engine is closed.
CLOSING = 15.0


class LocalEngine:
    """Draws on a device of this process.

    `device` is a torch device name or "auto"; `max_rows` how many pictures may step together (0: as many as make each other cheaper, measured); `threads` how
    many a CPU computes with (0: all); `reproducible` makes a picture's bits independent of who is drawn beside it, for padding of small batches (without it a
    channel may differ by 1/255); `memory_gb` is for weights (0: a share of what there is); a device that spends `stuck_after` seconds on one turn is given up.

    A device thread that died is started anew by the next request. What a device's context does not survive (`engine.faults`) no thread of this process
    mends: then nothing more is taken, `lost` says why, and `on_lost` is told, once, on the loop; a new process draws what was not drawn.
    """

    def __init__(
        self,
        shelf: Shelf,
        *,
        device: str = "auto",
        max_rows: int = 0,
        threads: int = 0,
        reproducible: bool = False,
        memory_gb: float = 0.0,
        stuck_after: float = 600.0,
        clock: Callable[[], float] = time.perf_counter,
        on_lost: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._shelf, self._clock, self._stuck_after, self._on_lost = shelf, clock, stuck_after, on_lost
        self.lost = ""  #: why this process draws no more; empty while it can
        self._settings: dict[str, Any] = {
            "device": device,
            "max_rows": max_rows,
            "threads": threads,
            "reproducible": bool(reproducible),
            "memory_gb": memory_gb,
        }
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="engine-pictures")
        self._device: Device | None = None
        self._flights: set[_Flight] = set()
        self._watchdog: asyncio.Task[None] | None = None
        self._closed = False

    async def start(self) -> None:
        """Start the device thread, which imports torch and loads the default model. Returns at once."""
        self._running_device()

    def models(self) -> tuple[Capabilities, ...]:
        return self._shelf.models()

    def capabilities(self, model: str) -> Capabilities:
        """Raises ModelMissing."""
        return self._shelf.entry(model).can

    def free_rows(self) -> int:
        if self.lost:
            return 0
        cap = self._device.max_rows if self._device else (self._settings["max_rows"] or ROWS["cpu"])
        return int(cap) - self._rows()

    def _rows(self) -> int:
        return sum(flight.rows for flight in self._flights)

    def pace(self, model: str) -> float:
        """Measured, or the card's guess. Raises ModelMissing."""
        guess = self._shelf.entry(model).pace
        return self._device.paces.get(model, guess) if self._device else guess

    def stats(self) -> EngineStats:
        return self._device.stats(self._rows()) if self._device else EngineStats(rows_in_flight=self._rows())

    async def run(self, request: Request, inputs: Mapping[str, bytes], report: Report) -> Result:
        """See `engine.api.Engine.run`."""
        if self._closed:
            raise EngineDied("the engine is closed")
        entry = self._shelf.entry(request.model)
        checks.check(request, entry.can, inputs)
        flight = _Flight(request, report, self._pool)
        self._flights.add(flight)
        try:
            if request.pictures:
                flight.canvas = await self._blocking(_laid, request, inputs)
            if isinstance(request, UpscaleRequest) and not request.creative and entry.upscaler is None:
                return cast(Result, await self._blocking(_enlarged, request, flight.canvas))
            drawn, seconds = await self._fly(flight)
            frames, clip = await self._blocking(results.finish, request, flight.canvas, drawn, entry.scheduler)
            return Result(frames=frames, device_seconds=seconds, clip=clip)
        finally:
            flight.close()
            self._flights.discard(flight)

    async def look(self, model: str, pictures: Sequence[bytes]) -> tuple[Seen, ...]:
        """See `engine.api.Engine.look`."""
        checks.check_pictures(pictures, "/describe", self.capabilities(model))
        return cast(tuple[Seen, ...], await self._answer(Look(model=model, pictures=await self._blocking(_glanced, pictures))))

    async def find(self, model: str, words: str, pictures: Sequence[bytes]) -> tuple[float, ...]:
        """See `engine.api.Engine.find`."""
        checks.check_pictures(pictures, "/describe", self.capabilities(model))
        return cast(tuple[float, ...], await self._answer(Find(model=model, words=words, pictures=await self._blocking(_glanced, pictures))))

    async def weigh(self, model: str, text: str) -> tuple[Weight, ...]:
        """See `engine.api.Engine.weigh`."""
        words = checks.check_words(text, self.capabilities(model))
        return cast(tuple[Weight, ...], await self._answer(Weigh(model=model, text=text, words=tuple(words)))) if words else ()

    async def mask(self, model: str, picture: bytes, phrase: str) -> bytes:
        """See `engine.api.Engine.mask`."""
        can = self.capabilities(model)
        checks.check_phrase(phrase, can)
        pixels, size = await self._blocking(outline.fitted, picture, can)
        differences = await self._answer(Outline(model=model, picture=pixels, phrase=phrase))
        return cast(bytes, await self._blocking(outline.mask, differences, size, phrase))

    async def _answer(self, question: Question) -> Any:
        """Ask the device; what it answers."""
        flight = _Flight(question, lambda progress: None, self._pool)
        self._flights.add(flight)
        try:
            return (await self._fly(flight))[0]
        finally:
            flight.close()
            self._flights.discard(flight)

    async def _fly(self, flight: _Flight) -> tuple[Any, float]:
        """Through the device and back. When cancelled it waits all the same until the device has let go."""
        device = flight.device = self._running_device()
        device.submit(flight)
        try:
            return await asyncio.shield(flight.landed)
        except asyncio.CancelledError:
            if flight.landed.done() or device.cancel(flight):
                raise
            while not flight.landed.done():
                try:
                    await asyncio.wait([flight.landed])
                except asyncio.CancelledError:
                    continue  # asked again: the answer is still that the device comes first
            flight.landed.exception()
            raise

    async def _blocking(self, function: Callable[..., Any], *args: Any) -> Any:
        if self._closed:
            raise EngineDied("the engine is closed")
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *args)

    # ------------------------------------------------------------------------------------------------ the thread's life

    def _running_device(self) -> Device:
        """The device thread; a new one when there is none, or when the last has died."""
        if self._closed or self.lost:
            raise EngineDied(self.lost or "the engine is closed")
        if self._device is None or self._device.abandoned or not self._device.is_alive():
            loop = asyncio.get_running_loop()
            self._device = Device(self._shelf, clock=self._clock, on_death=lambda device, error: _call(loop, self._bury, device, error), **self._settings)
            self._device.start()
        if self._watchdog is None:
            self._watchdog = asyncio.create_task(self._watch(), name="engine-watchdog")
        return self._device

    def _bury(self, device: Device, error: BaseException) -> None:
        """On the loop: this device draws no more, so its requests fail now and may be tried again."""
        device.abandoned = True
        died = f"the device thread ended: {type(error).__name__}: {error}"
        newly = not self.lost and context_lost(error)
        if newly:
            self.lost = died
            log.error("this process has lost its device, and another has to go on: %s", error)
        for flight in self._flights:
            if flight.device is device:
                flight.land(None, EngineDied(died))
        if newly:
            self._on_lost(died)

    async def _watch(self) -> None:
        """Notice a device that is stuck."""
        while True:
            await asyncio.sleep(min(1.0, self._stuck_after / 4))
            device = self._device
            began = device.beat if device else None
            if device and began is not None and not device.abandoned and self._clock() - began > self._stuck_after:
                log.error("the device has not answered for %.0f s: given up", self._stuck_after)
                self._bury(device, TimeoutError("the device does not answer"))

    async def aclose(self) -> None:
        """What runs ends with EngineDied. Idempotent."""
        self._closed = True
        device, self._device = self._device, None
        watchdog, self._watchdog = self._watchdog, None
        if watchdog:
            watchdog.cancel()
            await asyncio.wait([watchdog])
        if device:
            device.stop()
            if not device.abandoned:
                await asyncio.get_running_loop().run_in_executor(self._pool, device.join, CLOSING)
            self._bury(device, EngineDied("the engine was closed"))
        self._pool.shutdown(wait=False)


class _Flight:
    """One request, or a question, on its way through the device: carries its reports to the event loop, newest only.

    Made on the loop. What `engine.jobs.Job` asks for is called on the device thread.
    """

    def __init__(self, request: Request | Question, report: Report, pool: ThreadPoolExecutor) -> None:
        self.request = request
        self.canvas = EMPTY
        self.rows = request.rows
        self.device: Device | None = None
        self._loop, self._report, self._pool = asyncio.get_running_loop(), report, pool
        self.landed: asyncio.Future[tuple[Any, float]] = self._loop.create_future()
        self._lock = threading.Lock()
        self._at: tuple[int, int] | None = None
        self._preview: bytes | None = None
        self._flushing = self._encoding = self._closed = False

    # -- on the device thread

    def progress(self, step: int, of: int) -> None:
        with self._lock:
            self._at = (step, of)
        self._tell()

    def wants_preview(self) -> bool:
        return not self._encoding

    def preview(self, pictures: list[Pixels]) -> None:
        if isinstance(self.request, Question):
            return
        self._encoding = True
        try:
            self._pool.submit(self._encode, pictures, self.request.width, self.request.height)
        except RuntimeError:  # the pool is closed: so is the engine
            self._closed = True

    def ended(self, drawn: Any, error: BaseException | None, seconds: float) -> None:
        _call(self._loop, self.land, (drawn, seconds), error)

    # -- on the pictures' pool

    def _encode(self, pictures: list[Pixels], width: int, height: int) -> None:
        try:
            data = codec.encode_webp(codec.preview_grid(pictures, width, height))
            with self._lock:
                self._preview = data
        finally:
            self._encoding = False
        self._tell()

    # -- anywhere

    def _tell(self) -> None:
        with self._lock:
            if self._flushing or self._closed or self._at is None:
                return
            self._flushing = True
        _call(self._loop, self._flush)

    # -- on the loop

    def _flush(self) -> None:
        with self._lock:
            self._flushing = False
            at, preview, self._preview = self._at, self._preview, None
        if self._closed or at is None:
            return
        try:
            self._report(Progress(step=at[0], of=at[1], preview=preview))
        except Exception:
            log.exception("a report failed")

    def land(self, outcome: tuple[Any, float] | None, error: BaseException | None) -> None:
        """Settle the flight, once."""
        if self.landed.done():
            return
        if error is not None:
            self.landed.set_exception(error)
            self.landed.exception()  # whoever waits raises it; if nobody does any more, nothing is to be logged
        else:
            self.landed.set_result(outcome or (None, 0.0))

    def close(self) -> None:
        """Report no more."""
        self._closed = True


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: Any) -> None:
    """From any thread: run on the loop, unless it has been closed, when there is nobody left to tell."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *args)


# ------------------------------------------------------------------------------------------------ on the pictures' pool


def _laid(request: Request, inputs: Mapping[str, bytes]) -> Canvas:
    """The pictures to start from, read and laid out. Raises BadInput."""
    return canvas.lay(request, {digest: codec.decode(inputs[digest]) for digest in request.pictures})


def _glanced(pictures: Sequence[bytes]) -> tuple[Pixels, ...]:
    """Pictures to look at, no larger than they will be seen. Raises BadInput."""
    return tuple(np.array(canvas.glanced(codec.decode(data))) for data in pictures)


def _enlarged(request: UpscaleRequest, canvas: Canvas) -> Result:
    """Without a network the device is not needed."""
    started = time.perf_counter()
    frame = results.frame(request, request.seed, codec.enlarge(_start(canvas), request.factor), "")
    return Result(frames=(frame,), device_seconds=time.perf_counter() - started)


def _start(canvas: Canvas) -> Image.Image:
    if canvas.start is None:
        raise BadInput("there is no picture to start from")
    return canvas.start
