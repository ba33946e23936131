"""Slack with the whole house behind it, for tests of the adapter: slack-bolt and slack_sdk over a stand-in for Slack's wire, and the real outbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.chat.slack.adapter import SlackAdapter
from bot.domain import Actor, Card, Receipt, ReplyTo
from bot.messages import Catalogues
from bot.outbox import Outbox
from engine.api import Request
from engine.fake import FakeEngine
from tests.fakes.slack import Message, SlackWire
from tests.scenario.bots import unknown_requests
from tests.unit.house import ENGLISH, LIMITS, House, open_house

PATIENCE = 30.0


class Gate:
    """Holds every request before its last steps until it is opened."""

    def __init__(self, *, shut: bool = False) -> None:
        self.open = asyncio.Event()
        if not shut:
            self.open.set()

    async def __call__(self, request: Request, step: int) -> None:
        if step >= 4:
            await self.open.wait()


@dataclass(kw_only=True)
class Scene:
    wire: SlackWire
    house: House
    adapter: SlackAdapter
    outbox: Outbox
    gate: Gate

    async def ended(self, message: Message) -> Message:
        """The message once the job's end stands in it."""
        return await message.until(lambda m: "Drawn in" in m.plain, PATIENCE)

    async def drawn(self, text: str = "a fox in the snow --n 1", channel: Any = None) -> Message:
        answer = await self.wire.command(self.wire.ada, channel or self.wire.art, "/imagine", text)
        return await self.ended(await answer.message(PATIENCE))

    def job(self, message: Message) -> str:
        return str(message.metadata["event_payload"]["job_id"])

    async def card(self, message: Message) -> Card:
        shown = await self.house.store.shown(self.job(message))
        return await self.house.studio.card(shown.job.actor, shown.job.id)

    async def told(self, message: Message) -> tuple[ReplyTo, Receipt]:
        """Where the job's end was shown, once the outbox has written that down."""
        async with asyncio.timeout(PATIENCE):
            while True:
                reply_to, receipt = await self.house.store.reply_to(self.job(message))
                if receipt is not None and not await self.house.store.notices(["slack"]):
                    return reply_to, receipt
                await asyncio.sleep(0.02)

    async def restart(self) -> None:
        """Another adapter in the place of this one, which remembers nothing but what was written down."""
        await self.adapter.aclose()
        self.adapter = self.outbox._adapters["slack"] = adapter_for(self.wire, self.house.store)
        await self.adapter.start(self.house.studio)
        await self.wire.connected()

    def actor(self) -> Actor:
        return Actor(platform="slack", id=f"{self.wire.team_id}:{self.wire.ada.id}", name="ada")


def adapter_for(wire: SlackWire, memos: Any, *, socket: bool = True, **more: Any) -> SlackAdapter:
    settings: dict[str, Any] = {
        "bot_token": wire.bot_token,
        "app_token": wire.app_token if socket else "",
        "signing_secret": "" if socket else wire.signing_secret,
        "catalogues": Catalogues([ENGLISH]),
        "memos": memos,
        "api_url": wire.api_url,
        "file_hosts": frozenset({wire.host}),
        "port": 0,
        "clock": lambda: datetime.now(UTC),
        "max_upload": 4 * 2**20,
    }
    return SlackAdapter(**(settings | more))


@asynccontextmanager
async def scene(folder: Path, *, socket: bool = True, shut: bool = False, engine: type[FakeEngine] = FakeEngine, **more: Any) -> AsyncIterator[Scene]:
    gate = Gate(shut=shut)
    url = f"sqlite+aiosqlite:///{folder / 'bot.db'}"
    generous = replace(LIMITS, cap=1e6, queued_per_actor=40, queued_total=60)
    async with SlackWire() as wire, open_house(url, folder, engine(on_step=gate), limits=generous) as house:
        adapter = adapter_for(wire, house.store, socket=socket, **more)

        async def render(job_id: str) -> Card:
            shown = await house.store.shown(job_id)
            return await house.studio.card(shown.job.actor, job_id)

        outbox = Outbox(house.store, {"slack": adapter}, render, house.board, interval=0.05, poll=0.1, jitter=lambda: 0.0)
        runner = asyncio.create_task(outbox.run())
        await adapter.start(house.studio)
        if not socket:
            wire.events_url = adapter.url
        made = Scene(wire=wire, house=house, adapter=adapter, outbox=outbox, gate=gate)
        try:
            yield made
        finally:
            gate.open.set()
            await outbox.drain(0)
            await runner
            await made.adapter.aclose()
            assert wire.late == [] and wire.violations == [] and not unknown_requests(wire)
