"""A model whose forward costs mostly its launches: the denoiser of Stable Diffusion 1.5 in shape, far narrower, with random weights.

What a fast GPU does with small batches, a CPU does with this: a forward of 16 rows takes little longer than one of a single row. `write` makes it an
ordinary directory of the shelf, so that the benchmarks load it as the product loads any model. Used by `benchmarks.engine_load` and `benchmarks.engine_gpu`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

EDGE = 64  #: pixels; latents are 8 × 8
CARD = f"""\
name = "launch-bound"
title = "Launch-bound"
family = "sd"
licence = "CC0-1.0"
width = {EDGE}
height = {EDGE}
steps = 20
guidance = 7.5
scheduler = "EulerDiscreteScheduler"
"""


def write(folder: Path, seed: int = 0) -> Path:
    """Save the model as a directory in `folder`; the same seed gives the same weights. Returns the directory."""
    import torch
    from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    tokenizer, context = _tokenizer(), 32
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            sample_size=EDGE // 8,
            block_out_channels=(32, 64, 128, 128),
            down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
            cross_attention_dim=context,
            attention_head_dim=4,
            norm_num_groups=8,
        )
        vae = AutoencoderKL(
            latent_channels=4,
            block_out_channels=(16, 32, 32, 32),
            norm_num_groups=8,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
        )
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=context,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
    pipeline = StableDiffusionPipeline(
        unet=unet,
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        scheduler=EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    model = folder / "launch-bound"
    pipeline.save_pretrained(model)
    (model / "card.toml").write_text(CARD, encoding="utf-8")
    return model


def _tokenizer() -> Any:
    """One token a character: enough for any words, and nothing to download."""
    from transformers import CLIPTokenizer

    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[], model_max_length=77)
