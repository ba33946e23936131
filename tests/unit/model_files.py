"""Model folders for the tests of the shelf: real safetensors of a few numbers, real model_index.json files, no torch."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path

from engine.api import EngineError
from engine.shelf import Shelf

#: Components of the usual pipelines: library, class.
SDXL = {
    "scheduler": ("diffusers", "EulerDiscreteScheduler"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "tokenizer": ("transformers", "CLIPTokenizer"),
    "unet": ("diffusers", "UNet2DConditionModel"),
    "vae": ("diffusers", "AutoencoderKL"),
}
WEIGHTS = {"text_encoder": "model", "unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model"}


def tensors(path: Path, numbers: int = 4) -> Path:
    """A safetensors file with one tensor of float32."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [numbers], "data_offsets": [0, 4 * numbers]}}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(header)) + header + struct.pack(f"<{numbers}f", *range(numbers)))
    return path


def pipeline(
    folder: Path, kind: str = "StableDiffusionXLPipeline", *, components: Mapping[str, tuple[str, str]] = SDXL, variant: str = "", with_weights: bool = True
) -> Path:
    """A diffusers folder: index, settings, and a small weights file for each component that has any."""
    folder.mkdir(parents=True, exist_ok=True)
    index = {"_class_name": kind, "_diffusers_version": "0.42.0", "safety_checker": [None, None], "requires_safety_checker": False}
    (folder / "model_index.json").write_text(json.dumps({**index, **{name: list(value) for name, value in components.items()}}))
    for name, (_, cls) in components.items():
        (folder / name).mkdir(exist_ok=True)
        settings = {"scheduler": "scheduler_config.json", "tokenizer": "tokenizer_config.json"}.get(name, "config.json")
        (folder / name / settings).write_text(json.dumps({"_class_name": cls}))
        if name in WEIGHTS and with_weights:
            tensors(folder / name / f"{WEIGHTS[name]}{'.' + variant if variant else ''}.safetensors")
    return folder


def listed(folder: Path, text: str) -> Shelf:
    """A shelf of nothing but the models this list names."""
    (folder / "models.toml").write_text(text, encoding="utf-8")
    return Shelf.open(listing=folder / "models.toml", pocket=False)


def only_problem(shelf: Shelf) -> EngineError:
    """The one thing that is wrong with it."""
    (problem,) = shelf.problems.values()
    return problem


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
