"""The REST side: one handler for all of `/api/v10` that authenticates, fails as told, limits, records, validates and answers."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import BodyPartReader, web

from tests.fakes.discord import schema
from tests.fakes.discord.errors import Refusal, invalid, unauthorized, unknown_route
from tests.fakes.discord.world import Json

if TYPE_CHECKING:
    from tests.fakes.discord.wire import DiscordWire


@dataclass(frozen=True)
class Violation:
    """A rule that the bot broke."""

    method: str
    route: str
    what: str


@dataclass(eq=False, kw_only=True)
class Sent:
    """One request of the bot."""

    method: str
    route: str
    """With its method: `PATCH /webhooks/{app}/{token}/messages/@original`."""
    path: str
    query: dict[str, str]
    at: float
    """time.monotonic"""
    body: Any = None
    files: list[tuple[str, str, bytes]] = field(default_factory=list)
    """Name, content type, content."""
    status: int | None = None
    code: int | None = None


@dataclass(kw_only=True)
class Call:
    """What a handler gets."""

    params: dict[str, str]
    query: dict[str, str]
    body: Any
    uploads: dict[int, tuple[str, str, bytes]]
    """By the number in `files[n]`."""
    sent: Sent

    def id(self, name: str) -> int:
        try:
            return int(self.params[name])
        except ValueError:
            raise invalid(f"{name}_id", "NUMBER_TYPE_COERCE", f'Value "{self.params[name]}" is not snowflake.') from None


Handler = Callable[[Call], Awaitable[tuple[int, Any]]]


@dataclass(frozen=True)
class Route:
    template: str
    handler: Handler
    by_token: bool = False
    """Authorised by an interaction's token in the path."""

    def match(self, method: str, path: str) -> dict[str, str] | None:
        verb, _, shape = self.template.partition(" ")
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(shape))
        found = re.fullmatch(pattern, path) if verb == method else None
        return found.groupdict() if found else None


@dataclass(kw_only=True)
class Fault:
    """What a test wants to go wrong, so many times."""

    pattern: str
    times: float
    kind: str
    status: int = 500
    body: Json = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    after: bool = False
    """The request has its effect; only the answer is lost or replaced."""

    def meets(self, route: str) -> bool:
        return self.times > 0 and means(self.pattern, route)


def means(pattern: str, route: str) -> bool:
    return pattern == route or re.search(pattern, route) is not None


@dataclass(kw_only=True)
class Bucket:
    limit: int
    per: float
    enforced: bool
    used: int = 0
    since: float = 0.0

    def take(self) -> bool:
        now = time.monotonic()
        if now - self.since >= self.per:
            self.used, self.since = 0, now
        self.used += 1
        return not self.enforced or self.used <= self.limit

    @property
    def reset_after(self) -> float:
        return max(0.0, round(self.per - (time.monotonic() - self.since), 3))

    def headers(self, name: str) -> dict[str, str]:
        left = max(0 if self.enforced else 1, self.limit - self.used)
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(left),
            "X-RateLimit-Reset": f"{time.time() + self.reset_after:.3f}",
            "X-RateLimit-Reset-After": f"{self.reset_after:.3f}",
            "X-RateLimit-Bucket": hashlib.md5(name.encode(), usedforsecurity=False).hexdigest(),
        }


