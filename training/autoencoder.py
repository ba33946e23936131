"""Stage 3: the autoencoder, 128 × 128 RGB ⇄ 8 × 8 × 48 latents (`python -m training.autoencoder WORK --seconds 900`).

A stock `AutoencoderTiny` of factor 16. Its encoder is not trained but computed: the principal components of 16 × 16 patches, written
into its strided convolutions. Latents are known (and smooth) from the first minute, so the denoiser need not wait, and the decoder can
be trained or polished at any time without moving them. The decoder knows this small world, so it puts back what the projection drops.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny
from diffusers.models.autoencoders.vae import AutoencoderTinyBlock

from training.common import Log, ema_update, parameters, save_whole, warmup_cosine
from training.dataset import draw, pixels
from training.scenes import sheet

LATENT_CHANNELS = 48
WIDTH = 64  # of the encoder: components kept of an 8 × 8 patch
DECODER_WIDTH, DECODER_BLOCKS = 48, (3, 5, 3, 1, 0)
#: Standard deviation of the latents inside the autoencoder: small enough for the decoder's tanh clamp at ±3 to be nearly a line.
SPREAD = 0.4
#: Pictures whose patches the components are computed from.
FITTED = 1_500
#: Components keep this power of their own size: 1 would whiten them, 0 leave faint details to the very last steps.
WHITENING = 0.5


def build() -> Any:
    return AutoencoderTiny(
        latent_channels=LATENT_CHANNELS, encoder_block_out_channels=(WIDTH,) * 5, num_encoder_blocks=(0,) * 5,
        decoder_block_out_channels=(DECODER_WIDTH,) * 5, num_decoder_blocks=DECODER_BLOCKS, scaling_factor=1 / SPREAD,
    )  # fmt: skip


def to_tensor(pictures: np.ndarray) -> torch.Tensor:
    """uint8 (N, H, W, 3) pictures → float (N, 3, H, W) in −1..1, channels last in memory."""
    return torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def _fold(x: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) → (N, 4C, H/2, W/2), the four pixels of a square in reading order, channel-minor: what a strided convolution sees."""
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).permute(0, 3, 5, 1, 2, 4).reshape(n, 4 * c, h // 2, w // 2)


def _components(x: torch.Tensor, keep: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The `keep` leading eigenvectors (rows) and eigenvalues of (N, C, H, W) over all positions."""
    flat = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]).double()
    values, vectors = torch.linalg.eigh(torch.cov(flat.T))
    order = values.argsort(descending=True)[:keep]
    return vectors[:, order].T.float(), values[order].float()


@torch.no_grad()
def fit_encoder(model: Any, pictures: torch.Tensor) -> None:
    """Write the patches' principal components into the encoder, their sizes evened out and their overall spread brought to `SPREAD`."""
    layers = [layer for layer in model.encoder.layers if isinstance(layer, torch.nn.Conv2d)]
    for layer in layers:
        layer.weight.zero_()
        if layer.bias is not None:
            layer.bias.zero_()
    for c in range(3):
        layers[0].weight[c, c, 1, 1] = 1
    x, used = (pictures + 1) / 2, 3
    for k in range(1, 5):
        folded = _fold(x)
        rows = torch.eye(4 * used) if 4 * used <= WIDTH else _components(folded, WIDTH)[0]
        for corner, (dy, dx) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
            layers[k].weight[: len(rows), :used, 1 + dy, 1 + dx] = rows[:, corner * used : (corner + 1) * used]
        x, used = torch.einsum("oc,nchw->nohw", rows, folded), len(rows)
    rows, values = _components(x, LATENT_CHANNELS)
    rows = rows / values.sqrt()[:, None] ** WHITENING
    y = torch.einsum("oc,nchw->nohw", rows, x)
    size = SPREAD / (y - y.mean((0, 2, 3), keepdim=True)).std()
    layers[5].weight[:, :, 1, 1] = rows * size
    layers[5].bias.copy_(-y.mean((0, 2, 3)) * size)


@torch.no_grad()
def ease_decoder(model: Any) -> None:
    """A start from which the decoder learns fast: every latent arrives at full size unchanged (lifted above the ReLUs), blocks add nothing yet."""
    layers = list(model.decoder.layers)
    for layer in layers:
        if isinstance(layer, AutoencoderTinyBlock):
            layer.conv[-1].weight.mul_(0.1)
            layer.conv[-1].bias.zero_()
        elif isinstance(layer, torch.nn.Conv2d) and layer.out_channels == DECODER_WIDTH:
            layer.weight.mul_(0.1)
            layer.weight[:, :, 1, 1] += torch.eye(DECODER_WIDTH, layer.in_channels)
    layers[0].bias.fill_(2.0)
    layers[-1].weight.mul_(0.1)
    layers[-1].bias.fill_(0.5)


def detail_loss(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """L1 of the pixels and of three levels of detail (a Laplacian pyramid)."""
    total = (a - b).abs().mean()
    for _ in range(3):
        low_a, low_b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        total = total + 0.8 * ((a - F.interpolate(low_a, scale_factor=2)) - (b - F.interpolate(low_b, scale_factor=2))).abs().mean()
        a, b = low_a, low_b
    return total + (a - b).abs().mean()


@torch.no_grad()
def inherit(work: Path, shipped: Path) -> None:
    """Begin at the encoder of the model directory `shipped`: its components stay the first ones, so a denoiser that knows them can go on; more are added.

    The added ones are the leading components of what the shipped ones leave of a patch. The decoder starts anew.
    """
    kind: Any = AutoencoderTiny
    theirs = [layer for layer in kind.from_pretrained(shipped / "vae", torch_dtype=torch.float32).encoder.layers if isinstance(layer, torch.nn.Conv2d)]
    torch.manual_seed(1)
    model = build()
    ease_decoder(model)
    layers = [layer for layer in model.encoder.layers if isinstance(layer, torch.nn.Conv2d)]
    for own, known in zip(layers[:-1], theirs[:-1], strict=True):
        own.load_state_dict(known.state_dict())
    x = (to_tensor(draw(pixels(work), FITTED, np.random.default_rng(1))) + 1) / 2
    for layer in layers[:-1]:
        x = layer(x)
    known = theirs[-1].weight[:, :, 1, 1]
    kept = torch.linalg.qr(known.T)[0]
    left = x - torch.einsum("ck,nkhw->nchw", kept, torch.einsum("ck,nchw->nkhw", kept, x))
    rows, values = _components(left, LATENT_CHANNELS - len(known))
    # What a shipped component was multiplied by beyond its own size, so that the added ones are evened out alike.
    unit = known / known.norm(dim=1, keepdim=True)
    size = (known.norm(dim=1) * torch.einsum("oc,nchw->nohw", unit, x).std((0, 2, 3)) ** WHITENING).median()
    added = rows * size / values.sqrt()[:, None] ** WHITENING
    weight, bias = layers[-1].weight, layers[-1].bias
    weight.zero_()
    weight[: len(known), :, 1, 1], weight[len(known) :, :, 1, 1] = known, added
    bias[: len(known)] = theirs[-1].bias
    bias[len(known) :] = -torch.einsum("oc,nchw->nohw", added, x).mean((0, 2, 3))
    save_whole({"model": model.state_dict(), "step": 0, "seconds": 0.0}, work / "autoencoder.pt")


def load(work: Path) -> Any:
    """The autoencoder with its computed encoder: the kept one, else a fresh one fitted to the first scenes."""
    model, checkpoint = build(), work / "autoencoder.pt"
    if checkpoint.exists():
        model.load_state_dict(torch.load(checkpoint)["model"])
    else:
        torch.manual_seed(1)
        model = build()
        ease_decoder(model)
        fit_encoder(model, to_tensor(draw(pixels(work), FITTED, np.random.default_rng(1))))
        save_whole({"model": model.state_dict(), "step": 0, "seconds": 0.0}, checkpoint)
    return model.to(memory_format=torch.channels_last)


def train(work: Path, seconds: float, steps: int, batch: int = 8, lr: float = 1.5e-3, noise: float = 0.1, seed: int = 1) -> list[float]:
    """Train the decoder for `seconds` or `steps` more; the rate falls to nothing at the end, so each sitting ends usable. Returns the losses."""
    torch.set_flush_denormal(True)
    model, average, checkpoint = load(work), load(work), work / "autoencoder.pt"
    model.encoder.requires_grad_(False)
    state = torch.load(checkpoint)
    optimizer = torch.optim.AdamW(model.decoder.parameters(), lr=lr, betas=(0.9, 0.98), weight_decay=1e-4)
    if "optimizer" in state:
        optimizer.load_state_dict(state["optimizer"])
        model.load_state_dict(state["raw"])
    first, before = state["step"], state["seconds"]
    print(f"{parameters([model.encoder]):.2f} + {parameters([model.decoder]):.2f} M parameters, from step {first}")
    rng, store, log, losses, started = np.random.default_rng(seed + first), pixels(work), Log(work / "autoencoder.jsonl"), [], time.time()
    for step in range(steps):
        done = max(step / steps, (time.time() - started) / seconds)
        if done >= 1:
            break
        pictures = to_tensor(draw(store, batch, rng))
        with torch.no_grad():
            latents = model.encoder(pictures)
            # Some pictures get latents as a denoiser leaves them: slightly off.
            latents = latents + noise * SPREAD * torch.rand(batch, 1, 1, 1).square() * 2 * torch.randn_like(latents)
        loss = detail_loss(model.decoder(latents), pictures)
        for group in optimizer.param_groups:
            group["lr"] = lr * warmup_cosine(int(done * 10_000), 10_000, warmup=400)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.decoder.parameters(), 1.0)
        optimizer.step()
        ema_update(average.decoder, model.decoder, step, 0.99)
        losses.append(loss.item())
        log.step(first + step + 1, losses[-1])
        if (step + 1) % 200 == 0:
            save_whole(
                {
                    "model": average.state_dict(),
                    "raw": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "step": first + step + 1,
                    "seconds": before + time.time() - started,
                },
                checkpoint,
            )
            print(f"PSNR {finish(work, average, store):.2f} dB", flush=True)
    save_whole(
        {
            "model": average.state_dict(),
            "raw": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "step": first + len(losses),
            "seconds": before + time.time() - started,
        },
        checkpoint,
    )
    print(f"PSNR {finish(work, average, store):.2f} dB", flush=True)
    return losses


@torch.no_grad()
def finish(work: Path, model: Any, store: list[np.ndarray]) -> float:
    """Save the model and a sheet of pictures above their rebuilds to look at; returns the PSNR in dB."""
    scenes = draw(store, 64, np.random.default_rng(0))
    pictures = to_tensor(scenes)
    latents = model.encoder(pictures)
    rebuilt = model.decoder(latents).clamp(-1, 1)
    model.save_pretrained(work / "vae")
    before, after = (((p + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy() for p in (pictures, rebuilt))
    sheet([p for k in range(0, 48, 12) for p in (*before[k : k + 12], *after[k : k + 12])], 12).save(work / "autoencoder.png")
    psnr = float(-10 * torch.log10(((rebuilt - pictures) / 2).square().mean()))
    (work / "psnr.json").write_text(json.dumps({"psnr_db": round(psnr, 2), "pictures": len(pictures)}) + "\n")
    return psnr


if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("work", type=Path)
    parse.add_argument("--seconds", type=float, default=900)
    parse.add_argument("--steps", type=int, default=100_000)
    parse.add_argument("--lr", type=float, default=1.5e-3)
    parse.add_argument("--batch", type=int, default=8)
    train(**vars(parse.parse_args()))
