"""Pictures members send: decoded, checked and written anew before anything else sees them. Called by `bot.studio`.

What is kept is a fresh PNG of the pixels alone: no metadata, no trailing bytes, no file that is also something else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from bot.domain import Upload
from bot.errors import BadPicture
from bot.ports import Blobs
from bot.prompts import Source
from engine.api import BadInput

MAX_BYTES = 25_000_000
MAX_MEGAPIXELS = 40
MAX_EDGE = 2048  #: pixels; larger ones are scaled down

Normalise = Callable[[bytes, int], tuple[bytes, int, int]]
"""`(file, longest edge)` → (PNG, width, height). Blocking. Raises BadInput, its first argument saying what is wrong."""


class Uploads:
    def __init__(self, blobs: Blobs, normalise: Normalise) -> None:
        self._blobs, self._normalise = blobs, normalise
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="uploads")

    async def keep(self, upload: Upload) -> Source:
        """Check and store it. Raises BadPicture, OSError."""
        if len(upload.data) > MAX_BYTES:
            raise BadPicture("error.picture_too_heavy", limit=MAX_BYTES // 1_000_000)
        try:
            png, width, height = await asyncio.get_running_loop().run_in_executor(self._pool, self._normalise, upload.data, MAX_EDGE)
        except BadInput as error:
            if error.args and "large" in str(error.args[0]):
                raise BadPicture("error.picture_too_large", pixels=MAX_MEGAPIXELS) from error
            raise BadPicture("error.picture_unreadable") from error
        return Source(digest=await self._blobs.put(png), width=width, height=height)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
