"""Stage 6: two students of the denoiser, as LoRA files (`python -m training.students WORK quick draft --seconds 360`): four steps, and one.

The teacher is the denoiser as it is usually run, guided, in 8 steps. Its ways from noise to picture are computed once (`trajectories`) and kept; each student
learns to come out where the teacher did, from the same noise and words, in fewer steps and without guidance. So a seed is the same picture, drawn as
a draft, quickly or in full.

- `quick` takes 4 steps. It is trained through the stock scheduler itself, back through all its steps, with the teacher's states at the same timesteps as
  landmarks on the way (progressive distillation, Salimans & Ho 2022, arXiv:2202.00512, with the whole way at once).
- `draft` takes one. Where one step cannot tell which picture it will be, the nearest answer is a blur of them all; in the second half of its time a critic
  (`training.discriminator`) makes it decide.

Both are low-rank changes (Hu et al. 2021, arXiv:2106.09685) in the layout that diffusers' `load_lora_weights` reads.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DPMSolverMultistepScheduler, UNet2DConditionModel
from safetensors.torch import save_file
from torch import nn
from torch.func import functional_call
from transformers import BertModel, BertTokenizer

from training import dataset
from training.common import Log, autocast, begin, load_whole, save_whole, warmup_cosine
from training.denoiser import SCHEDULE
from training.discriminator import LOOKED_AT, Discriminator, critic_loss, generator_loss
from training.scenes import GRID
from training.text_encoder import LENGTH

#: The teacher's steps (more of them move its pictures less than a student misses them by); every second of its timesteps is one of the quick student's.
TEACHER_STEPS, LANDMARKS = 8, 4
#: Which layers a student changes: what makes the picture, and what hears the time. Each layer more costs every forward two small products, and the attention's
#: many layers would cost half as much as the forward itself.
CHANGED = re.compile(r"conv|\.ff\.|time_emb_proj")
#: Bytes a student may take, in float16.
BUDGET = 1_150_000
#: The teacher's guidance.
GUIDANCE = 2.0
#: Bytes of the teacher's ways that are kept in a file: what a GPU makes in seconds is sooner made again.
KEPT = 400_000_000


@dataclass(frozen=True, slots=True)
class Student:
    steps: int
    lr: float
    adversarial: float  #: weight of the critic's opinion beside the distance to the teacher, from JOINS on; 0: there is no critic


STUDENTS = {"quick": Student(steps=4, lr=1e-3, adversarial=0.0), "draft": Student(steps=1, lr=1e-3, adversarial=0.1)}
#: Part of the time after which the critic joins: what is far from any picture needs none to say so.
JOINS = 0.5


def sampler(steps: int) -> Any:
    """The stock scheduler that the model ships with, set to so many steps."""
    schedule = {key: value for key, value in SCHEDULE.items() if key != "clip_sample"}
    build: Any = DPMSolverMultistepScheduler
    scheduler = build(**schedule, algorithm_type="dpmsolver++", solver_order=2, timestep_spacing="trailing")
    scheduler.set_timesteps(steps)
    return scheduler


# ------------------------------------------------------------------------------------------------ the teacher's ways


@dataclass(slots=True)
class Pool:
    """The teacher's ways from noise to picture, all on one device."""

    captions: list[str]
    words: torch.Tensor  #: (captions + 1, LENGTH, C) float16: the encoder's states, the empty caption's last
    groups: list[tuple[torch.Tensor, torch.Tensor]]  #: of equal shape: states (n, LANDMARKS + 1, C, H, W) float16, noise first and picture last; captions (n,)

    def __len__(self) -> int:
        return sum(len(index) for _, index in self.groups)

    def draw(self, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
        """States and words of `batch` ways of one shape, float32."""
        sizes = torch.tensor([float(len(index)) for _, index in self.groups])
        states, index = self.groups[int(torch.multinomial(sizes, 1))]
        pick = torch.randperm(len(index), device=index.device)[:batch]
        return states[pick].float(), self.words[index[pick]].float()


@torch.no_grad()
def states_of(work: Path, captions: list[str], device: torch.device | str = "cpu") -> torch.Tensor:
    """The text encoder's states as a stock pipeline asks for them, (N, LENGTH, C) float16 on `device`."""
    tokenizer, encoder = BertTokenizer.from_pretrained(work / "tokenizer"), cast(Any, BertModel.from_pretrained(work / "text_encoder", add_pooling_layer=False))
    encoder.eval().to(device)
    out = []
    for k in range(0, len(captions), 256):
        tokens = tokenizer(captions[k : k + 256], padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt").to(device)
        out.append(encoder(tokens.input_ids, attention_mask=tokens.attention_mask)[0].half())
    return torch.cat(out)


@torch.no_grad()
def taught(unet: Any, noise: torch.Tensor, words: torch.Tensor, blank: torch.Tensor, guidance: float) -> torch.Tensor:
    """The teacher's way from `noise` (N, C, H, W), told `words` (N, L, D): (N, LANDMARKS + 1, C, H, W), noise first and picture last."""
    scheduler, x, kept = sampler(TEACHER_STEPS), noise, []
    context = torch.cat([blank.expand_as(words), words])
    # The scheduler's own timesteps stay on the processor, where it looks them up at each step.
    for k, (t, here) in enumerate(zip(scheduler.timesteps, scheduler.timesteps.to(noise.device), strict=True)):
        if k % (TEACHER_STEPS // LANDMARKS) == 0:
            kept.append(x)
        with autocast(noise.device):
            velocity = unet(torch.cat([x, x]), here, encoder_hidden_states=context, return_dict=False)[0]
        without, told = velocity.float().chunk(2)
        x = scheduler.step(without + guidance * (told - without), t, x, return_dict=False)[0]
    return torch.stack([*kept, x], dim=1)


def teacher(work: Path, device: torch.device) -> Any:
    """The denoiser, frozen."""
    unet: Any = UNet2DConditionModel.from_pretrained(work / "unet")
    return unet.eval().requires_grad_(False).to(device)


def shape_of(batch: int, sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Height and width of the latents of this batch: three square ones, then one of the others in turn. `sizes` are width × height in pixels, square first."""
    width, height = sizes[1 + batch // 4 % (len(sizes) - 1)] if batch % 4 == 3 and len(sizes) > 1 else sizes[0]
    return height // GRID, width // GRID


def trajectories(
    work: Path, count: int = 3_000, seconds: float = 300, guidance: float = GUIDANCE, batch: int = 64, seed: int = 11, device: torch.device | None = None
) -> Pool:
    """`count` of the teacher's ways, or as many as `seconds` allow, on `device` (where training would be, if none is given).

    Kept in `work/trajectories.pt`, as long as they take no more than KEPT bytes, and added to when there are fewer. Three in four are square, the others of the
    other shapes that scenes were painted in. A pool of another guidance or another denoiser is thrown away.
    """
    device = device or begin(seed)
    kept, weights = work / "trajectories.pt", (work / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()
    stamp = {"guidance": guidance, "unet": hashlib.sha256(weights).hexdigest()}
    found: dict[str, Any] = load_whole(kept, device) if kept.exists() else {}
    if found.get("stamp") != stamp:
        rng = np.random.default_rng(seed)
        said = list(dict.fromkeys(dataset.captions(work)))
        captions = [said[k] for k in rng.permutation(len(said))[:count]]
        found = {"stamp": stamp, "captions": captions, "words": states_of(work, [*captions, ""], device), "groups": {}, "batches": 0}
    pool = {tuple(shape): list(parts) for shape, parts in found["groups"].items()}
    unet, sizes, made = teacher(work, device), dataset.sizes(work), sum(len(i) for parts in pool.values() for _, i in parts)
    started = time.time()

    def keep() -> None:
        taken = [found["words"], *(each for parts in pool.values() for part in parts for each in part)]
        if sum(each.nbytes for each in taken) <= KEPT:
            save_whole({**found, "groups": pool}, kept)

    while made < count and time.time() - started < seconds:
        number = found["batches"]
        dice = torch.Generator(device).manual_seed(seed + number)
        height, width = shape_of(number, sizes)
        index = (torch.arange(min(batch, count - made), device=device) + number * batch) % len(found["captions"])
        noise = torch.randn(len(index), unet.config.in_channels, height, width, generator=dice, device=device)
        ways = taught(unet, noise, found["words"][index].float(), found["words"][-1:].float(), guidance)
        pool.setdefault((height, width), []).append((ways.half(), index))
        found["batches"], made = number + 1, made + len(index)
        if number % 16 == 15:
            keep()
    keep()
    groups = [(torch.cat([ways for ways, _ in parts]), torch.cat([index for _, index in parts])) for parts in pool.values()]
    return Pool(found["captions"], found["words"], groups)


# ------------------------------------------------------------------------------------------------ low-rank changes


class LowRank(nn.Module):
    """A low-rank change `B(A x)` of the layers of `unet` that CHANGED names, of the highest rank that `budget` bytes of float16 have room for."""

    def __init__(self, unet: nn.Module, budget: int = BUDGET) -> None:
        super().__init__()
        self.layers = {name: layer.weight for name, layer in unet.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d) and CHANGED.search(name)}
        self.rank = max(1, budget // 2 // sum(weight[0].numel() + len(weight) for weight in self.layers.values()))
        self.down, self.up = nn.ParameterList(), nn.ParameterList()
        for weight in self.layers.values():
            inner = weight[0].numel()
            self.down.append(torch.randn(self.rank, inner) / inner**0.5)
            self.up.append(torch.zeros(len(weight), self.rank))

    def forward(self) -> dict[str, torch.Tensor]:
        """The changed weights, by the parameters' names: one product a layer and step, instead of two a layer and picture."""
        pairs = zip(self.layers.items(), self.down, self.up, strict=True)
        return {f"{name}.weight": weight + (up @ down).view_as(weight) for (name, weight), down, up in pairs}

    def save(self, path: Path) -> None:
        """As diffusers' `load_lora_weights` reads it: PEFT's names under the component's, no alpha (scale 1)."""
        out = {}
        for (name, weight), down, up in zip(self.layers.items(), self.down, self.up, strict=True):
            out[f"unet.{name}.lora_A.weight"] = down.detach().half().reshape(self.rank, *weight.shape[1:]).contiguous()
            out[f"unet.{name}.lora_B.weight"] = up.detach().half().reshape(len(weight), self.rank, *(1,) * (weight.dim() - 2)).contiguous()
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(out, path, metadata={"format": "pt"})


def drawn(unet: Any, weights: dict[str, torch.Tensor], noise: torch.Tensor, words: torch.Tensor, steps: int) -> list[torch.Tensor]:
    """A student's way from `noise`: its latents after each step. Gradients reach `weights` through all of them."""
    scheduler, x, out = sampler(steps), noise, []
    for t, here in zip(scheduler.timesteps, scheduler.timesteps.to(noise.device), strict=True):
        with autocast(noise.device):
            velocity = functional_call(unet, weights, (x, here), {"encoder_hidden_states": words, "return_dict": False})[0]
        x = scheduler.step(velocity.float(), t, x, return_dict=False)[0]
        out.append(x)
    return out


# ------------------------------------------------------------------------------------------------ learning


class Critic:
    """The discriminator and its training beside a student's."""

    def __init__(self, unet: Any, lr: float = 1e-3) -> None:
        self.judge = Discriminator(unet)
        self.optimizer = torch.optim.AdamW(self.judge.heads.parameters(), lr=lr, betas=(0.0, 0.99))
        alphas = sampler(1).alphas_cumprod.to(next(unet.parameters()).device)
        self.signal, self.noise = alphas.sqrt(), (1 - alphas).sqrt()

    def _noised(self, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        t = torch.randint(*LOOKED_AT, (len(latents),), device=latents.device)
        return self.signal[t, None, None, None] * latents + self.noise[t, None, None, None] * torch.randn_like(latents), t

    def opinion(self, fake: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """What the student is to lower."""
        return generator_loss(self._scores(*self._noised(fake), words))

    def _scores(self, noised: torch.Tensor, timesteps: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        with autocast(noised.device):
            scores: torch.Tensor = self.judge(noised, timesteps, words)
        return scores.float()

    def learn(self, real: torch.Tensor, fake: torch.Tensor, words: torch.Tensor) -> float:
        """One step of its own; returns the loss."""
        noised, t = self._noised(torch.cat([real, fake.detach()]))
        scores = self._scores(noised, t, torch.cat([words, words]))
        loss = critic_loss(scores[: len(real)], scores[len(real) :])
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
        return loss.item()


def train(
    work: Path, name: str, seconds: float, steps: int, pool: Pool | None = None, batch: int = 32, lr: float | None = None, seed: int = 12, threads: int = 0
) -> list[float]:
    """Train the student of that name for `seconds` or `steps`, at its own learning rate if none is given; writes `work/loras/<name>.safetensors`.

    Returns the distances to the teacher's pictures. What a student was before the critic joined is kept in `work/<name>-alone.safetensors`.
    """
    device = begin(seed, threads)
    student, pool = STUDENTS[name], pool or trajectories(work, device=device)
    rate, unet = lr or student.lr, teacher(work, device)
    low, average = LowRank(unet).to(device), LowRank(unet).to(device)
    average.load_state_dict(low.state_dict())
    optimizer = torch.optim.AdamW(low.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=0.0)
    critic: Critic | None = Critic(unet) if student.adversarial else None
    log, losses, started = Log(work / f"{name}.jsonl", every=20), [], time.time()
    stride, joined = LANDMARKS // student.steps, None
    print(f"{name}: rank {low.rank}, {len(pool)} ways of the teacher", flush=True)
    for step in range(steps):
        done = max(step / steps, (time.time() - started) / seconds)
        if done >= 1:
            break
        ways, words = pool.draw(batch)
        way = drawn(unet, low(), ways[:, 0], words, student.steps)
        distances = torch.stack([F.mse_loss(x, ways[:, (k + 1) * stride]) for k, x in enumerate(way)])
        loss = distances[-1] + 0.5 * distances[:-1].sum()
        said: dict[str, float] = {}
        if critic is not None and joined is None and done >= JOINS:
            joined = critic
            average.save(work / f"{name}-alone.safetensors")
        if joined is not None:
            loss = loss + student.adversarial * joined.opinion(way[-1], words)
        for group in optimizer.param_groups:
            group["lr"] = rate * warmup_cosine(int(done * 10_000), 10_000, warmup=200)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(low.parameters(), 1.0)
        optimizer.step()
        if joined is not None:
            said["critic"] = joined.learn(ways[:, -1], way[-1], words)
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(low.parameters()), 1 - min(0.98, (1 + step) / (10 + step)))
        losses.append(distances[-1].item())
        log.step(step + 1, losses[-1], **said)
    average.save(work / "loras" / f"{name}.safetensors")
    return losses


if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("work", type=Path)
    parse.add_argument("names", nargs="+", choices=STUDENTS)
    parse.add_argument("--seconds", type=float, nargs="+", default=[360], help="of training: for all, or for each")
    parse.add_argument("--steps", type=int, default=100_000)
    parse.add_argument("--batch", type=int, default=32)
    parse.add_argument("--lr", type=float, help="instead of the student's own")
    parse.add_argument("--threads", type=int, default=0)
    parse.add_argument("--ways", type=int, default=3_000, help="of the teacher, that there should be")
    parse.add_argument("--ways-seconds", type=float, default=300, help="that making them may take")
    parse.add_argument("--ways-batch", type=int, default=64)
    parse.add_argument("--guidance", type=float, default=GUIDANCE, help="of the teacher")
    asked = parse.parse_args()
    begin(0, asked.threads)
    ways = trajectories(asked.work, asked.ways, asked.ways_seconds, asked.guidance, asked.ways_batch)
    each = asked.seconds * len(asked.names) if len(asked.seconds) == 1 else asked.seconds
    for name, long in zip(asked.names, each, strict=True):
        train(asked.work, name, long, asked.steps, ways, asked.batch, asked.lr, threads=asked.threads)
