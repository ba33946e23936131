"""Cases, reports, bans, the audit log and the words owed to people. Called by `bot.store.casebook`; what they mean is in `bot.domain.moderation`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, exists, func, or_, select, update
from sqlalchemy import delete as delete_from
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain import Actor, Place, Receipt, Status
from bot.domain.moderation import BANNED, Ban, Case, Decision, Deed, Entry, Kind, Letter, Plan, Record, Report, Stats
from bot.errors import NotFound
from bot.store import dialect, gallery, keeping, mail, openings, tables
from bot.store.keeping import portions
from bot.store.rows import Row, actor_of, reply_to_dict, reply_to_of, storable
from bot.store.tables import audit, cases, jobs, letters, messages, reports

REASON = 500  #: characters of a report's reason that are kept
REASONS = 10  #: of a case that are read
KEPT = timedelta(days=180)  #: how long a decided case is remembered: an approval holds as long
TOLD_OF_BANS = timedelta(days=1)  #: within which a server tells a member once that they are banned, however often it bans them

_TOLD_OF_CASES = ("kind", "owner", "job_id", "words", "rule", "pictures", "decision")  #: to their member, in an export

# ------------------------------------------------------------------------------------------------ cases


async def open_case(db: AsyncConnection, case: Case, alias: str, report: Report | None, reporter: str, most: int, letter: Letter | None) -> tuple[Case, bool]:
    """See `CaseBook.open`. `alias` and `reporter` are the subject's and the reporter's pseudonyms."""
    opener = reporter or alias
    await openings.take_turn(db, case.owner, opener)
    now = await dialect.now(db)
    values = {
        "id": case.id,
        "kind": case.kind.value,
        "owner": case.owner,
        "target": case.target,
        "alias": alias,
        "subject_key": case.subject.key,
        "actor_platform": case.subject.platform,
        "actor_id": case.subject.id,
        "actor_name": storable(case.subject.name)[:200],
        "actor_locale": storable(case.subject.locale)[:35],
        "job_id": case.job_id,
        "words": storable(case.words),
        "rule": case.rule,
        "pictures": list(case.pictures),
        "offer_id": case.offer_id,
        "reply_to": reply_to_dict(case.reply_to),
        "opened_at": now,
    }
    made = dialect.insert(db, cases).values(values).on_conflict_do_nothing(index_elements=["owner", "target"]).returning(cases.c.id)
    fresh = (await db.execute(made)).scalar_one_or_none() is not None
    row = (await db.execute(select(cases).where(cases.c.owner == case.owner, cases.c.target == case.target).with_for_update())).mappings().one()
    joined = fresh
    if report is not None and row["decision"] is None:
        said = {
            "case_id": row["id"],
            "alias": reporter,
            "reporter_key": report.actor.key,
            "reply_to": reply_to_dict(report.reply_to),
            "locale": storable(report.actor.locale)[:35],
            "reason": storable(report.reason)[:REASON],
            "at": now,
        }
        kept = dialect.insert(db, reports).values(said).on_conflict_do_nothing().returning(reports.c.case_id)
        joined = (await db.execute(kept)).scalar_one_or_none() is not None
    if joined and most:
        await openings.need_room(db, case.kind, case.owner, opener, most)
    if joined and letter is not None:
        await mail.post(db, [replace(letter, case_id=row["id"])], case.owner)
    return (await _with_reports(db, [row]))[0], joined


async def case_of(db: AsyncConnection, case_id: str) -> Case:
    """See `CaseBook.case`."""
    found = await _with_reports(db, (await db.execute(select(cases).where(cases.c.id == case_id))).mappings().all())
    if not found:
        raise NotFound("error.not_found")
    return found[0]


async def open_cases(db: AsyncConnection, owner: str, limit: int) -> tuple[Case, ...]:
    """See `CaseBook.waiting`."""
    rows = await db.execute(select(cases).where(cases.c.owner == owner, cases.c.decision.is_(None)).order_by(cases.c.id).limit(limit))
    return await _with_reports(db, rows.mappings().all())


async def reporters(db: AsyncConnection, case_id: str) -> tuple[Report, ...]:
    """See `CaseBook.reporters`. Those who were forgotten are told nothing."""
    rows = await db.execute(select(reports).where(reports.c.case_id == case_id, reports.c.reporter_key != "").order_by(reports.c.at))
    return tuple(_report_of(row) for row in rows.mappings())


async def decide(db: AsyncConnection, case_id: str, decision: Decision, entry: Entry, *, hide: Sequence[str], bans: bool, owed: Sequence[Letter]) -> bool:
    """See `CaseBook.decide`."""
    now = await dialect.now(db)
    undecided = update(cases).where(cases.c.id == case_id, cases.c.decision.is_(None))
    row = (await db.execute(undecided.values(decision=decision.value, decided_at=now).returning(cases))).mappings().one_or_none()
    if row is None:
        return False
    await write_down(db, entry, subject=row["alias"], job_id=row["job_id"])
    for some in portions(hide):
        await gallery.delete(db, some)
    if bans:
        await _ban(db, row["owner"], row["alias"], actor_of(row), None, asked=True)  # as the row has them: they may have been forgotten a moment ago
    await mail.post(db, owed, row["owner"])
    return True


async def allowed(db: AsyncConnection, owner: str, target: str) -> bool:
    """See `CaseBook.allowed`."""
    mine = (cases.c.owner == owner) & (cases.c.target == target) & (cases.c.decision == Decision.APPROVE.value)
    return (await db.execute(select(cases.c.id).where(mine))).scalar_one_or_none() is not None


async def record(db: AsyncConnection, owner: str, alias: str) -> Record:
    """See `CaseBook.record`."""
    query = select(audit.c.deed, func.count()).where(audit.c.subject == alias, audit.c.owner == owner).group_by(audit.c.deed)
    counts = Counter({deed: count for deed, count in (await db.execute(query)).all()})
    removed = counts[Deed.REMOVE] + counts[Deed.WARN] + counts[Deed.BAN]
    return Record(removed=removed, warned=counts[Deed.WARN], banned=counts[Deed.BAN], approved=counts[Deed.APPROVE])


async def _with_reports(db: AsyncConnection, rows: Sequence[Row]) -> tuple[Case, ...]:
    ids = [row["id"] for row in rows]
    said: dict[str, list[str]] = {each: [] for each in ids}
    count: Counter[str] = Counter()
    for row in (await db.execute(select(reports.c.case_id, reports.c.reason).where(reports.c.case_id.in_(ids)).order_by(reports.c.at))).mappings():
        count[row["case_id"]] += 1
        if row["reason"]:
            said[row["case_id"]].append(row["reason"])
    return tuple(_case_of(row, tuple(said[row["id"]][:REASONS]), count[row["id"]]) for row in rows)


def _case_of(row: Row, reasons: tuple[str, ...], count: int) -> Case:
    stands = row["post_handle"] is not None
    return Case(
        id=row["id"],
        kind=Kind(row["kind"]),
        owner=row["owner"],
        subject=actor_of(row),
        job_id=row["job_id"],
        words=row["words"],
        rule=row["rule"],
        pictures=tuple(row["pictures"]),
        offer_id=row["offer_id"],
        reasons=reasons,
        reports=count,
        reply_to=reply_to_of(row["reply_to"]),
        opened_at=row["opened_at"],
        decision=Decision(row["decision"]) if row["decision"] else None,
        decided_at=row["decided_at"],
        receipt=Receipt(platform=row["post_platform"], channel=row["post_channel"], handle=row["post_handle"]) if stands else None,
    )


def _report_of(row: Row) -> Report:
    platform, _, ident = row["reporter_key"].partition(":")
    return Report(actor=Actor(platform=platform, id=ident, locale=row["locale"]), reply_to=reply_to_of(row["reply_to"]), reason=row["reason"])


# ------------------------------------------------------------------------------------------------ bans


async def all_bans(db: AsyncConnection) -> tuple[Ban, ...]:
    """See `CaseBook.bans`."""
    now = await dialect.now(db)
    rows = await db.execute(
        select(tables.bans).where(or_(tables.bans.c.until.is_(None), tables.bans.c.until > now)).order_by(tables.bans.c.since, tables.bans.c.alias)
    )
    return tuple(Ban(**{name: row[name] for name in Ban.__dataclass_fields__}) for row in rows.mappings())


async def ban(db: AsyncConnection, owner: str, alias: str, actor: Actor, until: datetime | None, entry: Entry, owed: Sequence[Letter]) -> None:
    """See `CaseBook.ban`."""
    await dialect.take_turn(db, f"bans\0{owner}\0{alias}")
    asked = await _ban(db, owner, alias, actor, until, asked=await _asked(db, owner, alias, actor))
    await write_down(db, entry, subject=alias)
    if asked and not await _told_of_bans(db, owner, actor):
        await mail.post(db, owed, owner)


async def _ban(db: AsyncConnection, owner: str, alias: str, actor: Actor, until: datetime | None, *, asked: bool) -> bool:
    """Whether they had asked for something on that server, now or when they were banned before."""
    known = {"actor_key": actor.key if actor.id else "", "name": storable(actor.name)[:200], "until": until, "since": await dialect.now(db)}
    new = dialect.insert(db, tables.bans).values(owner=owner, alias=alias, asked=asked, **known)
    kept = new.on_conflict_do_update(index_elements=["owner", "alias"], set_={**known, "asked": or_(tables.bans.c.asked, new.excluded.asked)})
    return bool((await db.execute(kept.returning(tables.bans.c.asked))).scalar_one())


async def _asked(db: AsyncConnection, owner: str, alias: str, actor: Actor) -> bool:
    """Whether they had something drawn on that server, or a case there: what was deleted counts, what was forgotten cannot."""
    _, platform, server = owner.split(":", 2)
    theirs = exists().where(jobs.c.actor_key == actor.key, jobs.c.place_platform == platform, jobs.c.place_server == server)
    known = exists().where(cases.c.owner == owner, cases.c.alias == alias)
    return bool((await db.execute(select(or_(theirs, known)))).scalar_one())


async def _told_of_bans(db: AsyncConnection, owner: str, actor: Actor) -> bool:
    lately = letters.c.created_at > await dialect.now(db) - TOLD_OF_BANS
    mine = exists().where(letters.c.owner == owner, letters.c.member == actor.key, letters.c.text.in_(BANNED), lately)
    return bool((await db.execute(select(mine))).scalar_one())


async def unban(db: AsyncConnection, owner: str, alias: str, entry: Entry) -> bool:
    """See `CaseBook.unban`."""
    gone = delete_from(tables.bans).where(tables.bans.c.owner == owner, tables.bans.c.alias == alias).returning(tables.bans.c.alias)
    if (await db.execute(gone)).one_or_none() is None:
        return False
    await write_down(db, entry, subject=alias)
    return True


# ------------------------------------------------------------------------------------------------ settings, the log, and many jobs at once


async def choose(db: AsyncConnection, owner: str, plan: Plan, entry: Callable[[Mapping[str, Any], Mapping[str, Any]], Entry]) -> Mapping[str, Any]:
    """See `CaseBook.choose`. What holds is read with its row taken: of two at once each plans on what the other left."""
    before = await keeping.prefer(db, owner, {})
    after = await keeping.prefer(db, owner, plan(before))
    await write_down(db, entry(before, after))
    return after


async def write_down(db: AsyncConnection, entry: Entry, *, subject: str | None = None, job_id: str | None = None) -> None:
    """`subject` and `job_id` go before the entry's."""
    about = entry.subject if subject is None else subject
    job = entry.job_id if job_id is None else job_id
    values = {"id": entry.id, "at": await dialect.now(db), "owner": entry.owner, "deed": entry.deed.value, "who": entry.who}
    await db.execute(audit.insert(), [{**values, "subject": about, "job_id": job, "detail": dict(entry.detail)}])


