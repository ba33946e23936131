"""A page that opened the stream of events and reads nothing of it, over a real socket: it costs little memory, and nobody waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bot.chat.web import server
from bot.chat.web.stream import MOST_JOBS
from bot.domain import Card, ReplyTo, Status
from tests.scenario.bots import running
from tests.scenario.visitor import Visitor, pictures


async def test_a_page_that_never_reads_holds_up_neither_the_others_nor_the_stop(tmp_path: Path) -> None:
    async with running(tmp_path, web=True, web_port=0) as app:
        assert app.web is not None
        where = urlsplit(app.web.url)
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await asyncio.to_thread(deaf.connect, (where.hostname, where.port))
            deaf.sendall(f"GET /events HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n".encode())
            async with asyncio.timeout(60):
                while True:
                    await asyncio.sleep(0.01)
                    if app.web._streams._open:
                        break
            ((channel, (page,)),) = app.web._streams._open.items()
            for number in range(3 * MOST_JOBS):  # far more than any socket's buffers hold
                large = Card(title="x" * 20_000, job_id=f"{number:026d}", status=Status.DONE)
                await app.web.show(ReplyTo(platform="web", channel=channel), large, None)
                assert len(page._waiting) <= MOST_JOBS
                await asyncio.sleep(0)
            async with Visitor(app.web.url.rstrip("/")) as member:
                asked = await member.imagine("a fox --n 1 --steps 4")
                assert len(pictures(await member.ended(asked["job"]))) == 1
            assert page in app.web._streams._open[channel], "it is still there, and still deaf"


async def test_a_page_that_never_reads_does_not_hold_its_connection_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "DEAF", 0.2)
    async with running(tmp_path, web=True, web_port=0) as app:
        assert app.web is not None
        where = urlsplit(app.web.url)
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await asyncio.to_thread(deaf.connect, (where.hostname, where.port))
            deaf.sendall(f"GET /events HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n".encode())
            streams, number = app.web._streams, 0
            async with asyncio.timeout(60):
                while True:
                    await asyncio.sleep(0.01)
                    if streams._open:
                        break
                (channel,) = streams._open
                while streams._open:  # until it was let go
                    number += 1
                    large = Card(title="x" * 200_000, job_id=f"{number:026d}", status=Status.DONE)
                    await app.web.show(ReplyTo(platform="web", channel=channel), large, None)
                    await asyncio.sleep(0.01)
            deaf.settimeout(60)
            with contextlib.suppress(ConnectionResetError):
                while await asyncio.to_thread(deaf.recv, 2**20):  # what lay in the buffers, and then the end
                    continue
        async with Visitor(app.web.url.rstrip("/")) as member:
            asked = await member.imagine("a fox --n 1 --steps 4")
            assert len(pictures(await member.ended(asked["job"]))) == 1
