"""The frozen values everybody speaks. Plain data, keyword-only; no I/O, no SDK.

Ids are ULIDs, times are aware UTC datetimes, digests are sha256 hex, credits are floats in credits (see `bot.limits`).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from engine.api import Request

# ------------------------------------------------------------------------------------------------ who, where


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """A member of one platform."""

    platform: str  #: "web", "terminal", "discord", "slack"
    id: str
    name: str = ""

    @property
    def key(self) -> str:
        """One wallet a key."""
        return f"{self.platform}:{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    platform: str
    server: str = ""  #: a Discord guild or a Slack workspace; empty for a direct message
    channel: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyTo:
    """Where an answer may go; stored with the job, so a restarted bot still knows."""

    platform: str
    channel: str = ""
    token: str = ""  #: interaction token or response_url
    expires_at: datetime | None = None
    uses_left: int | None = None
    can_post: bool = True  #: whether the bot may post there by itself
    user: str = ""  #: the member's id on the platform: where a direct message goes when nothing else works
    delivery: str = ""  #: of the event it came with: an adapter still busy with that event's card does not post another


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Where a card was posted."""

    platform: str
    channel: str
    handle: str


# ------------------------------------------------------------------------------------------------ jobs


class Status(enum.StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in (Status.DONE, Status.FAILED, Status.CANCELLED)


#: Who may move a job where. `running → queued` is a lease that ran out or a drain at shutdown.
MOVES: Mapping[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.RUNNING, Status.CANCELLED, Status.FAILED}),
    Status.RUNNING: frozenset({Status.DONE, Status.FAILED, Status.CANCELLED, Status.QUEUED}),
    Status.DONE: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A message id and its parameters: what a job's failure says."""

    message: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Why a child exists: which button of which picture ("V2 of …")."""

    job_id: str
    verb: str  #: an Action verb
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One accepted request. Knows no chat handle: it survives the message that asked for it."""

    id: str
    request: Request
    words: str  #: the prompt as typed, flags included: shown and given back to copy
    actor: Actor
    place: Place
    status: Status = Status.QUEUED
    cost: float  #: credits reserved (settled when done)
    parent: Origin | None = None
    private: bool = False
    error: Said | None = None
    attempts: int = 0  #: how often it was claimed
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    device_seconds: float = 0.0


