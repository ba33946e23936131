"""What is done about reports, contested refusals and members who misbehave: writes it down, and owes people a word. Made by `bot.app`, for `bot.usecases`.

Who may do it is asked before, by `bot.usecases.admin`; what a decision does is `bot.domain.moderation.outcome`'s to say.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from bot.cards import shorten
from bot.domain import Actor, Card, Job, Offer, Place, Receipt, ReplyTo, Shown, Status, Verb
from bot.domain.moderation import (
    ANNOUNCED,
    BANNED,
    Case,
    Decision,
    Deed,
    Entry,
    Kind,
    Letter,
    Outcome,
    Plan,
    Record,
    Report,
    need_contestable,
    need_reporter,
    outcome,
)
from bot.errors import NotFound, Refused
from bot.gate import Policy
from bot.messages import Catalogues
from bot.moderation.bans import Bans
from bot.moderation.policy import loosens
from bot.notes.moderating import WORDS, case_card
from bot.ports import Blobs, CaseBook, Store

log = structlog.get_logger(__name__)

PURGED = 500  #: jobs that one purge takes
UNENDED = 10_000  #: that it stops: more than wait anywhere
_ENLARGED = frozenset({Verb.PICK.value, Verb.UPSCALE.value, Verb.CREATIVE.value})  #: children that show the same picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Most:
    """How much a member may have waiting for one server's moderators at once; 0: any number."""

    reports: int = 5
    contests: int = 3


