"""A chat platform in memory: members say things, cards are posted and edited, and a test looks at what stands there."""

from __future__ import annotations

from dataclasses import dataclass

from bot.domain import Actor, Card, Command, Inbound, Place, Receipt, ReplyTo
from bot.ports import Studio


@dataclass(frozen=True, slots=True)
class Post:
    """One message as members see it now, and how often it was written."""

    channel: str
    card: Card
    writes: int = 1


class MemoryChat:
    """`bot.ports.ChatAdapter` over a dictionary. `failing` makes the next calls of `show` raise, like a platform that is down."""

    def __init__(self, platform: str = "memory") -> None:
        self.platform = platform
        self.posts: dict[str, Post] = {}
        self.private: list[Card] = []  #: answers shown to one member alone
        self.failing = 0
        self.gone: set[str] = set()  #: channels that do not exist any more
        self._studio: Studio | None = None
        self._paused = False

    # -- the port

    async def start(self, studio: Studio) -> None:
        self._studio = studio

    async def pause(self) -> None:
        self._paused = True

    async def show(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None) -> Receipt | None:
        if self.failing:
            self.failing -= 1
            raise ConnectionError("the platform is down")
        if reply_to.channel in self.gone:
            return None
        handle = receipt.handle if receipt and receipt.handle in self.posts else self._find(card) or f"message-{len(self.posts) + 1}"
        before = self.posts.get(handle)
        self.posts[handle] = Post(reply_to.channel, card, (before.writes if before else 0) + 1)
        return Receipt(platform=self.platform, channel=reply_to.channel, handle=handle)

    async def progress(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None) -> None:
        before = self.posts.get(receipt.handle if receipt else self._find(card))
        if before and not (before.card.status and before.card.status.ended):
            await self.show(reply_to, card, receipt)

    async def aclose(self) -> None:
        self._paused = True

    # -- what a test does

    async def say(self, actor: Actor, text: str, *, name: str = "imagine", channel: str = "general", delivery: str = "") -> Card | None:
        """What a member types; the answer they see, or None when nobody listens."""
        reply_to = ReplyTo(platform=self.platform, channel=channel)
        place = Place(platform=self.platform, channel=channel)
        return await self.hear(Command(actor=actor, place=place, reply_to=reply_to, delivery_id=delivery or f"{actor.id}:{text}", name=name, text=text))

    async def hear(self, event: Inbound) -> Card | None:
        """Anything a member does: greet, acknowledge, handle, show; as the real adapters do."""
        if self._studio is None or self._paused:
            return None
        ack = self._studio.greet(event)
        card = ack.card or await self._studio.handle(event)
        if card.job_id:
            await self.show(event.reply_to, card, None)
        else:
            self.private.append(card)
        return card

    def _find(self, card: Card) -> str:
        """The message a job already has: a card that must be posted anew is looked up before it is."""
        return next((handle for handle, post in self.posts.items() if card.job_id and post.card.job_id == card.job_id), "")
