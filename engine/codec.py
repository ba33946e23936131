"""Picture files in and out: PNG with its parameters, small WebP previews, and the careful reading of strangers' files.

Blocking; callers run it on a thread pool. Pillow and numpy only, no torch.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps
from PIL.PngImagePlugin import PngInfo

from engine.api import BadInput, ImagineRequest, MorphRequest, Part, Request, UpscaleRequest

#: Formats a source picture may come in, as Pillow names them.
FORMATS = ("PNG", "JPEG", "WEBP")
#: Pixels a source picture may have, read from its header before anything is decoded.
MAX_PIXELS = 40_000_000

Pixels = NDArray[np.uint8]
"""Height × width × 3, RGB."""


def decode(data: bytes) -> Image.Image:
    """Read a picture nobody vouches for: upright, RGB, transparency over white. Raises BadInput."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:  # reads the header only
            if image.width * image.height > MAX_PIXELS:
                raise BadInput(f"the picture has {image.width * image.height / 1e6:.0f} megapixels; at most {MAX_PIXELS // 1_000_000} are read")
            image.load()
            return _rgb(ImageOps.exif_transpose(image))
    except BadInput:
        raise
    except Exception as error:  # a decoder fed with a stranger's bytes may raise anything; every one of them means the same
        raise BadInput(f"not a readable PNG, JPEG or WebP picture ({type(error).__name__})") from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits a pixel; `convert` would clip it to the lowest 8
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def cover(image: Image.Image, width: int, height: int) -> Image.Image:
    """The middle of the picture, scaled so that it fills width × height exactly."""
    return image if image.size == (width, height) else ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)


def to_pixels(image: NDArray[np.floating[Any]]) -> Pixels:
    """Height × width × 3 in 0..1 to 8 bits, rounded the way diffusers does."""
    return (image * 255).round().astype(np.uint8)


def encode_png(image: Image.Image, parameters: str) -> bytes:
    """PNG with `parameters` as text, readable by every tool that reads the A1111 form. Level 4: a third of level 6's time, 2 % more bytes."""
    info, out = PngInfo(), io.BytesIO()
    info.add_text("parameters", parameters)
    image.save(out, "PNG", pnginfo=info, compress_level=4)
    return out.getvalue()


def encode_webp(image: Image.Image, quality: int = 70) -> bytes:
    """Small and quick, for previews."""
    out = io.BytesIO()
    image.save(out, "WEBP", quality=quality, method=0)
    return out.getvalue()


def encode_clip(frames: Sequence[Image.Image], milliseconds: Sequence[int], quality: int = 80) -> bytes:
    """An animated WebP that repeats for ever. The frames are of one size; each is shown for so many milliseconds."""
    out = io.BytesIO()
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:], duration=list(milliseconds), loop=0, quality=quality, method=2)
    return out.getvalue()


def clip_as_gif(clip: bytes, edge: int = 512) -> bytes:
    """An animated WebP of ours as an animated GIF, for where WebP does not move; its longer edge is at most `edge`, since GIFs are large."""
    frames, milliseconds = [], []
    with Image.open(io.BytesIO(clip), formats=("WEBP",)) as image:
        for k in range(getattr(image, "n_frames", 1)):
            image.seek(k)
            frames.append(within(image.convert("RGB"), edge))
            milliseconds.append(int(image.info.get("duration", 100)))
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=milliseconds, loop=0, optimize=False)
    return out.getvalue()


def within(image: Image.Image, edge: int) -> Image.Image:
    """The picture, smaller where its longer edge is longer than `edge`."""
    scale = edge / max(image.size)
    return image if scale >= 1 else image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.LANCZOS)


