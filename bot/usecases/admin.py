"""`/admin`, for those who manage a server, and what goes to moderators: reports, contested refusals, decisions. Called by `bot.studio`.

Everything here that changes a setting is an administrator's, and is written in the audit log with what it loosens (`change`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bot import notes
from bot.domain import Ack, Action, Actor, Card, Command, Event, Job, Press, Shown, Status, Submit, Verb, Visibility
from bot.domain.moderation import Decision, Deed, Plan, is_moderator, need_decider, need_reporter, outcome
from bot.drawing import Drawing, Order
from bot.errors import Refused, UserError
from bot.gate import Rule, Verdict, split_rules
from bot.moderation.doing import Moderation
from bot.moderation.meant import is_span, member_of, span_of
from bot.moderation.policy import EVERYBODY
from bot.notes import moderating as cards
from bot.prompts.clean import clean
from bot.prompts.flags import nearest
from bot.usecases import imagine, preferences
from bot.wishes import Standing

SURE = "yes"  #: the last word of a purge that is meant
ANNOUNCED = 1500  #: characters of an announcement
_ON, _OFF = preferences.ON, preferences.OFF - {""}


def moderation_of(house: Drawing) -> Moderation:
    """Raises Refused where this house has none (the terminal)."""
    if house.moderation is None:
        raise Refused("refused.no_server")
    return house.moderation


# ------------------------------------------------------------------------------------------------ reports


def greet_report(house: Drawing, event: Command) -> Ack:
    """Called on a picture's message it asks why, as the button does. Raises Refused."""
    if not event.job_id:
        return Ack(visibility=Visibility.PRIVATE)
    job = house.at_hand_for(event.actor, event.job_id)
    if job is not None and job.actor.key == event.actor.key:
        raise Refused("refused.own_picture")
    return Ack(form=cards.report_form(Action(verb=Verb.REPORT, job_id=event.job_id), house.say_to(event.actor)))


async def report(house: Drawing, event: Command) -> Card:
    """`/report NUMBER why`, or called on a picture's message. Raises UserError."""
    first, _, rest = clean(event.text).text.strip().partition(" ")
    number, reason = (event.job_id, f"{first} {rest}") if event.job_id else (first, rest)
    if not number:
        raise Refused("refused.report_what")
    return await _reported(house, event, await house.seen(event.actor, number.upper()), reason)


async def reported(house: Drawing, event: Submit, action: Action) -> Card:
    """The button's form, filled in. Raises UserError."""
    return await _reported(house, event, await house.seen(event.actor, action.job_id), clean(event.values.get("reason", "")).text)


async def may_report(house: Drawing, event: Event, shown: Shown) -> bool:
    """Whether a picture is somebody else's, done, and there are moderators where it was asked for."""
    if house.moderation is None or shown.job.status is not Status.DONE:
        return False
    try:
        need_reporter(event.actor, event.place, shown.job.actor, shown.job.place)
    except Refused:
        return False
    return bool(await house.moderation.channel(shown.job.place.owner))


async def _reported(house: Drawing, event: Event, shown: Shown, reason: str) -> Card:
    case = await moderation_of(house).report(event.actor, event.place, event.reply_to, shown, reason)
    return cards.reported_card(case, house.say_to(event.actor))


async def contest(house: Drawing, event: Press, action: Action) -> Card:
    """A refusal's button. Raises UserError."""
    offer = await house.offered(event.actor, action.job_id)
    if offer.kind != "contest":
        raise Refused("refused.unknown_button")
    case = await moderation_of(house).contest(event.actor, event.place, event.reply_to, imagine.unsealed(offer))
    return cards.contested_card(case, house.say_to(event.actor))


async def decide(house: Drawing, event: Press, action: Action) -> Card:
    """A moderator's button under a case. The case's card changes by itself. Raises UserError."""
    desk = moderation_of(house)
    try:
        decision = Decision(action.argument)
    except ValueError:
        raise Refused("refused.unknown_button") from None
    case = await desk.book.case(action.job_id)
    need_decider(event.actor, event.place, case, await desk.channel(case.owner))
    if outcome(case.kind, decision).hides:  # before it: what dies in between leaves a decision to be made, and no picture to come
        await _halt(house, await desk.enlarging(case))
    decided = await desk.decide(case, decision, event.actor)
    if decision is Decision.BAN and case.subject.id:
        await _stop(house, case.subject, case.owner)
    catalogue = house.say_to(event.actor)
    return replace(notes.note(catalogue, "moderation.decided"), text=catalogue.say(f"moderation.{decided.kind}_{decided.decision}_was"))


