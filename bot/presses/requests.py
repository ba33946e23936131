"""The request a child is drawn from: pure functions from what was drawn, and what its model can do. Each raises Refused, in one sentence, where it cannot be.

`base` is the request a picture was drawn by, `picture` that picture as it was drawn, `can` what the model can do. A finished picture may be larger than the
canvas it was drawn on (`enlarge`): canvas and spot are in the request's own pixels, and the engine brings the picture to them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from bot.cards.room import MAX_EDGE, Canvas, is_enhanceable
from bot.cards.room import panned as panned_canvas
from bot.cards.room import squared as squared_canvas
from bot.cards.room import zoomed_out as zoomed_canvas
from bot.domain import Artifact, Job
from bot.errors import BadWords, Refused
from bot.prompts import parse, print_words
from engine.api import STRENGTHS, Capabilities, ImagineRequest, MorphRequest, Part, Request, UpscaleRequest
from engine.efforts import LEAST_STEPS, in_full

PICK_FACTOR = 2
CHILDREN = 4  #: pictures in a grid of variations
ANIMATED = 12  #: frames of a picture that moves
_WAYS = {"": "vary_strong", "subtle": "vary_subtle", "strong": "vary_strong"}


# ------------------------------------------------------------------------------------------------ enlarging


def enlarged(artifact: Artifact, capabilities: Capabilities, factor: int) -> UpscaleRequest:
    """Raises Refused when the model cannot, or the result would pass MAX_EDGE."""
    if "upscale" not in capabilities.operations:
        raise Refused("refused.cannot", model=capabilities.model, what=f"{factor}×")
    return _upscale(artifact, capabilities, factor)


def creative(picture: Artifact, factor: int, base: ImagineRequest, can: Capabilities) -> UpscaleRequest:
    """Enlarged, with new detail as the words say. `picture` is what is enlarged, `base` whose words are meant."""
    if "creative" not in can.operations:
        raise Refused("refused.no_creative", model=can.model)
    roomy = _roomy(base, can)
    return replace(_upscale(picture, can, factor), creative=True, parts=roomy.parts, steps=roomy.steps, guidance=roomy.guidance)


def _upscale(artifact: Artifact, can: Capabilities, factor: int) -> UpscaleRequest:
    width, height = artifact.width * factor, artifact.height * factor
    if max(width, height) > MAX_EDGE:
        raise Refused("refused.too_large", width=width, height=height, limit=MAX_EDGE)
    return UpscaleRequest(model=can.model, source=artifact.digest, factor=factor, seed=artifact.seed, width=artifact.width, height=artifact.height)


# ------------------------------------------------------------------------------------------------ from the picture on


def varied(base: ImagineRequest, artifact: Artifact, capabilities: Capabilities, seed: int, how: str = "") -> ImagineRequest:
    """The same words from this picture on, with another seed. `how`: "subtle" stays nearer to it than "strong" or nothing."""
    if "source" not in capabilities.operations:
        raise Refused("refused.no_source", model=capabilities.model)
    return replace(_child(base, artifact, capabilities, seed, _WAYS[how]), tile=base.tile)


def region(base: ImagineRequest, picture: Artifact, mask: str, parts: Sequence[Part], can: Capabilities, seed: int) -> ImagineRequest:
    """What is white in the picture `mask` (a digest) drawn anew, as `parts` say; without any, as the picture's own words do."""
    if "mask" not in can.operations:
        raise Refused("refused.no_mask", model=can.model)
    return replace(_child(base, picture, can, seed, "region"), mask=mask, parts=tuple(parts) or base.parts)


def zoomed(base: ImagineRequest, picture: Artifact, can: Capabilities, factor: float, seed: int, parts: Sequence[Part] = ()) -> ImagineRequest:
    """Smaller in the middle of the same canvas, with more drawn around it, as `parts` say; without any, as the picture's own words do."""
    _need_extend(can)
    child = _on(zoomed_canvas(base.width, base.height, factor), _child(base, picture, can, seed, "zoom"))
    return replace(child, parts=tuple(parts) or base.parts)


def squared(base: ImagineRequest, picture: Artifact, can: Capabilities, seed: int) -> ImagineRequest:
    """As wide as high, by what is drawn along its longer sides."""
    _need_extend(can)
    canvas = squared_canvas(base.width, base.height)
    if canvas is None:
        raise Refused("refused.square_already")
    return _on(canvas, _child(base, picture, can, seed, "pan"))


