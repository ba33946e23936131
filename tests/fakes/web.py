"""A studio site on a free port of this machine, and a browser without a screen to visit it with."""

from __future__ import annotations

import html
import json
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any

import aiohttp

from bot.chat.web.server import WebAdapter
from bot.domain import Actor, Card, ReplyTo
from bot.messages import Catalogue
from tests.fakes.studio import FakeStudio

SECRET = b"a secret of thirty-two bytes.....".ljust(32)
TOKEN = re.compile(r'name="token" value="([0-9a-f]+)"')


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def go_on(self, **time: float) -> None:
        self.now += timedelta(**time)


class Site:
    """The adapter over a `FakeStudio`, wired as the outbox would: a card that changes is shown."""

    def __init__(self, *, host: str = "127.0.0.1", public_url: str | None = None, sign_in: bool | None = None, max_upload: int = 20 * 2**20) -> None:
        self.clock, self.spent, self.studio = Clock(), set[str](), FakeStudio(self._changed)
        self.adapter = WebAdapter(
            host=host,
            port=0,
            public_url=public_url,
            secret=SECRET,
            catalogue=Catalogue.load("en"),
            clock=self.clock,
            spend=self._spend,
            sign_in=sign_in,
            max_upload=max_upload,
        )

    async def _spend(self, ticket: str) -> bool:
        fresh = ticket not in self.spent
        self.spent.add(ticket)
        return fresh

    async def _changed(self, actor: Actor, card: Card) -> None:
        reply_to = ReplyTo(platform="web", channel=actor.id)
        if card.status and card.status.ended:
            await self.adapter.show(reply_to, card, None)
        else:
            await self.adapter.progress(reply_to, card, None)

    @property
    def address(self) -> str:
        """Where it is bound, whatever its public address."""
        runner = self.adapter._runner
        assert runner is not None
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def __aenter__(self) -> Site:
        await self.adapter.start(self.studio)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.adapter.aclose()

    @asynccontextmanager
    async def visitor(self) -> AsyncIterator[Visitor]:
        """Somebody with a browser of their own (their own cookies)."""
        async with aiohttp.ClientSession(self.address, cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            yield Visitor(session, self.address)


class Visitor:
    """Fills in forms like a browser: with the cookies and the token of the last page seen."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self.session, self._address, self.token = session, address, ""

    async def get(self, path: str, **headers: str) -> tuple[int, str, aiohttp.ClientResponse]:
        async with self.session.get(path, headers=headers, allow_redirects=False) as answer:
            text = (await answer.read()).decode("utf-8", "replace")
            if found := TOKEN.search(text):
                self.token = found[1]
            return answer.status, text, answer

    async def post(
        self, path: str, fields: dict[str, str], *, files: dict[str, bytes] | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, str, aiohttp.ClientResponse]:
        """`token` and `delivery` are filled in unless given; the Origin is the site's own unless given."""
        if not self.token and "token" not in fields:
            await self.get("/")
        values = {"token": self.token, "delivery": secrets.token_hex(16), **fields}
        data: Any = values
        if files:
            data = aiohttp.FormData(values)
            for name, content in files.items():
                data.add_field("picture", content, filename=name)
        async with self.session.post(path, data=data, headers={"Origin": self._address, **(headers or {})}, allow_redirects=False) as answer:
            return answer.status, (await answer.read()).decode("utf-8", "replace"), answer

    async def imagine(self, text: str, **fields: str) -> str:
        """Ask for a picture, without the script; the id of the job one is led to."""
        status, _, answer = await self.post("/imagine", {"text": text, **fields})
        assert status == 303, status
        return answer.headers["Location"].removeprefix("/job/")

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[AsyncIterator[tuple[str, dict[str, Any]]]]:
        """The event stream, from after its first word on."""
        async with self.session.get("/events") as answer:
            assert answer.status == 200, answer.status
            events = _events(answer)
            assert (await anext(events))[0] == "reread"
            yield events


async def _events(answer: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    kind = ""
    async for line in answer.content:
        text = line.decode().rstrip("\n")
        if text.startswith("event: "):
            kind = text.removeprefix("event: ")
        elif text.startswith("data: "):
            yield kind, json.loads(text.removeprefix("data: "))


def shown_text(page: str) -> str:
    """The text of a page, without markup."""
    return html.unescape(re.sub(r"<[^>]+>", " ", page))
