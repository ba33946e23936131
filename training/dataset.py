"""Stage 1: scenes painted once and kept (`python -m training.dataset WORK --count 40000`): pixels as uint8, words as JSON lines.

Painting costs as much as learning from a picture, so it is done once, a part at a time by some processes, and read by every later
stage through a memory map. More parts can be added while others train. Square scenes lie in `scenes/`, other shapes in `scenes-160x96/` and so on.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from training.places import EDGE
from training.scenes import Painter
from training.sprites import load

#: Scenes in one part.
PART = 2_000
SQUARE = (EDGE, EDGE)
#: Shapes beside the square one, width × height in pixels, 1:2 to 2:1, about as many latents each.
SHAPES = ((160, 96), (96, 160), (192, 96), (96, 192), (160, 128), (128, 160))


def _folder(work: Path, size: tuple[int, int]) -> Path:
    return work / ("scenes" if size == SQUARE else f"scenes-{size[0]}x{size[1]}")


@functools.cache
def _sprites(work: Path) -> dict[tuple[str, str], np.ndarray]:
    """Once a process: unpacking them takes seconds."""
    return load(work)


def paint_part(work: Path, part: int, count: int = PART, size: tuple[int, int] = SQUARE) -> None:
    """Paint part number `part` (its seed) of `count` scenes, unless it is there."""
    target = _folder(work, size) / f"{part:03d}.npy"
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    painter, pixels, words = Painter(_sprites(work), 1000 * size[0] * size[1] + part), np.empty((count, size[1], size[0], 3), np.uint8), []
    for k in range(count):
        scene = painter.scene(size=size)
        pixels[k] = scene.pixels
        things = [[t.name, t.x, t.y, t.edge, t.mirrored] for t in scene.things]
        words.append({"caption": scene.caption, "kind": scene.kind, "things": things, "relation": scene.relation, "place": scene.place, "style": scene.style})
    target.with_suffix(".jsonl").write_text("\n".join(json.dumps(w) for w in words) + "\n")
    with (beside := target.with_suffix(".part")).open("wb") as file:
        np.save(file, pixels)
    os.replace(beside, target)


def parts(work: Path, size: tuple[int, int] = SQUARE) -> list[Path]:
    """The parts that are there, in order."""
    return sorted(_folder(work, size).glob("*.npy"))


def sizes(work: Path) -> list[tuple[int, int]]:
    """The shapes that scenes were painted in, the square first."""
    return [size for size in (SQUARE, *SHAPES) if parts(work, size)]


def pixels(work: Path, size: tuple[int, int] = SQUARE) -> list[np.ndarray]:
    """Each part's pictures, (N, height, width, 3) uint8, memory-mapped."""
    return [np.load(p, mmap_mode="r") for p in parts(work, size)]


def words(work: Path, size: tuple[int, int] = SQUARE, there: list[Path] | None = None) -> list[dict[str, Any]]:
    """What is known of each picture, in the pictures' order: caption, kind, things [[name, x, y, edge, mirrored]], relation, place, style.

    Of the parts `there`, if given: while somebody paints, a part may come between two looks.
    """
    return [json.loads(line) for p in (parts(work, size) if there is None else there) for line in p.with_suffix(".jsonl").read_text().splitlines()]


def captions(work: Path, size: tuple[int, int] = SQUARE) -> list[str]:
    """The captions of all parts, in the pictures' order."""
    return [str(each["caption"]) for each in words(work, size)]


def draw(store: list[np.ndarray], count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` pictures drawn at random, with repetition."""
    return np.stack([store[p][rng.integers(len(store[p]))] for p in rng.integers(0, len(store), count)])


def paint(work: Path, count: int, each: int = 0, part: int = PART, rehearsal: bool = False, processes: int = 2) -> None:
    """Paint until `count` square scenes are there, and `each` of every other shape, by so many processes; a rehearsal does without the artwork."""
    load(work, rehearsal)
    asked = [(size, -(-number // part)) for size, number in ((SQUARE, count), *((size, each) for size in SHAPES))]
    # Some of every shape soon: whoever trains meanwhile takes what there is.
    wanted = sorted((k / parts, k, part, size) for size, parts in asked for k in range(parts))
    if len(wanted) == 1:
        paint_part(work, *wanted[0][1:])
        return
    with ProcessPoolExecutor(max_workers=processes) as pool:
        list(pool.map(paint_part, *zip(*[(work, *one) for _, *one in wanted], strict=True)))


if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("work", type=Path)
    parse.add_argument("--count", type=int, default=40_000)
    parse.add_argument("--each", type=int, default=2_000)
    parse.add_argument("--part", type=int, default=PART)
    parse.add_argument("--processes", type=int, default=os.cpu_count() or 2)
    paint(**vars(parse.parse_args()))
