"""Tells members what became of their jobs, whatever happened in between. Made and run by `bot.app`.

Ends: what `Store.notices` says is owed is shown until showing works. One sender a platform begins them, oldest first and `CARDS` at a time, each in a
task of its own, so that a card which has to wait holds up nobody else's. What cannot be shown as it is (it does not render, the platform refuses it) is
shown plainly in the end, and a refusal that nobody knows is not asked for ever: then the picture waits for ``/show``. Where several processes may share
the database, one of them holds an end while it tells it (`Store.hold`); what a killed one held is told when its lease has run out. Progress: what the
board says of running jobs, at most one message in flight a job, not more often than the platform likes; it may be lost, and never comes after the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import structlog

from bot.board import Board
from bot.domain import Card, Notice, Receipt, Status, Visibility
from bot.errors import Fault, NotFound
from bot.ports import ChatAdapter, Store

log = structlog.get_logger(__name__)

Render = Callable[[str], Awaitable[Card]]
"""The card of a job as it is now. Raises NotFound when there is nothing to show (any more)."""

SHOW_TIMEOUT = 60.0  #: seconds the card of an end may take
PROGRESS_TIMEOUT = 15.0  #: seconds one of progress may take: an end waits for it
LEASE = timedelta(seconds=90)  #: one process holds an end so long: longer than its last progress and its card may take, and a copy begins another
FIRST_DELAY, LONGEST_DELAY = 2.0, 900.0  #: seconds between attempts at one card: doubling from the one to the other
LONGEST_REST = 60.0  #: seconds the same after which an end is tried that only the database kept from being told
GLANCE = 0.1  #: seconds between two looks at what is owed on one platform: the first is at once, however many more are asked for
CARDS = 16  #: ends being shown at once on one platform: a few that wait for a long limit leave the others their way
PLAIN_AFTER = 3  #: refusals after which a card that is refused again comes without what may be the reason
GIVE_UP_AFTER = 104  #: refusals after which it waits for ``/show``: about a day
#: What our own mistakes raise: no waiting mends them.
_MISTAKES = (ArithmeticError, AssertionError, AttributeError, LookupError, NameError, TypeError, ValueError)


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
        plain: Render | None = None,
    ) -> None:
        """`wants_copy`: whether the owner of a job likes its pictures by direct message, too. `plain`: the simplest card that says how a job ended."""
        self._store, self._adapters, self._render, self._board = store, dict(adapters), render, board
        self._wants_copy, self._plain = wants_copy, plain
        self._interval, self._intervals, self._poll, self._jitter = interval, dict(intervals or {}), poll, jitter
        self._bells = {platform: asyncio.Event() for platform in self._adapters}
        self._leaving = asyncio.Event()
        self._left = asyncio.Event()
        self._senders: set[asyncio.Task[None]] = set()
        self._cards: dict[str, dict[str, asyncio.Task[None]]] = {platform: {} for platform in self._adapters}  # by notice: being shown now
        self._known: dict[str, _Known] = {}
        self._pumps: dict[str, _Pump] = {}

    def wake(self) -> None:
        """Something may be owed: look now."""
        for bell in self._bells.values():
            bell.set()

    async def run(self) -> None:
        """Until `drain`, or until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                listener = group.create_task(self._listening(group), name="outbox listens")
                self._senders = {group.create_task(self._sending(platform, group), name=f"outbox {platform}") for platform in self._adapters}
                await self._left.wait()
                cards = (task for shown in self._cards.values() for task in shown.values())
                for task in (listener, *self._senders, *cards, *(pump.task for pump in self._pumps.values() if pump.task)):
                    task.cancel()
        finally:
            await self._give_back(self._known.values())

    async def drain(self, timeout: float) -> None:
        """Show what is owed and due, for `timeout` seconds at most, and let `run` end. What does not work now is owed at the next start."""
        self._leaving.set()
        self.wake()
        if self._senders:
            await asyncio.wait(self._senders, timeout=timeout)
        self._left.set()

    # ------------------------------------------------------------------------------------------------ ends

    async def _sending(self, platform: str, group: asyncio.TaskGroup) -> None:
        bell, outages, loop = self._bells[platform], 0, asyncio.get_running_loop()
        while True:
            last, looked = self._leaving.is_set(), loop.time()
            bell.clear()
            try:
                while await self._begin(platform, group) or (last and await self._ended(platform)):
                    continue
                outages = 0
            except Fault as fault:
                outages += 1
                log.warning("outbox.outage", platform=platform, attempt=outages, error=str(fault))
            except Exception:  # of whatever kind: without its sender a platform would never be told anything again
                outages += 1
                log.exception("outbox.broken", platform=platform, attempt=outages)
            if last:
                return
            await _rings(bell, self._poll if not outages else self.delay(outages))
            await _rings(self._leaving, looked + GLANCE - loop.time())

    async def _begin(self, platform: str, group: asyncio.TaskGroup) -> int:
        """Begin to show what is owed and due, as slots come free and in the order in which it ended; how many. Raises Fault."""
        cards, now = self._cards[platform], asyncio.get_running_loop().time()
        before = set(cards)  # what ends while the store is asked was owed still when it answered, and is told by now
        await self._give_back(known for known in self._rested(platform, now) if not known.shown)
        owed = {each.id: each for each in await self._store.notices([platform])}
        shown = {known.notice.id: known.notice for known in self._rested(platform, now) if known.shown}  # only to be written down, while it is held here
        resting = {known.notice.id for known in self._known.values() if known.until > now}
        due = [each for each in (shown | owed).values() if each.id not in before | resting]
        for notice in due:
            while len(cards) >= CARDS:
                await asyncio.wait(set(cards.values()), return_when=asyncio.FIRST_COMPLETED)
            known = self._known.setdefault(notice.id, _Known(notice, platform))
            known.notice = notice
            task = cards[notice.id] = group.create_task(self._tell(platform, notice, known), name=f"end of {notice.job_id}")
            task.add_done_callback(partial(_gone, cards, notice.id))
            await known.begun.wait()
        return len(due)

    def _rested(self, platform: str, now: float) -> list[_Known]:
        """What is on its way no more, was not told, and may be tried again."""
        return [each for each in self._known.values() if each.platform == platform and each.until <= now and each.notice.id not in self._cards[platform]]

    async def _mine(self, notice: Notice, known: _Known) -> bool:
        """Whether no other process tells it while the lease holds. Raises Fault."""
        if self._store.alone:
            return True
        known.held = await self._store.hold(notice.id, LEASE, known.held)
        return known.held is not None

    async def _give_back(self, all_known: Iterable[_Known]) -> None:
        """What is held here is owed at once, to whoever tells it. Where the store is away it is, when the lease has run out."""
        with contextlib.suppress(Fault):
            for known in [each for each in all_known if each.held is not None]:
                await self._store.put_off(known.notice.id, timedelta(0), known.held)
                known.held = None

    async def _ended(self, platform: str) -> bool:
        """Wait for the cards on their way; whether there were any."""
        cards = set(self._cards[platform].values())
        if cards:
            await asyncio.wait(cards)
        return bool(cards)

    async def _tell(self, platform: str, notice: Notice, known: _Known) -> None:
        """Show the end of a job and write down that it was told, or put it off. While the store is away it is owed still, but not shown again."""
        try:
            if not known.shown and not await self._shown(platform, notice, known):
                return
            if known.receipt is not None and known.receipt != notice.receipt:
                await self._store.placed(notice.job_id, known.receipt)
            if known.card is not None:
                card, known.card = known.card, None
                await self._copy(platform, notice, card, known)
            await self._store.told(notice.id)
        except Exception as error:
            known.outages += 1
            rest = min(LONGEST_REST, self.delay(known.outages))
            known.until = asyncio.get_running_loop().time() + rest
            log.warning("outbox.outage", job=notice.job_id, platform=platform, seconds=round(rest, 1), error=repr(error), exc_info=not isinstance(error, Fault))
        else:
            del self._known[notice.id]
        finally:
            known.begun.set()

    async def _shown(self, platform: str, notice: Notice, known: _Known) -> bool:
        """Whether the member sees it now, or never will; else it was put off, or is another process's. Raises Fault when the store is away."""
        ran = notice.job_id in self._pumps  # what was said last may be on its way still
        mine = await self._mine(notice, known)
        if ran:  # the next need not wait for that
            known.begun.set()
            await self._hush(notice.job_id)
        if not mine:
            if not known.refusals:  # else they are counted on, should it come back
                del self._known[notice.id]
            if ran:
                await self._mend(platform, notice)
            return False
        try:
            async with asyncio.timeout(SHOW_TIMEOUT):
                known.card = await self._put(platform, notice, known)
        except NotFound:
            log.info("outbox.nothing_to_show", job=notice.job_id, platform=platform)  # deleted meanwhile
        except Exception as error:  # of whatever kind a platform's library raises: an end is not dropped for a bad day
            known.refusals += refused(error)
            if known.refusals >= GIVE_UP_AFTER:
                log.error("outbox.given_up", job=notice.job_id, platform=platform, refusals=known.refusals, error=repr(error))
                known.shown = True
                return True
            attempt = notice.attempts + 1
            delay = self.delay(attempt)
            log.warning("outbox.put_off", job=notice.job_id, platform=platform, attempt=attempt, seconds=round(delay, 1), error=repr(error))
            await self._store.put_off(notice.id, timedelta(seconds=delay), known.held)
            known.held = None
            return False
        known.shown = True
        return True

    async def _put(self, platform: str, notice: Notice, known: _Known) -> Card:
        """The card, at its place; the plain one where that was refused too often. Raises whatever rendering and showing raise."""
        show = self._adapters[platform].show
        try:
            card = await self._render(notice.job_id)
            known.begun.set()
            known.receipt = await show(notice.reply_to, card, notice.receipt)
        except Exception as error:
            if self._plain is None or known.refusals < PLAIN_AFTER or not refused(error):
                raise
            log.error("outbox.shown_plainly", job=notice.job_id, platform=platform, error=repr(error))
            card = await self._plain(notice.job_id)
            known.receipt = await show(notice.reply_to, card, notice.receipt)
        return card

    async def _mend(self, platform: str, notice: Notice) -> None:
        """Another process shows the end, and our last word of progress may have come after it: change that message once more."""
        if notice.receipt is None:
            return
        try:
            async with asyncio.timeout(SHOW_TIMEOUT):
                await self._adapters[platform].show(notice.reply_to, await self._render(notice.job_id), notice.receipt)
        except Exception as error:  # of whatever kind a platform's library raises: the end itself is owed by the other
            log.info("outbox.not_mended", job=notice.job_id, platform=platform, error=repr(error))

    async def _copy(self, platform: str, notice: Notice, card: Card, known: _Known) -> None:
        """The pictures once more as a letter to their owner, where they like that. A courtesy: what does not work is not tried again."""
        if self._wants_copy is None or card.status is not Status.DONE or card.visibility is not Visibility.PUBLIC or not notice.reply_to.user:
            return
        if not notice.reply_to.can_post:
            return
        try:
            if not await self._wants_copy(notice.job_id) or not await self._mine(notice, known):
                return
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
        """Raises NotFound, and Fault when the store is away."""
        reply_to, receipt = await self._store.reply_to(job_id)
        try:
            card = await self._render(job_id)
        except (NotFound, Fault):
            raise
        except Exception as error:  # of whatever kind: what cannot be rendered now may end all the same
            log.warning("outbox.progress_not_rendered", job=job_id, error=repr(error))
            return
        if card.status is not Status.RUNNING:
            return
        try:
            async with asyncio.timeout(PROGRESS_TIMEOUT):
                await adapter.progress(reply_to, card, receipt)
        except Exception as error:  # of whatever kind: a newer one follows
            log.info("outbox.progress_lost", job=job_id, platform=adapter.platform, error=repr(error))


