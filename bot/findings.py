"""What `wordup doctor` finds: one thing it looked at, and what to do about it. Made by `bot.doctor` and the chats' own checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    level: Literal["ok", "note", "fail"]
    what: str
    text: str
    fix: str = ""
