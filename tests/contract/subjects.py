"""The engines that every promise is tried on: the fake, and the real one with a random-weight model and with the shipped one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from engine.api import Capabilities, Engine, Frame, ImagineRequest, Progress, Request, Result
from engine.fake import FakeEngine
from engine.shelf import POCKET
from tests.contract.engines import digest, ignore, imagine, local_engine, pixels, tiny

ROWS = 16
SHIPPED = pytest.mark.skipif(not (POCKET / "card.toml").is_file(), reason="the shipped model is not in this tree")
KINDS = ["fake", "tiny", pytest.param("pocket", marks=SHIPPED)]


def make(kind: str) -> Engine:
    if kind == "fake":
        return FakeEngine(steps_per_second=500, max_rows=ROWS)
    return local_engine([tiny() if kind == "tiny" else POCKET], max_rows=ROWS)


@dataclass(frozen=True)
class Subject:
    """An engine under test, and requests that its default model accepts."""

    engine: Engine
    can: Capabilities

    @property
    def edge(self) -> int:
        """Small, to be quick."""
        return self.can.min_edge

    def request(self, **changes: Any) -> ImagineRequest:
        return imagine(**{"model": self.can.model, "width": self.edge, "height": self.edge, "steps": 4, "guidance": 3.0, **changes})

    async def draw(self, request: Request | None = None, *pictures: bytes, report: Callable[[Progress], None] = ignore, **changes: Any) -> Result:
        return await self.engine.run(request or self.request(**changes), {digest(data): data for data in pictures}, report)


class Told(list[Progress]):
    """Reports, and a way to wait for the first."""

    def __init__(self) -> None:
        super().__init__()
        self._begun = asyncio.Event()

    def __call__(self, progress: Progress) -> None:
        self.append(progress)
        self._begun.set()

    async def begun(self) -> None:
        async with asyncio.timeout(60):
            await self._begun.wait()


def furthest(result: Result, frame: Frame) -> int:
    """The largest difference of a channel, of 255. The promise is 1 (and none at all in reproducible mode)."""
    return int(np.abs(pixels(result.frames[0].png) - pixels(frame.png)).max())
