"""Stage 1: scenes painted once and kept (`python -m training.dataset WORK --count 24000`): pixels as uint8, words as JSON lines.

Painting costs as much as learning from a picture, so it is done once, a part at a time by two processes, and read by every later
stage through a memory map. More parts can be added while others train.
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from training.scenes import EDGE, Painter
from training.sprites import load

#: Scenes in one part.
PART = 2_000


def paint_part(work: Path, part: int, size: int = PART) -> None:
    """Paint part number `part` (its seed), unless it is there."""
    target = work / "scenes" / f"{part:03d}.npy"
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    painter, pixels, words = Painter(load(work), 1000 + part), np.empty((size, EDGE, EDGE, 3), np.uint8), []
    for k in range(size):
        scene = painter.scene()
        pixels[k] = scene.pixels
        words.append({"caption": scene.caption, "thing": scene.thing, "place": scene.place, "style": scene.style})
    target.with_suffix(".jsonl").write_text("\n".join(json.dumps(w) for w in words) + "\n")
    with (beside := target.with_suffix(".part")).open("wb") as file:
        np.save(file, pixels)
    os.replace(beside, target)


def parts(work: Path) -> list[Path]:
    """The parts that are there, in order."""
    return sorted((work / "scenes").glob("*.npy"))


def pixels(work: Path) -> list[np.ndarray]:
    """Each part's pictures, (N, EDGE, EDGE, 3) uint8, memory-mapped."""
    return [np.load(p, mmap_mode="r") for p in parts(work)]


def captions(work: Path) -> list[str]:
    """The captions of all parts, in the pictures' order."""
    return [json.loads(line)["caption"] for p in parts(work) for line in p.with_suffix(".jsonl").read_text().splitlines()]


def draw(store: list[np.ndarray], count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` pictures drawn at random, with repetition."""
    return np.stack([store[p][rng.integers(len(store[p]))] for p in rng.integers(0, len(store), count)])


def paint(work: Path, count: int, size: int = PART, rehearsal: bool = False) -> None:
    """Paint until `count` scenes are there; a rehearsal does without the artwork."""
    load(work, rehearsal)
    with ProcessPoolExecutor(max_workers=2) as pool:
        list(pool.map(paint_part, *zip(*[(work, k, size) for k in range(-(-count // size))], strict=True)))


if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("work", type=Path)
    parse.add_argument("--count", type=int, default=24_000)
    paint(**vars(parse.parse_args()))
