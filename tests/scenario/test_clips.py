"""A clip beside the pictures, on every surface: Discord shows it as it is, Slack as a GIF, the page in its card, the terminal writes it into a file."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image

from bot.chat.discord import limits as discord_limits
from bot.chat.slack import limits as slack_limits
from tests.fakes.discord import DiscordWire, Message
from tests.scenario.bots import discord_settings, running, unknown_requests
from tests.scenario.discord_scene import done, told
from tests.scenario.program import PATIENCE, ROOT, Program
from tests.scenario.slack_scene import scene
from tests.scenario.visitor import Visitor
from tests.unit.house import ENGLISH, FilmingEngine


@pytest.fixture
async def wire() -> AsyncIterator[DiscordWire]:
    async with DiscordWire() as wire:
        yield wire
        assert wire.violations == [] and not unknown_requests(wire)


async def drawn(wire: DiscordWire, words: str) -> Message:
    answer = await wire.command(wire.ada, wire.art, "imagine", prompt=words)
    return await (await answer.message()).until(done)


def moves(clip: bytes, kind: str) -> bool:
    with Image.open(io.BytesIO(clip)) as opened:
        return opened.format == kind and getattr(opened, "n_frames", 1) > 2


async def test_discord_gets_the_clip_with_the_picture_also_after_a_restart(wire: DiscordWire, tmp_path) -> None:
    async with running(tmp_path, engine=FilmingEngine(), **discord_settings(wire)) as first:
        await wire.connected()
        message = await drawn(wire, "a fox --seed 7")
        await told(first)
    assert [each.name.rpartition("-")[2] for each in message.files][1:] == ["clip.webp"]
    (_, words), (clip, moving) = message.pictures
    assert "a fox" in words and moving == ENGLISH.say("card.alt_clip", words="a fox", model="fake")
    assert moves(clip, "WEBP")
    async with running(tmp_path, **discord_settings(wire)):
        await wire.connected()
        shown = await (await wire.command(wire.ada, wire.art, "show")).message()
        await shown.until(done)
    assert shown.pictures == message.pictures


async def test_a_clip_too_large_for_discord_is_left_out_and_the_picture_stays(wire: DiscordWire, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path, engine=FilmingEngine(), **discord_settings(wire)) as app:
        await wire.connected()
        size = len((await drawn(wire, "a fox --n 1 --seed 7")).pictures[1][0])
        places = app.adapters["discord"]._places  # type: ignore[attr-defined]
        monkeypatch.setattr(places, "limit", lambda channel: size)  # each of two files may have half
        monkeypatch.setattr(discord_limits, "SMALLEST_ATTACHMENT", 100)
        message = await drawn(wire, "a fox --n 1 --seed 8")
    assert len(message.pictures) == 1
    assert "The clip is too large for this chat" in message.text


async def test_a_clip_moves_in_slack_too_and_is_uploaded_once(tmp_path: Path) -> None:
    async with scene(tmp_path, engine=FilmingEngine) as s:
        message = await s.drawn("a fox --n 4")
        sheet, clip = message.pictures
        assert (sheet.content[:4], clip.content[:4]) == (b"\x89PNG", b"GIF8")
        assert clip.alt_text == ENGLISH.say("card.alt_clip", words="a fox", model="fake")
        assert moves(clip.content, "GIF")
        uploads = s.wire.table()["upload"]
        await s.restart()
        again = await (await s.wire.command(s.wire.ada, s.wire.art, "/wordup", "show")).message()
        await again.until(lambda m: len(m.pictures) == 2)
        assert (again.pictures, s.wire.table()["upload"]) == (message.pictures, uploads)
        await s.wire.press(s.wire.ada, message, "Delete")
        await s.wire.until(lambda: s.wire.table().get("files.delete", 0) == 2)
        assert s.wire.violations == []


async def test_a_clip_too_large_for_slack_is_left_out_and_the_picture_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene(tmp_path, engine=FilmingEngine) as s:
        monkeypatch.setattr(slack_limits, "FILE", 3000)
        message = await s.drawn("a fox --n 4")
        assert len(message.pictures) == 1
        assert ENGLISH.say("card.clip_left_out", limit=20) in message.plain


async def test_the_page_shows_the_clip_of_the_real_model_also_after_a_power_cut(tmp_path: Path) -> None:
    with Program(tmp_path / "data") as first:
        async with Visitor(first.url) as member:
            job = (await member.imagine("a fox in the snow --video --n 1 --steps 4"))["job"]
            assert '<details class="film"' in await member.ended(job)
        first.kill()
    with Program(tmp_path / "data") as second:
        async with Visitor(second.url) as member:
            (path,) = set(re.findall(r"/picture/[0-9a-f]{64}\.webp", await member.page(f"/job/{job}")))
            async with member.session.get(second.url + path) as answer:
                assert answer.content_type == "image/webp" and moves(await answer.read(), "WEBP")


def test_the_terminal_writes_the_clip_beside_the_picture(tmp_path: Path) -> None:
    words = "a fox in the snow --video --steps 4"
    command = [sys.executable, "-m", "bot", "imagine", words, "-o", str(tmp_path / "fox.png")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode == 0, ended.stderr
    assert {each.name for each in tmp_path.iterdir()} == {"fox.png", "fox-clip.webp"}
    assert moves((tmp_path / "fox-clip.webp").read_bytes(), "WEBP") and "fox-clip.webp" in ended.stderr
