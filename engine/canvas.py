"""Strangers' pictures made ready for a pipeline: sized, placed, masked; and what was kept of them put back. Pure functions of pictures, run on the pictures'
pool by `engine.local` and `engine.fake`.

No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter

from engine import codec, edges
from engine.api import ImagineRequest, MorphRequest, Request, Spot, UpscaleRequest

#: How far what is drawn reaches into what is kept, as a share of the canvas's shorter edge: over that way one turns into the other.
OVERLAP = 1 / 24
#: Deviation of the grain laid over what was bare (0..255): a perfectly smooth start stays smooth.
GRAIN = 4.0
#: Differences of a channel (0..255) that are still the same thing in another tint.
TINT = 32.0
#: Pixels of an image prompt's shorter edge that are enough.
GLANCE = 448


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """What a request starts from, all of the size that will be drawn (but `prompts`, and the source of an enlargement)."""

    start: Image.Image | None = None  #: None: noise
    mask: Image.Image | None = None  #: L, white where it is drawn anew; None: everywhere
    keep: Image.Image | None = None  #: L, how much of `start` is put back over what was drawn, 255: all; None: nothing
    control: Image.Image | None = None  #: the map that is followed
    prompts: tuple[Image.Image, ...] = ()  #: pictures that stand where words stand
    finished: Canvas | None = None  #: `start` and `keep` at the size of the enlarged picture, where the source has that many pixels


EMPTY = Canvas()


def lay(request: Request, pictures: Mapping[str, Image.Image]) -> Canvas:
    """The canvas for a request. `pictures` are decoded, by digest, one for each of `request.pictures`. Raises BadInput."""
    if isinstance(request, MorphRequest):
        return EMPTY if request.source is None else Canvas(start=codec.cover(pictures[request.source], request.width, request.height))
    if isinstance(request, UpscaleRequest):
        return Canvas(start=pictures[request.source])
    size = (request.width, request.height)
    control = edges.control_map(request.control, pictures[request.control.picture], *size) if request.control else None
    start, mask, keep = _start(request, pictures)
    prompts = tuple(glanced(pictures[each.picture]) for each in request.image_prompts)
    return Canvas(start=start, mask=mask, keep=keep, control=control, prompts=prompts, finished=_finished(request, pictures))


def _finished(request: ImagineRequest, pictures: Mapping[str, Image.Image]) -> Canvas | None:
    """What is kept of a source that is as fine as the enlarged picture: brought to the canvas's own size it would lose what enlarging cannot give back."""
    by, spot = request.enlarge, request.spot
    if by == 1 or request.source is None or (request.mask is None and spot is None):
        return None
    shown = Spot(left=by * spot.left, top=by * spot.top, width=by * spot.width, height=by * spot.height) if spot else None
    width, height = (shown.width, shown.height) if shown else (by * request.width, by * request.height)
    source = pictures[request.source]
    if source.width < width or source.height < height:
        return None
    start, _, keep = _start(replace(request, width=by * request.width, height=by * request.height, spot=shown, mix=()), pictures)
    return Canvas(start=start, keep=keep)


