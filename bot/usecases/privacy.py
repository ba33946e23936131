"""`/privacy`: what is stored of a member, a copy of it, and its end. Called by `bot.studio`."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import replace

from bot import notes
from bot.domain import Ack, Card, Command, Document, Event, Shown, Visibility
from bot.drawing import Drawing
from bot.errors import Refused
from bot.prompts.clean import clean
from bot.usecases.sets import table
from engine.api import request_to_dict

CONFIRMED = "forget yes"
MOST_BYTES = 256_000_000  #: of pictures in one copy: it is made in memory; the newest first, the others are named in it


def greet(house: Drawing, event: Command) -> Ack:
    """Forgetting asks once more."""
    if event.text.strip().casefold() == "forget":
        return Ack(form=notes.forget_form(house.say_to(event.actor)))
    return Ack(visibility=Visibility.PRIVATE)


async def privacy(house: Drawing, event: Command) -> Card:
    """Raises Refused."""
    text = " ".join(clean(event.text).text.split()).casefold()
    if text == CONFIRMED:
        return await forget(house, event)
    if text == "export":
        return await export(house, event)
    if text:
        raise Refused("refused.privacy_words")
    count = len(await house.store.everything(event.actor.key))
    return notes.privacy_card(count, house.say_to(event.actor), house.new_id(), days=house.retention)


async def export(house: Drawing, event: Event) -> Card:
    """Everything there is of the member, as a zip, for them alone."""
    actor = event.actor
    jobs = await house.store.everything(actor.key)
    kept: dict[str, object] = {
        "preferences": dict(await house.store.preferences(actor.key)),
        "styles": {each.name: each.words for each in await house.store.styles([actor.key])},
        "lists": {name: list(entries) for name, entries in (await house.store.word_lists([actor.key])).items()},
        "offers": [
            {"prompts": list(each.prompts), "facts": dict(each.facts), "created_at": each.created_at.isoformat()}
            for each in await house.store.offers(actor.key)
        ],
        "moderation": dict(await house.moderation.book.kept(actor.key)) if house.moderation is not None else {},
        "wallet": (await house.wallet(actor)).balance,
        "member": {"platform": actor.platform, "id": actor.id, "name": actor.name},
    }
    pictures: dict[str, bytes] = {}
    left_out: list[str] = []
    room = MOST_BYTES
    for digest in dict.fromkeys(each for shown in reversed(jobs) for each in (*(drawn.digest for drawn in shown.artifacts), *shown.job.request.pictures)):
        try:
            found = await house.blobs.get(digest) if room > 0 else b""
        except KeyError:
            continue
        room -= len(found)
        if found and room >= 0:
            pictures[digest] = found
        else:
            left_out.append(digest)
    kept["pictures_left_out"] = left_out
    data = await asyncio.to_thread(_zipped, jobs, kept, pictures)
    document = Document(name="wordup-everything.zip", data=data)
    card = notes.note(house.say_to(actor), "privacy.export_title", "privacy.export_text", count=len(jobs))
    return replace(card, documents=(document,))


def _zipped(jobs: Sequence[Shown], kept: dict[str, object], pictures: dict[str, bytes]) -> bytes:
    rows = [
        {
            "id": shown.job.id,
            "words": shown.job.words,
            "request": request_to_dict(shown.job.request),
            "status": shown.job.status.value,
            "cost": shown.job.cost,
            "private": shown.job.private,
            "created_at": shown.job.created_at.isoformat(),
            "place": [shown.job.place.platform, shown.job.place.server, shown.job.place.channel],
            "pictures": [
                {"index": each.index, "picture": each.digest, "seed": each.seed, "seen": each.seen, "favourite": each.favourite} for each in shown.artifacts
            ],
        }
        for shown in jobs
    ]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("jobs.json", json.dumps(rows, indent=1, ensure_ascii=False))
        archive.writestr("member.json", json.dumps(kept, indent=1, ensure_ascii=False))
        archive.writestr("pictures.csv", table(jobs, {}).encode("utf-8-sig"))
        for digest, data in pictures.items():
            archive.writestr(f"pictures/{digest}{'.webp' if data[:4] == b'RIFF' else '.png'}", data)
    return out.getvalue()


async def forget(house: Drawing, event: Command) -> Card:
    """All of it, for good. What runs is cancelled first."""
    actor = event.actor
    for job in await house.store.active(actor.key):
        await house.queue.cancel(job.id)
    gone = await house.store.everything(actor.key)
    count = await house.store.forget(actor.key)
    house.wishes.forget(actor.key)
    for shown in gone:
        house.at_hand.pop(shown.job.id, None)
        house.board.changed(shown.job.id, actor.key)
    return notes.note(house.say_to(actor), "privacy.forgotten", "privacy.forgotten_text", count=count)
