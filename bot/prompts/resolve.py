"""Words → request: flags beat a style, that beats preferences, those beat the server's defaults, those beat the model's. Pure.

Called by `bot.drawing` for every prompt and by `bot.prompts.hints` for the cost shown while typing. `layers` says which preferences there are, `layered` alone
decides who wins, `bot.prompts.pictures` says what a member's pictures mean.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from math import log
from operator import attrgetter
from typing import Any

from bot.errors import BadWords, Refused, UserError
from bot.prompts.flags import BY_FIELD, CONTRADICTIONS, MAX_RATIO, MIN_RATIO, nearest, plain
from bot.prompts.grammar import parse, read_flags
from bot.prompts.pictures import Pictured, pictured
from bot.prompts.places import NO_PLACES, Places, wrong
from bot.prompts.words import Source, Words
from engine.api import STRENGTHS, Capabilities, ImagineRequest, Lora, Part, UnsupportedOperation
from engine.checks import MOST_EMPHASES, MOST_PARTS
from engine.efforts import drafted, quickened

_SEED_COUNT = 2**32
_STRONGEST = 3.0  #: times the model's own guidance, for `--stylize 1000`
_SWITCHES = ("chaos", "stop", "best", "clip", "tile", "video")  #: fields that need the operation of the same name
_IDLE = (None, False, 0, ())  #: values that ask for nothing
_UNSAID: tuple[Any, ...] = (None, ())
_FLAGS = tuple(each.name for each in fields(Words) if each.name != "parts")
_AGAINST = {name: tuple(other for pair in CONTRADICTIONS if name in pair for other in pair if other != name) for name in _FLAGS}
_flags = attrgetter(*_FLAGS)
_NOTHING_SAID = _flags(Words())


def layered(words: Words, *defaults: Words) -> Words:
    """`words` with what they leave unsaid filled from each of `defaults` in turn (never the parts: those are the member's own)."""
    said: dict[str, Any] = {}
    for layer in defaults:
        theirs = _flags(layer)
        if theirs == _NOTHING_SAID:  # most layers: this is asked some ten times for every command
            continue
        said = said or {each.name: getattr(words, each.name) for each in fields(Words)}
        for name, value in zip(_FLAGS, theirs, strict=True):
            if value not in _UNSAID and said[name] in _UNSAID and all(said[other] in _UNSAID for other in _AGAINST[name]):
                said[name] = value
    return Words(**said) if said else words


def layers(member: Mapping[str, Any], server: Mapping[str, Any]) -> tuple[Words, ...]:
    """Stored preferences as defaults for `layered`, the strongest first. A layer's parts are words that go after every prompt (`suffix`).

    Whatever is stored and makes no sense (any more) counts as unsaid. Never raises.
    """
    return (_layer(member), _layer(server))


def _layer(wishes: Mapping[str, Any]) -> Words:
    if not wishes:
        return Words()
    sets = wishes.get("sets")
    known = {name: flags for name, flags in sets.items() if isinstance(name, str) and isinstance(flags, str)} if isinstance(sets, Mapping) else {}
    said = Words()
    with contextlib.suppress(BadWords):
        said = read_flags(_text(wishes.get("flags")), known).evolve(repeat=None)
    with contextlib.suppress(BadWords):
        said = said.evolve(parts=parse(_text(wishes.get("suffix"))).parts)
    lane = wishes.get("lane")
    chosen = Words(model=_text(wishes.get("model")) or None, fast=lane == "fast" or None, relax=lane == "relax" or None)
    return layered(chosen, said).evolve(parts=said.parts)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def choose_model(
    words: Words, models: Sequence[Capabilities], *, default: str = "", defaults: Sequence[Words] = (), places: Places = NO_PLACES
) -> Capabilities:
    """The model `words` ask for, else the first of `defaults` that is there, else `default`, else the shelf's first.

    Raises BadWords or Refused with those there are.
    """
    by_name = {each.model.casefold(): each for each in models}
    preferred = (layer.model for layer in defaults if layer.model and layer.model.casefold() in by_name)
    wanted = words.model or next(preferred, "") or default
    if not wanted and models:
        return models[0]
    if found := by_name.get(wanted.casefold()):
        return found
    available = tuple(each.model for each in models)
    if words.model:
        raise wrong(places, "model", "words.unknown_model", given=wanted[:40], available=available)
    raise Refused("refused.model_gone", model=wanted, available=available)


def resolve(
    words: Words,
    capabilities: Capabilities,
    *,
    seed: int,
    pictures: Sequence[Source] = (),
    defaults: Sequence[Words] = (),
    places: Places = NO_PLACES,
) -> ImagineRequest:
    """What the engine is asked to draw. `seed` is taken when the words name none; `places` (from `locate`) let a mistake name its place.

    `pictures` are what came along, each for what its role says (`bot.prompts.pictures`).
    Raises BadWords, or Refused where the words have no place to blame.
    """
    said = layered(words, *defaults)
    able = capabilities.operations
    if "imagine" not in able:
        raise Refused("refused.cannot", model=capabilities.model, what="/imagine")
    if words.style is not None:  # a style that `bot.prompts.styles.styled` did not find, or was not asked about
        raise wrong(places, "style", "words.unknown_style", given=words.style[:40])
    given = pictured(words, said, pictures, capabilities, places)
    if not words.parts and not given.speaks:
        raise _empty(places)
    _check_parts(said.parts, capabilities, places)
    if said.unwanted and "unwanted" not in able:
        raise wrong(places, "unwanted", "words.cannot", flag="no", model=capabilities.model)
    said = _what_it_can(words, said, capabilities, places)
    width, height, enlarge = _size(said, capabilities, given.shape, places)
    steps = _within(said, "steps", places, capabilities.model, 1, capabilities.max_steps)
    guidance = _within(said, "guidance", places, capabilities.model, 1, max(1.0, capabilities.max_guidance))
    count = _within(said, "count", places, capabilities.model, 1, capabilities.max_count)
    guidance = _guidance(words, said, guidance, capabilities, places)
    if words.unwanted and guidance <= 1:
        raise wrong(places, "unwanted", "words.no_needs_guidance")
    drawn = int(min(4, capabilities.max_count) if count is None else count)
    if said.best is not None and said.best < drawn:
        if words.best is not None:
            raise wrong(places, "best", "words.best_too_few", given=said.best, keep=drawn)
        said = said.evolve(best=None)
    request = ImagineRequest(
        model=capabilities.model,
        parts=tuple(_without_idle_emphasis(part) for part in said.parts) or (Part(text=""),),
        unwanted=said.unwanted,
        seed=(seed if said.seed is None else said.seed) % _SEED_COUNT,
        width=width,
        height=height,
        count=drawn,
        steps=_steps(said, None if steps is None else int(steps), capabilities),
        guidance=float(guidance),
        scheduler=_scheduler(said, capabilities, places),
        source=given.source.digest if given.source else None,
        strength=_strength(said, given, capabilities),
        mask=given.mask,
        mix=given.mix,
        image_prompts=given.image_prompts,
        control=given.control,
        loras=_loras(said, capabilities, places),
        tile=bool(said.tile),
        stop=(said.stop or 100) / 100,
        best_of=said.best or 0,
        clip=said.clip or 0.0,
        chaos=(said.chaos or 0) / 100,
        video=bool(said.video),
        enlarge=enlarge,
    )
    request = _by_effort(request, words, said, capabilities, places)
    if request.chaos and request.steps < 2:  # it lives in the early steps
        if words.chaos:
            raise wrong(places, "chaos", "words.cannot", flag="chaos in a single step", model=capabilities.model)
        return replace(request, chaos=0.0)
    return request


def _check_parts(parts: Sequence[Part], capabilities: Capabilities, places: Places) -> None:
    """Raises BadWords or Refused for weights and emphasis the model has not, or too many of them (a style brings its own)."""
    able = capabilities.operations
    if len(parts) > 1 and "weights" not in able:
        raise Refused("refused.cannot", model=capabilities.model, what="::")
    if any(part.emphasis for part in parts) and "emphasis" not in able:
        raise wrong(places, "emphasis", "refused.cannot", model=capabilities.model, what="(…:1.3)")
    if len(parts) > MOST_PARTS:
        raise Refused("words.too_many_parts", limit=MOST_PARTS)
    if sum(len(part.emphasis) for part in parts) > MOST_EMPHASES:
        raise Refused("words.too_many_emphases", limit=MOST_EMPHASES)


def _strength(said: Words, given: Pictured, capabilities: Capabilities) -> float:
    """How far from the source: as asked, else as the model's card says."""
    kind = "region" if given.mask else "source"
    return capabilities.strengths.get(kind, STRENGTHS[kind]) if said.strength is None else said.strength


def _by_effort(request: ImagineRequest, words: Words, said: Words, capabilities: Capabilities, places: Places) -> ImagineRequest:
    """As a draft where that is asked, in the model's usual few steps where nobody asks for anything else."""
    if said.draft:
        try:
            if request.clip and capabilities.draft and capabilities.draft.steps < 2:
                raise UnsupportedOperation("--draft with --clip", capabilities.model)  # guidance between steps needs two
            return drafted(request, capabilities)
        except UnsupportedOperation as error:
            if words.draft:
                raise wrong(places, "draft", "words.cannot", flag=error.what.removeprefix("--"), model=capabilities.model) from None
    asked = any(getattr(said, name) is not None for name in ("steps", "guidance", "scheduler", "quality", "stylize"))
    looks = bool(request.clip and capabilities.quick and capabilities.quick.steps < 2)
    return request if asked or looks else quickened(request, capabilities)


def _what_it_can(words: Words, said: Words, capabilities: Capabilities, places: Places) -> Words:
    """`said` without the defaults this model knows nothing of. Raises BadWords or Refused for what the words themselves ask for."""
    for name in _SWITCHES:
        if getattr(said, name) in _IDLE or name in capabilities.operations or (name == "stop" and said.stop == 100):
            continue
        if getattr(words, name) not in _IDLE:
            raise wrong(places, name, "words.cannot", flag=BY_FIELD[name].name, model=capabilities.model)
        said = said.evolve(**{name: None})
    if not words.loras:  # a default's adapters, as far as they are on this model's shelf
        said = said.evolve(loras=tuple(each for each in said.loras if _lora_named(each.name, capabilities)))
    return said


def _lora_named(name: str, capabilities: Capabilities) -> str:
    return next((each for each in capabilities.loras if each.casefold() == name.casefold()), "") if "lora" in capabilities.operations else ""


def _loras(said: Words, capabilities: Capabilities, places: Places) -> tuple[Lora, ...]:
    found: list[Lora] = []
    for at, each in enumerate(said.loras):
        place = f"loras.{at}"
        if "lora" not in capabilities.operations or not capabilities.loras:
            raise wrong(places, place, "words.cannot", flag="lora", model=capabilities.model)
        name = _lora_named(each.name, capabilities)
        if not name and (near := nearest(each.name, capabilities.loras, cutoff=0.4)):
            raise wrong(places, place, "words.unknown_lora_near", given=each.name[:40], near=near, model=capabilities.model)
        if not name:
            raise wrong(places, place, "words.unknown_lora", given=each.name[:40], available=capabilities.loras[:8], model=capabilities.model)
        found.append(replace(each, name=name))
    return tuple(found)


def _guidance(words: Words, said: Words, guidance: float | None, capabilities: Capabilities, places: Places) -> float:
    """`--cfg`, or the model's own, scaled as `--stylize` says: 0 is none at all, 100 the model's own, 1000 three times that (or the most there is)."""
    usual = capabilities.guidance
    if guidance is not None or said.stylize is None:
        return usual if guidance is None else guidance
    if usual <= 1:
        if words.stylize is not None:
            raise wrong(places, "stylize", "words.cannot", flag="stylize", model=capabilities.model)
        return usual
    if said.stylize <= 100:
        return float(usual ** (said.stylize / 100))
    most = max(usual, min(_STRONGEST * usual, capabilities.max_guidance))
    return float(min(most, usual * (most / usual) ** ((said.stylize - 100) / 900)))


def _without_idle_emphasis(part: Part) -> Part:
    """Emphasis of 1 changes nothing, and would cost a forward pass."""
    return replace(part, emphasis=tuple(each for each in part.emphasis if each.weight != 1))


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


def _size(said: Words, capabilities: Capabilities, source: Source | None, places: Places) -> tuple[int, int, int]:
    """Width and height that are drawn, in pixels, and how many times larger the picture is made in the end."""
    finish = 1 if said.raw else capabilities.finish
    if said.size:
        return _exactly(said.size, finish, capabilities, places)
    if said.aspect:
        ratio = said.aspect[0] / said.aspect[1]
        size = snap(ratio, capabilities)
        if abs(log(size[0] / size[1] / ratio)) > log(1.3):
            raise wrong(places, "aspect", "words.ratio_out_of_reach", model=capabilities.model, near=f"{size[0]}:{size[1]}")
        return *size, finish
    if source:
        return *snap(min(max(source.width / source.height, MIN_RATIO), MAX_RATIO), capabilities), finish
    return capabilities.width, capabilities.height, finish


def _exactly(size: tuple[int, int], finish: int, capabilities: Capabilities, places: Places) -> tuple[int, int, int]:
    """A size as it was asked for: drawn so where the model can, else drawn smaller and enlarged to it."""
    unit, low, high = capabilities.multiple, capabilities.min_edge, capabilities.max_edge

    def nearest_to(width: int, height: int) -> tuple[int, int]:
        across, down = (min(max(round(edge / unit) * unit, -(-low // unit) * unit), high // unit * unit) for edge in (width, height))
        return across, down

    near = nearest_to(*size)
    if near == size:
        return *size, 1
    small = (size[0] // finish, size[1] // finish)
    if nearest_to(*small) == small and (finish * small[0], finish * small[1]) == size:
        return *small, finish
    raise wrong(places, "size", "words.size_out_of_bounds", model=capabilities.model, low=low, high=high, multiple=unit, near=f"{near[0]}x{near[1]}")


def _within(said: Words, name: str, places: Places, model: str, low: float, high: float) -> float | None:
    """A number the model bounds, or None when unsaid. A default of the server's that this model cannot reach is brought to its bound."""
    value: float | None = getattr(said, name)
    if value is None or low <= value <= high:
        return value
    if name not in places and places is not NO_PLACES:
        return min(max(value, low), high)
    raise wrong(places, name, "words.beyond_model", flag=BY_FIELD[name].name, model=model, low=plain(low), high=plain(high), given=plain(value))


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
        raise wrong(places, "scheduler", "words.cannot", flag="sampler", model=capabilities.model)
    raise wrong(places, "scheduler", "words.unknown_sampler", given=said.scheduler[:40], near=suggested, model=capabilities.model)


def _empty(places: Places) -> UserError:
    if not places:
        return BadWords("words.empty", start=0, end=0)
    return BadWords("words.only_flags", start=min(start for start, _ in places.values()), end=max(end for _, end in places.values()))