async def entries(db: AsyncConnection, owner: str, before: str | None, limit: int) -> tuple[Entry, ...]:
    """See `CaseBook.log`."""
    query = select(audit).where(audit.c.owner == owner)
    if before is not None:
        query = query.where(audit.c.id < before)
    rows = await db.execute(query.order_by(audit.c.id.desc()).limit(limit))
    return tuple(Entry(**{**row, "deed": Deed(row["deed"])}) for row in map(dict, rows.mappings()))


async def jobs_in(db: AsyncConnection, place: Place, actor_key: str, since: timedelta | None, limit: int, *, ended: bool) -> tuple[str, ...]:
    """See `CaseBook.jobs_in`."""
    at = jobs.c.status.in_([status.value for status in Status if status.ended is ended])
    query = select(jobs.c.id).where(jobs.c.place_platform == place.platform, jobs.c.place_server == place.server, jobs.c.deleted_at.is_(None), at)
    if actor_key:
        query = query.where(jobs.c.actor_key == actor_key)
    if since is not None:
        query = query.where(jobs.c.created_at >= await dialect.now(db) - since)
    return tuple((await db.execute(query.order_by(jobs.c.id.desc()).limit(limit))).scalars())


async def stands(db: AsyncConnection, job_id: str) -> tuple[Receipt, ...]:
    """See `CaseBook.stands`."""
    query = select(messages.c.platform, messages.c.channel, messages.c.handle).where(messages.c.job_id == job_id)
    rows = (await db.execute(query.order_by(*messages.primary_key.columns))).mappings()
    return tuple(Receipt(**row) for row in rows)


