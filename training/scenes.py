"""Endless captioned scenes: things, in a place, in a style. The teacher of every part of the pocket model.

A caption says everything that matters about its picture: which things, how many, how large, where they stand, the place, the style. The seed decides the
scenery's details, and, where STRAY and MIRRORED allow it, which way a thing looks and roughly where it stands. They allow none while a denoiser is young: it
learns in a tenth of the pictures what a thing looks like when its words say where it is. Things stand on the grid of 16 pixels that the autoencoder's patches
have: the same thing gives the same latents wherever it stands, so a small network learns it once, not once for every shift.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageFilter, ImageOps

from training.heldout import kept_out
from training.places import EDGE, paint
from training.vocabulary import COLOURS, PLACES, STYLES, THINGS, WITHOUT_ARTICLE

#: The autoencoder's patches, in pixels.
GRID = 16
#: How often each kind of scene is painted.
KINDS = {"one": 0.62, "count": 0.13, "pair": 0.25}
RELATIONS = {"and": 0.36, "left": 0.17, "right": 0.17, "above": 0.15, "below": 0.15}
#: Edges a lone thing may have, in pixels, and how often.
EDGES = {96: 0.86, 64: 0.14}
PAIRED, TRIPLED = 64, 48
#: How often a thing looks the other way, and how often it stands a step of the grid beside its spot, to either side.
MIRRORED, STRAY = 0.0, 0.08
NUMBERS = {2: ("two", "2", "a pair of"), 3: ("three", "3")}
SIZES = {64: ("small", "little", "tiny")}
_SAID = {
    "and": ("{a} and {b}", "{a} and {b}", "{a} with {b}", "{a} next to {b}", "{a} beside {b}"),
    "left": ("{a} to the left of {b}", "{a} left of {b}", "{a} on the left of {b}"),
    "right": ("{a} to the right of {b}", "{a} right of {b}", "{a} on the right of {b}"),
    "above": ("{a} above {b}", "{a} over {b}"),
    "below": ("{a} below {b}", "{a} under {b}", "{a} beneath {b}"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """One thing in a scene: its square's corner and edge in native pixels."""

    name: str
    x: int
    y: int
    edge: int
    mirrored: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    pixels: np.ndarray  #: uint8, (height · scale, width · scale, 3)
    caption: str
    kind: str  #: a key of KINDS
    things: tuple[Placed, ...]  #: as the caption names them: in a pair, the first is the one said first
    relation: str  #: a key of RELATIONS, empty unless it is a pair
    place: str
    style: str


def _choose(weighted: dict[str, float] | dict[int, float], rng: Generator) -> str | int:
    keys = list(weighted)
    return keys[int(rng.choice(len(keys), p=np.array(list(weighted.values())) / sum(weighted.values())))]


# ------------------------------------------------------------------------------------------------ words


#: Words that take `an` though spelt with a consonant first, and `a` though spelt with a vowel first, by how they begin.
_AN, _A = ("hour",), ("uni", "ufo", "eu")
#: Plurals that follow no rule here, by the last word of the name.
IRREGULAR = {
    "mouse": "mice", "goose": "geese", "tooth": "teeth", "wolf": "wolves", "leaf": "leaves", "loaf": "loaves", "sheaf": "sheaves", "knife": "knives",
    "scarf": "scarves", "snowman": "snowmen", "spaceman": "spacemen", "tomato": "tomatoes", "potato": "potatoes", "tornado": "tornadoes",
    "volcano": "volcanoes", "bow and arrow": "bows and arrows", "sheep": "sheep", "deer": "deer", "reindeer": "reindeer", "moose": "moose", "elk": "elk",
    "bison": "bison", "buffalo": "buffalo", "squid": "squid", "dice": "dice",
}  # fmt: skip


def article(words: str) -> str:
    """`a fox`, `an owl`, `cherries`."""
    if words in WITHOUT_ARTICLE:
        return words
    return ("an " if words.startswith(_AN) or (words[0] in "aeiou" and not words.startswith(_A)) else "a ") + words


def plural(name: str) -> str:
    """`fox` → `foxes`; compounds by their last word, `slice of pizza` by its first; names in `WITHOUT_ARTICLE` as they are."""
    head, *rest = name.split(" of ", 1)
    *before, last = [head] if head in IRREGULAR else head.split()
    if head in WITHOUT_ARTICLE or last.endswith("fish"):
        many = last
    elif last in IRREGULAR:
        many = IRREGULAR[last]
    elif last.endswith(("s", "x", "ch", "sh")):
        many = last + "es"
    elif last.endswith("y") and last[-2] not in "aeiou":
        many = last[:-1] + "ies"
    else:
        many = last + "s"
    return " of ".join([" ".join([*before, many]), *rest])


def sentence(thing: str, where: str, style: str, rng: Generator) -> str:
    """A caption of the three parts; `style` may be empty."""
    core = f"{thing} {where}"
    forms = (f"{core}, {style}", f"{style} of {thing} {where}", f"{core}, {style}", f"{thing}, {where}, {style}")
    return str(rng.choice(forms)) if style else core


