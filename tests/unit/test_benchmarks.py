"""The benchmarks' own arithmetic, and one very small run of each: speed is not looked at here, only that what is compared is the same."""

from __future__ import annotations

import json
import mmap
import random
import statistics
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import engine_checks, engine_gpu, engine_gpu_models, engine_report, engine_sides, engine_stream, launch_bound
from benchmarks.engine_processes import forget_peak, isolated, peak_mb
from benchmarks.engine_sides import Settings, Stock
from benchmarks.engine_stream import LOADS, Arrival, Outcome, VirtualClock
from engine.api import Capabilities, ImagineRequest, Part
from engine.model import Model
from engine.results import Drawn
from engine.shelf import Shelf

CAN = Shelf.open().models()[0]


class Busy:
    """CPU time that passes when it is told to."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def request(steps: int, count: int = 1, **changes: Any) -> ImagineRequest:
    return ImagineRequest(model="pocket", parts=(Part(text="a cat"),), width=128, height=128, steps=steps, guidance=2.0, count=count, **changes)


def run(side: str, seed: int, **figures: float) -> dict[str, Any]:
    values = dict.fromkeys((*engine_report.FIGURES, *engine_report.MORE), 1.0)
    return {"model": "pocket", "load": 2.0, "side": side, "seed": seed, **values, **figures}


# ------------------------------------------------------------------------------------------------ streams and clocks


@pytest.mark.parametrize("stream", [engine_stream.single_pictures, engine_stream.mixed])
def test_a_seed_is_a_stream(stream: Any) -> None:
    assert stream(CAN, 3, 40) == stream(CAN, 3, 40) != stream(CAN, 4, 40)
    assert stream(CAN, 3, 60)[:40] == stream(CAN, 3, 40)
    assert engine_stream.gaps(3, 40) == engine_stream.gaps(3, 60)[:40] != engine_stream.gaps(4, 40)


def test_the_mix_is_what_the_page_says() -> None:
    many = engine_stream.mixed(CAN, 0, 3000)
    steps = Counter(each.steps for each in many)
    assert [round(steps[number] / 3000, 1) for number in engine_stream.STEPS] == list(engine_stream.SHARES)
    assert all(each.count == (1 if each.steps <= 8 else 4) for each in many)
    long = [each for each in many if each.steps > 8]
    assert statistics.fmean(each.source is not None for each in long) == pytest.approx(1 / 3, abs=0.04)
    assert all(each.source is None for each in many if each.steps <= 8)


def test_arrivals_keep_to_the_rate() -> None:
    stream = engine_stream.arrivals([request(4)] * 4000, engine_stream.gaps(1, 4000), 5.0)
    assert stream[0].due == 0.0
    assert 3999 / stream[-1].due == pytest.approx(5.0, rel=0.05)


def test_the_clock_counts_work_and_skips_idleness() -> None:
    busy = Busy()
    clock = VirtualClock(busy)
    busy.seconds += 2
    clock.skip_to(10.0)
    busy.seconds += 1
    clock.skip_to(5.0)  # past: nothing to skip
    assert (clock.now(), clock.busy, clock.skipped) == (11.0, 3.0, 8.0)


def test_behind_a_lock_each_waits_for_those_before() -> None:
    stream = [Arrival(request(4), due) for due in (0.0, 1.0, 20.0)]
    assert [each.done for each in engine_stream.one_by_one(stream, [5.0, 2.0, 3.0])] == [5.0, 7.0, 23.0]


def test_percentiles_lie_between_the_nearest_values() -> None:
    values = [float(number) for number in range(1, 102)]
    random.Random(0).shuffle(values)
    assert engine_stream.percentile(values, 0.5) == 51.0
    assert engine_stream.percentile(values, 0.95) == 96.0
    assert engine_stream.percentile([1.0, 2.0], 0.75) == 1.75
    assert engine_stream.percentile([7.0], 0.95) == 7.0


def test_figures_of_a_run() -> None:
    stream = [Arrival(request(4), 1.0), Arrival(request(20, count=4), 2.0)]
    found = engine_stream.figures(stream, [Outcome(seen=1.5, done=2.0), Outcome(seen=3.0, done=11.0)])
    assert found == {"img_per_s": 0.5, "mean_s": 5.0, "p50_s": 5.0, "p95_s": pytest.approx(8.6), "short_mean_s": 1.0, "first_seen_s": 0.75}


def test_a_static_batch_takes_only_what_is_alike() -> None:
    waiting = [request(20), request(4), request(20, count=4), request(20, count=4), request(20), request(20, source="a"), request(20)]
    assert engine_sides.take(waiting, 7) == [0, 2, 4, 6]
    assert engine_sides.take(waiting[2:3], 2) == [0]  # larger than a batch: alone


# ------------------------------------------------------------------------------------------------ processes


def test_works_run_in_processes_of_their_own_in_order() -> None:
    seen: list[int] = []
    assert isolated([lambda number=number: seen.append(number) or number * 2 for number in range(4)], jobs=2) == [0, 2, 4, 6]  # type: ignore[misc]
    assert seen == []
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        isolated([lambda: 1 // 0])


def test_a_run_has_a_peak_of_its_own() -> None:
    def peaks(megabytes: int) -> float:
        forget_peak()
        before = peak_mb()
        with mmap.mmap(-1, megabytes * 1_000_000) as fresh:  # an array may be given memory that the tests before had and freed
            fresh.write(b"\1" * len(fresh))
            return peak_mb() - before

    small, large = isolated([lambda: peaks(1), lambda: peaks(120)])
    assert large - small > 80


# ------------------------------------------------------------------------------------------------ reports


def test_medians_are_over_seeds() -> None:
    runs = [run("ours", seed, mean_s=value) for seed, value in enumerate((9.0, 1.0, 2.0))] + [run("serial", 0)]
    assert [(each["side"], each["mean_s"]) for each in engine_report.medians(runs)] == [("ours", 2.0), ("serial", 1.0)]


def test_ratios_are_taken_within_a_seed() -> None:
    runs = [run("ours", 0, mean_s=1.0), run("serial", 0, mean_s=2.0), run("ours", 1, mean_s=30.0), run("serial", 1, mean_s=40.0)]
    assert engine_report.paired(runs, "pocket", 2.0, "mean_s", "serial") == 0.625


def test_a_target_is_reached_or_short() -> None:
    runs = [{**run(side, 0, **figures), "load": load} for load in LOADS for side, figures in (("ours", {"short_mean_s": 0.3, "mean_s": 1.1}), ("serial", {}))]
    lines = [str(target) for target in engine_report.targets(runs, {})]
    assert sum(line.startswith("reached") for line in lines) == 4 and sum(line.startswith("SHORT") for line in lines) == 3
    assert any("short requests" in line and line.startswith("reached") for line in lines)


def test_the_results_are_a_list_of_what_was_agreed(tmp_path: Path) -> None:
    medians = engine_report.medians([run(side, 0) for side in engine_report.SIDES])
    report = {"date": "2030-01-02", "machine": "2 cores x86_64", "quick": True, "medians": medians, "runs": [run("ours", 0), run("ours", 1)]}
    raw = engine_report.write(tmp_path, report)
    latest = json.loads((tmp_path / "latest.json").read_text())
    assert [each["side"] for each in latest] == ["serial", "static8", "static16", "ours"]
    assert list(latest[0]) == ["model", "load", "side", "img_per_s", "mean_s", "p50_s", "p95_s", "short_mean_s", "peak_mb"]
    assert raw.name == "2030-01-02-2-cores-x86_64-quick.json" and json.loads(raw.read_text()) == report


def test_the_page_gets_the_table_and_keeps_the_rest(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- engine -->\nold\n<!-- /engine -->\nafter\n")
    runs = [{**run(side, 0), "load": load} for load in LOADS for side in ("serial", "ours")]
    targets = [{"name": "speed", "found": 1.0, "bound": 2.0, "at_most": False}]
    checks = {"pocket": {"idle": {"ratio": 0.5}}}
    report = {"date": "d", "machine": "m", "how": "h", "medians": engine_report.medians(runs), "targets": targets, "checks": checks}
    engine_report.write_between(page, "engine", engine_report.page(report))
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert "| pocket | 0.8× | serial | 1.00 |" in text and "**short**: speed" in text and "pocket, idle: ratio 0.5" in text
    with pytest.raises(ValueError, match="no place for gpu"):
        engine_report.write_between(page, "gpu", "")


def test_the_documentation_has_a_place_for_each_table(tmp_path: Path) -> None:
    copied = tmp_path / "performance.md"
    copied.write_text(engine_report.DOCS.read_text(encoding="utf-8"), encoding="utf-8")
    for name in ("engine", "gpu"):
        engine_report.write_between(copied, name, f"here is {name}")
        assert f"here is {name}" in copied.read_text(encoding="utf-8")


# ------------------------------------------------------------------------------------------------ very small runs


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Stock, Capabilities]:
    """The launch-bound model, as the product and as diffusers load it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = launch_bound.write(tmp_path_factory.mktemp("models"))
    entry = Shelf.open([folder], pocket=False).entry("launch-bound")
    model = Model.load(entry, torch.device("cpu"))
    torch.set_num_threads(threads)
    return model, Stock(folder), entry.can