async def _stop(house: Drawing, member: Actor, owner: str) -> None:
    """What a banned member has waiting or running, wherever that ban holds, is not drawn any more."""
    bans = moderation_of(house).bans
    await _halt(house, [job for job in await house.store.active(member.key) if job.place.owner in ("", owner) and bans.of(member, job.place)])


async def _halt(house: Drawing, jobs: Iterable[Job]) -> tuple[str, ...]:
    """Cancel them, as their members would: each cost is given back; which of them had not ended."""
    stopped = []
    for job in jobs:
        if await house.queue.cancel(job.id):
            stopped.append(job.id)
            house.board.changed(job.id, job.actor.key)
    return tuple(stopped)


# ------------------------------------------------------------------------------------------------ settings


async def choose(house: Drawing, event: Event, plan: Plan, deed: Deed = Deed.SET) -> Standing:
    """Change the server's settings by what they are; in the audit log with what that was and whether it loosens anything. Raises Refused, by `plan`."""
    found = await moderation_of(house).choose(event.place.owner, event.actor, plan, deed, usual=house.policy)
    house.wishes.keep(event.place.owner, found)
    return Standing(server=found)


async def change(house: Drawing, event: Event, changes: Mapping[str, Any], deed: Deed = Deed.SET) -> None:
    """The same, whatever they are."""
    await choose(house, event, lambda before: changes, deed)


async def _private(house: Drawing, event: Command, name: str, rest: str) -> Card:
    value = rest.casefold()
    if value not in _ON | _OFF:
        raise Refused("refused.on_or_off", given=rest[:40])
    await change(house, event, {"private": True if value in _ON else None})
    return _done(house, event)


async def _words(house: Drawing, event: Command, name: str, rest: str) -> Card:
    """`words`, `words add RULE`, `words drop RULE`: the server's own word rules, one by one (`/settings rules=` has them all)."""
    verb, _, rule = rest.partition(" ")
    verb, rule = verb.casefold(), rule.strip()

    def plan(before: Mapping[str, Any]) -> Mapping[str, Any]:
        kept = Standing(server=before).rules.splitlines()
        same = [each for each in kept if each.casefold() == rule.casefold()]
        if verb == "drop":
            if not same:
                raise Refused("refused.no_such_rule", given=rule[:40])
            kept = [each for each in kept if each not in same]
        elif not same:
            kept.append(rule)
        text = split_rules("\n".join(kept))
        if len(text) > preferences.MAX_RULES:
            raise Refused("refused.too_long_setting", limit=preferences.MAX_RULES, length=len(text))
        return {"rules": text or None}

    if verb and (verb not in ("add", "drop") or not rule):
        raise Refused("refused.words_add_or_drop")
    standing = await choose(house, event, plan) if verb else await house.wishes.of(event.actor, event.place)
    return cards.rules_card(standing.rules.splitlines(), house.say_to(event.actor))


async def _limit(house: Drawing, event: Command, name: str, rest: str) -> Card:
    """`limit ROLE FACTOR`, `limit everyone FACTOR`, up to what the operator lets servers give; without a factor it is taken back."""
    role, _, said = rest.partition(" ")
    role = EVERYBODY if role.casefold().lstrip("@") in ("everyone", "all", "*") else role.strip("<@&>").partition("|")[0]
    factor: float | None = None
    if said.strip():
        try:
            factor = float(said.strip().replace(",", ".").lstrip("x×"))
        except ValueError:
            factor = -1.0
        if not 0 <= factor <= house.limits.most_given:
            raise Refused("refused.limit_factor", low=0.0, high=house.limits.most_given, given=said.strip()[:20])
    if not role:
        raise Refused("refused.limit_what")

    def plan(before: Mapping[str, Any]) -> Mapping[str, Any]:
        was = before.get("roles")
        roles = {**(was if isinstance(was, Mapping) else {}), role: factor}
        return {"roles": {each: value for each, value in roles.items() if value is not None} or None}

    await choose(house, event, plan)
    return _done(house, event)


async def _set(house: Drawing, event: Command, name: str, rest: str) -> Card:
    """`channels`, `off`, and the gate's settings, as `/settings` has them; empty takes one back."""
    await preferences.change(house, event, f"{name}={rest}", server=True)
    return _done(house, event)


