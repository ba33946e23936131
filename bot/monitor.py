"""What the operator's dashboards see: /healthz and /metrics on a port of their own, the event loop's lag, the engine's pace. Run by `bot.app`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from time import perf_counter

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from bot.domain import Job
from bot.domain.moderation import Decision, Kind, Lost
from bot.errors import BotError
from bot.gate import Rule
from bot.ports import Store
from engine.api import Engine

log = structlog.get_logger(__name__)
LAG_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
DATABASE_PATIENCE = 2.0  #: seconds that these pages wait for it
WAIT_BUCKETS = (0.1, 0.5, 1, 2, 5, 10, 20, 60, 180, 600, 3600)
#: What the gates refuse by: rules about words, and what pictures that were sent or drawn are held back for.
REFUSED_BY = (
    *(rule.value for rule in Rule),
    *("licence_sexual", "licence_sexual_other", "licence_people", "licence_people_other"),
    *("upload", "upload_unseen", "picture", "picture_minors", "picture_edits", "picture_licence", "unseen"),
)


class Monitor:
    """Owns the metrics' registry and its small web server."""

    def __init__(self, store: Store, engine: Engine, *, host: str, port: int, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._store, self._engine, self._host, self._port, self._clock = store, engine, host, port, clock
        self.registry = CollectorRegistry()
        reg = self.registry
        self._jobs = Gauge("wordup_jobs", "Jobs waiting and running", ["status"], registry=reg)
        self._rows = Gauge("wordup_batch_rows", "Rows of the engine's last step (a picture with guidance is two)", registry=reg)
        self._in_flight = Gauge("wordup_pictures_in_flight", "Pictures the engine is drawing", registry=reg)
        self._steps = Gauge("wordup_steps", "Steps the engine has made", registry=reg)
        self._step_rows = Gauge("wordup_step_rows", "Rows of all steps together", registry=reg)
        self._step_seconds = Gauge("wordup_step_seconds", "Device seconds of all steps together", registry=reg)
        self._free = Gauge("wordup_free_rows", "Pictures that could join the batch now", registry=reg)
        self._words = Gauge("wordup_words", "Texts of prompts by whether their encoding was remembered", ["encoding"], registry=reg)
        self._models = Gauge("wordup_models_loaded", "Models in memory", registry=reg)
        self._model_bytes = Gauge("wordup_model_bytes", "Memory their weights take", registry=reg)
        self._wait = Histogram("wordup_wait_seconds", "From accepted to drawing", registry=reg, buckets=WAIT_BUCKETS)
        self._draw = Histogram("wordup_draw_seconds", "From drawing to the end", registry=reg, buckets=WAIT_BUCKETS)
        self._ended = Counter("wordup_jobs_ended", "Jobs by how they ended", ["outcome"], registry=reg)
        self._refused = Counter("wordup_gate_refusals", "What the gates refused, by rule", ["rule"], registry=reg)
        self._reports = Counter("wordup_reports", "Reports of pictures, and refusals that were contested", ["kind"], registry=reg)
        self._decided = Counter("wordup_decisions", "What moderators decided", ["kind", "decision"], registry=reg)
        self._lost = Counter("wordup_letters_undelivered", "Words of moderation that nobody took, by who they were for", ["whom"], registry=reg)
        for whom in Lost:
            self._lost.labels(whom)
        for rule in REFUSED_BY:  # a rate needs the nought it begins at
            self._refused.labels(rule)
        for kind in Kind:
            self._reports.labels(kind)
            for decision in Decision:
                self._decided.labels(kind, decision)
        self._database = Gauge("wordup_database_up", "Whether the database answered just now", registry=reg)
        self.lag = Histogram("wordup_event_loop_lag_seconds", "How late the event loop wakes", registry=reg, buckets=LAG_BUCKETS)
        self.url = ""
        self._ready = False
        self._without = ""  # what the start waits for

    def measured(self, draw: Callable[[Job], Awaitable[None]]) -> Callable[[Job], Awaitable[None]]:
        """`draw`, with its waiting time, duration and outcome counted."""

        async def wrapped(job: Job) -> None:
            begun = perf_counter()
            self._wait.observe(max(0.0, (self._clock() - job.created_at).total_seconds()))
            try:
                await draw(job)
            except asyncio.CancelledError:
                self._ended.labels("stopped").inc()
                raise
            except Exception:
                self._ended.labels("crashed").inc()
                raise
            self._draw.observe(perf_counter() - begun)
            self._ended.labels(await self._outcome(job)).inc()

        return wrapped

    async def _outcome(self, job: Job) -> str:
        """How it ended; "unknown" where it was deleted meanwhile or the database is away: the drawing was in order all the same."""
        try:
            ended = (await self._store.shown(job.id)).job
        except BotError:
            return "unknown"
        if ended.error is not None:
            self.refused(ended.error.message)  # what was drawn, and is not shown
        return ended.status

    def refused(self, message: str) -> None:
        """What a member was told, by its id: counted where a gate refused."""
        rule = message.partition(".gate_")[2]
        if rule in REFUSED_BY:
            self._refused.labels(rule).inc()

    def moderated(self, kind: Kind, decision: Decision | None) -> None:
        """Something was reported or contested (None), or decided."""
        if decision is None:
            self._reports.labels(kind).inc()
        else:
            self._decided.labels(kind, decision).inc()

    def undelivered(self, whom: Lost) -> None:
        """A letter that nobody took, and that is not tried again."""
        self._lost.labels(whom).inc()

    def ready(self) -> None:
        """From now on /healthz says ok."""
        self._ready = True

    def waits(self, for_database: bool) -> None:
        """Whether the start waits for the database: /healthz says so."""
        self._without = "waiting for the database" if for_database else ""

    async def start(self) -> None:
        """Listen. A port that is taken turns the pages off and nothing else."""
        app = web.Application()
        app.add_routes([web.get("/healthz", self._health), web.get("/metrics", self._metrics)])
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        if self._port < 0:
            return
        site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await site.start()
        except OSError as error:
            log.warning("metrics.off", reason=str(error), setting="WORDUP_METRICS_PORT")
            return
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def aclose(self) -> None:
        await self._runner.cleanup()

    async def run(self) -> None:
        """Measure the event loop's lag until cancelled."""
        await self._measure_lag()

    async def _measure_lag(self, every: float = 0.05) -> None:
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(every)
            self.lag.observe(max(0.0, loop.time() - before - every))

    async def _health(self, _request: web.Request) -> web.Response:
        try:
            if not self._ready:
                raise RuntimeError("starting")
            async with asyncio.timeout(DATABASE_PATIENCE):
                await self._store.now()
        except Exception as error:  # a health check answers, whatever is wrong
            return web.json_response({"status": "unhealthy", "reason": type(error).__name__ if self._ready else self._without or "starting"}, status=503)
        return web.json_response({"status": "ok"})

    async def _metrics(self, _request: web.Request) -> web.Response:
        """Answers without the database, too: that is when somebody looks. The jobs are those of the last time it answered then."""
        stats = self._engine.stats()
        try:
            async with asyncio.timeout(DATABASE_PATIENCE):
                load = await self._store.load()
        except (BotError, TimeoutError, RuntimeError) as error:  # RuntimeError: it is not open yet, or not any more
            log.log(logging.WARNING if self._ready else logging.DEBUG, "metrics.no_database", error=repr(error))
            self._database.set(0)
        else:
            self._database.set(1)
            self._jobs.labels("queued").set(load.queued)
            self._jobs.labels("running").set(load.running)
        self._free.set(self._engine.free_rows())
        self._rows.set(stats.batch_rows)
        self._in_flight.set(stats.rows_in_flight)
        self._steps.set(stats.steps)
        self._step_rows.set(stats.step_rows)
        self._step_seconds.set(stats.step_seconds)
        self._words.labels("remembered").set(stats.words_remembered)
        self._words.labels("computed").set(stats.words_encoded)
        self._models.set(stats.models_loaded)
        self._model_bytes.set(stats.model_bytes)
        return web.Response(body=generate_latest(self.registry), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})