def _name(words: tuple[str, ...], rng: Generator) -> str:
    return words[0] if rng.random() < 0.6 else str(rng.choice(words))


def _one(words: tuple[str, ...], size: int, rng: Generator) -> str:
    """A thing as a caption says it: mostly its first name, mostly with its article, always with its size where that is not the usual one."""
    name = _name(words, rng)
    if size in SIZES:
        return f"{rng.choice(SIZES[size])} {name}" if name in WITHOUT_ARTICLE else f"a {rng.choice(SIZES[size])} {name}"
    return name if rng.random() < 0.1 else article(name)


def where_of(place: str, rng: Generator) -> str:
    """`in the snow`, `on a red background`."""
    if place in COLOURS:
        return str(rng.choice((f"on {article(place)} background", f"with {article(place)} background", f"in front of {article(place)} wall")))
    return str(rng.choice(PLACES[place]))


def subject(kind: str, named: Sequence[tuple[str, ...]], count: int, relation: str, edge: int, rng: Generator) -> str:
    """What a caption says of its things; `named` are their words."""
    if kind == "count":
        return f"{rng.choice(NUMBERS[count])} {plural(_name(named[0], rng))}"
    if kind == "pair":
        a, b = (article(_name(words, rng)) for words in named)
        return str(rng.choice(_SAID[relation])).format(a=a, b=b)
    return _one(named[0], edge, rng)


def words_for(rng: Generator) -> tuple[str, str, str]:
    """(things, where, style) of a random caption, no picture painted: text to teach the text encoder with."""
    things, places, styles = list(THINGS.values()), [*PLACES, *COLOURS], list(STYLES.values())
    kind, relation, edge = str(_choose(KINDS, rng)), str(_choose(RELATIONS, rng)), int(_choose(EDGES, rng))
    named = [things[k] for k in rng.choice(len(things), 2, replace=False)]
    style = str(rng.choice(styles[rng.integers(len(styles))])) if rng.random() < 0.85 else ""
    return subject(kind, named, int(rng.integers(2, 4)), relation, edge, rng), where_of(places[rng.integers(len(places))], rng), style


# ------------------------------------------------------------------------------------------------ pictures


