"""Slack as a `ports.ChatAdapter`: what `bot.app` constructs, starts, pauses and closes.

With an app token events come through Socket Mode and no port is open; else Slack posts to ``POST /slack/events``, signed. Every task that is started
here is owned here. Where things are: `intake` lets events in, `handlers` answers them, `posts` writes messages (and says within which window a card
is told once), `files` carries pictures, `home` keeps the App Home; `blocks` and `events` are pure translators, `limits` Slack's numbers, `trouble` its
errors, `wire` its Web API. Spoilers do not exist in Slack: such a picture is shown as any other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

import aiohttp
import structlog
from slack_sdk.errors import SlackApiError

from bot.chat.slack import trouble
from bot.chat.slack.blocks import Catalogue
from bot.chat.slack.files import Files
from bot.chat.slack.handlers import Handlers, Kit
from bot.chat.slack.home import Home
from bot.chat.slack.intake import HttpIntake, SocketIntake, bolt
from bot.chat.slack.posts import Posts
from bot.chat.slack.wire import Wire
from bot.chat.turns import Turns
from bot.domain import Actor, Card, Receipt, ReplyTo
from bot.errors import Fault, NotFound
from bot.ports import Memos, Studio

log = structlog.get_logger(__name__)

LONGEST = 300.0  #: seconds between tries to reach Slack
PATIENCE = 10.0  #: seconds that `start` waits for the socket; it is connected later then
GRACE = 5.0  #: seconds that what is being answered gets when the program stops


class SlackAdapter:
    """`url` is where Slack's posts are taken once `start` returned; empty with Socket Mode. `max_upload` bounds a member's picture, in bytes."""

    platform = "slack"

    def __init__(
        self,
        *,
        bot_token: str,
        app_token: str = "",
        signing_secret: str = "",
        catalogue: Catalogue,
        memos: Memos,
        api_url: str = "https://slack.com/api/",
        file_hosts: frozenset[str],
        host: str = "127.0.0.1",
        port: int = 3000,
        clock: Callable[[], datetime],
        max_upload: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises ValueError without an app token and a signing secret: anybody could sign with an empty one."""
        if not (app_token or signing_secret):
            raise ValueError("an app token or a signing secret is needed")
        self._app_token, self._signing_secret, self._catalogue, self._clock = app_token, signing_secret, catalogue, clock
        self._turns = Turns()
        self._tasks: set[asyncio.Task[None]] = set()  # what members wait for
        self._idle: set[asyncio.Task[None]] = set()  # what nobody misses
        self._wire = Wire(bot_token=bot_token, app_token=app_token, api_url=api_url, monotonic=monotonic)
        self._files = Files(self._wire, memos, catalogue, token=bot_token, hosts=file_hosts, max_upload=max_upload)
        self._home = Home(self._wire, self._files, catalogue, self._spawn_idle, monotonic)
        self._posts = Posts(self._wire, self._files, memos, self._turns, clock, self._picture, monotonic)
        self._studio: Studio | None = None
        self._http = None if app_token else HttpIntake(host, port, signing_secret)
        self._socket: SocketIntake | None = None
        self._joining: asyncio.Task[None] | None = None
        self._paused = self._closed = False
        self.url = ""

    # -- the port

    async def start(self, studio: Studio) -> None:
        """Raises Fault for a token that Slack refuses, OSError when the port is taken. A Slack that cannot be reached is tried again meanwhile."""
        self._studio = studio
        self._wire.open()
        try:
            if self._http is not None:
                await self._http.open()
                self.url = self._http.url
            address = await self._known()
        except (Fault, OSError):
            await self.aclose()
            raise
        self._joining = asyncio.create_task(self._guarded(self._join(studio, address)), name="slack joins")
        if address is not None:
            await asyncio.wait({self._joining}, timeout=PATIENCE)

    async def pause(self) -> None:
        self._paused = True

    async def show(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None) -> Receipt | None:
        """See `bot.ports.ChatAdapter.show`. A card whose command is still being answered here waits for that."""
        if self._closed or not self._wire.identity.team:
            raise trouble.Later("Slack is not reached any more" if self._closed else "Slack was not reached yet")
        async with self._turns.turn(reply_to.delivery or f"job:{card.job_id}"):
            placed = await self._posts.show(reply_to, card, receipt)
        if card.status is not None and card.status.ended and self._studio is not None and not self._closed:
            self._home.ended(self._studio, reply_to.user)
        return placed

    async def progress(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None) -> None:
        await self._posts.progress(card, receipt)

    async def aclose(self) -> None:
        self._paused = self._closed = True
        joining, self._joining = self._joining, None
        if joining is not None:
            joining.cancel()
            await asyncio.gather(joining, return_exceptions=True)
        if self._http is not None:
            await self._http.aclose()
        if self._socket is not None:
            await self._socket.aclose()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=GRACE)
        left = (*self._tasks, *self._idle)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._wire.aclose()

    # -- joining

    async def _known(self) -> str | None:
        """Ask Slack who we are, and for a socket. The address (empty for HTTP), or None when Slack cannot be reached now. Raises Fault."""
        try:
            await self._wire.identify()
        except SlackApiError as error:
            if trouble.name_of(error) in trouble.BAD_TOKEN:
                raise Fault("fault.slack_token", error=trouble.name_of(error)) from None
            log.warning("slack.unreachable", error=trouble.name_of(error) or trouble.status_of(error))
            return None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("slack.unreachable", error=type(error).__name__)
            return None
        if not self._app_token:
            return ""
        try:
            return await self._wire.socket_address()
        except SlackApiError as error:
            if trouble.name_of(error) in trouble.BAD_TOKEN | {"missing_scope"}:
                raise Fault("fault.slack_app_token", error=trouble.name_of(error)) from None
            log.warning("slack.unreachable", error=trouble.name_of(error) or trouble.status_of(error))
            return None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("slack.unreachable", error=type(error).__name__)
            return None

    async def _join(self, studio: Studio, address: str | None) -> None:
        """Until Slack is reached; then let its events in."""
        delay = 1.0
        while address is None:
            await asyncio.sleep(delay)
            delay = min(LONGEST, delay * 2)
            try:
                address = await self._known()
            except Fault as fault:  # it was reached now, and will have none of us: the rest of the program goes on
                log.error("slack.refused", error=self._catalogue.say(fault.message, **fault.parameters))
                return
        kit = Kit(
            studio=studio,
            wire=self._wire,
            posts=self._posts,
            files=self._files,
            home=self._home,
            turns=self._turns,
            catalogue=self._catalogue,
            clock=self._clock,
            paused=lambda: self._paused,
        )
        app = bolt(self._wire, self._signing_secret, Handlers(kit), self._spawn)
        log.info("slack.joined", team=self._wire.identity.team, bot=self._wire.identity.user)
        if self._http is not None:
            self._http.serve(app)
        else:
            self._socket = SocketIntake(self._wire, self._app_token, app)
            await self._socket.connect(address)

    # -- what the parts ask for

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """A task that `aclose` waits for a while; its failure is written down."""
        self._start(work, self._tasks)

    def _spawn_idle(self, work: Coroutine[Any, Any, None]) -> None:
        """One that `aclose` does not wait for."""
        self._start(work, self._idle)

    def _start(self, work: Coroutine[Any, Any, None], among: set[asyncio.Task[None]]) -> None:
        if self._closed:
            work.close()
            return
        task = asyncio.create_task(self._guarded(work), name="slack answers")
        among.add(task)
        task.add_done_callback(among.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            log.error("slack.failed", error=trouble.name_of(error) or type(error).__name__, exc_info=not trouble.expected(error))

    async def _picture(self, actor: Actor, digest: str) -> bytes:
        """A stored picture that this member may see. Raises NotFound."""
        if self._studio is None:
            raise NotFound("error.not_found")
        return await self._studio.picture(actor, digest)
