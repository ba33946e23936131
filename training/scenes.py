"""Endless captioned scenes: a thing, in a place, in a style. The teacher of every part of the pocket model.

A caption says everything that matters about its picture (thing, place, style), so little is left to chance: the thing stands in the
middle, the seed decides the scenery's details. That is what lets a very small network learn it in an hour.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageFilter, ImageOps

from training.vocabulary import COLOURS, PLACES, STYLES, THINGS

#: Edge of a scene in pixels.
EDGE = 128
#: Edge of the thing's square in it.
THING = 88
Pixels = np.ndarray  # float64, (EDGE, EDGE, 3), 0..255
_ROWS, _COLS = np.mgrid[:EDGE, :EDGE].astype(float) + 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    pixels: np.ndarray  #: uint8, (EDGE, EDGE, 3)
    caption: str
    thing: str
    place: str
    style: str


def _gradient(*stops: tuple[float, tuple[int, int, int]]) -> Pixels:
    at, colours = np.array([s for s, _ in stops]), np.array([c for _, c in stops], float)
    column = np.stack([np.interp((np.arange(EDGE) + 0.5) / EDGE, at, colours[:, k]) for k in range(3)], -1)
    return np.repeat(column[:, None, :], EDGE, 1)


def _blend(canvas: Pixels, alpha: np.ndarray, colour: tuple[int, ...] | np.ndarray) -> Pixels:
    return canvas + np.clip(alpha, 0, 1)[..., None] * (np.asarray(colour, float) - canvas)


def _disc(canvas: Pixels, x: float, y: float, r: float, colour: tuple[int, ...] | np.ndarray, soft: float = 1.5) -> Pixels:
    reach = r + soft + 1
    top, bottom = max(0, int(y - reach)), min(EDGE, int(y + reach) + 2)
    left, right = max(0, int(x - reach)), min(EDGE, int(x + reach) + 2)
    if top < bottom and left < right:
        window = np.s_[top:bottom, left:right]
        canvas[window] = _blend(canvas[window], (r - np.hypot(_COLS[window] - x, _ROWS[window] - y)) / soft + 0.5, colour)
    return canvas


def _ground(canvas: Pixels, rng: Generator, colour: tuple[int, int, int], base: float, swell: float) -> Pixels:
    line = base + swell * np.sin((np.arange(EDGE) / EDGE) * 2 * np.pi * rng.uniform(0.6, 1.4) + rng.uniform(0, 6.3))
    depth = (_ROWS / EDGE) - line[None]
    shade = 1 - 0.45 * np.clip(depth, 0, 1)
    return _blend(canvas, depth * EDGE / 1.5, np.array(colour)[None, None] * shade[..., None])


def _triangle(canvas: Pixels, x: float, top: float, bottom: float, half: float, colour: np.ndarray) -> Pixels:
    t = (_ROWS - top) / (bottom - top)
    return _blend(canvas, np.where((t > 0) & (t < 1), half * t - np.abs(_COLS - x) + 0.5, 0), colour)


def _stars(canvas: Pixels, rng: Generator, count: int, depth: float) -> Pixels:
    for _ in range(count):
        canvas = _disc(canvas, rng.uniform(0, EDGE), rng.uniform(0, EDGE * depth), rng.uniform(0.6, 1.2), (255, 255, 245), 1)
    return canvas


def paint(place: str, rng: Generator) -> Pixels:
    """The empty place (a key of PLACES or COLOURS), its details drawn from `rng`."""
    u = rng.uniform
    if place in COLOURS:
        return np.ones((EDGE, EDGE, 3)) * np.array(COLOURS[place]) * (1.03 - 0.1 * _ROWS / EDGE)[..., None]
    if place == "sunset":
        a = _gradient((0, (70, 50, 120)), (0.45, (240, 110, 80)), (0.7, (255, 190, 90)), (1, (255, 210, 120)))
        return _ground(_disc(a, u(0.1, 0.9) * EDGE, 0.6 * EDGE, u(11, 15), (255, 240, 190)), rng, (60, 40, 70), 0.76, 0.02)
    if place == "night":
        a = _stars(_gradient((0, (8, 10, 40)), (1, (40, 50, 110))), rng, 24, 0.7)
        return _ground(_disc(a, u(0.1, 0.9) * EDGE, 0.14 * EDGE, u(8, 11), (245, 240, 210)), rng, (15, 25, 45), 0.8, 0.02)
    if place == "space":
        a = _stars(_gradient((0, (5, 3, 18)), (1, (26, 10, 52))), rng, 45, 1)
        x, y, tint = (u(0, 0.2) if rng.random() < 0.5 else u(0.8, 1)) * EDGE, u(0.08, 0.3) * EDGE, rng.integers(80, 230, 3)
        return _disc(a, x, y, u(9, 16), tint, 2)
    if place == "sea":
        a = _gradient((0, (40, 160, 220)), (1, (5, 40, 100)))
        for _ in range(10):
            a = _disc(a, u(0, EDGE), u(0, EDGE), u(1.5, 4), (150, 215, 245), 1.5)
        return _ground(a, rng, (150, 150, 110), 0.9, 0.02)
    if place == "forest":
        a = _gradient((0, (150, 210, 240)), (0.6, (210, 235, 220)), (1, (210, 235, 220)))
        for x in np.linspace(0.02, 0.98, 8) * EDGE:
            a = _triangle(a, x + u(-4, 4), (0.74 - u(0.4, 0.58)) * EDGE, 0.78 * EDGE, u(9, 13), np.array((25, 95, 50)) * u(0.75, 1.15))
        return _ground(a, rng, (85, 150, 60), 0.74, 0.015)
    if place == "desert":
        a = _disc(_gradient((0, (90, 170, 235)), (0.6, (225, 235, 230)), (1, (225, 235, 230))), u(0.1, 0.9) * EDGE, 0.14 * EDGE, 9, (255, 245, 200))
        return _ground(_ground(a, rng, (235, 190, 115), 0.62, 0.05), rng, (220, 165, 90), 0.77, 0.03)
    if place == "snow":
        a = _ground(_gradient((0, (140, 170, 205)), (0.6, (205, 220, 235)), (1, (205, 220, 235))), rng, (245, 248, 252), 0.7, 0.03)
        for _ in range(24):
            a = _disc(a, u(0, EDGE), u(0, EDGE), u(0.9, 1.9), (255, 255, 255), 1)
        return a
    if place == "beach":
        a = _gradient((0, (110, 190, 245)), (0.5, (190, 228, 250)), (0.505, (30, 130, 190)), (0.72, (70, 190, 210)), (1, (70, 190, 210)))
        return _ground(_disc(a, u(0.1, 0.9) * EDGE, 0.13 * EDGE, 8, (255, 245, 190)), rng, (240, 215, 160), 0.74, 0.012)
    if place == "city":
        a, x = _gradient((0, (20, 20, 60)), (1, (125, 75, 125))), 0
        while x < EDGE:
            w, h, tint = int(rng.integers(14, 24)), int(rng.integers(45, 95)), np.array((32, 32, 58)) * u(0.75, 1.25)
            a[EDGE - h :, x : x + w] = tint
            for y in range(EDGE - h + 4, EDGE - 8, 9):
                for left in range(x + 3, min(x + w - 4, EDGE - 3), 7):
                    if rng.random() < 0.5:
                        a[y : y + 4, left : left + 3] = (250, 220, 120)
            x += w + int(rng.integers(0, 3))
        return a
    if place == "sky":
        a = _gradient((0, (80, 160, 240)), (1, (200, 230, 250)))
        for _ in range(4):
            x, y = u(0, EDGE), u(0.08, 0.9) * EDGE
            for dx in (-10, -3, 4, 11):
                a = _disc(a, x + dx, y + u(-3, 3), u(6, 9), (250, 252, 255), 3)
        return a
    if place == "meadow":
        a = _gradient((0, (95, 175, 245)), (0.65, (205, 232, 250)), (1, (205, 232, 250)))
        a = _ground(_disc(a, u(0.1, 0.9) * EDGE, 0.14 * EDGE, 9, (255, 236, 130)), rng, (110, 190, 70), 0.66, 0.03)
        for _ in range(16):
            a = _disc(a, u(0, EDGE), u(0.76, 0.98) * EDGE, u(1.2, 2.2), ((250, 240, 90), (250, 250, 250), (240, 110, 130))[rng.integers(3)], 1)
        return a
    if place == "mountains":
        a = _gradient((0, (110, 165, 225)), (0.7, (220, 232, 240)), (1, (220, 232, 240)))
        for x in np.array((0.12, 0.5, 0.88)) * EDGE + u(-12, 12, 3):
            top, half = u(0.16, 0.34) * EDGE, u(34, 46)
            a = _triangle(a, x, top, 0.78 * EDGE, half, np.array((95, 105, 130)) * u(0.85, 1.1))
            a = _triangle(a, x, top, top + 16, half * 16 / (0.78 * EDGE - top), np.array((246, 249, 252)))
        return _ground(a, rng, (100, 140, 80), 0.75, 0.02)
    raise KeyError(place)


def _filtered(picture: Image.Image, style: str) -> Image.Image:
    if style == "pixel":
        return (
            picture.resize((EDGE // 4, EDGE // 4), Image.Resampling.BOX)
            .quantize(32, dither=Image.Dither.NONE)
            .convert("RGB")
            .resize((EDGE, EDGE), Image.Resampling.NEAREST)
        )
    if style == "watercolor":
        return Image.blend(picture.filter(ImageFilter.ModeFilter(7)).filter(ImageFilter.SMOOTH), Image.new("RGB", picture.size, (255, 250, 240)), 0.22)
    if style == "pencil":
        grey = ImageOps.grayscale(picture)
        return Image.blend(ImageOps.invert(grey.filter(ImageFilter.FIND_EDGES)), ImageOps.autocontrast(grey), 0.3).convert("RGB")
    return picture


def _article(words: str) -> str:
    if words.split()[0] in {"cherries", "books", "bread", "coffee", "sushi", "fire", "ice"}:
        return words
    return ("an " if words[0] in "aeiou" and not words.startswith(("unicorn", "ufo")) else "a ") + words


def sentence(thing: str, where: str, style: str, rng: Generator) -> str:
    """A caption of the three parts; `style` may be empty."""
    core = f"{thing} {where}"
    forms = (f"{core}, {style}", f"{style} of {thing} {where}", f"{core}, {style}", f"{thing}, {where}, {style}")
    return str(rng.choice(forms)) if style else core


def _names(words: tuple[str, ...], rng: Generator) -> str:
    """A thing as a caption says it: mostly its first name, mostly with its article."""
    name = _article(words[0] if rng.random() < 0.6 else str(rng.choice(words)))
    return name.removeprefix("a ") if rng.random() < 0.1 else name


def _where(place: str, rng: Generator) -> str:
    if place in COLOURS:
        return str(rng.choice((f"on {_article(place)} background", f"with {_article(place)} background", f"in front of {_article(place)} wall")))
    return str(rng.choice(PLACES[place]))


def words_for(rng: Generator) -> tuple[str, str, str]:
    """(thing, where, style) of a random caption, no picture painted: text to teach the text encoder with."""
    things, places, styles = list(THINGS.values()), [*PLACES, *COLOURS], list(STYLES.values())
    style = str(rng.choice(styles[rng.integers(len(styles))])) if rng.random() < 0.85 else ""
    return _names(things[rng.integers(len(things))], rng), _where(places[rng.integers(len(places))], rng), style


class Painter:
    """Draws scenes from sprites, all randomness from one generator (same seed, same scenes)."""

    def __init__(self, sprites: dict[tuple[str, str], np.ndarray], seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.sprites = {key: Image.fromarray(a) for key, a in sprites.items()}
        self.things = [words for words in THINGS.values() if all((words[0], s) in sprites for s in ("3d", "cartoon"))]

    def scene(self, thing: str | None = None, place: str | None = None, style: str | None = None) -> Scene:
        """One scene; what is not given is drawn at random. A third of all places are plain colours."""
        rng = self.rng
        words = next(w for w in self.things if w[0] == thing) if thing else self.things[rng.integers(len(self.things))]
        place = place or str(rng.choice(list(COLOURS) if rng.random() < 0.34 else list(PLACES)))
        style = style or str(rng.choice(list(STYLES), p=(0.46, 0.24, 0.1, 0.1, 0.1)))
        artwork = style if style in ("3d", "cartoon") else ("3d" if style == "pencil" else "cartoon")
        sprite = self.sprites[words[0], artwork].resize((THING, THING), Image.Resampling.LANCZOS)
        base = Image.fromarray(np.clip(paint(place, rng), 0, 255).astype(np.uint8))
        base.paste(sprite, ((EDGE - THING) // 2, (EDGE - THING) // 2 + 5), sprite)
        # "3d" is the house style: captions may leave it out, so a prompt without a style is not a guess between six.
        say = "" if style == "3d" and rng.random() < 0.45 else str(rng.choice(STYLES[style]))
        caption = sentence(_names(words, rng), _where(place, rng), say, rng)
        return Scene(pixels=np.asarray(_filtered(base, style)), caption=caption, thing=words[0], place=place, style=style)


def sheet(scenes: list[np.ndarray], columns: int = 8) -> Image.Image:
    """A contact sheet of equal uint8 pictures, row by row."""
    edge = scenes[0].shape[0]
    out = Image.new("RGB", (columns * edge, -(-len(scenes) // columns) * edge))
    for k, pixels in enumerate(scenes):
        out.paste(Image.fromarray(pixels), (k % columns * edge, k // columns * edge))
    return out


if __name__ == "__main__":
    import sys
    import time
    from pathlib import Path

    from training.sprites import load

    painter = Painter(load(Path(sys.argv[1])), 0)
    start = time.time()
    scenes = [painter.scene() for _ in range(64)]
    print(f"{(time.time() - start) / 64 * 1e3:.1f} ms a scene", *(s.caption for s in scenes), sep="\n")
    sheet([s.pixels for s in scenes]).save(Path(sys.argv[1]) / "scenes.png")
