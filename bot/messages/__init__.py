"""The catalogue: every word a member sees, by id, one file a language (``en.toml``). Called by cards, the studio and the adapters.

`Catalogues` are all languages there are; `Catalogues.of` chooses by what a platform says a member reads.

An id is ``section.key``. A text may hold ``{name}`` or ``{name:kind}``, where kind is one of

``duration``  seconds → "20 s", "3 min"; None → "a while"
``ordinal``   a 0-based place → "1st", "2nd"
``list``      several names → "a, b and c"
``number``    7.0 → "7", 0.25 → "0.25", 1234.5 → "1,234.5", as the language writes it

An entry that is a table has a text for each plural form, chosen by the parameter ``count``.
"""

from __future__ import annotations

import math
import string
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from bot.domain import Said

Entry = str | Mapping[str, str]

_FALLBACK = "error.fault"


def _english_ordinal(place: int) -> str:
    number = place + 1
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"


def _french_ordinal(place: int) -> str:
    return "1er" if place == 0 else f"{place + 1}e"


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """What a text cannot say by itself. Plurals and number marks as in Unicode's CLDR."""

    name: str  #: in itself
    plural: Callable[[float], str]
    ordinal: Callable[[int], str]
    thousands: str = ","
    decimal: str = "."
    comma: str = ", "  #: between the names of a list


LANGUAGES: Mapping[str, Language] = {
    "en": Language(name="English", plural=lambda count: "one" if count == 1 else "other", ordinal=_english_ordinal),
    "de": Language(name="Deutsch", plural=lambda count: "one" if count == 1 else "other", ordinal=lambda place: f"{place + 1}.", thousands=".", decimal=","),
    "fr": Language(name="Français", plural=lambda count: "one" if 0 <= count < 2 else "other", ordinal=_french_ordinal, thousands="\u202f", decimal=","),
    "es": Language(name="Español", plural=lambda count: "one" if count == 1 else "other", ordinal=lambda place: f"{place + 1}.º", thousands=".", decimal=","),
    "ja": Language(name="日本語", plural=lambda _: "other", ordinal=lambda place: f"{place + 1}番目", comma="、"),
    "pt-BR": Language(
        name="Português (Brasil)", plural=lambda count: "one" if 0 <= count < 2 else "other", ordinal=lambda place: f"{place + 1}º", thousands=".", decimal=","
    ),
}


class Catalogue:
    """One language's texts. Immutable; safe to share."""

    def __init__(self, code: str, entries: Mapping[str, Entry]) -> None:
        self.code = code
        self._entries = dict(entries)
        self._language = LANGUAGES[code]
        self._formatter = _Formatter(self)

    @classmethod
    def load(cls, code: str) -> Catalogue:
        """Read the file that ships with the program. Raises FileNotFoundError for a language there is none of."""
        data = tomllib.loads(resources.files(__package__).joinpath(f"{code}.toml").read_text("utf-8"))
        return cls(code, {f"{section}.{key}": entry for section, entries in data.items() for key, entry in entries.items()})

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __contains__(self, message: object) -> bool:
        return message in self._entries

    def say(self, message: str, /, **parameters: Any) -> str:
        """The text of an id, filled in. Raises KeyError for an unknown id or a missing parameter: a mistake of ours, caught by tests."""
        entry = self._entries[message]
        text = entry if isinstance(entry, str) else entry.get(self._language.plural(parameters["count"])) or entry["other"]
        return self._formatter.vformat(text, (), parameters)

    def tell(self, said: Said) -> str:
        """A stored message. Never raises: one written by another version becomes the general apology."""
        try:
            return self.say(said.message, **said.parameters)
        except (KeyError, ValueError, TypeError):
            return self.say(_FALLBACK)

    def parameters(self, message: str) -> frozenset[str]:
        """The names an id wants."""
        entry = self._entries[message]
        texts = [entry] if isinstance(entry, str) else [*entry.values()]
        names = {name for text in texts for _, name, _, _ in string.Formatter().parse(text) if name}
        return frozenset(names if isinstance(entry, str) else names | {"count"})

    def duration(self, seconds: float | None) -> str:
        """Rounded up, in the largest fitting unit."""
        if seconds is None or not math.isfinite(seconds):
            return self.say("time.unknown")
        whole = max(1, math.ceil(seconds))
        if whole < 90:
            return self.say("time.seconds", count=whole if whole <= 10 else -(-whole // 5) * 5)
        if whole < 90 * 60:
            return self.say("time.minutes", count=-(-whole // 60))
        if whole < 36 * 3600:
            return self.say("time.hours", count=-(-whole // 3600))
        return self.say("time.days", count=-(-whole // 86400))

    def ordinal(self, place: int) -> str:
        return self._language.ordinal(place)

    def number(self, value: float) -> str:
        """At most two decimals, thousands apart, no needless zeros."""
        marks = {",": self._language.thousands, ".": self._language.decimal}
        return "".join(marks.get(each, each) for each in number(value))

    def listed(self, names: tuple[str, ...] | list[str]) -> str:
        if len(names) < 2:
            return "".join(names)
        return self.say("list.and", first=self._language.comma.join(names[:-1]), last=names[-1])


class Catalogues:
    """All languages. Immutable; safe to share."""

    def __init__(self, catalogues: Iterable[Catalogue]) -> None:
        """The first is taken for members whose language there is none of."""
        self._by_code = {each.code: each for each in catalogues}
        self.first = next(iter(self._by_code.values()))

    @classmethod
    def load(cls) -> Catalogues:
        """Every language whose file ships with the program, English first."""
        folder = resources.files(__package__)
        return cls(Catalogue.load(code) for code in LANGUAGES if folder.joinpath(f"{code}.toml").is_file())

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(self._by_code)

    def of(self, locale: str) -> Catalogue:
        """The one for an IETF tag as platforms write it ("pt-BR", "es-419", "de", "en_GB"): the same, else one of the same language, else the first."""
        wanted = locale.replace("_", "-").casefold()
        for code, each in self._by_code.items():
            if code.casefold() == wanted:
                return each
        language = wanted.partition("-")[0]
        return next((each for code, each in self._by_code.items() if code.casefold().partition("-")[0] == language), self.first)


class _Formatter(string.Formatter):
    """str.format with our kinds, and without reaching into attributes or items."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> tuple[Any, str]:
        return kwargs[field_name], field_name

    def format_field(self, value: Any, format_spec: str) -> str:
        match format_spec:
            case "duration":
                return self._catalogue.duration(value)
            case "ordinal":
                return self._catalogue.ordinal(int(value))
            case "list":
                return self._catalogue.listed(tuple(map(str, value)))
            case "number":
                return self._catalogue.number(value)
            case "":
                return str(value)
        raise ValueError(f"unknown kind {format_spec!r}")


def number(value: float) -> str:
    """At most two decimals, thousands apart, no needless zeros."""
    text = f"{round(float(value), 2):,.2f}"
    return text.rstrip("0").rstrip(".")
