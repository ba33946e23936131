"""Weighted prompts, chaos and morphs: one request's denoiser sees other conditions than its pipeline encoded. Used by `engine.operations`.

With weights wᵢ of sum W, what stands in the conditional prediction's place is `uncond + Σ (wᵢ / W)(condᵢ − uncond)` (composition of diffusion models by their
scores: Liu et al. 2022, arXiv:2206.01714, with normalised weights). The shares wᵢ / W add up to 1, so that this is `Σ (wᵢ / W) condᵢ`: `a::2` alone changes
nothing, a negative weight pushes away, and a model without guidance blends in the same way.

Emphasis is a direction too. `a fox (in the snow:1.3)` is what the snow changes, times 1.3: `1.3 · cond(a fox in the snow) − 0.3 · cond(a fox)`. Scaling
the words' embeddings, as is done elsewhere, means nothing to encoders that are not CLIP; this works for every family.

Conditions are captured, not computed: the stock pipeline is run up to its first call of the denoiser, and what it would have been given is kept.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from engine import collate
from engine.api import Part
from engine.collate import Arguments
from engine.families import Family, Halves
from engine.proxy import Proxy

Conditions = Mapping[str, Any]
"""The denoiser's arguments that carry the words, of one row (or of as many as a call's conditional half has)."""


def shares(parts: Sequence[Part]) -> list[tuple[str, float]]:
    """Texts and their shares of the conditional prediction; the shares add up to 1. The parts' weights must have a positive sum.

    A part alone without emphasis is itself with share 1, whatever its weight.
    """
    total = sum(part.weight for part in parts)
    found: dict[str, float] = {}
    for part in parts:
        pull = 0.0
        for each in part.emphasis:
            rest = tidy(part.text[: each.start] + part.text[each.end :])
            found[rest] = found.get(rest, 0.0) - (each.weight - 1) * part.weight / total
            pull += each.weight - 1
        found[part.text] = found.get(part.text, 0.0) + (1 + pull) * part.weight / total
    return [(text, share) for text, share in found.items() if share] or [(parts[0].text, 1.0)]


def tidy(text: str) -> str:
    """What is left of a sentence when words were taken out."""
    return re.sub(r"\s+([,.;])", r"\1", re.sub(r"\s{2,}", " ", text)).strip(" ,;")


class _Captured(Exception):
    """The denoiser was about to be called."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        super().__init__()
        self.arguments = arguments


class StandIn:
    """Takes a denoiser's place in one request's copy of a pipeline, and passes for it in everything but being called."""

    def __init__(self, denoiser: Any) -> None:
        self.__dict__["_denoiser"] = denoiser

    @property  # type: ignore[misc]  # so that isinstance checks see the module
    def __class__(self) -> type:
        kind: type = self._denoiser.__class__
        return kind

    def __getattr__(self, name: str) -> Any:
        return getattr(self._denoiser, name)


class _Capturing(StandIn):
    """A denoiser that is not to be run."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise _Captured(self._denoiser.by_name(args, kwargs))


def capture(pipeline: Any, family: Family, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """What `pipeline(**arguments)` would give its denoiser first, by name. `pipeline` is the caller's own copy, and is changed."""
    pipeline.__dict__[family.denoiser] = _Capturing(getattr(pipeline, family.denoiser))
    try:
        pipeline(**arguments)
    except _Captured as captured:
        return captured.arguments
    raise RuntimeError(f"{type(pipeline).__name__} never called its {family.denoiser}")


def conditions(captured: Mapping[str, Any], family: Family) -> Conditions:
    """The part of a captured call that carries the words."""
    return {name: captured[name] for name in family.conditions if captured.get(name) is not None}


Share = float | Sequence[float]
"""How much of the conditional prediction: the same in all rows, or one number a row."""
Blend = Callable[[int], list[tuple[Share, Conditions]]]
"""Shares and conditions for a conditional half of so many rows."""


class Conditioned(StandIn):
    """Stands in for the denoiser in one request's copy of a pipeline: its conditional rows are predicted under `blend`'s conditions instead.

    `guided` says whether the pipeline asks for an unconditional prediction at all.
    """

    def __init__(self, denoiser: Proxy, family: Family, blend: Blend, guided: bool) -> None:
        super().__init__(denoiser)
        self.__dict__.update(_family=family, _blend=blend, _guided=guided, _calls=0)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call = self._denoiser.arguments(args, kwargs)
        halves, guided = self._family.halves, self._guided
        if guided and halves is Halves.APART:
            self.__dict__["_calls"] += 1
            if self._calls % 2 == 0:
                return self._denoiser(**call.kwargs)
        if guided and halves in (Halves.UNCONDITIONAL_FIRST, Halves.CONDITIONAL_FIRST):
            pictures, first = call.rows // 2, halves is Halves.UNCONDITIONAL_FIRST
            lower, upper = collate.slice_rows(call, 0, pictures), collate.slice_rows(call, pictures, call.rows)
            without, within = (lower, upper) if first else (upper, lower)
            blend = self._blend(pictures)
            found = self._denoiser.together([without.kwargs, *calls_under(within, blend)])
            blended = _blended(found[1:], [share for share, _ in blend])
            return collate.merge([found[0], blended] if first else [blended, found[0]], call.rules)
        blend = self._blend(call.rows)
        return _blended(self._denoiser.together(calls_under(call, blend)), [share for share, _ in blend])


