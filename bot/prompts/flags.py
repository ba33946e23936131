"""The table of flags: one row a flag drives parsing, printing, hints and autocomplete. A new flag is a new row and a field of `Words`.

Called by the other modules of this package. Help texts are message ids (``flag.<name>``).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from math import gcd

from engine.api import Lora
from engine.checks import LORA_WEIGHT, MOST_TO_CHOOSE_FROM

_INTEGER = re.compile(r"[+-]?[0-9]{1,12}\Z")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,12}(?:\.[0-9]{0,12})?|\.[0-9]{1,12})\Z")
_PAIR = re.compile(r"([0-9]{1,6})[:x×/*]([0-9]{1,6})\Z", re.IGNORECASE)  # phones write × for x
_NAME = re.compile(r"[^\s,]{1,100}\Z")
_LORA = re.compile(r"([^\s,:]{1,100})(?::([^:]*))?\Z")

MAX_WEIGHT = 100.0


class Malformed(ValueError):
    """A value that is not of its flag's kind (which message says so is in the flag's row)."""


def integer(text: str) -> int:
    if not _INTEGER.match(text):
        raise Malformed(text)
    return int(text)


def number(text: str) -> float:
    if not _NUMBER.match(text):
        raise Malformed(text)
    return float(text)


def pair(text: str) -> tuple[int, int]:
    found = _PAIR.match(text)
    if not found or "0" in (found[1].lstrip("0") or "0", found[2].lstrip("0") or "0"):
        raise Malformed(text)
    return int(found[1]), int(found[2])


def ratio(text: str) -> tuple[int, int]:
    """Lowest terms. Raises Malformed."""
    across, down = pair(text)
    divisor = gcd(across, down)
    return across // divisor, down // divisor


def one_word(text: str) -> str:
    if not _NAME.match(text):
        raise Malformed(text)
    return text


def lora(text: str) -> Lora:
    """`NAME` or `NAME:0.8`."""
    found = _LORA.match(text)
    if not found:
        raise Malformed(text)
    return Lora(name=found[1], weight=1.0 if found[2] is None else number(found[2]))


def plain(value: object) -> str:
    """A number as members write it: no exponent, no needless zeros; reads back to the same float."""
    if isinstance(value, float):
        text = format(Decimal(repr(value)), "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    return str(value)


def print_ratio(value: tuple[int, int]) -> str:
    return f"{value[0]}:{value[1]}"


def print_size(value: tuple[int, int]) -> str:
    return f"{value[0]}x{value[1]}"


def print_lora(value: Lora) -> str:
    return f"{value.name}:{plain(float(value.weight))}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One row. `takes` is "value" (the next word), "list" (everything up to the next flag, by commas) or "nothing" (a switch)."""

    name: str
    field: str  #: of Words
    aliases: tuple[str, ...] = ()
    takes: str = "value"
    repeats: bool = False  #: may be said several times, each adding one value to the field
    parse: Callable[[str], object] = one_word
    print: Callable[..., str] = plain
    malformed: str = ""  #: message id when `parse` fails
    low: float | None = None
    high: float | None = None
    choices: tuple[float, ...] = ()  #: when only these numbers are allowed
    suggested: tuple[str, ...] = ()  #: values to offer while typing
    picture: bool = False  #: speaks of a picture that comes along beside the words


