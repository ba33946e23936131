"""What stands in a pipeline where a heavy module was. Used by `engine.model`, which puts it there, and by `engine.guidance`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import torch

from engine import collate, embeddings
from engine.collate import Arguments, Rules
from engine.embeddings import EmbeddingCache
from engine.hub import Share, Wanted, seat


class Proxy:
    """Stands in for `module`; the methods named in `shares` are run by the hub, everything else is the module's own.

    Called outside a hub's task it computes right away, like the module. `rules` say what the parameters of `__call__` mean; with `memory`, outputs of
    whole calls are remembered by their input, under `owner`.
    """

    def __init__(self, module: Any, shares: Mapping[str, Share], *, rules: Rules | None = None, memory: EmbeddingCache | None = None, owner: str = "") -> None:
        self.__dict__.update(
            _module=module, _shares=dict(shares), _rules=rules if rules and rules != collate.PLAIN else collate.PLAIN, _memory=memory, _owner=owner
        )
        if isinstance(module, torch.nn.Module) and (first := next(module.parameters(), None)) is not None:
            # Pipelines ask for these several times a call, and diffusers walks every submodule for an answer (5 ms each on a small model). Nobody hooks or
            # moves our modules behind a pipeline's back, so the answers are fixed; engine.memory.visit brings a module back to this device for each call.
            self.__dict__.update(device=first.device, dtype=getattr(module, "dtype", first.dtype), modules=lambda: iter(()))
        if hasattr(module, "config"):  # asked for several times a step, through three `__getattr__`s
            self.__dict__["config"] = module.config
        self.__dict__["_order"] = _names(_kind(module))

    @property  # type: ignore[misc]  # so that isinstance(pipe.unet, UNet2DConditionModel) stays true
    def __class__(self) -> type:
        return type(self._module)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        if name in self._shares:
            return lambda *args, **kwargs: self._send(name, value, args, kwargs)
        return value

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._send("__call__", self._module, args, kwargs)

    def together(self, calls: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Several calls at once, by keyword: the hub runs those that fit together as one forward. Their outputs, in order."""
        found = seat()
        if found is None:
            return [self._module(**call) for call in calls]
        hub, task = found
        return hub.wait(task, [self._wanted("__call__", self._module, (), dict(call)) for call in calls])

    def _send(self, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        found, share = seat(), self._shares.get(name)
        if found is None or share is None:
            return function(*args, **kwargs)
        hub, task = found
        if share is Share.ROWS:
            kwargs.pop("generator", None)  # a list with one for each row; no autoencoder draws from it while decoding

        def run() -> Any:
            return hub.wait(task, [self._wanted(name, function, args, kwargs)])[0]

        if self._memory is not None and share is Share.WHOLE and (key := embeddings.key_of(args, kwargs)) is not None:
            return self._memory.remembered((self._owner, id(self._module), name, task.traits.loras, key), run)
        return run()

    def by_name(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call by the module's own parameter names, so that a call says the same however it was written."""
        return {**dict(zip(self._order, args, strict=False)), **kwargs}

    def arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Arguments:
        """A call of the module, ready to be cut and joined."""
        named = self.by_name(args, kwargs)
        first = next(iter(named.values()), None)
        if self._rules is collate.PLAIN and isinstance(first, torch.Tensor) and first.dim() > 0:
            return Arguments((), named, first.shape[0])
        return Arguments((), {**named, **self._rules.always}, collate.count_rows((), named, self._rules), self._rules)

    def _wanted(self, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Wanted:
        if name == "__call__" and len(args) <= len(self._order):
            arguments = self.arguments(args, kwargs)
        else:
            arguments = Arguments(args, kwargs, collate.count_rows(args, kwargs))
        return Wanted(function, (id(self._module), name), arguments, self._shares[name])


def _kind(module: Any) -> Any:
    return type(module)


@functools.cache
def _names(kind: Hashable) -> tuple[str, ...]:
    """The names of a module class's positional parameters; none where they cannot be told."""
    forward = getattr(kind, "forward", None)
    if forward is None:
        return ()
    parameters = list(inspect.signature(forward).parameters.values())[1:]
    if any(each.kind in (each.VAR_POSITIONAL, each.POSITIONAL_ONLY) for each in parameters):
        return ()
    return tuple(each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD)
