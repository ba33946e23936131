"""Filled-in forms: some are commands in another dress, some the words of a child, some a preference. Called by `bot.studio`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bot import presses
from bot.domain import Action, Card, Command, Shown, Submit, Verb
from bot.drawing import Drawing, Order
from bot.errors import Refused
from bot.prompts import Source, Words, layered, layers, locate
from bot.usecases import admin, imagine, preferences, privacy
from bot.usecases.words import BETWEEN, morphed
from bot.wishes import Standing
from engine.api import EngineError, ImagineRequest, MorphRequest, Part, UnsupportedOperation

MAX_PHRASE = 200  #: characters


def words_of(event: Submit) -> str:
    """What was written, to be read or given back."""
    if event.form == "morph":
        return _morph_words(event)
    return event.values.get("words", "").strip()


def given_back(event: Submit) -> str:
    """What was written in a form that is not taken, whatever it was for."""
    return words_of(event) or next((text for name in ("value", "entries", "reason") if (text := event.values.get(name, "").strip())), "")


def _morph_words(event: Submit) -> str:
    before, after, flags = (event.values.get(name, "").strip() for name in ("before", "after", "flags"))
    return f"{before} | {after} {flags}".strip()


def _saved(house: Drawing, event: Submit) -> str:
    whose = "server " if event.values.get("server", "") else ""
    kept = event.values.get("words", "") or ", ".join(event.values.get("entries", "").splitlines())
    return f"{whose}save {event.values.get('name', '').strip()} {' '.join(kept.split())}".strip()


def _forget(house: Drawing, event: Submit) -> str:
    said = event.values.get("sure", "").strip().casefold()
    wanted = {house.say_to(event.actor).say("privacy.forget_word").casefold(), house.catalogues.first.say("privacy.forget_word").casefold()}
    if said not in wanted:
        raise Refused("refused.not_sure", word=house.say_to(event.actor).say("privacy.forget_word"))
    return privacy.CONFIRMED


#: Form → the text of the command of the same name.
AS_COMMANDS: Mapping[str, Callable[[Drawing, Submit], str]] = {
    "imagine": lambda house, event: words_of(event),
    "blend": lambda house, event: words_of(event),
    "morph": lambda house, event: words_of(event),
    "shorten": lambda house, event: words_of(event),
    "describe": lambda house, event: "",
    "verify": lambda house, event: "",
    "upscale": lambda house, event: "",
    "styles": _saved,
    "lists": _saved,
    "privacy": _forget,
}


def as_command(house: Drawing, event: Submit) -> Command | None:
    """The command a form stands for; None for a form of a button. Raises UserError."""
    make = AS_COMMANDS.get(event.form)
    if make is None:
        return None
    return Command(
        actor=event.actor,
        place=event.place,
        reply_to=event.reply_to,
        delivery_id=event.delivery_id,
        name=event.form,
        text=make(house, event),
        uploads=event.uploads,
    )


def action_of(event: Submit) -> Action:
    """The button a form was opened by. Raises Refused."""
    try:
        action = presses.action_of(event.form)
    except Refused:
        raise Refused("refused.unknown_form") from None
    if action.verb not in (Verb.REMIX, Verb.VARY, Verb.REROLL, Verb.ZOOM, Verb.REGION, Verb.ASK, Verb.REPORT):
        raise Refused("refused.unknown_form")
    return action


def check(house: Drawing, event: Submit, action: Action, standing: Standing) -> None:
    """In memory. Raises BadWords for words of a form that do not parse."""
    job = house.at_hand_for(event.actor, action.job_id)
    words = presses.kept_whole(words_of(event), shown_words(action, job.words) if job else "")
    if action.verb is not Verb.ASK and words:
        locate(words, standing.sets)


def shown_words(action: Action, words: str) -> str:
    """What a form shows of a job's words: a seed only where the picture may be the same."""
    return presses.unseeded(words) if action.verb in (Verb.VARY, Verb.REROLL) else words


async def submitted(house: Drawing, event: Submit, action: Action) -> Card:
    """Raises UserError."""
    if action.verb is Verb.ASK:
        return await preferences.answered(house, event, action)
    if action.verb is Verb.REPORT:
        return await admin.reported(house, event, action)
    shown = await house.seen(event.actor, action.job_id)
    if (await house.wishes.of(event.actor, event.place)).owners_only:
        presses.need_owner(event.actor, shown.job)
    text = presses.kept_whole(words_of(event), shown_words(action, shown.job.words))
    match action.verb:
        case Verb.ZOOM:
            return await _zoom(house, event, action, shown, text)
        case Verb.REGION:
            return await _region(house, event, action, shown, text)
    return await _remix(house, event, action, shown, text)