def glanced(picture: Image.Image) -> Image.Image:
    """A picture to look at, no larger than it will be seen: what sees it works at some 224 pixels, and the device's thread has no time for forty million."""
    return picture.reduce(max(1, min(picture.size) // GLANCE))


def put_back(drawn: Image.Image, canvas: Canvas) -> Image.Image:
    """`drawn` with the kept pixels of the source over it: exactly the source's, but for a soft border."""
    if canvas.keep is None or canvas.start is None:
        return drawn
    drawn = codec.cover(drawn, *canvas.start.size)
    return Image.composite(canvas.start, _in_tune(drawn, canvas.start, canvas.keep), canvas.keep)


def _in_tune(drawn: Image.Image, start: Image.Image, keep: Image.Image) -> Image.Image:
    """`drawn`, its colours near what is kept moved to where the source's are: models and autoencoders shift them a little, and that would show as an edge.

    How far what was drawn is off is known only where something is kept; from there it is carried a little way outwards, fading.
    """
    off = np.asarray(start, np.float32) - np.asarray(drawn, np.float32)
    known = ((np.asarray(keep) == 255) & (np.abs(off).max(axis=-1) < TINT)).astype(np.float32)
    weight = _spread(known)
    shift = np.stack([_spread(off[..., c] * known) for c in range(3)], axis=-1) / np.maximum(weight, 1e-3)[..., None]
    correction = shift * np.minimum(1, 2 * weight)[..., None]
    return Image.fromarray((np.asarray(drawn) + correction).clip(0, 255).round().astype(np.uint8))


def _spread(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means over cells a few borders wide, smoothly."""
    height, width = values.shape
    cell = max(1, round(3 * OVERLAP * min(width, height)))
    coarse = Image.fromarray(values).resize((-(-width // cell), -(-height // cell)), Image.Resampling.BOX)
    return np.asarray(coarse.resize((width, height), Image.Resampling.BILINEAR))


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
    at = _seen(spot, size)
    shown = _part(source, spot, at, Image.Resampling.LANCZOS)
    bare = Image.new("L", size, 255)
    bare.paste(0, at)
    return fill(shown, at, size, seed), bare


def _seen(spot: Spot, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what of the source is on the canvas."""
    return max(0, spot.left), max(0, spot.top), min(size[0], spot.left + spot.width), min(size[1], spot.top + spot.height)


def _part(picture: Image.Image, spot: Spot, at: tuple[int, int, int, int], how: Image.Resampling) -> Image.Image:
    """What of a picture that fills the spot is seen. Never larger than the canvas, however large the spot."""
    left, top, right, bottom = at
    x, y = picture.width / spot.width, picture.height / spot.height
    end = min(picture.width, (right - spot.left) * x), min(picture.height, (bottom - spot.top) * y)  # rounding may carry it a little too far
    return picture.resize((right - left, bottom - top), how, box=((left - spot.left) * x, (top - spot.top) * y, *end))


def _mask(mask: Image.Image, source: Image.Image, spot: Spot | None, size: tuple[int, int]) -> Image.Image:
    """The member's mask where the source lies: 0 or 255. It is stretched to the source's shape."""
    grey = mask.convert("L")
    if spot is None:
        whole = codec.cover(grey.resize(source.size, Image.Resampling.BILINEAR), *size)
    else:
        at = _seen(spot, size)
        whole = Image.new("L", size, 0)
        whole.paste(_part(grey, spot, at, Image.Resampling.BILINEAR), at)
    return whole.point(lambda value: 255 if value > 127 else 0)


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
    white = np.asarray(mask) > 127
    for _ in range(2):  # a square window is a line along each axis, one after the other; a line has white in it when its sum is not 0
        sums = np.cumsum(np.pad(white, ((by + 1, by), (0, 0))), axis=0, dtype=np.int32)
        white = (sums[2 * by + 1 :] > sums[: -2 * by - 1]).T
    return Image.fromarray(np.uint8(255) * white)


# ------------------------------------------------------------------------------------------------ filling


def fill(shown: Image.Image, at: tuple[int, int, int, int], size: tuple[int, int], seed: int) -> Image.Image:
    """A canvas of `size` with what is shown of the source at `at`; around it its edges carried outwards, softer the further away, with a little grain."""
    (left, top, right, bottom), (width, height) = at, size
    far = ((top, height - bottom), (left, width - right), (0, 0))
    carried = Image.fromarray(np.pad(np.asarray(shown), far, mode="edge"))
    away = _distance(width, left, right)[None, :] + _distance(height, top, bottom)[:, None]
    filled, radius = np.asarray(carried, np.float32), 1
    while radius < away.max():
        softer = np.asarray(carried.filter(ImageFilter.GaussianBlur(radius)), np.float32)
        share = np.clip(away / radius - 1, 0, 1)[..., None]  # from `radius` pixels away on it begins, from twice as far on it is all there is
        filled, radius = filled + share * (softer - filled), 2 * radius
    grain = np.random.default_rng(seed).normal(0, GRAIN, (height, width, 1)) * (away > 0)[..., None]
    return Image.fromarray((filled + grain).clip(0, 255).round().astype(np.uint8))


def _distance(length: int, first: int, last: int) -> NDArray[np.float32]:
    """Of each pixel of a line from the nearest in first..last."""
    along = np.arange(length, dtype=np.float32)
    return np.maximum(0, np.maximum(first - along, along - last + 1))
