"""What the cards of this package have in common: rows of five, lines that fit, buttons that draw an offer's prompts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bot.cards import PRIVATE, shorten
from bot.domain import Action, Button, Offer, Verb
from bot.messages import Catalogue

MAX_TEXT = 1900  #: characters of a card's text, with room for a sentence more (the most that every platform takes is 2,000)
LABEL = 80  #: characters of a button's label

Row = tuple[Button, ...]


def fives(buttons: Sequence[Button]) -> tuple[Row, ...]:
    return tuple(tuple(buttons[at : at + 5]) for at in range(0, len(buttons), 5))


def within(lines: Iterable[str], catalogue: Catalogue, room: int = MAX_TEXT) -> str:
    """As many of the lines as fit; then how many are not listed."""
    every = list(lines)
    kept: list[str] = []
    for line in every:
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    left = len(every) - len(kept)
    return "\n".join([*kept, catalogue.say("offer.more", count=left)] if left else kept)


def run(offer: Offer, index: int, label: str, catalogue: Catalogue) -> Button:
    """Draws the prompt at `index`."""
    hint = catalogue.say("offer.run_hint", words=shorten(offer.prompts[index], LABEL))
    action = Action(verb=Verb.RUN, job_id=offer.id, index=index, argument=PRIVATE if _is_private(offer.prompts[index]) else "")
    return Button(label=shorten(label, LABEL), hint=hint, action=action)


def run_all(offer: Offer) -> Action:
    """Draws every prompt; privately where one of them is private, or was when it was ordered (`bot.usecases.imagine`)."""
    private = any(map(_is_private, offer.prompts)) or any(each.get("private") for each in offer.facts.get("orders", ()))
    return Action(verb=Verb.RUN, job_id=offer.id, argument=PRIVATE if private else "")


def _is_private(words: str) -> bool:
    """Near enough for how a press is acknowledged; what is drawn is as the words say."""
    return "--private" in words.casefold().split()


def numbered(offer: Offer, catalogue: Catalogue, most: int = 4) -> Row:
    """A button a prompt, and one for all of them."""
    count = min(len(offer.prompts), most)
    buttons = [run(offer, index, catalogue.say("offer.draw_number", number=index + 1), catalogue) for index in range(count)]
    if count > 1:
        buttons.append(Button(label=catalogue.say("offer.draw_all"), hint=catalogue.say("offer.draw_all_hint"), action=run_all(offer)))
    return tuple(buttons)
