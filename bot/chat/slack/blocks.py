"""Card → blocks and a fallback text. Pure; `bot.chat.slack.posts` and `home` send what comes out. Forms are in `bot.chat.slack.forms`.

Words of members stand in ``plain_text`` wherever Slack lets them, so that no asterisk of theirs becomes bold; three characters are escaped
everywhere, as Slack asks for in every text object. Buttons carry their whole action in `value`: they work after a restart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import unquote

from bot.chat.slack import limits
from bot.domain import Button, Card, Resend, Select, Status, Visibility

Block = dict[str, Any]

DIRECT = "wordup:direct"  #: action_id of the button that takes words into a direct message
LINK = "wordup:link"  #: beginning of those of buttons that only lead somewhere
IMAGINE = "wordup:imagine"  #: of the home tab's button that opens the form
EVENT = "wordup_job"  #: of a message's metadata
LETTER = "letter"  #: of what a message's metadata says, where it is no job's: `Card.once`
_CELLS = 10
_ABREAST = 5  #: buttons that stand beside each other on a phone held sideways; links join a row up to here
#: The words of /wordup; /imagine stands for itself.
SUBCOMMANDS = (
    *("blend", "describe", "shorten", "morph", "history", "show", "info", "queue", "cancel", "upscale", "prefer", "settings"),
    *("styles", "lists", "models", "web", "verify", "privacy", "remix", "report", "admin", "help"),
)
_COMMANDS = re.compile(rf"(?<![\w/])/({'|'.join(SUBCOMMANDS)})\b(?!/)")
_ALIKE = str.maketrans({"*": "∗", "`": "ˋ", "~": "∼"})
_EDGE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")  #: an underscore that is not within a word
_QUOTE = re.compile(r"^>+")
_NOTHING = "\u200b"  #: a space without width: what reads the prompt takes it out again


class Catalogue(Protocol):
    """Where every word of one language comes from."""

    def say(self, message: str, /, **parameters: object) -> str: ...


class Catalogues(Protocol):
    """All languages."""

    def of(self, locale: str) -> Catalogue:
        """The one for an IETF tag; for an empty one that of members whose language nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    text: str  #: for notifications and screen readers
    blocks: tuple[Block, ...]
    metadata: Mapping[str, Any] | None = None

    def arguments(self) -> dict[str, Any]:
        """As keyword arguments of chat.postMessage and chat.update."""
        said: dict[str, Any] = {"text": self.text, "blocks": list(self.blocks)}
        return said | {"metadata": dict(self.metadata)} if self.metadata else said


# ------------------------------------------------------------------------------------------------ texts


def escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def fit(text: str, limit: int) -> str:
    """Escaped, and cut with an ellipsis so that the escaped text has at most `limit` characters; never through an escape."""
    whole = escape(text)
    if len(whole) <= limit:
        return whole
    kept, room = [], limit - 1
    for character in text:
        piece = escape(character)
        if len(piece) > room:
            break
        kept.append(piece)
        room -= len(piece)
    return "".join(kept).rstrip() + "…"


def plain(text: str, limit: int) -> Block:
    return {"type": "plain_text", "text": fit(text, limit) or _NOTHING, "emoji": True}


def literal(text: str) -> str:
    """One line that stays what it is between Slack's marks: those of the words are set as their look-alikes."""
    return " ".join(_EDGE.sub("＿", text).translate(_ALIKE).split())


def bold(text: str, limit: int) -> str:
    """One bold line."""
    line = literal(text)
    return f"*{fit(line, limit - 2)}*" if line else ""


def spelled(text: str) -> str:
    """Commands as they are typed here: all but /imagine are words of /wordup."""
    return _COMMANDS.sub(r"/wordup \1", text)


def section(text: str) -> list[Block]:
    """Plain words, in as many sections as they need, split between lines where possible."""
    return [{"type": "section", "text": {"type": "plain_text", "text": piece, "emoji": True}} for piece in pieces(text, limits.TEXT)]


def code(text: str) -> list[Block]:
    """Fixed width, easy to copy. What would end it early is kept apart by spaces without width, which the prompt's reader drops."""
    safe = text.replace("```", _NOTHING.join("```"))
    return [{"type": "section", "text": {"type": "mrkdwn", "text": f"```{_apart(piece)}```", "verbatim": True}} for piece in pieces(safe, limits.TEXT - 8)]


def _apart(piece: str) -> str:
    """No backtick right beside the fence."""
    return f"{_NOTHING if piece.startswith('`') else ''}{piece}{_NOTHING if piece.endswith('`') else ''}"


