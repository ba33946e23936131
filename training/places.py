"""The empty places of the pocket model's world, painted by a few lines of numpy each. Used by `training.scenes` and `training.upscaler`.

Everything is measured in native pixels, whatever the resolution: a canvas of scale 4 shows the same place with four times as many pixels along each side,
from the same draws of `rng`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator

from training.vocabulary import COLOURS

#: Edge of an ordinary scene in native pixels.
EDGE = 128
Pixels = np.ndarray  # float64, (height · scale, width · scale, 3), 0..255
Colour = tuple[int, ...] | np.ndarray


@dataclass(slots=True)
class Canvas:
    """A picture being painted."""

    width: int
    height: int
    scale: int = 1
    pixels: Pixels = field(init=False)
    columns: np.ndarray = field(init=False)  #: x of every pixel's middle, (1, W)
    rows: np.ndarray = field(init=False)  #: y of every pixel's middle, (H, 1)

    def __post_init__(self) -> None:
        self.columns = ((np.arange(self.width * self.scale) + 0.5) / self.scale)[None]
        self.rows = ((np.arange(self.height * self.scale) + 0.5) / self.scale)[:, None]
        self.pixels = np.zeros((self.height * self.scale, self.width * self.scale, 3))

    @property
    def area(self) -> float:
        """In ordinary scenes."""
        return self.width * self.height / EDGE**2

    def gradient(self, *stops: tuple[float, tuple[int, int, int]]) -> None:
        """Fill from top to bottom; stops are at shares of the height."""
        at, colours = np.array([s for s, _ in stops]), np.array([c for _, c in stops], float)
        column = np.stack([np.interp(self.rows[:, 0] / self.height, at, colours[:, k]) for k in range(3)], -1)
        self.pixels[:] = column[:, None, :]

    def blend(self, alpha: np.ndarray, colour: Colour, window: tuple[slice, slice] = np.s_[:, :]) -> None:
        part = self.pixels[window]
        part += np.clip(alpha, 0, 1)[..., None] * (np.asarray(colour, float) - part)

    def disc(self, x: float, y: float, r: float, colour: Colour, soft: float = 1.5) -> None:
        """`soft` up to 1.5 is the width of a pixel, more is the disc's own blur."""
        soft = soft / self.scale if soft <= 1.5 else soft
        reach, s = r + soft + 1, self.scale
        top, bottom = max(0, int((y - reach) * s)), min(self.height * s, int((y + reach) * s) + 2)
        left, right = max(0, int((x - reach) * s)), min(self.width * s, int((x + reach) * s) + 2)
        if top < bottom and left < right:
            away = np.hypot(self.columns[:, left:right] - x, self.rows[top:bottom] - y)
            self.blend((r - away) / soft + 0.5, colour, np.s_[top:bottom, left:right])

    def ground(self, rng: Generator, colour: tuple[int, int, int], base: float, swell: float) -> None:
        """Rolling ground below `base` (share of the height), darker towards the viewer."""
        line = base + swell * np.sin(self.columns / EDGE * 2 * np.pi * rng.uniform(0.6, 1.4) + rng.uniform(0, 6.3))
        depth = self.rows / self.height - line
        shade = 1 - 0.45 * np.clip(depth, 0, 1)
        self.blend(depth * self.height * self.scale / 1.5, np.array(colour)[None, None] * shade[..., None])

    def triangle(self, x: float, top: float, bottom: float, half: float, colour: np.ndarray) -> None:
        t = (self.rows - top) / (bottom - top)
        self.blend(np.where((t > 0) & (t < 1), (half * t - np.abs(self.columns - x)) * self.scale + 0.5, 0), colour)

    def box(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        s = self.scale
        self.pixels[max(0, round(y * s)) : round((y + height) * s), max(0, round(x * s)) : round((x + width) * s)] = colour

    def stars(self, rng: Generator, count: int, depth: float) -> None:
        for _ in range(round(count * self.area)):
            self.disc(rng.uniform(0, self.width), rng.uniform(0, self.height * depth), rng.uniform(0.6, 1.2), (255, 255, 245), 1)


def paint(place: str, rng: Generator, width: int = EDGE, height: int = EDGE, scale: int = 1) -> Pixels:
    """The empty place (a key of PLACES or COLOURS), its details drawn from `rng`. Raises KeyError."""
    canvas = Canvas(width, height, scale)
    if place in COLOURS:
        canvas.pixels[:] = np.array(COLOURS[place]) * (1.03 - 0.1 * canvas.rows / height)[..., None]
    else:
        _PAINTERS[place](canvas, rng)
    return canvas.pixels


def _sunset(c: Canvas, rng: Generator) -> None:
    c.gradient((0, (70, 50, 120)), (0.45, (240, 110, 80)), (0.7, (255, 190, 90)), (1, (255, 210, 120)))
    c.disc(rng.uniform(0.1, 0.9) * c.width, 0.6 * c.height, rng.uniform(11, 15), (255, 240, 190))
    c.ground(rng, (60, 40, 70), 0.76, 0.02)


def _night(c: Canvas, rng: Generator) -> None:
    c.gradient((0, (8, 10, 40)), (1, (40, 50, 110)))
    c.stars(rng, 24, 0.7)
    c.disc(rng.uniform(0.1, 0.9) * c.width, 0.14 * c.height, rng.uniform(8, 11), (245, 240, 210))
    c.ground(rng, (15, 25, 45), 0.8, 0.02)


def _space(c: Canvas, rng: Generator) -> None:
    c.gradient((0, (5, 3, 18)), (1, (26, 10, 52)))
    c.stars(rng, 45, 1)
    x = (rng.uniform(0, 0.2) if rng.random() < 0.5 else rng.uniform(0.8, 1)) * c.width
    c.disc(x, rng.uniform(0.08, 0.3) * c.height, rng.uniform(9, 16), rng.integers(80, 230, 3), 2)


def _sea(c: Canvas, rng: Generator) -> None:
    c.gradient((0, (40, 160, 220)), (1, (5, 40, 100)))
    for _ in range(round(10 * c.area)):
        c.disc(rng.uniform(0, c.width), rng.uniform(0, c.height), rng.uniform(1.5, 4), (150, 215, 245), 1.5)
    c.ground(rng, (150, 150, 110), 0.9, 0.02)


def _forest(c: Canvas, rng: Generator) -> None:
    c.gradient((0, (150, 210, 240)), (0.6, (210, 235, 220)), (1, (210, 235, 220)))
    for x in np.linspace(0.02, 0.98, round(8 * c.width / EDGE)) * c.width:
        top, half, tint = (0.74 - rng.uniform(0.4, 0.58)) * c.height, rng.uniform(9, 13), rng.uniform(0.75, 1.15)
        c.triangle(x + rng.uniform(-4, 4), top, 0.78 * c.height, half, np.array((25, 95, 50)) * tint)
    c.ground(rng, (85, 150, 60), 0.74, 0.015)


def _desert(c: Canvas, rng: Generator) -> None:
    c.gradient((0, (90, 170, 235)), (0.6, (225, 235, 230)), (1, (225, 235, 230)))
    c.disc(rng.uniform(0.1, 0.9) * c.width, 0.14 * c.height, 9, (255, 245, 200))
    c.ground(rng, (235, 190, 115), 0.62, 0.05)
    c.ground(rng, (220, 165, 90), 0.77, 0.03)


def _snow(c: Canvas, rng: Generator) -> None:
    c.gradient((0, (140, 170, 205)), (0.6, (205, 220, 235)), (1, (205, 220, 235)))
    c.ground(rng, (245, 248, 252), 0.7, 0.03)
    for _ in range(round(24 * c.area)):
        c.disc(rng.uniform(0, c.width), rng.uniform(0, c.height), rng.uniform(0.9, 1.9), (255, 255, 255), 1)


def _beach(c: Canvas, rng: Generator) -> None:
    c.gradient((0, (110, 190, 245)), (0.5, (190, 228, 250)), (0.505, (30, 130, 190)), (0.72, (70, 190, 210)), (1, (70, 190, 210)))
    c.disc(rng.uniform(0.1, 0.9) * c.width, 0.13 * c.height, 8, (255, 245, 190))
    c.ground(rng, (240, 215, 160), 0.74, 0.012)


def _city(c: Canvas, rng: Generator) -> None:
    c.gradient((0, (20, 20, 60)), (1, (125, 75, 125)))
    x = 0
    while x < c.width:
        w, h, tint = int(rng.integers(14, 24)), int(rng.integers(45, 95) * c.height / EDGE), np.array((32, 32, 58)) * rng.uniform(0.75, 1.25)
        c.box(x, c.height - h, w, h, tint)
        for y in range(c.height - h + 4, c.height - 8, 9):
            for left in range(x + 3, min(x + w - 4, c.width - 3), 7):
                if rng.random() < 0.5:
                    c.box(left, y, 3, 4, (250, 220, 120))
        x += w + int(rng.integers(0, 3))


def _sky(c: Canvas, rng: Generator) -> None:
    c.gradient((0, (80, 160, 240)), (1, (200, 230, 250)))
    for _ in range(max(2, round(4 * c.area))):
        x, y = rng.uniform(0, c.width), rng.uniform(0.08, 0.9) * c.height
        for dx in (-10, -3, 4, 11):
            c.disc(x + dx, y + rng.uniform(-3, 3), rng.uniform(6, 9), (250, 252, 255), 3)


def _meadow(c: Canvas, rng: Generator) -> None:
    c.gradient((0, (95, 175, 245)), (0.65, (205, 232, 250)), (1, (205, 232, 250)))
    c.disc(rng.uniform(0.1, 0.9) * c.width, 0.14 * c.height, 9, (255, 236, 130))
    c.ground(rng, (110, 190, 70), 0.66, 0.03)
    for _ in range(round(16 * c.area)):
        petals = ((250, 240, 90), (250, 250, 250), (240, 110, 130))[rng.integers(3)]
        c.disc(rng.uniform(0, c.width), rng.uniform(0.76, 0.98) * c.height, rng.uniform(1.2, 2.2), petals, 1)


def _mountains(c: Canvas, rng: Generator) -> None:
    c.gradient((0, (110, 165, 225)), (0.7, (220, 232, 240)), (1, (220, 232, 240)))
    count = max(2, round(3 * c.width / EDGE))
    for x in np.linspace(0.12, 0.88, count) * c.width + rng.uniform(-12, 12, count):
        top, half, foot = rng.uniform(0.16, 0.34) * c.height, rng.uniform(34, 46), 0.78 * c.height
        c.triangle(x, top, foot, half, np.array((95, 105, 130)) * rng.uniform(0.85, 1.1))
        c.triangle(x, top, top + 16, half * 16 / (foot - top), np.array((246, 249, 252)))
    c.ground(rng, (100, 140, 80), 0.75, 0.02)


_PAINTERS = {
    "sunset": _sunset, "night": _night, "space": _space, "sea": _sea, "forest": _forest, "desert": _desert, "snow": _snow, "beach": _beach,
    "city": _city, "sky": _sky, "meadow": _meadow, "mountains": _mountains,
}  # fmt: skip
