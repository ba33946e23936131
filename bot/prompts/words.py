"""What a member's words say, before anybody knows which model will draw them. Plain values; made by `bot.prompts.grammar`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engine.api import Lora, Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A prompt, read. A field that is None was not said: preferences, the server and the model decide, in that order."""

    parts: tuple[Part, ...] = ()  #: what to draw, in order; empty when only flags were given
    unwanted: tuple[str, ...] = ()  #: `--no`
    aspect: tuple[int, int] | None = None  #: `--ar`, lowest terms
    size: tuple[int, int] | None = None  #: `--size`, (width, height) in pixels
    seed: int | None = None
    count: int | None = None  #: `--n`
    chaos: int | None = None  #: 0..100
    repeat: int | None = None  #: how often the same words are drawn
    steps: int | None = None
    guidance: float | None = None  #: `--cfg`
    strength: float | None = None
    image_weight: float | None = None  #: `--iw`
    style: str | None = None  #: a saved style's name, until `bot.prompts.styles.styled` has put it in
    style_picture: bool | None = None  #: `--sref`: a picture for the style was meant to come along
    style_weight: int | None = None  #: `--sw`, 100 being 1
    sketch: bool | None = None  #: a sketch was meant to come along
    model: str | None = None
    scheduler: str | None = None  #: `--sampler`
    quality: float | None = None
    stylize: int | None = None  #: 0..1000, 100 being the model's own guidance
    stop: int | None = None  #: percent of the steps
    best: int | None = None  #: how many are drawn for the best to be kept
    clip: float | None = None  #: image-text guidance
    loras: tuple[Lora, ...] = ()  #: `--lora`, in the order they were said
    tile: bool | None = None
    video: bool | None = None
    draft: bool | None = None
    raw: bool | None = None  #: nothing added: no suffix, no style but one that is named, not enlarged
    fast: bool | None = None
    relax: bool | None = None
    private: bool | None = None

    @property
    def text(self) -> str:
        """The words alone, without flags, weights and what is to be kept away: for alt text and titles."""
        return " ".join(part.text for part in self.parts if part.weight > 0)

    @property
    def lane(self) -> str:
        """Either "fast" or "relax"; empty when nobody said."""
        return "relax" if self.relax else "fast" if self.fast else ""

    def evolve(self, **changes: Any) -> Words:
        return replace(self, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """`words`, where each field was said, and the spans an editor colours; all offsets are into the text as typed."""

    words: Words
    places: Mapping[str, tuple[int, int]] = field(
        default_factory=dict
    )  #: field of Words → (start, end) of the flag with its value; also `loras.0`, `loras.1`, … and `emphasis`, the first
    spans: tuple[tuple[int, int, str], ...] = ()
    sets: tuple[tuple[int, int, Words], ...] = ()  #: where a named set of flags was said, and what it stands for


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A member's picture: sha256 hex, size in pixels, and what it is for (one of `bot.prompts.pictures.ROLES`)."""

    digest: str
    width: int
    height: int
    role: str = "image"
