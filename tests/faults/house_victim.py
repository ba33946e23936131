"""The whole bot as a process, but for its device and its chat: ``python -m tests.faults.house_victim <data> <state> [<database url>]``.

In some states it is stopped, killed, or comes to its end by itself; it says what happens, one line each: "alive <pid>", "accepted <job> <words>",
"draws <words>", "reached" (the state), "shown <job> <status>". What it was asked for it asks for once, however often it is started in the same folder.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

import bot.app
import bot.outbox
from bot.app import App
from bot.domain import Actor, Card, Receipt, ReplyTo
from bot.ports import Studio
from bot.renewal import first_of, restart
from bot.settings import Settings
from engine.api import EngineDied, ImagineRequest, Request
from engine.fake import FakeEngine
from tests.fakes.chat import MemoryChat

ADA = Actor(platform="memory", id="ada")
FLAGS = " --n 1 --steps 4"
ASKED = {"poison": ("poison", "a fox", "an apple"), "crowd": tuple(f"fox number {number}" for number in range(10))}


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())  # one system call: whole lines or none


def words_of(request: Request) -> str:
    return request.parts[0].text if isinstance(request, ImagineRequest) else ""


class Device(FakeEngine):
    """Some states are its own."""

    def __init__(self, state: str) -> None:
        super().__init__(on_step=self._step)
        self.state, self.lost = state, asyncio.Event()

    def free_rows(self) -> int:
        return 0 if self.state == "waiting" or self.lost.is_set() else super().free_rows()

    async def _step(self, request: Request, step: int) -> None:
        if step == 1:
            say("draws", words_of(request))
        match self.state:
            case "drawing" | "twice" if step == 2:
                say("reached")
                await asyncio.Event().wait()
            case "crowd":
                await asyncio.sleep(0.05)
            case "poison":
                await asyncio.sleep(0.05)
                if words_of(request) == "poison" and step == 3:
                    self.lost.set()
                if self.lost.is_set():  # as a CUDA context that is poisoned: everybody's
                    raise EngineDied("this process has lost its device")


class Chat(MemoryChat):
    def __init__(self, state: str) -> None:
        super().__init__()
        self.state = state

    async def start(self, studio: Studio) -> None:
        await super().start(studio)
        if self.state == "starting":
            say("reached")
            await asyncio.sleep(0.5)

    async def show(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None) -> Receipt | None:
        if card.status is not None and card.status.ended:
            if self.state == "untold":
                say("reached")
                raise ConnectionError("the platform is down")
            if self.state == "telling":
                say("reached")
                await asyncio.Event().wait()
            say("shown", card.job_id, card.status)
        return await super().show(reply_to, card, receipt)


async def ask(chat: Chat, data: Path, state: str) -> None:
    mark = data / "asked"
    if mark.exists():
        return
    for words in ASKED.get(state, ("a fox",)):
        card = await chat.say(ADA, words + FLAGS, delivery=words)
        say("accepted", card.job_id if card else "-", words)
    if state != "crowd":  # there, two processes hear the same
        mark.touch()


async def live(data: Path, state: str, url: str) -> bool:
    """One life; whether another is to follow."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    device, chat = Device(state), Chat(state)
    settings = Settings(_env_file=None, data_dir=data, database_url=url, web=False, metrics_port=-1, credits_cap=1000.0)  # type: ignore[call-arg]
    app = App(settings, engine=device, adapters={"memory": chat})
    if state == "saving":

        async def never(picture: bytes) -> str:
            say("reached")
            await asyncio.Event().wait()
            return ""

        app.blobs.put = never  # type: ignore[method-assign]
    device.lost = app.lost
    async with app.running():
        say("alive", os.getpid())
        if state != "starting":
            await ask(chat, data, state)
        if state == "waiting":
            say("reached")
        await first_of(stop, app.lost)
    return app.lost.is_set()


def main(data: str, state: str, url: str = "") -> None:
    bot.app.DRAIN = timedelta(seconds=0.5)
    if state == "telling":  # it holds what it tells for longer than any test takes
        bot.app.FLUSH, bot.outbox.LEASE = timedelta(seconds=0.5), timedelta(minutes=30)
    if url and state != "crowd":  # what another process is to take over soon
        bot.app.LEASE = timedelta(seconds=1)
    for name in [each for each in os.environ if each.startswith("WORDUP_")]:
        del os.environ[name]
    if asyncio.run(live(Path(data), state, url)):
        restart(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
