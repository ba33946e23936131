"""Links that open one picture in the mask painter: made for whoever hands them out (`bot.app`), read by `bot.chat.web.painter`.

A link names the member, the role that their limits go by, the picture and its end, and is signed (HMAC, itsdangerous) with the installation's secret under a
salt of its own, so that no other token passes for it. Unlike a sign-in link it may be opened more than once: it lets nobody in anywhere else.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from itsdangerous import BadData, URLSafeSerializer

from bot.domain import Actor

REGION_LIFE = timedelta(hours=1)


def region_link(secret: bytes, actor: Actor, job_id: str, index: int, now: datetime) -> str:
    """The token that lets this member paint over that picture: put it behind ``/region/<job>/<index>?token=``.

    `actor.roles`: what the platform said a moment ago, and holds as long as the link. One of them, as Discord takes addresses of up to 512 characters.
    """
    ends_at = int((now + REGION_LIFE).timestamp())
    return str(_serializer(secret).dumps([actor.platform, actor.id, actor.name, actor.locale, job_id, index, ends_at, *actor.roles]))


def read_region(secret: bytes, token: str, now: datetime) -> tuple[Actor, str, int] | None:
    """(member, job, index of its picture); None when the token is forged, broken or too old."""
    try:
        platform, member, name, locale, job_id, index, ends_at, *roles = _serializer(secret).loads(token)
        ends = datetime.fromtimestamp(ends_at, UTC)
    except (BadData, ValueError, TypeError, OverflowError, OSError):
        return None
    return (Actor(platform=platform, id=member, name=name, locale=locale, roles=tuple(map(str, roles))), job_id, index) if now < ends else None


def _serializer(secret: bytes) -> URLSafeSerializer:
    return URLSafeSerializer(secret, salt="wordup.region")
