"""The App Home: a member's wallet, what runs, their latest pictures, what they prefer, how to begin. `view` is pure; `Home` publishes it.

Owned by a workspace of `bot.chat.slack.workspaces`.

A view is published when its tab is opened, and again after a job of that member ended, at most once in half a minute.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

import aiohttp
import structlog
from slack_sdk.errors import SlackApiError

from bot.chat.slack import blocks, limits, trouble
from bot.chat.slack.blocks import Block, Catalogue, Catalogues
from bot.chat.slack.events import Spot, delivery, said
from bot.chat.slack.files import Files
from bot.chat.slack.wire import Wire
from bot.domain import Action, Actor, Button, Card, Status, Verb, Wallet
from bot.errors import BotError
from bot.ports import Studio

log = structlog.get_logger(__name__)

PICTURES, RUNNING = 6, 5  #: entries
SEEN = 24  #: newest jobs that are looked through for them
EVERY = 30.0  #: seconds between two views of one member
_OPENED = 512  #: members whose tab is kept up to date


class Spawn(Protocol):
    """Starts a task that somebody owns."""

    def __call__(self, work: Coroutine[Any, Any, None], /) -> None: ...


def view(
    wallet: Wallet, running: Sequence[Card], drawn: Sequence[Card], files: Mapping[str, str], catalogue: Catalogue, preferences: Card | None = None
) -> Block:
    """Cards of jobs that go on, and of those with pictures, newest first; `files` are Slack's ids by digest."""
    credits = catalogue.say("info.credits", balance=wallet.balance, count=round(wallet.balance, 2))
    refill = catalogue.say("detail.refill_text", per_hour=wallet.per_hour, cap=wallet.cap)
    found: list[Block] = [{"type": "header", "text": blocks.plain(catalogue.say("chat.home"), limits.HEADER)}]
    found += blocks.section(f"{catalogue.say('detail.balance')}: {credits}\n{catalogue.say('detail.refill')}: {refill}")
    found += [{"type": "actions", "elements": [_begin(catalogue)]}]
    if running:
        found += [{"type": "divider"}, *_titled(catalogue.say("chat.home_running"))]
        for number, card in enumerate(running):
            found += blocks.card_blocks(replace(card, pictures=(), links=(), selects=(), details=()), {}) if number < RUNNING else []
    found += [{"type": "divider"}]
    if drawn:
        found += _titled(catalogue.say("chat.home_pictures"))
    for number, card in enumerate(drawn[:PICTURES]):
        found += _entry(card, files, number, catalogue)
    end = blocks.section(catalogue.say("chat.home_begin"))
    if preferences is not None:
        room = limits.VIEW_BLOCKS - len(found) - len(end) - 2
        asked = replace(preferences, title="", pictures=(), clip=None, links=(), resend=None)
        found += [{"type": "divider"}, *_titled(catalogue.say("chat.home_preferences")), *blocks.card_blocks(asked, {}, most=room)]
    return {"type": "home", "blocks": [*found, *end][: limits.VIEW_BLOCKS]}


def _begin(catalogue: Catalogue) -> Block:
    return {
        "type": "button",
        "text": blocks.plain(catalogue.say("chat.home_imagine"), limits.BUTTON),
        "action_id": blocks.IMAGINE,
        "value": "imagine",
        "style": "primary",
        "accessibility_label": catalogue.say("command.imagine")[: limits.HINT],
    }


def asks(card: Card) -> bool:
    """Whether it is a card to choose from; a word that something went wrong has nothing to press."""
    return bool(card.rows or card.selects)


def _titled(text: str) -> list[Block]:
    return [{"type": "section", "text": {"type": "mrkdwn", "text": blocks.bold(text, limits.TEXT), "verbatim": True}}]


