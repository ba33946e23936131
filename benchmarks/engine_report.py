"""What `benchmarks.engine_load` makes of its runs: medians, targets, `latest.json`, the table in `docs/performance.md`. Pure, without torch."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SIDES = ("serial", "static8", "static16", "ours")
#: What `latest.json` says of each model, load and side.
FIGURES = ("img_per_s", "mean_s", "p50_s", "p95_s", "short_mean_s", "peak_mb")
#: What is kept of a run beside those.
MORE = ("first_seen_s", "busy_s", "wall_s")
DOCS = Path(__file__).parent.parent / "docs" / "performance.md"
LAUNCH_BOUND, POCKET = "launch-bound", "pocket"

Run = Mapping[str, Any]
"""One model, load, side and seed with its FIGURES and MORE."""


@dataclass(frozen=True, slots=True)
class Target:
    """What was to be reached, and what was."""

    name: str
    found: float
    bound: float
    at_most: bool

    @property
    def reached(self) -> bool:
        return self.found <= self.bound if self.at_most else self.found >= self.bound

    def __str__(self) -> str:
        sign = "≤" if self.at_most else "≥"
        return f"{'reached' if self.reached else 'SHORT  '}  {self.name}: {self.found:.3g} ({sign} {self.bound:g})"


def medians(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One entry for each model, load and side, in the order they first appear: each figure's median over the seeds."""
    groups: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault((run["model"], run["load"], run["side"]), []).append(run)
    return [
        {"model": model, "load": load, "side": side, **{name: round(statistics.median(run[name] for run in group), 4) for name in (*FIGURES, *MORE)}}
        for (model, load, side), group in groups.items()
    ]


def latest(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The list that others read."""
    return [{name: entry[name] for name in ("model", "load", "side", *FIGURES)} for entry in entries]


def paired(runs: Sequence[Run], model: str, load: float, figure: str, other: str) -> float:
    """The median, over the seeds, of our figure divided by the other side's in the same seed."""
    found = {(run["side"], run["seed"]): float(run[figure]) for run in runs if run["model"] == model and run["load"] == load}
    return statistics.median(found["ours", seed] / found[other, seed] for side, seed in found if side == "ours")


def targets(runs: Sequence[Run], checks: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[Target]:
    """Every promise whose measurement is there."""
    out = []
    loads = sorted({run["load"] for run in runs})
    if any(run["model"] == LAUNCH_BOUND for run in runs):
        out += [
            Target("launch-bound, throughput against serial at 5x", paired(runs, LAUNCH_BOUND, 5.0, "img_per_s", "serial"), 3.2, False),
            Target("launch-bound, throughput against static16 at 5x", paired(runs, LAUNCH_BOUND, 5.0, "img_per_s", "static16"), 1.05, False),
            Target("launch-bound, mean latency against static16 at 2x", paired(runs, LAUNCH_BOUND, 2.0, "mean_s", "static16"), 0.5, True),
        ]
    found = checks.get(LAUNCH_BOUND, {})
    if "idle" in found:
        out.append(Target("launch-bound, idle: time against stock alone", found["idle"]["ratio"], 1.01, True))
    if "equality" in found:
        out.append(Target("launch-bound, equality: latents, relative", found["equality"]["latents"], 2e-5, True))
        out.append(Target("launch-bound, equality: pictures in 0..1", found["equality"]["images"], 2e-5, True))
    if "host" in found:
        out.append(Target("launch-bound, host cost over a bare loop, ms a request-step", found["host"]["over_loop_ms"], 0.07, True))
    if any(run["model"] == POCKET for run in runs):
        out += [Target(f"pocket, throughput against serial at {load:g}x", paired(runs, POCKET, load, "img_per_s", "serial"), 0.98, False) for load in loads]
        out += [Target(f"pocket, mean latency against serial at {load:g}x", paired(runs, POCKET, load, "mean_s", "serial"), 1.02, True) for load in loads]
        out.append(Target("pocket, mean latency of short requests against serial at 2x", paired(runs, POCKET, 2.0, "short_mean_s", "serial"), 1 / 3, True))
    return out


def table(entries: Sequence[Mapping[str, Any]]) -> str:
    """Markdown."""
    lines = [
        "| model | load | side | img/s | mean s | p50 s | p95 s | short mean s | first seen s | peak MB | busy s (wall s) |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for entry in entries:
        cells = [entry["model"], f"{entry['load']:g}×", entry["side"], f"{entry['img_per_s']:.2f}"]
        cells += [f"{entry[name]:.2f}" for name in ("mean_s", "p50_s", "p95_s", "short_mean_s", "first_seen_s")]
        cells += [f"{entry['peak_mb']:.0f}", f"{entry['busy_s']:.1f} ({entry['wall_s']:.1f})"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def page(report: Mapping[str, Any]) -> str:
    """What the documentation says of one report."""
    lines = [f"Run of {report['date']} on {report['machine']}: {report['how']}", "", table(report["medians"]), "", "Targets:", ""]
    for each in report["targets"]:
        target = Target(**each)
        sign = "≤" if target.at_most else "≥"
        lines.append(f"- {'reached' if target.reached else '**short**'}: {target.name}: {target.found:.3g} (wanted {sign} {target.bound:.3g})")
    lines += ["", "Beside the streams:", ""]
    for model, checks in report["checks"].items():
        lines += [f"- {model}, {name}: " + ", ".join(f"{key} {value:.3g}" for key, value in found.items()) for name, found in checks.items()]
    return "\n".join(lines)


def write_between(path: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- name -->` and `<!-- /name -->`. Raises ValueError where they are not there, in this order."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = path.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{path} has no place for {name}")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def write(folder: Path, report: Mapping[str, Any]) -> Path:
    """Save `latest.json` and the raw runs, named by date and kind of machine. Returns the latter's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "latest.json").write_text(json.dumps(latest(report["medians"]), indent=1) + "\n", encoding="utf-8")
    raw = folder / f"{report['date']}-{report['machine'].replace(' ', '-')}{'-quick' if report['quick'] else ''}.json"
    raw.write_text(_rows(report), encoding="utf-8")
    return raw


def _rows(report: Mapping[str, Any]) -> str:
    """JSON with one run a line."""
    plain = json.dumps({**report, "runs": "RUNS"}, indent=1)
    return plain.replace('"RUNS"', "[\n" + ",\n".join("  " + json.dumps(run) for run in report["runs"]) + "\n ]") + "\n"


def gpu_table(lines: Sequence[Mapping[str, Any]]) -> str:
    """Markdown of what `benchmarks.engine_gpu` appended; of each case, side and number in flight the newest."""
    newest = {(line["device"], line["case"], line["side"], line["in_flight"]): line for line in lines if line["what"] == "rate"}
    out = ["| device | case | side | in flight | img/s | of the matrix-product rate |", "|---|---|---|---|---|---|"]
    for (device, case, side, together), line in newest.items():
        out.append(f"| {device} | {case} | {side} | {together} | {line['img_per_s']:.3g} | {line['share_of_ceiling']:.0%} |")
    for line in {(line["device"], line["case"], line["what"]): line for line in lines if line["what"] in ("device", "company")}.values():
        numbers = {key: value for key, value in line.items() if key not in ("date", "device", "torch", "case", "what")}
        said = ", ".join(f"{key.replace('_', ' ')} {value if isinstance(value, bool) else format(value, '.3g')}" for key, value in numbers.items())
        out.append(f"\n{line['device']}, {line['case']}: {said}")
    return "\n".join(out)
