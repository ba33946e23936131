"""The whole bot in the test's own process: everything `bot.app` puts together, but for the engine, which is the fake one unless a test says otherwise."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bot.app import App
from bot.settings import Settings
from engine.fake import FakeEngine
from tests.fakes.discord import DiscordWire
from tests.fakes.slack import SlackWire

CHATS = (Path(__file__).parents[2] / "docs" / "chats.md").read_text()


def discord_settings(wire: DiscordWire) -> dict[str, Any]:
    """What points the bot at the fake."""
    return {
        "discord_token": wire.token,
        "discord_api_url": wire.api_url,
        "discord_gateway_url": wire.gateway_url,
        "discord_cdn_hosts": wire.host,
    }


def slack_settings(wire: SlackWire) -> dict[str, Any]:
    return {
        "slack_app_token": wire.app_token,
        "slack_bot_token": wire.bot_token,
        "slack_api_url": wire.api_url,
        "slack_file_hosts": wire.host,
    }


def environment(settings: dict[str, Any]) -> dict[str, str]:
    """The same, for a process."""
    return {f"WORDUP_{name.upper()}": str(value) for name, value in settings.items()}


def unknown_requests(wire: DiscordWire | SlackWire) -> set[str]:
    """Kinds of requests the bot made that docs/chats.md does not name."""
    return {kind for kind in wire.table() if f"`{kind}`" not in CHATS}


@asynccontextmanager
async def running(folder: Path, *, engine: FakeEngine | None = None, **settings: Any) -> AsyncIterator[App]:
    """Started and listening; drained and closed on the way out. Nothing of the environment's settings gets in."""
    for name in [each for each in os.environ if each.startswith("WORDUP_")]:
        del os.environ[name]
    quiet: dict[str, Any] = {"data_dir": folder, "web": False, "metrics_port": -1, "credits_cap": 1000.0}
    app = App(Settings(_env_file=None, **{**quiet, **settings}), engine=engine or FakeEngine())
    async with app.running():
        yield app
