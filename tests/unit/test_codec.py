"""Picture files: what strangers send is read carefully, what we write can be read by others."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from engine import codec
from engine.api import BadInput, Control, Emphasis, ImagePrompt, ImagineRequest, Lora, MorphRequest, Part, Spot, UpscaleRequest

RED, WHITE = (255, 0, 0), (255, 255, 255)


def file(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds nothing."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body)) + b"\0\0\0\0IEND\xaeB`\x82"


@pytest.mark.parametrize("kind", codec.FORMATS)
def test_the_three_formats_are_read_as_rgb(kind: str) -> None:
    image = codec.decode(file(Image.new("RGB", (20, 10), RED), kind))
    assert (image.mode, image.size) == ("RGB", (20, 10))
    red, green, blue = image.getpixel((5, 5))
    assert red > 250 and green < 5 and blue < 5


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "PPM", "ICO"])
def test_other_formats_are_refused(kind: str) -> None:
    with pytest.raises(BadInput):
        codec.decode(file(Image.new("RGB", (16, 16)), kind))


@pytest.mark.parametrize("data", [b"", b"hello, I am a text file named .png", b"\x89PNG\r\n\x1a\n", b"<svg xmlns='http://www.w3.org/2000/svg'/>"])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput):
        codec.decode(data)


def test_a_truncated_picture_is_refused() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    data = file(noise)
    with pytest.raises(BadInput):
        codec.decode(data[: len(data) // 2])


@pytest.mark.parametrize(("width", "height"), [(8000, 6250), (12_000, 10_000), (60_000, 60_000)])
def test_too_many_pixels_are_refused_by_the_header_alone(width: int, height: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(BadInput):
        codec.decode(png_header(width, height))


def test_a_photograph_is_turned_upright_by_its_exif() -> None:
    image = Image.new("RGB", (40, 20), WHITE)
    image.paste(RED, (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise
    upright = codec.decode(file(image, "JPEG", exif=exif, quality=95))
    assert upright.size == (20, 40)
    assert upright.getpixel((10, 5))[1] < 20 and upright.getpixel((10, 35))[1] > 235


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_becomes_white(mode: str) -> None:
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 4, 8))
    flat = codec.decode(file(image.convert(mode)))
    assert flat.mode == "RGB"
    assert flat.getpixel((1, 1)) == (0, 0, 0) and flat.getpixel((6, 6)) == WHITE


def test_sixteen_bits_a_channel_keep_their_brightness() -> None:
    image = Image.fromarray(np.full((4, 4), 0x8000, np.uint16))
    assert codec.decode(file(image)).getpixel((0, 0)) == (128, 128, 128)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_files_are_read_or_refused_but_nothing_else(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(codec.FORMATS))
    good = bytearray(file(Image.new("RGB", (24, 24), RED), kind))
    for _ in range(data.draw(st.integers(1, 6))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadInput):
        assert codec.decode(bytes(good)).mode == "RGB"


def test_cover_fills_the_canvas_without_stretching() -> None:
    image = Image.new("RGB", (60, 20), WHITE)
    image.paste(RED, (20, 0, 40, 20))
    covered = codec.cover(image, 32, 32)
    assert covered.size == (32, 32)
    assert covered.getpixel((16, 16)) == RED


def request(**changes: object) -> ImagineRequest:
    fields: dict[str, object] = {"model": "pocket", "parts": (Part(text="ein Käse 🧀"),), "width": 128, "height": 96, "steps": 20, "guidance": 3.0, "seed": 7}
    return ImagineRequest(**{**fields, **changes})  # type: ignore[arg-type]


def test_the_png_tells_what_it_was_made_from() -> None:
    text = codec.parameters_text(request(unwanted=("rain", "fog"), scheduler="EulerDiscreteScheduler"), 9)
    image = Image.open(io.BytesIO(codec.encode_png(Image.new("RGB", (8, 8)), text)))
    assert image.text["parameters"].splitlines() == [
        "ein Käse 🧀",
        "Negative prompt: rain, fog",
        "Steps: 20, Sampler: EulerDiscrete, CFG scale: 3, Seed: 9, Size: 128x96, Model: pocket",
    ]


def test_weights_strength_and_the_models_own_sampler_are_told_too() -> None:
    text = codec.parameters_text(request(parts=(Part(text="cat", weight=2), Part(text="dog")), source="ab" * 32, strength=0.25), 7, "DDIMScheduler")
    assert text.startswith("cat::2 dog::1\n")
    assert "Sampler: DDIM," in text and text.endswith("Denoising strength: 0.25, Source: abababababab")


def test_an_enlarged_picture_tells_its_factor() -> None:
    assert "Size: 256x128" in codec.parameters_text(UpscaleRequest(model="pocket", source="0" * 64, factor=2, width=128, height=64), 3)


def test_emphasis_is_told_as_it_is_typed() -> None:
    words = Part(text="a fox in the snow", emphasis=(Emphasis(start=6, end=17, weight=1.3), Emphasis(start=2, end=5, weight=0.5)))
    assert codec.words([words]) == "a (fox:0.5) (in the snow:1.3)"
    assert codec.words([words, Part(text="3d", weight=-0.5)]) == "a (fox:0.5) (in the snow:1.3)::1 3d::-0.5"


def test_everything_a_picture_is_made_from_is_told() -> None:
    made = request(
        source="ab" * 32,
        mask="cd" * 32,
        spot=Spot(left=-32, top=16, width=128, height=96),
        mix=("ef" * 32,),
        image_prompts=(ImagePrompt(picture="12" * 32, weight=1.5), ImagePrompt(picture="34" * 32), ImagePrompt(picture="56" * 32, style=True)),
        control=Control(kind="edges", picture="78" * 32, scale=0.8),
        loras=(Lora(name="ink", weight=0.8), Lora(name="glow", weight=-1)),
        tile=True,
        enlarge=4,
        stop=0.6,
        best_of=8,
        clip=0.5,
        synthesis=True,
    )
    told = codec.parameters_text(made, 7).rpartition("Model: pocket, ")[2].split(", ")
    assert told == [
        "Denoising strength: 0.6",
        "Source: abababababab",
        "Mask: cdcdcdcdcdcd",
        "Spot: 128x96-32+16",
        "Mix: efefefefefef",
        "Image prompt: 121212121212:1.5 343434343434:1",
        "Style: 565656565656:1",
        "Control: edges 787878787878:0.8",
        "Lora: ink:0.8 glow:-1",
        "Tiling: True",
        "Stop: 60%",
        "Hires upscale: 4",
        "Best of: 8",
        "CLIP guidance: 0.5",
        "Synthesis: True",
    ]


def test_morphs_and_creative_upscales_tell_their_words() -> None:
    morph = MorphRequest(
        model="pocket", before=(Part(text="a fox"),), after=(Part(text="a cat"),), unwanted=("rain",), width=64, height=64, steps=4, guidance=3.0, frames=6
    )
    assert codec.parameters_text(morph, 3).splitlines()[:2] == ["a fox -> a cat", "Negative prompt: rain"]
    assert codec.parameters_text(morph, 3).endswith("Seed: 3, Size: 64x64, Model: pocket, Frames: 6")
    upscale = UpscaleRequest(model="pocket", source="0" * 64, width=64, height=64, creative=True, parts=(Part(text="a fox"),))
    assert codec.parameters_text(upscale, 3) == "a fox\nSeed: 3, Size: 128x128, Model: pocket, Upscale: 2, Steps: 20, CFG scale: 3, Denoising strength: 0.3"


COLOURS = [RED, (0, 255, 0), (0, 0, 255)]


def frames_of(data: bytes) -> tuple[list[tuple[int, ...]], list[int]]:
    """The middle pixel of each frame of an animation, and how long each is shown."""
    middles, durations = [], []
    with Image.open(io.BytesIO(data)) as image:
        for k in range(image.n_frames):
            image.seek(k)
            middles.append(image.convert("RGB").getpixel((image.width // 2, image.height // 2)))
            durations.append(image.info["duration"])
    return middles, durations


@pytest.mark.parametrize("kind", ["WEBP", "GIF"])
def test_a_clip_shows_its_frames_in_order_each_for_its_time(kind: str) -> None:
    clip = codec.encode_clip([Image.new("RGB", (40, 24), colour) for colour in COLOURS], [100, 50, 900])
    data = clip if kind == "WEBP" else codec.clip_as_gif(clip)
    assert Image.open(io.BytesIO(data)).format == kind and Image.open(io.BytesIO(data)).info["loop"] == 0
    middles, durations = frames_of(data)
    assert durations == [100, 50, 900]
    for found, wanted in zip(middles, COLOURS, strict=True):
        assert max(abs(a - b) for a, b in zip(found, wanted, strict=True)) < 16


def test_a_gif_is_no_larger_than_it_may_be() -> None:
    clip = codec.encode_clip([Image.new("RGB", (600, 300), colour) for colour in COLOURS], [100] * 3)
    assert Image.open(io.BytesIO(codec.clip_as_gif(clip, edge=256))).size == (256, 128)


def test_a_coarser_picture_is_every_other_pixel_of_it() -> None:
    picture = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(8, 6, 3)
    assert codec.coarser(picture, 8) is picture
    assert np.array_equal(codec.coarser(picture, 4), picture[::2, ::2])
    assert max(codec.coarser(picture, 3).shape[:2]) <= 3


@pytest.mark.parametrize(("count", "size"), [(1, (512, 256)), (2, (512, 128)), (3, (512, 256)), (4, (512, 256)), (9, (510, 255))])
def test_the_preview_grid_is_square_in_arrangement_and_bounded(count: int, size: tuple[int, int]) -> None:
    grid = codec.preview_grid([np.zeros((8, 16, 3), np.uint8)] * count, 1024, 512)
    assert abs(grid.width - size[0]) <= 3 and abs(grid.height - size[1]) <= 3
    assert Image.open(io.BytesIO(codec.encode_webp(grid))).format == "WEBP"


@pytest.mark.parametrize("factor", [2, 4])
def test_the_classical_enlargement_keeps_flat_colours_and_edges_in_place(factor: int) -> None:
    image = Image.new("RGB", (32, 32), WHITE)
    image.paste(RED, (0, 0, 16, 32))
    large = codec.enlarge(image, factor)
    assert large.size == (32 * factor, 32 * factor)
    assert large.getpixel((4 * factor, 16 * factor)) == RED and large.getpixel((28 * factor, 16 * factor)) == WHITE
