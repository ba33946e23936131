"""What every chat platform promises (`bot.ports.ChatAdapter`): one suite over the chat in memory, the web studio, Discord and Slack.

A platform joins with a `Member` of it, a context manager that opens one (`CHATS`), and an adapter that never starts (`NEW`).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Protocol

import pytest

from bot.chat.discord.adapter import DiscordAdapter
from bot.chat.slack.adapter import SlackAdapter
from bot.domain import Actor, Card, Receipt, ReplyTo, Status
from bot.messages import Catalogues
from bot.ports import ChatAdapter
from tests.fakes.chat import MemoryChat
from tests.fakes.discord import Answer, DiscordWire
from tests.fakes.slack import Answer as SlackAnswer
from tests.fakes.slack import SlackWire
from tests.fakes.studio import FakeStudio
from tests.fakes.web import Site, Visitor


class Member(Protocol):
    """Somebody at the other end of the platform."""

    #: Whether its platform is reached over a network: then a closed adapter reaches nobody, and says so.
    over_a_network: bool

    @property
    def adapter(self) -> ChatAdapter: ...

    @property
    def studio(self) -> FakeStudio: ...

    @property
    def reply_to(self) -> ReplyTo: ...

    async def say(self, text: str, delivery: str) -> bool:
        """Ask for a picture; whether it was taken."""

    async def sees(self, until: str) -> list[tuple[str, Status | None]]:
        """(job, state) as they came or stand, up to the end of the job `until`; a platform that shows states in place gives each job once."""


class MemoryMember:
    over_a_network = False

    def __init__(self) -> None:
        self.adapter = MemoryChat()
        self.studio = FakeStudio()
        self.reply_to = ReplyTo(platform="memory", channel="general")

    async def say(self, text: str, delivery: str) -> bool:
        return await self.adapter.say(Actor(platform="memory", id="ada"), text, delivery=delivery) is not None

    async def sees(self, until: str) -> list[tuple[str, Status | None]]:
        return [(post.card.job_id, post.card.status) for post in self.adapter.posts.values()]


class WebMember:
    over_a_network = False

    def __init__(self, site: Site, visitor: Visitor, events: AsyncIterator[tuple[str, dict[str, str]]]) -> None:
        self.adapter, self.studio, self._visitor, self._events = site.adapter, site.studio, visitor, events
        self.reply_to = ReplyTo(platform="web", channel="local")

    async def say(self, text: str, delivery: str) -> bool:
        status, _, _ = await self._visitor.post("/imagine", {"text": text, "delivery": delivery})
        return status == 303

    async def sees(self, until: str) -> list[tuple[str, Status | None]]:
        seen: list[tuple[str, Status | None]] = []
        async for kind, event in self._events:
            if kind == "card":
                seen.append((event["id"], Status(event["status"])))
                if event["id"] == until and event["ended"]:
                    return seen
        raise AssertionError(f"the end of {until} never came: {seen}")


class Memos(dict[str, str]):
    """`bot.ports.Memos` in memory."""

    async def recall(self, key: str) -> str | None:
        return self.get(key)

    async def remember(self, key: str, value: str) -> None:
        if value:
            self[key] = value
        else:
            self.pop(key, None)


class DiscordMember:
    """Ada in #art, where the bot may post."""

    over_a_network = True

    def __init__(self, wire: DiscordWire, adapter: DiscordAdapter, studio: FakeStudio) -> None:
        self.adapter, self.studio, self._wire = adapter, studio, wire
        self.reply_to = ReplyTo(platform="discord", channel=str(wire.art.id), user=str(wire.ada.id))
        self._said: dict[str, Answer] = {}

    async def say(self, text: str, delivery: str) -> bool:
        if before := self._said.get(delivery):
            return await self._say_again(before)
        answer = self._said[delivery] = await self._wire.command(self._wire.ada, self._wire.art, "imagine", prompt=text)
        await answer.message()
        return answer.kind == "deferred"

    async def _say_again(self, answer: Answer) -> bool:
        """Discord tells of the very same interaction once more: it has been answered, and stays so."""
        token, before = answer.interaction.token, len(self.studio.events)
        await self._wire.again(answer)
        await self._wire.until(lambda: sum(sent.route == CALLBACK and sent.status is not None and token in sent.path for sent in self._wire.requests) == 2)
        return len(self.studio.events) > before

    async def sees(self, until: str) -> list[tuple[str, Status | None]]:
        return stated(text for message in self._wire.messages(self._wire.art) for text in (*(was.text for was in message.history), message.text))


