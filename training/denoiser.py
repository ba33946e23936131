"""Stage 4: the denoiser (`python -m training.denoiser WORK --seconds 3000`): a stock `UNet2DConditionModel` on 8 × 8 × 48 latents.

v-prediction under the DDPM forward process (Ho et al. 2020; Salimans & Ho 2022). The schedule ends at a signal-to-noise ratio of
about 1e-5, so every stock sampler may start from pure noise without being told so. The words reach the network twice: pooled, in the
time embedding of every block (learns within minutes which thing, place and style are meant), and by cross-attention.
Trained the way stock pipelines run it: padding tokens included, no attention mask at the U-Net.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler, UNet2DConditionModel
from transformers import BertModel, BertTokenizer

from training import autoencoder, dataset
from training.common import Log, autocast, begin, ema_update, load_whole, parameters, save_whole, warmup_cosine
from training.text_encoder import LENGTH

SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.025,
    "prediction_type": "v_prediction",
    "clip_sample": False,
}
#: Part of the captions replaced by the empty one, which classifier-free guidance steers away from.
BLANK = 0.1
#: Part of the batches that are square; the others are of the other shapes.
SQUARES = 0.85
#: Part of the square batches that show a single thing, at the start and at the end: what things look like comes before how they stand to each other.
LONE = (0.9, 0.55)
#: How much more an error counts where a thing stands; and the power of a target's variance, channel by channel, that its error is divided by.
EYE, EVENING = 2.0, 0.5
#: Scenes that a channel's variance is measured on.
SPREAD_OF = 4_000
#: Captions read at once.
READ = 256
#: Scenes painted while it trains are taken in when there are so many times as many.
MORE = 1.5
#: Timesteps are drawn from a uniform number to this power.
LEAN = 0.8


def build() -> Any:
    return UNet2DConditionModel(
        sample_size=8, in_channels=autoencoder.LATENT_CHANNELS, out_channels=autoencoder.LATENT_CHANNELS, block_out_channels=(96, 128), layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), mid_block_type="UNetMidBlock2DCrossAttn",
        cross_attention_dim=384, attention_head_dim=(3, 4), transformer_layers_per_block=(1, 2), use_linear_projection=True, addition_embed_type="text",
        addition_embed_type_num_heads=12, resnet_time_scale_shift="scale_shift", norm_num_groups=16,
    )  # fmt: skip


@torch.no_grad()
def inherit(model: Any, shipped: Path) -> None:
    """Begin at the U-Net of the model directory `shipped`. Latent channels and layers of attention that it does not have yet start by adding nothing."""
    kind: Any = UNet2DConditionModel
    theirs = kind.from_pretrained(shipped / "unet", torch_dtype=torch.float32).state_dict()
    for name, own in model.state_dict().items():
        if name in theirs:
            known = theirs[name]
            if known.shape != own.shape:
                own.zero_()
            own[tuple(slice(n) for n in known.shape)] = known
        elif name.endswith((".to_out.0.weight", ".to_out.0.bias", ".ff.net.2.weight", ".ff.net.2.bias")):
            own.zero_()


@torch.no_grad()
def projection(work: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """The encoder as one matrix (768, C) and offset (C,) on 16 × 16 patches: it is linear, so its answers to unit pictures say all."""
    vae = autoencoder.load(work)
    zero = vae.encoder(torch.zeros(1, 3, 16, 16)).flatten()
    units = torch.eye(768).reshape(768, 3, 16, 16)
    scale = vae.config.scaling_factor
    return (vae.encoder(units).flatten(1) - zero) * scale, zero * scale


@torch.no_grad()
def encode_pictures(work: Path, size: tuple[int, int] = dataset.SQUARE, device: torch.device | str = "cpu", there: list[Path] | None = None) -> torch.Tensor:
    """Every scene's latents as the U-Net sees them, (N, C, height / 16, width / 16) float16 on `device`; of the parts `there`, if given.

    On a processor, parts already encoded are kept in `work/latents….pt`; a GPU encodes faster than a file is read.
    """
    kept = work / ("latents.pt" if size == dataset.SQUARE else f"latents-{size[0]}x{size[1]}.pt")
    keeps = torch.device(device).type == "cpu"
    done: dict[str, torch.Tensor] = torch.load(kept) if keeps and kept.exists() else {}
    matrix, offset = (each.to(device) for each in projection(work))
    there, fresh = dataset.parts(work, size) if there is None else there, False
    for path in there:
        if path.stem in done:
            continue
        store, out, fresh = np.load(path, mmap_mode="r"), [], True
        for k in range(0, len(store), 250):
            pictures = torch.from_numpy(np.array(store[k : k + 250])).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
            patches = F.unfold(pictures, 16, stride=16)
            latents = torch.einsum("npl,pc->ncl", patches, matrix) + offset[None, :, None]
            out.append(latents.reshape(len(latents), -1, size[1] // 16, size[0] // 16).half())
        done[path.stem] = torch.cat(out)
    if fresh and keeps:
        save_whole(done, kept)
    return torch.cat([done[path.stem] for path in there])


@torch.no_grad()
def encode_words(work: Path, captions: list[str], device: torch.device | str = "cpu") -> torch.Tensor:
    """The text encoder's states of each caption, (N, LENGTH, 384) float16 on `device`, as a stock pipeline asks for them.

    On a processor they are kept in `work/words.pt` for as long as the encoder stays the same; whoever asks for some of the captions known there gets them
    from it.
    """
    kept, keeps = work / "words.pt", torch.device(device).type == "cpu"
    weights = hashlib.sha256((work / "text_encoder" / "model.safetensors").read_bytes()).hexdigest()
    if keeps and kept.exists() and (known := torch.load(kept)).get("encoder") == weights:
        where = {caption: k for k, caption in enumerate(known["captions"])}
        if all(caption in where for caption in captions):
            return known["states"][[where[caption] for caption in captions]]  # type: ignore[no-any-return]
    tokenizer, encoder = BertTokenizer.from_pretrained(work / "tokenizer"), BertModel.from_pretrained(work / "text_encoder", add_pooling_layer=False)
    encoder.to(device=device, dtype=torch.float32).eval()  # type: ignore[call-arg]  # (transformers' own signature of `to` says less than torch's)
    states = torch.empty(len(captions), LENGTH, 384, dtype=torch.float16, device=device)
    for k in range(0, len(captions), READ):
        tokens = tokenizer(captions[k : k + READ], padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt").to(device)
        states[k : k + READ] = encoder(tokens.input_ids, attention_mask=tokens.attention_mask)[0].half()
    if keeps:
        save_whole({"captions": captions, "encoder": weights, "states": states}, kept)
    return states


def where_things_are(scenes: list[dict[str, Any]], size: tuple[int, int]) -> np.ndarray:
    """(N, height / 16, width / 16), true in the cells of the latents that a thing's square covers."""
    found = np.zeros((len(scenes), size[1] // 16, size[0] // 16), bool)
    for cells, scene in zip(found, scenes, strict=True):
        for _, x, y, edge, _ in scene["things"]:
            cells[y // 16 : (y + edge) // 16, x // 16 : (x + edge) // 16] = True
    return found


class Lessons:
    """Latents and words of all painted scenes, drawn in batches of one shape; all of it on `device`."""

    def __init__(self, work: Path, device: torch.device | str = "cpu") -> None:
        self.device, self.sizes = torch.device(device), dataset.sizes(work)
        there = [dataset.parts(work, size) for size in self.sizes]
        self.parts = sum(map(len, there))
        scenes = [dataset.words(work, size, parts) for size, parts in zip(self.sizes, there, strict=True)]
        self.latents = [encode_pictures(work, size, device, parts) for size, parts in zip(self.sizes, there, strict=True)]
        captions = [[str(each["caption"]) for each in known] for known in scenes]
        unique = list(dict.fromkeys(caption for each in captions for caption in each))
        where = {caption: k for k, caption in enumerate(unique)}
        self.states = encode_words(work, [*unique, ""], device)
        self.index = [torch.tensor([where[c] for c in each], device=device) for each in captions]
        self.blank = torch.tensor(len(unique), device=device)
        lone = torch.tensor([each["kind"] == "one" for each in scenes[0]], device=device)
        self.things = [torch.from_numpy(where_things_are(known, size)).to(device) for size, known in zip(self.sizes, scenes, strict=True)]
        self.spread = self.latents[0][:SPREAD_OF].float().var((0, 2, 3))[None, :, None, None]
        self.lone, self.others = lone.nonzero().squeeze(1), (~lone).nonzero().squeeze(1)

    def draw(self, batch: int, lone: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(latents, words, whether a thing is there) of `batch` scenes: (N, C, h, w), (N, LENGTH, 384) and (N, 1, h, w), float32.

        Some of the words are the empty caption; of the square scenes, the share `lone` shows a single thing.
        """
        here = self.device
        shape = 0 if len(self.sizes) == 1 or torch.rand(()) < SQUARES else int(torch.randint(1, len(self.sizes), ()))
        pick = torch.randint(len(self.latents[shape]), (batch,), device=here)
        if not shape:
            alone = torch.rand(batch, device=here) < lone if len(self.others) else torch.ones(batch, dtype=torch.bool, device=here)
            one = self.lone[torch.randint(len(self.lone), (batch,), device=here)]
            pick = torch.where(alone, one, self.others[torch.randint(len(self.others), (batch,), device=here)] if len(self.others) else one)
        words = torch.where(torch.rand(batch, device=here) < BLANK, self.blank, self.index[shape][pick])
        return self.latents[shape][pick].float(), self.states[words].float(), self.things[shape][pick][:, None].float()

    def __len__(self) -> int:
        return sum(map(len, self.latents))


def timesteps(batch: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """One timestep from each of `batch` equal slices (less luck in the loss), leaning towards the noisy end, where it is decided what is in the picture."""
    slices = torch.arange(batch, device=device) + torch.rand(batch, device=device)
    return ((slices / batch) ** LEAN * SCHEDULE["num_train_timesteps"]).long()


def train(
    work: Path, seconds: float, steps: int, batch: int = 48, lr: float = 8e-4, seed: int = 3, shipped: Path | None = None, threads: int = 0, every: int = 250,
    lone: tuple[float, float] = LONE,
) -> list[float]:  # fmt: skip
    """Train until `seconds` of training (earlier sittings counted in) or `steps` more; checkpoints hold all a later sitting needs. Returns the losses.

    Without a checkpoint in `work` it begins at the weights of the model directory `shipped`, if given. A checkpoint is kept every so many (`every`) steps.
    """
    device = begin(seed, threads)
    model, checkpoint = build(), work / "denoiser.pt"
    if shipped and not checkpoint.exists():
        inherit(model, shipped)
    model.to(device)
    average = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    state: dict[str, Any] = load_whole(checkpoint, device) if checkpoint.exists() else {"step": 0, "seconds": 0.0}
    if checkpoint.exists():
        model.load_state_dict(state["model"])
        average.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
    first, before, warm = state["step"], state["seconds"], min(200, max(1, steps // 4))
    lessons = Lessons(work, device)
    torch.manual_seed(seed + first)
    print(f"{parameters([model]):.2f} M parameters, {len(lessons)} scenes in {len(lessons.sizes)} shapes, from step {first}", flush=True)
    noiser, log, losses, started = DDPMScheduler(**SCHEDULE), Log(work / "denoiser.jsonl"), [0.0][:0], time.time()
    alphas = noiser.alphas_cumprod = noiser.alphas_cumprod.to(device)

    def keep() -> None:
        spent = before + time.time() - started
        held = {"model": model.state_dict(), "ema": average.state_dict(), "optimizer": optimizer.state_dict()}
        save_whole(held | {"step": first + len(losses), "seconds": spent}, checkpoint)
        average.save_pretrained(work / "unet")

    for step in range(steps):
        done = max(step / steps, (before + time.time() - started) / seconds)
        if done >= 1:
            break
        if step % 500 == 499 and sum(len(dataset.parts(work, size)) for size in dataset.sizes(work)) > MORE * lessons.parts:
            # Somebody is still painting.
            lessons = Lessons(work, device)
            print(f"{len(lessons)} scenes now", flush=True)
        x, words, things = lessons.draw(batch, lone[0] + (lone[1] - lone[0]) * done)
        noise, t = torch.randn_like(x), timesteps(batch, device)
        wanted = noiser.get_velocity(x, noise, t)
        with autocast(device):
            guess = model(noiser.add_noise(x, noise, t), t, encoder_hidden_states=words, return_dict=False)[0]
        # What a weight does not depend on the picture's own chance does not change what is best, only what is learned first: things before scenery, and the
        # faint channels, which carry details, nearer to the loud ones.
        signal = alphas[t][:, None, None, None]
        weights = (1 + (EYE - 1) * things) * (signal + (1 - signal) * lessons.spread) ** -EVENING
        loss = ((guess.float() - wanted).square() * weights).sum() / weights.sum()
        for group in optimizer.param_groups:
            group["lr"] = lr * min(warmup_cosine(int(done * 10_000), 10_000, warmup=1), (first + step + 1) / warm)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        ema_update(average, model, first + step)
        losses.append(loss.item())
        log.step(first + step + 1, losses[-1])
        if (step + 1) % every == 0:
            keep()
    keep()
    return losses


if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("work", type=Path)
    parse.add_argument("--seconds", type=float, default=3000)
    parse.add_argument("--steps", type=int, default=100_000)
    parse.add_argument("--batch", type=int, default=48)
    parse.add_argument("--lr", type=float, default=8e-4)
    parse.add_argument("--threads", type=int, default=0)
    parse.add_argument("--every", type=int, default=250)
    parse.add_argument("--lone", type=float, nargs=2, default=LONE, help="share of the square batches with a single thing, at the start and at the end")
    parse.add_argument("--shipped", type=Path)
    train(**vars(parse.parse_args()))
