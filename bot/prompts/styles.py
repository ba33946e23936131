"""Styles: words and flags under a name. `--style ink` puts the words behind a prompt's own; the flags count below what is said and above preferences.

Pure; `styled` is called by `bot.prompts.prepare`. The first five built-in ones speak the pocket model's own words for the styles it was trained on; all are
plain words that any model knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bot.domain import Style
from bot.errors import BadWords
from bot.prompts.flags import nearest
from bot.prompts.grammar import parse
from bot.prompts.places import wrong
from bot.prompts.resolve import layered
from bot.prompts.words import Located, Words
from engine.api import Part

BUILT_IN: tuple[Style, ...] = (
    Style(name="watercolour", words="watercolor painting"),
    Style(name="pixel-art", words="pixel art"),
    Style(name="3d", words="3d render"),
    Style(name="pencil", words="pencil sketch"),
    Style(name="cartoon", words="cartoon"),
    Style(name="photograph", words="photograph, natural light, sharp focus, fine detail"),
    Style(name="cinematic", words="film still, dramatic light, shallow depth of field --ar 16:9"),
    Style(name="anime", words="anime, clean lines, cel shading, vivid colours"),
    Style(name="ink", words="ink drawing, bold black lines on white paper"),
    Style(name="oil", words="oil painting, visible brush strokes, canvas texture"),
    Style(name="isometric", words="isometric illustration, clean shapes, soft shadows"),
    Style(name="poster", words="screen print poster, flat shapes, few colours, strong contrast --ar 2:3"),
)


def styled(located: Located, styles: Sequence[Style], defaults: Sequence[Words] = ()) -> tuple[Located, Words]:
    """The prompt with its style's words and the suffix behind its own and `style` done with; and the style's flags, a layer to put above `defaults`.

    `styles` go before the built-in ones, the first of a name counts. A style that only `defaults` name is left out where it is unknown or broken. So are it and
    the suffix (the first of the defaults' parts) with `--raw`, and where there are no words for them to go behind. Raises BadWords for a style that the
    words name and there is none of.
    """
    words = located.words
    said = layered(words, *defaults)
    meant, suffix = Words(), next((layer.parts for layer in defaults if layer.parts), ())
    if words.style is not None:
        meant = _meaning(words.style, located, styles)
    if said.raw or not words.parts:
        suffix = ()
    elif said.style is not None and words.style is None and (found := _find(said.style, styles)):
        meant = _read(found) or meant
    parts = behind(behind(words.parts, meant.parts), suffix)
    return replace(located, words=words.evolve(parts=parts, style=None)), meant.evolve(parts=(), style=None, repeat=None)


def behind(parts: tuple[Part, ...], more: tuple[Part, ...]) -> tuple[Part, ...]:
    """`parts` with words after them: one part's words go behind those of every part that is wanted, several are parts of their own."""
    if len(more) != 1 or not parts:
        return (*parts, *more)
    return tuple(_joined(part, more[0]) if part.weight > 0 else part for part in parts)


def _joined(part: Part, more: Part) -> Part:
    text = part.text + (" " if part.text.endswith((",", ";")) else ", ")
    moved = tuple(replace(each, start=each.start + len(text), end=each.end + len(text)) for each in more.emphasis)
    return replace(part, text=text + more.text, emphasis=(*part.emphasis, *moved))


def _find(name: str, styles: Sequence[Style]) -> Style | None:
    return next((each for each in (*styles, *BUILT_IN) if each.name.casefold() == name.casefold()), None)


def _read(style: Style) -> Words | None:
    """None for words that do not parse (any more)."""
    try:
        return parse(style.words)
    except BadWords:
        return None


def _meaning(name: str, located: Located, styles: Sequence[Style]) -> Words:
    found = _find(name, styles)
    if found is None:
        names = tuple(each.name for each in (*styles, *BUILT_IN))
        if near := nearest(name, names):
            raise wrong(located.places, "style", "words.unknown_style_near", given=name[:40], near=near)
        raise wrong(located.places, "style", "words.unknown_style", given=name[:40])
    meant = _read(found)
    if meant is None:
        raise wrong(located.places, "style", "words.broken_style", given=name[:40])
    return meant
