"""What scenes show and what their captions claim, as numbers: who is right about which picture. Used by `training.sight`, `training.meanings` and
`training.image_prompts`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from training.places import EDGE
from training.scenes import GRID, SIZES, article
from training.vocabulary import COLOURS, PLACES, STYLES, THINGS

#: Patches of a picture: things stand on this grid.
PATCHES = (EDGE // GRID) ** 2
#: What a caption leaves open.
OPEN = -1
_SIZES = tuple(word for words in SIZES.values() for word in words)


@dataclass(frozen=True)
class Names:
    """The names of the world: things, grounds (places, then colours), styles."""

    things: tuple[str, ...]
    grounds: tuple[str, ...]
    styles: tuple[str, ...]

    @classmethod
    def of_world(cls) -> Names:
        return cls(tuple(words[0] for words in THINGS.values()), (*PLACES, *COLOURS), tuple(STYLES))

    @functools.cached_property
    def ways(self) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]], list[tuple[str, ...]]]:
        """All the ways captions say each, the first of them the usual one; what is said more often stands there more than once."""
        things = [tuple(way for name in names for way in (article(name), article(name), name, f"the {name}")) for names in THINGS.values()]
        colours = [(f"on {article(colour)} background", f"in front of {article(colour)} wall") for colour in COLOURS]
        return things, [*PLACES.values(), *colours], list(STYLES.values())

    def phrases(self) -> tuple[list[str], list[str], list[str]]:
        """How each is usually said."""
        things, grounds, styles = ([ways[0] for ways in group] for group in self.ways)
        return things, grounds, styles

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
        things = np.zeros((len(scenes), len(thing_at)), np.float32)
        patches = np.full((len(scenes), PATCHES), len(thing_at))
        shown, unsaid = np.full((len(scenes), 6), OPEN), np.zeros((len(scenes), 6), bool)
        for n, scene in enumerate(scenes):
            placed = sorted(scene["things"])
            left = above = 0
            if len(placed) == 2 and placed[0][0] != placed[1][0]:  # 1: the first by name is further to the left; 3: the other
                left, above = (_sign(placed[0][axis] - placed[1][axis]) + 2 for axis in (1, 2))
            for name, x, y, edge, _ in placed:
                things[n, thing_at[name]] = 1
                patches[n, covered(x, y, edge)] = thing_at[name]
            content = contents.setdefault(tuple(name for name, *_ in placed), len(contents))
            shown[n] = content, placed[0][3], left, above, ground_at[scene["place"]], style_at[scene["style"]]
            unsaid[n, 1:] = _unsaid(scene)
        facts, claimed = torch.from_numpy(shown), torch.from_numpy(np.where(unsaid, OPEN, shown))
        return cls(torch.from_numpy(things), facts[:, 4], facts[:, 5], torch.from_numpy(patches), facts, claimed)

    def to(self, device: torch.device) -> Claims:
        """The same, there."""
        return Claims(*(getattr(self, each.name).to(device) for each in fields(self)))

    def fits(self, pictures: torch.Tensor, captions: torch.Tensor) -> torch.Tensor:
        """Numbers of P scenes and of C → P × C: whether that one's caption is true of this one's picture."""
        claims = self.claimed[captions][None]
        return ((claims == OPEN) | (claims == self.shown[pictures][:, None])).all(-1)


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)


@functools.cache
def covered(x: int, y: int, edge: int) -> NDArray[np.int64]:
    """Numbers of the patches of which a square of the picture covers at least half."""
    low = np.arange(0, EDGE, GRID)
    down, across = (np.clip(np.minimum(low + GRID, at + edge) - np.maximum(low, at), 0, None) for at in (y, x))
    return np.flatnonzero(down[:, None] * across * 2 >= GRID * GRID)


def _unsaid(scene: dict[str, Any]) -> tuple[bool, ...]:
    """Whether the caption leaves these open: size, left and right, above and below, place, style."""
    caption, place, relation = f" {scene['caption'].replace(',', ' ')} ", scene["place"], scene["relation"]
    claims = (_SIZES, PLACES.get(place, (place,)), STYLES[scene["style"]])
    size, ground, style = (not any(f" {way} " in caption for way in ways) for ways in claims)
    return size, relation not in {"left", "right"}, relation not in {"above", "below"}, ground, style
