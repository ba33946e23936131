"""How often is the picture what was asked for? (`python -m training.evaluate WORK engine/pocket --count 160`)

No judge is trained: things always stand in the same spot, so a drawn picture is compared with freshly painted scenes. It shows the right
thing when, of all things painted in the asked place and style, the asked one is nearest (mean square at 32 × 32 pixels, in the middle);
likewise for places (around the middle) and styles (everywhere, at full size).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import DiffusionPipeline

from training.scenes import EDGE, THING, Painter, sentence
from training.sprites import load
from training.vocabulary import COLOURS, PLACES, STYLES, THINGS


def _middle() -> np.ndarray:
    """True where the thing stands, (EDGE, EDGE)."""
    mask = np.zeros((EDGE, EDGE), bool)
    low = (EDGE - THING) // 2
    mask[low + 5 : low + THING + 5, low : low + THING] = True
    return mask


def _distance(a: np.ndarray, b: np.ndarray, mask: np.ndarray, shrink: int) -> float:
    """Mean square difference of two (EDGE, EDGE, 3) pictures where `mask`, after averaging squares of `shrink` pixels."""
    n = EDGE // shrink
    small = ((a.astype(float) - b) * mask[..., None]).reshape(n, shrink, n, shrink, 3).mean((1, 3))
    return float((small**2).mean())


def evaluate(work: Path, model: Path, count: int, steps: int = 16, guidance: float = 2.0, seed: int = 12_345) -> dict[str, float]:
    """Shares of `count` random prompts whose thing, place and style came out; also written to `work/metrics.json`."""
    rng, painter = np.random.default_rng(seed), Painter(load(work), seed)
    pipeline = DiffusionPipeline.from_pretrained(model, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    things, places, styles, middle = [w[0] for w in THINGS.values()], [*PLACES, *COLOURS], list(STYLES), _middle()
    right, perfect, started, drawing = np.zeros(3), 0, time.time(), 0.0
    missed: dict[str, int] = {}
    for first in range(0, count, 16):
        asked = [
            (things[rng.integers(len(things))], places[rng.integers(len(places))], styles[rng.integers(len(styles))]) for _ in range(min(16, count - first))
        ]
        prompts = [sentence(f"a {t}", f"on a {p} background" if p in COLOURS else PLACES[p][0], STYLES[s][0], rng) for t, p, s in asked]
        begun = time.time()
        drawn = pipeline(
            prompts,
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=[torch.Generator().manual_seed(seed + first + k) for k in range(len(prompts))],
            output_type="np",
        ).images
        drawing += time.time() - begun
        for picture, (thing, place, style) in zip(drawn * 255, asked, strict=True):
            nearest = (
                min(things, key=lambda t: _distance(picture, painter.scene(t, place, style).pixels, middle, 4)),
                min(places, key=lambda p: _distance(picture, painter.scene(thing, p, style).pixels, ~middle, 4)),
                min(styles, key=lambda s: _distance(picture, painter.scene(thing, place, s).pixels, middle | True, 1)),
            )
            hit = np.array([a == b for a, b in zip(nearest, (thing, place, style), strict=True)])
            right, perfect = right + hit, perfect + int(hit.all())
            if not hit[0]:
                missed[thing] = missed.get(thing, 0) + 1
    out = {
        "prompts": count,
        "steps": steps,
        "guidance": guidance,
        "thing": right[0] / count,
        "place": right[1] / count,
        "style": right[2] / count,
        "all_three": perfect / count,
    }
    out |= {"seconds_a_picture": round(drawing / count, 3)}
    print(json.dumps(out), f"{time.time() - started:.0f} s; things missed:", missed)
    (work / "metrics.json").write_text(json.dumps({"evaluation": out}))
    return out


if __name__ == "__main__":
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("work", type=Path)
    parse.add_argument("model", type=Path)
    parse.add_argument("--count", type=int, default=160)
    parse.add_argument("--steps", type=int, default=16)
    parse.add_argument("--guidance", type=float, default=2.0)
    evaluate(**vars(parse.parse_args()))
