"""A device's memory: how much there is for weights, and what can be given up when even one row does not fit. Used by `engine.device`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from engine.model import Model

#: Of an accelerator's memory, the share that weights may take; the rest is for the rows at work.
ON_DEVICE = 0.75
#: Of a computer's memory, the share that weights may take: other programs live there too.
ON_CPU = 0.5


def budget(device: torch.device, wanted_gb: float = 0.0) -> int:
    """Bytes for weights: what the operator allows, or a share of what there is."""
    if wanted_gb > 0:
        return int(wanted_gb * 1e9)
    return int(total(device) * (ON_DEVICE if device.type == "cuda" else ON_CPU))


def total(device: torch.device) -> int:
    """Bytes of the device's memory."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def described(device: torch.device) -> str:
    """How much there is and how much is taken, for the error of who does not fit."""
    if device.type == "cuda":
        free, whole = torch.cuda.mem_get_info(device)
        return f"{free / 1e9:.1f} of {whole / 1e9:.1f} GB free"
    return f"{os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 1e9:.1f} of {total(device) / 1e9:.1f} GB free"


@dataclass(slots=True)
class Relief:
    """What may be given up for one model, in this order, each once: idle models, whole-picture decoding, text encoders on the device.

    `make_room` drops models that are not in use and says whether there were any.
    """

    make_room: Callable[[], bool]
    _tiled: set[str] = field(default_factory=set)
    _offloaded: set[str] = field(default_factory=set)

    def find(self, model: Model) -> bool:
        """Whether something was given up, so that it is worth another try."""
        name = model.entry.can.model
        if self.make_room():
            return True
        if name not in self._tiled:
            self._tiled.add(name)
            if tile_decoder(model):
                return True
        if name not in self._offloaded and model.device.type != "cpu":
            self._offloaded.add(name)
            return offload_encoders(model)
        return False

    def forget(self, name: str) -> None:
        """The model left the memory; read again, it begins whole."""
        self._tiled.discard(name)
        self._offloaded.discard(name)


def tile_decoder(model: Model) -> bool:
    """From now on this model's pictures are decoded tile by tile: a fraction of the memory, and seams nobody sees. False when it cannot."""
    vae = getattr(model.pipeline("words"), "vae", None)
    enable = getattr(vae, "enable_tiling", None)
    if enable is None:
        return False
    try:
        enable()
    except NotImplementedError:
        return False
    return True


def offload_encoders(model: Model) -> bool:
    """From now on this model's text encoders wait in the computer's memory and visit the device for each text. False when it has none."""
    encoders = [module for name, module in model.pipeline("words").components.items() if name.startswith("text_encoder") and module is not None]
    for encoder in encoders:
        visit(encoder, model.device)
    return bool(encoders)


def visit(module: Any, device: torch.device, home: torch.device | None = None) -> None:
    """Keep `module` at `home` (the computer's memory) but for the time of each forward, which runs on `device`."""
    home = home or torch.device("cpu")
    module.to(home)
    module.register_forward_pre_hook(lambda module, args: module.to(device) and None)
    module.register_forward_hook(lambda module, args, output: module.to(home) and None, always_call=True)