def _entry(card: Card, files: Mapping[str, str], number: int, catalogue: Catalogue) -> list[Block]:
    """The words with a button that brings the card into the direct message, and the first picture."""
    show = Button(label=catalogue.say("button.show"), hint=catalogue.say("button.show_hint", words=card.title), action=_show(card))
    words = {"type": "section", "text": blocks.plain(card.title, limits.TEXT), "accessory": blocks.button(show, f"wordup:home:{number}")}
    shown = [each for each in card.pictures if files.get(each.digest)][:1]
    return [
        words,
        *({"type": "image", "slack_file": {"id": files[each.digest]}, "alt_text": each.alt[: limits.ALT] or card.title} for each in shown),
    ]


def _show(card: Card) -> Action:
    """A private job's buttons say so in their argument; this one is as private as they are."""
    marks = {button.action.argument[-1:] for row in card.rows for button in row if button.action.job_id == card.job_id}
    return Action(verb=Verb.SHOW, job_id=card.job_id, argument="p" if "p" in marks else "")


class Home:
    def __init__(
        self,
        wire: Wire,
        files: Files,
        catalogues: Catalogues,
        spawn: Spawn,
        clock: Callable[[], datetime],
        via: str = "",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`via`: see `bot.chat.slack.events.Spot`."""
        self._wire, self._files, self._catalogues, self._spawn = wire, files, catalogues, spawn
        self._clock, self._via, self._monotonic = clock, via, monotonic
        self._published: OrderedDict[str, float] = OrderedDict()
        self._due: set[str] = set()

    async def opened(self, studio: Studio, user: str) -> None:
        self._published[user] = self._monotonic()
        self._published.move_to_end(user)
        while len(self._published) > _OPENED:
            self._published.popitem(last=False)
        await self._publish(studio, user)

    def ended(self, studio: Studio, user: str) -> None:
        """A job of theirs did: what they see in their tab is old."""
        if user in self._published and user not in self._due:
            self._due.add(user)
            self._spawn(self._later(studio, user))

    async def _later(self, studio: Studio, user: str) -> None:
        try:
            await asyncio.sleep(max(0.0, self._published.get(user, 0.0) + EVERY - self._monotonic()))
        finally:
            self._due.discard(user)
        if user in self._published:
            await self.opened(studio, user)

    async def _publish(self, studio: Studio, user: str) -> None:
        member = await self._wire.people.member(user)
        catalogue = self._catalogues.of(member.locale)
        spot = Spot(team=self._wire.identity.team, user=user, via=self._via, locale=member.locale, admin=member.admin, home=True)
        try:
            running, drawn = await self._cards(studio, spot.actor)
            wallet = await studio.wallet(spot.actor)
            preferences = await self._preferences(studio, spot)
            files: dict[str, str] = {}
            for card in drawn:
                files |= await self._files.known(card.job_id)
            try:
                await trouble.patiently(lambda: self._wire.publish(user, view(wallet, running, drawn, files, catalogue, preferences)))
            except SlackApiError as error:
                if not trouble.lacks_file(error):
                    raise
                await self._wire.publish(user, view(wallet, running, drawn, {}, catalogue, preferences))  # somebody deleted the files
        except (SlackApiError, aiohttp.ClientError, TimeoutError, BotError) as error:
            log.info("slack.no_home", error=trouble.name_of(error) or type(error).__name__)

    async def _preferences(self, studio: Studio, spot: Spot) -> Card | None:
        """What the member may choose, as the command shows it; None where it is turned off."""
        asked = said(replace(spot, delivery=delivery(secrets.token_hex(16))), "prefer", "", self._clock())
        if studio.greet(asked).card is not None:
            return None
        card = await studio.handle(asked)
        return card if asks(card) else None

    async def _cards(self, studio: Studio, actor: Actor) -> tuple[list[Card], list[Card]]:
        running: list[Card] = []
        drawn: list[Card] = []
        for shown in (await studio.history(actor, limit=SEEN)).items:
            if not shown.job.status.ended and len(running) < RUNNING:
                running.append(await studio.card(actor, shown.job.id))
            elif shown.job.status is Status.DONE and len(drawn) < PICTURES:
                drawn.append(await studio.card(actor, shown.job.id))
        return running, drawn
