"""The adapter inside the bot: `bot.ports.ChatAdapter` over a socket to `tests.chaos.server`, in the manner of the real ones.

One writer at a time for each answer (`bot.chat.turns`), and a job's message is looked for before another is posted: the platform itself
forgives nothing. Lines of JSON: ``{"ask": n, "do": …}`` there, ``{"answer": n, …}`` and ``{"event": …}`` back.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
from typing import Any

from bot.chat.turns import Turns
from bot.domain import Action, Actor, Card, Command, Inbound, Place, Press, Receipt, ReplyTo, Verb
from bot.ports import Studio

PLATFORM = "chaos"
TRIES = 5
#: Buttons that members press: further jobs, and an end before its time.
PRESSED = frozenset({Verb.REROLL, Verb.VARY, Verb.PICK, Verb.CANCEL})


class Busy(ConnectionError):
    """The platform did not answer, or said that it could not: whether it did it all the same is not known."""


class ChaosChat:
    platform = PLATFORM

    def __init__(self, socket: str) -> None:
        self._socket, self._turns = socket, Turns()
        self._numbers = itertools.count()
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._paused = False

    # -- the port

    async def start(self, studio: Studio) -> None:
        self._studio = studio
        self._reader, self._writer = await asyncio.open_unix_connection(self._socket)
        self._listening = asyncio.create_task(self._listen(), name="chaos listens")

    def ready(self) -> None:
        """Everything is started."""
        self._send({"do": "ready"})

    async def pause(self) -> None:
        self._paused = True

    async def show(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None) -> Receipt | None:
        async with self._turns.turn(reply_to.delivery or f"job:{card.job_id}"):
            return await self._written(reply_to.channel, card, receipt)

    async def progress(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None) -> None:
        known = receipt or self._turns.place(card.job_id)
        if known is not None and not self._turns.stale(card):
            await self._ask("edit", handle=known.handle, card=_plain(card))

    async def aclose(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
        for task in (*self._tasks, self._listening):
            task.cancel()
        await asyncio.gather(*self._tasks, self._listening, return_exceptions=True)
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    # -- messages

    async def _written(self, channel: str, card: Card, receipt: Receipt | None, *, fresh: bool = False, delivery: str = "") -> Receipt:
        """Change the job's message, or post one. `fresh`: it is known that there is none."""
        if self._turns.stale(card) and (place := receipt or self._turns.place(card.job_id)) is not None:
            return place
        known = receipt or self._turns.place(card.job_id)
        handle = known.handle if known is not None else "" if fresh else await self._ask("find", channel=channel, job=card.job_id)
        if handle:
            await self._ask("edit", handle=handle, card=_plain(card), delivery=delivery)
        else:
            handle = await self._ask("post", channel=channel, card=_plain(card), delivery=delivery)
        placed = Receipt(platform=self.platform, channel=channel, handle=handle)
        self._turns.stands(card, placed)
        return placed

    # -- events

    async def _hear(self, event: Inbound, pressed: str) -> None:
        ack = self._studio.greet(event)
        if ack.form is not None:
            await self._patiently("whisper", delivery=event.delivery_id, card={})
            return
        async with self._turns.turn(event.delivery_id):
            card = ack.card or await self._studio.handle(event)
            is_job = bool(card.job_id) and card.status is not None
            if not is_job or (card.again and await self._studio.place(card.job_id) is not None):
                await self._patiently("whisper", delivery=event.delivery_id, card=_plain(card))  # or: it was said before, and its card stands
                return
            if ack.in_place:
                await self._answered(event, card, Receipt(platform=self.platform, channel=event.place.channel, handle=pressed))
                return
            if self._turns.stale(card):  # its end was shown while this one was on its way
                card = await self._studio.card(event.actor, card.job_id)
            await self._studio.placed(event, card, await self._answered(event, card, None))

    async def _answered(self, event: Inbound, card: Card, here: Receipt | None) -> Receipt:
        for attempt in range(TRIES):
            try:
                return await self._written(event.place.channel, card, here, fresh=not attempt and not card.again, delivery=event.delivery_id)
            except Busy:
                await asyncio.sleep(0.02 * 2**attempt)
        raise Busy("it did not work at all")

    async def _patiently(self, do: str, **what: Any) -> None:
        for attempt in range(TRIES):
            with contextlib.suppress(Busy):
                await self._ask(do, **what)
                return
            await asyncio.sleep(0.02 * 2**attempt)

    # -- the wire

    def _send(self, line: dict[str, Any]) -> None:
        self._writer.write(json.dumps(line).encode() + b"\n")

    async def _ask(self, do: str, **what: Any) -> str:
        """What the platform answers. Raises Busy."""
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        self._send({"ask": number, "do": do, **what})
        try:
            value: str | None = await answer
        finally:
            del self._asked[number]
        if value is None:
            raise Busy(do)
        return value

    async def _listen(self) -> None:
        while line := await self._reader.readline():
            said = json.loads(line)
            if "event" not in said:
                if (future := self._asked.get(said["answer"])) is not None and not future.done():
                    future.set_result(said["value"])
            elif not self._paused:
                task = asyncio.create_task(self._hear(_event(said["event"]), said["event"].get("handle", "")), name="chaos hears")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        os.kill(os.getpid(), signal.SIGTERM)  # the harness is gone: nobody would end this process


def _event(said: dict[str, str]) -> Inbound:
    actor = Actor(platform=PLATFORM, id=said["member"], name=said["member"])
    place = Place(platform=PLATFORM, server="house", channel=said["channel"])
    reply_to = ReplyTo(platform=PLATFORM, channel=said["channel"], user=said["member"], delivery=said["delivery"])
    if "action" in said:
        return Press(actor=actor, place=place, reply_to=reply_to, delivery_id=said["delivery"], action=said["action"])
    return Command(actor=actor, place=place, reply_to=reply_to, delivery_id=said["delivery"], name="imagine", text=said["text"])


def _plain(card: Card) -> dict[str, Any]:
    """What a member could see of it, as far as the harness looks."""
    actions: list[Action] = [button.action for row in card.rows for button in row]
    return {
        "job": card.job_id,
        "status": card.status.value if card.status else "",
        "text": f"{card.title}: {card.text}"[:200],
        "pictures": [picture.digest for picture in card.pictures if picture.digest],
        "actions": [action.encode() for action in actions if action.verb in PRESSED],
    }