def calls_under(call: Arguments, blend: Sequence[tuple[Share, Conditions]]) -> list[dict[str, Any]]:
    """The arguments of the same call of the denoiser, once under each of these conditions."""
    return [_told(call.kwargs, _rows_of(condition, call.rows)) for _, condition in blend]


def _told(kwargs: Mapping[str, Any], condition: Mapping[str, Any]) -> dict[str, Any]:
    """A call under another condition. Mappings are laid over each other: what is told beside the words (an image prompt) stays."""
    return {**kwargs, **{name: {**kwargs[name], **value} if isinstance(value, Mapping) and kwargs.get(name) else value for name, value in condition.items()}}


def _rows_of(value: Any, rows: int) -> Any:
    """Conditions of one row, for each of `rows`."""
    if isinstance(value, torch.Tensor):
        return value.expand(rows, *value.shape[1:]) if value.dim() and value.shape[0] == 1 else value
    if isinstance(value, Mapping):
        return {name: _rows_of(inner, rows) for name, inner in value.items()}
    if isinstance(value, list) and len(value) == 1:
        return value * rows
    return value


def _blended(outputs: Sequence[Any], shares: Sequence[Share]) -> Any:
    """Σ share · output, over trees of tensors; a list has one output a row."""
    first = outputs[0]
    if isinstance(first, torch.Tensor):
        if len(outputs) == 1 and shares[0] == 1:
            return first
        mixed = torch.zeros_like(first)
        for share, output in zip(shares, outputs, strict=True):
            mixed += _along_rows(share, first) * output
        return mixed
    if isinstance(first, Mapping):
        return collate.rebuild(first, {name: _blended([output[name] for output in outputs], shares) for name in first})
    if isinstance(first, list):
        return [_blended(row, [_of_row(share, k) for share in shares]) for k, row in enumerate(zip(*outputs, strict=True))]
    if isinstance(first, tuple):
        return tuple(_blended(each, shares) for each in zip(*outputs, strict=True))
    return first


def _along_rows(share: Share, like: torch.Tensor) -> torch.Tensor | float:
    if isinstance(share, float | int):
        return share
    return torch.tensor(share, dtype=like.dtype, device=like.device).view(-1, *[1] * (like.dim() - 1))


def _of_row(share: Share, row: int) -> float:
    return share if isinstance(share, float | int) else share[row]


def weighted(found: Sequence[tuple[float, Conditions]]) -> Blend:
    """Every row under all the conditions, blended by their shares (of sum 1)."""
    return lambda rows: list(found)


def between(start: Sequence[tuple[float, Conditions]], end: Sequence[tuple[float, Conditions]], rows: int) -> Blend:
    """Row k of `rows` at k / (rows − 1) of the way from one blend to the other: a morph.

    Conditions that are alike in shape change into one another. Others (texts of different lengths, where a family's denoiser sees the length) cannot, and
    their predictions are blended instead.
    """
    ways = [k / max(1, rows - 1) for k in range(rows)]
    blend: list[tuple[Share, Conditions]] = []
    for before, after in itertools.zip_longest(start, end):
        if before and after and _alike(before[1], after[1]):
            blend.append(([before[0] + way * (after[0] - before[0]) for way in ways], _mixed(before[1], after[1], ways)))
            continue
        if before:
            blend.append(([before[0] * (1 - way) for way in ways], before[1]))
        if after:
            blend.append(([after[0] * way for way in ways], after[1]))
    return lambda rows: blend


def _alike(one: Any, other: Any) -> bool:
    """Whether what lies between the two means anything: numbers of the same shape, and everything else equal."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.shape == other.shape and (one.is_floating_point() or torch.equal(one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_alike(one[name], other[name]) for name in one)
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(_alike, one, other))
    return bool(one == other)


def _mixed(one: Any, other: Any, ways: Sequence[float]) -> Any:
    """One row for each of the ways; what is the same at both ends stays as it is."""
    if isinstance(one, torch.Tensor):
        return one if torch.equal(one, other) else torch.cat([torch.lerp(one, other, way) for way in ways])
    if isinstance(one, Mapping):
        return {name: _mixed(one[name], other[name], ways) for name in one}
    if isinstance(one, list) and len(one) == 1 and isinstance(one[0], torch.Tensor):
        return [torch.lerp(one[0], other[0], way) for way in ways]
    if isinstance(one, tuple | list):
        return type(one)(_mixed(a, b, ways) for a, b in zip(one, other, strict=True))
    return one
