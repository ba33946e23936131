"""Stage 8: a network that follows lines (`python -m training.sketch WORK --seconds 480`), for `--sketch`: a stock `ControlNetModel` beside the denoiser.

ControlNet (Zhang et al. 2023, arXiv:2302.05543), made light: its blocks are convolutions alone, and it hears no words, since the denoiser does. It begins as a
copy of the denoiser's reading half, which stays as it is. Lines are found by the engine's own detector, so what a member's picture is turned into is what was
learned from; half of the time they are thinned out to what somebody would sketch: the things without their scenery, a stroke missing, a hand not quite steady.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import ControlNetModel, DDPMScheduler, StableDiffusionControlNetPipeline, UNet2DConditionModel
from PIL import Image

from engine.api import Control
from engine.edges import FINDABLE, control_map, find
from training import dataset
from training.common import Log, ema_update, parameters, save_whole, warmup_cosine
from training.denoiser import SCHEDULE, encode_pictures
from training.students import states_of

#: Where the network is kept; the card names it for "edges" and for "sketch".
FOLDER = Path("control") / "edges"
#: Scenes whose lines are learned from: square ones, and of every other shape.
SQUARE, OTHERS = 6_000, 300
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


# ------------------------------------------------------------------------------------------------ lines


def lines(picture: np.ndarray, kind: str) -> np.ndarray:
    """What the engine finds in a picture (H, W, 3) uint8 for this kind of control: (H, W) bool."""
    height, width = picture.shape[:2]
    return np.asarray(control_map(Control(kind=kind, picture=""), Image.fromarray(picture), width, height).convert("L")) > 127


@dataclass(slots=True)
class Shape:
    """Scenes of one shape, ready to learn from."""

    latents: torch.Tensor  #: (N, C, h, w) float16
    maps: np.ndarray  #: (N, kinds, bytes) uint8: lines as bits, of each kind in FINDABLE
    boxes: list[list[tuple[int, int, int]]]  #: where things stand: x, y, edge, pixels
    index: torch.Tensor  #: (N,) of captions
    size: tuple[int, int]  #: width × height, pixels

    def draw(self, batch: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Latents, captions and maps (N, 3, H, W) of `batch` scenes."""
        pick = rng.integers(0, len(self.maps), batch)
        width, height = self.size
        kinds = rng.integers(0, self.maps.shape[1], batch)
        found = np.unpackbits(self.maps[pick, kinds], axis=1, count=width * height).reshape(batch, height, width)
        drawn = np.stack([by_hand(one.astype(bool), self.boxes[k], rng) for one, k in zip(found, pick, strict=True)])
        maps = torch.from_numpy(drawn).float()[:, None].expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        return self.latents[pick].float(), self.index[pick], maps