def panned(base: ImagineRequest, picture: Artifact, can: Capabilities, direction: str, seed: int) -> ImagineRequest:
    """More on one side: "l", "r", "u" or "d"."""
    _need_extend(can)
    canvas = panned_canvas(base.width, base.height, direction, can)
    if canvas is None:
        raise Refused("refused.no_room", model=can.model, limit=can.max_edge)
    return _on(canvas, _child(base, picture, can, seed, "pan"))


def animated(base: ImagineRequest, picture: Artifact, can: Capabilities, seed: int) -> MorphRequest:
    """A clip of the picture moving."""
    if "animate" not in can.operations:
        raise Refused("refused.no_animate", model=can.model)
    roomy = _roomy(base, can)
    clip = MorphRequest(
        model=can.model,
        before=base.parts,
        after=base.parts,
        unwanted=roomy.unwanted,
        seed=seed,
        width=base.width,
        height=base.height,
        frames=ANIMATED,
        steps=roomy.steps,
        guidance=roomy.guidance,
        scheduler=roomy.scheduler,
        source=picture.digest,
        enlarge=base.enlarge,
    )
    return replace(clip, strength=can.strengths.get("animate", clip.strength))


def _need_extend(can: Capabilities) -> None:
    if "extend" not in can.operations:
        raise Refused("refused.no_extend", model=can.model)


def _on(canvas: Canvas, child: ImagineRequest) -> ImagineRequest:
    return replace(child, width=canvas.width, height=canvas.height, spot=canvas.spot)


def _child(base: ImagineRequest, picture: Artifact, can: Capabilities, seed: int, strength: str) -> ImagineRequest:
    """The same words, size and effort from the picture on; what else it was drawn from (another source, a sketch) is in the picture by now."""
    roomy = _roomy(base, can)
    far = can.strengths.get(strength, STRENGTHS[strength])
    # As fine a schedule as that strength needs: a single coarse step would go further than it says.
    steps = max(roomy.steps, min(can.max_steps, math.ceil(1 / far))) if far else roomy.steps
    fresh = ImagineRequest(model=roomy.model, parts=roomy.parts, width=roomy.width, height=roomy.height, steps=steps, guidance=roomy.guidance)
    return replace(
        fresh,
        unwanted=roomy.unwanted,
        scheduler=roomy.scheduler,
        loras=roomy.loras,
        source=picture.digest,
        strength=far,
        seed=seed,
        count=min(CHILDREN, can.max_count),
        enlarge=roomy.enlarge,
    )


def _roomy(base: ImagineRequest, can: Capabilities) -> ImagineRequest:
    """As it was drawn; in full where that was in so few steps that a strength has no room."""
    swift = {(each.steps, each.guidance) for each in (can.draft, can.quick) if each and each.steps < LEAST_STEPS}
    return in_full(base, can) if (base.steps, base.guidance) in swift else base


# ------------------------------------------------------------------------------------------------ once more


def enhanced(job: Job, can: Capabilities) -> ImagineRequest:
    """A draft once more, in full, from the same seed."""
    request = job.request
    if not isinstance(request, ImagineRequest) or not is_enhanceable(request, can):
        raise Refused("refused.no_draft")
    return in_full(request, can)


def rerolled(job: Job, seed: int) -> Request:
    """The same once more: with another seed where chance plays a part."""
    request = job.request
    return request if isinstance(request, UpscaleRequest) and not request.creative else replace(request, seed=seed)


# ------------------------------------------------------------------------------------------------ words


def kept_whole(text: str, words: str) -> str:
    """What a remix form asks for: an empty one means the same words, and so does one too small for them, sent back as it was shown (cut, with an ellipsis)."""
    cut = text.removesuffix("…")
    return words if not text or (cut != text and len(cut) > 100 and words.startswith(cut)) else text


def unseeded(words: str) -> str:
    """The words a child with another seed is shown with: a seed in them would be a lie."""
    try:
        said = parse(words)
    except BadWords:
        return words
    return words if said.seed is None else print_words(said.evolve(seed=None))


def reseeded(text: str, words: str) -> str:
    """`text` without the seed that `words` had: who asks for another picture and leaves the seed where it stood does not want the same one."""
    try:
        old, new = parse(words).seed, parse(text).seed
    except BadWords:
        return text
    return text if old is None or old != new else unseeded(text)


def in_full_words(words: str) -> str:
    """The words of a draft that was drawn once more in full."""
    try:
        said = parse(words)
    except BadWords:
        return words
    return print_words(said.evolve(draft=None)) if said.draft else words