GRID = -1  #: the index of a job's contact sheet among its artifacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One picture of a job; index GRID is the contact sheet."""

    job_id: str
    index: int
    digest: str
    seed: int
    width: int
    height: int
    favourite: bool = False  #: by the job's owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A job with all a card needs."""

    job: Job
    artifacts: tuple[Artifact, ...] = ()
    children: tuple[Job, ...] = ()
    position: int | None = None  #: 0-based place in the queue while it waits
    eta: float | None = None  #: seconds until the pictures, estimated
    step: int = 0
    of: int = 0
    preview: bytes | None = None

    def evolve(self, **changes: Any) -> Shown:
        return replace(self, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wallet:
    """Credits that refill continuously up to a cap: rate limit and daily quota in one.

    `balance` is what was there at `at`; what is reserved has already left it.
    """

    balance: float
    at: datetime
    cap: float
    per_hour: float

    def now(self, when: datetime) -> Wallet:
        """The same wallet, refilled until `when` (a clock set back refills nothing)."""
        hours = max(0.0, (when - self.at).total_seconds() / 3600)
        return replace(self, balance=min(max(self.cap, self.balance), self.balance + hours * self.per_hour), at=max(when, self.at))

    def wait(self, cost: float) -> timedelta | None:
        """How long until `cost` can be paid; zero when it can, None when it never can."""
        if cost <= self.balance:
            return timedelta(0)
        if cost > self.cap or self.per_hour <= 0:
            return None
        return timedelta(hours=(cost - self.balance) / self.per_hour)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one submission is held against; filled from settings by `bot.limits`."""

    cap: float  #: a member's wallet, credits
    per_hour: float  #: its refill
    queued_per_actor: int
    queued_total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What `Store.submit` writes in one transaction: the delivery, the jobs, the wallet, where to answer, what is owed."""

    delivery: str  #: unique a platform: the second time it is not done again
    jobs: tuple[Job, ...]
    reply_to: ReplyTo
    limits: Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """`again` is True when this delivery had been accepted before: these are its jobs."""

    jobs: tuple[Job, ...]
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing owed to a member: the end of a job, to be shown at `reply_to` (by editing `receipt` when there is one)."""

    id: str
    job_id: str
    reply_to: ReplyTo
    receipt: Receipt | None
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The queue at a glance."""

    queued: int = 0
    running: int = 0
    cost_ahead: float = 0.0  #: credits of work queued and running


# ------------------------------------------------------------------------------------------------ what a chat says


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


class Visibility(enum.StrEnum):
    PUBLIC = "public"
    PRIVATE = "private"  #: ephemeral: the member alone, here
    DIRECT = "direct"  #: a direct message


# ------------------------------------------------------------------------------------------------ what a chat shows


class Verb(enum.StrEnum):
    """Every thing a button can ask for. The value is what `Action.encode` writes: never change one, buttons live for ever."""

    PICK = "u"  #: U1–U4: this one alone, enlarged
    VARY = "v"  #: V1–V4: variations of this one
    REROLL = "r"  #: the same words, another seed
    UPSCALE = "x"  #: argument "2" or "4"
    PARAMS = "p"  #: seed and words, privately
    CANCEL = "c"
    DELETE = "d"
    FAVOURITE = "f"  #: toggles; index of the picture, GRID for the first
    SHOW = "s"
    REMIX = "m"  #: opens a form with the words


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What a button does; encodes into at most 100 characters (Discord's custom_id) and works after a restart."""

    verb: Verb
    job_id: str
    index: int = GRID
    argument: str = ""

    def encode(self) -> str:
        """``w1:<verb>:<job>:<index>:<argument>``. Raises ValueError past 100 characters."""
        text = f"w1:{self.verb}:{self.job_id}:{self.index}:{self.argument}"
        if len(text) > 100:
            raise ValueError(f"action of {len(text)} characters")
        return text

    @classmethod
    def decode(cls, text: str) -> Action:
        """The inverse. Raises ValueError for anything this program never wrote."""
        parts = text.split(":", 4)
        if len(text) > 100 or len(parts) != 5 or parts[0] != "w1" or not (parts[2].isalnum() and len(parts[2]) == 26):
            raise ValueError(f"not an action: {text[:120]!r}")
        return cls(verb=Verb(parts[1]), job_id=parts[2], index=int(parts[3]), argument=parts[4])


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A stored picture by digest, or `data` when it is not stored (a preview)."""

    alt: str
    digest: str = ""
    data: bytes = b""
    width: int = 0
    height: int = 0
    name: str = "picture.png"


ButtonStyle = Literal["primary", "secondary", "success", "danger"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """`label` is short ("U1"); `hint` makes sense alone, for screen readers and tooltips ("Pick and enlarge picture 1")."""

    label: str
    action: Action
    hint: str = ""
    style: ButtonStyle = "secondary"
    pressed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """In the buttons' place when a grid has more than four pictures."""

    placeholder: str
    choices: tuple[Button, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    label: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resend:
    """A button that says the words again in the member's direct messages: for a place where the bot may not post."""

    label: str
    hint: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a chat shows. Already words (in the member's language): adapters only lay it out."""

    title: str
    text: str = ""
    code: str = ""  #: set in a fixed-width face and easy to copy: words given back, with a caret line under a mistake
    job_id: str = ""
    status: Status | None = None
    percent: int | None = None  #: of a running job
    pictures: tuple[Picture, ...] = ()
    rows: tuple[tuple[Button, ...], ...] = ()
    selects: tuple[Select, ...] = ()
    links: tuple[Link, ...] = ()
    details: tuple[tuple[str, str], ...] = ()  #: label and value: seed, size, model …
    resend: Resend | None = None
    visibility: Visibility = Visibility.PUBLIC
    spoiler: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    name: str
    label: str
    value: str = ""
    long: bool = False
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A modal. `name` comes back in Submit."""

    name: str
    title: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """How to acknowledge, decided in memory: as a public or private deferral, with a form, or at once with a card."""

    visibility: Visibility = Visibility.PUBLIC
    form: Form | None = None
    card: Card | None = None  #: an answer that needs nothing more (a mistake in the words): `handle` must not be called
    in_place: bool = False  #: the card that was pressed changes, and no other comes


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """One autocomplete suggestion: `insert` replaces text[start:end]."""

    insert: str
    label: str
    start: int
    end: int
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the grammar makes of words as they are typed: spans to colour, the mistake if any, what it would cost."""

    spans: tuple[tuple[int, int, str], ...] = ()  #: (start, end, kind) with kind of "text", "flag", "value", "weight", "mistake"
    mistake: str = ""  #: one sentence
    mistake_at: tuple[int, int] | None = None
    cost: float | None = None
    hints: tuple[Hint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of a member's history, newest first; `before` is passed to get the next one (None at the end)."""

    items: tuple[Shown, ...]
    before: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A job between its ancestors (nearest first) and its children (oldest first)."""

    shown: Shown
    ancestors: tuple[Shown, ...] = ()
    children: tuple[Shown, ...] = ()
