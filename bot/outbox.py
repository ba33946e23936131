"""Tells members what became of their jobs, whatever happened in between. Made and run by `bot.app`.

Ends: what `Store.notices` says is owed is shown until showing works, one sender a platform. Progress: what the board says of running jobs, at
most one message in flight a job, not more often than the platform likes; it may be lost, and never comes after the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta

import structlog

from bot.board import Board
from bot.domain import Card, Notice, Status, Visibility
from bot.errors import Fault, NotFound
from bot.ports import ChatAdapter, Store

log = structlog.get_logger(__name__)

Render = Callable[[str], Awaitable[Card]]
"""The card of a job as it is now. Raises NotFound when there is nothing to show (any more)."""

SHOW_TIMEOUT = 60.0  #: seconds the card of an end may take
PROGRESS_TIMEOUT = 15.0  #: seconds one of progress may take: an end waits for it
FIRST_DELAY, LONGEST_DELAY = 2.0, 900.0  #: seconds between attempts at one card: doubling from the one to the other


class Outbox:
    """`intervals`: seconds between two progress messages of one job, by platform (else `interval`). `poll`: seconds between looks at the notices."""

    def __init__(
        self,
        store: Store,
        adapters: Mapping[str, ChatAdapter],
        render: Render,
        board: Board,
        *,
        interval: float = 1.5,
        intervals: Mapping[str, float] | None = None,
        poll: float = 5.0,
        jitter: Callable[[], float] = random.random,
        wants_copy: Callable[[str], Awaitable[bool]] | None = None,
    ) -> None:
        """`wants_copy`: whether the owner of a job likes its pictures by direct message, too."""
        self._store, self._adapters, self._render, self._board = store, dict(adapters), render, board
        self._wants_copy = wants_copy
        self._interval, self._intervals, self._poll, self._jitter = interval, dict(intervals or {}), poll, jitter
        self._bells = {platform: asyncio.Event() for platform in self._adapters}
        self._leaving = asyncio.Event()
        self._left = asyncio.Event()
        self._senders: set[asyncio.Task[None]] = set()
        self._pumps: dict[str, _Pump] = {}

    def wake(self) -> None:
        """Something may be owed: look now."""
        for bell in self._bells.values():
            bell.set()

    async def run(self) -> None:
        """Until `drain`, or until cancelled."""
        async with asyncio.TaskGroup() as group:
            listener = group.create_task(self._listening(group), name="outbox listens")
            self._senders = {group.create_task(self._sending(platform), name=f"outbox {platform}") for platform in self._adapters}
            await self._left.wait()
            for task in (listener, *self._senders, *(pump.task for pump in self._pumps.values() if pump.task)):
                task.cancel()

    async def drain(self, timeout: float) -> None:
        """Show what is owed and due, for `timeout` seconds at most, and let `run` end. What does not work now is owed at the next start."""
        self._leaving.set()
        self.wake()
        if self._senders:
            await asyncio.wait(self._senders, timeout=timeout)
        self._left.set()

    # ------------------------------------------------------------------------------------------------ ends

    async def _sending(self, platform: str) -> None:
        bell, outages = self._bells[platform], 0
        while True:
            last = self._leaving.is_set()
            bell.clear()
            try:
                while notices := await self._store.notices([platform]):
                    for notice in notices:
                        await self._tell(platform, notice)
                outages = 0
            except Fault as fault:
                outages += 1
                log.warning("outbox.outage", platform=platform, attempt=outages, error=str(fault))
            if last:
                return
            await _rings(bell, self._poll if not outages else self.delay(outages))

    async def _tell(self, platform: str, notice: Notice) -> None:
        """Show the end of a job, or put it off. Raises Fault when the store is away: then it is owed still."""
        await self._hush(notice.job_id)
        try:
            async with asyncio.timeout(SHOW_TIMEOUT):
                card = await self._render(notice.job_id)
                receipt = await self._adapters[platform].show(notice.reply_to, card, notice.receipt)
        except NotFound:
            log.info("outbox.nothing_to_show", job=notice.job_id, platform=platform)  # deleted meanwhile
        except Exception as error:  # of whatever kind a platform's library raises: an end is never dropped
            attempt = notice.attempts + 1
            delay = self.delay(attempt)
            log.warning("outbox.put_off", job=notice.job_id, platform=platform, attempt=attempt, seconds=round(delay, 1), error=repr(error))
            await self._store.put_off(notice.id, timedelta(seconds=delay))
            return
        else:
            if receipt is not None and receipt != notice.receipt:
                await self._store.placed(notice.job_id, receipt)
            await self._copy(platform, notice, card)
        await self._store.told(notice.id)

    async def _copy(self, platform: str, notice: Notice, card: Card) -> None:
        """The pictures once more as a letter to their owner, where they like that. A courtesy: what does not work is not tried again."""
        if self._wants_copy is None or card.status is not Status.DONE or card.visibility is not Visibility.PUBLIC or not notice.reply_to.user:
            return
        if not notice.reply_to.can_post or not await self._wants_copy(notice.job_id):
            return
        try:
            async with asyncio.timeout(SHOW_TIMEOUT):
                await self._adapters[platform].show(notice.reply_to, replace(card, visibility=Visibility.DIRECT), None)
        except Exception as error:  # of whatever kind a platform's library raises
            log.info("outbox.no_copy", job=notice.job_id, platform=platform, error=repr(error))

    async def _hush(self, job_id: str) -> None:
        """No progress of this job is on its way any more."""
        pump = self._pumps.get(job_id)
        if pump is not None and pump.task is not None:
            pump.hushed.set()
            pump.news.set()
            await asyncio.wait({pump.task})

    def delay(self, attempt: int) -> float:
        """Seconds before attempt number `attempt` is repeated, half to one and a half of the doubling delay."""
        return float(min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(attempt - 1, 20))) * (0.5 + self._jitter())

    # ------------------------------------------------------------------------------------------------ progress

    async def _listening(self, group: asyncio.TaskGroup) -> None:
        """The board → a pump for each running job, or a look at what is owed."""
        while True:
            async with contextlib.aclosing(self._board.subscribe(None)) as changes:
                async for job_id in changes:
                    pump = self._pumps.get(job_id)
                    if pump is not None:
                        pump.news.set()
                    if self._board.live(job_id) is None:
                        self.wake()
                    elif pump is None and not self._leaving.is_set():
                        pump = self._pumps[job_id] = _Pump()
                        pump.task = group.create_task(self._pumping(job_id, pump), name=f"progress {job_id}")
            self.wake()  # we were too slow for the board: what ended meanwhile is in the store
            await asyncio.sleep(1)

    async def _pumping(self, job_id: str, pump: _Pump) -> None:
        """Show a running job's newest card now and then, until it does not run any more or its end is about to be shown."""
        try:
            reply_to, _ = await self._store.reply_to(job_id)
            adapter = self._adapters.get(reply_to.platform)
            interval = self._intervals.get(reply_to.platform, self._interval)
            while adapter is not None and not pump.hushed.is_set() and self._board.live(job_id) is not None:
                pump.news.clear()
                await self._progress(adapter, job_id)
                if await _rings(pump.hushed, interval):
                    break
                await pump.news.wait()
        except (NotFound, Fault) as error:
            log.info("outbox.no_progress", job=job_id, error=str(error))
        finally:
            del self._pumps[job_id]

    async def _progress(self, adapter: ChatAdapter, job_id: str) -> None:
        reply_to, receipt = await self._store.reply_to(job_id)
        card = await self._render(job_id)
        if card.status is not Status.RUNNING:
            return
        try:
            async with asyncio.timeout(PROGRESS_TIMEOUT):
                await adapter.progress(reply_to, card, receipt)
        except Exception as error:  # of whatever kind: a newer one follows
            log.info("outbox.progress_lost", job=job_id, platform=adapter.platform, error=repr(error))


class _Pump:
    """One running job's progress."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.news = asyncio.Event()  # there is something newer than what was shown
        self.hushed = asyncio.Event()  # no more


async def _rings(bell: asyncio.Event, seconds: float) -> bool:
    """Wait for it, that long at most; whether it rang."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await bell.wait()
    return bell.is_set()
