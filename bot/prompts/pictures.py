"""What a member's pictures mean to one model: where it starts, what stands beside the words, whose style or lines are followed. Pure; called by
`bot.prompts.resolve`.

A picture is an image prompt where the model has an image adapter. Elsewhere the first is where the drawing starts and the others are mixed into it; so it is
with any model when `--strength` is said, or a mask comes along, because both speak of a picture to start from. One of the role "start" is that picture anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.errors import Refused
from bot.prompts.places import Places, wrong
from bot.prompts.words import Source, Words
from engine.api import Capabilities, Control, ImagePrompt
from engine.checks import MOST_PROMPTS

ROLES = ("start", "image", "style", "sketch", "mask")  #: of a `Source`
MOST_PICTURES = MOST_PROMPTS  #: of a request, style references included
_HEAVIEST = 3.0  #: an image prompt may weigh
_LINES = ("sketch", "edges")  #: what can be found in a picture without another network


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictured:
    """A request's pictures, each in its place."""

    source: Source | None = None
    mask: str | None = None
    mix: tuple[str, ...] = ()
    image_prompts: tuple[ImagePrompt, ...] = ()
    control: Control | None = None
    shape: Source | None = None  #: the picture that lends its shape where no shape is asked for

    @property
    def speaks(self) -> bool:
        """Whether it says what to draw, so that words may be left out."""
        return bool(self.source or any(not each.style for each in self.image_prompts))


def pictured(words: Words, said: Words, pictures: Sequence[Source], can: Capabilities, places: Places) -> Pictured:
    """Raises BadWords or Refused for what the model, or the member, lacks."""
    by_role = {role: [each for each in pictures if each.role == role] for role in ROLES}
    count = sum(len(by_role[role]) for role in ("start", "image", "style"))
    if count > MOST_PICTURES:
        raise Refused("refused.too_many_pictures", count=count, limit=MOST_PICTURES)
    mask = _one(by_role["mask"])
    start, beside = _start(words, by_role["start"], by_role["image"], mask, can, places)
    weight = 1.0 if said.image_weight is None else said.image_weight
    adapted = "image_prompt" in can.operations
    prompts = [ImagePrompt(picture=each.digest, weight=weight) for each in beside if adapted]
    sketch = _sketch(words, by_role["sketch"], can, places)
    return Pictured(
        source=start,
        mask=mask.digest if mask else None,
        mix=() if adapted else tuple(each.digest for each in beside),
        image_prompts=(*prompts, *_styles(words, said, by_role["style"], can, places)),
        control=Control(kind=_lines(can), picture=sketch.digest) if sketch else None,
        shape=start or sketch,
    )


def _one(pictures: Sequence[Source]) -> Source | None:
    if len(pictures) > 1:
        raise Refused("refused.one_of_a_kind", count=len(pictures))
    return pictures[0] if pictures else None


def _start(
    words: Words, starts: Sequence[Source], images: Sequence[Source], mask: Source | None, can: Capabilities, places: Places
) -> tuple[Source | None, Sequence[Source]]:
    """The picture to start from, and the others."""
    able = can.operations
    adapted = "image_prompt" in able
    ordered = [*starts, *images]
    is_start = bool(ordered) and (bool(starts) or not adapted or words.strength is not None or mask is not None)
    source, beside = (ordered[0], ordered[1:]) if is_start else (None, ordered)
    if source is not None and "source" not in able:
        raise Refused("refused.no_source", model=can.model)
    if beside and not adapted and "mix" not in able:
        raise Refused("refused.no_mix", model=can.model)
    if words.strength is not None and source is None:
        raise wrong(places, "strength", "words.strength_alone")
    if words.image_weight is not None and not adapted:
        raise wrong(places, "image_weight", "words.cannot", flag="iw", model=can.model)
    if words.image_weight is not None and not beside:
        if words.strength is not None:
            raise wrong(places, "image_weight", "words.both", flag="iw", other="strength")
        raise wrong(places, "image_weight", "words.iw_alone")
    if mask is not None and source is None:
        raise Refused("refused.mask_alone")
    if mask is not None and "mask" not in able:
        raise Refused("refused.no_mask", model=can.model)
    return source, beside


def _styles(words: Words, said: Words, pictures: Sequence[Source], can: Capabilities, places: Places) -> list[ImagePrompt]:
    asked = next((name for name in ("style_picture", "style_weight") if getattr(words, name) is not None), "")
    if (asked or pictures) and "style" not in can.operations:
        raise wrong(places, asked, "words.no_style_picture", model=can.model)
    if asked and not pictures:
        raise wrong(places, asked, "words.sref_alone")
    weight = _style_weight(100 if said.style_weight is None else said.style_weight)
    return [ImagePrompt(picture=each.digest, weight=weight, style=True) for each in pictures]


def _style_weight(asked: int) -> float:
    """`--sw` as an image prompt's weight: 0 is none, 100 is 1, 1000 the most there is, and straight lines between."""
    return asked / 100 if asked <= 100 else 1 + (_HEAVIEST - 1) * (asked - 100) / 900


def _sketch(words: Words, pictures: Sequence[Source], can: Capabilities, places: Places) -> Source | None:
    if (words.sketch or pictures) and not _lines(can):
        raise wrong(places, "sketch", "words.no_sketch", model=can.model)
    if words.sketch and not pictures:
        raise wrong(places, "sketch", "words.sketch_alone")
    return _one(pictures)


def _lines(can: Capabilities) -> str:
    """The kind of map that a sketch is turned into; empty when the model follows neither."""
    return next((kind for kind in _LINES if f"control:{kind}" in can.operations), "")
