"""What every engine refuses before it draws anything. Pure; called by each implementation's `run`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import isfinite

from engine.api import (
    MOST_LOOKED_AT,
    MOST_WEIGHED,
    BadInput,
    Capabilities,
    ImagineRequest,
    MorphRequest,
    NothingFound,
    Part,
    Request,
    Spot,
    UnsupportedOperation,
    UpscaleRequest,
)
from engine.efforts import own_adapters

#: A word of a text: it begins and ends with a letter, a digit or a sign that stands for one, and may hold apostrophes and hyphens.
_WORD = re.compile(r"\w+(?:['’.-]\w+)*")
#: Pictures that may be drawn for the best of them to be kept.
MOST_TO_CHOOSE_FROM = 16
#: Adapters at once, and how far each may be turned up or down.
MOST_LORAS, LORA_WEIGHT = 8, 3.0
#: Image prompts at once.
MOST_PROMPTS = 5
#: Parts of a prompt, and emphases in all of them: each is a prediction of its own at every step.
MOST_PARTS, MOST_EMPHASES = 8, 12
#: Frames of a morph.
FRAMES = (2, 16)
#: How much larger than the canvas a source may lie on it, along either side.
LARGEST_SPOT = 16


def check(request: Request, can: Capabilities, inputs: Mapping[str, bytes]) -> None:
    """Raise UnsupportedOperation, naming the flag, for what the model cannot do, and BadInput when a picture's bytes were not given."""
    if isinstance(request, ImagineRequest):
        _refuse(can, _missing(request, can), _numbers(request, can), _bounds(request, can))
    elif isinstance(request, MorphRequest):
        named = "animate" if request.source is not None else "morph"
        _refuse(can, {named: named not in can.operations}, _morph(request, can), _numbers(request, can))
    else:
        _refuse(can, _upscale(request, can))
    for digest in request.pictures:
        if digest not in inputs:
            raise BadInput("a picture to start from was not given")
    if isinstance(request, ImagineRequest) and request.source is None and (request.mask or request.spot):
        raise BadInput("there is no picture for the mask or the canvas to belong to")


def _refuse(can: Capabilities, *findings: Mapping[str, bool]) -> None:
    for wrong in findings:
        for what, is_wrong in wrong.items():
            if is_wrong:
                raise UnsupportedOperation(what, can.model)


def _missing(request: ImagineRequest, can: Capabilities) -> dict[str, bool]:
    """What is asked for and the model has not."""
    asked = {
        "a source image": ("source", request.source is not None),
        "changing a region": ("mask", request.mask is not None),
        "zoom and pan": ("extend", request.spot is not None),
        "blending pictures": ("mix", bool(request.mix)),
        "image prompts": ("image_prompt", any(not each.style for each in request.image_prompts)),
        "--sref": ("style", any(each.style for each in request.image_prompts)),
        "--lora": ("lora", any(each.name not in own_adapters(can) for each in request.loras)),
        "--tile": ("tile", request.tile),
        "--stop": ("stop", request.stop < 1),
        "--best": ("best", request.best_of > 0),
        "--clip": ("clip", request.clip > 0),
        "--chaos": ("chaos", request.chaos > 0),
        "--synthesis": ("synthesis", request.synthesis),
        "--video": ("video", request.video),
        "upscale": ("upscale", request.enlarge > 1),
    }
    if request.control:
        asked[f"--control {request.control.kind}"] = (f"control:{request.control.kind}", True)
    missing = {what: is_asked and operation not in can.operations for what, (operation, is_asked) in asked.items()}
    return {"imagine": "imagine" not in can.operations or not request.parts, **missing, **_words(request.parts, can)}


def _words(parts: Sequence[Part], can: Capabilities) -> dict[str, bool]:
    weights = [part.weight for part in parts]
    emphases = [(each, part) for part in parts for each in part.emphasis]
    sane = all(0 <= each.start < each.end <= len(part.text) and 0 <= each.weight <= 2 for each, part in emphases)
    return {
        "::weights": not all(map(isfinite, weights)) or (len(parts) > 1 and ("weights" not in can.operations or sum(weights) <= 0)),
        f"more than {MOST_PARTS} parts": len(parts) > MOST_PARTS,
        f"more than {MOST_EMPHASES} emphases": len(emphases) > MOST_EMPHASES,
        "(emphasis)": bool(emphases) and ("emphasis" not in can.operations or not sane),
    }


def _numbers(request: ImagineRequest | MorphRequest, can: Capabilities) -> dict[str, bool]:
    sides = (request.width, request.height)
    return {
        "--no": bool(request.unwanted) and ("unwanted" not in can.operations or request.guidance <= 1),
        "--size": any(side % can.multiple or not can.min_edge <= side <= can.max_edge for side in sides),
        "--steps": not 1 <= request.steps <= can.max_steps,
        "--cfg": not 0 <= request.guidance <= can.max_guidance,
        "--sampler": request.scheduler is not None and request.scheduler not in can.schedulers,
        "--seed": not 0 <= request.seed < 2**32,
    }


