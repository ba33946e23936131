"""Steps that change little are taken over from the step before, row by row. Attached by `engine.model` to a denoiser whose card has a `step_cache` threshold.

The first part of a denoiser tells how much its prediction has changed; where that is little, what the rest of it found last time is used again. In a
transformer the first part is its first block, and what is used again is what the other blocks added (First Block Cache: github.com/chengzeyi/ParaAttention). In
a U-Net it is its highest resolution, and what is used again is what came up from the lower ones (DeepCache: Ma et al. 2023, arXiv:2312.00858).

As published, one decision is taken for a whole batch, which must not change meanwhile. Here each row decides for itself, the rows that go on are a smaller
forward, and what is remembered lives with the row's request: it draws the same picture whoever steps beside it.

Modules are not touched. For the time of a forward the denoiser's blocks are hidden behind callables that call them; between forwards it is what it was. What
blocks are given beside their streams (embeddings of time and words, masks) is cut to the rows that go on wherever it has all the forward's rows.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.hooks import _helpers
from torch import nn

from engine import rows
from engine.rows import Row

#: Denoisers made of blocks in a row, and the lists those are in.
CHAINS: Mapping[str, tuple[str, ...]] = {
    "FluxTransformer2DModel": ("transformer_blocks", "single_transformer_blocks"),
    "Flux2Transformer2DModel": ("transformer_blocks", "single_transformer_blocks"),
    "SD3Transformer2DModel": ("transformer_blocks",),
    "QwenImageTransformer2DModel": ("transformer_blocks",),
    "ZImageTransformer2DModel": ("layers",),
    "PixArtTransformer2DModel": ("transformer_blocks",),
    "SanaTransformer2DModel": ("transformer_blocks",),
}
#: The same of a U-Net.
UNET = ("down_blocks", "mid_block", "up_blocks")
#: Those whose rows are padded to the longest of the forward, with the mask as the blocks' second argument.
RAGGED = frozenset({"ZImageTransformer2DModel"})
#: Arguments that reach between the blocks (ControlNets, layers to skip, remembered keys): a forward that has one is done in full.
REACHING = (
    "block_controlnet_hidden_states",
    "controlnet_block_samples",
    "controlnet_single_block_samples",
    "down_block_additional_residuals",
    "down_intrablock_additional_residuals",
    "mid_block_additional_residual",
    "skip_layers",
    "kv_cache_mode",
)


def supports(denoiser: nn.Module) -> bool:
    """Whether a step cache can be attached to it, the module itself and not what stands in for it."""
    kind = type(denoiser).__name__
    if kind in CHAINS:
        return sum(len(getattr(denoiser, name)) for name in CHAINS[kind]) > 1 and not getattr(denoiser, "zero_cond_t", False)
    return kind == "UNet2DConditionModel" and len(denoiser.up_blocks) > 1  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Kept:
    """Of a row's last full pass."""

    sign: torch.Tensor  #: by what the first part tells how much has changed
    rest: torch.Tensor  #: what the rest made of it


