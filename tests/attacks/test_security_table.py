"""SECURITY.md is true: each row names tests, they exist, and no attack test is left unnamed that ought to be found there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bot.chat.slack.replays import LIFE
from bot.chat.web import links, signin
from bot.prompts.clean import MAX_LENGTH
from bot.uploads import MAX_MEGAPIXELS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text()
NAMED = re.compile(r"`(\w+/test_\w+\.py)::(test_\w+)`")


def rows() -> list[list[str]]:
    """Of the tables whose last column is tests."""
    found = []
    for line in PAGE.partition("## Input from strangers")[2].splitlines():
        cells = [each.strip() for each in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and cells[0] != "attack" and not set(cells[0]) <= set("-"):
            found.append(cells)
    return found


def defined_in(file: str) -> set[str]:
    path = ROOT / "tests" / file
    return set(re.findall(r"^(?:async )?def (test_\w+)\(", path.read_text(), re.MULTILINE)) if path.exists() else set()


def test_every_attack_has_an_answer_and_a_test():
    assert len(rows()) >= 26
    for cells in rows():
        assert len(cells) == 3 and all(cells), cells[0]
        assert len(NAMED.findall(cells[2])) == cells[2].count("`") // 2 > 0, cells[0]


@pytest.mark.parametrize(("file", "test"), sorted(set(NAMED.findall(PAGE))), ids=lambda each: each)
def test_every_test_that_is_named_exists(file: str, test: str):
    assert test in defined_in(file)


def test_every_kind_of_attack_is_in_the_table():
    files = {f"attacks/{path.name}" for path in Path(__file__).parent.glob("test_*.py")} - {f"attacks/{Path(__file__).name}"}
    assert files <= {file for file, _ in NAMED.findall(PAGE)}


def test_what_is_said_of_bounds_is_what_the_program_keeps():
    assert (LIFE, signin.LINK_LIFE.total_seconds(), links.REGION_LIFE.total_seconds(), signin.SESSION_LIFE.days) == (300, 900, 3600, 30)
    assert f"{MAX_LENGTH:,} characters" in PAGE and f"{MAX_MEGAPIXELS} megapixels" in PAGE