class SlackMember:
    """Ada in #art, where the bot is."""

    over_a_network = True

    def __init__(self, wire: SlackWire, adapter: SlackAdapter, studio: FakeStudio) -> None:
        self.adapter, self.studio, self._wire = adapter, studio, wire
        self.reply_to = ReplyTo(platform="slack", channel=wire.art.id, user=wire.ada.id)
        self._said: dict[str, SlackAnswer] = {}

    async def say(self, text: str, delivery: str) -> bool:
        before = len(self._wire.messages(self._wire.art)) + len(self._wire.ephemerals(self._wire.ada))
        if said := self._said.get(delivery):
            heard = len(self.studio.events)
            await self._wire.again(said)
            await self._wire.until(lambda: len(self.studio.events) > heard)
            return False
        self._said[delivery] = await self._wire.command(self._wire.ada, self._wire.art, "/imagine", text)
        await self._wire.until(lambda: len(self._wire.messages(self._wire.art)) + len(self._wire.ephemerals(self._wire.ada)) > before)
        return not self._wire.ephemerals(self._wire.ada)

    async def sees(self, until: str) -> list[tuple[str, Status | None]]:
        return stated(message.plain for message in self._wire.messages(self._wire.art))


CALLBACK = "POST /interactions/{interaction}/{token}/callback"
STATED = re.compile(r"(?P<job>01KD\d{22}) is (?P<status>\w+)")


def stated(texts: Iterable[str]) -> list[tuple[str, Status | None]]:
    """The states that texts of messages tell, for platforms that show cards in words only: see `card`."""
    return [(found["job"], Status(found["status"])) for text in texts if (found := STATED.search(text))]


def new_discord(wire: DiscordWire | None = None) -> DiscordAdapter:
    """Of the wire; of nobody without one."""
    return DiscordAdapter(
        token=wire.token if wire else "",
        catalogues=Catalogues.load(),
        memos=Memos(),
        clock=lambda: datetime.now(UTC),
        cdn_hosts=frozenset({wire.host} if wire else ()),
        api_url=wire.api_url if wire else "http://127.0.0.1:9",
        gateway_url=wire.gateway_url if wire else "",
    )


@asynccontextmanager
async def _memory() -> AsyncIterator[Member]:
    member = MemoryMember()
    await member.adapter.start(member.studio)
    yield member
    await member.adapter.aclose()


@asynccontextmanager
async def _web() -> AsyncIterator[Member]:
    async with Site() as site, site.visitor() as visitor:
        await visitor.get("/")
        async with visitor.listening() as events:
            yield WebMember(site, visitor, events)


@asynccontextmanager
async def _discord() -> AsyncIterator[Member]:
    async with DiscordWire() as wire:
        adapter, studio = new_discord(wire), FakeStudio()
        await adapter.start(studio)
        try:
            await wire.connected()
            yield DiscordMember(wire, adapter, studio)
        finally:
            await adapter.aclose()
        assert wire.violations == []


def new_slack(wire: SlackWire | None = None) -> SlackAdapter:
    return SlackAdapter(
        bot_token=wire.bot_token if wire else "xoxb-nobody",
        app_token=wire.app_token if wire else "xapp-nobody",
        catalogues=Catalogues.load(),
        memos=Memos(),
        clock=lambda: datetime.now(UTC),
        file_hosts=frozenset({wire.host} if wire else ()),
        api_url=wire.api_url if wire else "http://127.0.0.1:9/",
        max_upload=2**20,
    )


@asynccontextmanager
async def _slack() -> AsyncIterator[Member]:
    async with SlackWire() as wire:
        adapter, studio = new_slack(wire), FakeStudio()
        await adapter.start(studio)
        try:
            await wire.connected()
            yield SlackMember(wire, adapter, studio)
        finally:
            await adapter.aclose()
        assert wire.violations == []


CHATS: dict[str, Callable[[], AbstractAsyncContextManager[Member]]] = {"memory": _memory, "web": _web, "discord": _discord, "slack": _slack}
NEW: dict[str, Callable[[], ChatAdapter]] = {"memory": MemoryChat, "web": lambda: Site().adapter, "discord": new_discord, "slack": new_slack}


@pytest.fixture(params=CHATS.values(), ids=CHATS)
async def member(request: pytest.FixtureRequest) -> AsyncIterator[Member]:
    async with request.param() as one:
        yield one


def card(number: int, status: Status, percent: int | None = None) -> Card:
    """Its text says what it shows, for members who read nothing else."""
    job_id = f"01KD{number:022d}"
    return Card(title="a fox", text=f"{job_id} is {status}", job_id=job_id, status=status, percent=percent)


