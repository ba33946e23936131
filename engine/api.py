"""The engine's contract: what may be asked of it, what it returns and reports, and how it fails.

Standard library only, so that everything else can speak of pictures without loading torch. Implementations: `engine.local.LocalEngine`
(a device in this process) and `engine.fake.FakeEngine` (deterministic pictures without torch, for tests of everything else).

Errors a caller can act on (all are `EngineError`)::

    EngineError
    ├── ModelMissing          the model is not on the shelf, or its files are not there
    ├── ModelCorrupt          a file is not what the manifest says
    ├── UnsupportedOperation  this model cannot do that (`what` names it); refused before anything is drawn
    ├── BadInput              an input picture cannot be read
    ├── OutOfMemory           after halving, tiling and offloading have failed
    ├── BadNumbers            non-finite latents: they would decode to silent black
    └── EngineDied            the device thread is gone or stuck; the request may be tried again
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Protocol


class EngineError(Exception):
    """Whatever the engine reports about one request."""


class ModelMissing(EngineError):
    """The model is not on the shelf, or its files are not there."""


class ModelCorrupt(EngineError):
    """A model file is truncated or differs from its manifest."""


class UnsupportedOperation(EngineError):
    """The model cannot do `what` (a flag or operation by its member-facing name, e.g. ``"--no"``)."""

    def __init__(self, what: str, model: str) -> None:
        super().__init__(f"{model} cannot do {what}")
        self.what, self.model = what, model


class BadInput(EngineError):
    """An input picture cannot be read."""


class OutOfMemory(EngineError):
    """The request does not fit, even alone, tiled and offloaded."""


class BadNumbers(EngineError):
    """The latents became non-finite."""


class EngineDied(EngineError):
    """The device thread ended or no longer answers; nothing is wrong with the request itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Words of a prompt and their relative weight (`cat::2`)."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagineRequest:
    """Draw `count` pictures from words, and from a picture when `source` is set (image-to-image)."""

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


Request = ImagineRequest | UpscaleRequest


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
    if kind == "imagine":
        fields["parts"] = tuple(Part(**part) for part in fields["parts"])
        fields["unwanted"] = tuple(fields.get("unwanted", ()))
        return ImagineRequest(**fields)
    if kind == "upscale":
        return UpscaleRequest(**fields)
    raise ValueError(f"unknown kind of request {kind!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One finished picture."""

    png: bytes  #: with the parameters as PNG text
    seed: int
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    frames: tuple[Frame, ...]
    device_seconds: float  #: this request's share of the device's time


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where one request stands. `preview` is a small WebP of the forming grid, or None when there is none new."""

    step: int
    of: int
    preview: bytes | None = None


Report = Callable[[Progress], None]
"""Called from the event loop's thread; must not block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What one model can do, and with which numbers. Drives menus, bounds and defaults; needs no torch to read."""

    model: str
    title: str
    licence: str
    operations: frozenset[str]  #: of "imagine", "source", "unwanted", "weights", "upscale"
    width: int  #: the size it was trained on
    height: int
    multiple: int  #: sizes are multiples of this
    min_edge: int
    max_edge: int
    steps: int
    max_steps: int
    guidance: float
    max_guidance: float
    max_count: int
    schedulers: tuple[str, ...]  #: names accepted by `--sampler`
    cost_factor: float = 1.0  #: against a megapixel-step of the reference model
    examples: tuple[str, ...] = ()  #: prompts it draws well
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  #: "things", "places", "styles", "colours": for autocomplete


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStats:
    """What the device has been doing, for the metrics. Counters count from the start of the process."""

    rows_in_flight: int = 0  #: pictures handed over and not yet finished
    batch_rows: int = 0  #: rows of the last denoising forward (a picture with guidance is two)
    steps: int = 0  #: denoising forwards run
    step_rows: int = 0  #: rows those had, together
    step_seconds: float = 0.0  #: device seconds those took, together


class Engine(Protocol):
    """Draws requests. One coroutine per request; requests in flight share the device step by step."""

    async def start(self) -> None:
        """Begin loading in the background and return at once; requests may be run immediately and wait for it."""

    def models(self) -> tuple[Capabilities, ...]:
        """The shelf, the default model first. Cheap; needs no torch and no `start`."""

    def capabilities(self, model: str) -> Capabilities:
        """One model's. Raises ModelMissing."""

    def free_rows(self) -> int:
        """How many more pictures could step next without waiting for others (may be ≤ 0 when full)."""

    def pace(self, model: str) -> float:
        """Measured seconds of device time a megapixel-step costs now (an estimate before anything was drawn)."""

    def stats(self) -> EngineStats:
        """Cheap; at any time."""

    async def run(self, request: Request, inputs: Mapping[str, bytes], report: Report) -> Result:
        """Draw it. `inputs` are picture files by sha256.

        Cancelling the coroutine frees its rows within one step; it does not return, even then, before the device no longer touches them.
        Raises EngineError.
        """

    async def aclose(self) -> None:
        """Cancel what runs, free the device, end the threads. Idempotent."""
