"""The device thread: it alone imports torch, holds the models and runs the hub. Owned by `engine.local`.

Jobs come in through a queue and leave through their own methods, which `engine.local` makes safe to call from here. If this thread ends for any
reason other than `stop`, `on_death` is told, once, as the last thing it does.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from PIL import Image

from engine.api import EngineDied, EngineError, EngineStats, ImagineRequest, OutOfMemory, Request
from engine.codec import Pixels
from engine.importing import no_collections, preload_torch
from engine.shelf import Shelf

if TYPE_CHECKING:  # torch comes with these: at run time they are imported on the thread
    from engine.hub import Hub, Task
    from engine.operations import Model

log = logging.getLogger("engine")

#: Pictures that may step together: past these, time a row stopped falling where it was measured (a row is two with guidance).
ROWS = {"cpu": 8, "cuda": 32}
#: Rows of every denoising forward in reproducible mode: a default grid of four with guidance exactly, so that it costs such a grid nothing.
#: Measured with the pocket model on one core, milliseconds a row: 72 for 2 rows, 36 for 8, 29 for 16, 22 for 32 (so a single picture pays
#: twice its time, and full batches a quarter to a half more). Without it one 8-bit value in 80,000 differs by 1 in company.
FIXED_ROWS = 8


class Job(Protocol):
    """One request, as the device sees it. All methods are called on the device thread; `ended` exactly once, last."""

    request: Request
    source: Image.Image | None
    rows: int

    def progress(self, step: int, of: int) -> None: ...

    def wants_preview(self) -> bool: ...

    def preview(self, pictures: list[Pixels]) -> None: ...

    def ended(self, drawn: Any, error: BaseException | None, seconds: float) -> None:
        """`drawn` is count × height × width × 3, real in 0..1 or 8 bits; `error` an EngineError."""


class Device(threading.Thread):
    """Give it jobs with `submit`, take them back with `cancel`."""

    def __init__(
        self,
        shelf: Shelf,
        *,
        device: str,
        max_rows: int,
        threads: int,
        reproducible: bool | None,
        clock: Callable[[], float] = time.perf_counter,
        on_death: Callable[[Device, BaseException], None],
    ) -> None:
        super().__init__(name="engine-device", daemon=True)
        self._shelf, self._wanted, self._threads, self._reproducible, self._clock, self._on_death = shelf, device, threads, reproducible, clock, on_death
        self._inbox: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._line: set[Job] = set()  #: submitted, not yet begun
        self._lock = threading.Lock()  #: guards the line
        self._models: dict[str, Model] = {}
        self._tasks: dict[Job, Task] = {}
        self._hub: Hub | None = None
        self.max_rows = max_rows or ROWS["cpu"]  #: of the real device once it is known
        self._chosen_rows = max_rows
        self.beat: float | None = None  #: when the turn in progress began; None while waiting for work or loading, which may take as long as they take
        self.paces: dict[str, float] = {}  #: measured, by model
        self.abandoned = False  #: set by the owner of a stuck thread: whatever it still does concerns nobody

    # ------------------------------------------------------------------------------------------------ for other threads

    def submit(self, job: Job) -> None:
        with self._lock:
            self._line.add(job)
        self._inbox.put(lambda: self._begin(job))

    def cancel(self, job: Job) -> bool:
        """True when the thread had not seen it yet, and now never will; else it will be `ended` within one step."""
        with self._lock:
            if job in self._line:
                self._line.remove(job)
                return True
        self._inbox.put(lambda: self._cancel(job))
        return False

    def stop(self) -> None:
        """Cancel everything and end the thread."""
        self._inbox.put(None)

    def stats(self, rows_in_flight: int) -> EngineStats:
        if self._hub is None:
            return EngineStats(rows_in_flight=rows_in_flight)
        counters = self._hub.counters
        return EngineStats(
            rows_in_flight=rows_in_flight,
            batch_rows=counters.last_rows,
            steps=counters.forwards,
            step_rows=counters.rows,
            step_seconds=counters.seconds,
        )

    # ------------------------------------------------------------------------------------------------ on the thread

    def run(self) -> None:
        try:
            self._serve()
        except BaseException as error:
            log.exception("the device thread died")
            self._on_death(self, error)

    def _serve(self) -> None:
        hub = self._open()
        if self._shelf.entries:
            self._warm(self._shelf.entries[0].can.model)
        while not self.abandoned:
            self.beat = None
            try:
                action = self._inbox.get(block=hub.idle)
            except queue.Empty:
                self.beat = self._clock()
                hub.tick()
                continue
            if action is None:
                break
            action()
        for task in list(self._tasks.values()):
            hub.cancel(task)

    def _open(self) -> Hub:
        preload_torch()
        with no_collections():
            import torch

            from engine import operations  # noqa: F401  # and with it diffusers and transformers
            from engine.hub import Hub

        name = self._wanted
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        self._device = torch.device(name)
        on_cpu = self._device.type == "cpu"
        torch.set_num_threads(self._threads or os.cpu_count() or 1)
        torch.set_grad_enabled(False)
        self.max_rows = self._chosen_rows or ROWS.get(self._device.type, ROWS["cpu"])
        fixed = on_cpu if self._reproducible is None else self._reproducible
        self._hub = Hub(max_rows=self.max_rows, clock=self._clock, fixed_rows=FIXED_ROWS if fixed else 0)
        return self._hub

    def _warm(self, name: str) -> None:
        """Load the default model before anybody asks. Whoever asks learns what went wrong, so here it is only logged."""
        try:
            self._model(name)
        except EngineError as error:
            log.error("%s", error)

    def _model(self, name: str) -> Model:
        from engine.operations import Model

        if name not in self._models:
            started = self._clock()
            self._models[name] = Model.load(self._shelf.entry(name), self._device)
            log.info("loaded %s on %s in %.1f s", name, self._device, self._clock() - started)
        return self._models[name]

    def _begin(self, job: Job) -> None:
        from engine.hub import Task

        with self._lock:
            if job not in self._line:
                return
            self._line.remove(job)
        try:
            body = self._body(job)
        except EngineError as error:
            job.ended(None, error, 0.0)
            return
        self._tasks[job] = task = Task(body, job.rows, lambda task: self._ended(job, task))
        self._hub_of().join(task)

    def _body(self, job: Job) -> Callable[[], Any]:
        from engine import operations

        request, source = job.request, job.source
        model = self._model(request.model)
        if isinstance(request, ImagineRequest):
            return lambda: operations.draw(model, request, source, _Paced(job, self._clock))
        network = model.upscaler
        if network is None or source is None:
            raise EngineError("an upscale without a network does not need the device")
        return lambda: operations.enlarge(model, network, source, request.factor)[None]

    def _cancel(self, job: Job) -> None:
        task = self._tasks.get(job)
        if task is not None:
            self._hub_of().cancel(task)

    def _hub_of(self) -> Hub:
        if self._hub is None:
            raise RuntimeError("the device is not open yet")
        return self._hub

    def _ended(self, job: Job, task: Task) -> None:
        from engine.hub import Cancelled, is_out_of_memory

        del self._tasks[job]
        error: BaseException | None = task.error
        if error is None:
            self._measure(job.request, task.seconds)
        else:
            traceback.clear_frames(error.__traceback__)  # they hold the request's tensors
            if is_out_of_memory(error):
                error = OutOfMemory(f"{job.request.model}: {job.request.width}x{job.request.height} does not fit into the memory of {self._device}")
            elif isinstance(error, Cancelled):
                error = EngineDied("the engine let go of it")  # seen only by who did not ask for it
            elif not isinstance(error, EngineError):
                log.error("%s failed", job.request.model, exc_info=error)
                error = EngineError(f"{type(error).__name__}: {error}")
        if not self.abandoned:
            job.ended(task.result, error, task.seconds)

    def _measure(self, request: Request, seconds: float) -> None:
        """Exponential average of the device seconds a megapixel-step takes."""
        if isinstance(request, ImagineRequest):
            steps = request.steps * (request.strength if request.source else 1.0)
            pace = seconds / max(1e-9, request.count * max(1.0, steps) * request.width * request.height / 1e6)
            self.paces[request.model] = pace + 0.7 * (self.paces.get(request.model, pace) - pace)


class _Paced:
    """A job's watch that allows a preview every 0.3 s, and less often where drawing one costs more than a tenth of the time."""

    def __init__(self, job: Job, clock: Callable[[], float], every: float = 0.3, share: float = 0.1) -> None:
        self._job, self._clock, self._every, self._share = job, clock, every, share
        self._asked = self._next = float("-inf")
        self.progress, self._send = job.progress, job.preview

    def wants_preview(self) -> bool:
        self._asked = self._clock()
        return self._asked >= self._next and self._job.wants_preview()

    def preview(self, pictures: list[Pixels]) -> None:
        now = self._clock()
        self._next = now + max(self._every, (now - self._asked) / self._share)
        self._send(pictures)
