"""The composition root: the only file that names concrete classes. Builds the bot, starts it, drains it, stops it.

Who owns what: `App.run` holds one task group with the queue, the outbox, the monitor and the housekeeper; the engine owns its device
thread; each adapter owns its connections. Shutdown runs in the reverse order of `run` and is bounded by `GRACE`.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from ulid import ULID

from bot import commercial, lists
from bot.board import Board
from bot.chat.web import links, signin
from bot.chat.web.server import WebAdapter
from bot.domain import Actor, Card, Job, Limits
from bot.exports import Exports
from bot.gate import Gate, People, Policy, Sexual, policy_of
from bot.gate.output import Bounds, OutputGate
from bot.messages import Catalogues
from bot.moderation.doing import Moderation, Most
from bot.moderation.mail import Mail
from bot.monitor import Monitor
from bot.outbox import Outbox
from bot.pausing import Pausing
from bot.plain import plain_cards
from bot.ports import ChatAdapter, Memos, Vault
from bot.provenance import Provenance
from bot.queue import Queue
from bot.renewal import first_of
from bot.settings import Settings, hosts
from bot.store.blobs import DiskBlobs
from bot.store.casebook import SqlCaseBook
from bot.store.sql import SqlStore
from bot.store.vault import SqlVault
from bot.studio import WordUpStudio
from bot.workshop import Workshop
from engine.api import Engine
from engine.local import LocalEngine
from engine.shelf import Shelf

log = structlog.get_logger(__name__)

#: SIGTERM to exit: what runs may finish within DRAIN, what is owed is flushed within FLUSH, all within 20 s.
DRAIN, FLUSH = timedelta(seconds=10), timedelta(seconds=4)
LEASE = timedelta(seconds=30)
POLL = timedelta(seconds=1)
#: Seconds between two progress cards of a job, by platform: the first two cost nobody's rate limit; Slack takes about one edit a second of all jobs together.
PROGRESS_EVERY = {"web": 0.3, "terminal": 0.1, "discord": 1.5, "slack": 3.0}
HOUSEKEEPING = timedelta(hours=1)
#: A file younger than this may belong to a job that is being written.
BLOB_GRACE = timedelta(hours=1)


def new_id() -> str:
    return str(ULID())


def load_secret(folder: Path) -> bytes:
    """The key that signs sessions and links: made at first start, readable by its owner only."""
    path = folder / "secret.key"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}")
        beside.touch(mode=0o600)
        beside.write_bytes(secrets.token_bytes(32))
        try:
            os.link(beside, path)  # fails when another process was faster: then its key counts
        except FileExistsError:
            pass
        finally:
            beside.unlink()
    return path.read_bytes()


def open_shelf(settings: Settings) -> Shelf:
    """The models this operator offers; the one named by WORDUP_MODEL first. Raises ModelMissing or ModelForbidden when there is none to draw with."""
    shelf = commercial.open_shelf(settings)
    for where, problem in shelf.problems.items():
        log.warning("model.left_out", model=where, reason=str(problem))
    commercial.need_models(shelf, settings.model)
    return shelf


def make_engine(settings: Settings, on_lost: Callable[[str], None] = lambda reason: None) -> Engine:
    """`on_lost`: called with the reason when this process cannot draw any more. Raises ModelMissing."""
    return LocalEngine(
        open_shelf(settings),
        device=settings.device,
        max_rows=settings.max_rows,
        threads=settings.threads,
        reproducible=settings.reproducible,
        memory_gb=settings.model_memory_gb,
        on_lost=on_lost,
    )


def make_provenance(settings: Settings, clock: Callable[[], datetime]) -> Provenance:
    return Provenance(
        settings.data_dir / "signing",
        clock=clock,
        certificate=settings.signing_certificate,
        key=settings.signing_key,
        marks=settings.marking,
        label=settings.visible_mark,
    )


def make_chats(settings: Settings, catalogues: Catalogues, memos: Memos, vault: Vault, clock: Callable[[], datetime]) -> dict[str, ChatAdapter]:
    """The chats there are tokens for. Their libraries are imported only then."""
    chats: dict[str, ChatAdapter] = {}
    max_upload = settings.max_upload_mb * 2**20
    if token := settings.discord_token.get_secret_value():
        from bot.chat.discord.adapter import DiscordAdapter

        chats["discord"] = DiscordAdapter(
            token=token,
            catalogues=catalogues,
            memos=memos,
            clock=clock,
            cdn_hosts=hosts(settings.discord_cdn_hosts),
            api_url=settings.discord_api_url,
            gateway_url=settings.discord_gateway_url,
            max_upload=max_upload,
            age_restricted=settings.discord_age_restricted,
        )
    token, client_secret = settings.slack_bot_token.get_secret_value(), settings.slack_client_secret.get_secret_value()
    if token or client_secret:
        from bot.chat.slack.adapter import SlackAdapter

        chats["slack"] = SlackAdapter(
            bot_token=token,
            app_token=settings.slack_app_token.get_secret_value(),
            signing_secret=settings.slack_signing_secret.get_secret_value(),
            client_id=settings.slack_client_id,
            client_secret=client_secret,
            vault=vault,
            catalogues=catalogues,
            memos=memos,
            clock=clock,
            api_url=settings.slack_api_url,
            file_hosts=hosts(settings.slack_file_hosts),
            host=settings.slack_host,
            port=settings.slack_port,
            max_upload=max_upload,
        )
    return chats


class Left(Exception):
    """It was told to stop before it had started."""


class App:
    """The whole bot in one process."""

    def __init__(self, settings: Settings, *, engine: Engine | None = None, adapters: Mapping[str, ChatAdapter] | None = None) -> None:
        self._clock: Callable[[], datetime] = lambda: datetime.now(UTC)
        clock = self._clock
        worker = f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(3)}"
        self.settings = settings
        self.catalogues = Catalogues.load()
        self.store = SqlStore(settings.url, data_dir=settings.data_dir, secret=load_secret(settings.data_dir))
        self.blobs = DiskBlobs(settings.data_dir / "blobs")
        self.exports = Exports(settings.data_dir / "exports")
        self.lost = asyncio.Event()  # set when this process cannot draw any more: `run` ends, and whoever called it begins a new one
        self.engine = engine or make_engine(settings, lambda reason: self.lost.set())
        self.board, self.pausing = Board(), Pausing(self.store)
        self.provenance = make_provenance(settings, clock)
        self.monitor = Monitor(self.store, self.engine, host=settings.metrics_host, port=settings.metrics_port, clock=clock)
        gate = Gate.load(artists=settings.gate_artists_file, people=settings.gate_people_file)
        bounds = Bounds(doubtful=settings.output_doubtful, sexual=settings.output_sexual)
        self.output = OutputGate(gate, bounds) if settings.output_gate else None
        workshop = self.workshop = Workshop(
            self.store, self.blobs, self.engine, self.board, worker=worker, provenance=self.provenance, output=self.output, policy=self._policy
        )
        self.queue = Queue(
            self.store,
            self.engine,
            self.monitor.measured(workshop.draw),
            worker=worker,
            lease=LEASE,
            poll=POLL,
            changed=lambda job: self.board.changed(job.id, job.actor.key),
            held=self.pausing.is_held,
        )
        self.moderation = Moderation(
            SqlCaseBook(self.store, load_secret(settings.data_dir)),
            self.store,
            self.blobs,
            self.catalogues,
            clock=clock,
            new_id=new_id,
            seen=self.monitor.moderated,
            most=Most(reports=settings.open_reports, contests=settings.open_contests),
        )
        self.studio = WordUpStudio(
            self.store,
            self.blobs,
            self.engine,
            self.queue,
            self.board,
            self.catalogues,
            Limits(
                cap=settings.credits_cap,
                per_hour=settings.credits_per_hour,
                queued_per_actor=settings.queued_per_member,
                queued_total=settings.queued_total,
                queued_per_server=settings.queued_per_server,
                server_per_hour=settings.server_credits_per_hour,
                total_per_hour=settings.total_credits_per_hour,
                account_days=settings.discord_account_days,
                looks_per_minute=settings.looks_per_minute,
                most_given=settings.limit_factor_max,
            ),
            clock=clock,
            new_id=new_id,
            new_seed=lambda: secrets.randbits(32),
            model=settings.model or self.engine.models()[0].model,
            lists={**lists.of_model(self.engine.models()[0]), **lists.of_folder(settings.data_dir / "wildcards")},
            retention=settings.retention_days,
            moderation=self.moderation,
            pausing=self.pausing,
            told=self.monitor.refused,
            forbidden=commercial.left_out(settings),
            public_url=settings.public_url or None,
            watts=settings.watts,
            link=self._way_in if settings.web and settings.public_url else None,
            painter=self._way_to_paint if settings.web and settings.public_url else None,
            provenance=self.provenance,
            exports=self.exports,
            gate=gate,
            output=self.output,
            policy=Policy(
                sexual=Sexual(settings.gate_sexual),
                people=People(settings.gate_people),
                edits=settings.gate_edits,
                artists=settings.gate_artists,
                servers=settings.servers_may_loosen,
            ),
        )
        self.adapters: dict[str, ChatAdapter] = {
            **make_chats(settings, self.catalogues, self.store, SqlVault(self.store, load_secret(settings.data_dir)), clock),
            **(adapters or {}),
        }
        self.web: WebAdapter | None = None
        if settings.web:
            self.web = WebAdapter(
                host=settings.web_host,
                port=settings.web_port,
                public_url=settings.public_url or None,
                secret=load_secret(settings.data_dir),
                catalogues=self.catalogues,
                clock=clock,
                spend=self._spend,
                max_upload=settings.max_upload_mb * 2**20,
                read_manifest=self.provenance.read_own,
            )
            self.adapters[self.web.platform] = self.web
        self.mail = Mail(self.moderation.book, self.adapters, self.catalogues, self.moderation.card, lost=self.monitor.undelivered)
        self.moderation.wake = self.mail.wake
        self.outbox = Outbox(
            self.store,
            self.adapters,
            self.render,
            self.board,
            intervals=PROGRESS_EVERY,
            wants_copy=self.studio.likes_copy,
            plain=plain_cards(self.store, self.catalogues),
        )

    def _way_in(self, actor: Actor) -> str:
        """A link that signs this member in to the studio page, as who they are in their chat."""
        token = signin.mint(load_secret(self.settings.data_dir), actor.key, actor.name or actor.id, self._clock())
        return f"{self.settings.public_url}/sign-in?token={token}"

    def _way_to_paint(self, actor: Actor, job_id: str, index: int) -> str:
        """A link that opens one picture in the mask painter, for this member alone."""
        token = links.region_link(load_secret(self.settings.data_dir), actor, job_id, index, self._clock())
        return f"{self.settings.public_url}/region/{job_id}/{index}?token={token}"

    async def _spend(self, link: str) -> bool:
        """True the first time a one-time link is used."""
        return not await self.store.seen("sign-in", link)

    async def _policy(self, job: Job) -> Policy:
        """What holds where it was asked for, now."""
        return policy_of((await self.studio.wishes.of(job.actor, job.place)).server, job.place, self.studio.policy)

    async def render(self, job_id: str) -> Card:
        """A job's card as its owner sees it now."""
        shown = await self.store.shown(job_id)
        return self.studio.card_of(await self.studio.live(shown), reader=shown.job.actor)

    @asynccontextmanager
    async def running(self, stop: asyncio.Event | None = None) -> AsyncIterator[App]:
        """Everything started, in order; on the way out everything stopped, in the reverse order.

        A Postgres that is not there yet is waited for, until `stop` is set: then this raises Left.
        """
        async with AsyncExitStack() as stack:
            stack.callback(self.blobs.close)
            stack.callback(self.provenance.close)
            await self.monitor.start()  # first: its page says what is waited for
            stack.push_async_callback(self.monitor.aclose)
            await self._open_store(stop or asyncio.Event())
            stack.push_async_callback(self.store.aclose)
            await self.provenance.start()
            if self.output is not None:
                stack.callback(self.output.close)
                await self.output.start()
            await self.exports.sweep()  # what was left behind by a crash
            await self.studio.start()
            stack.push_async_callback(self.engine.aclose)
            stack.push_async_callback(self.studio.aclose)
            async with asyncio.TaskGroup() as group:
                group.create_task(self.queue.run(), name="queue")
                group.create_task(self.outbox.run(), name="outbox")
                tasks = [
                    group.create_task(self.monitor.run(), name="monitor"),
                    group.create_task(self.mail.run(), name="mail"),
                    group.create_task(self._keep_house(), name="housekeeping"),
                ]
                try:
                    for adapter in self.adapters.values():
                        await adapter.start(self.studio)
                    await self.engine.start()  # last: loading torch would slow down who is to listen first
                    tasks.append(group.create_task(self.workshop.warm(self.engine.models()[0].model), name="sight"))
                    self.monitor.ready()
                    yield self
                finally:
                    await self._leave()
                    for task in tasks:
                        task.cancel()

    async def _open_store(self, stop: asyncio.Event) -> None:
        """Raises Left, and Fault."""
        opening = asyncio.ensure_future(self.store.start(self.monitor.waits))
        told = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({opening, told}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            told.cancel()
            opening.cancel()  # changes nothing where it has ended
            await asyncio.wait({opening, told})
        if opening.cancelled():
            raise Left
        opening.result()

    async def _leave(self) -> None:
        """Take no more, end or give back what is drawn, tell what is owed."""
        log.info("stopping")
        for adapter in self.adapters.values():
            await adapter.pause()
        await self.queue.drain(DRAIN.total_seconds())
        await self.outbox.drain(FLUSH.total_seconds())
        for adapter in self.adapters.values():
            await adapter.aclose()

    async def run(self, stop: asyncio.Event, started: Callable[[App], None] = lambda app: None) -> None:
        """Run until `stop` is set, or until this process has lost its device: then `lost` is set."""
        try:
            async with self.running(stop):
                started(self)
                await first_of(stop, self.lost)
        except Left:
            log.info("stopping", during="start")

    async def _keep_house(self) -> None:
        """Retention and the collection of files no job needs."""
        while True:
            await asyncio.sleep(HOUSEKEEPING.total_seconds())
            try:
                retired = await self.store.retire(self.settings.retention, audit=self.settings.audit_retention)
                stored = await self.blobs.digests(BLOB_GRACE)
                orphans = stored - await self.store.referenced(stored)
                await self.blobs.delete(orphans)
                log.info("housekeeping", retired=retired, files_collected=len(orphans))
                await self.exports.sweep()
            except Exception:
                log.exception("housekeeping.failed")
