"""One model on the shelf: what it can do, which files it is, and whether they are what they should be. Made by `engine.shelf`, loaded by `engine.model`.

A model is an ordinary diffusers pipeline directory, or one `.safetensors` file with everything in it. Files that lie beside the weights in a directory:

- `MANIFEST.sha256`, lines of `<hex>  <relative path>`, held against the files before loading (but for `*.md`);
- `vocabulary.json`, words by kind for autocomplete (engine.card.read_vocabulary);
- `upscaler/`, a super-resolution network (engine.upscale), unless the card names another.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine import card as cards
from engine import digests, weights
from engine.abilities import CONFIGS, DTYPE, PIPELINES, abilities
from engine.api import Capabilities, EngineError, ModelCorrupt, ModelMissing


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One model on the shelf. Paths are as the operator wrote them, made absolute by where they were written; `verify` says whether they are there."""

    folder: Path  #: the model's directory, or the one its single file lies in
    family: str
    can: Capabilities
    source: Path  #: what is loaded: a directory, or a `.safetensors` file
    single_file: bool = False
    config: Path | None = None  #: for a single file: a diffusers directory with the configuration and tokenizers of its kind
    pipeline: str = ""  #: the class `model_index.json` names; empty for a single file
    scheduler: str = ""  #: a diffusers class; empty: the source's own
    scheduler_config: Mapping[str, Any] = field(default_factory=dict)  #: what differs from the source's own, such as timestep_spacing
    dtype: str = "float16"  #: of the weights on an accelerator
    variant: str | None = None
    memory: int = 0  #: bytes its weights take on the device; 0: unknown
    pace: float = 1.0
    compile: bool = False
    quantise: str = ""  #: "int8" or "fp8"
    step_cache: float = 0.0  #: of the first-block cache: the relative difference below which a step is taken over; 0: off
    loras: Mapping[str, Path] = field(default_factory=dict)  #: adapters by name, a file or a folder each
    controls: Mapping[str, Path] = field(default_factory=dict)  #: ControlNet folders by kind
    image_adapter: Path | None = None  #: an IP-Adapter, a file or a folder
    image_encoder: Path | None = None
    pictures_in_words: bool = False  #: whether image prompts are told in words as well, where nobody says any (`engine.wordless`)
    sight: Path | None = None  #: an image-text model's folder
    upscaler: Path | None = None
    hub: str = ""  #: where it was fetched from, `owner/name`
    revision: str = ""
    sha256: Mapping[str, str] = field(default_factory=dict)  #: of files named relative to `folder`, or to `base`
    base: Path = Path()  #: what the card's own paths are relative to
    listed: bool = False  #: by models.toml: it must be whole before it is offered
    remembered: Path | None = None  #: where digests are remembered

    def verify(self) -> None:
        """Hold every file against its digest, and those without one against their own headers. Blocking. Raises ModelMissing and ModelCorrupt."""
        for fault in self.faults():
            raise fault

    def faults(self, *, hashing: bool = True, fresh: bool = False) -> Iterator[EngineError]:
        """Everything that is wrong with the files, one error each, in sentences that begin with the model's name. Blocking.

        Without `hashing` only headers are read: milliseconds, and enough to see what is missing, cut short or refused. `fresh` hashes what is remembered, too.
        """
        try:
            known = self.given()
        except EngineError as error:
            yield self._told(error)
            return
        if hashing:
            memory = digests.Memory(self.remembered)
            for path in known:
                try:
                    digests.check(path, self._short(path), known, memory, fresh=fresh)
                except (EngineError, OSError) as error:
                    yield self._told(error)
        for label, read in self._parts():
            try:
                for path in read():
                    if not (hashing and path in known):
                        weights.check_header(path)
            except (EngineError, OSError) as error:
                yield self._told(error, label)

    def given(self) -> dict[Path, str]:
        """The digests that are given for its files, in its list and in manifests. Raises ModelCorrupt."""
        known = digests.manifest_of(self.source)
        for path in (*self.loras.values(), *self.controls.values(), self.image_adapter, self.image_encoder, self.sight, self.upscaler):
            known |= digests.manifest_of(path) if path else {}
        for name, digest in self.sha256.items():
            beside = not (self.folder / name).is_file() and (self.base / name).is_file()
            known[digests.inside(self.base if beside else self.folder, name)] = digest
        return known

    def _parts(self) -> Iterator[tuple[str, Callable[[], list[Path]]]]:
        """What the model is made of: a label, and the function that lists its weights."""
        if self.single_file or self.listed or self.pipeline:
            yield "", self._whole
        extras = {f"loras.{name}": path for name, path in self.loras.items()} | {f"controls.{kind}": path for kind, path in self.controls.items()}
        named = {"image_adapter": self.image_adapter, "image_encoder": self.image_encoder, "sight": self.sight, "upscaler": self.upscaler}
        for label, path in {**extras, **{label: path for label, path in named.items() if path}}.items():
            yield label, functools.partial(weights.files, path)

    def _whole(self) -> list[Path]:
        """The model's own weights."""
        if self.single_file:
            self._check_config()
        elif self.source.is_dir() and not self.pipeline:
            raise ModelMissing(f"{weights.INDEX} is not there")
        return weights.files(self.source, self.variant or "")

    def _check_config(self) -> None:
        """A single file holds weights alone: what shape they have, and how words become numbers, is told by a folder beside it."""
        pull = f"`wordup models pull {CONFIGS.get(self.family, 'OWNER/NAME')} --config-only` fetches one"
        if self.config is None:
            raise ModelMissing(f"a single file needs `config`, a folder with the configuration and tokenizers of its kind; {pull}")
        if not weights.pipeline_of(self.config):
            raise ModelMissing(f"config: {self.config / weights.INDEX} is not there; {pull}")
        weights.refuse_links(self.config)

    def _short(self, path: Path) -> str:
        return str(path.relative_to(self.folder)) if path.is_relative_to(self.folder) else str(path)

    def _told(self, error: EngineError | OSError, label: str = "") -> EngineError:
        text = str(error) if isinstance(error, EngineError) else f"cannot be read: {error}"
        kind = type(error) if isinstance(error, EngineError) else ModelCorrupt
        return kind(": ".join(filter(None, (self.can.model, label, text))))


