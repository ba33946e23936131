"""The terminal as a chat: shows the cards of jobs asked for by `wordup imagine`, in this process, and writes what was drawn into files."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Callable, Mapping
from pathlib import Path

from PIL import Image

from bot.domain import CLIP, GRID, Card, Receipt, ReplyTo
from bot.ports import Studio


class TerminalAdapter:
    """Keeps the latest card of a job and wakes whoever waits for its end."""

    platform = "terminal"

    def __init__(self, on_progress: Callable[[Card], None] = lambda card: None) -> None:
        self._on_progress = on_progress
        self._ended: dict[str, asyncio.Future[Card]] = {}

    def _future(self, job_id: str) -> asyncio.Future[Card]:
        return self._ended.setdefault(job_id, asyncio.get_running_loop().create_future())

    async def end(self, job_id: str) -> Card:
        """The job's last card, once it has ended."""
        return await self._future(job_id)

    async def start(self, studio: Studio) -> None: ...

    async def pause(self) -> None: ...

    async def show(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None) -> Receipt | None:
        future = self._future(card.job_id)
        if not future.done():
            future.set_result(card)
        return Receipt(platform=self.platform, channel="", handle=card.job_id)

    async def progress(self, reply_to: ReplyTo, card: Card, receipt: Receipt | None) -> None:
        self._on_progress(card)

    async def aclose(self) -> None: ...


def written(output: Path, pictures: Mapping[int, bytes]) -> Path | None:
    """Write a job's pictures, by index: the sheet of several, or the only one, as `output`; the rest beside it. Returns where the clip is, if there is one.

    Raises OSError.
    """
    sheet = pictures.get(GRID)
    output.write_bytes(_as_png(sheet) if sheet else pictures[0])
    if sheet:
        for index, data in pictures.items():
            if index >= 0:
                output.with_stem(f"{output.stem}-{index + 1}").write_bytes(data)
    if CLIP not in pictures:
        return None
    beside = output.with_name(f"{output.stem}-clip.webp")
    beside.write_bytes(pictures[CLIP])
    return beside


def _as_png(data: bytes) -> bytes:
    if data.startswith(b"\x89PNG"):
        return data
    out = io.BytesIO()
    Image.open(io.BytesIO(data)).save(out, "PNG")
    return out.getvalue()


def inline_picture(png: bytes, environ: dict[str, str], columns: int = 48) -> str:
    """The picture as this terminal can show it: the protocols of iTerm2 (and WezTerm) and kitty, else coloured half blocks."""
    if environ.get("TERM_PROGRAM") in ("iTerm.app", "WezTerm"):
        return f"\x1b]1337;File=inline=1;width={columns}:{base64.b64encode(png).decode()}\a\n"
    if environ.get("TERM") == "xterm-kitty":
        data, chunks = base64.b64encode(png).decode(), []
        for at in range(0, len(data), 4096):
            head = f"f=100,a=T,c={columns}," if at == 0 else ""
            chunks.append(f"\x1b_G{head}m={int(at + 4096 < len(data))};{data[at : at + 4096]}\x1b\\")
        return "".join(chunks) + "\n"
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    rows = max(2, round(columns * picture.height / picture.width)) // 2 * 2
    small = picture.resize((columns, rows), Image.Resampling.LANCZOS)
    pixel = small.load()
    assert pixel is not None  # noqa: S101  a loaded picture has pixels
    lines = []
    for y in range(0, rows, 2):
        cells = ("\x1b[38;2;{};{};{};48;2;{};{};{}m▀".format(*pixel[x, y], *pixel[x, y + 1]) for x in range(columns))  # type: ignore[misc]
        lines.append("".join(cells) + "\x1b[0m")
    return "\n".join(lines) + "\n"
