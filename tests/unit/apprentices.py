"""A work directory in miniature for the tests of what learns from the denoiser: a small random U-Net, a text encoder, a few painted scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from transformers import BertConfig, BertModel, BertTokenizer

from training import autoencoder, dataset, sprites

POCKET = Path(__file__).parents[2] / "engine" / "pocket"
WORDS = 24  #: width of the text encoder's states


def unet(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return UNet2DConditionModel(
        sample_size=8, in_channels=autoencoder.LATENT_CHANNELS, out_channels=autoencoder.LATENT_CHANNELS, block_out_channels=(16, 24), layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), mid_block_type="UNetMidBlock2DCrossAttn",
        cross_attention_dim=WORDS, attention_head_dim=2, use_linear_projection=True, addition_embed_type="text", addition_embed_type_num_heads=2,
        resnet_time_scale_shift="scale_shift", norm_num_groups=4,
    )  # fmt: skip


def workplace(work: Path, scenes: int = 12, wide: int = 6) -> Path:
    """Square scenes and a few wide ones, of discs; nothing in it has been trained."""
    unet().save_pretrained(work / "unet")
    autoencoder.build().save_pretrained(work / "vae")
    tokenizer: Any = BertTokenizer.from_pretrained(POCKET / "tokenizer")
    tokenizer.save_pretrained(work / "tokenizer")
    config = BertConfig(vocab_size=len(tokenizer), hidden_size=WORDS, num_hidden_layers=1, num_attention_heads=2, intermediate_size=WORDS)
    BertModel(config, add_pooling_layer=False).save_pretrained(work / "text_encoder")
    sprites.load(work, rehearsal=True)
    dataset.paint_part(work, 0, scenes)
    dataset.paint_part(work, 0, wide, (160, 96))
    return work