def refused(error: Exception) -> bool:
    """Whether waiting is no remedy: a mistake of ours, or an answer of the platform that speaks neither of a limit nor of its own trouble. Pure.

    The libraries of the platforms have the HTTP status at the error itself, or at the response it carries.
    """
    response = getattr(error, "response", None)
    found = (getattr(error, "status", None), getattr(response, "status_code", None), getattr(response, "status", None))
    status = next((each for each in found if isinstance(each, int)), None)
    if status is None:
        return isinstance(error, _MISTAKES)
    return status < 500 and status != 429


def _gone(cards: dict[str, asyncio.Task[None]], notice_id: str, _: asyncio.Task[None]) -> None:
    cards.pop(notice_id, None)


class _Known:
    """What this process knows of an end that it has not told yet."""

    def __init__(self, notice: Notice, platform: str) -> None:
        self.notice, self.platform = notice, platform
        self.held: datetime | None = None  # until when no other process tells it
        self.begun = asyncio.Event()  # the next card may be begun
        self.refusals = 0
        self.outages = 0  # of the database, after it was shown or instead
        self.until = 0.0  # the loop's time before which it is left alone
        self.shown = False  # or given up: only to be written down
        self.receipt: Receipt | None = None
        self.card: Card | None = None  # of which a copy may be liked


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
