"""Card → what Discord shows, Form → modal. Pure; `bot.chat.discord.places` sends what comes out.

A message is: title, text and what made the pictures in small print; the pictures; the buttons. Everything a member typed is escaped; nothing here
decides words. Why classic messages and not Components V2: docs/decisions/0007.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import discord
from discord import ui

from bot.chat.discord import limits
from bot.chat.discord.events import role_of
from bot.domain import Button, Card, Field, Form, Link, Select

STYLES = {
    "primary": discord.ButtonStyle.primary,
    "secondary": discord.ButtonStyle.secondary,
    "success": discord.ButtonStyle.success,
    "danger": discord.ButtonStyle.danger,
}
WORDS_FILE = "your-words.txt"
_BAR = 20  #: cells
_FENCE = re.compile("`{3,}")
_MARKUP = re.compile(r"[\\*_~`|<\[\]]|^>(?:>>)?\s|^#{1,3}|^\s*-", re.MULTILINE)  # discord.py's own leaves what stands between [ and ) as it is


class PressButton(ui.DynamicItem[ui.Button[ui.View]], template=r"w1:[a-z]+:[0-9A-Z]{26}:-?[0-9]+:.*"):
    """A card's button: its custom_id is the encoded action, so it works after a restart, from any process, on a message of last year."""

    @classmethod
    async def from_custom_id(cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str]) -> PressButton:
        assert isinstance(item, ui.Button)  # noqa: S101  Discord matched the type
        return cls(item)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await interaction.client.handlers.pressed(interaction, self.item.custom_id or "")

    def __repr__(self) -> str:
        return f"<PressButton {self.item.custom_id}>"  # discord.py logs it: a label may hold a member's words


