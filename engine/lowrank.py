"""LoRA files → what they do to which layer of a model. Used by `engine.adapters`.

diffusers knows how kohya, PEFT, XLabs, ComfyUI and others spell the same layers, and says so in each pipeline's `lora_state_dict`; PEFT, which it hands the
result to, is not needed for that. What it passes over in silence is refused here: layers the model does not have, adapters that are more than `B(A x)`.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import state_dict_utils
from safetensors import safe_open
from torch import nn

from engine import weights
from engine.api import ModelCorrupt

#: Adapters that are more than B(A x): read as plain ones they would draw something else.
OTHER_KINDS = {"dora_scale": "DoRA", "lora_magnitude_vector": "DoRA", "lokr_": "LoKr", "hada_": "LoHa", "lora_mid": "a Tucker decomposition", "oft_": "OFT"}
_SIDE = re.compile(r"(.+)\.lora_([AB])(?:\.default)?\.weight")
_LONGEST = 300  #: characters of somebody else's error that are passed on
_SPELLING: Any = state_dict_utils


@dataclass(frozen=True, slots=True)
class LowRank:
    """What one adapter does to one layer: `scale · B(A x)` is added to its output."""

    down: torch.Tensor  #: A: rank × in for a linear layer, rank × in × height × width for a convolution
    up: torch.Tensor  #: B: out × rank, or out × rank × 1 × 1
    scale: float  #: alpha / rank

    @property
    def rank(self) -> int:
        return int(self.down.shape[0])

    @property
    def bytes(self) -> int:
        return self.down.nbytes + self.up.nbytes


def adaptable(component: str) -> bool:
    """Whether adapters may change a pipeline's component of this name."""
    return component.startswith(("unet", "transformer", "text_encoder"))


@dataclass(frozen=True, slots=True)
class Converted:
    """An adapter as diffusers reads it: weights by `component.layer.side`, and what is said of their scales."""

    state: Mapping[str, torch.Tensor]
    alphas: Mapping[str, Any]  #: by the name of a layer's A, up to where that says so; for files that keep them apart
    metadata: Mapping[str, Any]  #: PEFT's configuration, its fields after the component's name; empty when the file has none

    def alpha(self, component: str, key: str, layer: str) -> float | None:
        """What the file says of the layer whose A it calls `key`, if anything."""
        if f"{component}.lora_alpha" in self.metadata:
            return float(self._pattern(f"{component}.alpha_pattern", layer, self.metadata[f"{component}.lora_alpha"]))
        named = self.alphas.get(re.split(r"\.lora\.|\.lora_A\.", key)[0] + ".alpha")
        return None if named is None else float(named)

    def scale(self, component: str, key: str, layer: str, rank: int) -> float:
        """Of `B(A x)`: alpha / rank, or 1 where no alpha is given."""
        alpha = self.alpha(component, key, layer)
        if alpha is None:
            return 1.0
        return alpha / (math.sqrt(rank) if self.metadata.get(f"{component}.use_rslora") else rank)

    def _pattern(self, name: str, layer: str, otherwise: Any) -> Any:
        """PEFT's patterns: the end of a layer's name, as a regular expression."""
        patterns: Mapping[str, Any] = self.metadata.get(name) or {}
        return next((value for pattern, value in patterns.items() if re.fullmatch(rf"(.*\.)?({pattern})", layer)), otherwise)


def read(path: Path, pipeline: type, components: Mapping[str, nn.Module]) -> dict[str, dict[nn.Module, LowRank]]:
    """An adapter's layers, by component, on the device and in the numbers of the layers themselves. `path`: a file, or a folder with one.

    `pipeline` is the stock pipeline's class. Raises ModelMissing, and ModelCorrupt when the adapter is no plain LoRA, was made for another model, or
    cannot be read.
    """
    files = weights.files(path)
    if len(files) != 1:
        raise ModelCorrupt(f"{path.name} holds {len(files)} safetensors files; an adapter is one")
    converted = _convert(files[0], pipeline, components)
    strange = [key for key in converted.state if key.split(".")[0] not in components]
    if strange or not converted.state:
        raise ModelCorrupt(f"it is for another kind of model: it names {strange[0]}" if strange else "there is nothing in it")
    return {name: _layers(converted, name, module) for name, module in components.items()}


