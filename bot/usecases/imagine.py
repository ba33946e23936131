"""`/imagine`, its form, and sets of prompts: a yes before many, and everything of a set as one file. Called by `bot.studio`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from bot import notes, presses
from bot.domain import Ack, Action, Actor, Card, Command, Event, Offer, Origin, Place, Press, Verb, Visibility
from bot.drawing import Drawing, Order
from bot.errors import BadWords, NotFound, Refused
from bot.prompts import CONFIRM_ABOVE, MAX_PROMPTS, Source, layered, layers, prepare, read_list, resolve
from bot.usecases import privacy
from bot.usecases.sets import gathered
from engine.api import request_from_dict, request_to_dict

#: What only the store knows better: a greeting lets it pass, and the answer says it.
_STORED = frozenset({"words.unknown_list", "words.unknown_list_near", "words.unknown_style", "words.unknown_style_near"})


def greet(house: Drawing, event: Command) -> Ack:
    """A form where nothing was said; else whether the answer is for all to see. Raises UserError for words nothing can be drawn from."""
    if not event.text.strip() and not event.uploads:
        can = house.model_of(None)
        roles = [role for role, able in (("style", "style" in can.operations), ("sketch", bool({"sketch", "edges"} & {*can.controls}))) if able]
        return Ack(form=notes.imagine_form(house.say_to(event.actor), roles=roles))
    return Ack(visibility=Visibility.PRIVATE if check(house, event, event.text) else Visibility.PUBLIC)


def check(house: Drawing, event: Command, text: str) -> bool:
    """Whether the answer is for one member alone: what is drawn, or a question before many. In memory.

    Raises UserError for a mistake that can be seen without asking the store.
    """
    if any(each.role == "list" for each in event.uploads):
        return "--private" in text.casefold()
    standing = house.wishes.at_hand(event.actor, event.place)
    wishes = layers(standing.member, standing.server)
    try:
        prompts = prepare(text, lists=None, seed=lambda: 0, sets=standing.sets, defaults=wishes)
        located, defaults = prompts[0].located, (prompts[0].style, *wishes)
        can = house.capabilities(located, defaults)
        pictures = [Source(digest="", width=can.width, height=can.height, role=each.role) for each in event.uploads]
        request = resolve(located.words, can, seed=0, pictures=pictures, defaults=defaults, places=located.places)
        asked_of_moderators = house.let_pass_in_memory(event, request)
    except BadWords as error:
        if error.message in _STORED:
            return "--private" in text.casefold()
        raise
    return asked_of_moderators or len(prompts) > CONFIRM_ABOVE or any(layered(each.located.words, each.style, *wishes).private for each in prompts)


async def imagine(house: Drawing, event: Command) -> Card:
    """One job, or a set of them. Raises UserError."""
    lists = [each for each in event.uploads if each.role == "list"]
    if len(lists) > 1:
        raise Refused("refused.one_list")
    pictures = await house.keep(event, event.uploads)
    texts = read_list(lists[0].data, lists[0].name, event.text) if lists else (event.text,)
    orders: list[Order] = []
    for text in texts:
        orders += await house.orders(event, text, pictures)
        if len(orders) > MAX_PROMPTS:
            raise Refused("refused.too_many_prompts", limit=MAX_PROMPTS)
    return await draw(house, event, orders)


async def draw(house: Drawing, event: Event, orders: Sequence[Order]) -> Card:
    """Few at once; many cost much, and are drawn by a button. Raises UserError."""
    return await (_ask_first(house, event, orders) if len(orders) > CONFIRM_ABOVE else house.submit(event, *orders))


async def _ask_first(house: Drawing, event: Event, orders: Sequence[Order]) -> Card:
    await house.let_pass(event, orders)
    cost = sum(house.price(each) for each in orders)
    offer = await house.offer(event.actor, "confirm", [each.words for each in orders], orders=[kept_order(each) for each in orders], cost=cost)
    return notes.confirm_card(offer, cost, house.say_to(event.actor))


def kept_order(order: Order) -> dict[str, Any]:
    """Plain JSON, for an offer's facts; its words stand beside it."""
    parent = order.parent
    return {
        "request": request_to_dict(order.request),
        "private": order.private,
        "relaxed": order.relaxed,
        "parent": [parent.job_id, parent.verb, parent.index] if parent else None,
    }


def order_of(kept: Mapping[str, Any], words: str) -> Order:
    """The inverse of `kept_order`."""
    parent = Origin(job_id=kept["parent"][0], verb=kept["parent"][1], index=kept["parent"][2]) if kept.get("parent") else None
    return Order(request=request_from_dict(kept["request"]), words=words, parent=parent, private=kept["private"], relaxed=kept["relaxed"])


