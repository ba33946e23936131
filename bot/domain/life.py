"""A job's life: its states, and who may move it where. Pure; the one place that says so.

`bot.store.claims` moves rows this way and no other; `tests/contract/test_store_machine.py` drives store, queue and wallet at random and compares every row with
`Life`.

::

                    requeue (its worker), expire (the clock)
                  ┌──────────────────────────────────────────┐
                  ▼              claim (a worker)            │
    submit ──► queued ───────────────────────────────────► running ──► done        finish (its worker)
                  │                                          │
                  ├──► cancelled ◄───────────────────────────┤         cancel (its member, or forgetting them)
                  └──► failed ◄──────────────────────────────┘         fail (its worker, the house), expire (the clock, at the last attempt)

An ended job moves no more. It may be hidden (delete, retire, forget): then its pictures are gone and nothing is owed any more; its row and its money stay.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace


class Status(enum.StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in (Status.DONE, Status.FAILED, Status.CANCELLED)


class Hand(enum.StrEnum):
    """Who moves a job."""

    ANY_WORKER = "any worker"  #: whoever has free rows
    ITS_WORKER = "its worker"  #: the one that claimed it and was not replaced since
    CLOCK = "the clock"  #: the database's: a lease that ran out
    MEMBER = "its member"
    HOUSE = "the house"  #: the bot itself, with no claim: what it cannot draw at all


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One arrow of the drawing above; `verb` is the store's."""

    verb: str
    by: Hand
    source: Status
    target: Status


LIFE: tuple[Move, ...] = (
    Move(verb="claim", by=Hand.ANY_WORKER, source=Status.QUEUED, target=Status.RUNNING),
    Move(verb="finish", by=Hand.ITS_WORKER, source=Status.RUNNING, target=Status.DONE),
    Move(verb="fail", by=Hand.ITS_WORKER, source=Status.RUNNING, target=Status.FAILED),
    Move(verb="fail", by=Hand.HOUSE, source=Status.QUEUED, target=Status.FAILED),
    Move(verb="fail", by=Hand.HOUSE, source=Status.RUNNING, target=Status.FAILED),
    Move(verb="cancel", by=Hand.MEMBER, source=Status.QUEUED, target=Status.CANCELLED),
    Move(verb="cancel", by=Hand.MEMBER, source=Status.RUNNING, target=Status.CANCELLED),
    Move(verb="requeue", by=Hand.ITS_WORKER, source=Status.RUNNING, target=Status.QUEUED),
    Move(verb="expire", by=Hand.CLOCK, source=Status.RUNNING, target=Status.QUEUED),
    Move(verb="expire", by=Hand.CLOCK, source=Status.RUNNING, target=Status.FAILED),
)

#: Where a job may go from where.
MOVES: Mapping[Status, frozenset[Status]] = {source: frozenset(move.target for move in LIFE if move.source is source) for source in Status}


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One job as the store must hold it. Each verb gives the job as it is afterwards, or None where it may not: then nothing changes."""

    cost: float  #: credits, reserved when it was submitted
    status: Status = Status.QUEUED
    worker: str = ""  #: whose lease it is, while running
    attempts: int = 0  #: claims that were not undone
    hidden: bool = False

    # -- what its money is: reserved = settled + refunded + standing, always
    @property
    def settled(self) -> float:
        return self.cost if self.status is Status.DONE else 0.0

    @property
    def refunded(self) -> float:
        return self.cost if self.status in (Status.FAILED, Status.CANCELLED) else 0.0

    @property
    def standing(self) -> float:
        """Reserved, and neither spent nor given back yet."""
        return 0.0 if self.status.ended else self.cost

    # -- the verbs
    def claim(self, worker: str) -> Life | None:
        moved = self._moved("claim", Hand.ANY_WORKER, Status.RUNNING)
        return moved and replace(moved, worker=worker, attempts=self.attempts + 1)

    def finish(self, worker: str) -> Life | None:
        return self._moved("finish", Hand.ITS_WORKER, Status.DONE) if self.held_by(worker) else None

    def fail(self, worker: str | None) -> Life | None:
        """`worker`: None for the house."""
        if worker is None:
            return self._moved("fail", Hand.HOUSE, Status.FAILED)
        return self._moved("fail", Hand.ITS_WORKER, Status.FAILED) if self.held_by(worker) else None

    def cancel(self) -> Life | None:
        return self._moved("cancel", Hand.MEMBER, Status.CANCELLED)

    def requeue(self, worker: str) -> Life | None:
        """The claim is undone, as if it had not been made."""
        moved = self._moved("requeue", Hand.ITS_WORKER, Status.QUEUED) if self.held_by(worker) else None
        return moved and replace(moved, attempts=self.attempts - 1)

    def expire(self, max_attempts: int) -> Life | None:
        """Its lease ran out. After `max_attempts` claims that nobody let go of, the job itself is taken for the cause."""
        return self._moved("expire", Hand.CLOCK, Status.QUEUED if self.attempts < max_attempts else Status.FAILED)

    def hide(self) -> Life | None:
        return replace(self, hidden=True) if self.status.ended and not self.hidden else None

    def held_by(self, worker: str) -> bool:
        return self.status is Status.RUNNING and self.worker == worker

    def _moved(self, verb: str, by: Hand, target: Status) -> Life | None:
        if Move(verb=verb, by=by, source=self.status, target=target) not in LIFE:
            return None
        return replace(self, status=target, worker="")
