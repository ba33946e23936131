"""The one parser of every surface: words and flags → `Words` (`bot.prompts.printing` is the way back). Pure.

Called by `bot.prompts.prepare` (every prompt) and the other modules of this package, by `bot.cards` and `bot.presses`. A mistake is a `BadWords` whose
span lies in the text as typed. The grammar::

    prompt  = (word | flag)*                 a word is whatever stands between spaces
    flag    = ("--" | dash) name [("=" | ":" | space) value]
    list    = words up to the next flag, split at commas          (`--no red hat, rain`)
    parts   = text ["::" [weight]] …          (`cat::2 dog::1 rain::-0.5`)
    text    = words, some in "(" words ":" number ")"        (`a (glow:1.3) at sea`; see `bot.prompts.emphasis`)
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from bot.errors import BadWords
from bot.prompts.clean import MAX_LENGTH, MAX_TYPED, Clean, clean
from bot.prompts.emphasis import read_emphasis
from bot.prompts.flags import (
    BY_FIELD,
    BY_NAME,
    CONTRADICTIONS,
    FLAGS,
    MAX_RATIO,
    MAX_WEIGHT,
    MIN_RATIO,
    Flag,
    Malformed,
    almost_flag,
    nearest_flag,
    number,
    plain,
)
from bot.prompts.words import Located, Words
from engine.api import Lora, Part
from engine.checks import MOST_EMPHASES, MOST_LORAS, MOST_PARTS

_WORD = re.compile(r"\S+")
_DASHED = re.compile(r"(?P<dashes>-{2,}|[‒–—―⸺]-?|-)(?P<name>[^=:]*)(?P<value>[=:].*)?\Z", re.DOTALL)  # phones write — for --
_MINUS = str.maketrans("−–—", "---")
_WEIGHT_STARTS = "0123456789+-.−‒–—―⸺"
_LINK = re.compile(r"<?https?://\S", re.IGNORECASE)
MOST_SAID = MOST_LORAS - 1  #: adapters; one place is left for the model's own
_DASHES = "-‒–—―⸺"
_NO_SETS: Mapping[str, str] = {}


@dataclass(slots=True)
class Token:
    """A stretch of the cleaned text: a word, or a flag with its value. Offsets are into the cleaned text."""

    start: int
    end: int
    text: str  #: the word; a flag's name as typed
    kind: str = "text"  #: "text", "flag"
    flag: Flag | None = None
    value: list[tuple[int, int]] = field(default_factory=list)  #: spans of its words
    one_dash: bool = False

    @property
    def value_end(self) -> int:
        return self.value[-1][1] if self.value else self.end


def flag_at(word: str, sets: Collection[str] = ()) -> tuple[str, int, bool] | None:
    """(name, length of dashes and name, whether it had one dash only) when `word` is a flag; None for a word of the prompt.

    Two hyphens always make a flag. A dash does where a flag's name (or nearly one) follows it, because phones make it of two hyphens;
    one hyphen before a flag's full name is a slip worth telling. `sets` are case-folded names that count as flags' names.
    """
    found = _DASHED.match(word)
    if not found:
        return None
    dashes, name = found["dashes"], found["name"]
    if not any(c.isalnum() for c in name):
        return None
    if dashes == "-":
        return (name, len(dashes + name), True) if len(name) > 1 and name.casefold() in BY_NAME else None
    if dashes.startswith("--") or almost_flag(name) or name.casefold() in sets:
        return name, len(dashes + name), False
    return None


def scan(text: str, sets: Collection[str] = ()) -> Iterator[Token]:
    """Cut cleaned text into tokens; never raises. `sets`: as `flag_at` takes them."""
    flag: Token | None = None
    for found in _WORD.finditer(text):
        start, end = found.span()
        head = flag_at(found[0], sets)
        if head:
            if flag:
                yield flag
            name, length, one_dash = head
            flag = Token(start, start + length, name, "flag", BY_NAME.get(name.casefold()), one_dash=one_dash)
            if end > start + length:
                if end > start + length + 1:
                    flag.value.append((start + length + 1, end))
                if not flag.flag or flag.flag.takes != "list":
                    yield flag
                    flag = None
        elif flag and flag.flag and (flag.flag.takes == "list" or (flag.flag.takes == "value" and not flag.value)):
            flag.value.append((start, end))
            if flag.flag.takes == "value":
                yield flag
                flag = None
        else:
            if flag:
                yield flag
                flag = None
            yield Token(start, end, found[0])
    if flag:
        yield flag


def parse(text: str) -> Words:
    """Read a prompt. Raises BadWords."""
    return locate(text).words


@dataclass(slots=True)
class _Said:
    """Flags as they are said one after the other: their values, and where."""

    values: dict[str, object] = field(default_factory=dict)
    places: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, flag: Flag, value: object, place: tuple[int, int]) -> None:
        """Raises BadWords for one that was said before."""
        before = self.values.get(flag.field, ())
        if flag.repeats and isinstance(value, Lora):
            value = _one_more(before, value, place)  # type: ignore[arg-type]
            self.places[f"{flag.field}.{len(value) - 1}"] = place
        elif flag.takes == "list":
            value = (*before, *value)  # type: ignore[misc]
        elif flag.field in self.values:
            raise BadWords("words.twice", start=place[0], end=place[1], flag=flag.name)
        self.values[flag.field] = value
        self.places[flag.field] = place

    def add_all(self, words: Words, place: tuple[int, int]) -> None:
        """What a set of flags stands for, all said at one place. Raises BadWords."""
        for flag in FLAGS:
            value = getattr(words, flag.field)
            for each in value if flag.repeats else () if value in (None, ()) else (value,):
                self.add(flag, each, place)


def check_length(text: str) -> None:
    """Raises BadWords for more than is looked at."""
    if len(text) > MAX_TYPED:
        raise BadWords("words.too_long", start=MAX_LENGTH, end=len(text), limit=MAX_LENGTH, length=len(text))


def locate(text: str, sets: Mapping[str, str] = _NO_SETS) -> Located:
    """Read a prompt, and tell where each flag stands. Raises BadWords.

    `sets` are flags under a name of the member's own: with {"wide": "--ar 16:9 --q 2"}, `--wide` means those. Our own flags' names stay ours.
    """
    check_length(text)
    cleaned = clean(text)
    if len(cleaned.text) > MAX_LENGTH:
        start, end = cleaned.span(MAX_LENGTH, len(cleaned.text))
        raise BadWords("words.too_long", start=start, end=end, limit=MAX_LENGTH, length=len(cleaned.text))
    known = {name.casefold(): flags for name, flags in sets.items()}
    said = _Said()
    used: dict[str, tuple[int, int, Words]] = {}
    spans: list[tuple[int, int, str]] = []
    words: list[Token] = []
    shown: Flag | None = None  # the flag before, if it speaks of a picture
    for token in scan(cleaned.text, known):
        if token.kind == "text":
            if shown and _LINK.match(token.text):
                raise _a_link(cleaned, token)
            shown = None
            words.append(token)
            continue
        place = cleaned.span(token.start, token.value_end)
        name = token.text.casefold()
        if token.flag is None and name in known:
            if name in used:
                raise BadWords("words.twice", start=place[0], end=place[1], flag=token.text[:40])
            meant = _read_set(cleaned, token, known[name])
            used[name] = (*place, meant)
            said.add_all(meant, place)
            shown = None
        else:
            flag, value = _read_flag(cleaned, token, tuple(known))
            said.add(flag, value, place)
            shown = flag if flag.picture else None
        spans.append((*cleaned.span(token.start, token.end), "flag"))
        if token.value:
            spans.append((*cleaned.span(token.value[0][0], token.value_end), "value"))
    for one, other in CONTRADICTIONS:
        if one in said.values and other in said.values:
            start, end = max(said.places[one], said.places[other])
            raise BadWords("words.both", start=start, end=end, flag=BY_FIELD[one].name, other=BY_FIELD[other].name)
    parts, more, emphasised = _read_parts(cleaned, words)
    if emphasised:
        said.places["emphasis"] = emphasised
    read = Words(parts=parts, **said.values)  # type: ignore[arg-type]
    return Located(words=read, places=said.places, spans=tuple(sorted([*spans, *more])), sets=tuple(used.values()))


def read_flags(text: str, sets: Mapping[str, str] = _NO_SETS) -> Words:
    """Flags alone, as preferences and sets keep them. Raises BadWords, also for words among them."""
    located = locate(text, sets)
    if located.words.parts:
        start, end = next((start, end) for start, end, kind in located.spans if kind == "text")
        raise BadWords("words.only_flags_here", start=start, end=end)
    return located.words


def _one_more(said: tuple[Lora, ...], value: Lora, place: tuple[int, int]) -> tuple[Lora, ...]:
    """Another adapter. Raises BadWords for one that was there before, or too many."""
    if any(each.name.casefold() == value.name.casefold() for each in said):
        raise BadWords("words.twice", start=place[0], end=place[1], flag=f"lora {value.name[:40]}")
    if len(said) == MOST_SAID:
        raise BadWords("words.too_often", start=place[0], end=place[1], flag="lora", limit=MOST_SAID)
    return (*said, value)


def _read_set(cleaned: Clean, token: Token, flags: str) -> Words:
    """What a named set stands for. Raises BadWords, at the place of its name, for one that means nothing any more."""
    start, end = cleaned.span(token.start, token.value_end)
    if token.value:
        raise BadWords("words.takes_nothing", start=start, end=end, flag=token.text[:40])
    try:
        return read_flags(flags)
    except BadWords:
        raise BadWords("words.broken_set", start=start, end=end, flag=token.text[:40]) from None


def _a_link(cleaned: Clean, token: Token) -> BadWords:
    start, end = cleaned.span(token.start, token.value_end)
    return BadWords("words.link", start=start, end=end)


def _read_flag(cleaned: Clean, token: Token, sets: tuple[str, ...]) -> tuple[Flag, object]:
    """The flag's row and its value, checked. Raises BadWords."""
    flag = token.flag
    start, end = cleaned.span(token.start, token.end)
    if flag is None:
        near = nearest_flag(token.text, sets)
        if near:
            raise BadWords("words.unknown_flag_near", start=start, end=end, flag=token.text[:40], near=near)
        raise BadWords("words.unknown_flag", start=start, end=end, flag=token.text[:40])
    if token.one_dash:
        raise BadWords("words.one_dash", start=start, end=end, flag=flag.name)
    if flag.picture and token.value and _LINK.match(cleaned.text[slice(*token.value[0])]):
        raise _a_link(cleaned, token)
    if flag.takes == "nothing":
        if token.value:
            raise BadWords("words.takes_nothing", start=start, end=cleaned.span(*token.value[-1])[1], flag=flag.name)
        return flag, True
    if not token.value:
        raise BadWords("words.no_value", start=start, end=end, flag=flag.name, example=_example(flag))
    whole = cleaned.text[token.value[0][0] : token.value_end]
    start, end = cleaned.span(token.value[0][0], token.value_end)
    if flag.takes == "list":
        items = tuple(filter(None, (" ".join(item.split()).lstrip(_DASHES + " ") for item in whole.split(","))))
        if not items:
            raise BadWords("words.no_value", start=start, end=end, flag=flag.name, example=_example(flag))
        return flag, items
    try:
        value = flag.parse(whole.translate(_MINUS) if flag.low is not None or flag.choices else whole)
    except Malformed:
        raise BadWords(flag.malformed, start=start, end=end, flag=flag.name, given=whole[:40]) from None
    amount = value.weight if isinstance(value, Lora) else value
    if isinstance(amount, (int, float)):
        if flag.low is not None and flag.high is not None and not flag.low <= amount <= flag.high:
            raise BadWords("words.out_of_bounds", start=start, end=end, flag=flag.name, low=plain(flag.low), high=plain(flag.high), given=whole[:40])
        if flag.choices and amount not in flag.choices:
            raise BadWords("words.not_a_choice", start=start, end=end, flag=flag.name, choices=tuple(map(plain, flag.choices)), given=whole[:40])
    if flag.field == "aspect" and isinstance(value, tuple) and not MIN_RATIO <= value[0] / value[1] <= MAX_RATIO:
        raise BadWords("words.out_of_bounds", start=start, end=end, flag=flag.name, low="1:3", high="3:1", given=whole[:40])
    return flag, value


