"""What a chat says to the studio."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bot.domain.places import Actor, Place, ReplyTo


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file a member sends along, and what for."""

    name: str
    data: bytes
    role: Literal["image", "style", "sketch", "mask", "list"] = "image"  #: `list` is a text or CSV file of prompts; the others are pictures


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What every inbound event carries."""

    actor: Actor
    place: Place
    reply_to: ReplyTo
    delivery_id: str
    brief: bool = False  #: whether a card that does not know its place in the queue yet will do: who shows it asks again by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Event):
    name: str  #: one of bot.usecases.COMMANDS
    text: str = ""
    job_id: str = ""  #: of the job whose message the command was called on (context menus, shortcuts)
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
