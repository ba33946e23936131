"""Files that members of the scripts send along: lists of prompts lie beside the scripts, pictures are painted after their names. Used by the stages."""

from __future__ import annotations

from pathlib import Path

from tests.fakes.studio import paint

FOLDER = Path(__file__).parent / "conversations" / "files"
KINDS = {"png": "image/png", "txt": "text/plain", "csv": "text/csv"}
File = tuple[str, bytes]  #: its name, and what is in it


def file(name: str) -> File:
    """The same name is always the same file."""
    kept = FOLDER / name
    return name, kept.read_bytes() if kept.exists() else paint(sum(name.encode()))


def kind_of(name: str) -> str:
    return KINDS[name.rpartition(".")[2]]
