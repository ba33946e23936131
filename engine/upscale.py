"""Enlarging by a super-resolution network that a model may bring in its `upscaler/` directory, or its card names. Used by `engine.model` and `engine.creative`.

Two kinds are read. A `.safetensors` file (or a folder with one and no `config.json`) is one of the published networks that the package spandrel knows
(Real-ESRGAN, SwinIR, DAT …), 2× or 4×. Spandrel needs torchvision, so it is not installed with the bot: it is for machines with a GPU.
The other kind is ours: `upscaler/config.json` gives `channels` and `blocks`, `upscaler/model.safetensors` the weights. The network (a plain residual one, after
EDSR, arXiv:1707.02921) adds detail to the bicubically enlarged picture. It works on squares of 2 × 2 pixels, which lets it see twice as far for half the work:
pixel unshuffle by 2, conv 12→C, `blocks` × (x + leaky relu(conv C→C)), conv C→192, pixel shuffle by 8. It enlarges 4×; 2× is that, averaged down. A model
without one is served by `engine.codec.enlarge`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from engine.codec import Pixels

FACTOR = 4
FOLD = 2  #: edge of the squares our network works on; tiles begin at multiples of it
TILE = 128  #: pixels of the source that one forward enlarges, along each side


class SuperResolution(nn.Module):
    """1 × 3 × h × w in 0..1 → 1 × 3 × 4h × 4w."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.head = nn.Conv2d(3 * FOLD**2, channels, 3, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(blocks))
        self.tail = nn.Conv2d(channels, 3 * (FOLD * FACTOR) ** 2, 3, padding=1)
        self.scale = FACTOR
        self.reach = FOLD * (blocks + 2 + 2)  #: how far a source pixel's influence goes: one square a convolution, one the square itself, one bicubic's

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        height, width = image.shape[-2:]
        even = F.pad(image, (0, -width % FOLD, 0, -height % FOLD), mode="replicate")
        hidden = self.head(F.pixel_unshuffle(even - 0.5, FOLD))
        for conv in self.body:
            hidden = hidden + F.leaky_relu(conv(hidden), 0.2)
        detail = F.pixel_shuffle(self.tail(hidden), FOLD * FACTOR)[..., : FACTOR * height, : FACTOR * width]
        return detail + F.interpolate(image, scale_factor=FACTOR, mode="bicubic", align_corners=False)


class Published(nn.Module):
    """A network that spandrel read: 1 × 3 × h × w in 0..1 → the same, `scale` times larger."""

    def __init__(self, descriptor: Any) -> None:
        super().__init__()
        self.network, self.scale = descriptor.model, int(descriptor.scale)
        self.reach = 16  #: published networks see farther; past this many pixels what they see no longer shows
        self._call = descriptor

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self._call(image)  # type: ignore[no-any-return]


def load(folder: Path, device: torch.device) -> SuperResolution | Published | None:
    """The network in `folder` (or in a file), or None when there is none.

    Raises OSError, KeyError, ValueError and RuntimeError for files that make no sense, ImportError where spandrel is needed and not installed.
    """
    if not (folder / "config.json").is_file():
        file = folder if folder.is_file() else next(iter(sorted(folder.glob("*.safetensors"))), None)
        return _published(file, device) if file else None
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    network = SuperResolution(int(config["channels"]), int(config["blocks"]))
    files = sorted(folder.glob("*.safetensors"))
    weights = {name: value.float() for file in files for name, value in load_file(file).items()}
    network.load_state_dict(weights)
    for conv in network.modules():
        if isinstance(conv, nn.Conv2d):  # a CPU's convolutions take two thirds of the time so
            conv.weight.data = conv.weight.data.contiguous(memory_format=torch.channels_last)
    return network.eval().to(device)


def _published(file: Path, device: torch.device) -> Published:
    try:
        from spandrel import ModelLoader
    except ImportError as error:
        raise ImportError(f"the upscaler {file.name} needs the package spandrel (pip install spandrel, on a machine with a GPU)") from error
    descriptor = ModelLoader(device=device).load_from_file(file)
    if int(descriptor.scale) not in (2, FACTOR):
        raise ValueError(f"the upscaler {file.name} enlarges {descriptor.scale}×; 2× and 4× can be used")
    return Published(descriptor.eval())


def enlarge(network: Callable[[torch.Tensor], torch.Tensor], reach: int, pixels: Pixels, factor: int, device: torch.device, *, scale: int = FACTOR) -> Pixels:
    """`pixels` 2× or 4× larger, tile by tile; tiles overlap by what the network can see, so no seam shows. Each forward is one call of `network`.

    `scale` is what the network enlarges by; 4× by a network of 2× is done twice, 2× by one of 4× is averaged down.
    """
    if factor > scale:
        half = enlarge(network, reach, pixels, scale, device, scale=scale)
        return enlarge(network, reach, half, factor // scale, device, scale=scale)
    height, width = pixels.shape[:2]
    image = torch.from_numpy(np.array(pixels)).to(device).permute(2, 0, 1)[None].float() / 255
    large = np.empty((height * factor, width * factor, 3), np.uint8)
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            bottom, right = min(top + TILE, height), min(left + TILE, width)
            y, x = max(0, top - reach), max(0, left - reach)
            tile = network(image[:, :, y : min(height, bottom + reach), x : min(width, right + reach)])
            tile = tile[:, :, (top - y) * scale : (bottom - y) * scale, (left - x) * scale : (right - x) * scale]
            if factor != scale:
                tile = F.avg_pool2d(tile, scale // factor)
            part = (tile[0].clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
            large[top * factor : bottom * factor, left * factor : right * factor] = part
    return large
