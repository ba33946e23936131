"""Stage 4: the denoiser (`python -m training.denoiser WORK --seconds 3000`): a stock `UNet2DConditionModel` on 8 × 8 × 32 latents.

v-prediction under the DDPM forward process (Ho et al. 2020; Salimans & Ho 2022). The schedule ends at a signal-to-noise ratio of
about 1e-5, so every stock sampler may start from pure noise without being told so. The words reach the network twice: pooled, in the
time embedding of every block (learns within minutes which thing, place and style are meant), and by cross-attention.
Trained the way stock pipelines run it: padding tokens included, no attention mask at the U-Net.
"""

from __future__ import annotations

import argparse
import copy
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler, UNet2DConditionModel
from transformers import BertModel, BertTokenizer

from training import autoencoder, dataset
from training.common import Log, ema_update, parameters, save_whole, warmup_cosine
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


def build() -> Any:
    return UNet2DConditionModel(
        sample_size=8, in_channels=autoencoder.LATENT_CHANNELS, out_channels=autoencoder.LATENT_CHANNELS, block_out_channels=(96, 128), layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), mid_block_type="UNetMidBlock2DCrossAttn",
        cross_attention_dim=384, attention_head_dim=(3, 4), use_linear_projection=True, addition_embed_type="text", addition_embed_type_num_heads=12,
        resnet_time_scale_shift="scale_shift", norm_num_groups=16,
    )  # fmt: skip


@torch.no_grad()
def projection(work: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """The encoder as one matrix (768, C) and offset (C,) on 16 × 16 patches: it is linear, so its answers to unit pictures say all."""
    vae = autoencoder.load(work)
    zero = vae.encoder(torch.zeros(1, 3, 16, 16)).flatten()
    units = torch.eye(768).reshape(768, 3, 16, 16)
    scale = vae.config.scaling_factor
    return (vae.encoder(units).flatten(1) - zero) * scale, zero * scale


@torch.no_grad()
def encode_pictures(work: Path) -> torch.Tensor:
    """Every scene's latents as the U-Net sees them, (N, C, 8, 8) float16; parts already encoded are kept in `work/latents.pt`."""
    kept = work / "latents.pt"
    done: dict[str, torch.Tensor] = torch.load(kept) if kept.exists() else {}
    matrix, offset = projection(work)
    fresh = [p for p in dataset.parts(work) if p.stem not in done]
    for path, store in zip(dataset.parts(work), dataset.pixels(work), strict=True):
        if path not in fresh:
            continue
        out = []
        for k in range(0, len(store), 250):
            patches = F.unfold(autoencoder.to_tensor(store[k : k + 250]), 16, stride=16)
            latents = torch.einsum("npl,pc->ncl", patches, matrix) + offset[None, :, None]
            out.append(latents.reshape(len(latents), -1, 8, 8).half())
        done[path.stem] = torch.cat(out)
    if fresh:
        save_whole(done, kept)
    return torch.cat([done[p.stem] for p in dataset.parts(work)])


@torch.no_grad()
def encode_words(work: Path, captions: list[str]) -> torch.Tensor:
    """The text encoder's states of each caption, (N, LENGTH, 384) float16, as a stock pipeline asks for them; kept in `work/words.pt`."""
    kept = work / "words.pt"
    if kept.exists() and (known := torch.load(kept))["captions"] == captions:
        return known["states"]  # type: ignore[no-any-return]
    tokenizer, encoder = BertTokenizer.from_pretrained(work / "tokenizer"), BertModel.from_pretrained(work / "text_encoder", add_pooling_layer=False).eval()
    states = torch.empty(len(captions), LENGTH, 384, dtype=torch.float16)
    for k in range(0, len(captions), 256):
        tokens = tokenizer(captions[k : k + 256], padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt")
        states[k : k + 256] = encoder(tokens.input_ids, attention_mask=tokens.attention_mask)[0].half()
    save_whole({"captions": captions, "states": states}, kept)
    return states


def train(work: Path, seconds: float, steps: int, batch: int = 32, lr: float = 1e-3, seed: int = 3, compiled: bool = False) -> list[float]:
    """Train until `seconds` of training (earlier sittings counted in) or `steps` more; checkpoints hold all a later sitting needs. Returns the losses."""
    torch.manual_seed(seed)
    torch.set_flush_denormal(True)
    model, checkpoint = build(), work / "denoiser.pt"
    average = copy.deepcopy(model).requires_grad_(False)

    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    state: dict[str, Any] = torch.load(checkpoint) if checkpoint.exists() else {"step": 0, "seconds": 0.0}
    if checkpoint.exists():
        model.load_state_dict(state["model"])
        average.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
    first, before = state["step"], state["seconds"]
    latents, captions = encode_pictures(work), dataset.captions(work)
    unique = list(dict.fromkeys(captions))
    where = {caption: k for k, caption in enumerate(unique)}
    states, index, blank = encode_words(work, [*unique, ""]), torch.tensor([where[c] for c in captions]), len(unique)
    print(f"{parameters([model]):.2f} M parameters, {len(latents)} scenes, {len(unique)} captions, from step {first}", flush=True)
    noiser, log, losses, started = DDPMScheduler(**SCHEDULE), Log(work / "denoiser.jsonl"), [], time.time()
    run: Any = torch.compile(model) if compiled else model

    def keep() -> None:
        spent = before + time.time() - started
        save_whole(
            {"model": model.state_dict(), "ema": average.state_dict(), "optimizer": optimizer.state_dict(), "step": first + len(losses), "seconds": spent},
            checkpoint,
        )
        average.save_pretrained(work / "unet")

    for step in range(steps):
        done = max(step / steps, (before + time.time() - started) / seconds)
        if done >= 1:
            break
        pick = torch.randint(len(latents), (batch,))
        x = latents[pick].float()
        noise = torch.randn_like(x)
        # One timestep from each of `batch` equal slices: less luck in the loss.
        t = ((torch.arange(batch) + torch.rand(batch)) / batch * noiser.config["num_train_timesteps"]).long()
        words = states[torch.where(torch.rand(batch) < BLANK, blank, index[pick])].float()
        wanted = noiser.get_velocity(x, noise, t)
        loss = F.mse_loss(run(noiser.add_noise(x, noise, t), t, encoder_hidden_states=words, return_dict=False)[0], wanted)
        for group in optimizer.param_groups:
            group["lr"] = lr * min(warmup_cosine(int(done * 10_000), 10_000, warmup=1), (first + step + 1) / 200)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        ema_update(average, model, first + step)
        losses.append(loss.item())
        log.step(first + step + 1, losses[-1])
        if (step + 1) % 250 == 0:
            keep()
    keep()
    return losses


if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("work", type=Path)
    parse.add_argument("--seconds", type=float, default=3000)
    parse.add_argument("--steps", type=int, default=100_000)
    parse.add_argument("--batch", type=int, default=32)
    parse.add_argument("--lr", type=float, default=1e-3)
    parse.add_argument("--compiled", action="store_true")
    train(**vars(parse.parse_args()))
