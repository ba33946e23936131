"""Who may join the running batch, and whose call is run next. Pure; called by `engine.hub`.

First come, first served under a cap on rows: past the point where time a row stops falling, one more row in the batch only makes
everybody slower. Fairness among members is decided before, by the bot's queue; here nobody overtakes.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol


class Waiting(Protocol):
    """A module call that waits to be run."""

    @property
    def key(self) -> Hashable:
        """Calls with equal keys fit into one forward."""

    @property
    def rows(self) -> int: ...

    @property
    def since(self) -> int:
        """When it began to wait: a number that only grows."""

    @property
    def urgent(self) -> bool:
        """Short, and holding back a whole request (text encoding): goes first."""


def admit(waiting: Sequence[int], in_flight: int, cap: int) -> int:
    """How many of the requests in line, given by their rows, may join now.

    A request that exceeds the cap all by itself is admitted when nothing else runs.
    """
    joined = 0
    for rows in waiting:
        if in_flight and in_flight + rows > cap:
            break
        in_flight += rows
        joined += 1
    return joined


def choose(waiting: Sequence[Waiting], limit: int) -> list[int]:
    """Indexes of the calls to run as one forward of at most `limit` rows (or one call, however large).

    Urgent calls first, then the group whose first call has waited longest, so several models and shapes take turns; in a group, longest waiting first.
    """
    if not waiting:
        return []
    first = min(waiting, key=lambda call: (not call.urgent, call.since))
    group = sorted((i for i, call in enumerate(waiting) if call.key == first.key), key=lambda i: waiting[i].since)
    taken, rows = [group[0]], waiting[group[0]].rows
    for i in group[1:]:
        if rows + waiting[i].rows > limit:
            break
        taken.append(i)
        rows += waiting[i].rows
    return taken
