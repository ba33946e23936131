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
    steps: int | None = None
    guidance: float | None = None  #: `--cfg`
    strength: float | None = None
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
    raw: bool | None = None  #: as the model draws it: not enlarged
    private: bool | None = None

    @property
    def text(self) -> str:
        """The words alone, without flags and weights: for alt text and titles."""
        return " ".join(part.text for part in self.parts)

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A picture to start from: sha256 hex and size in pixels."""

    digest: str
    width: int
    height: int
