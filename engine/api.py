"""The engine's contract: what may be asked of it (`engine.requests`), what it returns and reports, and how it fails.

Standard library only, so that everything else can speak of pictures without loading torch. Implementations: `engine.local.LocalEngine`
(a device in this process) and `engine.fake.FakeEngine` (deterministic pictures without torch, for tests of everything else).

Errors a caller can act on (all are `EngineError`)::

    EngineError
    ├── ModelMissing          the model is not on the shelf, or its files are not there
    ├── ModelCorrupt          a file is not what the manifest says
    ├── UnsupportedOperation  this model cannot do that (`what` names it); refused before anything is drawn
    ├── BadInput              an input picture cannot be read
    ├── NothingFound          nothing in the picture answers to the phrase
    ├── OutOfMemory           after halving, tiling and offloading have failed
    ├── BadNumbers            non-finite latents: they would decode to silent black
    └── EngineDied            the device thread is gone or stuck; the request may be tried again
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from engine.requests import Control as Control
from engine.requests import Emphasis as Emphasis
from engine.requests import ImagePrompt as ImagePrompt
from engine.requests import ImagineRequest as ImagineRequest
from engine.requests import Lora as Lora
from engine.requests import MorphRequest as MorphRequest
from engine.requests import Part as Part
from engine.requests import Request as Request
from engine.requests import Spot as Spot
from engine.requests import UpscaleRequest as UpscaleRequest
from engine.requests import request_from_dict as request_from_dict
from engine.requests import request_to_dict as request_to_dict


class EngineError(Exception):
    """Whatever the engine reports about one request."""


class ModelMissing(EngineError):
    """The model is not on the shelf, or its files are not there."""


class ModelForbidden(EngineError):
    """The model's licence forbids the use that is made of it here, so it is not offered."""


class ModelCorrupt(EngineError):
    """A model file is truncated or differs from its manifest."""


class UnsupportedOperation(EngineError):
    """The model cannot do `what` (a flag or operation by its member-facing name, e.g. ``"--no"``)."""

    def __init__(self, what: str, model: str) -> None:
        super().__init__(f"{model} cannot do {what}")
        self.what, self.model = what, model


class BadInput(EngineError):
    """An input picture cannot be read."""


class NothingFound(EngineError):
    """Nothing in the picture stands out for the phrase: it names all of it, or nothing that the model sees there."""

    def __init__(self, phrase: str) -> None:
        super().__init__(f"nothing in the picture stands out for {phrase!r}")
        self.phrase = phrase


class OutOfMemory(EngineError):
    """The request does not fit, even alone, tiled and offloaded."""


class BadNumbers(EngineError):
    """The latents became non-finite."""


class EngineDied(EngineError):
    """The device thread ended or no longer answers; nothing is wrong with the request itself."""


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
    clip: bytes | None = None  #: an animated WebP: of a morph, or of the pictures forming (`video`)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where one request stands. `preview` is a small WebP of the forming grid, or None when there is none new."""

    step: int
    of: int
    preview: bytes | None = None


Report = Callable[[Progress], None]
"""Called from the event loop's thread; must not block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What an image-text model sees in one picture, in the words the model knows (`Capabilities.words`)."""

    prompts: tuple[str, ...]  #: one to four prompts that would draw the like, the one that fits best first
    fits: tuple[float, ...]  #: how well each of them fits: the cosine of its angle to the picture, -1..1
    things: tuple[str, ...]  #: what the first of them names: two at most
    scores: tuple[float, ...] = ()  #: how likely each of the things is, against all others the model knows, 0..1
    ground: str = ""  #: a place ("in the snow") or a colour ("red"); empty where the model has words for neither
    style: str = ""  #: empty where the model has no words for styles


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """How much one word of a text carries: how far the text's meaning turns when the word is left out."""

    start: int  #: characters of the text
    end: int
    weight: float  #: 0..1; the word that carries most has 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """A way to run a model in fewer steps than it usually takes (`engine.efforts` makes requests of it)."""

    steps: int
    guidance: float = 1.0
    lora: str = ""  #: the model's own adapter for it, which members are not shown; empty: the model as it is


#: How far from a source each operation goes by itself, 0..1, unless a model's card says otherwise.
STRENGTHS: Mapping[str, float] = {"source": 0.6, "vary_subtle": 0.35, "vary_strong": 0.65, "region": 0.9, "zoom": 0.8, "pan": 0.8, "animate": 0.3}