class Rest:
    def __init__(self, wire: DiscordWire, routes: list[Route]) -> None:
        self._wire, self.routes = wire, routes
        self.requests: list[Sent] = []
        self.violations: list[Violation] = []
        self.faults: list[Fault] = []
        self.limits: list[tuple[str, int, float]] = []
        self._buckets: dict[str, Bucket] = {}

    def blame(self, sent: Sent, what: str) -> None:
        self.violations.append(Violation(sent.method, sent.route, what))

    async def serve(self, request: web.Request) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0].removeprefix("/api/v10")
        route, params = next(((r, p) for r in self.routes if (p := r.match(request.method, path)) is not None), (None, {}))
        template = route.template if route else f"{request.method} {re.sub(r'[0-9]{15,}', '{id}', path)}"
        sent = Sent(method=request.method, route=template, path=path, query=dict(request.query), at=time.monotonic())
        self.requests.append(sent)
        headers: dict[str, str] = {}
        try:
            uploads = await self._read(request, sent)
            if route is None:
                raise unknown_route()
            if not route.by_token and request.headers.get("Authorization") != f"Bot {self._wire.token}":
                raise unauthorized()
            fault = self._fault(template)
            if fault is not None and fault.kind == "slow":
                await asyncio.sleep(fault.seconds)
                fault = None
            if fault is not None and not fault.after:
                return self._fail(request, sent, fault)
            headers = self._bucket(template, params)
            call = Call(params=params, query=sent.query, body=sent.body, uploads=uploads, sent=sent)
            self._validate(sent)
            status, answer = await route.handler(call)
            if fault is not None:
                return self._fail(request, sent, fault)
        except Refusal as no:
            if no.breach is not None:
                self.blame(sent, no.breach)
            status, answer, sent.code = no.status, no.body(), no.code
        except RateLimited as no:
            status, answer, headers = 429, no.body, {**no.headers}
        return self._answer(sent, status, answer, headers)

    @staticmethod
    async def _read(request: web.Request, sent: Sent) -> dict[int, tuple[str, str, bytes]]:
        uploads: dict[int, tuple[str, str, bytes]] = {}
        if request.content_type != "multipart/form-data":
            text = await request.text()
            sent.body = json.loads(text) if text else None
            return uploads
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            content = bytes(await part.read(decode=False))
            numbered = re.fullmatch(r"files\[(\d+)\]", part.name or "")
            if part.name == "payload_json":
                sent.body = json.loads(content)
            elif numbered:
                uploads[int(numbered[1])] = (part.filename or "", part.headers.get("Content-Type", ""), content)
        sent.files = list(uploads.values())
        return uploads

    def _validate(self, sent: Sent) -> None:
        description = schema.load()
        if description is None:
            return
        for fault in description.faults(sent.method, sent.path, sent.body, multipart=bool(sent.files)):
            if not fault.stranger:
                raise invalid(fault.where, "SCHEMA", fault.what)
            self.blame(sent, f"{fault.where}: {fault.what}")

    def _fault(self, template: str) -> Fault | None:
        found = next((fault for fault in self.faults if fault.meets(template)), None)
        if found is not None:
            found.times -= 1
        return found

    def _fail(self, request: web.Request, sent: Sent, fault: Fault) -> web.Response:
        if fault.kind == "cut":
            sent.status = 0
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        sent.code = fault.body.get("code")
        return self._answer(sent, fault.status, fault.body, fault.headers)

    def _bucket(self, template: str, params: dict[str, str]) -> dict[str, str]:
        major = params.get("token") or params.get("channel") or params.get("guild") or ""
        name = f"{template} {major}"
        if name not in self._buckets:
            limit, per, enforced = next(((n, s, True) for pattern, n, s in self.limits if means(pattern, template)), (50, 1.0, False))
            self._buckets[name] = Bucket(limit=limit, per=per, enforced=enforced)
        bucket = self._buckets[name]
        allowed = bucket.take()
        headers = bucket.headers(template)
        if not allowed:
            raise RateLimited(bucket.reset_after, headers={**headers, "X-RateLimit-Scope": "user"})
        return headers

    def bucket(self, pattern: str, limit: int, per_seconds: float) -> None:
        self.limits.insert(0, (pattern, limit, per_seconds))
        self._buckets = {name: kept for name, kept in self._buckets.items() if not means(pattern, name.rpartition(" ")[0])}

    @staticmethod
    def _answer(sent: Sent, status: int, answer: Any, headers: dict[str, str]) -> web.Response:
        sent.status = status
        if status == 204:
            return web.Response(status=204, headers=headers)
        return web.Response(status=status, body=json.dumps(answer).encode(), headers={**headers, "Content-Type": "application/json"})


class RateLimited(Exception):
    """429, with the headers that tell Discord's answer from Cloudflare's."""

    def __init__(self, retry_after: float, *, is_global: bool = False, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"429 for {retry_after} s")
        self.body: Json = {"message": "You are being rate limited.", "retry_after": retry_after, "global": is_global}
        self.headers = {"Via": "1.1 google", "Retry-After": str(max(1, round(retry_after))), **(headers or {})}
        if is_global:
            self.headers |= {"X-RateLimit-Global": "true", "X-RateLimit-Scope": "global"}
