"""Who may join the running batch, and whose call is run next. Pure; called by `engine.hub`.

Fairness among members is decided before, by the bot's queue. What was handed over is ordered here for the shortest mean waiting: fewest steps left first, with
ageing, so that nobody waits for ever; and calls that cannot share a forward (other models, other sizes) take turns by deficit round robin.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

#: Steps a request moves forward in line with every turn of the hub it has waited: a job of 30 steps overtakes new ones of 4 after about a hundred.
AGEING = 0.25


class Candidate(Protocol):
    """A request in line."""

    @property
    def rows(self) -> int:
        """Pictures."""

    @property
    def kind(self) -> Hashable:
        """Its model and shape: rows of one kind are capped together."""

    @property
    def left(self) -> int:
        """Denoising steps still to do."""

    @property
    def since(self) -> int:
        """The turn at which it began to wait."""


class Waiting(Protocol):
    """A module call that waits to be run."""

    @property
    def rows(self) -> int: ...

    @property
    def left(self) -> int:
        """Denoising steps its request still has to do."""

    @property
    def since(self) -> int:
        """The turn at which it began to wait."""


Call = TypeVar("Call", bound=Waiting)


def rank(candidate: Candidate | Waiting, turn: int) -> float:
    """The smaller, the sooner."""
    return candidate.left - AGEING * (turn - candidate.since)


def admit(line: Sequence[Candidate], in_flight: Mapping[Hashable, int], caps: Mapping[Hashable, int], cap: int, turn: int) -> list[int]:
    """Indexes of those in line that may join now: at most `cap` rows altogether and `caps[kind]` rows of a kind (no entry: no such cap).

    Who exceeds a cap all by itself joins when nothing else runs under that cap. Nobody smaller passes one who waits for room.
    """
    total, kinds, joined = sum(in_flight.values()), dict(in_flight), []
    closed: set[Hashable] = set()
    for i in sorted(range(len(line)), key=lambda i: (rank(line[i], turn), line[i].since, i)):
        rows, kind = line[i].rows, line[i].kind
        if total and total + rows > cap:
            break
        of_kind = kinds.get(kind, 0)
        if kind in closed or (of_kind and of_kind + rows > caps.get(kind, cap)):
            closed.add(kind)
            continue
        total, kinds[kind] = total + rows, of_kind + rows
        joined.append(i)
    return joined


def choose(group: Sequence[Call], limit: int, turn: int) -> list[Call]:
    """The calls of one group (they fit together) to run as one forward of at most `limit` rows, or one call, however large."""
    if sum(call.rows for call in group) <= limit:
        return list(group)
    line = sorted(group, key=lambda call: (rank(call, turn), call.since))
    taken, rows = [line[0]], line[0].rows
    for call in line[1:]:
        if rows + call.rows <= limit:
            taken.append(call)
            rows += call.rows
    return taken


@dataclass(slots=True)
class Rounds:
    """Deficit round robin (Shreedhar and Varghese 1995) over groups of calls, each with a share of the device in proportion to its rows."""

    _ring: deque[Hashable] = field(default_factory=deque)
    _credit: dict[Hashable, float] = field(default_factory=dict)

    def next(self, offers: Mapping[Hashable, tuple[float, int]]) -> Hashable:
        """Whose turn it is among `offers`: for each group the seconds its next forward will cost, and its waiting rows."""
        if len(offers) == 1:
            return next(iter(offers))
        for gone in [key for key in self._credit if key not in offers]:
            del self._credit[gone]
            self._ring.remove(gone)
        for new in (key for key in offers if key not in self._credit):
            self._credit[new] = 0.0
            self._ring.append(new)
        quantum = max(cost for cost, _ in offers.values()) / max(rows for _, rows in offers.values())
        while True:
            key = self._ring[0]
            cost, rows = offers[key]
            if self._credit[key] >= cost:
                self._credit[key] -= cost
                return key
            self._credit[key] += max(quantum, 1e-9) * rows
            self._ring.rotate(-1)

    def forget(self, key: Hashable) -> None:
        """A group that will not come again."""
        if key in self._credit:
            del self._credit[key]
            self._ring.remove(key)
