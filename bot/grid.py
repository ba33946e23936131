"""Contact sheets: several pictures side by side in one; and how large a clip is. Called by `bot.workshop`.

`compose` is pure and slow (it decodes and encodes): `compose_async` runs it in this module's thread pool.
"""

from __future__ import annotations

import asyncio
import io
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo

_POOL = ThreadPoolExecutor(max_workers=2, thread_name_prefix="grid")
_GROUND = (24, 24, 27)


@dataclass(frozen=True, slots=True)
class Sheet:
    data: bytes  #: PNG
    width: int  #: pixels
    height: int


def layout(count: int) -> tuple[int, int]:
    """(columns, rows), as near to a square as can be: 2×2 for 4, 3×2 for 6. Raises ValueError for less than one."""
    if count < 1:
        raise ValueError("a sheet needs a picture")
    columns = math.ceil(math.sqrt(count))
    return columns, math.ceil(count / columns)


def places(count: int, width: int, height: int) -> tuple[tuple[int, int], ...]:
    """Upper left corners, row by row; a short last row stands in the middle."""
    columns, rows = layout(count)
    corners = []
    for index in range(count):
        row, column = divmod(index, columns)
        missing = columns - (count - row * columns) if row == rows - 1 else 0
        corners.append((column * width + missing * width // 2, row * height))
    return tuple(corners)


def compose(pictures: Sequence[bytes]) -> Sheet:
    """Pictures of one size (PNG, WebP … bytes) → one PNG, with the first one's parameters in it. Raises ValueError when their sizes differ.

    Four of 512 pixels make a sheet of 1024: the frame between them lies over the outermost pixels of each.
    """
    opened = [Image.open(io.BytesIO(each)) for each in pictures]
    width, height = opened[0].size if opened else (0, 0)
    if any(each.size != (width, height) for each in opened):
        raise ValueError(f"pictures of different sizes: {sorted({each.size for each in opened})}")
    frame = max(1, min(width, height) // 128)
    columns, rows = layout(len(opened))
    sheet = Image.new("RGB", (columns * width, rows * height), _GROUND)
    for picture, (left, top) in zip(opened, places(len(opened), width, height), strict=True):
        sheet.paste(picture.convert("RGB").crop((frame, frame, width - frame, height - frame)), (left + frame, top + frame))
    notes = PngInfo()
    first = opened[0]
    for key, text in first.text.items() if isinstance(first, PngImageFile) else ():
        notes.add_itxt(key, str(text))
    out = io.BytesIO()
    sheet.save(out, "PNG", compress_level=4, pnginfo=notes)
    return Sheet(out.getvalue(), *sheet.size)


def contact(pictures: Sequence[bytes], edge: int = 256) -> Sheet:
    """Pictures of any sizes → one PNG, each scaled into the middle of a square of `edge` pixels."""
    columns, rows = layout(len(pictures))
    sheet = Image.new("RGB", (columns * edge, rows * edge), _GROUND)
    for data, (left, top) in zip(pictures, places(len(pictures), edge, edge), strict=True):
        with Image.open(io.BytesIO(data)) as opened:
            picture = opened.convert("RGB")
        picture.thumbnail((edge - 4, edge - 4), Image.Resampling.LANCZOS)
        sheet.paste(picture, (left + (edge - picture.width) // 2, top + (edge - picture.height) // 2))
    out = io.BytesIO()
    sheet.save(out, "PNG", compress_level=4)
    return Sheet(out.getvalue(), *sheet.size)


def size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels, from the file's header alone: quick."""
    with Image.open(io.BytesIO(data)) as opened:
        return opened.size


async def compose_async(pictures: Sequence[bytes]) -> Sheet:
    """`compose`, off the event loop."""
    return await asyncio.get_running_loop().run_in_executor(_POOL, compose, tuple(pictures))
