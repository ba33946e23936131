"""Which module calls may share one forward, how they concatenate along the batch, and how the output is given back.

Pure functions on trees of arguments (tensors in tuples, lists, dicts and model outputs), called by `engine.hub` alone. A *row* is one
entry along dimension 0: one picture, or one picture's conditional or unconditional half under classifier-free guidance.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments of one module call of `rows` rows."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    rows: int


def count_rows(args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
    """Rows of a call: the first dimension of its first tensor that has one; 1 when there is none."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, torch.Tensor) and value.dim() > 0:
            return int(value.shape[0])
    return 1


def signature(call: Arguments) -> Hashable:
    """Two calls of one module may share a forward exactly when their signatures are equal.

    Timesteps (scalars, or one value a row, integer or real) never keep calls apart; any other tensor must agree in everything but its rows.
    """
    return (tuple(_fits(value, call.rows) for value in call.args), _fits(dict(call.kwargs), call.rows))


def _fits(value: Any, rows: int) -> Hashable:
    if isinstance(value, torch.Tensor):
        if _is_timestep(value, rows):
            return "timestep"
        if value.shape[0] == rows:
            return ("rows", tuple(value.shape[1:]), value.dtype)
        return ("same object", id(value))  # without a row dimension it could be shared only by those who hold the very same one
    if isinstance(value, Mapping):
        return tuple((key, _fits(inner, rows)) for key, inner in value.items())
    if isinstance(value, tuple | list):
        return (type(value).__name__, tuple(_fits(inner, rows) for inner in value))
    if value is None or isinstance(value, bool | int | float | str):
        return (type(value).__name__, value)
    return ("same object", id(value))


def _is_timestep(value: torch.Tensor, rows: int) -> bool:
    return value.dim() == 0 or (value.dim() == 1 and value.shape[0] in (1, rows))


def concatenate(calls: Sequence[Arguments]) -> Arguments:
    """One call with everybody's rows, in order. The calls must have equal signatures."""
    rows = [call.rows for call in calls]
    args = tuple(_join([call.args[i] for call in calls], rows) for i in range(len(calls[0].args)))
    kwargs = {key: _join([call.kwargs[key] for call in calls], rows) for key in calls[0].kwargs}
    return Arguments(args, kwargs, sum(rows))


def _join(values: Sequence[Any], rows: Sequence[int]) -> Any:
    first = values[0]
    if isinstance(first, torch.Tensor):
        if _is_timestep(first, rows[0]):
            # float32 holds every integer timestep exactly, and is what the embedding computes in
            return torch.cat([value.reshape(-1).expand(n).to(torch.float32) for value, n in zip(values, rows, strict=True)])
        return torch.cat(list(values)) if first.shape[0] == rows[0] else first
    if isinstance(first, Mapping):
        return {key: _join([value[key] for value in values], rows) for key in first}
    if isinstance(first, tuple | list):
        return type(first)(_join([value[i] for value in values], rows) for i in range(len(first)))
    return first


def slice_rows(call: Arguments, start: int, stop: int, pad_to: int = 0) -> Arguments:
    """Rows start..stop of a call; its first row is repeated up to `pad_to` rows when that is more."""
    length = stop - start
    extra = max(0, pad_to - length)

    def cut(value: Any) -> Any:
        if isinstance(value, torch.Tensor) and value.dim() > 0 and value.shape[0] == call.rows:
            part = value[start:stop]
            return torch.cat([part, part[:1].expand(extra, *part.shape[1:])]) if extra else part
        if isinstance(value, Mapping):
            return {key: cut(inner) for key, inner in value.items()}
        if isinstance(value, tuple | list):
            return type(value)(cut(inner) for inner in value)
        return value

    return Arguments(tuple(cut(value) for value in call.args), {key: cut(value) for key, value in call.kwargs.items()}, length + extra)


def split(output: Any, rows: Sequence[int]) -> list[Any]:
    """Give each call its rows of an output tree. Rows beyond the sum (padding) are dropped."""
    total = sum(rows)
    if isinstance(output, torch.Tensor):
        return list(torch.split(output[:total], list(rows)))
    if isinstance(output, Mapping):  # a ModelOutput is one; its class takes its fields by name
        parts = {key: split(value, rows) for key, value in output.items()}
        return [_rebuild(output, {key: part[i] for key, part in parts.items()}) for i in range(len(rows))]
    if isinstance(output, tuple | list):
        return [type(output)(each) for each in zip(*(split(value, rows) for value in output), strict=True)]
    return [output] * len(rows)


def merge(outputs: Sequence[Any]) -> Any:
    """The inverse of `split`: outputs of consecutive rows become one."""
    first = outputs[0]
    if len(outputs) == 1:
        return first
    if isinstance(first, torch.Tensor):
        return torch.cat(list(outputs))
    if isinstance(first, Mapping):
        return _rebuild(first, {key: merge([output[key] for output in outputs]) for key in first})
    if isinstance(first, tuple | list):
        return type(first)(merge(each) for each in zip(*outputs, strict=True))
    return first


def _rebuild(like: Mapping[str, Any], values: dict[str, Any]) -> Any:
    return values if type(like) is dict else type(like)(**values)
