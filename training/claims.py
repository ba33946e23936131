"""What scenes show and what their captions claim, as numbers: who is right about which picture. Used by `training.sight`, `training.meanings` and
`training.image_prompts`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.random import Generator

from training.places import EDGE
from training.scenes import GRID, SIZES, article
from training.vocabulary import COLOURS, PLACES, STYLES, THINGS

#: Patches of a picture: things stand on this grid.
PATCHES = (EDGE // GRID) ** 2
#: What a caption leaves open.
OPEN = -1


@dataclass(frozen=True, slots=True)
class Names:
    """The names of the world: things, grounds (places, then colours), styles."""

    things: tuple[str, ...]
    grounds: tuple[str, ...]
    styles: tuple[str, ...]

    @classmethod
    def of_world(cls) -> Names:
        return cls(tuple(words[0] for words in THINGS.values()), (*PLACES, *COLOURS), tuple(STYLES))

    def phrases(self, rng: Generator | None = None) -> tuple[list[str], list[str], list[str]]:
        """How each is said: drawn from all the ways captions say it, or the first of them."""

        def one(ways: tuple[str, ...]) -> str:
            return ways[0] if rng is None else ways[int(rng.integers(len(ways)))]

        things = [one((article(name), article(name), name, f"the {name}")) for name in map(one, THINGS.values())]
        grounds = [*map(one, PLACES.values()), *(one((f"on {article(c)} background", f"in front of {article(c)} wall")) for c in COLOURS)]
        return things, grounds, list(map(one, STYLES.values()))

    def split(self, columns: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(…, all names) → one tensor each for things, grounds and styles."""
        return torch.split(columns, [len(self.things), len(self.grounds), len(self.styles)], dim=-1)


@dataclass(frozen=True, slots=True)
class Claims:
    """Of N scenes."""

    things: torch.Tensor  #: N × things, 1 where it is in the picture
    ground: torch.Tensor  #: N
    style: torch.Tensor  #: N
    patches: torch.Tensor  #: N × PATCHES: the thing that stands there, or the number of things where there is none
    shown: torch.Tensor  #: N × 6: which things and how often, their size, which of a pair is left, which is above, ground, style
    claimed: torch.Tensor  #: N × 6: the same as far as the caption says so, else OPEN

    @classmethod
    def of(cls, scenes: list[dict[str, Any]], names: Names) -> Claims:
        """Of scenes as `training.dataset.words` has them."""
        thing_at, ground_at, style_at = ({name: k for k, name in enumerate(group)} for group in (names.things, names.grounds, names.styles))
        contents: dict[tuple[str, ...], int] = {}
        things = torch.zeros(len(scenes), len(thing_at))
        patches = torch.full((len(scenes), PATCHES), len(thing_at))
        shown, claimed = np.full((2, len(scenes), 6), OPEN)
        for n, scene in enumerate(scenes):
            placed = sorted(scene["things"])
            left = above = 0
            if len(placed) == 2 and placed[0][0] != placed[1][0]:  # 1: the first by name is further to the left; 3: the other
                left, above = (int(np.sign(placed[0][axis] - placed[1][axis])) + 2 for axis in (1, 2))
            for name, x, y, edge, _ in placed:
                things[n, thing_at[name]] = 1
                patches[n, covered(x, y, edge)] = thing_at[name]
            content = contents.setdefault(tuple(name for name, *_ in placed), len(contents))
            shown[n] = content, placed[0][3], left, above, ground_at[scene["place"]], style_at[scene["style"]]
            claimed[n] = np.where((False, *_unsaid(scene)), OPEN, shown[n])
        facts = torch.from_numpy(shown)
        return cls(things, facts[:, 4], facts[:, 5], patches, facts, torch.from_numpy(claimed))

    def fits(self, pictures: torch.Tensor, captions: torch.Tensor) -> torch.Tensor:
        """Numbers of P scenes and of C → P × C: whether that one's caption is true of this one's picture."""
        claims = self.claimed[captions][None]
        return ((claims == OPEN) | (claims == self.shown[pictures][:, None])).all(-1)


@functools.cache
def covered(x: int, y: int, edge: int) -> torch.Tensor:
    """Numbers of the patches of which a square of the picture covers at least half."""
    low = torch.arange(0, EDGE, GRID)
    down, across = (((low + GRID).clamp(max=at + edge) - low.clamp(min=at)).clamp(min=0) for at in (y, x))
    return (down[:, None] * across * 2 >= GRID * GRID).flatten().nonzero().flatten()


def _unsaid(scene: dict[str, Any]) -> tuple[bool, ...]:
    """Whether the caption leaves these open: size, left and right, above and below, place, style."""
    caption, place, relation = f" {scene['caption'].replace(',', ' ')} ", scene["place"], scene["relation"]
    claims = (tuple(word for words in SIZES.values() for word in words), PLACES.get(place, (place,)), STYLES[scene["style"]])
    size, ground, style = (not any(f" {way} " in caption for way in ways) for ways in claims)
    return size, relation not in {"left", "right"}, relation not in {"above", "below"}, ground, style
