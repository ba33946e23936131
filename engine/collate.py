"""Which module calls may share one forward, how they concatenate along the batch, and how the output is given back.

Pure functions on trees of arguments (tensors in tuples, lists, dicts and model outputs), called by `engine.hub`, and by whoever cuts or joins a call himself
(`engine.guidance`, `engine.trial`). A *row* is one entry along dimension 0: one picture, or one picture's conditional or unconditional half under
classifier-free guidance.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn import functional as F
from torch.utils.weak import WeakIdKeyDictionary


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a module's parameters mean, where their shapes do not say it. Everything not named here is told by its shape."""

    #: No row dimension, whatever the first dimension is (rotary embeddings): passed once; calls share a forward only when these say the same.
    shared: frozenset[str] = frozenset()
    #: As shared, but with an entry a row of which the module reads the first (tensors of three dimensions and lists; flatter tensors are as shared):
    #: position ids, picture shapes.
    alike: frozenset[str] = frozenset()
    #: Lists with one tensor a row, of any size (Z-Image; its output is one too): different sizes share a forward.
    ragged: frozenset[str] = frozenset()
    #: Rows × tokens × …, and the parameter that masks them (rows × tokens, or None for all): padded to the longest, which the mask leaves out.
    padded: Mapping[str, str] = field(default_factory=dict)
    always: Mapping[str, Any] = field(default_factory=dict)  #: arguments that every call gets, whatever it says
    alone: bool = False  #: calls share no forward

    def once(self, name: str | None, value: Any) -> bool:
        """Whether a value has no rows, so that it is passed once."""
        return name in self.shared or (name in self.alike and isinstance(value, torch.Tensor) and value.dim() < 3)


PLAIN = Rules()


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments of one module call of `rows` rows."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    rows: int
    rules: Rules = field(default=PLAIN)


def count_rows(args: Sequence[Any], kwargs: Mapping[str, Any], rules: Rules = PLAIN) -> int:
    """Rows of a call: the length of its first ragged list, else the first dimension of its first tensor that has one; 1 when there is neither."""
    for name, value in (*((None, each) for each in args), *kwargs.items()):
        if name in rules.ragged and isinstance(value, list):
            return len(value)
        if isinstance(value, torch.Tensor) and value.dim() > 0 and not rules.once(name, value):
            return int(value.shape[0])
    return 1


def signature(call: Arguments) -> Hashable:
    """Two calls of one module may share a forward exactly when their signatures are equal.

    Timesteps (scalars, or one value a row, integer or real) never keep calls apart, nor do parameters that are None, nor the order of names; any other tensor
    must agree in everything but its rows. What has no rows must say the same.
    """
    if call.rules.alone:
        return next(_apart)
    fits = _Fits(call.rows, call.rules)
    named = {name: fits(value, name) for name, value in call.kwargs.items() if value is not None}
    for tokens, mask in call.rules.padded.items():
        if tokens in named:
            named[mask] = "mask"
    return (tuple(fits(value) for value in call.args), tuple(sorted(named.items())))


#: Signatures of calls that fit no other: more of them than calls can ever wait at once.
_apart = itertools.cycle(range(1 << 16))


@dataclass(frozen=True, slots=True)
class _Fits:
    rows: int
    rules: Rules

    def __call__(self, value: Any, name: str | None = None) -> Hashable:
        if isinstance(value, torch.Tensor):
            return self._tensor(value, name)
        if isinstance(value, Mapping):
            return tuple((key, self(inner, key)) for key, inner in value.items())
        if isinstance(value, list) and value and name in self.rules.ragged:
            return ("ragged", value[0].dim(), value[0].dtype)
        if isinstance(value, list) and value and name in self.rules.alike:
            return ("alike", self(value[0]))
        if isinstance(value, tuple | list):
            return (type(value).__name__, tuple(self(inner, name) for inner in value))
        if value is None or isinstance(value, bool | int | float | str):
            return (type(value).__name__, value)
        return ("same object", id(value))

    def _tensor(self, value: torch.Tensor, name: str | None) -> Hashable:
        if self.rules.once(name, value) or name in self.rules.alike:
            return ("alike", value.dtype, content(value, entry=not self.rules.once(name, value)))
        if is_timestep(value, self.rows):
            return "timestep"
        if name in self.rules.padded and value.dim() > 1 and value.shape[0] == self.rows:
            return ("padded", tuple(value.shape[2:]), value.dtype)
        if value.shape[0] == self.rows:
            return ("rows", tuple(value.shape[1:]), value.dtype)
        return ("shared", value.dtype, content(value))


