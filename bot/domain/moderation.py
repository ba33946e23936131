"""Reports, contested refusals, and what moderators decide about them. Pure; `bot.moderation` does it, `bot.store.moderating` keeps it.

A **case** is one picture that was reported, or one refusal that its member contests. It belongs to a server (`Place.owner`) and is decided there, once.
What each decision does holds what the one before it does:

========  ============================================  ====================================
decision  a picture that was reported                   a refusal that is contested
========  ============================================  ====================================
approve   stays; more reports of it open nothing        those words may be drawn by that member,
                                                        for those pictures where there were any
remove    goes, and its enlargements with it            stays refused
warn      the same, and its member is warned            the same, and the member is warned
ban       the same, and its member may ask for nothing  the same, and the member may ask for nothing
========  ============================================  ====================================

Who reported is told what came of it and named to nobody. The audit log names people by pseudonyms alone: the same one for the same member, with no way back.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bot.domain.places import Actor, Place, Receipt, ReplyTo
from bot.errors import Refused

MINORS = "minors"  #: the rule that nobody contests and no setting loosens
BANNED = ("letter.banned", "letter.banned_until")  #: by which a member is told that moderators banned them
ANNOUNCED = "letter.announcement"  #: the title of a word to all


Plan = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""What changes of a server's settings (None takes one back), by what they are. Pure, and may be asked more than once. Raises Refused: nothing changes."""


class Kind(enum.StrEnum):
    REPORT = "report"
    CONTEST = "contest"


class Decision(enum.StrEnum):
    """Stable: buttons and the audit log hold them."""

    APPROVE = "approve"
    REMOVE = "remove"
    WARN = "warn"
    BAN = "ban"


class Deed(enum.StrEnum):
    """What the audit log tells of. Stable."""

    APPROVE = "approve"
    REMOVE = "remove"
    WARN = "warn"
    BAN = "ban"
    UNBAN = "unban"
    PURGE = "purge"
    PAUSE = "pause"
    RESUME = "resume"
    DRAIN = "drain"
    SET = "set"
    ANNOUNCE = "announce"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`words` are the member's, as they were refused; of a report they stand with the picture and are empty here."""

    id: str
    kind: Kind
    owner: str  #: the server's, `Place.owner`
    subject: Actor  #: whose picture or words; nobody (an empty id) once they were forgotten
    job_id: str = ""  #: of a report
    words: str = ""
    rule: str = ""  #: of a contest: which rule refused (`bot.gate.Rule`)
    pictures: tuple[str, ...] = ()  #: of a contest: digests of those from outside that the words were for, in order
    offer_id: str = ""  #: of a contest: what draws it once it is allowed
    reasons: tuple[str, ...] = ()  #: what those who reported said, the oldest first
    reports: int = 0
    reply_to: ReplyTo  #: by which its member can be told
    opened_at: datetime
    decision: Decision | None = None
    decided_at: datetime | None = None
    receipt: Receipt | None = None  #: where its card stands

    @property
    def target(self) -> str:
        """There is one case a target and server: of a picture, or of the same words of the same member for the same pictures under the same rule."""
        if self.kind is Kind.REPORT:
            return f"report:{self.job_id}"
        return f"contest:{mark_of(self.subject.key, self.rule, self.words, self.pictures)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One member's word about a picture. Nobody but the bot learns whose it was."""

    actor: Actor
    reply_to: ReplyTo
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What was decided about a member on one server."""

    removed: int = 0  #: pictures, those of warnings and bans among them
    warned: int = 0
    banned: int = 0
    approved: int = 0  #: reports and contests that went their way


@dataclass(frozen=True, slots=True, kw_only=True)
class Ban:
    owner: str
    alias: str
    name: str = ""  #: as it was when they were banned; empty once they were forgotten
    since: datetime
    until: datetime | None = None  #: None: until somebody takes it back
    asked: bool = True  #: whether they had asked for something on that server, as far as was known

    def holds(self, now: datetime) -> bool:
        return self.until is None or now < self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the audit log. `who` and `subject` are pseudonyms; `detail` is plain JSON without names and without members' words."""

    id: str
    owner: str
    deed: Deed
    who: str
    subject: str = ""
    job_id: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    at: datetime  #: the database's clock, once it is written


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A word that is owed to somebody, until a chat has taken it: message ids and parameters, or a case's card as it is when it is sent."""

    id: str
    reply_to: ReplyTo
    receipt: Receipt | None = None  #: the message that it takes the place of
    case_id: str = ""
    member: str = ""  #: `Actor.key` of who it is for, if it is for one alone
    title: str = ""
    text: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    locale: str = ""
    attempts: int = 0


