"""Cards: what one model is and how it wants to be drawn, as tables of TOML. Used by `engine.shelf`; docs/models.md is the operator's page.

A card is the same everywhere: `card.toml` in a model's folder, a `[[model]]` table of the operator's `models.toml`, and the cards that ship with the
program in `engine/cards/`, from which a table inherits by `card = "sdxl-turbo"`. Every field but `family` has a default::

    name = "pocket"                 # what members type; the folder's name
    title = "Pocket"                # what members read
    family = "sd"                   # which pipelines draw it (engine.abilities); by model_index.json when absent
    licence = "MIT"
    forbids = ["commercial use"]    # what the licence forbids, for people to read
    refuses = ["commercial"]        # what of it is held to: of "commercial", "sexual", "degrading", "people" (engine.api.USES)
    training_data = "LAION-5B"      # one line of what is known
    hub = "owner/name"              # where `wordup models pull` fetches it
    revision = "462165984030"       # of the hub, for the record
    gated = false                   # the hub wants its terms accepted and a token first
    where = "sdxl"                  # a folder, a .safetensors file, or a hub id that has been pulled
    file = "model.safetensors"      # one file in that folder is the whole model
    config = "sdxl"                 # for such a file: a folder with its kind's configuration and tokenizers
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
    cost_factor = 1.0               # credits a default grid costs
    pace = 1.0                      # seconds a megapixel-step takes, until it has been measured; cost_factor when absent
    scheduler = "DDIMScheduler"     # empty: the one in the model's folder
    scheduler_config = { timestep_spacing = "trailing" }
    schedulers = [...]              # names accepted by --sampler
    operations = [...]              # fewer than the family's
    dtype = "float16"               # weights on an accelerator; a CPU always computes in float32
    variant = "fp16"                # diffusers' file name variant
    memory = "6.9 GB"               # of its weights on the device; the sum of its files when absent
    compile = false                 # torch.compile
    quantise = ""                   # or "int8", "fp8"
    step_cache = 0.0                # first-block cache: the difference below which a step is taken over; 0: off
    examples = ["a fox in the snow, 3d render"]
    image_adapter = "…"             # an IP-Adapter, and image_encoder for it
    pictures_in_words = false       # image prompts are told in words as well, where nobody says any (engine.wordless)
    sight = "…"                     # an image-text model (transformers' CLIPModel)
    upscaler = "upscaler"           # a super-resolution network (engine.upscale)
    finish = 4                      # finished pictures are shown that many times larger (1, 2, 4), by that network; nothing without one
    loras = { ink = "ink.safetensors" }
    controls = { edges = "canny" }  # a ControlNet each
    draft = { lora = "draft", steps = 1, guidance = 1.0 }  # `--draft`: one of `loras`, which members then do not see
    quick = { lora = "quick", steps = 4, guidance = 1.0 }  # how it is run unless a member asks for steps or guidance
    strengths = { zoom = 0.8, vary_subtle = 0.35 }  # how far from a source, by what is done with it (engine.api.STRENGTHS)
    sha256 = { "unet/diffusion_pytorch_model.safetensors" = "…" }

`license`, `abilities`, `size_multiple`, `min_size`, `max_size` and `cost` are read too, for `licence`, `operations`, `multiple`, `min_edge`, `max_edge` and
`cost_factor`.
"""

from __future__ import annotations

import functools
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from engine.abilities import ANY_SCHEDULER, EDGE, MULTIPLE, OPERATIONS, SCHEDULERS
from engine.api import STRENGTHS, USES, Capabilities, Effort, ModelCorrupt

Table = Mapping[str, Any]

