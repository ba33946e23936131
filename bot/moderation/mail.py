"""Tells moderators and members what they are owed, until a chat has taken it. Made and run by `bot.app`; letters are written by `bot.moderation.doing`.

A letter that cannot be told now is tried again, later and later; one that no chat takes for a day is left. A case's card is rendered when it is sent, so
that it shows what holds then, and the message it stands in is remembered: the next one changes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

import structlog

from bot.domain import Card, Receipt, Said, Visibility
from bot.domain.moderation import Letter
from bot.errors import Fault, NotFound
from bot.messages import Catalogue, Catalogues
from bot.ports import CaseBook, ChatAdapter

log = structlog.get_logger(__name__)

POLL = 5.0  #: seconds between looks for what nobody woke it for: another process's, or what was put off
TIDY = 24 * 3600.0  #: seconds between tidyings
PATIENCE = 60.0  #: seconds one letter may take
FIRST_DELAY, LONGEST_DELAY = 5.0, 3600.0  #: seconds between tries: doubling from the one to the other
MOST_TRIES = 32  #: about a day

CaseCard = Callable[[str], Awaitable[tuple[Card, Receipt | None]]]
"""A case's card as it is now, by its id, and where it stands. Raises NotFound, Fault."""


class Mail:
    def __init__(self, book: CaseBook, adapters: Mapping[str, ChatAdapter], catalogues: Catalogues, case_card: CaseCard, *, poll: float = POLL) -> None:
        self._book, self._adapters, self._catalogues, self._case_card, self._poll = book, adapters, catalogues, case_card, poll
        self._bell = asyncio.Event()

    def wake(self) -> None:
        """Something is owed: look now."""
        self._bell.set()

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        tidied = -math.inf  # at the start, too: a bot that is started anew every day would never come to it
        while True:
            self._bell.clear()
            try:
                while await self.deliver():
                    continue
                if loop.time() - tidied > TIDY:
                    tidied = loop.time()
                    await self._book.tidy()
            except Fault as fault:
                log.warning("mail.outage", error=str(fault))
            except Exception:  # of whatever kind: without this loop nobody would be told anything again
                log.exception("mail.broken")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll):
                    await self._bell.wait()

    async def deliver(self) -> int:
        """What is owed now, the oldest first; how many were told. Raises Fault."""
        told = 0
        for letter in await self._book.due():
            told += await self._told(letter)
        return told

    async def _told(self, letter: Letter) -> bool:
        adapter = self._adapters.get(letter.reply_to.platform)
        if adapter is None:  # its chat is off now
            await self._put_off(letter)
            return False
        try:
            card, receipt = await self._card(letter)
            async with asyncio.timeout(PATIENCE):
                placed = await adapter.show(letter.reply_to, card, receipt)
        except NotFound:
            placed = None
        except Fault:
            raise
        except Exception as error:
            log.info("mail.not_told", letter=letter.id, attempt=letter.attempts, error=type(error).__name__)
            await self._put_off(letter)
            return False
        await self._book.told(letter, placed)
        return True

    async def _put_off(self, letter: Letter) -> None:
        if letter.attempts + 1 >= MOST_TRIES:
            log.warning("mail.given_up", letter=letter.id)
            await self._book.told(letter, None)
            return
        await self._book.put_off(letter.id, timedelta(seconds=min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(letter.attempts, 12))))

    async def _card(self, letter: Letter) -> tuple[Card, Receipt | None]:
        """Raises NotFound for a case that is there no more."""
        if letter.case_id:
            return await self._case_card(letter.case_id)
        return letter_card(letter, self._catalogues.of(letter.locale)), letter.receipt


def letter_card(letter: Letter, catalogue: Catalogue) -> Card:
    """Directly to one member, or for all to see. Pure."""
    title, text = (catalogue.tell(Said(message=each, parameters=letter.parameters)) if each else "" for each in (letter.title, letter.text))
    return Card(title=title, text=text, visibility=Visibility.DIRECT if letter.member else Visibility.PUBLIC)
