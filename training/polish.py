"""Stage 5: the decoder meets the denoiser (`python -m training.polish WORK --seconds 300`).

The decoder has learned from exact latents; what the denoiser hands it is smoother and slightly wrong. So half of each batch here is
noised, given back by the trained denoiser in one step, and must still decode to the painted picture. The encoder stays as it is.
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
from training.common import Log, ema_update, save_whole, warmup_cosine
from training.denoiser import SCHEDULE, encode_words

#: Highest timestep a picture is noised to: beyond it the denoiser would paint other scenery than the picture's.
DEEPEST = 600


def train(work: Path, seconds: float, steps: int, batch: int = 8, lr: float = 7e-4, seed: int = 4) -> list[float]:
    """Go on training the decoder of `work` for `seconds` or `steps`; returns the losses."""
    torch.manual_seed(seed)
    torch.set_flush_denormal(True)
    state = torch.load(work / "autoencoder.pt")
    model = autoencoder.load(work)
    model.encoder.requires_grad_(False)
    average = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(model.decoder.parameters(), lr=lr, betas=(0.9, 0.98), weight_decay=1e-4)
    optimizer.load_state_dict(state["optimizer"])
    unet: Any = UNet2DConditionModel
    unet = unet.from_pretrained(work / "unet").requires_grad_(False)
    made: Any = DDPMScheduler
    noiser = made(**SCHEDULE)
    alphas = noiser.alphas_cumprod
    store, captions = dataset.pixels(work), dataset.captions(work)
    unique = list(dict.fromkeys(captions))
    where = {caption: k for k, caption in enumerate(unique)}
    words, starts = encode_words(work, [*unique, ""]), np.cumsum([0, *(len(s) for s in store)])
    rng, log, losses, started = np.random.default_rng(seed), Log(work / "polish.jsonl"), [0.0][:0], time.time()
    for step in range(steps):
        done = max(step / steps, (time.time() - started) / seconds)
        if done >= 1:
            break
        picks = [(int(p), int(rng.integers(len(store[p])))) for p in rng.integers(0, len(store), batch)]
        pictures = autoencoder.to_tensor(np.stack([store[p][k] for p, k in picks]))
        with torch.no_grad():
            latents = model.encoder(pictures)
            clean = latents[: batch // 2] * model.config.scaling_factor
            said = words[[where[captions[starts[p] + k]] for p, k in picks[: batch // 2]]].float()
            t = torch.randint(20, DEEPEST, (len(clean),))
            noise = torch.randn_like(clean)
            noisy, keep = noiser.add_noise(clean, noise, t), alphas[t][:, None, None, None]
            guess = keep.sqrt() * noisy - (1 - keep).sqrt() * unet(noisy, t, encoder_hidden_states=said, return_dict=False)[0]
            latents[: batch // 2] = guess / model.config.scaling_factor
        loss = autoencoder.detail_loss(model.decoder(latents), pictures)
        for group in optimizer.param_groups:
            group["lr"] = lr * warmup_cosine(int(done * 10_000), 10_000, warmup=200)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.decoder.parameters(), 1.0)
        optimizer.step()
        ema_update(average.decoder, model.decoder, step, 0.98)
        losses.append(loss.item())
        log.step(step + 1, losses[-1])
    spent = time.time() - started
    state |= {"model": average.state_dict(), "raw": model.state_dict(), "optimizer": optimizer.state_dict()}
    save_whole(state | {"step": state["step"] + len(losses), "seconds": state["seconds"] + spent}, work / "autoencoder.pt")
    psnr = autoencoder.finish(work, average, store)
    print(json.dumps({"polish_steps": len(losses), "seconds": round(spent), "psnr": round(psnr, 2)}), flush=True)
    return losses


if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("work", type=Path)
    parse.add_argument("--seconds", type=float, default=300)
    parse.add_argument("--steps", type=int, default=100_000)
    parse.add_argument("--lr", type=float, default=7e-4)
    train(**vars(parse.parse_args()))
