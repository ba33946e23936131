"""Pictures on their way into a chat: made to fit its limit, or turned into what it can show. Used by the chats' adapters.

Blocking; `fitted_async` and `gif_async` run `fitted` and `gif` in this module's thread pool.
"""

from __future__ import annotations

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from PIL import Image

from engine import codec

_POOL = ThreadPoolExecutor(max_workers=2, thread_name_prefix="chat-pictures")
_QUALITIES = (92, 80, 65)
_GIF_EDGES = (512, 256)  #: pixels along the longer edge: GIFs are large
_SMALLEST = 64  #: pixels; below this nothing is worth sending


@dataclass(frozen=True, slots=True)
class Fitted:
    data: bytes
    name: str
    smaller: bool = False  #: it is not what was drawn, but something that fits


def fitted(data: bytes, name: str, limit: int, *, small: str = "WEBP") -> Fitted | None:
    """The file as it is when it has at most `limit` bytes; else as WebP (or `small`: "JPEG"), more and more compressed, then halved.

    None when nothing fits.
    """
    if len(data) <= limit:
        return Fitted(data, name)
    with Image.open(io.BytesIO(data)) as opened:
        picture = opened.convert("RGB")
    stem = name.rpartition(".")[0] or name
    ending = {"WEBP": "webp", "JPEG": "jpg"}[small]
    while min(picture.size) >= _SMALLEST:
        for quality in _QUALITIES:
            out = io.BytesIO()
            picture.save(out, small, quality=quality)
            if out.tell() <= limit:
                return Fitted(out.getvalue(), f"{stem}.{ending}", smaller=True)
        picture = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)
    return None


async def fitted_async(data: bytes, name: str, limit: int, *, small: str = "WEBP") -> Fitted | None:
    """`fitted`, off the event loop."""
    if len(data) <= limit:
        return Fitted(data, name)
    return await asyncio.get_running_loop().run_in_executor(_POOL, lambda: fitted(data, name, limit, small=small))


def gif(clip: bytes, name: str, limit: int) -> Fitted | None:
    """An animated WebP of ours as a GIF of at most `limit` bytes, for a chat in which WebP stands still. None when nothing fits."""
    for edge in _GIF_EDGES:
        data = codec.clip_as_gif(clip, edge)
        if len(data) <= limit:
            return Fitted(data, f"{name.rpartition('.')[0] or name}.gif")
    return None


async def gif_async(clip: bytes, name: str, limit: int) -> Fitted | None:
    """`gif`, off the event loop."""
    return await asyncio.get_running_loop().run_in_executor(_POOL, lambda: gif(clip, name, limit))
