"""Waits at the start for a Postgres that is not there yet: both may have been started at the same moment. Called by `SqlStore.start`; SQLite is a file.

Waited for is only what passes without anybody changing a setting. A wrong password or an unknown database does not, and is told at once.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import ssl
from collections.abc import Awaitable, Callable
from time import monotonic

import structlog
from sqlalchemy.engine import URL

from bot.errors import Fault
from bot.store import dialect

log = structlog.get_logger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0  #: seconds between attempts, doubling
CONNECT = 10.0  #: seconds one attempt may take: a machine that is gone says nothing
#: connection_exception, operator_intervention (starting, stopping, recovering), too_many_connections: https://www.postgresql.org/docs/current/errcodes-appendix.html
_PASSING = ("08", "57P", "53300")


def is_away(error: BaseException | None) -> bool:
    """Whether a Postgres that answered so may answer otherwise in a moment: nobody listens, the name is not known yet, it starts or stops, it is full. Pure."""
    cause = getattr(error, "orig", None) or error
    if isinstance(cause, OSError):  # refused, unreachable, no such name or socket, no answer in time
        return not isinstance(cause, ssl.SSLError | PermissionError)
    return (getattr(cause, "sqlstate", None) or "").startswith(_PASSING)


async def opened(url: URL, then: Callable[[], Awaitable[object]], waits: Callable[[bool], None], jitter: Callable[[], float] = random.random) -> None:
    """Connect, do `then`; while Postgres is away, again and again. Raises Fault for what does not pass. May be cancelled at any moment.

    `waits` hears True when it is being waited for, and False when it is there. The log says so once, and once more where the reason is another one.
    """
    began, reason = monotonic(), ""
    for attempt in itertools.count():
        try:
            await reach(url)
            await then()
        except Fault as fault:
            if not is_away(fault.__cause__):
                raise
            if reason != (reason := str(fault.parameters.get("detail"))):
                log.warning("database.waiting", where=_where(url), reason=reason, meaning="it is asked again until it is there")
        else:
            break
        waits(True)
        await asyncio.sleep(min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempt, 10)) * (0.5 + jitter() / 2))
    if reason:
        log.info("database.there", where=_where(url), seconds=round(monotonic() - began, 1))
    waits(False)


async def reach(url: URL) -> None:
    """Open a connection and close it, on this loop: unlike a migration's on its thread, it can be given up at once. Raises Fault."""
    db = dialect.connect(url)
    try:
        async with asyncio.timeout(CONNECT), db.connect():
            pass
    except dialect.OUTAGES as error:
        raise dialect.fault(error) from error
    finally:
        await db.dispose()


def _where(url: URL) -> str:
    """For the log: no name, no password."""
    return f"{url.host or url.query.get('host') or 'localhost'}:{url.port or 5432}/{url.database}"
