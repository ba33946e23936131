"""The painted square scenes as `training.sight` and `training.judge` learn from them: what is known of each, and its picture, where the network is.

On a GPU all pictures lie there as one tensor of bytes; on a processor they stay in memory maps. Both lists are read of the same parts, since others may still
be painting.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from training import dataset


class Gallery:
    """The scenes that are there now, in the order of their parts. Raises FileNotFoundError when there are none."""

    def __init__(self, work: Path, device: torch.device) -> None:
        parts = dataset.parts(work)
        if not parts:
            raise FileNotFoundError(f"there are no scenes in {work}: python -m training.dataset paints them")
        self.device = device
        self.words: list[dict[str, Any]] = dataset.words(work, there=parts)  #: as `training.dataset` noted them
        self._maps: list[np.ndarray] = [np.load(part, mmap_mode="r") for part in parts]
        self._ends = np.cumsum([len(each) for each in self._maps])
        if self._ends[-1] != len(self.words):
            raise ValueError(f"{self._ends[-1]} pictures, but words for {len(self.words)}")
        self._there: torch.Tensor | None = None
        if device.type != "cpu":
            self._there = torch.empty((len(self.words), *self._maps[0].shape[1:]), dtype=torch.uint8, device=device)
            for end, pictures in zip(self._ends, self._maps, strict=True):
                self._there[end - len(pictures) : end] = torch.from_numpy(np.array(pictures))
            self._maps = []

    def __len__(self) -> int:
        return len(self.words)

    def pictures(self, numbers: np.ndarray) -> torch.Tensor:
        """Of the scenes of these numbers: float (N, 3, H, W) in 0..1, on the device."""
        if self._there is not None:
            some = self._there[torch.from_numpy(numbers).to(self.device)]
        else:
            parts = np.searchsorted(self._ends, numbers, side="right")
            some = torch.from_numpy(np.stack([self._maps[part][number - self._ends[part]] for part, number in zip(parts, numbers, strict=True)]))
        return some.permute(0, 3, 1, 2).float().contiguous() / 255