class Lost(enum.StrEnum):
    """Who a letter was for that nobody took. Stable: the metrics' labels."""

    MODERATORS = "moderators"  #: a case's card
    MEMBER = "member"  #: a letter to one
    CHANNEL = "channel"  #: an announcement, or what takes the place of a picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """A server in a span of time."""

    jobs: int = 0
    failed: int = 0
    members: int = 0
    credits: float = 0.0  #: of what was drawn
    reports: int = 0
    contests: int = 0
    open: int = 0  #: cases that nobody decided yet, however old
    banned: int = 0  #: members who are now
    undelivered: int = 0  #: letters that nobody took, of the last week at most
    closed: tuple[str, ...] = ()  #: channels in which a word to all could not be posted, in that week


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a decision does. The texts are message ids, empty where nobody is told."""

    hides: bool = False  #: the picture and its enlargements
    bans: bool = False
    allows: bool = False  #: the words that were refused
    to_member: str = ""
    to_reporters: str = ""


# ------------------------------------------------------------------------------------------------ decisions


def outcome(kind: Kind, decision: Decision) -> Outcome:
    """See the table above."""
    bans = decision is Decision.BAN
    if kind is Kind.CONTEST:
        if decision is Decision.APPROVE:
            return Outcome(allows=True, to_member="letter.contest_approve")
        return Outcome(bans=bans, to_member=f"letter.{kind}_{decision}")
    if decision is Decision.APPROVE:
        return Outcome(to_reporters="letter.report_stays")
    return Outcome(hides=True, bans=bans, to_member=f"letter.{kind}_{decision}", to_reporters="letter.report_upheld")


def is_moderator(actor: Actor, place: Place, owner: str, channel: str) -> bool:
    """Who manages the server, and whoever can be in its moderators' channel: the platform's own permissions say who that is.

    `owner`: of the server in question; `channel`: of its moderators, empty where there is none. A thread of it counts.
    """
    if not owner or place.owner != owner:
        return False
    return actor.admin or (bool(channel) and place.channel.partition("/")[0] == channel)


def need_decider(actor: Actor, place: Place, case: Case, channel: str) -> None:
    """Raises Refused: nobody decides elsewhere, about themselves, or what was decided before."""
    if not is_moderator(actor, place, case.owner, channel):
        raise Refused("refused.moderators_only")
    if case.subject.key == actor.key:
        raise Refused("refused.own_case")
    if case.decision is not None:
        raise Refused("refused.decided_before")


def need_reporter(actor: Actor, place: Place, owner: Actor, where: Place) -> None:
    """Whether they may report a picture of `owner` that was asked for at `where`. Raises Refused."""
    if owner.key == actor.key:
        raise Refused("refused.own_picture")
    if not where.owner or place.owner not in ("", where.owner):  # from the studio page, too, where there is no server
        raise Refused("refused.no_moderators")


def need_contestable(rule: str) -> None:
    """Raises Refused."""
    if rule == MINORS:
        raise Refused("refused.not_contested")


def bars(ban: Ban | None, actor: Actor, place: Place, now: datetime) -> bool:
    """Whether a ban keeps them from asking here: on its server; and where there is no server, or whom it is for would walk around it.

    Whoever never asked for anything on that server has nothing to walk around: everybody can make a server, and would keep anybody from the bot by an id.
    Not those who manage the server: they could not take it back otherwise.
    """
    if ban is None or not ban.holds(now):
        return False
    return ban.asked if not place.owner else place.owner == ban.owner and not actor.admin


# ------------------------------------------------------------------------------------------------ marks


def mark_of(actor_key: str, rule: str, words: str, pictures: Sequence[str] = ()) -> str:
    """By which a contested refusal is known again: the same words, however they are spaced, for the same pictures from outside, in whatever order."""
    said = "\0".join((actor_key, rule, " ".join(words.split()), *sorted(pictures)))
    return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()
