"""Card → what Discord shows (Components V2), Form → modal. Pure; `bot.chat.discord.places` sends what comes out.

A message is: title and text, the pictures, what made them in small print, the buttons. Everything a member typed is escaped; nothing here decides
words. Why Components V2: docs/decisions/0007.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import discord
from discord import ui

from bot.chat.discord import limits
from bot.domain import Button, Card, Form, Select

STYLES = {
    "primary": discord.ButtonStyle.primary,
    "secondary": discord.ButtonStyle.secondary,
    "success": discord.ButtonStyle.success,
    "danger": discord.ButtonStyle.danger,
}
WORDS_FILE = "your-words.txt"
_BAR = 20  #: cells
_FENCE = re.compile("`{3,}")


class PressButton(ui.DynamicItem[ui.Button[ui.LayoutView]], template=r"w1:[a-z]+:[0-9A-Z]{26}:-?[0-9]+:.*"):
    """A card's button: its custom_id is the encoded action, so it works after a restart, from any process, on a message of last year."""

    @classmethod
    async def from_custom_id(cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str]) -> PressButton:
        assert isinstance(item, ui.Button)  # noqa: S101  Discord matched the type
        return cls(item)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await interaction.client.adapter.pressed(interaction, self.item.custom_id or "")


class PressSelect(ui.DynamicItem[ui.Select[ui.LayoutView]], template=r"w1s:[0-9]+"):
    """A card's select: what was chosen is the encoded action."""

    @classmethod
    async def from_custom_id(cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str]) -> PressSelect:
        assert isinstance(item, ui.Select)  # noqa: S101  Discord matched the type
        return cls(item)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        data: Mapping[str, Any] = interaction.data or {}
        await interaction.client.adapter.pressed(interaction, str((data.get("values") or [""])[0]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """A picture that goes along, already small enough."""

    name: str
    data: bytes
    alt: str


def message(card: Card, pictures: Sequence[Attached] = (), remarks: Sequence[str] = ()) -> tuple[ui.LayoutView, list[discord.File]]:
    """The view and its files. `remarks` are sentences about the pictures (sent smaller, left out)."""
    view = ui.LayoutView(timeout=None)
    small = [line for line in (_details(card), *remarks) if line]
    below = "\n".join(f"-# {escape(line)}" for line in small)
    room = limits.TEXT - len(below)
    head = shorten(_head(card), room)
    code, whole = _code(card.code, room - len(head))
    view.add_item(ui.TextDisplay(head + code))
    files = [discord.File(io.BytesIO(each.data), each.name, description=each.alt[: limits.ALT] or None) for each in pictures[: limits.GALLERY]]
    if files:
        gallery: ui.MediaGallery[ui.LayoutView] = ui.MediaGallery()
        for file, each in zip(files, pictures, strict=False):
            gallery.add_item(media=f"attachment://{file.filename}", description=each.alt[: limits.ALT] or None, spoiler=card.spoiler)
        view.add_item(gallery)
    if not whole:
        files.append(discord.File(io.BytesIO(card.code.encode()), WORDS_FILE))
        view.add_item(ui.File(f"attachment://{WORDS_FILE}"))
    if below:
        view.add_item(ui.TextDisplay(below))
    for row in _rows(card):
        view.add_item(row)
    return view, files


def modal(form: Form, context: str = "") -> ui.Modal:
    """The form. `context` comes back behind a bar in the modal's custom_id; words too long for it are shown shortened."""
    shown = ui.Modal(title=form.title[: limits.FORM_TITLE], custom_id=f"{form.name}|{context}" if context else form.name, timeout=900)
    for field in form.fields[: limits.FORM_FIELDS]:
        style = discord.TextStyle.long if field.long else discord.TextStyle.short
        box: ui.TextInput[ui.Modal] = ui.TextInput(
            custom_id=field.name,
            style=style,
            default=shorten(field.value, limits.FORM_VALUE) or None,
            required=field.required,
            max_length=limits.FORM_VALUE,
        )
        shown.add_item(ui.Label(text=field.label[: limits.FORM_LABEL], component=box))
    return shown


def escape(text: str) -> str:
    """A member's words as they are: no markup, no mentions, no custom emojis, no timestamps."""
    return discord.utils.escape_mentions(discord.utils.escape_markdown(text, ignore_links=False).replace("<", "\\<"))


def shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: max(limit - 1, 0)].rstrip("\\ \n") + "…"


def _head(card: Card) -> str:
    lines = [f"**{escape(' '.join(card.title.split()))}**"]
    if card.percent is not None:
        full = round(card.percent / 100 * _BAR)
        lines.append(f"`{'█' * full}{'░' * (_BAR - full)}` {card.percent} %")
    if card.text:
        lines.append("\n".join(map(escape, card.text.split("\n"))))
    return "\n".join(lines)


def _code(code: str, room: int) -> tuple[str, bool]:
    """The words in a fixed-width face, and whether all of them are there."""
    if not code:
        return "", True
    safe = _FENCE.sub(lambda found: "ʼ" * len(found[0]), code)
    frame = len("\n```\n\n```")
    cut = shorten(safe, max(room - frame, 1))
    return f"\n```\n{cut}\n```", cut == code


def _details(card: Card) -> str:
    return " · ".join(f"{label} {value}" for label, value in card.details)


def _rows(card: Card) -> Iterator[ui.ActionRow[ui.LayoutView]]:
    for number, select in enumerate(card.selects):
        chooser: ui.ActionRow[ui.LayoutView] = ui.ActionRow()
        yield chooser.add_item(PressSelect(_select(select, number)))
    for row in card.rows:
        buttons: ui.ActionRow[ui.LayoutView] = ui.ActionRow()
        for button in row[: limits.ROW]:
            buttons.add_item(PressButton(_button(button)))
        yield buttons
    links = [ui.Button[ui.LayoutView](label=link.label[: limits.LABEL], url=link.url) for link in card.links if link.url.startswith(("https://", "http://"))]
    if links:
        yield ui.ActionRow(*links[: limits.ROW])


def _button(button: Button) -> ui.Button[ui.LayoutView]:
    style = discord.ButtonStyle.success if button.pressed else STYLES[button.style]
    return ui.Button(label=button.label[: limits.LABEL], style=style, custom_id=button.action.encode())


def _select(select: Select, number: int) -> ui.Select[ui.LayoutView]:
    options = [
        discord.SelectOption(label=each.label[: limits.CHOICE], value=each.action.encode(), description=each.hint[: limits.CHOICE] or None)
        for each in select.choices[: limits.CHOICES]
    ]
    return ui.Select(custom_id=f"w1s:{number}", placeholder=select.placeholder[: limits.PLACEHOLDER], options=options)
