"""The terminal shows the picture as it can."""

import base64
import io
import re

import pytest
from PIL import Image

from bot.chat.terminal import inline_picture, written
from bot.domain import CLIP, GRID

PNG = b"\x89PNG and so on"


def red_over_blue() -> bytes:
    picture = Image.new("RGB", (8, 8), (0, 0, 255))
    picture.paste((255, 0, 0), (0, 0, 8, 4))
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def test_half_blocks_carry_two_pixels_a_cell():
    lines = inline_picture(red_over_blue(), {"TERM": "xterm-256color"}, columns=8).splitlines()
    assert len(lines) == 4 and all(line.count("▀") == 8 for line in lines)
    tops = re.findall(r"38;2;(\d+);\d+;(\d+);48", lines[0])
    assert all(int(red) > 200 and int(blue) < 60 for red, blue in tops)
    bottoms = re.findall(r"48;2;(\d+);\d+;(\d+)m", lines[-1])
    assert all(int(red) < 60 and int(blue) > 200 for red, blue in bottoms)


def test_iterm_and_kitty_get_the_file_itself():
    png = red_over_blue()
    assert base64.b64encode(png).decode() in inline_picture(png, {"TERM_PROGRAM": "iTerm.app"})
    shown = inline_picture(png * 80, {"TERM": "xterm-kitty"})
    chunks = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", shown)
    assert base64.b64decode("".join(data for _, data in chunks)) == png * 80
    assert [head[-3:] for head, _ in chunks[:-1]] == ["m=1"] * (len(chunks) - 1) and chunks[-1][0].endswith("m=0")


@pytest.mark.parametrize(
    ("pictures", "files", "clip"),
    [
        ({0: b"one"}, {"fox.png": b"one"}, False),
        ({0: b"one", CLIP: b"moves"}, {"fox.png": b"one", "fox-clip.webp": b"moves"}, True),
        ({GRID: PNG, 0: b"one", 1: b"two"}, {"fox.png": PNG, "fox-1.png": b"one", "fox-2.png": b"two"}, False),
        ({CLIP: b"moves", GRID: PNG, 0: b"one", 1: b"two"}, {"fox.png": PNG, "fox-1.png": b"one", "fox-2.png": b"two", "fox-clip.webp": b"moves"}, True),
    ],
)
def test_what_was_drawn_lies_beside_each_other(tmp_path, pictures, files, clip):
    beside = written(tmp_path / "fox.png", pictures)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == files
    assert beside == (tmp_path / "fox-clip.webp" if clip else None)
