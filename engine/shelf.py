"""The models at hand, read without torch: the operator's `models.toml`, model folders with a `card.toml`, and the one that ships with the program.

Used by `engine.local`, and by anything that lists models. A card's fields are told in `engine.card`, a model's files in `engine.entry`; docs/models.md is the
operator's page. What is wrong with one model is its own problem: the others go on.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine import card as cards
from engine.abilities import SCHEDULERS as SCHEDULERS
from engine.api import COMMERCIAL, Capabilities, EngineError, ModelCorrupt, ModelForbidden, ModelMissing
from engine.entry import Entry as Entry
from engine.entry import build

#: The model that ships with the package.
POCKET = Path(__file__).parent / "pocket"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
#: What a model may be called.
NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, slots=True)
class Shelf:
    """The models, the default first."""

    entries: tuple[Entry, ...]
    problems: Mapping[str, EngineError] = field(default_factory=dict)  #: why a model is not on the shelf, by its name or its folder
    absent: tuple[Entry, ...] = ()  #: models whose card could be read and whose files cannot be used; `problems` says why, by name

    @classmethod
    def open(
        cls,
        folders: Sequence[Path] = (),
        *,
        listing: Path | None = None,
        store: Path | None = None,
        default: str | None = None,
        pocket: bool = True,
        commercial: bool = False,
    ) -> Shelf:
        """Read the cards in `folders` (each a model, or a directory of models), then those of `listing`, then the one that ships with the package.

        `listing` is a `models.toml` (there need not be one yet); `store` is where pulled models lie (`models` beside it when None). The first model is the
        default unless `default` names another. `commercial`: money is earned with them, so models whose card refuses that are left out. Reads cards and the
        headers of listed weights, no weights.
        """
        entries: dict[str, Entry] = {}
        problems: dict[str, EngineError] = {}
        absent: list[Entry] = []
        for folder in folders:
            _take_folder(folder, entries, problems)
        if listing is not None and listing.is_file():
            _take_listing(listing, store or listing.parent / "models", entries, problems, absent)
        if pocket:
            _take_folder(POCKET, entries, problems)
        for name in [name for name, entry in entries.items() if commercial and COMMERCIAL in entry.can.refuses]:
            problems[name] = ModelForbidden(f"{name} is not offered: its licence forbids commercial use, and WORDUP_COMMERCIAL says that money is earned here")
            absent.append(entries.pop(name))
        first = [default] if default in entries else []
        if default is not None and not first and default not in problems:
            problems[default] = ModelMissing(f"{default} is not on the shelf")
        return cls(tuple(entries[name] for name in dict.fromkeys([*first, *entries]) if name is not None), problems, tuple(absent))

    def entry(self, model: str) -> Entry:
        """Raises ModelMissing."""
        for entry in self.entries:
            if entry.can.model == model:
                return entry
        raise ModelMissing(f"{model} is not on the shelf")

    def models(self) -> tuple[Capabilities, ...]:
        return tuple(entry.can for entry in self.entries)


def _take_folder(folder: Path, entries: dict[str, Entry], problems: dict[str, EngineError]) -> None:
    for model in _models_in(folder):
        try:
            entry = read_entry(model)
        except EngineError as error:
            problems[str(model)] = error
        else:
            entries.setdefault(entry.can.model, entry)


def _models_in(folder: Path) -> list[Path]:
    if (folder / "card.toml").is_file() or not folder.is_dir():
        return [folder]
    return sorted(path.parent for path in folder.glob("*/card.toml")) or [folder]


def read_entry(folder: Path) -> Entry:
    """Read a model folder's own card. Raises ModelMissing when there is none, ModelCorrupt when it makes no sense."""
    try:
        table = tomllib.loads((folder / "card.toml").read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelMissing(f"{folder.name}: no card.toml can be read in {folder}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ModelCorrupt(f"{folder.name}: card.toml: {error}") from error
    try:
        card = cards.read_table(table, strict=False)
        return build(card, folder, name=card.get("name", folder.name), base=folder, find=functools.partial(locate, base=folder, store=folder.parent))
    except ModelCorrupt as error:
        raise ModelCorrupt(f"{folder.name}: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ModelCorrupt(f"{folder.name}: card.toml: {type(error).__name__}: {error}") from error


def read_listing(listing: Path) -> list[dict[str, Any]]:
    """The `[[model]]` tables of a models.toml, as written. Raises ModelCorrupt."""
    try:
        tables = tomllib.loads(listing.read_text(encoding="utf-8")).get("model", [])
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ModelCorrupt(f"{listing}: {error}") from error
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ModelCorrupt(f"{listing}: a model is a table that begins with [[model]]")
    return tables


def name_of(table: cards.Table) -> str:
    """What a `[[model]]` table calls its model: its name, its card's, or the last part of where it lies. Empty when it has none of them."""
    where = str(table.get("where", "")).rstrip("/").rpartition("/")[2]
    return str(table.get("name") or table.get("card") or where.removesuffix(".safetensors").lower())


def _take_listing(listing: Path, store: Path, entries: dict[str, Entry], problems: dict[str, EngineError], absent: list[Entry]) -> None:
    try:
        tables = read_listing(listing)
    except EngineError as error:
        problems[str(listing)] = error
        return
    seen: set[str] = set()
    for number, table in enumerate(tables, start=1):
        name = name_of(table)
        key = name or f"{listing.name}: model {number}"
        entry = None
        try:
            if not NAME.fullmatch(name):
                raise ModelCorrupt(f"{key}: a model's name is letters, digits, dots and dashes")
            if name in seen:
                raise ModelCorrupt(f"{listing.name} has two models called {name}; give one of them another name")
            seen.add(name)
            entry = read_model(table, listing, store)
            if not entry.source.exists():
                raise ModelMissing(f"{name}: {missing(table, entry.source)}")
            for fault in entry.faults(hashing=False):
                raise fault
        except EngineError as error:
            problems[key] = error
            absent += [entry] if entry else []
        else:
            entries.setdefault(name, entry)


def read_model(table: cards.Table, listing: Path, store: Path) -> Entry:
    """The entry of one `[[model]]` table. Raises ModelMissing, ModelCorrupt, whose sentences begin with its name."""
    name, base = name_of(table), listing.parent
    try:
        card = whole_card(table)
        source = source_of(card, base, store)
        beside = source / "card.toml"
        if beside.is_file():
            card = cards.layered(cards.read_table(tomllib.loads(beside.read_text(encoding="utf-8")), strict=False), card)
        if not source.exists() and "family" not in card:
            raise ModelMissing(missing(card, source))
        find = functools.partial(locate, base=base, store=store)
        return build(card, source, name=name, base=base, find=find, listed=True, remembered=listing.with_name(f"{listing.stem}.verified.json"))
    except EngineError as error:
        raise type(error)(f"{name}: {error}") from error
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ModelCorrupt(f"{name}: {error}") from error


def whole_card(table: cards.Table) -> dict[str, Any]:
    """A `[[model]]` table laid over the shipped card it names. Raises ModelCorrupt, ValueError."""
    own = cards.read_table(table)
    kind = own.get("card")
    if kind is not None and kind not in cards.shipped():
        raise ValueError(f"card {kind!r} does not ship with the program; `wordup models list --cards` shows those that do")
    return cards.layered(cards.shipped()[kind] if kind else {}, own)


def source_of(card: cards.Table, base: Path, store: Path) -> Path:
    """Where a card's model lies: where it says, or where `wordup models pull` puts what its `hub` names. Raises ValueError, ModelCorrupt."""
    where = card.get("where") or card.get("hub")
    if not where:
        raise ValueError("where is not given: a folder, a .safetensors file, or a hub id")
    source = locate(where, base=base, store=store)
    return source / card["file"] if card.get("file") and source.suffix != ".safetensors" else source


def locate(where: str, *, base: Path, store: Path) -> Path:
    """The place a card means: a path (relative to `base`), or a hub id, which `wordup models pull` puts under `store`. Raises ModelCorrupt for a link."""
    if "://" in where:
        raise ModelCorrupt(f"{where} is a link; name a folder or a file here, or a hub id that `wordup models pull` has fetched")
    path = base / Path(where).expanduser()
    return store / hub_folder(where) if HUB_ID.fullmatch(where) and not path.exists() else path


def hub_folder(hub: str) -> str:
    """What the folder of a pulled repository is called."""
    return hub.replace("/", "--")


def missing(card: cards.Table, source: Path) -> str:
    """The sentence for a model that is not there."""
    pull = card.get("card") or card.get("hub") or (card["where"] if HUB_ID.fullmatch(str(card.get("where", ""))) else "")
    return f"{source} is not there" + (f"; `wordup models pull {pull}` fetches it" if pull else "")
