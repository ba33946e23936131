"""Requests leave nothing behind: after two thousand of them the engine holds what it held after fifty."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.api import Part
from engine.local import LocalEngine
from engine.rows import Row
from tests.contract.engines import digest, ignore, imagine, local_engine, picture, tiny

SOURCE = picture(4, 64, 64)
KINDS: list[dict[str, Any]] = [
    {},
    {"count": 3, "guidance": 5.0, "unwanted": ("rain",)},
    {"source": digest(SOURCE), "strength": 0.7},
    {"parts": (Part(text="cat", weight=2.0), Part(text="dog"))},
    {"width": 96, "scheduler": "EulerAncestralDiscreteScheduler"},
    {"scheduler": "UniPCMultistepScheduler", "guidance": 1.0},
]


def held() -> tuple[int, int]:
    """Tensors alive, and their bytes."""
    gc.collect()
    tensors = [each for each in gc.get_objects() if type(each) in (torch.Tensor, torch.nn.Parameter)]
    return len(tensors), sum(each.numel() * each.element_size() for each in tensors)


def resident() -> float:
    """Megabytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


async def draw(engine: LocalEngine, numbers: range) -> None:
    """As many requests as numbers, eight in flight, every ninth given up on the way."""
    waiting = asyncio.Semaphore(8)

    async def one(k: int) -> None:
        async with waiting:
            request = imagine(**{"seed": k, "steps": 1 + k % 3, **KINDS[k % len(KINDS)]})
            drawing = asyncio.create_task(engine.run(request, {digest(SOURCE): SOURCE} if request.source else {}, ignore))
            if k % 9 == 0:
                await asyncio.sleep(0.002)
                drawing.cancel()
            try:
                await drawing
            except asyncio.CancelledError:
                assert k % 9 == 0

    await asyncio.gather(*map(one, numbers))


@pytest.mark.parametrize("requests", [250, pytest.param(2000, marks=pytest.mark.full)])
async def test_requests_leave_nothing_behind(requests: int) -> None:
    engine = local_engine([tiny()], max_rows=16)
    try:
        await draw(engine, range(60))
        before, at_first = held(), resident()
        await draw(engine, range(60, 60 + requests))
        for _ in range(100):  # a request that was given up may still be at its last picture, on another thread
            if (after := held())[1] <= before[1] + 100_000:
                break
            await asyncio.sleep(0.1)
        assert after[0] <= before[0] + 4 and after[1] <= before[1] + 100_000, (before, after)
        assert resident() < at_first + 60
        assert not [each for each in gc.get_objects() if isinstance(each, Row) and each.owner is not None]
        assert engine.free_rows() == 16
    finally:
        await engine.aclose()
