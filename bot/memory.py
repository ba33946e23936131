"""Whether this machine's memory is short. Asked by `bot.workshop` before anything is read that nobody has asked for yet. Linux alone says."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

SHORT = 1 / 8  #: of all memory: when less can be had, what is not needed yet stays on the disk
_MEMINFO = Path("/proc/meminfo")


def is_short() -> bool:
    """Now."""
    with contextlib.suppress(OSError):
        return is_short_by(_MEMINFO.read_text("ascii", "replace"))
    return False


def is_short_by(meminfo: str) -> bool:
    """By the text of ``/proc/meminfo`` (proc(5)); not where that does not say. Pure."""
    kilobytes = {name: int(number) for name, number in re.findall(r"^(MemTotal|MemAvailable):\s+(\d+) kB", meminfo, re.M)}
    return "MemAvailable" in kilobytes and kilobytes["MemAvailable"] < SHORT * kilobytes.get("MemTotal", 0)