def preview_grid(pictures: Sequence[Pixels], width: int, height: int, edge: int = 512) -> Image.Image:
    """The forming pictures side by side, as square an arrangement as their number allows.

    Each stands for width × height pixels, whatever its own size; the longer edge of the grid is at most `edge`.
    """
    columns = columns_of(len(pictures))
    lines = -(-len(pictures) // columns)
    scale = min(1.0, edge / max(columns * width, lines * height))
    w, h = max(1, round(width * scale)), max(1, round(height * scale))
    grid = Image.new("RGB", (columns * w, lines * h))
    for k, picture in enumerate(pictures):
        tile = Image.fromarray(picture).resize((w, h), Image.Resampling.BICUBIC)
        grid.paste(tile, (k % columns * w, k // columns * h))
    return grid


def columns_of(count: int) -> int:
    """Of a grid of so many pictures."""
    return max(1, int(np.ceil(np.sqrt(count))))


def coarser(picture: Pixels, edge: int) -> Pixels:
    """Every second pixel, or third, … so that the longer edge is at most `edge`: for soft pictures, and next to nothing to compute."""
    every = max(1, -(-max(picture.shape[:2]) // edge))
    return picture if every == 1 else np.ascontiguousarray(picture[::every, ::every])


def parameters_text(request: Request, seed: int, sampler: str = "") -> str:
    """What a picture was made from, in the widely read form: the words, the unwanted words, then `Key: value` pairs on one line."""
    if isinstance(request, UpscaleRequest):
        lines, pairs = _words_of(request.parts) if request.creative else [], _enlargement(request, seed)
    elif isinstance(request, MorphRequest):
        spoken = _words_of(request.before) if request.source else [f"{words(request.before)} -> {words(request.after)}"]
        lines, pairs = [*spoken, *_negative(request.unwanted)], {**_common(request, seed, sampler), **_moving(request)}
    else:
        lines, pairs = [*_words_of(request.parts), *_negative(request.unwanted)], {**_common(request, seed, sampler), **_further(request)}
    return "\n".join([*lines, ", ".join(f"{key}: {value}" for key, value in pairs.items())])


def _words_of(parts: Sequence[Part]) -> list[str]:
    return [words(parts)] if parts else []


def _negative(unwanted: Sequence[str]) -> list[str]:
    return ["Negative prompt: " + ", ".join(unwanted)] if unwanted else []


def _common(request: ImagineRequest | MorphRequest, seed: int, sampler: str) -> dict[str, object]:
    return {
        "Steps": request.steps,
        "Sampler": (request.scheduler or sampler).removesuffix("Scheduler") or "default",
        "CFG scale": f"{request.guidance:g}",
        "Seed": seed,
        "Size": f"{request.width}x{request.height}",
        "Model": request.model,
    }


def _enlargement(request: UpscaleRequest, seed: int) -> dict[str, object]:
    pairs: dict[str, object] = {
        "Seed": seed,
        "Size": f"{request.width * request.factor}x{request.height * request.factor}",
        "Model": request.model,
        "Upscale": request.factor,
    }
    if request.creative:
        pairs |= {"Steps": request.steps, "CFG scale": f"{request.guidance:g}", "Denoising strength": f"{request.strength:g}"}
    return pairs


def _moving(request: MorphRequest) -> dict[str, object]:
    moved = {"Source": request.source[:12], "Denoising strength": f"{request.strength:g}"} if request.source else {}
    enlarged = {"Hires upscale": request.enlarge} if request.enlarge > 1 else {}
    return {"Frames": request.frames, **moved, **enlarged}


def _further(request: ImagineRequest) -> dict[str, object]:
    """What a picture is made from besides words and numbers; pictures by the beginning of their digest."""
    spot, control = request.spot, request.control
    pairs = {
        "Denoising strength": f"{request.strength:g}" if request.source or request.mix else "",
        "Source": (request.source or "")[:12],
        "Mask": (request.mask or "")[:12],
        "Spot": f"{spot.width}x{spot.height}{spot.left:+d}{spot.top:+d}" if spot else "",
        "Mix": " ".join(digest[:12] for digest in request.mix),
        "Image prompt": " ".join(f"{each.picture[:12]}:{each.weight:g}" for each in request.image_prompts if not each.style),
        "Style": " ".join(f"{each.picture[:12]}:{each.weight:g}" for each in request.image_prompts if each.style),
        "Control": f"{control.kind} {control.picture[:12]}:{control.scale:g}" if control else "",
        "Lora": " ".join(f"{each.name}:{each.weight:g}" for each in request.loras),
        "Tiling": request.tile,
        "Stop": f"{request.stop:.0%}" if request.stop < 1 else "",
        "Hires upscale": request.enlarge if request.enlarge > 1 else "",
        "Best of": request.best_of,
        "CLIP guidance": f"{request.clip:g}" if request.clip else "",
        "Chaos": f"{request.chaos:g}" if request.chaos else "",
        "Synthesis": request.synthesis,
    }
    return {key: value for key, value in pairs.items() if value}


def words(parts: Sequence[Part]) -> str:
    """The parts as they would be typed: `cat::2 dog`, `a fox (in the snow:1.3)`."""
    if len(parts) == 1:
        return _emphasised(parts[0])
    return " ".join(f"{_emphasised(part)}::{part.weight:g}" for part in parts)


def _emphasised(part: Part) -> str:
    text = part.text
    for each in sorted(part.emphasis, key=lambda each: each.start, reverse=True):
        text = f"{text[: each.start]}({text[each.start : each.end]}:{each.weight:g}){text[each.end :]}"
    return text


def enlarge(image: Image.Image, factor: int) -> Image.Image:
    """The classical way to a larger picture: Lanczos, then a mild unsharp mask against its softness."""
    large = image.resize((image.width * factor, image.height * factor), Image.Resampling.LANCZOS)
    return large.filter(ImageFilter.UnsharpMask(radius=0.6 * factor, percent=60, threshold=2))
