"""A page of pictures with captions, drawn as it is written. Used by `benchmarks.operations_page`."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from engine.api import Request, Result
from engine.local import LocalEngine

DOCS = Path(__file__).resolve().parent.parent / "docs"
IMAGES = DOCS / "images" / "operations"
#: What the page may weigh, in bytes: one picture, and all of them.
MOST, MOST_TOGETHER = 150_000, 2_400_000

Cell = tuple[str, Image.Image | bytes]
"""A caption, and a picture or the bytes of a clip."""


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


class Page:
    """The page so far. Pictures are drawn as they are asked for and kept by digest, so that later ones can start from them."""

    def __init__(self, engine: LocalEngine) -> None:
        self._engine = engine
        self._inputs: dict[str, bytes] = {}
        self._lines: list[str] = []
        self._bytes = 0

    @property
    def engine(self) -> LocalEngine:
        return self._engine

    async def run(self, request: Request) -> Result:
        return await self._engine.run(request, self._inputs, lambda progress: None)

    async def draw(self, request: Request) -> Image.Image:
        """The first picture of a request."""
        result = await self.run(request)
        return Image.open(io.BytesIO(result.frames[0].png)).convert("RGB")

    def keep(self, image: Image.Image) -> str:
        """A picture that requests can start from: its digest."""
        data = png(image)
        digest = hashlib.sha256(data).hexdigest()
        self._inputs[digest] = data
        return digest

    def say(self, *lines: str) -> None:
        self._lines += [*lines, ""]

    def show(self, title: str, text: str, cells: Sequence[Cell], across: int = 4, width: int = 160) -> None:
        """A section: a sentence or two, and pictures with their captions, some in a row, each so many pixels wide."""
        self.say(f"## {title}", "", text)
        name = "".join(letter if letter.isalnum() else "-" for letter in title.lower()).strip("-")
        files = [self._file(f"{name}-{k}.webp", picture, width) for k, (_, picture) in enumerate(cells, start=1)]
        pairs = list(zip(cells, files, strict=True))
        for row in (pairs[k : k + across] for k in range(0, len(pairs), across)):
            captions = [caption for (caption, _), _ in row]
            pictures = [f'<img src="images/operations/{file}" alt="{_plain(caption)}" width="{width}">' for (caption, _), file in row]
            self.say("| " + " | ".join(captions) + " |", "|" + " --- |" * len(captions), "| " + " | ".join(pictures) + " |")

    def _file(self, name: str, picture: Image.Image | bytes, width: int) -> str:
        data = picture if isinstance(picture, bytes) else _webp(picture, 2 * width)
        self._bytes += len(data)
        if len(data) > MOST or self._bytes > MOST_TOGETHER:
            raise ValueError(f"{name}: {len(data)} bytes, {self._bytes} with those before it")
        (IMAGES / name).write_bytes(data)
        return name

    def text(self) -> str:
        return "\n".join(self._lines).rstrip() + "\n"


def _plain(caption: str) -> str:
    """For a reader that does not see the picture."""
    return caption.replace("`", "").replace('"', "")


def _webp(picture: Image.Image, widest: int) -> bytes:
    out = io.BytesIO()
    if picture.width > widest:  # twice what is shown: enough for any screen
        picture = picture.resize((widest, round(picture.height * widest / picture.width)), Image.Resampling.LANCZOS)
    picture.save(out, "WEBP", quality=82, method=6)
    return out.getvalue()


def side_by_side(pictures: Sequence[Image.Image], columns: int) -> Image.Image:
    width, height = pictures[0].size
    sheet = Image.new("RGB", (columns * width, -(-len(pictures) // columns) * height))
    for k, picture in enumerate(pictures):
        sheet.paste(picture, (k % columns * width, k // columns * height))
    return sheet
