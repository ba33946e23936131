"""What `wordup models` does: a table of the shelf, fetching a model, hashing its files, timing it. Decides and does; `bot.models_cli` parses and prints."""

from __future__ import annotations

import asyncio
import fnmatch
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from bot.models_file import CannotEdit, with_model
from bot.models_hub import Hub, Offer, PullError
from engine import digests, weights
from engine.abilities import PIPELINES
from engine.api import COMMERCIAL, Engine, EngineError, ImagineRequest, ModelForbidden, ModelMissing, Part
from engine.card import Table, read_bytes, shipped
from engine.entry import Entry
from engine.shelf import HUB_ID, NAME, Shelf, hub_folder, name_of, read_listing, source_of, whole_card

#: Files beside the weights that say what they are and how words become numbers.
SETTINGS = ("*.json", "*.txt", "*.model", "*.jinja")
LICENCES = ("LICENSE*", "LICENCE*", "NOTICE*")
#: Licences that ask for nothing before somebody earns money with the model.
FREE = ("apache-2.0", "mit", "bsd", "cc0", "cc-by-4.0", "openrail", "creativeml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of `wordup models list`."""

    name: str
    title: str = ""
    family: str = ""
    size: str = ""
    steps: str = ""
    licence: str = ""
    memory: str = ""
    where: str = ""
    state: str = "ready"  #: or "missing", "forbidden" (by its licence), "problem"
    problem: str = ""  #: the one sentence


def rows(shelf: Shelf) -> list[Row]:
    """The shelf, the default model first, then what cannot be used."""
    found = [_row(entry, shelf.problems.get(entry.can.model)) for entry in (*shelf.entries, *shelf.absent)]
    known = {row.name for row in found}
    return [*found, *(Row(name=name, state=_state(error), problem=str(error)) for name, error in shelf.problems.items() if name not in known)]


def _row(entry: Entry, problem: EngineError | None) -> Row:
    return Row(
        name=entry.can.model,
        title=entry.can.title,
        family=entry.family,
        size=f"{entry.can.width}×{entry.can.height}",
        steps=str(entry.can.steps),
        licence=entry.can.licence,
        memory=gigabytes(entry.memory),
        where=str(entry.source),
        state=_state(problem),
        problem=str(problem or ""),
    )


def _state(problem: EngineError | None) -> str:
    if isinstance(problem, ModelForbidden):
        return "forbidden"
    return "ready" if problem is None else "missing" if isinstance(problem, ModelMissing) else "problem"


def card_rows() -> list[Row]:
    """The cards that ship with the program; `where` is the hub's id."""
    return [
        Row(
            name=name,
            title=card["title"],
            family=card["family"],
            size=f"{card['width']}×{card.get('height', card['width'])}",
            steps=str(card["steps"]),
            licence=card["licence"],
            memory=gigabytes(read_bytes(card["memory"])),
            where=card["hub"],
            problem=" ".join(_conditions(card)),
        )
        for name, card in shipped().items()
    ]


def _conditions(card: Table) -> list[str]:
    forbidden = ["The licence forbids " + "; ".join(card["forbids"]) + "."] if card.get("forbids") else []
    return [*forbidden, *(["The hub wants its terms accepted and HF_TOKEN set."] if card.get("gated") else [])]


def gigabytes(count: int) -> str:
    return "?" if count <= 0 else f"{count / 1e6:.0f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"


def verified(entry: Entry) -> list[str]:
    """Every file read and hashed anew: a sentence for each that is wrong. Blocking, for as long as that takes."""
    return [str(fault) for fault in entry.faults(fresh=True)]


def praise(entry: Entry) -> str:
    """What to say of a model whose files are as they should be."""
    digested = len(entry.given())
    return f"{entry.can.model}: " + (f"{digested} files are what their digests say" if digested else "whole, by the headers of its weights; it has no digests")


# ------------------------------------------------------------------------------------------------ fetching


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a pull will fetch, and what its licence says. Made by `plan`; carried out by `carry_out` when the operator agrees."""

    offer: Offer
    names: tuple[str, ...]
    folder: Path
    card: str = ""  #: of the shipped card
    licence: str = ""
    forbids: tuple[str, ...] = ()
    refuses: tuple[str, ...] = ()
    pipeline: str = ""  #: empty: an adapter, a ControlNet or an encoder
    variant: str = ""
    file: str = ""
    config: Plan | None = None  #: settings that a single file needs besides

    @property
    def size(self) -> int:
        """Bytes to fetch, at most."""
        return sum(self.offer.sizes[name] for name in self.names) + (self.config.size if self.config else 0)

    @property
    def asks(self) -> bool:
        """Whether the operator should have read the licence: it is not free for every use, or the hub wants its terms accepted."""
        free = self.licence.lower().startswith(FREE) and COMMERCIAL not in self.refuses and not any(COMMERCIAL in each for each in self.forbids)
        return self.offer.gated or not free


def plan(
    hub: Hub,
    what: str,
    store: Path,
    *,
    revision: str | None = None,
    variant: str | None = None,
    file: str = "",
    config_only: bool = False,
) -> Plan:
    """Look at a shipped card's repository, or at a hub id, and choose its files. Fetches one small file, `model_index.json`. Raises PullError."""
    card: Table = shipped().get(what, {})
    source = str(card.get("hub", what))
    if not HUB_ID.fullmatch(source):
        raise PullError(f"{what} is neither a card that ships with the program (`wordup models list --cards`) nor a hub id such as owner/name.")
    offer = hub.look(source, revision or card.get("revision"))
    folder = store / (hub_folder(source) + (f"@{offer.commit[:12]}" if revision else ""))
    file = file or str(card.get("file", ""))
    licence = str(card.get("licence", offer.licence))
    forbids, refuses = tuple(card.get("forbids", ())), tuple(card.get("refuses", ()))
    planned = Plan(offer=offer, names=(), folder=folder, card=what if card else "", licence=licence, forbids=forbids, refuses=refuses)
    if file:
        if file not in offer.sizes or not file.endswith(".safetensors"):
            raise PullError(f"{source} has no safetensors file {file}.")
        names = (file, *_matching(offer.sizes, LICENCES))
        config = plan(hub, str(card["config"]), store, config_only=True) if card.get("config") else None
        return replace(planned, names=names, file=file, config=config)
    if weights.INDEX not in offer.sizes:
        return Plan(offer=offer, names=_adapter(offer), folder=folder, licence=licence)
    hub.fetch(offer, [weights.INDEX], folder)
    try:
        pipeline, components = weights.read_index((folder / weights.INDEX).read_text(encoding="utf-8", errors="replace"))
    except EngineError as error:
        raise PullError(f"{source} is not fetched: {error}.") from error
    variant = variant if variant is not None else str(card.get("variant", "")) if card else _half(offer.sizes, components)
    names = _pipeline_files(offer, components, variant, with_weights=not config_only)
    return replace(planned, names=names, pipeline=pipeline, variant=variant)


def _matching(names: Iterable[str], patterns: Sequence[str], folder: str = ".") -> tuple[str, ...]:
    """Those of the names that lie in the folder itself and match."""
    inside = (name for name in names if str(PurePosixPath(name).parent) == folder)
    return tuple(sorted(name for name in inside if any(fnmatch.fnmatch(PurePosixPath(name).name, pattern) for pattern in patterns)))


def _pipeline_files(offer: Offer, components: dict[str, str], variant: str, *, with_weights: bool) -> tuple[str, ...]:
    """What a diffusers folder is loaded from: its index, and each component's settings and safetensors. Raises PullError where there are only pickles."""
    found = [weights.INDEX, *_matching(offer.sizes, LICENCES)]
    for component, kind in components.items():
        found += [name for name in _matching(offer.sizes, SETTINGS, component) if ".bin." not in name and ".msgpack" not in name]
        if weights.needs_weights(kind) and with_weights:
            chosen = weights.choose(_matching(offer.sizes, ("*.safetensors",), component), variant)
            if not chosen:
                raise PullError(f"{offer.hub} is not fetched: {component} has no safetensors file, and no other kind is loaded.")
            found += chosen
    return tuple(dict.fromkeys(found))


def _adapter(offer: Offer) -> tuple[str, ...]:
    """What a repository without a pipeline is loaded from: plain safetensors and the settings beside them. Raises PullError."""
    folders = sorted({str(PurePosixPath(name).parent) for name in offer.sizes})
    chosen = [name for folder in folders for name in weights.choose(_matching(offer.sizes, ("*.safetensors",), folder), "")]
    if not chosen:
        raise PullError(f"{offer.hub} is not fetched: it has no safetensors file, and no other kind is loaded.")
    beside = {str(PurePosixPath(name).parent) for name in chosen}
    return (*chosen, *(name for folder in sorted(beside) for name in _matching(offer.sizes, (*SETTINGS, *LICENCES), folder)))


def _half(sizes: Iterable[str], components: dict[str, str]) -> str:
    """`fp16` where every component's weights come in half precision, too: half the download."""
    heavy = [component for component, kind in components.items() if weights.needs_weights(kind)]
    halves = [any(weights.variant_of(name) == "fp16" for name in _matching(sizes, ("*.safetensors",), component)) for component in heavy]
    return "fp16" if halves and all(halves) else ""


def carry_out(hub: Hub, planned: Plan, listing: Path, *, name: str = "", listed: bool = True) -> str:
    """Fetch what was planned, hash it, and write it into the list of models. Returns what to say. Blocking. Raises PullError."""
    name = name or planned.card or planned.offer.hub.rpartition("/")[2].lower()
    if listed:
        _check_name(listing, name, planned)
    if planned.config:
        carry_out(hub, planned.config, listing, listed=False)
    planned.folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(planned.folder).free
    if free < planned.size - sum(path.stat().st_size for path in planned.folder.rglob("*") if path.is_file()):
        raise PullError(f"{planned.folder} has {gigabytes(free)} free, and {planned.offer.hub} is {gigabytes(planned.size)}.")
    hub.fetch(planned.offer, planned.names, planned.folder)
    hashed = {each: digests.sha256(planned.folder / each) for each in planned.names}
    if torn := [each for each, digest in planned.offer.digests.items() if each in hashed and hashed[each] != digest]:
        (planned.folder / torn[0]).unlink()
        raise PullError(f"{planned.offer.hub}: {torn[0]} is not what the hub says it is; the same command fetches it again.")
    if not listed:
        return f"The settings of {planned.offer.hub} are in {planned.folder}."
    if not planned.card and not planned.pipeline:
        digests.add_to_manifest(planned.folder, hashed)
        return (
            f"{planned.offer.hub} is in {planned.folder}. Name it in a table of {listing.name}: a whole model by `where` and `file`, anything else by "
            "what it is (loras, controls, image_adapter, sight)."
        )
    _write(listing, name, _fields(planned, name), hashed)
    return f"{name} is in {planned.folder} and on the shelf ({listing})."


def _check_name(listing: Path, name: str, planned: Plan) -> None:
    """Raises PullError for a name that is no name, or that another model has."""
    if not NAME.fullmatch(name):
        raise PullError(f"{name} is no name for a model: letters, digits, dots and dashes.")
    try:
        tables = read_listing(listing) if listing.is_file() else []
        places = [source_of(whole_card(table), listing.parent, planned.folder.parent).resolve() for table in tables if name_of(table) == name]
    except (EngineError, ValueError) as error:
        raise PullError(f"{listing} has to be put right first: {error}.") from error
    folder = planned.folder.resolve()
    if any(folder not in (place, *place.parents) for place in places):
        raise PullError(f"{listing} has another model called {name}; `--name` gives this one another name.")


def _fields(planned: Plan, name: str) -> dict[str, str]:
    """What a new table says."""
    pinned = "@" in planned.folder.name
    fields = {"name": name if name != planned.card else "", "card": planned.card}
    if not planned.card:
        fields |= {"family": PIPELINES.get(planned.pipeline, ""), "licence": planned.licence, "variant": planned.variant}
    if pinned:
        fields |= {"hub": planned.offer.hub, "where": str(planned.folder.resolve())}
    elif not planned.card:
        fields["where"] = planned.offer.hub
    return {**{key: value for key, value in fields.items() if value}, "revision": planned.offer.commit}


def _write(listing: Path, name: str, fields: dict[str, str], hashed: dict[str, str]) -> None:
    text = listing.read_text(encoding="utf-8") if listing.is_file() else ""
    try:
        text = with_model(text, name, fields, hashed)
    except (CannotEdit, ValueError) as error:
        raise PullError(f"The files are there, but {listing} could not be changed: {error}.") from error
    listing.parent.mkdir(parents=True, exist_ok=True)
    target = listing.resolve()
    beside = target.with_name(f".{target.name}.new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(target)


# ------------------------------------------------------------------------------------------------ timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds a picture, at the model's own size, steps and guidance."""

    alone: float  #: one request at a time
    in_company: float  #: four requests in flight


async def time_it(engine: Engine, name: str, *, pictures: int = 4) -> Timing:
    """Draw one picture to load and warm the model, then `pictures` one after the other, then as many in batches of four. Raises EngineError."""
    can = engine.capabilities(name)
    words = (can.examples or ("a lighthouse at dusk",))[0]

    def request(seed: int) -> ImagineRequest:
        return ImagineRequest(
            model=name, parts=(Part(text=words),), seed=seed, width=can.width, height=can.height, count=1, steps=can.steps, guidance=can.guidance
        )

    async def draw(seed: int) -> None:
        await engine.run(request(seed), {}, lambda progress: None)

    await draw(0)
    begun = time.perf_counter()
    for seed in range(pictures):
        await draw(seed)
    alone = (time.perf_counter() - begun) / pictures
    await asyncio.gather(*map(draw, range(4)))  # once, so that shapes only seen in company are warm, too
    begun = time.perf_counter()
    for first in range(0, pictures, 4):
        await asyncio.gather(*map(draw, range(first, first + 4)))
    return Timing(alone=alone, in_company=(time.perf_counter() - begun) / (4 * -(-pictures // 4)))
