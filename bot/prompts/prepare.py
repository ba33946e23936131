"""From what was typed to the single prompts that are drawn: permutations, wildcards, repetitions, styles, named sets. Pure but for `seed`.

Called by `bot.drawing` for everything that is drawn from words, and by `bot.prompts.hints` for what it would cost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bot.domain import Style
from bot.errors import BadWords
from bot.prompts.clean import Clean
from bot.prompts.flags import Malformed
from bot.prompts.grammar import check_length, locate, scan
from bot.prompts.permutations import MAX_PROMPTS, expand
from bot.prompts.printing import print_flags
from bot.prompts.resolve import layered
from bot.prompts.styles import styled
from bot.prompts.wildcards import fill, wildcards
from bot.prompts.words import Located, Words
from engine.checks import MOST_TO_CHOOSE_FROM

_SEEDS = 2**32


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One job's worth of words."""

    text: str  #: to be shown, stored and given back: wildcards filled, sets spelled out, without --repeat
    located: Located  #: its words, with a style's and the suffix; places and spans are in the text as it was typed
    style: Words  #: the flags of its style: a layer above all preferences
    seed: int  #: what chance starts from when no layer names a seed


def prepare(
    text: str,
    *,
    lists: Mapping[str, Sequence[str]] | None,
    seed: Callable[[], int],
    styles: Sequence[Style] = (),
    sets: Mapping[str, str] | None = None,
    defaults: Sequence[Words] = (),
) -> tuple[Prompt, ...]:
    """The prompts in `text`, at most MAX_PROMPTS, repetitions included.

    `lists` are wildcards' (None: they stay as they are, and where they cannot, a list is unknown). `seed` draws one for each prompt that names none.
    `styles` go before the built-in ones. `defaults` are `bot.prompts.resolve.layers`, whose suffix and style count where the words name none. Raises BadWords,
    its place being in `text`.
    """
    check_length(text)
    given = _Given(lists, tuple(styles), sets or {}, tuple(defaults))
    found: list[Prompt] = []
    for one in expand(text):
        named = _seed_named(one.text, given.sets)
        if named is None:
            named = next((layer.seed for layer in defaults if layer.seed is not None), None)
        times, at = 1, 0
        while at < times:
            prompt, repeat = _prompt(one, given, seed() if named is None else _nth(named, at), at)
            times = repeat or 1
            if len(found) + times - at > MAX_PROMPTS:
                start, end = prompt.located.places.get("repeat", (0, len(text)))
                raise BadWords("words.too_many_prompts", start=start, end=end, limit=MAX_PROMPTS)
            found.append(prompt)
            at += 1
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Given:
    lists: Mapping[str, Sequence[str]] | None
    styles: tuple[Style, ...]
    sets: Mapping[str, str]
    defaults: tuple[Words, ...]


def _prompt(one: Clean, given: _Given, seed: int, at: int) -> tuple[Prompt, int | None]:
    """The `at`-th repetition of one permutation, and how often it is to come. Raises BadWords, its place being in the text as typed."""
    ways = [one]
    text = one.text
    try:
        if given.lists is not None and "__" in text:
            ways.insert(0, fill(text, given.lists, seed))
            text = ways[0].text
        located = locate(text, given.sets)
        said = located.words
        located, style = styled(located, given.styles, given.defaults)
    except BadWords as error:
        start, end = _back((error.start, error.end), ways)
        if given.lists is None and (unfilled := wildcards(text[error.start : error.end])):
            raise BadWords("words.unknown_list", start=start, end=end, given=unfilled[0][2][:40]) from None
        raise BadWords(error.message, start=start, end=end, **error.parameters) from None
    base = layered(said, style, *given.defaults).seed
    own = None if base is None else _nth(base, at)
    return Prompt(
        text=_written(text, located, own if at else None),
        located=Located(
            words=located.words.evolve(repeat=None, seed=own),
            places={name: _back(place, ways) for name, place in located.places.items()},
            spans=tuple((*_back((start, end), ways), kind) for start, end, kind in located.spans),
        ),
        style=style,
        seed=seed if own is None else own,
    ), said.repeat


def _nth(seed: int, at: int) -> int:
    """Of a repetition: so far from the others' that no picture comes twice, each grid counting on from its own."""
    return (seed + at * MOST_TO_CHOOSE_FROM) % _SEEDS


def _back(place: tuple[int, int], ways: Sequence[Clean]) -> tuple[int, int]:
    for way in ways:
        place = way.span(*place)
    return place


def _seed_named(text: str, sets: Mapping[str, str]) -> int | None:
    """The seed in words that cannot be read yet, because what their wildcards stand for depends on it; None where they name none."""
    known = {name.casefold(): flags for name, flags in sets.items()}
    for token in scan(text, known):
        if token.flag and token.flag.field == "seed" and token.value:
            try:
                return int(str(token.flag.parse(text[slice(*token.value[0])]))) % _SEEDS
            except Malformed:
                return None
        if token.flag is None and token.kind == "flag" and (meant := _seed_named(known.get(token.text.casefold(), ""), {})) is not None:
            return meant
    return None


def _written(text: str, located: Located, seed: int | None) -> str:
    """`text` as one job's own: sets spelled out, without --repeat, and with `seed` in the place of the one that was said."""
    changes = {(start, end): print_flags(_evolved(words, seed)) for start, end, words in located.sets}
    if "repeat" in located.places:
        changes.setdefault(located.places["repeat"], "")
    if seed is not None and "seed" in located.places:
        changes.setdefault(located.places["seed"], f"--seed {seed}")
    if not changes:
        return text.strip()
    pieces: list[str] = []
    last = 0
    for (start, end), written in sorted(changes.items()):
        pieces += (text[last:start].rstrip() if not written else text[last:start], written)
        last = end
    return "".join([*pieces, text[last:]]).strip()


def _evolved(words: Words, seed: int | None) -> Words:
    words = words.evolve(repeat=None)
    return words if seed is None or words.seed is None else words.evolve(seed=seed)
