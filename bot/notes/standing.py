"""Cards of the wallet, the queue, the history and the family. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bot.cards import PRIVATE, frames, plain_words, relation, shorten
from bot.domain import Action, Button, Card, Job, Load, Page, Shown, Status, Verb, Visibility, Wallet
from bot.messages import Catalogue
from bot.notes.parts import LABEL, fives
from engine.api import Capabilities

HISTORY = 10  #: entries on a history card: two rows of buttons
CHILDREN = 20  #: on a card of what came of a job: four rows of buttons


def info_card(wallet: Wallet, active: Sequence[Job], load: Load, models: Sequence[Capabilities], catalogue: Catalogue, loaded: Sequence[str] = ()) -> Card:
    """`loaded`: the names of the models in memory."""
    waiting = sum(job.status is Status.QUEUED for job in active)

    def label(key: str) -> str:
        return catalogue.say(f"detail.{key}")

    rows = [
        (label("balance"), catalogue.say("info.credits", balance=wallet.balance, count=round(wallet.balance, 2))),
        (label("refill"), catalogue.say("detail.refill_text", per_hour=wallet.per_hour, cap=wallet.cap)),
        (label("waiting"), str(waiting)),
        (label("running"), str(len(active) - waiting)),
        (label("load"), catalogue.say("detail.load_text", queued=load.queued, running=load.running)),
        *((label("model"), each.title or each.model) for each in models[:1]),
    ]
    if in_memory := [each.title or each.model for each in models if each.model in loaded]:
        rows.append((label("loaded"), catalogue.listed(in_memory)))
    return Card(title=catalogue.say("info.title"), details=tuple(rows), visibility=Visibility.PRIVATE)


def queue_card(mine: Sequence[Shown], load: Load, catalogue: Catalogue) -> Card:
    """What of the member's waits, and where; a button to stop each (the first ten)."""
    lines = [catalogue.say("queue.load", queued=load.queued, running=load.running)]
    buttons: list[Button] = []
    for shown in mine[:HISTORY]:
        job = shown.job
        words = shorten(plain_words(job), 60) or catalogue.say("card.untitled")
        if job.status is Status.RUNNING:
            lines.append(catalogue.say("queue.running", words=words))
        elif shown.position is None or shown.eta is None:
            lines.append(catalogue.say("queue.soon", words=words))
        else:
            lines.append(catalogue.say("queue.waiting", position=shown.position, eta=shown.eta, words=words))
        label = shorten(f"{catalogue.say('button.cancel')}: {words}", LABEL)
        buttons.append(Button(label=label, hint=catalogue.say("button.cancel_hint"), action=Action(verb=Verb.CANCEL, job_id=job.id), style="danger"))
    if not mine:
        lines.append(catalogue.say("queue.none_of_yours"))
    return Card(title=catalogue.say("queue.title"), text="\n".join(lines), rows=fives(buttons), visibility=Visibility.PRIVATE)


def history_card(page: Page, search: str, catalogue: Catalogue) -> Card:
    items = page.items[:HISTORY]
    if not items:
        text = catalogue.say("history.none_found", search=shorten(search, 60)) if search else catalogue.say("history.none")
        return Card(title=catalogue.say("history.title"), text=text, visibility=Visibility.PRIVATE)
    lines: list[str] = []
    buttons: list[Button] = []
    for number, shown in enumerate(items, 1):
        words = shorten(plain_words(shown.job), 80) or catalogue.say("card.untitled")
        star = " ⭐" if any(each.favourite for each in frames(shown)) else ""
        lines.append(catalogue.say("history.line", number=number, words=words) + star)
        hint = catalogue.say("button.show_hint", words=words)
        action = Action(verb=Verb.SHOW, job_id=shown.job.id, argument=PRIVATE if shown.job.private else "")
        buttons.append(Button(label=str(number), hint=hint, action=action))
    return Card(title=catalogue.say("history.title"), text="\n".join(lines), rows=fives(buttons), visibility=Visibility.PRIVATE)


def children_card(shown: Shown, children: Sequence[Job], catalogue: Catalogue) -> Card:
    """What came of a job: the newest CHILDREN of its children, a button to show each, and one to go back to it."""
    newest = children[-CHILDREN:]
    lines: list[str] = []
    buttons: list[Button] = []
    for number, child in enumerate(newest, 1 + len(children) - len(newest)):
        words = shorten(plain_words(child), 60) or catalogue.say("card.untitled")
        lines.append(catalogue.say("family.line", number=number, relation=relation(child, catalogue), words=words))
        action = Action(verb=Verb.SHOW, job_id=child.id, argument=PRIVATE if child.private else "")
        buttons.append(Button(label=str(number), hint=catalogue.say("button.show_hint", words=words), action=action))
    back = Action(verb=Verb.SHOW, job_id=shown.job.id, argument=PRIVATE if shown.job.private else "")
    up = Button(label=catalogue.say("family.back"), hint=catalogue.say("family.back_hint"), action=back)
    if len(newest) < len(children):
        lines.insert(0, catalogue.say("family.earlier", count=len(children) - len(newest)))
    rows = (*fives(buttons), (up,))
    text = "\n".join(lines) or catalogue.say("family.none")
    return Card(title=catalogue.say("family.title", words=shorten(plain_words(shown.job), 150)), text=text, rows=rows, visibility=Visibility.PRIVATE)