class StepCache:
    """Rows whose first part changed by less than `threshold`, relative to their last full pass, take over what the rest of the denoiser found then.

    `sizes` are how many rows the smaller forward may have (it takes along whom it needs to fill up); none: as many as go on. Give those that were compiled,
    or the one size of a hub with fixed rows, where a row's bits must not depend on its company.
    """

    def __init__(self, denoiser: nn.Module, threshold: float, *, sizes: Sequence[int] = ()) -> None:
        if not supports(denoiser):
            raise ValueError(f"no step cache is known for {type(denoiser).__name__}")
        self.threshold, self.sizes = threshold, tuple(sorted(sizes))
        self.taken = self.computed = 0  #: rows that took over, and rows that went on
        self._kept: weakref.WeakKeyDictionary[Hashable, dict[tuple[int, int], Kept]] = weakref.WeakKeyDictionary()
        kind = type(denoiser).__name__
        self._lists, self._ragged = CHAINS.get(kind, UNET), kind in RAGGED
        self._thread: int | None = None  #: whose forward is under way; others, such as those that are compiled in the background, are nobody's rows
        self._skips: dict[int, int] = {}  #: how many skip connections each block of a U-Net's way down has
        self._hooks = (
            denoiser.register_forward_pre_hook(self._begin, with_kwargs=True),
            denoiser.register_forward_hook(self._end, always_call=True),
        )

    @property
    def bytes(self) -> int:
        """What is remembered for the requests that are under way."""
        return sum(kept.sign.nbytes + kept.rest.nbytes for each in self._kept.values() for kept in each.values())

    def kept(self, row: Row) -> Kept | None:
        """Of this row's last full pass."""
        return self._kept.get(row.owner, {}).get((row.call, row.index)) if row.owner is not None else None

    def keep(self, row: Row, kept: Kept) -> None:
        """Remember a full pass for as long as the row's owner lives."""
        self._kept.setdefault(row.owner, {})[row.call, row.index] = kept

    def comparable(self, then: torch.Tensor, now: torch.Tensor) -> bool:
        """Whether two signs are of one shape, but for the padding of ragged rows."""
        return then.shape == now.shape or (self._ragged and then.shape[1:] == now.shape[1:])

    def forget(self, owner: Hashable) -> None:
        """Before a request begins another picture under the same name; and when it ends, for what else still holds it."""
        self._kept.pop(owner, None)

    def detach(self) -> None:
        """Let go of the denoiser."""
        for hook in self._hooks:
            hook.remove()

    def _begin(self, denoiser: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> None:
        now = rows.now()
        if not now or torch.is_grad_enabled() or any(kwargs.get(name) is not None for name in REACHING):
            return
        run = _Pass(self, now)
        hiding = _unet(run, denoiser, self._skips) if self._lists is UNET else _Chain(run, denoiser, self._lists, self._ragged).hiding()
        self._thread = threading.get_ident()
        denoiser.__dict__.update(hiding)  # where attributes are looked up before the submodules

    def _end(self, denoiser: nn.Module, args: Any, output: Any) -> None:
        if self._thread == threading.get_ident():
            self._thread = None
            for name in self._lists:
                denoiser.__dict__.pop(name, None)


class _Pass:
    """One forward: which rows go on after the first part, and what all have at the end."""

    def __init__(self, cache: StepCache, now: Sequence[Row]) -> None:
        self._cache, self._now = cache, now
        self._sign = torch.empty(0)
        self._going: list[int] = []  #: rows whose rest is computed anew
        self._cut: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._index: torch.Tensor | None = None  #: the rows of the smaller forward, those that go on first; None: all
        self._running: tuple[Row, ...] = ()

    def decide(self, sign: torch.Tensor, mask: torch.Tensor | None = None) -> None:
        """Who goes on. `sign`: rows × …; `mask`: rows × tokens, which of them are a row's own. Waits for the device once."""
        if sign.shape[0] != len(self._now):
            raise RuntimeError(f"a forward of {len(self._now)} rows has a first part of {sign.shape[0]}")
        self._sign = sign if mask is None else sign * mask.unsqueeze(-1)
        kept = [self._cache.kept(row) for row in self._now]
        changes = {k: _change(then.sign, self._sign[k]) for k, then in enumerate(kept) if then is not None and self._cache.comparable(then.sign, self._sign[k])}
        values = dict(zip(changes, torch.stack(list(changes.values())).tolist(), strict=True)) if changes else {}
        real = [k for k, row in enumerate(self._now) if row.owner is not None]
        self._going = [k for k in real if k not in values or not values[k] <= self._cache.threshold]
        self._cache.computed += len(self._going)
        self._cache.taken += len(real) - len(self._going)
        running = self._filled_up() if self._going else list(range(len(self._now)))
        if len(running) < len(self._now):
            self._index = torch.tensor(running, device=sign.device)
        self._running = tuple(self._now[k] for k in running)

    def _filled_up(self) -> list[int]:
        """Those that go on, and as many others after them as make it one of the sizes; all, in their order, when it is none of them."""
        sizes, everybody = self._cache.sizes or (len(self._going),), range(len(self._now))
        size = next((size for size in sizes if size >= len(self._going)), len(everybody))
        if size >= len(everybody):
            return list(everybody)
        return self._going + [k for k in everybody if k not in self._going][: size - len(self._going)]

    @property
    def over(self) -> bool:
        """Whether nobody goes on."""
        return not self._going

    def run(self, block: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """A block of the rest, for the rows that go on."""
        with rows.running(self._running):
            return block(*(self.narrow(value) for value in args), **{name: self.narrow(value, name) for name, value in kwargs.items()})

    def narrow(self, value: Any, name: str = "") -> Any:
        """Those rows of a tree of tensors. What has not all the rows (it was cut before, or is the same for all) stays as it is."""
        if self._index is None:
            return value
        if isinstance(value, torch.Tensor):
            all_rows = value.dim() > 0 and value.shape[0] == len(self._now)
            if not all_rows or ("rotary" in name and value.dim() < 3):  # positions × dimensions: as long as the forward is wide, by chance
                return value
            if id(value) not in self._cut:  # the next block is given the same
                self._cut[id(value)] = (value, value.index_select(0, self._index))
            return self._cut[id(value)][1]
        if isinstance(value, Mapping):
            return {key: self.narrow(inner, key) for key, inner in value.items()}
        if isinstance(value, tuple | list):
            return type(value)(self.narrow(inner, name) for inner in value)
        return value

    def first(self, tensor: torch.Tensor) -> torch.Tensor:
        """A stream as it leaves the first part: those rows of it."""
        return tensor if self._index is None else tensor.index_select(0, self._index)

    def settle(self, output: torch.Tensor | None, base: torch.Tensor | None = None) -> torch.Tensor:
        """What all rows have at the end of the rest. `output`: of those that went on; `base`: what it was added to, of all rows. Remembers it."""
        places = {k: k if self._index is None else place for place, k in enumerate(self._going)}
        found: list[torch.Tensor | None] = []
        for k, row in enumerate(self._now):
            kept = self._cache.kept(row)
            if output is not None and k in places:
                found.append(fresh := output[places[k]])
                rest = fresh.clone() if base is None else fresh - base[k]
                self._cache.keep(row, Kept(self._sign[k].clone(), rest))
            elif kept is not None:
                found.append(kept.rest if base is None else _added(base[k], kept.rest))
            else:
                found.append(None)  # padding: anything
        if output is not None and len(places) == len(found):
            return output
        any_row = next(each for each in found if each is not None)
        return torch.stack([any_row if each is None else each for each in found])


def _change(then: torch.Tensor, now: torch.Tensor) -> torch.Tensor:
    length = min(len(then), len(now))
    then, now = then[:length], now[:length]
    return (now - then).abs().sum(dtype=torch.float32) / then.abs().sum(dtype=torch.float32)


def _added(base: torch.Tensor, rest: torch.Tensor) -> torch.Tensor:
    length = min(len(base), len(rest))
    if length == len(base):
        return base + rest[:length]
    whole = base.clone()
    whole[:length] += rest
    return whole


class _Hiding:
    """Stands before a block: called, it does what the pass says; asked anything else, it is the block."""

    def __init__(self, block: Any, call: Callable[[Any, Sequence[Any], Mapping[str, Any]], Any]) -> None:
        self._block, self._call, self._thread = block, call, threading.get_ident()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != self._thread:
            return self._block(*args, **kwargs)
        return self._call(self._block, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._block, name)


class _Chain:
    """A transformer's blocks for the time of one forward."""

    def __init__(self, run: _Pass, denoiser: nn.Module, lists: Sequence[str], ragged: bool) -> None:
        self._run, self._ragged = run, ragged
        self._lists: dict[str, list[Any]] = {name: list(getattr(denoiser, name)) for name in lists}
        self._blocks = [block for blocks in self._lists.values() for block in blocks]
        self._head: Any = None  #: what the first block returned

    def hiding(self) -> dict[str, Any]:
        """What to put before the denoiser's lists."""
        ways = {id(self._blocks[0]): self._first, id(self._blocks[-1]): self._last}
        return {name: [_Hiding(block, ways.get(id(block), self._next)) for block in blocks] for name, blocks in self._lists.items()}

    def _first(self, block: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        self._head = block(*args, **kwargs)
        joint = _joint(block)
        after = self._head[joint[0]] if joint else self._head
        self._run.decide(after - _hidden(args, kwargs), args[1] if self._ragged else None)
        return tuple(map(self._run.first, self._head)) if joint else self._run.first(self._head)

    def _next(self, block: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if not self._run.over:
            return self._run.run(block, args, kwargs)
        joint, hidden = _joint(block), _hidden(args, kwargs)
        return _placed(hidden, kwargs["encoder_hidden_states"], joint) if joint else hidden

    def _last(self, block: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        output, joint = self._next(block, args, kwargs), _joint(block)
        hidden = output[joint[0]] if joint else output
        settled = self._run.settle(None if self._run.over else hidden, self._base(joint is not None))
        return _placed(settled, None, joint) if joint else settled  # nobody reads the words any more

    def _base(self, joint: bool) -> torch.Tensor:
        """What the last block's output would be if all but the first added nothing."""
        kind = _joint(self._blocks[0])
        if kind is None:
            return self._head  # type: ignore[no-any-return]
        hidden, words = self._head[kind[0]], self._head[kind[1]]
        return hidden if joint else torch.cat([words, hidden], dim=1)  # FLUX.2 goes on with one stream


def _joint(block: Any) -> tuple[int, int] | None:
    """Where a block that returns two streams returns the picture's and the words'; None for a block with one stream."""
    registry: Any = _helpers.TransformerBlockRegistry
    try:
        known = registry.get(type(block))
    except ValueError:
        return None
    return None if known.return_encoder_hidden_states_index is None else (known.return_hidden_states_index, known.return_encoder_hidden_states_index)


def _placed(hidden: Any, words: Any, joint: tuple[int, int]) -> tuple[Any, Any]:
    return (hidden, words) if joint[0] == 0 else (words, hidden)


def _hidden(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    return kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]


def _unet(run: _Pass, unet: Any, skips: dict[int, int]) -> dict[str, Any]:
    """What to put before a U-Net's blocks for the time of one forward: the first on the way down and the last on the way up are done for all rows."""

    def first(block: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        hidden, residuals = block(*args, **kwargs)
        run.decide(hidden)
        return run.first(hidden), residuals

    def down(block: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if run.over:  # the last on the way up takes its skip connections from the other end
            hidden = _hidden(args, kwargs)
            return hidden, (hidden,) * skips[id(block)]
        hidden, residuals = run.run(block, args, kwargs)
        skips[id(block)] = len(residuals)
        return hidden, residuals

    def through(block: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        return _hidden(args, kwargs) if run.over else run.run(block, args, kwargs)

    def lowest(block: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        hidden = through(block, args, kwargs)
        return run.settle(None if run.over else hidden)

    *ups, before_last, last = unet.up_blocks
    return {
        "down_blocks": [_Hiding(unet.down_blocks[0], first), *(_Hiding(block, down) for block in unet.down_blocks[1:])],
        "mid_block": unet.mid_block and _Hiding(unet.mid_block, through),
        "up_blocks": [*(_Hiding(block, through) for block in ups), _Hiding(before_last, lowest), last],
    }
