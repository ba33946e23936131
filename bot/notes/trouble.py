"""Private words about something that went wrong, or is over. Pure."""

from __future__ import annotations

import unicodedata

from bot.domain import Card, Link, Resend, Visibility
from bot.errors import BadWords, BotError, Fault
from bot.messages import Catalogue
from bot.prompts.clean import MAX_TYPED

_BEFORE, _AFTER = 40, 30  #: characters shown around a mistake


def error_card(error: BotError, catalogue: Catalogue, words: str = "") -> Card:
    """One sentence; the words given back, with a caret line under the place where they went wrong."""
    if isinstance(error, BadWords) and error.words:
        words = error.words
    words = words[:MAX_TYPED].encode("utf-8", "replace").decode()  # lone surrogates come in by JSON and go out by nothing
    try:
        text = catalogue.say(error.message, **error.parameters)
    except (KeyError, ValueError, TypeError):
        text = catalogue.say("error.fault")
    title = catalogue.say("card.trouble" if isinstance(error, Fault) else "card.sorry")
    code = caret(words, error.start, error.end) if isinstance(error, BadWords) and words.strip() else words
    return Card(title=title, text=text, code=code, refusal=True, visibility=Visibility.PRIVATE)


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
