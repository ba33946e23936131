"""What sharing the batch brings: eight different requests one after the other, and the same eight at once, on the pocket model.

`python -m benchmarks.company` prints the ratio of the two times and the mean latency of the short requests in each.
"""

from __future__ import annotations

import asyncio
import json
import time

from engine.api import ImagineRequest, Part
from engine.local import LocalEngine
from engine.shelf import Shelf

WORDS = ("a fox in the snow, 3d render", "a castle at sunset", "a rocket in space, pixel art", "an octopus under the sea")


def requests(engine: LocalEngine) -> list[ImagineRequest]:
    """Four grids of 20 steps and four single sketches of 6."""
    can = engine.models()[0]
    return [
        ImagineRequest(
            model=can.model,
            parts=(Part(text=WORDS[k % 4]),),
            seed=k,
            width=can.width,
            height=can.height,
            guidance=can.guidance,
            steps=20 if k < 4 else 6,
            count=4 if k < 4 else 1,
        )
        for k in range(8)
    ]


async def drawn(engine: LocalEngine, request: ImagineRequest, since: float) -> float:
    await engine.run(request, {}, lambda progress: None)
    return time.perf_counter() - since


async def measure(reproducible: bool) -> dict[str, float]:
    engine = LocalEngine(Shelf.open(), reproducible=reproducible)
    await engine.start()
    try:
        todo = requests(engine)
        await drawn(engine, todo[0], time.perf_counter())
        begun = time.perf_counter()
        alone = [await drawn(engine, request, begun) for request in todo]
        begun = time.perf_counter()
        together = await asyncio.gather(*(drawn(engine, request, begun) for request in todo))
    finally:
        await engine.aclose()
    return {
        "one_by_one_s": alone[-1],
        "together_s": max(together),
        "throughput_ratio": alone[-1] / max(together),
        "short_mean_one_by_one_s": sum(alone[4:]) / 4,
        "short_mean_together_s": sum(together[4:]) / 4,
    }


def main() -> None:
    for reproducible in (False, True):
        found = asyncio.run(measure(reproducible))
        print(json.dumps({"reproducible": reproducible, **{name: round(value, 3) for name, value in found.items()}}))


if __name__ == "__main__":
    main()
