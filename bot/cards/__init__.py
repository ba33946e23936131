"""Job + progress → Card: every word and button a member sees of a job is decided here, through the catalogue. Pure.

Called by `bot.studio`, `bot.queries` and the outbox. Cards that stand for no job are in `bot.notes`. `words` has the sentences, `pictures` the pictures and
their alt texts, `facts` labels and values, `buttons` the buttons, `room` how far a picture can be carried on.
"""

from __future__ import annotations

from datetime import datetime

from bot.cards.buttons import IN_BUTTONS, PRIVATE, buttons, rows_of
from bot.cards.facts import LEAST_ENERGY, WATTS, by, details, model_name, spent, watt_hours
from bot.cards.pictures import MAX_ALT, alt_text, clip, disagrees, frames, pictures, shorten_to
from bot.cards.room import MAX_EDGE, is_enhanceable
from bot.cards.words import MAX_TITLE, children_of, left, parent_line, percent, plain_text, plain_words, relation, shorten, status_line, titled
from bot.domain import Card, Link, Shown, Status, Verb, Visibility
from bot.messages import Catalogue
from engine.api import Capabilities

__all__ = [
    "IN_BUTTONS",
    "LEAST_ENERGY",
    "MAX_ALT",
    "MAX_EDGE",
    "MAX_TITLE",
    "NOBODY",
    "PRIVATE",
    "WATTS",
    "alt_text",
    "by",
    "children_of",
    "choose_card",
    "details",
    "disagrees",
    "frames",
    "is_enhanceable",
    "job_card",
    "left",
    "model_name",
    "params_card",
    "parent_line",
    "percent",
    "plain_text",
    "plain_words",
    "relation",
    "shorten",
    "shorten_to",
    "spent",
    "watt_hours",
]

NOBODY = "0" * 26  #: stands in a button where a job's id stands, when it is about none


def job_card(shown: Shown, catalogue: Catalogue, *, now: datetime, url: str = "", can: Capabilities | None = None, parent_words: str = "") -> Card:
    """The card of a job as it stands.

    `url` is the studio's public address, or empty: then there are no links. `can` is what its model can do; None: not at hand, and there are only the buttons
    that any model has. `parent_words` are those of the job it came from, as typed, where they are at hand.
    """
    job = shown.job
    rows, selects = buttons(shown, catalogue, can)
    return Card(
        title=titled(job, catalogue),
        text="\n".join(filter(None, (status_line(shown, catalogue, now), parent_line(job, catalogue, parent_words)))),
        code=job.words if job.status is Status.FAILED else "",
        job_id=job.id,
        status=job.status,
        percent=percent(shown),
        pictures=pictures(shown, catalogue),
        clip=clip(shown, catalogue),
        rows=rows,
        selects=selects,
        links=_links(shown, catalogue, url.rstrip("/")) if url else (),
        details=details(shown, catalogue) if job.status is Status.DONE else by(job, catalogue),
        visibility=Visibility.PRIVATE if job.private else Visibility.PUBLIC,
        spoiler=job.hidden,
    )


def _links(shown: Shown, catalogue: Catalogue, url: str) -> tuple[Link, ...]:
    """To the studio's page of the job and, of a drawn one, to where its picture comes from: chats strip what the file says of itself."""
    page = Link(label=catalogue.say("card.open"), url=f"{url}/job/{shown.job.id}")
    if shown.job.status is not Status.DONE:
        return (page,)
    return (page, Link(label=catalogue.say("origin.title"), url=f"{url}/origin/{shown.job.id}"))


def choose_card(shown: Shown, catalogue: Catalogue) -> Card:
    """Which picture of a grid to enlarge, asked of one member alone."""
    rows, selects = buttons(shown, catalogue)
    picks = tuple(button for row in rows for button in row if button.action.verb is Verb.PICK)
    return Card(
        title=titled(shown.job, catalogue),
        text=catalogue.say("card.choose"),
        rows=rows_of(picks),
        selects=selects[:1],
        visibility=Visibility.PRIVATE,
    )


def params_card(
    shown: Shown, catalogue: Catalogue, capabilities: Capabilities | None = None, *, watts: float = WATTS, direct: bool = False, parent_words: str = ""
) -> Card:
    """Seed and words, the model and what it is, what it cost, for one member alone; with the pictures when it goes to them directly.

    `capabilities` are those of the job's model; None where it is not on the shelf any more. `watts`: what the machine takes while it draws.
    """
    return Card(
        title=catalogue.say("card.details"),
        text=parent_line(shown.job, catalogue, parent_words),
        code=shown.job.words,
        pictures=pictures(shown, catalogue, apart=True) if direct else (),
        clip=clip(shown, catalogue) if direct else None,
        details=(*details(shown, catalogue, capabilities, more=True), *spent(shown, catalogue, watts)),
        visibility=Visibility.DIRECT if direct else Visibility.PRIVATE,
        spoiler=shown.job.hidden,
    )
