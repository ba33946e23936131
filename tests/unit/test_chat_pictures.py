"""Pictures made to fit what a chat takes."""

from __future__ import annotations

import io
import random

import pytest
from PIL import Image

from bot.chat.pictures import fitted, fitted_async, gif, gif_async
from engine.codec import encode_clip


def noise(width: int, height: int, mode: str = "RGB") -> bytes:
    """A picture that hardly compresses."""
    out = io.BytesIO()
    Image.frombytes(mode, (width, height), random.Random(width * height).randbytes(width * height * len(mode))).save(out, "PNG")
    return out.getvalue()


NOISY = noise(256, 192)


def test_what_fits_goes_as_it_is():
    sent = fitted(NOISY, "a.png", len(NOISY))
    assert sent is not None
    assert (sent.data, sent.name, sent.smaller) == (NOISY, "a.png", False)
    assert fitted(b"no picture at all", "a.png", 100) is not None, "what fits is not even opened"


@pytest.mark.parametrize(("small", "kind", "name"), [("WEBP", "WEBP", "a.webp"), ("JPEG", "JPEG", "a.jpg")])
def test_what_is_a_little_too_large_is_compressed_and_keeps_its_size(small: str, kind: str, name: str):
    sent = fitted(NOISY, "a.png", len(NOISY) - 1, small=small)
    assert sent is not None and sent.smaller
    assert sent.name == name and len(sent.data) < len(NOISY)
    picture = Image.open(io.BytesIO(sent.data))
    assert (picture.format, picture.size) == (kind, (256, 192))


def test_what_is_much_too_large_is_halved_until_it_fits():
    sent = fitted(NOISY, "a.png", 8000)
    assert sent is not None
    assert len(sent.data) <= 8000
    width, height = Image.open(io.BytesIO(sent.data)).size
    assert width / height == 256 / 192 and width < 256


def test_every_limit_is_kept():
    for limit in range(len(NOISY), 0, -5000):
        sent = fitted(NOISY, "a.png", limit)
        assert sent is None or len(sent.data) <= limit


def test_nothing_fits_into_next_to_nothing():
    assert fitted(NOISY, "a.png", 50) is None


@pytest.mark.parametrize("mode", ["RGBA", "L", "LA", "P"])
@pytest.mark.parametrize("small", ["WEBP", "JPEG"])
def test_every_kind_of_picture_can_be_made_smaller(mode: str, small: str):
    out = io.BytesIO()
    Image.open(io.BytesIO(NOISY)).convert(mode).save(out, "PNG")
    sent = fitted(out.getvalue(), "a.png", len(out.getvalue()) - 1, small=small)
    assert sent is not None and len(sent.data) < len(out.getvalue())


@pytest.mark.parametrize(("name", "sent_as"), [("a.b.png", "a.b.webp"), ("picture", "picture.webp"), (".png", ".png.webp")])
def test_only_the_ending_of_its_name_changes(name: str, sent_as: str):
    sent = fitted(NOISY, name, len(NOISY) - 1)
    assert sent is not None and sent.name == sent_as


async def test_off_the_event_loop_it_is_the_same():
    for limit in (len(NOISY), len(NOISY) - 1, 8000, 50):
        assert await fitted_async(NOISY, "a.png", limit) == fitted(NOISY, "a.png", limit)
    assert await fitted_async(NOISY, "a.png", 8000, small="JPEG") == fitted(NOISY, "a.png", 8000, small="JPEG")


def clip(edge: int = 640) -> bytes:
    """Three frames of different colours."""
    frames = [Image.new("RGB", (edge, edge // 2), colour) for colour in ("red", "lime", "blue")]
    return encode_clip(frames, [90, 90, 1500])


def test_a_clip_becomes_a_gif_that_moves():
    sent = gif(clip(), "wordup-clip.webp", 2**20)
    assert sent is not None
    assert (sent.name, sent.data[:4], sent.smaller) == ("wordup-clip.gif", b"GIF8", False)
    with Image.open(io.BytesIO(sent.data)) as opened:
        assert (opened.n_frames, opened.size) == (3, (512, 256))


def test_a_clip_too_large_as_a_gif_is_tried_smaller_and_then_given_up():
    whole, half = gif(clip(), "a.webp", 2**20), gif(clip(256), "a.webp", 2**20)
    assert whole is not None and half is not None and len(half.data) < len(whole.data)
    smaller = gif(clip(), "a.webp", len(whole.data) - 1)
    assert smaller is not None
    assert Image.open(io.BytesIO(smaller.data)).size == (256, 128)
    assert gif(clip(), "a.webp", 100) is None


async def test_gifs_are_made_off_the_event_loop_too():
    assert await gif_async(clip(), "a.webp", 2**20) == gif(clip(), "a.webp", 2**20)
