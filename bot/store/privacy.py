"""What becomes of a member who wants to be forgotten, and what they are given before. Called by `bot.store.sql`.

Rows of jobs and of the ledger stay, so that the books are exact: without words, without pictures, without places, under a pseudonym that nobody can
compute without this installation's secret. The wallet stays under it too, and is the member's again when they come back: forgetting refills nothing.
What others made of a member's public pictures is those others'.
"""

from __future__ import annotations

import hashlib
import hmac

from sqlalchemy import delete as delete_from
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain import Status
from bot.store import claims, gallery, keeping, moderating, wallet
from bot.store.tables import jobs, posts, wallets
from engine.api import ImagineRequest, request_to_dict

NOBODY = "forgotten"  #: the platform of a pseudonym

#: In the place of everything a member asked for.
_BLANK = request_to_dict(ImagineRequest(model="", parts=(), width=0, height=0, count=0, steps=0, guidance=0.0))


def pseudonym(actor_key: str, secret: bytes) -> str:
    """What stands in the place of an `Actor.key`: always the same, and no way back. Pure."""
    return f"{NOBODY}:{hmac.new(secret, actor_key.encode('utf-8', 'replace'), hashlib.sha256).hexdigest()[:32]}"


async def forget(db: AsyncConnection, actor_key: str, secret: bytes) -> int:
    """See `Store.forget`."""
    nobody = pseudonym(actor_key, secret)
    await wallet.lock_order(db)
    await db.execute(select(wallets.c.actor_key).where(wallets.c.actor_key == actor_key).with_for_update())
    for job in await gallery.active(db, actor_key):
        await claims.cancel(db, job.id)
    theirs = jobs.c.actor_key == actor_key
    ids = (await db.execute(select(jobs.c.id).where(theirs, jobs.c.status.in_([status.value for status in Status if status.ended])))).scalars().all()
    count = 0
    for some in keeping.portions(ids):
        count += await gallery.delete(db, some)
        await db.execute(delete_from(posts).where(posts.c.job_id.in_(some)))
        await db.execute(update(jobs).where(jobs.c.id.in_(some)).values(_nothing_of(nobody)))
    await keeping.forget(db, actor_key)
    await moderating.forget(db, actor_key, nobody)
    await wallet.forget(db, actor_key, nobody)
    return count


def _nothing_of(nobody: str) -> dict[str, object]:
    """What is written over a job's row. Its status, costs and times stay."""
    platform, _, name = nobody.partition(":")
    return {
        "request": _BLANK,
        "words": "",
        "folded": "",
        "actor_key": nobody,
        "actor_platform": platform,
        "actor_id": name,
        "actor_name": "",
        "actor_locale": "",
        "place_platform": platform,
        "place_server": "",
        "place_channel": "",
        "reply_to": {"platform": platform},
        "parent_job": None,
        "parent_verb": None,
        "parent_index": None,
        "batch": "",
        "error_parameters": None,
    }
