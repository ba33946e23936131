"""Seamless pictures: convolutions that wrap around, for rows that ask for it (`Traits.tile`). Attached by `engine.model` to what is made of convolutions.

A picture tiles when nothing in the model can tell its edges from its middle. In a U-Net and in an autoencoder's decoder only the padding of convolutions can
(attention there knows no positions, and normalisation sees the whole picture), so a row drawn on a torus takes circular padding and nothing else: what is
shifted around before is shifted around after. That goes for Sana's transformer, too. Others are told positions, which would have to wrap around as well: for
such a model there is no `--tile`.

Rows that tile have forwards of their own (`Traits.apart`), so padding is switched for a whole forward and switched back before the next.
"""

from __future__ import annotations

import threading
from typing import Any, Literal

from torch import nn

from engine import rows


class Wrapping:
    """Switches the convolutions inside `module` for the forwards of rows that tile, and touches them at no other time.

    For a method that is no forward, such as an autoencoder's `decode`, give the submodule it calls (`vae.decoder`).
    """

    def __init__(self, module: nn.Module) -> None:
        self._padded = [each for each in module.modules() if isinstance(each, nn.Conv2d) and each.padding_mode == "zeros" and _pads(each)]
        self._wrapped_by: int | None = None  #: the thread whose forward is under way; another's, which is nobody's row, is not to end it
        self._hooks = (module.register_forward_pre_hook(self._begin), module.register_forward_hook(self._end, always_call=True))

    @property
    def convolutions(self) -> int:
        """How many it switches; a model in which it is 0 cannot tile."""
        return len(self._padded)

    def detach(self) -> None:
        """Let go of the module."""
        for hook in self._hooks:
            hook.remove()

    def _begin(self, module: nn.Module, args: Any) -> None:
        now = rows.now()
        if now and now[0].traits.tile:
            self._wrapped_by = threading.get_ident()
            self._pad_with("circular")

    def _end(self, module: nn.Module, args: Any, output: Any) -> None:
        if self._wrapped_by == threading.get_ident():
            self._wrapped_by = None
            self._pad_with("zeros")

    def _pad_with(self, mode: Literal["zeros", "circular"]) -> None:
        for convolution in self._padded:
            convolution.padding_mode = mode


def _pads(convolution: nn.Conv2d) -> bool:
    padding = convolution.padding
    return padding == "same" if isinstance(padding, str) else any(size > 0 for size in padding)
