"""Which stored picture looks like another one, and the records of pictures as `wordup verify` reads them beside a running bot.

Called by `bot.store.sql` and `bot.verify_cli`. Neither database can compare fingerprints by itself without an extension, so they are read in portions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain import Artifact, Job
from bot.store import dialect, gallery

P = ParamSpec("P")
T = TypeVar("T")

Print = tuple[str, int, str]  #: (job, index, fingerprint)
Portions = Callable[[tuple[str, int] | None], Awaitable[Sequence[Print]]]  #: what comes after that picture, the newest jobs first

PORTION, PORTIONS = 1000, 200  #: pictures that are compared at once, and how often
STRANGER = ""  #: nobody's key: sees what is not private


async def nearest(portions: Portions, fingerprint: str, within: int) -> tuple[str, int] | None:
    """(job, index) of the picture whose fingerprint differs in the fewest bits, at most `within`; of several the oldest. None where there is none."""
    best: tuple[int, str, int] | None = None
    after: tuple[str, int] | None = None
    for _ in range(PORTIONS if fingerprint else 0):
        found = await portions(after)
        near = [(differing(fingerprint, each), job_id, index) for job_id, index, each in found]
        best = min((each for each in (*near, *([best] if best else [])) if each[0] <= within), default=None)
        if len(found) < PORTION:
            break
        after = found[-1][:2]
    return (best[1], best[2]) if best else None


def differing(one: str, other: str) -> int:
    """In how many bits two fingerprints differ. Pure."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


class Records:
    """What is known of pictures that are not private, read without the directory's lock and without changing anything. Raises Fault for an outage."""

    def __init__(self, url: str) -> None:
        parsed = dialect.parse_url(url)
        file = dialect.sqlite_file(parsed)
        self._db = None if file is not None and not file.exists() else dialect.connect(parsed)  # connecting would make the file

    async def aclose(self) -> None:
        if self._db is not None:
            await self._db.dispose()

    async def find_picture(self, digest: str) -> tuple[Job, Artifact] | None:
        """By the file itself."""
        return await self._read(gallery.find_picture, digest, STRANGER)

    async def picture_of(self, job_id: str, index: int) -> tuple[Job, Artifact] | None:
        """By a manifest's word."""
        return await self._read(gallery.picture_of, job_id, index, STRANGER)

    async def look_alikes(self, fingerprint: str, within: int) -> tuple[Job, Artifact] | None:
        """By its looks."""

        async def portion(after: tuple[str, int] | None) -> Sequence[Print]:
            return await self._read(gallery.fingerprints, STRANGER, after=after, limit=PORTION) or ()

        found = await nearest(portion, fingerprint, within)
        return await self.picture_of(*found) if found else None

    async def _read(self, verb: Callable[Concatenate[AsyncConnection, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T | None:
        if self._db is None:
            return None
        try:
            async with self._db.connect() as db:
                return await verb(db, *args, **kwargs)
        except dialect.OUTAGES as error:
            raise dialect.fault(error) from error