def pieces(text: str, limit: int) -> list[str]:
    """The text escaped, in pieces of at most `limit` characters, cut between lines or words where that costs little."""
    found: list[str] = []
    rest = text
    while rest.strip():
        end, room = 0, limit
        for character in rest:
            cost = len(escape(character))
            if cost > room:
                break
            room -= cost
            end += 1
        if end < len(rest):
            for mark in ("\n", " "):
                at = rest.rfind(mark, end // 2, end)
                if at > 0:
                    end = at + 1
                    break
        found.append(escape(rest[:end]).strip("\n"))
        rest = rest[end:]
    return [piece for piece in found if piece]


def bar(percent: int) -> str:
    """▰▰▰▰▱▱▱▱▱▱ 40 %"""
    full = max(0, min(_CELLS, percent * _CELLS // 100))
    return f"{'▰' * full}{'▱' * (_CELLS - full)} {percent} %"


# ------------------------------------------------------------------------------------------------ cards


def message(card: Card, files: Mapping[str, str] | None = None, notes: Sequence[str] = ()) -> Message:
    """`files` are Slack's ids of uploaded pictures by digest; a picture without one is left out. `notes` are said below the text."""
    named = card.job_id and (card.status is not None or card.visibility is Visibility.PUBLIC)  # a set's card is named as a job's is
    about = {LETTER: card.once} if card.once else {"job_id": card.job_id} if named else None
    text = fit("\n".join(filter(None, (card.title, spelled(card.text), *notes))), limits.FALLBACK) or _NOTHING
    return Message(text=text, blocks=tuple(card_blocks(card, files or {}, notes)), metadata={"event_type": EVENT, "event_payload": about} if about else None)


def card_blocks(card: Card, files: Mapping[str, str], notes: Sequence[str] = (), *, most: int = limits.BLOCKS) -> list[Block]:
    head: list[Block] = []
    if title := bold(card.title, limits.TEXT):
        head.append({"type": "section", "text": {"type": "mrkdwn", "text": title, "verbatim": True}})
    progress = bar(card.percent) if card.percent is not None and card.status is Status.RUNNING else ""
    head += section("\n".join(filter(None, (progress, spelled(card.text)))))
    for note in notes:
        head += section(note)
    shown = [
        {"type": "image", "slack_file": {"id": files[each.digest]}, "alt_text": (each.alt or card.title)[: limits.ALT] or _NOTHING}
        for each in card.files
        if files.get(each.digest)
    ]
    tail = [*details(card), *controls(card)]
    head += code(card.code)[: max(0, most - len(head) - len(tail) - len(shown))]
    return [*head, *shown[: max(0, most - len(head) - len(tail))], *tail][:most]


def details(card: Card) -> list[Block]:
    """One small line under the pictures of a job; a table where the details are the answer itself."""
    if not card.details:
        return []
    if card.status is not None:
        line = " · ".join(f"{label} {value}" for label, value in card.details)
        return [{"type": "context", "elements": [plain(line, limits.FIELD)]}]
    fields = [
        {"type": "mrkdwn", "text": f"{bold(label, 200)}\n{fit(_QUOTE.sub('›', literal(value)), limits.FIELD - 210)}", "verbatim": True}
        for label, value in card.details
    ]
    return [{"type": "section", "fields": fields[at : at + limits.FIELDS]} for at in range(0, len(fields), limits.FIELDS)]


def controls(card: Card) -> list[Block]:
    found: list[Block] = []
    for number, select in enumerate(card.selects):
        found += _menu(select, number)
    for row, buttons in enumerate(card.rows):
        for at in range(0, len(buttons), limits.ELEMENTS):
            part = buttons[at : at + limits.ELEMENTS]
            found.append({"type": "actions", "elements": [button(each, f"wordup:{row}:{at + number}") for number, each in enumerate(part)]})
    links = [
        {"type": "button", "text": plain(link.label, limits.BUTTON), "url": link.url, "action_id": f"{LINK}:{number}"}
        for number, link in enumerate(card.links)
        if len(link.url) <= limits.URL
    ]
    if links and card.rows and len(found[-1]["elements"]) + len(links) <= _ABREAST:
        found[-1]["elements"] += links
        links = []
    found += [{"type": "actions", "elements": links[at : at + limits.ELEMENTS]} for at in range(0, len(links), limits.ELEMENTS)]
    if card.resend is not None and (again := _resend(card.resend)):
        found.append({"type": "actions", "elements": [again]})
    return found


def button(shown: Button, action_id: str) -> Block:
    made: Block = {"type": "button", "text": plain(shown.label, limits.BUTTON), "action_id": action_id, "value": shown.action.encode()}
    if shown.hint:
        made["accessibility_label"] = shown.hint[: limits.HINT]
    style = "primary" if shown.pressed or shown.style in ("primary", "success") else "danger" if shown.style == "danger" else ""
    return made | {"style": style} if style else made


def _menu(select: Select, number: int) -> list[Block]:
    options = [{"text": plain(each.label, limits.OPTION), "value": each.action.encode()} for each in select.choices[: limits.OPTIONS]]
    if not options:
        return []
    menu = {"type": "static_select", "action_id": f"wordup:select:{number}", "placeholder": plain(select.placeholder, limits.PLACEHOLDER), "options": options}
    return [{"type": "actions", "elements": [menu]}]


_HELD = {"%": "%25", "&": "%26", "<": "%3C", ">": "%3E"}


def _resend(again: Resend) -> Block | None:
    """The words travel in the button; without those characters that Slack may escape on the way back."""
    value = "".join(_HELD.get(character, character) for character in again.words)
    if not value or len(value) > limits.VALUE:
        return None
    made: Block = {"type": "button", "text": plain(again.label, limits.BUTTON), "action_id": DIRECT, "value": value, "style": "primary"}
    return made | {"accessibility_label": again.hint[: limits.HINT]} if again.hint else made


def resent(value: str) -> str:
    """The words in a `DIRECT` button."""
    return unquote(value)
