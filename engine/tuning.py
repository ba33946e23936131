"""Making a model's forwards faster without changing what they mean: memory layout, quantised weights, and compiled blocks. Used by `engine.device`.

Compilation is regional (the blocks that a denoiser repeats, after PyTorch's recipe for it), by shape, in the background: until a shape was compiled, and for
every shape that never was, the blocks run as they are. Rows are padded up to a few sizes, so that few shapes are met. Kernels are kept between runs
(`engine.importing.keep_kernels`).
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from engine import collate, probe, rows, stepcache
from engine.adapters import Adapters
from engine.api import ModelCorrupt
from engine.collate import Arguments
from engine.model import Model
from engine.rows import PLAIN
from engine.stepcache import StepCache

log = logging.getLogger("engine")

#: Rows a compiled forward may have; fewer are padded.
BUCKETS = (1, 2, 4, 8, 16, 32, 64)


def settle(model: Model, fixed_rows: int = 0) -> None:
    """What is done once, after reading: channels last for convolutions on an accelerator, the card's quantisation, adapters, step cache. Raises ModelCorrupt.

    With `fixed_rows`, adapters and the cache keep to computations whose bits do not depend on company either.
    """
    denoiser = denoiser_of(model)
    if model.device.type == "cuda" and model.family.denoiser == "unet":
        denoiser.to(memory_format=torch.channels_last)
    if model.entry.quantise:
        quantise(denoiser, model.entry.quantise, model.entry.can.model)
    pipeline = model.pipeline("words")
    if model.entry.loras:
        model.adapters = Adapters(type(pipeline), pipeline.components, model.entry.loras, steady=fixed_rows > 0)
    if model.entry.step_cache > 0 and stepcache.supports(denoiser):
        sizes = (fixed_rows,) if fixed_rows else BUCKETS if model.entry.compile else ()
        model.step_cache = StepCache(denoiser, model.entry.step_cache, sizes=sizes)


def quantise(denoiser: Any, kind: str, name: str) -> None:
    """Keep the denoiser's linear weights in 8 bits: half the memory of float16. Raises ModelCorrupt where torchao is not installed or `kind` is unknown."""
    try:
        from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig, quantize_
    except ImportError as error:
        raise ModelCorrupt(f"{name}: quantise = {kind!r} needs the package torchao (pip install torchao)") from error
    kinds = {"int8": Int8WeightOnlyConfig, "fp8": Float8WeightOnlyConfig}
    if kind not in kinds:
        raise ModelCorrupt(f"{name}: quantise = {kind!r} is neither of {', '.join(kinds)}")
    quantize_(denoiser, kinds[kind]())


def denoiser_of(model: Model) -> Any:
    """The bare module."""
    return getattr(model.pipeline("words"), model.family.denoiser)._module


def bucket(rows: int, most: int = BUCKETS[-1]) -> int:
    """Rows a compiled forward of `rows` rows is padded to; `rows` itself when there is no such bucket up to `most`."""
    return next((size for size in BUCKETS if rows <= size <= most), rows)


