"""The last stage: the model directory (`python -m training.export WORK engine/pocket`): stock diffusers folders in fp16, and what tells about them.

Beside the pipeline itself: `upscaler/`, `sight/`, `image_adapter/`, `control/` and `loras/` where they were trained, `card.toml` (how the engine should run
it), `vocabulary.json` (what it knows, for autocomplete), `metrics.json`, `MANIFEST.sha256` (`sha256sum -c`). README.md is written by hand and kept.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderTiny, DPMSolverMultistepScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import BertModel, BertTokenizer

from training.common import parameters
from training.denoiser import SCHEDULE
from training.text_encoder import LENGTH
from training.vocabulary import COLOURS, EXAMPLES, PLACES, STYLES, THINGS

BUDGET = 44_000_000  # bytes, all files together
SHARD = 15_000_000  # bytes, any one file
#: Folders of WORK that go along when they are there.
BESIDE = ("upscaler", "sight", "image_adapter", "control", "loras")
#: Stages that leave a log.
STAGES = ("text_encoder", "autoencoder", "denoiser", "polish", "upscaler", "sight", "image_prompts", "sketch", "quick", "draft")

CARD = """# How the engine runs the pocket model.
name = "pocket"
title = "Pocket"
family = "sd"
licence = "MIT (text encoder: Apache-2.0)"
training_data = "Scenes painted by a program from Fluent Emoji (MIT) and Noto Emoji (Apache-2.0)"
width = 128
height = 128
multiple = 16
min_edge = 64
max_edge = 256
steps = {steps}
max_steps = 100
guidance = {guidance}
max_guidance = 15.0
max_count = 9
cost_factor = 1.0
scheduler = "DPMSolverMultistepScheduler"
strengths = {{ zoom = 0.01, pan = 0.01 }}  # around a picture it would draw its thing once more, and is given next to no freedom
examples = {examples}
"""


def card(beside: list[str], steps: int, guidance: float) -> str:
    """`card.toml` for a model with those of BESIDE, as far as they were trained."""
    lines = [CARD.format(steps=steps, guidance=guidance, examples=json.dumps([prompt for prompt, _ in EXAMPLES])).rstrip()]
    if "upscaler" in beside:
        lines.append('upscaler = "upscaler"\nfinish = 4')
    if "sight" in beside:
        lines.append('sight = "sight"')
    if "image_adapter" in beside:
        lines.append('image_adapter = "image_adapter"\nimage_encoder = "sight"')
    if "control" in beside:
        lines.append('controls = { edges = "control/edges", sketch = "control/edges" }')
    if "loras" in beside:
        lines.append(
            'loras = { quick = "loras/quick.safetensors", draft = "loras/draft.safetensors" }\n'
            'quick = { lora = "quick", steps = 4, guidance = 1.0 }\ndraft = { lora = "draft", steps = 1, guidance = 1.0 }'
        )
    return "\n".join(lines) + "\n"


def assemble(work: Path) -> StableDiffusionPipeline:
    """The trained parts of `work` as one stock pipeline, float32."""
    tokenizer: Any = BertTokenizer.from_pretrained(work / "tokenizer")
    tokenizer.model_max_length = LENGTH
    schedule = {k: v for k, v in SCHEDULE.items() if k != "clip_sample"}
    scheduler: Any = DPMSolverMultistepScheduler
    scheduler = scheduler(**schedule, algorithm_type="dpmsolver++", solver_order=2, timestep_spacing="trailing")
    # For those who swap in another scheduler from this configuration: DDIM and DDPM would clip latents as if they were pixels.
    scheduler.register_to_config(clip_sample=False, skip_prk_steps=True)
    encoder: Any = BertModel.from_pretrained(work / "text_encoder", add_pooling_layer=False)
    # Stock loading expects BERT's pooler, which nothing reads: zeros, rather than a warning and random numbers.
    whole = BertModel(encoder.config)
    whole.load_state_dict({k: torch.zeros_like(v) for k, v in whole.state_dict().items()} | encoder.state_dict())
    return StableDiffusionPipeline(
        vae=AutoencoderTiny.from_pretrained(work / "vae"),
        text_encoder=whole.eval(),
        tokenizer=tokenizer,
        unet=UNet2DConditionModel.from_pretrained(work / "unet"),
        scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def vocabulary() -> dict[str, Any]:
    """What the model knows, in the words captions used; the first of each list is the name."""
    return {
        "things": [w[0] for w in THINGS.values()],
        "places": [w[0] for w in PLACES.values()],
        "colours": list(COLOURS),
        "styles": [w[0] for w in STYLES.values()],
        "synonyms": {w[0]: list(w[1:]) for w in (*THINGS.values(), *PLACES.values(), *STYLES.values()) if len(w) > 1},
        "examples": [p for p, _ in EXAMPLES],
        "seeds": {p: s for p, s in EXAMPLES},
    }


def manifest(folder: Path) -> str:
    """One `sha256sum` line a file, sorted by path."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "MANIFEST.sha256")
    return "".join(f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(folder).as_posix()}\n" for p in files)


