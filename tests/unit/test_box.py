"""The container files ask for no more than the program needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.check_compose import dockerfile_problems, problems

ROOT = Path(__file__).parents[2]


@pytest.fixture
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    return loaded


def test_the_files_that_ship_are_fit(compose: dict[str, Any]):
    assert problems(compose) == []
    assert dockerfile_problems((ROOT / "Dockerfile").read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("service", "key", "value", "problem"),
    [
        ("bot", "read_only", False, "bot: read_only must be True"),
        ("db", "cap_drop", [], "db: cap_drop must be ['ALL']"),
        ("db", "security_opt", [], "db: security_opt must be ['no-new-privileges:true']"),
        ("db", "user", "root", "db: its user must be named, and not be root"),
        ("bot", "ports", ["8080:8080"], "bot: port '8080:8080' is open to the world"),
        ("bot", "privileged", True, "bot: unknown key 'privileged'"),
    ],
)
def test_a_looser_box_is_noticed(compose: dict[str, Any], service: str, key: str, value: object, problem: str):
    compose["services"][service][key] = value
    assert problems(compose) == [problem]


@pytest.mark.parametrize("users", ["", "USER root", "USER 0:0", "USER wordup", "USER 10001:10001\nUSER root"])
def test_an_image_that_ends_as_root_is_noticed(users: str):
    assert dockerfile_problems(f"FROM a AS build\nUSER 10001\nFROM b\n{users}\nCMD []\n")