FLAGS: tuple[Flag, ...] = (
    Flag(
        name="ar", aliases=("aspect",), field="aspect", parse=ratio, print=print_ratio, malformed="words.bad_ratio",
        suggested=("1:1", "3:2", "2:3", "4:3", "3:4", "16:9", "9:16", "2:1", "1:2"),
    ),
    Flag(name="size", field="size", parse=pair, print=print_size, malformed="words.bad_size"),
    Flag(name="seed", field="seed", parse=integer, malformed="words.bad_integer", low=0, high=2**32 - 1, suggested=("1", "7", "42")),
    Flag(name="no", field="unwanted", takes="list"),
    Flag(name="n", aliases=("count",), field="count", parse=integer, malformed="words.bad_integer", low=1, high=9, suggested=("1", "2", "4", "6", "9")),
    Flag(
        name="chaos", aliases=("c",), field="chaos", parse=integer, malformed="words.bad_integer", low=0, high=100, suggested=("0", "15", "30", "60", "100"),
    ),
    Flag(name="repeat", aliases=("r",), field="repeat", parse=integer, malformed="words.bad_integer", low=2, high=10, suggested=("2", "3", "4")),
    Flag(name="steps", field="steps", parse=integer, malformed="words.bad_integer", low=1, high=500),
    Flag(name="cfg", aliases=("guidance",), field="guidance", parse=number, malformed="words.bad_number", low=1, high=50),
    Flag(
        name="strength", field="strength", parse=number, malformed="words.bad_number", low=0, high=1, suggested=("0.3", "0.5", "0.6", "0.8"),
    ),
    Flag(name="iw", field="image_weight", parse=number, malformed="words.bad_number", low=0, high=3, suggested=("0.5", "1", "1.5", "2")),
    Flag(name="style", field="style", malformed="words.bad_name"),
    Flag(name="sref", field="style_picture", takes="nothing", picture=True),
    Flag(name="sw", field="style_weight", parse=integer, malformed="words.bad_integer", low=0, high=1000, suggested=("50", "100", "200")),
    Flag(name="sketch", field="sketch", takes="nothing", picture=True),
    Flag(name="model", aliases=("v",), field="model", malformed="words.bad_name"),
    Flag(name="sampler", field="scheduler", malformed="words.bad_name"),
    Flag(
        name="quality", aliases=("q",), field="quality", parse=number, malformed="words.bad_number",
        choices=(0.25, 0.5, 1, 2, 4), suggested=("0.25", "0.5", "1", "2", "4"),
    ),
    Flag(
        name="stylize", aliases=("s", "stylise"), field="stylize", parse=integer, malformed="words.bad_integer", low=0, high=1000,
        suggested=("0", "50", "100", "250", "1000"),
    ),
    Flag(name="stop", field="stop", parse=integer, malformed="words.bad_integer", low=10, high=100, suggested=("50", "80", "90")),
    Flag(name="best", field="best", parse=integer, malformed="words.bad_integer", low=1, high=MOST_TO_CHOOSE_FROM, suggested=("8", "12", "16")),
    Flag(name="clip", field="clip", parse=number, malformed="words.bad_number", low=0, high=1, suggested=("0.3", "0.6", "1")),
    Flag(
        name="lora", field="loras", repeats=True, parse=lora, print=print_lora, malformed="words.bad_lora", low=-LORA_WEIGHT, high=LORA_WEIGHT,
    ),
    Flag(name="tile", field="tile", takes="nothing"),
    Flag(name="video", field="video", takes="nothing"),
    Flag(name="draft", field="draft", takes="nothing"),
    Flag(name="raw", field="raw", takes="nothing"),
    Flag(name="private", field="private", takes="nothing"),
    Flag(name="fast", field="fast", takes="nothing"),
    Flag(name="relax", field="relax", takes="nothing"),
)  # fmt: skip

BY_NAME: dict[str, Flag] = {each: flag for flag in FLAGS for each in (flag.name, *flag.aliases)}
BY_FIELD: dict[str, Flag] = {flag.field: flag for flag in FLAGS}

#: Fields that say the same thing in two ways: both at once is a mistake, and a default gives way to what was said.
CONTRADICTIONS: tuple[tuple[str, str], ...] = (
    ("aspect", "size"),
    ("steps", "quality"),
    ("guidance", "stylize"),
    ("fast", "relax"),
    *(("draft", each) for each in ("steps", "quality", "guidance", "stylize", "scheduler")),
)

MIN_RATIO, MAX_RATIO = 1 / 3, 3.0  #: `--ar`, width over height


def nearest(word: str, among: tuple[str, ...], *, cutoff: float = 0.6) -> str:
    """The one of `among` most like `word`, or "" when none is."""
    close = difflib.get_close_matches(word[:40].casefold(), [each.casefold() for each in among], n=1, cutoff=cutoff)
    return next((each for each in among if close and each.casefold() == close[0]), "")


def nearest_flag(word: str, sets: tuple[str, ...] = ()) -> str:
    """The name of the flag, or of the named set of them, that a member most likely meant by `word`, or ""."""
    typed = word.casefold()
    known = tuple(each for each in BY_NAME if len(each) > 1)
    if found := nearest(typed, (*known, *sets)):
        return BY_NAME[found].name if found in BY_NAME else found
    return next((BY_NAME[each].name for each in known if typed.startswith(each)), "")


def _one_off(word: str) -> set[str]:
    """`word` with one letter missing, or two neighbours swapped."""
    missing = {word[:at] + word[at + 1 :] for at in range(len(word))}
    return missing | {word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in range(len(word) - 1)}


_LONG = {each for each in BY_NAME if len(each) > 2}
_ALMOST = _LONG | {slip for each in _LONG if len(each) > 3 for slip in _one_off(each)}


def almost_flag(word: str) -> bool:
    """Whether `word` is a flag's name or one slip of the finger away from a long one. Constant time: it is asked of every dash in a text."""
    typed = word.casefold()
    return typed in BY_NAME or (3 < len(typed) < 12 and (typed in _ALMOST or not _LONG.isdisjoint(_one_off(typed))))
