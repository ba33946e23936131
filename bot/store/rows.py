"""Rows ⇄ domain values. Used by every query module of this package."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bot.domain import Actor, Artifact, Job, Origin, Place, Receipt, ReplyTo, Said, Status
from engine.api import Request, request_from_dict, request_to_dict

Row = Mapping[Any, Any]  #: what `result.mappings()` yields


def fold(text: str) -> str:
    """What the search compares: compatibility forms and case folded away."""
    return unicodedata.normalize("NFKC", text).casefold()


def storable(text: str) -> str:
    """Text every database takes: no NUL (Postgres) and no lone surrogates (UTF-8)."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def sources(request: Request) -> frozenset[str]:
    """Digests of the pictures a request starts from."""
    return frozenset(request.pictures)


def job_values(job: Job, reply_to: ReplyTo, *, created_at: datetime, start_tag: float) -> dict[str, Any]:
    """A new row of `jobs`, queued."""
    words = storable(job.words)
    return {
        "id": job.id,
        "request": request_to_dict(job.request),
        "words": words,
        "folded": fold(words),
        "actor_key": job.actor.key,
        "actor_platform": job.actor.platform,
        "actor_id": job.actor.id,
        "actor_name": storable(job.actor.name)[:200],
        "actor_locale": storable(job.actor.locale)[:35],
        "place_platform": job.place.platform,
        "place_server": job.place.server,
        "place_channel": job.place.channel,
        "reply_to": reply_to_dict(reply_to),
        "status": Status.QUEUED.value,
        "cost": job.cost,
        "parent_job": job.parent.job_id if job.parent else None,
        "parent_verb": str(job.parent.verb) if job.parent else None,
        "parent_index": job.parent.index if job.parent else None,
        "private": job.private,
        "relaxed": job.relaxed,
        "hidden": job.hidden,
        "batch": job.batch,
        "sexual": job.sexual,
        "attempts": 0,
        "created_at": created_at,
        "device_seconds": 0.0,
        "start_tag": start_tag,
    }


def job_of(row: Row) -> Job:
    return Job(
        id=row["id"],
        request=request_from_dict(row["request"]),
        words=row["words"],
        actor=actor_of(row),
        place=Place(platform=row["place_platform"], server=row["place_server"], channel=row["place_channel"]),
        status=Status(row["status"]),
        cost=row["cost"],
        parent=Origin(job_id=row["parent_job"], verb=row["parent_verb"], index=row["parent_index"]) if row["parent_job"] else None,
        private=row["private"],
        relaxed=row["relaxed"],
        hidden=row["hidden"],
        batch=row["batch"],
        sexual=row["sexual"],
        error=Said(message=row["error_message"], parameters=row["error_parameters"] or {}) if row["error_message"] else None,
        attempts=row["attempts"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        device_seconds=row["device_seconds"],
    )


def actor_of(row: Row) -> Actor:
    """From a row with columns actor_…. Who may change settings is never stored."""
    return Actor(platform=row["actor_platform"], id=row["actor_id"], name=row["actor_name"], locale=row["actor_locale"])


def artifact_values(artifact: Artifact) -> dict[str, Any]:
    return {
        "job_id": artifact.job_id,
        "idx": artifact.index,
        "digest": artifact.digest,
        "seed": artifact.seed,
        "width": artifact.width,
        "height": artifact.height,
        "favourite": artifact.favourite,
        "seen": storable(artifact.seen),
        "fingerprint": artifact.fingerprint,
    }


def artifact_of(row: Row) -> Artifact:
    return Artifact(
        job_id=row["job_id"],
        index=row["idx"],
        digest=row["digest"],
        seed=row["seed"],
        width=row["width"],
        height=row["height"],
        favourite=row["favourite"],
        seen=row["seen"],
        fingerprint=row["fingerprint"],
    )


def reply_to_dict(reply_to: ReplyTo) -> dict[str, Any]:
    return {
        "platform": reply_to.platform,
        "channel": reply_to.channel,
        "token": reply_to.token,
        "expires_at": reply_to.expires_at.isoformat() if reply_to.expires_at else None,
        "uses_left": reply_to.uses_left,
        "can_post": reply_to.can_post,
        "user": reply_to.user,
        "delivery": reply_to.delivery,
        "server": reply_to.server,
    }


def reply_to_of(data: Mapping[str, Any]) -> ReplyTo:
    """Fields this program does not know are ignored; missing ones get their defaults: rows outlive programs."""
    expires_at = data.get("expires_at")
    return ReplyTo(
        platform=data["platform"],
        channel=data.get("channel", ""),
        token=data.get("token", ""),
        expires_at=datetime.fromisoformat(expires_at) if expires_at else None,
        uses_left=data.get("uses_left"),
        can_post=data.get("can_post", True),
        user=data.get("user", ""),
        delivery=data.get("delivery", ""),
        server=data.get("server", ""),
    )


def receipt_of(row: Row) -> Receipt | None:
    """From a row outer-joined with `posts`, whose columns are labelled post_…."""
    if row["post_handle"] is None:
        return None
    return Receipt(platform=row["post_platform"], channel=row["post_channel"], handle=row["post_handle"])