def _near(middle: float, most: int, rng: Generator) -> int:
    """A place on the grid at `middle`, or by STRAY one step beside it, within 0..most."""
    steps = int(middle // GRID) + int(rng.choice(3, p=(STRAY, 1 - 2 * STRAY, STRAY))) - 1
    return int(min(max(steps * GRID, 0), most // GRID * GRID))


def layout(kind: str, count: int, relation: str, edge: int, width: int, height: int, rng: Generator) -> list[tuple[int, int, int]]:
    """Where things stand on a canvas: (x, y, edge) each, on the grid; in a pair, the one said first comes first."""

    def near(x: float, y: float, edge: int) -> tuple[int, int, int]:
        return _near(x, width - edge, rng), _near(y, height - edge, rng), edge

    if kind == "one":
        return [near((width - edge) / 2, (height - edge) / 2 + (GRID if edge < PAIRED + GRID else 0), edge)]
    if kind == "count" and count == 3:
        if width >= 3 * TRIPLED + GRID:
            return [near((width - 3 * TRIPLED) / 2 + k * TRIPLED, (height - TRIPLED) / 2, TRIPLED) for k in range(3)]
        feet, left = min(height - TRIPLED, height / 2 + GRID / 2), (width - 2 * PAIRED) / 2 + GRID
        return [near(left + 2 * GRID, feet - TRIPLED, TRIPLED), near(left, feet, TRIPLED), near(left + PAIRED, feet, TRIPLED)]
    if relation in ("above", "below") or width < 2 * PAIRED:
        gap = max(0, height - 2 * PAIRED) / 3
        spots = [near((width - PAIRED) / 2, gap, PAIRED), near((width - PAIRED) / 2, height - PAIRED - gap, PAIRED)]
        return spots if relation != "below" else spots[::-1]
    gap = max(0, width - 2 * PAIRED) / 3
    spots = [near(gap, (height - PAIRED) / 2, PAIRED), near(width - PAIRED - gap, (height - PAIRED) / 2, PAIRED)]
    return spots if relation != "right" else spots[::-1]


def _filtered(picture: Image.Image, style: str, scale: int) -> Image.Image:
    size = picture.size
    if style == "pixel":
        small = picture.resize((size[0] // (4 * scale), size[1] // (4 * scale)), Image.Resampling.BOX)
        return small.quantize(32, dither=Image.Dither.NONE).convert("RGB").resize(size, Image.Resampling.NEAREST)
    if style == "watercolor":
        flat = picture.filter(ImageFilter.ModeFilter(7)) if scale == 1 else picture.filter(ImageFilter.ModeFilter(7 * scale // 2 * 2 + 1))
        return Image.blend(flat.filter(ImageFilter.GaussianBlur(0.6 * scale)), Image.new("RGB", size, (255, 250, 240)), 0.22)
    if style == "pencil":
        # What is darker than its surroundings is a stroke (a colour dodge by its own blur), over a breath of shading.
        grey = np.asarray(ImageOps.grayscale(picture), float) + 16
        around = np.asarray(ImageOps.grayscale(picture).filter(ImageFilter.GaussianBlur(2.5 * scale)), float) + 16
        strokes = np.clip((grey / around - 0.55) / 0.42, 0, 1) * 255
        return Image.fromarray(np.clip(0.72 * strokes + 0.26 * grey, 0, 255).astype(np.uint8)).convert("RGB")
    return picture


class Painter:
    """Draws scenes from sprites, all randomness from one generator (same seed, same scenes)."""

    def __init__(self, sprites: dict[tuple[str, str], np.ndarray], seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.sprites = {key: Image.fromarray(a) for key, a in sprites.items()}
        self.words = {words[0]: words for words in THINGS.values() if all((words[0], s) in sprites for s in ("3d", "cartoon"))}
        self.names = list(self.words)
        self._sized: dict[tuple[str, str, int], Image.Image] = {}

    def scene(
        self,
        kind: str | None = None,
        things: Sequence[str] | None = None,
        place: str | None = None,
        style: str | None = None,
        size: tuple[int, int] = (EDGE, EDGE),
        scale: int = 1,
        relation: str | None = None,
        count: int | None = None,
    ) -> Scene:
        """One scene; what is not given is drawn at random (never a combination that is kept out of training). A third of all places are plain colours."""
        rng = self.rng
        kind = kind or ("pair" if things and len(things) == 2 else str(_choose(KINDS, rng)))
        relation = (relation or str(_choose(RELATIONS, rng))) if kind == "pair" else ""
        count = (count or int(rng.integers(2, 4))) if kind == "count" else (2 if kind == "pair" else 1)
        edge, asked = int(_choose(EDGES, rng)), (things, place, style)
        while True:
            names = list(things) if asked[0] else [self.names[k] for k in rng.choice(len(self.names), 2, replace=False)][: 1 + (kind == "pair")]
            place = asked[1] or str(rng.choice(list(COLOURS) if rng.random() < 0.34 else list(PLACES)))
            style = asked[2] or str(rng.choice(list(STYLES), p=(0.46, 0.24, 0.1, 0.1, 0.1)))
            if all(asked) or not any(kept_out(name, place, style) for name in names):
                break
        edge = min(edge, min(size) // GRID * GRID)
        spots = layout(kind, count, relation, edge, *size, rng)
        mirrored = rng.random(len(spots)) < MIRRORED
        shown = names if kind == "pair" else names * len(spots)
        placed = tuple(Placed(name=n, x=x, y=y, edge=e, mirrored=bool(m)) for n, (x, y, e), m in zip(shown, spots, mirrored, strict=True))
        # "3d" is the house style: captions may leave it out, so a prompt without a style is not a guess between six.
        say = "" if style == "3d" and rng.random() < 0.45 else str(rng.choice(STYLES[style]))
        caption = sentence(subject(kind, [self.words[n] for n in names], count, relation, edge, rng), where_of(place, rng), say, rng)
        return Scene(
            pixels=self._picture(placed, place, style, size, scale), caption=caption, kind=kind, things=placed, relation=relation, place=place, style=style
        )

    def _picture(self, placed: Sequence[Placed], place: str, style: str, size: tuple[int, int], scale: int) -> np.ndarray:
        artwork = style if style in ("3d", "cartoon") else ("3d" if style == "pencil" else "cartoon")
        base = Image.fromarray(np.clip(paint(place, self.rng, *size, scale), 0, 255).astype(np.uint8))
        for each in placed:
            sprite = self._sprite(each.name, artwork, each.edge * scale)
            sprite = ImageOps.mirror(sprite) if each.mirrored else sprite
            base.paste(sprite, (each.x * scale, each.y * scale), sprite)
        return np.asarray(_filtered(base, style, scale))

    def _sprite(self, name: str, artwork: str, edge: int) -> Image.Image:
        """At a size, with a margin of 4 % so that neighbours do not touch. Kept: resizing costs more than pasting."""
        key = (name, artwork, edge)
        if key not in self._sized:
            inner = edge - 2 * round(edge * 0.04)
            square = Image.new("RGBA", (edge, edge))
            square.paste(self.sprites[name, artwork].resize((inner, inner), Image.Resampling.LANCZOS), ((edge - inner) // 2, (edge - inner) // 2))
            self._sized[key] = square
        return self._sized[key]


def sheet(scenes: Sequence[np.ndarray], columns: int = 8) -> Image.Image:
    """A contact sheet of equal uint8 pictures, row by row."""
    height, width = scenes[0].shape[:2]
    out = Image.new("RGB", (columns * width, -(-len(scenes) // columns) * height))
    for k, pixels in enumerate(scenes):
        out.paste(Image.fromarray(pixels), (k % columns * width, k // columns * height))
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