DELIVERY = "0123456789abcdef"


async def test_what_a_member_says_reaches_the_studio(member: Member) -> None:
    assert await member.say("a fox in the snow", DELIVERY)
    (event,) = member.studio.events
    assert event.delivery_id
    assert event.actor.platform == event.place.platform == event.reply_to.platform == member.adapter.platform


async def test_the_same_delivery_twice_is_one_job(member: Member) -> None:
    await member.say("a fox in the snow", DELIVERY)
    await member.say("a fox in the snow", DELIVERY)
    assert len(member.studio.jobs) == 1


async def test_two_deliveries_of_the_same_words_are_two_jobs(member: Member) -> None:
    await member.say("a fox in the snow", DELIVERY)
    await member.say("a fox in the snow", DELIVERY[::-1])
    assert len(member.studio.jobs) == 2


async def test_showing_a_card_twice_leaves_one_card_in_one_place(member: Member) -> None:
    done = card(1, Status.DONE)
    first = await member.adapter.show(member.reply_to, done, None)
    second = await member.adapter.show(member.reply_to, done, first)
    lost = await member.adapter.show(member.reply_to, done, None)  # as after a crash between showing and writing the receipt down
    assert first == second == lost
    assert isinstance(first, Receipt)
    assert first.platform == member.adapter.platform
    assert {job for job, _ in await member.sees(done.job_id)} == {done.job_id}


async def test_progress_may_be_dropped_but_an_end_gets_through(member: Member) -> None:
    receipt = await member.adapter.show(member.reply_to, card(1, Status.QUEUED), None)
    for percent in range(100):
        await member.adapter.progress(member.reply_to, card(1, Status.RUNNING, percent), receipt)
    await member.adapter.show(member.reply_to, card(1, Status.DONE), receipt)
    seen = await member.sees(card(1, Status.DONE).job_id)
    assert seen[-1] == (card(1, Status.DONE).job_id, Status.DONE)
    assert len(seen) <= 102


async def test_progress_of_what_stands_nowhere_is_dropped(member: Member) -> None:
    await member.adapter.progress(member.reply_to, card(1, Status.RUNNING, 10), None)
    await member.adapter.show(member.reply_to, card(2, Status.DONE), None)
    seen = await member.sees(card(2, Status.DONE).job_id)
    assert [status for job, status in seen if job == card(2, Status.DONE).job_id] == [Status.DONE]


async def test_late_progress_does_not_undo_an_end(member: Member) -> None:
    receipt = await member.adapter.show(member.reply_to, card(1, Status.RUNNING, 90), None)
    await member.adapter.show(member.reply_to, card(1, Status.DONE), receipt)
    await member.adapter.progress(member.reply_to, card(1, Status.RUNNING, 95), receipt)
    assert (await member.sees(card(1, Status.DONE).job_id))[-1][1] is Status.DONE


async def test_the_ends_of_many_jobs_all_get_through(member: Member) -> None:
    for number in range(1, 51):
        await member.adapter.show(member.reply_to, card(number, Status.DONE), None)
    seen = await member.sees(card(50, Status.DONE).job_id)
    assert {job for job, status in seen if status is Status.DONE} == {card(number, Status.DONE).job_id for number in range(1, 51)}


async def test_a_paused_platform_takes_nothing_new_but_still_shows(member: Member) -> None:
    await member.adapter.pause()
    assert not await member.say("a fox in the snow", DELIVERY)
    assert not member.studio.jobs
    await member.adapter.show(member.reply_to, card(1, Status.DONE), None)
    assert (card(1, Status.DONE).job_id, Status.DONE) in await member.sees(card(1, Status.DONE).job_id)


async def test_closing_twice_is_closing_once(member: Member) -> None:
    await member.adapter.aclose()
    await member.adapter.aclose()
    if not member.over_a_network:
        assert await member.adapter.show(member.reply_to, card(1, Status.DONE), None) is not None  # nobody looks, and nothing breaks
        return
    with pytest.raises(ConnectionError):  # it reaches nobody, and says so: what is owed stays owed, and the next process pays it
        await member.adapter.show(member.reply_to, card(1, Status.DONE), None)


@pytest.mark.parametrize("new", NEW.values(), ids=NEW)
async def test_a_platform_that_never_started_can_be_closed(new: Callable[[], ChatAdapter]) -> None:
    adapter = new()
    await adapter.aclose()
    await adapter.aclose()
