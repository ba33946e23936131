"""The canvas: where a source lies, what is filled around it, what is drawn anew, and what is put back."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageDraw

from engine import canvas
from engine.api import ImagineRequest, MorphRequest, Part, Spot, UpscaleRequest
from engine.canvas import EMPTY, Canvas, borders, fill, grown, lay, mix, put_back

RED, BLUE = (255, 0, 0), (0, 0, 255)


def request(**changes: Any) -> ImagineRequest:
    fields: dict[str, Any] = {"model": "tiny", "parts": (Part(text="a cat"),), "width": 64, "height": 64, "steps": 4, "guidance": 3.0}
    return ImagineRequest(**{**fields, **changes})


def halves(width: int = 64, height: int = 64) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (width // 2, 0, width, height))
    return image


def white(width: int, height: int, box: tuple[int, int, int, int]) -> Image.Image:
    image = Image.new("RGB", (width, height))
    image.paste((255, 255, 255), box)
    return image


# ------------------------------------------------------------------------------------------------ what starts a picture


def test_words_alone_start_from_nothing() -> None:
    assert lay(request(), {}) == EMPTY
    morph = MorphRequest(model="tiny", before=(Part(text="a"),), after=(Part(text="b"),), width=64, height=64, steps=4, guidance=3.0)
    assert lay(morph, {}) == EMPTY


def test_a_source_covers_the_canvas_and_an_enlargements_source_stays_as_it_came() -> None:
    source = halves(200, 100)
    start = lay(request(source="s"), {"s": source}).start
    assert start is not None and start.size == (64, 64)
    assert lay(UpscaleRequest(model="tiny", source="s", width=200, height=100), {"s": source}).start is source


def test_mixed_pictures_have_equal_shares() -> None:
    mixed = mix([Image.new("RGB", (2, 2), colour) for colour in ((30, 0, 0), (0, 60, 0), (0, 0, 90))])
    assert mixed.getpixel((1, 1)) == (10, 20, 30)
    laid = lay(request(source="a", mix=("b",)), {"a": Image.new("RGB", (64, 64), RED), "b": Image.new("RGB", (10, 30), BLUE)})
    assert laid.start is not None and laid.start.getpixel((5, 5)) == (128, 0, 128)
    assert laid.mask is None and laid.keep is None


# ------------------------------------------------------------------------------------------------ masks and their borders


def test_the_mask_covers_what_was_asked_for_and_a_little_more() -> None:
    laid = lay(request(source="s", mask="m"), {"s": halves(), "m": white(64, 64, (32, 0, 64, 64))})
    assert laid.mask is not None and laid.keep is not None
    mask, keep = np.asarray(laid.mask), np.asarray(laid.keep)
    assert (mask[:, 32:] == 255).all() and (keep[:, 32:] == 0).all()
    assert (mask[:, :28] == 0).all() and (keep[:, :28] == 255).all()
    assert (mask[:, 30] == 255).all()


def test_the_border_turns_gradually_from_kept_to_drawn() -> None:
    bare = white(256, 256, (100, 100, 256, 256)).convert("L")
    keep = np.asarray(borders(bare)[1])[200]
    ramp = keep[85:105].astype(int)
    assert (np.diff(keep.astype(int)) <= 0).all() and keep[0] == 255 and keep[100] == 0
    assert len(set(ramp)) > 5 and np.abs(np.diff(ramp)).max() < 64


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 40), st.integers(1, 40), st.sampled_from([64, 96]))
def test_nothing_bare_is_ever_kept_and_nothing_outside_the_mask_is_ever_touched(left: int, top: int, width: int, height: int, edge: int) -> None:
    bare = white(edge, 64, (left, top, left + width, top + height)).convert("L")
    mask, keep = map(np.asarray, borders(bare))
    assert (keep[np.asarray(bare) == 255] == 0).all()
    assert (keep[mask == 0] == 255).all()
    assert set(np.unique(mask)) <= {0, 255}


def test_areas_grow_by_the_same_way_on_every_side() -> None:
    small = white(32, 24, (10, 8, 12, 9)).convert("L")
    assert grown(small, 3).getbbox() == (7, 5, 15, 12)
    assert grown(small, 100).getextrema() == (255, 255)


def test_a_mask_is_stretched_to_the_shape_of_its_source() -> None:
    mask = white(10, 10, (5, 0, 10, 10))  # the right half, whatever the source's shape
    laid = lay(request(source="s", mask="m", width=128, height=64), {"s": halves(128, 64), "m": mask})
    assert laid.mask is not None and laid.keep is not None
    assert laid.keep.getpixel((40, 32)) == 255 and laid.keep.getpixel((66, 32)) == 0


def test_kept_pixels_are_the_sources_own() -> None:
    source, drawn = halves(), Image.new("RGB", (64, 64), (0, 255, 0))
    laid = lay(request(source="s", mask="m"), {"s": source, "m": white(64, 64, (32, 0, 64, 64))})
    image = put_back(drawn, laid)
    assert np.array_equal(np.asarray(image)[:, :28], np.asarray(source)[:, :28])
    assert image.getpixel((50, 10)) == (0, 255, 0)
    assert put_back(drawn, EMPTY) is drawn
    small = put_back(drawn.resize((32, 32)), laid)  # by a pipeline that draws no more than it must
    assert small.size == (64, 64) and small.getpixel((5, 5)) == RED


def test_of_a_source_as_fine_as_the_enlarged_picture_nothing_is_lost() -> None:
    source = Image.fromarray(np.random.default_rng(1).integers(0, 256, (256, 256, 3), np.uint8))
    laid = lay(request(source="s", mask="m", enlarge=4), {"s": source, "m": white(64, 64, (32, 0, 64, 64))})
    assert laid.start is not None and laid.start.size == (64, 64) and laid.finished is not None
    image = np.asarray(put_back(Image.new("RGB", (256, 256), (0, 255, 0)), laid.finished))
    assert np.array_equal(image[:, :112], np.asarray(source)[:, :112])
    assert tuple(image[40, 200]) == (0, 255, 0)


def test_a_coarser_source_is_put_back_before_the_picture_is_enlarged() -> None:
    laid = lay(request(source="s", mask="m", enlarge=4), {"s": halves(), "m": white(64, 64, (32, 0, 64, 64))})
    assert laid.keep is not None and laid.finished is None
    assert lay(request(source="s", enlarge=4), {"s": halves(256, 256)}).finished is None  # nothing of it is kept


def test_a_fine_source_lies_at_its_spot_on_the_enlarged_picture() -> None:
    source = Image.fromarray(np.random.default_rng(1).integers(0, 256, (128, 128, 3), np.uint8))
    laid = lay(request(source="s", spot=Spot(left=16, top=8, width=32, height=32), enlarge=4), {"s": source})
    assert laid.finished is not None
    image = np.asarray(put_back(Image.new("RGB", (256, 256)), laid.finished))
    assert np.array_equal(image[60:132, 92:164], np.asarray(source)[28:100, 28:100])


# ------------------------------------------------------------------------------------------------ sources with room around them


def test_a_source_lies_at_its_spot_and_the_rest_is_to_be_drawn() -> None:
    spot = Spot(left=16, top=8, width=32, height=32)
    laid = lay(request(source="s", spot=spot), {"s": halves()})
    assert laid.start is not None and laid.keep is not None
    small = halves().resize((32, 32), Image.Resampling.LANCZOS)
    assert np.array_equal(np.asarray(laid.start)[8:40, 16:48], np.asarray(small))
    assert laid.keep.getpixel((32, 24)) == 255 and laid.keep.getpixel((10, 24)) == 0 and laid.keep.getpixel((32, 50)) == 0


def test_what_is_bare_takes_the_colours_of_the_nearest_edge() -> None:
    laid = lay(request(source="s", spot=Spot(left=32, top=0, width=64, height=64), width=128), {"s": halves()})
    assert laid.start is not None
    left, right = (np.asarray(laid.start)[:, box].mean(axis=(0, 1)) for box in (slice(0, 28), slice(100, 128)))
    assert left[0] > 240 and left[2] < 15 and right[2] > 240 and right[0] < 15


def test_the_fill_grows_softer_with_distance_and_has_no_step_at_the_edge() -> None:
    stripes = Image.new("RGB", (64, 64))
    for y in range(0, 64, 8):
        stripes.paste((255, 255, 255), (0, y, 64, y + 4))
    filled = np.asarray(fill(stripes, (0, 0, 64, 64), (256, 64), 0)).astype(float).mean(axis=2)
    contrast = [filled[:, x - 4 : x + 4].mean(axis=1).std() for x in (64, 70, 78)]
    assert all(nearer > further for nearer, further in itertools.pairwise(contrast))
    assert np.abs(filled[:, 63] - filled[:, 64]).mean() < 3 * canvas.GRAIN
    assert np.array_equal(filled[:, :64], np.asarray(stripes).mean(axis=2))


def test_the_grain_is_the_seeds() -> None:
    spot = Spot(left=16, top=16, width=32, height=32)
    one, again, other = (np.asarray(lay(request(source="s", spot=spot, seed=seed), {"s": halves()}).start) for seed in (1, 1, 2))
    assert np.array_equal(one, again) and not np.array_equal(one, other)


@settings(max_examples=60, deadline=None)
@given(st.integers(-200, 60), st.integers(-200, 60), st.integers(1, 400), st.integers(1, 400), st.booleans())
def test_any_spot_that_shows_something_gives_a_whole_canvas(left: int, top: int, width: int, height: int, masked: bool) -> None:
    spot = Spot(left=left, top=top, width=width, height=height)
    if left + width <= 0 or top + height <= 0:
        return
    pictures = {"s": halves(37, 53), "m": white(20, 20, (0, 0, 10, 10))}
    laid = lay(request(source="s", spot=spot, mask="m" if masked else None), pictures)
    for each in (laid.start, laid.mask, laid.keep):
        assert each is not None and each.size == (64, 64)


def test_what_is_seen_of_a_source_beyond_the_edges_is_that_part_of_it() -> None:
    source = Image.new("RGB", (64, 64), BLUE)
    ImageDraw.Draw(source).rectangle((32, 0, 63, 63), fill=RED)
    laid = lay(request(source="s", spot=Spot(left=-32, top=0, width=64, height=64)), {"s": source})
    assert laid.start is not None and laid.start.getpixel((4, 30)) == RED
    huge = lay(request(source="s", spot=Spot(left=-640, top=0, width=1024, height=1024)), {"s": source})
    assert huge.start is not None and huge.start.getpixel((30, 30)) == RED
    assert huge.keep is not None and huge.keep.getextrema() == (255, 255)


def test_a_mask_moves_with_its_source() -> None:
    spot = Spot(left=64, top=0, width=64, height=64)
    laid = lay(request(source="s", mask="m", spot=spot, width=128), {"s": halves(), "m": white(64, 64, (0, 0, 64, 16))})
    assert laid.keep is not None
    assert laid.keep.getpixel((100, 8)) == 0 and laid.keep.getpixel((100, 40)) == 255 and laid.keep.getpixel((20, 40)) == 0


@pytest.mark.parametrize("empty", [EMPTY, Canvas(start=halves())])
def test_a_canvas_without_a_mask_puts_nothing_back(empty: Canvas) -> None:
    drawn = Image.new("RGB", (64, 64))
    assert put_back(drawn, empty) is drawn


def test_a_tint_does_not_show_at_the_border_and_another_thing_is_left_as_it_was_drawn() -> None:
    start = Image.new("RGB", (128, 128), (100, 120, 140))
    keep = Image.new("L", (128, 128), 0)
    keep.paste(255, (0, 0, 64, 128))
    laid = Canvas(start=start, mask=ImageChops.invert(keep), keep=keep)
    tinted = np.asarray(put_back(Image.new("RGB", (128, 128), (112, 108, 140)), laid)).astype(int)
    assert np.abs(tinted[:, 63] - tinted[:, 64]).max() <= 4  # 12 without
    assert np.abs(np.diff(tinted, axis=1)).max() <= 4 and tuple(tinted[60, 120]) == (112, 108, 140)
    other = np.asarray(put_back(Image.new("RGB", (128, 128), (200, 20, 20)), laid))
    assert (other[:, 64:] == (200, 20, 20)).all()
