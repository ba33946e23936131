"""What a chat says to the studio."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.domain.places import Actor, Place, ReplyTo


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    name: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What every inbound event carries."""

    actor: Actor
    place: Place
    reply_to: ReplyTo
    delivery_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Event):
    name: str  #: "imagine", "history", "info", "queue", "cancel", "show", "upscale", "web", "help"
    text: str = ""
    uploads: tuple[Upload, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Press(Event):
    """A button. `action` is as it came from the platform: not to be trusted."""

    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction(Event):
    emoji: str
    job_id: str
    added: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit(Event):
    """A filled-in form."""

    form: str  #: the Form's `name`
    values: Mapping[str, str] = field(default_factory=dict)
    uploads: tuple[Upload, ...] = ()


Inbound = Command | Press | Reaction | Submit