def _convert(file: Path, pipeline: type, components: Mapping[str, nn.Module]) -> Converted:
    _refuse_other_kinds(file)
    convert: Any = getattr(pipeline, "lora_state_dict", None)
    if convert is None:
        raise ModelCorrupt(f"no adapter is known for {pipeline.__name__}")
    options: dict[str, Any] = {"return_alphas": True} if "return_alphas" in inspect.signature(convert).parameters else {}
    if "unet" in components and "text_encoder_2" in components:  # SDXL, whose blocks its makers number otherwise
        options["unet_config"] = components["unet"].config
    try:
        state, *alphas, metadata = convert(str(file), use_safetensors=True, local_files_only=True, return_lora_metadata=True, **options)
    except Exception as error:
        raise ModelCorrupt(f"{file.name} cannot be read: {type(error).__name__}: {str(error)[:_LONGEST]}") from error
    return Converted(state, (alphas[0] if alphas else None) or {}, metadata or {})


def _refuse_other_kinds(file: Path) -> None:
    weights.check_header(file)
    with safe_open(file, framework="pt") as opened:
        for key in opened.keys():  # noqa: SIM118  # it is no mapping
            if other := next((kind for mark, kind in OTHER_KINDS.items() if mark in key), None):
                raise ModelCorrupt(f"{file.name} is {other}; only plain LoRA can be drawn with")


def _layers(converted: Converted, component: str, module: nn.Module) -> dict[nn.Module, LowRank]:
    """Of one component: both sides of every layer, held against the layer itself."""
    named = dict(module.named_modules())
    sides: dict[str, dict[str, tuple[str, torch.Tensor]]] = {}
    for key, (name, tensor) in _peft_names(converted.state, component, module).items():
        match = _SIDE.fullmatch(name)
        if match is None:
            raise ModelCorrupt(f"{key} is no part of a plain LoRA")
        sides.setdefault(match[1], {})[match[2]] = (key, tensor)
    if strange := [layer for layer in sides if not isinstance(named.get(layer), nn.Linear | nn.Conv2d)]:
        raise ModelCorrupt(f"it was made for another model: {len(strange)} of its layers are not in this one, {component}.{strange[0]} the first")
    found: dict[nn.Module, LowRank] = {}
    for layer, pair in sides.items():
        if pair.keys() != {"A", "B"}:
            raise ModelCorrupt(f"{component}.{layer} has only one of its two sides")
        key, down = pair["A"]
        scale = converted.scale(component, key, layer, down.shape[0])
        found[named[layer]] = _fitted(named[layer], f"{component}.{layer}", down, pair["B"][1], scale)
    return found


def _peft_names(state: Mapping[str, torch.Tensor], component: str, module: nn.Module) -> dict[str, tuple[str, torch.Tensor]]:
    """A component's weights: by the name they came under, the name PEFT gives them (`layer.lora_A.weight`)."""
    own = {key: tensor for key, tensor in state.items() if key.startswith(f"{component}.")}
    plain = {key.removeprefix(f"{component}."): tensor for key, tensor in own.items()}
    if not all(".lora_A." in name or ".lora_B." in name for name in plain):
        try:
            if component.startswith("text_encoder"):
                plain = _SPELLING.convert_state_dict_to_peft(_SPELLING.convert_state_dict_to_diffusers(plain))
            else:
                plain = _SPELLING.convert_unet_state_dict_to_peft(plain)
        except ValueError as error:
            raise ModelCorrupt(f"{next(iter(own))} is no part of a plain LoRA") from error
    if not hasattr(module, "text_model"):  # what CLIP's encoder was inside of, in older versions of transformers
        plain = {name.removeprefix("text_model."): tensor for name, tensor in plain.items()}
    return dict(zip(own, plain.items(), strict=True))


def _fitted(layer: nn.Module, name: str, down: torch.Tensor, up: torch.Tensor, scale: float) -> LowRank:
    """The two sides in the layer's own shape: some trainers save a linear layer's as a 1 × 1 convolution's, or the other way round."""
    weight: torch.Tensor = layer.weight  # type: ignore[assignment]
    rank, inner = down.shape[0], weight.shape[1:]
    if getattr(layer, "groups", 1) != 1 or down.numel() != rank * inner.numel() or up.numel() != rank * weight.shape[0] or up.shape[1] != rank:
        raise ModelCorrupt(f"it was made for another model: {name} is {tuple(weight.shape)} here, and {tuple(up.shape)} by {tuple(down.shape)} in it")
    to: dict[str, Any] = {"device": weight.device, "dtype": weight.dtype if weight.is_floating_point() else torch.float32}
    return LowRank(down.reshape(rank, *inner).to(**to), up.reshape(up.shape[0], rank, *(1,) * (weight.dim() - 2)).to(**to), scale)