def build(
    card: cards.Table, source: Path, *, name: str, base: Path, find: Callable[[str], Path], listed: bool = False, remembered: Path | None = None
) -> Entry:
    """An entry from a card's fields. `find` makes a path of what the card names besides the model itself. Raises ModelCorrupt, ValueError, KeyError."""
    single = source.is_file() or source.suffix in {".safetensors", *weights.PICKLES}
    folder = source.parent if single else source
    pipeline = "" if single else weights.pipeline_of(source)
    family = cards.family_of(card, PIPELINES.get(pipeline, ""))
    card = {**card, "scheduler": card.get("scheduler") or _own_scheduler(folder)}
    loras = {str(key): find(value) for key, value in card.get("loras", {}).items()}
    controls = {str(key): find(value) for key, value in card.get("controls", {}).items()}
    paths = {key: find(card[key]) if card.get(key) else None for key in ("image_adapter", "image_encoder", "sight", "upscaler")}
    if paths["upscaler"] is None and not single and any((folder / "upscaler").glob("*.safetensors")):
        paths["upscaler"] = folder / "upscaler"
    variant = card.get("variant") or None
    if variant and not any(weights.variant_of(path.name) == variant for path in folder.glob("*/*.safetensors")):
        variant = None
    memory = cards.read_bytes(card.get("memory", 0)) or _size(source, variant)
    operations = abilities(
        family,
        pipeline,
        guided=float(card.get("max_guidance", 20.0)) > 1,
        loras=loras,
        controls=controls,
        image_adapter=paths["image_adapter"] is not None,
        sight=paths["sight"] is not None,
    )
    can = cards.capabilities(card, family=family, name=name, operations=operations, memory=memory, words=cards.read_vocabulary(folder))
    can = can if paths["upscaler"] else replace(can, finish=1)
    step_cache = float(card.get("step_cache", 0.0))
    if not 0 <= step_cache < 1:
        raise ValueError("step_cache must be at least 0 and below 1")
    config = card.get("config") or CONFIGS.get(family, "")
    return Entry(
        folder=folder,
        family=family,
        can=can,
        source=source,
        single_file=single,
        config=find(config) if single and config else None,
        pipeline=pipeline,
        scheduler=card["scheduler"],
        scheduler_config=dict(card.get("scheduler_config", {})),
        dtype=cards.one_of(card, "dtype", DTYPE.get(family, "bfloat16"), ("float16", "bfloat16", "float32")),
        variant=variant,
        memory=memory,
        pace=float(card.get("pace", can.cost_factor)),
        compile=bool(card.get("compile", False)),
        pictures_in_words=bool(card.get("pictures_in_words", False)),
        quantise=cards.one_of(card, "quantise", "", ("", "int8", "fp8")),
        step_cache=step_cache,
        loras=loras,
        controls=controls,
        **paths,
        hub=str(card.get("hub", "")),
        revision=str(card.get("revision", "")),
        sha256=dict(card.get("sha256", {})),
        base=base,
        listed=listed,
        remembered=remembered,
    )


def _own_scheduler(folder: Path) -> str:
    """The class a model's folder names; empty when it names none."""
    try:
        return str(json.loads((folder / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))["_class_name"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _size(source: Path, variant: str | None) -> int:
    """Bytes of the weights; 0 when they cannot be told."""
    try:
        return sum(path.stat().st_size for path in weights.files(source, variant or "")) if source.is_file() or (source / weights.INDEX).is_file() else 0
    except (EngineError, OSError):
        return 0