def by_hand(found: np.ndarray, boxes: list[tuple[int, int, int]], rng: np.random.Generator) -> np.ndarray:
    """Lines (H, W) bool as somebody might have drawn them; half of the time as they were found."""
    if rng.random() < 0.5:
        return found
    out = found.copy()
    if rng.random() < 0.7:  # the things alone
        inside = np.zeros_like(out)
        for x, y, edge in boxes:
            inside[y : y + edge, x : x + edge] = True
        out &= inside
    if rng.random() < 0.3:  # a stroke missing
        height, width = out.shape
        y, x = rng.integers(0, height), rng.integers(0, width)
        out[y : y + height // 4, x : x + width // 4] = False
    if rng.random() < 0.5:  # a broad pen
        wide = np.pad(out, 1)
        out = out | wide[:-2, 1:-1] | wide[2:, 1:-1] | wide[1:-1, :-2] | wide[1:-1, 2:]
    if rng.random() < 0.5:  # an unsteady hand: every row a little aside, in a slow wave
        height, width = out.shape
        sway = np.round(1.6 * np.sin(np.arange(height) * rng.uniform(0.05, 0.3) + rng.uniform(0, 6.3))).astype(int)
        out = out[np.arange(height)[:, None], np.clip(np.arange(width)[None] + sway[:, None], 0, width - 1)]
    return out


def prepare(work: Path) -> tuple[list[Shape], torch.Tensor]:
    """Scenes with their lines, and the states of all their captions, the empty one last; kept in `work/sketches.pt`."""
    kept = work / "sketches.pt"
    if kept.exists():
        done = torch.load(kept, weights_only=False)
    else:
        captions: dict[str, int] = {}
        done = {"maps": {}, "index": {}, "boxes": {}}
        for size in dataset.sizes(work):
            store, words = dataset.pixels(work, size), dataset.words(work, size)
            count = min(SQUARE if size == dataset.SQUARE else OTHERS, len(words))
            pictures = (picture for part in store for picture in part)
            done["maps"][size] = np.stack([np.stack([np.packbits(lines(p, kind)) for kind in FINDABLE]) for p, _ in zip(pictures, range(count), strict=False)])
            done["index"][size] = torch.tensor([captions.setdefault(w["caption"], len(captions)) for w in words[:count]])
            done["boxes"][size] = [[(x, y, edge) for _, x, y, edge, _ in w["things"]] for w in words[:count]]
        done["states"] = states_of(work, [*captions, ""])
        save_whole(done, kept)
    shapes = []
    for size, maps in done["maps"].items():
        held = min(HELD, len(maps) // 4) if size == dataset.SQUARE else 0
        latents = encode_pictures(work, size)[held : len(maps)]
        shapes.append(Shape(latents, maps[held:], done["boxes"][size][held:], done["index"][size][held:], size))
    return shapes, done["states"]


# ------------------------------------------------------------------------------------------------ learning


def train(work: Path, seconds: float, steps: int, batch: int = 32, lr: float = 1e-3, seed: int = 13) -> list[float]:
    """Train until `seconds` or `steps`, the denoiser frozen; writes `work/control/edges`. Returns the losses."""
    torch.manual_seed(seed)
    torch.set_flush_denormal(True)
    unet = UNet2DConditionModel.from_pretrained(work / "unet").eval().requires_grad_(False)
    model = build(unet).to(memory_format=torch.channels_last)  # on a CPU, thrice as fast for few channels of many pixels
    average = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    shapes, states = prepare(work)
    odds = np.array([float(len(shape.maps)) for shape in shapes])
    noiser, log, losses, rng, started = DDPMScheduler(**SCHEDULE), Log(work / "sketch.jsonl"), [0.0][:0], np.random.default_rng(seed), time.time()
    print(f"{parameters([model]):.2f} M parameters, {int(odds.sum())} scenes", flush=True)
    for step in range(steps):
        done = max(step / steps, (time.time() - started) / seconds)
        if done >= 1:
            break
        x, index, maps = shapes[rng.choice(len(shapes), p=odds / odds.sum())].draw(batch, rng)
        words = states[torch.where(torch.rand(batch) < BLANK, len(states) - 1, index)].float()
        # Outlines are settled early on the way: more of the noisy timesteps than of the others.
        t = (((torch.arange(batch) + torch.rand(batch)) / batch).sqrt() * noiser.config["num_train_timesteps"]).long()
        noise = torch.randn_like(x)
        noised, wanted = noiser.add_noise(x, noise, t), noiser.get_velocity(x, noise, t)
        down, mid = model(noised, t, encoder_hidden_states=words, controlnet_cond=maps, return_dict=False)
        found = unet(noised, t, words, down_block_additional_residuals=down, mid_block_additional_residual=mid, return_dict=False)[0]
        loss = F.mse_loss(found, wanted)
        for group in optimizer.param_groups:
            group["lr"] = lr * warmup_cosine(int(done * 10_000), 10_000, warmup=200)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        ema_update(average, model, step, decay=0.99)
        losses.append(loss.item())
        log.step(step + 1, losses[-1])
    average.to(torch.float16, memory_format=torch.contiguous_format).save_pretrained(work / FOLDER)
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
    asked = parse.parse_args()
    train(asked.work, asked.seconds, asked.steps, asked.batch)
    print(json.dumps(measure(asked.work)))
