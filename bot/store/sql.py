"""`SqlStore`: the Store over SQLAlchemy Core, on SQLite or Postgres by URL. Made by `bot.app`; everything else sees `bot.ports.Store`.

Each verb is one transaction. The queries live beside this file, by subject; here is who opens and closes what.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bot.domain import Accepted, Artifact, Job, Load, Notice, Offer, Receipt, ReplyTo, Said, Shown, Style, Submission, Wallet
from bot.store import claims, dialect, forgotten, gallery, housekeeping, inbox, keeping, likeness, notices, privacy, waiting, wallet
from bot.store.lock import DirectoryLock
from bot.store.migrate import upgrade
from bot.store.tables import styles, word_lists
from bot.store.threads import Threads

P = ParamSpec("P")
T = TypeVar("T")

RETRIES = 5  #: transactions that met another one on Postgres


class SqlStore:
    """See `bot.ports.Store`. Raises Fault for an outage of the database, whatever the vendor calls it.

    `url`: ``sqlite:///path`` or ``postgresql://…``. `data_dir`: where the blobs are, locked together with the database's own directory on SQLite.
    `secret`: what pseudonyms of forgotten members are made with (`bot.app.load_secret`).
    `max_attempts`: how often a job may be claimed and not let go of properly before it is taken for the cause.
    A verb that is cancelled still ends its transaction, one way or the other, before the cancellation goes on.
    """

    def __init__(self, url: str, *, data_dir: Path | None = None, secret: bytes = b"", max_attempts: int = 3) -> None:
        self._url = dialect.parse_url(url)
        self._file = dialect.sqlite_file(self._url)
        folders = {folder.absolute() for folder in (self._file.parent, data_dir or self._file.parent)} if self._file else set()
        self._locks = [DirectoryLock(folder) for folder in sorted(folders)]
        self._beside = data_dir or (self._file.parent if self._file else None)  # where the list of who was forgotten is kept
        self._secret = secret
        self._max_attempts = max_attempts
        self._db: AsyncEngine | None = None  # Postgres
        self._threads: Threads | None = None  # SQLite

    async def start(self, waits: Callable[[bool], None] | None = None) -> None:
        """See `Store.start`. `waits`: hears whether a Postgres that is not there is being waited for; None: it is not waited for."""
        try:
            for lock in self._locks:
                lock.acquire()
            if waits is None or self._file is not None:
                await upgrade(self._url)
            else:
                await waiting.opened(self._url, lambda: upgrade(self._url), waits)
            if self._file is None:
                self._db = dialect.connect(self._url)
            else:
                self._threads = Threads(self._url)
                await self.write(claims.expire)
        except OSError as error:  # the directory itself: no space, no permission
            await self.aclose()
            raise dialect.fault(error) from error
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Close every connection and let go of the directory. Idempotent."""
        if self._db is not None:
            await self._db.dispose()
            self._db = None
        threads, self._threads = self._threads, None
        if threads is not None:
            await threads.aclose()
        for lock in self._locks:
            lock.release()

    # -- the inbox
    async def submit(self, submission: Submission) -> Accepted:
        return await self.write(inbox.submit, submission, self._secret)

    async def seen(self, platform: str, delivery: str) -> bool:
        return not await self.write(inbox.record, platform, delivery, ())

    # -- the queue
    async def claim(self, worker: str, lease: timedelta) -> Job | None:
        return await self.write(claims.claim, worker, lease)

    async def heartbeat(self, worker: str, job_ids: Sequence[str], lease: timedelta) -> frozenset[str]:
        return await self.write(claims.heartbeat, worker, job_ids, lease)

    async def finish(self, worker: str, job_id: str, artifacts: Sequence[Artifact], device_seconds: float, *, hidden: bool = False) -> bool:
        return await self.write(claims.finish, worker, job_id, artifacts, device_seconds, hidden)

    async def fail(self, worker: str | None, job_id: str, error: Said) -> bool:
        return await self.write(claims.fail, worker, job_id, error)

    async def requeue(self, worker: str, job_ids: Sequence[str]) -> int:
        return await self.write(claims.requeue, worker, job_ids)

    async def requeue_expired(self) -> int:
        return await self.write(claims.requeue_expired, self._max_attempts)

    async def cancel(self, job_id: str) -> bool:
        return await self.write(claims.cancel, job_id)

    async def load(self) -> Load:
        return await self.read(claims.load)

    async def position(self, job_id: str) -> tuple[int, float] | None:
        return await self.read(claims.position, job_id)

    # -- what is owed to members
    async def placed(self, job_id: str, receipt: Receipt) -> None:
        await self.write(notices.placed, job_id, receipt)

    async def moved(self, job_id: str, actor_key: str, receipt: Receipt, reply_to: ReplyTo) -> None:
        await self.write(notices.moved, job_id, actor_key, receipt, reply_to)

    async def job_at(self, platform: str, channel: str, handle: str) -> str | None:
        return await self.read(notices.job_at, platform, channel, handle)

    async def recall(self, key: str) -> str | None:
        return await self.read(notices.recall, key)

    async def remember(self, key: str, value: str) -> None:
        await self.write(notices.remember, key, value)

    async def notices(self, platforms: Sequence[str], limit: int = 50) -> tuple[Notice, ...]:
        return await self.read(notices.owed, platforms, limit)

    async def told(self, notice_id: str) -> None:
        await self.write(notices.told, notice_id)

    @property
    def alone(self) -> bool:
        return self._file is not None

    async def hold(self, notice_id: str, lease: timedelta, held: datetime | None = None) -> datetime | None:
        return await self.write(notices.hold, notice_id, lease, held)

    async def put_off(self, notice_id: str, delay: timedelta, held: datetime | None = None) -> None:
        await self.write(notices.put_off, notice_id, delay, held)

    # -- queries
    async def shown(self, job_id: str) -> Shown:
        return await self.read(gallery.shown, job_id)

    async def reply_to(self, job_id: str) -> tuple[ReplyTo, Receipt | None]:
        return await self.read(notices.reply_to, job_id)

    async def history(self, actor_key: str, *, search: str = "", favourites: bool = False, before: str | None = None, limit: int = 24) -> tuple[Shown, ...]:
        return await self.read(gallery.history, actor_key, search=search, favourites=favourites, before=before, limit=limit)

    async def active(self, actor_key: str) -> tuple[Job, ...]:
        return await self.read(gallery.active, actor_key)

    async def find_picture(self, digest: str, actor_key: str) -> tuple[Job, Artifact] | None:
        return await self.read(gallery.find_picture, digest, actor_key)

    async def look_alikes(self, fingerprint: str, actor_key: str, *, within: int) -> tuple[Job, Artifact] | None:
        """See `Store.look_alikes`. In portions, each a transaction of its own, so that nobody waits for it."""

        async def portion(after: tuple[str, int] | None) -> Sequence[likeness.Print]:
            return await self.read(gallery.fingerprints, actor_key, after=after, limit=likeness.PORTION)

        found = await likeness.nearest(portion, fingerprint, within)
        return await self.read(gallery.picture_of, *found, actor_key) if found else None

    async def wallet(self, actor_key: str, *, cap: float, per_hour: float) -> Wallet:
        return await self.read(wallet.read, actor_key, privacy.pseudonym(actor_key, self._secret), cap=cap, per_hour=per_hour)

    async def favourite(self, job_id: str, index: int, on: bool) -> None:
        await self.write(gallery.favourite, job_id, index, on)

    async def delete(self, job_id: str) -> None:
        await self.write(gallery.delete, (job_id,))

    async def batch(self, offer_id: str) -> tuple[Shown, ...]:
        return await self.read(gallery.batch, offer_id)

    async def everything(self, actor_key: str) -> tuple[Shown, ...]:
        return await self.read(gallery.everything, actor_key)

    # -- what members keep
    async def preferences(self, owner: str) -> Mapping[str, Any]:
        return await self.read(keeping.chosen, owner)

    async def all_preferences(self) -> Mapping[str, Mapping[str, Any]]:
        return await self.read(keeping.all_chosen)

    async def prefer(self, owner: str, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        return await self.write(keeping.prefer, owner, changes)

    async def styles(self, owners: Sequence[str]) -> tuple[Style, ...]:
        return await self.read(keeping.kept_styles, owners)

    async def save_style(self, style: Style) -> None:
        await self.write(keeping.save_style, style)

    async def drop_style(self, owner: str, name: str) -> bool:
        return await self.write(keeping.drop, styles, owner, name)

    async def word_lists(self, owners: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        return await self.read(keeping.kept_lists, owners)

    async def save_word_list(self, owner: str, name: str, entries: Sequence[str]) -> None:
        await self.write(keeping.save_list, owner, name, entries)

    async def drop_word_list(self, owner: str, name: str) -> bool:
        return await self.write(keeping.drop, word_lists, owner, name)

    async def offer(self, offer: Offer) -> None:
        await self.write(keeping.offer, offer)

    async def offered(self, offer_id: str) -> Offer:
        return await self.read(keeping.offered, offer_id)

    async def offers(self, actor_key: str) -> tuple[Offer, ...]:
        return await self.read(keeping.offers_to, actor_key)

    async def forget(self, actor_key: str) -> int:
        """See `Store.forget`. Noted before, lest a crash forgets that, and after: a backup made meanwhile has them still."""
        await self._note(actor_key)
        count = await self.write(privacy.forget, actor_key, self._secret)
        await self._note(actor_key)
        return count

    async def _note(self, actor_key: str) -> None:
        if self._beside is not None:
            try:
                await asyncio.to_thread(forgotten.note, self._beside, privacy.pseudonym(actor_key, self._secret), datetime.now(UTC))
            except OSError as error:
                raise dialect.fault(error) from error

    # -- housekeeping
    async def retire(self, older_than: timedelta | None, *, audit: timedelta | None = None) -> int:
        """See `Store.retire`. Forgets old deliveries, told notices, offers and memos on the way."""
        total = 0
        while older_than is not None and (hidden := await self.write(housekeeping.retire, older_than)):
            total += hidden
        await self.write(housekeeping.forget, older_than)
        if audit is not None:
            await self.write(housekeeping.trim, audit)
        return total

    async def referenced(self, digests: Iterable[str]) -> frozenset[str]:
        return await self.read(housekeeping.referenced, tuple(digests))

    async def now(self) -> datetime:
        return await self.read(dialect.now)

    async def discrepancies(self) -> tuple[str, ...]:
        """Ids of jobs whose ledger is not exact (for tests and `wordup doctor`)."""
        return await self.read(wallet.discrepancies)

    # -- transactions
    @property
    def engine(self) -> Engine:
        """SQLAlchemy's, whose connections the verbs use (for tests). Raises RuntimeError before `start` and after `aclose`."""
        if self._threads is not None:
            return self._threads.engine
        if self._db is not None:
            return self._db.sync_engine
        raise RuntimeError("the store is not open")

    # For this class and `bot.store.vault`: `verb` gets a connection and may wait for nothing else.
    async def read(self, verb: Callable[Concatenate[AsyncConnection, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        async def transaction() -> T:
            try:
                if self._threads is not None:
                    return await self._threads.read(lambda db: verb(db, *args, **kwargs))
                async with self._postgres.connect() as db:
                    return await verb(db, *args, **kwargs)
            except dialect.OUTAGES as error:
                raise dialect.fault(error) from error

        return await _unbroken(transaction())

    async def write(self, verb: Callable[Concatenate[AsyncConnection, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        async def transaction() -> T:
            for attempt in range(RETRIES):
                try:
                    if self._threads is not None:
                        return await self._threads.write(lambda db: verb(db, *args, **kwargs))
                    async with self._postgres.begin() as db:
                        return await verb(db, *args, **kwargs)
                except dialect.OUTAGES as error:
                    if attempt + 1 == RETRIES or not dialect.worth_retrying(error):
                        raise dialect.fault(error) from error
                await asyncio.sleep(dialect.pause_before_retry(attempt))
            raise AssertionError("unreachable")

        return await _unbroken(transaction())

    @property
    def _postgres(self) -> AsyncEngine:
        if self._db is None:
            raise RuntimeError("the store is not open")
        return self._db


async def _unbroken(transaction: Coroutine[Any, Any, T]) -> T:
    """Await it to its end even when the caller is cancelled meanwhile (the cancellation then goes on): no connection is left in the middle."""
    task = asyncio.ensure_future(transaction)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # seen; the cancellation says more
        raise
