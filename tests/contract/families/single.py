"""Checkpoints in one file, in the layouts their makers publish them in: the tensors of a diffusers pipeline under the names of the original code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

Tensors = dict[str, torch.Tensor]

_UNET = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}

_Z_IMAGE = {
    "all_final_layer.2-1.": "final_layer.",
    "all_x_embedder.2-1.": "x_embedder.",
    "attention.to_out.0": "attention.out",
    "attention.norm_q": "attention.q_norm",
    "attention.norm_k": "attention.k_norm",
}


def write_stable_diffusion(pipeline: Any, path: Path) -> None:
    """Everything in one file, as CompVis's latent diffusion code names it (what `.safetensors` of Stable Diffusion 1.x are)."""
    tensors = {
        **_named("model.diffusion_model.", pipeline.unet.state_dict(), lambda name: _unet_name(name, pipeline.unet.config.layers_per_block + 1)),
        **_named("first_stage_model.", pipeline.vae.state_dict(), lambda name: _vae_name(name, len(pipeline.vae.config.block_out_channels))),
        **_named("cond_stage_model.transformer.text_model.", pipeline.text_encoder.state_dict(), lambda name: name),
    }
    for name, tensor in tensors.items():
        if ".mid.attn_1." in name and name.endswith("weight") and tensor.dim() == 2:  # convolutions of one pixel, there
            tensors[name] = tensor[:, :, None, None]
    _write(tensors, path)


def _named(prefix: str, state: Mapping[str, torch.Tensor], rename: Any) -> Tensors:
    return {prefix + rename(name): tensor for name, tensor in state.items()}


def _unet_name(name: str, layers: int) -> str:
    """`layers`: entries a block of the original's flat lists has."""
    for ours, theirs in _UNET.items():
        if name.startswith(ours + "."):
            name = theirs + name.removeprefix(ours)
    if match := re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.*)", name):
        way, block, kind, layer, rest = match.groups()
        entry = int(block) * layers + int(layer)
        name = f"{f'input_blocks.{entry + 1}' if way == 'down' else f'output_blocks.{entry}'}.{'0' if kind == 'resnets' else '1'}.{rest}"
    if match := re.match(r"down_blocks\.(\d+)\.downsamplers\.0\.conv\.(.*)", name):
        name = f"input_blocks.{(int(match[1]) + 1) * layers}.0.op.{match[2]}"
    if match := re.match(r"up_blocks\.(\d+)\.upsamplers\.0\.conv\.(.*)", name):  # the small models' first block up has no attention before it
        name = f"output_blocks.{(int(match[1]) + 1) * layers - 1}.1.conv.{match[2]}"
    if re.match(r"(input_blocks|output_blocks)\.\d+\.0\.|middle_block\.[02]\.", name):
        for ours, theirs in _RESNET.items():
            name = name.replace(f".{ours}.", f".{theirs}.")
    return name


def _vae_name(name: str, levels: int) -> str:
    name = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d+)\.resnets", lambda match: f"up.{levels - 1 - int(match[1])}.block", name)
    name = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda match: f"up.{levels - 1 - int(match[1])}.upsample", name)
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda match: f"mid.block_{int(match[1]) + 1}", name)
    if "mid_block.attentions.0." in name:
        for ours, theirs in _ATTENTION.items():
            name = name.replace(f".{ours}.", f".{theirs}.")
        name = name.replace("mid_block.attentions.0", "mid.attn_1")
    return name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")


def write_z_image(pipeline: Any, path: Path) -> None:
    """The transformer alone, as its makers' code names it: queries, keys and values of an attention in one matrix."""
    state = dict(pipeline.transformer.state_dict())
    tensors: Tensors = {}
    for name in list(state):
        if name.endswith("attention.to_q.weight"):
            parts = [state.pop(name.replace("to_q", part)) for part in ("to_q", "to_k", "to_v")]
            tensors[name.replace("to_q", "qkv")] = torch.cat(parts)
    for name, tensor in state.items():
        for ours, theirs in _Z_IMAGE.items():
            name = name.replace(ours, theirs)
        tensors[name] = tensor
    _write({f"model.diffusion_model.{name}": tensor for name, tensor in tensors.items()}, path)


def _write(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
