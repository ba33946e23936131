"""Whose rows the forward now running has: how code inside a module (LoRA layers, circular padding, step caches) tells them apart.

Set by `engine.hub` around every forward; read by `engine.adapters`, `engine.tiling` and `engine.stepcache`. Each thread has a "now" of its own: what is
compiled in the background (`engine.tuning`) runs the same modules and is nobody's row.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a request asks of the modules themselves, beyond their arguments."""

    tile: bool = False  #: convolutions wrap around (seamless textures); such rows have forwards of their own
    loras: tuple[tuple[str, float], ...] = ()  #: adapters by name and their weights

    @property
    def apart(self) -> Hashable:
        """Rows for which this differs cannot share a forward."""
        return self.tile


PLAIN = Traits()


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a forward. `owner`, `call` and `index` together name the same row again in the request's next step."""

    owner: Hashable  #: the request; None for padding
    traits: Traits = PLAIN
    call: int = 0  #: which of the request's batched calls within its step
    index: int = 0  #: which row of that call


class _Here(threading.local):
    now: tuple[Row, ...] = ()


_here = _Here()


def now() -> tuple[Row, ...]:
    """The rows of the forward that is running on this thread, in order; empty outside the hub."""
    return _here.now


@contextlib.contextmanager
def running(rows: Sequence[Row]) -> Iterator[None]:
    """Inside, `now()` is `rows`."""
    before, _here.now = _here.now, tuple(rows)
    try:
        yield
    finally:
        _here.now = before
