"""LoRA adapters, each row of a forward with a set of its own. Made by `engine.model`; `engine.operations` loads what a request names.

A low-rank adapter adds `scale · B(A x)` to a layer (Hu et al. 2021, arXiv:2106.09685). Servers that swap or fuse adapters give every picture of a batch the
same ones; here the rows of a forward may differ. All that any row wants is one product: the adapters' A stacked along the rank, each row's result weighted
rank by rank (0 where it does not want the adapter), then their B side by side. So a mixed batch costs two small products a layer, however many adapters
there are in it.

Layers are diverted only for the time of a forward that has rows with adapters: for everybody else the model is what it was.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from engine import lowrank, rows
from engine.api import ModelCorrupt, ModelMissing
from engine.lowrank import LowRank
from engine.rows import Row

#: Companies whose plans are remembered; the same rows come back step after step.
PLANS = 32


@dataclass(slots=True)
class Product:
    """Adapters that are applied together, and how much of each every row takes."""

    names: tuple[str, ...]
    amounts: torch.Tensor  #: rows × names; a single row stands for all
    rows: int  #: of the forward, which layers must tell apart; 0: all take the same
    chosen: torch.Tensor | None = None  #: the rows that take any; None: all
    _ready: dict[Any, tuple[torch.Tensor, torch.Tensor | None]] = field(default_factory=dict)

    def factors(self, make: Sequence[tuple[str, int, float]], like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """For a layer where the adapters are of this make (name, rank, scale): the rows' weights rank by rank, and the rows they are of."""
        key = (make, like.device, like.dtype)
        if key not in self._ready:
            columns = [self.amounts[:, self.names.index(name)].unsqueeze(1).expand(-1, rank) * scale for name, rank, scale in make]
            chosen = None if self.chosen is None else self.chosen.to(like.device)
            self._ready[key] = (torch.cat(columns, dim=1).to(like.device, like.dtype), chosen)
        return self._ready[key]


def plan(takes: Sequence[tuple[tuple[str, float], ...]], *, steady: bool = False) -> list[Product]:
    """Which adapters to apply together, to which rows. `takes`: each row's adapters and weights, as in `Traits.loras`.

    With `steady`, every product has one adapter and all rows, so that a row's bits do not depend on what its company takes.
    """
    sets = [_summed(each) for each in takes]
    names = tuple(sorted({name for each in sets for name in each}))
    if not names:
        return []
    alike = all(each == sets[0] for each in sets)
    amounts = torch.tensor([[each.get(name, 0.0) for name in names] for each in (sets[:1] if alike else sets)])
    count = 0 if alike else len(sets)
    if steady:
        return [Product((name,), amounts[:, k : k + 1], count) for k, name in enumerate(names)]
    if alike:
        return [Product(names, amounts, count)]
    chosen = [k for k, each in enumerate(sets) if each]
    return [Product(names, amounts[chosen], count, torch.tensor(chosen) if len(chosen) < count else None)]


