"""One request as one task of the hub: how many steps it has, what it asks of the modules, and which operation draws it. Used by `engine.device`."""

from __future__ import annotations

from engine import creative, operations, sight, synthesis
from engine.api import ImagineRequest, MorphRequest, Request
from engine.canvas import Canvas
from engine.model import Model
from engine.operations import Watch
from engine.results import Drawn
from engine.rows import PLAIN, Traits


def steps(request: Request) -> int:
    """Denoising steps it will take, near enough to order by."""
    if isinstance(request, ImagineRequest):
        shortened = bool(request.source or request.mix) and not request.synthesis
        return max(1, round(request.steps * (request.strength if shortened else 1.0) * request.stop))
    if isinstance(request, MorphRequest):
        return max(1, round(request.steps * (request.strength if request.source else 1.0)))
    return max(1, round(request.steps * request.strength)) if request.creative else 1


#: Pixels that are decoded at once. Small pictures in one call are a quarter cheaper than one by one (four of 128² on a CPU), as stock does it; large ones go
#: singly for the memory that takes.
DECODED = 1 << 17


def decoded(request: Request) -> int:
    """How many of its pictures are decoded at once."""
    return max(1, DECODED // (request.width * request.height))


def traits(request: Request) -> Traits:
    """What it asks of the modules themselves."""
    if not isinstance(request, ImagineRequest):
        return PLAIN
    return Traits(tile=request.tile, loras=tuple((each.name, each.weight) for each in request.loras))


def perform(model: Model, request: Request, canvas: Canvas, watch: Watch) -> Drawn:
    """Draw it, inside a task of the hub. Raises EngineError."""
    if isinstance(request, ImagineRequest):
        draw = synthesis.draw if request.synthesis else operations.draw
        drawn = draw(model, request, canvas, watch)
        return creative.finish(model, request, canvas, sight.best(model, request, drawn) if request.best_of else drawn)
    if isinstance(request, MorphRequest):
        return creative.finish(model, request, canvas, operations.morph(model, request, canvas, watch))
    return creative.draw(model, request, canvas, watch)
