"""Cards and forms of moderation: a case with its decisions, what `/admin` answers, and what who reports or contests is told. Pure.

Called by `bot.moderation.doing` and `bot.usecases.admin`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bot.cards import plain_words, shorten
from bot.domain import Action, Button, Card, Field, Form, Offer, Picture, Shown, Verb, Visibility
from bot.domain.moderation import Ban, Case, Decision, Entry, Kind, Record, Stats
from bot.messages import Catalogue
from bot.moderation.policy import is_paused, needs_private
from bot.notes.parts import MAX_TEXT, within
from bot.wishes import Standing

WORDS = 1000  #: characters of a member's words that a case shows
PICTURES = 8  #: that a case shows
_REASON = 200
_STYLES = {Decision.APPROVE: "success", Decision.REMOVE: "secondary", Decision.WARN: "secondary", Decision.BAN: "danger"}


def report_form(action: Action, catalogue: Catalogue) -> Form:
    """What is wrong with a picture: one may say nothing."""
    field = Field(name="reason", label=catalogue.say("moderation.reason"), long=True, required=False, hint=catalogue.say("moderation.reason_hint"))
    return Form(name=action.encode(), title=catalogue.say("moderation.report"), fields=(field,))


def reported_card(case: Case, catalogue: Catalogue) -> Card:
    """To who reported it."""
    text = "moderation.reported" if case.decision is None else "moderation.reported_stays"
    return Card(title=catalogue.say("moderation.report_title"), text=catalogue.say(text), visibility=Visibility.PRIVATE)


def contested_card(case: Case, catalogue: Catalogue) -> Card:
    """To who contests a refusal; a second time it says what came of it."""
    waiting = "moderation.contested_pictures" if case.pictures else "moderation.contested"
    text = {None: waiting, Decision.APPROVE: "letter.contest_approve"}.get(case.decision, "letter.contest_remove")
    return Card(title=catalogue.say("moderation.contest_title"), text=catalogue.say(text), visibility=Visibility.PRIVATE)


def contest_button(offer: Offer, catalogue: Catalogue, *, pictures: bool = False) -> Button:
    """Under a refusal that may be contested; the offer holds the words and the rule. `pictures`: moderators would see some as well."""
    action = Action(verb=Verb.CONTEST, job_id=offer.id)
    hint = "moderation.contest_pictures_hint" if pictures else "moderation.contest_hint"
    return Button(label=catalogue.say("moderation.contest"), hint=catalogue.say(hint), action=action)


def report_button(job_id: str, catalogue: Catalogue) -> Button:
    """On the card of a picture's details, which is the asker's alone."""
    action = Action(verb=Verb.REPORT, job_id=job_id)
    return Button(label=catalogue.say("moderation.report"), hint=catalogue.say("moderation.report_hint"), action=action)


# ------------------------------------------------------------------------------------------------ a case


def case_card(case: Case, record: Record, catalogue: Catalogue, shown: Shown | None = None, pictures: Sequence[bytes] = ()) -> Card:
    """For the moderators' channel: what it is about, what is known of its member, and the decisions; once it is decided, what was decided.

    `shown`: the job that was reported; `pictures`: its picture, or those that contested words were for, where they are there still; behind a click.
    """
    is_report = case.kind is Kind.REPORT
    words = plain_words(shown.job) if shown else case.words
    rows = [
        ("member", _name(case, catalogue)),
        *([("words", shorten(words, WORDS))] if words else []),
        *([("rule", _rule(case.rule, catalogue))] if case.rule else []),
        *([("reports", str(case.reports))] if is_report else []),
        *[("reason", shorten(reason, _REASON)) for reason in case.reasons],
        ("record", record_line(record, catalogue)),
    ]
    undecided = "moderation.contest_pictures_text" if case.pictures else f"moderation.{case.kind}_text"
    text = catalogue.say(f"moderation.{case.kind}_{case.decision}_was" if case.decision else undecided)
    alt = shorten(words, 300) if is_report else catalogue.say("moderation.sent_picture")
    seen = pictures if case.decision is None or (is_report and case.decision is Decision.APPROVE) else ()
    return Card(
        title=catalogue.say(f"moderation.{case.kind}_case"),
        text="\n".join([text, *(f"{catalogue.say(f'moderation.{key}')}: {value}" for key, value in rows)])[:MAX_TEXT],
        job_id=case.id,
        pictures=tuple(Picture(alt=alt or catalogue.say("card.untitled"), data=each) for each in seen),
        rows=() if case.decision else (tuple(_decide(case, each, catalogue) for each in Decision),),
        visibility=Visibility.PUBLIC,
        spoiler=True,
    )


def record_line(record: Record, catalogue: Catalogue) -> str:
    if record == Record():
        return catalogue.say("moderation.record_none")
    counts = {"removed": record.removed, "warned": record.warned, "banned": record.banned, "approved": record.approved}
    return catalogue.say("moderation.record_text", **counts)


def _name(case: Case, catalogue: Catalogue) -> str:
    if not case.subject.id:
        return catalogue.say("moderation.forgotten")
    return f"{case.subject.name} ({case.subject.id})" if case.subject.name else case.subject.id


def _decide(case: Case, decision: Decision, catalogue: Catalogue) -> Button:
    action = Action(verb=Verb.DECIDE, job_id=case.id, argument=decision.value)
    label, hint = catalogue.say(f"moderation.{case.kind}_{decision}"), catalogue.say(f"moderation.{case.kind}_{decision}_hint")
    return Button(label=label, hint=hint, action=action, style=_STYLES[decision])  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------ /admin


def admin_card(standing: Standing, waiting: Sequence[Case], catalogue: Catalogue) -> Card:
    """What holds, and what can be said to `/admin`. The gate's settings stand on the settings' card."""
    say, server = catalogue.say, standing.server
    roles = server.get("roles")
    found = [
        ("state", say("admin.paused" if is_paused(server) else "admin.running")),
        ("moderators", str(server.get("moderators") or "") or say("prefer.none")),
        ("waiting", str(len(waiting))),
        ("private", say("prefer.on" if needs_private(server) else "prefer.off")),
        ("words", str(len(standing.rules.splitlines()))),
        ("roles", ", ".join(f"{role}: {factor}" for role, factor in sorted(roles.items())) if isinstance(roles, Mapping) and roles else say("prefer.none")),
    ]
    return Card(
        title=say("admin.title"),
        text=say("admin.text"),
        details=tuple((say(f"admin.{key}_is"), shorten(value, 200)) for key, value in found),
        visibility=Visibility.PRIVATE,
    )


def stats_card(stats: Stats, days: int, catalogue: Catalogue) -> Card:
    values = {
        "jobs": str(stats.jobs),
        "failed": str(stats.failed),
        "members": str(stats.members),
        "credits": catalogue.number(stats.credits),
        "reports": str(stats.reports),
        "contests": str(stats.contests),
        "open": str(stats.open),
        "banned": str(stats.banned),
        "undelivered": str(stats.undelivered),
    }
    if stats.closed:
        values["closed"] = shorten(", ".join(stats.closed), 200)
    details = tuple((catalogue.say(f"admin.{key}_count"), value) for key, value in values.items())
    return Card(title=catalogue.say("admin.stats_title", count=days), details=details, visibility=Visibility.PRIVATE)


def log_card(entries: Sequence[Entry], catalogue: Catalogue) -> Card:
    """The newest lines of the audit log. Pseudonyms are shown by their last letters: enough to tell people apart."""
    lines = []
    for each in entries:
        when = f"{each.at:%Y-%m-%d %H:%M}"
        about = " ".join(filter(None, (_short(each.subject), each.job_id, _detail(each.detail, catalogue))))
        lines.append(catalogue.say("admin.log_line", when=when, who=_short(each.who), deed=catalogue.say(f"admin.{each.deed}_deed"), about=about).rstrip())
    text = within(lines, catalogue) or catalogue.say("prefer.none")
    return Card(title=catalogue.say("admin.log_title"), text=text, visibility=Visibility.PRIVATE)


def _short(alias: str) -> str:
    return alias[-6:]


def _detail(detail: Mapping[str, Any], catalogue: Catalogue) -> str:
    """In words. What another version wrote and this one has no words for is left out."""
    say, found = catalogue.say, []
    if f"moderation.{detail.get('kind')}_case" in catalogue:
        found.append(say(f"moderation.{detail['kind']}_case"))
    if detail.get("rule"):
        found.append(_rule(str(detail["rule"]), catalogue))
    if isinstance(wait := detail.get("seconds"), (int, float)):
        found.append(say("admin.span_logged", wait=wait))
    found += dict.fromkeys(_setting(each, catalogue) for each in str(detail.get("names", "")).split(", ") if each)
    if detail.get("loosens") is True:
        found.append(say("admin.loosens_logged"))
    for name in ("count", "stopped", "channels"):
        if isinstance(count := detail.get(name), int):
            found.append(say(f"admin.{name}_logged", count=count))
    return shorten(", ".join(found), 120)


def _rule(rule: str, catalogue: Catalogue) -> str:
    return catalogue.say(f"moderation.{rule}_rule") if f"moderation.{rule}_rule" in catalogue else rule


def _setting(name: str, catalogue: Catalogue) -> str:
    """As the cards that show it call it."""
    known = {"moderators_address": "moderators", "moderators_locale": "moderators", "paused": "state"}
    ids = (f"preference.{name}", f"admin.{known.get(name, name)}_is")
    return next((catalogue.say(each) for each in ids if each in catalogue), name)


def bans_card(bans: Sequence[Ban], catalogue: Catalogue) -> Card:
    lines = []
    for each in bans:
        name, since = each.name or _short(each.alias), f"{each.since:%Y-%m-%d}"
        until = f"{each.until:%Y-%m-%d %H:%M}" if each.until else ""
        lines.append(catalogue.say("admin.ban_until" if until else "admin.ban_line", name=name, since=since, **({"until": until} if until else {})))
    text = within(lines, catalogue) or catalogue.say("prefer.none")
    return Card(title=catalogue.say("admin.bans_title"), text=text, visibility=Visibility.PRIVATE)


def rules_card(rules: Sequence[str], catalogue: Catalogue) -> Card:
    """The server's own word rules."""
    text = within(rules, catalogue) or catalogue.say("prefer.none")
    return Card(title=catalogue.say("admin.words_title"), text=text, visibility=Visibility.PRIVATE)


def cases_card(waiting: Sequence[Case], catalogue: Catalogue) -> Card:
    """What waits for a decision, the oldest first."""
    lines = [
        catalogue.say("admin.case_line", when=f"{each.opened_at:%Y-%m-%d %H:%M}", what=catalogue.say(f"moderation.{each.kind}_case"), id=each.id)
        for each in waiting
    ]
    text = within(lines, catalogue) or catalogue.say("prefer.none")
    return Card(title=catalogue.say("admin.cases_title"), text=text, visibility=Visibility.PRIVATE)