def _summed(loras: Sequence[tuple[str, float]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, amount in loras:
        found[name] = found.get(name, 0.0) + amount
    return {name: amount for name, amount in found.items() if amount}


class Diverted:
    """One layer that adapters change: while diverted, what they add for the rows that are running is added to its output."""

    def __init__(self, layer: nn.Module, products: Callable[[], Sequence[Product]]) -> None:
        self.pairs: dict[str, LowRank] = {}
        self._layer, self._products = layer, products
        self._inner: Callable[[torch.Tensor], torch.Tensor] | None = None
        self._stacked: tuple[tuple[str, ...], torch.Tensor, torch.Tensor] | None = None

    def divert(self) -> None:
        self._inner = self._layer.forward
        self._layer.__dict__["forward"] = self._forward

    def restore(self) -> None:
        inner, self._inner = self._inner, None
        if inner is not None and getattr(inner, "__func__", None) is type(self._layer).forward:
            del self._layer.__dict__["forward"]
        elif inner is not None:  # somebody else had diverted it before
            self._layer.__dict__["forward"] = inner

    def _forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self._inner
        if inner is None:  # restored while another thread was on its way here
            return self._layer.forward(x)  # type: ignore[no-any-return]
        output = inner(x)
        for product in self._products():
            names = tuple(name for name in product.names if name in self.pairs)
            if names:
                output = self._added(output, x, product, names)
        return output

    def _added(self, output: torch.Tensor, x: torch.Tensor, product: Product, names: tuple[str, ...]) -> torch.Tensor:
        if product.rows and x.shape[0] != product.rows:
            raise RuntimeError(f"a layer that has {x.shape[0]} rows of {product.rows} cannot give each its own adapters")
        down, up = (side.to(x.device) for side in self._stack(names))  # an encoder may visit the device from elsewhere (`engine.memory`)
        weights, chosen = product.factors(tuple((name, self.pairs[name].rank, self.pairs[name].scale) for name in names), down)
        taken = x if chosen is None else x.index_select(0, chosen)
        if isinstance(self._layer, nn.Conv2d):
            low = self._layer._conv_forward(taken, down, None)  # with the layer's stride and padding, circular or not
            extra = F.conv2d(low * weights[:, :, None, None], up)
        else:
            low = F.linear(taken, down)
            low = low * weights.view(-1, *(1,) * (low.dim() - 2), low.shape[-1])
            if chosen is None:
                return torch.addmm(output.flatten(0, -2), low.flatten(0, -2), up.t()).view(output.shape)
            extra = F.linear(low, up)
        return output.add_(extra) if chosen is None else output.index_add_(0, chosen, extra)

    def _stack(self, names: tuple[str, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """These adapters' A along the rank, and their B side by side."""
        if len(names) == 1:
            return self.pairs[names[0]].down, self.pairs[names[0]].up
        if self._stacked is None or self._stacked[0] != names:
            self._stacked = None  # before there are two in memory
            pairs = [self.pairs[name] for name in names]
            self._stacked = (names, torch.cat([pair.down for pair in pairs]), torch.cat([pair.up for pair in pairs], dim=1))
        return self._stacked[1:]


class Adapters:
    """The adapters of one model, by name, each read when it is first wanted.

    `pipeline` is the class of its stock pipeline, `components` are that pipeline's, `files` say where the adapters are. `steady` as in `plan`: for devices
    whose hub has fixed rows.
    """

    def __init__(self, pipeline: type, components: Mapping[str, Any], files: Mapping[str, Path], *, steady: bool = False) -> None:
        self._pipeline, self._files, self._steady = pipeline, dict(files), steady
        self._components = {name: module for name, module in components.items() if isinstance(module, nn.Module) and lowrank.adaptable(name)}
        self._layers: dict[str, dict[nn.Module, Diverted]] = {name: {} for name in self._components}
        self._bytes: dict[str, int] = {}  #: of the loaded ones
        self._plans: dict[Any, Sequence[Product]] = {}
        self._last: tuple[tuple[Row, ...], Sequence[Product]] = ((), ())
        self._hooks = [hook for name, module in self._components.items() for hook in self._watch(name, module)]

    @property
    def bytes(self) -> int:
        """What the loaded ones take in memory."""
        return sum(self._bytes.values())

    def load(self, names: Iterable[str]) -> None:
        """Read those that have not been read yet. Blocking. Raises ModelMissing and ModelCorrupt, in sentences that name the adapter."""
        for name in dict.fromkeys(names):
            if name in self._bytes:
                continue
            if name not in self._files:
                raise ModelMissing(f"there is no adapter {name}")
            try:
                found = lowrank.read(self._files[name], self._pipeline, self._components)
            except (ModelCorrupt, ModelMissing) as error:
                raise type(error)(f"the adapter {name}: {error}") from error
            for component, layers in found.items():
                known = dict(self._layers[component])
                for layer, pair in layers.items():
                    known.setdefault(layer, Diverted(layer, self._products)).pairs[name] = pair
                self._layers[component] = known  # at once, for a forward on another thread
            self._bytes[name] = sum(pair.bytes for layers in found.values() for pair in layers.values())

    def detach(self) -> None:
        """Let go of the modules."""
        for hook in self._hooks:
            hook.remove()

    def _watch(self, component: str, module: nn.Module) -> Iterable[Any]:
        """Divert a component's layers for exactly the forwards that have rows with adapters."""
        diverted: list[Diverted] = []
        by: list[int] = []  #: the thread whose forward it is; another's, which is nobody's row, is not to end it

        def begin(module: nn.Module, args: Any) -> None:
            wanted = {name for row in rows.now() for name, _ in row.traits.loras}
            if missing := wanted - self._bytes.keys():
                raise ModelMissing(f"the adapter {min(missing)} was not loaded")
            if wanted:
                by.append(threading.get_ident())
                diverted.extend(layer for layer in self._layers[component].values() if not wanted.isdisjoint(layer.pairs))
                for layer in diverted:
                    layer.divert()

        def end(module: nn.Module, args: Any, output: Any) -> None:
            if threading.get_ident() in by:
                for layer in diverted:
                    layer.restore()
                diverted.clear()
                by.clear()

        return module.register_forward_pre_hook(begin), module.register_forward_hook(end, always_call=True)

    def _products(self) -> Sequence[Product]:
        """For the rows that are running: the whole forward's, or those of them that a step cache goes on with."""
        now, last = rows.now(), self._last
        if now is last[0]:
            return last[1]
        takes = tuple(row.traits.loras for row in now)
        products = self._plans.get(takes)
        if products is None:
            if len(self._plans) >= PLANS:
                self._plans.clear()
            products = self._plans[takes] = plan(takes, steady=self._steady)
        self._last = (now, products)
        return products
