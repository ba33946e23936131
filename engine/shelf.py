"""The models at hand, read from their directories without torch. Used by `engine.local`, and by anything that lists models.

A model is an ordinary diffusers pipeline directory with three more files:

`card.toml`, of which every field but `family` has a default::

    name = "pocket"                 # what members type; the directory's name
    title = "Pocket"                # what members read
    family = "sd"                   # which pipelines draw it; see engine.operations.FAMILIES
    licence = "MIT"
    width = 128                     # the size it was trained on, pixels
    height = 128
    multiple = 16                   # sizes are multiples of this
    min_edge = 64
    max_edge = 256
    steps = 20
    max_steps = 50
    guidance = 3.0
    max_guidance = 15.0             # 1 or less: a model without guidance; it takes no unwanted words
    max_count = 9
    cost_factor = 1.0               # against a megapixel-step of the reference model
    pace = 1.0                      # seconds a megapixel-step takes, until it has been measured; cost_factor when absent
    scheduler = "DDIMScheduler"     # only for the captions; what is used is the directory's own
    schedulers = [...]              # names accepted by --sampler; SCHEDULERS when absent
    operations = [...]              # all of the family's when absent
    dtype = "float16"               # weights on an accelerator; a CPU always computes in float32
    variant = ""                    # diffusers' file name variant
    examples = ["a fox in the snow, 3d render"]

`size_multiple`, `min_size`, `max_size` and `cost` are read too, for `multiple`, `min_edge`, `max_edge` and `cost_factor`.

`MANIFEST.sha256`, lines of `<hex>  <relative path>`, checked before loading (but for `*.md`); and `vocabulary.json`, words by kind (`things`, `places`,
`styles`, `colours`) for autocomplete: a list of words, a list of lists of synonyms, or a mapping from a word to its synonyms; its `examples`
(`{"prompt": …}`) stand in for the card's. `upscaler/` may hold a super-resolution network (see engine.upscale).
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.api import Capabilities, EngineError, ModelCorrupt, ModelMissing

#: Diffusers schedulers that sample any epsilon- or v-prediction model, need no further package and keep all their state to themselves.
SCHEDULERS = (
    "DDIMScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LCMScheduler",
    "PNDMScheduler",
    "TCDScheduler",
    "UniPCMultistepScheduler",
)
#: What each family's pipelines can do.
OPERATIONS: Mapping[str, frozenset[str]] = {"sd": frozenset({"imagine", "source", "unwanted", "weights", "upscale"})}
#: The model that ships with the package.
POCKET = Path(__file__).parent / "pocket"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One model on the shelf."""

    folder: Path
    family: str
    can: Capabilities
    scheduler: str = ""
    dtype: str = "float16"
    variant: str | None = None
    pace: float = 1.0

    def verify(self) -> None:
        """Read every file the manifest names. Blocking. Raises ModelMissing and ModelCorrupt."""
        manifest = self.folder / "MANIFEST.sha256"
        if not manifest.is_file():
            return
        for line in manifest.read_text(encoding="utf-8").splitlines():
            digest, _, name = line.strip().partition(" ")
            name = name.strip().removeprefix("*")
            if not name or name.endswith(".md"):  # prose may be edited without the model being another one
                continue
            path = self.folder / name
            if not path.resolve().is_relative_to(self.folder.resolve()):
                raise ModelCorrupt(f"{self.can.model}: the manifest names a file outside the model: {name}")
            if not path.is_file():
                raise ModelMissing(f"{self.can.model}: {name} is not there")
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != digest.lower():
                    raise ModelCorrupt(f"{self.can.model}: {name} is not what the manifest says")


@dataclass(frozen=True, slots=True)
class Shelf:
    """The models, the default first."""

    entries: tuple[Entry, ...]
    problems: Mapping[str, EngineError] = field(default_factory=dict)  #: by folder: why a model is not on the shelf

    @classmethod
    def open(cls, folders: Sequence[Path] = (), *, default: str | None = None, pocket: bool = True) -> Shelf:
        """Read the cards in `folders` (each a model, or a directory of models), then the one that ships with the package.

        The first is the default unless `default` names another. A model that cannot be read is a problem of its own: the others go on.
        """
        entries: dict[str, Entry] = {}
        problems: dict[str, EngineError] = {}
        for folder in [*folders, *([POCKET] if pocket else [])]:
            for model in _models_in(folder):
                try:
                    entry = read_entry(model)
                except EngineError as error:
                    problems[str(model)] = error
                else:
                    entries.setdefault(entry.can.model, entry)
        first = [default] if default in entries else []
        if default is not None and not first:
            problems[default] = ModelMissing(f"{default} is not on the shelf")
        return cls(tuple(entries[name] for name in dict.fromkeys([*first, *entries]) if name is not None), problems)

    def entry(self, model: str) -> Entry:
        """Raises ModelMissing."""
        for entry in self.entries:
            if entry.can.model == model:
                return entry
        raise ModelMissing(f"{model} is not on the shelf")

    def models(self) -> tuple[Capabilities, ...]:
        return tuple(entry.can for entry in self.entries)


