"""`/privacy`: what is stored of a member, a copy of it, and its end. Called by `bot.studio`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace

from bot import notes
from bot.domain import Ack, Card, Command, Event, Shown, Visibility
from bot.drawing import Drawing
from bot.errors import Refused
from bot.exports import Archive
from bot.prompts.clean import clean
from bot.usecases.sets import table
from engine.api import request_to_dict

CONFIRMED = "forget yes"
MOST_BYTES = 256_000_000  #: of pictures in one copy: the newest first, the others are named in it


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
    """Everything there is of the member, as a zip, for them alone. Raises Refused: one at a time, and a few in all."""
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

    async def fill(archive: Archive) -> None:
        """A picture at a time, so that no more than one is in memory."""
        left_out: list[str] = []
        room = MOST_BYTES
        for digest in dict.fromkeys(each for shown in reversed(jobs) for each in (*(drawn.digest for drawn in shown.artifacts), *shown.job.request.pictures)):
            try:
                found = await house.blobs.get(digest) if room > 0 else b""
            except KeyError:
                continue
            room -= len(found)
            if found and room >= 0:
                await archive.add(f"pictures/{digest}{'.webp' if found[:4] == b'RIFF' else '.png'}", found)
            else:
                left_out.append(digest)
        for name, data in await asyncio.to_thread(_written, jobs, {**kept, "pictures_left_out": left_out}):
            await archive.add(name, data)

    document = await house.exports.make(actor.key, "wordup-everything.zip", fill)
    card = notes.note(house.say_to(actor), "privacy.export_title", "privacy.export_text", count=len(jobs))
    return replace(card, documents=(document,))


def _written(jobs: Sequence[Shown], kept: dict[str, object]) -> list[tuple[str, bytes]]:
    """What stands beside the pictures, by name."""
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
    return [
        ("jobs.json", json.dumps(rows, indent=1, ensure_ascii=False).encode()),
        ("member.json", json.dumps(kept, indent=1, ensure_ascii=False).encode()),
        ("pictures.csv", table(jobs, ()).encode("utf-8-sig")),
    ]


async def forget(house: Drawing, event: Command) -> Card:
    """All of it, for good. What runs is cancelled first."""
    actor = event.actor
    for job in await house.store.active(actor.key):
        await house.queue.cancel(job.id)
    gone = await house.store.everything(actor.key)
    count = await house.store.forget(actor.key)
    await house.exports.drop(actor.key)
    house.wishes.forget(actor.key)
    for shown in gone:
        house.at_hand.pop(shown.job.id, None)
        house.board.changed(shown.job.id, actor.key)
    return notes.note(house.say_to(actor), "privacy.forgotten", "privacy.forgotten_text", count=count)
