"""The engine with one model in it, asked as members ask: with pictures beside their words. Run by `training.evaluate_pictures`.

Stock pipelines (`training.artist`) show what the weights can do; what a picture does beside words is the engine's own doing (`engine.imageprompts`,
`engine.edges`, `engine.canvas`) with the card's numbers, so it is measured through the engine. All pictures are drawn on this machine's processor.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from engine import efforts
from engine.api import Engine, ImagineRequest, Part
from engine.local import LocalEngine
from engine.shelf import Shelf
from training.artist import Pictures

#: Requests that step together.
TOGETHER = 8


class Studio:
    """Holds the pictures that requests name. Raises EngineError for a folder that holds no model."""

    def __init__(self, model: Path) -> None:
        self.shelf = Shelf.open([model], pocket=False)
        for problem in self.shelf.problems.values():
            raise problem
        self.can = self.shelf.entries[0].can
        self._held: dict[str, bytes] = {}

    def hold(self, picture: np.ndarray) -> str:
        """A picture (H, W, 3) or mask (H, W), uint8, as requests name it."""
        Image.fromarray(picture).save(out := io.BytesIO(), "PNG")
        digest = hashlib.sha256(out.getvalue()).hexdigest()
        self._held[digest] = out.getvalue()
        return digest

    def ask(self, words: str, seed: int, **more: Any) -> ImagineRequest:
        """One picture, in full, at the model's own size unless `more` says otherwise."""
        can = self.can
        plain: dict[str, Any] = {"width": can.width, "height": can.height, "steps": can.steps, "guidance": can.guidance, "count": 1}
        return ImagineRequest(model=can.model, parts=(Part(text=words),), seed=seed, **(plain | more))

    def quick(self, request: ImagineRequest) -> ImagineRequest:
        """As members get it who ask for no steps."""
        return efforts.quickened(request, self.can)

    def draw(self, requests: Sequence[ImagineRequest]) -> Pictures:
        """The picture of each; all of one size."""
        return np.stack(asyncio.run(self._drawn(requests)))

    async def _drawn(self, requests: Sequence[ImagineRequest]) -> list[np.ndarray]:
        engine, room = LocalEngine(self.shelf, device="cpu", threads=torch.get_num_threads()), asyncio.Semaphore(TOGETHER)
        await engine.start()
        try:
            return await asyncio.gather(*(self._one(engine, room, request) for request in requests))
        finally:
            await engine.aclose()

    async def _one(self, engine: Engine, room: asyncio.Semaphore, request: ImagineRequest) -> np.ndarray:
        async with room:
            result = await engine.run(request, {digest: self._held[digest] for digest in request.pictures}, lambda progress: None)
        with Image.open(io.BytesIO(result.frames[0].png)) as opened:
            return np.asarray(opened.convert("RGB"))
