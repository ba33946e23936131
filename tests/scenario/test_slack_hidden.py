"""A picture that is shown behind a click elsewhere: blurred in a Slack channel, whole for whoever asks for it."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from bot.gate import Gate
from bot.gate.output import OutputGate
from tests.fakes.slack.model import File
from tests.scenario.slack_scene import Scene, scene
from tests.unit.house import ENGLISH


def contrast(file: File) -> int:
    """How far apart the darkest and the lightest of what is fine in a picture are."""
    with Image.open(io.BytesIO(file.content or b"")) as opened:
        grey = opened.convert("L")
    coarse = grey.resize((6, 6), Image.Resampling.BOX).resize(grey.size, Image.Resampling.BICUBIC)
    return max(abs(a - b) for a, b in zip(grey.tobytes(), coarse.tobytes(), strict=True))


def pictures(s: Scene) -> list[File]:
    return [file for file in s.wire.files.values() if not file.deleted]


async def test_it_is_blurred_in_the_channel_and_whole_in_a_letter(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        gate = OutputGate(Gate.load(), load=lambda: lambda picture: 0.5)
        await gate.start()
        try:
            s.house.workshop._output = gate
            message = await s.drawn()
            assert ENGLISH.say("chat.blurred") in message.plain
            (blurred,) = pictures(s)
            await s.wire.react(s.wire.ada, message, "envelope")
            await s.wire.until(lambda: s.wire.dms(s.wire.ada))
            letter = await s.wire.dms(s.wire.ada)[0].until(lambda m: bool(m.pictures))
            assert ENGLISH.say("chat.blurred") not in letter.plain
            whole = next(file for file in pictures(s) if file is not blurred)
            assert contrast(whole) > 4 * max(contrast(blurred), 4)
        finally:
            gate.close()


async def test_what_nobody_doubts_is_shown_as_it_is(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        message = await s.drawn()
        assert ENGLISH.say("chat.blurred") not in message.plain
        assert contrast(pictures(s)[0]) > 30