def _models_in(folder: Path) -> list[Path]:
    if (folder / "card.toml").is_file() or not folder.is_dir():
        return [folder]
    return sorted(path.parent for path in folder.glob("*/card.toml")) or [folder]


def read_entry(folder: Path) -> Entry:
    """Read one model's card. Raises ModelMissing when there is none, ModelCorrupt when it makes no sense."""
    try:
        card = tomllib.loads((folder / "card.toml").read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelMissing(f"{folder.name}: no card.toml can be read in {folder}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ModelCorrupt(f"{folder.name}: card.toml: {error}") from error
    try:
        return _entry(folder, card)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelCorrupt(f"{folder.name}: card.toml: {type(error).__name__}: {error}") from error


def _entry(folder: Path, card: Mapping[str, Any]) -> Entry:
    family = str(card["family"])
    if family not in OPERATIONS:
        raise ValueError(f"family {family!r} is not one of {', '.join(OPERATIONS)}")

    def read(default: Any, *names: str) -> Any:
        return next((card[name] for name in names if name in card), default)

    words = _read_json(folder / "vocabulary.json")
    width = int(read(512, "width"))
    height = int(read(width, "height"))
    steps = int(read(20, "steps"))
    max_guidance = float(read(20.0, "max_guidance"))
    operations = OPERATIONS[family] & frozenset(read(OPERATIONS[family], "operations"))
    cost_factor = float(read(1.0, "cost_factor", "cost"))
    can = Capabilities(
        model=str(read(folder.name, "name")),
        title=str(read(folder.name, "title")),
        licence=str(read("", "licence", "license")),
        operations=operations - {"unwanted"} if max_guidance <= 1 else operations,
        width=width,
        height=height,
        multiple=int(read(8, "multiple", "size_multiple")),
        min_edge=int(read(min(width, height) // 2, "min_edge", "min_size")),
        max_edge=int(read(2 * max(width, height), "max_edge", "max_size")),
        steps=steps,
        max_steps=int(read(max(50, steps), "max_steps")),
        guidance=float(read(min(7.0, max_guidance), "guidance")),
        max_guidance=max_guidance,
        max_count=min(9, int(read(9, "max_count"))),
        schedulers=tuple(map(str, read(SCHEDULERS, "schedulers"))),
        cost_factor=cost_factor,
        examples=tuple(map(_example, read(words.get("examples", ()), "examples"))),
        words={kind: _names(words[kind]) for kind in ("things", "places", "styles", "colours") if kind in words},
    )
    fits = can.multiple >= 1 and 0 < can.min_edge <= min(width, height) and max(width, height) <= can.max_edge
    if not fits or width % can.multiple or height % can.multiple:
        raise ValueError(f"sizes: {width}x{height} does not fit multiple={can.multiple}, {can.min_edge}..{can.max_edge}")
    if not (1 <= can.steps <= can.max_steps and can.max_count >= 1):
        raise ValueError("steps or max_count out of range")
    return Entry(
        folder=folder,
        family=family,
        can=can,
        scheduler=str(read("", "scheduler")),
        dtype=str(read("float16", "dtype")),
        variant=read("", "variant") or None,
        pace=float(read(cost_factor, "pace")),
    )


def _read_json(path: Path) -> dict[str, Any]:
    """An object, empty when there is no such file."""
    if not path.is_file():
        return {}
    data = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict):
        raise ValueError(f"{path.name} is not an object")
    return data


def _names(words: Any) -> tuple[str, ...]:
    """The words a member would type, of `[word]`, `[[word, synonym]]` or `{word: [synonym]}`."""
    return tuple(str(word[0]) if isinstance(word, list) and word else str(word) for word in words)


def _example(example: Any) -> str:
    return str(example["prompt"] if isinstance(example, dict) else example)