def figures(work: Path, pipeline: StableDiffusionPipeline) -> dict[str, Any]:
    """Parameters, steps, minutes and last losses of each stage, and what `training.evaluate` measured when it has run."""
    out: dict[str, Any] = {"parameters_millions": {name: round(parameters([getattr(pipeline, name)]), 3) for name in ("vae", "text_encoder", "unet")}}
    for stage in STAGES:
        log = work / f"{stage}.jsonl"
        if log.exists():
            last = json.loads(log.read_text().splitlines()[-1])
            out[stage] = {"step": last["step"], "loss": last["loss"]}
            checkpoint = work / f"{stage}.pt"
            if checkpoint.exists():
                out[stage]["minutes"] = round(torch.load(checkpoint)["seconds"] / 60, 1)
    if (work / "psnr.json").exists():
        out["rebuilding"] = json.loads((work / "psnr.json").read_text())
    if (work / "upscaler.json").exists():
        out["upscaling"] = json.loads((work / "upscaler.json").read_text())
    measured = work / "metrics.json"
    return out | (json.loads(measured.read_text()) if measured.exists() else {})


def export(work: Path, target: Path, steps: int = 16, guidance: float = 2.0) -> None:
    """Write everything to `target`, replacing what an earlier export left; raises ValueError when a limit is passed."""
    pipeline = assemble(work)
    for name in ("unet", "vae", "text_encoder", "tokenizer", "scheduler", *BESIDE):
        shutil.rmtree(target / name, ignore_errors=True)
    pipeline.to(dtype=torch.float16).save_pretrained(target, safe_serialization=True, max_shard_size="14MB")
    beside = [name for name in BESIDE if (work / name).is_dir()]
    for name in beside:
        shutil.copytree(work / name, target / name)
    for config in target.rglob("config.json"):  # diffusers notes the folder a part was loaded from: of no use elsewhere
        config.write_text(json.dumps({k: v for k, v in json.loads(config.read_text()).items() if k != "_name_or_path"}, indent=2) + "\n")
    # diffusers writes this attribute but warns when it reads it back; it is worked out again at loading.
    settings = json.loads((target / "vae" / "config.json").read_text())
    settings.pop("block_out_channels", None)
    (target / "vae" / "config.json").write_text(json.dumps(settings, indent=2) + "\n")
    (target / "card.toml").write_text(card(beside, steps, guidance))
    (target / "vocabulary.json").write_text(json.dumps(vocabulary(), indent=1) + "\n")
    (target / "metrics.json").write_text(json.dumps(figures(work, pipeline), indent=1) + "\n")
    seal(target)
    sizes = {p.relative_to(target).as_posix(): p.stat().st_size for p in target.rglob("*") if p.is_file()}
    print(f"{sum(sizes.values()) / 1e6:.2f} MB", {k: v for k, v in sizes.items() if v > 100_000})
    if sum(sizes.values()) > BUDGET or max(sizes.values()) > SHARD:
        raise ValueError(f"over the budget of {BUDGET} bytes in all or {SHARD} in one file: {sizes}")


def seal(target: Path) -> None:
    """Write the manifest anew: after whatever changed a file."""
    (target / "MANIFEST.sha256").write_text(manifest(target))


if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("work", type=Path)
    parse.add_argument("target", type=Path)
    parse.add_argument("--steps", type=int, default=16)
    parse.add_argument("--guidance", type=float, default=2.0)
    export(**vars(parse.parse_args()))
