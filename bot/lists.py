"""The wildcard lists an operator offers (`__animal__`): text files, an entry a line, and the words the default model knows. Read at start by `bot.app`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import structlog

from engine.api import Capabilities

log = structlog.get_logger(__name__)

MOST_ENTRIES = 10_000
#: A model's words under the name they have in a prompt.
NAMES = {"things": "thing", "places": "place", "styles": "style", "colours": "colour"}


def of_model(can: Capabilities) -> dict[str, tuple[str, ...]]:
    """Lists of what the model draws: `__thing__`, `__place__`, `__style__`, `__colour__`."""
    return {name: tuple(can.words[kind]) for kind, name in NAMES.items() if can.words.get(kind)}


def of_folder(folder: Path) -> Mapping[str, tuple[str, ...]]:
    """A list for each ``NAME.txt``: UTF-8, an entry a line, empty lines and those after a ``#`` left out. What cannot be read is logged and left out."""
    found: dict[str, tuple[str, ...]] = {}
    for path in sorted(folder.glob("*.txt")) if folder.is_dir() else ():
        try:
            lines = (line.strip() for line in path.read_text("utf-8-sig").splitlines())
        except (OSError, UnicodeDecodeError) as error:
            log.warning("lists.unreadable", file=path.name, reason=str(error))
            continue
        if entries := tuple(line for line in lines if line and not line.startswith("#"))[:MOST_ENTRIES]:
            found[path.stem.casefold()] = entries
    return found
