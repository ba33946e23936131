"""The chat's side: takes what the bot shows, keeps it in order on disk, and hands it what members do. Lives as long as the run, however often the bot dies.

It forgives nothing: a second post is a second message. Now and then it answers that it is busy, half the time after having done what was asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ENDS = frozenset({"done", "failed", "cancelled"})
Event = Mapping[str, str]
"""member, channel, delivery, and either `text` (of a command) or `action` and `handle` (of a button and the message it is on)."""


@dataclass(slots=True)
class Message:
    """As it stands now."""

    handle: str
    job: str
    status: str
    actions: Sequence[str]
    owner: str  #: the member whose event it was posted for, as far as that is known


@dataclass(slots=True)
class Delivery:
    event: Event
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    job: str = ""  #: what the answer was about


class Server:
    """`busy`: the share of requests that are refused, or done and not answered."""

    def __init__(self, folder: Path, chance: random.Random, *, busy: float) -> None:
        self.socket, self.journal = folder / "chat.sock", folder / "journal.jsonl"
        self.messages: dict[str, Message] = {}
        self.deliveries: dict[str, Delivery] = {}
        self.unanswered: dict[str, Event] = {}  # delivered once more to the next life, as a gateway does that is resumed
        self.ready = asyncio.Event()  # the life that is connected has started
        self.shown = asyncio.Event()  # … and has shown something
        self.life = 0
        self.trouble: list[str] = []  # what no adapter should ask for
        self._chance, self._busy = chance, busy
        self._bot: asyncio.StreamWriter | None = None
        self._handlers: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Server:
        self._file = self.journal.open("a")  # a line at a time, before the bot hears of it
        self._server = await asyncio.start_unix_server(self._connected, self.socket)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        if self._handlers:
            await asyncio.wait(self._handlers)
        self._file.close()

    # -- what members do

    async def deliver(self, event: Event) -> Delivery:
        """Hand it to the bot if that is there; the same delivery may be handed over as often as one likes."""
        known = self.deliveries.setdefault(event["delivery"], Delivery(event))
        if not known.answered.is_set():
            self.unanswered[event["delivery"]] = event
        if self._bot is not None:
            self._send(self._bot, {"event": dict(event)})
        return known

    def give_up(self, event: Event) -> None:
        """It is not delivered any more."""
        self.unanswered.pop(event["delivery"], None)

    def open_jobs(self, member: str) -> list[Message]:
        return [each for each in self.messages.values() if each.owner == member and each.status not in ENDS]

    # -- what the bot does

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        task.add_done_callback(self._handlers.discard)
        self._bot = writer
        for event in self.unanswered.values():
            self._send(writer, {"event": dict(event)})
        try:
            with contextlib.suppress(ConnectionError):  # it was killed
                while line := await reader.readline():
                    if line.endswith(b"\n"):  # else it was killed in the middle of it
                        self._asked(json.loads(line), writer)
        finally:
            if self._bot is writer:
                self._bot = None
            writer.close()

    def _asked(self, said: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        if said["do"] == "ready":
            self.ready.set()
            return
        unlucky = self._chance.random()
        try:
            value = None if unlucky < self._busy / 2 else self._done(said)
        except KeyError as error:
            self.trouble.append(f"{said['do']} of {error}, which is not there")
            value = None
        self._send(writer, {"answer": said["ask"], "value": None if unlucky < self._busy else value})

    def _done(self, said: dict[str, Any]) -> str:
        """The message's handle, where there is one. Raises KeyError for a message or a delivery that never was."""
        match said["do"]:
            case "find":
                return next((each.handle for each in self.messages.values() if each.job == said["job"]), "")
            case "post":
                handle = f"m{len(self.messages) + 1}"
                self.messages[handle] = Message(handle, said["card"]["job"], said["card"]["status"], said["card"]["actions"], self._owner(said))
            case "edit":
                message = self.messages[handle := said["handle"]]
                message.status, message.actions = said["card"]["status"], said["card"]["actions"]
                message.owner = message.owner or self._owner(said)
            case _:
                handle = ""
        self.shown.set()
        delivery = said.get("delivery", "")
        self._write(life=self.life, do=said["do"], handle=handle, delivery=delivery, **said["card"])
        if delivery:
            known = self.deliveries[delivery]
            known.job = said["card"].get("job", "")
            known.answered.set()
            self.unanswered.pop(delivery, None)
        return handle

    def _owner(self, said: dict[str, Any]) -> str:
        """As far as the request says; a job's end does not."""
        return self.deliveries[said["delivery"]].event["member"] if said.get("delivery") else ""

    def _write(self, **entry: Any) -> None:
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()

    @staticmethod
    def _send(writer: asyncio.StreamWriter, line: dict[str, Any]) -> None:
        if not writer.is_closing():
            writer.write(json.dumps(line).encode() + b"\n")
