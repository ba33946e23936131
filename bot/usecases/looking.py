"""Questions: what was drawn, what waits, what there is. Called by `bot.studio`."""

from __future__ import annotations

from bot import notes
from bot.domain import Ack, Action, Card, Command, Shown, Verb, Visibility
from bot.drawing import Drawing
from bot.errors import Refused
from bot.prompts.clean import clean
from bot.usecases import buttons


def _text(event: Command) -> str:
    return clean(event.text).text.strip()


async def history(house: Drawing, event: Command) -> Card:
    search = _text(event)
    return notes.history_card(await house.history(event.actor, search=search, limit=notes.HISTORY), search, house.say_to(event.actor))


async def show(house: Drawing, event: Command) -> Card:
    return await house.show(event.actor, _text(event) or event.job_id)


async def info(house: Drawing, event: Command) -> Card:
    actor = event.actor
    mine, load = await house.store.active(actor.key), await house.load()
    return notes.info_card(await house.wallet(actor), mine, load, house.models(), house.say_to(actor), loaded=house.engine.stats().loaded)


async def queue(house: Drawing, event: Command) -> Card:
    mine = [await house.live(Shown(job=job)) for job in await house.store.active(event.actor.key)]
    return notes.queue_card(mine, await house.load(), house.say_to(event.actor))


async def cancel(house: Drawing, event: Command) -> Card:
    """One of the member's jobs, or all that wait and run."""
    actor, catalogue, job_id = event.actor, house.say_to(event.actor), _text(event) or event.job_id
    if job_id:
        shown = await house.seen(actor, job_id.upper())
        return await buttons.cancelled(house, actor, shown)
    count = 0
    for job in await house.store.active(actor.key):
        if await house.queue.cancel(job.id):
            count += 1
            house.board.changed(job.id, actor.key)
    if not count:
        return notes.note(catalogue, "queue.title", "queue.none_of_yours")
    return notes.note(catalogue, "queue.title", "queue.cancelled", count=count)


async def models(house: Drawing, event: Command) -> Card:
    """Each with an example to draw."""
    listed = house.models()
    offer = await house.offer(event.actor, "prompts", [f"{each.examples[0] if each.examples else 'a lighthouse'} --model {each.model}" for each in listed])
    return notes.models_card(listed, offer, house.say_to(event.actor), loaded=frozenset(house.engine.stats().loaded))


async def web(house: Drawing, event: Command) -> Card:
    """A one-time way into the studio page. Raises Refused."""
    if house.link is None:
        raise Refused("refused.no_web")
    return notes.web_card(house.link(event.actor), house.say_to(event.actor))


async def help_(house: Drawing, event: Command) -> Card:
    """With examples to draw at once."""
    listed = house.models()
    offer = await house.offer(event.actor, "prompts", listed[0].examples[: notes.EXAMPLES]) if listed else None
    return notes.help_card(listed, house.say_to(event.actor), offer)


def greet_upscale(house: Drawing, event: Command) -> Ack:
    """Raises Refused."""
    if not event.text and not event.uploads and not event.job_id:
        raise Refused("refused.no_picture_there")
    return Ack(visibility=Visibility.PUBLIC)


def greet_remix(house: Drawing, event: Command) -> Ack:
    """The form with the words, as far as they are at hand. Raises Refused."""
    if not event.job_id:
        raise Refused("refused.no_picture_there")
    action = Action(verb=Verb.REMIX, job_id=event.job_id)
    job = house.at_hand_for(event.actor, event.job_id)
    return Ack(form=notes.remix_form(action, job.words if job else None, house.say_to(event.actor)))


async def remix(house: Drawing, event: Command) -> Card:
    """Never reached by a chat: the greeting is the form. Raises Refused."""
    raise Refused("refused.unknown_command", name=event.name)
