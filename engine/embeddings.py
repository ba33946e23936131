"""Words that were encoded before are not encoded again: outputs of text encoders, remembered by their input. Used by `engine.hub.Proxy`.

A community repeats itself: rerolls, variations, a style everybody uses, and the empty words of every unconditional half. The encoder's output depends on
nothing but its arguments, so a remembered one is the same bits.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(slots=True)
class EmbeddingCache:
    """The most recently used outputs, by (encoder, input), up to `budget` bytes. One thread."""

    budget: int = 256 * 2**20
    hits: int = 0
    misses: int = 0
    _kept: OrderedDict[Hashable, tuple[Any, int]] = field(default_factory=OrderedDict)
    _bytes: int = 0

    def remembered(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """What `compute` returned for this key before, or now. Outputs are shared: nobody may change one in place."""
        if key in self._kept:
            self.hits += 1
            self._kept.move_to_end(key)
            return self._kept[key][0]
        self.misses += 1
        output = compute()
        size = _size(output)
        if key not in self._kept and size <= self.budget:  # another request may have computed it meanwhile
            self._kept[key] = (output, size)
            self._bytes += size
            while self._bytes > self.budget:
                self._bytes -= self._kept.popitem(last=False)[1][1]
        return output

    def forget(self, owner: Hashable) -> None:
        """Drop everything of one model (its keys begin with `owner`), when it leaves the memory."""
        for key in [key for key in self._kept if isinstance(key, tuple) and key and key[0] == owner]:
            self._bytes -= self._kept.pop(key)[1]


def key_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Hashable | None:
    """The arguments by content, or None when there is something among them that has none (then nothing is remembered)."""
    try:
        return (tuple(_content(value) for value in args), tuple((name, _content(value)) for name, value in sorted(kwargs.items())))
    except TypeError:
        return None


def _content(value: Any) -> Hashable:
    if isinstance(value, torch.Tensor):
        if value.is_floating_point():  # pictures and embeddings: large, and never the same twice
            raise TypeError("not words")
        return (tuple(value.shape), value.dtype, value.cpu().numpy().tobytes())
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return tuple(_content(inner) for inner in value)
    if isinstance(value, Mapping):
        return tuple((name, _content(inner)) for name, inner in sorted(value.items()))
    raise TypeError(type(value).__name__)


def _size(output: Any) -> int:
    """Bytes of the tensors in an output tree."""
    if isinstance(output, torch.Tensor):
        return output.numel() * output.element_size()
    if isinstance(output, Mapping):
        return sum(_size(value) for value in output.values())
    if isinstance(output, tuple | list):
        return sum(_size(value) for value in output)
    return 0
