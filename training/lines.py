"""Lines of painted scenes, for `training.sketch` (`python -m training.lines WORK --processes 8`): found once by the engine's own detector, and kept as bits.

Finding them is the processor's work, some 10 ms a scene; what learns from them may sit on a GPU. So it can be done beforehand, or beside other stages.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from engine.api import Control
from engine.edges import FINDABLE, control_map
from training import dataset

#: Scenes whose lines are learned from: square ones, and of every other shape.
SQUARE, OTHERS = 6_000, 300
#: Scenes a process is given at once.
SOME = 100


def lines(picture: np.ndarray, kind: str) -> np.ndarray:
    """What the engine finds in a picture (H, W, 3) uint8 for this kind of control: (H, W) bool."""
    height, width = picture.shape[:2]
    return np.asarray(control_map(Control(kind=kind, picture=""), Image.fromarray(picture), width, height).convert("L")) > 127


@dataclass(frozen=True, slots=True)
class Found:
    """Scenes of one shape and the lines in them."""

    size: tuple[int, int]  #: width × height, pixels
    there: list[Path]  #: the parts that the scenes are the first of
    maps: np.ndarray  #: (N, kinds, bytes) uint8: lines as bits, of each kind in FINDABLE
    captions: list[str]
    boxes: list[list[tuple[int, int, int]]]  #: where things stand: x, y, edge, pixels


def _some(path: Path, first: int, last: int) -> np.ndarray:
    """Maps of the scenes `first` to `last` of one part."""
    return np.stack([np.stack([np.packbits(lines(picture, kind)) for kind in FINDABLE]) for picture in np.load(path, mmap_mode="r")[first:last]])


def _pieces(there: list[Path], count: int) -> Iterator[tuple[Path, int, int]]:
    """The first `count` scenes in pieces of SOME."""
    for path in there:
        has = min(count, len(np.load(path, mmap_mode="r")))
        yield from ((path, k, min(k + SOME, has)) for k in range(0, has, SOME))
        count -= has


def _first(work: Path, size: tuple[int, int], count: int) -> list[Path]:
    """The parts that the first `count` scenes of this shape are in."""
    there, has = [], 0
    for path in dataset.parts(work, size):
        if has < count:
            there.append(path)
            has += len(np.load(path, mmap_mode="r"))
    return there


def find_all(work: Path, square: int = SQUARE, others: int = OTHERS, processes: int = 1) -> list[Found]:
    """The first scenes of each shape, the square one first, and their lines, found by so many processes; kept in `work/lines.npz` while the scenes stay."""
    kept = work / "lines.npz"
    known: dict[str, np.ndarray] = dict(np.load(kept)) if kept.exists() else {}
    out, wanted = [], []
    for size in dataset.sizes(work):
        count = square if size == dataset.SQUARE else others
        there = _first(work, size, count)
        scenes = dataset.words(work, size, there)[:count]
        # The same words from the same painter are the same picture; other words mean that the world was painted anew.
        stamp = hashlib.sha256(json.dumps([list(FINDABLE), scenes]).encode()).hexdigest()[:32]
        wanted.append((f"{size[0]}x{size[1]}-{stamp}", _pieces(there, len(scenes))))
        boxes = [[(x, y, edge) for _, x, y, edge, _ in scene["things"]] for scene in scenes]
        out.append((size, there, [str(scene["caption"]) for scene in scenes], boxes))
    tasks = [(name, piece) for name, pieces in wanted if name not in known for piece in pieces]
    if tasks:
        arguments = list(zip(*(piece for _, piece in tasks), strict=True))
        if processes > 1:
            # Spawned, since whoever asks may have threads, and a GPU open.
            with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
                found = list(pool.map(_some, *arguments))
        else:
            found = list(map(_some, *arguments))
        fresh = dict.fromkeys(name for name, _ in tasks)
        known |= {name: np.concatenate([maps for (of, _), maps in zip(tasks, found, strict=True) if of == name]) for name in fresh}
        with (beside := kept.with_suffix(".part")).open("wb") as file:
            np.savez_compressed(file, **{name: known[name] for name, _ in wanted})  # type: ignore[arg-type]  # (its flag `allow_pickle` is no array)
        os.replace(beside, kept)
    return [Found(size, there, known[name], captions, boxes) for (name, _), (size, there, captions, boxes) in zip(wanted, out, strict=True)]


if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("work", type=Path)
    parse.add_argument("--square", type=int, default=SQUARE)
    parse.add_argument("--others", type=int, default=OTHERS)
    parse.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    print({each.size: len(each.maps) for each in find_all(**vars(parse.parse_args()))})
