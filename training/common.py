"""What every training stage shares: the device it runs on, resumable state, a learning-rate curve, an exponential moving average."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch


def begin(seed: int, threads: int = 0) -> torch.device:
    """What every stage does first: seeds luck, sets the processor up, and returns the device to train on: the first GPU, where there is one.

    `threads` of the processor are used, 0: as many as torch likes. On a GPU, products of float32 matrices may round as TF32 does.
    """
    torch.manual_seed(seed)
    torch.set_flush_denormal(True)
    if threads:
        torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("high")
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast(device: torch.device) -> torch.autocast:
    """The forward pass in bfloat16 on a GPU; on a processor as it is. Weights, gradients and losses stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def load_whole(path: Path, device: torch.device | str = "cpu") -> Any:
    """What `save_whole` saved, on this device, wherever it was saved from."""
    return torch.load(path, map_location=device)


def save_whole(state: Any, path: Path) -> None:
    """`torch.save` that never leaves half a file: written beside, then renamed."""
    beside = path.with_suffix(".part")
    torch.save(state, beside)
    os.replace(beside, path)


def warmup_cosine(step: int, of: int, warmup: int = 100, floor: float = 0.02) -> float:
    """Factor on the learning rate at `step` of `of`: linear rise, then half a cosine down to `floor`."""
    import math

    rise = min(1.0, (step + 1) / warmup)
    return rise * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, of)))))


@torch.no_grad()
def ema_update(ema: torch.nn.Module, model: torch.nn.Module, step: int, decay: float = 0.998) -> None:
    """Move the averaged weights towards the model's; the first steps follow quickly."""
    keep = min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(ema.parameters()), list(model.parameters()), 1 - keep)


@dataclass(slots=True)
class Log:
    """Running mean of the loss, printed every `every` steps and kept as JSON lines beside the checkpoints."""

    path: Path
    every: int = 50
    started: float = field(default_factory=time.time)
    mean: float | None = None

    def step(self, step: int, loss: float, **more: float) -> None:
        self.mean = loss if self.mean is None else 0.98 * self.mean + 0.02 * loss
        if step % self.every == 0:
            row = {"step": step, "seconds": round(time.time() - self.started), "loss": round(self.mean, 5), **{k: round(v, 5) for k, v in more.items()}}
            print(json.dumps(row), flush=True)
            with self.path.open("a") as file:
                file.write(json.dumps(row) + "\n")


def parameters(modules: Iterable[torch.nn.Module]) -> float:
    """Millions of parameters."""
    return sum(p.numel() for m in modules for p in m.parameters()) / 1e6
