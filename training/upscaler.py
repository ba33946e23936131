"""Four times larger (`python -m training.upscaler WORK --seconds 1200`): what members see at 512 px of a picture drawn at 128.

The network's layers and names are those of `engine.upscale.SuperResolution` (which training must not import). What comes in is what members' pictures
are made of: scenes as the model's own decoder rebuilds them from slightly wrong latents, soft and with stairs where its patches meet. What should come
out is the same scene painted four times as large. First by pixels and detail alone; then against a critic of patches as well, which makes edges decide
(`training.critic`). Where there are many processors, `--paint-only --processes 15` paints the pool first.
"""

from __future__ import annotations

import argparse
import copy
import functools
import json
import os
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
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
from training.common import Log, autocast, begin, ema_update, load_whole, parameters, save_whole, warmup_cosine
from training.critic import Critic, adversarial, balance, learn
from training.feed import Losses, gathered
from training.measures import compare_all
from training.places import EDGE
from training.scenes import Painter, sheet
from training.vocabulary import STYLES

CHANNELS, BLOCKS, FACTOR = 72, 8, 4
#: Edge of the squares of pixels that the network works on.
FOLD = 2
#: Large scenes in the pool, and in one part of it; the first part is never trained on.
PAIRS, PART = 720, 48
#: The style that takes three seconds a large scene, a hundred times what others take, and the share of scenes that are painted in another one for it.
SLOW, SPARED = "watercolor", 0.8
#: The style that is not shown at all: whatever is unclear in a picture would come out as its squares.
SQUARES = "pixel"
#: Edge of a training crop, in pixels of the small picture, and how many in a batch.
CROP, BATCH = 40, 6
#: Rebuilds of each scene, each from latents that are off by another amount: at most this share of their own spread.
REBUILDS, OFF = 2, 0.2
#: Scenes rebuilt at once: on a processor, on a GPU.
REBUILT = {"cpu": 12, "cuda": PART}
#: Share of crops whose small picture is the large one's own average: members also enlarge what no decoder has seen.
CLEAN = 0.15
#: The network as it was when the critic came, to compare with and to fall back on.
PLAIN = "upscaler_plain"
#: What the critic may cost in dB; if it costs more, something went wrong, and the network is the plain one again.
LOST = 1.5
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


def enlarged(image: torch.Tensor) -> torch.Tensor:
    """What the network adds its detail to."""
    return F.interpolate(image, scale_factor=FACTOR, mode="bicubic", align_corners=False)


# ------------------------------------------------------------------------------------------------ pairs


@functools.cache
def _artwork(work: Path) -> dict[tuple[str, str], np.ndarray]:
    """Once a process: unpacking it takes seconds."""
    return sprites.load(work)


def paint_part(work: Path, part: int, size: int = PART) -> None:
    """Paint part number `part` (its seed) of `size` large scenes, unless it is there."""
    target = work / "upscaler_pairs" / f"{part:03d}.npy"
    if target.exists():
        return
    painter, rng = Painter(_artwork(work), 77_000 + part), np.random.default_rng(78_000 + part)
    shown = [style for style in STYLES if style != SQUARES]
    quick = ["3d", "cartoon", *(style for style in shown if style != SLOW)]
    styles = [str(rng.choice(quick if rng.random() < SPARED else shown)) for _ in range(size)]
    pixels = np.stack([painter.scene(scale=FACTOR, style=style).pixels for style in styles])
    with (beside := target.with_suffix(".part")).open("wb") as file:
        np.save(file, pixels)
    os.replace(beside, target)