class Moderation:
    """`wake`: called when a letter is owed; `seen`: of each report and contest (None), and of each decision, to be counted."""

    def __init__(
        self,
        book: CaseBook,
        store: Store,
        blobs: Blobs,
        catalogues: Catalogues,
        *,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
        wake: Callable[[], None] = lambda: None,
        seen: Callable[[Kind, Decision | None], None] = lambda kind, decision: None,
        most: Most = Most(),
    ) -> None:
        self.book, self.bans = book, Bans(book, clock)
        self._store, self._blobs, self._catalogues = store, blobs, catalogues
        self._clock, self._new_id = clock, new_id
        self.wake, self.seen, self._most = wake, seen, most

    async def start(self) -> None:
        """Once the store is open, and before anybody is greeted."""
        await self.bans.read(now=True)

    # ------------------------------------------------------------------------------------------ what members send

    async def report(self, reporter: Actor, place: Place, reply_to: ReplyTo, shown: Shown, reason: str) -> Case:
        """A picture goes to the moderators of the server where it was asked for. Raises Refused: not one's own, only where there are moderators, and not many.

        A case that was decided comes back as it was decided.
        """
        job = shown.job
        need_reporter(reporter, place, job.actor, job.place)
        channel = await self._channel(job.place.owner)
        owners, _ = await self._store.reply_to(job.id)
        new = self._case(Kind.REPORT, job.place.owner, job.actor, replace(tokenless(owners), user=owners.user or job.actor.id), job_id=job.id)
        said = Report(actor=reporter, reply_to=tokenless(reply_to), reason=" ".join(reason.split()))
        case, joined = await self.book.open(new, said, most=self._most.reports, letter=self._case_letter(channel))
        if joined:
            self.wake()
            self.seen(Kind.REPORT, None)
            log.info("moderation.reported", case=case.id, job=job.id, reports=case.reports)
        return case

    async def contest(self, member: Actor, place: Place, reply_to: ReplyTo, offer: Offer) -> Case:
        """Words that were refused go to the moderators, with the pictures from outside that they were for.

        Raises Refused for a rule that nobody contests, where there are no moderators, and for one too many at once.
        """
        rule = str(offer.facts.get("rule", ""))
        need_contestable(rule)
        channel = await self._channel(place.owner)
        pictures = tuple(offer.facts.get("outside", ()))
        await self._need_stored(pictures)
        about = {"words": "\n".join(offer.prompts), "rule": rule, "pictures": pictures, "offer_id": offer.id}
        new = self._case(Kind.CONTEST, place.owner, member, tokenless(reply_to), **about)
        case, opened = await self.book.open(new, most=self._most.contests, letter=self._case_letter(channel))
        if case.decision is None and case.offer_id == offer.id:
            await self._store.offer(offer)  # from now on its pictures are kept: also where that failed the first time, and it is pressed again
        if opened:
            self.wake()
            self.seen(Kind.CONTEST, None)
            log.info("moderation.contested", case=case.id, rule=rule)
        return case

    async def allows(self, member: Actor, place: Place, rule: str, words: str, outside: Iterable[str] = ()) -> bool:
        """Whether moderators of this server let this member have these words drawn, though that rule is against it. Raises Fault.

        `outside`: digests of the pictures from outside that they are for. What was allowed for one picture is allowed for no other, nor for none.
        """
        if not place.owner:
            return False
        asked = {"words": words, "rule": rule, "pictures": tuple(sorted(outside))}
        return await self.book.allowed(self._case(Kind.CONTEST, place.owner, member, ReplyTo(platform=member.platform), **asked))

    # ------------------------------------------------------------------------------------------ what moderators do

    async def decide(self, case: Case, decision: Decision, by: Actor) -> Case:
        """Do it, whoever may. Raises Refused where it was decided before, and where nobody could see what would be allowed."""
        does = outcome(case.kind, decision)
        if does.allows:
            await self._need_stored(case.pictures)
        hidden = (await self._sizes(case.job_id))[0] if does.hides else ()
        people = self._to_people(case, does, await self.book.reporters(case.id), await self._drawable(case))
        letters = [*people, *[each for shown in hidden for each in await self._taken_down(shown)]]
        detail = {"case": case.id, "kind": case.kind.value, "rule": case.rule}
        entry = self._entry(case.owner, Deed(decision.value), by, detail={name: value for name, value in detail.items() if value})
        letters.append(await self._card_letter(case))
        ids = [shown.job.id for shown in hidden]
        if not await self.book.decide(case, decision, entry, hide=ids, bans=does.bans, letters=[each for each in letters if each is not None]):
            raise Refused("refused.decided_before")
        if does.bans:
            await self.bans.read(now=True)
        self.wake()
        self.seen(case.kind, decision)
        log.info("moderation.decided", case=case.id, decision=decision.value, hidden=len(ids))
        return await self.book.case(case.id)

    async def enlarging(self, case: Case) -> tuple[Job, ...]:
        """What waits or runs that is only an enlargement of the picture: it is to be stopped before a decision that removes the picture."""
        return (await self._sizes(case.job_id))[1]

    async def ban(self, owner: str, member: Actor, until: datetime | None, by: Actor, reply_to: ReplyTo) -> None:
        """`reply_to`: by which the member can be told; once a day, and only who ever asked for something there (`CaseBook.ban`)."""
        wait = (until - self._clock()).total_seconds() if until else None
        text = BANNED[until is not None]
        letter = self._letter(reply_to, member, text, **({"wait": wait} if until else {}))
        await self.book.ban(owner, member, until, self._entry(owner, Deed.BAN, by, detail={"seconds": wait}), [letter])
        await self.bans.read(now=True)
        self.wake()

    async def unban(self, owner: str, member_key: str, by: Actor) -> bool:
        """False when they were not banned."""
        done = await self.book.unban(owner, member_key, self._entry(owner, Deed.UNBAN, by))
        await self.bans.read(now=True)
        return done

    async def unended(self, place: Place, *, member: str = "", since: timedelta | None = None) -> tuple[Job, ...]:
        """What waits or runs of a member, or of a span, on this server: to be stopped before it is purged."""
        found = []
        for job_id in await self.book.jobs_in(place, actor_key=member, since=since, limit=UNENDED, ended=False):
            with contextlib.suppress(NotFound):
                found.append((await self._store.shown(job_id)).job)
        return tuple(found)

    async def purge(
        self, place: Place, by: Actor, *, member: str = "", since: timedelta | None = None, stopped: Collection[str] = ()
    ) -> tuple[tuple[str, ...], bool]:
        """Hide the newest PURGED ended jobs of a member (an `Actor.key`) or a span on this server; which, and whether there are more.

        `stopped`: those that had not ended, and were cancelled for it: there is nothing to hide, and their cards say what became of them.
        """
        ids = [each for each in await self.book.jobs_in(place, actor_key=member, since=since, limit=PURGED + 1 + len(stopped)) if each not in stopped]
        taken = tuple(ids[:PURGED])
        letters = [each for job_id in taken for each in await self._taken_down_at(job_id)]
        detail: dict[str, Any] = {"seconds": since.total_seconds()} if since is not None else {}
        if stopped:
            detail["stopped"] = len(stopped)
        entry = self._entry(place.owner, Deed.PURGE, by, subject=self.book.alias(member) if member else "", detail=detail)
        await self.book.purge(taken, entry, letters)
        self.wake()
        return taken, len(ids) > PURGED

    async def announce(self, place: Place, by: Actor, places: Iterable[ReplyTo], words: str) -> int:
        """A word to all, in each of these channels; how many."""
        locale = by.locale
        letters = [
            Letter(id=self._new_id(), reply_to=each, title=ANNOUNCED, text="letter.words", parameters={"words": words}, locale=locale) for each in places
        ]
        await self.book.write_down(self._entry(place.owner, Deed.ANNOUNCE, by, detail={"channels": len(letters)}), letters)
        self.wake()
        return len(letters)

    async def choose(self, owner: str, by: Actor, plan: Plan, deed: Deed = Deed.SET, *, usual: Policy | None = None) -> Mapping[str, Any]:
        """Change a server's settings; what they are now. Raises Refused, by `plan`.

        What was and what is goes into the audit log with it, and whether that loosens anything. Settings hold no member's words.
        `usual`: the operator's policy, which holds where a server chose nothing (None: the program's).
        """

        def entry(before: Mapping[str, Any], after: Mapping[str, Any]) -> Entry:
            names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
            said = {name: {"before": before.get(name), "after": after.get(name)} for name in names}
            detail = {"names": ", ".join(names), "loosens": any(loosens(name, before, after, usual or Policy()) for name in names), "settings": said}
            return self._entry(owner, deed, by, detail=detail)

        return await self.book.choose(owner, plan, entry)

    # ------------------------------------------------------------------------------------------ cards

    async def card(self, case_id: str) -> tuple[Card, Receipt | None]:
        """See `bot.moderation.mail.CaseCard`. In the language of whoever chose the channel. Raises NotFound."""
        case = await self.book.case(case_id)
        shown, pictures = await self._pictures(case)
        settings = await self._store.preferences(case.owner)
        record = await self.book.record(case.owner, case.subject.key) if case.subject.id else Record()
        return case_card(case, record, self._catalogues.of(str(settings.get("moderators_locale", ""))), shown, pictures), case.receipt

    async def _pictures(self, case: Case) -> tuple[Shown | None, tuple[bytes, ...]]:
        """What it is about, themselves: a chat may not be able to read another member's. Those that are stored no more are left out."""
        if not case.job_id:
            return None, await self._stored(case.pictures)
        try:
            shown = await self._store.shown(case.job_id)
        except NotFound:
            return None, ()
        first = min(shown.artifacts, key=lambda each: (each.index != -1, each.index), default=None)
        return shown, await self._stored([first.digest] if first else [])

    async def _need_stored(self, digests: Sequence[str]) -> None:
        """Nobody is asked, and nobody decides, about what cannot be seen. Raises Refused."""
        if len(await self._stored(digests)) < len(digests):
            raise Refused("refused.picture_gone")

    async def _stored(self, digests: Sequence[str]) -> tuple[bytes, ...]:
        found = []
        for each in digests:
            with contextlib.suppress(KeyError):
                found.append(await self._blobs.get(each))
        return tuple(found)

    # ------------------------------------------------------------------------------------------ parts

    async def channel(self, owner: str) -> str:
        """Of a server's moderators, as `Place.channel` has it; empty where there is none."""
        return str((await self._store.preferences(owner)).get("moderators", "")) if owner else ""

    async def _channel(self, owner: str) -> ReplyTo:
        """Where its moderators are told. Raises Refused where there is nowhere."""
        chosen = await self._store.preferences(owner) if owner else {}
        if not chosen.get("moderators"):
            raise Refused("refused.no_moderators")
        return ReplyTo(platform=owner.split(":")[1], channel=str(chosen.get("moderators_address") or chosen["moderators"]))

    def _case_letter(self, channel: ReplyTo) -> Letter:
        """By which moderators are told of a case that is about to be opened; the store says which one it became."""
        return Letter(id=self._new_id(), reply_to=channel)

    async def _card_letter(self, case: Case) -> Letter | None:
        """What changes the case's card. It may be on its way there just now: where it stands is looked up when this is told."""
        try:
            there = await self._channel(case.owner)
        except Refused:
            if case.receipt is None:
                return None
            asked = case.reply_to.channel if case.reply_to.platform == case.receipt.platform else ""
            before, colon, _ = asked.rpartition(":")  # what all of that server's channels are reached by
            there = ReplyTo(platform=case.receipt.platform, channel=f"{before}{colon}{case.receipt.channel}")
        return Letter(id=self._new_id(), reply_to=there, case_id=case.id)

    def _case(self, kind: Kind, owner: str, subject: Actor, reply_to: ReplyTo, **more: Any) -> Case:
        return Case(id=self._new_id(), kind=kind, owner=owner, subject=subject, reply_to=reply_to, opened_at=self._clock(), **more)

    def _entry(self, owner: str, deed: Deed, by: Actor, *, subject: str = "", detail: dict[str, Any] | None = None) -> Entry:
        who = self.book.alias(by.key)
        return Entry(id=self._new_id(), owner=owner, deed=deed, who=who, subject=subject, detail=detail or {}, at=self._clock())

    def _letter(self, reply_to: ReplyTo, to: Actor, text: str, **parameters: Any) -> Letter:
        there = directly(reply_to, to)
        return Letter(id=self._new_id(), reply_to=there, member=to.key, title="letter.title", text=text, parameters=parameters, locale=to.locale)

    async def _drawable(self, case: Case) -> Offer | None:
        """What draws a contested refusal by one press; None where it is kept no more."""
        if not case.offer_id:
            return None
        with contextlib.suppress(NotFound):
            offer = await self._store.offered(case.offer_id)
            return offer if "order" in offer.facts else None
        return None

    def _to_people(self, case: Case, does: Outcome, reporters: Sequence[Report], offer: Offer | None) -> list[Letter | None]:
        letters: list[Letter | None] = []
        if does.allows and case.subject.id and offer is not None:
            more = {"words": shorten(offer.facts["typed"], WORDS), "offer": offer.id}
            letters.append(self._letter(case.reply_to, case.subject, "letter.contest_allowed", **more))
        elif does.to_member and case.subject.id:
            letters.append(self._letter(case.reply_to, case.subject, does.to_member))
        if does.to_reporters:
            letters += [self._letter(each.reply_to, each.actor, does.to_reporters) for each in reporters]
        return letters

    async def _sizes(self, job_id: str) -> tuple[tuple[Shown, ...], tuple[Job, ...]]:
        """The reported picture, what it was enlarged from, and everything that is only an enlargement of it: what is drawn, and what waits or runs.

        Whatever is gone already, or goes meanwhile, is left out.
        """
        try:
            root = await self._store.shown(job_id)
        except NotFound:
            return (), ()
        index: int | None = None  # which of the root's pictures it is; None: all of them were reported
        while (origin := root.job.parent) is not None and origin.verb in _ENLARGED:
            try:
                root, index = await self._store.shown(origin.job_id), origin.index
            except NotFound:
                break
        found, waiting, left = {root.job.id: root}, {}, [root]
        while left:
            of = left.pop()
            for child in of.children:
                same = child.parent is not None and child.parent.verb in _ENLARGED and (of is not root or index in (None, child.parent.index))
                if same and not child.status.ended:
                    waiting[child.id] = child
                elif same and child.status is Status.DONE and child.id not in found:
                    with contextlib.suppress(NotFound):
                        found[child.id] = await self._store.shown(child.id)
                        left.append(found[child.id])
        return tuple(found.values()), tuple(waiting.values())

    async def _taken_down(self, shown: Shown) -> list[Letter]:
        return await self._taken_down_at(shown.job.id, shown.job.actor.locale)

    async def _taken_down_at(self, job_id: str, locale: str = "") -> list[Letter]:
        """What takes the place of a picture's cards, wherever they stand for others to see: where it was asked for, and where somebody had it shown."""
        reply_to, newest = await self._store.reply_to(job_id)
        receipts = dict.fromkeys([*([newest] if newest else []), *await self.book.stands(job_id)])
        return [self._removed(each, reply_to, locale) for each in receipts if each.channel]

    def _removed(self, receipt: Receipt, asked: ReplyTo, locale: str) -> Letter:
        """`asked`: by which the job's own place is reached, and with it all of that platform."""
        channel = asked.channel if receipt.platform == asked.platform else receipt.channel
        there = ReplyTo(platform=receipt.platform, channel=channel, can_post=False)
        return Letter(id=self._new_id(), reply_to=there, receipt=receipt, title="letter.removed_title", text="letter.removed_text", locale=locale)


def directly(reply_to: ReplyTo, to: Actor) -> ReplyTo:
    """By which a member is told alone, later. Who asked on the studio's page as a member of a chat is told there: a page takes no letters."""
    if reply_to.platform != to.platform:
        shared, colon, own = to.id.rpartition(":")  # a workspace and its member, on Slack
        return ReplyTo(platform=to.platform, channel=f"{shared}{colon}", user=own)
    return replace(tokenless(reply_to), user=reply_to.user or to.id)


def tokenless(reply_to: ReplyTo) -> ReplyTo:
    """For later: by the bot's own means, or directly."""
    return replace(reply_to, token="", expires_at=None, uses_left=None, delivery="")
