"""`wordup soak`: the whole bot under many members on bad days, and what became of every job. Called by `bot.cli`.

The bot is a process of its own with the model it would have; Discord and Slack are the stand-ins of the source tree (`tests/fakes`), in this process. Members
ask, draw anew, change their minds and are delivered twice. Meanwhile connections are cut, requests are refused and lose their answers, and in the first half
the process is killed (in the second it lives on, so that its memory can be watched). At the end the bot is told to leave, and what it wrote down is compared
with what stands on the wire. Faults after which nobody could be told (a channel that is gone, a right that was taken) are not among them.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import itertools
import os
import random
import re
import secrets
import signal
import sys
import tempfile
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp

from bot.app import load_secret
from bot.crowd import Member, Times, bots_messages, is_waiting, job_of
from bot.domain import Status
from bot.store.sql import SqlStore

ROOT = Path(__file__).parents[1]
PAUSE = 10.0  #: seconds between two wishes of a member on average; longer with more than ten of them: about one wish a second in all
SETTLE = 300.0  #: seconds until everything asked for has ended and is told
FAULT_EVERY = 7.0  #: seconds between two faults on average
LEAVE = 30.0  #: seconds from SIGTERM to the process's end


class NoStandIns(Exception):
    """There is nothing here that plays the platforms. Its text is for the operator."""


@dataclass(kw_only=True)
class Found:
    """What a soak came to. `lost` and `doubled` are the promises: both 0."""

    accepted: int = 0
    shown: int = 0
    refunded: int = 0
    lost: int = 0
    doubled: int = 0
    wallet_exact: bool = True
    kills: int = 0
    faults: int = 0  #: of the wires
    violations: int = 0  #: of the platforms' rules, by the bot
    times: Times = field(default_factory=Times)
    lag_p99: float | None = None  #: of the bot's event loop, seconds
    memory: float | None = None  #: MiB; half of the last life's samples are below it
    growth: float | None = None  #: MiB, from the second to the last quarter of the last life

    @property
    def kept(self) -> bool:
        """Whether every promise was."""
        return not self.lost and not self.doubled and self.wallet_exact

    def figures(self) -> dict[str, Any]:
        """Plain JSON; seconds."""
        names = ("accepted", "shown", "refunded", "lost", "doubled", "wallet_exact", "kills", "faults", "violations")
        out: dict[str, Any] = {**{name: getattr(self, name) for name in names}, "unanswered": self.times.unanswered}
        for name in ("acknowledged", "previewed", "completed"):
            values = sorted(getattr(self.times, name))
            out |= {f"{name}_p{share}_s": round(percentile(values, share / 100), 3) for share in (50, 95, 99) if values}
        measured = {"loop_lag_p99_s": self.lag_p99, "memory_mib": self.memory, "memory_growth_mib": self.growth}
        return out | {name: round(value, 4) for name, value in measured.items() if value is not None}


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest rank; raises IndexError for no values."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def lag_p99(counts: Mapping[float, float]) -> float | None:
    """Of a histogram's cumulative counts by upper bound, interpolated inside its bucket as Prometheus does; None when it is empty."""
    total = counts.get(float("inf"), 0.0)
    low = below = 0.0
    for bound in sorted(counts):
        if total and counts[bound] >= 0.99 * total:
            return low if bound == float("inf") else low + (bound - low) * (0.99 * total - below) / max(1e-9, counts[bound] - below)
        low, below = bound, counts[bound]
    return None


def growth(samples: Sequence[float]) -> float | None:
    """From the median of the second quarter to that of the last: what the first took is loading. None for fewer than eight."""
    quarter = len(samples) // 4
    return median(samples[-quarter:]) - median(samples[quarter : 2 * quarter]) if quarter >= 2 else None


# ------------------------------------------------------------------------------------------------ the process


