"""Small engines for the tests: a random-weight Stable Diffusion directory built once, shelves and requests over it."""

from __future__ import annotations

import atexit
import functools
import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.api import ImagineRequest, Part, Progress
from engine.local import LocalEngine
from engine.shelf import Shelf

CARD = """
title = "Tiny"
family = "sd"
licence = "none"
width = 64
height = 64
multiple = 8
min_edge = 32
max_edge = 256
steps = 6
max_steps = 60
guidance = 3.0
max_guidance = 15.0
examples = ["a fox"]
"""
VOCABULARY = {"things": ["fox", "apple"], "places": ["snow"], "styles": ["3d render"], "colours": ["red"]}


def build_tiny(folder: Path) -> Path:
    """An ordinary diffusers directory with random weights, a card and a vocabulary. Imports torch."""
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=8,
        norm_num_groups=8,
    )
    vae = AutoencoderKL(
        latent_channels=4,
        block_out_channels=(8, 16, 16, 16),
        norm_num_groups=8,
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    tokenizer = _tokenizer(folder / "spare")
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=24,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    model = folder / "tiny"
    pipeline.save_pretrained(model, max_shard_size="200KB")
    (model / "card.toml").write_text(CARD, encoding="utf-8")
    (model / "vocabulary.json").write_text(json.dumps(VOCABULARY), encoding="utf-8")
    write_manifest(model)
    return model


def _tokenizer(folder: Path) -> Any:
    from transformers import CLIPTokenizer

    folder.mkdir(parents=True)
    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    ends = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 24, **ends}))
    return CLIPTokenizer.from_pretrained(folder, model_max_length=24)


def write_manifest(model: Path) -> None:
    """Digest every file of a model directory but the manifest itself."""
    files = sorted(path for path in model.rglob("*") if path.is_file() and path.name != "MANIFEST.sha256")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(model).as_posix()}\n" for path in files]
    (model / "MANIFEST.sha256").write_text("".join(lines), encoding="utf-8")


def add_upscaler(model: Path, channels: int = 8, blocks: int = 2) -> None:
    """Give a model directory a random super-resolution network."""
    import torch
    from safetensors.torch import save_file

    from engine.upscale import SuperResolution

    torch.manual_seed(0)
    folder = model / "upscaler"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"channels": channels, "blocks": blocks}))
    save_file(SuperResolution(channels, blocks).state_dict(), folder / "model.safetensors")
    write_manifest(model)


def local_engine(models: Sequence[Path], **settings: Any) -> LocalEngine:
    """A LocalEngine on one CPU thread over these models only."""
    return LocalEngine(Shelf.open(models, pocket=False), **{"device": "cpu", "threads": 1, **settings})


def imagine(words: str = "a fox", model: str = "tiny", **changes: Any) -> ImagineRequest:
    """A small request."""
    fields: dict[str, Any] = {"parts": (Part(text=words),), "seed": 7, "width": 64, "height": 64, "count": 1, "steps": 6, "guidance": 3.0}
    return ImagineRequest(model=model, **{**fields, **changes})


def ignore(progress: Progress) -> None:
    """A report nobody reads."""


@functools.cache
def tiny() -> Path:
    """The model directory every test shares; tests that damage one copy it first."""
    folder = Path(tempfile.mkdtemp(prefix="wordup-tiny-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return build_tiny(folder)


def pixels(png: bytes) -> NDArray[np.int16]:
    """Height × width × 3, signed so that differences can be taken."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(np.int16)


def picture(seed: int, width: int, height: int) -> bytes:
    """A PNG of soft random colours."""
    coarse = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(out, "PNG")
    return out.getvalue()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
