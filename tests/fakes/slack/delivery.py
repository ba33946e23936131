"""How what members do reaches the app: envelopes through Socket Mode, or signed requests over HTTP; acknowledged or sent again.

After https://docs.slack.dev/apis/events-api/using-socket-mode and https://docs.slack.dev/authentication/verifying-requests-from-slack.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import math
import secrets
import time
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp import web

from tests.fakes.slack.model import Answer
from tests.fakes.slack.samples import check_payload
from tests.fakes.slack.world import World

INTERACTIVE = ("block_actions", "message_action", "shortcut", "view_submission", "view_closed")
RETRIES = 3


def envelope_type(kind: str) -> str:
    return "interactive" if kind in INTERACTIVE else "slash_commands" if kind == "slash_commands" else "events_api"


class Socket:
    """One open connection of the app."""

    def __init__(self, ws: web.WebSocketResponse, request: web.Request) -> None:
        self.ws, self.request = ws, request
        #: Told to go: nothing is delivered through it any more.
        self.retiring = False

    def cut(self) -> None:
        if self.request.transport is not None:
            self.request.transport.abort()


class Delivery(World):
    def __init__(self, mark: str = "0") -> None:
        super().__init__(mark)
        #: Where the app takes signed requests; empty: everything goes through the socket.
        self.events_url = ""
        self.ack_seconds, self.retry_pause = 3.0, 0.05
        self.redeliver = {"events_api": True, "slash_commands": False, "interactive": False}
        #: Seconds that each acknowledgement took which came too late.
        self.late: list[float] = []
        self.tickets: set[str] = set()
        self.sockets: list[Socket] = []
        self.session: aiohttp.ClientSession | None = None
        self._waiting: dict[str, tuple[float, asyncio.Future[dict[str, Any]]]] = {}

    # -- Socket Mode

    def open_connection(self) -> str:
        ticket = secrets.token_hex(16)
        self.tickets.add(ticket)
        return f"ws://{self.host}/link/?ticket={ticket}&app_id={self.app_id}"

    async def link(self, request: web.Request) -> web.StreamResponse:
        ticket = request.query.get("ticket", "")
        if ticket not in self.tickets:
            return web.Response(status=403, text="invalid ticket")
        self.tickets.discard(ticket)
        ws = web.WebSocketResponse(timeout=1.0)
        await ws.prepare(request)
        socket = Socket(ws, request)
        hello = {
            "type": "hello",
            "num_connections": len(self.sockets) + 1,
            "connection_info": {"app_id": self.app_id},
            "debug_info": {"host": "applink-1", "build_number": 1, "approximate_connection_time": 18060},
        }
        await ws.send_json(hello)
        self.sockets.append(socket)
        self.changed()
        try:
            async for said in ws:
                if said.type is aiohttp.WSMsgType.TEXT:
                    self._acknowledged(str(said.data))
        finally:
            self.sockets.remove(socket)
            self.changed()
        return ws

    def _acknowledged(self, text: str) -> None:
        body = json.loads(text) if text.startswith("{") else {}
        waiting = self._waiting.pop(str(body.get("envelope_id")), None)
        if waiting is None:
            self.violation("ack", f"acknowledges no envelope, or one for the second time: {text[:120]}")
            return
        started, future = waiting
        if future.done():
            self.late.append(time.monotonic() - started)
        else:
            future.set_result(body.get("payload") or {})

    @property
    def _live(self) -> list[Socket]:
        return [socket for socket in self.sockets if not socket.retiring and not socket.ws.closed]

    async def connected(self, patience: float = 30.0) -> None:
        await self.until(lambda: self._live, patience, lambda: "the app has no open socket")

    async def refresh(self, reason: str = "refresh_requested", patience: float = 30.0) -> None:
        """Ask the app to connect anew, and wait until it did; the old connection is closed after that."""
        old = list(self.sockets)
        for socket in old:
            socket.retiring = True
            await socket.ws.send_json({"type": "disconnect", "reason": reason, "debug_info": {"host": "applink-1"}})
        await self.connected(patience)
        for socket in old:
            await socket.ws.close()

    async def drop(self, *, politely: bool = False) -> None:
        """Cut every socket, or close it in good form; nobody waits for the app to come back."""
        for socket in list(self.sockets):
            socket.retiring = True
            if politely:
                await socket.ws.close()
            else:
                socket.cut()
        await self.until(lambda: not any(socket.retiring for socket in self.sockets), 10)

    async def _through_socket(self, kind: str, payload: dict[str, Any], retry: int, reason: str) -> tuple[str, dict[str, Any]]:
        started = time.monotonic()
        while not self._live:
            if time.monotonic() - started > self.ack_seconds:
                return "not_delivered", {}
            await asyncio.sleep(0.01)
        envelope_id = secrets.token_hex(16)
        envelope = {
            "envelope_id": envelope_id,
            "type": envelope_type(kind),
            "payload": payload,
            "accepts_response_payload": kind in ("slash_commands", "view_submission"),
        }
        if envelope_type(kind) == "events_api":
            envelope |= {"retry_attempt": retry, "retry_reason": reason}
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[envelope_id] = (time.monotonic(), future)
        try:
            await self._live[-1].ws.send_json(envelope)
            return "", await asyncio.wait_for(future, self.ack_seconds)
        except TimeoutError:
            return "timeout", {}
        except ConnectionError:
            self._waiting.pop(envelope_id, None)
            return "not_delivered", {}

    # -- signed HTTP

    def signed(self, body: str, *, signature: str = "", timestamp: float | None = None) -> dict[str, str]:
        """The headers of a signed request; `signature` "bad" and "none" are what an impostor would send."""
        at = str(int(time.time() if timestamp is None else timestamp))
        made = "v0=" + hmac.new(self.signing_secret.encode(), f"v0:{at}:{body}".encode(), hashlib.sha256).hexdigest()
        headers = {"X-Slack-Request-Timestamp": at, "X-Slack-Signature": "v0=" + "0" * 64 if signature == "bad" else made}
        return {name: value for name, value in headers.items() if signature != "none" or name != "X-Slack-Signature"}

    async def post_signed(
        self, kind: str, payload: dict[str, Any], *, signature: str = "", timestamp: float | None = None, retry: int = 0, reason: str = ""
    ) -> tuple[int, dict[str, Any], bool]:
        """Status, body and whether the app forbids to send it again."""
        assert self.session is not None, "the wire is not open"
        wire_type = envelope_type(kind)
        form = payload if kind == "slash_commands" else {"payload": json.dumps(payload)}
        body = json.dumps(payload) if wire_type == "events_api" else urlencode(form)
        headers = self.signed(body, signature=signature, timestamp=timestamp)
        headers["Content-Type"] = "application/json" if wire_type == "events_api" else "application/x-www-form-urlencoded"
        headers["User-Agent"] = "Slackbot 1.0 (+https://api.slack.com/robots)"
        if retry:
            headers |= {"X-Slack-Retry-Num": str(retry), "X-Slack-Retry-Reason": reason}
        timeout = aiohttp.ClientTimeout(total=self.ack_seconds)
        async with self.session.post(self.events_url, data=body.encode(), headers=headers, timeout=timeout, allow_redirects=False) as answer:
            text = await answer.text()
            bare = {"text": text} if text else {}
            told = json.loads(text) if answer.content_type == "application/json" and text else bare
            return answer.status, told, answer.headers.get("X-Slack-No-Retry") == "1"

    async def _through_http(self, kind: str, payload: dict[str, Any], retry: int, reason: str) -> tuple[str, dict[str, Any]]:
        try:
            status, body, last = await self.post_signed(kind, payload, retry=retry, reason=reason)
        except TimeoutError:
            return "http_timeout", {}
        except aiohttp.ClientError:
            return "connection_failed", {}
        if 200 <= status < 300:
            return "", body
        return "refused" if last else "http_error", {}

    # -- either way

    async def dispatch(self, answer: Answer, *, retry: int = 0, reason: str = "") -> Answer:
        """Deliver what happened, wait for the acknowledgement, and deliver again where Slack would."""
        check_payload(answer.payload.get("event", {}).get("type", answer.kind), answer.payload)
        again = RETRIES if self.redeliver[envelope_type(answer.kind)] else 0
        for attempt in range(again + 1):
            answer.attempts += 1
            started = time.monotonic()
            through = self._through_http if self.events_url else self._through_socket
            failure, ack = await through(answer.kind, answer.payload, retry + attempt, reason)
            if not failure:
                answer.acknowledged_after, answer.ack, answer.failure = time.monotonic() - started, ack, ""
                return answer
            answer.failure = "operation_timeout" if failure in ("timeout", "http_timeout") else failure
            reason = failure
            if failure == "refused":
                break
            if attempt < again:
                await asyncio.sleep(self.retry_pause)
        answer.acknowledged_after = math.inf
        return answer

    async def close_sockets(self) -> None:
        for socket in list(self.sockets):
            with suppress(ConnectionError):
                await socket.ws.close()
        for _, future in self._waiting.values():
            future.cancel()
