"""The shipped model at work, as its card.toml says: stock pipelines, in full, quickly, or as a draft. Run by `training.evaluate` and `training.report`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import DiffusionPipeline, StableDiffusionInpaintPipeline
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file

from training.places import EDGE

Pictures = NDArray[np.uint8]  # (N, H, W, 3)


@dataclass(frozen=True, slots=True)
class Way:
    """A way to run the model."""

    steps: int
    guidance: float
    adapter: Path | None = None  #: a LoRA file that goes with it


class Artist:
    """The shipped model, run by stock pipelines as its card.toml says."""

    def __init__(self, folder: Path) -> None:
        self.card = tomllib.loads((folder / "card.toml").read_text())
        kind: Any = DiffusionPipeline
        self.pipeline = kind.from_pretrained(folder, torch_dtype=torch.float32)
        self.pipeline.set_progress_bar_config(disable=True)
        if name := self.card.get("scheduler"):
            self.pipeline.scheduler = getattr(diffusers, name).from_config(self.pipeline.scheduler.config, **self.card.get("scheduler_config", {}))
        self.full = Way(self.card["steps"], self.card["guidance"])
        self.quick, self.draft = self._way(folder, "quick", 4), self._way(folder, "draft", 1)
        self._on: Path | None = None

    @property
    def usual(self) -> Way:
        """What members get who ask for nothing: the card's quick way, where it has one."""
        return self.quick if "quick" in self.card else self.full

    def _way(self, folder: Path, name: str, steps: int) -> Way:
        said = self.card.get(name, {"steps": steps, "guidance": self.full.guidance})
        file = self.card.get("loras", {}).get(said.get("lora", ""))
        return Way(said["steps"], said.get("guidance", 1.0), folder / file if file else None)

    def draw(self, prompts: Sequence[str], seeds: Sequence[int], way: Way, batch: int = 20) -> Pictures:
        """A picture for each prompt, from the noise of its seed."""
        out = []
        with adapted(self.pipeline.unet, way.adapter):
            for k in range(0, len(prompts), batch):
                noise = [torch.Generator().manual_seed(seed) for seed in seeds[k : k + batch]]
                asked = {"num_inference_steps": way.steps, "guidance_scale": way.guidance, "generator": noise, "output_type": "np"}
                out.append(self.pipeline(list(prompts[k : k + batch]), **asked).images)
        return to_bytes(np.concatenate(out))

    def repaint(self, pictures: Pictures, masks: NDArray[np.bool_], prompts: Sequence[str], seeds: Sequence[int]) -> Pictures:
        """Pictures with what is under the masks (N, H, W) drawn anew, by the stock inpainting pipeline, in full."""
        unet = self.pipeline.unet
        channels = unet.config.in_channels
        # The pipeline tells a plain denoiser from one trained for inpainting by the channels the first models had.
        unet.register_to_config(in_channels=4)
        try:
            kind: Any = StableDiffusionInpaintPipeline
            inpaint = kind(**self.pipeline.components, requires_safety_checker=False)
            inpaint.set_progress_bar_config(disable=True)
            out = inpaint(
                list(prompts),
                image=[Image.fromarray(picture) for picture in pictures],
                mask_image=[Image.fromarray(mask) for mask in masks],
                height=EDGE,
                width=EDGE,
                strength=1.0,
                num_inference_steps=self.full.steps,
                guidance_scale=self.full.guidance,
                generator=[torch.Generator().manual_seed(seed) for seed in seeds],
                output_type="np",
            ).images
        finally:
            unet.register_to_config(in_channels=channels)
        return to_bytes(out)


def to_bytes(pictures: NDArray[np.float32]) -> Pictures:
    """0..1 → 0..255."""
    return (pictures * 255).round().clip(0, 255).astype(np.uint8)


@contextmanager
def adapted(unet: torch.nn.Module, adapter: Path | None) -> Iterator[None]:
    """The network with a LoRA file (PEFT's names, no alpha: scale 1) added to its weights. diffusers' own loader wants the package PEFT. Raises KeyError."""
    kept: dict[str, torch.Tensor] = {}
    layers = dict(unet.named_modules())
    state = load_file(adapter) if adapter else {}
    with torch.no_grad():
        for name, down in state.items():
            if name.endswith(".lora_A.weight"):
                layer = name.removeprefix("unet.").removesuffix(".lora_A.weight")
                weight, up = layers[layer].weight, state[name.replace("lora_A", "lora_B")].float()
                assert isinstance(weight, torch.Tensor)
                kept[layer] = weight.detach().clone()
                weight += (up.flatten(1) @ down.float().flatten(1)).view_as(weight)
        try:
            yield
        finally:
            for layer, before in kept.items():
                weight = layers[layer].weight
                assert isinstance(weight, torch.Tensor)
                weight.copy_(before)
