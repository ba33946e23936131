"""Continuous batching of stock diffusers pipelines, step by step.

Every request runs an unmodified pipeline's `__call__` in a greenlet of its own. The pipeline's heavy modules are `engine.proxy.Proxy` objects: called
from inside such a greenlet they do not compute, they hand the call to the `Hub` and switch to it. `Hub.tick` takes the calls that fit
together, runs them as one forward, and switches back to each request with its rows of the output. There is no batch object, only the set of calls
waiting now, so a request joins and leaves at any step and nobody waits for a stranger's last one.

Used by `engine.device`, on the device thread only. A hub knows nothing of requests, models or asyncio.
"""

from __future__ import annotations

import contextvars
import traceback
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from greenlet import GreenletExit, getcurrent, greenlet

from engine import admission, collate, rows
from engine.calls import Call, Cancelled, Errand, Share, Task, Wanted, is_out_of_memory
from engine.collate import Arguments
from engine.rows import Row

__all__ = ["ERRANDS", "Call", "Cancelled", "Counters", "Hub", "Share", "Task", "Wanted", "is_out_of_memory", "seat", "stepped"]

#: Calls that go first (words to encode, pictures to decode) in a row, before a forward of the others has its turn: enough for several requests that come
#: together to begin together, and step together from then on.
ERRANDS = 16
#: Set inside each task's greenlet (every greenlet has a context of its own): how a proxy finds its hub and task.
_seat: contextvars.ContextVar[tuple[Hub, Task] | None] = contextvars.ContextVar("seat", default=None)


def seat() -> tuple[Hub, Task] | None:
    """The hub and the task whose code is running, or None outside any."""
    return _seat.get()


def stepped() -> None:
    """By a task's own code, after each of its denoising steps."""
    if (found := _seat.get()) is not None:
        task = found[1]
        task.left, task.calls = max(0, task.left - 1), 0


@dataclass(frozen=True, slots=True)
class Counters:
    """What batched forwards have cost so far."""

    last_rows: int = 0
    forwards: int = 0
    rows: int = 0
    seconds: float = 0.0


