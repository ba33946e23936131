"""How Slack's events get in: slack-bolt, behind Socket Mode or behind an HTTP server of its own. Owned by `bot.chat.slack.adapter`.

Each goes to the handlers of the workspace that it comes from; of one that did not install the app, to nobody. Every listener acknowledges and hands
the payload on to a task of the adapter's; only a form waits for what `greet` says of it, in memory. An event that Slack sends again is taken again:
one job comes of it, because it has the same delivery id.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import structlog
from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.adapter.socket_mode.async_internals import run_async_bolt_app, send_async_response
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.signature import SignatureVerifier
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest

from bot.chat.slack.doors import Doors
from bot.chat.slack.events import team_of
from bot.chat.slack.handlers import SHORTCUTS, Handlers
from bot.chat.slack.home import Spawn
from bot.chat.slack.replays import Replays
from bot.chat.slack.wire import Wire
from bot.chat.slack.workspaces import Workspaces

log = structlog.get_logger(__name__)

PATH = "/slack/events"
PING = 5.0  #: seconds between pings, and between tries to connect
STALE = 20.0  #: seconds after which an address that led nowhere is given up
MAX_BODY = 2 * 2**20  #: bytes of one request of Slack's
_ANYTHING = re.compile(".*", re.DOTALL)

Body = dict[str, Any]
Ack = Callable[..., Awaitable[Any]]


def bolt(wire: Wire, signing_secret: str, workspaces: Workspaces, spawn: Spawn) -> AsyncApp:
    """The listeners. Whose workspace ours is was asked once, at the start: no event waits for that again."""

    async def authorize(team_id: str | None) -> AuthorizeResult:
        who = wire.identity
        return AuthorizeResult(enterprise_id=None, team_id=who.team or team_id, bot_user_id=who.user, bot_id=who.bot)

    app = AsyncApp(name="wordup", signing_secret=signing_secret, authorize=authorize, client=None, logger=wire.logger)

    async def at(body: Body) -> Handlers | None:
        workspace = await workspaces.of(team_of(body))
        if workspace is None:
            log.warning("slack.not_installed", team=team_of(body))
        return workspace.handlers if workspace is not None else None

    async def handed(body: Body, what: Callable[[Handlers], Coroutine[Any, Any, None]]) -> None:
        if (handlers := await at(body)) is not None:
            await what(handlers)

    async def command(ack: Ack, body: Body) -> None:
        await ack()
        spawn(handed(body, lambda handlers: handlers.command(body)))

    async def action(ack: Ack, body: Body) -> None:
        await ack()
        spawn(handed(body, lambda handlers: handlers.action(body)))

    async def shortcut(ack: Ack, body: Body) -> None:
        await ack()
        spawn(handed(body, lambda handlers: handlers.shortcut(body)))

    async def submission(ack: Ack, body: Body) -> None:
        handlers = await at(body)
        submit, errors = handlers.submission(body) if handlers is not None else (None, {})
        if errors:
            await ack(response_action="errors", errors=errors)
            return
        await ack()
        if handlers is not None and submit is not None:
            spawn(handlers.submitted(body, submit))

    async def closed(ack: Ack) -> None:
        await ack()

    async def reaction(body: Body) -> None:
        spawn(handed(body, lambda handlers: handlers.reaction(body)))

    async def opened(body: Body) -> None:
        spawn(handed(body, lambda handlers: handlers.opened(body)))

    async def uninstalled(body: Body) -> None:
        spawn(workspaces.left(str(body.get("team_id") or "")))

    async def revoked(body: Body) -> None:
        if ((body.get("event") or {}).get("tokens") or {}).get("bot"):
            spawn(workspaces.left(str(body.get("team_id") or "")))

    async def other() -> None:
        """What the app is subscribed to and this program does not use: acknowledged, so that it is not sent again."""

    for name in ("/imagine", "/wordup"):
        app.command(name)(command)
    app.action(_ANYTHING)(action)
    for name in SHORTCUTS:
        app.shortcut(name)(shortcut)
    app.view(_ANYTHING)(submission)
    app.view_closed(_ANYTHING)(closed)
    for name in ("reaction_added", "reaction_removed"):
        app.event(name)(reaction)
    app.event("app_home_opened")(opened)
    app.event("app_uninstalled")(uninstalled)
    app.event("tokens_revoked")(revoked)
    app.event(_ANYTHING)(other)
    return app


# ------------------------------------------------------------------------------------------------ Socket Mode


class Socket(SocketModeClient):
    """The SDK's client, but an address that led nowhere is given up after a while: each can be used once, and it would be tried for ever."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.taking: set[asyncio.Task[None]] = set()  # what came in, until it is acknowledged; connecting anew is among it

    async def process_message(self) -> None:
        told = await self.message_queue.get()
        message = json.loads(told) if told.startswith("{") else {}
        task = asyncio.create_task(self.run_message_listeners(message, told), name="slack takes")
        self.taking.add(task)
        task.add_done_callback(self.taking.discard)

    async def connect(self) -> None:
        while not self.closed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STALE):
                    await super().connect()  # type: ignore[no-untyped-call]
                    return
            self.wss_uri = None


