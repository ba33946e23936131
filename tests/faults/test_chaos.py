"""A short seed of `make chaos` on each database; and its judge, who finds what is lost or there twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import points
from tests.chaos.judge import Verdict, Written, judge

ROOT = Path(__file__).parents[2]
SEED, KILLS, JOBS = 7, 8, 20


def suffered(database: str, *arguments: str) -> dict[str, Any]:
    """The last line of a short run, whatever became of it."""
    command = [sys.executable, "-m", "tests.chaos", "--seconds", "0", "--kills", str(KILLS), "--jobs", str(JOBS), "--seed", str(SEED)]
    run = subprocess.run([*command, "--databases", database, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]
    figures: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return figures


def all_is_well(figures: dict[str, Any]) -> bool:
    return figures["kills"] >= KILLS and figures["jobs"] >= JOBS and not figures["lost"] and not figures["doubled"] and figures["wallet_exact"]


def test_on_sqlite_a_bot_that_is_killed_again_and_again_loses_and_doubles_nothing() -> None:
    figures = suffered("sqlite")
    assert all_is_well(figures) and figures["database"] == "sqlite" and figures["integrity"] == "ok", figures


def test_on_postgres_too(postgres_url: str) -> None:
    figures = suffered("postgres", "--url", postgres_url)
    assert all_is_well(figures) and figures["database"] == "postgres" and figures["integrity"] == "ok", figures


# ------------------------------------------------------------------------------------------------ the judge

GOOD = Written(status={"A": "done"}, pictures={"A": frozenset({"p"})}, deliveries={"d": ("A",)})


def shown(status: str, *pictures: str, job: str = "A", handle: str = "m1", do: str = "edit", delivery: str = "") -> dict[str, Any]:
    return {"do": do, "handle": handle, "delivery": delivery, "job": job, "status": status, "pictures": list(pictures)}


ACCEPTED, END = shown("queued", do="post", delivery="d"), shown("done", "p")


def test_a_job_that_was_accepted_drawn_and_shown_is_well() -> None:
    assert judge([ACCEPTED, shown("running"), END, END], GOOD) == Verdict(lost=(), doubled=())


@pytest.mark.parametrize(
    ("journal", "written"),
    [
        ([ACCEPTED, END], Written(status={}, pictures={}, deliveries={})),  # promised, and not written down
        ([ACCEPTED], GOOD),  # drawn, and nobody was shown
        ([], GOOD),  # accepted, and nobody was told anything
        ([ACCEPTED, END, shown("running")], GOOD),  # progress after the end
        ([ACCEPTED, shown("cancelled")], GOOD),  # another end than was written down
        ([ACCEPTED, shown("done")], GOOD),  # an end without its pictures
        ([ACCEPTED, shown("done", "q")], GOOD),  # somebody else's
        ([ACCEPTED, shown("running")], Written(status={"A": "running"}, pictures={}, deliveries={"d": ("A",)})),  # for ever
    ],
)
def test_what_is_lost_is_found(journal: list[dict[str, Any]], written: Written) -> None:
    verdict = judge(journal, written)
    assert verdict.lost and not verdict.doubled


@pytest.mark.parametrize(
    ("journal", "written"),
    [
        ([ACCEPTED, END, shown("done", "p", do="post", handle="m2")], GOOD),  # two messages
        ([ACCEPTED, END, shown("done", "p", "q")], Written(status={"A": "done"}, pictures={"A": frozenset({"p", "q"})}, deliveries={"d": ("A",)})),
        (
            [ACCEPTED, END, shown("done", "p", job="B", do="post", handle="m2", delivery="d")],  # one wish, two jobs
            Written(status={"A": "done", "B": "done"}, pictures={"A": frozenset({"p"}), "B": frozenset({"p"})}, deliveries={"d": ("A", "B")}),
        ),
        ([ACCEPTED, END], Written(status=GOOD.status, pictures=GOOD.pictures, deliveries={})),  # of nobody's asking
    ],
)
def test_what_is_there_twice_is_found(journal: list[dict[str, Any]], written: Written) -> None:
    verdict = judge(journal, written)
    assert verdict.doubled and not verdict.lost


@pytest.mark.parametrize("name", points.POINTS)
def test_a_named_point_is_a_place_in_the_program(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arming one puts something in the place of something that is there."""
    put: list[tuple[object, str]] = []
    monkeypatch.setattr(points, "_replace", lambda owner, attribute, function: put.append((owner, attribute)))
    points.arm(name, 1)
    [(owner, attribute)] = put
    assert callable(getattr(owner, attribute))


def test_a_process_dies_where_it_was_told_to(tmp_path: Path) -> None:
    program = "\n".join(
        (
            "from pathlib import Path",
            "from tests.chaos import points",
            "points.arm('blob half written', 2)",
            "here = Path('one'); here.touch()",
            "here.replace('two'); print('once', flush=True)",
            "Path('two').replace('three'); print('twice', flush=True)",
        )
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert (run.returncode, run.stdout) == (-9, "once\n")
    assert [each.name for each in tmp_path.iterdir()] == ["two"]
