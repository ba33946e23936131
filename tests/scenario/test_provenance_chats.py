"""A picture that went through Discord, as a member saves it there: its manifest is whole, and the card leads to where it comes from."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator

import c2pa
import pytest

from bot.provenance import fingerprint
from tests.fakes.discord import DiscordWire, File, Message
from tests.scenario.bots import discord_settings, running, unknown_requests

PUBLIC = "https://pictures.example.org"


@pytest.fixture
async def wire() -> AsyncIterator[DiscordWire]:
    async with DiscordWire() as wire:
        yield wire
        assert wire.violations == [] and not unknown_requests(wire)


async def drawn(wire: DiscordWire, words: str) -> Message:
    answer = await wire.command(wire.ada, wire.art, "imagine", prompt=words)
    return await (await answer.message()).until(lambda m: "Drawn in" in m.text)


@pytest.mark.parametrize("words", ["a fox in the snow --seed 7", "a fox in the snow --n 1"], ids=["a grid", "one picture"])
async def test_c2pas_own_reader_finds_the_manifest_in_what_discord_holds(wire: DiscordWire, tmp_path, words: str) -> None:
    async with running(tmp_path, public_url=PUBLIC, **discord_settings(wire)):
        await wire.connected()
        message = await drawn(wire, words)
        held = message.attachments[0].bytes
        with c2pa.Reader("image/png", io.BytesIO(held)) as reader:
            store = json.loads(reader.json())
        active = store["manifests"][store["active_manifest"]]
        actions = next(each["data"]["actions"] for each in active["assertions"] if each["label"].startswith("c2pa.actions"))
        assert store["validation_state"] == "Valid"
        assert actions[0]["action"] == "c2pa.created" and actions[0]["digitalSourceType"].endswith("/trainedAlgorithmicMedia")
        job = next(each["data"]["job"] for each in active["assertions"] if each["label"] == "local.wordup.picture")
        assert f"{PUBLIC}/origin/{job}" in message.urls or f"](<{PUBLIC}/origin/{job}>)" in message.content

        answer = await wire.command(wire.bob, wire.art, "verify", image=File(name="saved.png", content=held, content_type="image/png"))
        assert "signed" in (await answer.message()).text


async def test_with_marking_off_nothing_is_written_into_it(wire: DiscordWire, tmp_path) -> None:
    async with running(tmp_path, marking=False, **discord_settings(wire)):
        await wire.connected()
        held = (await drawn(wire, "a fox --n 1")).attachments[0].bytes
    assert b"jumd" not in held and b"DigitalSourceType" not in held and fingerprint.of(held)
