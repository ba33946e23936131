"""Contact sheets: several pictures side by side in one. Called by `bot.workshop`.

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


def places(count: int, width: int, height: int, gap: int) -> tuple[tuple[int, int], ...]:
    """Upper left corners, row by row; a short last row stands in the middle."""
    columns, rows = layout(count)
    corners = []
    for index in range(count):
        row, column = divmod(index, columns)
        missing = columns - (count - row * columns) if row == rows - 1 else 0
        corners.append((column * (width + gap) + missing * (width + gap) // 2, row * (height + gap)))
    return tuple(corners)


def compose(pictures: Sequence[bytes]) -> Sheet:
    """Pictures of one size (PNG, WebP … bytes) → one PNG, with the first one's parameters in it. Raises ValueError when their sizes differ."""
    opened = [Image.open(io.BytesIO(each)) for each in pictures]
    width, height = opened[0].size if opened else (0, 0)
    if any(each.size != (width, height) for each in opened):
        raise ValueError(f"pictures of different sizes: {sorted({each.size for each in opened})}")
    gap = max(2, width // 64)
    columns, rows = layout(len(opened))
    sheet = Image.new("RGB", (columns * width + (columns - 1) * gap, rows * height + (rows - 1) * gap), _GROUND)
    for picture, corner in zip(opened, places(len(opened), width, height, gap), strict=True):
        sheet.paste(picture.convert("RGB"), corner)
    notes = PngInfo()
    first = opened[0]
    for key, text in first.text.items() if isinstance(first, PngImageFile) else ():
        notes.add_itxt(key, str(text))
    out = io.BytesIO()
    sheet.save(out, "PNG", compress_level=4, pnginfo=notes)
    return Sheet(out.getvalue(), *sheet.size)


async def compose_async(pictures: Sequence[bytes]) -> Sheet:
    """`compose`, off the event loop."""
    return await asyncio.get_running_loop().run_in_executor(_POOL, compose, tuple(pictures))
