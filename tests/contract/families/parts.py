"""The parts small pipelines are made of: autoencoders, text encoders, a UNet. Random weights, a few thousand numbers each."""

from __future__ import annotations

from typing import Any

import torch

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def lively(module: Any, seed: int = 0) -> Any:
    """Weights with which every input matters: a model as its class begins it has zeros in the way (its gates, its last layer)."""
    random = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0, parameter[0].numel() ** -0.5, generator=random)
        elif "norm" in name and name.endswith("weight"):
            parameter.data.fill_(1)
        else:
            parameter.data.normal_(0, 0.1, generator=random)
    return module.eval()


def kl(channels: int, *, edge: int = 8, **further: Any) -> Any:
    """An AutoencoderKL with cells of `edge` pixels."""
    from diffusers import AutoencoderKL

    levels = edge.bit_length()
    return lively(
        AutoencoderKL(
            latent_channels=channels,
            block_out_channels=(8,) * levels,
            norm_num_groups=4,
            layers_per_block=1,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            **further,
        ),
        seed=1,
    )


def clip_text(tokenizer: Any, width: int = 32, *, projects: bool = False, seed: int = 2) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        projection_dim=width,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return lively((CLIPTextModelWithProjection if projects else CLIPTextModel)(config), seed)


def t5(tokenizer: Any, width: int = 32) -> Any:
    from transformers import T5Config, T5EncoderModel

    config = T5Config(vocab_size=len(tokenizer), d_model=width, d_kv=8, d_ff=2 * width, num_layers=2, num_heads=4, feed_forward_proj="gated-gelu")
    return lively(T5EncoderModel(config), seed=3)


def decoder_settings(tokenizer: Any, width: int = 16, layers: int = 2) -> dict[str, Any]:
    """What the configurations of decoder-only language models have in common."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": width // 2,
        "max_position_embeddings": 2048,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


def unet(cross: int, **further: Any) -> Any:
    from diffusers import UNet2DConditionModel

    settings = {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "layers_per_block": 1,
        "block_out_channels": (16, 32),
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": cross,
        "attention_head_dim": 8,
        "norm_num_groups": 8,
    }
    return lively(UNet2DConditionModel(**{**settings, **further}))
