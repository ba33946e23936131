"""Masks of what a phrase names: the sizes going in, and the black and white coming out (`Engine.mask`). Used by `engine.local` and `engine.fake`, on the
pictures' pool; `engine.phrase` finds the differences in between.

No torch here.
"""

from __future__ import annotations

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from engine import codec
from engine.api import Capabilities, NothingFound
from engine.codec import Pixels

#: Differences above so many times their mean are as good as any: one bright cell must not hide the rest (Couairon et al. 2022).
CLIPPED = 3.0
#: Shares of the picture that a part of it may have.
LEAST, MOST = 0.005, 0.9
#: How far the largest differences must stand above their mean, as a share of it: below that the words make the same difference everywhere.
STANDS_OUT = 0.6
#: Pixels of the longer edge of the mask while it is shaped; what the model sees is coarser.
SHAPED = 256


def fitted(data: bytes, can: Capabilities) -> tuple[Pixels, tuple[int, int]]:
    """A picture file as the model would draw it: its own proportions, as near as sizes allow, on as many pixels as the model was trained on; and the size it
    has by itself. Raises BadInput.
    """
    picture = codec.decode(data)
    scale = math.sqrt(can.width * can.height / (picture.width * picture.height))
    width, height = (_allowed(side * scale, can) for side in picture.size)
    return np.array(picture.resize((width, height), Image.Resampling.LANCZOS)), picture.size


def _allowed(side: float, can: Capabilities) -> int:
    least, most = -(-can.min_edge // can.multiple), can.max_edge // can.multiple
    return min(max(round(side / can.multiple), least), most) * can.multiple


def mask(differences: NDArray[np.floating], size: tuple[int, int], phrase: str) -> bytes:
    """A PNG (L) of `size`, white where the words make a difference: cells × cells of how much they do, at least 0. Raises NothingFound."""
    mean, most = float(differences.mean()), float(differences.max())
    if not mean > 0 or most < (1 + STANDS_OUT) * mean:
        raise NothingFound(phrase)
    low, high = float(differences.min()), min(most, CLIPPED * mean)
    levels = np.uint8(255) * np.clip((differences - low) / (high - low), 0, 1)
    down, across = differences.shape
    by = max(1, SHAPED // max(down, across))
    soft = Image.fromarray(levels.round().astype(np.uint8)).resize((across * by, down * by), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(by / 2))
    split = between(np.asarray(soft))
    part = whole(soft.point(lambda level: 255 if level > split else 0))
    return encoded(part.resize(size, Image.Resampling.BICUBIC).point(lambda level: 255 if level > 127 else 0), phrase)


def between(levels: NDArray[np.uint8]) -> int:
    """The level that parts the bright from the dark best: with it, the two kinds differ most (Otsu 1979)."""
    counts = np.bincount(levels.ravel(), minlength=256).astype(np.float64)
    below, sums = counts.cumsum(), (counts * np.arange(256)).cumsum()
    above = below[-1] - below
    parts = (below > 0) & (above > 0)
    apart = np.zeros(256)
    apart[parts] = (below * above)[parts] * (sums[parts] / below[parts] - (sums[-1] - sums[parts]) / above[parts]) ** 2
    return int(apart.argmax())


def whole(white: Image.Image) -> Image.Image:
    """Without its holes, unless they are more than half of what is around them: a thing that already is as the words say changes at its edges only."""
    outside = Image.new("L", (white.width + 2, white.height + 2))
    outside.paste(white, (1, 1))
    ImageDraw.floodfill(outside, (0, 0), 128)
    filled = np.asarray(outside)[1:-1, 1:-1] != 128
    solid = np.asarray(white) > 0
    return Image.fromarray(np.uint8(255) * filled) if 2 * filled.sum() <= 3 * solid.sum() else white


def encoded(white: Image.Image, phrase: str) -> bytes:
    """The PNG of a mask of black and white. Raises NothingFound where that is no part of a picture: hardly anything, or nearly all."""
    if not LEAST <= float(np.asarray(white).mean()) / 255 <= MOST:
        raise NothingFound(phrase)
    out = io.BytesIO()
    white.save(out, "PNG")
    return out.getvalue()
