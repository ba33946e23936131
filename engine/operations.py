"""Requests → stock pipelines: how each operation runs on a model. Used by `engine.perform`, inside a hub's task on the device thread.

The pipelines are diffusers' own, with proxies where the heavy modules were. An operation is a choice of pipeline, its arguments, and at most a stand-in for
the denoiser in this request's copy of it (`engine.guidance`): nothing here computes a step.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from engine import chaos, checks, codec, control, guidance, hub, imageprompts, sight, steps, walk, wordless
from engine.api import BadNumbers, ImagineRequest, MorphRequest, Part
from engine.canvas import EMPTY, Canvas
from engine.codec import Pixels
from engine.hub import Share
from engine.model import Model
from engine.preview import Forecast
from engine.proxy import Proxy
from engine.results import FILM as FILM
from engine.results import FILM_EDGE as FILM_EDGE
from engine.results import Drawn

#: Stock inpainting pipelines tell a plain denoiser from one trained for inpainting by the channels the first models had, and refuse any other number.
PLAIN_CHANNELS = {
    "StableDiffusionInpaintPipeline": 4,
    "StableDiffusionControlNetInpaintPipeline": 4,
    "StableDiffusionXLInpaintPipeline": 4,
    "StableDiffusionXLControlNetInpaintPipeline": 4,
    "StableDiffusion3InpaintPipeline": 16,
}


class Watch(Protocol):
    """Who wants to know how a request is getting on. Called on the device thread."""

    def progress(self, step: int, of: int) -> None: ...

    def wants_preview(self) -> bool:
        """Whether to go to the trouble of a preview after this step."""

    def preview(self, pictures: list[Pixels]) -> None: ...


def draw(model: Model, request: ImagineRequest, canvas: Canvas | None, watch: Watch) -> Drawn:
    """The whole grid as one call of a stock pipeline. Raises BadNumbers."""
    canvas = canvas or EMPTY
    request = wordless.spoken(model, request, canvas)
    if request.loras and model.adapters is not None:
        Proxy(model.adapters.load, {"__call__": Share.WHOLE})([each.name for each in request.loras])
    pipeline = control.pipeline(model, request, _start(canvas))
    guided = request.guidance > 1
    unsettled = chaos.Unsettled(request.chaos, checks.drawn_seeds(request)) if request.chaos else None
    arguments = {
        **model.family.arguments(steps=request.steps, guidance=request.guidance, unwanted=unwanted(request.unwanted)),
        "prompt": told(pipeline, model, request.parts, request.width, request.height, guided, unsettled),
        **pictures([canvas.start] * request.rows if canvas.start else [], request.strength, request.steps),
        **_masked(pipeline, canvas),
        **control.arguments(pipeline, request, canvas),
        **imageprompts.arguments(model, request, canvas),
    }
    if request.clip:
        sight.guide(model, request, pipeline)
    seen = Seen(model, request, pipeline, watch, stop=request.stop, films=request.video, unsettled=unsettled)
    return Drawn(run(pipeline, model, arguments, request, checks.drawn_seeds(request), seen), seen.film)


def morph(model: Model, request: MorphRequest, canvas: Canvas, watch: Watch) -> Drawn:
    """Every frame a row of one call: the same noise under conditions on the way from one prompt to the other. Raises BadNumbers."""
    if canvas.start is not None:
        return animate(model, request, canvas.start, watch)
    pipeline = model.pipeline("words", request.scheduler)
    size = (request.width, request.height)
    before, after = (_conditions(model, parts, *size) for parts in (request.before, request.after))
    _instead(pipeline, model, guidance.between(before, after, request.frames), request.guidance > 1)
    arguments = {
        **model.family.arguments(steps=request.steps, guidance=request.guidance, unwanted=unwanted(request.unwanted)),
        "prompt": request.before[0].text,
    }
    seen = Seen(model, request, pipeline, watch)
    return Drawn(run(pipeline, model, arguments, request, [request.seed] * request.frames, seen))


def animate(model: Model, request: MorphRequest, start: Image.Image, watch: Watch) -> Drawn:
    """The picture moving: every frame a row of one image-to-image call, from noise that walks once around a small circle (`engine.walk`), so that the clip
    has no beginning. What the noise decides, the picture's fine detail, moves; what `strength` leaves alone stands still. Raises BadNumbers.
    """
    pipeline = model.pipeline("picture", request.scheduler)
    walk.around(pipeline.scheduler, request.seed)
    arguments = {
        **model.family.arguments(steps=request.steps, guidance=request.guidance, unwanted=unwanted(request.unwanted)),
        "prompt": told(pipeline, model, request.before, request.width, request.height, request.guidance > 1),
        **pictures([start] * request.frames, request.strength, request.steps),
    }
    seen = Seen(model, request, pipeline, watch)
    return Drawn(run(pipeline, model, arguments, request, [request.seed] * request.frames, seen))


def run(pipeline: Any, model: Model, arguments: dict[str, Any], size: Any, seeds: Sequence[int], seen: Seen) -> NDArray[np.float32]:
    """Call the pipeline for one picture a seed, of `size.width` × `size.height`: pictures × height × width × 3 in 0..1. Raises BadNumbers."""
    arguments = called(pipeline, arguments, size, seeds)
    images: NDArray[np.float32] = pipeline(**steps.watch_steps(pipeline, model.family, arguments, seen)).images
    if not np.isfinite(images).all():
        raise BadNumbers(f"{model.entry.can.model}: the decoded picture is non-finite")
    return images


def called(pipeline: Any, arguments: dict[str, Any], size: Any, seeds: Sequence[int]) -> dict[str, Any]:
    """The arguments, with those that ask for one picture a seed, of `size.width` × `size.height`."""
    accepted = inspect.signature(type(pipeline).__call__).parameters
    return {
        **arguments,
        **{name: getattr(size, name) for name in ("width", "height") if name in accepted},
        "num_images_per_prompt": len(seeds),
        "generator": [torch.Generator("cpu").manual_seed(seed) for seed in seeds],
        "output_type": "np",
    }


class Seen:
    """After every step of one call of a pipeline: reports it, shows it, films it, ends it early.

    `size` is what the call draws (width and height); `part` which of how many such calls of its request it is; `unsettled` is told how far it is.
    """

    def __init__(
        self,
        model: Model,
        size: Any,
        pipeline: Any,
        watch: Watch,
        *,
        stop: float = 1.0,
        films: bool = False,
        part: tuple[int, int] = (0, 1),
        unsettled: chaos.Unsettled | None = None,
    ) -> None:
        self._model, self._size, self._pipeline, self._watch, self._stop, self._films, self._part = model, size, pipeline, watch, stop, films, part
        self._unsettled = unsettled
        self._forecast = Forecast(pipeline.scheduler)
        self.film: list[list[Pixels]] = []

    def __call__(self, step: int, of: int, latents: torch.Tensor) -> torch.Tensor | None:
        """Returns latents that take the place of the pipeline's, when it ends here. Raises BadNumbers."""
        hub.stepped()
        if self._unsettled is not None:
            self._unsettled.way = step / of
        last = max(1, round(of * self._stop))
        if step == last and not bool(torch.isfinite(latents).all()):
            raise BadNumbers(f"{self._model.entry.can.model}: the latents became non-finite")
        if step < last:
            self._show(step, last, latents)
        number, parts = self._part
        self._watch.progress(number * last + step, parts * last)
        if step < last or step == of:
            return None
        steps.stop(self._pipeline, self._model.family)
        return self._forecast.latents(latents)  # the latents themselves are still noisy

    def _show(self, step: int, last: int, latents: torch.Tensor) -> None:
        films = self._films and step * FILM // last > (step - 1) * FILM // last
        shows = self._part == (0, 1) and self._watch.wants_preview()
        if not films and not shows:
            return
        pictures = self._model.previewer(self._forecast.latents(latents), self._size.width, self._size.height)
        if films and pictures:
            self.film.append([codec.coarser(picture, FILM_EDGE // codec.columns_of(len(pictures))) for picture in pictures])
        if shows and pictures:
            self._watch.preview(pictures)


# ------------------------------------------------------------------------------------------------ what it starts from


def _start(canvas: Canvas) -> str:
    if canvas.start is None:
        return "words"
    return "picture" if canvas.mask is None else "mask"


def pictures(starts: Sequence[Image.Image], strength: float, count: int) -> dict[str, Any]:
    """Arguments for one start a picture, so that each is encoded under its own picture's seed; `count` steps."""
    if not starts:
        return {}
    least = (1 + 1e-6) / count  # below it, not a single step would be left to run
    return {"image": list(starts), "strength": min(1.0, max(strength, least))}


def _masked(pipeline: Any, canvas: Canvas) -> dict[str, Any]:
    if canvas.mask is None:
        return {}
    channels = PLAIN_CHANNELS.get(type(pipeline).__name__)
    name = "unet" if hasattr(pipeline, "unet") else "transformer"
    denoiser = getattr(pipeline, name)
    if channels and denoiser.config.in_channels == pipeline.vae.config.latent_channels != channels:
        pipeline.__dict__[name] = _Plain(denoiser, channels)
    return {"mask_image": by_cells(canvas, pipeline.vae_scale_factor)}


def by_cells(canvas: Canvas, edge: int) -> Image.Image | None:
    """The mask in whole cells of `edge` pixels, one for each latent, since pipelines look at one pixel of each.

    White is every cell in which a pixel is wholly new, or most are somewhat: a finer mask than the latents can have would be lost on one side or the other.
    """
    if canvas.mask is None or canvas.keep is None:
        return canvas.mask
    width, height = canvas.mask.size
    across, down = -(-width // edge), -(-height // edge)
    new = np.pad(np.asarray(canvas.keep) == 0, ((0, down * edge - height), (0, across * edge - width)))
    somewhat = np.pad(np.asarray(canvas.mask) > 127, ((0, down * edge - height), (0, across * edge - width)))
    cells = _cells(new, edge).any(axis=(1, 3)) | (_cells(somewhat, edge).mean(axis=(1, 3)) > 0.5)
    return Image.fromarray(np.uint8(255) * cells).resize((across * edge, down * edge), Image.Resampling.NEAREST).crop((0, 0, width, height))


def _cells(mask: NDArray[np.bool_], edge: int) -> NDArray[np.bool_]:
    return mask.reshape(mask.shape[0] // edge, edge, mask.shape[1] // edge, edge)


class _Plain(guidance.StandIn):
    """A denoiser that is no inpainting model, of whatever number of channels, passed off as one of the number that its pipeline takes for plain."""

    def __init__(self, denoiser: Any, channels: int) -> None:
        super().__init__(denoiser)
        self.__dict__["config"] = type(denoiser.config)({**denoiser.config, "in_channels": channels})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._denoiser(*args, **kwargs)


# ------------------------------------------------------------------------------------------------ what it is told


def unwanted(texts: Sequence[str]) -> str | None:
    """The pipelines' own negative prompt."""
    return ", ".join(texts) or None


def told(pipeline: Any, model: Model, parts: Sequence[Part], width: int, height: int, guided: bool, unsettled: chaos.Unsettled | None = None) -> str:
    """The pipeline's prompt. Where there is more than one condition, or an unsettled one, a stand-in takes the denoiser's place in this request's copy of the
    pipeline.
    """
    if not parts:
        return ""
    texts = guidance.shares(parts)
    if len(texts) > 1 or unsettled is not None:
        blend = guidance.weighted(_conditions(model, parts, width, height))
        _instead(pipeline, model, unsettled.told(blend) if unsettled is not None else blend, guided)
    return texts[0][0]


def _instead(pipeline: Any, model: Model, blend: guidance.Blend, guided: bool) -> None:
    name = model.family.denoiser
    pipeline.__dict__[name] = guidance.Conditioned(getattr(pipeline, name), model.family, blend, guided)


def _conditions(model: Model, parts: Sequence[Part], width: int, height: int) -> list[tuple[float, guidance.Conditions]]:
    """Shares, and what the denoiser is told of the words."""
    return [(share, condition(model, text, width, height)) for text, share in guidance.shares(parts)]


def condition(model: Model, text: str, width: int, height: int) -> guidance.Conditions:
    """What the denoiser is told of a text, as its pipeline puts it. Inside a hub's task."""
    arguments = model.family.first_call(text, width, height)
    return guidance.conditions(guidance.capture(model.pipeline("words"), model.family, arguments), model.family)