def few(can: Capabilities) -> list[ImagineRequest]:
    base = engine_stream.picture(can)
    kinds: list[dict[str, Any]] = [
        {"steps": 2},
        {"steps": 1, "guidance": 1.0},
        {"steps": 2, "count": 2},
        {"steps": 3, "count": 2, "source": "picture 1"},
        {"steps": 2},
    ]
    return [replace(base, seed=seed, **kind) for seed, kind in enumerate(kinds)]


def test_every_side_draws_every_request_and_the_same_pictures(small: tuple[Model, Stock, Capabilities], monkeypatch: pytest.MonkeyPatch) -> None:
    model, stock, can = small
    stream = [Arrival(each, 0.01 * k) for k, each in enumerate(few(can))]
    encoded: dict[int, Any] = {}
    monkeypatch.setattr(engine_sides, "encode", lambda request, drawn: encoded.__setitem__(request.seed, drawn.images))
    pictures, outcomes = {}, {}
    for side, work in {
        "serial": lambda clock: engine_stream.one_by_one(stream, [each.seconds for each in engine_sides.run_alone(stock, few(can))]),
        "static8": lambda clock: engine_sides.run_static(stock, stream, 8, clock),
        "ours": lambda clock: engine_sides.run_ours(model, stream, Settings(max_rows=8, forward_rows=16), clock),
    }.items():
        outcomes[side] = work(VirtualClock())
        pictures[side], encoded = encoded, {}
    for side, drawn in pictures.items():
        assert list(sorted(drawn)) == [0, 1, 2, 3, 4], side
        for each, outcome in zip(stream, outcomes[side], strict=True):
            assert each.due < outcome.seen <= outcome.done, side
            assert drawn[each.request.seed].shape == (each.request.count, can.height, can.width, 3)
            assert np.abs(drawn[each.request.seed] - pictures["serial"][each.request.seed]).max() < 1e-4, (side, each.request.seed)
    assert np.abs(pictures["ours"][0] - pictures["ours"][4]).max() > 1e-3  # other seeds, other pictures