@dataclass(eq=False)
class Hub:
    """Runs tasks whose module calls share forwards. Not thread-safe: one thread calls everything."""

    max_rows: int  #: pictures admitted at once
    clock: Callable[[], float]
    fixed_rows: int = 0  #: when set, every batched forward has exactly this many rows, so that a row's bits do not depend on its company
    forward_rows: int = 64  #: rows of one forward; the rest takes the next
    caps: dict[Hashable, int] = field(default_factory=dict)  #: pictures admitted at once, and rows of one forward, by kind; measured by the owner
    buckets: dict[Hashable, Callable[[int], int]] = field(default_factory=dict)  #: by kind: to how many rows a forward is padded (compiled models)
    relieve: Callable[[Hashable], bool] = lambda kind: False  #: asked when even one row does not fit: whether memory was found, so that it is worth another try
    synchronise: Callable[[], None] = lambda: None  #: waits until the device has done what it was given, so that seconds are the device's
    counters: Counters = field(default_factory=Counters)
    _line: list[Task] = field(default_factory=list)
    _live: dict[Task, Any] = field(default_factory=dict)  #: admitted tasks and their greenlets
    _waiting: dict[Hashable, list[Call]] = field(default_factory=lambda: defaultdict(list))  #: by key
    _errands: list[Call] = field(default_factory=list)  #: calls that go first
    _limits: dict[Hashable, int] = field(default_factory=dict)  #: rows a forward of this signature may have, learnt by running out of memory
    _row_seconds: dict[Hashable, float] = field(default_factory=dict)  #: what a row of this signature took last
    _signatures: dict[Hashable, Hashable] = field(default_factory=dict)  #: by what is quick to compare
    _rounds: admission.Rounds = field(default_factory=admission.Rounds)
    _errands_run: int = 0  #: since the last forward of those who wait their turn
    _turn: int = 0
    _main: Any = None  #: the greenlet that runs the hub

    @property
    def idle(self) -> bool:
        return not self._live and not self._line

    @property
    def live(self) -> tuple[Task, ...]:
        """The tasks admitted and not yet ended."""
        return tuple(self._live)

    def join(self, task: Task) -> None:
        """Stand in line; `tick` admits."""
        task.since = self._turn
        self._line.append(task)

    def cancel(self, task: Task) -> None:
        """Take the task out now, wherever it stands; it ends with `Cancelled`. Does nothing when it has ended."""
        if task in self._line:
            self._line.remove(task)
            self._end(task, Cancelled())
        elif task in self._live:
            while task in self._live:  # once, unless a pipeline's clean-up calls a module
                self._forget_calls(task)
                self._throw(task, GreenletExit())

    def tick(self) -> bool:
        """Admit who fits, run one forward and take everybody in it up to their next module call. False when there was nothing to do."""
        self._turn += 1
        if self._line:
            self._admit()
        calls = self._next()
        if not calls:
            return False
        for call, output in zip(calls, self._outputs(calls), strict=True):
            self._deliver(call, output)
        return True

    # ------------------------------------------------------------------------------------------------ whose turn it is

    def _admit(self) -> None:
        in_flight: dict[Hashable, int] = defaultdict(int)
        for task in self._live:
            in_flight[task.kind] += task.rows
        joining = [self._line[i] for i in admission.admit(self._line, in_flight, self.caps, self.max_rows, self._turn)]
        for task in joining:
            self._line.remove(task)
        for task in joining:
            self._start(task)

    def _next(self) -> list[Call]:
        """The calls of the next forward, taken out of the waiting ones."""
        if self._errands and (self._errands_run < ERRANDS or not self._waiting):
            self._errands_run += 1
            return [self._errands.pop(0)]
        self._errands_run = 0
        if not self._waiting:
            return []
        key = self._rounds.next({key: self._offer(key, group) for key, group in self._waiting.items()}) if len(self._waiting) > 1 else next(iter(self._waiting))
        group = self._waiting[key]
        chosen = admission.choose(group, min(self.forward_rows, self.caps.get(group[0].task.kind, self.forward_rows)), self._turn)
        if len(chosen) == len(group):
            del self._waiting[key]
        else:
            taken = set(map(id, chosen))
            self._waiting[key] = [call for call in group if id(call) not in taken]
        return chosen

    def _offer(self, key: Hashable, group: Sequence[Call]) -> tuple[float, int]:
        count = sum(call.rows for call in group)
        runs = min(count, self.forward_rows, self.caps.get(group[0].task.kind, count))
        return self._row_seconds.get(key, 0.0) * runs, count

    def _forget_calls(self, task: Task) -> None:
        self._errands = [call for call in self._errands if call.task is not task]
        for key, group in list(self._waiting.items()):
            kept = [call for call in group if call.task is not task]
            if kept:
                self._waiting[key] = kept
            else:
                del self._waiting[key]

    # ------------------------------------------------------------------------------------------------ forwards

    def _outputs(self, calls: list[Call]) -> list[Any]:
        """Each call's output, or the exception to raise where it was called. A batch that fails is retried call by call."""
        try:
            return self._forward(calls)
        except Exception as error:
            if len(calls) == 1:
                return [error]
            traceback.clear_frames(error.__traceback__)
        return [output for call in calls for output in self._outputs([call])]

    def _forward(self, calls: list[Call]) -> list[Any]:
        started = self.clock()
        torch.set_grad_enabled(False)
        first, count = calls[0], sum(call.rows for call in calls)
        if first.share in (Share.WHOLE, Share.TURN):
            outputs = [self._whole(first)]
        else:
            outputs = collate.split(self._run(calls), [call.rows for call in calls], first.arguments.rules)
        self.synchronise()
        seconds = self.clock() - started
        for call in calls:
            call.task.seconds += seconds * call.rows / count
        if first.share is Share.BATCH:
            self.counters = Counters(count, self.counters.forwards + 1, self.counters.rows + count, self.counters.seconds + seconds)
        if first.key is not None:
            self._price(first.key, seconds / count)
        return outputs

    def _price(self, key: Hashable, seconds: float) -> None:
        """What a row of this signature costs in the rounds. The first forward is cold and says little; later ones are believed step by step."""
        known = self._row_seconds.get(key)
        self._row_seconds[key] = 0.0 if known is None else min(seconds, 2 * known) if known else seconds

    def _whole(self, call: Call) -> Any:
        while True:
            try:
                with rows.running(call.names()):
                    return call.function(*call.arguments.args, **call.arguments.kwargs)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                traceback.clear_frames(error.__traceback__)
                if not self.relieve(call.task.kind):
                    raise

    def _run(self, calls: list[Call]) -> Any:
        """Run the joint call in pieces of as many rows as fit; running out of memory halves the piece, down to one row, then asks for relief."""
        first, total = calls[0], sum(call.rows for call in calls)
        while True:
            size = self._piece(first, total)
            try:
                return self._pieces(calls, size)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                traceback.clear_frames(error.__traceback__)  # its frames hold the tensors that did not fit
                if size == 1:
                    if not self.relieve(first.task.kind):
                        raise
                    self._limits.pop(first.key, None)  # there is room again: how much is to be learnt anew
            if size > 1:
                self._limits[first.key] = size // 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _piece(self, call: Call, total: int) -> int:
        if call.share is Share.ROWS:
            return 1 if self.fixed_rows else min(total, call.task.decoded, self._limits.get(call.key, total))
        wanted = self.fixed_rows if call.share is Share.BATCH and self.fixed_rows else total
        return min(wanted, self._limits.get(call.key, wanted))

    def _padded(self, call: Call, length: int, size: int) -> int:
        return size if self.fixed_rows else self.buckets[call.task.kind](length)

    def _pieces(self, calls: list[Call], size: int) -> Any:
        first = calls[0]
        fixed = first.share is Share.BATCH and (self.fixed_rows > 0 or first.task.kind in self.buckets)
        joint = first.arguments if len(calls) == 1 and not fixed else collate.concatenate([call.arguments for call in calls])
        names = [name for call in calls for name in call.names()]
        if joint.rows <= size and not fixed:
            with rows.running(names):
                return first.function(*joint.args, **joint.kwargs)
        outputs = []
        for start in range(0, joint.rows, size):
            stop = min(start + size, joint.rows)
            piece = collate.slice_rows(joint, start, stop, pad_to=self._padded(first, stop - start, size) if fixed else 0)
            with rows.running(names[start:stop] + [Row(None, names[start].traits)] * (piece.rows - (stop - start))):
                outputs.append(first.function(*piece.args, **piece.kwargs))
        return collate.merge(outputs, joint.rules)

    # ------------------------------------------------------------------------------------------------ greenlets

    def wait(self, task: Task, wanted: Sequence[Wanted]) -> list[Any]:
        """In a task's greenlet, by a proxy: wait until the hub has run these calls, and return their outputs. Raises what the first failing one raised."""
        errand = Errand(task, [None] * len(wanted), len(wanted))
        for slot, each in enumerate(wanted):
            call = Call(errand, slot, each.function, each.arguments, each.share, None, self._turn)
            if each.share is Share.BATCH:
                call.key = (each.name, task.traits.apart, self._signature(each.arguments), self._lengths(each.arguments))
                call.ordinal, task.calls = task.calls, task.calls + 1
                self._waiting[call.key].append(call)
            elif each.share is Share.TURN:
                call.key = task
                self._waiting[call.key].append(call)
            else:
                call.key = (each.name, task.kind)
                self._errands.append(call)
        outputs: list[Any] = self._main.switch()
        return outputs

    def _signature(self, arguments: Arguments) -> Hashable:
        """As `collate.signature`; remembered for what is told by shapes alone, for a request says the same at each of its steps."""
        quick = _quick(arguments)
        if quick is None:
            return collate.signature(arguments)
        if quick not in self._signatures:
            if len(self._signatures) > 1000:
                self._signatures.clear()
            self._signatures[quick] = collate.signature(arguments)
        return self._signatures[quick]

    def _lengths(self, arguments: Arguments) -> Hashable:
        """Where bits must not depend on company, neither may how far a row's words are padded."""
        if not self.fixed_rows:
            return None
        values = {name: arguments.kwargs.get(name) for tokens, mask in arguments.rules.padded.items() for name in (tokens, mask)}
        return tuple((name, value.shape[1] if isinstance(value, torch.Tensor) else None) for name, value in values.items())

    def forget(self, modules: frozenset[int]) -> None:
        """What was learnt of modules (given by their `id`) that are gone: another may get the same id."""

        def stays(key: Any) -> bool:
            return not (isinstance(key, tuple) and isinstance(key[0], tuple) and key[0][0] in modules)

        self._limits = {key: limit for key, limit in self._limits.items() if stays(key)}
        self._row_seconds = {key: seconds for key, seconds in self._row_seconds.items() if stays(key)}

    def _deliver(self, call: Call, output: Any) -> None:
        errand = call.errand
        if errand.task not in self._live:
            return
        errand.out -= 1
        if isinstance(output, Exception):
            errand.error = errand.error or output
        else:
            errand.outputs[call.slot] = output
        if errand.out:
            return
        if errand.error is not None:
            self._throw(errand.task, errand.error)
        else:
            self._resume(errand.task, errand.outputs)

    def _start(self, task: Task) -> None:
        def run() -> None:
            _seat.set((self, task))
            task.result = task.body()

        self._live[task] = greenlet(run)
        self._resume(task)

    def _resume(self, task: Task, *output: Any) -> None:
        self._enter(task, lambda inside: inside.switch(*output))

    def _throw(self, task: Task, error: BaseException) -> None:
        self._enter(task, lambda inside: inside.throw(error))

    def _enter(self, task: Task, how: Callable[[Any], Any]) -> None:
        """Let a task run up to its next module call or its end. What it raises is its own; only a BaseException other than a cancel is everybody's."""
        inside = self._live[task]
        inside.parent = self._main = getcurrent()
        torch.set_grad_enabled(False)  # grad mode is per thread: the task that ran last may have left its own
        started, error = self.clock(), None
        try:
            left = how(inside)
        except Exception as raised:
            left, error = None, raised
        task.seconds += self.clock() - started
        if isinstance(left, GreenletExit):
            error = Cancelled()
        if inside.dead:
            self._end(task, error)

    def _end(self, task: Task, error: Exception | None) -> None:
        self._live.pop(task, None)
        self._row_seconds.pop(task, None)
        self._rounds.forget(task)
        task.error = error
        task.ended(task)


def _quick(arguments: Arguments) -> Hashable | None:
    """What determines a call's signature, where shapes and plain values do; None where it takes a longer look."""
    if arguments.args or arguments.rules is not collate.PLAIN:
        return None
    rows, found = arguments.rows, list[Any]()
    for name, value in arguments.kwargs.items():
        kind = type(value)
        if kind is torch.Tensor:
            shape = value.shape
            if shape and shape[0] != rows and shape != (1,):
                return None
            found += (name, shape, value.dtype)
        elif value is None or kind is bool or kind is int or kind is str or kind is float:
            found += (name, kind, value)
        else:
            return None
    return (rows, *found)