async def purge(db: AsyncConnection, job_ids: Sequence[str], entry: Entry, owed: Sequence[Letter]) -> int:
    """See `CaseBook.purge`."""
    count = 0
    for some in portions(job_ids):
        count += await gallery.delete(db, some)
    await write_down(db, Entry(**{**_fields(entry), "detail": {**entry.detail, "count": count}}))
    await mail.post(db, owed, entry.owner)
    return count


def _fields(entry: Entry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in Entry.__dataclass_fields__}


async def stats(db: AsyncConnection, place: Place, span: timedelta) -> Stats:
    """See `CaseBook.stats`."""
    now = await dialect.now(db)
    here = and_(jobs.c.place_platform == place.platform, jobs.c.place_server == place.server, jobs.c.created_at >= now - span)
    done, failed = jobs.c.status == Status.DONE.value, jobs.c.status == Status.FAILED.value
    drawn = select(
        func.count(),
        func.count().filter(failed),
        func.count(func.distinct(jobs.c.actor_key)),
        func.coalesce(func.sum(jobs.c.cost).filter(done), 0.0),
    ).where(here)
    total, broken, members, credits = (await db.execute(drawn)).one()
    mine, fresh = cases.c.owner == place.owner, cases.c.opened_at >= now - span
    opened = select(
        func.count().filter(fresh, cases.c.kind == Kind.REPORT.value),
        func.count().filter(fresh, cases.c.kind == Kind.CONTEST.value),
        func.count().filter(cases.c.decision.is_(None)),
    ).where(mine)
    reported, contested, waiting = (await db.execute(opened)).one()
    banned = sum(each.owner == place.owner for each in await all_bans(db))
    lost = await mail.undelivered(db, place.owner, now - span)
    told = {"reports": reported, "contests": contested, "open": waiting, "banned": banned, "undelivered": lost}
    closed = await mail.closed(db, place.owner, now - span)
    return Stats(jobs=total, failed=broken, members=members, credits=credits, closed=closed, **told)


