"""One run: the bot is started, used and killed until the time is up; then it may tell what it owes, and is judged. Called by `tests.chaos.__main__`.

A fork server that has everything imported makes a start cheap, so that hundreds of lives fit into minutes.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import random
import signal
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from bot.store import dialect
from tests.chaos import judge
from tests.chaos.members import Member
from tests.chaos.points import POINTS
from tests.chaos.server import Server
from tests.chaos.victim import CAP, Life, live

MEMBERS, THINK = 16, 0.5  #: and the most seconds between two things a member does
BUSY = 0.02  #: the share of the chat's answers that get lost
NAMED = 0.65  #: the share of lives that are to end at a named point; the others end at any time
AT_A_POINT = 5.0  #: seconds a life is given to come to its point, or to show anything; then it is killed wherever it is
AT_RANDOM = 0.8  #: the most seconds of a life that ends at any time, from when it listens or has shown something
LOOKS = 10  #: lives between two looks at everybody's wallet
TO_START = 120.0  #: seconds; past them the bot does not start any more
TO_TELL = 180.0  #: seconds the last life has for telling everything; a job that was not told by then is lost

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.chaos.victim"])


class Broken(Exception):
    """The bot did what no bot should: it ended by itself, or did not start, or did not stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`seconds` of killing, and longer where there were not `kills` deaths and `jobs` jobs by then; settling comes on top.

    The same seed does the same as far as two processes on a machine can.
    """

    database: str
    url: str
    folder: Path  #: empty; the bot's data directory, the chat's journal and the bot's log will lie there
    seed: int
    seconds: float
    kills: int = 0
    jobs: int = 0


@dataclass(slots=True, kw_only=True)
class Result:
    """What a run found; `kills` counts the deaths only."""

    database: str
    seed: int
    jobs: int = 0
    kills: int = 0
    lost: int = 0
    doubled: int = 0
    wallet_exact: bool = True
    integrity: str = "ok"
    done: int = 0
    cancelled: int = 0
    failed: int = 0  #: told so, and given back: killed three times while they were drawn
    start_ms: int = 0  #: median, from the fork to a bot that listens
    points: dict[str, int] = field(default_factory=dict)  #: deaths by named point
    trouble: list[str] = field(default_factory=list)  #: sentences

    @property
    def well(self) -> bool:
        return not (self.lost or self.doubled or self.trouble) and self.wallet_exact and self.integrity == "ok"

    def figures(self) -> dict[str, object]:
        """Without the sentences."""
        return {name: value for name, value in asdict(self).items() if name != "trouble"}


async def suffer(plan: Plan) -> Result:
    """Raises Broken."""
    chance = random.Random(f"{plan.seed} {plan.database}")
    result = Result(database=plan.database, seed=plan.seed)
    await asyncio.to_thread(_warm)
    async with Server(plan.folder, random.Random(f"{plan.seed} chat"), busy=BUSY) as server:
        lives = _Lives(plan, server, result, chance)
        members = [
            asyncio.create_task(Member(f"member{number}", server, random.Random(f"{plan.seed} member {number}"), think=THINK).live())
            for number in range(MEMBERS)
        ]
        try:
            deadline = time.monotonic() + plan.seconds
            while time.monotonic() < deadline or result.kills < plan.kills or len(server.messages) < plan.jobs:
                await lives.one()
                if result.kills % LOOKS == 0:
                    await _look_at_wallets(plan, result)
                for member in members:
                    if member.done():
                        await member  # raises what it ended with
        finally:
            for member in members:
                member.cancel()
            await asyncio.gather(*members, return_exceptions=True)
            server.unanswered.clear()  # nobody asks for anything any more
        await lives.the_last()
        result.trouble += server.trouble
    result.start_ms = round(1000 * statistics.median(lives.starts)) if lives.starts else 0
    result.points = {name: lives.ends[name] for name in POINTS}
    await _judge(plan, result)
    return result


def _warm() -> None:
    """Have the fork server started and everything imported: no life has begun yet."""
    nothing = _context.Process(target=int)
    nothing.start()
    nothing.join()


class _Lives:
    """Starts the bot and ends it."""

    def __init__(self, plan: Plan, server: Server, result: Result, chance: random.Random) -> None:
        self._plan, self._server, self._result, self._chance = plan, server, result, chance
        self._points = self._in_turn()
        self.starts: list[float] = []  # seconds
        self.ends: Counter[str] = Counter()  # named points that were died at

    def _in_turn(self) -> Iterator[str]:
        """All of them, in another order each time."""
        while True:
            yield from self._chance.sample(sorted(POINTS), len(POINTS))

    async def one(self) -> None:
        """Start it, and kill it at a named point or at any time."""
        point, nth = (next(self._points), self._chance.choice((1, 1, 2, 3, 5))) if self._chance.random() < NAMED else ("", 1)
        bot = self._started(point, nth)
        dead = asyncio.create_task(_dead(bot))
        try:
            if not point and self._chance.random() < 0.2:
                await asyncio.wait({dead}, timeout=self._chance.uniform(0, 0.4))  # while it starts
            else:
                began = time.monotonic()
                if await self._happens(self._server.ready, dead, TO_START):
                    self.starts.append(time.monotonic() - began)
                if not point and self._chance.random() < 0.8:
                    await self._happens(self._server.shown, dead, AT_A_POINT)
                await asyncio.wait({dead}, timeout=AT_A_POINT if point else self._chance.uniform(0, AT_RANDOM))
            by_itself = dead.done()
        finally:
            bot.kill()
        await dead
        if bot.exitcode != -signal.SIGKILL:
            raise Broken(f"the bot ended by itself, with status {bot.exitcode}:\n{self._last_words()}")
        self._result.kills += 1
        self.ends[point] += point != "" and by_itself

    async def the_last(self) -> None:
        """It is not killed: it tells everything, and stops when it is asked to. Raises Broken."""
        bot = self._started("", 1)
        dead = asyncio.create_task(_dead(bot))
        try:
            await self._happens(self._server.ready, dead, TO_START)
            deadline = time.monotonic() + TO_TELL
            while time.monotonic() < deadline and await self._owes():
                if (await asyncio.wait({dead}, timeout=0.25))[0]:
                    break
            bot.terminate()
            await asyncio.wait({dead}, timeout=TO_START)
            if not dead.done() or bot.exitcode != 0:
                raise Broken(f"the bot did not stop when it was asked to (status {bot.exitcode}):\n{self._last_words()}")
        finally:
            bot.kill()
            await dead

    def _started(self, point: str, nth: int) -> ForkServerProcess:
        plan = self._plan
        self._server.life += 1
        self._server.ready.clear()
        self._server.shown.clear()
        life = Life(url=plan.url, folder=str(plan.folder / "data"), socket=str(self._server.socket), log=str(plan.folder / "bot.log"), point=point, nth=nth)
        bot = _context.Process(target=live, args=(life,))
        bot.start()
        return bot

    async def _happens(self, event: asyncio.Event, dead: asyncio.Task[None], seconds: float) -> bool:
        """Wait for it, that long at most; False when the bot died first. Raises Broken for a bot that does not start."""
        happens = asyncio.create_task(event.wait())
        await asyncio.wait({happens, dead}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        happens.cancel()
        if not dead.done() and not self._server.ready.is_set():
            raise Broken(f"the bot does not start:\n{self._last_words()}")
        return event.is_set()

    async def _owes(self) -> bool:
        async with _outside(self._plan.url) as db:
            return bool(await judge.owed(db))

    def _last_words(self) -> str:
        return "\n".join((self._plan.folder / "bot.log").read_text().splitlines()[-30:])


async def _dead(bot: ForkServerProcess) -> None:
    """Wait until the process is gone, its locks with it."""
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(bot.sentinel, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(bot.sentinel)
    bot.join()


@asynccontextmanager
async def _outside(url: str) -> AsyncIterator[AsyncEngine]:
    """The database, for somebody who is not the bot: opened for one look, so that a killed bot's log is found as it was left."""
    db = dialect.connect(dialect.parse_url(url))
    try:
        yield db
    finally:
        await db.dispose()


async def _look_at_wallets(plan: Plan, result: Result) -> None:
    async with _outside(plan.url) as db:
        wrong = await judge.wallets(db, CAP)
    result.wallet_exact = result.wallet_exact and not wrong
    result.trouble += [f"after {result.kills} kills: {each}" for each in wrong]


async def _judge(plan: Plan, result: Result) -> None:
    await _look_at_wallets(plan, result)
    async with _outside(plan.url) as db:
        written = await judge.look(db)
        wrong = await judge.integrity(db, plan.folder / "data" / "blobs", written.pictures.values())
        unsaid = await judge.owed(db)
    verdict = judge.judge(judge.read(plan.folder / "journal.jsonl"), written)
    ended = Counter(written.status.values())
    result.jobs, result.done, result.cancelled, result.failed = len(written.status), ended["done"], ended["cancelled"], ended["failed"]
    result.lost, result.doubled = len(verdict.lost), len(verdict.doubled)
    result.integrity = "; ".join(wrong[:5]) or "ok"
    result.trouble += [*verdict.lost, *verdict.doubled, *itertools.islice(wrong, 20)]
    if unsaid and not verdict.lost:
        result.trouble.append(f"{unsaid} ends are owed still")