async def _moderators(house: Drawing, event: Command, name: str, rest: str) -> Card:
    """`moderators here` makes this channel theirs, `moderators off` takes it back."""
    match rest.casefold():
        case "here":
            channel = event.place.channel.partition("/")[0]
            if not (channel and event.reply_to.can_post):
                raise Refused("refused.closed")
            address = event.reply_to.channel.partition("/")[0]
            await change(house, event, {"moderators": channel, "moderators_address": address, "moderators_locale": event.actor.locale or None})
        case "off":
            await change(house, event, dict.fromkeys(("moderators", "moderators_address", "moderators_locale")))
        case _:
            raise Refused("refused.moderators_where")
    return _done(house, event)


async def _pause(house: Drawing, event: Command, name: str, rest: str) -> Card:
    """`pause` takes nothing new; `drain` the same, and says what is still to be drawn; `resume` takes it back."""
    await change(house, event, {"paused": None if name == "resume" else True}, Deed(name))
    if name != "drain":
        return _done(house, event, f"admin.{name}d")
    load = await house.load()
    catalogue = house.say_to(event.actor)
    return notes.note(catalogue, "admin.done", "admin.drained", queued=load.queued, running=load.running)


# ------------------------------------------------------------------------------------------------ members


async def _ban(house: Drawing, event: Command, name: str, rest: str) -> Card:
    """`ban MEMBER [7d]`."""
    who, _, long = rest.partition(" ")
    member = member_of(who, event.actor)
    if member.key == event.actor.key:
        raise Refused("refused.ban_yourself")
    span = span_of(long) if long.strip() else None
    until = house.clock() + span if span else None
    await moderation_of(house).ban(event.place.owner, member, until, event.actor, replace(event.reply_to, user=who.strip("<@!>").partition("|")[0]))
    await _stop(house, member, event.place.owner)
    return _done(house, event, "admin.banned")


async def _unban(house: Drawing, event: Command, name: str, rest: str) -> Card:
    if not await moderation_of(house).unban(event.place.owner, member_of(rest, event.actor).key, event.actor):
        raise Refused("refused.not_banned")
    return _done(house, event, "admin.unbanned")


async def _bans(house: Drawing, event: Command, name: str, rest: str) -> Card:
    return cards.bans_card([each for each in await moderation_of(house).book.bans() if each.owner == event.place.owner], house.say_to(event.actor))


async def _purge(house: Drawing, event: Command, name: str, rest: str) -> Card:
    """`purge MEMBER yes`, `purge 24h yes`: their pictures, or everybody's of that time, and those to come. Without the last word it says how many."""
    target, _, sure = rest.partition(" ")
    desk, catalogue = moderation_of(house), house.say_to(event.actor)
    since = span_of(target) if is_span(target) else None
    member = "" if since else member_of(target, event.actor).key
    waiting = await desk.unended(event.place, member=member, since=since)
    if sure.strip().casefold() != SURE:
        found = await desk.book.jobs_in(event.place, actor_key=member, since=since, limit=10_000)
        return notes.note(catalogue, "admin.purge_title", "admin.purge_sure", count=len(found) + len(waiting), target=target)
    stopped = await _halt(house, waiting)
    gone, more = await desk.purge(event.place, event.actor, member=member, since=since, stopped=stopped)
    for job_id in gone:
        house.at_hand.pop(job_id, None)
    card = notes.note(catalogue, "admin.purge_title", "admin.purged_more" if more else "admin.purged", count=len(gone))
    return replace(card, text=f"{card.text} {catalogue.say('admin.purge_stopped', count=len(stopped))}") if stopped else card


# ------------------------------------------------------------------------------------------------ all of them


async def _announce(house: Drawing, event: Command, name: str, rest: str) -> Card:
    """In the channels that the bot is kept to, whether or not it may post in this one; where it is kept to none, in this one. On no other server."""
    if not rest or len(rest) > ANNOUNCED:
        raise Refused("refused.announce_what", limit=ANNOUNCED)
    kept_to = sorted((await house.wishes.of(event.actor, event.place)).channels)
    if not (kept_to or event.reply_to.can_post):
        raise Refused("refused.announce_closed")
    here = replace(event.reply_to, token="", expires_at=None, uses_left=None, delivery="", user="", can_post=True)
    before, colon, _ = here.channel.rpartition(":")
    places = [replace(here, channel=f"{before}{colon}{each.rpartition(':')[2]}", server=event.place.server) for each in kept_to] or [here]
    count = await moderation_of(house).announce(event.place, event.actor, places, rest)
    channels = ", ".join(each.channel.rpartition(":")[2] for each in places)
    return notes.note(house.say_to(event.actor), "admin.done", "admin.announced", count=count, channels=channels)


