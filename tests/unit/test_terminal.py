"""The terminal shows the picture as it can."""

import base64
import io
import re

from PIL import Image

from bot.chat.terminal import inline_picture


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
