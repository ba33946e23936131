"""Small denoisers of every family with random weights, and what one row of each is given as it goes through its steps. For the tests of what rows do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from diffusers import (
    Flux2Transformer2DModel,
    FluxTransformer2DModel,
    PixArtTransformer2DModel,
    QwenImageTransformer2DModel,
    SanaTransformer2DModel,
    SD3Transformer2DModel,
    UNet2DConditionModel,
    ZImageTransformer2DModel,
)
from torch import nn

from engine import rows
from engine.rows import Row

Call = dict[str, Any]


class Owner:
    """Whose rows they are."""


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def drifting(seed: int, step: int, *shape: int) -> torch.Tensor:
    """Latents on their way from noise to something else, slower and slower."""
    way = 1 - 0.5**step
    return (1 - way) * noise(seed, *shape) + way * noise(seed + 100, *shape)


def at(step: int) -> torch.Tensor:
    return torch.tensor([0.5 + 0.1 * 0.5**step])


def flux() -> Any:
    return FluxTransformer2DModel(
        patch_size=1,
        in_channels=4,
        num_layers=2,
        num_single_layers=3,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=(4, 4, 8),
    )


def flux_row(seed: int, step: int) -> Call:
    ids = {"txt_ids": torch.zeros(7, 3), "img_ids": torch.cartesian_prod(torch.tensor([0.0]), torch.arange(4.0), torch.arange(4.0))}
    words = {"encoder_hidden_states": noise(seed + 1, 1, 7, 32), "pooled_projections": noise(seed + 2, 1, 32)}
    return {"hidden_states": drifting(seed, step, 1, 16, 4), "timestep": at(step), **words, **ids}


def flux2() -> Any:
    return Flux2Transformer2DModel(
        patch_size=1,
        in_channels=4,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        timestep_guidance_channels=32,
        axes_dims_rope=(4, 4, 4, 4),
    )


def flux2_row(seed: int, step: int) -> Call:
    ids = {"txt_ids": torch.zeros(7, 4), "img_ids": torch.zeros(16, 4)}
    words = {"encoder_hidden_states": noise(seed + 1, 1, 7, 32), "guidance": torch.full((1,), 3.0)}
    return {"hidden_states": drifting(seed, step, 1, 16, 4), "timestep": at(step), **words, **ids}


def sd3() -> Any:
    return SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        num_layers=4,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=32,
        caption_projection_dim=32,
        pooled_projection_dim=64,
        out_channels=4,
    )


def sd3_row(seed: int, step: int) -> Call:
    words = {"encoder_hidden_states": noise(seed + 1, 1, 7, 32), "pooled_projections": noise(seed + 2, 1, 64)}
    return {"hidden_states": drifting(seed, step, 1, 4, 8, 8), "timestep": at(step) * 1000, **words}


def qwen() -> Any:
    return QwenImageTransformer2DModel(
        patch_size=2,
        in_channels=16,
        out_channels=4,
        num_layers=4,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        axes_dims_rope=(4, 6, 6),
    )


def qwen_row(seed: int, step: int) -> Call:
    mask = torch.ones(1, 7, dtype=torch.long)
    mask[:, 5 - seed % 3 :] = 0
    words = {"encoder_hidden_states": noise(seed + 1, 1, 7, 32), "encoder_hidden_states_mask": mask}
    return {"hidden_states": drifting(seed, step, 1, 16, 16), "timestep": at(step), "img_shapes": [[(1, 4, 4)]], **words}


def zimage() -> Any:
    model = ZImageTransformer2DModel(
        all_patch_size=(2,),
        all_f_patch_size=(1,),
        in_channels=4,
        dim=32,
        n_layers=4,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        qk_norm=True,
        cap_feat_dim=16,
        axes_dims=[4, 6, 6],
        axes_lens=[256, 32, 32],
    )
    torch.nn.init.normal_(model.x_pad_token)
    torch.nn.init.normal_(model.cap_pad_token)
    return model


def zimage_row(seed: int, step: int) -> Call:
    """Pictures and texts of different lengths."""
    edge = 8 + 8 * (seed % 3)
    return {"x": [drifting(seed, step, 4, 1, edge, edge)], "t": 1 - at(step), "cap_feats": [noise(seed + 1, 5 + 20 * (seed % 4), 16)]}


def pixart() -> Any:
    return PixArtTransformer2DModel(
        sample_size=8,
        num_layers=4,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_channels=32,
        in_channels=4,
        out_channels=8,
        cross_attention_dim=32,
        use_additional_conditions=False,
    )


def pixart_row(seed: int, step: int) -> Call:
    mask = torch.ones(1, 7)
    mask[:, 3 + seed % 4 :] = 0
    words = {"encoder_hidden_states": noise(seed + 1, 1, 7, 32), "encoder_attention_mask": mask}
    return {"hidden_states": drifting(seed, step, 1, 4, 8, 8), "timestep": at(step) * 1000, **words}


def sana() -> Any:
    return SanaTransformer2DModel(
        patch_size=1,
        in_channels=4,
        out_channels=4,
        num_layers=4,
        num_attention_heads=2,
        attention_head_dim=16,
        num_cross_attention_heads=2,
        cross_attention_head_dim=16,
        cross_attention_dim=32,
        caption_channels=32,
        sample_size=8,
    )


def unet() -> Any:
    return UNet2DConditionModel(
        sample_size=8,
        layers_per_block=1,
        block_out_channels=(16, 32, 32),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=4,
        norm_num_groups=8,
    )


def unet_row(seed: int, step: int) -> Call:
    return {"sample": drifting(seed, step, 1, 4, 8, 8), "timestep": at(step) * 1000, "encoder_hidden_states": noise(seed + 1, 1, 7, 32)}


RowOf = Callable[[int, int], Call]
#: Threshold at which some rows take over and some go on.
DENOISERS: Mapping[str, tuple[Callable[[], Any], RowOf, float]] = {
    "FLUX.1": (flux, flux_row, 0.28),
    "FLUX.2": (flux2, flux2_row, 0.6),
    "SD 3": (sd3, sd3_row, 0.2),
    "Qwen-Image": (qwen, qwen_row, 0.35),
    "Z-Image": (zimage, zimage_row, 0.45),
    "PixArt": (pixart, pixart_row, 0.06),
    "Sana": (sana, pixart_row, 0.05),
    "U-Net": (unet, unet_row, 0.15),
}


def made(name: str) -> tuple[Any, RowOf, float]:
    torch.manual_seed(0)
    build, row, threshold = DENOISERS[name]
    return build().eval(), row, threshold


def together(calls: Sequence[Call]) -> Call:
    """One call with everybody's rows."""
    joined: Call = {}
    for name, first in calls[0].items():
        values = [call[name] for call in calls]
        if isinstance(first, list):
            joined[name] = [each for value in values for each in value]
        else:
            joined[name] = first if name.endswith("_ids") else torch.cat(values)
    return joined


def outputs(model: Any, calls: Sequence[Call], names: Sequence[Row]) -> list[torch.Tensor]:
    with rows.running(names):
        sample = model(**together(calls), return_dict=False)[0]
    return list(sample)


def furthest(some: Sequence[torch.Tensor], others: Sequence[torch.Tensor]) -> float:
    return max(float((one - other).abs().max() / other.abs().max()) for one, other in zip(some, others, strict=True))


def meanwhile(inside: nn.Module, work: Callable[[], Any]) -> list[Any]:
    """In the midst of the next forward through `inside`, do `work` once on another thread; returns where what comes of it will be."""
    found: list[Any] = []

    def interrupt(module: nn.Module, args: Any) -> None:
        hook.remove()
        thread = threading.Thread(target=lambda: found.append(torch.no_grad()(work)()))
        thread.start()
        thread.join()

    hook = inside.register_forward_pre_hook(interrupt)
    return found
