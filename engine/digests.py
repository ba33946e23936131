"""SHA-256 of a model's files: against a list, and remembered, so that twelve gigabytes are not read again at every start. Used by `engine.entry`."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

from engine.api import ModelCorrupt, ModelMissing

MANIFEST = "MANIFEST.sha256"
#: A file that changed less than this before it was hashed might change again within the same tick of the file system's clock: not remembered. Nanoseconds.
_SETTLED = 2_000_000_000


def read_manifest(folder: Path) -> dict[Path, str]:
    """Files and the digests `MANIFEST.sha256` gives them (lines as `sha256sum` prints them); prose (`*.md`) is left out. Raises ModelCorrupt."""
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return {}
    lines = (line.strip().partition(" ") for line in manifest.read_text(encoding="utf-8").splitlines())
    named = {name.strip().removeprefix("*"): digest for digest, _, name in lines}
    return {inside(folder, name): digest for name, digest in named.items() if name and not name.endswith(".md")}


def add_to_manifest(folder: Path, hashed: Mapping[str, str]) -> None:
    """Write digests of files of the folder into its manifest, beside those of other files it gives."""
    kept = {str(path.relative_to(folder)): digest for path, digest in read_manifest(folder).items()}
    lines = (f"{digest}  {name}\n" for name, digest in sorted({**kept, **hashed}.items()))
    (folder / MANIFEST).write_text("".join(lines), encoding="utf-8")


def manifest_of(path: Path) -> dict[Path, str]:
    """What a manifest gives for a folder, or, in a folder or two above, for one file. Raises ModelCorrupt."""
    if path.is_dir():
        return read_manifest(path)
    near = next((folder for folder in path.parents[:2] if (folder / MANIFEST).is_file()), None)
    return {file: digest for file, digest in read_manifest(near).items() if file == path} if near else {}


def inside(folder: Path, name: str) -> Path:
    """A file of the folder. Raises ModelCorrupt for a name that leads out of it."""
    if not (folder / name).resolve().is_relative_to(folder.resolve()):
        raise ModelCorrupt(f"a digest is given for a file outside the model: {name}")
    return folder / name


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Memory:
    """Digests by the file's place, size, times and inode, in a small JSON file. Whatever cannot be read or written is only not remembered."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def digest(self, path: Path, *, fresh: bool = False) -> str:
        """The file's SHA-256; `fresh` reads the file whatever is remembered. Blocking."""
        stamp, known = _stamp(path), self._read()
        held = known.get(key := str(path.resolve()))
        if not fresh and isinstance(held, list) and held[:-1] == stamp and isinstance(held[-1], str):
            return held[-1]
        digest = sha256(path)
        if _stamp(path) == stamp and time.time_ns() - stamp[1] > _SETTLED:
            self._write(key, [*stamp, digest])
        return digest

    def _read(self) -> dict[str, object]:
        if self._path is None:
            return {}
        try:
            known = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def _write(self, key: str, value: object) -> None:
        if self._path is None:
            return
        beside = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            beside.write_text(json.dumps({**self._read(), key: value}, indent=1), encoding="utf-8")
            beside.replace(self._path)


def _stamp(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def check(path: Path, name: str, digests: Mapping[Path, str], memory: Memory, *, fresh: bool = False) -> None:
    """Hold one file against its digest. Raises ModelMissing, ModelCorrupt."""
    if not path.is_file():
        raise ModelMissing(f"{name} is not there")
    if memory.digest(path, fresh=fresh) != digests[path].lower():
        raise ModelCorrupt(f"{name} is not what its digest says")
