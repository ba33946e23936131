"""A set of jobs as one file: its pictures, a contact sheet of them, and a table of how each was made. Called by `bot.usecases.imagine` and `privacy`."""

from __future__ import annotations

import asyncio
import csv
import io
import zipfile
from collections.abc import Mapping, Sequence

from bot import grid
from bot.cards import frames
from bot.domain import Shown, Status
from bot.ports import Blobs
from engine.api import ImagineRequest

MOST_ON_SHEET = 36  #: pictures; the first of each job first
COLUMNS = ("file", "job", "status", "words", "seed", "width", "height", "model", "steps", "guidance", "credits")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  #: what a spreadsheet would run


async def gathered(blobs: Blobs, members: Sequence[Shown]) -> bytes | None:
    """The zip; None while nothing is drawn. Pictures whose files are gone are left out."""
    files: dict[str, bytes] = {}
    for number, shown in enumerate(members, 1):
        for picture in frames(shown) if shown.job.status is Status.DONE else ():
            try:
                files[_name(number, shown, picture.index)] = await blobs.get(picture.digest)
            except KeyError:
                continue
    return await asyncio.to_thread(_zipped, members, files) if files else None


def _name(number: int, shown: Shown, index: int) -> str:
    return f"{number:03d}-{index + 1}-{shown.job.id}.png"


def _zipped(members: Sequence[Shown], files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:  # pictures are compressed already
        for name, data in files.items():
            archive.writestr(name, data)
        if len(files) > 1:
            archive.writestr("contact-sheet.png", grid.contact(list(files.values())[:MOST_ON_SHEET]).data)
        archive.writestr("pictures.csv", table(members, files).encode("utf-8-sig"))
    return out.getvalue()


def table(members: Sequence[Shown], files: Mapping[str, bytes]) -> str:
    """One line a picture, and one a job that has none."""
    out = io.StringIO()
    lines = csv.writer(out)
    lines.writerow(COLUMNS)
    for number, shown in enumerate(members, 1):
        job, request = shown.job, shown.job.request
        made = [request.steps, request.guidance] if isinstance(request, ImagineRequest) else ["", ""]
        for each in frames(shown) or (None,):
            name = _name(number, shown, each.index) if each else ""
            size = [each.seed, each.width, each.height] if each else [request.seed, "", ""]
            lines.writerow([name if name in files else "", job.id, job.status.value, _harmless(job.words), *size, request.model, *made, job.cost])
    return out.getvalue()


def _harmless(words: str) -> str:
    """Words that a spreadsheet takes for words."""
    return f"'{words}" if words.startswith(_FORMULA) else words