#: Tensors with more elements than this say the same only when they are the very same.
_COMPARED = 1 << 22
_contents: WeakIdKeyDictionary = WeakIdKeyDictionary()


def content(tensor: torch.Tensor, *, entry: bool = False) -> Hashable:
    """What a tensor (`entry`: what its first entry) says; equal for equal ones.

    A pipeline passes the same tensor at every step, so what was once read from the device is remembered for as long as the tensor lives unchanged.
    """
    remembered: tuple[int, Hashable] = _contents.get(tensor, (-1, None))  # type: ignore[no-untyped-call]
    if remembered[0] == tensor._version:
        return remembered[1]
    said = tensor[0] if entry else tensor
    says = (tuple(said.shape), _bytes(said) if said.numel() <= _COMPARED else id(tensor))
    _contents[tensor] = (tensor._version, says)
    return says


def _bytes(tensor: torch.Tensor) -> int:
    """A hash of the very bits: numpy has not all the numbers that torch has."""
    flat = tensor.detach().cpu().reshape(-1)
    flat = torch.view_as_real(flat) if flat.is_complex() else flat
    return hash(flat.contiguous().view(torch.uint8).numpy().tobytes())


def is_timestep(value: torch.Tensor, rows: int) -> bool:
    """Whether a tensor is one number for the whole call, or one for each row."""
    return value.dim() == 0 or (value.dim() == 1 and value.shape[0] in (1, rows))


def concatenate(calls: Sequence[Arguments]) -> Arguments:
    """One call with everybody's rows, in order. The calls must have equal signatures."""
    rows, rules = [call.rows for call in calls], calls[0].rules
    join = _Join(rows, rules)
    args = tuple(join([call.args[i] for call in calls]) for i in range(len(calls[0].args)))
    padded = _padded(calls, rules)
    kwargs = {key: join([each.get(key) for each in padded], key) for key in padded[0]}
    return Arguments(args, kwargs, sum(rows), rules)


def _padded(calls: Sequence[Arguments], rules: Rules) -> list[dict[str, Any]]:
    """The calls' named arguments with all texts of one length. Calls that need no mask get none."""
    named = [dict(call.kwargs) for call in calls]
    for tokens, mask in rules.padded.items():
        if named[0].get(tokens) is None:
            continue
        longest = max(each[tokens].shape[1] for each in named)
        if all(each.get(mask) is None and each[tokens].shape[1] == longest for each in named):
            continue
        for each in named:
            words, seen = each[tokens], each.get(mask)
            seen = torch.ones(words.shape[:2], dtype=torch.bool, device=words.device) if seen is None else seen.bool()
            missing = longest - words.shape[1]
            each[tokens] = F.pad(words, (0, 0) * (words.dim() - 2) + (0, missing))
            each[mask] = F.pad(seen, (0, missing))
    return named


