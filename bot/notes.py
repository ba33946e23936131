"""Cards that stand for no job (mistakes, the wallet, the queue, the history, help) and the forms. Pure; called by `bot.studio` and its helpers.

All of them are private: they are a word to one member.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from bot.cards import PRIVATE, frames, plain_words, relation, shorten
from bot.domain import Action, Button, Card, Field, Form, Job, Link, Load, Page, Resend, Shown, Status, Verb, Visibility, Wallet
from bot.errors import BadWords, BotError, Fault
from bot.messages import Catalogue
from bot.prompts.clean import MAX_TYPED
from bot.prompts.flags import FLAGS
from engine.api import Capabilities

HISTORY = 10  #: entries on a history card: two rows of buttons
CHILDREN = 20  #: on a card of what came of a job: four rows of buttons
_BEFORE, _AFTER = 40, 30  #: characters shown around a mistake
_LABEL = 80


def error_card(error: BotError, catalogue: Catalogue, words: str = "") -> Card:
    """One sentence; the words given back, with a caret line under the place where they went wrong."""
    words = words[:MAX_TYPED].encode("utf-8", "replace").decode()  # lone surrogates come in by JSON and go out by nothing
    try:
        text = catalogue.say(error.message, **error.parameters)
    except (KeyError, ValueError, TypeError):
        text = catalogue.say("error.fault")
    title = catalogue.say("card.trouble" if isinstance(error, Fault) else "card.sorry")
    code = caret(words, error.start, error.end) if isinstance(error, BadWords) and words.strip() else words
    return Card(title=title, text=text, code=code, visibility=Visibility.PRIVATE)


def caret(words: str, start: int, end: int) -> str:
    """The words around [start, end) on one line, carets under the place; all of the words below when that line is only a piece of them."""
    flat = "".join(c if c.isprintable() else " " if c.isspace() else "·" for c in words)
    end = max(end, start + 1)
    begin, stop = max(0, start - _BEFORE), min(len(flat), max(min(end, start + _BEFORE), start + 1) + _AFTER)
    lead, tail = "…" if begin else "", "…" if stop < len(flat) else ""
    under = " " * (len(lead) + _columns(flat[begin:start])) + "^" * max(1, _columns(flat[start : min(end, stop)]))
    line = f"{lead}{flat[begin:stop]}{tail}\n{under}"
    return f"{line}\n\n{words}" if lead or tail else line


def _columns(text: str) -> int:
    """How wide `text` is in a fixed-width face."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def note(catalogue: Catalogue, title: str, text: str = "", **parameters: object) -> Card:
    """A private word: `title` and `text` are message ids; the parameters are the text's."""
    return Card(title=catalogue.say(title), text=catalogue.say(text, **parameters) if text else "", visibility=Visibility.PRIVATE)


def deleted_card(job_id: str, catalogue: Catalogue) -> Card:
    """No status: it stands for no job any more; the id tells a chat whose message may go."""
    return Card(title=catalogue.say("card.deleted"), text=catalogue.say("card.deleted_text"), job_id=job_id, visibility=Visibility.PRIVATE)


def closed_card(words: str, catalogue: Catalogue, *, again: bool = True) -> Card:
    """The bot may not post here: nothing was taken. `again`: the words are all there is to it, so they can be sent again from where it may."""
    resend = Resend(label=catalogue.say("button.resend"), hint=catalogue.say("button.resend_hint"), words=words) if words and again else None
    title, text = catalogue.say("card.sorry"), catalogue.say("refused.closed")
    return Card(title=title, text=text, code=words, resend=resend, visibility=Visibility.PRIVATE)


def web_card(url: str, catalogue: Catalogue) -> Card:
    """The address is for one member alone, and for once."""
    link = Link(label=catalogue.say("web_link.open"), url=url)
    return Card(title=catalogue.say("web_link.title"), text=catalogue.say("web_link.text"), links=(link,), visibility=Visibility.PRIVATE)


def info_card(wallet: Wallet, active: Sequence[Job], load: Load, models: Sequence[Capabilities], catalogue: Catalogue) -> Card:
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
        label = shorten(f"{catalogue.say('button.cancel')}: {words}", _LABEL)
        buttons.append(Button(label=label, hint=catalogue.say("button.cancel_hint"), action=Action(verb=Verb.CANCEL, job_id=job.id), style="danger"))
    if not mine:
        lines.append(catalogue.say("queue.none_of_yours"))
    return Card(title=catalogue.say("queue.title"), text="\n".join(lines), rows=_fives(buttons), visibility=Visibility.PRIVATE)


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
    return Card(title=catalogue.say("history.title"), text="\n".join(lines), rows=_fives(buttons), visibility=Visibility.PRIVATE)


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
    rows = (*_fives(buttons), (up,))
    text = "\n".join(lines) or catalogue.say("family.none")
    return Card(title=catalogue.say("family.title", words=shorten(plain_words(shown.job), 150)), text=text, rows=rows, visibility=Visibility.PRIVATE)


def help_card(models: Sequence[Capabilities], catalogue: Catalogue) -> Card:
    examples = [catalogue.say("help.example", words=each) for each in (models[0].examples[:3] if models else ())]
    flags = [catalogue.say("help.flag", name=flag.name, help=catalogue.say(f"flag.{flag.name}")) for flag in FLAGS if not flag.later]
    licences = [catalogue.say("help.licence", model=each.title or each.model, licence=each.licence) for each in models]
    blocks = [catalogue.say("help.intro"), "\n".join(examples), "\n".join([catalogue.say("help.flags"), *flags]), catalogue.say("help.commands"), *licences]
    return Card(title=catalogue.say("help.title"), text="\n\n".join(filter(None, blocks)), visibility=Visibility.PRIVATE)


def imagine_form(catalogue: Catalogue, words: str = "") -> Form:
    return Form(name="imagine", title=catalogue.say("form.imagine"), fields=(Field(name="words", label=catalogue.say("form.words"), value=words, long=True),))


def remix_form(action: Action, words: str | None, catalogue: Catalogue) -> Form:
    """`words` None: they are not at hand, and an empty answer keeps them."""
    label = catalogue.say("form.words" if words is not None else "form.words_kept")
    field = Field(name="words", label=label, value=words or "", long=True, required=words is not None)
    return Form(name=action.encode(), title=catalogue.say("form.remix"), fields=(field,))


def _fives(buttons: Sequence[Button]) -> tuple[tuple[Button, ...], ...]:
    return tuple(tuple(buttons[at : at + 5]) for at in range(0, len(buttons), 5))