def _example(flag: Flag) -> str:
    return {"list": "--no text, frames", "value": f"--{flag.name} {flag.suggested[0] if flag.suggested else '…'}"}[flag.takes]


@dataclass(slots=True)
class _Stretch:
    """The words of one part as they were typed, a space between two, and where in the cleaned text each of their characters stands."""

    raw: str = ""
    offsets: list[int] = field(default_factory=list)

    def add(self, word: str, offset: int) -> None:
        gap = bool(self.raw)
        self.raw += " " * gap + word
        self.offsets += [self.offsets[-1] + 1] * gap if gap else []
        self.offsets += range(offset, offset + len(word))

    def place(self, cleaned: Clean, start: int, end: int) -> tuple[int, int]:
        """Where raw[start:end] stands in the text as typed."""
        return cleaned.span(self.offsets[start], self.offsets[end - 1] + 1)

    def part(self, cleaned: Clean, weight: float) -> tuple[Part, list[tuple[int, int, str]]]:
        """The part and its spans, brackets and weights of emphasis being of the kind "weight". Raises BadWords."""
        try:
            read = read_emphasis(self.raw)
        except BadWords as error:
            start, end = self.place(cleaned, error.start, error.end)
            raise BadWords(error.message, start=start, end=end, **error.parameters) from None
        spans = [(*self.place(cleaned, *mark), "weight") for mark in read.marks]
        edges = [0, *(edge for mark in read.marks for edge in mark), len(self.raw)]
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            spans += [(*self.place(cleaned, *word.span()), "text") for word in _WORD.finditer(self.raw, start, end)]
        return Part(text=read.text, weight=weight, emphasis=read.emphasis), spans


