"""The bot's process: everything `bot.app` puts together, with the fake engine and a chat whose other side is the harness. Forked and killed by `runs`.

The server that forks it has imported this module, so that a life begins in a fraction of a second.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr

import bot.app
import bot.outbox
from bot.logs import set_up
from bot.messages import Catalogues
from bot.settings import Settings
from engine.api import Request
from engine.fake import FakeEngine
from tests.chaos import points
from tests.chaos.chat import ChaosChat

#: What the program imports only when it needs it, and then takes a while.
for module in ("alembic.command", "alembic.config", "alembic.script", "aiosqlite", "asyncpg"):
    importlib.import_module(module)

CATALOGUES = Catalogues.load()  # read once for all lives: half of a start

CAP = float(2**20)  #: credits: nobody runs out
#: On Postgres what a dead process had claimed comes back after this long; the product's half a minute would be most of a short run.
LEASE, POLL = timedelta(seconds=2), timedelta(seconds=0.25)
ROWS, PACE = 4, 0.003  #: pictures at once, and seconds a step: slow enough that jobs wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One life of the bot. `point` is where it ends, the `nth` time; empty: when it is killed from outside."""

    url: str
    folder: str  #: its data directory
    socket: str  #: where the chat is reached
    log: str  #: a file that its output is added to
    point: str = ""
    nth: int = 1


async def step(request: Request, number: int) -> None:
    """Before each step of each picture: a point to die at."""


def live(life: Life) -> None:
    """Until SIGTERM, or until killed."""
    log = os.open(life.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    for name in [each for each in os.environ if each.startswith("WORDUP_")]:
        del os.environ[name]
    set_up(level="warning", style="json")
    bot.app.LEASE, bot.app.POLL, bot.outbox.LEASE = LEASE, POLL, LEASE
    setattr(Catalogues, "load", lambda: CATALOGUES)  # noqa: B010  (a method, as far as types are concerned)
    if life.point:
        points.arm(life.point, life.nth)
    asyncio.run(_run(life))


async def _run(life: Life) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    chat = ChaosChat(life.socket)
    settings = Settings(
        _env_file=None,
        data_dir=Path(life.folder),
        database_url=SecretStr(life.url),
        web=False,
        metrics_port=-1,
        credits_cap=CAP,
        credits_per_hour=0.0,
        queued_per_member=1000,
        queued_total=10_000,
    )
    engine = FakeEngine(on_step=lambda request, number: step(request, number), max_rows=ROWS, pace=PACE)
    app = bot.app.App(settings, engine=engine, adapters={chat.platform: chat})
    await app.run(stop, started=lambda _: chat.ready())
