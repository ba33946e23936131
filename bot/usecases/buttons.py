"""What buttons and reactions under a picture do. Called by `bot.studio` with the job they stand under; those that draw make a child of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from bot import notes, presses
from bot.domain import Action, Actor, Card, Event, Link, Reaction, Shown, Verb
from bot.drawing import Drawing, Order
from bot.errors import Refused
from bot.moderation.policy import role_that_counts
from bot.notes.moderating import report_button
from bot.usecases import admin
from bot.usecases.pictures import describe_picture
from engine.api import Request

Pressed = Callable[[Drawing, Event, Action, Shown], Awaitable[Card]]


async def show(house: Drawing, event: Event, action: Action, shown: Shown) -> Card:
    return house.card_of(shown, reader=event.actor)


async def children(house: Drawing, event: Event, action: Action, shown: Shown) -> Card:
    return house.children(event.actor, shown)


async def params(house: Drawing, event: Event, action: Action, shown: Shown) -> Card:
    """To a reaction the answer is a letter, with the pictures. Who may report the picture finds the button there: it is a card for them alone."""
    card = house.params(event.actor, shown, direct=isinstance(event, Reaction))
    if not await admin.may_report(house, event, shown):
        return card
    return replace(card, rows=(*card.rows, (report_button(shown.job.id, house.say_to(event.actor)),)))


async def cancel(house: Drawing, event: Event, action: Action, shown: Shown) -> Card:
    return await cancelled(house, event.actor, shown)


async def cancelled(house: Drawing, actor: Actor, shown: Shown) -> Card:
    """Raises Refused."""
    presses.need_owner(actor, shown.job)
    if not shown.job.status.ended and await house.queue.cancel(shown.job.id):
        house.board.changed(shown.job.id, actor.key)
    return await house.card(actor, shown.job.id)


async def delete(house: Drawing, event: Event, action: Action, shown: Shown) -> Card:
    """A cross on what still runs cancels it."""
    if isinstance(event, Reaction) and not shown.job.status.ended:
        return await cancel(house, event, action, shown)
    presses.need_owner(event.actor, shown.job)
    if not shown.job.status.ended:
        raise Refused("refused.still_going")
    await house.store.delete(shown.job.id)
    house.at_hand.pop(shown.job.id, None)
    house.board.changed(shown.job.id, event.actor.key)
    return notes.deleted_card(shown.job.id, house.say_to(event.actor))


async def favourite(house: Drawing, event: Event, action: Action, shown: Shown) -> Card:
    """Mark a picture, or take the mark away; a button turns it over."""
    presses.need_owner(event.actor, shown.job)
    picture = presses.picture_at(shown, action.index)
    wanted = event.added if isinstance(event, Reaction) else not picture.favourite
    await house.store.favourite(shown.job.id, picture.index, wanted)
    house.board.changed(shown.job.id, event.actor.key)
    return await house.card(event.actor, shown.job.id)


async def draw(house: Drawing, event: Event, action: Action, shown: Shown) -> Card:
    """A child: the verbs of `presses.DRAWS`."""
    standing = await house.wishes.of(event.actor, event.place)
    if standing.owners_only:
        presses.need_owner(event.actor, shown.job)
    request, words = await child(house, shown, action)
    order = Order(request=request, words=words, parent=presses.origin_of(action), private=shown.job.private, relaxed=standing.relaxed)
    return await house.submit(event, order)


async def child(house: Drawing, shown: Shown, action: Action) -> tuple[Request, str]:
    """What a button that draws asks for, and the words it is shown with. Raises Refused, NotFound."""
    job = shown.job
    can = house.model_of(job.request.model)
    argument = presses.argument_of(action)
    match action.verb:
        case Verb.PICK:
            return presses.enlarged(presses.picture_at(shown, action.index), can, presses.PICK_FACTOR), job.words
        case Verb.UPSCALE:
            return presses.enlarged(presses.picture_at(shown, action.index), can, presses.factor_of(action)), job.words
        case Verb.REROLL:
            return presses.rerolled(job, house.new_seed()), presses.unseeded(job.words)
        case Verb.ENHANCE:
            return presses.enhanced(job, can), presses.in_full_words(job.words)
    base, picture = await house.drawn(shown, action.index)
    seed, words = house.new_seed(), presses.unseeded(job.words)
    match action.verb:
        case Verb.CREATIVE:
            above = presses.picture_at(shown, action.index)
            return presses.creative(above, presses.factor_of(action), base, can), job.words
        case Verb.VARY:
            return presses.varied(base, picture, can, seed, how=argument), words
        case Verb.ZOOM:
            return presses.zoomed(base, picture, can, float(argument), seed), words
        case Verb.SQUARE:
            return presses.squared(base, picture, can, seed), words
        case Verb.PAN:
            return presses.panned(base, picture, can, argument, seed), words
        case Verb.ANIMATE:
            return presses.animated(base, picture, can, seed), words
    raise Refused("refused.unknown_button")


async def region(house: Drawing, event: Event, action: Action, shown: Shown) -> Card:
    """The way into the mask painter, for this member alone."""
    presses.picture_at(shown, action.index)
    if house.painter is None:
        raise Refused("refused.unknown_button")  # without a page its answer is a form, given by the greeting
    elsewhere = event.place.server != shown.job.place.server  # what is painted goes to where the picture stands: into a server they need not be in
    standing = await house.wishes.of(event.actor, event.place)
    if elsewhere or standing.owners_only:
        presses.need_owner(event.actor, shown.job)
    counts = "" if elsewhere else role_that_counts(standing.server, event.actor)  # the page has nobody to ask what roles they have
    painter = replace(event.actor, roles=(counts,) if counts in event.actor.roles else ())
    catalogue = house.say_to(event.actor)
    link = Link(label=catalogue.say("region.open"), url=house.painter(painter, shown.job.id, max(action.index, 0)))
    return replace(notes.note(catalogue, "region.title", "region.text"), links=(link,))


#: What each verb does with the job it stands under.
PRESSES: Mapping[Verb, Pressed] = {
    Verb.SHOW: show,
    Verb.CHILDREN: children,
    Verb.PARAMS: params,
    Verb.CANCEL: cancel,
    Verb.DELETE: delete,
    Verb.FAVOURITE: favourite,
    Verb.REGION: region,
    Verb.DESCRIBE: describe_picture,
    **dict.fromkeys((Verb.PICK, Verb.UPSCALE, Verb.REROLL, Verb.ENHANCE, Verb.CREATIVE, Verb.VARY, Verb.ZOOM, Verb.SQUARE, Verb.PAN, Verb.ANIMATE), draw),
}