def sealed(order: Order, place: Place, outside: Sequence[str]) -> str:
    """All that is needed to draw a refused order once it is allowed, for its offer's facts.

    As text, so that it keeps no picture as long as nobody contests: else whoever is refused fills the disk for nothing. What does is `hold`.
    """
    there = {"server": place.server, "channel": place.channel, "age_restricted": place.age_restricted}
    return json.dumps({"order": kept_order(order), "typed": order.words, "place": there, "outside": list(outside)})


async def hold(house: Drawing, actor: Actor, order: Order) -> None:
    """Keep what a refused order is drawn from until its member may have asked the moderators: of each member that of the newest refusal alone."""
    if order.request.pictures:
        only = hashlib.sha256(f"held\0{actor.key}".encode("utf-8", "replace")).hexdigest()[:26].upper()
        facts = {"order": kept_order(order)}
        await house.store.offer(Offer(id=only, actor=actor, kind="held", prompts=(), facts=facts, created_at=house.clock()))


def unsealed(offer: Offer) -> Offer:
    """The same offer as one that keeps its pictures, to be stored when it is contested."""
    later = offer.facts.get("later", "")
    return replace(offer, facts={"rule": offer.facts.get("rule", ""), **json.loads(later)}) if later else offer


async def run(house: Drawing, event: Press, action: Action) -> Card:
    """Draw what an offer's button says. Raises UserError."""
    offer = await house.offered(event.actor, action.job_id)
    if offer.kind == "confirm":
        return await _confirmed(house, event, offer)
    if offer.kind == "contest":
        return await _allowed(house, event, offer)
    chosen = offer.prompts if action.index < 0 else offer.prompts[action.index : action.index + 1]
    if not chosen:
        raise NotFound("error.not_found")
    pictures = tuple(Source(**each) for each in offer.facts.get("pictures", ()))
    orders = [each for text in chosen for each in await house.orders(event, text, pictures)]
    if len(orders) > MAX_PROMPTS:
        raise Refused("refused.too_many_prompts", limit=MAX_PROMPTS)
    return await draw(house, event, orders)


async def _confirmed(house: Drawing, event: Press, offer: Offer) -> Card:
    """A set that got its yes. A second yes is the same one, however late; a price that is not the one that was told is told first."""
    if await house.store.batch(offer.id):
        return await house.batch_card(event.actor, offer.id)
    orders = [order_of(kept, words) for words, kept in zip(offer.prompts, offer.facts["orders"], strict=True)]
    if offer.facts.get("cost", 0) not in (0, sum(house.price(each) for each in orders)):
        return await _ask_first(house, event, orders)
    return await house.submit(event, *orders, delivery=f"offer:{offer.id}", batch=offer.id)


async def _allowed(house: Drawing, event: Press, offer: Offer) -> Card:
    """What was refused, by the button of the moderators' letter: judged as where it was asked for, by what holds there now, and drawn for its member alone."""
    if "order" not in offer.facts:
        raise Refused("refused.unknown_button")
    there = replace(event, place=Place(platform=event.place.platform, **offer.facts["place"]))
    standing = await house.wishes.of(there.actor, there.place)
    if "imagine" in standing.off:
        raise Refused("refused.turned_off", name="imagine")
    if standing.channels and there.place.channel.partition("/")[0] not in standing.channels:
        raise Refused("refused.not_here")
    return await house.submit(there, replace(order_of(offer.facts["order"], offer.facts["typed"]), private=True))


async def of_set(house: Drawing, event: Press, action: Action) -> Card:
    """How far a set is; or all of it that has not ended is cancelled."""
    offer = await house.offered(event.actor, action.job_id)
    if action.verb is Verb.CANCEL:
        for shown in await house.store.batch(offer.id):
            if not shown.job.status.ended and await house.queue.cancel(shown.job.id):
                house.board.changed(shown.job.id, event.actor.key)
    return await house.batch_card(event.actor, offer.id)


async def dismiss(house: Drawing, event: Press, action: Action) -> Card:
    """A set is not wanted after all."""
    await house.offered(event.actor, action.job_id)
    return notes.note(house.say_to(event.actor), "offer.dismissed", "offer.dismissed_text")


async def collect(house: Drawing, event: Press, action: Action) -> Card:
    """All that a set of prompts made until now, as a zip; or all that is stored of the member. Raises NotFound."""
    if presses.argument_of(action) == presses.EVERYTHING:
        return await privacy.export(house, event)
    offer = await house.offered(event.actor, action.job_id)
    members = await house.store.batch(offer.id)
    catalogue = house.say_to(event.actor)
    document = await house.exports.make(event.actor.key, f"wordup-{offer.id}.zip", partial(gathered, house.blobs, members))
    return replace(notes.note(catalogue, "offer.collected", "offer.collected_text", count=len(members)), documents=(document,))
