"""Commands about pictures that a member sends or points at: enlarge, blend, describe, verify. Called by `bot.studio`."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace

from bot import notes, presses
from bot.cards import choose_card, frames
from bot.domain import Ack, Action, Artifact, Card, Command, Event, Shown, Verb, Visibility
from bot.drawing import Drawing, Order
from bot.errors import NotFound, Refused
from bot.provenance import NEAR, distance
from bot.usecases import imagine
from engine.api import EngineError

FEWEST, MOST = 2, 5  #: pictures to blend
UPLOAD = -2  #: the index under which the store returns a picture that a job started from


def greet_blend(house: Drawing, event: Command) -> Ack:
    if not event.uploads:
        return Ack(form=notes.blend_form(house.say_to(event.actor)))
    _enough(event)
    return Ack(visibility=Visibility.PRIVATE if "--private" in event.text.casefold() else Visibility.PUBLIC)


def greet_one(house: Drawing, event: Command) -> Ack:
    """Of a command that wants one picture: a form where there is none."""
    if not event.uploads and not event.job_id and not event.text.strip():
        return Ack(form=notes.picture_form(event.name, house.say_to(event.actor)))
    return Ack(visibility=Visibility.PRIVATE)


def _enough(event: Command) -> None:
    if not FEWEST <= len(event.uploads) <= MOST:
        raise Refused("refused.blend_count", count=len(event.uploads), low=FEWEST, high=MOST)


async def upscale(house: Drawing, event: Command) -> Card:
    """A picture of a job made here, or one that was sent along. Raises UserError."""
    standing = await house.wishes.of(event.actor, event.place)
    if job_id := event.text.strip() or event.job_id:
        shown = await house.seen(event.actor, job_id.upper())
        if standing.owners_only:
            presses.need_owner(event.actor, shown.job)
        if len(frames(shown)) > 1:
            return choose_card(shown, house.say_to(event.actor))
        action = Action(verb=Verb.UPSCALE, job_id=shown.job.id, index=0, argument="2")
        request = presses.enlarged(presses.picture_at(shown, 0), house.model_of(shown.job.request.model), presses.factor_of(action))
        parent, private = presses.origin_of(action), shown.job.private
        return await house.submit(event, Order(request=request, words=shown.job.words, parent=parent, private=private, relaxed=standing.relaxed))
    capabilities = house.model_of(None)
    source = (await house.keep(event, event.uploads[:1]))[0]
    picture = Artifact(job_id="", index=0, digest=source.digest, seed=0, width=source.width, height=source.height)
    return await house.submit(event, Order(request=presses.enlarged(picture, capabilities, presses.PICK_FACTOR), words="", relaxed=standing.relaxed))


async def blend(house: Drawing, event: Command) -> Card:
    """Several pictures become one, with words or without. Raises UserError."""
    _enough(event)
    pictures = await house.keep(event, event.uploads)
    return await imagine.draw(house, event, await house.orders(event, event.text, pictures))


async def describe(house: Drawing, event: Command) -> Card:
    """What a picture shows, as prompts to draw: one that was sent, or one of a job. Raises UserError."""
    if event.uploads:
        return await described(house, event, (await house.glanced(event, event.uploads[0])).png)
    shown = await house.seen(event.actor, (event.text.strip() or event.job_id).upper())
    return await describe_picture(house, event, Action(verb=Verb.DESCRIBE, job_id=shown.job.id, index=0), shown)


async def describe_picture(house: Drawing, event: Event, action: Action, shown: Shown) -> Card:
    """A picture of a job. Raises UserError."""
    picture = presses.picture_at(shown, action.index)
    try:
        data = await house.blobs.get(picture.digest)
    except KeyError:
        raise NotFound("error.not_found") from None
    return await described(house, event, data, shown.job.request.model)


async def described(house: Drawing, event: Event, png: bytes, model: str = "") -> Card:
    """By the model that drew it, where that can see; else by the first on the shelf that can. Raises Refused."""
    able = [each.model for each in house.models() if "describe" in each.operations]
    if not able:
        raise Refused("refused.nobody_sees")
    try:
        seen = (await house.engine.look(model if model in able else able[0], (png,)))[0]
    except EngineError as error:
        raise Refused("refused.nobody_sees") from error
    offer = await house.offer(event.actor, "prompts", seen.prompts)
    return notes.describe_card(seen, offer, house.say_to(event.actor))


async def verify(house: Drawing, event: Command) -> Card:
    """Whether a picture was made here, from which words: by its manifest, by the very file, by its looks. Raises BadPicture."""
    catalogue = house.say_to(event.actor)
    if not event.uploads:
        return notes.note(catalogue, "verify.title", "verify.none")
    data, key = event.uploads[0].data, event.actor.key
    claim = await house.provenance.read(data) if house.provenance is not None else None
    if claim is not None and claim.job_id:
        try:
            job = await house.seen(event.actor, claim.job_id)
        except NotFound:
            return notes.note(catalogue, "verify.title", "verify.not_yours")
        pictures = tuple(each for each in job.artifacts if each.index == claim.index)
        return replace(notes.verify_card(job.evolve(artifacts=pictures), "", catalogue), text=catalogue.say("verify.by_manifest"))
    found = await house.store.find_picture(await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest()), key)
    if found is not None and found[1].index != UPLOAD:
        return notes.verify_card(Shown(job=found[0], artifacts=(found[1],)), "", catalogue)
    doubt = "" if claim is None else catalogue.say("verify.foreign", issuer=claim.issuer) if claim.state == "valid" else catalogue.say("verify.broken")
    return await _by_its_looks(house, event, data, doubt)


async def _by_its_looks(house: Drawing, event: Command, data: bytes, doubt: str) -> Card:
    """`doubt`: what there is to say of a manifest that is not ours, or empty. Only the decoded pixels are looked at, and not kept. Raises BadPicture.

    Nobody is named: others may have drawn one that looks like it from the same words.
    """
    catalogue = house.say_to(event.actor)
    alike, mark = None, ""
    if house.provenance is not None:
        picture = await house.uploads.read(event.uploads[0])  # nobody sees it or draws from it: whatever it shows may be asked about
        mark = await house.provenance.fingerprint(picture.png)
        alike = await house.store.look_alikes(mark, event.actor.key, within=NEAR)
    if alike is None:
        card = notes.verify_card(None, await house.uploads.claims(data), catalogue)
        return replace(card, text=f"{doubt}\n{card.text}") if doubt else card
    said = catalogue.say("verify.looks_like", bits=distance(mark, alike[1].fingerprint))
    card = notes.verify_card(Shown(job=alike[0], artifacts=(alike[1],)), "", catalogue)
    details = tuple(each for each in card.details if each[0] != catalogue.say("verify.by"))
    return replace(card, text=f"{doubt}\n{said}" if doubt else said, details=details)
