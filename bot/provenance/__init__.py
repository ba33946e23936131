"""Where a picture comes from: what is written into it when it is drawn, and what can be told of it afterwards.

`bot.workshop` has every picture marked before it is stored, on this package's own thread; `/verify`, the permalink page and `wordup verify` read, on others,
so that nothing a stranger sends keeps finished pictures waiting. What is in a stranger's file is read by another process (`bot.provenance.reading`).
Made by `bot.app`.

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

from bot import __version__, apart
from bot.domain import CLIP, Job
from bot.provenance import fingerprint, reading
from engine.api import BadInput

if TYPE_CHECKING:
    from bot.provenance.manifest import Claim, Signer

__all__ = ["LARGEST", "NEAR", "Marked", "Provenance", "distance"]

T = TypeVar("T")

log = structlog.get_logger(__name__)

LARGEST = 32_000_000  #: bytes; a larger file is not read
READERS = 2  #: manifests read at once
PATIENCE = 30.0  #: seconds that one may take, the wait for others' among them
NEAR, distance = fingerprint.NEAR, fingerprint.distance


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    data: bytes  #: the file, marked
    fingerprint: str  #: of its pixels, 16 hexadecimal digits; empty for what moves, and for one colour


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signing:
    signer: Signer  #: of the thread that marks
    anchor: str  #: PEM, and public: what a reader needs to know our signatures again
    leaf: str


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
        self._signing: _Signing | None = None
        self._asking = ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="manifests")
        self._readers = apart.Kept(reading.Child)

    async def start(self) -> None:
        """Find or make the credentials, and try them. Raises OSError when the operator's own cannot be used, or the folder cannot be written."""
        await self._call(self._opened)

    async def mark(self, job: Job, index: int, seed: int, data: bytes) -> Marked:
        """A picture of that job, marked. A mark that fails is logged and left out: the picture was promised, and is still known by its digest."""
        return await self._call(lambda: self._mark(job, index, seed, data))

    async def read(self, data: bytes) -> Claim | None:
        """What the manifest in a stranger's file says, if it has one; read by a process apart. Never raises for what a stranger sent.

        A manifest that could not be read, because its reader died of it or took too long, counts as none: the file is still known by its digest and looks.
        """
        if len(data) > LARGEST or not await asyncio.to_thread(_may_hold_one, data):
            return None
        by = await self._known_by()
        try:
            asked = asyncio.get_running_loop().run_in_executor(self._asking, lambda: self._readers.using(lambda child: child.ask(by.anchor, by.leaf, data)))
            return await asyncio.wait_for(asked, PATIENCE)
        except (apart.Fallen, OSError) as error:  # TimeoutError among them
            log.warning("manifest.not_read", reason=repr(error), bytes=len(data))
            return None

    async def read_own(self, data: bytes) -> Claim | None:
        """The same of a picture that was drawn here: what this program wrote itself need not be read apart."""
        by = await self._known_by()
        return await asyncio.to_thread(_read_here, by.anchor, by.leaf, data)

    async def fingerprint(self, data: bytes) -> str:
        """Of a picture's pixels; empty where it cannot be read or has none. It is decoded here: of a stranger's picture give what `bot.uploads` made of it."""
        return await asyncio.to_thread(_fingerprint, data)

    def close(self) -> None:
        """End the threads: the one that marks after what it is doing, those that wait for readers at once. Idempotent."""
        self._readers.close()
        self._asking.shutdown(cancel_futures=True)
        self._thread.shutdown()
        signing, self._signing = self._signing, None
        if signing is not None:
            signing.signer.close()

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _known_by(self) -> _Signing:
        """What signs here, and what that is known by. Raises OSError, as `start`."""
        if self._signing is not None:
            return self._signing
        return await self._call(self._opened)

    def _opened(self) -> _Signing:
        """On the thread that marks."""
        if self._signing is None:
            from bot.provenance import authority, manifest

            theirs = (self._certificate, self._key) if self._certificate and self._key else None
            credentials = authority.operators(*theirs) if theirs else authority.own(self._folder, self._clock())
            signing = _Signing(signer=manifest.Signer(credentials), anchor=credentials.anchor, leaf=credentials.leaf)
            manifest.need_to_work(signing.signer, signing.anchor, signing.leaf)
            self._signing = signing
        return self._signing

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
                data = self._opened().signer.sign(data, about)
        except Exception:  # whatever the library, the disk or the certificate has: the picture is there and is shown
            log.exception("picture.not_marked", job=job.id, index=index)
        return Marked(data=data, fingerprint=found)


def _may_hold_one(data: bytes) -> bool:
    from bot.provenance import manifest

    return manifest.may_hold_one(data)


def _read_here(anchor: str, leaf: str, data: bytes) -> Claim | None:
    from bot.provenance import manifest

    return manifest.read(anchor, leaf, data)


def _fingerprint(data: bytes) -> str:
    try:
        return fingerprint.of(data)
    except BadInput:
        return ""
