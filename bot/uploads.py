"""Pictures members send: decoded, checked and written anew before anything else sees them. Called by `bot.studio`.

No stranger's bytes are decoded in this process: children do that (`bot.decoding`), one picture at a time each, and are kept for the next. What comes back
are plain pixels, written as a PNG here, so that no file of a child's is ever decoded either: one that was taken over hands on a wrong picture at worst. One
that dies of a picture, or takes too long over it, costs that picture alone; where none can be started, pictures are refused.
"""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, LifoQueue
from typing import IO, cast

import structlog
from PIL import Image

from bot.decoding import ANSWER, MAX_CLAIM, READY, TASK, Ask, Said
from bot.domain import Upload
from bot.errors import BadPicture
from bot.ports import Blobs
from bot.prompts import Source
from engine import codec

log = structlog.get_logger(__name__)

MAX_BYTES = 32_000_000  #: beyond what any chat lets a member send; the web page has its own, smaller bound
MAX_MEGAPIXELS = codec.MAX_PIXELS // 1_000_000
MAX_EDGE = 2048  #: pixels; larger ones are scaled down
MAX_TEXT = 4 * MAX_CLAIM  #: bytes of UTF-8
CHILDREN = 2  #: pictures decoded at once
START, PATIENCE = 60.0, 40.0  #: seconds that a child may take to start, and for one picture on a busy machine, whatever its processor time
_PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from bot.decoding import main; main()"


class Fallen(Exception):
    """The child died of it, or was ended because it took too long."""


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


class Child:
    """One process that decodes. `ask` is called by one thread at a time, and believes nothing of what comes back but its size."""

    def __init__(self) -> None:
        """Raises OSError when it does not start, or cannot be confined."""
        # An environment without our secrets, a session of its own (Ctrl-C is meant for us), no open files but the pipes, modules from where ours are.
        environment = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(  # noqa: S603 (our own module, by our own interpreter)
            [sys.executable, "-I", "-c", _PROGRAM, *(each or os.getcwd() for each in sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=os.sep,
            start_new_session=True,
        )
        self._process = process
        self.end = weakref.finalize(self, _end, process)  # also when this program ends, or forgot about it
        self._to, self._from = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)  # both are pipes
        with self._patient(START):
            ready = self._from.read(len(READY))
        if ready != READY:
            self.end()
            raise OSError("the process that decodes pictures does not start")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    def ask(self, ask: Ask, data: bytes, edge: int = MAX_EDGE) -> Answer:
        """Raises Fallen, after which it is gone."""
        try:
            with self._patient(PATIENCE):
                self._to.write(TASK.pack(ask, edge, len(data)) + data)
                self._to.flush()
                said, width, height, length = ANSWER.unpack(_exactly(self._from, ANSWER.size))
                pixels = ask is Ask.PICTURE and said == Said.DONE
                if (pixels and not (0 < width <= edge and 0 < height <= edge)) or (length != 3 * width * height if pixels else length > MAX_TEXT):
                    raise ValueError("nonsense")
                return Answer(said=Said(said), width=width, height=height, data=_exactly(self._from, length))
        except (OSError, EOFError, ValueError) as error:
            self.end()
            raise Fallen(f"ended with {self._process.returncode}") from error

    def _patient(self, seconds: float) -> _Watch:
        return _Watch(self._process, seconds)


class _Watch:
    """Kills the process when what is done inside takes too long: the pipe then ends, and whoever reads it is free."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self._timer = threading.Timer(seconds, process.kill)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


class Decoders:
    """Children that are kept while they live. Any thread may ask; as many children as threads ask at once."""

    def __init__(self) -> None:
        self._idle: LifoQueue[Child] = LifoQueue()
        self._closed = False

    def ask(self, ask: Ask, data: bytes, edge: int = MAX_EDGE) -> Answer:
        """Raises Fallen; OSError when no child can be started."""
        child = self._kept() or Child()
        answer = child.ask(ask, data, edge)
        self._idle.put(child)
        if self._closed:
            self.close()
        return answer

    def _kept(self) -> Child | None:
        """One that waits, and did not die meanwhile (where memory is short, the system ends whom it likes)."""
        while True:
            try:
                child = self._idle.get_nowait()
            except Empty:
                return None
            if child.lives:
                return child
            child.end()

    def close(self) -> None:
        """End those that wait for work, and each that works as soon as it is done."""
        self._closed = True
        while True:
            try:
                self._idle.get_nowait().end()
            except Empty:
                return


class Uploads:
    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._pool = ThreadPoolExecutor(max_workers=CHILDREN, thread_name_prefix="uploads")
        self._decoders = Decoders()

    async def keep(self, upload: Upload, admit: Callable[[bytes], Awaitable[None]] | None = None) -> Source:
        """Check and store it; `admit` looks at it before that. Raises BadPicture; OSError when nothing could be decoded or stored; what `admit` raises."""
        if len(upload.data) > MAX_BYTES:
            raise BadPicture("error.picture_too_heavy", limit=MAX_BYTES // 1_000_000)
        try:
            png, width, height = await asyncio.get_running_loop().run_in_executor(self._pool, self._read, upload.data)
        except Fallen as error:
            log.warning("upload.fallen", reason=str(error), bytes=len(upload.data))
            raise BadPicture("error.picture_unreadable") from error
        if admit is not None:
            await admit(png)
        return Source(digest=await self._blobs.put(png), width=width, height=height)

    async def claims(self, data: bytes) -> str:
        """The parameters that a PNG says it was made with; empty where it says nothing. Nobody vouches for them. Raises OSError."""
        try:
            told = await asyncio.get_running_loop().run_in_executor(self._pool, self._decoders.ask, Ask.PARAMETERS, data[:MAX_BYTES])
        except Fallen:
            return ""
        return told.data.decode("utf-8", "replace")

    def _read(self, data: bytes) -> tuple[bytes, int, int]:
        """(PNG, width, height). Raises BadPicture, Fallen, OSError."""
        answer = self._decoders.ask(Ask.PICTURE, data)
        if answer.said is Said.TOO_LARGE:
            raise BadPicture("error.picture_too_large", pixels=MAX_MEGAPIXELS)
        if answer.said is Said.UNREADABLE:
            raise BadPicture("error.picture_unreadable")
        return answer.png(), answer.width, answer.height

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._decoders.close()


def _exactly(source: IO[bytes], count: int) -> bytes:
    """Raises EOFError."""
    data = source.read(count)
    if len(data) != count:
        raise EOFError
    return data


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:  # what was still to be written to it
                continue