@dataclass(eq=False)
class Compiled:
    """One model's denoiser whose repeated blocks run compiled for the shapes that were `warm`ed, and as they are for all others."""

    denoiser: Any
    backend: str = "inductor"
    warmed: set[Hashable] = field(default_factory=set)
    _state: threading.local = field(default_factory=threading.local)

    def __post_init__(self) -> None:
        # All blocks of a kind share one code object, and each shape of each block is a graph: past the default limit of 8 they would quietly not be compiled.
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 256)
        torch._dynamo.config.accumulated_recompile_limit = max(torch._dynamo.config.accumulated_recompile_limit, 4096)
        names = set(getattr(self.denoiser, "_repeated_blocks", None) or ())
        for block in [module for module in self.denoiser.modules() if type(module).__name__ in names]:
            block._compiled_call_impl = self._switch(block)
        self.denoiser.register_forward_pre_hook(self._look, with_kwargs=True)

    def _switch(self, block: Any) -> Callable[..., Any]:
        compiled = torch.compile(block._call_impl, backend=self.backend, dynamic=False)

        def call(*args: Any, **kwargs: Any) -> Any:
            return (compiled if getattr(self._state, "on", False) else block._call_impl)(*args, **kwargs)

        return call

    def _look(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Before each forward: compiled blocks only for shapes whose kernels are there, so that nobody waits for a compiler, and only for plain rows: what
        adapters and circular padding do was not there when they were compiled.
        """
        plain = all(row.traits == PLAIN for row in rows.now())
        self._state.on = getattr(self._state, "warming", False) or (plain and shapes(args, kwargs) in self.warmed)

    def warm(self, call: Arguments, sizes: Sequence[int]) -> None:
        """Compile for these numbers of rows of `call`. Takes seconds to minutes each; any thread. What cannot be compiled goes on as it was."""
        torch.set_grad_enabled(False)
        self._state.warming = True
        try:
            for size in sizes:
                widened = collate.concatenate([call] * size)
                key = shapes(widened.args, widened.kwargs)
                if key not in self.warmed:
                    self.denoiser(*widened.args, **widened.kwargs)
                    self.warmed.add(key)
        except Exception:
            log.exception("compiling %s failed; it goes on as it was", type(self.denoiser).__name__)
        finally:
            self._state.warming = False


def shapes(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Hashable:
    """The shapes of a call's tensors, however it was written."""
    return tuple(sorted(found for value in (*args, *kwargs.values()) for found in _shapes(value)))


def _shapes(value: Any) -> list[tuple[int, ...]]:
    if isinstance(value, torch.Tensor):
        return [tuple(value.shape)]
    if isinstance(value, Mapping):
        return [found for inner in value.values() for found in _shapes(inner)]
    if isinstance(value, tuple | list):
        return [found for inner in value for found in _shapes(inner)]
    return []


@dataclass(eq=False)
class Warmer:
    """Decides what is compiled when: a model's own size as soon as it is read, another size when it was asked for OFTEN times.

    `background` runs something on another thread than the device's; `ready` is told, on that thread, of a kind whose forwards are compiled
    from now on, up to so many rows.
    """

    background: Callable[[Callable[[], None]], None]
    ready: Callable[[Hashable, int], None]
    backend: str = "inductor"
    often: int = 3
    _compiled: dict[str, Compiled] = field(default_factory=dict)
    _asked: Counter[Hashable] = field(default_factory=Counter)

    def arrived(self, model: Model, rows: int) -> None:
        """A model was read whose card says `compile`; its forwards have at most `rows` rows. On the device thread."""
        can = model.entry.can
        self._compiled[can.model] = Compiled(denoiser_of(model), self.backend)
        self._begin(model, can.width, can.height, rows)

    def asked(self, model: Model, width: int, height: int, rows: int) -> None:
        """Somebody wants pictures of this size. On the device thread."""
        name = model.entry.can.model
        self._asked[name, width, height] += 1
        if name in self._compiled and self._asked[name, width, height] == self.often and (width, height) != (model.entry.can.width, model.entry.can.height):
            self._begin(model, width, height, rows)

    def forget(self, name: str) -> None:
        """The model left the memory, and its kernels with it."""
        self._compiled.pop(name, None)
        for kind in [kind for kind in self._asked if isinstance(kind, tuple) and kind[0] == name]:
            del self._asked[kind]

    def _begin(self, model: Model, width: int, height: int, rows: int) -> None:
        compiled, call = self._compiled[model.entry.can.model], probe.call_of(model, width, height)
        sizes = [size for size in BUCKETS if size <= rows] or [1]

        def work() -> None:
            compiled.warm(call, sizes)
            self.ready((model.entry.can.model, width, height), sizes[-1])

        self.background(work)
