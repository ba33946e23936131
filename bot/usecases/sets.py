"""A set of jobs as one file: its pictures, a contact sheet of them, and a table of how each was made. Called by `bot.usecases.imagine` and `privacy`."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Collection, Sequence

from bot import grid
from bot.cards import frames
from bot.domain import Shown, Status
from bot.errors import Refused
from bot.exports import Archive
from bot.ports import Blobs
from engine.api import ImagineRequest

MOST_ON_SHEET = 36  #: pictures; the first of each job first
COLUMNS = ("file", "job", "status", "words", "seed", "width", "height", "model", "steps", "guidance", "credits")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  #: what a spreadsheet would run


async def gathered(blobs: Blobs, members: Sequence[Shown], archive: Archive) -> None:
    """Write the zip, a picture at a time. Pictures whose files are gone are left out. Raises Refused while nothing is drawn."""
    files: list[str] = []
    on_sheet: list[bytes] = []
    for number, shown in enumerate(members, 1):
        for picture in frames(shown) if shown.job.status is Status.DONE else ():
            try:
                data = await blobs.get(picture.digest)
            except KeyError:
                continue
            files.append(_name(number, shown, picture.index))
            await archive.add(files[-1], data)
            if len(on_sheet) < MOST_ON_SHEET:
                on_sheet.append(data)
    if not files:
        raise Refused("refused.nothing_drawn_yet")
    if len(files) > 1:
        await archive.add("contact-sheet.png", (await asyncio.to_thread(grid.contact, on_sheet)).data)
    await archive.add("pictures.csv", table(members, files).encode("utf-8-sig"))


def _name(number: int, shown: Shown, index: int) -> str:
    return f"{number:03d}-{index + 1}-{shown.job.id}.png"


def table(members: Sequence[Shown], files: Collection[str]) -> str:
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
