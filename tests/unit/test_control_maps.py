"""Maps for ControlNets: lines are found where a picture has them, and a member's own map is taken as they meant it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from engine import edges
from engine.api import BadInput, Control


def control(kind: str = "edges", *, is_map: bool = False) -> Control:
    return Control(kind=kind, picture="0" * 64, is_map=is_map)


def lines(picture: Image.Image, kind: str = "edges") -> Any:
    """Height × width: where the map is white."""
    return np.asarray(edges.control_map(control(kind), picture, *picture.size))[..., 0] > 127


def disc(radius: int = 60, light: int = 200, dark: int = 40) -> Image.Image:
    """Smooth at its rim, as pictures are."""
    picture = Image.new("L", (800, 800), dark)
    ImageDraw.Draw(picture).ellipse((400 - 4 * radius, 400 - 4 * radius, 400 + 4 * radius, 400 + 4 * radius), fill=light)
    return picture.resize((200, 200), Image.Resampling.BOX).convert("RGB")


def test_the_outline_of_a_disc_is_found_all_around_and_nothing_else() -> None:
    y, x = np.nonzero(lines(disc()))
    distance = np.hypot(x - 99.5, y - 99.5)
    assert np.abs(distance - 60).max() < 1.6
    angles = np.degrees(np.arctan2(y - 99.5, x - 99.5)).round().astype(int) % 360
    assert len(set(angles)) > 340


@pytest.mark.parametrize("upright", [True, False])
def test_a_line_is_one_pixel_wide(upright: bool) -> None:
    half = Image.new("L", (64, 64), 30)
    half.paste(220, (32, 0, 64, 64) if upright else (0, 32, 64, 64))
    found = lines(half.convert("RGB"))
    assert (found.sum(axis=1 if upright else 0) == 1).all()


def test_an_even_picture_and_a_soft_one_have_no_lines() -> None:
    ramp = Image.fromarray(np.linspace(60, 180, 256).round().astype(np.uint8)[None].repeat(64, 0)).convert("RGB")
    assert not lines(Image.new("RGB", (64, 64), "grey")).any()
    assert not lines(ramp).any()


def test_a_misty_picture_has_lines_too() -> None:
    assert lines(disc(light=120, dark=105)).sum() > 300


def test_a_faint_line_is_kept_where_it_goes_on_from_a_strong_one() -> None:
    def found(heights: Any) -> Any:
        """Columns with a line, of a picture with a step so high in each column."""
        steps = np.interp(np.arange(160), *zip(*heights, strict=True))
        picture = np.where(np.arange(60)[:, None] < 30, 100, 100 + steps).round().astype(np.uint8)
        return lines(Image.fromarray(picture).convert("RGB")).any(axis=0)

    fading, broken = [(0, 60), (80, 4), (160, 4)], [(0, 60), (60, 0), (90, 0), (110, 4), (160, 4)]
    assert found(fading)[:150].all()
    assert found(broken)[:40].all() and not found(broken)[80:].any()


def test_a_sketch_has_wider_lines_and_fewer_small_things() -> None:
    busy = disc()
    draw = ImageDraw.Draw(busy)
    for k in range(0, 200, 6):
        draw.point((k, 6 + k % 3), fill="white")
    edged, sketched = lines(busy), lines(busy, "sketch")
    assert sketched[:20].mean() < edged[:20].mean() / 2
    assert sketched[90:110].sum(axis=1).min() >= 4  # two lines, two pixels each


def test_a_map_drawn_dark_on_light_is_turned_and_one_drawn_light_on_dark_is_not() -> None:
    drawn = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(drawn).line((5, 5, 60, 60), fill="black", width=3)
    turned = np.asarray(edges.control_map(control("sketch", is_map=True), drawn, 64, 64))
    assert turned.mean() < 40 and turned[30, 30, 0] == 255
    again = edges.control_map(control("sketch", is_map=True), Image.fromarray(turned), 64, 64)
    assert (np.asarray(again) == turned).all()


def test_a_depth_is_taken_as_it_is_and_never_looked_for() -> None:
    near = Image.new("RGB", (64, 64), (230, 230, 230))
    assert np.asarray(edges.control_map(control("depth", is_map=True), near, 64, 64)).min() == 230
    for kind in ("depth", "pose"):
        with pytest.raises(BadInput, match=kind):
            edges.control_map(control(kind), near, 64, 64)


@pytest.mark.parametrize("kind", ["edges", "sketch"])
def test_a_map_is_of_the_size_that_is_drawn(kind: str) -> None:
    assert edges.control_map(control(kind), disc(), 96, 63).size == (96, 63)
    assert edges.control_map(control(kind, is_map=True), disc(), 96, 63).size == (96, 63)
