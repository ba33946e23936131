"""The judge: a small network that reads pictures of this world (`python -m training.judge WORK --seconds 720`). Asked by `training.evaluate`.

It learns from painted scenes only, those in `work/scenes` or, where there are none, some that it paints as it goes, and nothing in the generator's training
ever sees it; so it may mark the generator's work the way GenEval does (Ghosh et al. 2023, arXiv:2310.11513): which things stand where, how many, in what place
and style. Scenes are softened on the way in, since a drawn picture is never as crisp as a painted one. It is measured on seeds that no other stage uses.
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn

from training import dataset, heldout
from training.common import Log, autocast, begin, load_whole, parameters, save_whole, warmup_cosine
from training.gallery import Gallery
from training.places import EDGE
from training.scenes import Painter, Placed, Scene
from training.softening import soften
from training.sprites import load as load_sprites
from training.vocabulary import COLOURS, PLACES, STYLES, THINGS

#: Seeds of the scenes it paints begin here; `training.dataset` paints with others.
SEED = 900_000
#: Cells along an edge of what it says about things.
CELLS = 8
#: Its three widths: at 32, 16 and 8 cells an edge.
WIDTHS = (64, 128, 224)
#: Cells that have their say on whether a thing is there at all.
VOTES = 4
MOST = 3  #: things it can count to
#: A cell belongs to a thing when its middle lies this deep in the thing's square (1: anywhere in it); the rim teaches nothing.
CORE, RIM = 0.7, 1.1
IGNORED = -1
#: What each answer counts in the loss; a cell with nothing in it counts less, since most have nothing.
EMPTY_CELL = 0.2
#: Scenes kept in memory, and how many of them are painted anew for each batch.
POOL, FRESH = 4_096, 4


def names() -> list[str]:
    """The things it tells apart, in the order of its answers."""
    return [words[0] for words in THINGS.values()]


def grounds() -> list[str]:
    """Painted places, then plain colours, in the order of its answers."""
    return [*PLACES, *COLOURS]


# ------------------------------------------------------------------------------------------------ the network


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = _convolution(width, width, 1), _convolution(width, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))


def _convolution(before: int, after: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after))


class Judge(nn.Module):
    """N × 3 × 128 × 128 in 0..1 → logits of cells (N × things + 1 × 8 × 8, the last: nothing), places, styles, counts, and the features before the heads."""

    def __init__(self, things: int, places: int, styles: int, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        low, middle, high = widths
        self.stem = nn.Sequential(nn.PixelUnshuffle(4), _convolution(48, low, 1), nn.ReLU(), _convolution(low, middle, 2), nn.ReLU())
        self.body = nn.Sequential(_Residual(middle), _Residual(middle), _convolution(middle, high, 2), nn.ReLU(), _Residual(high), _Residual(high))
        self.cells = nn.Conv2d(high, things + 1, 1)
        self.whole = nn.Sequential(nn.Linear(5 * high, high), nn.ReLU())
        self.places, self.styles, self.counts = nn.Linear(high, places), nn.Linear(high, styles), nn.Linear(high, MOST)

    def forward(self, pictures: torch.Tensor) -> dict[str, torch.Tensor]:
        seen = self.body(self.stem(pictures * 2 - 1))
        # Means of the four quarters: where things stand is part of how a picture looks.
        features = torch.cat([F.adaptive_avg_pool2d(seen, 2).flatten(1), seen.amax((2, 3))], 1)
        whole = self.whole(features)
        return {"cells": self.cells(seen), "places": self.places(whole), "styles": self.styles(whole), "counts": self.counts(whole), "features": features}


@dataclass(frozen=True, slots=True)
class Reading:
    """What the judge sees in N pictures. All float32."""

    cells: NDArray[np.float32]  #: (N, things, 8, 8): the probability of each thing in each cell
    things: NDArray[np.float32]  #: (N, things): how sure it is that a thing is there
    places: NDArray[np.float32]  #: (N, places): logits
    styles: NDArray[np.float32]  #: (N, styles): logits
    counts: NDArray[np.float32]  #: (N, 3): logits of 1, 2, 3
    features: NDArray[np.float32]  #: (N, features)

    def __getitem__(self, which: Any) -> Reading:
        """Some of the pictures: a slice or indexes."""
        return Reading(*(getattr(self, field.name)[which] for field in fields(self)))


@torch.no_grad()
def read(judge: Judge, pictures: NDArray[np.uint8], batch: int = 128) -> Reading:
    """uint8 (N, 128, 128, 3) → what it sees."""
    judge.eval()
    parts: dict[str, list[torch.Tensor]] = {}
    for k in range(0, len(pictures), batch):
        answers = judge(to_tensor(pictures[k : k + batch]).to(judge.places.weight.device))
        cells = answers["cells"].softmax(1)[:, :-1]
        answers |= {"cells": cells, "things": cells.flatten(2).topk(VOTES).values.mean(2)}
        for name, value in answers.items():
            parts.setdefault(name, []).append(value.cpu())
    return Reading(**{name: torch.cat(values).numpy() for name, values in parts.items()})


def to_tensor(pictures: NDArray[np.uint8]) -> torch.Tensor:
    """uint8 (N, H, W, 3) → float (N, 3, H, W) in 0..1, channels last in memory."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255


