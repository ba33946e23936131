"""Discord's side of the fault tests: its wire, a bot on it, and the gate that holds its jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bot.app import App
from tests.fakes.discord import DiscordWire
from tests.scenario.bots import unknown_requests
from tests.scenario.discord_scene import Gate, held


@pytest.fixture
async def wire() -> AsyncIterator[DiscordWire]:
    async with DiscordWire() as wire:
        yield wire
        assert wire.violations == [] and not unknown_requests(wire)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def bot(wire: DiscordWire, tmp_path, gate: Gate) -> AsyncIterator[App]:
    async with held(wire, tmp_path, gate) as app:
        yield app
        gate.open.set()
