"""What a request costs, and what a small community allows. Pure; called by the studio (before submitting), the grammar's live hints and the queue.

**One credit is one default grid**: `GRID_OF` pictures at the model's own size, steps and guidance, finished as they are shown, times the model's
`cost_factor`. Everything else is in proportion to its megapixel-steps, whatever the device: half the steps cost half, 2 pictures half, twice the
area twice, no guidance (half the forward passes) half; starting from a picture at strength 0.6, or `--stop 60`, runs, and costs, 0.6 of the steps. Enlarging
is work, too (`ENLARGING`), whether it ends a drawing, every frame of a clip, or is asked for by itself.

A relaxed job pays half (`price`), because it uses what nobody else wants just then: the store lets every other job go first, for `RELAX_PATIENCE`.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from bot.domain import Actor, Limits
from engine.api import ENLARGING, Capabilities, ImagineRequest, MorphRequest, Request, UpscaleRequest
from engine.checks import finished_by
from engine.efforts import usual

GRID_OF = 4  #: pictures
SIGHT_STEPS = 3.0  #: a step that is also looked at (decoded, and scored with gradients) costs as much as this many
QUANTUM = 1 / 256  #: credits; costs are rounded up to it, so that their sums and differences are exact in floating point
RELAXED = 0.5  #: what a relaxed job costs, of the full price
DISCORD_BEGAN = datetime(2015, 1, 1, tzinfo=UTC)  #: what the times in Discord's ids count from
RELAX_PATIENCE = timedelta(minutes=10)  #: how long a relaxed job lets others go first

#: About sixty grids at hand, thirty more an hour: nobody notices until they leave a script running.
DEFAULTS = Limits(cap=60.0, per_hour=30.0, queued_per_actor=10, queued_total=500)


def cost(request: Request, capabilities: Capabilities) -> float:
    """Credits, a positive multiple of QUANTUM. `capabilities` are those of the request's model."""
    credits = megapixel_steps(request, capabilities) / megapixel_steps_per_credit(capabilities) * capabilities.cost_factor
    return max(1, math.ceil(round(credits / QUANTUM, 6))) * QUANTUM


def price(request: Request, capabilities: Capabilities, relaxed: bool) -> float:
    """What the wallet pays for it in this lane: credits, a positive multiple of QUANTUM."""
    full = cost(request, capabilities)
    return math.ceil(full / QUANTUM * RELAXED) * QUANTUM if relaxed else full


def work(paid: float, relaxed: bool) -> float:
    """Full credits of a job that paid that much: what it asks of the device, in whichever lane."""
    return paid / RELAXED if relaxed else paid


def megapixel_steps(request: Request, capabilities: Capabilities) -> float:
    """The device's work: megapixels × steps × pictures, a step with guidance being the whole one. `capabilities` are those of the request's model."""
    match request:
        case ImagineRequest():
            steps = max(1.0, request.steps * request.stop * (request.strength if request.source is not None else 1.0))
            passes = _passes(request.guidance, len(request.parts) + sum(len(part.emphasis) for part in request.parts))
            seen = SIGHT_STEPS if request.clip or request.synthesis else 1.0
            enlarged = _enlarging(request.width, request.height, request.enlarge) * request.count
            return _megapixels(request.width, request.height) * steps * request.rows * passes * seen + enlarged
        case MorphRequest():
            steps = max(1.0, request.steps * (request.strength if request.source is not None else 1.0))
            enlarged = _enlarging(request.width, request.height, request.enlarge) * request.frames
            return _megapixels(request.width, request.height) * steps * request.frames * _passes(request.guidance) + enlarged
        case UpscaleRequest(creative=True):
            return _drawn_anew(request, finished_by(request.width, request.height, capabilities))
        case UpscaleRequest():
            return _enlarging(request.width, request.height, request.factor)


def _drawn_anew(request: UpscaleRequest, by: int) -> float:
    """A picture that its model had finished `by` times larger is drawn at the model's own scale, and finished again (`engine.creative`)."""
    width, height, own = request.width, request.height, request.factor / by
    steps = max(1.0, request.steps * request.strength) * _passes(request.guidance, len(request.parts))
    enlarged = _enlarging(width, height, own) + _enlarging(width * own, height * own, by)
    return _megapixels(width * own, height * own) * steps + enlarged


def megapixel_steps_per_credit(capabilities: Capabilities) -> float:
    """The work of the model's default grid."""
    width, height = capabilities.width, capabilities.height
    effort = usual(capabilities)
    a_picture = _megapixels(width, height) * effort.steps * _passes(effort.guidance) + _enlarging(width, height, capabilities.finish)
    return a_picture * GRID_OF


def seconds_per_credit(capabilities: Capabilities, pace: float) -> float:
    """Device seconds a credit of this model's work takes; `pace` is `Engine.pace`: seconds a megapixel-step."""
    return megapixel_steps_per_credit(capabilities) * pace / capabilities.cost_factor


def account_since(actor: Actor) -> datetime | None:
    """When the member's account was made, as far as its id says: Discord's are snowflakes (https://discord.com/developers/docs/reference#snowflakes)."""
    if actor.platform != "discord" or not (actor.id.isascii() and actor.id.isdigit() and int(actor.id) < 2**63):
        return None
    return DISCORD_BEGAN + timedelta(milliseconds=int(actor.id) >> 22)


def until_old_enough(actor: Actor, days: int, now: datetime) -> timedelta | None:
    """How long until the account is `days` old; None when it is, or nobody knows."""
    since = account_since(actor)
    left = since + timedelta(days=days) - now if since is not None and days else timedelta(0)
    return left if left > timedelta(0) else None


def _enlarging(width: float, height: float, factor: float) -> float:
    return _megapixels(width * factor, height * factor) * ENLARGING if factor > 1 else 0.0


def _megapixels(width: float, height: float) -> float:
    return width * height / 1e6


def _passes(guidance: float, conditions: int = 1) -> float:
    """Classifier-free guidance runs the model twice a step, and a scale of 1 or less needs the second pass not; each further part of the words is one more."""
    return ((1.0 if guidance > 1 else 0.0) + max(1, conditions)) / 2