def test_equality_sees_latents_and_pictures(small: tuple[Model, Stock, Capabilities]) -> None:
    model, stock, can = small
    settings = Settings(max_rows=8, forward_rows=16)
    found = engine_checks.equality(model, stock, few(can), settings)
    assert found["images"] < 1e-4 and found["latents"] < 2e-5
    unet = stock.from_words.unet
    kept = unet.conv_out.bias.clone()
    unet.conv_out.bias += 0.01
    try:
        spoilt = engine_checks.equality(model, stock, few(can)[:1], settings)
    finally:
        unet.conv_out.bias.copy_(kept)
    assert spoilt["latents"] > 1e-4 and spoilt["images"] > 1e-6


def test_the_cost_of_the_host_is_measured_without_the_modules(small: tuple[Model, Stock, Capabilities]) -> None:
    model, stock, can = small
    pipeline = model.pipeline("words")
    found = engine_checks.host_cost(model, stock, engine_stream.picture(can), Settings(max_rows=4, forward_rows=8), together=2, steps=10, repeats=1)
    assert found["over_loop_ms"] == pytest.approx(found["hub_ms"] - found["loop_ms"])
    assert "forward" not in vars(pipeline.unet._module) and "decode" not in vars(pipeline.vae._module)  # all is as it was
    assert set(engine_checks.row_times(stock, engine_stream.picture(can), (1, 2), repeats=1)) == {1, 2}


def test_files_are_made_of_what_was_drawn(small: tuple[Model, Stock, Capabilities]) -> None:
    _, stock, can = small
    one = few(can)[0]
    engine_sides.encode(one, Drawn(stock.draw([one])[0]))  # raises when the product's own finishing does not take it
    first, again = engine_sides.source_of(request(4, source="picture 1")), engine_sides.source_of(request(4, source="picture 1"))
    assert first is not None and first == again and first.size == (128, 128)
    assert engine_sides.source_of(request(4)) is None


@pytest.mark.parametrize("case", ["sdxl", "klein-512"])
def test_the_gpu_script_runs_with_tiny_models(case: str, tmp_path: Path) -> None:
    torch.set_grad_enabled(False)
    loaded = engine_gpu_models.load(replace(engine_gpu_models.CASES[case], steps=2), torch.device("cpu"), tiny=True)
    lines = [{"device": "d", "case": case, **line} for line in engine_gpu.measure(loaded, [1, 2], 2, ["stock", "static", "ours"])]
    company = next(line for line in lines if line["what"] == "company")
    assert company["difference_in_company"] < 1e-4 and company["difference_from_stock"] < 1e-4
    rates = [(line["side"], line["in_flight"]) for line in lines if line["what"] == "rate"]
    assert rates == [("stock", 1), ("static", 1), ("ours", 1), ("static", 2), ("ours", 2)]
    assert "| d | " + case + " | ours | 2 | " in engine_report.gpu_table(lines)


def test_without_a_gpu_the_script_says_so_and_ends(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["engine_gpu", "--out", str(tmp_path / "gpu.jsonl")])
    engine_gpu.main()
    assert "no GPU" in capsys.readouterr().out and not (tmp_path / "gpu.jsonl").exists()
