"""Cards that offer prompts to draw: a description, shorter versions, a set that wants a yes, and the set as it is drawn. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bot.cards import PRIVATE, frames, plain_text, plain_words, shorten
from bot.domain import GRID, Action, Button, Card, Offer, Select, Shown, Status, Verb, Visibility
from bot.messages import Catalogue
from bot.notes.parts import LABEL, fives, numbered, run_all, within
from bot.presses.actions import SET
from engine.api import Seen, Weight

BAR = 10  #: characters
WEIGHED = 40  #: words that are shown with what they carry
LITTLE = 0.15  #: what a word carries that could as well be left out
LISTED = 10  #: buttons in which a set's pictures are shown; a larger set has selects
_CHOICES = 25


def describe_card(seen: Seen, offer: Offer, catalogue: Catalogue) -> Card:
    """What the model sees in a picture: prompts to draw, and the things, the place and the style in them with how sure it is."""
    lines = [catalogue.say("offer.line", number=number, words=shorten(words, 400)) for number, words in enumerate(offer.prompts[:4], 1)]
    sure = [*(f"{thing} ({score:.0%})" for thing, score in zip(seen.things, seen.scores, strict=False)), *seen.things[len(seen.scores) :]]
    found = {"things": ", ".join(sure), "ground": seen.ground, "style": seen.style}
    return Card(
        title=catalogue.say("describe.title"),
        text="\n".join(lines) or catalogue.say("describe.nothing"),
        details=tuple((catalogue.say(f"describe.{key}"), shorten(value, 200)) for key, value in found.items() if value),
        rows=fives(numbered(offer, catalogue)),
        visibility=Visibility.PRIVATE,
    )


def shorten_card(text: str, weights: Sequence[Weight], offer: Offer, catalogue: Catalogue) -> Card:
    """Each word of `text` with what it carries, those that carry next to nothing, and the offer's shorter versions to draw."""
    shown = sorted(sorted(weights, key=lambda each: -each.weight)[:WEIGHED], key=lambda each: each.start)
    longest = max((each.end - each.start for each in shown), default=0)
    table = [f"{bar(each.weight)} {each.weight:>4.0%} {text[each.start : each.end][: min(longest, 40)]}" for each in shown]
    little = tuple(dict.fromkeys(text[each.start : each.end].strip(",.;:") for each in weights if each.weight < LITTLE))
    lines = [catalogue.say("shorten.text")]
    if little:
        lines.append(shorten(catalogue.say("shorten.little", words=tuple(f"“{each}”" for each in little)), 500))
    if offer.prompts:
        lines += ["", catalogue.say("shorten.versions")]
        lines += [catalogue.say("offer.line", number=number, words=shorten(words, 400)) for number, words in enumerate(offer.prompts[:3], 1)]
    else:
        lines.append(catalogue.say("shorten.none"))
    return Card(
        title=catalogue.say("shorten.title"),
        text="\n".join(lines),
        code="\n".join(table),
        rows=fives(numbered(offer, catalogue, 3)),
        visibility=Visibility.PRIVATE,
    )


def bar(share: float) -> str:
    """0..1 as BAR characters."""
    full = round(min(1.0, max(0.0, share)) * BAR)
    return "█" * full + "░" * (BAR - full)


def confirm_card(offer: Offer, cost: float, catalogue: Catalogue) -> Card:
    """A set of prompts wants a yes: what it makes and what it costs, in credits."""
    count = len(offer.prompts)
    pictures = sum(int(each.get("request", {}).get("count", 1)) for each in offer.facts.get("orders", ())) or count
    lines = [catalogue.say("offer.confirm", count=count, pictures=pictures, cost=cost), ""]
    lines += [catalogue.say("offer.line", number=number, words=shorten(plain_text(words), 90)) for number, words in enumerate(offer.prompts, 1)]
    yes = Button(
        label=catalogue.say("offer.draw_all"),
        hint=catalogue.say("offer.draw_all_hint"),
        action=run_all(offer),
        style="primary",
    )
    no = Button(label=catalogue.say("offer.not_now"), hint=catalogue.say("offer.not_now_hint"), action=Action(verb=Verb.DISMISS, job_id=offer.id))
    return Card(title=catalogue.say("offer.confirm_title"), text=within(lines, catalogue), rows=((yes, no),), visibility=Visibility.PRIVATE)


def batch_card(offer: Offer, members: Sequence[Shown], catalogue: Catalogue) -> Card:
    """A set of jobs: how far it is, and a way to each of them; to stop all that wait, and to take all that is drawn.

    A SHOW or CANCEL whose argument is `bot.presses.SET` is of the set; `job_id` is the offer's.
    """
    done = [shown for shown in members if shown.job.status is Status.DONE]
    waiting = any(not shown.job.status.ended for shown in members)
    private = any(shown.job.private for shown in members)
    lines = [catalogue.say("batch.done", done=len(done), count=len(members))]
    lines += [
        catalogue.say(
            "batch.line", number=number, status=catalogue.say(f"web.status_{shown.job.status.value}"), words=shorten(plain_words(shown.job), 60) or "…"
        )
        for number, shown in enumerate(members, 1)
    ]
    shows = [_show(number, shown, catalogue) for number, shown in enumerate(members, 1) if shown.job.status is Status.DONE]
    buttons = [Button(label=catalogue.say("batch.look"), hint=catalogue.say("batch.look_hint"), action=_of_set(Verb.SHOW, offer, private))] if waiting else []
    if done:
        action = Action(verb=Verb.COLLECT, job_id=offer.id)
        buttons.append(Button(label=catalogue.say("batch.collect"), hint=catalogue.say("batch.collect_hint"), action=action, style="primary"))
    if waiting:
        action = _of_set(Verb.CANCEL, offer, private)
        buttons.append(Button(label=catalogue.say("batch.cancel"), hint=catalogue.say("batch.cancel_hint"), action=action, style="danger"))
    few = len(shows) <= LISTED
    menus = () if few else tuple(tuple(shows[at : at + _CHOICES]) for at in range(0, len(shows), _CHOICES))
    return Card(
        title=catalogue.say("batch.title", count=len(members)),
        text=within(lines, catalogue),
        rows=(*(fives(shows) if few else ()), *fives(buttons)),
        selects=tuple(Select(placeholder=catalogue.say("batch.show_many"), choices=menu) for menu in menus),
        visibility=Visibility.PRIVATE if private else Visibility.PUBLIC,
    )


def _of_set(verb: Verb, offer: Offer, private: bool) -> Action:
    return Action(verb=verb, job_id=offer.id, index=GRID, argument=SET + (PRIVATE if private else ""))


def _show(number: int, shown: Shown, catalogue: Catalogue) -> Button:
    words = shorten(plain_words(shown.job), 60)
    return Button(
        label=shorten(catalogue.say("batch.show", number=number), LABEL),
        hint=shorten(catalogue.say("batch.show_hint", words=words, count=len(frames(shown))), 100),
        action=Action(verb=Verb.SHOW, job_id=shown.job.id, argument=PRIVATE if shown.job.private else ""),
    )
