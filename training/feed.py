"""What keeps a GPU fed: pictures that lie on it, and losses that are looked at now and then. Used by `training.autoencoder`, `polish` and `upscaler`.

On a processor the pictures stay in their files, memory-mapped, and every loss is looked at: nothing waits for anything there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from training.common import Log

#: Pictures that are put on a GPU at most, 49 kB each.
MOST = 100_000


def gathered(store: list[np.ndarray], device: torch.device) -> torch.Tensor:
    """All parts' pictures as one uint8 tensor on the device, (N, H, W, 3)."""
    whole = torch.empty((sum(map(len, store)), *store[0].shape[1:]), dtype=torch.uint8, device=device)
    start = 0
    for part in store:
        whole[start : start + len(part)] = torch.from_numpy(np.array(part)).to(device)
        start += len(part)
    return whole


class Pictures:
    """The pictures of the parts of `store` (of the first ones up to `most`, on a GPU), by number in the parts' order."""

    def __init__(self, store: list[np.ndarray], device: torch.device, most: int = MOST) -> None:
        self.device, self.store, self.whole = device, store, None
        if device.type != "cpu":
            self.store = store[: max(1, int(np.searchsorted(np.cumsum([len(part) for part in store]), most, side="right")))]
            self.whole = gathered(self.store, device)
        self.starts = np.cumsum([0, *(len(part) for part in self.store)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def pick(self, count: int, rng: np.random.Generator) -> torch.Tensor:
        """Numbers of `count` pictures drawn at random, with repetition: by `rng` on a processor, by torch's own luck on a GPU, which need not wait then."""
        if self.whole is not None:
            return torch.randint(len(self), (count,), device=self.device)
        return torch.tensor([int(self.starts[p] + rng.integers(len(self.store[p]))) for p in rng.integers(0, len(self.store), count)])

    def at(self, numbers: torch.Tensor) -> torch.Tensor:
        """Those pictures, float (N, 3, H, W) in −1..1, channels last in memory."""
        if self.whole is not None:
            return self.whole[numbers].permute(0, 3, 1, 2).float() / 127.5 - 1
        parts = np.searchsorted(self.starts, numbers.numpy(), side="right") - 1
        drawn = np.stack([self.store[p][k - self.starts[p]] for p, k in zip(parts, numbers.tolist(), strict=True)])
        return torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 127.5 - 1


@dataclass(slots=True)
class Losses:
    """Losses of steps after step `first`, in order. On a GPU they stay there until the log wants a line: to look at one is to wait for it."""

    log: Log
    first: int = 0
    kept: list[float] = field(default_factory=list)
    _waiting: list[dict[str, torch.Tensor]] = field(default_factory=list)

    def add(self, loss: torch.Tensor, **more: torch.Tensor) -> None:
        self._waiting.append({"loss": loss.detach(), **{name: value.detach() for name, value in more.items()}})
        if loss.device.type == "cpu" or len(self._waiting) == self.log.every:
            self.settle()

    def settle(self) -> list[float]:
        """Wait for all of them; returns the losses so far."""
        if self._waiting:
            values = iter(torch.stack([value.float() for each in self._waiting for value in each.values()]).tolist())
            for each in self._waiting:
                seen = {name: next(values) for name in each}
                self.kept.append(seen.pop("loss"))
                self.log.step(self.first + len(self.kept), self.kept[-1], **seen)
            self._waiting.clear()
        return self.kept
