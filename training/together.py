"""All stages on one GPU in the least time (`python -m training.together WORK --seconds 540`): those that need nothing of each other run beside each other.

Each stage is a process of its own with its log in WORK/logs; a GPU that several of them share idles less than between the steps of one. Painting goes on
meanwhile, on the processor's cores. A stage that fails or outlasts its time is told of, its followers do without it where they can, and what it had kept stays.
`python -m training` runs the same stages one after the other, as suits a processor, and `training.export` writes what came out.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

#: Seconds a stage may take beyond its own: imports, reading the scenes, saving.
GRACE = 60.0


@dataclass(frozen=True, slots=True)
class Stage:
    """A process and what must be done before it."""

    name: str
    arguments: str  #: of `python -m training.<module>`, WORK and its time to be filled in
    shares: tuple[float, ...] = ()  #: of all the time, of each thing it trains; none: it is not a matter of time
    needs: tuple[str, ...] = ()
    painter: bool = False  #: works on the processor alone, behind the others


STAGES = (
    Stage("scenes", "dataset {work} --count {scenes} --each {each} --part {part} --processes {painters}", painter=True),
    Stage("pairs", "upscaler {work} --paint-only --pairs {pairs} --processes {painters}", needs=("scenes",), painter=True),
    Stage("lines", "lines {work} --square {square} --others {others} --processes {painters}", needs=("scenes",), painter=True),
    Stage("denoiser", "denoiser {work} --shipped {work}/start --batch 512 --lr 1.5e-3 --every 2000", (0.46,)),
    Stage("autoencoder", "autoencoder {work} --batch 128 --critic 0.4", (0.1,)),
    Stage("judge", "judge {work} --batch 512 --lr 2e-3 --threads 2 --measured 0", (0.12,), ("autoencoder",)),
    Stage("sight", "sight {work} --batch 1024 --lr 2e-3 --whole-after 0.5 --threads 2 --measured 0", (0.28,), ("judge",)),
    Stage("polish", "polish {work} --batch 128 --critic 0.85", (0.07,), ("denoiser", "autoencoder")),
    Stage("students", "students {work} quick draft --ways 60000 --ways-seconds {ways} --ways-batch 1024 --batch 512 --lr 2e-3", (0.12, 0.15), ("denoiser",)),
    Stage("image_prompts", "image_prompts {work} --batch 512 --lr 3e-3 --every 100000", (0.12,), ("denoiser", "sight")),
    Stage("sketch", "sketch {work} --batch 256 --lr 1.5e-3 --square {square} --others {others}", (0.12,), ("denoiser", "lines")),
    Stage("upscaler", "upscaler {work} --pairs 96 --batch 128 --edge 48 --lr 1.5e-3 --rebuilds 3", (0.2,), ("polish", "pairs")),
)
#: Parts of square scenes that must be painted before anything can learn from them.
BEGUN = 24


@dataclass(slots=True)
class Running:
    """A stage under way."""

    stage: Stage
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    started: float = field(default_factory=time.monotonic)


def last_line(path: Path) -> str:
    """What a log says last."""
    lines = [line for line in path.read_text(errors="replace").replace("\r", "\n").splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def begin(stage: Stage, work: Path, seconds: float, steps: int, numbers: dict[str, str]) -> Running:
    """Start its process."""
    command = [sys.executable, "-u", "-m", *f"training.{stage.arguments.format(work=work, **numbers)}".split()]
    if stage.shares:
        command += ["--seconds", *(str(round(share * seconds)) for share in stage.shares)] + (["--steps", str(steps)] if steps else [])
    log = (work / "logs" / f"{stage.name}.log").open("wb")
    return Running(stage, subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, preexec_fn=(lambda: os.nice(19)) if stage.painter else None), log)  # noqa: S603


def run(work: Path, seconds: float, steps: int, numbers: dict[str, str], only: list[str], at_once: bool = False) -> dict[str, bool]:
    """Run the stages, each when what it needs is done, or all `at_once`; returns how each ended."""
    (work / "logs").mkdir(parents=True, exist_ok=True)
    first = time.monotonic()
    waiting = [stage for stage in STAGES if not only or stage.name in only]
    asked = set() if at_once else {stage.name for stage in waiting}
    running: list[Running] = []
    ended: dict[str, bool] = {}
    while waiting or running:
        painted = len(list((work / "scenes").glob("*.npy"))) >= int(numbers["begun"]) or ended.get("scenes") is not None
        for stage in [each for each in waiting if (each.painter or painted) and all(need in ended or need not in asked for need in each.needs)]:
            waiting.remove(stage)
            running.append(begin(stage, work, seconds, steps, numbers))
            print(f"{time.monotonic() - first:5.0f} s  {stage.name} begins", flush=True)
        for each in list(running):
            allowed, took = sum(each.stage.shares) * seconds + GRACE, time.monotonic() - each.started
            if each.process.poll() is None and (not each.stage.shares or took < allowed):
                continue
            each.process.kill()
            code = each.process.wait()
            each.log.close()
            running.remove(each)
            ended[each.stage.name] = code == 0
            how = "done" if code == 0 else f"FAILED ({code})"
            print(
                f"{time.monotonic() - first:5.0f} s  {each.stage.name} {how} after {took:.0f} s: {last_line(work / 'logs' / f'{each.stage.name}.log')}",
                flush=True,
            )
        time.sleep(0.2)
    return ended


if __name__ == "__main__":
    parse = argparse.ArgumentParser(prog="python -m training.together", description=__doc__)
    parse.add_argument("work", type=Path)
    parse.add_argument("--seconds", type=float, default=540, help="for everything, what is painted meanwhile not counted")
    parse.add_argument("--steps", type=int, default=0, help="of each stage at most: to try whether all of them run")
    parse.add_argument("--only", default="", help="names of stages")
    parse.add_argument("--at-once", action="store_true", help="nothing waits for anything: to try whether all of them run, on what an earlier run left")
    parse.add_argument("--scenes", type=int, default=160_000)
    parse.add_argument("--each", type=int, default=6_000)
    parse.add_argument("--pairs", type=int, default=2_400)
    parse.add_argument("--part", type=int, default=1_000, help="scenes painted at a time")
    parse.add_argument("--square", type=int, default=20_000, help="square scenes whose lines are learned from")
    parse.add_argument("--others", type=int, default=1_000, help="and of every other shape")
    parse.add_argument("--begun", type=int, default=BEGUN, help="parts of the scenes that must be there before anything begins")
    given = parse.parse_args()
    numbers = {name: str(getattr(given, name)) for name in ("scenes", "each", "pairs", "begun", "part", "square", "others")} | {
        "ways": str(max(4, round(0.04 * given.seconds))),
        "painters": str(max(1, (os.cpu_count() or 2) - 1)),
    }
    outcome = run(given.work, given.seconds, given.steps, numbers, [name for name in given.only.split(",") if name], given.at_once)
    sys.exit(0 if all(outcome.values()) else 1)
