"""What the two gates cost, and how often they are wrong about harmless pictures: `python -m benchmarks.gate` (PICTURES=400, about 4 minutes on 2 cores).

Pictures of everything the pocket model knows, half in places and half on plain colours, in every style, are drawn and looked at one by one. A picture
that would be hidden or refused is a false positive: nothing the model knows is sexual. The prompt gate reads the words of each, and long ones.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Iterator

from PIL import Image

from benchmarks.engine_stream import percentile
from bot.gate import Asked, Gate, Policy
from bot.gate.classifier import NoClassifier, OpenNsfw, views
from bot.gate.output import Bounds
from engine.api import Capabilities, ImagineRequest, Part
from engine.local import LocalEngine
from engine.shelf import Shelf

STEPS, TOGETHER = 8, 4
LENGTHS = (100, 1000, 6000)  #: characters of the prompts that are read; the last is the most there may be
REPEATS = 200


def prompts(can: Capabilities, count: int, seed: int = 1) -> Iterator[str]:
    """Its words, put together by chance; the colours take turns with the places."""
    rng = random.Random(seed)
    for k in range(count):
        ground = rng.choice(can.words["places"]) if k % 2 else f"on a {rng.choice(can.words['colours'])} background"
        yield f"{rng.choice(can.words['things'])} {ground}, {rng.choice(can.words['styles'])}"


async def drawn(count: int) -> list[tuple[str, bytes]]:
    """(words, PNG)."""
    engine = LocalEngine(Shelf.open())
    await engine.start()
    try:
        can, found = engine.models()[0], []
        for k, words in enumerate(prompts(can, -(-count // TOGETHER))):
            request = ImagineRequest(
                model=can.model,
                parts=(Part(text=words),),
                seed=k * TOGETHER,
                width=can.width,
                height=can.height,
                guidance=can.guidance,
                steps=STEPS,
                count=TOGETHER,
            )
            result = await engine.run(request, {}, lambda progress: None)
            found += [(words, frame.png) for frame in result.frames]
        return found[:count]
    finally:
        await engine.aclose()


def looked_at(pictures: list[tuple[str, bytes]], look: OpenNsfw) -> tuple[list[tuple[float, str]], list[float]]:
    """((number, words) of each, the highest first; seconds each took, from the file on)."""
    numbers, seconds = [], []
    look(Image.new("RGB", (64, 64)))
    for words, data in pictures:
        begun = time.perf_counter()
        with Image.open(io.BytesIO(data)) as opened:
            numbers.append((max(map(look, views(opened.convert("RGB")))), words))
        seconds.append(time.perf_counter() - begun)
    return sorted(numbers, reverse=True), seconds


def reading(gate: Gate, words: list[str]) -> dict[str, float]:
    """Milliseconds the prompt gate takes: the median of the prompts as they are, and the best for long ones."""
    seconds = []
    for each in words:
        begun = time.perf_counter()
        gate.judge(Asked(wanted=each), Policy())
        seconds.append(time.perf_counter() - begun)
    found = {"prompt_ms": 1000 * statistics.median(seconds)}
    for length in LENGTHS:
        text = (" , ".join(words) * (1 + length // 10))[:length]
        best = float("inf")
        for _ in range(REPEATS if length < 2000 else 10):
            begun = time.perf_counter()
            gate.judge(Asked(wanted=text), Policy())
            best = min(best, time.perf_counter() - begun)
        found[f"prompt_of_{length}_ms"] = 1000 * best
    return found


def main() -> int:
    try:
        look = OpenNsfw()
    except NoClassifier as error:
        print(f"Nothing to measure: {error}")
        return 1
    pictures = asyncio.run(drawn(int(os.environ.get("PICTURES", "400"))))
    numbers, seconds = looked_at(pictures, look)
    gate, bounds, words = Gate.load(), Bounds(), sorted({each for each, _ in pictures})
    figures: dict[str, float] = {
        "pictures": len(pictures),
        "picture_ms_median": 1000 * statistics.median(seconds),
        "picture_ms_p95": 1000 * percentile(seconds, 0.95),
        "false_positives_refused": sum(number >= bounds.sexual for number, _ in numbers),
        "false_positives_hidden": sum(bounds.doubtful <= number < bounds.sexual for number, _ in numbers),
        "highest": numbers[0][0],
        "p99": percentile([number for number, _ in numbers], 0.99),
        "prompts": len(words),
        "prompts_refused": sum(gate.judge(Asked(wanted=each), Policy()) is not None for each in words),
        **reading(gate, words),
    }
    for name, value in figures.items():
        print(f"{name:26} {value:.3f}" if isinstance(value, float) else f"{name:26} {value}")
    for number, said in numbers[:5]:
        print(f"  {number:.3f}  {said}")
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
