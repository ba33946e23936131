"""Larger pictures: by a network alone, or drawn anew tile by tile. Used by `engine.perform`, inside a hub's task on the device thread.

A finished picture is enlarged here, too, when its request says so: after decoding and choosing, each tile a turn of the device, so that nobody waits for all.

A creative upscale enlarges the picture first, then draws it anew by image-to-image in tiles of the size the model was trained on, so that it works for any size
and any model that starts from pictures. Tiles overlap and fade into one another. What a tile changes is the detail alone: its coarse colours are those of the
enlarged picture, or neighbours would drift apart (the idea of the wavelet correction of StableSR, Wang et al. 2023, arXiv:2305.07015).

A model whose finished pictures are larger than it draws them (`Capabilities.finish`) draws these at its own scale, too, and its upscaler makes the rest: the
things in a picture of theirs then have the size that the model knows, and there are `finish` squared times fewer tiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine import checks, codec, hub, results, upscale
from engine.api import BadInput, Capabilities, ImagineRequest, MorphRequest, UpscaleRequest
from engine.canvas import Canvas
from engine.codec import Pixels
from engine.hub import Share
from engine.model import Model
from engine.operations import Seen, Watch, pictures, run, told
from engine.proxy import Proxy
from engine.results import Drawn

#: Tiles that step together: with guidance, the rows of a default grid.
TOGETHER = 4
#: Share of a tile's edge that it has in common with its neighbour, at least.
OVERLAP = 0.25
#: Pixels over which colours count as coarse, as a share of a tile's edge.
COARSE = 1 / 8


@dataclass(frozen=True, slots=True)
class Box:
    """A tile's place on the enlarged picture, in pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def corners(self) -> tuple[int, int, int, int]:
        return (self.left, self.top, self.left + self.width, self.top + self.height)


def enlarge(model: Model, picture: Image.Image, factor: int) -> Image.Image:
    """The picture 2× or 4× larger: by the model's network, where each tile is a turn of the device; by filters where it has none."""
    network = model.upscaler
    if network is None:
        return codec.enlarge(picture, factor)
    turns = Proxy(network, {"__call__": Share.TURN})
    return Image.fromarray(upscale.enlarge(turns, network.reach, np.asarray(picture), factor, model.device, scale=network.scale))


def finish(model: Model, request: ImagineRequest | MorphRequest, canvas: Canvas, drawn: Drawn) -> Drawn:
    """The pictures as large as the request wants them."""
    if request.enlarge == 1:
        return drawn
    return results.larger(request, canvas, drawn, lambda picture: enlarge(model, picture, request.enlarge))


