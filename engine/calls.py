"""What the hub handles: tasks, the calls they wait for, and how calls may be run. Plain data; used by `engine.hub` and by who gives it work."""

from __future__ import annotations

import enum
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import torch

from engine.collate import Arguments
from engine.rows import PLAIN, Row, Traits


class Cancelled(Exception):
    """The task was cancelled before it finished."""


class Share(enum.Enum):
    """How calls of one module method may be run."""

    BATCH = enum.auto()  #: together with other requests' calls of the same signature
    WHOLE = enum.auto()  #: as it came, by itself (text encoders: short, and alone they give the stock pipeline's very bits)
    ROWS = enum.auto()  #: few rows of one request at a time (autoencoders: batching gains little and costs memory)
    TURN = enum.auto()  #: as it came, by itself, and no sooner than its turn among the forwards of others (gradients: long, and there may be hundreds)


@dataclass(eq=False, slots=True, weakref_slot=True)
class Task:
    """One request inside the hub.

    `body` runs in a greenlet and may call proxies; `ended` is called once, on the hub's thread, with the task's `result` or `error` set.
    """

    body: Callable[[], Any]
    rows: int  #: pictures; what the caps on rows count
    ended: Callable[[Task], None]
    left: int = 1  #: steps still to do, as far as is known; `stepped` counts them down
    kind: Hashable = None  #: its model and shape
    traits: Traits = PLAIN
    decoded: int = 1  #: rows of a `Share.ROWS` call that are run at once
    result: Any = None
    error: Exception | None = None
    seconds: float = 0.0  #: this task's share of the device's time
    since: int = 0  #: the turn at which it joined the line
    calls: int = 0  #: batched calls it has made in the step it is in


@dataclass(eq=False, slots=True)
class Errand:
    """Calls a task makes at once; it goes on when all of them are back."""

    task: Task
    outputs: list[Any]
    out: int  #: calls not yet back
    error: Exception | None = None


@dataclass(eq=False, slots=True)
class Call:
    """A module call waiting to be run."""

    errand: Errand
    slot: int
    function: Callable[..., Any]
    arguments: Arguments
    share: Share
    key: Hashable
    since: int
    ordinal: int = 0

    @property
    def task(self) -> Task:
        return self.errand.task

    @property
    def rows(self) -> int:
        return self.arguments.rows

    @property
    def left(self) -> int:
        return self.errand.task.left

    @property
    def urgent(self) -> bool:
        return self.share is not Share.BATCH

    def names(self) -> list[Row]:
        return [Row(self.task, self.task.traits, self.ordinal, index) for index in range(self.rows)]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a proxy asks of the hub: `function` with `arguments`; `name` is the same for calls of the same module method."""

    function: Callable[..., Any]
    name: Hashable
    arguments: Arguments
    share: Share


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device's allocator (or the CPU's, which torch reports as a plain RuntimeError) refused."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in ("DefaultCPUAllocator", "ALLOC_FAILED"))
