"""Cards on their way to open pages: what `WebAdapter.show` and `progress` feed and `GET /events` reads.

A page that reads slowly never makes us keep more than one card a job: progress is replaced by newer progress, never an end by progress. When even that is too
many jobs, the page is told to read everything again, so no end is lost and memory stays bounded. A member has so many pages open, and what one does with
theirs concerns no other: each has its own cards, and its own task that writes them.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

from bot.domain import Actor, Card

MOST_JOBS = 200  #: cards kept for one slow page
MOST_PAGES = 20  #: open pages of one member; the oldest is let go


class Subscription:
    """One open page: an asynchronous iterator of cards, the oldest job first. None says: read the state again. It ends after `close`,
    when everything that waited has been handed out.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, Card] = {}
        self._reread = False
        self._closed = False
        self._something = asyncio.Event()

    def put(self, card: Card) -> None:
        """Keep the card unless an end of the same job waits already."""
        before = self._waiting.get(card.job_id)
        if before and before.status and before.status.ended and not (card.status and card.status.ended):
            return
        self._waiting[card.job_id] = card
        if len(self._waiting) > MOST_JOBS:
            self._waiting.clear()
            self._reread = True
        self._something.set()

    def close(self) -> None:
        self._closed = True
        self._something.set()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Card | None:
        while not (self._waiting or self._reread):
            if self._closed:
                raise StopAsyncIteration
            self._something.clear()
            await self._something.wait()
        if self._reread:
            self._reread = False
            return None
        return self._waiting.pop(next(iter(self._waiting)))


def channel_of(actor: Actor) -> str:
    """What a member's jobs and pages go by (`ReplyTo.channel`): never another's, though ids of two platforms may be the same. Pure."""
    return actor.id if actor.platform == "web" else actor.key


class Streams:
    """Every open page, by the channel (the member) it belongs to."""

    def __init__(self) -> None:
        self._open: defaultdict[str, list[Subscription]] = defaultdict(list)

    def subscribe(self, channel: str) -> Subscription:
        pages = self._open[channel]
        if len(pages) >= MOST_PAGES:
            pages.pop(0).close()
        pages.append(subscription := Subscription())
        return subscription

    def unsubscribe(self, channel: str, subscription: Subscription) -> None:
        pages = self._open.get(channel, [])
        if subscription in pages:
            pages.remove(subscription)
        if not pages:
            self._open.pop(channel, None)

    def push(self, channel: str, card: Card) -> None:
        """Hand the card to every page of that member."""
        for subscription in self._open.get(channel, ()):
            subscription.put(card)

    def close(self) -> None:
        for pages in self._open.values():
            for subscription in pages:
                subscription.close()
