"""Masks made of where words make a difference."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from engine import outline
from engine.api import BadInput, NothingFound
from engine.fake import FAKE_MODEL


def cells(shape: tuple[int, int] = (16, 24), **boxes: tuple[slice, slice]) -> NDArray[np.float64]:
    """Little everywhere, with a grain; much in the boxes."""
    found = 0.2 + 0.05 * np.random.default_rng(0).random(shape)
    for box in boxes.values():
        found[box] = 1.0
    return found


def read(png: bytes) -> NDArray[np.bool_]:
    image = Image.open(io.BytesIO(png))
    assert image.mode == "L" and image.format == "PNG" and set(np.unique(np.asarray(image))) <= {0, 255}
    return np.asarray(image) > 0


def png(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(out, "PNG")
    return out.getvalue()


def test_a_mask_has_the_pictures_size_and_is_white_where_the_words_count() -> None:
    white = read(outline.mask(cells(box=np.s_[4:12, 6:18]), (240, 160), "the hat"))
    assert white.shape == (160, 240)
    assert white[50:110, 70:170].all() and not white[:30].any() and not white[:, 200:].any()
    assert 0.2 < white.mean() < 0.3  # the box has a quarter of the picture


def test_one_bright_cell_does_not_hide_the_rest() -> None:
    found = cells(box=np.s_[4:12, 6:18])
    found[8, 8] = 50.0
    assert read(outline.mask(found, (240, 160), "the hat"))[60:100, 120:170].all()


def test_a_thing_is_whole_and_a_frame_stays_a_frame() -> None:
    thing = cells(box=np.s_[2:14, 2:14])
    thing[6:10, 6:10] = 0.2
    assert read(outline.mask(thing, (240, 160), "the apple"))[20:130, 30:130].all()
    frame = np.full((16, 24), 1.0)
    frame[3:13, 3:21] = 0.1
    white = read(outline.mask(frame, (240, 160), "the frame"))
    assert not white[50:110, 50:190].any() and white[:15].all()


@pytest.mark.parametrize("found", [np.zeros((8, 8)), np.full((8, 8), 0.3), cells()], ids=["none", "the same", "nearly the same"])
def test_where_words_make_the_same_difference_everywhere_nothing_is_found(found: NDArray[np.float64]) -> None:
    with pytest.raises(NothingFound, match="the hat"):
        outline.mask(found, (64, 64), "the hat")


@pytest.mark.parametrize("box", [(0, 0, 64, 62), (30, 30, 33, 33), None], ids=["nearly all", "hardly anything", "nothing"])
def test_all_of_a_picture_and_hardly_any_of_it_are_no_part(box: tuple[int, int, int, int] | None) -> None:
    white = Image.new("L", (64, 64))
    if box:
        white.paste(255, box)
    with pytest.raises(NothingFound):
        outline.encoded(white, "the hat")


@pytest.mark.parametrize(
    ("size", "seen"),
    [((512, 512), (128, 128)), ((64, 64), (128, 128)), ((640, 360), (168, 96)), ((100, 3000), (64, 704)), ((1, 1), (128, 128))],
)
def test_a_picture_is_looked_at_on_as_many_pixels_as_the_model_draws(size: tuple[int, int], seen: tuple[int, int]) -> None:
    pixels, own = outline.fitted(png(*size), FAKE_MODEL)
    assert own == size and pixels.shape == (seen[1], seen[0], 3)


def test_what_is_no_picture_is_bad_input() -> None:
    with pytest.raises(BadInput):
        outline.fitted(b"a text file named .png", FAKE_MODEL)