class PressSelect(ui.DynamicItem[ui.Select[ui.View]], template=r"w1s:[0-9]+"):
    """A card's select: what was chosen is the encoded action."""

    @classmethod
    async def from_custom_id(cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str]) -> PressSelect:
        assert isinstance(item, ui.Select)  # noqa: S101  Discord matched the type
        return cls(item)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        data: Mapping[str, Any] = interaction.data or {}
        await interaction.client.handlers.pressed(interaction, str((data.get("values") or [""])[0]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """A picture or a document that goes along, already small enough: bytes, or a file that is read while it is sent."""

    name: str
    data: bytes = b""
    path: str = ""
    alt: str = ""

    def file(self, *, spoiler: bool = False) -> discord.File:
        """To be sent once. Raises OSError where the file is there no more."""
        return discord.File(self.path or io.BytesIO(self.data), self.name, description=self.alt[: limits.ALT] or None, spoiler=spoiler)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A message, ready for discord.py. Files are read once: make the parts anew for every attempt."""

    content: str
    embeds: tuple[discord.Embed, ...]
    files: tuple[discord.File, ...]
    view: ui.View | None
    size: int = 0  #: bytes of all files

    def to_send(self) -> dict[str, Any]:
        """As a new message."""
        more = {"view": self.view} if self.view is not None else {}
        return {"content": self.content, "embeds": list(self.embeds), "files": list(self.files), **more}

    def to_edit(self) -> dict[str, Any]:
        """In the place of whatever stands there."""
        return {"content": self.content, "embeds": list(self.embeds), "attachments": list(self.files), "view": self.view}


def message(card: Card, pictures: Sequence[Attached] = (), remarks: Sequence[str] = (), documents: Sequence[Attached] = ()) -> Parts:
    """`remarks` are sentences about the files (sent smaller, left out)."""
    small = [line for line in (_details(card) if card.status is not None else "", *remarks) if line]
    below = "".join(f"\n-# {escape(line)}" for line in small)
    below += "".join(f"\n-# [{escape(link.label)}](<{link.url}>)" for link in _links(card)[1])
    files = [*(each.file(spoiler=card.spoiler) for each in pictures), *(each.file() for each in documents)]
    title, rest = _title(card), _rest(card)
    embed = None
    content = title + rest + _code(card.code)[0] + below
    whole = _code(card.code)[1]
    if len(content) > limits.CONTENT:  # a long one: the title stays outside, where notifications and the search find it
        rest = shorten(rest, limits.EMBED - len(_code(card.code, 1)[0]))
        code, whole = _code(card.code, limits.EMBED - len(rest))
        embed = discord.Embed(description=(rest + code).strip("\n") or None)
        content = shorten(title + below, limits.CONTENT)
    if not whole:
        files.append(discord.File(io.BytesIO(card.code.encode()), WORDS_FILE))
    files = files[: limits.ATTACHMENTS]
    return Parts(content=content, embeds=(embed,) if embed else (), files=tuple(files), view=_view(card), size=sum(map(_size, files)))


def _size(file: discord.File) -> int:
    return len(file.fp.getbuffer()) if isinstance(file.fp, io.BytesIO) else os.fstat(file.fp.fileno()).st_size


def modal(form: Form, context: str = "") -> ui.Modal:
    """The form. `context` comes back behind a bar in the modal's custom_id; words too long for it are shown shortened."""
    shown = ui.Modal(title=form.title[: limits.FORM_TITLE], custom_id=(f"{form.name}|{context}" if context else form.name)[: limits.CUSTOM_ID], timeout=900)
    for field in form.fields[: limits.FORM_FIELDS]:
        shown.add_item(ui.Label(text=field.label[: limits.FORM_LABEL], description=field.hint[: limits.FORM_HINT] or None, component=_box(field)))
    return shown


def _box(field: Field) -> ui.Item[ui.Modal]:
    """What is filled in: words, a file (several for a field of that name in the plural), or one of some choices."""
    if field.kind == "picture":
        most = limits.FORM_FILES if field.name == f"{role_of(field.name)}s" else 1
        return ui.FileUpload(custom_id=field.name, required=field.required, min_values=int(field.required), max_values=most)
    if field.kind == "choice" and field.choices:
        options = [
            discord.SelectOption(label=label[: limits.CHOICE], value=value[: limits.CHOICE], default=value == field.value)
            for value, label in field.choices[: limits.CHOICES]
        ]
        return ui.Select(custom_id=field.name, options=options, required=field.required, min_values=int(field.required))
    return ui.TextInput(
        custom_id=field.name,
        style=discord.TextStyle.long if field.long else discord.TextStyle.short,
        default=shorten(field.value, limits.FORM_VALUE) or None,
        required=field.required,
        max_length=limits.FORM_VALUE,
    )


def escape(text: str) -> str:
    """A member's words as they are: no markup, no mentions, no custom emojis, no timestamps."""
    return discord.utils.escape_mentions(_MARKUP.sub(r"\\\g<0>", text))


def shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: max(limit - 1, 0)].rstrip("\\ \n") + "…"


def _title(card: Card) -> str:
    return f"**{escape(' '.join(card.title.split()))}**"


def _rest(card: Card) -> str:
    lines = [""]
    if card.percent is not None:
        full = round(card.percent / 100 * _BAR)
        lines.append(f"`{'█' * full}{'░' * (_BAR - full)}` {card.percent} %")
    if card.text:
        lines.append("\n".join(map(escape, card.text.splitlines())))
    if card.status is None:  # the details are the answer itself
        lines += [f"**{escape(label)}** {escape(value)}" for label, value in card.details]
    return "\n".join(lines)


def _code(code: str, room: int | None = None) -> tuple[str, bool]:
    """The words in a fixed-width face, in that many characters; and whether all of them are there as they were typed."""
    if not code:
        return "", True
    safe = _FENCE.sub(lambda found: "ʼ" * len(found[0]), code)
    frame = "\n```\n{}\n```"
    cut = safe if room is None else shorten(safe, max(room - len(frame), 1))
    return frame.format(cut), cut == code


def _details(card: Card) -> str:
    return " · ".join(f"{label} {value}" for label, value in card.details)


def _view(card: Card) -> ui.View | None:
    """Selects, then buttons, then links; None when there is nothing to press."""
    rows = _rows(card)
    if not rows:
        return None
    view = ui.View(timeout=None)
    for number, row in enumerate(rows):
        for item in row:
            item.row = number
            view.add_item(item)
    return view


def _rows(card: Card) -> list[list[ui.Item[Any]]]:
    """Five at most. Too many are packed closer; what still has no room is the last of the buttons: a link leads to what cannot be reached otherwise."""
    selects: list[list[ui.Item[Any]]] = [[PressSelect(_select(select, number))] for number, select in enumerate(card.selects[: limits.ROWS]) if select.choices]
    buttons: list[list[ui.Item[Any]]] = [[PressButton(_button(button)) for button in row[: limits.ROW]] for row in card.rows if row]
    links: list[ui.Item[Any]] = [ui.Button(label=link.label[: limits.LABEL], url=link.url) for link in _links(card)[0]]
    room = limits.ROWS - len(selects)
    rows = [list(row) for row in buttons]
    if links and rows and len(rows[-1]) + len(links) <= limits.ROW:
        rows[-1] += links
    elif links:
        rows.append(links)
    if len(rows) > room:
        kept = room * limits.ROW - len(links)
        packed = [item for row in buttons for item in row][: max(kept, 0)] + links
        rows = [packed[at : at + limits.ROW] for at in range(0, len(packed), limits.ROW)][:room]
    return selects + rows


def _links(card: Card) -> tuple[list[Link], list[Link]]:
    """Those that are buttons, and those that stand in the text: where all rows are taken, the first is a button in any case, others where there is room."""
    leading = [link for link in card.links if link.url.startswith(("https://", "http://"))][: limits.ROW]
    rows = [row for row in card.rows if row]
    if len(rows) + sum(bool(select.choices) for select in card.selects) < limits.ROWS or not rows:
        return leading, []
    fits = max(1, limits.ROW - len(rows[-1][: limits.ROW]))
    return leading[:fits], leading[fits:]


def _button(button: Button) -> ui.Button[ui.View]:
    style = discord.ButtonStyle.success if button.pressed else STYLES[button.style]
    return ui.Button(label=button.label[: limits.LABEL], style=style, custom_id=button.action.encode())


def _select(select: Select, number: int) -> ui.Select[ui.View]:
    options = [
        discord.SelectOption(label=each.label[: limits.CHOICE], value=each.action.encode(), description=each.hint[: limits.CHOICE] or None)
        for each in select.choices[: limits.CHOICES]
    ]
    return ui.Select(custom_id=f"w1s:{number}", placeholder=select.placeholder[: limits.PLACEHOLDER], options=options)
