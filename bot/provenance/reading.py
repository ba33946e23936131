"""Strangers' manifests, read apart: the program that does it, in a process of its own (`main`), and what the bot asks it with. Used by this package alone.

The library that reads manifests is as large as a decoder, and a stranger's bytes reach it. So it reads them in a process with the bounds of `bot.decoding`: no
secrets, no database, no file and no socket that it could open, so much memory and time. It is handed what this installation's signatures are known by, which
is public. Nothing of its answer is believed but that it is an answer; one that was taken over calls a manifest false, or true, at worst, and whoever asked is
shown no more by it than they may see anyway.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from bot import apart
from bot.decoding import READY, confine, grant

if TYPE_CHECKING:
    from bot.provenance.manifest import Claim

SECONDS = 5  #: of processor time for one manifest
PATIENCE = 15.0  #: seconds that one may take on a busy machine, whatever its processor time
MAX_WORD = 200  #: characters of what a stranger calls themselves
MAX_REPORT = 2_000_000  #: bytes of UTF-8; a longer one is left out
FIRST, LAST = -8, 999  #: what can be an artifact's index

TASK = struct.Struct(">III")  #: bytes of the anchor, the leaf and the file that follow
ANSWER = struct.Struct(">Bi5I")  #: the state (`_STATES`), the index, bytes of the four words and the report that follow
_STATES = ("", "trusted", "valid", "broken")  #: the first: there is no manifest
_PROGRAM = apart.program("bot.provenance.reading")


class Child(apart.Child):
    """One process that reads manifests. `ask` is called by one thread at a time."""

    def __init__(self) -> None:
        """Raises OSError when it does not start, or cannot be confined."""
        super().__init__(_PROGRAM, "reads manifests")

    def ask(self, anchor: str, leaf: str, data: bytes) -> Claim | None:
        """What the manifest in a file says; None where there is none that can be parsed. `anchor` and `leaf`: whose signatures are trusted, PEM.

        Raises Fallen, after which it is gone.
        """
        trust = anchor.encode(), leaf.encode()
        return self.exchange(TASK.pack(*map(len, trust), len(data)) + b"".join(trust) + data, received, PATIENCE)


def received(read: Callable[[int], bytes]) -> Claim | None:
    """An answer, out of what reads so many bytes of it. Raises ValueError for what cannot be one."""
    from bot.provenance.manifest import TRUSTED, Claim

    code, index, *sizes = ANSWER.unpack(read(ANSWER.size))
    if code >= len(_STATES) or max(sizes[:4]) > 4 * MAX_WORD or sizes[4] > MAX_REPORT or not FIRST <= index <= LAST:
        raise ValueError("nonsense")
    issuer, generator, source_type, job_id, text = (read(size).decode() for size in sizes)
    if not code:
        return None
    state = _STATES[code]
    ours = state == TRUSTED and job_id.isascii() and job_id.isalnum()
    words = {"issuer": issuer, "generator": generator, "source_type": source_type}
    return Claim(
        state=state,
        **{name: "".join(filter(str.isprintable, word)) for name, word in words.items()},
        job_id=job_id if ours else "",
        index=index if ours else 0,
        text=text,
    )


def answer(anchor: str, leaf: str, data: bytes) -> bytes:
    """The whole frame that answers a task."""
    from bot.provenance import manifest

    claim = manifest.read(anchor, leaf, data)
    if claim is None:
        return ANSWER.pack(0, 0, *[0] * 5)
    words = [each[:MAX_WORD].encode("utf-8", "replace") for each in (claim.issuer, claim.generator, claim.source_type, claim.job_id)]
    report = claim.text.encode("utf-8", "replace")
    parts = [*words, report if len(report) <= MAX_REPORT else b""]
    index = claim.index if FIRST <= claim.index <= LAST else 0
    return ANSWER.pack(_STATES.index(claim.state), index, *map(len, parts)) + b"".join(parts)


def main() -> None:
    import bot.provenance.manifest  # noqa: F401 (loaded while files can still be opened)

    source, sink = sys.stdin.buffer, sys.stdout.buffer
    confine()
    sink.write(READY)
    sink.flush()
    while len(head := source.read(TASK.size)) == TASK.size:
        sizes = TASK.unpack(head)
        anchor, leaf, data = (source.read(size) for size in sizes)
        if len(data) != sizes[2]:
            return
        grant(SECONDS)
        sink.write(answer(anchor.decode(), leaf.decode(), data))
        sink.flush()


if __name__ == "__main__":
    main()
