"""Slack with a studio that says what a test wrote down, for what depends on the adapter alone: forms, languages, files, workspaces."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bot.chat.slack.adapter import SlackAdapter
from bot.domain import Ack, Action, Card, Command, Inbound, Press, Reaction, Submit, Visibility
from bot.messages import Catalogue, Catalogues
from tests.fakes.slack import SlackWire
from tests.fakes.studio import FakeStudio

ENGLISH = Catalogue.load("en")
GERMAN = Catalogue(
    "de", {**{message: ENGLISH._entries[message] for message in ENGLISH}, "chat.close": "Zu", "chat.form_late": "Zu spät.", "card.sorry": "Schade"}
)
LANGUAGES = Catalogues([ENGLISH, GERMAN])


class Memory:
    """Memos and a vault."""

    def __init__(self) -> None:
        self.memos: dict[str, str] = {}
        self.sealed: dict[str, bytes] = {}

    async def recall(self, key: str) -> str | None:
        return self.memos.get(key)

    async def remember(self, key: str, value: str) -> None:
        self.memos[key] = value

    async def get(self, key: str) -> bytes | None:
        return self.sealed.get(key)

    async def put(self, key: str, value: bytes) -> None:
        self.sealed[key] = value

    async def remove(self, key: str) -> None:
        self.sealed.pop(key, None)


def name_of(event: Inbound) -> str:
    """A command's or a form's name; "press" with the verb's letter."""
    match event:
        case Command():
            return event.name
        case Submit():
            return event.form
        case Press():
            return f"press:{Action.decode(event.action).verb.value}"
        case Reaction():
            return event.emoji


class Scripted(FakeStudio):
    """By name of the event: `acks` says how it is greeted, `cards` what it comes to; everything else is FakeStudio's."""

    def __init__(self) -> None:
        super().__init__()
        self.acks: dict[str, Ack] = {}
        self.cards: dict[str, Card] = {}
        self.greeted: list[Inbound] = []

    def greet(self, event: Inbound) -> Ack:
        self.greeted.append(event)
        if (ack := self.acks.get(name_of(event))) is not None:
            return ack
        if isinstance(event, Command) and event.name != "imagine":
            return Ack(visibility=Visibility.PRIVATE)
        return super().greet(event)

    async def handle(self, event: Inbound) -> Card:
        if (card := self.cards.get(name_of(event))) is not None:
            self.events.append(event)
            return card
        if isinstance(event, Command) and event.name != "imagine":
            self.events.append(event)
            return Card(title=f"About {event.name}", visibility=Visibility.PRIVATE)
        return await super().handle(event)

    def last(self, name: str) -> Any:
        """The newest event of that name that was handled."""
        return [event for event in self.events if name_of(event) == name][-1]


@dataclass(kw_only=True)
class Stage:
    wire: SlackWire
    adapter: SlackAdapter
    studio: Scripted
    memory: Memory

    async def heard(self, name: str) -> Any:
        """The newest event of that name, once it was handled."""
        await self.wire.until(lambda: any(name_of(event) == name for event in self.studio.events))
        return self.studio.last(name)

    async def home(self) -> Any:
        await self.wire.open_home(self.wire.ada)
        await self.wire.until(lambda: self.wire.homes.get(self.wire.ada.id))
        return self.wire.homes[self.wire.ada.id]


def adapter_on(wire: SlackWire, memory: Memory, *, socket: bool = True, own: bool = True, installable: bool = False, **more: Any) -> SlackAdapter:
    """`own`: with a bot token of its own. `installable`: other workspaces may install the app."""
    doors: dict[str, Any] = {"client_id": wire.client_id, "client_secret": wire.client_secret, "vault": memory} if installable else {}
    settings: dict[str, Any] = {
        "bot_token": wire.bot_token if own else "",
        "app_token": wire.app_token if socket else "",
        "signing_secret": "" if socket else wire.signing_secret,
        "catalogues": LANGUAGES,
        "memos": memory,
        "api_url": wire.api_url,
        "file_hosts": frozenset({wire.host}),
        "port": 0,
        "clock": lambda: datetime.now(UTC),
        "max_upload": 4 * 2**20,
    }
    return SlackAdapter(**{**settings, **doors, **more})


@asynccontextmanager
async def stage(*, socket: bool = True, own: bool = True, installable: bool = False, **more: Any) -> AsyncIterator[Stage]:
    async with SlackWire() as wire:
        memory, studio = Memory(), Scripted()
        adapter = adapter_on(wire, memory, socket=socket, own=own, installable=installable, **more)
        await adapter.start(studio)
        if socket:
            await wire.connected()
        else:
            wire.events_url = adapter.url
        made = Stage(wire=wire, adapter=adapter, studio=studio, memory=memory)
        try:
            yield made
        finally:
            await made.adapter.aclose()
        assert wire.late == []
        assert wire.violations == []