async def _stats(house: Drawing, event: Command, name: str, rest: str) -> Card:
    span = span_of(rest) if rest else timedelta(days=7)
    found = await moderation_of(house).book.stats(event.place, span)
    return cards.stats_card(found, max(1, round(span / timedelta(days=1))), house.say_to(event.actor))


async def _log(house: Drawing, event: Command, name: str, rest: str) -> Card:
    return cards.log_card(await moderation_of(house).book.log(event.place.owner), house.say_to(event.actor))


async def _cases(house: Drawing, event: Command, name: str, rest: str) -> Card:
    """`cases` lists what waits; `cases NUMBER` shows one, with its decisions."""
    desk = moderation_of(house)
    if rest:
        case = await desk.book.case(rest.upper())
        if case.owner != event.place.owner:
            raise Refused("refused.moderators_only")
        return replace((await desk.card(case.id))[0], job_id="", visibility=Visibility.PRIVATE)
    return cards.cases_card(await desk.book.waiting(event.place.owner), house.say_to(event.actor))


Said = Callable[[Drawing, Command, str, str], Awaitable[Card]]

#: The first word after `/admin`.
SAID: Mapping[str, Said] = {
    "moderators": _moderators,
    "cases": _cases,
    "ban": _ban,
    "unban": _unban,
    "bans": _bans,
    "purge": _purge,
    "pause": _pause,
    "resume": _pause,
    "drain": _pause,
    "words": _words,
    "private": _private,
    "limit": _limit,
    **dict.fromkeys(("channels", "off", "adult", "spoiler", "people", "edits", "artists"), _set),
    "announce": _announce,
    "stats": _stats,
    "log": _log,
}
#: What moderators may say who do not manage the server, in their channel.
MODERATORS = frozenset({"cases", "ban", "bans"})
#: Rules of the gate whose refusals may be contested.
CONTESTED = frozenset(rule.value for rule in Rule if Verdict(rule=rule).contestable)


async def admin(house: Drawing, event: Command) -> Card:
    """Raises UserError."""
    name, _, rest = " ".join(clean(event.text).text.split()).partition(" ")
    name = name.casefold()
    if not event.place.owner:
        raise Refused("refused.no_server")
    desk = moderation_of(house)
    if not (name in MODERATORS and is_moderator(event.actor, event.place, event.place.owner, await desk.channel(event.place.owner))):
        preferences.need_admin(event)
    if not name:
        standing = await house.wishes.of(event.actor, event.place)
        return cards.admin_card(standing, await desk.book.waiting(event.place.owner), house.say_to(event.actor))
    if name not in SAID:
        if near := nearest(name, tuple(SAID), cutoff=0.5):
            raise Refused("refused.no_such_admin", given=name[:40], near=near)
        raise Refused("refused.unknown_admin", given=name[:40], known=tuple(SAID))
    return await SAID[name](house, event, name, rest)


def greet(house: Drawing, event: Command) -> Ack:
    """Answered to the member alone; an announcement is posted by itself."""
    return Ack(visibility=Visibility.PRIVATE)


async def contestable(house: Drawing, event: Event, error: UserError, card: Card) -> Card:
    """The card of a refusal, with a button that sends it to the moderators where there are any; never one about minors."""
    rule = error.message.partition(".")[2].removeprefix("gate_")
    words, sent = error.parameters.get("words"), error.parameters.get("outside")
    outside = sent if isinstance(sent, tuple) else ()
    if "gate" not in error.message or rule not in CONTESTED or not isinstance(words, str) or house.moderation is None:
        return card
    if len(words) > cards.WORDS or len(outside) > cards.PICTURES:  # what stands behind that is not shown, and would be allowed unseen
        return card
    if not await house.moderation.channel(event.place.owner):
        return card
    order = error.parameters.get("order")
    later = ""
    if isinstance(order, Order):
        later = imagine.sealed(order, event.place, outside)
        await imagine.hold(house, event.actor, order)
    offer = await house.offer(event.actor, "contest", [words], rule=rule, later=later)
    return replace(card, rows=(*card.rows, (cards.contest_button(offer, house.say_to(event.actor), pictures=bool(outside)),)))


def _done(house: Drawing, event: Event, text: str = "admin.changed") -> Card:
    return notes.note(house.say_to(event.actor), "admin.done", text)


#: For `bot.usecases`: commands, and buttons whose `job_id` is no job's.
COMMANDS: Mapping[str, Callable[[Drawing, Command], Awaitable[Card]]] = {"admin": admin, "report": report}
PRESSES: Mapping[Verb, Callable[[Drawing, Press, Action], Awaitable[Card]]] = {Verb.CONTEST: contest, Verb.DECIDE: decide}
