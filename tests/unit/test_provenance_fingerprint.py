"""What a fingerprint catches and what it does not, measured on pictures of the pocket model: those of docs/images/operations.

The figures in docs/provenance.md are this file's: they fail here before they are wrong there.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance, ImageOps

from bot.provenance import fingerprint
from engine.api import BadInput
from engine.codec import encode_png

FOLDER = Path(__file__).parents[2] / "docs" / "images" / "operations"


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    found = []
    for path in sorted(FOLDER.glob("*.webp")):
        with Image.open(path) as image:
            found.append(image.convert("RGB"))
    assert len(found) > 90
    return found


def caught(pictures: list[Image.Image], change: Callable[[Image.Image], Image.Image]) -> float:
    """The share of pictures known again after that was done to them."""
    prints = [(fingerprint.of_image(each), fingerprint.of_image(change(each))) for each in pictures]
    return sum(fingerprint.distance(*pair) <= fingerprint.NEAR for pair in prints) / len(prints)


def jpeg(quality: int) -> Callable[[Image.Image], Image.Image]:
    return encoded("JPEG", quality)


def encoded(kind: str, quality: int) -> Callable[[Image.Image], Image.Image]:
    def change(image: Image.Image) -> Image.Image:
        out = io.BytesIO()
        image.save(out, kind, quality=quality)
        return Image.open(io.BytesIO(out.getvalue())).convert("RGB")

    return change


def resized(scale: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.BICUBIC)


def cropped(share: float) -> Callable[[Image.Image], Image.Image]:
    """That share of the width and height taken away, half on either side."""

    def change(image: Image.Image) -> Image.Image:
        x, y = round(image.width * share / 2), round(image.height * share / 2)
        return image.crop((x, y, image.width - x, image.height - y))

    return change


@pytest.mark.parametrize(
    ("change", "at_least"),
    [
        pytest.param(jpeg(90), 0.99, id="jpeg 90"),
        pytest.param(jpeg(50), 0.97, id="jpeg 50"),
        pytest.param(encoded("WEBP", 60), 0.97, id="webp 60"),
        pytest.param(resized(0.5), 0.97, id="half the size"),
        pytest.param(resized(2.0), 0.98, id="twice the size"),
        pytest.param(lambda image: jpeg(70)(resized(0.5)(image)), 0.95, id="half the size, jpeg 70"),
        pytest.param(lambda image: ImageEnhance.Brightness(image).enhance(1.1), 0.95, id="brighter"),
        pytest.param(ImageOps.grayscale, 0.99, id="grey"),
        pytest.param(cropped(0.02), 0.9, id="a fiftieth cropped"),
    ],
)
def test_what_chats_do_to_pictures_is_seen_through(pictures: list[Image.Image], change: Callable[[Image.Image], Image.Image], at_least: float) -> None:
    assert caught(pictures, change) >= at_least


@pytest.mark.parametrize(
    ("change", "at_most"),
    [
        pytest.param(cropped(0.1), 0.5, id="a tenth cropped"),
        pytest.param(cropped(0.25), 0.15, id="a quarter cropped"),
        pytest.param(ImageOps.mirror, 0.15, id="mirrored"),
        pytest.param(lambda image: image.rotate(90), 0.15, id="turned"),
    ],
)
def test_what_it_mostly_misses_is_said_in_the_docs(pictures: list[Image.Image], change: Callable[[Image.Image], Image.Image], at_most: float) -> None:
    assert caught(pictures, change) <= at_most


def opened(name: str) -> Image.Image:
    with Image.open(FOLDER / f"{name}.webp") as image:
        return image.convert("RGB")


def test_pictures_from_other_words_are_far_apart() -> None:
    names = ("from-words-1", "from-words-2", "from-words-3", "from-words-4", "stopping-early-3", "difference-within-a-grid-1", "a-morph-of-a-castle-9")
    prints = [fingerprint.of_image(opened(name)) for name in names]
    assert min(fingerprint.distance(*pair) for pair in itertools.combinations(prints, 2)) > 2 * fingerprint.NEAR


def test_versions_of_one_picture_can_be_near_so_that_nobody_is_named_by_looks() -> None:
    """The pocket model draws the same words with another seed much alike: evidence that it was drawn here, none of who drew it."""
    prints = [fingerprint.of_image(opened(f"difference-within-a-grid-{number}")) for number in (1, 2, 3)]
    assert min(fingerprint.distance(*pair) for pair in itertools.combinations(prints, 2)) <= 10


def test_a_fingerprint_is_the_same_for_the_same_pixels_whatever_the_file() -> None:
    image = Image.effect_mandelbrot((96, 64), (-2, -1, 1, 1), 60).convert("RGB")
    assert fingerprint.of(encode_png(image, "one")) == fingerprint.of(encode_png(image, "another")) != ""


def test_one_colour_has_none() -> None:
    assert fingerprint.of_image(Image.new("RGB", (64, 64), "navy")) == ""
    assert fingerprint.distance("", "") == fingerprint.BITS


def test_what_is_no_picture_has_none() -> None:
    with pytest.raises(BadInput):
        fingerprint.of(b"nothing")
