"""Rebuild the pocket model from registry packages (`python -m training --work DIR --target engine/pocket --seconds 4800`).

Runs every stage in order. Each keeps its state in DIR, so a run that was stopped goes on where it was. `--tiny` takes a few steps of
each: weights that draw nothing, made by the same road (a test walks it).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from training import autoencoder, dataset, denoiser, export, text_encoder, upscaler

#: Part of the time each stage gets; the rest goes to painting.
SHARES = {"text_encoder": 0.08, "autoencoder": 0.24, "denoiser": 0.52, "upscaler": 0.08}


def run(work: Path, target: Path, seconds: float, tiny: bool = False) -> dict[str, list[float]]:
    """All stages, then the export to `target`; returns each stage's losses."""
    work.mkdir(parents=True, exist_ok=True)
    target.mkdir(parents=True, exist_ok=True)
    dataset.paint(work, *((48, 48) if tiny else (14_000, dataset.PART)))
    steps = 12 if tiny else 1_000_000
    losses: dict[str, list[float]] = {}
    if tiny or not (work / "text_encoder.done").exists():
        losses["text_encoder"] = text_encoder.train(work, SHARES["text_encoder"] * seconds, steps)
    losses["autoencoder"] = autoencoder.train(work, SHARES["autoencoder"] * seconds, steps)
    losses["denoiser"] = denoiser.train(work, SHARES["denoiser"] * seconds, steps)
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
