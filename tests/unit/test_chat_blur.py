"""What is left of a picture in a chat that hides nothing."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from bot.chat.blur import CELLS, MOST_CELLS, blurred
from engine import codec
from tests.fakes.studio import paint


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=("PNG",))


def test_it_has_the_same_size_and_colours_and_nothing_of_what_was_written_into_the_file():
    data = codec.encode_png(opened(paint(3)).convert("RGB"), "a fox\nSteps: 4")
    before, after = opened(data), opened(blurred(data))
    assert after.size == before.size and after.info == {}
    assert np.abs(np.asarray(before, float).mean((0, 1)) - np.asarray(after, float).mean((0, 1))).max() < 8


@pytest.mark.parametrize("size", [(256, 256), (1024, 64), (40, 900), (3, 3)])
def test_of_stripes_nothing_can_be_made_out(size: tuple[int, int]):
    stripes = np.zeros((size[1], size[0], 3), np.uint8)
    stripes[:, ::2] = 255
    out = np.asarray(opened(blurred(codec.encode_png(Image.fromarray(stripes), "")))).astype(float)
    assert out.shape == stripes.shape
    if min(size) > CELLS:
        assert np.ptp(out) < 24
    assert MOST_CELLS < 32
