"""What may be asked of an engine, as values, and as plain JSON for the store. Used through `engine.api`, which gives them all on.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Emphasis:
    """How strongly some of a part's words count: `(glow:1.3)`."""

    start: int  #: characters of the part's text, which holds the words without their brackets
    end: int
    weight: float  #: 0..2; 1 changes nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Words of a prompt and their relative weight (`cat::2`)."""

    text: str
    weight: float = 1.0
    emphasis: tuple[Emphasis, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Where the source lies on the canvas, in pixels; it may reach beyond the edges. What it leaves bare is drawn (zoom out, pan, make square)."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePrompt:
    """A picture that stands where words stand."""

    picture: str  #: sha256
    weight: float = 1.0  #: 0..3
    style: bool = False  #: only how it looks, not what it shows (`--sref`)


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A picture whose structure is followed (ControlNet)."""

    kind: str  #: "edges", "depth", "pose" or "sketch"
    picture: str  #: sha256
    scale: float = 1.0  #: 0..2
    is_map: bool = False  #: the picture already is the map of edges, depth, …; else edges are found in it


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """An adapter on the shelf and how much of it (`--lora NAME:0.8`)."""

    name: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagineRequest:
    """Draw `count` pictures from words; from a picture too when `source` is set (image-to-image; with `mask` or `spot`, only a part of it)."""

    kind: ClassVar[str] = "imagine"
    v: ClassVar[int] = 1
    model: str  #: a name on the shelf
    parts: tuple[Part, ...]  #: what to draw; at least one
    unwanted: tuple[str, ...] = ()  #: what not to draw (`--no`)
    seed: int = 0  #: 0..2**32-1; picture k of the grid is drawn from seed + k (mod 2**32)
    width: int  #: pixels, a multiple of the model's `multiple`
    height: int
    count: int = 4  #: pictures in the grid, 1..9
    steps: int
    guidance: float  #: classifier-free guidance scale; 1 means none
    scheduler: str | None = None  #: a diffusers scheduler's class name; None is the model's own
    source: str | None = None  #: sha256 of the picture to start from; its bytes travel in `inputs`
    strength: float = 0.6  #: how far from the source, 0..1 (ignored without one)
    mask: str | None = None  #: sha256 of a picture of the source's shape: what is white in it is drawn anew
    spot: Spot | None = None  #: where the source lies on the canvas; None: it fills it
    mix: tuple[str, ...] = ()  #: sha256 of pictures that start it together with the source (`/blend` without an image adapter)
    image_prompts: tuple[ImagePrompt, ...] = ()
    control: Control | None = None
    loras: tuple[Lora, ...] = ()
    tile: bool = False  #: seamless: left meets right, top meets bottom
    stop: float = 1.0  #: share of the steps after which drawing ends, 0.1..1
    best_of: int = 0  #: draw that many and keep the `count` that fit the words best; 0: just draw
    clip: float = 0.0  #: image-text guidance, 0..1
    chaos: float = 0.0  #: how much the grid's pictures differ, 0..1: early on, each is told the words through noise of its own (`engine.guidance`)
    synthesis: bool = False  #: no denoiser at all: latents optimised against the image-text model
    video: bool = False  #: also a clip of the pictures forming
    enlarge: int = 1  #: how many times larger each finished picture is made, 1, 2 or 4: by the model's upscaler, where it has one

    @property
    def pictures(self) -> tuple[str, ...]:
        """Digests of the pictures whose bytes must travel in `inputs`."""
        prompts = (each.picture for each in self.image_prompts)
        named = (self.source, self.mask, *self.mix, *prompts, self.control.picture if self.control else None)
        return tuple(dict.fromkeys(digest for digest in named if digest))

    @property
    def rows(self) -> int:
        """Pictures that step together."""
        return max(self.count, self.best_of)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpscaleRequest:
    """Enlarge one picture by `factor` (2 or 4)."""

    kind: ClassVar[str] = "upscale"
    v: ClassVar[int] = 1
    model: str
    source: str  #: sha256 of the picture; its bytes travel in `inputs`
    factor: int = 2
    seed: int = 0  #: the seed the source was drawn from, carried along for its caption
    width: int  #: pixels of the source
    height: int
    creative: bool = False  #: draw new detail, tile by tile, as the words say
    parts: tuple[Part, ...] = ()  #: for `creative`: what the picture shows
    steps: int = 20
    guidance: float = 3.0
    strength: float = 0.3  #: for `creative`: how much may change, 0..1

    @property
    def pictures(self) -> tuple[str, ...]:
        """Digests of the pictures whose bytes must travel in `inputs`."""
        return (self.source,)

    @property
    def rows(self) -> int:
        """Pictures that step together: of a creative one, tiles."""
        return 4 if self.creative else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MorphRequest:
    """A short clip. Without a `source` it goes from one prompt to another and back: the same noise under words that change. With one it is the picture, moving:
    redrawn in every frame from noise that walks in a small circle, so that the last frame leads to the first (`engine.operations.animate`).
    """

    kind: ClassVar[str] = "morph"
    v: ClassVar[int] = 1
    model: str
    before: tuple[Part, ...]
    after: tuple[Part, ...]  #: with a source: the same as `before`, what the picture shows; both may be empty
    unwanted: tuple[str, ...] = ()
    seed: int = 0
    width: int
    height: int
    frames: int = 8  #: 2..16, the first and the last included
    steps: int
    guidance: float
    scheduler: str | None = None
    source: str | None = None  #: sha256 of the picture that is to move; its bytes travel in `inputs`
    strength: float = 0.3  #: how far each frame may be from the source, 0..1 (ignored without one)
    enlarge: int = 1  #: how many times larger each frame is made, 1, 2 or 4: by the model's upscaler, where it has one

    @property
    def pictures(self) -> tuple[str, ...]:
        """Digests of the pictures whose bytes must travel in `inputs`."""
        return (self.source,) if self.source else ()

    @property
    def rows(self) -> int:
        """Pictures that step together."""
        return self.frames


Request = ImagineRequest | UpscaleRequest | MorphRequest


def request_to_dict(request: Request) -> dict[str, Any]:
    """Plain JSON for the store; carries `kind` and `v`."""
    return {"kind": request.kind, "v": request.v, **asdict(request)}


def request_from_dict(data: Mapping[str, Any]) -> Request:
    """Read a stored request of any version ever written (old ones through upcasters: buttons live for ever).

    Raises ValueError for a kind or version this program does not know.
    """
    fields = dict(data)
    kind, version = fields.pop("kind", None), fields.pop("v", None)
    if version != 1:
        raise ValueError(f"unknown version {version!r} of request {kind!r}")
    for name in ("parts", "before", "after"):
        if name in fields:
            fields[name] = tuple(_part(part) for part in fields[name])
    for name in ("unwanted", "mix"):
        if name in fields:
            fields[name] = tuple(fields[name])
    if kind == "imagine":
        return ImagineRequest(**{**fields, **_nested(fields)})
    if kind == "upscale":
        return UpscaleRequest(**fields)
    if kind == "morph":
        return MorphRequest(**fields)
    raise ValueError(f"unknown kind of request {kind!r}")


def _part(data: Mapping[str, Any]) -> Part:
    return Part(**{**data, "emphasis": tuple(Emphasis(**each) for each in data.get("emphasis", ()))})


def _nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The values of an ImagineRequest that are values themselves."""
    found: dict[str, Any] = {}
    if spot := fields.get("spot"):
        found["spot"] = Spot(**spot)
    if control := fields.get("control"):
        found["control"] = Control(**control)
    found["image_prompts"] = tuple(ImagePrompt(**each) for each in fields.get("image_prompts", ()))
    found["loras"] = tuple(Lora(**each) for each in fields.get("loras", ()))
    return found
