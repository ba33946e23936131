"""The studio page as a chat platform: binds a port, serves the pages, and shows cards to whoever has them open.

`bot.app` constructs a `WebAdapter` and calls it like any other `ports.ChatAdapter`. A job's place here is its member (``ReplyTo.channel``), not a
message: a page that is closed misses nothing, because it reads the state when it is opened.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from bot.chat.web import render
from bot.chat.web.answers import Answers
from bot.chat.web.frame import ACTOR, Frame
from bot.chat.web.pages import Pages
from bot.chat.web.painter import Painter
from bot.chat.web.permalink import Permalinks
from bot.chat.web.security import Guard
from bot.chat.web.shelf import Shelf
from bot.chat.web.stream import Streams, channel_of
from bot.domain import Card, Receipt, ReplyTo
from bot.messages import Catalogues
from bot.ports import Studio

if TYPE_CHECKING:
    from bot.provenance.manifest import Claim

log = structlog.get_logger(__name__)

HEARTBEAT = 20.0  #: seconds between comments on a quiet event stream, so that dead pages are noticed
DEAF = 60.0  #: seconds that a page may take to read one event; then its connection is cut: else pages that read nothing would hold them for ever


class WebAdapter:
    """The web studio, platform "web".

    `port` 0 takes a free one; `url` is the address to open once `start` returned. `sign_in` None asks for it unless only this machine can get here.
    `spend` records the id of a used sign-in link and answers True when it was unused until now. `max_upload` bounds the pictures of one command, in bytes.
    """

    platform = "web"

    def __init__(
        self,
        *,
        host: str,
        port: int,
        public_url: str | None,
        secret: bytes,
        catalogues: Catalogues,
        clock: Callable[[], datetime],
        spend: Callable[[str], Awaitable[bool]],
        sign_in: bool | None = None,
        max_upload: int = 20 * 2**20,
        new_id: Callable[[], str] = lambda: secrets.token_hex(16),
        read_manifest: Callable[[bytes], Awaitable[Claim | None]] | None = None,
    ) -> None:
        """`read_manifest` says what the manifest in a file claims; None: pages show none."""
        self._read_manifest = read_manifest
        self._host, self._port, self._public_url = host, port, public_url
        self._guard = Guard.build(host=host, public_url=public_url, secret=secret, clock=clock, sign_in=sign_in)
        self._catalogues, self._spend, self._max_upload, self._new_id = catalogues, spend, max_upload, new_id
        self._shelf = Shelf(secret, clock)
        self._streams = Streams()
        self._runner: web.AppRunner | None = None
        self._paused = False
        self.url = ""

    @property
    def signs_in(self) -> bool:
        """Whether members must sign in."""
        return self._guard.sign_in

    # -- the port

    async def start(self, studio: Studio) -> None:
        """Bind and serve. Raises OSError when the port is taken."""
        runner = web.AppRunner(self._application(studio), access_log=None, shutdown_timeout=2.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._host, self._port)
            await site.start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        port = runner.addresses[0][1]
        self.url = (self._public_url or f"http://{self._shown_host()}:{port}").rstrip("/") + "/"
        log.info("web.listening", url=self.url, sign_in=self._guard.sign_in)

    async def pause(self) -> None:
        self._paused = True

    async def show(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None) -> Receipt | None:
        """Tell the member's open pages; the page itself is the place, so showing twice changes nothing. A letter has no place on it."""
        if not card.job_id:
            return None
        self._streams.push(reply_to.channel, card)
        return receipt or Receipt(platform=self.platform, channel=reply_to.channel, handle=card.job_id)

    async def progress(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None) -> None:
        self._streams.push(reply_to.channel, card)

    async def aclose(self) -> None:
        self._paused = True
        self._streams.close()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    # -- the application

    def _application(self, studio: Studio) -> web.Application:
        frame = Frame(catalogues=self._catalogues, guard=self._guard, max_upload=self._max_upload)
        answers = Answers(studio=studio, frame=frame, shelf=self._shelf, max_upload=self._max_upload, paused=lambda: self._paused, new_id=self._new_id)
        app = web.Application(middlewares=frame.middlewares(), client_max_size=256 * 1024)
        app.on_response_prepare.append(frame.on_prepare)
        app.add_routes(Pages(answers=answers, spend=self._spend).routes())
        app.add_routes(Painter(answers=answers).routes())
        app.add_routes(Permalinks(answers=answers, read=self._read_manifest).routes())

        async def events(request: web.Request) -> web.StreamResponse:
            return await self._events(request, answers)

        app.add_routes([web.get("/events", events), web.get("/static/{name}", frame.static)])
        return app

    def _shown_host(self) -> str:
        if self._host in ("0.0.0.0", "::", ""):  # noqa: S104 (compared, not bound)
            return "localhost"
        return f"[{self._host}]" if ":" in self._host else self._host

    async def _events(self, request: web.Request, answers: Answers) -> web.StreamResponse:
        """Server-sent events: ``card`` with what changed, ``reread`` when the page had better fetch what it shows, ``goodbye`` when the program stops."""
        channel = channel_of(request[ACTOR])
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"})
        subscription = self._streams.subscribe(channel)
        try:
            await response.prepare(request)
            await _write(request, response, b"retry: 2000\n\nevent: reread\ndata: {}\n\n")
            while True:
                try:
                    card = await asyncio.wait_for(anext(subscription), HEARTBEAT)
                except TimeoutError:
                    await _write(request, response, b": still here\n\n")
                    continue
                except StopAsyncIteration:
                    await _write(request, response, b"event: goodbye\ndata: {}\n\n")
                    break
                await _write(request, response, await _event(request, answers, card))
        except ConnectionError:
            pass
        finally:
            self._streams.unsubscribe(channel, subscription)
        return response


async def _write(request: web.Request, response: web.StreamResponse, data: bytes) -> None:
    """Raises ConnectionError for a page that is gone, or that does not read."""
    try:
        async with asyncio.timeout(DEAF):
            await response.write(data)
    except TimeoutError:
        log.info("web.deaf_page", seconds=DEAF)
        if request.transport is not None:
            request.transport.abort()  # else the end of the answer would be waited for as well
        raise ConnectionResetError("the page does not read") from None


async def _event(request: web.Request, answers: Answers, card: Card | None) -> bytes:
    if card is None:
        return b"event: reread\ndata: {}\n\n"
    event = render.event_of(card)
    if event["ended"]:
        event["wallet"] = await answers.wallet(request)
    return f"event: card\ndata: {json.dumps(event)}\n\n".encode()