class SocketIntake:
    """`run` connects; the SDK keeps the connection then, and makes it anew when Slack asks for that or it is lost."""

    def __init__(self, wire: Wire, app_token: str, app: AsyncApp) -> None:
        self._wire, self._app = wire, app
        self._client = Socket(app_token=app_token, logger=wire.logger, web_client=wire.client, ping_interval=PING)
        self._client.proxy = wire.client.proxy
        self._client.socket_mode_request_listeners.append(self._take)

    async def connect(self, address: str) -> None:
        self._client.wss_uri = address
        await self._client.connect()
        log.info("slack.connected")

    async def _take(self, client: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
        started = time.time()
        response = await run_async_bolt_app(self._app, request)
        await send_async_response(client, request, response, started)

    async def aclose(self) -> None:
        client = self._client
        with contextlib.suppress(Exception):  # of whatever kind: it is going anyway
            await client.close()  # type: ignore[no-untyped-call]
        left = [task for task in (client.message_processor, client.current_session_monitor, client.message_receiver, *client.taking) if task is not None]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


# ------------------------------------------------------------------------------------------------ HTTP


class HttpIntake:
    """Slack posts to us, and workspaces install the app here. Until we know who we are, Slack is asked to try again."""

    def __init__(self, host: str, port: int, signing_secret: str, doors: Doors | None = None) -> None:
        """Without a signing secret no events are taken here: only `doors` are open."""
        self._host, self._port, self._doors = host, port, doors
        self._verifier, self._replays = (SignatureVerifier(signing_secret) if signing_secret else None), Replays()
        self._app: AsyncApp | None = None
        self._runner: web.AppRunner | None = None
        self.base = ""  #: of its addresses, once it is open

    async def open(self) -> None:
        """Bind. Raises OSError when the port is taken."""
        served = web.Application(client_max_size=MAX_BODY)
        if self._verifier is not None:
            served.router.add_post(PATH, self._post)
        if self._doors is not None:
            served.add_routes(self._doors.routes())
        runner = web.AppRunner(served, access_log=None, shutdown_timeout=2.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        shown = f"[{self._host}]" if ":" in self._host else self._host
        self.base = f"http://{shown}:{runner.addresses[0][1]}"
        log.info("slack.listening", url=self.base, events=self._verifier is not None, installs=self._doors is not None)

    def serve(self, app: AsyncApp) -> None:
        self._app = app

    async def _post(self, request: web.Request) -> web.StreamResponse:
        if self._app is None:
            return web.Response(status=503, headers={"Retry-After": "5"})
        body = await request.read()
        if not self._signed(body, request.headers):  # before anything of it is read
            return web.Response(status=401)
        signature = request.headers["X-Slack-Signature"]
        # An address that is tried twice within a second is the same request. It changes nothing, and wants its answer each time.
        if not _tries_the_address(body) and not self._replays.first(signature, request.headers["X-Slack-Request-Timestamp"]):
            log.warning("slack.sent_again")
            return web.Response(status=200)
        taken = False
        try:
            try:
                asked = await to_bolt_request(request)
            except (ValueError, LookupError):
                return web.Response(status=400)
            answer = await to_aiohttp_response(await self._app.async_dispatch(asked))
            taken = answer.status < 300
            return answer
        finally:
            if not taken:  # Slack may send it again
                self._replays.forget(signature)

    def _signed(self, body: bytes, headers: Mapping[str, str]) -> bool:
        try:
            return self._verifier is not None and self._verifier.is_valid_request(body, headers)
        except (ValueError, TypeError):  # no number, no text, not ASCII
            return False

    async def aclose(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()


def _tries_the_address(body: bytes) -> bool:
    """Whether a signed request only asks if somebody is there (https://api.slack.com/events/url_verification)."""
    try:
        told = json.loads(body)
    except ValueError:  # a form
        return False
    return isinstance(told, dict) and told.get("type") == "url_verification"
