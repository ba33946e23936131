"""The whole program as a real process with the real pocket model, in both chats: drawing, dying, coming back, and knowing its old messages."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.fakes.discord import DiscordWire
from tests.fakes.slack import SlackWire
from tests.scenario.bots import discord_settings, environment, slack_settings, unknown_requests
from tests.scenario.program import PATIENCE, ROOT, Program, log_events
from tests.scenario.stages import DiscordStage, Seen, SlackStage


@dataclass
class Chat:
    """A platform that outlives the bot, and how to start one on it."""

    stage: DiscordStage | SlackStage
    start: Callable[[], Program]

    def states(self, card: Seen) -> list[str]:
        """What the message said before."""
        if isinstance(self.stage, DiscordStage):
            return [snapshot.text for snapshot in card.place.history]
        return [str(sent.args.get("text", "")) for sent in self.stage.wire.requests if sent.method == "chat.update" and sent.args.get("ts") == card.place.ts]

    def pictures(self, card: Seen) -> list[Any]:
        return [Image.open(io.BytesIO(picture[0])) for picture in card.place.pictures]

    @property
    def public(self) -> list[Any]:
        return [message for message in self.stage.wire.messages(self.stage.wire.art) if not getattr(message, "ephemeral", False)]


@pytest.fixture(params=["discord", "slack"])
async def chat(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Chat]:
    wire: Any = DiscordWire() if request.param == "discord" else SlackWire()
    async with wire:
        settings = environment(discord_settings(wire) if request.param == "discord" else slack_settings(wire))

        def start() -> Program:
            return Program(tmp_path / "data", WORDUP_LOG_FORMAT="json", WORDUP_LOG_LEVEL="debug", **settings)

        yield Chat(DiscordStage(wire) if request.param == "discord" else SlackStage(wire), start)
        assert wire.violations == [] and not unknown_requests(wire)


async def begun(chat: Chat) -> Program:
    program = chat.start()
    await asyncio.to_thread(program.start)
    await chat.stage.wire.connected()
    return program


async def test_a_conversation_outlives_the_process(chat: Chat) -> None:
    stage = chat.stage
    program = await begun(chat)
    try:
        grid = await stage.say("ada", "imagine", "a red apple on a blue background, 3d render --seed 7 --steps 12")
        assert grid.title == "a red apple on a blue background, 3d render" and grid.pictures and "Seed 7" in grid.details
        (sheet,) = chat.pictures(grid)
        assert sheet.format == "PNG" and min(sheet.size) > 250 and "Seed: 7" in sheet.text["parameters"]
        assert any("Drawing" in state for state in chat.states(grid)), "its progress was shown"
        assert len(chat.public) == 1
        assert await asyncio.to_thread(program.terminate) == 0
    finally:
        program.__exit__()
    written = "".join(program.output)
    assert stage.wire.token not in written if isinstance(stage, DiscordStage) else stage.wire.bot_token not in written
    assert "red apple" not in written and "/webhooks/" not in "".join(line for line in program.output if "[hidden]" not in line)

    program = await begun(chat)
    try:
        child = await stage.press("bob", grid, "V2")
        assert child.pictures and "V2 of “a red apple" in child.text and len(chat.public) == 2
        picked = await stage.react("bob", grid, "1️⃣")
        assert picked.pictures and "U1 of “a red apple" in picked.text and len(chat.public) == 3
        letter = await stage.react("bob", grid, "✉️")
        assert letter.alone and letter.pictures and "Seed 7" in letter.details
        parent = await stage.press("ada", child, "Where from")
        assert parent.details == grid.details

        running = await stage.say("ada", "imagine", "a fox in the snow --n 9 --steps 60", begun=True)
        cancelled = await stage.press("ada", running, "Cancel")
        assert "Cancelled" in cancelled.text

        gone = await stage.press("ada", grid, "Delete")
        assert gone.alone and gone.title == "Deleted"
        await stage.wire.until(lambda: grid.place.deleted)
        again = await stage.say("ada", "show", "")
        assert "Cancelled" in again.text, "her newest"
    finally:
        await asyncio.to_thread(program.terminate)
        program.__exit__()
    assert not [event for event in log_events(program.output) if event.get("level") in ("error", "critical")], "nothing went wrong"


async def test_a_job_at_a_power_cut_is_drawn_after_the_restart_and_shown_once_in_its_place(chat: Chat) -> None:
    stage = chat.stage
    program = await begun(chat)
    running = await stage.say("ada", "imagine", "an owl at night --seed 3 --n 4 --steps 60", begun=True)
    await asyncio.to_thread(program.kill)
    program = await begun(chat)
    try:
        await stage.wire.until(lambda: any("Drawn in" in str(getattr(m, "text", "")) or "Drawn in" in getattr(m, "plain", "") for m in chat.public), 240)
        assert len(chat.public) == 1
        assert chat.public[0] is running.place, "the card that said “queued” became the picture"
    finally:
        await asyncio.to_thread(program.terminate)
        program.__exit__()


@pytest.mark.parametrize("name", ["discord", "slack"])
async def test_a_token_that_is_refused_ends_the_program_with_one_sentence(name: str, tmp_path: Path) -> None:
    async with DiscordWire() as one, SlackWire() as two:
        settings = discord_settings(one) | {"discord_token": "not-the-token"} if name == "discord" else slack_settings(two) | {"slack_bot_token": "xoxb-wrong"}
        program = Program(tmp_path / "data", **environment(settings))
        ended = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-m", "bot", "run"], cwd=ROOT, env=program.environment, capture_output=True, text=True, timeout=PATIENCE
        )
    said = [line for line in ended.stderr.splitlines() if line and not line.startswith(("{", "20"))]
    assert ended.returncode == 1 and len(said) == 1, ended.stderr
    assert f"WORDUP_{name.upper()}" in said[0] and "Traceback" not in ended.stderr and "not-the-token" not in ended.stderr