def build() -> Judge:
    """A new one for the vocabulary as it stands."""
    return Judge(len(THINGS), len(PLACES) + len(COLOURS), len(STYLES)).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def load(work: Path) -> Judge:
    """The trained judge from `work/judge`. Raises ValueError when it was trained for another vocabulary."""
    config = json.loads((work / "judge" / "config.json").read_text())
    if (config["things"], config["places"], config["styles"]) != (names(), grounds(), list(STYLES)):
        raise ValueError("the judge in this folder was trained for another vocabulary: train it again")
    judge = build()
    judge.load_state_dict(load_file(work / "judge" / "model.safetensors"))
    return judge.eval()


# ------------------------------------------------------------------------------------------------ what it learns from


def cell_labels(things: Sequence[Placed], known: dict[str, int]) -> NDArray[np.int64]:
    """(8, 8): which thing each cell belongs to, `len(known)` for none, IGNORED on the rim of a thing. Later things stand in front of earlier ones."""
    labels = np.full((CELLS, CELLS), len(known), np.int64)
    for thing in things:
        rim, core = _reached(thing.x, thing.y, thing.edge)
        labels[rim] = IGNORED
        labels[core] = known[thing.name]
    return labels


@functools.cache
def _reached(x: int, y: int, edge: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The cells on the rim of a square, and those in it."""
    middles, half = (np.arange(CELLS) + 0.5) * EDGE / CELLS, edge / 2
    reach = np.maximum(np.abs(middles[:, None] - y - half), np.abs(middles[None] - x - half)) / half
    return (reach < RIM) & (reach >= CORE), reach < CORE


def whole_labels(place: str, style: str, things: int) -> tuple[int, int, int]:
    """Of a scene of so many things: which place, style and count."""
    ground = IGNORED if style == "pencil" and place in COLOURS else grounds().index(place)  # grey: nobody can tell
    return ground, list(STYLES).index(style), min(MOST, things) - 1


class Source(Protocol):
    """Where scenes come from."""

    def batch(self, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Pictures (N, 3, H, W) in 0..1, cells (N, 8, 8), and place, style, count (N, 3), on the device."""


class Archive:
    """Scenes that were painted before, every style as often as any other."""

    def __init__(self, gallery: Gallery, rng: Generator) -> None:
        self.gallery, self.rng = gallery, rng
        known = {name: k for k, name in enumerate(names())}
        cells, whole = np.empty((len(gallery), CELLS, CELLS), np.int64), np.empty((len(gallery), 3), np.int64)
        for n, scene in enumerate(gallery.words):
            things = [Placed(name=name, x=x, y=y, edge=edge, mirrored=mirrored) for name, x, y, edge, mirrored in scene["things"]]
            cells[n], whole[n] = cell_labels(things, known), whole_labels(scene["place"], scene["style"], len(things))
        self.order = np.argsort(whole[:, 1], kind="stable")
        many = np.bincount(whole[:, 1])
        self.begin, self.many = (np.cumsum(many) - many)[many > 0], many[many > 0]
        self.cells, self.whole = torch.from_numpy(cells).to(gallery.device), torch.from_numpy(whole).to(gallery.device)

    def batch(self, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        style = self.rng.integers(0, len(self.many), count)
        pick = self.order[self.begin[style] + (self.rng.random(count) * self.many[style]).astype(np.int64)]
        there = torch.from_numpy(pick).to(self.gallery.device)
        return self.gallery.pictures(pick), self.cells[there], self.whole[there]


class Pool:
    """Painted scenes in memory, replaced one by one: endless variety at the price of a few scenes a batch."""

    def __init__(self, painter: Painter, rng: Generator, size: int, device: torch.device) -> None:
        self.painter, self.rng, self.full, self.painted, self.device = painter, rng, size, 0, device
        self.known = {name: k for k, name in enumerate(names())}
        self.pixels = np.empty((size, EDGE, EDGE, 3), np.uint8)
        self.cells, self.whole = np.empty((size, CELLS, CELLS), np.int64), np.empty((size, 3), np.int64)

    def paint(self, count: int) -> None:
        """So many new scenes; the oldest make room."""
        for _ in range(count):
            scene, at = scene_of(self.painter, self.rng), self.painted % self.full
            self.pixels[at], self.cells[at] = scene.pixels, cell_labels(scene.things, self.known)
            self.whole[at] = whole_labels(scene.place, scene.style, len(scene.things))
            self.painted += 1

    def batch(self, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Of the scenes in memory, some of which were painted just now."""
        self.paint(FRESH)
        pick = self.rng.integers(0, min(self.painted, self.full), count)
        parts = to_tensor(self.pixels[pick]), torch.from_numpy(self.cells[pick]), torch.from_numpy(self.whole[pick])
        pictures, cells, whole = (part.to(self.device) for part in parts)
        return pictures, cells, whole


def scene_of(painter: Painter, rng: Generator) -> Scene:
    """A scene in which every thing, place and style is as likely as any other."""
    kind = ("one", "one", "count", "pair")[rng.integers(4)]
    things = rng.choice(painter.names, 1 + (kind == "pair"), replace=False).tolist()
    return painter.scene(kind=kind, things=things, place=grounds()[rng.integers(len(grounds()))], style=list(STYLES)[rng.integers(len(STYLES))])


# ------------------------------------------------------------------------------------------------ training


def loss_of(answers: dict[str, torch.Tensor], cells: torch.Tensor, whole: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the cells, the place, the style and the count, added up."""
    loss = F.cross_entropy(answers["cells"].float(), cells, weights, ignore_index=IGNORED)
    for k, name in enumerate(("places", "styles", "counts")):
        loss = loss + 0.5 * F.cross_entropy(answers[name].float(), whole[:, k], ignore_index=IGNORED)
    return loss


def train(work: Path, seconds: float, steps: int, batch: int = 32, lr: float = 2e-3, pool: int = POOL, threads: int = 0) -> list[float]:
    """Train until `seconds` (earlier sittings counted in) or `steps` more, save `work/judge`; returns the losses."""
    device, checkpoint = begin(SEED, threads), work / "judge.pt"
    state: dict[str, Any] = load_whole(checkpoint, device) if checkpoint.exists() else {"step": 0, "seconds": 0.0}
    first, before, started = int(state["step"]), float(state["seconds"]), time.time()
    rng = np.random.default_rng(SEED + first)
    judge = build().to(device)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=lr, betas=(0.9, 0.99), weight_decay=0.02, fused=True)
    if first:
        judge.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    weights = torch.ones(len(THINGS) + 1, device=device)
    weights[-1] = EMPTY_CELL
    scenes = source(work, rng, SEED + first, pool, 8 * batch, device)
    print(f"{parameters([judge]):.2f} M parameters, from step {first}", flush=True)
    log = Log(work / "judge.jsonl")
    losses: list[float] = []
    waiting: list[torch.Tensor] = []

    def note() -> None:
        """Read the losses that wait: now and then, since a GPU that is asked stands still."""
        for loss in torch.stack(waiting).tolist() if waiting else ():
            losses.append(loss)
            log.step(first + len(losses), loss)
        waiting.clear()

    for step in range(steps):
        done = max(step / steps, (before + time.time() - started) / seconds)
        if done >= 1:
            break
        pictures, cells, whole = scenes.batch(batch)
        softer = soften(pictures, rng)
        with autocast(device):
            answers = judge.train()(softer)
        loss = loss_of(answers, cells, whole, weights)
        for group in optimizer.param_groups:
            group["lr"] = lr * min(warmup_cosine(int(done * 10_000), 10_000, warmup=1), (first + step + 1) / 50)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(judge.parameters(), 2.0)
        optimizer.step()
        waiting.append(loss.detach())
        if (first + step + 1) % log.every == 0:
            note()
    note()
    spent = before + time.time() - started
    save_whole({"model": judge.state_dict(), "optimizer": optimizer.state_dict(), "step": first + len(losses), "seconds": spent}, checkpoint)
    keep(work, judge)
    return losses


def source(work: Path, rng: Generator, seed: int, pool: int, first: int, device: torch.device) -> Source:
    """The scenes in `work/scenes`; where there are none, a pool of `pool` that are painted from `seed` on, `first` of them now."""
    if dataset.parts(work):
        return Archive(Gallery(work, device), rng)
    scenes = Pool(Painter(load_sprites(work), seed), rng, pool, device)
    scenes.paint(min(pool, first))
    return scenes


def keep(work: Path, judge: Judge) -> None:
    """Save the weights and what its answers mean as `work/judge`."""
    folder = work / "judge"
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.cpu().contiguous() for name, value in judge.state_dict().items()}, folder / "model.safetensors")
    config = {"things": names(), "places": grounds(), "styles": list(STYLES), "widths": WIDTHS}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")


