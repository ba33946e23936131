"""Four times larger (`python -m training.upscaler WORK --seconds 1200`): what members see at 512 px of a picture drawn at 128.

The network's layers and names are those of `engine.upscale.SuperResolution` (which training must not import). What comes in is what members' pictures
are made of: scenes as the model's own decoder rebuilds them from slightly wrong latents, soft and with stairs where its patches meet. What should come
out is the same scene painted four times as large. First by pixels and detail alone; then against a critic of patches as well, which makes edges decide
(SRGAN, Ledig et al. 2017, arXiv:1609.04802; hinge losses, and the critic sees what it was made from, as in pix2pix, Isola et al. 2017, arXiv:1611.07004).
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import shutil
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny
from numpy.random import Generator
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from training import sprites
from training.common import Log, ema_update, parameters, save_whole, warmup_cosine
from training.places import EDGE
from training.scenes import Painter, sheet

CHANNELS, BLOCKS, FACTOR = 72, 8, 4
#: Edge of the squares of pixels that the network works on.
FOLD = 2
#: Large scenes in the pool, and in one part of it; the first part is never trained on.
PAIRS, PART = 720, 48
#: Edge of a training crop, in pixels of the small picture, and how many in a batch.
CROP, BATCH = 40, 6
#: Rebuilds of each scene, each from latents that are off by another amount: at most this share of their own spread.
REBUILDS, OFF = 2, 0.2
#: Share of crops whose small picture is the large one's own average: members also enlarge what no decoder has seen.
CLEAN = 0.15
#: The network as it was when the critic came, to compare with and to fall back on.
PLAIN = "upscaler_plain"
#: Share of the training after which the critic is heard, and its gradient's size against the other losses' at the last layer.
ALONE, HEARD = 0.45, 0.5


class Upscaler(nn.Module):
    """N × 3 × h × w in 0..1, h and w even → N × 3 × 4h × 4w."""

    def __init__(self, channels: int = CHANNELS, blocks: int = BLOCKS) -> None:
        super().__init__()
        self.head = nn.Conv2d(3 * FOLD**2, channels, 3, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(blocks))
        self.tail = nn.Conv2d(channels, 3 * (FOLD * FACTOR) ** 2, 3, padding=1)
        with torch.no_grad():
            for name, weight in self.named_parameters():
                if name.startswith("tail"):
                    weight.zero_()
                elif name.startswith("body") and weight.dim() == 4:
                    # What many residual branches add together stays of the size of what they add to.
                    nn.init.kaiming_normal_(weight, a=0.2).mul_(blocks**-0.5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        hidden = self.head(F.pixel_unshuffle(image - 0.5, FOLD))
        for conv in self.body:
            hidden = hidden + F.leaky_relu(conv(hidden), 0.2)
        return F.pixel_shuffle(self.tail(hidden), FOLD * FACTOR) + enlarged(image)


class Critic(nn.Module):
    """N × 3 × h × w pictures, and what they were enlarged from at the same size → scores of patches some 50 pixels wide, N × 1 × h/8 × w/8."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        sizes = (6, width, 2 * width, 4 * width)
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in pairwise(sizes))
        self.last = nn.Conv2d(sizes[-1], 1, 3, padding=1)

    def forward(self, pictures: torch.Tensor, base: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        # What was added to the base is all there is to judge, and it is faint: louder, it is learned sooner.
        hidden, features = torch.cat([5 * (pictures - base), 2 * base - 1], 1), list[torch.Tensor]()
        for layer in self.layers:
            hidden = F.leaky_relu(layer(hidden), 0.2)
            features.append(hidden)
        return self.last(hidden), features


def enlarged(image: torch.Tensor) -> torch.Tensor:
    """What the network adds its detail to."""
    return F.interpolate(image, scale_factor=FACTOR, mode="bicubic", align_corners=False)


# ------------------------------------------------------------------------------------------------ pairs


def paint(work: Path, count: int, size: int = PART) -> None:
    """Paint large scenes until there are `count` in `work/upscaler_pairs`, in parts of `size`, each its own seed.

    A fifth of a second a scene, most of it for the few in watercolour.
    """
    painter_sprites, folder = sprites.load(work), work / "upscaler_pairs"
    folder.mkdir(exist_ok=True)
    for part in range(-(-count // size)):
        target = folder / f"{part:03d}.npy"
        if target.exists():
            continue
        painter = Painter(painter_sprites, 77_000 + part)
        pixels = np.stack([painter.scene(scale=FACTOR).pixels for _ in range(size)])
        with (beside := target.with_suffix(".part")).open("wb") as file:
            np.save(file, pixels)
        os.replace(beside, target)


def larges(work: Path) -> list[np.ndarray]:
    """Each part's scenes, N × 512 × 512 × 3 uint8, memory-mapped; the first part is the held-out one."""
    return [np.load(path, mmap_mode="r") for path in sorted((work / "upscaler_pairs").glob("*.npy"))]


@torch.no_grad()
def rebuild(vae: Any, large: np.ndarray, off: float, rng: Generator) -> np.ndarray:
    """The scenes at the model's own size as its decoder gives them, from latents that are wrong by up to `off` of their spread: N × 128 × 128 × 3 uint8."""
    small = F.avg_pool2d(to_unit(large), FACTOR)
    coded = vae.encode(small * 2 - 1).latents
    spread = torch.from_numpy(np.square(rng.random((len(large), 1, 1, 1), np.float32))) * off * coded.std()
    noise = torch.from_numpy(rng.standard_normal(tuple(coded.shape), np.float32))
    return to_bytes(vae.decode(coded + spread * noise).sample / 2 + 0.5)


def smalls(work: Path, store: list[np.ndarray], rebuilds: int = REBUILDS) -> list[np.ndarray]:
    """For each part its scenes' rebuilds by `work/vae`, `rebuilds` × N × 128 × 128 × 3 uint8. Not kept: a decoder is trained further now and then."""
    kind: Any = AutoencoderTiny
    vae = kind.from_pretrained(work / "vae", low_cpu_mem_usage=False)
    vae.to(memory_format=torch.channels_last)
    rng = np.random.default_rng(5)
    return [np.stack([np.concatenate([rebuild(vae, part[k : k + 12], OFF, rng) for k in range(0, len(part), 12)]) for _ in range(rebuilds)]) for part in store]


def to_unit(pictures: np.ndarray) -> torch.Tensor:
    """uint8 (N, H, W, 3) → float (N, 3, H, W) in 0..1, channels last in memory."""
    return torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float() / 255


def to_bytes(pictures: torch.Tensor) -> np.ndarray:
    """The inverse of `to_unit`."""
    return (pictures.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()


def crops(store: list[np.ndarray], small: list[np.ndarray], count: int, rng: Generator, edge: int = CROP) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of (small, large) windows of the same scenes, mirrored at random: N × 3 × edge × edge and N × 3 × 4·edge × 4·edge."""
    pairs = []
    for _ in range(count):
        part = rng.integers(len(store))
        scene, version = rng.integers(len(store[part])), rng.integers(len(small[part]))
        y, x = (FOLD * int(rng.integers(0, (length - edge) // FOLD + 1)) for length in small[part].shape[2:4])
        low = small[part][version, scene, y : y + edge, x : x + edge]
        high = store[part][scene, FACTOR * y : FACTOR * (y + edge), FACTOR * x : FACTOR * (x + edge)]
        pairs.append((low[:, ::-1], high[:, ::-1]) if rng.random() < 0.5 else (low, high))
    small_ones, large_ones = (to_unit(np.stack(each)) for each in zip(*pairs, strict=True))
    clean = torch.from_numpy(rng.random(count) < CLEAN)
    small_ones[clean] = F.avg_pool2d(large_ones[clean], FACTOR)
    return small_ones.contiguous(memory_format=torch.channels_last), large_ones.contiguous(memory_format=torch.channels_last)


# ------------------------------------------------------------------------------------------------ training


def detail_loss(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """L1 of the pixels and of four levels of detail (a Laplacian pyramid): an edge that is a little soft costs more than a plane that is a little off."""
    total = (a - b).abs().mean()
    for _ in range(4):
        low_a, low_b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        total = total + ((a - F.interpolate(low_a, scale_factor=2)) - (b - F.interpolate(low_b, scale_factor=2))).abs().mean()
        a, b = low_a, low_b
    return total


def adversarial(critic: Critic, made: torch.Tensor, high: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    """What the critic holds against the pictures made: its score, and how far its features are from the true pictures' (pix2pixHD, arXiv:1711.11585)."""
    critic.requires_grad_(False)
    score, features = critic(made, base)
    with torch.no_grad():
        _, wanted = critic(high, base)
    critic.requires_grad_(True)
    apart = torch.stack([(a - b).abs().mean() for a, b in zip(features, wanted, strict=True)]).sum()
    held: torch.Tensor = 4 * apart - score.mean()
    return held


def judged(critic: Critic, made: torch.Tensor, high: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    """The critic's own loss (hinge): true pictures above 1, made ones below −1."""
    true, false = critic(torch.cat([high, made]), torch.cat([base, base]))[0].chunk(2)
    return F.relu(1 - true).mean() + F.relu(1 + false).mean()


def learn(critic: Critic, judge: torch.optim.Optimizer, made: torch.Tensor, high: torch.Tensor, base: torch.Tensor) -> float:
    """One step of the critic; returns its loss."""
    wrong = judged(critic, made, high, base)
    judge.zero_grad()
    torch.autograd.backward(wrong)
    judge.step()
    return wrong.item()


def balance(model: Upscaler, losses: tuple[torch.Tensor, torch.Tensor], share: float = HEARD) -> torch.Tensor:
    """The weight that makes the second loss pull at the last layer with `share` of the first one's force (VQGAN, Esser et al. 2021, arXiv:2012.09841)."""
    first, second = (torch.autograd.grad(loss, model.tail.weight, retain_graph=True)[0].norm() for loss in losses)
    weight: torch.Tensor = share * first / (second + 1e-8)
    return weight


def train(work: Path, seconds: float, steps: int, pairs: int = PAIRS, batch: int = BATCH, lr: float = 1e-3, seed: int = 5, edge: int = CROP) -> list[float]:
    """Train until `seconds` of training (earlier sittings counted in) or `steps` more, then save `work/upscaler`; returns the detail losses.

    Painting the pool of `pairs` scenes (fewer where there are fewer steps) comes on top, once. Raises OSError without `work/vae`.
    """
    torch.manual_seed(seed)
    torch.set_flush_denormal(True)
    pairs = max(2, min(pairs, steps))
    paint(work, pairs, min(PART, pairs // 2))
    store = larges(work)
    small = smalls(work, store)
    model, critic, checkpoint = Upscaler(), Critic(), work / "upscaler.pt"
    average = copy.deepcopy(model).requires_grad_(False)
    last = list(model.tail.parameters())  # many of its weights pull at each pixel together, so each takes smaller steps
    others = [weight for name, weight in model.named_parameters() if not name.startswith("tail")]
    optimizer = torch.optim.AdamW([{"params": others, "share": 1.0}, {"params": last, "share": 0.1}], lr=lr, betas=(0.9, 0.98), weight_decay=1e-4)
    judge = torch.optim.AdamW(critic.parameters(), lr=3e-4, betas=(0.5, 0.98), weight_decay=1e-4)
    kept: dict[str, Any] = {"model": model, "ema": average, "critic": critic, "optimizer": optimizer, "judge": judge}
    first, before = 0, 0.0
    if not checkpoint.exists():
        shutil.rmtree(work / PLAIN, ignore_errors=True)
    else:
        state = torch.load(checkpoint)
        for name, each in kept.items():
            each.load_state_dict(state[name])
        first, before = state["step"], state["seconds"]
    print(f"{parameters([model]):.2f} M parameters, {sum(map(len, store))} scenes, from step {first}", flush=True)
    rng, log, started = np.random.default_rng(seed + first), Log(work / "upscaler.jsonl"), time.time()
    losses: list[float] = []

    def keep() -> None:
        state = {name: each.state_dict() for name, each in kept.items()}
        save_whole({**state, "step": first + len(losses), "seconds": before + time.time() - started}, checkpoint)
        save(work / "upscaler", average)

    for step in range(steps):
        done = max(step / steps, (before + time.time() - started) / seconds)
        if done >= 1:
            break
        low, high = crops(store[1:] or store, small[1:] or small, batch, rng, edge)
        rate = warmup_cosine(int(done * 10_000), 10_000, warmup=1) * min(1.0, (first + step + 1) / 50)
        for group in optimizer.param_groups:
            group["lr"] = lr * rate * group["share"]
        made, base = model(low), enlarged(low)
        detail = detail_loss(made, high)
        loss = detail
        if hears := done >= ALONE:
            if not (work / PLAIN).exists():
                save(work / PLAIN, average)
            scolded = adversarial(critic, made, high, base)
            heard = HEARD * min(1.0, (done - ALONE) / 0.1)
            loss = detail + balance(model, (detail, scolded), heard).detach() * scolded
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        more = {"critic": learn(critic, judge, made.detach(), high, base)} if hears else {}
        ema_update(average, model, first + step, 0.997)
        losses.append(detail.item())
        log.step(first + step + 1, losses[-1], **more)
        if (step + 1) % 500 == 0:
            keep()
    keep()
    print(json.dumps(finish(work, average, store[0], small[0][0])), flush=True)
    return losses


# ------------------------------------------------------------------------------------------------ what came of it


def save(folder: Path, model: Upscaler) -> None:
    """Weights (fp16) and configuration, as `engine.upscale` reads them."""
    folder.mkdir(exist_ok=True)
    save_file({name: value.half().contiguous() for name, value in model.state_dict().items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"channels": CHANNELS, "blocks": BLOCKS, "factor": FACTOR}) + "\n")


@torch.no_grad()
def finish(work: Path, model: Upscaler, truth: np.ndarray, small: np.ndarray) -> dict[str, Any]:
    """Measure on held-out scenes and their rebuilds, and keep the figures and a sheet to look at; returns the figures.

    Columns of the sheet: Lanczos, the network as it was before it met the critic, the network, the truth.
    """
    ways = {"lanczos": np.stack([lanczos(picture) for picture in small])}
    if (work / PLAIN).exists():
        plain = Upscaler()
        plain.load_state_dict({name: value.float() for name, value in load_file(work / PLAIN / "model.safetensors").items()})
        ways["plain"] = _made(plain, small)
    ways["network"] = _made(model, small)
    columns = [*ways.values(), truth]
    sheet([np.asarray(column[k]) for k in range(min(8, len(small))) for column in columns], len(columns)).save(work / "upscaler.png")
    figures = {"scenes": len(small), **{way: compare(pictures, truth) for way, pictures in ways.items()}}
    (work / "upscaler.json").write_text(json.dumps(figures) + "\n")
    return figures


def _made(model: Upscaler, small: np.ndarray) -> np.ndarray:
    return np.concatenate([to_bytes(model(to_unit(small[k : k + 4]))) for k in range(0, len(small), 4)])


def lanczos(picture: np.ndarray) -> np.ndarray:
    """The classical way."""
    edge = (picture.shape[1] * FACTOR, picture.shape[0] * FACTOR)
    return np.asarray(Image.fromarray(picture).resize(edge, Image.Resampling.LANCZOS))


def compare(pictures: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """PSNR in dB; how sharp the pictures are (their steepest twentieth of gradients, of the truth's); how far gradients are off, of the truth's own size."""
    error = np.mean([np.square(a.astype(np.float32) - b).mean() for a, b in zip(pictures, truth, strict=True)])
    slopes = np.stack([_slopes(picture) for picture in pictures])
    wanted = np.stack([_slopes(picture) for picture in truth])
    steep = np.quantile(wanted, 0.95, axis=(1, 2), keepdims=True)
    edges = wanted >= np.maximum(steep, 1.0)
    return {
        "psnr_db": round(float(10 * np.log10(255**2 / max(1e-9, error))), 2),
        "sharpness": round(float(slopes[edges].mean() / max(1e-9, wanted[edges].mean())), 3),
        "gradient_error": round(float(np.abs(slopes - wanted).mean() / max(1e-9, wanted.mean())), 3),
    }


def _slopes(picture: np.ndarray) -> np.ndarray:
    """How steep each pixel's brightness is, of 0..255 a pixel."""
    grey = picture.astype(np.float32).mean(axis=-1)
    down, across = np.gradient(grey)
    return np.asarray(np.hypot(down, across))


assert EDGE % FACTOR == 0 and CROP <= EDGE

if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("work", type=Path)
    parse.add_argument("--seconds", type=float, default=1200)
    parse.add_argument("--steps", type=int, default=100_000)
    parse.add_argument("--pairs", type=int, default=PAIRS)
    parse.add_argument("--batch", type=int, default=BATCH)
    parse.add_argument("--lr", type=float, default=1e-3)
    train(**vars(parse.parse_args()))
