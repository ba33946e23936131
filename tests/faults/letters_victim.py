"""A bot that sends letters until it is killed: ``python -m tests.faults.letters_victim <settings as JSON> <letters>``.

It is killed (SIGKILL, by itself) when it has sent a letter and is about to write that down, after it wrote down as many others; -1: it is not, and ends
when nothing is owed any more.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from bot.store.casebook import SqlCaseBook
from tests.contract.jobs import execute
from tests.scenario.bots import running


class Doomed(SqlCaseBook):
    left = -1

    async def told(self, *args: Any, **kwargs: Any) -> None:
        if Doomed.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        Doomed.left -= 1
        await super().told(*args, **kwargs)


async def main(settings: dict[str, Any], letters: int) -> None:
    import bot.app
    import bot.moderation.mail

    Doomed.left = letters
    bot.moderation.mail.FIRST_DELAY = 0.2  # of what was tried before the chat was reached
    bot.app.SqlCaseBook = Doomed  # type: ignore[attr-defined]
    async with running(Path(settings.pop("data_dir")), **settings) as app:
        while True:
            await asyncio.sleep(0.05)
            if await execute(app.store, "SELECT id FROM letters WHERE told_at IS NULL") == []:
                break


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1]), int(sys.argv[2])))