def _read_parts(cleaned: Clean, words: list[Token]) -> tuple[tuple[Part, ...], list[tuple[int, int, str]], tuple[int, int] | None]:
    """Text tokens → weighted parts, their spans, and where the first emphasis stands. Raises BadWords."""
    parts: list[Part] = []
    spans: list[tuple[int, int, str]] = []
    emphasised: list[tuple[int, int]] = []
    stretch = _Stretch()

    def close(weight: float, start: int, end: int) -> None:
        nonlocal stretch
        if not stretch.raw:
            raise BadWords("words.empty_part", start=start, end=end)
        if len(parts) == MOST_PARTS:
            start, end = stretch.place(cleaned, 0, len(stretch.raw))
            raise BadWords("words.too_many_parts", start=start, end=end, limit=MOST_PARTS)
        part, more = stretch.part(cleaned, weight)
        if sum(len(each.emphasis) for each in (*parts, part)) > MOST_EMPHASES:
            start, end = stretch.place(cleaned, 0, len(stretch.raw))
            raise BadWords("words.too_many_emphases", start=start, end=end, limit=MOST_EMPHASES)
        if part.emphasis:
            emphasised.append((more[0][0], more[1][1]))
        parts.append(part)
        spans.extend(more)
        stretch = _Stretch()

    for at, token in enumerate(words):
        if at == 0 and _LINK.match(token.text):
            raise _a_link(cleaned, token)
        rest, offset = token.text, token.start
        while (cut := rest.find("::")) >= 0:
            if cut:
                stretch.add(rest[:cut], offset)
            rest, offset = rest[cut + 2 :], offset + cut + 2
            weight = 1.0
            start = end = offset
            if rest and rest[0] in _WEIGHT_STARTS:
                weight, end, rest = _weight(cleaned, rest, offset), offset + len(rest), ""
            place = cleaned.span(start - 2, end)
            spans.append((*place, "weight"))
            close(weight, *place)
            offset = end
        if rest:
            stretch.add(rest, offset)
    if stretch.raw:
        close(1.0, 0, 0)
    if parts and sum(part.weight for part in parts) <= 0:
        start, end = cleaned.span(words[0].start, words[-1].end)
        raise BadWords("words.weights_not_positive", start=start, end=end)
    return tuple(parts), spans, emphasised[0] if emphasised else None


def _weight(cleaned: Clean, run: str, offset: int) -> float:
    """The weight written right after `::`. Raises BadWords."""
    start, end = cleaned.span(offset, offset + len(run))
    try:
        weight = number(run.translate(_MINUS).rstrip(",;"))
    except Malformed:
        raise BadWords("words.bad_weight", start=start, end=end, given=run[:40]) from None
    if abs(weight) > MAX_WEIGHT:
        raise BadWords("words.weight_out_of_bounds", start=start, end=end, high=plain(MAX_WEIGHT), given=run[:40])
    return weight
