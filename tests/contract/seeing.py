"""A tiny model with all that sees: an image-text model, an IP-Adapter with its encoder, and ControlNets, of random weights, saved beside it as they are
published; and requests at a hub over it."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from engine.api import ImagineRequest
from engine.canvas import EMPTY, Canvas
from tests.contract.engines import tiny, write_manifest

#: Pixels of the square that the tiny networks see, and the length of what they say of it.
EDGE, SAYS = 32, 16
CARD = """
sight = "sight"
image_adapter = "adapter"
controls = { edges = "control/edges", pose = "control/pose" }
"""


@functools.cache
def seeing() -> Path:
    """The model directory; tests that change it copy it first. Imports torch."""
    import torch

    model = Path(tempfile.mkdtemp(prefix="wordup-seeing-")) / "tiny"
    atexit.register(shutil.rmtree, model.parent, ignore_errors=True)
    shutil.copytree(tiny(), model)
    torch.manual_seed(1)
    build_sight(model / "sight", model / "tokenizer")
    unet = _unet(model)
    build_adapter(model / "adapter", unet)
    for kind in ("edges", "pose"):
        _build_control(model / "control" / kind, unet)
    with (model / "card.toml").open("a", encoding="utf-8") as card:
        card.write(CARD)
    write_manifest(model)
    return model


def _unet(model: Path) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel.from_pretrained(model / "unet", low_cpu_mem_usage=False)


def build_sight(folder: Path, tokenizer: Path, kind: str = "clip") -> None:
    """A CLIPModel, or a SiglipModel, with its tokenizer and its processor's numbers."""
    from transformers import AutoTokenizer, CLIPConfig, CLIPModel, SiglipConfig, SiglipModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    words = AutoTokenizer.from_pretrained(tokenizer)
    layers = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    ends = {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id}
    text = {**layers, **ends, "vocab_size": len(words), "max_position_embeddings": 24}
    vision = {**layers, "image_size": EDGE, "patch_size": 8}
    if kind == "clip":
        says = {"projection_dim": SAYS}
        network: Any = CLIPModel(CLIPConfig(text_config={**text, **says}, vision_config={**vision, **says}, **says))
        processor: Any = CLIPImageProcessorPil(size={"shortest_edge": EDGE}, crop_size={"height": EDGE, "width": EDGE})
    else:
        network = SiglipModel(SiglipConfig(text_config={**text, "projection_size": 32}, vision_config=vision))
        processor = SiglipImageProcessorPil(size={"height": EDGE, "width": EDGE})
    for part in (network, processor, words):
        part.save_pretrained(folder)


def build_adapter(folder: Path, unet: Any, *, fine: bool = False) -> Path:
    """An IP-Adapter's file, of the plain kind or the `fine` one ("plus"), with the encoder of pictures beside it."""
    import torch
    from safetensors.torch import save_file
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=EDGE, patch_size=8, projection_dim=SAYS
    )
    CLIPVisionModelWithProjection(vision).save_pretrained(folder / "image_encoder")
    cross = unet.config.cross_attention_dim
    tensors = _resampler(32, cross) if fine else _projection(SAYS, cross)
    layers = [module for name, module in unet.named_modules() if name.endswith("attn2")]
    by_processor = [unet.get_submodule(name.removesuffix(".processor")) for name in unet.attn_processors if name.endswith("attn2.processor")]
    assert set(layers) == set(by_processor)
    for k, layer in enumerate(by_processor):
        for part in ("to_k_ip", "to_v_ip"):
            tensors[f"ip_adapter.{2 * k + 1}.{part}.weight"] = torch.randn(layer.to_q.out_features, cross) / cross**0.5
    save_file(tensors, folder / "ip-adapter.safetensors")
    return folder


def _projection(seen: int, cross: int) -> dict[str, Any]:
    import torch

    return {
        "image_proj.proj.weight": torch.randn(4 * cross, seen),
        "image_proj.proj.bias": torch.randn(4 * cross),
        "image_proj.norm.weight": torch.ones(cross),
        "image_proj.norm.bias": torch.zeros(cross),
    }


