"""What came from the device, made into what is sent: kept pixels put back, PNG files, clips. Run on the pictures' pool by `engine.local` and `engine.fake`.

No torch here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine import canvas as canvases
from engine import checks, codec
from engine.api import Frame, ImagineRequest, MorphRequest, Request
from engine.canvas import Canvas
from engine.codec import Pixels

#: Frames a clip of the forming pictures may have, besides the finished ones, and pixels along its longer edge.
FILM, FILM_EDGE = 23, 512
#: Pixels along a morph's longer edge.
MORPH_EDGE = 1024
#: Milliseconds for which a clip shows each of its pictures, and its ends.
PAUSE = {"forming": 90, "morph": 120}
HOLD = {"forming": 1500, "morph": 500}
#: Pixels of the other side that a seamless picture is enlarged with: as far as an upscaler sees.
WRAP = 24


@dataclass(frozen=True, slots=True)
class Drawn:
    """One request's pictures as the device gives them."""

    images: NDArray[Any]  #: pictures × height × width × 3, real in 0..1 or 8 bits
    forming: Sequence[Sequence[Pixels]] = ()  #: how they came about: at a few steps, each picture small
    seeds: Sequence[int] | None = None  #: when they are not the grid's own
    enlarged: bool = False  #: already larger than the canvas (`larger`)


def larger(request: ImagineRequest | MorphRequest, canvas: Canvas, drawn: Drawn, enlarge: Callable[[Image.Image], Image.Image]) -> Drawn:
    """The pictures enlarged one by one, with what they keep of the source in place: an upscaler should see no seam, nor make one where left meets right."""
    kept = [canvases.put_back(_picture(image), canvas) for image in drawn.images]
    tiles = isinstance(request, ImagineRequest) and request.tile
    pictures = [_wrapped(picture, enlarge, request.enlarge) if tiles else enlarge(picture) for picture in kept]
    return replace(drawn, images=np.stack([np.asarray(picture) for picture in pictures]), enlarged=True)


def _wrapped(picture: Image.Image, enlarge: Callable[[Image.Image], Image.Image], by: int) -> Image.Image:
    beyond = np.pad(np.asarray(picture), ((WRAP, WRAP), (WRAP, WRAP), (0, 0)), mode="wrap")
    edge = by * WRAP
    return enlarge(Image.fromarray(beyond)).crop((edge, edge, edge + by * picture.width, edge + by * picture.height))


def finish(request: Request, canvas: Canvas, drawn: Drawn, sampler: str) -> tuple[tuple[Frame, ...], bytes | None]:
    """The files of the pictures, and the clip where one was asked for. `sampler` is the model's own scheduler, for the PNG's text."""
    over = (canvas.finished or canvases.EMPTY) if drawn.enlarged else canvas
    pictures = [canvases.put_back(_picture(image), over) for image in drawn.images]
    seeds = drawn.seeds or _seeds(request, len(pictures))
    return tuple(frame(request, seed, picture, sampler) for seed, picture in zip(seeds, pictures, strict=True)), _clip(request, pictures, drawn.forming)


def frame(request: Request, seed: int, picture: Image.Image, sampler: str) -> Frame:
    """One finished picture as a file."""
    return Frame(png=codec.encode_png(picture, codec.parameters_text(request, seed, sampler)), seed=seed, width=picture.width, height=picture.height)


def _picture(image: NDArray[Any]) -> Image.Image:
    return Image.fromarray(image if image.dtype == np.uint8 else codec.to_pixels(image))


def _seeds(request: Request, count: int) -> Sequence[int]:
    return checks.grid_seeds(request) if isinstance(request, ImagineRequest) else [request.seed] * count


def _clip(request: Request, pictures: Sequence[Image.Image], forming: Sequence[Sequence[Pixels]]) -> bytes | None:
    if isinstance(request, MorphRequest):
        frames = [codec.within(picture, MORPH_EDGE) for picture in pictures]
        return codec.encode_clip(*(there_and_back(frames) if request.source is None else around(frames)))
    if not isinstance(request, ImagineRequest) or not request.video:
        return None
    return codec.encode_clip(*formed(pictures, forming, request.width, request.height))


def there_and_back(pictures: Sequence[Image.Image]) -> tuple[list[Image.Image], list[int]]:
    """The frames of a morph and how long each is shown: to the other end, and back."""
    path = [*pictures, *pictures[-2:0:-1]]
    ends = {0, len(pictures) - 1}
    return path, [HOLD["morph"] if k in ends else PAUSE["morph"] for k in range(len(path))]


def around(pictures: Sequence[Image.Image]) -> tuple[list[Image.Image], list[int]]:
    """The frames of a picture that moves and how long each is shown: none is the first."""
    return list(pictures), [PAUSE["morph"]] * len(pictures)


def formed(pictures: Sequence[Image.Image], forming: Sequence[Sequence[Pixels]], width: int, height: int) -> tuple[list[Image.Image], list[int]]:
    """The frames of a clip of the pictures forming and how long each is shown: side by side, ending on the finished ones."""
    grids = [codec.preview_grid(step, width, height, FILM_EDGE) for step in forming]
    end = codec.preview_grid([np.asarray(picture) for picture in pictures], width, height, FILM_EDGE)
    return [*grids, end], [*(PAUSE["forming"] for _ in grids), HOLD["forming"]]
