"""Writing into the operator's `models.toml` without losing a word of theirs. Pure text in, text out; used by `bot.models`."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping

from engine.shelf import name_of

_MODEL = re.compile(r"\s*\[\[\s*model\s*\]\]")
_TABLE = re.compile(r"\s*\[")
_DIGESTS = re.compile(r"\s*\[\s*model\s*\.\s*sha256\s*\]")


class CannotEdit(Exception):
    """The file is written in a way this module does not change safely; nothing was changed."""


def with_model(text: str, name: str, fields: Mapping[str, str], digests: Mapping[str, str]) -> str:
    """The text with what was fetched written into the table called `name`, or into a new one at the end.

    A table that is there keeps its own words, order and remarks: only its `revision` and its digests change. What comes out is read again and must say exactly
    what was meant. Raises CannotEdit, and tomllib.TOMLDecodeError for a text that is no TOML to begin with.
    """
    tables = tomllib.loads(text).get("model", [])
    places = [number for number, table in enumerate(tables) if name_of(table) == name]
    if places:
        (place, *_) = places
        changed = {**tables[place], "revision": fields["revision"], "sha256": dict(digests)}
        wanted = [*tables[:place], changed, *tables[place + 1 :]]
        edited = _changed(text, place, fields["revision"], digests)
    else:
        wanted = [*tables, {**fields, "sha256": dict(digests)}]
        edited = text + ("\n" if text and not text.endswith("\n") else "") + ("\n" if text.strip() else "") + "\n".join(_table(fields, digests)) + "\n"
    try:
        if tomllib.loads(edited).get("model") == wanted:
            return edited
    except tomllib.TOMLDecodeError:
        pass
    raise CannotEdit(f"the table of {name} is written in a way that is left to its author")


def _table(fields: Mapping[str, str], digests: Mapping[str, str]) -> list[str]:
    return ["[[model]]", *(f"{key} = {_quoted(value)}" for key, value in fields.items()), *_digest_lines(digests)]


def _digest_lines(digests: Mapping[str, str]) -> list[str]:
    return ["[model.sha256]", *(f"{_quoted(name)} = {_quoted(digest)}" for name, digest in digests.items())]


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _changed(text: str, place: int, revision: str, digests: Mapping[str, str]) -> str:
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if _MODEL.match(line)]
    if place >= len(starts):
        raise CannotEdit("its tables do not begin with [[model]] on a line of their own")
    start = starts[place]
    end = next((each for each in starts[place + 1 :]), len(lines))
    own = [line for line in _without_digests(lines[start:end]) if not re.match(r"\s*sha256\s*=", line)]
    written = f"revision = {_quoted(revision)}"
    had = [number for number, line in enumerate(own) if re.match(r"\s*revision\s*=", line)]
    own[had[0] if had else 1 : had[0] + 1 if had else 1] = [written]
    last = max(number for number, line in enumerate(own) if line.strip() and not line.lstrip().startswith("#"))
    own[last + 1 : last + 1] = _digest_lines(digests)
    return "\n".join([*lines[:start], *own, *lines[end:]]) + "\n"


def _without_digests(lines: list[str]) -> list[str]:
    """A table's lines less the digests it had; remarks among them stay."""
    kept: list[str] = []
    inside = False
    for line in lines:
        if _TABLE.match(line):
            inside = bool(_DIGESTS.match(line))
        if not inside or not line.strip() or line.lstrip().startswith("#"):
            kept.append(line)
    return kept
