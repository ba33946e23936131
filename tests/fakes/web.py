"""A studio site on a free port of this machine, and a browser without a screen to visit it with."""

from __future__ import annotations

import html
import io
import json
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any

import aiohttp

from bot.chat.web.server import WebAdapter
from bot.chat.web.stream import channel_of
from bot.domain import Ack, Action, Actor, Card, Command, Form, Inbound, Origin, Place, Press, ReplyTo, Submit, Upload, Verb
from bot.errors import NotFound
from bot.messages import LANGUAGES, Catalogue, Catalogues
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


class PageStudio(FakeStudio):
    """What only the page's tests need: answers laid down beforehand, places in a chat, and parts drawn anew."""

    def __init__(self, changed: Callable[[Actor, Card], Awaitable[None]] | None = None) -> None:
        super().__init__(changed)
        self.cards: dict[str, Card] = {}  #: by a command's name or an action's verb
        self.forms: dict[str, Form] = {}  #: by a command's name

    def greet(self, event: Inbound) -> Ack:
        if isinstance(event, Command) and event.name in self.forms:
            return Ack(form=self.forms[event.name])
        return Ack() if self._asked(event) in self.cards or isinstance(event, Submit) else super().greet(event)

    async def _do(self, event: Inbound) -> Card:
        if card := self.cards.get(self._asked(event)):
            return card
        if isinstance(event, Submit) and event.form.startswith(f"w1:{Verb.REGION}:"):
            action = Action.decode(event.form)
            origin = Origin(job_id=action.job_id, verb=action.verb, index=action.index)
            return await self.card(event.actor, self.accept(event.actor, event.values["words"], parent=origin).job.id)
        return await super()._do(event)

    @staticmethod
    def _asked(event: Inbound) -> str:
        if isinstance(event, Press):
            return event.action.split(":")[1] if event.action.count(":") > 1 else ""
        return event.name if isinstance(event, Command) else ""

    async def reply_here(self, actor: Actor, job_id: str) -> tuple[Place, ReplyTo]:
        if job_id not in self.jobs:
            raise NotFound("error.not_found")
        place = self.jobs[job_id].job.place
        return place, ReplyTo(platform=place.platform, channel=place.channel, user=actor.id)


def two_languages() -> Catalogues:
    """English, and a German whose words are English turned round: enough to see which one a page took."""
    english = Catalogue.load("en")
    turned = {message: entry[::-1] if isinstance(entry := english._entries[message], str) and "{" not in entry else entry for message in english}
    assert "de" in LANGUAGES
    return Catalogues([english, Catalogue("de", turned)])


class Site:
    """The adapter over a `PageStudio`, wired as the outbox would: a card that changes is shown."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        public_url: str | None = None,
        sign_in: bool | None = None,
        max_upload: int = 20 * 2**20,
        catalogues: Catalogues | None = None,
    ) -> None:
        self.clock, self.spent, self.studio = Clock(), set[str](), PageStudio(self._changed)
        self.adapter = WebAdapter(
            host=host,
            port=0,
            public_url=public_url,
            secret=SECRET,
            catalogues=catalogues or Catalogues([Catalogue.load("en")]),
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
        reply_to = ReplyTo(platform="web", channel=channel_of(actor))
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
        self,
        path: str,
        fields: dict[str, str],
        *,
        files: dict[str, bytes] | None = None,
        uploads: Sequence[Upload] = (),
        headers: dict[str, str] | None = None,
    ) -> tuple[int, str, aiohttp.ClientResponse]:
        """`token` and `delivery` are filled in unless given; the Origin is the site's own unless given. `files` come as the words box sends them
        without its script, `uploads` each with its role.
        """
        if not self.token and "token" not in fields:
            await self.get("/")
        values = {"token": self.token, "delivery": secrets.token_hex(16), **fields}
        data: Any = values
        if files or uploads:
            data = aiohttp.FormData(values)
            for name, content in (files or {}).items():
                data.add_field("picture", content, filename=name)
            for each in uploads:
                data.add_field(f"file.{each.role}", io.BytesIO(each.data), filename=each.name)
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
