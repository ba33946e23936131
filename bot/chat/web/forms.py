"""Reads what a page posts: fields and pictures, streamed, with a limit that is kept while reading. Called by `bot.chat.web.pages`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import BodyPartReader, web

from bot.domain import Upload

MAX_FIELD = 64 * 1024  #: bytes of one text field
MAX_FIELDS = 64
MAX_UPLOADS = 5
Role = Literal["image", "style", "sketch", "mask", "list"]
ROLES: Mapping[str, Role] = {"image": "image", "style": "style", "sketch": "sketch", "mask": "mask", "list": "list"}
LISTS = (".txt", ".csv")  #: endings of files that hold prompts
#: Bytes over the limit that are still read before answering: a browser that is cut off while sending shows its own error page, not our sentence.
PATIENCE = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    fields: Mapping[str, str] = field(default_factory=dict)
    uploads: tuple[Upload, ...] = ()

    def get(self, name: str) -> str:
        """A field's text, or empty."""
        return self.fields.get(name, "")


class TooLarge(Exception):
    """What was posted exceeds the limit; nothing of it is kept."""


class TooMany(Exception):
    """More than MAX_UPLOADS files; nothing of them is kept."""


def role_of(field_name: str, file_name: str, chosen: str) -> Role:
    """What a file is for: what its field says (``file.sketch``), else its ending, else what was chosen for all of them."""
    if field_name.startswith("file."):
        return ROLES.get(field_name.removeprefix("file."), "image")
    if file_name.lower().endswith(LISTS):
        return "list"
    return ROLES.get(chosen, "image")


async def read(request: web.Request, max_upload: int) -> Posted:
    """Fields and files of a form post (either encoding). `max_upload` bounds all files together, in bytes.

    Raises TooLarge, TooMany, and HTTPBadRequest for a body that is no form.
    """
    kind = request.content_type
    if kind not in ("multipart/form-data", "application/x-www-form-urlencoded"):
        raise web.HTTPUnsupportedMediaType
    if (request.content_length or 0) > max_upload + PATIENCE:
        raise TooLarge
    if kind == "application/x-www-form-urlencoded":
        try:
            posted = await request.post()
        except web.HTTPRequestEntityTooLarge:
            raise TooLarge from None
        return Posted(fields={name: value for name, value in posted.items() if isinstance(value, str)})
    try:
        return await _multipart(request, max_upload)
    except ValueError:
        await _drain(request)
        raise web.HTTPBadRequest from None
    except (TooLarge, TooMany):
        await _drain(request)
        raise


async def _multipart(request: web.Request, max_upload: int) -> Posted:
    fields: dict[str, str] = {}
    files: list[tuple[str, str, bytes]] = []
    room = max_upload
    parts = 0
    reader = await request.multipart()
    while (part := await reader.next()) is not None:
        parts += 1
        if parts > MAX_FIELDS or not isinstance(part, BodyPartReader) or part.name is None:
            raise ValueError("too many parts, or nested ones")
        if part.filename is None:
            fields[part.name] = (await _read(part, MAX_FIELD)).decode("utf-8", "replace")
            continue
        data = await _read(part, room)
        room -= len(data)
        if data:
            files.append((part.name, part.filename[:200], data))
        if len(files) > MAX_UPLOADS:
            raise TooMany
    chosen = fields.get("role", "")
    return Posted(fields=fields, uploads=tuple(Upload(name=name, data=data, role=role_of(where, name, chosen)) for where, name, data in files))


async def _read(part: BodyPartReader, limit: int) -> bytes:
    data = bytearray()
    while chunk := await part.read_chunk():
        data += chunk
        if len(data) > limit:
            raise TooLarge
    return bytes(data)


async def _drain(request: web.Request) -> None:
    left = PATIENCE
    while left > 0 and (chunk := await request.content.readany()):
        left -= len(chunk)
