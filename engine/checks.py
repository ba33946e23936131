"""What every engine refuses before it draws anything. Pure; called by each implementation's `run`."""

from __future__ import annotations

from collections.abc import Mapping

from engine.api import BadInput, Capabilities, ImagineRequest, MorphRequest, Request, UnsupportedOperation


def check(request: Request, can: Capabilities, inputs: Mapping[str, bytes]) -> None:
    """Raise UnsupportedOperation, naming the flag, for what the model cannot do, and BadInput when the source picture's bytes were not given."""
    if isinstance(request, ImagineRequest):
        _check_imagine(request, can)
    elif isinstance(request, MorphRequest):
        if "morph" not in can.operations:
            raise UnsupportedOperation("morph", can.model)
    elif "upscale" not in can.operations:
        raise UnsupportedOperation("upscale", can.model)
    elif request.factor not in (2, 4):
        raise UnsupportedOperation(f"upscale {request.factor}x", can.model)
    for digest in request.pictures:
        if digest not in inputs:
            raise BadInput("a picture to start from was not given")


def _check_imagine(request: ImagineRequest, can: Capabilities) -> None:
    guided = request.guidance > 1
    sides = (request.width, request.height)
    wrong = {
        "imagine": "imagine" not in can.operations or not request.parts,
        "a source image": request.source is not None and "source" not in can.operations,
        "--no": bool(request.unwanted) and ("unwanted" not in can.operations or not guided),
        "::weights": len(request.parts) > 1 and ("weights" not in can.operations or sum(part.weight for part in request.parts) <= 0),
        "--size": any(side % can.multiple or not can.min_edge <= side <= can.max_edge for side in sides),
        "--n": not 1 <= request.count <= can.max_count,
        "--steps": not 1 <= request.steps <= can.max_steps,
        "--cfg": not 0 <= request.guidance <= can.max_guidance,
        "--sampler": request.scheduler is not None and request.scheduler not in can.schedulers,
        "--strength": not 0 <= request.strength <= 1,
        "--seed": not 0 <= request.seed < 2**32,
    }
    for what, is_wrong in wrong.items():
        if is_wrong:
            raise UnsupportedOperation(what, can.model)


def grid_seeds(request: ImagineRequest) -> tuple[int, ...]:
    """The seed of each picture of the grid."""
    return drawn_seeds(request)[: request.count]


def drawn_seeds(request: ImagineRequest) -> tuple[int, ...]:
    """The seed of each picture that is drawn: more than the grid has where the best of them are chosen."""
    return tuple((request.seed + k) % 2**32 for k in range(request.rows))
