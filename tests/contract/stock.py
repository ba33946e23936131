"""What stock diffusers pipelines draw, without anything of ours in between: what the engine's pictures are measured against.

Where a stock pipeline has no word for what is asked (weights, emphasis, morphs, seamless tiles), it is done here in the plainest way there is.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline, StableDiffusionPipeline
from numpy.typing import NDArray
from PIL import Image

from engine import codec, creative
from engine.api import ImagineRequest, MorphRequest, Part, Request, UpscaleRequest
from engine.canvas import Canvas, lay
from engine.model import Model
from engine.operations import by_cells
from engine.preview import Forecast

Images = NDArray[np.float32]


class Stock:
    """Draws requests of the model in `folder`, each once."""

    def __init__(self, folder: Path, model: Model, pictures: Mapping[str, Image.Image]) -> None:
        self._folder, self._model, self._pictures = folder, model, pictures
        self._pipelines: dict[tuple[type, bool], Any] = {}
        self._drawn: dict[Request, Images] = {}

    def __call__(self, request: Request) -> Images:
        """Pictures × height × width × 3 in 0..1."""
        if request not in self._drawn:
            self._drawn[request] = self._draw(request)
        return self._drawn[request]

    def _pipeline(self, kind: type, tile: bool = False) -> Any:
        if (kind, tile) not in self._pipelines:
            pipeline = kind.from_pretrained(self._folder, safety_checker=None)  # type: ignore[attr-defined]
            pipeline.set_progress_bar_config(disable=True)
            for module in (*pipeline.unet.modules(), *pipeline.vae.modules()) if tile else ():
                if isinstance(module, torch.nn.Conv2d):
                    module.padding_mode = "circular"
            self._pipelines[kind, tile] = pipeline
        return self._pipelines[kind, tile]

    def _draw(self, request: Request) -> Images:
        canvas = lay(request, self._pictures)
        if isinstance(request, MorphRequest):
            return self._morph(request)
        return self._creative(request, canvas) if isinstance(request, UpscaleRequest) else self._imagine(request, canvas)

    def _imagine(self, request: ImagineRequest, canvas: Canvas) -> Images:
        kind, start = StableDiffusionPipeline, {"width": request.width, "height": request.height}
        if canvas.start is not None:
            kind, start = StableDiffusionImg2ImgPipeline, {"image": [canvas.start] * request.count, "strength": request.strength}
        if canvas.mask is not None:
            kind, start = StableDiffusionInpaintPipeline, {**start, "width": request.width, "height": request.height, "mask_image": by_cells(canvas, 8)}
        pipeline = self._pipeline(kind, request.tile)
        pipeline.scheduler = self._model.scheduler(request.scheduler)
        arguments = {
            "prompt": request.parts[0].text,
            "negative_prompt": ", ".join(request.unwanted) or None,
            "num_inference_steps": request.steps,
            "guidance_scale": request.guidance,
            "num_images_per_prompt": request.count,
            "generator": [torch.Generator().manual_seed(request.seed + k) for k in range(request.count)],
            "output_type": "np",
        }
        if request.stop < 1:
            arguments["callback_on_step_end"] = _stopping(pipeline, request.stop)
        plain, pipeline.unet.forward = pipeline.unet.forward, _weighing(pipeline, request.parts, request.guidance > 1)
        try:
            images: Images = pipeline(**arguments, **start).images
        finally:
            pipeline.unet.forward = plain
        return images

    def _morph(self, request: MorphRequest) -> Images:
        """Frame by frame, from embeddings on the way from one prompt's to the other's."""
        pipeline = self._pipeline(StableDiffusionPipeline)
        (before, without), (after, _) = (pipeline.encode_prompt(parts[0].text, "cpu", 1, True) for parts in (request.before, request.after))
        frames = []
        for k in range(request.frames):
            pipeline.scheduler = self._model.scheduler(request.scheduler)
            frames += pipeline(
                prompt_embeds=torch.lerp(before, after, k / (request.frames - 1)),
                negative_prompt_embeds=without,
                width=request.width,
                height=request.height,
                num_inference_steps=request.steps,
                guidance_scale=request.guidance,
                generator=torch.Generator().manual_seed(request.seed),
                output_type="np",
            ).images.tolist()
        return np.array(frames, np.float32)

    def _creative(self, request: UpscaleRequest, canvas: Canvas) -> Images:
        """Tile by tile."""
        assert canvas.start is not None
        large, can = codec.enlarge(canvas.start, request.factor), self._model.entry.can
        board, pile = creative.padded(large, can), creative.Pile(creative.padded(large, can).size)
        common = {"model": request.model, "parts": request.parts, "steps": request.steps, "guidance": request.guidance, "strength": request.strength}
        for k, box in enumerate(creative.boxes_of(board.size, can)):
            start = board.crop(box.corners)
            tile = ImagineRequest(**common, width=box.width, height=box.height, count=1, seed=request.seed + k)
            (image,) = self._imagine(tile, Canvas(start=start))
            pile.add(box, creative.with_colours_of(start, codec.to_pixels(image)))
        return np.asarray(pile.whole()[None, : large.height, : large.width] / 255, np.float32)


def _stopping(pipeline: Any, share: float) -> Callable[..., Any]:
    forecast = Forecast(pipeline.scheduler)

    def after_step(pipeline: Any, index: int, timestep: Any, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if index + 1 < max(1, round(pipeline.num_timesteps * share)):
            return tensors
        pipeline._interrupt = True
        return {"latents": forecast.latents(tensors["latents"])}

    return after_step


def _weighing(pipeline: Any, parts: tuple[Part, ...], guided: bool) -> Callable[..., Any]:
    """The U-Net's forward with the formula of engine.guidance written out: Σ share · prediction in the conditional rows."""
    plain = type(pipeline.unet).forward.__get__(pipeline.unet)
    terms = _terms(parts)
    if len(terms) == 1:
        return plain  # type: ignore[no-any-return]
    told = [(share, pipeline.encode_prompt(text, "cpu", 1, False)[0]) for share, text in terms]
    names = list(inspect.signature(plain).parameters)

    def forward(*args: Any, **kwargs: Any) -> tuple[torch.Tensor]:
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        sample, context = given.pop("sample"), given.pop("encoder_hidden_states")
        first = len(sample) // 2 if guided else 0
        outputs = [plain(sample[:first], encoder_hidden_states=context[:first], **given)[0]] if guided else []
        rows = sample[first:]
        outputs.append(sum(share * plain(rows, encoder_hidden_states=words.expand(len(rows), -1, -1), **given)[0] for share, words in told))
        return (torch.cat(outputs),)

    return forward


def _terms(parts: tuple[Part, ...]) -> list[tuple[float, str]]:
    """One emphasis a part at most: `w · (e · all − (e − 1) · rest)`."""
    total, terms = sum(part.weight for part in parts), []
    for part in parts:
        weight = part.weight / total
        if part.emphasis:
            (mark,) = part.emphasis
            terms.append((weight * (1 - mark.weight), (part.text[: mark.start] + part.text[mark.end :]).strip()))
            weight *= mark.weight
        terms.append((weight, part.text))
    return terms
