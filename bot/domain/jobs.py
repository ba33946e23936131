"""Accepted requests, their pictures, what they cost, and what is owed for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from bot.domain.life import MOVES as MOVES
from bot.domain.life import Status as Status
from bot.domain.places import Actor, Place, Receipt, ReplyTo
from engine.api import Request


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
    relaxed: bool = False  #: `--relax`: it waits until nobody else does, and costs less
    hidden: bool = False  #: its pictures are shown behind a click, where a chat can do that
    batch: str = ""  #: the offer whose set of prompts it belongs to
    sexual: str = "refuse"  #: what held for sexual content where it was asked for, when it was: a `bot.gate.Sexual`
    error: Said | None = None
    attempts: int = 0  #: how often it was claimed
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    device_seconds: float = 0.0


GRID = -1  #: the index of a job's contact sheet among its artifacts
CLIP = -3  #: that of its clip, an animated WebP (-2 is no artifact's: the store answers with it for uploads)


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One picture of a job; index GRID is the contact sheet, CLIP what moves."""

    job_id: str
    index: int
    digest: str
    seed: int
    width: int
    height: int
    favourite: bool = False  #: by the job's owner
    seen: str = ""  #: what the model's image-text model says it shows; empty where nobody looked
    fingerprint: str = ""  #: of its pixels (`bot.provenance.fingerprint`), 16 hexadecimal digits; empty where there is none


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
    queued_per_server: int = 0  #: of the jobs that were asked for on one server; 0: no bound of its own, as in those below
    server_per_hour: float = 0.0  #: credits that a server's members may spend together; an hour's worth is there at most
    total_per_hour: float = 0.0  #: credits that all members may spend together, wherever they are
    account_days: int = 0  #: how old an account must be, where its age is known
    looks_per_minute: int = 0  #: questions and pictures of one member that are looked at
    most_given: float = 1.0  #: times `cap` and `per_hour` that a server may give its members


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
    wallet: Wallet | None = None  #: the member's, as it was left; None where `again`


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing owed to a member: the end of a job, to be shown at `reply_to` (by editing `receipt` when there is one)."""

    id: str
    job_id: str
    reply_to: ReplyTo
    receipt: Receipt | None
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Prompts a member may yet have drawn by a button: a set that wants a yes first, a description's, a help card's examples. Kept in the store."""

    id: str  #: a ULID, in the place of a job's id in the buttons
    actor: Actor
    kind: str  #: "confirm", "prompts", "batch", "form"
    prompts: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)  #: plain JSON: digests of what was sent along, titles, whatever the kind needs
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """Words and flags under a name (`--style`)."""

    name: str
    words: str
    owner: str = ""  #: an actor's key, a place's `owner`, or empty for one that ships with the program


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The queue at a glance."""

    queued: int = 0
    running: int = 0
    cost_ahead: float = 0.0  #: credits of work queued and running


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
