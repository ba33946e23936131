"""Pictures members send: decoded, checked and written anew before anything else sees them. Called by `bot.studio`.

What is kept is a fresh PNG of the pixels alone: no metadata, no trailing bytes, no file that is also something else.
"""

from __future__ import annotations

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from bot.domain import Upload
from bot.errors import BadPicture
from bot.ports import Blobs
from bot.prompts import Source
from engine import codec
from engine.api import BadInput

MAX_BYTES = 32_000_000  #: beyond what any chat lets a member send; the web page has its own, smaller bound
MAX_MEGAPIXELS = codec.MAX_PIXELS // 1_000_000
MAX_CLAIM = 1500  #: characters of a strange file's own parameters that are repeated
MAX_EDGE = 2048  #: pixels; larger ones are scaled down


def normalise(data: bytes, edge: int = MAX_EDGE) -> tuple[bytes, int, int]:
    """A stranger's file → (PNG, width, height), upright and at most `edge` pixels long. Blocking. Raises BadPicture."""
    try:
        with Image.open(io.BytesIO(data), formats=codec.FORMATS) as image:  # the header only: a bomb is refused before it is decoded
            too_large = image.width * image.height > codec.MAX_PIXELS
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        too_large = True
    except Exception as error:  # Pillow raises anything on a stranger's bytes
        raise BadPicture("error.picture_unreadable") from error
    if too_large:
        raise BadPicture("error.picture_too_large", pixels=MAX_MEGAPIXELS)
    try:
        picture = codec.decode(data)
    except BadInput as error:
        raise BadPicture("error.picture_unreadable") from error
    picture.thumbnail((edge, edge), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    Image.frombytes("RGB", picture.size, picture.tobytes()).save(out, "PNG", compress_level=4)
    return out.getvalue(), picture.width, picture.height


def parameters(data: bytes) -> str:
    """The text that most programs leave in a PNG, at most MAX_CLAIM characters; empty where there is none. Blocking; never raises."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            found = image.info.get("parameters", "")
    except Exception:  # Pillow raises anything on a stranger's bytes
        return ""
    return found[:MAX_CLAIM] if isinstance(found, str) else ""


class Uploads:
    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="uploads")

    async def keep(self, upload: Upload) -> Source:
        """Check and store it. Raises BadPicture, OSError."""
        if len(upload.data) > MAX_BYTES:
            raise BadPicture("error.picture_too_heavy", limit=MAX_BYTES // 1_000_000)
        png, width, height = await asyncio.get_running_loop().run_in_executor(self._pool, normalise, upload.data)
        return Source(digest=await self._blobs.put(png), width=width, height=height)

    async def claims(self, data: bytes) -> str:
        """The parameters that a PNG says it was made with; empty where it says nothing. Nobody vouches for them."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, parameters, data[: MAX_BYTES + 1])

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