# ------------------------------------------------------------------------------------------------ what becomes of it


async def tidy(db: AsyncConnection) -> None:
    """See `CaseBook.tidy`."""
    now = await dialect.now(db)
    old = (await db.execute(select(cases.c.id).where(cases.c.decided_at < now - KEPT))).scalars().all()
    for some in portions(old):
        await db.execute(delete_from(reports).where(reports.c.case_id.in_(some)))
        await db.execute(delete_from(cases).where(cases.c.id.in_(some)))
    await mail.tidy(db)
    await db.execute(delete_from(tables.bans).where(tables.bans.c.until <= now))


async def kept_of(db: AsyncConnection, actor_key: str) -> Mapping[str, Any]:
    """See `CaseBook.kept`."""
    mine = (await db.execute(select(cases).where(cases.c.subject_key == actor_key).order_by(cases.c.id))).mappings().all()
    said = (await db.execute(select(reports).where(reports.c.reporter_key == actor_key).order_by(reports.c.at))).mappings().all()
    held = (await db.execute(select(tables.bans).where(tables.bans.c.actor_key == actor_key).order_by(tables.bans.c.owner))).mappings().all()
    return {
        "cases": [{name: row[name] for name in _TOLD_OF_CASES} | {"opened_at": row["opened_at"].isoformat()} for row in mine],
        "reports": [{"reason": row["reason"], "at": row["at"].isoformat()} for row in said],
        "bans": [{"owner": row["owner"], "since": row["since"].isoformat(), "until": row["until"].isoformat() if row["until"] else None} for row in held],
    }


async def forget(db: AsyncConnection, actor_key: str, nobody: str) -> None:
    """Of a member who is forgotten: what they said and how they were called goes; decisions and bans stay under their pseudonym."""
    platform, theirs = nobody.partition(":")[0], cases.c.subject_key == actor_key
    nobodys = {"subject_key": "", "actor_platform": platform, "actor_id": "", "actor_name": "", "actor_locale": ""}
    await db.execute(update(cases).where(theirs, cases.c.kind == Kind.CONTEST.value).values(target=cases.c.id))  # a mark can be computed again
    await db.execute(update(cases).where(theirs).values(**nobodys, words="", pictures=[], offer_id="", reply_to={"platform": platform}))
    silent = {"reporter_key": "", "reply_to": {"platform": platform}, "locale": "", "reason": ""}
    await db.execute(update(reports).where(reports.c.reporter_key == actor_key).values(silent))
    await db.execute(update(tables.bans).where(tables.bans.c.actor_key == actor_key).values(actor_key="", name=""))
    await db.execute(delete_from(letters).where(letters.c.member == actor_key))
