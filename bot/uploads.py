"""Pictures members send: decoded, checked and written anew before anything else sees them. Called by `bot.studio` and `wordup verify`.

No stranger's bytes are decoded in this process: children do that (`bot.apart`, running `bot.decoding`), one picture at a time each, and are kept for the
next. What comes back are plain pixels, written as a PNG here, so that no file of a child's is ever decoded either: one that was taken over hands on a wrong
picture at worst. One that dies of a picture, or takes too long over it, costs that picture alone; where none can be started, pictures are refused.

What is drawn from is stored; what is only looked at is not, and what was to be drawn from and is not needed after all is removed at once.
"""

from __future__ import annotations

import asyncio
import io
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import structlog
from PIL import Image

from bot import apart
from bot.apart import Fallen
from bot.decoding import ANSWER, MAX_CLAIM, TASK, Ask, Said
from bot.domain import Upload
from bot.errors import BadPicture
from bot.ports import Blobs
from bot.prompts import Source
from engine import codec

__all__ = ["MAX_BYTES", "MAX_EDGE", "MAX_MEGAPIXELS", "Admit", "Answer", "Child", "Decoders", "Fallen", "Picture", "Uploads"]

log = structlog.get_logger(__name__)

MAX_BYTES = 32_000_000  #: beyond what any chat lets a member send; the web page has its own, smaller bound
MAX_MEGAPIXELS = codec.MAX_PIXELS // 1_000_000
MAX_EDGE = 2048  #: pixels; larger ones are scaled down
MAX_TEXT = 4 * MAX_CLAIM  #: bytes of UTF-8
CHILDREN = 2  #: pictures decoded at once
PATIENCE = 40.0  #: seconds that a child may take for one picture on a busy machine, whatever its processor time
_PROGRAM = apart.program("bot.decoding")

_STORED: ContextVar[list[str] | None] = ContextVar("stored", default=None)  #: digests, of the event that is being answered

Admit = Callable[[bytes], Awaitable[None]]  #: looks at a PNG, and raises what keeps it from being used


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    said: Said
    width: int
    height: int
    data: bytes  #: pixels, three bytes each; or text

    def png(self) -> bytes:
        """The picture, written anew from its pixels. Blocking."""
        out = io.BytesIO()
        Image.frombytes("RGB", (self.width, self.height), self.data).save(out, "PNG", compress_level=4)
        return out.getvalue()


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What came of a member's file."""

    png: bytes  #: the pixels and nothing else
    width: int
    height: int


class Child(apart.Child):
    """One process that decodes. `ask` is called by one thread at a time, and believes nothing of what comes back but its size."""

    def __init__(self) -> None:
        """Raises OSError when it does not start, or cannot be confined."""
        super().__init__(_PROGRAM, "decodes pictures")

    def ask(self, ask: Ask, data: bytes, edge: int = MAX_EDGE) -> Answer:
        """Raises Fallen, after which it is gone."""

        def answer(read: Callable[[int], bytes]) -> Answer:
            said, width, height, length = ANSWER.unpack(read(ANSWER.size))
            pixels = ask is Ask.PICTURE and said == Said.DONE
            if (pixels and not (0 < width <= edge and 0 < height <= edge)) or (length != 3 * width * height if pixels else length > MAX_TEXT):
                raise ValueError("nonsense")
            return Answer(said=Said(said), width=width, height=height, data=read(length))

        return self.exchange(TASK.pack(ask, edge, len(data)) + data, answer, PATIENCE)


class Decoders(apart.Kept[Child]):
    """As many as pictures are decoded at once."""

    def __init__(self) -> None:
        super().__init__(Child)

    def ask(self, ask: Ask, data: bytes, edge: int = MAX_EDGE) -> Answer:
        """Raises Fallen; OSError when no child can be started."""
        return self.using(lambda child: child.ask(ask, data, edge))

    def picture(self, data: bytes) -> Picture:
        """A stranger's file, written anew from its pixels. Blocking. Raises BadPicture; OSError when no child can be started."""
        if len(data) > MAX_BYTES:
            raise BadPicture("error.picture_too_heavy", limit=MAX_BYTES // 1_000_000)
        try:
            answer = self.ask(Ask.PICTURE, data)
        except Fallen as error:
            log.warning("upload.fallen", reason=str(error), bytes=len(data))
            raise BadPicture("error.picture_unreadable") from error
        if answer.said is Said.TOO_LARGE:
            raise BadPicture("error.picture_too_large", pixels=MAX_MEGAPIXELS)
        if answer.said is Said.UNREADABLE:
            raise BadPicture("error.picture_unreadable")
        return Picture(png=answer.png(), width=answer.width, height=answer.height)


class Uploads:
    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._pool = ThreadPoolExecutor(max_workers=CHILDREN, thread_name_prefix="uploads")
        self._decoders = Decoders()
        self._held: Counter[str] = Counter()  # digests, by how many events that are being answered have stored them
        self._settling = asyncio.Lock()  # between "nobody needs it" and its end nobody stores it

    async def read(self, upload: Upload, admit: Admit | None = None) -> Picture:
        """Check it and hand it back, stored nowhere; `admit` looks at it before that. Raises BadPicture; OSError when nothing could be decoded; as `admit`."""
        picture = await asyncio.get_running_loop().run_in_executor(self._pool, self._decoders.picture, upload.data)
        if admit is not None:
            await admit(picture.png)
        return picture

    async def keep(self, upload: Upload, admit: Admit | None = None) -> Source:
        """The same for what is drawn from: it is stored. Raises as `read`; OSError when it could not be stored."""
        picture = await self.read(upload, admit)
        async with self._settling:
            digest = await self._blobs.put(picture.png)
            if (stored := _STORED.get()) is not None:
                stored.append(digest)
                self._held[digest] += 1
        return Source(digest=digest, width=picture.width, height=picture.height)

    @asynccontextmanager
    async def settled(self, needed: Callable[[Iterable[str]], Awaitable[Collection[str]]]) -> AsyncIterator[None]:
        """While an event is answered: of what was stored for it only what is `needed` afterwards stays, by a job or an offer.

        Refused words would fill the disk otherwise: they cost nothing. (A second process that stores the very same picture in that moment may find it gone;
        its member is told, and pays nothing.)
        """
        stored: list[str] = []
        token = _STORED.set(stored)
        try:
            yield
        finally:
            _STORED.reset(token)
            if stored:
                await self._settle(stored, needed)

    async def _settle(self, stored: Sequence[str], needed: Callable[[Iterable[str]], Awaitable[Collection[str]]]) -> None:
        async with self._settling:
            self._held.subtract(stored)
            loose = {each for each in stored if self._held[each] <= 0}
            for each in loose:
                del self._held[each]
            try:
                if gone := loose - set(await needed(loose)):
                    await self._blobs.delete(gone)
            except Exception:  # whatever the database or the disk has: what nobody needs is collected later
                log.warning("upload.not_removed", pictures=len(loose), exc_info=True)

    async def claims(self, data: bytes) -> str:
        """The parameters that a PNG says it was made with; empty where it says nothing. Nobody vouches for them. Raises OSError."""
        try:
            told = await asyncio.get_running_loop().run_in_executor(self._pool, self._decoders.ask, Ask.PARAMETERS, data[:MAX_BYTES])
        except Fallen:
            return ""
        return told.data.decode("utf-8", "replace")

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._decoders.close()
