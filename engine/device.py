"""The device thread: it alone runs the hub and, with its loader, touches torch. Owned by `engine.local`.

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
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from engine.api import ENLARGING, EngineDied, EngineError, EngineStats, ImagineRequest, OutOfMemory, Request
from engine.faults import context_lost
from engine.importing import keep_kernels, no_collections, preload_torch
from engine.jobs import Job, Paced, Question
from engine.shelf import Shelf

if TYPE_CHECKING:  # torch comes with these: at run time they are imported on the thread
    from engine.embeddings import EmbeddingCache
    from engine.hub import Hub, Task
    from engine.model import Model
    from engine.probe import Findings
    from engine.residents import Residents

log = logging.getLogger("engine")

#: Pictures that may step together before the model's own knee was measured.
ROWS = {"cpu": 8, "cuda": 32}
#: Rows of every denoising forward in reproducible mode: a default grid of four with guidance exactly, so that it costs such a grid nothing.
#: Measured with the pocket model on one core, milliseconds a row: 72 for 2 rows, 36 for 8, 29 for 16, 22 for 32 (so a single picture pays
#: twice its time, and full batches a quarter to a half more). Without it one 8-bit value in 80,000 differs by 1 in company.
FIXED_ROWS = 8


class Device(threading.Thread):
    """Give it jobs with `submit`, take them back with `cancel`."""

    def __init__(
        self,
        shelf: Shelf,
        *,
        device: str,
        max_rows: int,
        threads: int,
        reproducible: bool,
        memory_gb: float = 0.0,
        clock: Callable[[], float] = time.perf_counter,
        on_death: Callable[[Device, BaseException], None],
    ) -> None:
        super().__init__(name="engine-device", daemon=True)
        self._shelf, self._wanted, self._threads, self._reproducible, self._clock, self._on_death = shelf, device, threads, reproducible, clock, on_death
        self._memory_gb = memory_gb
        self._inbox: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._line: set[Job] = set()  #: submitted, not yet begun
        self._lock = threading.Lock()  #: guards the line
        self._tasks: dict[Job, Task] = {}
        self._parked: dict[str, list[Job]] = defaultdict(list)  #: waiting for their model to be read
        self._findings: dict[str, Findings] = {}
        self._idle_work: dict[str, Iterator[object]] = {}  #: by model: done piece by piece while nobody waits
        self.max_rows = max_rows or ROWS["cpu"]  #: of the real device, and of the default model once it is measured
        self._chosen_rows = max_rows
        self.beat: float | None = None  #: when the turn in progress began; None while waiting for work
        self.paces: dict[str, float] = {}  #: measured, by model
        self._lost: BaseException | None = None  #: what the device's context did not survive
        self.abandoned = False  #: set by the owner of a stuck thread: whatever it still does concerns nobody
        self._hub: Hub | None = None
        self._embeddings: EmbeddingCache | None = None
        self._residents: Residents | None = None

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
        hub, words, residents = self._hub, self._embeddings, self._residents
        if hub is None or words is None or residents is None:
            return EngineStats(rows_in_flight=rows_in_flight)
        return EngineStats(
            rows_in_flight=rows_in_flight,
            batch_rows=hub.counters.last_rows,
            steps=hub.counters.forwards,
            step_rows=hub.counters.rows,
            step_seconds=hub.counters.seconds,
            words_remembered=words.hits,
            words_encoded=words.misses,
            models_loaded=len(residents),
            loaded=residents.names,
            model_bytes=residents.bytes,
        )

    # ------------------------------------------------------------------------------------------------ on the thread

    def run(self) -> None:
        try:
            self._serve()
        except BaseException as error:
            log.exception("the device thread died")
            self._on_death(self, error)
        finally:
            if self._residents is not None:
                self._residents.close()

    def _serve(self) -> None:
        hub = self._open()
        if self._shelf.entries:
            self._fetch(self._shelf.entries[0].can.model)
        while not (self.abandoned or self._lost):
            self.beat = None
            try:
                action = self._inbox.get(block=hub.idle and not self._idle_work)
            except queue.Empty:
                self.beat = self._clock()
                if not hub.tick():
                    self._use_idleness()
                continue
            if action is None:
                break
            self.beat = self._clock()
            action()
        if self._lost is not None:
            raise self._lost
        for job in [job for jobs in self._parked.values() for job in jobs]:
            job.ended(None, EngineDied("the engine let go of it"), 0.0)
        for task in list(self._tasks.values()):
            hub.cancel(task)

    def _open(self) -> Hub:
        preload_torch()
        keep_kernels()
        with no_collections():
            import torch

            from engine import memory, perform, questions, tuning  # noqa: F401  # and with them diffusers and transformers
            from engine.embeddings import EmbeddingCache
            from engine.hub import Hub
            from engine.residents import Residents

        name = self._wanted
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        self._device = torch.device(name)
        torch.set_num_threads(self._threads or os.cpu_count() or 1)
        torch.set_grad_enabled(False)
        self.max_rows = self._chosen_rows or ROWS.get(self._device.type, ROWS["cpu"])
        self._embeddings = EmbeddingCache()
        self._residents = Residents(self._load, memory.budget(self._device, self._memory_gb), self._unloaded)
        self._relief = memory.Relief(lambda: self._models.make_room(self._models.budget, self._in_use()))
        self._warmer = tuning.Warmer(self._models.background, lambda kind, rows: self._inbox.put(lambda: self._compiled(kind, rows)))
        self._hub = Hub(
            max_rows=self.max_rows,
            clock=self._clock,
            fixed_rows=FIXED_ROWS if self._reproducible else 0,
            relieve=self._relieve,
            synchronise=partial(torch.cuda.synchronize, self._device) if self._device.type == "cuda" else lambda: None,
        )
        return self._hub

    @property
    def _fixed_rows(self) -> int:
        return FIXED_ROWS if self._reproducible else 0

    @property
    def _models(self) -> Residents:
        if self._residents is None:
            raise RuntimeError("the device is not open yet")
        return self._residents

    # ------------------------------------------------------------------------------------------------ models

    def _load(self, entry: Any) -> Model:
        """On the loader's thread."""
        from engine import tuning
        from engine.model import Model

        started = self._clock()
        model = Model.load(entry, self._device, self._embeddings)
        tuning.settle(model, self._fixed_rows)
        log.info("loaded %s on %s in %.1f s", entry.can.model, self._device, self._clock() - started)
        return model

    def _fetch(self, name: str) -> None:
        self._models.fetch(self._shelf.entry(name), self._in_use(), lambda outcome: self._inbox.put(lambda: self._arrived(name, outcome)))

    def _arrived(self, name: str, outcome: Model | EngineError) -> None:
        from engine import probe

        waiting = self._parked.pop(name, [])
        if isinstance(outcome, EngineError):
            self._models.settle(name, None)
            log.error("%s", outcome)
            if context_lost(outcome):
                self._lost = outcome
                return
            for job in waiting:
                job.ended(None, outcome, 0.0)
            return
        self._models.settle(name, outcome)
        if outcome.entry.compile and not self._reproducible:
            self._better(lambda: self._warmer.arrived(outcome, self.max_rows))
        if name not in self._findings and not self._chosen_rows:
            self._idle_work[name] = self._measured(name, probe.measure(outcome, self._clock))
        for job in waiting:
            self._seat(job, outcome)
        self._models.make_room(0, self._in_use() | {name})

    def _better(self, work: Callable[[], None]) -> None:
        """Something that only makes drawing faster: nobody's request may fail by it."""
        try:
            work()
        except Exception:
            log.exception("it goes on as it was")

    def _unloaded(self, name: str, model: Model) -> None:
        self._idle_work.pop(name, None)
        self._relief.forget(name)
        self._warmer.forget(name)
        if self._hub is not None:
            self._hub.forget(model.modules)
            self._hub.buckets = {kind: pad for kind, pad in self._hub.buckets.items() if isinstance(kind, tuple) and kind[0] != name}
        if self._embeddings is not None:
            self._embeddings.forget(name)

    def _compiled(self, kind: Hashable, rows: int) -> None:
        from engine.tuning import bucket

        if isinstance(kind, tuple) and self._models.get(kind[0]) is not None:
            self._hub_of().buckets[kind] = partial(bucket, most=rows)

    def _in_use(self) -> frozenset[str]:
        return frozenset(job.request.model for job in self._tasks)

    def _relieve(self, kind: Hashable) -> bool:
        """Asked by the hub when even one row of this kind does not fit."""
        name = kind[0] if isinstance(kind, tuple) else None
        model = self._models.get(name) if isinstance(name, str) else None
        return model is not None and self._relief.find(model)

    # ------------------------------------------------------------------------------------------------ idleness

    def _use_idleness(self) -> None:
        """One piece of what can wait. What fails is left alone: it was to make things better, and nobody asked for it."""
        if not self._idle_work:
            return
        name, work = next(iter(self._idle_work.items()))
        try:
            next(work)
        except StopIteration:
            del self._idle_work[name]
        except Exception as error:
            log.exception("measuring failed")
            del self._idle_work[name]
            self._lost = error if context_lost(error) else self._lost

    def _measured(self, name: str, pieces: Iterator[Findings]) -> Iterator[object]:
        for found in pieces:
            self._findings[name] = found
            yield found
        found = self._findings[name]
        log.info("%s: %s rows at once; a row's bits depend on its company: %s", name, found.knee, found.company_changes_bits)
        if not self._chosen_rows and found.knee and self._shelf.entries and name == self._shelf.entries[0].can.model:
            self.max_rows = max(ROWS["cpu"], self._capped(name, found.knee))
            if self._hub is not None:
                self._hub.max_rows = self.max_rows

    def _capped(self, name: str, rows: int) -> int:
        """`rows`, or fewer where they would not fit beside the weights."""
        from engine import memory

        found = self._findings[name]
        if not found.bytes_a_row:
            return rows
        room = memory.total(self._device) - self._models.bytes
        return max(1, min(rows, int(0.9 * room) // found.bytes_a_row))

    def _cap(self, request: Request) -> int | None:
        """Rows of this model at this size past which time a row stops falling; None before they were measured."""
        found = self._findings.get(request.model)
        if found is None or not found.complete or not found.knee or self._chosen_rows:
            return None
        can = self._shelf.entry(request.model).can
        scale = can.width * can.height / (request.width * request.height)
        return max(1, round(self._capped(request.model, found.knee) * min(scale, 4.0)))

    # ------------------------------------------------------------------------------------------------ jobs

    def _begin(self, job: Job) -> None:
        with self._lock:
            if job not in self._line:
                return
            self._line.remove(job)
        model = self._models.get(job.request.model)
        if model is not None:
            self._seat(job, model)
            return
        self._parked[job.request.model].append(job)
        try:
            self._fetch(job.request.model)
        except EngineError as error:
            self._parked[job.request.model].remove(job)
            job.ended(None, error, 0.0)

    def _seat(self, job: Job, model: Model) -> None:
        """Give the job its place at the hub."""
        from engine import perform, questions
        from engine.hub import Task

        request, canvas, watch = job.request, job.canvas, Paced(job, self._clock)
        if isinstance(request, Question):
            self._tasks[job] = asked = Task(lambda: questions.answer(model, request), job.rows, lambda task: self._ended(job, task), kind=(request.model,))
            self._hub_of().join(asked)
            return
        kind = (request.model, request.width, request.height)
        if (cap := self._cap(request)) is not None:
            self._hub_of().caps[kind] = cap
        self._better(lambda: self._warmer.asked(model, request.width, request.height, self.max_rows))
        self._tasks[job] = task = Task(
            lambda: perform.perform(model, request, canvas, watch),
            job.rows,
            lambda task: self._ended(job, task),
            left=perform.steps(request),
            kind=kind,
            traits=perform.traits(request),
            decoded=perform.decoded(request),
        )
        self._hub_of().join(task)

    def _cancel(self, job: Job) -> None:
        task = self._tasks.get(job)
        if task is not None:
            self._hub_of().cancel(task)
        elif job in self._parked.get(job.request.model, []):
            self._parked[job.request.model].remove(job)
            job.ended(None, EngineDied("the engine let go of it"), 0.0)

    def _hub_of(self) -> Hub:
        if self._hub is None:
            raise RuntimeError("the device is not open yet")
        return self._hub

    def _ended(self, job: Job, task: Task) -> None:
        from engine import memory
        from engine.hub import Cancelled, is_out_of_memory

        del self._tasks[job]
        if (model := self._models.get(job.request.model)) is not None and model.step_cache is not None:
            model.step_cache.forget(task)
        if job.request.model not in self._in_use():
            self._models.make_room(0, self._in_use())
        error: BaseException | None = task.error
        request = job.request
        if error is None:
            self._measure(request, task.seconds)
        else:
            traceback.clear_frames(error.__traceback__)  # they hold the request's tensors
            if context_lost(error):
                self._lost = error
                return  # it is the thread's end now, and `engine.local` tells all who are in flight
            if is_out_of_memory(error):
                what = "what was asked" if isinstance(request, Question) else f"{request.width}x{request.height}"
                error = OutOfMemory(f"{request.model}: {what} does not fit into the memory of {self._device}, even alone ({memory.described(self._device)})")
            elif isinstance(error, Cancelled):
                error = EngineDied("the engine let go of it")  # seen only by who did not ask for it
            elif not isinstance(error, EngineError):
                log.error("%s failed", request.model, exc_info=error)
                error = EngineError(f"{type(error).__name__}: {error}")
        if not self.abandoned:
            job.ended(task.result, error, task.seconds)

    def _measure(self, request: Request | Question, seconds: float) -> None:
        """Exponential average of the device seconds a megapixel-step takes."""
        if isinstance(request, ImagineRequest) and not (request.clip or request.synthesis):
            steps = request.steps * (request.strength if request.source else 1.0)
            enlarging = ENLARGING * request.count * request.enlarge**2 if request.enlarge > 1 else 0.0
            pace = seconds / max(1e-9, (request.rows * max(1.0, steps) + enlarging) * request.width * request.height / 1e6)
            self.paces[request.model] = pace + 0.7 * (self.paces.get(request.model, pace) - pace)
