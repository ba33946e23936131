"""A link to a picture that leads into the operator's network: nothing there is reached, in whatever way the address is written or resolved."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from bot.chat import fetching
from bot.chat.fetching import Foreign, Unfit, Unreachable, allowed, fetch, is_public

HOST = "cdn.example.org"

PRIVATE = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",  # where clouds keep the machine's own credentials
    "100.64.0.1",
    "192.0.0.170",
    "198.18.0.1",
    "224.0.0.251",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "::8.8.8.8",
    "64:ff9b::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b::224.0.0.1",
    "64:ff9b:1::8.8.8.8",  # of a network's own
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2002:808:808::1",
    "2001:0:7f00:1::1",
    "nonsense",
    "",
]
PUBLIC = ["8.8.8.8", "162.159.128.233", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]


@dataclass
class Inside:
    """A service of the operator's that trusts whoever reaches it, on this machine; and a name server that somebody else runs."""

    session: aiohttp.ClientSession
    port: int
    reached: list[str] = field(default_factory=list)

    async def fetch(self, url: str, hosts: Sequence[str], *answers: Sequence[str]) -> bytes:
        """`answers`: the numbers that the name leads to, one list for each time it is asked, the last for ever."""
        async with asyncio.timeout(20):
            return await fetch(self.session, url, hosts, limit=10_000, resolver=Names(answers) if answers else None)


class Names(AbstractResolver):
    def __init__(self, answers: Sequence[Sequence[str]]) -> None:
        self._answers, self.asked = list(answers), 0

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        numbers = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        return [
            ResolveResult(hostname=host, host=each, port=port, family=socket.AF_INET6 if ":" in each else socket.AF_INET, proto=0, flags=socket.AI_NUMERICHOST)
            for each in numbers
        ]

    async def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
async def inside() -> AsyncIterator[Inside]:
    reached: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append("reached")
        if (await reader.read(4096)).startswith(b"GET"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecret")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, aiohttp.ClientSession() as session:
        yield Inside(session, server.sockets[0].getsockname()[1], reached)


@pytest.mark.parametrize("address", PRIVATE)
def test_no_address_within_a_network_counts_as_public(address: str):
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_the_internet_counts_as_public_also_where_there_is_no_ipv4(address: str):
    assert is_public(address)


@pytest.mark.parametrize("address", [each for each in PRIVATE if each not in ("nonsense", "")])
async def test_a_listed_name_that_leads_inside_is_not_followed(inside: Inside, address: str):
    with pytest.raises(Foreign):
        await inside.fetch(f"https://{HOST}:{inside.port}/a.png", [f"{HOST}:{inside.port}"], [address])
    assert inside.reached == []


async def test_a_name_that_leads_elsewhere_the_second_time_gains_nothing(inside: Inside):
    """Rebinding: whoever checks the name first and connects by it then asks twice. Here the number that is connected to is the one that is checked."""
    names = Names([["8.8.8.8"], ["127.0.0.1"]])
    url, hosts = f"https://{HOST}:{inside.port}/a.png", [f"{HOST}:{inside.port}"]
    await names.resolve(HOST)
    with pytest.raises(Foreign):
        await fetch(inside.session, url, hosts, limit=10_000, resolver=names)
    assert names.asked == 2 and inside.reached == []


async def test_among_several_numbers_the_private_ones_are_left_out(inside: Inside, monkeypatch: pytest.MonkeyPatch):
    """A public address that nobody answers at, and the private one beside it: the second try is checked like the first."""
    monkeypatch.setattr(fetching, "TIMEOUT", aiohttp.ClientTimeout(total=1))
    with pytest.raises((Foreign, Unreachable)):
        await inside.fetch(f"https://{HOST}:{inside.port}/a.png", [f"{HOST}:{inside.port}"], ["2606:4700::1", "127.0.0.1"])
    assert inside.reached == []


@pytest.mark.parametrize(
    "written", ["127.0.0.1", "[::ffff:127.0.0.1]", "[::1]", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "localhost", "LOCALHOST.", "①②⑦.⓪.⓪.①"]
)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_this_machine_is_not_reached_however_it_is_written(inside: Inside, written: str, scheme: str):
    with pytest.raises((Foreign, Unreachable)):
        await inside.fetch(f"{scheme}://{written}:{inside.port}/a.png", [HOST, f"{HOST}:{inside.port}"])
    assert inside.reached == []


@pytest.mark.parametrize("written", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1"])
async def test_numbers_written_oddly_lead_nowhere_even_where_a_host_was_listed_so(inside: Inside, written: str):
    """The system reads them as 127.0.0.1; the settings' own words are taken as names, and names never lead inside."""
    with pytest.raises((Foreign, Unreachable)):
        await inside.fetch(f"https://{written}:{inside.port}/a.png", [f"{written}:{inside.port}"])
    assert inside.reached == []


async def test_what_the_operator_wrote_as_a_number_is_meant(inside: Inside):
    """Without this the tests above would pass because nothing can be fetched at all."""
    host = f"127.0.0.1:{inside.port}"
    assert await inside.fetch(f"http://{host}/a.png", [host]) == b"secret"
    assert await inside.fetch(f"http://localhost:{inside.port}/a.png", [f"localhost:{inside.port}"], ["127.0.0.1"]) == b"secret"
    assert len(inside.reached) == 2


async def test_a_listed_number_opens_no_other(inside: Inside):
    with pytest.raises(Foreign):
        await inside.fetch(f"https://{HOST}:{inside.port}/a.png", [f"{HOST}:{inside.port}", f"127.0.0.1:{inside.port}", "127.0.0.1"], ["127.0.0.1"])
    with pytest.raises(Foreign):
        await inside.fetch(f"http://localhost:{inside.port}/a.png", [f"localhost:{inside.port}"], ["10.0.0.1"])
    assert inside.reached == []


@pytest.mark.parametrize("port", ["5432", "6379", "9108"])
def test_other_ports_of_a_listed_host_are_not_the_platforms(port: str):
    assert not allowed(f"https://{HOST}:{port}/a.png", {HOST})


@pytest.mark.parametrize("kind", ["text/html", "application/json", "application/x-amz-json-1.0", "application/pdf", "image"])
async def test_what_says_that_it_is_no_file_of_a_member_is_not_read(unused_tcp_port: int, kind: str):
    sent: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent.append(await reader.read(4096))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: " + kind.encode() + b"\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecret")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", unused_tcp_port), aiohttp.ClientSession() as session:
        host = f"127.0.0.1:{unused_tcp_port}"
        if kind == "image":  # no kind at all: aiohttp takes it for bytes, and the decoder has the last word
            assert await fetch(session, f"http://{host}/a", [host], limit=10) == b"secret"
        else:
            with pytest.raises(Unfit):
                await fetch(session, f"http://{host}/a", [host], limit=10)
        assert b"Cookie" not in sent[0]


async def test_a_file_that_says_it_is_too_large_is_not_begun(inside: Inside):
    host = f"127.0.0.1:{inside.port}"
    with pytest.raises(fetching.TooHeavy):
        await fetch(inside.session, f"http://{host}/a.png", [host], limit=5)


async def test_the_environments_proxy_is_not_asked(inside: Inside, monkeypatch: pytest.MonkeyPatch):
    """A proxy would connect where the socket here never looks."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{inside.port}")
    with pytest.raises(Foreign):
        await inside.fetch(f"https://{HOST}/a.png", [HOST], ["10.0.0.1"])
    assert inside.reached == []
