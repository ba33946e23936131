"""A process that makes room for a new one of its kind. Called by `bot.app` and `bot.cli` when the engine says that this process cannot draw any more.

A CUDA context that an illegal access or an assertion has poisoned takes the whole process with it: nothing but a new one computes again. The program is
replaced in place (``execv``): process id, terminal and environment stay, so neither a supervisor nor a terminal notices; everything it had open is closed.
Jobs are in the store, each with the attempt counted, so one that does this three times is failed and the process does not go round for ever.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import NoReturn

PAUSE = 2.0  #: seconds before the new one begins: a driver may need a moment, and a device that is broken for good is not asked in a tight loop


async def first_of(*events: asyncio.Event) -> None:
    """Until one of them is set."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def restart(pause: float = PAUSE) -> NoReturn:
    """The same program with the same arguments, from its beginning. Call it when everything is closed and no loop runs."""
    sys.stdout.flush()
    sys.stderr.flush()
    time.sleep(pause)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  our own command line, no shell
