"""Stage 3: the autoencoder, 128 × 128 RGB ⇄ 8 × 8 × 48 latents (`python -m training.autoencoder WORK --seconds 900`).

A stock `AutoencoderTiny` of factor 16. Its encoder is not trained but computed: the principal components of 16 × 16 patches, written
into its strided convolutions. Latents are known (and smooth) from the first minute, so the denoiser need not wait, and the decoder can
be trained or polished at any time without moving them. The decoder knows this small world, so it puts back what the projection drops.
With `--critic SHARE` a critic of patches is heard in the last share of the time: what the latents leave open is then decided, not averaged.
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
import torch.nn.functional as F
from diffusers import AutoencoderTiny
from diffusers.models.autoencoders.vae import AutoencoderTinyBlock

from training.common import Log, autocast, begin, ema_update, load_whole, parameters, save_whole, warmup_cosine
from training.critic import Critic, adversarial, balance, learn
from training.dataset import draw, parts, pixels
from training.feed import Losses, Pictures
from training.measures import compare
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
#: Width of the decoder's critic, and its gradient's size against the other losses' at the last layer.
CRITIC, HEARD = 32, 0.4
#: What the critic may cost in dB; if it costs more, something went wrong, and the decoder is again what it was without.
LOST = 1.5
#: The autoencoder as it was when the critic came.
PLAIN = "vae_plain"
#: On a GPU, scenes painted while it trains are taken in when there are so many times as many.
MORE = 1.5
#: Steps between two checkpoints, and how slowly the averaged weights follow: on a processor, on a GPU.
KEPT, SLOWLY = {"cpu": 200, "cuda": 1000}, {"cpu": 0.99, "cuda": 0.995}


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
    """The autoencoder with its computed encoder, on the processor: the kept one, else a fresh one fitted to the first scenes."""
    model, checkpoint = build(), work / "autoencoder.pt"
    if checkpoint.exists():
        model.load_state_dict(load_whole(checkpoint)["model"])
    else:
        torch.manual_seed(1)
        model = build()
        ease_decoder(model)
        fit_encoder(model, to_tensor(draw(pixels(work), FITTED, np.random.default_rng(1))))
        save_whole({"model": model.state_dict(), "step": 0, "seconds": 0.0}, checkpoint)
    return model.to(memory_format=torch.channels_last)


class School:
    """Steps of the decoder of `model` towards pictures, and from `share` of the time before the end on against a critic as well.

    The critic judges what a picture has beyond the one of `plain`: the averaged decoder as it was when the critic first came. `state` is a checkpoint, or {}.
    """

    def __init__(self, model: Any, state: dict[str, Any], lr: float, share: float, device: torch.device) -> None:
        torch.backends.cudnn.benchmark = True
        self.device, self.lr, self.share, self.average = device, lr, share, copy.deepcopy(model)
        if "raw" in state:
            model.load_state_dict(state["raw"])
        self.model = model
        for each in (model, self.average):
            each.to(device=device, memory_format=torch.channels_last)
        model.encoder.requires_grad_(False)
        self.average.requires_grad_(False)
        self.optimizer = self._optimizer(model.decoder, lr, 0.9, state.get("optimizer"))
        self.plain: Any = None
        if share:
            self.critic = Critic(CRITIC).to(device)
            self.critic.to(memory_format=torch.channels_last)
            self.judge = self._optimizer(self.critic, 3e-4, 0.5, state.get("judge"))
            if "plain" in state:
                self.plain = copy.deepcopy(self.average.decoder)
                self.plain.load_state_dict(state["plain"])
                self.critic.load_state_dict(state["critic"])

    def _optimizer(self, model: torch.nn.Module, lr: float, momentum: float, state: dict[str, Any] | None) -> torch.optim.AdamW:
        """AdamW, going on from `state` if given; in one piece on a GPU, wherever the state was saved."""
        fused = True if self.device.type == "cuda" else None
        made = torch.optim.AdamW(model.parameters(), lr=lr, betas=(momentum, 0.98), weight_decay=1e-4, fused=fused)
        if state is not None:
            made.load_state_dict(state)
            for group in made.param_groups:
                group["fused"] = fused
        return made

    def step(self, latents: torch.Tensor, pictures: torch.Tensor, done: float, rate: float, keep: tuple[int, float]) -> dict[str, torch.Tensor]:
        """One step at share `done` of the time with `rate` of the learning rate; `keep`: the step and the slowness for `ema_update`. Returns losses."""
        with autocast(self.device):
            made = self.model.decoder(latents)
        made = made.float()
        loss = detail = detail_loss(made, pictures)
        if hears := self.share > 0 and done >= 1 - self.share:
            if self.plain is None:
                self.plain = copy.deepcopy(self.average.decoder)
            with torch.no_grad(), autocast(self.device):
                base = self.plain(latents)
            seen, true, base = (each.float() / 2 + 0.5 for each in (made, pictures, base))
            scolded = adversarial(self.critic, seen, true, base)
            heard = HEARD * min(1.0, (done - 1 + self.share) / 0.1)
            loss = detail + balance(self.model.decoder.layers[-1].weight, (detail, scolded), heard).detach() * scolded
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * rate
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.decoder.parameters(), 1.0)
        self.optimizer.step()
        ema_update(self.average.decoder, self.model.decoder, *keep)
        return {"loss": detail.detach()} | ({"critic": learn(self.critic, self.judge, seen.detach(), true, base)} if hears else {})

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        held = {"model": self.average.state_dict(), "raw": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        if self.plain is not None:
            held |= {"plain": self.plain.state_dict(), "critic": self.critic.state_dict(), "judge": self.judge.state_dict()}
        return held

    def settle(self, work: Path, store: list[np.ndarray], before: Any, name: str = PLAIN) -> float:
        """`finish`, and the same of the decoder `before`, if given, in `work/name`; which takes its place if it is better by far. Returns dB."""
        if before is None:
            return finish(work, self.average, store)
        plain = copy.deepcopy(self.average)
        plain.decoder.load_state_dict(before.state_dict())
        without, judged = finish(work, plain, store, name), finish(work, self.average, store)
        print(f"PSNR without the critic {without:.2f} dB, with it {judged:.2f} dB", flush=True)
        if judged >= without - LOST:
            return judged
        print("the critic cost too much: back to the decoder without it", flush=True)
        for each in (self.average, self.model):
            each.decoder.load_state_dict(before.state_dict())
        return finish(work, self.average, store)


def train(
    work: Path, seconds: float, steps: int, batch: int = 8, lr: float = 1.5e-3, noise: float = 0.1, seed: int = 1, threads: int = 0, critic: float = 0.0
) -> list[float]:
    """Train the decoder for `seconds` or `steps` more; the rate falls to nothing at the end, so each sitting ends usable. Returns the losses.

    In the last share `critic` of the time a critic is heard as well.
    """
    device = begin(seed, threads)
    model, checkpoint = load(work), work / "autoencoder.pt"
    state = load_whole(checkpoint, device)
    school = School(model, state, lr, critic, device)
    first, before = state.get("step", 0), state.get("seconds", 0.0)
    print(f"{parameters([model.encoder]):.2f} + {parameters([model.decoder]):.2f} M parameters, from step {first}")
    rng, store, losses, every = np.random.default_rng(seed + first), pixels(work), Losses(Log(work / "autoencoder.jsonl"), first), KEPT[device.type]
    given, started = Pictures(store, device), time.time()

    def keep() -> None:
        spent = before + time.time() - started
        save_whole(school.state() | {"step": first + len(losses.settle()), "seconds": spent}, checkpoint)

    for step in range(steps):
        done = max(step / steps, (time.time() - started) / seconds)
        if done >= 1:
            break
        pictures = given.at(given.pick(batch, rng))
        with torch.no_grad():
            latents = model.encoder(pictures)
            # Some pictures get latents as a denoiser leaves them: slightly off.
            latents = latents + noise * SPREAD * torch.rand(batch, 1, 1, 1, device=device).square() * 2 * torch.randn_like(latents)
        rate = warmup_cosine(int(done * 10_000), 10_000, warmup=400)
        seen = school.step(latents, pictures, done, rate, (step, SLOWLY[device.type]))
        losses.add(**seen)
        if (step + 1) % every == 0:
            keep()
            print(f"PSNR {finish(work, school.average, store):.2f} dB", flush=True)
            if given.whole is not None and len(parts(work)) > MORE * len(store):
                store = pixels(work)  # somebody is still painting
                given = Pictures(store, device)
                print(f"{len(given)} scenes now", flush=True)
    losses.settle()
    psnr = school.settle(work, store, school.plain)
    keep()
    print(f"PSNR {psnr:.2f} dB", flush=True)
    return losses.kept


@torch.no_grad()
def finish(work: Path, model: Any, store: list[np.ndarray], name: str = "vae") -> float:
    """Save the model in `work/name` and a sheet of pictures above their rebuilds to look at; returns the PSNR in dB."""
    scenes = draw(store, 64, np.random.default_rng(0))
    pictures = to_tensor(scenes).to(model.device)
    latents = model.encoder(pictures)
    rebuilt = model.decoder(latents).clamp(-1, 1)
    model.save_pretrained(work / name)
    before, after = (((p + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy() for p in (pictures, rebuilt))
    whole = name == "vae"
    shown = sheet([p for k in range(0, 48, 12) for p in (*before[k : k + 12], *after[k : k + 12])], 12)
    shown.save(work / ("autoencoder.png" if whole else f"{name}.png"))
    psnr = float(-10 * torch.log10(((rebuilt - pictures) / 2).square().mean()))
    figures = {"psnr_db": round(psnr, 2), "pictures": len(pictures), "sharpness": compare(after, before)["sharpness"]}
    (work / ("psnr.json" if whole else f"{name}.json")).write_text(json.dumps(figures) + "\n")
    return psnr


if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("work", type=Path)
    parse.add_argument("--seconds", type=float, default=900)
    parse.add_argument("--steps", type=int, default=100_000)
    parse.add_argument("--lr", type=float, default=1.5e-3)
    parse.add_argument("--batch", type=int, default=8)
    parse.add_argument("--threads", type=int, default=0)
    parse.add_argument("--critic", type=float, default=0.0, help="share of the time, at its end, in which a critic of patches is heard")
    train(**vars(parse.parse_args()))
