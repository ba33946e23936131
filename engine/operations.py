"""Requests → stock pipelines: a model in memory, and how each operation runs on it. Used by `engine.device`, on the device thread.

`draw` and `enlarge` run inside a hub's task; the pipelines they call are diffusers' own, with proxies where the heavy modules were.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import diffusers
import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from PIL import Image

from engine import checks, upscale
from engine.api import BadNumbers, ImagineRequest, ModelCorrupt, ModelMissing, OutOfMemory
from engine.codec import Pixels
from engine.guidance import WeightedDenoiser
from engine.hub import Proxy, Share, is_out_of_memory
from engine.preview import Forecast, Previewer
from engine.shelf import Entry


@dataclass(frozen=True, slots=True)
class Family:
    """Which diffusers pipelines draw a family, and which of their modules' methods the hub runs."""

    from_words: str
    from_picture: str
    denoiser: str
    shares: Mapping[str, Mapping[str, Share]]


FAMILIES = {
    "sd": Family(
        from_words="StableDiffusionPipeline",
        from_picture="StableDiffusionImg2ImgPipeline",
        denoiser="unet",
        shares={
            "text_encoder": {"__call__": Share.WHOLE},
            "unet": {"__call__": Share.BATCH},
            "vae": {"encode": Share.WHOLE, "decode": Share.ROWS},
        },
    ),
}


class Watch(Protocol):
    """Who wants to know how a request is getting on. Called on the device thread."""

    def progress(self, step: int, of: int) -> None: ...

    def wants_preview(self) -> bool:
        """Whether to go to the trouble of a preview after this step."""

    def preview(self, pictures: list[Pixels]) -> None: ...


