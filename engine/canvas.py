"""Strangers' pictures made ready for a pipeline: sized, placed, masked; and what was kept of them put back. Pure functions of pictures, run on the pictures'
pool by `engine.local` and `engine.fake`.

No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter

from engine import codec
from engine.api import ImagineRequest, MorphRequest, Request, Spot, UpscaleRequest

#: How far what is drawn reaches into what is kept, as a share of the canvas's shorter edge: over that way one turns into the other.
OVERLAP = 1 / 16
#: Deviation of the grain laid over what was bare (0..255): a perfectly smooth start stays smooth.
GRAIN = 4.0
#: Pixels along the edge of what is kept whose colours are carried outwards.
RIM = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """What a request starts from, all of the size that will be drawn (but `prompts`, which are as they came, and the source of an enlargement)."""

    start: Image.Image | None = None  #: None: noise
    mask: Image.Image | None = None  #: L, white where it is drawn anew; None: everywhere
    keep: Image.Image | None = None  #: L, how much of `start` is put back over what was drawn, 255: all; None: nothing
    control: Image.Image | None = None  #: the picture whose structure is followed, or its map
    prompts: tuple[Image.Image, ...] = ()  #: pictures that stand where words stand


EMPTY = Canvas()


def lay(request: Request, pictures: Mapping[str, Image.Image]) -> Canvas:
    """The canvas for a request. `pictures` are decoded, by digest, one for each of `request.pictures`."""
    if isinstance(request, MorphRequest):
        return EMPTY
    if isinstance(request, UpscaleRequest):
        return Canvas(start=pictures[request.source])
    size = (request.width, request.height)
    control = codec.cover(pictures[request.control.picture], *size) if request.control else None
    start, mask, keep = _start(request, pictures)
    return Canvas(start=start, mask=mask, keep=keep, control=control, prompts=tuple(pictures[each.picture] for each in request.image_prompts))


def put_back(drawn: Image.Image, canvas: Canvas) -> Image.Image:
    """`drawn` with the kept pixels of the source over it: exactly the source's, but for a soft border."""
    if canvas.keep is None or canvas.start is None:
        return drawn
    return Image.composite(canvas.start, drawn, canvas.keep)


def _start(request: ImagineRequest, pictures: Mapping[str, Image.Image]) -> tuple[Image.Image | None, Image.Image | None, Image.Image | None]:
    """Start, mask and keep."""
    size = (request.width, request.height)
    mixed = [codec.cover(pictures[digest], *size) for digest in request.mix]
    if request.source is None:
        return (mix(mixed), None, None) if mixed else (None, None, None)
    source = pictures[request.source]
    if request.spot is None:
        start, bare = codec.cover(source, *size), Image.new("L", size, 0)
    else:
        start, bare = _placed(source, request.spot, size, request.seed)
    if request.mask is not None:
        bare = ImageChops.lighter(bare, _mask(pictures[request.mask], source, request.spot, size))
    start = mix([start, *mixed]) if mixed else start
    if request.mask is None and request.spot is None:
        return start, None, None
    mask, keep = borders(bare)
    return start, mask, keep


def mix(pictures: Sequence[Image.Image]) -> Image.Image:
    """All of them in one, each with the same share."""
    return Image.fromarray(np.mean([np.asarray(picture, np.float32) for picture in pictures], axis=0).round().astype(np.uint8))


# ------------------------------------------------------------------------------------------------ placing


def _placed(source: Image.Image, spot: Spot, size: tuple[int, int], seed: int) -> tuple[Image.Image, Image.Image]:
    """The source at its spot on a canvas whose rest is filled, and where it was bare (L, 255)."""
    bare = Image.new("L", size, 255)
    bare.paste(0, (spot.left, spot.top, spot.left + spot.width, spot.top + spot.height))
    canvas = Image.new("RGB", size)
    canvas.paste(source.resize((spot.width, spot.height), Image.Resampling.LANCZOS), (spot.left, spot.top))
    return (fill(canvas, bare, seed) if bare.getbbox() else canvas), bare


def _mask(mask: Image.Image, source: Image.Image, spot: Spot | None, size: tuple[int, int]) -> Image.Image:
    """The member's mask where the source lies: 0 or 255."""
    grey = mask.convert("L").resize(source.size, Image.Resampling.BILINEAR).point(lambda value: 255 if value > 127 else 0)
    if spot is None:
        return codec.cover(grey, *size).point(lambda value: 255 if value > 127 else 0)
    placed = Image.new("L", size, 0)
    placed.paste(grey.resize((spot.width, spot.height), Image.Resampling.NEAREST), (spot.left, spot.top))
    return placed


def borders(bare: Image.Image) -> tuple[Image.Image, Image.Image]:
    """What to draw (0 or 255) and what to put back (0..255), from what has to be drawn (0 or 255).

    What is drawn reaches a little into what is kept; over that way the one turns into the other.
    """
    reach = max(2, round(min(bare.size) * OVERLAP))
    drawn = grown(bare, reach)
    # half the reach of blurring, around the middle of the way: 0 at the bare edge, 255 where nothing is drawn
    soft = grown(bare, reach // 2).filter(ImageFilter.BoxBlur(max(1, reach // 2 - 1)))
    keep = ImageChops.invert(ImageChops.lighter(soft, bare))
    return drawn, ImageChops.lighter(keep, ImageChops.invert(drawn))


def grown(mask: Image.Image, by: int) -> Image.Image:
    """White areas larger by `by` pixels on every side."""
    edge = ImageFilter.MaxFilter(3)
    for _ in range(by):
        mask = mask.filter(edge)
    return mask


# ------------------------------------------------------------------------------------------------ filling


def fill(picture: Image.Image, bare: Image.Image, seed: int) -> Image.Image:
    """The picture with its bare parts (white in `bare`) filled: the colours at their edges carried outwards, ever smoother, with a little grain.

    Push-pull interpolation (Gortler et al. 1996, The Lumigraph): averages of what is known, halved until nothing is unknown, then back up.
    """
    known = (np.asarray(bare, np.float32) < 128)[..., None]
    if not known.any():
        return picture
    colours = np.asarray(picture, np.float32)
    rim = known & (np.asarray(grown(bare, RIM), np.float32) >= 128)[..., None]
    filled = _pull(colours * rim, rim.astype(np.float32))
    grain = np.random.default_rng(seed).normal(0, GRAIN, filled.shape[:2])[..., None]
    return Image.fromarray(np.where(known, colours, filled + grain).clip(0, 255).round().astype(np.uint8))


def _pull(weighted: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Colours everywhere, from colours × weight and weight (height × width × 3 and × 1)."""
    if (weight > 0).all():
        return weighted / weight
    height, width = weight.shape[:2]
    halved = _pull(_halved(weighted), np.minimum(_halved(weight), 1e9))
    coarse = np.stack([np.asarray(Image.fromarray(halved[..., c]).resize((width, height), Image.Resampling.BILINEAR)) for c in range(3)], axis=-1)
    share = np.minimum(weight, 1)
    return np.where(weight > 0, share * weighted / np.maximum(weight, 1e-6) + (1 - share) * coarse, coarse)


def _halved(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums of 2 × 2; an odd last row or column by itself."""
    height, width = values.shape[:2]
    padded = np.pad(values, ((0, height % 2), (0, width % 2), (0, 0)))
    return padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2, -1).sum(axis=(1, 3))
