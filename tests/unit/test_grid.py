"""Contact sheets."""

from __future__ import annotations

import io

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo

from bot.grid import compose, compose_async, layout, places


def picture(colour: tuple[int, int, int], size: tuple[int, int] = (64, 48), note: str = "") -> bytes:
    out, notes = io.BytesIO(), PngInfo()
    notes.add_text("parameters", note)
    Image.new("RGB", size, colour).save(out, "PNG", pnginfo=notes)
    return out.getvalue()


@pytest.mark.parametrize(("count", "shape"), [(1, (1, 1)), (2, (2, 1)), (3, (2, 2)), (4, (2, 2)), (5, (3, 2)), (6, (3, 2)), (7, (3, 3)), (9, (3, 3))])
def test_layouts_are_near_squares(count: int, shape: tuple[int, int]):
    assert layout(count) == shape


def test_a_sheet_needs_a_picture():
    with pytest.raises(ValueError, match="needs a picture"):
        compose([])


def test_pictures_never_overlap_and_a_short_row_stands_in_the_middle():
    corners = places(5, 10, 10)
    assert corners == ((0, 0), (10, 0), (20, 0), (5, 10), (15, 10))
    for count in range(1, 10):
        assert len(set(places(count, 10, 10))) == count


def test_four_pictures_stand_two_by_two_in_order():
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)]
    sheet = compose([picture(colour, note=f"a fox, seed {index}") for index, colour in enumerate(colours)])
    image = Image.open(io.BytesIO(sheet.data))
    assert isinstance(image, PngImageFile)
    assert image.size == (sheet.width, sheet.height) == (128, 96)
    assert [image.getpixel(at) for at in ((32, 24), (96, 24), (32, 72), (96, 72))] == colours
    assert len({image.getpixel((64, y)) for y in range(96)} & set(colours)) == 0  # a frame keeps them apart
    assert image.text["parameters"] == "a fox, seed 0"


def test_pictures_of_different_sizes_are_a_mistake():
    with pytest.raises(ValueError, match="different sizes"):
        compose([picture((0, 0, 0)), picture((0, 0, 0), (10, 10))])


async def test_composing_off_the_loop_gives_the_same_bytes():
    pictures = [picture((9, 9, 9))] * 2
    assert (await compose_async(pictures)).data == compose(pictures).data


def test_four_finished_pictures_of_the_pocket_model_make_a_sheet_of_1024_pixels():
    sheet = compose([picture((9, 9, 9), (512, 512))] * 4)
    assert (sheet.width, sheet.height) == (1024, 1024)
