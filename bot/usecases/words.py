"""Commands about words: which of them carry the prompt, and a clip from one prompt to another. Called by `bot.studio`."""

from __future__ import annotations

from dataclasses import replace

from bot import notes
from bot.domain import Ack, Card, Command, Visibility
from bot.drawing import Drawing
from bot.errors import BadWords, Refused
from bot.prompts import locate, print_flags
from bot.prompts.clean import clean
from bot.shorter import shorter
from engine.api import EngineError, ImagineRequest, MorphRequest

FRAMES = 12  #: of a morph
BETWEEN = "|"  #: what parts a morph's two prompts


def greet_shorten(house: Drawing, event: Command) -> Ack:
    if not event.text.strip():
        return Ack(form=notes.words_form("shorten", house.say_to(event.actor)))
    locate(event.text)
    return Ack(visibility=Visibility.PRIVATE)


async def shorten(house: Drawing, event: Command) -> Card:
    """The words with what each carries, and shorter versions to draw. Raises UserError."""
    text = clean(event.text).text.strip()
    located = locate(text)
    words = located.words.text
    if not words:
        raise Refused("refused.no_words")
    able = house.capabilities(located)
    if "shorten" not in able.operations:
        raise Refused("refused.cannot", model=able.model, what="/shorten")
    try:
        weights = await house.engine.weigh(able.model, words)
    except EngineError as error:
        raise Refused("refused.cannot", model=able.model, what="/shorten") from error
    flags = print_flags(located.words)
    versions = [" ".join(filter(None, (each, flags))) for each in shorter(words, weights)]
    offer = await house.offer(event.actor, "prompts", versions)
    return notes.shorten_card(words, weights, offer, house.say_to(event.actor))


def greet_morph(house: Drawing, event: Command) -> Ack:
    if not event.text.strip():
        return Ack(form=notes.morph_form(house.say_to(event.actor)))
    return Ack(visibility=Visibility.PRIVATE if locate(_halves(event.text)[1]).words.private else Visibility.PUBLIC)


def _halves(text: str) -> tuple[str, str]:
    """Both prompts; flags may stand in either, and count for both. Raises BadWords."""
    before, bar, after = (each.strip() for each in text.partition(BETWEEN))
    if not bar or not before or not after:
        raise BadWords("words.morph_needs_two", start=0, end=len(text))
    locate(after)
    flags = print_flags(locate(before).words)
    return before, f"{after} {flags}".strip()


async def morph(house: Drawing, event: Command) -> Card:
    """A clip from one prompt to another, from one seed. Raises UserError."""
    texts = _halves(event.text)
    before, after = [(await house.prompts(event, each))[0] for each in texts]
    order = await house.order(event, after)
    drawn, can = order.request, house.model_of(order.request.model)
    if "morph" not in can.operations or not isinstance(drawn, ImagineRequest):
        raise Refused("refused.cannot", model=can.model, what="/morph")
    request = MorphRequest(
        model=can.model,
        before=before.located.words.parts,
        after=drawn.parts,
        unwanted=drawn.unwanted,
        seed=drawn.seed,
        width=drawn.width,
        height=drawn.height,
        frames=FRAMES,
        steps=can.steps,
        guidance=can.guidance,
        enlarge=drawn.enlarge,
    )
    return await house.submit(event, replace(order, request=request, words=clean(event.text).text.strip()))