class Bot:
    """The process under test, over all its lives."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("WORDUP_")}
        self._environment = {**clean, "PYTHONUNBUFFERED": "1", **environment}
        self._lag: dict[float, float] = {}  # cumulative counts by bound, of the lives before this one
        self._lag_now: dict[float, float] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._metrics = ""
        self.memory: list[float] = []  #: MiB, this life's samples; empty where the system does not tell
        self.output: deque[str] = deque(maxlen=40)
        self.kills = 0

    async def start(self) -> None:
        """Raises RuntimeError with the last lines of output when it does not come up."""
        command = (sys.executable, "-m", "bot", "run")
        pipes: dict[str, Any] = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.STDOUT}
        process = self._process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=self._environment, limit=2**20, **pipes)
        self.memory, self._lag_now = [], {}
        listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read(process, listening), name="soak output")
        self._metrics = await listening

    async def _read(self, process: asyncio.subprocess.Process, listening: asyncio.Future[str]) -> None:
        stream = process.stdout
        assert stream is not None  # noqa: S101 (asked for above)
        while line := (await stream.readline()).decode(errors="replace"):
            self.output.append(line)
            if (found := re.search(r"metrics: (http\S+)", line)) and not listening.done():
                listening.set_result(found[1])
        if not listening.done():
            listening.set_exception(RuntimeError("the bot did not start:\n" + "".join(self.output)))

    async def sample(self, http: aiohttp.ClientSession) -> None:
        """Look at its loop's lag and its memory. A process that does not answer just now is not looked at."""
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with http.get(f"{self._metrics}/metrics") as answer:
                text = await answer.text()
            found = re.findall(r'wordup_event_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)', text)
            self._lag_now = {float(bound): float(count) for bound, count in found}
        if self._process is not None and (size := resident_mib(self._process.pid)) is not None:
            self.memory.append(size)

    async def kill(self) -> None:
        """As a power cut would."""
        self.kills += 1
        self._lag, self._lag_now = self.lag(), {}
        await self._end(signal.SIGKILL)

    async def leave(self) -> None:
        """SIGTERM, and its end. What does not leave in time is killed."""
        try:
            async with asyncio.timeout(LEAVE):
                await self._end(signal.SIGTERM)
        except TimeoutError:
            await self._end(signal.SIGKILL)

    async def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(how)
        await self._process.wait()
        if self._reader is not None:
            await self._reader

    def lag(self) -> dict[float, float]:
        """Cumulative counts by bound, of all lives."""
        return {bound: self._lag.get(bound, 0.0) + self._lag_now.get(bound, 0.0) for bound in self._lag.keys() | self._lag_now.keys()}


def resident_mib(pid: int) -> float | None:
    """Resident memory of a process, where Linux's /proc tells."""
    try:
        found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.M)
    except OSError:
        return None
    return int(found[1]) / 1024 if found else None


# ------------------------------------------------------------------------------------------------ bad days


def bad_days(discord: Any, slack: Any) -> Mapping[str, Callable[[], Any]]:
    """What goes wrong on the wires, by name. Some are awaited."""
    return {
        "discord: the gateway's connection is cut": discord.drop,
        "discord: asked to connect anew": discord.reconnect,
        "discord: the session is invalid": discord.invalidate,
        "discord: the last events come again": lambda: discord.replay(5),
        "discord: edits are limited": lambda: discord.limit("PATCH .*", retry_after=0.5, times=3),
        "discord: edits fail": lambda: discord.fail("PATCH .*", 500, times=2),
        "discord: an edit's answer is lost": lambda: discord.cut("PATCH .*", after=True),
        "discord: edits are slow": lambda: discord.slow("PATCH .*", 1.0, times=3),
        "slack: the socket is refreshed": slack.refresh,
        "slack: the socket is cut": slack.drop,
        "slack: limited": lambda: slack.limit("chat[.](update|postMessage)", retry_after=2, times=2),
        "slack: an upload fails halfway": lambda: slack.fail("files[.]completeUploadExternal", status=500),
        "slack: a post's answer is lost": lambda: slack.cut("chat[.]postMessage", afterwards=True),
        "slack: edits fail": lambda: slack.fail("chat[.]update", status=500, times=2),
    }


async def trouble(bot: Bot, wires: tuple[Any, Any], dice: random.Random, found: Found, *, kills_until: float, until: float) -> None:
    """One fault after the other; of eight, one kills the process as long as that is allowed. In the end the wires are well again."""
    days, loop = bad_days(*wires), asyncio.get_running_loop()
    while loop.time() < until:
        await asyncio.sleep(dice.expovariate(1 / FAULT_EVERY))
        if loop.time() < kills_until and dice.random() < 1 / 8:
            await bot.kill()
            await bot.start()
            continue
        found.faults += 1
        doing = days[dice.choice(sorted(days))]()
        if asyncio.iscoroutine(doing):
            with contextlib.suppress(AssertionError, OSError):  # the bot is not back within the stand-in's patience: what that costs is seen in the figures
                await doing
    for wire in wires:
        wire.heal()