def measure(work: Path, count: int = 400) -> dict[str, float]:
    """Its own accuracy on fresh painted scenes of one thing each, crisp and softened: the most it can say for a perfect generator. Half of them are of
    combinations that no stage was trained on, `…_kept_out`: what `training.evaluate` asks for.
    """
    rng, painter, judge = np.random.default_rng(SEED + 50_000), Painter(load_sprites(work), SEED + 50_000), load(work).to(begin(SEED))
    unseen = list(heldout.combinations(painter.names, PLACES, STYLES))
    asked = [unseen[k] for k in rng.integers(0, len(unseen), count // 2)] if unseen else []
    asked += [(str(rng.choice(painter.names)), str(rng.choice(list(PLACES))), str(rng.choice(list(STYLES)))) for _ in range(count - len(asked))]
    scenes = [painter.scene(kind="one", things=[thing], place=place, style=style) for thing, place, style in asked]
    strange = np.array([heldout.kept_out(*each) for each in asked])
    crisp = np.stack([scene.pixels for scene in scenes])
    soft = (soften(to_tensor(crisp), rng) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    out: dict[str, float] = {}
    for name, pictures in (("crisp", crisp), ("soft", soft)):
        seen = read(judge, pictures)
        right = np.array([names()[k] == s.things[0].name for k, s in zip(seen.things.argmax(1), scenes, strict=True)])
        out[f"{name}_thing"] = float(right.mean())
        if strange.any():
            out[f"{name}_thing_kept_out"] = float(right[strange].mean())
        out[f"{name}_place"] = float(np.mean([grounds()[k] == s.place for k, s in zip(seen.places.argmax(1), scenes, strict=True)]))
        out[f"{name}_style"] = float(np.mean([list(STYLES)[k] == s.style for k, s in zip(seen.styles.argmax(1), scenes, strict=True)]))
    return out


if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("work", type=Path)
    parse.add_argument("--seconds", type=float, default=720)
    parse.add_argument("--steps", type=int, default=100_000)
    parse.add_argument("--batch", type=int, default=32)
    parse.add_argument("--lr", type=float, default=2e-3)
    parse.add_argument("--threads", type=int, default=0)
    parse.add_argument("--measured", type=int, default=400, help="scenes painted to measure with, 0: it is not measured")
    given = vars(parse.parse_args())
    measured = given.pop("measured")
    train(**given)
    if measured:
        print(json.dumps(measure(given["work"], measured)))
