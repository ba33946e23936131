"""Backups: database and pictures together in one file, and back again, from SQLite or Postgres into either. Called by `bot.backup_cli`.

The file is a zip that any tool opens: ``tables/<name>.jsonl`` (a row a line), ``blobs/<sha256>`` (pictures), ``secret.key`` and ``signing/`` where they were
asked for, and last ``manifest.json``, with the schema's revision and the sha256 of every other member. The archive's comment seals it: the sha256 of all
bytes before the comment, so that a file that was cut short or changed anywhere is known before anything is touched.

Whoever was forgotten after a backup was made is forgotten again when it is restored, before anybody sees it: `bot.store.forgotten` keeps the list beside the
database, and a backup has the one of its day.

The bot may run meanwhile. The database is read as it is at one moment, and the pictures it names after that: a job's pictures are on the disk before its
row says so, so they are there, unless a member deleted them in between. Such are listed as missing.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import zipfile
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from bot import __version__
from bot.store import copying, dialect, forgotten, housekeeping
from bot.store.blobs import DiskBlobs
from bot.store.lock import LOCK_NAME, DirectoryLock

FORMAT = 1
MANIFEST, SECRET, BLOBS = "manifest.json", "secret.key", "blobs/"
SIGNING = ("signing/authority.pem", "signing/leaf.pem")  #: what pictures are signed with, where the bot made it itself (`bot.provenance`)
_SEAL = hashlib.sha256().digest_size * 2  # characters
_PIECE = 2**20  # bytes hashed at once
_LARGEST_MANIFEST = 2**28  # bytes: some million pictures


class BackupError(Exception):
    """Why nothing was done; a sentence for the operator."""


class TableThere(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    columns: list[str]
    rows: int


class Manifest(BaseModel):
    """What a backup says of itself."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    format: int
    program: str  #: the version of Word Up! that made it
    revision: str  #: the schema's
    database: str  #: "sqlite" or "postgresql": where it comes from, which does not matter for where it goes
    made: datetime
    moment: datetime | None = None  #: before the rows were read; None where an older program made it
    tables: dict[str, TableThere]
    files: dict[str, str]  #: sha256 by member
    missing: list[str] = []  #: digests of pictures the database names and the disk did not have (whole) any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What was done."""

    manifest: Manifest
    size: int  #: bytes, of the file
    again: int = 0  #: members who were forgotten after it was made, and again now

    @classmethod
    def of(cls, file: Path, manifest: Manifest, again: int = 0) -> Summary:
        return cls(manifest=manifest, size=file.stat().st_size, again=again)

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.manifest.tables.values())

    @property
    def pictures(self) -> int:
        return sum(name.startswith(BLOBS) for name in self.manifest.files)

    @property
    def secret(self) -> bool:
        return SECRET in self.manifest.files


# ------------------------------------------------------------------------------------------------ out


async def backup(target: Path, url: str, data_dir: Path, *, with_secret: bool = False) -> Summary:
    """Write everything to `target`, which appears only when it is whole. `url`: the database; `data_dir`: where ``blobs`` and ``secret.key`` lie.

    Raises BackupError, Fault for an outage of the database, OSError.
    """
    _must_be_there(url)
    with _appearing(target) as beside:
        manifest = await _write(beside, url, data_dir, with_secret)
    return Summary.of(target, manifest)


def _must_be_there(url: str) -> None:
    file = dialect.sqlite_file(dialect.parse_url(url))
    if file is not None and not file.exists():
        raise BackupError(f"There is no database at {file}.")