async def _remix(house: Drawing, event: Submit, action: Action, shown: Shown, text: str) -> Card:
    """Other words for the same picture, or the same start; a variation with other words starts from the picture it is of."""
    job, was = shown.job, shown.job.request
    parent = presses.origin_of(action)
    if action.verb in (Verb.VARY, Verb.REROLL):
        text = presses.reseeded(text, job.words)
    if action.verb is Verb.REROLL and not isinstance(was, ImagineRequest) and text == presses.unseeded(job.words) and not event.uploads:
        again, standing = presses.rerolled(job, house.new_seed()), await house.wishes.of(event.actor, event.place)
        return await house.submit(event, Order(request=again, words=text, parent=parent, private=job.private, relaxed=standing.relaxed))
    if isinstance(was, MorphRequest) and BETWEEN in text and not event.uploads:
        return await house.submit(event, await morphed(house, event, text, parent=parent, private=job.private))
    on_shelf = {each.model for each in house.models()}
    pictures = await house.keep(event, event.uploads)
    before: tuple[Words, ...] = ()
    if action.verb is Verb.VARY and not pictures:
        base, picture = await house.drawn(shown, action.index)
        can = house.model_of(base.model)
        pictures = (Source(digest=picture.digest, width=picture.width, height=picture.height, role="start"),)
        before = (Words(strength=presses.varied(base, picture, can, 0, how=presses.argument_of(action)).strength, model=base.model),)
    elif not pictures and isinstance(was, ImagineRequest):
        pictures, before = _as_before(was)
    if was.model in on_shelf:
        before = (*before, Words(model=was.model))
    return await imagine.draw(house, event, await house.orders(event, text, pictures, before=before, parent=parent, private=job.private))


def _as_before(was: ImagineRequest) -> tuple[tuple[Source, ...], tuple[Words, ...]]:
    """The pictures a job was drawn from, each in its role, and how much they counted. Not those that lay on a larger canvas, or behind a mask."""
    found: list[Source] = []
    said = Words()
    if was.source and was.spot is None and was.mask is None:
        found.append(Source(digest=was.source, width=was.width, height=was.height, role="start"))
        found += [Source(digest=each, width=was.width, height=was.height) for each in was.mix]
        said = said.evolve(strength=was.strength)
    for each in was.image_prompts:
        found.append(Source(digest=each.picture, width=was.width, height=was.height, role="style" if each.style else "image"))
        said = said if each.style else said.evolve(image_weight=each.weight)
    if was.control is not None:
        found.append(Source(digest=was.control.picture, width=was.width, height=was.height, role="sketch"))
    return tuple(found), (said,)


async def _zoom(house: Drawing, event: Submit, action: Action, shown: Shown, text: str) -> Card:
    factor = presses.zoom_of(event.values.get("factor", ""))
    base, picture = await house.drawn(shown, action.index)
    can = house.model_of(base.model)
    return await _drawn(house, event, action, shown, text, lambda parts, seed: presses.zoomed(base, picture, can, factor, seed, parts))


async def _drawn(house: Drawing, event: Submit, action: Action, shown: Shown, text: str, ask: Callable[[tuple[Part, ...], int], ImagineRequest]) -> Card:
    """What a form with words asks for: the picture's own words say all they said; others come with their style, and may be several."""
    standing = await house.wishes.of(event.actor, event.place)
    parent, job = presses.origin_of(action), shown.job
    if text == job.words:
        same = Order(request=ask((), house.new_seed()), words=presses.unseeded(text), parent=parent, private=job.private, relaxed=standing.relaxed)
        return await house.submit(event, same)
    defaults = layers(standing.member, standing.server)
    orders: list[Order] = []
    for each in await house.prompts(event, presses.reseeded(text, job.words)):
        words = each.located.words
        private = job.private or bool(layered(words, each.style, *defaults).private)
        orders.append(Order(request=ask(words.parts, each.seed), words=each.text, parent=parent, private=private, relaxed=standing.relaxed))
    return await imagine.draw(house, event, orders)


async def _region(house: Drawing, event: Submit, action: Action, shown: Shown, text: str) -> Card:
    """What is white in the mask, or what the phrase names, is drawn anew."""
    base, picture = await house.drawn(shown, action.index)
    can = house.model_of(base.model)
    masks = [each for each in event.uploads if each.role == "mask"]
    phrase = event.values.get("what", "").strip()
    if masks:
        mask = (await house.keep(event, masks[:1]))[0].digest
    elif phrase:
        await house.let_phrase_pass(event, phrase)
        mask = await _found(house, base, picture.digest, phrase)
    else:
        raise Refused("refused.no_region")
    return await _drawn(house, event, action, shown, text, lambda parts, seed: presses.region(base, picture, mask, parts, can, seed))


async def _found(house: Drawing, base: ImagineRequest, digest: str, phrase: str) -> str:
    """The mask of what a phrase names in a picture. Raises Refused."""
    if len(phrase) > MAX_PHRASE:
        raise Refused("refused.long_phrase", limit=MAX_PHRASE)
    try:
        mask = await house.engine.mask(base.model, await house.blobs.get(digest), phrase)
    except UnsupportedOperation as error:
        raise Refused("refused.cannot", model=base.model, what=error.what) from error
    except (EngineError, KeyError) as error:
        raise Refused("refused.nothing_found", phrase=phrase, model=base.model) from error
    return await house.blobs.put(mask)
