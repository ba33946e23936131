"""Pictures that follow a map: ControlNets (Zhang et al. 2023, arXiv:2302.05543) beside a model's denoiser. Used by `engine.operations`, inside a hub's task.

Diffusers has pipelines of their own for this, one for each way of starting a picture. `engine.edges` makes the map; the network is one of the model's
`controls`, one a kind, read when it is first asked for. Requests that follow maps share forwards with each other, of the network (where they follow with the
same strength) as of the denoiser. Where words are weighted, the network hears the first part of them.
"""

from __future__ import annotations

import functools
import inspect
import json
from pathlib import Path
from typing import Any

import diffusers
import torch

from engine.api import ImagineRequest, UnsupportedOperation
from engine.canvas import Canvas
from engine.guidance import StandIn
from engine.model import Model

#: diffusers' networks that take a map, by what a folder's `config.json` calls them.
KINDS = ("ControlNetModel", "FluxControlNetModel", "QwenImageControlNetModel", "SD3ControlNetModel", "SanaControlNetModel", "ZImageControlNetModel")

#: Pipelines that draw their map's encoding at random and from nobody's seed.
UNSEEDED = ("StableDiffusion3ControlNetPipeline",)


def pipeline(model: Model, request: ImagineRequest, start: str) -> Any:
    """A pipeline of the request's own that starts a picture from "words", "picture" or "mask" and follows its map.

    Raises UnsupportedOperation naming what the model cannot follow, or cannot follow from such a start.
    """
    if request.control is None:
        return model.pipeline(start, request.scheduler)
    kind = request.control.kind
    path, name = model.entry.controls.get(kind), f"control from {start}" if start != "words" else "control"
    if path is None:
        raise UnsupportedOperation(f"--control {kind}", model.entry.can.model)
    if name not in model.family.pipelines:
        raise UnsupportedOperation(f"--control with a {start}", model.entry.can.model)
    network = model.part(f"controls.{kind}", functools.partial(read, path, model))
    found = model.pipeline(name, request.scheduler, controlnet=network)
    if model.family.pipelines[name] in UNSEEDED:
        found.__dict__["vae"] = _Steady(found.vae)
    return found


def read(path: Path, model: Model) -> Any:
    """The network in a folder, on the model's device. Blocking. Raises OSError, ValueError."""
    name = json.loads((path / "config.json").read_text(encoding="utf-8")).get("_class_name")
    if name not in KINDS:
        raise ValueError(f"{name} is not one of {', '.join(KINDS)}")
    dtype = torch.float32 if model.device.type == "cpu" else getattr(torch, model.entry.dtype)
    network = getattr(diffusers, name).from_pretrained(path, local_files_only=True, use_safetensors=True, low_cpu_mem_usage=False, dtype=dtype)
    return network.to(model.device).eval().requires_grad_(False)


def arguments(pipeline: Any, request: ImagineRequest, canvas: Canvas) -> dict[str, Any]:
    """What the pipeline is told of the map; nothing without one."""
    if request.control is None:
        return {}
    apart = "control_image" in inspect.signature(type(pipeline).__call__).parameters  # else the map is all the picture there is
    return {"control_image" if apart else "image": canvas.control, "controlnet_conditioning_scale": float(request.control.scale)}


class _Steady(StandIn):
    """An autoencoder that encodes what is drawn without a seed as its most likely self: a seed is a picture."""

    def encode(self, *args: Any, **kwargs: Any) -> Any:
        encoded = self._denoiser.encode(*args, **kwargs)
        likely = encoded.latent_dist.mode()
        encoded.latent_dist.sample = lambda: likely
        return encoded
