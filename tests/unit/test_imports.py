"""The use cases can be loaded without anything that draws, stores or chats."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "diffusers", "transformers", "discord", "slack_bolt", "sqlalchemy", "aiohttp", "jinja2")


@pytest.mark.parametrize("module", ["bot.studio", "bot.workshop", "bot.prompts", "bot.cards"])
def test_the_core_loads_nothing_heavy(module: str):
    code = f"import sys, {module}; print(*sorted(set({HEAVY!r}) & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == []
