"""Tells moderators and members what they are owed, until a chat has taken it. Made and run by `bot.app`; letters are written by `bot.moderation.doing`.

Told once: a letter is claimed in the store before it is sent, so that of two processes one sends it; and its card carries what a chat knows it again by
(`Card.once`), so that one whose sender died before it could write that down is not posted a second time. Each platform has a sender of its own, and only
those that this process serves: other letters wait for the process that serves them.

A letter that cannot be told now is tried again, later and later, for about a day. One whose channel is closed to the bot is so, too: somebody may open it
again. What nobody takes in the end, and what a member's closed letter box refuses, is written down as undelivered: in the log, in the metrics, and in the
numbers of its server. A case's card is rendered when it is sent, so that it shows what holds then, and the message it stands in is remembered: the next one
changes it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import structlog

from bot.cards import PRIVATE
from bot.domain import Action, Button, Card, Receipt, Said, Verb, Visibility
from bot.domain.moderation import Letter, Lost
from bot.errors import Fault, NotFound
from bot.messages import Catalogue, Catalogues
from bot.ports import CaseBook, ChatAdapter

log = structlog.get_logger(__name__)

POLL = 5.0  #: seconds between looks for what nobody woke it for: another process's, or what was put off
TIDY = 24 * 3600.0  #: seconds between tidyings
PATIENCE = 60.0  #: seconds one letter may take
LEASE = timedelta(seconds=90)  #: longer than one letter takes; what a killed process held is owed again while Discord still knows its nonce
FIRST_DELAY, LONGEST_DELAY = 5.0, 3600.0  #: seconds between tries: doubling from the one to the other
MOST_TRIES = 32  #: about a day

CaseCard = Callable[[str], Awaitable[tuple[Card, Receipt | None]]]
"""A case's card as it is now, by its id, and where it stands. Raises NotFound, Fault."""


