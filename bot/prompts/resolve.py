"""Words → request: flags beat preferences, those beat the server's defaults, those beat the model's. Pure.

Called by `bot.studio` for every prompt and by `bot.prompts.hints` for the cost shown while typing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from math import log

from bot.errors import BadWords, Refused, UserError
from bot.prompts.flags import BY_FIELD, MAX_RATIO, MIN_RATIO, nearest, plain
from bot.prompts.words import Source, Words
from engine.api import Capabilities, ImagineRequest, Part

Places = Mapping[str, tuple[int, int]]

_NO_PLACES: Places = {}
_SEED_COUNT = 2**32


def layered(words: Words, *defaults: Words) -> Words:
    """`words` with what they leave unsaid filled from each of `defaults` in turn (never the parts: those are the member's own)."""
    said = {each.name: getattr(words, each.name) for each in fields(Words)}
    for layer in defaults:
        for name, value in said.items():
            blocked = (name == "aspect" and said["size"]) or (name == "size" and said["aspect"])
            blocked = blocked or (name == "quality" and said["steps"]) or (name == "steps" and said["quality"])
            if name != "parts" and not blocked and value in (None, ()):
                said[name] = getattr(layer, name)
    return Words(**said)


def choose_model(words: Words, models: Sequence[Capabilities], *, default: str = "", places: Places = _NO_PLACES) -> Capabilities:
    """The model `words` ask for, else `default`, else the shelf's first. Raises BadWords or Refused with those there are."""
    wanted = words.model or default
    for each in models:
        if not wanted or each.model.casefold() == wanted.casefold():
            return each
    available = tuple(each.model for each in models)
    if words.model:
        raise _wrong(places, "model", "words.unknown_model", given=wanted[:40], available=available)
    raise Refused("refused.model_gone", model=wanted, available=available)


def resolve(
    words: Words,
    capabilities: Capabilities,
    *,
    seed: int,
    source: Source | None = None,
    defaults: Sequence[Words] = (),
    places: Places = _NO_PLACES,
) -> ImagineRequest:
    """What the engine is asked to draw. `seed` is taken when the words name none; `places` (from `locate`) let a mistake name its place.

    Raises BadWords, or Refused where the words have no place to blame.
    """
    said = layered(words, *defaults)
    able = capabilities.operations
    if "imagine" not in able:
        raise Refused("refused.cannot", model=capabilities.model, what="/imagine")
    if not words.parts and source is None:
        raise _empty(places)
    if source is not None and "source" not in able:
        raise Refused("refused.no_source", model=capabilities.model)
    if words.strength is not None and source is None:
        raise _wrong(places, "strength", "words.strength_alone")
    if len(said.parts) > 1 and "weights" not in able:
        raise Refused("refused.cannot", model=capabilities.model, what="::")
    if said.unwanted and "unwanted" not in able:
        raise _wrong(places, "unwanted", "words.cannot", flag="no", model=capabilities.model)
    width, height = _size(said, capabilities, source, places)
    steps = _within(said, "steps", places, capabilities.model, 1, capabilities.max_steps)
    guidance = _within(said, "guidance", places, capabilities.model, 1, max(1.0, capabilities.max_guidance))
    count = _within(said, "count", places, capabilities.model, 1, capabilities.max_count)
    guidance = capabilities.guidance if guidance is None else guidance
    if words.unwanted and guidance <= 1:
        raise _wrong(places, "unwanted", "words.no_needs_guidance")
    return ImagineRequest(
        model=capabilities.model,
        parts=said.parts or (Part(text=""),),
        unwanted=said.unwanted,
        seed=(seed if said.seed is None else said.seed) % _SEED_COUNT,
        width=width,
        height=height,
        count=int(min(4, capabilities.max_count) if count is None else count),
        steps=_steps(said, None if steps is None else int(steps), capabilities),
        guidance=float(guidance),
        scheduler=_scheduler(said, capabilities, places),
        source=source.digest if source else None,
        strength=0.6 if said.strength is None else said.strength,
    )


def snap(ratio: float, capabilities: Capabilities) -> tuple[int, int]:
    """The size nearest to `ratio` (width over height) with the area the model was trained on, in its multiples and bounds, in pixels."""
    area = capabilities.width * capabilities.height
    unit = capabilities.multiple
    low, high = -(-capabilities.min_edge // unit), capabilities.max_edge // unit

    def around(edge: float) -> set[int]:
        middle = int(edge / unit)
        return {min(max(each, low, 1), max(high, 1)) for each in range(middle - 1, middle + 3)}

    wide, tall = (area * ratio) ** 0.5, (area / ratio) ** 0.5
    sizes = [(across * unit, down * unit) for across in around(wide) for down in around(tall)]
    return min(sizes, key=lambda size: (2 * abs(log(size[0] / size[1] / ratio)) + abs(log(size[0] * size[1] / area)), size))


def _size(said: Words, capabilities: Capabilities, source: Source | None, places: Places) -> tuple[int, int]:
    if said.size:
        unit = capabilities.multiple
        low, high = capabilities.min_edge, capabilities.max_edge
        near = tuple(min(max(round(edge / unit) * unit, -(-low // unit) * unit), high // unit * unit) for edge in said.size)
        if near != said.size:
            raise _wrong(places, "size", "words.size_out_of_bounds", model=capabilities.model, low=low, high=high, multiple=unit, near=f"{near[0]}x{near[1]}")
        return said.size
    if said.aspect:
        ratio = said.aspect[0] / said.aspect[1]
        size = snap(ratio, capabilities)
        if abs(log(size[0] / size[1] / ratio)) > log(1.3):
            raise _wrong(places, "aspect", "words.ratio_out_of_reach", model=capabilities.model, near=f"{size[0]}:{size[1]}")
        return size
    if source:
        return snap(min(max(source.width / source.height, MIN_RATIO), MAX_RATIO), capabilities)
    return capabilities.width, capabilities.height


def _within(said: Words, name: str, places: Places, model: str, low: float, high: float) -> float | None:
    """A number the model bounds, or None when unsaid. A default of the server's that this model cannot reach is brought to its bound."""
    value: float | None = getattr(said, name)
    if value is None or low <= value <= high:
        return value
    if name not in places and places is not _NO_PLACES:
        return min(max(value, low), high)
    raise _wrong(places, name, "words.beyond_model", flag=BY_FIELD[name].name, model=model, low=plain(low), high=plain(high), given=plain(value))


def _steps(said: Words, steps: int | None, capabilities: Capabilities) -> int:
    if steps is not None:
        return steps
    return min(max(1, round(capabilities.steps * (said.quality or 1))), capabilities.max_steps)


def _scheduler(said: Words, capabilities: Capabilities, places: Places) -> str | None:
    """A scheduler's class name; members may leave "Scheduler" and "Discrete" away, and hyphens in."""
    if said.scheduler is None:
        return None

    def short(name: str) -> str:
        return "".join(c for c in name.casefold() if c.isalnum()).removesuffix("scheduler").replace("discrete", "").removesuffix("multistep")

    for each in capabilities.schedulers:
        if short(each) == short(said.scheduler):
            return each
    near = nearest(short(said.scheduler), tuple(map(short, capabilities.schedulers)), cutoff=0.4)
    suggested = next((each for each in capabilities.schedulers if short(each) == near), "") or ", ".join(capabilities.schedulers[:3])
    if not suggested:
        raise _wrong(places, "scheduler", "words.cannot", flag="sampler", model=capabilities.model)
    raise _wrong(places, "scheduler", "words.unknown_sampler", given=said.scheduler[:40], near=suggested, model=capabilities.model)


def _empty(places: Places) -> UserError:
    if not places:
        return BadWords("words.empty", start=0, end=0)
    return BadWords("words.only_flags", start=min(start for start, _ in places.values()), end=max(end for _, end in places.values()))


def _wrong(places: Places, name: str, message: str, **parameters: object) -> UserError:
    if name in places:
        return BadWords(message, start=places[name][0], end=places[name][1], **parameters)
    return Refused(message, **parameters)
