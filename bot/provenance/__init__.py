"""Where a picture comes from: what is written into it when it is drawn, and what can be told of it afterwards.

`bot.workshop` has every picture marked before it is stored; `/verify`, the permalink page and `wordup verify` read. All of it runs on this package's own
thread. Made by `bot.app`.

The library that writes manifests is loaded with the first `start`, not with this module: whoever draws nothing need not wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import structlog

from bot import __version__
from bot.domain import CLIP, Job
from bot.provenance import fingerprint
from engine.api import BadInput

if TYPE_CHECKING:
    from bot.provenance.manifest import Claim, Reader, Signer

__all__ = ["LARGEST", "NEAR", "Marked", "Provenance", "distance"]

T = TypeVar("T")

log = structlog.get_logger(__name__)

LARGEST = 32_000_000  #: bytes; a larger file is not read
NEAR, distance = fingerprint.NEAR, fingerprint.distance


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    data: bytes  #: the file, marked
    fingerprint: str  #: of its pixels, 16 hexadecimal digits; empty for what moves, and for one colour


class Provenance:
    """Marks and reads pictures of one installation.

    `folder`: where the credentials lie, or will. `certificate` and `key`: the operator's own, both or none. `marks` off: pictures get no manifest and no XMP
    (the law of some places demands them). `label`: drawn visibly into every picture where it is not empty.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Callable[[], datetime],
        certificate: Path | None = None,
        key: Path | None = None,
        marks: bool = True,
        label: str = "",
    ) -> None:
        self._folder, self._clock, self._certificate, self._key, self._marks, self._label = folder, clock, certificate, key, marks, label
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="provenance")
        self._tools: tuple[Signer, Reader] | None = None  # of the thread

    async def start(self) -> None:
        """Find or make the credentials, and try them. Raises OSError when the operator's own cannot be used, or the folder cannot be written."""
        await self._call(self._opened)

    async def mark(self, job: Job, index: int, seed: int, data: bytes) -> Marked:
        """A picture of that job, marked. A mark that fails is logged and left out: the picture was promised, and is still known by its digest."""
        return await self._call(lambda: self._mark(job, index, seed, data))

    async def read(self, data: bytes) -> Claim | None:
        """What the manifest in a file says, if it has one. Never raises for what a stranger sent."""
        return await self._call(lambda: self._opened()[1].read(data)) if len(data) <= LARGEST else None

    async def fingerprint(self, data: bytes) -> str:
        """Of a file's pixels; empty where it cannot be read or has none."""
        return await self._call(lambda: _fingerprint(data))

    def close(self) -> None:
        """End the thread, after what it is doing. Idempotent."""
        self._thread.shutdown()
        tools, self._tools = self._tools, None
        for tool in tools or ():
            tool.close()

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _opened(self) -> tuple[Signer, Reader]:
        if self._tools is None:
            from bot.provenance import authority, manifest

            theirs = (self._certificate, self._key) if self._certificate and self._key else None
            credentials = authority.operators(*theirs) if theirs else authority.own(self._folder, self._clock())
            tools = manifest.Signer(credentials), manifest.Reader(credentials)
            manifest.need_to_work(*tools)
            self._tools = tools
        return self._tools

    def _mark(self, job: Job, index: int, seed: int, data: bytes) -> Marked:
        from bot.provenance import manifest, marks

        moves = index == CLIP
        found = "" if moves else _fingerprint(data)
        try:
            if self._label and not moves:
                data = marks.with_label(data, self._label)
            if self._marks:
                data = marks.with_xmp(data, marks.packet(__version__))
                about = manifest.About(job_id=job.id, index=index, model=job.request.model, seed=seed, version=__version__)
                data = self._opened()[0].sign(data, about)
        except Exception:  # whatever the library, the disk or the certificate has: the picture is there and is shown
            log.exception("picture.not_marked", job=job.id, index=index)
        return Marked(data=data, fingerprint=found)


def _fingerprint(data: bytes) -> str:
    try:
        return fingerprint.of(data)
    except BadInput:
        return ""
