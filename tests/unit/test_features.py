"""docs/features.md is true: its tests exist, its cells say something, and nothing that members can say or press is missing from it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from bot.domain import Verb
from bot.presses.actions import REACTIONS
from bot.prompts.flags import FLAGS
from bot.usecases import COMMANDS

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
TABLES = (ROOT / "docs" / "features.md").read_text()
COLUMNS = 6  #: what, four places, the test that holds it
NAMED = re.compile(r"`(\w+/test_\w+\.py)::(test_\w+)`")
SCRIPT = re.compile(r"`(\w+\.txt)`")


def rows() -> list[list[str]]:
    """Without the tables' heads."""
    found = []
    for line in TABLES.splitlines():
        cells = [each.strip() for each in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and cells[0] != "what" and not set(cells[0]) <= set("-"):
            found.append(cells)
    return found


@cache
def defined_in(file: str) -> frozenset[str]:
    path = TESTS / file
    return frozenset(re.findall(r"^\s*(?:async )?def (test_\w+)\(", path.read_text(), re.MULTILINE)) if path.exists() else frozenset()


def what() -> str:
    """The first column."""
    return "\n".join(cells[0] for cells in rows())


def test_every_row_is_whole():
    assert len(rows()) > 80
    for cells in rows():
        assert len(cells) == COLUMNS and all(cells), cells[0]
        assert all(each != "–" for each in cells), f"no reason is given: {cells[0]}"


def test_every_row_is_held_by_a_test_that_exists():
    for cells in rows():
        named, scripts = NAMED.findall(cells[-1]), SCRIPT.findall(cells[-1])
        assert len(named) + len(scripts) == cells[-1].count("`") // 2 > 0, cells[0]
        for file, test in named:
            assert test in defined_in(file), f"{file}::{test}"
        for script in scripts:
            assert (TESTS / "scenario" / "conversations" / script).exists(), script


def test_tests_named_beside_the_tables_exist_too():
    for file, test in NAMED.findall(TABLES):
        assert test in defined_in(file), f"{file}::{test}"


def test_every_script_holds_something():
    assert {path.name for path in (TESTS / "scenario" / "conversations").glob("*.txt")} <= set(SCRIPT.findall(TABLES))


def test_every_flag_has_a_row():
    assert [flag.name for flag in FLAGS if f"`--{flag.name}`" not in what()] == []


def test_every_command_has_a_row():
    assert [name for name in COMMANDS if f"`/{name}`" not in what()] == []


def test_every_button_has_a_row():
    assert [verb.name for verb in Verb if f"(`{verb.name.lower()}`)" not in what()] == []


def test_every_reaction_has_a_row():
    assert [emoji for emoji in REACTIONS if emoji not in what()] == []
