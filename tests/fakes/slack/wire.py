"""`SlackWire`: Slack on a free port of this machine. The Web API, Socket Mode, uploads and response URLs, with Slack's rules."""

from __future__ import annotations

import json
import time
from types import TracebackType
from typing import Any

import aiohttp
from aiohttp import web

from tests.fakes.slack import chat, payloads, surfaces
from tests.fakes.slack.faults import Fault, Faults
from tests.fakes.slack.member import Members
from tests.fakes.slack.methods import METHODS, decoded, truth
from tests.fakes.slack.model import File, Sent
from tests.fakes.slack.oauth import Installing
from tests.fakes.slack.samples import check_answer
from tests.fakes.slack.world import Refused

HANDLERS = {
    "auth.test": chat.auth_test,
    "chat.postMessage": chat.post_message,
    "chat.update": chat.update,
    "chat.delete": chat.delete,
    "chat.postEphemeral": chat.post_ephemeral,
    "chat.getPermalink": chat.get_permalink,
    "conversations.info": chat.conversations_info,
    "conversations.open": chat.conversations_open,
    "conversations.history": chat.conversations_history,
    "conversations.replies": chat.conversations_history,
    "users.info": chat.users_info,
    "reactions.add": chat.reactions_add,
    "reactions.remove": chat.reactions_remove,
    "files.getUploadURLExternal": surfaces.get_upload_url,
    "files.completeUploadExternal": surfaces.complete_upload,
    "files.info": surfaces.files_info,
    "files.delete": surfaces.files_delete,
    "views.open": surfaces.views_open,
    "views.push": surfaces.views_push,
    "views.update": surfaces.views_update,
    "views.publish": surfaces.views_publish,
}
RESPONSE_KEYS = {
    "text",
    "blocks",
    "attachments",
    "response_type",
    "replace_original",
    "delete_original",
    "unfurl_links",
    "unfurl_media",
    "metadata",
    "thread_ts",
}
TEXTUAL = {"channel", "ts", "user", "user_id", "file", "trigger_id", "view_id", "thread_ts", "name", "timestamp", "message_ts", "filename"}
SIGN_IN = "<!DOCTYPE html><html><body>Sign in to Word Up</body></html>"


