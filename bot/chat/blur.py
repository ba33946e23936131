"""A picture of which nothing can be made out, for chats that hide nothing behind a click. Used by Slack's adapter."""

from __future__ import annotations

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from engine import codec

_POOL = ThreadPoolExecutor(max_workers=1, thread_name_prefix="chat-blur")
CELLS = 6  #: patches of colour along the shorter edge: what is left of the picture, and all that anybody could get back out of it
MOST_CELLS = 24  #: along the longer one


def blurred(data: bytes) -> bytes:
    """A PNG of the same size and the same colours, and no more. Blocking; raises BadInput."""
    picture = codec.decode(data)
    scale = min(CELLS / min(picture.size), MOST_CELLS / max(picture.size))
    cells = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))), Image.Resampling.BOX)
    out = io.BytesIO()
    cells.resize(picture.size, Image.Resampling.BICUBIC).save(out, "PNG", compress_level=4)
    return out.getvalue()


async def blurred_async(data: bytes) -> bytes:
    """`blurred`, off the event loop."""
    return await asyncio.get_running_loop().run_in_executor(_POOL, blurred, data)