def _resampler(seen: int, cross: int) -> dict[str, Any]:
    """A perceiver of four layers with a head of 64 each."""
    import torch

    def matrix(out: int, into: int) -> Any:
        return torch.randn(out, into) / into**0.5

    tensors = {"latents": torch.randn(1, 4, 64), "proj_in.weight": matrix(64, seen), "proj_in.bias": torch.zeros(64)}
    tensors |= {"proj_out.weight": matrix(cross, 64), "proj_out.bias": torch.zeros(cross)}
    norms = {"norm_out": cross}
    for k in range(4):
        tensors |= {f"layers.{k}.0.to_q.weight": matrix(64, 64), f"layers.{k}.0.to_kv.weight": matrix(128, 64), f"layers.{k}.0.to_out.weight": matrix(64, 64)}
        tensors |= {f"layers.{k}.1.1.weight": matrix(256, 64), f"layers.{k}.1.3.weight": matrix(64, 256)}
        norms |= {f"layers.{k}.0.norm1": 64, f"layers.{k}.0.norm2": 64, f"layers.{k}.1.0": 64}
    for norm, width in norms.items():
        tensors |= {f"{norm}.weight": torch.ones(width), f"{norm}.bias": torch.zeros(width)}
    return {f"image_proj.{name}": value for name, value in tensors.items()}


def _build_control(folder: Path, unet: Any) -> None:
    import torch
    from diffusers import ControlNetModel

    network = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 16, 16, 16))
    for name, weight in network.named_parameters():
        if name.startswith(("controlnet_down_blocks", "controlnet_mid_block", "controlnet_cond_embedding.conv_out")):
            torch.nn.init.normal_(weight, std=0.2)  # they begin as zeros, so that training begins without an effect
    network.save_pretrained(folder)


# ------------------------------------------------------------------------------------------------ company


@dataclass(eq=False)
class Guest:
    """One request at a hub: when it joins, and what becomes of it."""

    request: ImagineRequest
    canvas: Canvas = EMPTY
    joins: int = 0  #: at which turn of the hub
    steps: int = 0
    drawn: Any = None
    error: Exception | None = None
    previews: list[Any] = field(default_factory=list)

    @property
    def images(self) -> Any:
        """Pictures × height × width × 3 in 0..1."""
        if self.error:
            raise self.error
        return self.drawn.images

    def progress(self, step: int, of: int) -> None:
        self.steps = step

    def wants_preview(self) -> bool:
        return self.steps == 1

    def preview(self, pictures: list[Any]) -> None:
        self.previews += pictures


def party(model: Any, *guests: Guest, max_rows: int = 64) -> Any:
    """Run them all to their ends, and return the hub."""
    from engine import perform
    from engine.hub import Hub, Task

    hub = Hub(max_rows=max_rows, clock=time.perf_counter)
    waiting = list(guests)

    def join(guest: Guest) -> None:
        def ended(task: Task) -> None:
            guest.drawn, guest.error = task.result, task.error

        traits = perform.traits(guest.request)
        hub.join(Task(lambda: perform.perform(model, guest.request, guest.canvas, guest), guest.request.rows, ended, traits=traits))

    turn = 0
    while waiting or not hub.idle:
        for guest in [guest for guest in waiting if guest.joins <= turn]:
            waiting.remove(guest)
            join(guest)
        hub.tick()
        turn += 1
    return hub


def alone(model: Any, request: ImagineRequest, canvas: Canvas = EMPTY) -> Any:
    """Its pictures, drawn with nobody else about."""
    guest = Guest(request, canvas)
    party(model, guest)
    return guest.images


def load(folder: Path) -> Any:
    """The model as the product's own shelf finds it, on a CPU."""
    import torch

    from engine.model import Model
    from engine.shelf import Shelf

    shelf = Shelf.open([folder], pocket=False)
    assert not shelf.problems, shelf.problems
    return Model.load(shelf.entries[0], torch.device("cpu"))


def far(one: Any, other: Any) -> float:
    """The largest difference, against the largest value."""
    return float(np.abs(one - other).max() / np.abs(other).max())
