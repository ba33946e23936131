"""The arithmetic of the examination: what counts as right, how alike pictures are. Pure functions of arrays, for `training.evaluate` and
`training.evaluate_pictures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Mark:
    """One row of the table. Shares and ratios are 0..1, times seconds."""

    value: float | None
    count: int
    ceiling: float | None = None  #: the same of painted scenes
    quick: float | None = None  #: the same in the quick way
    note: str = ""  #: why there is no value, or what more there is to say


Marks = dict[str, Mark]


def row(right: Sequence[Flags | Floats]) -> Mark:
    """From what is right of the painted scenes, of those drawn in full and, where they were, of those drawn quickly."""
    painted, full, *quick = (float(each.mean()) if len(each) else 0.0 for each in right)
    return Mark(full, len(right[0]), ceiling=painted, quick=quick[0] if quick else None)


def among(scores: Floats, right: Sequence[int], k: int = 1) -> Flags:
    """Whether each row's right answer is among its `k` highest: (N, classes) → (N,)."""
    highest = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.asarray((highest == np.asarray(right)[:, None]).any(1))


def both(scores: Floats, pairs: Sequence[tuple[int, int]]) -> Flags:
    """Whether each row's two highest are the two asked for, in either order."""
    highest = np.sort(np.argsort(-scores, axis=1, kind="stable")[:, :2], axis=1)
    return np.asarray((highest == np.sort(np.asarray(pairs), axis=1)).all(1))


def middle(cells: Floats) -> tuple[float, float]:
    """Where a thing stands, by how sure each cell is of it: (rows, columns) → (x, y) in cells."""
    weights = np.square(cells) / max(float(np.square(cells).sum()), 1e-12)
    rows, columns = np.mgrid[: cells.shape[0], : cells.shape[1]] + 0.5
    return float((weights * columns).sum()), float((weights * rows).sum())


def stands(first: tuple[float, float], second: tuple[float, float], relation: str) -> bool:
    """Whether the first stands to the second as asked, and more so than in any other direction. Raises KeyError for a relation that is no direction."""
    across, down = first[0] - second[0], first[1] - second[1]
    along, beside = {"left": (-across, down), "right": (across, down), "above": (-down, across), "below": (down, across)}[relation]
    return along > abs(beside)


def spread(features: Floats) -> float:
    """Mean distance of all pairs of rows: (N, features) → one number."""
    apart = np.sqrt(np.square(features[:, None] - features[None]).sum(2))
    count = len(features)
    return float(apart.sum() / (count * (count - 1)))


def recall(near: Floats, right: Flags, k: int) -> float:
    """How often one of a row's `k` nearest is right, both ways round, averaged: two (N, N) matrices, pictures by captions."""
    ways = []
    for scores, fits in ((near, right), (near.T, right.T)):
        highest = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        ways.append(np.take_along_axis(fits, highest, 1).any(1).mean())
    return float(np.mean(ways))


def thumbnails(pictures: NDArray[np.uint8], edge: int = 32) -> NDArray[np.uint8]:
    """(N, H, W, 3) → (N, edge · edge · 3), averaged: what is left is what one sees from afar, and a soft picture is no further off than a crisp one."""
    high, wide = pictures.shape[1] // edge, pictures.shape[2] // edge
    # Sums of slices: ten times as fast as the mean of a reshaped array.
    rows = np.zeros((len(pictures), edge, *pictures.shape[2:]), np.uint16)
    total = np.full((len(pictures), edge, edge, 3), high * wide // 2, np.uint16)
    for k in range(high):
        rows += pictures[:, k::high]
    for k in range(wide):
        total += rows[:, :, k::wide]
    levels: NDArray[np.uint8] = (total // (high * wide)).astype(np.uint8).reshape(len(pictures), -1)
    return levels


def nearest(thumbs: NDArray[np.uint8], store: NDArray[np.uint8], batch: int = 4_000) -> Floats:
    """Distance of each thumbnail to the nearest of the store: root mean square of the differences, in levels of 0..255."""
    ours = thumbs.astype(np.float32)
    best = np.full(len(ours), np.inf, np.float32)
    for k in range(0, len(store), batch):
        theirs = store[k : k + batch].astype(np.float32)
        square = np.square(ours).sum(1)[:, None] + np.square(theirs).sum(1)[None] - 2 * ours @ theirs.T
        best = np.minimum(best, square.min(1))
    distances: Floats = np.sqrt(np.maximum(best, 0) / thumbs.shape[1])
    return distances


def copies(drawn: Floats, painted: Floats) -> Flags:
    """Which drawn pictures are nearer to a training scene than every one of the freshly painted scenes is: painted ones are no copies, however alike.

    If drawn pictures were nothing but more painted scenes, one in len(painted) + 1 would be.
    """
    return np.asarray(drawn < painted.min())
