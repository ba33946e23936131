"""Stage 8: a network that follows lines (`python -m training.sketch WORK --seconds 480`), for `--sketch`: a stock `ControlNetModel` beside the denoiser.

ControlNet (Zhang et al. 2023, arXiv:2302.05543), made light: its blocks are convolutions alone, and it hears no words, since the denoiser does. It begins as a
copy of the denoiser's reading half, which stays as it is. Lines are found by the engine's own detector, so what a member's picture is turned into is what was
learned from; half of the time they are thinned out to what somebody would sketch: the things without their scenery, a stroke missing, a hand not quite steady.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import ControlNetModel, DDPMScheduler, StableDiffusionControlNetPipeline, UNet2DConditionModel
from PIL import Image

from engine.edges import find
from training import dataset
from training.common import Log, autocast, begin, ema_update, parameters, warmup_cosine
from training.denoiser import SCHEDULE, encode_pictures
from training.lines import OTHERS, SQUARE, find_all, lines
from training.students import states_of

#: Where the network is kept; the card names it for "edges" and for "sketch".
FOLDER = Path("control") / "edges"
#: The first square scenes are kept for `measure`.
HELD = 64
#: Channels on the way from a picture's lines to its latents, a sixteenth of the size: one number a size.
NARROWING = (4, 8, 24, 48, 64)
#: Part of the captions left out, so that the lines must speak for themselves.
BLANK = 0.2


def build(unet: Any) -> Any:
    """A light ControlNet for `unet`, what they have in common copied from it."""
    config = unet.config
    model: Any = ControlNetModel(
        in_channels=config.in_channels, block_out_channels=config.block_out_channels, layers_per_block=config.layers_per_block,
        down_block_types=("DownBlock2D",) * len(config.block_out_channels), mid_block_type="UNetMidBlock2D", norm_num_groups=config.norm_num_groups,
        resnet_time_scale_shift=config.resnet_time_scale_shift, cross_attention_dim=config.cross_attention_dim,
        conditioning_embedding_out_channels=NARROWING,
    )  # fmt: skip
    theirs = {name: weight for name, weight in unet.state_dict().items() if name in model.state_dict()}
    model.load_state_dict(theirs, strict=False)
    # Two zero layers in a row would not let each other learn; the ones that reach the denoiser suffice to begin without a word.
    torch.nn.init.kaiming_normal_(model.controlnet_cond_embedding.conv_out.weight)
    return model


# ------------------------------------------------------------------------------------------------ by hand


@dataclass(frozen=True, slots=True)
class Hand:
    """How somebody would draw lines that were found, for one picture."""

    things: bool = False  #: the things alone
    missing: tuple[int, int] | None = None  #: the upper left corner of a stroke that is not there: y, x
    broad: bool = False
    sway: np.ndarray | None = None  #: (H,) pixels by which each row lies aside

    @classmethod
    def throw(cls, height: int, width: int, rng: np.random.Generator) -> Hand:
        """Half of the time a hand that leaves lines as they were found."""
        if rng.random() < 0.5:
            return cls()
        things = bool(rng.random() < 0.7)
        missing = (int(rng.integers(0, height)), int(rng.integers(0, width))) if rng.random() < 0.3 else None
        broad = bool(rng.random() < 0.5)
        # An unsteady hand: every row a little aside, in a slow wave.
        unsteady = rng.random() < 0.5
        return cls(things, missing, broad, np.round(1.6 * np.sin(np.arange(height) * rng.uniform(0.05, 0.3) + rng.uniform(0, 6.3))) if unsteady else None)


def by_hand(found: torch.Tensor, boxes: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Lines (N, H, W) bool as somebody might have drawn them; half of them as they were found. `boxes` (N, things, 3): x, y, edge in pixels."""
    (count, height, width), device = found.shape, found.device
    hands = [Hand.throw(height, width, rng) for _ in range(count)]

    def told(values: list[Any], kind: torch.dtype = torch.bool) -> torch.Tensor:
        return torch.tensor(np.array(values), dtype=kind).to(device)

    rows, columns = torch.arange(height, device=device)[None, :, None], torch.arange(width, device=device)[None, None]
    within = torch.zeros_like(found)
    for x, y, edge in (boxes[:, k, :, None, None].unbind(1) for k in range(boxes.shape[1])):
        within |= (rows >= y) & (rows < y + edge) & (columns >= x) & (columns < x + edge)
    out = found & (within | ~told([hand.things for hand in hands])[:, None, None])
    # Nothing is missing where what is missing lies below the picture.
    y, x = told([hand.missing or (height, width) for hand in hands], torch.long)[:, :, None, None].unbind(1)
    out &= ~((rows >= y) & (rows < y + height // 4) & (columns >= x) & (columns < x + width // 4))
    wide = F.pad(out, (1, 1, 1, 1))
    broad = wide[:, :-2, 1:-1] | wide[:, 2:, 1:-1] | wide[:, 1:-1, :-2] | wide[:, 1:-1, 2:]
    out = out | (broad & told([hand.broad for hand in hands])[:, None, None])
    sway = told([np.zeros(height) if hand.sway is None else hand.sway for hand in hands], torch.long)
    return out.gather(2, (columns + sway[:, :, None]).clamp(0, width - 1))


# ------------------------------------------------------------------------------------------------ what is learned from


@dataclass(slots=True)
class Shape:
    """Scenes of one shape, ready to learn from."""

    latents: torch.Tensor  #: (N, C, h, w) float16, on the device
    maps: np.ndarray  #: (N, kinds, bytes) uint8: lines as bits, of each kind in FINDABLE
    boxes: torch.Tensor  #: (N, things, 3), on the device: where things stand: x, y, edge, pixels; an edge of 0 is none
    index: torch.Tensor  #: (N,) of captions, on the device
    size: tuple[int, int]  #: width × height, pixels

    def draw(self, batch: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Latents, captions and maps (N, 3, H, W) of `batch` scenes."""
        device, pick = self.latents.device, rng.integers(0, len(self.maps), batch)
        width, height = self.size
        kinds = rng.integers(0, self.maps.shape[1], batch)
        found = np.unpackbits(self.maps[pick, kinds], axis=1, count=width * height).reshape(batch, height, width)
        number = torch.from_numpy(pick).to(device)
        drawn = by_hand(torch.from_numpy(found).to(device).bool(), self.boxes[number], rng)
        maps = drawn.float()[:, None].expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        return self.latents[number].float(), self.index[number], maps


def prepare(work: Path, device: torch.device | str = "cpu", square: int = SQUARE, others: int = OTHERS, processes: int = 1) -> tuple[list[Shape], torch.Tensor]:
    """Scenes with their lines (`training.lines`), and the states of all their captions, the empty one last."""
    captions: dict[str, int] = {}
    shapes = []
    for found in find_all(work, square, others, processes):
        first = min(HELD, len(found.maps) // 4) if found.size == dataset.SQUARE else 0
        index = torch.tensor([captions.setdefault(caption, len(captions)) for caption in found.captions])
        boxes = torch.zeros(len(index), max(1, *map(len, found.boxes)), 3, dtype=torch.long)
        for own, known in zip(boxes, found.boxes, strict=True):
            own[: len(known)] = torch.tensor(known, dtype=torch.long).reshape(-1, 3)
        latents = encode_pictures(work, found.size, device, found.there)[first : len(index)].clone()
        shapes.append(Shape(latents, found.maps[first:], boxes[first:].to(device), index[first:].to(device), found.size))
    return shapes, states_of(work, [*captions, ""], device)


# ------------------------------------------------------------------------------------------------ learning


def train(
    work: Path, seconds: float, steps: int, batch: int = 32, lr: float = 1e-3, seed: int = 13, threads: int = 0, square: int = SQUARE, others: int = OTHERS,
    processes: int = 1,
) -> list[float]:  # fmt: skip
    """Train until `seconds` or `steps`, the denoiser frozen; writes `work/control/edges`. Returns the losses.

    Learns from so many (`square`, `others`) scenes of each shape, whose lines so many `processes` find, unless they are known.
    """
    device = begin(seed, threads)
    unet: Any = UNet2DConditionModel.from_pretrained(work / "unet")
    unet.to(device=device, dtype=torch.float32).eval().requires_grad_(False)
    model = build(unet).to(device).to(memory_format=torch.channels_last)  # on a CPU, thrice as fast for few channels of many pixels
    average = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    shapes, states = prepare(work, device, square, others, processes)
    odds = np.array([float(len(shape.maps)) for shape in shapes])
    noiser, log, losses, rng, started = DDPMScheduler(**SCHEDULE), Log(work / "sketch.jsonl"), [0.0][:0], np.random.default_rng(seed), time.time()
    noiser.alphas_cumprod = noiser.alphas_cumprod.to(device)
    blank = torch.tensor(len(states) - 1, device=device)
    print(f"{parameters([model]):.2f} M parameters, {int(odds.sum())} scenes", flush=True)
    for step in range(steps):
        done = max(step / steps, (time.time() - started) / seconds)
        if done >= 1:
            break
        x, index, maps = shapes[rng.choice(len(shapes), p=odds / odds.sum())].draw(batch, rng)
        words = states[torch.where(torch.rand(batch, device=device) < BLANK, blank, index)].float()
        # Outlines are settled early on the way: more of the noisy timesteps than of the others.
        slices = (torch.arange(batch, device=device) + torch.rand(batch, device=device)) / batch
        t = (slices.sqrt() * noiser.config["num_train_timesteps"]).long()
        noise = torch.randn_like(x)
        noised, wanted = noiser.add_noise(x, noise, t), noiser.get_velocity(x, noise, t)
        with autocast(device):
            down, mid = model(noised, t, encoder_hidden_states=words, controlnet_cond=maps, return_dict=False)
            found = unet(noised, t, words, down_block_additional_residuals=down, mid_block_additional_residual=mid, return_dict=False)[0]
        loss = F.mse_loss(found.float(), wanted)
        for group in optimizer.param_groups:
            group["lr"] = lr * warmup_cosine(int(done * 10_000), 10_000, warmup=200)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        ema_update(average, model, step, decay=0.99)
        losses.append(loss.item())
        log.step(step + 1, losses[-1])
    average.to(device="cpu", dtype=torch.float16, memory_format=torch.contiguous_format).save_pretrained(work / FOLDER)
    return losses


# ------------------------------------------------------------------------------------------------ measuring


def agreement(drawn: np.ndarray, wanted: np.ndarray, slack: int = 2) -> float:
    """F1 of lines in `drawn` (H, W, 3 uint8) against `wanted` (H, W bool): a line counts as met when there is one within `slack` pixels."""
    found = find(np.asarray(Image.fromarray(drawn).convert("L")))
    hits, met = (found & _near(wanted, slack)).sum() / max(1, found.sum()), (wanted & _near(found, slack)).sum() / max(1, wanted.sum())
    return float(2 * hits * met / max(1e-9, hits + met))


def _near(mask: np.ndarray, slack: int) -> np.ndarray:
    reach = F.max_pool2d(torch.from_numpy(mask)[None, None].float(), 2 * slack + 1, stride=1, padding=slack)
    return reach[0, 0].numpy() > 0


def measure(work: Path, count: int = 32, steps: int = 16, guidance: float = 2.0, batch: int = 16) -> dict[str, float]:
    """Whether pictures drawn along the lines of scenes kept back have lines where those have: F1 (`agreement`); and without them."""
    from training.export import assemble

    network = ControlNetModel.from_pretrained(work / FOLDER).float()
    base = assemble(work)
    parts = {name: part for name, part in base.components.items() if name != "image_encoder"}
    pipeline = StableDiffusionControlNetPipeline(**parts, controlnet=network, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    pictures, captions = dataset.pixels(work)[0][: min(count, HELD)], dataset.captions(work)
    scores: dict[str, list[float]] = {"without": [], "with": []}
    for first in range(0, len(pictures), batch):
        some = pictures[first : first + batch]
        wanted = [lines(p, "edges") for p in some]
        maps = [Image.fromarray(np.uint8(255) * w).convert("RGB") for w in wanted]
        for way, scale in (("without", 0.0), ("with", 1.0)):
            dice = [torch.Generator().manual_seed(first + k) for k in range(len(some))]
            drawn = pipeline(
                captions[first : first + len(some)], image=maps, num_inference_steps=steps, guidance_scale=guidance, generator=dice,
                controlnet_conditioning_scale=scale, output_type="np",
            ).images  # fmt: skip
            scores[way] += [agreement((d * 255).round().astype(np.uint8), w) for d, w in zip(drawn, wanted, strict=True)]
    return {way: float(np.mean(each)) for way, each in scores.items()}


if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("work", type=Path)
    parse.add_argument("--seconds", type=float, default=480)
    parse.add_argument("--steps", type=int, default=100_000)
    parse.add_argument("--batch", type=int, default=32)
    parse.add_argument("--lr", type=float, default=1e-3)
    parse.add_argument("--threads", type=int, default=0)
    parse.add_argument("--square", type=int, default=SQUARE, help="square scenes to learn from")
    parse.add_argument("--others", type=int, default=OTHERS, help="scenes of each other shape")
    parse.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="that find lines")
    parse.add_argument("--measure", action="store_true", help="measure what was trained, instead of training")
    asked = vars(parse.parse_args())
    if asked.pop("measure"):
        print(json.dumps(measure(asked["work"])))
    else:
        train(**asked)
