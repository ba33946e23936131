"""The tiles of a creative upscale: they cover everything, fade into one another, and keep the picture's colours."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from engine import codec, results
from engine.api import ImagineRequest, Part
from engine.canvas import EMPTY
from engine.creative import OVERLAP, Box, Pile, boxes_of, drawn_size, padded, places, with_colours_of
from engine.fake import FAKE_MODEL
from engine.results import Drawn

CAN = replace(FAKE_MODEL, width=64, height=64, multiple=8, min_edge=32)


@given(st.integers(1, 3000), st.sampled_from([32, 64, 100]))
def test_tiles_cover_a_line_from_end_to_end_and_share_what_they_must(length: int, tile: int) -> None:
    found = places(length, tile)
    assert found[0] == 0 and (length <= tile or found[-1] + tile == length)
    for one, other in itertools.pairwise(found):
        assert one < other <= one + tile - round(tile * OVERLAP)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 200), st.integers(1, 200))
def test_any_size_becomes_tiles_of_one_size_that_the_model_can_draw(width: int, height: int) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8))
    board = padded(picture, CAN)
    assert board.crop((0, 0, width, height)).tobytes() == picture.tobytes()
    boxes = boxes_of(board.size, CAN)
    for side in (boxes[0].width, boxes[0].height):
        assert side % CAN.multiple == 0 and CAN.min_edge <= side <= CAN.width
    pile = Pile(board.size)
    for box in boxes:
        assert (box.width, box.height) == (boxes[0].width, boxes[0].height)
        pile.add(box, np.asarray(board.crop(box.corners)))
    assert np.array_equal(pile.whole(), np.asarray(board))  # tiles that agree leave no trace


@pytest.mark.parametrize(("size", "factor", "tiles"), [((512, 512), 2, 9), ((512, 512), 4, 25), ((640, 384), 2, 6), ((128, 128), 2, 9)])
def test_a_finished_picture_is_drawn_anew_at_the_models_own_scale(size: tuple[int, int], factor: int, tiles: int) -> None:
    can = replace(FAKE_MODEL, width=128, height=128, multiple=16, finish=4)
    assert len(boxes_of(drawn_size(size, factor, can), can)) == tiles
    larger = (factor * size[0], factor * size[1])
    assert drawn_size(size, factor, replace(can, finish=1)) == larger  # in tiles of 128 that were 121 of the first


def test_tiles_that_disagree_fade_into_one_another() -> None:
    pile = Pile((112, 64))
    for left, value in ((0, 60), (48, 180)):
        pile.add(Box(left, 0, 64, 64), np.full((64, 64, 3), value, np.uint8))
    line = pile.whole()[32, :, 0].astype(int)
    assert line[0] == 60 and line[-1] == 180
    assert (np.diff(line) >= 0).all() and np.diff(line).max() <= 16


@pytest.mark.parametrize("tint", [0, 40])
def test_a_tile_keeps_its_detail_and_takes_the_coarse_colours_of_its_start(tint: int) -> None:
    start = Image.new("RGB", (64, 64), (120, 120, 120))
    detail = np.where(np.indices((64, 64)).sum(axis=0)[..., None] % 2, 110, 130) + tint
    drawn = with_colours_of(start, np.broadcast_to(detail, (64, 64, 3)).astype(np.uint8))
    assert abs(drawn.mean() - 120) < 1
    assert np.abs(np.diff(drawn.astype(int), axis=1)).mean() == pytest.approx(20, abs=1)


def test_a_seamless_picture_stays_seamless_when_it_is_enlarged() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    asked = ImagineRequest(model="fake", parts=(Part(text="a fox"),), width=64, height=64, steps=8, guidance=5.0, tile=True, enlarge=4)

    def larger(pixels: NDArray[np.uint8], request: ImagineRequest) -> NDArray[np.uint8]:
        return results.larger(request, EMPTY, Drawn(pixels[None]), lambda each: codec.enlarge(each, 4)).images[0]

    moved = np.roll(picture, (8, 24), axis=(0, 1))
    assert np.array_equal(larger(moved, asked), np.roll(larger(picture, asked), (32, 96), axis=(0, 1)))
    plain = replace(asked, tile=False)
    assert not np.array_equal(larger(moved, plain), np.roll(larger(picture, plain), (32, 96), axis=(0, 1)))
