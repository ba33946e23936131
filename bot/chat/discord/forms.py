"""What a form was opened on: options and pictures given beside the words, or a message's picture. Pure; used by `bot.chat.discord.handlers`.

It travels as the context behind the form's name, 100 characters in all: nothing, ``=[…]`` (options, as JSON), ``channel/message``, or ``~key`` where it is
too long for that or has attachments; then `memory` keeps it under the key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from bot.chat.discord import limits
from bot.chat.discord.events import Found, words
from bot.domain import Field, Form

_OPTIONS, _KEPT = "=", "~"


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """Given beside the words. `message` is "channel/message" of one whose picture is meant."""

    aspect: str = ""
    style: str = ""
    model: str = ""
    private: bool = False
    pictures: tuple[Found, ...] = ()
    message: str = ""

    @property
    def options(self) -> tuple[str, str, str, bool]:
        return (self.aspect, self.style, self.model, self.private)

    def words(self, typed: str, *, picture: bool) -> str:
        """With the words that were typed into the form."""
        return words(typed, aspect=self.aspect, style=self.style, model=self.model, private=self.private, picture=picture)


def context(beside: Beside, form: Form, key: str) -> tuple[str, bool]:
    """As it travels with this form, and whether it has to be kept under the key."""
    if beside.message and not beside.pictures and not any(beside.options):
        return beside.message, False
    if not (beside.message or beside.pictures):
        if not any(beside.options):
            return "", False
        told = _OPTIONS + json.dumps(beside.options, separators=(",", ":"), ensure_ascii=False)
        if len(form.name) + 1 + len(told) <= limits.CUSTOM_ID:
            return told, False
    return _KEPT + key, True


def kept_under(told: str) -> str:
    """The key of a context that only the memory knows; empty for any other."""
    return told.removeprefix(_KEPT) if told.startswith(_KEPT) else ""


def read(told: str) -> Beside | None:
    """The inverse of `context` for one that is not kept; None for anything this program never wrote."""
    if not told.startswith(_OPTIONS):
        return Beside(message=told)
    try:
        aspect, style, model, private = json.loads(told.removeprefix(_OPTIONS))
    except (ValueError, TypeError):
        return None
    return Beside(aspect=str(aspect), style=str(style), model=str(model), private=bool(private))


def prefilled(form: Form, values: Mapping[str, str]) -> Form:
    """What was typed as an option stands in the field of that name, where the form has one."""
    return replace(form, fields=tuple(_filled(field, values.get(field.name, "")) for field in form.fields))


def _filled(field: Field, value: str) -> Field:
    return field if field.value or not value or field.kind == "picture" else replace(field, value=value)


def without(beside: Beside, form: Form) -> Beside:
    """What no field of the form asks for: the rest would count twice."""
    asked = {field.name for field in form.fields}
    aspect, style, model = ("" if name in asked else value for name, value in zip(("aspect", "style", "model"), beside.options[:3], strict=True))
    return replace(beside, aspect=aspect, style=style, model=model)
