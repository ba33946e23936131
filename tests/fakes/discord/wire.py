"""`DiscordWire`: one server on this machine that is Discord to a bot, and the hands of its members and moderators."""

from __future__ import annotations

from collections import Counter
from types import TracebackType

from aiohttp import web

from tests.fakes.discord.compose import Composer
from tests.fakes.discord.members import Members
from tests.fakes.discord.rest import Fault, RateLimited, Rest, Sent, Violation
from tests.fakes.discord.routes import BotRoutes
from tests.fakes.discord.webhooks import TokenRoutes
from tests.fakes.discord.world import Json


class DiscordWire(Members):
    """`async with DiscordWire() as wire:` — then point a client to `api_url` and `gateway_url`, and act as its members."""

    def __init__(self) -> None:
        super().__init__()
        self.composer = Composer(self)
        self.rest = Rest(self, [*BotRoutes(self).table(), *TokenRoutes(self).table()])
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> DiscordWire:
        app = web.Application(client_max_size=2**30)
        app.router.add_get("/gateway", self.gateway.serve)
        app.router.add_get("/gateway/", self.gateway.serve)
        app.router.add_get("/cdn/attachments/{channel}/{attachment}/{name}", self._file)
        app.router.add_route("*", "/api/v10/{rest:.*}", self.rest.serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.host = f"127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.gateway.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _file(self, request: web.Request) -> web.Response:
        wanted = request.match_info["attachment"]
        kept = self.attachments.get(int(wanted)) if wanted.isdigit() else None
        if kept is None:
            return web.Response(status=404, text="This content is no longer available.")
        return web.Response(body=kept.bytes, headers={"Content-Type": kept.content_type})

    # What goes wrong

    def fail(
        self, route: str, status: int, code: int = 0, message: str = "", times: float = 1, headers: dict[str, str] | None = None, *, after: bool = False
    ) -> None:
        """The next requests to a route (exact template or regex) are answered so; `after`: although they had their effect."""
        body: Json = {"message": message or f"{status}: fault", "code": code}
        self.rest.faults.append(Fault(pattern=route, times=times, kind="fail", status=status, body=body, headers=headers or {}, after=after))

    def limit(self, route: str, retry_after: float = 0.3, times: float = 1, is_global: bool = False) -> None:
        no = RateLimited(retry_after, is_global=is_global)
        told = {"X-RateLimit-Limit": "5", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": str(retry_after), "X-RateLimit-Bucket": "limited"}
        if not is_global:
            no.headers |= told
        self.rest.faults.append(Fault(pattern=route, times=times, kind="limit", status=429, body=no.body, headers=no.headers))

    def cut(self, route: str, times: float = 1, *, after: bool = False) -> None:
        """The connection is closed without an answer; `after`: although the request had its effect."""
        self.rest.faults.append(Fault(pattern=route, times=times, kind="cut", after=after))

    def slow(self, route: str, seconds: float, times: float = 1) -> None:
        self.rest.faults.append(Fault(pattern=route, times=times, kind="slow", seconds=seconds))

    def bucket(self, route: str, limit: int, per_seconds: float) -> None:
        """An enforced rate limit, told in the headers of every answer."""
        self.rest.bucket(route, limit, per_seconds)

    def heal(self) -> None:
        """No fault waits any more."""
        self.rest.faults.clear()

    # What was seen

    @property
    def requests(self) -> list[Sent]:
        return self.rest.requests

    @property
    def violations(self) -> list[Violation]:
        return self.rest.violations

    def table(self) -> dict[str, int]:
        """How often each route was called."""
        return dict(sorted(Counter(sent.route for sent in self.requests).items()))
