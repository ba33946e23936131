"""Stage 5: the decoder meets the denoiser (`python -m training.polish WORK --seconds 300`).

The decoder has learned from exact latents; what the denoiser hands it is smoother and slightly wrong. So half of each batch here is
noised, given back by the trained denoiser in one step, and must still decode to the painted picture. The encoder stays as it is.
With `--critic SHARE` a critic of patches is heard in the last share of the time, the one the decoder already knows if it has met one.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel

from training import autoencoder, dataset
from training.common import Log, autocast, begin, load_whole, save_whole, warmup_cosine
from training.denoiser import SCHEDULE, encode_words
from training.feed import Losses, Pictures

#: Highest timestep a picture is noised to: beyond it the denoiser would paint other scenery than the picture's.
DEEPEST = 600
#: Pictures that a GPU holds here at most: each brings its words along.
MOST = 60_000
#: How slowly the averaged weights follow: on a processor, on a GPU.
SLOWLY = {"cpu": 0.98, "cuda": 0.99}


def train(work: Path, seconds: float, steps: int, batch: int = 8, lr: float = 7e-4, seed: int = 4, threads: int = 0, critic: float = 0.0) -> list[float]:
    """Go on training the decoder of `work` for `seconds` or `steps`, against a critic in the last share `critic`; returns the losses."""
    device = begin(seed, threads)
    state = load_whole(work / "autoencoder.pt", device)
    model = autoencoder.load(work)
    # From the averaged weights, whatever the last sitting's own ones were.
    school = autoencoder.School(model, {name: value for name, value in state.items() if name != "raw"}, lr, critic, device)
    known = copy.deepcopy(school.average.decoder)
    unet: Any = UNet2DConditionModel
    unet = unet.from_pretrained(work / "unet").requires_grad_(False).to(device)
    made: Any = DDPMScheduler
    noiser = made(**SCHEDULE)
    alphas = noiser.alphas_cumprod = noiser.alphas_cumprod.to(device)
    there = dataset.parts(work)
    given = Pictures([np.load(part, mmap_mode="r") for part in there], device, MOST)
    captions = [str(each["caption"]) for each in dataset.words(work, there=there[: len(given.store)])]
    unique = list(dict.fromkeys(captions))
    where = {caption: k for k, caption in enumerate(unique)}
    words, said = encode_words(work, [*unique, ""], device), torch.tensor([where[caption] for caption in captions], device=device)
    rng, losses, started = np.random.default_rng(seed), Losses(Log(work / "polish.jsonl")), time.time()
    for step in range(steps):
        done = max(step / steps, (time.time() - started) / seconds)
        if done >= 1:
            break
        picks = given.pick(batch, rng)
        pictures = given.at(picks)
        with torch.no_grad():
            latents = model.encoder(pictures)
            clean = latents[: batch // 2] * model.config.scaling_factor
            t = torch.randint(20, DEEPEST, (len(clean),), device=device)
            noise = torch.randn_like(clean)
            noisy, keep = noiser.add_noise(clean, noise, t), alphas[t][:, None, None, None]
            with autocast(device):
                velocity = unet(noisy, t, encoder_hidden_states=words[said[picks[: batch // 2]]].float(), return_dict=False)[0]
            guess = keep.sqrt() * noisy - (1 - keep).sqrt() * velocity.float()
            latents[: batch // 2] = guess / model.config.scaling_factor
        rate = warmup_cosine(int(done * 10_000), 10_000, warmup=200)
        losses.add(**school.step(latents, pictures, done, rate, (step, SLOWLY[device.type])))
    losses.settle()
    spent = time.time() - started
    psnr = school.settle(work, given.store, known if school.plain is not None else None, "vae_unpolished")
    state |= school.state() | {"step": state.get("step", 0) + len(losses.kept), "seconds": state.get("seconds", 0.0) + spent}
    save_whole(state, work / "autoencoder.pt")
    print(json.dumps({"polish_steps": len(losses.kept), "seconds": round(spent), "psnr": round(psnr, 2)}), flush=True)
    return losses.kept


if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("work", type=Path)
    parse.add_argument("--seconds", type=float, default=300)
    parse.add_argument("--steps", type=int, default=100_000)
    parse.add_argument("--batch", type=int, default=8)
    parse.add_argument("--lr", type=float, default=7e-4)
    parse.add_argument("--threads", type=int, default=0)
    parse.add_argument("--critic", type=float, default=0.0, help="share of the time, at its end, in which a critic of patches is heard")
    train(**vars(parse.parse_args()))
