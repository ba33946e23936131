"""A whole bot with moderation, for tests: two servers, a moderators' channel, and a chat that keeps what it was shown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from ulid import ULID

from bot.domain import Action, Actor, Card, Command, Place, Press, Receipt, ReplyTo, Submit, Verb
from bot.domain.moderation import Case, Entry
from bot.moderation.doing import Moderation
from bot.moderation.mail import Mail
from bot.store.casebook import SqlCaseBook
from tests.fakes.chat import MemoryChat
from tests.unit.house import ADA, BOB, LANGUAGES, House, open_house

MOD = Actor(platform="web", id="mod", name="Mod")
CHIEF = Actor(platform="web", id="chief", name="Chief", admin=True)
SERVER, ELSEWHERE = "guild", "elsewhere"
PICTURES, MODS = Place(platform="web", server=SERVER, channel="pictures"), Place(platform="web", server=SERVER, channel="mods")
NOWHERE = Place(platform="web")


@dataclass(kw_only=True)
class Moderated:
    house: House
    chat: Chat
    mail: Mail
    book: SqlCaseBook

    # -- what people do
    async def say(self, name: str, text: str = "", *, actor: Actor = ADA, place: Place = PICTURES, job_id: str = "") -> Card:
        return await self.house.studio.handle(self._command(name, text, actor, place, job_id))

    async def admin(self, text: str, *, actor: Actor = CHIEF, place: Place = PICTURES) -> Card:
        return await self.say("admin", text, actor=actor, place=place)

    def greeted(self, name: str, text: str = "", *, actor: Actor = ADA, place: Place = PICTURES) -> Card | None:
        return self.house.studio.greet(self._command(name, text, actor, place, "")).card

    def _command(self, name: str, text: str, actor: Actor, place: Place, job_id: str) -> Command:
        return Command(**self._common(actor, place), name=name, text=text, job_id=job_id)  # type: ignore[arg-type]

    def _common(self, actor: Actor, place: Place) -> dict[str, object]:
        there = ReplyTo(platform="web", channel=place.channel, token="t", user=actor.id)
        return {"actor": actor, "place": place, "reply_to": there, "delivery_id": self.house.delivery()}

    async def press(self, action: Action, *, actor: Actor = MOD, place: Place = MODS) -> Card:
        return await self.house.studio.handle(Press(**self._common(actor, place), action=action.encode()))  # type: ignore[arg-type]

    async def drawn(self, text: str = "a fox", *, actor: Actor = ADA, place: Place = PICTURES) -> Card:
        """A picture that stands in the channel."""
        card = await self.house.end(await self.say("imagine", text, actor=actor, place=place), actor)
        receipt = await self.chat.show(ReplyTo(platform="web", channel=place.channel), card, None)
        assert receipt is not None
        await self.house.store.placed(card.job_id, receipt)
        return card

    async def reported(self, card: Card, reason: str = "", *, actor: Actor = BOB, place: Place = PICTURES) -> Case:
        """By its button and form, like a member does it."""
        form = Action(verb=Verb.REPORT, job_id=card.job_id).encode()
        answer = await self.house.studio.handle(Submit(**self._common(actor, place), form=form, values={"reason": reason}))  # type: ignore[arg-type]
        assert not answer.refusal, answer.text
        await self.mail.deliver()
        return (await self.book.waiting(PICTURES.owner))[-1]

    async def decide(self, case: Case, decision: str, *, actor: Actor = MOD, place: Place = MODS) -> Card:
        card = await self.press(Action(verb=Verb.DECIDE, job_id=case.id, argument=decision), actor=actor, place=place)
        await self.mail.deliver()
        return card

    # -- what is seen
    def in_channel(self, name: str) -> list[Card]:
        return [post.card for post in self.chat.posts.values() if post.channel == name]

    def letters(self, actor: Actor) -> list[str]:
        """Texts told to a member alone."""
        return [card.text for receiver, card in self.chat.direct if receiver == actor.id]

    async def log(self) -> list[Entry]:
        return list(await self.book.log(PICTURES.owner))


class Chat(MemoryChat):
    """Keeps direct messages apart, with whom they are for."""

    def __init__(self) -> None:
        super().__init__("web")
        self.direct: list[tuple[str, Card]] = []
        self.shut: set[str] = set()  #: members who take no direct messages

    async def show(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None) -> Receipt | None:
        if card.visibility.value == "direct":
            if self.failing:
                self.failing -= 1
                raise ConnectionError("the platform is down")
            assert not reply_to.token, "a letter comes when the token is long gone"
            if reply_to.user in self.shut:
                return None
            self.direct.append((reply_to.user, card))
            return Receipt(platform="web", channel=reply_to.user, handle=f"letter-{len(self.direct)}")
        assert receipt is None or receipt.handle in self.posts
        return await super().show(replace(reply_to, channel=receipt.channel if receipt else reply_to.channel), card, receipt)


@asynccontextmanager
async def moderated(url: str, folder: Path) -> AsyncIterator[Moderated]:
    async with open_house(url, folder) as house:
        book, chat = SqlCaseBook(house.store, house.store._secret), Chat()
        moderation = Moderation(book, house.store, house.blobs, LANGUAGES, clock=lambda: datetime.now(UTC), new_id=lambda: str(ULID()))
        house.studio.moderation = moderation
        await moderation.start()
        mail = Mail(book, {"web": chat}, LANGUAGES, moderation.card)
        moderation.wake = mail.wake
        yield Moderated(house=house, chat=chat, mail=mail, book=book)