@dataclass(slots=True)
class Model:
    """A model in memory. Its pipelines are never called themselves: every request takes a shallow copy with a scheduler of its own."""

    entry: Entry
    device: torch.device
    from_words: Any
    from_picture: Any
    previewer: Previewer
    upscaler: upscale.SuperResolution | None
    _schedulers: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, entry: Entry, device: torch.device) -> Model:
        """Verify the files and read them. Raises ModelMissing, ModelCorrupt, OutOfMemory."""
        entry.verify()
        try:
            return cls._read(entry, device)
        except Exception as error:
            name = entry.can.model
            if is_out_of_memory(error):
                raise OutOfMemory(f"{name} does not fit into the memory of {device}") from error
            if isinstance(error, FileNotFoundError) or (isinstance(error, OSError) and "no file named" in str(error)):
                raise ModelMissing(f"{name}: {error}") from error
            raise ModelCorrupt(f"{name} cannot be loaded: {type(error).__name__}: {error}") from error

    @classmethod
    def _read(cls, entry: Entry, device: torch.device) -> Model:
        family = FAMILIES[entry.family]
        for library in (diffusers, transformers):  # their progress bars and hints are not for the operator's log
            library.utils.logging.set_verbosity_error()
            library.utils.logging.disable_progress_bar()
        dtype = torch.float32 if device.type == "cpu" else getattr(torch, entry.dtype)
        pipeline = getattr(diffusers, family.from_words).from_pretrained(
            entry.folder,
            dtype=dtype,
            variant=entry.variant,
            local_files_only=True,
            use_safetensors=True,
            low_cpu_mem_usage=False,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipeline.to(device)
        for module in pipeline.components.values():
            if isinstance(module, torch.nn.Module):
                module.eval().requires_grad_(False)
        from_picture = getattr(diffusers, family.from_picture)(**pipeline.components, requires_safety_checker=False)
        previewer = Previewer(pipeline.vae)
        for each in (pipeline, from_picture):
            each.set_progress_bar_config(disable=True)
        for name, shares in family.shares.items():
            proxy = Proxy(getattr(pipeline, name), shares)
            for each in (pipeline, from_picture):
                each.__dict__[name] = proxy
        return cls(entry, device, pipeline, from_picture, previewer, upscale.load(entry.folder / "upscaler", device))

    def scheduler(self, name: str | None) -> Any:
        """A scheduler for one request: the model's own, or the diffusers class of that name with the model's configuration."""
        own = self.from_words.scheduler
        if name is None or name == type(own).__name__:
            return copy.deepcopy(own)
        if name not in self._schedulers:
            self._schedulers[name] = _with_config_of(own, getattr(diffusers, name))
        return copy.deepcopy(self._schedulers[name])


def _with_config_of(own: Any, kind: Any) -> Any:
    """Latent models neither clip to -1..1 nor want PNDM's warm-up, whatever a class's defaults say, unless the model's own configuration does."""
    wanted = {"clip_sample": False, "skip_prk_steps": True}
    accepted = inspect.signature(kind.__init__).parameters
    return kind.from_config(own.config, **{key: value for key, value in wanted.items() if key in accepted and key not in own.config})


def draw(model: Model, request: ImagineRequest, source: Image.Image | None, watch: Watch) -> NDArray[np.float32]:
    """The whole grid as one call of a stock pipeline: count × height × width × 3 in 0..1. Raises BadNumbers."""
    pipeline = copy.copy(model.from_words if source is None else model.from_picture)
    scheduler = pipeline.__dict__["scheduler"] = model.scheduler(request.scheduler)
    forecast = Forecast(scheduler)

    def after_step(pipeline: Any, index: int, timestep: Any, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        latents, of = tensors["latents"], pipeline.num_timesteps
        if index + 1 == of and not bool(torch.isfinite(latents).all()):
            raise BadNumbers(f"{request.model}: the latents became non-finite")
        if index + 1 < of and watch.wants_preview():
            watch.preview(model.previewer(forecast.latents(latents)))
        watch.progress(index + 1, of)
        return tensors

    arguments: dict[str, Any] = {
        "num_inference_steps": request.steps,
        "guidance_scale": request.guidance,
        "num_images_per_prompt": request.count,
        "generator": [torch.Generator("cpu").manual_seed(seed) for seed in checks.grid_seeds(request)],
        "output_type": "np",
        "callback_on_step_end": after_step,
        **_words(pipeline, model, request),
        **_canvas(request, source),
    }
    images: NDArray[np.float32] = pipeline(**arguments).images
    if not np.isfinite(images).all():
        raise BadNumbers(f"{request.model}: the decoded picture is non-finite")
    return images


def _canvas(request: ImagineRequest, source: Image.Image | None) -> dict[str, Any]:
    if source is None:
        return {"width": request.width, "height": request.height}
    least = (1 + 1e-6) / request.steps  # below it, not a single step would be left to run
    return {"image": source, "strength": min(1.0, max(request.strength, least))}


def _words(pipeline: Any, model: Model, request: ImagineRequest) -> dict[str, Any]:
    """Prompt arguments. Several weighted parts are encoded here, and their blend takes the denoiser's place in this request's copy of the pipeline."""
    unwanted = ", ".join(request.unwanted) or None
    if len(request.parts) == 1:
        return {"prompt": request.parts[0].text, "negative_prompt": unwanted}
    guided = request.guidance > 1
    first, *others = (part.text for part in request.parts)
    condition, without = pipeline.encode_prompt(first, model.device, 1, guided, unwanted)
    conditions = [condition, *(pipeline.encode_prompt(text, model.device, 1, False)[0] for text in others)]
    name = FAMILIES[model.entry.family].denoiser
    pipeline.__dict__[name] = WeightedDenoiser(getattr(pipeline, name), conditions, [part.weight for part in request.parts], guided)
    return {"prompt_embeds": condition, "negative_prompt_embeds": without}


def enlarge(model: Model, network: upscale.SuperResolution, source: Image.Image, factor: int) -> Pixels:
    """The source 2× or 4× larger by the model's network; each tile is a turn of the device."""
    turns = Proxy(network, {"__call__": Share.ROWS})
    return upscale.enlarge(turns, network.reach, np.asarray(source), factor, model.device)