class Mail:
    """`lost`: called for each letter that nobody took, once, to be counted."""

    def __init__(
        self,
        book: CaseBook,
        adapters: Mapping[str, ChatAdapter],
        catalogues: Catalogues,
        case_card: CaseCard,
        *,
        poll: float = POLL,
        lost: Callable[[Lost], None] = lambda whom: None,
    ) -> None:
        self._book, self._adapters, self._catalogues, self._case_card, self._poll, self._lost = book, adapters, catalogues, case_card, poll, lost
        self._bells = {platform: asyncio.Event() for platform in adapters}
        self._unwritten: dict[str, _Told] = {}  #: told while the store was away: only to be written down

    def wake(self) -> None:
        """Something is owed: look now."""
        for bell in self._bells.values():
            bell.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for platform, bell in self._bells.items():
                group.create_task(self._sending(platform, bell), name=f"letters on {platform}")
            group.create_task(self._tidying(), name="old letters")

    async def _sending(self, platform: str, bell: asyncio.Event) -> None:
        while True:
            bell.clear()
            try:
                while await self.deliver([platform]):
                    continue
            except Fault as fault:
                log.warning("mail.outage", platform=platform, error=str(fault))
            except Exception:  # of whatever kind: without this loop nobody would be told anything again
                log.exception("mail.broken", platform=platform)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll):
                    await bell.wait()

    async def _tidying(self) -> None:
        """At the start, too: a bot that is started anew every day would never come to it."""
        while True:
            try:
                await self._book.tidy()
            except Fault as fault:
                log.warning("mail.outage", error=str(fault))
                await asyncio.sleep(self._poll)
                continue
            except Exception:  # tomorrow it may be better
                log.exception("mail.broken")
            await asyncio.sleep(TIDY)

    async def deliver(self, platforms: Sequence[str] | None = None) -> int:
        """What is owed now on these platforms (None: all that are served here), the oldest first; how many were told. Raises Fault."""
        served = [each for each in self._adapters if platforms is None or each in platforms]
        await self._write_down(served)
        count = 0
        for owed in await self._book.due(platforms=served):
            letter = await self._book.claim(owed.id, LEASE)
            if letter is not None:
                count += await self._told(letter)
        return count

    async def _told(self, letter: Letter) -> bool:
        """Send it and write that down; whether somebody was told. Raises Fault."""
        try:
            async with asyncio.timeout(PATIENCE):
                card, receipt = await self._card(letter)
                placed = await self._adapters[letter.reply_to.platform].show(letter.reply_to, card, receipt)
        except NotFound:  # the case is there no more
            await self._book.told(letter, None)
            return True
        except Fault:
            with contextlib.suppress(Fault):  # else its lease has to run out
                await self._put_off(letter)
            raise
        except Exception as error:  # of whatever kind a platform's library raises
            log.info("mail.not_told", letter=letter.id, attempt=letter.attempts, error=type(error).__name__)
            await self._put_off(letter)
            return False
        lost = placed is None and letter.receipt is None  # a message that was to be changed, and is gone, needs no change
        if lost and whom(letter) is not Lost.MEMBER:
            log.warning("mail.closed", letter=letter.id, case=letter.case_id, platform=letter.reply_to.platform, channel=letter.reply_to.channel)
            await self._put_off(letter, closed=True)
            return False
        self._unwritten[letter.id] = _Told(letter, placed, lost)
        await self._write_down([letter.reply_to.platform])
        return not lost

    async def _write_down(self, platforms: Sequence[str]) -> None:
        """What was told and is not written down yet. Raises Fault."""
        for told in [each for each in self._unwritten.values() if each.letter.reply_to.platform in platforms]:
            await self._book.told(told.letter, told.placed, undelivered=told.lost)
            self._unwritten.pop(told.letter.id, None)
            if told.lost:
                self._given_up(told.letter)

    async def _put_off(self, letter: Letter, *, closed: bool = False) -> None:
        if letter.attempts >= MOST_TRIES:
            await self._book.told(letter, None, undelivered=True)
            self._given_up(letter)
            return
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(letter.attempts - 1, 12))
        await self._book.put_off(letter, timedelta(seconds=delay), undelivered=closed)

    def _given_up(self, letter: Letter) -> None:
        log.warning("mail.undelivered", letter=letter.id, case=letter.case_id, platform=letter.reply_to.platform, to=whom(letter).value)
        self._lost(whom(letter))

    async def _card(self, letter: Letter) -> tuple[Card, Receipt | None]:
        """With what it is known by where it may have been posted before. Raises NotFound for a case that is there no more."""
        if letter.case_id:  # another letter about it may have been the first
            card, receipt = await self._case_card(letter.case_id)
            return replace(card, once=letter.case_id, again=True), receipt
        card = letter_card(letter, self._catalogues.of(letter.locale))
        return replace(card, once=letter.id, again=letter.attempts > 1), letter.receipt


class _Told:
    """A letter that was sent, or that nobody takes."""

    def __init__(self, letter: Letter, placed: Receipt | None, lost: bool) -> None:
        self.letter, self.placed, self.lost = letter, placed, lost


def whom(letter: Letter) -> Lost:
    """Who does not learn of it, where nobody takes it. Pure."""
    if letter.case_id:
        return Lost.MODERATORS
    return Lost.MEMBER if letter.member else Lost.CHANNEL


def letter_card(letter: Letter, catalogue: Catalogue) -> Card:
    """Directly to one member, or for all to see. Pure."""
    title, text = (catalogue.tell(Said(message=each, parameters=letter.parameters)) if each else "" for each in (letter.title, letter.text))
    rows: tuple[tuple[Button, ...], ...] = ()
    words = ""
    if offer_id := str(letter.parameters.get("offer", "")):  # what was allowed is drawn by one press
        action = Action(verb=Verb.RUN, job_id=offer_id, argument=PRIVATE)
        rows, words = ((Button(label=catalogue.say("letter.draw"), hint=catalogue.say("letter.draw_hint"), action=action),),), str(letter.parameters["words"])
    return Card(title=title, text=text, code=words, rows=rows, visibility=Visibility.DIRECT if letter.member else Visibility.PUBLIC)
