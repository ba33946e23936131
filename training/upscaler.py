"""Stage 6: four times larger (`python -m training.upscaler WORK --seconds 500`): a small residual network for this world.

The same layers and names as `engine.upscale.SuperResolution` (which training must not import): conv 3→C, N × (x + relu(conv C→C)),
conv C→48, pixel shuffle by 4, added to the bicubic enlargement. It learns from artwork at full size over scenery: what comes in is that picture,
shrunk four times and blurred a little, as the decoder leaves it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from training.common import Log, parameters, save_whole, warmup_cosine
from training.scenes import EDGE, paint, sheet
from training.sprites import load
from training.vocabulary import COLOURS, PLACES

CHANNELS, BLOCKS, FACTOR = 32, 6, 4
#: Edge of a training patch, large.
PATCH = 128


class Upscaler(nn.Module):
    """N × 3 × h × w in 0..1 → N × 3 × 4h × 4w."""

    def __init__(self, channels: int = CHANNELS, blocks: int = BLOCKS) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(blocks))
        self.tail = nn.Conv2d(channels, 3 * FACTOR * FACTOR, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        hidden = self.head(image)
        for conv in self.body:
            hidden = hidden + F.relu(conv(hidden))
        return F.pixel_shuffle(self.tail(hidden), FACTOR) + F.interpolate(image, scale_factor=FACTOR, mode="bicubic", align_corners=False)


def patch(sprites: list[Image.Image], rng: Generator) -> np.ndarray:
    """A window of a picture four times as large as the model's: artwork over enlarged scenery, uint8 (PATCH, PATCH, 3)."""
    place = str(rng.choice([*PLACES, *COLOURS]))
    ground = Image.fromarray(np.clip(paint(place, rng), 0, 255).astype(np.uint8))
    y, x = rng.integers(0, EDGE - PATCH // FACTOR, 2)
    window = ground.resize((PATCH, PATCH), Image.Resampling.BICUBIC, box=(x, y, x + PATCH // FACTOR, y + PATCH // FACTOR))
    edge = int(rng.integers(180, 340))
    sprite = sprites[rng.integers(len(sprites))].resize((edge, edge), Image.Resampling.LANCZOS)
    left, top = rng.integers(PATCH - edge, 0, 2)
    window.paste(sprite, (int(left), int(top)), sprite)
    return np.asarray(window)


def degrade(large: torch.Tensor) -> torch.Tensor:
    """Four times smaller, some of it blurred and a little noisy: what the decoder gives."""
    small = F.interpolate(large, scale_factor=1 / FACTOR, mode="area")
    soft = F.avg_pool2d(F.pad(small, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    share = torch.rand(len(large), 1, 1, 1)
    return (small + 0.8 * share * (soft - small) + 0.01 * torch.randn_like(small)).clamp(0, 1)


def train(work: Path, seconds: float, steps: int, batch: int = 16, lr: float = 1.5e-3, seed: int = 5) -> list[float]:
    """Train for `seconds` or `steps`, then save `work/upscaler`; returns the losses (L1)."""
    torch.manual_seed(seed)
    torch.set_flush_denormal(True)
    rng, sprites = np.random.default_rng(seed), [Image.fromarray(a) for a in load(work).values()]
    model = Upscaler()
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.98))
    print(f"{parameters([model]):.3f} M parameters", flush=True)
    log, losses, started = Log(work / "upscaler.jsonl"), [], time.time()
    pool = [patch(sprites, rng) for _ in range(256)]
    for step in range(steps):
        done = max(step / steps, (time.time() - started) / seconds)
        if done >= 1:
            break
        pool[step % 256] = patch(sprites, rng)
        pool[(step + 128) % 256] = patch(sprites, rng)
        large = torch.from_numpy(np.stack([pool[i] for i in rng.integers(0, 256, batch)])).permute(0, 3, 1, 2).float() / 255
        loss = (model(degrade(large)) - large).abs().mean()
        for group in optimizer.param_groups:
            group["lr"] = lr * warmup_cosine(int(done * 10_000), 10_000, warmup=300)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        losses.append(loss.item())
        log.step(step + 1, losses[-1])
    save_whole({"model": model.state_dict(), "step": len(losses), "seconds": time.time() - started}, work / "upscaler.pt")
    finish(work, model, pool[:32])
    return losses


@torch.no_grad()
def finish(work: Path, model: Upscaler, pool: list[np.ndarray]) -> None:
    """Save weights (fp16) and configuration, and a sheet: bicubic above, the network's below."""
    folder = work / "upscaler"
    folder.mkdir(exist_ok=True)
    save_file({name: value.half().contiguous() for name, value in model.state_dict().items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"channels": CHANNELS, "blocks": BLOCKS, "factor": FACTOR}) + "\n")
    large = torch.from_numpy(np.stack(pool[:16])).permute(0, 3, 1, 2).float() / 255
    small = degrade(large)
    rows = [F.interpolate(small, scale_factor=FACTOR, mode="bicubic"), model(small)]
    pictures = [(r.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy() for r in rows]
    sheet([p for k in range(0, 16, 8) for r in pictures for p in r[k : k + 8]]).save(work / "upscaler.png")


if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("work", type=Path)
    parse.add_argument("--seconds", type=float, default=500)
    parse.add_argument("--steps", type=int, default=100_000)
    train(**vars(parse.parse_args()))
