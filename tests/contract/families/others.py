"""Small pipelines that no family describes: what "auto" draws with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.contract.families import words
from tests.contract.families.parts import BETAS, clip_text, decoder_settings, kl, lively, t5, unet

#: Of the transformers that descend from Flux's.
LIKE_FLUX = {"patch_size": 1, "in_channels": 16, "num_layers": 1, "num_single_layers": 1, "attention_head_dim": 16, "num_attention_heads": 2}


def flow(**further: Any) -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(shift=3.0, **further)


def flux_vae() -> Any:
    return kl(4, scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False)


def lcm() -> Any:
    """Guidance distilled into a UNet."""
    from diffusers import LatentConsistencyModelPipeline, LCMScheduler

    tokenizer = words.clip()
    return LatentConsistencyModelPipeline(
        vae=kl(4, scaling_factor=0.18215),
        text_encoder=clip_text(tokenizer),
        tokenizer=tokenizer,
        unet=unet(32, time_cond_proj_dim=16),
        scheduler=LCMScheduler(**BETAS, original_inference_steps=50),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def chroma() -> Any:
    from diffusers import ChromaPipeline, ChromaTransformer2DModel

    tokenizer = words.plain(ends="</s>")
    shape = {"joint_attention_dim": 32, "axes_dims_rope": (4, 4, 8), "approximator_num_channels": 8, "approximator_hidden_dim": 16, "approximator_layers": 1}
    return ChromaPipeline(
        scheduler=flow(), vae=flux_vae(), text_encoder=t5(tokenizer), tokenizer=tokenizer, transformer=lively(ChromaTransformer2DModel(**LIKE_FLUX, **shape))
    )


def bria() -> Any:
    from diffusers import BriaPipeline, BriaTransformer2DModel

    tokenizer = words.plain(ends="</s>")
    transformer = BriaTransformer2DModel(**LIKE_FLUX, joint_attention_dim=32, axes_dims_rope=[4, 4, 8])
    return BriaPipeline(
        transformer=lively(transformer), scheduler=flow(use_dynamic_shifting=True), vae=flux_vae(), text_encoder=t5(tokenizer), tokenizer=tokenizer
    )


def ovis() -> Any:
    from diffusers import OvisImagePipeline, OvisImageTransformer2DModel
    from transformers import Qwen3Config, Qwen3Model

    tokenizer = words.plain(chat=True)
    return OvisImagePipeline(
        scheduler=flow(use_dynamic_shifting=True),
        vae=flux_vae(),
        text_encoder=lively(Qwen3Model(Qwen3Config(**decoder_settings(tokenizer, 32))), seed=2),
        tokenizer=tokenizer,
        transformer=lively(OvisImageTransformer2DModel(**LIKE_FLUX, out_channels=16, joint_attention_dim=32, axes_dims_rope=(4, 4, 8))),
    )


def auraflow() -> Any:
    from diffusers import AuraFlowPipeline, AuraFlowTransformer2DModel
    from transformers import UMT5Config, UMT5EncoderModel

    tokenizer = words.plain(ends="</s>")
    encoder = UMT5EncoderModel(UMT5Config(vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4))
    return AuraFlowPipeline(
        tokenizer=tokenizer,
        text_encoder=lively(encoder, seed=2),
        vae=kl(4, scaling_factor=0.13025),
        transformer=lively(
            AuraFlowTransformer2DModel(
                sample_size=16,
                num_mmdit_layers=1,
                num_single_dit_layers=1,
                attention_head_dim=8,
                num_attention_heads=4,
                joint_attention_dim=32,
                caption_projection_dim=32,
                pos_embed_max_size=64,
            )
        ),
        scheduler=flow(),
    )


def cogview4() -> Any:
    from diffusers import CogView4Pipeline, CogView4Transformer2DModel
    from transformers import GlmConfig, GlmModel

    tokenizer = words.plain(begins="<s>")
    return CogView4Pipeline(
        tokenizer=tokenizer,
        text_encoder=lively(GlmModel(GlmConfig(**decoder_settings(tokenizer, 32))), seed=2),
        vae=kl(4),
        transformer=lively(
            CogView4Transformer2DModel(
                in_channels=4,
                out_channels=4,
                num_layers=2,
                attention_head_dim=16,
                num_attention_heads=2,
                text_embed_dim=32,
                time_embed_dim=16,
                condition_dim=8,
                rope_axes_dim=(64, 64),
            )
        ),
        scheduler=flow(base_shift=0.25, max_shift=0.75, use_dynamic_shifting=True, time_shift_type="linear"),
    )


def cogview3() -> Any:
    from diffusers import CogVideoXDDIMScheduler, CogView3PlusPipeline, CogView3PlusTransformer2DModel

    tokenizer = words.plain(ends="</s>")
    transformer = CogView3PlusTransformer2DModel(
        in_channels=4, out_channels=4, num_layers=2, attention_head_dim=16, num_attention_heads=2, text_embed_dim=32, time_embed_dim=16, condition_dim=8
    )
    return CogView3PlusPipeline(
        tokenizer=tokenizer, text_encoder=t5(tokenizer), vae=kl(4), transformer=lively(transformer), scheduler=CogVideoXDDIMScheduler(**BETAS)
    )


def lumina2() -> Any:
    from diffusers import Lumina2Pipeline, Lumina2Transformer2DModel
    from transformers import Gemma2Config, Gemma2Model

    tokenizer = words.plain(begins="<s>", length=4096)
    settings = {**decoder_settings(tokenizer), "query_pre_attn_scalar": 8, "sliding_window": 512}
    return Lumina2Pipeline(
        transformer=lively(
            Lumina2Transformer2DModel(
                in_channels=4,
                hidden_size=32,
                num_layers=2,
                num_refiner_layers=1,
                num_attention_heads=2,
                num_kv_heads=1,
                multiple_of=16,
                axes_dim_rope=(8, 4, 4),
                axes_lens=(512, 64, 64),
                cap_feat_dim=16,
            )
        ),
        scheduler=flow(),
        vae=kl(4, scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=lively(Gemma2Model(Gemma2Config(**settings)), seed=2),
        tokenizer=tokenizer,
    )


def lumina() -> Any:
    from diffusers import LuminaNextDiT2DModel, LuminaPipeline
    from transformers import GemmaConfig, GemmaModel

    tokenizer = words.plain(begins="<s>")
    transformer = LuminaNextDiT2DModel(
        sample_size=16, hidden_size=32, num_layers=2, num_attention_heads=2, num_kv_heads=1, multiple_of=16, cross_attention_dim=16
    )
    return LuminaPipeline(
        transformer=lively(transformer),
        scheduler=flow(),
        vae=kl(4, scaling_factor=0.13025),
        text_encoder=lively(GemmaModel(GemmaConfig(**decoder_settings(tokenizer))), seed=2),
        tokenizer=tokenizer,
    )


def hunyuan() -> Any:
    from diffusers import DDPMScheduler, HunyuanDiT2DModel, HunyuanDiTPipeline
    from transformers import BertConfig, BertModel

    tokenizer, long = words.plain(length=77), words.plain(ends="</s>", length=256)
    encoder = BertModel(
        BertConfig(vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_position_embeddings=77)
    )
    return HunyuanDiTPipeline(
        vae=kl(4, scaling_factor=0.13025),
        text_encoder=lively(encoder, seed=2),
        tokenizer=tokenizer,
        transformer=lively(
            HunyuanDiT2DModel(
                num_attention_heads=2,
                attention_head_dim=16,
                in_channels=4,
                patch_size=2,
                sample_size=8,
                hidden_size=32,
                num_layers=4,
                cross_attention_dim=32,
                cross_attention_dim_t5=32,
                pooled_projection_dim=16,
            )
        ),
        scheduler=DDPMScheduler(**BETAS, prediction_type="v_prediction", clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
        text_encoder_2=t5(long),
        tokenizer_2=long,
    )


def kandinsky3() -> Any:
    from diffusers import DDPMScheduler, Kandinsky3Pipeline, Kandinsky3UNet, VQModel

    tokenizer = words.plain(ends="</s>", length=128)
    network = lively(
        Kandinsky3UNet(
            time_embedding_dim=8,
            groups=4,
            attention_head_dim=8,
            layers_per_block=2,
            block_out_channels=(8, 16, 32, 64),
            cross_attention_dim=16,
            encoder_hid_dim=32,
        )
    )
    network.conv_out.weight.data *= 0.1  # or from step to step it makes thirty times as much of the last bit
    return Kandinsky3Pipeline(
        tokenizer=tokenizer,
        text_encoder=t5(tokenizer),
        unet=network,
        scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2", clip_sample=True, thresholding=False),
        movq=lively(
            VQModel(
                block_out_channels=(32,) * 4,
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("AttnUpDecoderBlock2D",) * 4,
                latent_channels=4,
                norm_num_groups=4,
                num_vq_embeddings=8,
                vq_embed_dim=4,
                norm_type="spatial",
            ),
            seed=1,
        ),
    )


BUILDERS: Mapping[str, tuple[str, Callable[[], Any]]] = {
    build.__name__: ("auto", build) for build in (lcm, chroma, bria, ovis, auraflow, cogview4, cogview3, lumina2, lumina, hunyuan, kandinsky3)
}
