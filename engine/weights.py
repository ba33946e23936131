"""Which files a model is read from, and whether they may be: safetensors only, nothing that runs code, nothing from outside. No torch.

Used by `engine.entry`, and by `bot.models` before anything is fetched. What is refused, and why:

- pickles (`.bin`, `.ckpt`, `.pt`, `.pth`, `.pkl`): reading one runs whatever its maker put into it;
- a `model_index.json` that names its own pipeline, or a component of a library that is neither diffusers nor transformers: that is code, too;
- a link out of the model's folder: what was checked yesterday may be another file today.

Errors name the file; the caller says which model it is of.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from engine.abilities import PIPELINES
from engine.api import ModelCorrupt, ModelMissing

PICKLES = frozenset({".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle"})
INDEX = "model_index.json"
#: Whose classes a component may be of. The last is a module of diffusers that holds older models' checker of pictures.
LIBRARIES = frozenset({"diffusers", "transformers", "stable_diffusion"})
#: Components no pipeline is given here (their places stay empty), so their files are neither needed nor fetched.
UNUSED = frozenset({"safety_checker", "feature_extractor"})
#: Components made of settings and words.
_WITHOUT_WEIGHTS = re.compile(r"(Tokenizer|TokenizerFast|TokenizersBackend|Scheduler|Processor|FeatureExtractor)$")
_CLASS = re.compile(r"[A-Za-z]\w*")
#: A safetensors header longer than this is refused by the library that reads it, too.
_MAX_HEADER = 100_000_000


def read_index(text: str) -> tuple[str, dict[str, str]]:
    """The pipeline's class and the components it is given, each with its class, of a `model_index.json`. Raises ModelCorrupt."""
    try:
        index = json.loads(text)
    except ValueError as error:
        raise ModelCorrupt(f"{INDEX}: {error}") from error
    if not isinstance(index, dict):
        raise ModelCorrupt(f"{INDEX} is not an object")
    pipeline = index.get("_class_name")
    if not isinstance(pipeline, str):  # a list: a file of the model's own and a class in it
        raise ModelCorrupt(f"{INDEX} names a custom pipeline; code that comes with a model is never run")
    if pipeline not in PIPELINES:
        raise ModelCorrupt(f"{INDEX} names {pipeline}, which is no text-to-image pipeline known here")
    return pipeline, dict(_components(index))


def _components(index: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in index.items():
        match value:
            case [str(library), str(kind)]:
                if library not in LIBRARIES or not _CLASS.fullmatch(kind) or not name.isidentifier():
                    raise ModelCorrupt(f"{INDEX}: {name} is {library}.{kind}; code that comes with a model is never run")
                if name not in UNUSED:
                    yield name, kind


def pipeline_of(folder: Path) -> str:
    """The class a folder's `model_index.json` names; empty when there is none. Raises ModelCorrupt."""
    index = folder / INDEX
    return read_index(index.read_text(encoding="utf-8", errors="replace"))[0] if index.is_file() else ""


def needs_weights(kind: str) -> bool:
    """Whether a component of this class is read from weights."""
    return _WITHOUT_WEIGHTS.search(kind) is None


def variant_of(name: str) -> str:
    """The variant in a weights file's name: `fp16` of `model.fp16-00001-of-00002.safetensors`, empty when there is none."""
    whole = re.sub(r"-\d{5}-of-\d{5}", "", PurePosixPath(name).name)
    return ".".join(whole.split(".")[1:-1])


def choose(names: Iterable[str], variant: str) -> list[str]:
    """The safetensors files that are read of one component's: those of the variant, or, as diffusers does, the plain ones where it has none."""
    weights = sorted(name for name in names if name.endswith(".safetensors"))
    own = [name for name in weights if variant and variant_of(name) == variant]
    return own or [name for name in weights if not variant_of(name)]


def files(path: Path, variant: str = "") -> list[Path]:
    """The weights files a model, an adapter or an encoder at `path` is read from. Raises ModelMissing, or ModelCorrupt for what is refused."""
    if path.is_file():
        if path.suffix != ".safetensors":
            raise ModelCorrupt(f"{path.name} is not a safetensors file; no other kind is loaded")
        return [path]
    if not path.is_dir():
        raise ModelMissing(f"{path} is not there")
    refuse_links(path)
    index = path / INDEX
    if not index.is_file():
        return _of_component(path, path.name, variant, any_variant=True)
    _, components = read_index(index.read_text(encoding="utf-8", errors="replace"))
    return [each for name, kind in components.items() if needs_weights(kind) for each in _of_component(path / name, name, variant)]


def _of_component(folder: Path, label: str, variant: str, *, any_variant: bool = False) -> list[Path]:
    names = [each.name for each in folder.iterdir() if each.is_file()] if folder.is_dir() else []
    chosen = choose(names, variant) or [name for name in sorted(names) if any_variant and name.endswith(".safetensors")]
    if not chosen:
        pickles = sorted(name for name in names if Path(name).suffix in PICKLES)
        if pickles:
            raise ModelCorrupt(f"{label}/{pickles[0]} is a pickle, which can run code; only safetensors files are loaded")
        raise ModelMissing(f"{label} has no safetensors file")
    for index in folder.glob("*.safetensors*index*.json"):
        _check_shards(index, label, set(names), variant_of(chosen[0]))
    return [folder / name for name in chosen]


def _check_shards(index: Path, label: str, present: set[str], variant: str) -> None:
    """Every part that the index of the chosen variant names must be there. Raises ModelMissing, ModelCorrupt."""
    try:
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelCorrupt(f"{label}/{index.name}: {type(error).__name__}: {error}") from error
    if any(not isinstance(shard, str) or PurePosixPath(shard).name != shard for shard in shards):
        raise ModelCorrupt(f"{label}/{index.name} names a file that is not beside it")
    if {variant_of(shard) for shard in shards} == {variant} and (missing := sorted(shards - present)):
        raise ModelMissing(f"{label}/{missing[0]} is not there")


def refuse_links(folder: Path) -> None:
    """Raises ModelCorrupt for a link that leads out of the folder. Hidden folders are not looked into: nothing is read from them."""
    inside = folder.resolve()
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in (*folders, *names):
            path = Path(where, name)
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                raise ModelCorrupt(f"{path.relative_to(folder)} is a link that leads out of the model's folder; put the file itself there")


def check_header(path: Path) -> None:
    """Raises ModelCorrupt when a safetensors file is shorter or longer than its own header says. Reads no weights.

    The format: https://huggingface.co/docs/safetensors (8 bytes of length, a JSON header, the tensors end to end).
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if size >= 8 and length <= _MAX_HEADER else b""
    try:
        tensors = json.loads(header)
        end = max((each["data_offsets"][1] for name, each in tensors.items() if name != "__metadata__"), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ModelCorrupt(f"{path.name} is cut short, or no safetensors file at all") from error
    if 8 + length + end != size:
        raise ModelCorrupt(f"{path.name} has {size} bytes, but its header speaks of {8 + length + end}")
