"""Bad days of the platform, set by a test: rate limits, errors, cut connections."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(eq=False, slots=True)
class Fault:
    method: str
    kind: Literal["limit", "fail", "cut"]
    times: float = 1
    error: str = "ratelimited"
    status: int = 200
    retry_after: int = 1
    #: Whether the request is carried out before its answer is lost.
    afterwards: bool = False


@dataclass(eq=False, slots=True)
class Tier:
    method: str
    limit: int
    per_seconds: float
    #: Seconds of the monotonic clock at which each method (and value of `by`) was granted.
    granted: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    by: str = ""


class Faults:
    """Each takes a regular expression that the whole method name must match."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.tiers: list[Tier] = []

    def limit(self, method: str, *, retry_after: int = 1, times: float = 1) -> None:
        """The next requests are answered 429 with `Retry-After`."""
        self.faults.append(Fault(method, "limit", times, status=429, retry_after=retry_after))

    def tier(self, method: str, limit: int, per_seconds: float, *, by: str = "") -> None:
        """So many requests for each such method in any such span, and 429 beyond; `by` names an argument to count apart ("channel")."""
        self.tiers.append(Tier(method, limit, per_seconds, by=by))

    def fail(self, method: str, *, error: str = "internal_error", times: float = 1, status: int = 200) -> None:
        self.faults.append(Fault(method, "fail", times, error, status))

    def cut(self, method: str, *, times: float = 1, afterwards: bool = False) -> None:
        """The connection ends without an answer; `afterwards`: once the request has been carried out."""
        self.faults.append(Fault(method, "cut", times, "cut", afterwards=afterwards))

    def heal(self) -> None:
        self.faults.clear()
        self.tiers.clear()

    def fault(self, method: str, args: dict[str, Any] | None = None) -> Fault | None:
        """What is to happen to this request; counts it."""
        for fault in self.faults:
            if fault.times > 0 and re.fullmatch(fault.method, method):
                fault.times -= 1
                return fault
        for tier in self.tiers:
            if re.fullmatch(tier.method, method):
                now, counted = time.monotonic(), (method, str((args or {}).get(tier.by, "")))
                granted = tier.granted.setdefault(counted, [])
                granted[:] = [at for at in granted if at > now - tier.per_seconds]
                if len(granted) >= tier.limit:
                    return Fault(method, "limit", status=429, retry_after=max(1, math.ceil(granted[0] + tier.per_seconds - now)))
                granted.append(now)
        return None
