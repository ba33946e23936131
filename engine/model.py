"""A model in memory: its components read once, and a stock pipeline over them for each way of starting a picture. Used by `engine.device` and
`engine.operations`, on the device thread (reading may happen on another).
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import logging
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import diffusers
import torch

from engine import reading, tiling, trial, upscale
from engine.api import EngineError, ModelCorrupt, ModelMissing, OutOfMemory, UnsupportedOperation
from engine.collate import Rules
from engine.embeddings import EmbeddingCache
from engine.families import Family
from engine.hub import Share, is_out_of_memory
from engine.preview import Previewer
from engine.proxy import Proxy
from engine.shelf import Entry

log = logging.getLogger("engine")

if TYPE_CHECKING:
    from engine.adapters import Adapters
    from engine.stepcache import StepCache

#: How the hub runs each component, by the beginning of its name in the pipeline.
SHARES = {
    "text_encoder": {"__call__": Share.WHOLE},
    "image_encoder": {"__call__": Share.WHOLE},
    "unet": {"__call__": Share.BATCH},
    "transformer": {"__call__": Share.BATCH},
    "controlnet": {"__call__": Share.BATCH},
    "vae": {"encode": Share.WHOLE, "decode": Share.ROWS},
}


@dataclass(slots=True)
class Model:
    """A model in memory. Its pipelines are never called themselves: every request takes a shallow copy with a scheduler of its own."""

    entry: Entry
    family: Family
    device: torch.device
    previewer: Previewer
    upscaler: upscale.SuperResolution | upscale.Published | None
    memory: EmbeddingCache
    adapters: Adapters | None = None  #: set by `engine.tuning.settle`, as is the next
    step_cache: StepCache | None = None
    _pipelines: dict[Hashable, Any] = field(default_factory=dict)  #: by what starts a picture (and what else is in them), with proxies in place
    _proxies: dict[int, Proxy] = field(default_factory=dict)  #: by the module's identity: pipelines over the same module share its proxy
    _schedulers: dict[str, Any] = field(default_factory=dict)
    _parts: dict[str, Any] = field(default_factory=dict)  #: what further files made, by name

    @classmethod
    def load(cls, entry: Entry, device: torch.device, memory: EmbeddingCache | None = None) -> Model:
        """Verify the files and read them. Blocking; any thread. Raises ModelMissing, ModelCorrupt, OutOfMemory."""
        entry.verify()
        with _told(entry.can.model, device):
            return cls._read(entry, device, memory or EmbeddingCache())

    @classmethod
    def _read(cls, entry: Entry, device: torch.device, memory: EmbeddingCache) -> Model:
        pipeline, family = reading.read(entry, device)
        network = upscale.load(entry.upscaler or entry.folder / "upscaler", device)
        model = cls(entry, family, device, Previewer(family, pipeline), network, memory)
        model._pipelines["words"] = model._proxied(pipeline)
        if "tile" in entry.can.operations:
            for module in (pipeline.unet._module, pipeline.vae.encoder, pipeline.vae.decoder):
                tiling.Wrapping(module)
        if entry.family == "auto":
            model._try_company()
        return model

    def _try_company(self) -> None:
        """Nobody has looked at this network: requests share its forwards only when they are seen to come out of one unharmed."""
        pipelines = self.pipeline("words"), self.pipeline("words")
        if not trial.rows_are_independent(pipelines, self.family, self.entry.can.width, self.entry.can.height):
            log.warning("%s: its rows depend on each other, so its requests take turns", self.entry.can.model)
            self.family = replace(self.family, rules=replace(self.family.rules, alone=True))
            getattr(self._pipelines["words"], self.family.denoiser).__dict__["_rules"] = self.family.rules

    @property
    def bytes(self) -> int:
        """What the weights take in memory."""
        modules = [each for each in (*(proxy._module for proxy in self._proxies.values()), *self._parts.values()) if hasattr(each, "parameters")]
        weights: dict[int, int] = {id(p): p.numel() * p.element_size() for module in modules for p in module.parameters()}
        adapters: int = self.adapters.bytes if self.adapters is not None else 0
        return sum(weights.values()) + adapters

    def part(self, name: str, read: Callable[[], Any]) -> Any:
        """What further files hold (a ControlNet, an image-text model): read when it is first asked for, as a call of the hub, and kept as long as the model.

        Raises ModelMissing, ModelCorrupt, OutOfMemory.
        """

        def once() -> Any:
            if name not in self._parts:  # another request may have waited for the same
                with _told(f"{self.entry.can.model}: {name}", self.device):
                    self._parts[name] = read()
            return self._parts[name]

        return self._parts[name] if name in self._parts else Proxy(once, {"__call__": Share.WHOLE})()

    @property
    def modules(self) -> frozenset[int]:
        """The `id`s of its modules: what a hub knows them by."""
        return frozenset(self._proxies)

    def pipeline(self, start: str, scheduler: str | None = None, **further: Any) -> Any:
        """A pipeline for one request: a shallow copy with a scheduler of its own. `start` names one of the family's; `further` components are as for `built`.

        Raises UnsupportedOperation when the family has no such pipeline.
        """
        key = (start, *map(id, further.values())) if further else start
        if key not in self._pipelines:
            if start not in self.family.pipelines:
                raise UnsupportedOperation(start, self.entry.can.model)
            self._pipelines[key] = self.built(start, **further)
        copied = copy.copy(self._pipelines[key])
        copied.__dict__["scheduler"] = self.scheduler(scheduler)
        return copied

    def built(self, start: str, **further: Any) -> Any:
        """Another of the family's pipelines over the same components, with `further` ones (a ControlNet) that the model's own files do not hold."""
        kind, words = getattr(diffusers, self.family.pipelines[start]), self._pipelines["words"]
        accepted = inspect.signature(kind.__init__).parameters
        settings = {name: value for name, value in words.config.items() if name in accepted}  # components are among them, by their classes' names
        components = {name: _bare(value) for name, value in words.components.items() if name in accepted}
        return self._proxied(kind(**{**settings, **components, **further}))

    def _proxied(self, pipeline: Any) -> Any:
        pipeline.set_progress_bar_config(disable=True)
        for name, module in pipeline.components.items():
            shares = next((shares for prefix, shares in SHARES.items() if name.startswith(prefix)), None)
            if module is not None and shares is not None:
                control = self.family.control_rules if name.startswith("controlnet") else None
                pipeline.__dict__[name] = self.proxy(module, shares, control or self.family.rules)
        return pipeline

    def proxy(self, module: Any, shares: dict[str, Share], rules: Rules | None = None) -> Proxy:
        """The module's stand-in, the same one for all pipelines. `rules` are of its forwards with several requests' rows."""
        if id(module) not in self._proxies:
            remembers = shares.get("__call__") is Share.WHOLE
            self._proxies[id(module)] = Proxy(
                module,
                shares,
                rules=rules if Share.BATCH in shares.values() else None,
                memory=self.memory if remembers else None,
                owner=self.entry.can.model,
            )
        return self._proxies[id(module)]

    def scheduler(self, name: str | None) -> Any:
        """A scheduler for one request: the model's own, or the diffusers class of that name with the model's configuration."""
        own = self._pipelines["words"].scheduler
        if name is None or name == type(own).__name__:
            return copy.deepcopy(own)
        if name not in self._schedulers:
            self._schedulers[name] = reading.scheduler_like(own, name)
        return copy.deepcopy(self._schedulers[name])


@contextlib.contextmanager
def _told(name: str, device: torch.device) -> Iterator[None]:
    """Whatever goes wrong in reading files, as the engine's own errors."""
    try:
        yield
    except EngineError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise OutOfMemory(f"{name} does not fit into the memory of {device}") from error
        if isinstance(error, FileNotFoundError) or (isinstance(error, OSError) and "no file named" in str(error)):
            raise ModelMissing(f"{name}: {error}") from error
        raise ModelCorrupt(f"{name} cannot be loaded: {type(error).__name__}: {error}") from error


def _bare(value: Any) -> Any:
    return value._module if type(value) is Proxy else value