@dataclass(frozen=True, slots=True)
class _Join:
    rows: Sequence[int]
    rules: Rules

    def __call__(self, values: Sequence[Any], name: str | None = None) -> Any:
        first = values[0]
        if isinstance(first, torch.Tensor):
            return self._tensors(values, name)
        if isinstance(first, Mapping):
            return {key: self([value[key] for value in values], key) for key in first}
        if isinstance(first, list) and (name in self.rules.ragged or name in self.rules.alike):
            return [row for value in values for row in value]
        if isinstance(first, tuple | list):
            return type(first)(self([value[i] for value in values], name) for i in range(len(first)))
        return first

    def _tensors(self, values: Sequence[torch.Tensor], name: str | None) -> torch.Tensor:
        first = values[0]
        if self.rules.once(name, first):
            return first
        if name in self.rules.alike:
            return first[:1].expand(sum(self.rows), *first.shape[1:])
        if is_timestep(first, self.rows[0]):
            each = [value.reshape(-1).expand(n) for value, n in zip(values, self.rows, strict=True)]
            if any(value.dtype != first.dtype for value in values):  # float32 holds every integer timestep exactly, and is what the embedding computes in
                each = [value.to(torch.float32) for value in each]
            return torch.cat(each)
        if first.shape[0] != self.rows[0]:
            return first
        return torch.cat(list(values))


def slice_rows(call: Arguments, start: int, stop: int, pad_to: int = 0) -> Arguments:
    """Rows start..stop of a call; its first row is repeated up to `pad_to` rows when that is more."""
    length = stop - start
    extra = max(0, pad_to - length)

    def cut(value: Any, name: str | None = None) -> Any:
        if call.rules.once(name, value):
            return value
        if isinstance(value, torch.Tensor) and value.dim() > 0 and value.shape[0] == call.rows:
            part = value[start:stop].contiguous() if pad_to else value[start:stop]  # a full piece's memory format would else be its company's, and so its bits
            return torch.cat([part, part[:1].expand(extra, *part.shape[1:])]) if extra else part
        if isinstance(value, Mapping):
            return {key: cut(inner, key) for key, inner in value.items()}
        if isinstance(value, list) and (name in call.rules.ragged or name in call.rules.alike):
            return value[start:stop] + value[start : start + 1] * extra
        if isinstance(value, tuple | list):
            return type(value)(cut(inner, name) for inner in value)
        return value

    args, kwargs = tuple(cut(value) for value in call.args), {key: cut(value, key) for key, value in call.kwargs.items()}
    return Arguments(args, kwargs, length + extra, call.rules)


def split(output: Any, rows: Sequence[int], rules: Rules = PLAIN) -> list[Any]:
    """Give each call its rows of an output tree. Rows beyond the sum (padding) are dropped."""
    if isinstance(output, torch.Tensor):
        return list(torch.split(output[: sum(rows)], list(rows)))
    if isinstance(output, Mapping):  # a ModelOutput is one; its class takes its fields by name
        parts = {key: split(value, rows, rules) for key, value in output.items()}
        return [rebuild(output, {key: part[i] for key, part in parts.items()}) for i in range(len(rows))]
    if isinstance(output, list) and rules.ragged:
        ends = list(itertools.accumulate(rows))
        return [output[end - n : end] for end, n in zip(ends, rows, strict=True)]
    if isinstance(output, tuple | list):
        return [type(output)(each) for each in zip(*(split(value, rows, rules) for value in output), strict=True)]
    return [output] * len(rows)


def merge(outputs: Sequence[Any], rules: Rules = PLAIN) -> Any:
    """The inverse of `split`: outputs of consecutive rows become one."""
    first = outputs[0]
    if len(outputs) == 1:
        return first
    if isinstance(first, torch.Tensor):
        return torch.cat(list(outputs))
    if isinstance(first, Mapping):
        return rebuild(first, {key: merge([output[key] for output in outputs], rules) for key in first})
    if isinstance(first, list) and rules.ragged:
        return [row for output in outputs for row in output]
    if isinstance(first, tuple | list):
        return type(first)(merge(each, rules) for each in zip(*outputs, strict=True))
    return first


def rebuild(like: Mapping[str, Any], values: dict[str, Any]) -> Any:
    """`values` in a mapping of the same kind as `like`."""
    return values if type(like) is dict else type(like)(**values)
