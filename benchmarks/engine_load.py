"""Speed, side by side in one run: the stock pipeline behind a lock, static batches, and the product's own hub, under the same Poisson stream of requests.

`python -m benchmarks.engine_load` (`--quick`: one seed, few requests, about a minute on two slow cores) prints each target with reached or short and writes
`benchmarks/results/`; `--write-docs` also fills the table in `docs/performance.md`. `benchmarks.engine_stream` says what the mix is and how time is counted.

Every run is a process of its own (for its peak of memory), forked from this one after both models were loaded, with one torch thread; at most `--jobs` run at
once. How fast a request is alone does not depend on when it came, so the serial side is drawn once a seed, every request in turn, and its queue is computed
for each load from those times; its mean rate is the capacity that the loads are multiples of. All other runs really happen.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks import engine_checks, engine_report, engine_stream, launch_bound
from benchmarks.engine_processes import forget_peak, isolated, peak_mb
from benchmarks.engine_report import LAUNCH_BOUND, POCKET
from benchmarks.engine_sides import Alone, Settings, Stock, draw_together, run_alone, run_ours, run_static
from benchmarks.engine_stream import LOADS, STEPS, Arrival, VirtualClock
from engine.api import Capabilities, ImagineRequest
from engine.model import Model
from engine.shelf import POCKET as POCKET_FOLDER
from engine.shelf import Shelf

RESULTS = Path(__file__).parent / "results"
#: Where time a row stopped falling when it was measured on one core (`engine.probe` does that when the product starts).
SETTINGS = {LAUNCH_BOUND: Settings(max_rows=64, forward_rows=64), POCKET: Settings(max_rows=16, forward_rows=16)}


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    seeds: int
    requests: dict[str, tuple[int, int, int]]  #: by model: how many arrive at each of LOADS
    pairs: int  #: of the idle comparison
    idle_steps: int  #: of the picture compared there
    alike: int  #: requests compared with stock
    crowd: int  #: requests at once where the host's cost is measured
    crowd_steps: int
    repeats: int
    rows: tuple[int, ...] = ()  #: of the forwards that are timed


FULL = Plan(
    seeds=5,
    requests={LAUNCH_BOUND: (32, 64, 80), POCKET: (20, 32, 40)},
    pairs=15,
    idle_steps=20,
    alike=16,
    crowd=32,
    crowd_steps=100,
    repeats=5,
    rows=(1, 2, 4, 8, 16, 32, 64),
)
QUICK = Plan(seeds=1, requests={LAUNCH_BOUND: (4, 7, 10), POCKET: (2, 4, 4)}, pairs=2, idle_steps=8, alike=3, crowd=8, crowd_steps=50, repeats=2)


@dataclass(frozen=True, slots=True)
class Subject:
    """A model, as the product and as diffusers load it, and its stream."""

    model: Model
    stock: Stock
    requests: Callable[[Capabilities, int, int], list[ImagineRequest]]
    settings: Settings

    @property
    def name(self) -> str:
        return self.model.entry.can.model

    def stream(self, seed: int, count: int) -> list[ImagineRequest]:
        return self.requests(self.model.entry.can, seed, count)


def subjects(folder: Path) -> list[Subject]:
    """Both models, the launch-bound one written to `folder` first, each read from its directory twice: by the shelf, and by diffusers."""
    found = []
    kinds = {LAUNCH_BOUND: (launch_bound.write(folder), engine_stream.single_pictures), POCKET: (POCKET_FOLDER, engine_stream.mixed)}
    for name, (path, requests) in kinds.items():
        entry = Shelf.open([path], pocket=False).entry(name)
        subject = Subject(Model.load(entry, torch.device("cpu")), Stock(path), requests, SETTINGS[name])
        for warm in [replace(each, steps=min(STEPS)) for each in subject.stream(seed=9999, count=6)]:
            run_alone(subject.stock, [warm])
            draw_together(subject.model, [warm], subject.settings)
        found.append(subject)
    return found


# ------------------------------------------------------------------------------------------------ runs, each in a process of its own


def measured(side: Callable[[VirtualClock], Any]) -> dict[str, Any]:
    """What a side returns, and what it took."""
    gc.collect()
    forget_peak()
    wall, clock = time.perf_counter(), VirtualClock()
    outcome = side(clock)
    return {"outcome": outcome, "busy_s": clock.busy, "wall_s": time.perf_counter() - wall, "peak_mb": peak_mb()}


def sides(subject: Subject, stream: Sequence[Arrival]) -> dict[str, Callable[[VirtualClock], Any]]:
    return {
        "static8": lambda clock: run_static(subject.stock, stream, 8, clock),
        "static16": lambda clock: run_static(subject.stock, stream, 16, clock),
        "ours": lambda clock: run_ours(subject.model, stream, subject.settings, clock),
    }


def run_seed(subject: Subject, counts: Sequence[int], seed: int) -> list[dict[str, Any]]:
    """All sides at all loads, one after the other."""
    requests = subject.stream(seed, max(counts))
    (alone,) = isolated([lambda: measured(lambda clock: run_alone(subject.stock, requests))])
    times: list[Alone] = alone["outcome"]
    capacity, between = len(times) / sum(each.seconds for each in times), engine_stream.gaps(seed, len(requests))
    runs = []
    for load, count in zip(LOADS, counts, strict=True):
        stream = engine_stream.arrivals(requests[:count], between, load * capacity)
        queue = engine_stream.one_by_one(stream, [each.seconds for each in times[:count]])
        taken = {"busy_s": sum(each.seconds for each in times[:count]), "wall_s": sum(each.wall for each in times[:count]), "peak_mb": alone["peak_mb"]}
        runs.append(_run(subject, load, "serial", seed, stream, {"outcome": queue, **taken}))
        for side, work in sides(subject, stream).items():
            (found,) = isolated([partial(measured, work)])
            runs.append(_run(subject, load, side, seed, stream, found))
    return runs


def _run(subject: Subject, load: float, side: str, seed: int, stream: Sequence[Arrival], found: dict[str, Any]) -> dict[str, Any]:
    figures = engine_stream.figures(stream, found["outcome"])
    rest = {name: found[name] for name in ("busy_s", "wall_s", "peak_mb")}
    rounded = {name: round(value, 4) for name, value in {**figures, **rest}.items()}
    return {"model": subject.name, "load": load, "side": side, "seed": seed, "requests": len(stream), **rounded}


def run_checks(subject: Subject, plan: Plan) -> dict[str, dict[str, float]]:
    """What is measured beside the streams."""
    model, stock, settings = subject.model, subject.stock, subject.settings
    picture = engine_stream.picture(model.entry.can)
    lone = replace(picture, steps=plan.idle_steps)
    found = {
        "idle": engine_checks.idle(model, stock, lone, settings, plan.pairs),
        "equality": engine_checks.equality(model, stock, subject.stream(2, plan.alike), settings),
    }
    if subject.name == LAUNCH_BOUND:
        found["host"] = engine_checks.host_cost(model, stock, picture, settings, plan.crowd, plan.crowd_steps, plan.repeats)
    if plan.rows:
        times = engine_checks.row_times(stock, picture, plan.rows, plan.repeats)
        found["milliseconds a row, by rows"] = {str(count): value for count, value in times.items()}
    return found


# ------------------------------------------------------------------------------------------------ all of it


def measure(plan: Plan, jobs: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """All runs, in the order of the table, and all checks by model."""
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    with tempfile.TemporaryDirectory() as folder:
        found = subjects(Path(folder))
    gc.collect()
    gc.freeze()  # what was loaded is nobody's garbage, as in the product
    works: list[Callable[[], Any]] = [partial(run_seed, subject, plan.requests[subject.name], seed) for seed in range(plan.seeds) for subject in found]
    works += [partial(run_checks, subject, plan) for subject in found]
    results = isolated(works, jobs)
    runs = [run for result in results[: -len(found)] for run in result]
    names = [subject.name for subject in found]
    runs.sort(key=lambda run: (names.index(run["model"]), run["load"], engine_report.SIDES.index(run["side"]), run["seed"]))
    return runs, dict(zip(names, results[-len(found) :], strict=True))


def machine() -> str:
    """What kind it is; no names."""
    return f"{os.cpu_count()} cores {platform.machine()}"


def reported(plan: Plan, jobs: int, seconds: float, runs: Sequence[dict[str, Any]], checks: dict[str, Any]) -> dict[str, Any]:
    quick = plan is QUICK
    kept = "a quick run of one seed and few requests, not to be relied on" if quick else f"medians of {plan.seeds} seeds"
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        "quick": quick,
        "how": f"{kept}; one torch thread a run, {jobs} runs at a time; torch {torch.__version__}; {seconds / 60:.1f} minutes.",
        "requests": {name: dict(zip(map(str, LOADS), counts, strict=True)) for name, counts in plan.requests.items()},
        "settings": {name: asdict(settings) for name, settings in SETTINGS.items()},
        "medians": engine_report.medians(runs),
        "targets": [asdict(target) for target in engine_report.targets(runs, checks)],
        "checks": checks,
        "runs": list(runs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="The engine against the stock pipeline, under load.")
    parser.add_argument("--quick", action="store_true", help="one seed, few requests: about a minute on two slow cores")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="runs at a time (default: 2, or the number of cores)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the results are written")
    parser.add_argument("--write-docs", action="store_true", help="fill the table in docs/performance.md")
    options = parser.parse_args()
    started = time.perf_counter()
    plan = QUICK if options.quick else FULL
    runs, checks = measure(plan, options.jobs)
    report = reported(plan, options.jobs, time.perf_counter() - started, runs, checks)
    print(engine_report.table(report["medians"]))
    for model, found in checks.items():
        for name, numbers in found.items():
            print(f"{model}, {name}: " + ", ".join(f"{key} {value:.3g}" for key, value in numbers.items()))
    print(*engine_report.targets(runs, checks), sep="\n")
    if plan is QUICK:
        print("Left out: four of five seeds, most requests (so throughput at 5x is mostly its beginning and its end), most repeats, and the time a row takes.")
    print(f"{report['how']} Raw runs: {engine_report.write(options.out, report)}")
    if options.write_docs:
        engine_report.write_between(engine_report.DOCS, "engine", engine_report.page(report))


if __name__ == "__main__":
    main()