def draw(model: Model, request: UpscaleRequest, canvas: Canvas, watch: Watch) -> Drawn:
    """The enlarged picture; with new detail if the request is creative."""
    if canvas.start is None:
        raise BadInput("there is no picture to start from")
    if not request.creative:
        return Drawn(np.asarray(enlarge(model, canvas.start, request.factor))[None])
    by = checks.finished_by(canvas.start.width, canvas.start.height, model.entry.can)
    own = enlarge(model, canvas.start, request.factor // by) if request.factor > by else canvas.start
    small = drawn_size(canvas.start.size, request.factor, model.entry.can)
    drawn = _drawn_anew(model, request, own if own.size == small else own.resize(small, Image.Resampling.LANCZOS), watch)
    large = enlarge(model, drawn, by) if by > 1 else drawn
    size = (canvas.start.width * request.factor, canvas.start.height * request.factor)
    return Drawn(np.asarray(large if large.size == size else large.resize(size, Image.Resampling.LANCZOS))[None])


def drawn_size(size: tuple[int, int], factor: int, can: Capabilities) -> tuple[int, int]:
    """Pixels of what is drawn anew for a picture of `size` to become `factor` times larger."""
    by = checks.finished_by(*size, can)
    return max(1, round(size[0] * factor / by)), max(1, round(size[1] * factor / by))


def _drawn_anew(model: Model, request: UpscaleRequest, large: Image.Image, watch: Watch) -> Image.Image:
    can = model.entry.can
    board = padded(large, can)
    boxes = boxes_of(board.size, can)
    pile = Pile(board.size)
    chunks = [range(first, min(first + TOGETHER, len(boxes))) for first in range(0, len(boxes), TOGETHER)]
    if (seat := hub.seat()) is not None:  # it takes more steps than the request says
        seat[1].left *= len(chunks)
    for number, chunk in enumerate(chunks):
        starts = [board.crop(boxes[k].corners) for k in chunk]
        pipeline = model.pipeline("picture")
        if model.step_cache is not None and (seat := hub.seat()) is not None:
            model.step_cache.forget(seat[1])  # other tiles now
        arguments = {
            **model.family.arguments(steps=request.steps, guidance=request.guidance),
            "prompt": told(pipeline, model, request.parts, boxes[0].width, boxes[0].height, request.guidance > 1),
            **pictures(starts, request.strength, request.steps),
        }
        seen = Seen(model, boxes[0], pipeline, watch, part=(number, len(chunks)))
        drawn = run(pipeline, model, arguments, boxes[0], [(request.seed + k) % 2**32 for k in chunk], seen)
        for k, start, image in zip(chunk, starts, drawn, strict=True):
            pile.add(boxes[k], with_colours_of(start, codec.to_pixels(image)))
    return Image.fromarray(pile.whole()).crop((0, 0, *large.size))


def padded(picture: Image.Image, can: Capabilities) -> Image.Image:
    """The picture with its last pixels repeated to the right and below, where it is smaller than the smallest tile or no multiple of what sizes must be."""
    width, height = (max(can.min_edge, -(-side // can.multiple) * can.multiple) for side in picture.size)
    missing = ((0, height - picture.height), (0, width - picture.width), (0, 0))
    return picture if (width, height) == picture.size else Image.fromarray(np.pad(np.asarray(picture), missing, mode="edge"))


def boxes_of(size: tuple[int, int], can: Capabilities) -> list[Box]:
    """Tiles of one size that cover a picture of `size`, evenly spaced."""
    width, height = min(can.width, size[0]), min(can.height, size[1])
    return [Box(left, top, width, height) for top in places(size[1], height) for left in places(size[0], width)]


def places(length: int, tile: int) -> list[int]:
    """Where tiles begin along a line, the first at 0 and the last ending at its end."""
    shared = round(tile * OVERLAP)
    count = 1 if length <= tile else -(-(length - shared) // (tile - shared))
    return [round(k * (length - tile) / max(1, count - 1)) for k in range(count)]


class Pile:
    """Tiles laid over one another, each fading out towards its edges."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._sum = np.zeros((size[1], size[0], 3), np.float32)
        self._weight = np.zeros((size[1], size[0], 1), np.float32)

    def add(self, box: Box, pixels: Pixels) -> None:
        fades = np.outer(_fading(box.height), _fading(box.width)).astype(np.float32)[..., None]
        at = np.s_[box.top : box.top + box.height, box.left : box.left + box.width]
        self._sum[at] += fades * pixels
        self._weight[at] += fades

    def whole(self) -> Pixels:
        """The blend; every pixel must have been covered."""
        blend: Pixels = (self._sum / self._weight).round().astype(np.uint8)
        return blend


def _fading(length: int) -> NDArray[np.floating]:
    """1 in the middle, falling to almost 0 over the way shared with a neighbour. At the picture's own edge there is none, and dividing by the sum undoes it."""
    from_edge = np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5
    ramp: NDArray[np.floating] = np.minimum(1.0, from_edge / max(1.0, length * OVERLAP))
    return ramp


def with_colours_of(start: Image.Image, drawn: Pixels) -> Pixels:
    """`drawn` with the coarse colours of `start`."""
    corrected: Pixels = (drawn + _coarse(start) - _coarse(Image.fromarray(drawn))).clip(0, 255).round().astype(np.uint8)
    return corrected


def _coarse(picture: Image.Image) -> NDArray[np.float32]:
    cell = max(1, round(min(picture.size) * COARSE))
    small = picture.resize((max(1, picture.width // cell), max(1, picture.height // cell)), Image.Resampling.BOX)
    return np.asarray(small.resize(picture.size, Image.Resampling.BICUBIC), np.float32)
