"""Stage 9: image prompts (`python -m training.image_prompts WORK --seconds 480`): an IP-Adapter for the U-Net (Ye et al. 2023, arXiv:2308.06721).

A picture's embedding by `training.sight` becomes four tokens, which every cross-attention attends to beside the words; only the projection and the new key and
value matrices learn, by the denoiser's own loss, on painted scenes that prompt for themselves. The network is told of the words in a second way, pooled
into the time embedding, which a picture does not take: so half of the scenes come without words, and there the tokens have to carry everything.

`work/image_adapter` gets the published layout (`image_proj.…`, `ip_adapter.…`), which diffusers and `engine.imageprompts` read; its image encoder is
`work/sight`.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPVisionModelWithProjection

from training import dataset, denoiser
from training.common import Log, autocast, begin, ema_update, load_whole, parameters, save_whole, warmup_cosine
from training.scenes import Painter
from training.sight import DEVIATION, MEAN, Eyes, normalised, to_unit
from training.sprites import load

#: Tokens a picture becomes: diffusers knows the plain adapter by these four.
TOKENS = 4
#: Scenes that are looked at and prompt for themselves; a GPU looks at all there are.
SEEN = 12_000
#: How many are looked at at once, on a processor and on a GPU.
LOOKED_AT = {"cpu": 64, "cuda": 1_000}
#: Share of the scenes that come without words, and without the picture.
WORDLESS, SIGHTLESS = 0.5, 0.08


def untaught(unet: Any, says: int) -> dict[str, torch.Tensor]:
    """An adapter that nobody has trained, for embeddings of `says` numbers: keys and values begin as those of the words."""
    width = unet.config.cross_attention_dim
    projection = nn.Linear(says, TOKENS * width)
    tensors = {"image_proj.proj.weight": projection.weight.detach(), "image_proj.proj.bias": projection.bias.detach()}
    tensors |= {"image_proj.norm.weight": torch.ones(width), "image_proj.norm.bias": torch.zeros(width)}
    for k, name in enumerate(_cross(unet)):
        attention = unet.get_submodule(name.removesuffix(".processor"))
        for part in ("k", "v"):
            tensors[f"ip_adapter.{2 * k + 1}.to_{part}_ip.weight"] = getattr(attention, f"to_{part}").weight.detach().clone()
    return tensors


def attach(unet: Any, tensors: dict[str, torch.Tensor]) -> nn.ModuleList:
    """Put an adapter into the U-Net the way diffusers does; its modules: the projection, then one a cross-attention. The U-Net itself is frozen."""
    unet.requires_grad_(False)
    names = {part: [name for name in tensors if name.startswith(part)] for part in ("image_proj.", "ip_adapter.")}
    state = {part.removesuffix("."): {name.removeprefix(part): tensors[name].float() for name in own} for part, own in names.items()}
    unet._load_ip_adapter_weights([state], low_cpu_mem_usage=False)
    adapter = nn.ModuleList([unet.encoder_hid_proj.image_projection_layers[0], *(unet.attn_processors[name] for name in _cross(unet))])
    return adapter.requires_grad_(True)


def tensors_of(adapter: nn.ModuleList) -> dict[str, torch.Tensor]:
    """What `attach` takes, of trained modules."""
    projection, *attentions = adapter
    tensors = {f"image_proj.{name.replace('image_embeds', 'proj')}": value for name, value in projection.state_dict().items()}
    for k, attention in enumerate(attentions):
        tensors |= {f"ip_adapter.{2 * k + 1}.{name.replace('.0.', '.')}": value for name, value in attention.state_dict().items()}
    return {name: value.detach().clone() for name, value in tensors.items()}


def _cross(unet: Any) -> list[str]:
    """The processors of the cross-attentions, in the order by which adapters number them."""
    return [name for name in unet.attn_processors if name.endswith("attn2.processor")]


@torch.no_grad()
def embeddings(work: Path, count: int = SEEN, device: torch.device | str = "cpu", there: list[Path] | None = None) -> torch.Tensor:
    """How the encoder of image prompts sees the first `count` square scenes, (N, says) float16 on `device`; of the parts `there`, if given.

    On a processor they are kept in `work/seen.pt` for as long as its weights stay.
    """
    kept, weights = work / "seen.pt", hashlib.sha256((work / "sight" / "model.safetensors").read_bytes()).hexdigest()
    keeps = torch.device(device).type == "cpu"
    store = [np.load(path, mmap_mode="r") for path in (dataset.parts(work) if there is None else there)]
    count = min(count, sum(map(len, store)))
    if keeps and kept.exists() and (known := torch.load(kept))["encoder"] == weights and len(known["embeddings"]) == count:
        return known["embeddings"]  # type: ignore[no-any-return]
    encoder, seen, left, some = load_encoder(work).to(device), [], count, LOOKED_AT[torch.device(device).type]
    mean, deviation = (torch.tensor(each, device=device).view(1, 3, 1, 1) for each in (MEAN, DEVIATION))
    for pictures in store:
        for k in range(0, min(len(pictures), left), some):
            unit = torch.from_numpy(np.array(pictures[k : min(k + some, left)])).to(device).permute(0, 3, 1, 2).float().contiguous() / 255
            with autocast(torch.device(device)):
                seen.append(encoder((unit - mean) / deviation).image_embeds.half())
        left -= min(len(pictures), left)
    if keeps:
        save_whole({"encoder": weights, "embeddings": torch.cat(seen)}, kept)
    return torch.cat(seen)


def scenes_seen(work: Path, device: torch.device, seen: int | None) -> tuple[denoiser.Lessons, torch.Tensor]:
    """Latents and words of the square scenes, and the embeddings of the first `seen` of them, in the same order; None: SEEN, or on a GPU all.

    Raises RuntimeError when somebody paints so fast that they cannot be looked at twice.
    """
    for _ in range(5):
        there = dataset.parts(work)
        lessons = denoiser.Lessons(work, device)
        if dataset.parts(work) == there:
            count = SEEN if device.type == "cpu" else len(lessons.latents[0])
            return lessons, embeddings(work, count if seen is None else seen, device, there)
    raise RuntimeError("scenes keep coming: set POCKET_PARTS, or wait until they are painted")


def load_encoder(work: Path) -> Any:
    """The vision tower as the engine loads it."""
    encoder: Any = CLIPVisionModelWithProjection.from_pretrained(work / "sight", dtype=torch.float32)
    return encoder.requires_grad_(False)


def train(
    work: Path, seconds: float, steps: int, batch: int = 48, lr: float = 2e-3, seed: int = 9, seen: int | None = None, threads: int = 0, every: int = 250
) -> list[float]:
    """Train until `seconds` of training (earlier sittings counted in) or `steps` more; saves `work/image_adapter`, averaged. Returns the losses.

    A checkpoint is kept every so many (`every`) steps.
    """
    device = begin(seed, threads)
    lessons, embeds = scenes_seen(work, device, seen)
    checkpoint, kind = work / "image_prompts.pt", cast(Any, UNet2DConditionModel)
    unet = kind.from_pretrained(work / "unet", torch_dtype=torch.float32)
    state: dict[str, Any] = load_whole(checkpoint) if checkpoint.exists() else {"step": 0, "seconds": 0.0}
    adapter = attach(unet, state["model"] if "model" in state else untaught(unet, embeds.shape[1]))
    unet.to(device)  # and with it the adapter, which is attached to it
    average = copy.deepcopy(adapter).requires_grad_(False)
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=lr, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    if "model" in state:
        average.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
    first, before = state["step"], state["seconds"]
    torch.manual_seed(seed + first)
    print(f"{parameters([adapter]):.2f} M parameters at {len(adapter) - 1} attentions, {len(embeds)} scenes, from step {first}", flush=True)
    scheduler: Any = DDPMScheduler
    losses: list[float] = []
    noiser, log, started = scheduler(**denoiser.SCHEDULE), Log(work / "image_prompts.jsonl"), time.time()
    noiser.alphas_cumprod = noiser.alphas_cumprod.to(device)
    blank, shares = torch.as_tensor(lessons.blank, device=device), torch.tensor([[WORDLESS], [SIGHTLESS]], device=device)

    def keep() -> None:
        now = {"step": first + len(losses), "seconds": before + time.time() - started}
        save_whole({"model": tensors_of(adapter), "ema": average.state_dict(), "optimizer": optimizer.state_dict(), **now}, checkpoint)
        finish(work, average)

    for step in range(steps):
        done = max(step / steps, (before + time.time() - started) / seconds)
        if done >= 1:
            break
        pick = torch.randint(len(embeds), (batch,), device=device)
        wordless, sightless = torch.rand(2, batch, device=device) < shares
        x, words = lessons.latents[0][pick].float(), lessons.states[torch.where(wordless, blank, lessons.index[0][pick])].float()
        seen_as = embeds[pick].float() * ~sightless[:, None]
        noise, t = torch.randn_like(x), denoiser.timesteps(batch, device)
        told = {"encoder_hidden_states": words, "added_cond_kwargs": {"image_embeds": [seen_as[:, None]]}}
        with autocast(device):
            guess = unet(noiser.add_noise(x, noise, t), t, **told, return_dict=False)[0]
        loss = F.mse_loss(guess.float(), noiser.get_velocity(x, noise, t))
        for group in optimizer.param_groups:
            group["lr"] = lr * min(warmup_cosine(int(done * 10_000), 10_000, warmup=1), (first + step + 1) / 100)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(adapter.parameters(), 1.0)
        optimizer.step()
        ema_update(average, adapter, first + step)
        losses.append(loss.item())
        log.step(first + step + 1, losses[-1])
        if (step + 1) % every == 0:
            keep()
    keep()
    return losses


def finish(work: Path, adapter: nn.ModuleList) -> None:
    """Save `work/image_adapter` in fp16."""
    (work / "image_adapter").mkdir(exist_ok=True)
    tensors = {name: value.half().contiguous() for name, value in tensors_of(adapter).items()}
    save_file(tensors, work / "image_adapter" / "ip-adapter.safetensors")


@torch.no_grad()
def measure(
    work: Path, count: int = 48, scales: tuple[float, ...] = (0.7, 1.0, 1.5), steps: int = 16, guidance: float = 2.0, seed: int = 88_888
) -> dict[str, float]:
    """By scale of the adapter: how often a picture drawn from a picture and no words at all shows, to the sight model, the thing that it sees in the prompt.

    `count` freshly painted scenes of one thing prompt, each for one picture; written to `work/image_prompts_metrics.json`, with a sheet of prompts above what
    they led to at the middle scale.
    """
    from training import export, scenes

    eyes, painter, encoder = Eyes(work), Painter(load(work), seed), load_encoder(work)
    prompts = np.stack([painter.scene(kind="one").pixels for _ in range(count)])
    wanted = eyes.scores(prompts)[0].argmax(1)
    pipeline: Any = export.assemble(work)
    pipeline.set_progress_bar_config(disable=True)
    attach(pipeline.unet, load_file(work / "image_adapter" / "ip-adapter.safetensors"))
    embeds = encoder(normalised(to_unit(prompts))).image_embeds[:, None]
    out, sheets = {"prompts": float(count), "steps": float(steps), "guidance": guidance}, []
    for scale in scales:
        pipeline.set_ip_adapter_scale(scale)
        drawn = []
        for k in range(0, count, 16):
            some = embeds[k : k + 16]
            drawn += list(
                pipeline(
                    [""] * len(some), num_inference_steps=steps, guidance_scale=guidance, output_type="np",
                    generator=[torch.Generator().manual_seed(seed + k + n) for n in range(len(some))],
                    ip_adapter_image_embeds=[torch.cat([torch.zeros_like(some), some])],
                ).images
            )  # fmt: skip
        pictures = (np.stack(drawn) * 255).round().astype(np.uint8)
        out[f"scale_{scale}"] = round(float((eyes.scores(pictures)[0].argmax(1) == wanted).float().mean()), 4)
        sheets.append(pictures)
    rows = [part for k in range(0, min(count, 48), 12) for part in (*prompts[k : k + 12], *sheets[len(scales) // 2][k : k + 12])]
    scenes.sheet(rows, 12).save(work / "image_prompts.png")
    (work / "image_prompts_metrics.json").write_text(json.dumps(out, indent=1) + "\n")
    return out


if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("work", type=Path)
    parse.add_argument("--seconds", type=float, default=480)
    parse.add_argument("--steps", type=int, default=100_000)
    parse.add_argument("--batch", type=int, default=48)
    parse.add_argument("--lr", type=float, default=2e-3)
    parse.add_argument("--seen", type=int, help=f"scenes that prompt for themselves; {SEEN}, or on a GPU all")
    parse.add_argument("--threads", type=int, default=0)
    parse.add_argument("--every", type=int, default=250, help="steps between checkpoints")
    parse.add_argument("--measure", action="store_true", help="measure what was trained, instead of training")
    asked = vars(parse.parse_args())
    if asked.pop("measure"):
        print(json.dumps(measure(asked["work"])))
    else:
        train(**asked)
