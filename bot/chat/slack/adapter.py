"""Slack as a `ports.ChatAdapter`: what `bot.app` constructs, starts, pauses and closes.

With an app token events come through Socket Mode and no port is open; else Slack posts to ``POST /slack/events``, signed. With a client id and secret
other workspaces install the app at ``GET /slack/install``, whichever way events come. Every task that is started here is owned here. Where things are:
`intake` lets events in, `workspaces` says whose they are, `handlers` answers them, `posts` writes messages (and says within which window a card is told
once), `files` carries pictures and `documents` other files, `home` keeps the App Home, `doors` and `installs` let workspaces in; `blocks`, `forms` and
`events` are pure translators, `limits` Slack's numbers, `trouble` its errors, `wire` its Web API, `pace` how fast it is asked, `people` who members are.
Spoilers do not exist in Slack: such a picture is blurred where others see it, and whole where one member alone does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from typing import Any, TypeVar

import aiohttp
import structlog
from slack_sdk.errors import SlackApiError

from bot.chat.slack import trouble
from bot.chat.slack.blocks import Catalogues
from bot.chat.slack.doors import INSTALL, Doors
from bot.chat.slack.events import via
from bot.chat.slack.files import Files
from bot.chat.slack.handlers import Handlers, Kit
from bot.chat.slack.home import Home
from bot.chat.slack.installs import Installations
from bot.chat.slack.intake import PATH, HttpIntake, SocketIntake, bolt
from bot.chat.slack.posts import Posts
from bot.chat.slack.wire import TIMEOUT, Identity, Wire
from bot.chat.slack.workspaces import Workspace, Workspaces
from bot.chat.turns import Turns
from bot.domain import Actor, Card, Receipt, ReplyTo
from bot.errors import Fault, NotFound
from bot.ports import Memos, Studio, Vault

log = structlog.get_logger(__name__)

T = TypeVar("T")

LONGEST = 300.0  #: seconds between tries to reach Slack
PATIENCE = 10.0  #: seconds that `start` waits for the socket; it is connected later then
GRACE = 5.0  #: seconds that what is being answered gets when the program stops


class SlackAdapter:
    """`url` is where Slack's posts are taken once `start` returned; empty with Socket Mode. `install_url`: where a workspace lets the app in, if one may.

    `max_upload` bounds a member's picture, in bytes.
    """

    platform = "slack"

    def __init__(
        self,
        *,
        bot_token: str = "",
        app_token: str = "",
        signing_secret: str = "",
        client_id: str = "",
        client_secret: str = "",
        vault: Vault | None = None,
        catalogues: Catalogues,
        memos: Memos,
        api_url: str = "https://slack.com/api/",
        file_hosts: frozenset[str],
        host: str = "127.0.0.1",
        port: int = 3000,
        clock: Callable[[], datetime],
        max_upload: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises ValueError without an app token and a signing secret (anybody could sign with an empty one), and where no workspace could be had:

        without a bot token, and without the client id and secret and the vault that installing takes.
        """
        if not (app_token or signing_secret):
            raise ValueError("an app token or a signing secret is needed")
        if not bot_token and not (client_id and client_secret and vault):
            raise ValueError("a bot token is needed, or what workspaces install the app with")
        self._app_token, self._signing_secret, self._catalogues, self._memos = app_token, signing_secret, catalogues, memos
        self._api_url, self._file_hosts, self._max_upload, self._clock, self._monotonic = api_url, file_hosts, max_upload, clock, monotonic
        self._turns = Turns()
        self._tasks: set[asyncio.Task[None]] = set()  # what members wait for
        self._idle: set[asyncio.Task[None]] = set()  # what nobody misses
        self._session: aiohttp.ClientSession | None = None
        self._wire = Wire(bot_token=bot_token, app_token=app_token, api_url=api_url, monotonic=monotonic)
        self._installations: Installations | None = None
        doors: Doors | None = None
        if client_id and client_secret and vault is not None:
            self._installations = Installations(vault, self._changed)
            doors = Doors(client_id=client_id, client_secret=client_secret, api_url=api_url, installations=self._installations, catalogues=catalogues)
        self._doors = doors
        self._workspaces: Workspaces | None = None
        self._studio: Studio | None = None
        self._http = HttpIntake(host, port, "" if app_token else signing_secret, doors) if doors is not None or not app_token else None
        self._socket: SocketIntake | None = None
        self._joining: asyncio.Task[None] | None = None
        self._paused = self._closed = False
        self.url = self.install_url = ""

    # -- the port

    async def start(self, studio: Studio) -> None:
        """Raises Fault for a token that Slack refuses, OSError when the port is taken. A Slack that cannot be reached is tried again meanwhile."""
        self._studio = studio
        self._session = aiohttp.ClientSession(timeout=TIMEOUT)
        self._wire.open(self._session)
        own = self._workspace(studio, self._wire) if self._wire.token else None
        self._workspaces = Workspaces(lambda token, identity: self._other(studio, token, identity), own, self._installations)
        try:
            if self._http is not None:
                await self._open_http(self._http)
            address = await self._known()
        except (Fault, OSError):
            await self.aclose()
            raise
        self._joining = asyncio.create_task(self._guarded(self._join(address)), name="slack joins")
        if address is not None:
            await asyncio.wait({self._joining}, timeout=PATIENCE)

    async def pause(self) -> None:
        self._paused = True

    async def show(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None) -> Receipt | None:
        """See `bot.ports.ChatAdapter.show`. A card whose command is still being answered here waits for that."""
        if self._closed or self._workspaces is None or not self._reached:
            raise trouble.Later("Slack is not reached any more" if self._closed else "Slack was not reached yet")
        team = via(reply_to)
        workspace = await self._workspaces.reply(team)
        if workspace is None:
            log.info("slack.nobody_to_tell", job=card.job_id, error="not installed")
            return None
        try:
            async with self._turns.turn(reply_to.delivery or f"job:{card.job_id}"):
                placed = await workspace.posts.show(reply_to, card, receipt)
        except SlackApiError as error:
            if not team or trouble.name_of(error) not in trouble.BAD_TOKEN:
                raise
            if await self._workspaces.renewed(team):
                raise trouble.Later("that workspace installed the app again") from None
            log.warning("slack.nobody_to_tell", job=card.job_id, error=trouble.name_of(error))
            return None
        if card.status is not None and card.status.ended and self._studio is not None and not self._closed:
            workspace.home.ended(self._studio, reply_to.user)
        return placed

    async def progress(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None) -> None:
        workspace = await self._workspaces.reply(via(reply_to)) if self._workspaces is not None else None
        if workspace is not None:
            await workspace.posts.progress(card, receipt)

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
        if self._workspaces is not None:
            await self._workspaces.aclose()
        await self._wire.aclose()
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    # -- workspaces

    def _workspace(self, studio: Studio, wire: Wire, team: str = "") -> Workspace:
        """`team`: see `bot.chat.slack.events.Spot.via`."""
        files = Files(wire, self._memos, hosts=self._file_hosts, max_upload=self._max_upload)
        home = Home(wire, files, self._catalogues, self._spawn_idle, self._clock, team, self._monotonic)
        posts = Posts(wire, files, self._memos, self._turns, self._catalogues, self._clock, self._picture, self._monotonic)
        kit = Kit(
            studio=studio,
            wire=wire,
            posts=posts,
            files=files,
            home=home,
            turns=self._turns,
            catalogues=self._catalogues,
            clock=self._clock,
            paused=lambda: self._paused,
            via=team,
        )
        return Workspace(wire=wire, files=files, home=home, posts=posts, handlers=Handlers(kit))

    def _other(self, studio: Studio, token: str, identity: Identity) -> Workspace:
        """Of those that installed the app."""
        wire = Wire(bot_token=token, api_url=self._api_url, monotonic=self._monotonic, identity=identity)
        if self._session is not None:
            wire.open(self._session)
        return self._workspace(studio, wire, identity.team)

    def _changed(self, team: str) -> None:
        if self._workspaces is not None:
            self._workspaces.changed(team)

    @property
    def _reached(self) -> bool:
        """Whether we know who we are; where others install the app there is nothing to ask."""
        return bool(self._wire.identity.team) or not self._wire.token

    # -- joining

    async def _open_http(self, http: HttpIntake) -> None:
        await http.open()
        self.url = f"{http.base}{PATH}" if not self._app_token else ""
        if self._doors is not None and self._session is not None:
            self._doors.open(self._session)
            self.install_url = f"{http.base}{INSTALL}"

    async def _known(self) -> str | None:
        """Ask Slack who we are, and for a socket. The address (empty for HTTP), or None when Slack cannot be reached now. Raises Fault."""
        if self._wire.token and not await self._asked(self._wire.identify, "fault.slack_token", trouble.BAD_TOKEN):
            return None
        if not self._app_token:
            return ""
        return await self._asked(self._wire.socket_address, "fault.slack_app_token", trouble.BAD_TOKEN | {"missing_scope"})

    async def _asked(self, ask: Callable[[], Awaitable[T]], refused: str, refusals: frozenset[str]) -> T | None:
        """None when Slack cannot be reached. Raises Fault."""
        try:
            return await ask()
        except SlackApiError as error:
            if trouble.name_of(error) in refusals:
                raise Fault(refused, error=trouble.name_of(error)) from None
            log.warning("slack.unreachable", error=trouble.name_of(error) or trouble.status_of(error))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("slack.unreachable", error=type(error).__name__)
        return None

    async def _join(self, address: str | None) -> None:
        """Until Slack is reached; then let its events in."""
        delay = 1.0
        while address is None:
            await asyncio.sleep(delay)
            delay = min(LONGEST, delay * 2)
            try:
                address = await self._known()
            except Fault as fault:  # it was reached now, and will have none of us: the rest of the program goes on
                log.error("slack.refused", error=self._catalogues.of("").say(fault.message, **fault.parameters))
                return
        if self._workspaces is None:
            return
        app = bolt(self._wire, self._signing_secret, self._workspaces, self._spawn)
        log.info("slack.joined", team=self._wire.identity.team, bot=self._wire.identity.user)
        if self._http is not None:
            self._http.serve(app)
        if self._app_token:
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