#: Uses that a licence may forbid and that the program can keep from a model (`Capabilities.refuses`): earning money with it; sexual content; sexual or
#: degrading pictures of real people, also out of pictures that were sent; pictures of real people at all.
COMMERCIAL, SEXUAL, DEGRADING, PEOPLE = USES = ("commercial", "sexual", "degrading", "people")


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What one model can do, and with which numbers. Drives menus, bounds and defaults; needs no torch to read."""

    model: str
    title: str
    licence: str
    operations: frozenset[str]  #: what can be asked of it; engine.abilities says what each name needs
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
    finish: int = 1  #: how many times larger its own upscaler makes a finished picture before it is shown: 1 (it has none), 2 or 4
    cost_factor: float = 1.0  #: against a megapixel-step of the reference model
    examples: tuple[str, ...] = ()  #: prompts it draws well
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  #: "things", "places", "styles", "colours": for autocomplete
    loras: tuple[str, ...] = ()  #: adapters on the shelf, by name
    controls: tuple[str, ...] = ()  #: kinds of maps it can follow: of "edges", "depth", "pose", "sketch"
    draft: Effort | None = None  #: `--draft`; None: the model has no such way
    quick: Effort | None = None  #: how it is run when nobody asks for steps or guidance; None: as `steps` and `guidance` say
    strengths: Mapping[str, float] = field(default_factory=lambda: dict(STRENGTHS))  #: by what is done with a source, one for each of STRENGTHS
    training_data: str = ""  #: one line of what is known
    memory: int = 0  #: bytes its weights take on the device; 0: unknown
    forbids: tuple[str, ...] = ()  #: what the licence forbids, for people to read: "commercial use", one phrase each
    refuses: frozenset[str] = frozenset()  #: of `USES`: what of it is held to


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStats:
    """What the device has been doing, for the metrics. Counters count from the start of the process."""

    rows_in_flight: int = 0  #: pictures handed over and not yet finished
    batch_rows: int = 0  #: rows of the last denoising forward (a picture with guidance is two)
    steps: int = 0  #: denoising forwards run
    step_rows: int = 0  #: rows those had, together
    step_seconds: float = 0.0  #: device seconds those took, together
    words_remembered: int = 0  #: texts whose encoding was remembered
    words_encoded: int = 0  #: texts that had to be encoded
    models_loaded: int = 0  #: models in memory
    loaded: tuple[str, ...] = ()  #: their names, the one used last at the end
    model_bytes: int = 0  #: what their weights take there


#: Pictures `Engine.look` takes at once, and words `Engine.weigh` does: each is read by a network.
MOST_LOOKED_AT, MOST_WEIGHED = 16, 120

#: What an enlarged megapixel costs a device, in steps of drawing one: near enough for prices and for estimates of time.
ENLARGING = 0.25


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

    async def look(self, model: str, pictures: Sequence[bytes]) -> tuple[Seen, ...]:
        """What the model's image-text model sees in each of these picture files (at most MOST_LOOKED_AT). Takes turns with what is drawn.

        Raises ModelMissing, BadInput, and UnsupportedOperation where the model has no image-text model ("describe" is not among its operations).
        """

    async def find(self, model: str, words: str, pictures: Sequence[bytes]) -> tuple[float, ...]:
        """How well each of these picture files fits the words: the cosine of its angle to them, -1..1, to be held against `Seen.fits`. Raises as `look`."""

    async def weigh(self, model: str, text: str) -> tuple[Weight, ...]:
        """How much each word of the text (at most MOST_WEIGHED of them) carries, in the order they stand. Takes turns with what is drawn.

        Raises ModelMissing, and UnsupportedOperation for a model that does not show what it makes of words ("shorten" is not among its operations), or for
        more words than that.
        """

    async def mask(self, model: str, picture: bytes, phrase: str) -> bytes:
        """A PNG (L) of the picture's own size, white where what the phrase names is: a mask for ImagineRequest. Takes turns with what is drawn.

        It finds where the words would change most; whether the thing is there at all it cannot tell. Raises ModelMissing, BadInput, NothingFound, and
        UnsupportedOperation where "phrase" is not among the model's operations.
        """

    async def aclose(self) -> None:
        """Cancel what runs, free the device, end the threads. Idempotent."""
