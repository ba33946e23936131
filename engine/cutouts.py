"""How an image-text model looks at a picture: resized to its own small square, whole or in random cutouts, so that gradients flow back into the pixels.
Used by `engine.sight` and `engine.synthesis`.

Every view is two small matrices, one that resamples the rows and one the columns (the cubic kernel of Pillow, widened when it shrinks, so that nothing
aliases). A box, a mirror and a resize are then one matrix product each way: exact, differentiable, and the same bits at every run, which scattered reads
are not on an accelerator.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

#: OpenAI's CLIP: what a model is taken to want when its folder does not say.
MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The form in which an image-text model was trained to see pictures."""

    edge: int  #: pixels of its square
    mean: tuple[float, ...] = MEAN
    deviation: tuple[float, ...] = DEVIATION
    squash: bool = False  #: the whole picture is pressed into the square (SigLIP); else its middle is cut out (CLIP)

    @classmethod
    def read(cls, folder: Path, edge: int) -> Form:
        """As the model's processor says, which is not loaded itself: it would hand out pixels without gradients. `edge` is the network's own."""
        said: dict[str, Any] = {}
        for name in ("processor_config.json", "preprocessor_config.json"):
            if (folder / name).is_file():
                data = json.loads((folder / name).read_text(encoding="utf-8"))
                said |= data.get("image_processor", data)
        size = said.get("size", edge)
        return cls(
            edge=edge,
            mean=tuple(map(float, said.get("image_mean", MEAN))),
            deviation=tuple(map(float, said.get("image_std", DEVIATION))),
            squash=isinstance(size, dict) and "height" in size and not said.get("do_center_crop", False),
        )

    def normalised(self, views: torch.Tensor) -> torch.Tensor:
        """Views × 3 × edge × edge in 0..1, as the network wants them."""
        mean, deviation = (torch.tensor(each, device=views.device, dtype=views.dtype).view(1, 3, 1, 1) for each in (self.mean, self.deviation))
        return (views - mean) / deviation

    def whole(self, image: torch.Tensor) -> torch.Tensor:
        """3 × height × width in 0..1 → 3 × edge × edge, framed as the model's own processor would, normalised."""
        return self.normalised(_view(image, *self._frame(image), self.edge)[None])[0]

    def cutouts(self, image: torch.Tensor, count: int, seeded: torch.Generator) -> torch.Tensor:
        """The whole picture and count − 1 random squares of it: count × 3 × edge × edge, normalised.

        Squares have half to all of the shorter edge, are mirrored or not, a little lighter or darker, and under a little noise: what raises the score in all of
        them is in the picture, and not a pattern that only this network sees (Crowson et al. 2022, VQGAN-CLIP, arXiv:2204.08583).
        """
        height, width = image.shape[-2:]
        views = [_view(image, *self._frame(image), self.edge)]
        for _ in range(count - 1):
            size, x, y, mirrored, light = torch.rand(5, generator=seeded, dtype=torch.float64).tolist()
            side = min(height, width) * (0.5 + 0.5 * size)
            top, left = y * (height - side), x * (width - side)
            across = (left + side, left) if mirrored < 0.5 else (left, left + side)
            views.append(_view(image, (top, top + side), across, self.edge) * (0.9 + 0.2 * light))
        together = torch.stack(views)
        noise = torch.randn(together.shape, generator=seeded).to(together)
        noise[0] = 0
        return self.normalised(together + 0.03 * noise)

    def _frame(self, image: torch.Tensor) -> tuple[tuple[float, float], tuple[float, float]]:
        """Rows and columns of the picture that the square shows."""
        height, width = image.shape[-2:]
        if self.squash:
            return (0, height), (0, width)
        return _middle(height, min(height, width), self.edge), _middle(width, min(height, width), self.edge)


def _middle(length: int, shorter: int, edge: int) -> tuple[float, float]:
    """Where `edge` pixels of the middle come from after the shorter side was resized to `edge`, in whole pixels of the resized picture."""
    resized = int(edge * length / shorter)
    start, scale = (resized - edge) // 2, length / resized
    return start * scale, (start + edge) * scale


def _view(image: torch.Tensor, down: tuple[float, float], across: tuple[float, float], edge: int) -> torch.Tensor:
    rows = resampling(image.shape[-2], *down, edge).to(image)
    columns = resampling(image.shape[-1], *across, edge).to(image)
    return rows @ image @ columns.T


def resampling(length: int, start: float, stop: float, out: int) -> torch.Tensor:
    """Rows `out`, columns `length`: makes `out` samples of start..stop from `length` samples, by the cubic kernel (a = −0.5); mirrored when stop < start."""
    low, high = min(start, stop), max(start, stop)
    scale = (high - low) / out
    centres = low + (torch.arange(out, dtype=torch.float64) + 0.5) * scale
    distance = (torch.arange(length, dtype=torch.float64) + 0.5 - centres[:, None]).abs() / max(scale, 1.0)
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weights = torch.where(distance < 1, near, torch.where(distance < 2, far, 0.0))
    weights = weights / weights.sum(dim=1, keepdim=True)
    return (weights.flip(0) if stop < start else weights).float()