#: The cards that ship with the program.
SHIPPED = Path(__file__).parent / "cards"
#: Fields and what they are read as.
FIELDS: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("name", "title", "family", "licence", "training_data", "hub", "revision", "where", "file", "config", "card"), str),
    **dict.fromkeys(("scheduler", "dtype", "variant", "quantise", "image_adapter", "image_encoder", "sight", "upscaler"), str),
    **dict.fromkeys(("width", "height", "multiple", "min_edge", "max_edge", "steps", "max_steps", "max_count", "finish"), int),
    **dict.fromkeys(("guidance", "max_guidance", "cost_factor", "pace", "step_cache"), (int, float)),
    **dict.fromkeys(("forbids", "refuses", "schedulers", "operations", "examples"), list),
    **dict.fromkeys(("scheduler_config", "loras", "controls", "draft", "quick", "strengths", "sha256"), dict),
    **dict.fromkeys(("gated", "compile", "pictures_in_words"), bool),
    "memory": (int, float, str),
}
ALIASES = {
    "license": "licence",
    "abilities": "operations",
    "size_multiple": "multiple",
    "min_size": "min_edge",
    "max_size": "max_edge",
    "cost": "cost_factor",
}
#: Kinds of words in a vocabulary.
KINDS = ("things", "places", "styles", "colours")
#: What diffusers and transformers take to run a model's own code.
REFUSED = ("trust_remote_code", "custom_pipeline", "custom_revision")
UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def read_table(table: Table, *, strict: bool = True) -> dict[str, Any]:
    """The fields of a card under their own names. `strict`: a field nobody knows is a mistake, not a remark. Raises ModelCorrupt, ValueError."""
    if refused := [key for key in REFUSED if key in table]:
        raise ModelCorrupt(f"{refused[0]} is refused: code that comes with a model is never run")
    fields = {ALIASES.get(key, key): value for key, value in table.items()}
    for key, value in fields.items():
        kind = FIELDS.get(key)
        if kind is None and strict:
            raise ValueError(f"{key} is no field of a card")
        if kind is not None and (not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)):
            raise ValueError(f"{key} = {value!r} is not of the kind it should be")
    return {key: value for key, value in fields.items() if key in FIELDS}


def layered(*cards: Table) -> dict[str, Any]:
    """Later cards over earlier ones; tables in them (adapters, controls, a scheduler's configuration) are laid over each other, too."""
    merged: dict[str, Any] = {}
    for card in cards:
        for key, value in card.items():
            merged[key] = {**merged[key], **value} if isinstance(value, dict) and isinstance(merged.get(key), dict) else value
    return merged


@functools.cache
def shipped() -> Mapping[str, Table]:
    """The cards that ship with the program, by name, in the order of their names."""
    found = {path.stem: {"name": path.stem, **read_table(tomllib.loads(path.read_text(encoding="utf-8")))} for path in sorted(SHIPPED.glob("*.toml"))}
    return MappingProxyType(found)


