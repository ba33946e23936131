"""A member's picture → the map a ControlNet follows: lines found in it, or a map they brought, put into the form such networks were trained on.

Pure functions of pictures (numpy and Pillow, no torch), run on the pictures' pool by `engine.canvas`. The detector is Canny's (1986, IEEE TPAMI 8(6)): smooth,
differentiate, keep the crests of the slope, then the faint crests that touch a strong one. Some 60 ms for a megapixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from engine import codec
from engine.api import BadInput, Control

#: Pixels by which a picture is blurred before lines are looked for.
SIGMA = 1.2
#: How a crest's faint continuation compares with what counts as strong.
FAINT = 0.4
#: Lengths of faint line that are followed from a strong one, pixels: beyond any picture's, but for spirals drawn to keep a server busy.
LONGEST = 4096


@dataclass(frozen=True, slots=True)
class Lines:
    """How one kind of map is found: in the picture shrunk so many times, which leaves the small things out and makes the lines that many pixels wide."""

    shrink: int


#: What can be found in any picture. A depth or a pose takes networks of its own to see, so those maps are brought.
FINDABLE: Mapping[str, Lines] = {"edges": Lines(1), "sketch": Lines(2)}


def control_map(control: Control, picture: Image.Image, width: int, height: int) -> Image.Image:
    """The map for a canvas of width × height, RGB; lines are white on black. Raises BadInput when the kind cannot be found in a picture."""
    if not control.is_map and control.kind not in FINDABLE:
        raise BadInput(f"{control.kind} cannot be found in a picture here: give the finished map itself")
    picture = codec.cover(picture, width, height)
    if control.is_map:
        return _white_on_black(picture) if control.kind in FINDABLE else picture
    grey = picture.convert("L").reduce(FINDABLE[control.kind].shrink)
    found = Image.fromarray(find(np.asarray(grey)).astype(np.uint8) * 255)
    return found.resize((width, height), Image.Resampling.NEAREST).convert("RGB")


def _white_on_black(picture: Image.Image) -> Image.Image:
    """Who draws by hand draws dark on light; the networks were trained on the reverse."""
    mean = np.asarray(picture.convert("L").resize((32, 32), Image.Resampling.BOX)).mean()
    return ImageOps.invert(picture) if mean > 127 else picture


def find(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where the lines are in height × width of 8 bits; a pixel wide. The edges of the picture itself are none."""
    right, down = _slopes(_blurred(grey.astype(np.float32), SIGMA))
    steep = np.sqrt(right * right + down * down)
    strong = _threshold(steep)
    crest = _crests(right, down, steep, FAINT * strong)
    return _connected(crest, steep, strong)[1:-1, 1:-1]


def _blurred(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """A Gaussian of `sigma` pixels, along one axis and then the other."""
    reach = max(1, round(3 * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights = (weights / weights.sum()).astype(np.float32)

    for _ in range(2):
        wide = np.pad(image, ((reach, reach), (0, 0)), mode="edge")
        shifted = [wide[k : k + len(image)] for k in range(2 * reach + 1)]
        total = shifted[reach] * weights[reach]
        for k in range(reach):
            total += (shifted[k] + shifted[-1 - k]) * weights[k]
        image = np.ascontiguousarray(total.T)
    return image


def _slopes(image: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Sobel's derivatives along x and y, levels a pixel, with a border of zeros one pixel wide around the picture."""
    wide = np.pad(image, 1, mode="edge")
    across, downwards = wide[:, 2:] - wide[:, :-2], wide[2:] - wide[:-2]
    right = (across[:-2] + 2 * across[1:-1] + across[2:]) / 8
    down = (downwards[:, :-2] + 2 * downwards[:, 1:-1] + downwards[:, 2:]) / 8
    return np.pad(right, 1), np.pad(down, 1)


def _threshold(steep: NDArray[np.float32]) -> float:
    """What counts as strong: the steepest tenth, within bounds, so that a misty picture has lines too and an even one has none."""
    return float(np.clip(np.percentile(steep[::3, ::3], 90), 2.0, 16.0))


def _crests(right: NDArray[np.float32], down: NDArray[np.float32], steep: NDArray[np.float32], least: float) -> NDArray[np.int64]:
    """Flat indexes of pixels steeper than both neighbours across the line, in four directions."""
    flat, width = steep.ravel(), steep.shape[1]
    at = np.flatnonzero(flat > least)
    dx, dy = right.ravel()[at], down.ravel()[at]
    flatter, level = np.abs(dy) < 0.4142 * np.abs(dx), np.abs(dx) < 0.4142 * np.abs(dy)  # tan 22.5°
    step = np.where(flatter, 1, np.where(level, width, np.where(dx * dy > 0, width + 1, width - 1)))
    crest: NDArray[np.int64] = at[(flat[at] > flat[at - step]) & (flat[at] >= flat[at + step])]
    return crest


def _connected(crest: NDArray[np.int64], steep: NDArray[np.float32], strong: float) -> NDArray[np.bool_]:
    """Strong crests, and the faint ones that a path of crests joins to them."""
    height, width = steep.shape
    open_, kept = np.zeros(height * width, np.bool_), np.zeros(height * width, np.bool_)
    open_[crest] = True
    front = crest[steep.ravel()[crest] > strong]
    around = np.array([dy * width + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx])
    open_[front], kept[front] = False, True
    for _ in range(LONGEST):
        if not front.size:
            break
        near = (front[:, None] + around).ravel()
        front = np.unique(near[open_[near]])
        open_[front], kept[front] = False, True
    return kept.reshape(height, width)
