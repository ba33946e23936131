"""One-time sign-in links, and the cookie that follows one.

`mint` is called by `wordup signin` and by the chats' `/web` command; `bot.chat.web.security` reads what comes back. A link's token names the
member, ends after `LINK_LIFE` and carries an id which is spent when the link is used. Both kinds of token are signed (HMAC, itsdangerous) with the
installation's secret under different salts, so that neither passes for the other.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from itsdangerous import BadData, URLSafeSerializer

LINK_LIFE = timedelta(minutes=15)
SESSION_LIFE = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A verified token: who it names, when it ends, and the id under which a link is spent."""

    actor_id: str
    name: str
    ends_at: datetime
    id: str


def mint(secret: bytes, actor_id: str, name: str, now: datetime, *, ticket_id: str | None = None) -> str:
    """The token of a sign-in link for this member: put it behind ``/sign-in?token=``."""
    return _sign(secret, "link", actor_id, name, now + LINK_LIFE, ticket_id or secrets.token_urlsafe(12))


def redeem(secret: bytes, token: str, now: datetime) -> Ticket | None:
    """What a link's token says; None when it is forged, broken or expired. Whether it was spent is for the caller to find out."""
    return _read(secret, "link", token, now)


def session(secret: bytes, actor_id: str, name: str, now: datetime) -> str:
    """The value of a session cookie."""
    return _sign(secret, "session", actor_id, name, now + SESSION_LIFE, "")


def read_session(secret: bytes, cookie: str, now: datetime) -> Ticket | None:
    """Whose cookie it is; None when it is forged, broken or expired."""
    return _read(secret, "session", cookie, now)


def _serializer(secret: bytes, salt: str) -> URLSafeSerializer:
    return URLSafeSerializer(secret, salt=f"wordup.{salt}")


def _sign(secret: bytes, salt: str, actor_id: str, name: str, ends_at: datetime, ticket_id: str) -> str:
    return str(_serializer(secret, salt).dumps([actor_id, name, int(ends_at.timestamp()), ticket_id]))


def _read(secret: bytes, salt: str, token: str, now: datetime) -> Ticket | None:
    try:
        actor_id, name, ends_at, ticket_id = _serializer(secret, salt).loads(token)
    except (BadData, ValueError, TypeError):
        return None
    ends = datetime.fromtimestamp(ends_at, UTC)
    return Ticket(actor_id=actor_id, name=name, ends_at=ends, id=ticket_id) if now < ends else None
