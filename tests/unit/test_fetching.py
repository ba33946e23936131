"""Members' pictures are fetched from the platform's own hosts, whole or not at all; over a real server on this machine."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web

from bot.chat import fetching
from bot.chat.fetching import Foreign, TooHeavy, Unreachable, allowed, fetch

PICTURE = bytes(range(256)) * 40
LIMIT = len(PICTURE)


@dataclass
class Network:
    """A host that is the platform's, and another that is not."""

    session: aiohttp.ClientSession
    own: str = ""
    foreign: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)  #: (host, path) of every request
    headers: list[str | None] = field(default_factory=list)
    written: int = 0  #: bytes of the endless file that were taken

    async def fetch(self, path: str, *, limit: int = LIMIT, headers: dict[str, str] | None = None) -> bytes:
        async with asyncio.timeout(20):
            return await fetch(self.session, f"http://{self.own}{path}", {self.own}, limit=limit, headers=headers)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.host, request.path))
        self.headers.append(request.headers.get("Authorization"))
        match request.path:
            case "/picture":
                return web.Response(body=PICTURE, content_type="image/png")
            case "/elsewhere":
                raise web.HTTPFound(f"http://{self.foreign}/picture")
            case "/beside":
                raise web.HTTPFound("/picture")
            case "/sign-in":
                return web.Response(text="<form>", content_type="text/html")
            case "/bomb":
                return web.Response(body=gzip.compress(bytes(50 * LIMIT)), headers={"Content-Encoding": "gzip", "Content-Type": "image/png"})
            case "/endless":
                answer = web.StreamResponse(headers={"Content-Type": "image/png"})
                await answer.prepare(request)
                while True:
                    await answer.write(bytes(2**16))
                    self.written += 2**16
            case "/broken":
                answer = web.StreamResponse(headers={"Content-Length": str(LIMIT)})
                await answer.prepare(request)
                await answer.write(PICTURE[:100])
                assert request.transport is not None
                request.transport.abort()
                return answer
            case "/silent":
                await asyncio.sleep(60)
        return web.Response(status=404, body=b"gone", content_type="image/png")


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    async with aiohttp.ClientSession() as session:
        network = Network(session)
        app = web.Application()
        app.router.add_get("/{path:.*}", network.serve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        for _ in range(2):
            await web.TCPSite(runner, "127.0.0.1", 0).start()
        network.own, network.foreign = (f"127.0.0.1:{port}" for _, port in runner.addresses)
        yield network
        await session.close()
        await runner.cleanup()


async def test_a_picture_of_the_platforms_own_comes_whole(network: Network):
    assert await network.fetch("/picture") == PICTURE
    assert await network.fetch("/picture", headers={"Authorization": "Bearer t"}) == PICTURE
    assert network.headers == [None, "Bearer t"]


async def test_one_byte_too_many_is_too_heavy(network: Network):
    with pytest.raises(TooHeavy):
        await network.fetch("/picture", limit=LIMIT - 1)


async def test_what_never_ends_is_given_up_early(network: Network):
    with pytest.raises(TooHeavy):
        await network.fetch("/endless")
    assert network.written < 100 * 2**20


async def test_what_swells_when_it_is_unpacked_is_too_heavy(network: Network):
    with pytest.raises(TooHeavy):
        await network.fetch("/bomb")


@pytest.mark.parametrize("path", ["/elsewhere", "/beside"])
async def test_redirects_are_not_followed_wherever_they_lead(network: Network, path: str):
    with pytest.raises(Unreachable):
        await network.fetch(path, headers={"Authorization": "Bearer t"})
    assert network.asked == [(network.own, path)]


@pytest.mark.parametrize("path", ["/gone", "/sign-in", "/broken"])
async def test_what_is_no_picture_is_unreachable(network: Network, path: str):
    with pytest.raises(Unreachable):
        await network.fetch(path)
    assert network.asked == [(network.own, path)]


async def test_a_host_that_says_nothing_is_given_up(network: Network, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fetching, "TIMEOUT", aiohttp.ClientTimeout(total=0.1))
    with pytest.raises(Unreachable):
        await network.fetch("/silent")


async def test_nobody_there_is_unreachable(network: Network, unused_tcp_port: int):
    with pytest.raises(Unreachable):
        await fetch(network.session, f"http://127.0.0.1:{unused_tcp_port}/picture", {f"127.0.0.1:{unused_tcp_port}"}, limit=LIMIT)


async def test_a_foreign_host_is_not_even_asked(network: Network):
    for url in (f"http://{network.foreign}/picture", f"http://u:p@{network.own}/picture", f"ftp://{network.own}/picture", "file:///etc/passwd", "", "picture"):
        with pytest.raises(Foreign):
            await fetch(network.session, url, {network.own}, limit=LIMIT)
    assert network.asked == []


async def test_an_address_nothing_can_be_made_of_is_foreign_or_unreachable(network: Network):
    for rest in ("/\udcff", "/ \r\nX: y", "\\@example.org/", "/%", ":99999/", ":x/", "#", "]/"):
        with pytest.raises((Foreign, Unreachable)):
            await fetch(network.session, f"http://{network.own}{rest}", {network.own}, limit=LIMIT)


HOSTS = frozenset({"cdn.discordapp.com", "media.discordapp.net", "127.0.0.1:8080", "localhost:8080", "::1:8080", "10.0.0.1", "cdn.example:8443"})


@pytest.mark.parametrize(
    "url",
    [
        "https://cdn.discordapp.com/attachments/1/2/a.png?ex=1&is=2&hm=3",
        "https://CDN.DiscordApp.com/a.png",
        "HTTPS://media.discordapp.net/a.png",
        "https://cdn.example:8443/a.png",
        "http://127.0.0.1:8080/a.png",
        "http://localhost:8080/a.png",
        "http://[::1]:8080/a.png",
        "https://10.0.0.1/a.png",
    ],
)
def test_the_platforms_own_addresses_are_allowed(url: str):
    assert allowed(url, HOSTS)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a.png",
        "https://cdn.discordapp.com.example.org/a.png",
        "https://xcdn.discordapp.com/a.png",
        "https://discordapp.com/a.png",
        "https://cdn.discordapp.com:8443/a.png",
        "https://cdn.example/a.png",
        "https://127.0.0.1/a.png",
        "http://127.0.0.1:8081/a.png",
        "http://cdn.discordapp.com/a.png",
        "http://10.0.0.1/a.png",
        "https://user:pass@cdn.discordapp.com/a.png",
        "https://user@cdn.discordapp.com/a.png",
        "https://cdn.discordapp.com@example.org/a.png",
        "https://example.org\\@cdn.discordapp.com/a.png",
        "https://example.org#@cdn.discordapp.com/a.png",
        "https://example.org/?@cdn.discordapp.com/a.png",
        "//cdn.discordapp.com/a.png",
        "ftp://cdn.discordapp.com/a.png",
        "file://cdn.discordapp.com/a.png",
        "https://cdn.discordapp.com:x/a.png",
        "https://[cdn.discordapp.com/a.png",
        "https:///a.png",
        "",
    ],
)
def test_every_other_address_is_refused(url: str):
    assert not allowed(url, HOSTS)