def read_bytes(amount: int | float | str) -> int:
    """A number of bytes, or such a text as `6.9 GB` or `512 MiB`. Raises ValueError."""
    if isinstance(amount, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", amount)
        if not match or match[2].upper() not in UNITS:
            raise ValueError(f"{amount!r} is not a number of bytes such as '6.9 GB'")
        return round(float(match[1]) * UNITS[match[2].upper()])
    if amount < 0:
        raise ValueError("a number of bytes cannot be negative")
    return int(amount)


def capabilities(card: Table, *, family: str, name: str, operations: frozenset[str], memory: int = 0, words: Table = MappingProxyType({})) -> Capabilities:
    """What the card says, with defaults for what it does not.

    `operations` are what the model could do; the card may name fewer. `words` is the model's vocabulary (`read_vocabulary`). Raises ValueError.
    """
    width = int(card.get("width", EDGE.get(family, 1024)))
    height = int(card.get("height", width))
    steps = int(card.get("steps", 20))
    max_guidance = float(card.get("max_guidance", 20.0))
    own = (str(card["scheduler"]),) if card.get("scheduler") else ()
    draft, quick = _effort(card, "draft"), _effort(card, "quick")
    loras = tuple(name for name in card.get("loras", ()) if name not in {effort.lora for effort in (draft, quick) if effort})
    operations &= frozenset(map(str, card.get("operations", operations)))
    if not any(words.get(kind) for kind in KINDS):  # an image-text model can only say which words fit
        operations -= {"describe"}
    can = Capabilities(
        model=name,
        title=str(card.get("title", name)),
        licence=str(card.get("licence", "")),
        operations=operations if loras else operations - {"lora"},
        width=width,
        height=height,
        multiple=int(card.get("multiple", MULTIPLE.get(family, 16))),
        min_edge=int(card.get("min_edge", min(width, height) // 2)),
        max_edge=int(card.get("max_edge", 2 * max(width, height))),
        steps=steps,
        max_steps=int(card.get("max_steps", max(50, steps))),
        guidance=float(card.get("guidance", min(7.0, max_guidance))),
        max_guidance=max_guidance,
        max_count=min(9, int(card.get("max_count", 9))),
        schedulers=tuple(map(str, card.get("schedulers", SCHEDULERS if family in ANY_SCHEDULER else own))),
        finish=int(card.get("finish", 1)),
        cost_factor=float(card.get("cost_factor", 1.0)),
        examples=tuple(map(_example, card.get("examples", words.get("examples", ())))),
        words={kind: _names(words[kind]) for kind in KINDS if kind in words},
        loras=loras,
        controls=tuple(card.get("controls", ())),
        draft=draft,
        quick=quick,
        strengths=_strengths(card.get("strengths", {})),
        training_data=str(card.get("training_data", "")),
        memory=memory,
        forbids=tuple(map(str, card.get("forbids", ()))),
        refuses=_refuses(card),
    )
    fits = can.multiple >= 1 and 0 < can.min_edge <= min(width, height) and max(width, height) <= can.max_edge
    if not fits or width % can.multiple or height % can.multiple:
        raise ValueError(f"sizes: {width}x{height} does not fit multiple={can.multiple}, {can.min_edge}..{can.max_edge}")
    if not (1 <= can.steps <= can.max_steps and can.max_count >= 1):
        raise ValueError("steps or max_count out of range")
    for key, effort in (("draft", draft), ("quick", quick)):
        if effort and not (1 <= effort.steps <= can.max_steps and 0 <= effort.guidance <= can.max_guidance):
            raise ValueError(f"{key}: steps or guidance out of range")
    if can.finish not in (1, 2, 4):
        raise ValueError("finish must be 1, 2 or 4")
    if can.cost_factor <= 0:
        raise ValueError("cost_factor must be above zero")
    return can


def _effort(card: Table, key: str) -> Effort | None:
    """`draft` or `quick` of a card. Raises ValueError."""
    if key not in card:
        return None
    said = dict(card[key])
    if strange := [name for name in said if name not in ("lora", "steps", "guidance")]:
        raise ValueError(f"{key}: {strange[0]} is not one of lora, steps, guidance")
    if "steps" not in said:
        raise ValueError(f"{key}: steps is not given")
    lora = str(said.get("lora", ""))
    if lora and lora not in card.get("loras", {}):
        raise ValueError(f"{key}: {lora!r} is not among loras")
    return Effort(steps=int(said["steps"]), guidance=float(said.get("guidance", 1.0)), lora=lora)


def _refuses(card: Table) -> frozenset[str]:
    """Raises ValueError for a word that nobody would hold to."""
    said = card.get("refuses", ())
    if strange := [use for use in said if use not in USES]:
        raise ValueError(f"refuses: {strange[0]!r} is not one of {', '.join(USES)}")
    return frozenset(said)


def _strengths(said: Table) -> dict[str, float]:
    """All of STRENGTHS, as the card has them. Raises ValueError."""
    if strange := [name for name in said if name not in STRENGTHS]:
        raise ValueError(f"strengths: {strange[0]} is not one of {', '.join(STRENGTHS)}")
    found = {name: float(said.get(name, usual)) for name, usual in STRENGTHS.items()}
    if wrong := [name for name, value in found.items() if not 0 <= value <= 1]:
        raise ValueError(f"strengths: {wrong[0]} is not within 0..1")
    return found


def one_of(card: Table, key: str, default: str, known: Iterable[str]) -> str:
    """A field that is one of a few words. Raises ValueError."""
    value = str(card.get(key, default))
    if value not in known:
        raise ValueError(f"{key} = {value!r} is not one of {', '.join(filter(None, known))}")
    return value


def family_of(card: Table, by_index: str) -> str:
    """The family a card names, or the one its pipeline belongs to (empty: no index). Raises ValueError."""
    family = str(card.get("family", by_index))
    if not family:
        raise ValueError("family is not given, and there is no model_index.json to tell it")
    if family not in OPERATIONS:
        raise ValueError(f"family {family!r} is not one of {', '.join(OPERATIONS)}")
    if by_index and family not in ("auto", by_index):
        raise ValueError(f"family is {family!r}, but model_index.json is of the family {by_index!r}")
    return family


def read_vocabulary(folder: Path) -> dict[str, Any]:
    """`vocabulary.json` of a model's folder, empty when there is none.

    Words by kind (`things`, `places`, `styles`, `colours`) for autocomplete: a list of words, a list of lists of synonyms, or a mapping from a word to its
    synonyms. Its `examples` (`{"prompt": …}`) stand in for the card's. Raises ValueError.
    """
    path = folder / "vocabulary.json"
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
