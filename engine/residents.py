"""The models in memory: read on a thread of their own, evicted least recently used when the budget is passed. Used by `engine.device`.

The running batch goes on stepping while another model is read.
"""

from __future__ import annotations

import gc
import logging
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.api import EngineError
from engine.shelf import Entry

if TYPE_CHECKING:
    from engine.model import Model

log = logging.getLogger("engine")

Arrived = Callable[["Model | EngineError"], None]
"""Told once, on the loader's thread: the model, or why there is none."""


@dataclass(eq=False)
class Residents:
    """`budget` is in bytes, for weights; what is in use may pass it until it is idle. All but `_read` and the work in the background on the device thread."""

    load: Callable[[Entry], Model]  #: blocking
    budget: int
    unloaded: Callable[[str, Model], None]  #: told of each model that was dropped
    _models: OrderedDict[str, Model] = field(default_factory=OrderedDict)  #: the least recently used first
    _bytes: dict[str, int] = field(default_factory=dict)  #: what each one's weights take
    _loading: dict[str, int] = field(default_factory=dict)  #: being read, and the bytes they will take
    _loader: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="engine-loader"))
    _workers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="engine-compiler"))

    def get(self, name: str) -> Model | None:
        """The model if it is in memory; it counts as used now."""
        if name in self._models:
            self._models.move_to_end(name)
        return self._models.get(name)

    @property
    def bytes(self) -> int:
        """What the weights in memory take."""
        return sum(self._bytes.values())

    def __len__(self) -> int:
        return len(self._models)

    @property
    def names(self) -> tuple[str, ...]:
        """Least recently used first. From any thread."""
        return tuple(self._models)

    def fetch(self, entry: Entry, in_use: frozenset[str], arrived: Arrived) -> None:
        """Begin to read a model that is not in memory. Those not `in_use` make room for it. Does nothing while it is being read already."""
        name = entry.can.model
        if name in self._loading:
            return
        self.make_room(entry.memory, in_use)
        self._loading[name] = entry.memory
        self._loader.submit(self._read, entry, arrived)

    def _read(self, entry: Entry, arrived: Arrived) -> None:
        try:
            arrived(self.load(entry))
        except EngineError as error:
            arrived(error)
        except BaseException as error:  # whoever waits must be told, whatever it was
            log.exception("loading %s failed", entry.can.model)
            arrived(EngineError(f"{type(error).__name__}: {error}"))

    def background(self, work: Callable[[], None]) -> None:
        """Run something on a thread of its own; what fails is logged."""

        def run() -> None:
            try:
                work()
            except Exception:
                log.exception("work in the background failed")

        self._workers.submit(run)

    def settle(self, name: str, model: Model | None) -> None:
        """On the device thread, when `arrived` was told: the model is in memory now (or not)."""
        self._loading.pop(name, None)
        if model is not None:
            self._models[name], self._bytes[name] = model, model.bytes

    def make_room(self, wanted: int, in_use: frozenset[str]) -> bool:
        """Drop models not in use, least recently used first, until `wanted` bytes fit into the budget. True when anything was dropped."""
        self._bytes = {name: model.bytes for name, model in self._models.items()}  # they grow by parts that were read later
        dropped = False
        for name in [name for name in self._models if name not in in_use]:
            if self.bytes + sum(self._loading.values()) + wanted <= self.budget:
                break
            self.drop(name)
            dropped = True
        return dropped

    def drop(self, name: str) -> None:
        """Forget a model; its memory is free when nobody else holds it."""
        model = self._models.pop(name)
        del self._bytes[name]
        self.unloaded(name, model)
        del model
        gc.collect()  # pipelines and modules hold each other; until a collection the memory would not be free
        log.info("dropped %s from memory", name)

    def close(self) -> None:
        for pool in (self._loader, self._workers):
            pool.shutdown(wait=False, cancel_futures=True)
        self._models.clear()
