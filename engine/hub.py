"""Continuous batching of stock diffusers pipelines, step by step.

Every request runs an unmodified pipeline's `__call__` in a greenlet of its own. The pipeline's heavy modules are `Proxy` objects: called
from inside such a greenlet they do not compute, they hand the call to the `Hub` and switch to it. `Hub.tick` takes the calls that fit
together, runs them as one forward, and switches back to each request with its rows of the output. There is no batch object, only the set of calls
waiting now, so a request joins and leaves at any step and nobody waits for a stranger's last one.

Used by `engine.device`, on the device thread only. A hub knows nothing of requests, models or asyncio.
"""

from __future__ import annotations

import contextvars
import enum
import traceback
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from greenlet import GreenletExit, getcurrent, greenlet

from engine import admission, collate
from engine.collate import Arguments


class Cancelled(Exception):
    """The task was cancelled before it finished."""


class Share(enum.Enum):
    """How calls of one module method may be run."""

    BATCH = enum.auto()  #: together with other requests' calls of the same signature
    WHOLE = enum.auto()  #: as it came, by itself (text encoders: short, and alone they give the stock pipeline's very bits)
    ROWS = enum.auto()  #: each row by itself (autoencoders: batching gains little, costs memory, and changes bits)


@dataclass(eq=False, slots=True)
class Task:
    """One request inside the hub.

    `body` runs in a greenlet and may call proxies; `ended` is called once, on the hub's thread, with the task's `result` or `error` set.
    """

    body: Callable[[], Any]
    rows: int  #: pictures; what the cap on rows counts
    ended: Callable[[Task], None]
    result: Any = None
    error: Exception | None = None
    seconds: float = 0.0  #: this task's share of the device's time


#: Set inside each task's greenlet (every greenlet has a context of its own): how a proxy finds its hub and task.
_seat: contextvars.ContextVar[tuple[Hub, Task] | None] = contextvars.ContextVar("seat", default=None)


@dataclass(eq=False, slots=True)
class _Call:
    """A module call waiting to be run."""

    task: Task
    function: Callable[..., Any]
    arguments: Arguments
    share: Share
    key: Hashable
    since: int

    @property
    def rows(self) -> int:
        return self.arguments.rows

    @property
    def urgent(self) -> bool:
        return self.share is Share.WHOLE


