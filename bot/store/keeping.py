"""What members and servers keep: preferences, styles, lists of words, offers. Called by `bot.store.sql`; an owner is an `Actor.key` or a `Place.owner`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Table, func, select, update
from sqlalchemy import delete as delete_from
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain import Offer, Style
from bot.errors import NotFound, Refused
from bot.store import dialect
from bot.store.rows import Row, actor_of, fold, storable
from bot.store.tables import offer_pictures, offers, preferences, styles, word_lists

T = TypeVar("T")

KEPT = 100  #: styles an owner may keep, and as many lists
LONGEST_NAME = 50  #: characters
PORTION = 200  #: values in one IN (…)

_DIGEST = re.compile(r"[0-9a-f]{64}")


async def chosen(db: AsyncConnection, owner: str) -> Mapping[str, Any]:
    """See `Store.preferences`."""
    found: Mapping[str, Any] | None = (await db.execute(select(preferences.c.chosen).where(preferences.c.owner == owner))).scalar_one_or_none()
    return found or {}


async def all_chosen(db: AsyncConnection) -> Mapping[str, Mapping[str, Any]]:
    """See `Store.all_preferences`."""
    rows = (await db.execute(select(preferences.c.owner, preferences.c.chosen))).all()
    return {owner: values for owner, values in rows if values}


async def prefer(db: AsyncConnection, owner: str, changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """See `Store.prefer`."""
    before = await _lock(db, owner)
    now = {name: value for name, value in {**before, **changes}.items() if value is not None}
    await db.execute(update(preferences).where(preferences.c.owner == owner).values(chosen=now))
    return now


# ------------------------------------------------------------------------------------------------ under a name


async def kept_styles(db: AsyncConnection, owners: Sequence[str]) -> tuple[Style, ...]:
    """See `Store.styles`."""
    found = await _of(db, styles, owners)
    return tuple(Style(name=row["name"], words=row["words"], owner=row["owner"]) for _, row in sorted(found.items()))


async def save_style(db: AsyncConnection, style: Style) -> None:
    """See `Store.save_style`."""
    await _save(db, styles, style.owner, style.name, {"words": storable(style.words)})


async def kept_lists(db: AsyncConnection, owners: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """See `Store.word_lists`."""
    found = await _of(db, word_lists, owners)
    return {folded: tuple(row["entries"]) for folded, row in sorted(found.items())}


async def save_list(db: AsyncConnection, owner: str, name: str, entries: Sequence[str]) -> None:
    """See `Store.save_word_list`."""
    await _save(db, word_lists, owner, name, {"entries": [storable(entry) for entry in entries]})


async def drop(db: AsyncConnection, table: Table, owner: str, name: str) -> bool:
    """Remove one; False when there was none."""
    gone = delete_from(table).where(table.c.owner == owner, table.c.folded == fold(storable(name))).returning(table.c.name)
    return (await db.execute(gone)).one_or_none() is not None


async def _of(db: AsyncConnection, table: Table, owners: Sequence[str]) -> dict[str, Row]:
    """Rows by folded name; of two, the one whose owner comes first."""
    rows = (await db.execute(select(table).where(table.c.owner.in_(owners)))).mappings().all()
    return {row["folded"]: row for row in sorted(rows, key=lambda row: -list(owners).index(row["owner"]))}


async def _save(db: AsyncConnection, table: Table, owner: str, name: str, content: Mapping[str, Any]) -> None:
    """Raises Refused for too long a name, and for one too many."""
    name = storable(name)
    if len(name) > LONGEST_NAME:
        raise Refused("refused.long_name", limit=LONGEST_NAME)
    await _lock(db, owner)
    key = {"owner": owner, "folded": fold(name)}
    value = {"name": name, **content}
    await db.execute(dialect.insert(db, table).values(**key, **value).on_conflict_do_update(index_elements=list(key), set_=value))
    count = (await db.execute(select(func.count()).select_from(table).where(table.c.owner == owner))).scalar_one()
    if count > KEPT:
        raise Refused("refused.kept_enough", limit=KEPT)


# ------------------------------------------------------------------------------------------------ offers


async def offer(db: AsyncConnection, made: Offer) -> None:
    """See `Store.offer`."""
    content = {
        "actor_key": made.actor.key,
        "actor_platform": made.actor.platform,
        "actor_id": made.actor.id,
        "actor_name": storable(made.actor.name)[:200],
        "actor_locale": storable(made.actor.locale)[:35],
        "kind": made.kind,
        "prompts": [storable(prompt) for prompt in made.prompts],
        "facts": dict(made.facts),
        "created_at": await dialect.now(db),
    }
    await db.execute(dialect.insert(db, offers).values(id=made.id, **content).on_conflict_do_update(index_elements=["id"], set_=content))
    await db.execute(delete_from(offer_pictures).where(offer_pictures.c.offer_id == made.id))
    named = sorted(set(digests_in(made.facts)))
    if named:
        await db.execute(offer_pictures.insert(), [{"offer_id": made.id, "digest": digest} for digest in named])


async def offered(db: AsyncConnection, offer_id: str) -> Offer:
    """See `Store.offered`."""
    row = (await db.execute(select(offers).where(offers.c.id == offer_id))).mappings().one_or_none()
    if row is None:
        raise NotFound("error.not_found")
    return _offer_of(row)


def _offer_of(row: Row) -> Offer:
    return Offer(id=row["id"], actor=actor_of(row), kind=row["kind"], prompts=tuple(row["prompts"]), facts=row["facts"], created_at=row["created_at"])


async def offers_to(db: AsyncConnection, owner: str) -> tuple[Offer, ...]:
    """See `Store.offers`."""
    rows = (await db.execute(select(offers).where(offers.c.actor_key == owner).order_by(offers.c.id))).mappings()
    return tuple(_offer_of(row) for row in rows)


async def retire_offers(db: AsyncConnection, past: datetime) -> None:
    """Remove those made before that."""
    await _remove_offers(db, (await db.execute(select(offers.c.id).where(offers.c.created_at < past))).scalars().all())


async def _remove_offers(db: AsyncConnection, ids: Sequence[str]) -> None:
    for some in portions(ids):
        await db.execute(delete_from(offer_pictures).where(offer_pictures.c.offer_id.in_(some)))
        await db.execute(delete_from(offers).where(offers.c.id.in_(some)))


async def forget(db: AsyncConnection, owner: str) -> None:
    """All that an owner keeps."""
    await _remove_offers(db, (await db.execute(select(offers.c.id).where(offers.c.actor_key == owner))).scalars().all())
    for table in (preferences, styles, word_lists):
        await db.execute(delete_from(table).where(table.c.owner == owner))


# ------------------------------------------------------------------------------------------------ helpers


def digests_in(value: object) -> Iterator[str]:
    """Every picture's digest that stands in plain JSON, however deep. Pure."""
    match value:
        case str():
            if _DIGEST.fullmatch(value):
                yield value
        case Mapping():
            for each in value.values():
                yield from digests_in(each)
        case list() | tuple():
            for each in value:
                yield from digests_in(each)


def portions(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """PORTION at a time: databases bound how many values a statement may have."""
    rest = iter(values)
    while some := tuple(islice(rest, PORTION)):
        yield some


async def _lock(db: AsyncConnection, owner: str) -> Mapping[str, Any]:
    """Take the owner's row until the transaction ends, making it if need be; returns what they prefer. Raises ValueError for no owner."""
    if not owner:
        raise ValueError("nobody's: in a direct message there is no server to keep it for")
    newcomer = dialect.insert(db, preferences).values(owner=owner, chosen={})
    # Updating nothing locks the row, whoever made it, and reads what is in it then.
    locked = newcomer.on_conflict_do_update(index_elements=["owner"], set_={"owner": owner}).returning(preferences.c.chosen)
    found: Mapping[str, Any] = (await db.execute(locked)).scalar_one()
    return found
