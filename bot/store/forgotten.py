"""Who was forgotten, and when: a small file beside the database, so that a backup made before brings nobody back.

Written by `bot.store.sql`, read by `bot.backup`. A line is a time and a pseudonym (`bot.store.privacy.pseudonym`): whoever has the file and not this
installation's secret learns how many there were. No name can be read from it: a restoration asks of every member it finds whether they are in the list.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from sqlalchemy import Column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.store import privacy
from bot.store.tables import bans, cases, jobs, letters, offers, preferences, reports, styles, wallets, word_lists

FILE = "forgotten.txt"  #: in the data directory

#: Wherever a member's key stands (an owner may be a server as well, which nobody forgets).
_KEYS: tuple[Column[str], ...] = (
    *(jobs.c.actor_key, wallets.c.actor_key, offers.c.actor_key, bans.c.actor_key),
    *(preferences.c.owner, styles.c.owner, word_lists.c.owner),
    *(cases.c.subject_key, reports.c.reporter_key, letters.c.member),
)
_LINE = re.compile(rb"(\S{19,40}) (" + privacy.NOBODY.encode() + rb":[0-9a-f]{32})")


def note(folder: Path, pseudonym: str, when: datetime) -> None:
    """Add a line, durably. Blocking. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    fd = os.open(folder / FILE, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    try:
        # A line of its own even after one that a crash cut short.
        os.write(fd, f"\n{when.isoformat()} {pseudonym}\n".encode())
        os.fsync(fd)
    finally:
        os.close(fd)


def read(data: bytes) -> dict[str, datetime]:
    """When each was forgotten last. Lines that are none are left out. Pure."""
    found: dict[str, datetime] = {}
    for line in data.splitlines():
        match = _LINE.fullmatch(line)
        try:
            when = datetime.fromisoformat(match[1].decode()) if match else None
        except ValueError:
            continue
        if match and when is not None and when.tzinfo is not None:
            name = match[2].decode()
            found[name] = max(when, found.get(name, when))
    return found


def written(members: Iterable[tuple[str, datetime]]) -> bytes:
    """The whole file. Pure."""
    return b"".join(f"{when.isoformat()} {name}\n".encode() for name, when in sorted(members))


async def forget_again(db: AsyncConnection, names: frozenset[str], secrets: Sequence[bytes]) -> int:
    """Forget every member whose pseudonym is among `names`, under any of these secrets; the first is the one they are unnamed with. How many."""
    keys: set[str] = set()
    for column in _KEYS:
        keys.update((await db.execute(select(column).distinct())).scalars())
    found = sorted(key for key in keys if key and any(privacy.pseudonym(key, secret) in names for secret in secrets))
    for key in found:
        await privacy.forget(db, key, secrets[0])
    return len(found)
