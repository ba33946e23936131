"""A card as somebody reads it, on whatever platform, and what a platform must be able to do. Used by the stages."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.scenario.files import File

PATIENCE = 300.0
LETTERS = "letters"  #: what a member reads that the bot told them directly
WAITS = re.compile(r"^(Queued|Drawing|In der Warteschlange|An \d+\. Stelle|Wird gezeichnet)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A card as somebody reads it. `alone`: only the member who asked sees it; `place` is the platform's own message, to press on."""

    title: str
    text: str = ""
    code: str = ""
    pictures: bool = False
    veiled: bool = False  #: they stand behind a click
    details: str = ""
    rows: tuple[tuple[str, ...], ...] = ()
    fields: tuple[str, ...] = ()  #: of a form: label and value
    alone: bool = False
    place: Any = field(default=None, compare=False)

    @property
    def waits(self) -> bool:
        return bool(WAITS.match(self.text))

    def lines(self) -> list[str]:
        """As it stands in a script."""
        found = [f"{'(to you) ' if self.alone else ''}{self.title}", *self.text.split("\n"), *(f"> {line}" for line in self.code.split("\n") if line)]
        pictures = "(pictures, behind a click)" if self.veiled else "(pictures)"
        found += [pictures] * self.pictures + [self.details] + [" ".join(f"[{label}]" for label in row) for row in self.rows]
        found += [f"({each})" for each in self.fields]
        return [line.strip() for line in found if line.strip()]


class Stage(Protocol):
    """One platform. `who` is "ada" or "bob"; "grace", who manages the server; or "carl", who speaks German."""

    name: str

    def key(self, who: str) -> str:
        """Of the actor that they are there."""

    async def say(self, who: str, command: str, text: str, *, files: Sequence[File] = (), begun: bool = False, where: str = "art") -> Seen:
        """`begun`: what is seen first, and not what it becomes. `where`: the channel."""

    def newest(self, who: str, where: str) -> Seen:
        """The newest message of a channel, or of LETTERS."""

    async def press(self, who: str, card: Seen, label: str) -> Seen: ...

    async def fill(self, who: str, form: Seen, values: Mapping[str, str | File]) -> Seen:
        """What is not named stays as it is filled in."""

    async def menu(self, who: str, card: Seen, entry: str) -> Seen:
        """An entry of the menu that a chat has for each message."""

    async def react(self, who: str, card: Seen, emoji: str) -> Seen: ...


async def poll(look: Callable[[], Seen | None], *, begun: bool = False) -> Seen:
    """The first thing to see that does not wait for more; with `begun`, the first at all."""
    end = asyncio.get_running_loop().time() + PATIENCE
    while (found := look()) is None or (found.waits and not begun):
        assert asyncio.get_running_loop().time() < end, f"nothing came of it: {found}"
        await asyncio.sleep(0.02)
    return found


def form(title: str, fields: list[tuple[str, str]], place: Any) -> Seen:
    return Seen(title=f"Form: {title}", fields=tuple(f"{label}: {value}".strip().rstrip(":") for label, value in fields), place=place)
