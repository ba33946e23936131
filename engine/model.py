"""A model in memory: its components read once, and a stock pipeline over them for each way of starting a picture. Used by `engine.device` and
`engine.operations`, on the device thread (reading may happen on another).
"""

from __future__ import annotations

import copy
import inspect
from dataclasses import dataclass, field
from typing import Any

import diffusers
import torch
import transformers

from engine import upscale
from engine.api import ModelCorrupt, ModelMissing, OutOfMemory, UnsupportedOperation
from engine.embeddings import EmbeddingCache
from engine.families import FAMILIES, Family
from engine.hub import Share, is_out_of_memory
from engine.preview import Previewer
from engine.proxy import Proxy
from engine.shelf import Entry

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
    upscaler: upscale.SuperResolution | None
    memory: EmbeddingCache
    _pipelines: dict[str, Any] = field(default_factory=dict)  #: by what starts a picture, with proxies in place
    _proxies: dict[int, Proxy] = field(default_factory=dict)  #: by the module's identity: pipelines over the same module share its proxy
    _schedulers: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, entry: Entry, device: torch.device, memory: EmbeddingCache | None = None) -> Model:
        """Verify the files and read them. Blocking; any thread. Raises ModelMissing, ModelCorrupt, OutOfMemory."""
        entry.verify()
        try:
            return cls._read(entry, device, memory or EmbeddingCache())
        except Exception as error:
            name = entry.can.model
            if is_out_of_memory(error):
                raise OutOfMemory(f"{name} does not fit into the memory of {device}") from error
            if isinstance(error, FileNotFoundError) or (isinstance(error, OSError) and "no file named" in str(error)):
                raise ModelMissing(f"{name}: {error}") from error
            raise ModelCorrupt(f"{name} cannot be loaded: {type(error).__name__}: {error}") from error

    @classmethod
    def _read(cls, entry: Entry, device: torch.device, memory: EmbeddingCache) -> Model:
        torch.set_grad_enabled(False)  # it is per thread, and this may be the loader's
        family = FAMILIES[entry.family]
        for library in (diffusers, transformers):  # their progress bars and hints are not for the operator's log
            library.utils.logging.set_verbosity_error()
            library.utils.logging.disable_progress_bar()
        pipeline = _read_pipeline(entry, family, torch.float32 if device.type == "cpu" else getattr(torch, entry.dtype))
        pipeline.to(device)
        for module in pipeline.components.values():
            if isinstance(module, torch.nn.Module):
                module.eval().requires_grad_(False)
        model = cls(entry, family, device, Previewer(pipeline.vae), upscale.load(entry.folder / "upscaler", device), memory)
        model._pipelines["words"] = model._proxied(pipeline)
        return model

    @property
    def bytes(self) -> int:
        """What the weights take in memory."""
        modules = {id(proxy._module): proxy._module for proxy in self._proxies.values()}
        return sum(p.numel() * p.element_size() for module in modules.values() if isinstance(module, torch.nn.Module) for p in module.parameters())

    def pipeline(self, start: str, scheduler: str | None = None) -> Any:
        """A pipeline for one request: a shallow copy with a scheduler of its own. `start` is "words", "picture", "mask" or "control".

        Raises UnsupportedOperation when the family has no such pipeline.
        """
        if start not in self._pipelines:
            if start not in self.family.pipelines:
                raise UnsupportedOperation(start, self.entry.can.model)
            self._pipelines[start] = self._built(start)
        copied = copy.copy(self._pipelines[start])
        copied.__dict__["scheduler"] = self.scheduler(scheduler)
        return copied

    def _built(self, start: str) -> Any:
        """Another pipeline over the same components."""
        kind = getattr(diffusers, self.family.pipelines[start])
        accepted = inspect.signature(kind.__init__).parameters
        components = {name: _bare(value) for name, value in self._pipelines["words"].components.items() if name in accepted}
        if "requires_safety_checker" in accepted:
            components["requires_safety_checker"] = False
        return self._proxied(kind(**components))

    def _proxied(self, pipeline: Any) -> Any:
        pipeline.set_progress_bar_config(disable=True)
        for name, module in pipeline.components.items():
            shares = next((shares for prefix, shares in SHARES.items() if name.startswith(prefix)), None)
            if module is not None and shares is not None:
                pipeline.__dict__[name] = self.proxy(module, shares, denoises=name == self.family.denoiser)
        return pipeline

    def proxy(self, module: Any, shares: dict[str, Share], *, denoises: bool = False) -> Proxy:
        """The module's stand-in, the same one for all pipelines."""
        if id(module) not in self._proxies:
            remembers = shares.get("__call__") is Share.WHOLE
            self._proxies[id(module)] = Proxy(
                module,
                shares,
                rules=self.family.rules if denoises else None,
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
            self._schedulers[name] = _with_config_of(own, getattr(diffusers, name))
        return copy.deepcopy(self._schedulers[name])


def _read_pipeline(entry: Entry, family: Family, dtype: torch.dtype) -> Any:
    """The family's pipeline for words, as diffusers reads it from the model's files."""
    kind = getattr(diffusers, family.pipelines["words"])
    accepted = inspect.signature(kind.__init__).parameters
    left_out: dict[str, Any] = {name: None for name in ("safety_checker", "feature_extractor") if name in accepted}
    if "requires_safety_checker" in accepted:
        left_out["requires_safety_checker"] = False
    return kind.from_pretrained(
        entry.folder, dtype=dtype, variant=entry.variant, local_files_only=True, use_safetensors=True, low_cpu_mem_usage=False, **left_out
    )


def _bare(value: Any) -> Any:
    return value._module if type(value) is Proxy else value


def _with_config_of(own: Any, kind: Any) -> Any:
    """Latent models neither clip to -1..1 nor want PNDM's warm-up, whatever a class's defaults say, unless the model's own configuration does."""
    wanted = {"clip_sample": False, "skip_prk_steps": True}
    accepted = inspect.signature(kind.__init__).parameters
    return kind.from_config(own.config, **{key: value for key, value in wanted.items() if key in accepted and key not in own.config})