async def watch(bot: Bot, wires: tuple[Any, Any]) -> None:
    """Sample until cancelled, and let the stand-ins forget requests that nobody will ask for: their memory is not the bot's."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http:
        while True:
            await asyncio.sleep(2)
            await bot.sample(http)
            for wire in wires:
                del wire.requests[:-500]


# ------------------------------------------------------------------------------------------------ the whole of it


def stand_ins() -> tuple[Any, Any]:
    """The modules that play Discord and Slack. Raises NoStandIns."""
    if not (ROOT / "tests" / "fakes" / "discord").is_dir():
        raise NoStandIns("`wordup soak` needs a source tree: what plays Discord and Slack lies in its tests/fakes, and an installed package has none.")
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    try:
        return importlib.import_module("tests.fakes.discord"), importlib.import_module("tests.fakes.slack")
    except ImportError as error:
        raise NoStandIns(f"`wordup soak` needs what the tests need, and there is no {error.name}: `make test` installs it.") from error


async def soak(*, minutes: float, members: int, seed: int, faults: bool = True, database: str = "", tell: Callable[[str], None] = lambda line: None) -> Found:
    """Run it. `database`: a URL; empty: SQLite in a folder of its own. Raises NoStandIns, and RuntimeError for a bot that does not start."""
    discords, slacks = stand_ins()
    run, found = secrets.token_hex(3), Found()
    with tempfile.TemporaryDirectory(prefix="wordup-soak-") as name:
        folder = Path(name)
        async with discords.DiscordWire() as discord, slacks.SlackWire() as slack:
            wires, people = (discord, slack), _crowd(members, seed, run, found.times, discord, slack, slacks)
            bot = Bot(_environment(discord, slack, folder, database))
            try:
                await bot.start()
                await discord.connected()
                await slack.connected()
                await people[0].begin()
                tell(f"{members} members for {minutes:g} minutes, seed {seed}")
                await _act(bot, wires, people, found, minutes=minutes, dice=random.Random(seed), faults=faults)
                tell("waiting until everything has ended and is told")
                await _settled(wires)
            finally:
                await bot.leave()
            found.kills, found.lag_p99 = bot.kills, lag_p99(bot.lag())
            found.memory, found.growth = (median(bot.memory) if bot.memory else None), growth(bot.memory)
            found.violations = len(discord.violations) + len(slack.violations)
            store = SqlStore(database or f"sqlite:///{folder / 'wordup.db'}", data_dir=folder, secret=load_secret(folder))
            await store.start()
            try:
                await audit(store, found, [person.key for person in people], run, wires)
            finally:
                await store.aclose()
    return found


def _crowd(members: int, seed: int, run: str, times: Times, discord: Any, slack: Any, slacks: Any) -> list[Member]:
    """Every other one on Discord. Their words are marked with the run, and numbered."""
    numbers, people = itertools.count(1), []
    for k in range(members):
        if k % 2 == 0:
            wire, user = discord, discord.user(f"member{k}")
        else:
            wire, user = slack, slacks.User(f"U0SOAK{k:04}", f"member{k}", f"Member {k}")
            slack.users[user.id] = user
            slack.art.members.add(user.id)
        people.append(Member(wire, user, random.Random(f"{seed}/{k}"), times, lambda: f"no {run}{next(numbers):05}"))
    return people


def _environment(discord: Any, slack: Any, folder: Path, database: str) -> dict[str, str]:
    """What points the bot at the stand-ins; wallets that hold a soak's wishes."""
    named = {
        "data_dir": folder,
        "database_url": database,
        "web_port": 0,
        "metrics_port": 0,
        "credits_cap": 1_000_000,
        "discord_token": discord.token,
        "discord_api_url": discord.api_url,
        "discord_gateway_url": discord.gateway_url,
        "discord_cdn_hosts": discord.host,
        "slack_app_token": slack.app_token,
        "slack_bot_token": slack.bot_token,
        "slack_api_url": slack.api_url,
        "slack_file_hosts": slack.host,
    }
    return {f"WORDUP_{name.upper()}": str(value) for name, value in named.items()}


async def _act(bot: Bot, wires: tuple[Any, Any], people: Sequence[Member], found: Found, *, minutes: float, dice: random.Random, faults: bool) -> None:
    """The members' time, under trouble and observation."""
    begun = asyncio.get_running_loop().time()
    until, pause = begun + minutes * 60, max(PAUSE, float(len(people)))
    observer = asyncio.create_task(watch(bot, wires), name="soak watches")
    try:
        async with asyncio.TaskGroup() as group:
            for person in people:
                group.create_task(person.live(until, pause), name=person.key)
            if faults:
                group.create_task(trouble(bot, wires, dice, found, kills_until=begun + minutes * 30, until=until), name="soak troubles")
    finally:
        observer.cancel()
        await asyncio.wait({observer})


async def _settled(wires: tuple[Any, Any]) -> None:
    """No card promises anything any more; or `SETTLE` is over, and the figures say what was lost."""
    for _ in range(int(SETTLE)):
        if not any(is_waiting(message) for wire in wires for message in bots_messages(wire)):
            return
        await asyncio.sleep(1)


async def audit(store: SqlStore, found: Found, keys: Sequence[str], run: str, wires: tuple[Any, Any]) -> None:
    """What was written down beside what stands on the wire."""
    cards: defaultdict[str, list[Any]] = defaultdict(list)
    for message in (each for wire in wires for each in bots_messages(wire)):
        if job_id := job_of(message):
            cards[job_id].append(message)
    jobs = [shown.job for key in keys for shown in await store.everything(key) if run in shown.job.words]
    for job in jobs:
        stands = [message for message in cards[job.id] if not is_waiting(message) and (message.pictures or job.status is not Status.DONE)]
        found.accepted += 1
        found.shown += bool(job.status.ended and stands)
        found.lost += not (job.status.ended and stands)
        found.doubled += max(0, len(cards[job.id]) - 1)
        found.refunded += job.status in (Status.FAILED, Status.CANCELLED)
    asked = Counter(job.words for job in jobs if job.parent is None)
    found.doubled += sum(times - 1 for times in asked.values())
    found.lost += len(cards.keys() - {job.id for job in jobs} - {""})  # told, and not written down
    found.wallet_exact = not await store.discrepancies()