@contextmanager
def _appearing(target: Path) -> Iterator[Path]:
    """A file to write, only its owner's to read; it is sealed and takes the name `target` when nothing was raised. Raises BackupError when there is one."""
    if target.exists():
        raise BackupError(f"{target} is there already; nothing was written.")
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    os.close(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        yield beside
        _seal(beside)
        if target.exists():
            raise BackupError(f"{target} has appeared meanwhile; nothing was written.")
        beside.replace(target)
        _fsync(target.parent)
    finally:
        beside.unlink(missing_ok=True)


async def _write(beside: Path, url: str, data_dir: Path, with_secret: bool) -> Manifest:
    files: dict[str, str] = {}
    missing: list[str] = []
    moment = datetime.now(UTC)
    with zipfile.ZipFile(beside, "w") as archive:
        revision, tables, digests = await copying.at_one_moment(url, lambda connection: _rows(archive, connection, files), beside.parent)
        async with _blobs(data_dir) as blobs:
            for digest in sorted(digests):
                try:
                    _add(archive, files, BLOBS + digest, await blobs.get(digest))
                except KeyError:
                    missing.append(digest)
        with suppress(FileNotFoundError):
            _add(archive, files, forgotten.FILE, (data_dir / forgotten.FILE).read_bytes())
        if with_secret:
            try:
                _add(archive, files, SECRET, (data_dir / SECRET).read_bytes())
            except FileNotFoundError:
                raise BackupError(f"There is no {SECRET} in {data_dir}.") from None
            for name in SIGNING:
                with suppress(FileNotFoundError):
                    _add(archive, files, name, (data_dir / name).read_bytes())
        manifest = Manifest(
            format=FORMAT,
            program=__version__,
            revision=revision,
            database=dialect.parse_url(url).get_backend_name(),
            made=datetime.now(UTC),
            moment=moment,
            tables=tables,
            files=files,
            missing=missing,
        )
        archive.writestr(_member(MANIFEST), manifest.model_dump_json(indent=1), zipfile.ZIP_DEFLATED)
        archive.comment = b"0" * _SEAL
    return manifest


def _rows(archive: zipfile.ZipFile, connection: Connection, files: dict[str, str]) -> tuple[str, dict[str, TableThere], set[str]]:
    """Every row into the archive. Returns the revision, what tables there are, and the digests of the pictures they name."""
    revision = copying.revision_of(connection)
    if revision is None:
        raise BackupError("The database is empty; there is nothing to keep.")
    if revision not in copying.revisions():
        raise BackupError(f"The database was written by a newer Word Up! (revision {revision}), which can back it up.")
    tables: dict[str, TableThere] = {}
    digests: set[str] = set()
    for table in copying.tables_of(connection):
        columns = [column.name for column in table.columns]
        picture = columns.index("digest") if "digest" in columns else None
        name, count, hashed = f"tables/{table.name}.jsonl", 0, hashlib.sha256()
        with archive.open(_member(name, zipfile.ZIP_DEFLATED), "w", force_zip64=True) as member:
            for row in copying.rows_of(connection, table):
                line = json.dumps(row, separators=(",", ":")).encode() + b"\n"
                hashed.update(line)
                member.write(line)
                count += 1
                if picture is not None:
                    digests.add(row[picture])
        tables[table.name] = TableThere(columns=columns, rows=count)
        files[name] = hashed.hexdigest()
    return revision, tables, digests


def _member(name: str, compression: int = zipfile.ZIP_STORED) -> zipfile.ZipInfo:
    """Without a time: the manifest has it."""
    info = zipfile.ZipInfo(name)
    info.compress_type, info.external_attr = compression, 0o600 << 16
    return info


def _add(archive: zipfile.ZipFile, files: dict[str, str], name: str, data: bytes) -> None:
    archive.writestr(_member(name), data)
    files[name] = hashlib.sha256(data).hexdigest()


def _seal(file: Path) -> None:
    """Put the digest of all the rest into the comment, the last bytes of a zip; then all of it is on the disk."""
    with file.open("r+b") as opened:
        seal = _digest_before_the_seal(file)
        opened.seek(-_SEAL, os.SEEK_END)
        opened.write(seal.encode())
        opened.flush()
        os.fsync(opened.fileno())


# ------------------------------------------------------------------------------------------------ back


async def restore(source: Path, url: str, data_dir: Path, *, force: bool = False) -> Summary:
    """Put a backup back. `force`: even where something is already, whose database is replaced; files of pictures are only added to.

    The whole file is verified before anything is written, and the database is replaced at once, after the pictures are there: when something fails on
    the way, what was there is there still. ``forgotten.txt``, and ``secret.key`` where the backup has none, may lie there already: by them those are known
    who were forgotten since. Raises BackupError, Fault for an outage or when a bot is running, OSError.
    """
    manifest = verified(source)
    file = dialect.sqlite_file(dialect.parse_url(url))
    with ExitStack() as stack:
        for folder in sorted({each.absolute() for each in (data_dir, file.parent if file else data_dir)}):
            lock = DirectoryLock(folder)
            lock.acquire()
            stack.callback(lock.release)
        welcome = {LOCK_NAME, forgotten.FILE} | (set() if SECRET in manifest.files else {SECRET})
        if not force and (set(os.listdir(data_dir)) - welcome or not await copying.is_empty(url)):
            raise BackupError(f"There is something in {data_dir} or in the database. Nothing was restored; --force puts the backup in its place.")
        archive = stack.enter_context(zipfile.ZipFile(source))
        purge = _Purge(archive, manifest, data_dir)
        async with _blobs(data_dir) as blobs:
            for name in manifest.files:
                if name.startswith(BLOBS):
                    await blobs.put(archive.read(name))
            try:
                await copying.replace_all(url, manifest.revision, lambda name: (manifest.tables[name].columns, _lines(archive, name)), purge)
            except copying.InUse:
                raise BackupError("Somebody is connected to the database. Stop the bot and whatever else is, and try again.") from None
            await blobs.delete(purge.gone)
        for name in (SECRET, *SIGNING):
            if name in manifest.files:
                _write_secret(data_dir / name, archive.read(name))
        if purge.list:
            _write_secret(data_dir / forgotten.FILE, purge.list)
    return Summary.of(source, manifest, purge.count)


class _Purge:
    """Forgets again, in what is being restored, who was forgotten after the backup was made."""

    def __init__(self, archive: zipfile.ZipFile, manifest: Manifest, data_dir: Path) -> None:
        """Raises BackupError where they could not be told from others."""
        there = data_dir / forgotten.FILE
        lists = [archive.read(forgotten.FILE)] if forgotten.FILE in manifest.files else []
        lists += [there.read_bytes()] if there.exists() else []
        everybody = forgotten.read(b"\n".join(lists))
        self.list = forgotten.written(everybody.items())  #: the file as it is from now on
        self._names = frozenset(name for name, when in everybody.items() if when >= (manifest.moment or manifest.made))
        key = data_dir / SECRET
        # The one that holds from now on is the first; the list was made with the one that held until now.
        self._secrets = [archive.read(SECRET)] if SECRET in manifest.files else []
        self._secrets += [key.read_bytes()] if key.exists() else []
        if self._names and not self._secrets:
            raise BackupError(
                f"{len(self._names)} members were forgotten after {archive.filename} was made. They are known by {SECRET} alone: put it into {data_dir} before."
            )
        self._digests = [name.removeprefix(BLOBS) for name in manifest.files if name.startswith(BLOBS)]
        self.count = 0
        self.gone: frozenset[str] = frozenset()  #: digests of pictures that nobody needs any more

    async def __call__(self, db: AsyncConnection) -> None:
        """In the transaction that restores."""
        if self._names:
            self.count = await forgotten.forget_again(db, self._names, self._secrets)
        if self.count:
            self.gone = frozenset(self._digests) - await housekeeping.referenced(db, self._digests)


def verified(source: Path) -> Manifest:
    """Read and hash all of a backup. Raises BackupError for one that is not whole, or not one; OSError."""
    damaged = BackupError(f"{source} is damaged, or is no backup of Word Up!. Nothing was restored.")
    with source.open("rb") as opened:
        opened.seek(max(0, source.stat().st_size - _SEAL))
        if opened.read() != _digest_before_the_seal(source).encode():
            raise damaged
    try:
        with zipfile.ZipFile(source) as archive:
            if archive.getinfo(MANIFEST).file_size > _LARGEST_MANIFEST:
                raise damaged
            manifest = Manifest.model_validate_json(archive.read(MANIFEST))
            if manifest.format > FORMAT or manifest.revision not in copying.revisions():
                raise BackupError(f"{source} was made by a newer Word Up! ({manifest.program}). Nothing was restored.")
            if sorted(archive.namelist()) != sorted([*manifest.files, MANIFEST]) or {f"tables/{name}.jsonl" for name in manifest.tables} - set(manifest.files):
                raise damaged
            for name, expected in manifest.files.items():
                with archive.open(name) as member:
                    found = hashlib.file_digest(member, "sha256").hexdigest()  # type: ignore[arg-type]
                if found != expected or (name.startswith(BLOBS) and name != BLOBS + found):
                    raise damaged
    except (zipfile.BadZipFile, zlib.error, KeyError, ValidationError, EOFError, NotImplementedError) as error:
        raise damaged from error
    return manifest


def _lines(archive: zipfile.ZipFile, table: str) -> Iterable[list[Any]]:
    with archive.open(f"tables/{table}.jsonl") as member:
        for line in member:
            yield json.loads(line)


def _digest_before_the_seal(file: Path) -> str:
    hashed, left = hashlib.sha256(), max(0, file.stat().st_size - _SEAL)
    with file.open("rb") as opened:
        while left and (piece := opened.read(min(_PIECE, left))):
            hashed.update(piece)
            left -= len(piece)
    return hashed.hexdigest()


def _write_secret(file: Path, secret: bytes) -> None:
    file.parent.mkdir(mode=0o700, exist_ok=True)
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as opened:
        opened.write(secret)
        opened.flush()
        os.fsync(opened.fileno())
    beside.replace(file)
    _fsync(file.parent)


@asynccontextmanager
async def _blobs(data_dir: Path) -> AsyncIterator[DiskBlobs]:
    blobs = DiskBlobs(data_dir / "blobs")
    try:
        yield blobs
    finally:
        blobs.close()


def _fsync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
