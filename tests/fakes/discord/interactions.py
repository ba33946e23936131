"""Interactions and what became of them: the payload that discord.py reads, the token's life, the member's view of the answer."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from tests.fakes.discord.messages import Message
from tests.fakes.discord.world import EVERYBODY, Channel, Json, User

if TYPE_CHECKING:
    from tests.fakes.discord.stage import Stage

COMMAND, COMPONENT, AUTOCOMPLETE, MODAL_SUBMIT = 2, 3, 4, 5
KINDS = {4: "message", 5: "deferred", 6: "deferred_update", 7: "update", 8: "autocomplete", 9: "modal"}


class Choice(NamedTuple):
    name: str
    value: str | int | float


class NoAnswer(AssertionError):
    """The bot said nothing in time: the member reads "The application did not respond". `answer` goes on being filled."""

    def __init__(self, answer: Answer, seconds: float) -> None:
        super().__init__(f"no first response within {seconds:.1f} s to {answer.interaction.payload['data']}")
        self.answer = answer


@dataclass(eq=False, kw_only=True)
class Interaction:
    wire: Stage = field(repr=False)
    id: int
    token: str
    kind: int
    user: User
    channel: Channel
    message: Message | None
    """The one that holds the component."""
    user_install: bool
    payload: Json = field(repr=False)
    born: float = field(default_factory=time.monotonic)
    response: int | None = None
    """The type of the first callback."""
    acknowledged: float | None = None
    original: Message | None = None
    followups: list[Message] = field(default_factory=list)
    ephemeral: bool = False
    modal: Json | None = None
    choices: list[Choice] = field(default_factory=list)
    expired: bool = False
    arrived: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    @property
    def late(self) -> bool:
        return time.monotonic() - self.born > self.wire.ack_seconds

    @property
    def dead(self) -> bool:
        return self.expired or time.monotonic() - self.born > self.wire.token_seconds

    def metadata(self) -> Json:
        told: Json = {
            "id": str(self.id),
            "type": self.kind,
            "user": self.user.payload(),
            "authorizing_integration_owners": self.payload["authorizing_integration_owners"],
        }
        if self.kind == COMPONENT and self.message is not None:
            told["interacted_message_id"] = str(self.message.id)
        if self.kind == MODAL_SUBMIT:
            told["triggering_interaction_metadata"] = {**told, "type": COMPONENT if self.message else COMMAND}
        return told


@dataclass(eq=False)
class Answer:
    """What the member who acted sees."""

    interaction: Interaction

    @property
    def kind(self) -> str | None:
        return KINDS.get(self.interaction.response or 0)

    @property
    def ephemeral(self) -> bool:
        return self.interaction.ephemeral

    @property
    def modal(self) -> Json:
        assert self.interaction.modal is not None, f"no form was opened, but {self.kind}"
        return self.interaction.modal

    @property
    def choices(self) -> list[Choice]:
        return self.interaction.choices

    @property
    def followups(self) -> list[Message]:
        return self.interaction.followups

    @property
    def acknowledged_after(self) -> float:
        assert self.interaction.acknowledged is not None
        return self.interaction.acknowledged - self.interaction.born

    async def message(self, patience: float = 60.0) -> Message:
        """The response's message once it is filled; after an update or its deferral, the message that holds the component."""
        it = self.interaction
        await it.wire.until(
            lambda: it.original is not None and not it.original.loading,
            patience,
            what=lambda: f"the answer is {self.kind}, original {it.original!r}",
        )
        assert it.original is not None
        return it.original

    async def followup(self, index: int = 0, patience: float = 60.0) -> Message:
        await self.interaction.wire.until(lambda: len(self.followups) > index, patience, what=lambda: f"{len(self.followups)} follow-ups")
        return self.followups[index]


def make(wire: Stage, kind: int, user: User, channel: Channel, data: Json, *, message: Message | None = None, user_install: bool = False) -> Interaction:
    """Builds the payload of INTERACTION_CREATE: https://discord.com/developers/docs/interactions/receiving-and-responding#interaction-object"""
    guild = channel.guild
    owners: dict[str, str] = {}
    if not user_install:
        owners["0"] = str(guild.id) if guild else "0"
    else:
        owners["1"] = str(user.id)
    ident, token = wire.snowflake(), secrets.token_urlsafe(96)
    payload: Json = {
        "version": 1,
        "id": str(ident),
        "application_id": str(wire.application_id),
        "type": kind,
        "token": token,
        "channel_id": str(channel.id),
        "channel": channel.partial(user, wire.bot),
        "locale": user.locale,
        "app_permissions": str(channel.app_permissions() if guild else EVERYBODY),
        "entitlements": [],
        "entitlement_sku_ids": [],
        "authorizing_integration_owners": owners,
        "context": channel.context,
        "attachment_size_limit": wire.attachment_limit,
        "data": data,
    }
    if guild is not None:
        payload |= {"guild_id": str(guild.id), "guild": guild.partial(), "guild_locale": guild.locale}
        payload["member"] = user.member(permissions=channel.member_permissions(user))
    else:
        payload["user"] = user.payload()
    if message is not None:
        payload["message"] = message.payload()
    made = Interaction(wire=wire, id=ident, token=token, kind=kind, user=user, channel=channel, message=message, user_install=user_install, payload=payload)
    wire.interactions[token] = made
    return made