class SlackWire(Members, Installing, Faults):
    """`async with SlackWire() as wire:` serves until the block ends, in the loop of the test."""

    def __init__(self, mark: str = "0") -> None:
        Members.__init__(self, mark)
        Installing.__init__(self)
        Faults.__init__(self)
        self._runner: web.AppRunner | None = None
        #: Other workspaces behind the same wire: `neighbour` makes them.
        self.neighbours: list[SlackWire] = []

    def neighbour(self, mark: str = "1") -> SlackWire:
        """Another workspace of the same Slack and for the same app, with its own people, channels and bot token. Call it while the wire is open."""
        other = SlackWire(mark)
        other.host, other.session, other.requests, other.violations = self.host, self.session, self.requests, self.violations
        other.app_token, other.signing_secret, other.events_url = self.app_token, self.signing_secret, self.events_url
        other.sockets, other._waiting, other.client_id, other.client_secret = self.sockets, self._waiting, self.client_id, self.client_secret
        self.neighbours.append(other)
        return other

    def _whose(self, token: str) -> SlackWire:
        """The workspace that a bot token is of; this one for any other."""
        return next((other for other in self.neighbours if token == other.bot_token), self)

    @property
    def api_url(self) -> str:
        """The `base_url` of an `AsyncWebClient`."""
        return f"http://{self.host}/api/"

    async def __aenter__(self) -> SlackWire:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_route("*", "/api/{method}", self._api)
        app.router.add_get("/link/", self.link)
        app.router.add_post("/upload/v1/{token}", self._upload)
        app.router.add_get("/files/{path:.+}", self._file)
        app.router.add_post("/response/{token:.+}", self._response)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.host = f"127.0.0.1:{self._runner.addresses[0][1]}"
        self.session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close_sockets()
        if self.session is not None:
            await self.session.close()
        if self._runner is not None:
            await self._runner.cleanup()

    # -- the app's own doors

    async def deliver(self, kind: str = "slash_commands", payload: dict[str, Any] | None = None, *, signature: str = "", timestamp: float | None = None) -> int:
        """Post one request to `events_url`, well signed or not ("bad", "none", an old `timestamp`), and answer with the HTTP status."""
        told = payload or payloads.command(self, self.ada, self.art, "/imagine", "a fox", "1.2.3", f"http://{self.host}/response/none")
        return (await self.post_signed(kind, told, signature=signature, timestamp=timestamp))[0]

    async def challenge(self) -> str:
        """What the app answers when its URL is verified; it should be "the challenge"."""
        body = {"token": self.verification_token, "challenge": "the challenge", "type": "url_verification"}
        status, told, _ = await self.post_signed("events", body)
        assert status == 200, status
        return str(told.get("challenge", told.get("text", "")))

    # -- the Web API

    async def _api(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["method"]
        given, body_ignored = await self._arguments(request, name)
        args = decoded(given)
        sent = Sent(name, args, time.monotonic())
        self.requests.append(sent)
        fault = self.fault(name, args)
        if fault and not fault.afterwards:
            return self._faulty(request, sent, fault)
        told: dict[str, Any]
        try:
            if body_ignored:
                self.violation(name, "takes no JSON body")
            if name == "oauth.v2.access":
                told = {"ok": True, **self.access((self, *self.neighbours), args)}
            else:
                token = self._token(request, given)
                told = {"ok": True, **self._whose(token)._granted(name, args, token)}
            self._compared(name, told)
        except Refused as refused:
            sent.error = refused.error
            told = {"ok": False, "error": refused.error, **refused.more}
            if refused.messages:
                told["response_metadata"] = {"messages": refused.messages}
        for world in (self, *self.neighbours):
            world.changed()
        if fault:
            return self._faulty(request, sent, fault)
        return web.json_response(told, headers={"x-oauth-scopes": ",".join(sorted(self.scopes)), "x-slack-req-id": self.new_id("R").lower()})

    def _compared(self, name: str, told: dict[str, Any]) -> None:
        try:
            check_answer(name, told)
        except AssertionError as fault:
            self.violation(name, f"the fake itself: {fault}")

    @staticmethod
    def _token(request: web.Request, given: dict[str, Any]) -> str:
        return request.headers.get("Authorization", "").removeprefix("Bearer ") or str(given.get("token", ""))

    @staticmethod
    async def _arguments(request: web.Request, name: str) -> tuple[dict[str, Any], bool]:
        """Query, form and JSON together; whether a JSON body was there that the method does not read."""
        given: dict[str, Any] = dict(request.query)
        if request.content_type == "application/json":
            told = await request.json() if request.can_read_body else {}
            if name in METHODS and not METHODS[name].json:
                return given, bool(told)
            return given | {key: value for key, value in told.items() if value is not None}, False
        return given | dict(await request.post()), False

    def _granted(self, name: str, args: dict[str, Any], token: str) -> dict[str, Any]:
        method = METHODS.get(name)
        if method is None:
            self.violation(name, "unknown method")
            raise Refused("unknown_method", req_method=name)
        if not token:
            raise Refused("not_authed")
        if token not in (self.bot_token, self.app_token):
            raise Refused("invalid_auth")
        if (name == "apps.connections.open") != (token == self.app_token):
            raise Refused("not_allowed_token_type")
        for key in args.keys() - method.required - method.optional:
            self.violation(name, f"unknown argument {key}")
        if missing := sorted(key for key in method.required if args.get(key) in (None, "")):
            for key in missing:
                self.violation(name, f"missing argument {key}")
            raise Refused("invalid_arguments", *(f"[ERROR] missing required field: {key}" for key in missing))
        if wrong := sorted(key for key in args.keys() & TEXTUAL if not isinstance(args[key], str)):
            self.violation(name, f"no strings: {wrong}")
            raise Refused("invalid_arguments", *(f"[ERROR] must provide a string [json-pointer:/{key}]" for key in wrong))
        scope = chat.conversation_scope(self, args, method.scope) if method.scope in ("read", "history") else method.scope
        if scope and scope not in self.scopes:
            raise Refused("missing_scope", needed=scope, provided=",".join(sorted(self.scopes)))
        if name == "apps.connections.open":
            return {"url": self.open_connection()}
        return HANDLERS[name](self, args)

    def _faulty(self, request: web.Request, sent: Sent, fault: Fault) -> web.StreamResponse:
        sent.error, sent.status = fault.error, fault.status
        self.changed()
        if fault.kind == "cut":
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        headers = {"Retry-After": str(fault.retry_after)} if fault.kind == "limit" else {}
        return web.json_response({"ok": False, "error": fault.error}, status=fault.status, headers=headers)

    # -- files and response URLs

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        file = next((file for world in (self, *self.neighbours) if (file := world.uploads.get(request.match_info["token"]))), None)
        if request.content_type.startswith("multipart/"):
            parts = [part.file.read() for part in (await request.post()).values() if isinstance(part, web.FileField)]
            content = parts[0] if parts else b""
        else:
            content = await request.read()
        sent = Sent("upload", {"file": file.id if file else "", "length": len(content)}, time.monotonic())
        self.requests.append(sent)
        if fault := self.fault("upload"):
            return self._faulty(request, sent, fault)
        if file is None or len(content) != file.length:
            announced = file.length if file else "nothing"
            self.violation("upload", f"{len(content)} bytes where {announced} was announced")
            sent.error, sent.status = "bad_request", 400 if file else 404
            return web.Response(status=sent.status, text="bad request")
        file.content = content
        return web.Response(text=f"OK - {file.length}")

    async def _file(self, request: web.Request) -> web.StreamResponse:
        """A private file; without the bot's token the visitor is shown the sign-in page, as a page that is there."""
        sent = Sent("url_private", {"path": request.path}, time.monotonic())
        self.requests.append(sent)
        if fault := self.fault("url_private"):
            return self._faulty(request, sent, fault)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if (world := self._whose(token)) is not self:
            file = world._served(request.match_info["path"])
            return web.Response(body=file.content, content_type=file.declared or file.kind[0]) if file else web.Response(status=404)
        if token != self.bot_token or "files:read" not in self.scopes:
            sent.error = "sign_in"
            return web.Response(text=SIGN_IN, content_type="text/html")
        file = self._served(request.match_info["path"])
        if file is None or file.content is None:
            sent.error, sent.status = "file_not_found", 404
            return web.Response(status=404)
        return web.Response(body=file.content, content_type=file.declared or file.kind[0])

    def _served(self, path: str) -> File | None:
        file = self.files.get(path.split("/")[0].partition("-")[2])
        return file if file and not file.deleted and surfaces.visible(self, file) else None

    async def _response(self, request: web.Request) -> web.StreamResponse:
        world = next((each for each in self.neighbours if request.match_info["token"] in each.response_urls), self)
        url = world.response_urls.get(request.match_info["token"])
        text = await request.text()
        body = json.loads(text) if text.startswith("{") else {}
        sent = Sent("response_url", body, time.monotonic())
        self.requests.append(sent)
        if fault := self.fault("response_url"):
            return self._faulty(request, sent, fault)
        try:
            if url is None or time.monotonic() - url.born > self.response_seconds:
                raise Refused("expired_url")
            if url.uses >= 5:
                raise Refused("used_url")
            url.uses += 1
            world._respond(url.user, url.channel, body, url)
        except Refused as refused:
            sent.error, sent.status = refused.error, 404 if refused.error in ("expired_url", "used_url") else 400
            return web.json_response({"ok": False, "error": refused.error, **refused.more}, status=sent.status)
        finally:
            world.changed()
        return web.Response(text="ok")

    def _respond(self, user: str, channel: str, body: dict[str, Any], url: Any) -> None:
        for key in body.keys() - RESPONSE_KEYS:
            self.violation("response_url", f"unknown key {key}")
        if truth(body.get("delete_original")):
            if url.origin is None:
                self.violation("response_url", "there is no original to delete")
            else:
                url.origin.deleted = True
            return
        self.checked_content("response_url", body)
        if truth(body.get("replace_original")) and url.origin is not None and not url.origin.deleted:
            self.edit(url.origin, {"blocks": [], **body})
            return
        if truth(body.get("replace_original")):
            self.violation("response_url", "there is no original to replace")
        shown = body.get("response_type") == "in_channel"
        self.post(channel, self.bot_user_id, body, to="" if shown else user)