def paint(work: Path, count: int, size: int = PART, processes: int = 1) -> None:
    """Paint large scenes until there are `count` in `work/upscaler_pairs`, in parts of `size`, by so many processes. A tenth of a second a scene."""
    (folder := work / "upscaler_pairs").mkdir(exist_ok=True)
    parts = [part for part in range(-(-count // size)) if not (folder / f"{part:03d}.npy").exists()]
    if parts:
        _artwork(work)  # here, for all processes
    if processes == 1:
        for part in parts:
            paint_part(work, part, size)
        return
    with ProcessPoolExecutor(max_workers=processes) as pool:
        list(pool.map(functools.partial(paint_part, work, size=size), parts))


def larges(work: Path) -> list[np.ndarray]:
    """Each part's scenes, N × 512 × 512 × 3 uint8, memory-mapped; the first part is the held-out one."""
    return [np.load(path, mmap_mode="r") for path in sorted((work / "upscaler_pairs").glob("*.npy"))]


@torch.no_grad()
def rebuild(vae: Any, large: np.ndarray, off: float, rng: Generator) -> np.ndarray:
    """The scenes at the model's own size as its decoder gives them, from latents that are wrong by up to `off` of their spread: N × 128 × 128 × 3 uint8."""
    small = F.avg_pool2d(to_unit(large, vae.device), FACTOR)
    coded = vae.encode(small * 2 - 1).latents
    share = torch.from_numpy(np.square(rng.random((len(large), 1, 1, 1), np.float32))).to(vae.device)
    noise = torch.from_numpy(rng.standard_normal(tuple(coded.shape), np.float32)).to(vae.device)
    return to_bytes(vae.decode(coded + share * off * coded.std() * noise).sample / 2 + 0.5)


def smalls(work: Path, store: list[np.ndarray], device: torch.device, rebuilds: int = REBUILDS) -> list[np.ndarray]:
    """For each part its scenes' rebuilds by `work/vae`, `rebuilds` × N × 128 × 128 × 3 uint8. Not kept: a decoder is trained further now and then."""
    kind: Any = AutoencoderTiny
    vae = kind.from_pretrained(work / "vae", low_cpu_mem_usage=False)
    vae.to(device=device, memory_format=torch.channels_last)
    rng, step = np.random.default_rng(5), REBUILT[device.type]

    def whole(part: np.ndarray) -> np.ndarray:
        return np.concatenate([rebuild(vae, part[k : k + step], OFF, rng) for k in range(0, len(part), step)])

    return [np.stack([whole(part) for _ in range(rebuilds)]) for part in store]


def to_unit(pictures: np.ndarray, device: torch.device | str = "cpu") -> torch.Tensor:
    """uint8 (N, H, W, 3) → float (N, 3, H, W) in 0..1 on the device, channels last in memory."""
    return torch.from_numpy(np.array(pictures)).to(device).permute(0, 3, 1, 2).float() / 255


def to_bytes(pictures: torch.Tensor) -> np.ndarray:
    """The inverse of `to_unit`."""
    return (pictures.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()


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


class Held:
    """All pairs as two tensors on a GPU, (N, 512, 512, 3) and (rebuilds, N, 128, 128, 3) uint8, whose crops are drawn and cut there."""

    def __init__(self, store: list[np.ndarray], small: list[np.ndarray], device: torch.device) -> None:
        self.large, self.device = gathered(store, device), device
        self.small = torch.from_numpy(np.concatenate(small, axis=1)).to(device)

    def crops(self, count: int, edge: int = CROP) -> tuple[torch.Tensor, torch.Tensor]:
        """As the function of this name."""
        one = (count, 1, 1)
        scene, version = (torch.randint(length, one, device=self.device) for length in (len(self.large), len(self.small)))
        y, x = (FOLD * torch.randint((length - edge) // FOLD + 1, one, device=self.device) for length in self.small.shape[2:4])
        near, wide = torch.arange(edge, device=self.device), torch.arange(FACTOR * edge, device=self.device)
        low = self.small[version, scene, y + near[None, :, None], x + near[None, None, :]]
        high = self.large[scene, FACTOR * y + wide[None, :, None], FACTOR * x + wide[None, None, :]]
        mirrored, clean = torch.rand(2, count, 1, 1, 1, device=self.device)
        small, large = (torch.where(mirrored < 0.5, each.flip(2), each).permute(0, 3, 1, 2).float() / 255 for each in (low, high))
        small = torch.where(clean < CLEAN, F.avg_pool2d(large, FACTOR), small)
        return small.contiguous(memory_format=torch.channels_last), large.contiguous(memory_format=torch.channels_last)


# ------------------------------------------------------------------------------------------------ training


def detail_loss(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """L1 of the pixels and of four levels of detail (a Laplacian pyramid): an edge that is a little soft costs more than a plane that is a little off."""
    total = (a - b).abs().mean()
    for _ in range(4):
        low_a, low_b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        total = total + ((a - F.interpolate(low_a, scale_factor=2)) - (b - F.interpolate(low_b, scale_factor=2))).abs().mean()
        a, b = low_a, low_b
    return total


def train(
    work: Path, seconds: float, steps: int, pairs: int = PAIRS, batch: int = BATCH, lr: float = 1e-3, seed: int = 5, edge: int = CROP, threads: int = 0,
    processes: int = 1, rebuilds: int = REBUILDS,
) -> list[float]:  # fmt: skip
    """Train until `seconds` of training (earlier sittings counted in) or `steps` more, then save `work/upscaler`; returns the detail losses.

    Painting the pool of `pairs` scenes (fewer where there are fewer steps) comes on top, once. Raises OSError without `work/vae`.
    """
    device = begin(seed, threads)
    torch.backends.cudnn.benchmark = True
    pairs = max(2, min(pairs, steps))
    paint(work, pairs, min(PART, pairs // 2), processes)
    store = larges(work)
    small = smalls(work, store, device, rebuilds)
    held = Held(store[1:] or store, small[1:] or small, device) if device.type != "cpu" else None
    model, critic, checkpoint = Upscaler().to(device), Critic().to(device), work / "upscaler.pt"
    if held:
        model, critic = (each.to(memory_format=torch.channels_last) for each in (model, critic))
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
        state = load_whole(checkpoint, device)
        for name, each in kept.items():
            each.load_state_dict(state[name])
        first, before = state["step"], state["seconds"]
    print(f"{parameters([model]):.2f} M parameters, {sum(map(len, store))} scenes, from step {first}", flush=True)
    rng, losses, started = np.random.default_rng(seed + first), Losses(Log(work / "upscaler.jsonl"), first), time.time()

    def keep() -> None:
        state = {name: each.state_dict() for name, each in kept.items()}
        save_whole({**state, "step": first + len(losses.settle()), "seconds": before + time.time() - started}, checkpoint)
        save(work / "upscaler", average)

    for step in range(steps):
        done = max(step / steps, (before + time.time() - started) / seconds)
        if done >= 1:
            break
        low, high = held.crops(batch, edge) if held else crops(store[1:] or store, small[1:] or small, batch, rng, edge)
        rate = warmup_cosine(int(done * 10_000), 10_000, warmup=1) * min(1.0, (first + step + 1) / 50)
        for group in optimizer.param_groups:
            group["lr"] = lr * rate * group["share"]
        with autocast(device):
            made = model(low)
        made, base = made.float(), enlarged(low)
        detail = detail_loss(made, high)
        loss = detail
        if hears := done >= ALONE:
            if not (work / PLAIN).exists():
                save(work / PLAIN, average)
            scolded = adversarial(critic, made, high, base)
            heard = HEARD * min(1.0, (done - ALONE) / 0.1)
            loss = detail + balance(model.tail.weight, (detail, scolded), heard).detach() * scolded
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        more = {"critic": learn(critic, judge, made.detach(), high, base)} if hears else {}
        ema_update(average, model, first + step, 0.997)
        losses.add(detail, **more)
        if (step + 1) % 500 == 0:
            keep()
    keep()
    print(json.dumps(finish(work, average, store[0], small[0][0])), flush=True)
    return losses.kept


# ------------------------------------------------------------------------------------------------ what came of it


def save(folder: Path, model: Upscaler) -> None:
    """Weights (fp16) and configuration, as `engine.upscale` reads them."""
    folder.mkdir(exist_ok=True)
    save_file({name: value.half().contiguous().cpu() for name, value in model.state_dict().items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"channels": CHANNELS, "blocks": BLOCKS, "factor": FACTOR}) + "\n")


@torch.no_grad()
def finish(work: Path, model: Upscaler, truth: np.ndarray, small: np.ndarray) -> dict[str, Any]:
    """Measure on held-out scenes and their rebuilds, and keep the figures and a sheet to look at; returns the figures.

    Columns of the sheet: Lanczos, the network as it was before it met the critic, the network, the truth. A network that the critic spoiled is replaced in
    `work/upscaler` by the one of before.
    """
    ways = {"lanczos": np.stack([lanczos(picture) for picture in small])}
    if (work / PLAIN).exists():
        plain = Upscaler().to(model.tail.weight.device)
        plain.load_state_dict({name: value.float() for name, value in load_file(work / PLAIN / "model.safetensors").items()})
        ways["plain"] = _made(plain, small)
    ways["network"] = _made(model, small)
    columns = [*ways.values(), truth]
    sheet([np.asarray(column[k]) for k in range(min(8, len(small))) for column in columns], len(columns)).save(work / "upscaler.png")
    figures: dict[str, Any] = {"scenes": len(small), **compare_all(ways, truth)}
    if "plain" in ways and figures["network"]["psnr_db"] < figures["plain"]["psnr_db"] - LOST:
        shutil.copytree(work / PLAIN, work / "upscaler", dirs_exist_ok=True)
        figures |= {"spoiled": figures["network"], "network": figures["plain"]}
    (work / "upscaler.json").write_text(json.dumps(figures) + "\n")
    return figures


def _made(model: Upscaler, small: np.ndarray) -> np.ndarray:
    return np.concatenate([to_bytes(model(to_unit(small[k : k + 4], model.tail.weight.device))) for k in range(0, len(small), 4)])


def lanczos(picture: np.ndarray) -> np.ndarray:
    """The classical way."""
    edge = (picture.shape[1] * FACTOR, picture.shape[0] * FACTOR)
    return np.asarray(Image.fromarray(picture).resize(edge, Image.Resampling.LANCZOS))


assert EDGE % FACTOR == 0 and CROP <= EDGE

if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("work", type=Path)
    parse.add_argument("--seconds", type=float, default=1200)
    parse.add_argument("--steps", type=int, default=100_000)
    parse.add_argument("--pairs", type=int, default=PAIRS)
    parse.add_argument("--batch", type=int, default=BATCH)
    parse.add_argument("--edge", type=int, default=CROP)
    parse.add_argument("--lr", type=float, default=1e-3)
    parse.add_argument("--threads", type=int, default=0)
    parse.add_argument("--processes", type=int, default=1)
    parse.add_argument("--rebuilds", type=int, default=REBUILDS)
    parse.add_argument("--paint-only", action="store_true")
    said = vars(parse.parse_args())
    if said.pop("paint_only"):
        paint(said["work"], said["pairs"], processes=said["processes"])
    else:
        train(**said)
