"""Commands about words: which of them carry the prompt, and a clip from one prompt to another. Called by `bot.studio`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from bot import notes
from bot.domain import Ack, Card, Command, Event, Origin, Visibility
from bot.drawing import Drawing, Order
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
    locate(event.text, house.wishes.at_hand(event.actor, event.place).sets)
    return Ack(visibility=Visibility.PRIVATE)


async def shorten(house: Drawing, event: Command) -> Card:
    """The words with what each carries, and shorter versions to draw. Raises UserError."""
    text = clean(event.text).text.strip()
    located = locate(text, (await house.wishes.of(event.actor, event.place)).sets)
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
    sets = house.wishes.at_hand(event.actor, event.place).sets
    _, after = halves(event.text, sets)
    with _within(event.text, after):
        private = locate(after, sets).words.private
    return Ack(visibility=Visibility.PRIVATE if private else Visibility.PUBLIC)


def halves(text: str, sets: Mapping[str, str]) -> tuple[str, str]:
    """Both prompts; flags may stand in either, and count for both. Raises BadWords."""
    before, bar, after = (each.strip() for each in text.partition(BETWEEN))
    if not bar or not before or not after:
        raise BadWords("words.morph_needs_two", start=0, end=len(text))
    with _within(text, after):
        locate(after, sets)
    with _within(text, before):
        flags = print_flags(locate(before, sets).words)
    return before, f"{after} {flags}".strip()


@contextmanager
def _within(text: str, half: str) -> Iterator[None]:
    """A mistake in one half has its place in all of the text: the second begins behind the bar. What was put behind it stands nowhere."""
    bar = text.index(BETWEEN)
    is_first = text[:bar].strip() == half
    begin = len(text) - len(text.lstrip()) if is_first else bar + 1 + len(text[bar + 1 :]) - len(text[bar + 1 :].lstrip())
    try:
        yield
    except BadWords as error:
        start, end = (min(begin + each, len(text)) for each in (error.start, error.end))
        raise BadWords(error.message, start=start, end=end, **error.parameters) from None


async def morph(house: Drawing, event: Command) -> Card:
    """A clip from one prompt to another, from one seed. Raises UserError."""
    return await house.submit(event, await morphed(house, event, event.text))


async def morphed(house: Drawing, event: Event, text: str, *, parent: Origin | None = None, private: bool = False) -> Order:
    """The clip that a text with a bar in it asks for. Raises BadWords, Refused."""
    first, second = halves(text, (await house.wishes.of(event.actor, event.place)).sets)
    with _within(text, first):
        before = (await house.prompts(event, first))[0]
    with _within(text, second):
        after = (await house.prompts(event, second))[0]
        order = await house.order(event, after, parent=parent, private=private)
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
    return replace(order, request=request, words=clean(text).text.strip())
