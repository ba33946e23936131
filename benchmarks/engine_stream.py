"""What `benchmarks.engine_load` is fed with and how it counts: streams of requests, Poisson arrivals, the virtual clock, percentiles. Pure, without torch.

The mix. Steps are 4, 8, 20 or 30 with the shares .3, .3, .3 and .1. On the launch-bound model every request is one picture, with guidance unless it has 4
steps (as the few-step models do without). On the pocket model 4 and 8 steps are drafts (one picture); of 20 and 30 steps two in three are
grids of four pictures from words, one in three is a variation: a grid of four that starts from a picture, with strength 0.6. A request is *short*
when it asks for at most 8 steps.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from engine.api import Capabilities, ImagineRequest, Part

STEPS, SHARES = (4, 8, 20, 30), (0.3, 0.3, 0.3, 0.1)
SHORT = 8  #: steps
#: What is offered, against the capacity of one request at a time.
LOADS = (0.8, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class Arrival:
    request: ImagineRequest
    due: float  #: virtual seconds


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request, in virtual seconds."""

    seen: float  #: something could be shown first: a preview, or the picture itself
    done: float  #: its pictures are PNG files


class VirtualClock:
    """CPU seconds of the whole process, every thread, plus the idle seconds that were skipped instead of waited for.

    Other tenants of the machine do not move it, and work moved to another thread is not free on it.
    """

    def __init__(self, busy: Callable[[], float] = time.process_time) -> None:
        self._busy, self._start, self.skipped = busy, busy(), 0.0

    @property
    def busy(self) -> float:
        return self._busy() - self._start

    def now(self) -> float:
        return self.busy + self.skipped

    def skip_to(self, moment: float) -> None:
        """Idle until then; nothing happens when it is past."""
        self.skipped += max(0.0, moment - self.now())


def single_pictures(can: Capabilities, seed: int, count: int) -> list[ImagineRequest]:
    """The launch-bound model's stream."""
    rng = random.Random(seed)
    return [_single(can, k, seed, rng.choices(STEPS, SHARES)[0]) for k in range(count)]


def _single(can: Capabilities, k: int, seed: int, steps: int) -> ImagineRequest:
    guidance = 1.0 if steps == min(STEPS) else can.guidance
    return replace(picture(can), parts=(Part(text=f"member {k} of {seed} wants a cat"),), seed=1000 * seed + k, steps=steps, guidance=guidance)


def picture(can: Capabilities) -> ImagineRequest:
    """One picture of 20 steps."""
    return ImagineRequest(model=can.model, parts=(Part(text="a cat"),), seed=1, width=can.width, height=can.height, count=1, steps=20, guidance=can.guidance)


def mixed(can: Capabilities, seed: int, count: int) -> list[ImagineRequest]:
    """The pocket model's stream: drafts, grids and variations. A variation's `source` is a name; the benchmark draws the picture it stands for from it."""
    rng, requests = random.Random(seed), []
    for k in range(count):
        steps = rng.choices(STEPS, SHARES)[0]
        varied = steps > SHORT and rng.random() < 1 / 3
        requests.append(
            ImagineRequest(
                model=can.model,
                parts=(Part(text=f"{rng.choice(can.examples)} {k}"),),
                seed=1000 * seed + 10 * k,
                width=can.width,
                height=can.height,
                count=1 if steps <= SHORT else 4,
                steps=steps,
                guidance=can.guidance,
                source=f"picture {rng.randrange(8)}" if varied else None,
            )
        )
    return requests


def gaps(seed: int, count: int) -> list[float]:
    """Times between arrivals of a Poisson stream with one a second."""
    rng = random.Random(f"gaps {seed}")
    return [rng.expovariate(1.0) for _ in range(count)]


def arrivals(requests: Sequence[ImagineRequest], between: Sequence[float], per_second: float) -> list[Arrival]:
    """The requests at a mean rate of `per_second`, the first at once."""
    due, stream = -between[0] / per_second, []
    for request, gap in zip(requests, between, strict=False):
        due += gap / per_second
        stream.append(Arrival(request, due))
    return stream


def one_by_one(stream: Sequence[Arrival], seconds: Sequence[float]) -> list[Outcome]:
    """The queue behind a lock: each request in order of arrival, for the seconds it was measured to take alone."""
    free, outcomes = 0.0, []
    for arrival, taken in zip(stream, seconds, strict=True):
        free = max(free, arrival.due) + taken
        outcomes.append(Outcome(seen=free, done=free))
    return outcomes


def percentile(values: Sequence[float], share: float) -> float:
    """By linear interpolation between the two nearest."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low, high = math.floor(place), math.ceil(place)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def figures(stream: Sequence[Arrival], outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Pictures a second from the first arrival to the last picture, and how long members waited, in seconds."""
    waits = [outcome.done - arrival.due for arrival, outcome in zip(stream, outcomes, strict=True)]
    short = [wait for wait, arrival in zip(waits, stream, strict=True) if arrival.request.steps <= SHORT]
    seen = [outcome.seen - arrival.due for arrival, outcome in zip(stream, outcomes, strict=True)]
    return {
        "img_per_s": sum(arrival.request.count for arrival in stream) / (max(outcome.done for outcome in outcomes) - stream[0].due),
        "mean_s": statistics.fmean(waits),
        "p50_s": percentile(waits, 0.5),
        "p95_s": percentile(waits, 0.95),
        "short_mean_s": statistics.fmean(short) if short else 0.0,
        "first_seen_s": statistics.fmean(seen),
    }