class Proxy:
    """Stands in a pipeline for `module`; the methods named in `shares` are run by the hub, everything else is the module's own.

    Called outside a hub's task it computes right away, like the module.
    """

    def __init__(self, module: Any, shares: Mapping[str, Share]) -> None:
        self.__dict__.update(_module=module, _shares=dict(shares))

    @property  # type: ignore[misc]  # so that isinstance(pipe.unet, UNet2DConditionModel) stays true
    def __class__(self) -> type:
        return type(self._module)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        if name in self._shares:
            return lambda *args, **kwargs: self._send(name, value, args, kwargs)
        return value

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._send("__call__", self._module, args, kwargs)

    def _send(self, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        seat, share = _seat.get(), self._shares.get(name)
        if seat is None or share is None:
            return function(*args, **kwargs)
        hub, task = seat
        if share is Share.ROWS:
            kwargs.pop("generator", None)  # a list with one for each row; no autoencoder draws from it while decoding
        return hub.wait(task, function, (id(self._module), name), Arguments(args, kwargs, collate.count_rows(args, kwargs)), share)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device's allocator (or the CPU's, which torch reports as a plain RuntimeError) refused."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error))


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
    counters: Counters = field(default_factory=Counters)
    _line: deque[Task] = field(default_factory=deque)
    _live: dict[Task, Any] = field(default_factory=dict)  #: admitted tasks and their greenlets
    _waiting: list[_Call] = field(default_factory=list)
    _limits: dict[Hashable, int] = field(default_factory=dict)  #: rows a forward of this signature may have, learnt by running out of memory
    _tickets: int = 0
    _main: Any = None  #: the greenlet that runs the hub

    @property
    def idle(self) -> bool:
        return not self._live and not self._line

    def join(self, task: Task) -> None:
        """Stand in line; `tick` admits."""
        self._line.append(task)

    def cancel(self, task: Task) -> None:
        """Take the task out now, wherever it stands; it ends with `Cancelled`. Does nothing when it has ended."""
        if task in self._line:
            self._line.remove(task)
            self._end(task, Cancelled())
        elif task in self._live:
            while task in self._live:  # once, unless a pipeline's clean-up calls a module
                self._waiting = [call for call in self._waiting if call.task is not task]
                self._throw(task, GreenletExit())

    def tick(self) -> bool:
        """Admit who fits, run one forward and take everybody in it up to their next module call. False when there was nothing to do."""
        for _ in range(admission.admit([task.rows for task in self._line], sum(task.rows for task in self._live), self.max_rows)):
            self._start(self._line.popleft())
        chosen = admission.choose(self._waiting, self.forward_rows)
        if not chosen:
            return False
        calls = [self._waiting[i] for i in chosen]
        self._waiting = [call for i, call in enumerate(self._waiting) if i not in set(chosen)]
        for call, output in zip(calls, self._outputs(calls), strict=True):
            if isinstance(output, Exception):
                self._throw(call.task, output)
            else:
                self._resume(call.task, output)
        return True

    # ------------------------------------------------------------------------------------------------ forwards

    def _outputs(self, calls: list[_Call]) -> list[Any]:
        """Each call's output, or the exception to raise where it was called. A batch that fails is retried call by call."""
        try:
            return self._forward(calls)
        except Exception as error:
            if len(calls) == 1:
                return [error]
            traceback.clear_frames(error.__traceback__)
        return [output for call in calls for output in self._outputs([call])]

    def _forward(self, calls: list[_Call]) -> list[Any]:
        started = self.clock()
        torch.set_grad_enabled(False)
        first = calls[0]
        rows = [call.rows for call in calls]
        if first.share is Share.WHOLE:
            outputs = [first.function(*first.arguments.args, **first.arguments.kwargs)]
        else:
            outputs = collate.split(self._run(first, [call.arguments for call in calls]), rows)
        seconds = self.clock() - started
        for call in calls:
            call.task.seconds += seconds * call.rows / sum(rows)
        if first.share is Share.BATCH:
            self.counters = Counters(sum(rows), self.counters.forwards + 1, self.counters.rows + sum(rows), self.counters.seconds + seconds)
        return outputs

    def _run(self, call: _Call, arguments: list[Arguments]) -> Any:
        """Run the joint call in pieces of as many rows as fit; running out of memory halves the piece, down to one row."""
        while True:
            size = self._piece(call, sum(each.rows for each in arguments))
            try:
                return self._pieces(call, arguments, size)
            except Exception as error:
                if not is_out_of_memory(error) or size == 1:
                    raise
                traceback.clear_frames(error.__traceback__)  # its frames hold the tensors that did not fit
            self._limits[call.key] = size // 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _piece(self, call: _Call, total: int) -> int:
        if call.share is Share.ROWS:
            return 1
        wanted = self.fixed_rows if call.share is Share.BATCH and self.fixed_rows else total
        return min(wanted, self._limits.get(call.key, wanted))

    def _pieces(self, call: _Call, arguments: list[Arguments], size: int) -> Any:
        alone, fixed = len(arguments) == 1, call.share is Share.BATCH and self.fixed_rows > 0
        joint = arguments[0] if alone and not fixed else collate.concatenate(arguments)
        if joint.rows <= size and not fixed:
            return call.function(*joint.args, **joint.kwargs)
        outputs = []
        for start in range(0, joint.rows, size):
            piece = collate.slice_rows(joint, start, min(start + size, joint.rows), pad_to=size if fixed else 0)
            outputs.append(call.function(*piece.args, **piece.kwargs))
        return collate.merge(outputs)

    # ------------------------------------------------------------------------------------------------ greenlets

    def _start(self, task: Task) -> None:
        def run() -> None:
            _seat.set((self, task))
            task.result = task.body()

        self._live[task] = greenlet(run)
        self._resume(task)

    def wait(self, task: Task, function: Callable[..., Any], name: Hashable, arguments: Arguments, share: Share) -> Any:
        """In a task's greenlet, by a proxy: wait until the hub has run this call, and return its output. Raises what the call raised."""
        self._tickets += 1
        key = (name, collate.signature(arguments)) if share is Share.BATCH else ("alone", self._tickets)
        self._waiting.append(_Call(task, function, arguments, share, key, self._tickets))
        return self._main.switch()

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
        task.error = error
        task.ended(task)