def _bounds(request: ImagineRequest, can: Capabilities) -> dict[str, bool]:
    unknown = next((each.name for each in request.loras if each.name not in can.loras and each.name not in own_adapters(can)), None)
    return {
        "--n": not 1 <= request.count <= can.max_count,
        "--strength": not 0 <= request.strength <= 1,
        "--stop": not 0.1 <= request.stop <= 1,
        f"upscale {request.enlarge}x": request.enlarge not in (1, 2, 4),
        "--best": request.best_of != 0 and not request.count <= request.best_of <= MOST_TO_CHOOSE_FROM,
        "--clip": not 0 <= request.clip <= 1,
        f"--lora {unknown}": unknown is not None,
        "--lora": len(request.loras) > MOST_LORAS or not all(abs(each.weight) <= LORA_WEIGHT for each in request.loras),
        f"more than {MOST_PROMPTS} image prompts": len(request.image_prompts) > MOST_PROMPTS,
        "--chaos": not 0 <= request.chaos <= 1,
        "--chaos in a single step": request.chaos > 0 and request.steps < 2,
        "--chaos with --synthesis": request.chaos > 0 and request.synthesis,
        "--clip in a single step": request.clip > 0 and request.steps < 2,
        "--iw": not all(0 <= each.weight <= 3 for each in request.image_prompts),
        "--control": request.control is not None and not 0 <= request.control.scale <= 2,
        "zoom and pan": request.spot is not None and not _is_sane(request.spot, request, can),
    }


def _is_sane(spot: Spot, request: ImagineRequest, can: Capabilities) -> bool:
    """Whether some of the source can be seen, and it is not absurdly large."""
    across = min(request.width, spot.left + spot.width) - max(0, spot.left)
    down = min(request.height, spot.top + spot.height) - max(0, spot.top)
    largest = spot.width <= LARGEST_SPOT * request.width and spot.height <= LARGEST_SPOT * request.height
    return largest and across >= can.multiple and down >= can.multiple


def _morph(request: MorphRequest, can: Capabilities) -> dict[str, bool]:
    fewest, most = FRAMES
    words = {what: is_wrong or _words(request.after, can)[what] for what, is_wrong in _words(request.before, can).items()}
    own = {"imagine": not request.before or not request.after}
    if request.source is not None:
        own = {"animate towards other words": request.after != request.before, "--strength": not 0 <= request.strength <= 1}
    enlarged = request.enlarge not in (1, 2, 4) or (request.enlarge > 1 and "upscale" not in can.operations)
    return {**own, "--frames": not fewest <= request.frames <= most, f"upscale {request.enlarge}x": enlarged, **words}


def _upscale(request: UpscaleRequest, can: Capabilities) -> dict[str, bool]:
    return {
        "upscale": "upscale" not in can.operations,
        f"upscale {request.factor}x": request.factor not in (2, 4),
        "creative upscale": request.creative and "creative" not in can.operations,
        "--steps": request.creative and not 1 <= request.steps <= can.max_steps,
        "--cfg": request.creative and not 0 <= request.guidance <= can.max_guidance,
        "--strength": request.creative and not 0 <= request.strength <= 1,
        "--seed": not 0 <= request.seed < 2**32,
        **(_words(request.parts, can) if request.creative and request.parts else {}),
    }


def check_pictures(pictures: Sequence[bytes], what: str, can: Capabilities) -> None:
    """What `Engine.look` and `Engine.find` refuse. Raises UnsupportedOperation, naming `what`; BadInput."""
    if "describe" not in can.operations:
        raise UnsupportedOperation(what, can.model)
    if len(pictures) > MOST_LOOKED_AT:
        raise BadInput(f"at most {MOST_LOOKED_AT} pictures are looked at together")


def check_words(text: str, can: Capabilities) -> list[tuple[int, int]]:
    """Where the words of a text stand, for `Engine.weigh`. Raises UnsupportedOperation."""
    if "shorten" not in can.operations:
        raise UnsupportedOperation("/shorten", can.model)
    found = [match.span() for match in _WORD.finditer(text)]
    if len(found) > MOST_WEIGHED:
        raise UnsupportedOperation(f"/shorten with more than {MOST_WEIGHED} words", can.model)
    return found


def check_phrase(phrase: str, can: Capabilities) -> None:
    """What `Engine.mask` refuses. Raises UnsupportedOperation, NothingFound."""
    if "phrase" not in can.operations:
        raise UnsupportedOperation("a part by its name", can.model)
    if not phrase.strip():
        raise NothingFound(phrase)


#: How much smaller than the model's usual one a picture may be and still pass for one it has finished: sizes are rounded, and members choose shapes.
_NEARLY = 0.7


def finished_by(width: int, height: int, can: Capabilities) -> int:
    """How many times larger than the model draws a picture of so many pixels is: 1, or up to the model's `finish`. A creative upscale draws it that much
    smaller, so its cost falls by the square.
    """
    own = _NEARLY * can.width * can.height
    return next((by for by in (4, 2) if by <= can.finish and width * height >= by**2 * own), 1)


def grid_seeds(request: ImagineRequest) -> tuple[int, ...]:
    """The seed of each picture of the grid."""
    return drawn_seeds(request)[: request.count]


def drawn_seeds(request: ImagineRequest) -> tuple[int, ...]:
    """The seed of each picture that is drawn: more than the grid has where the best of them are chosen."""
    return tuple((request.seed + k) % 2**32 for k in range(request.rows))
