"""Files that go along with an answer and are stored nowhere (a set as a zip, an export): kept in memory for the member who asked, for an hour,
or on the disk where they are large.

`bot.chat.web.answers` puts them here when it shows a card; `bot.chat.web.pages` hands them out.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

LIFE = timedelta(hours=1)
ROOM = 256 * 2**20  #: bytes of everybody's files together; the newest is kept whatever its size


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    owner: str  #: an actor's key
    name: str
    kind: str  #: media type
    data: bytes
    digest: str  #: of a stored file that is fetched when it is asked for; then `data` is empty
    path: str  #: of a file that lies on the disk for as long; then both are empty
    until: datetime


class Shelf:
    """Not shared between processes: an address that leads nowhere after a restart says so."""

    def __init__(self, secret: bytes, clock: Callable[[], datetime], *, room: int = ROOM) -> None:
        self._secret, self._clock, self._room = secret, clock, room
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    def put(self, owner: str, *, name: str, kind: str, data: bytes = b"", digest: str = "", path: str = "") -> str:
        """The key under which its owner gets it. The same file of the same owner has the same key: a card that is shown again takes no more room."""
        mark = digest or path or hashlib.sha256(data).hexdigest()
        key = hmac.new(self._secret, f"file\0{owner}\0{name}\0{mark}".encode(), hashlib.sha256).hexdigest()[:40]
        now = self._clock()
        self._kept[key] = Kept(owner=owner, name=name, kind=kind, data=data, digest=digest, path=path, until=now + LIFE)
        self._kept.move_to_end(key)
        for old in [each for each, kept in self._kept.items() if kept.until <= now]:
            del self._kept[old]
        taken = sum(len(kept.data) for kept in self._kept.values())
        while taken > self._room and len(self._kept) > 1:
            taken -= len(self._kept.popitem(last=False)[1].data)
        return key

    def get(self, owner: str, key: str) -> Kept | None:
        """None for what is not there any more, or somebody else's."""
        kept = self._kept.get(key)
        return kept if kept is not None and kept.owner == owner and self._clock() < kept.until else None
