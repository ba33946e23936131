"""What a device and a model do together, measured: how time a row falls with the rows of a forward, where it stops falling, and whether a row's bits depend on
its company. Used by `engine.device`, in the idle moments after a model was loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from engine import collate, guidance
from engine.collate import Arguments
from engine.model import Model

#: Rows at which a forward is timed.
ROWS = (1, 2, 4, 8, 16, 32, 64)
#: Doubling the rows must make a row cheaper by at least this share, or the knee is reached.
GAIN = 0.1
#: Forwards of each number of rows; the quickest counts, for others may use the machine.
TRIES = 3
#: A forward that takes longer is the last that is timed: members would feel it.
LONGEST = 1.5


@dataclass(slots=True)
class Findings:
    """What is known of one model so far."""

    seconds: dict[int, float] = field(default_factory=dict)  #: of a forward, by its rows
    bytes_a_row: int = 0  #: of working memory; 0 where it cannot be told
    company_changes_bits: bool | None = None
    complete: bool = False

    @property
    def knee(self) -> int | None:
        """Rows past which time a row stops falling; None before it is known."""
        return knee(self.seconds) if len(self.seconds) > 1 else None


def knee(seconds: Mapping[int, float]) -> int:
    """The fewest rows past which nothing that was measured makes a row cheaper by GAIN."""
    rows = sorted(seconds)
    for k, few in enumerate(rows):
        if all(seconds[more] / more > (1 - GAIN) * seconds[few] / few for more in rows[k + 1 :]):
            return few
    return rows[-1]


def call_of(model: Model, width: int = 0, height: int = 0) -> Arguments:
    """One row of the model's denoiser at a size (its own by default), as its stock pipeline would call it."""
    can, family = model.entry.can, model.family
    arguments = family.first_call("a", width or can.width, height or can.height)
    pipeline = model.pipeline("words")
    denoiser = getattr(pipeline, family.denoiser)
    return denoiser.arguments((), guidance.capture(pipeline, family, arguments))  # type: ignore[no-any-return]


def measure(model: Model, clock: Callable[[], float]) -> Iterator[Findings]:
    """Yields after each forward, so that whoever comes meanwhile is served first. The last value is complete."""
    found, call = Findings(), call_of(model)
    module = getattr(model.pipeline("words"), model.family.denoiser)
    alone = _first_row(module(**call.kwargs))
    yield found  # that one warmed up
    for rows in ROWS:
        widened = collate.concatenate([call] * rows)
        for _ in range(TRIES):
            try:
                taken, output, working = _timed(module, widened, model.device, clock)
            except (RuntimeError, MemoryError):  # more than fits: the knee is before it
                found.complete = True
                yield found
                return
            found.seconds[rows] = min(taken, found.seconds.get(rows, taken))
            found.bytes_a_row = max(found.bytes_a_row, working // rows)
            yield found
            if taken > LONGEST / 4:
                break
        if rows > 1 and not found.company_changes_bits:
            found.company_changes_bits = not _same(alone, _first_row(output))
        if taken > LONGEST or (found.knee or rows) <= rows // 4:
            break
    found.complete = True
    yield found


def _timed(module: Any, call: Arguments, device: torch.device, clock: Callable[[], float]) -> tuple[float, Any, int]:
    """Seconds of one forward, its output, and the bytes it worked in (0 where that cannot be told)."""
    before = 0
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    started = clock()
    output = module(**call.kwargs)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return clock() - started, output, torch.cuda.max_memory_allocated(device) - before
    return clock() - started, output, 0


def _first_row(output: Any) -> torch.Tensor:
    """Of a tensor, a tuple or mapping with one first, or (Z-Image) a list with one tensor a row."""
    if isinstance(output, Mapping):
        return _first_row(next(iter(output.values())))
    if isinstance(output, tuple):
        return _first_row(output[0])
    first: torch.Tensor = output[0]
    return first


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and bool(torch.equal(one, other))
