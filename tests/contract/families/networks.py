"""One small pipeline of each family, with random weights and nothing left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from tests.contract.families import words

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


# ------------------------------------------------------------------------------------------------ parts


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


# ------------------------------------------------------------------------------------------------ families


def sd(**further: Any) -> Any:
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    tokenizer = words.clip()
    return StableDiffusionPipeline(
        vae=kl(4, scaling_factor=0.18215),
        text_encoder=clip_text(tokenizer),
        tokenizer=tokenizer,
        unet=unet(32, **further),
        scheduler=DDIMScheduler(**BETAS, clip_sample=False, set_alpha_to_one=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sd2() -> Any:
    """As SD 2.x: v-prediction, linear projections, a last layer that is not the encoder's last."""
    from diffusers import DDIMScheduler

    pipeline = sd(use_linear_projection=True, attention_head_dim=(2, 4))
    pipeline.scheduler = DDIMScheduler(**BETAS, prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    return pipeline


def sdxl() -> Any:
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

    tokenizer = words.clip()
    return StableDiffusionXLPipeline(
        vae=kl(4, scaling_factor=0.13025),
        text_encoder=clip_text(tokenizer, seed=2),
        text_encoder_2=clip_text(tokenizer, projects=True, seed=5),
        tokenizer=tokenizer,
        tokenizer_2=words.clip(),
        unet=unet(
            64,
            use_linear_projection=True,
            attention_head_dim=(2, 4),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 32,
        ),
        scheduler=EulerDiscreteScheduler(**BETAS, steps_offset=1),
        add_watermarker=False,
    )


def sd3() -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

    tokenizer, long = words.clip(), words.plain(ends="</s>")
    return StableDiffusion3Pipeline(
        transformer=lively(
            SD3Transformer2DModel(
                sample_size=32,
                patch_size=2,
                in_channels=16,  # its inpainting pipeline takes no other number
                out_channels=16,
                num_layers=2,
                attention_head_dim=8,
                num_attention_heads=4,
                joint_attention_dim=32,
                caption_projection_dim=32,
                pooled_projection_dim=32,
                pos_embed_max_size=32,
            )
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=kl(16, scaling_factor=1.5305, shift_factor=0.0609, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=clip_text(tokenizer, 16, projects=True, seed=2),
        tokenizer=tokenizer,
        text_encoder_2=clip_text(tokenizer, 16, projects=True, seed=5),
        tokenizer_2=words.clip(),
        text_encoder_3=t5(long),
        tokenizer_3=long,
    )


def flux(*, guided: bool = True) -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

    tokenizer, long = words.clip(), words.plain(ends="</s>")
    return FluxPipeline(
        transformer=lively(
            FluxTransformer2DModel(
                patch_size=1,
                in_channels=16,
                num_layers=1,
                num_single_layers=1,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=32,
                pooled_projection_dim=32,
                axes_dims_rope=(4, 4, 8),
                guidance_embeds=guided,
            )
        ),
        vae=kl(4, scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0 if guided else 1.0, use_dynamic_shifting=guided),
        text_encoder=clip_text(tokenizer),
        tokenizer=tokenizer,
        text_encoder_2=t5(long),
        tokenizer_2=long,
    )


def schnell() -> Any:
    return flux(guided=False)


def flux2(*, distilled: bool = True) -> Any:
    from diffusers import AutoencoderKLFlux2, FlowMatchEulerDiscreteScheduler, Flux2KleinPipeline, Flux2Transformer2DModel
    from transformers import Qwen3Config, Qwen3ForCausalLM

    tokenizer = words.plain(chat=True)
    vae = lively(
        AutoencoderKLFlux2(
            latent_channels=2,
            block_out_channels=(8,) * 4,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=1,
            norm_num_groups=4,
        ),
        seed=1,
    )
    vae.bn.running_mean.copy_(torch.linspace(-0.5, 0.5, 8))
    vae.bn.running_var.copy_(torch.linspace(0.5, 2, 8))
    return Flux2KleinPipeline(
        transformer=lively(
            Flux2Transformer2DModel(
                patch_size=1,
                in_channels=8,
                num_layers=1,
                num_single_layers=1,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=24,
                timestep_guidance_channels=32,
                axes_dims_rope=(4, 4, 4, 4),
                guidance_embeds=False,
            )
        ),
        vae=vae,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        text_encoder=lively(Qwen3ForCausalLM(Qwen3Config(**decoder_settings(tokenizer, 8, layers=27))), seed=2),  # the pipeline reads layers 9, 18 and 27
        tokenizer=tokenizer,
        is_distilled=distilled,
    )


def klein_base() -> Any:
    return flux2(distilled=False)


def pixart() -> Any:
    from diffusers import DPMSolverMultistepScheduler, PixArtSigmaPipeline, PixArtTransformer2DModel

    tokenizer = words.plain(ends="</s>")
    return PixArtSigmaPipeline(
        transformer=lively(
            PixArtTransformer2DModel(
                sample_size=8,
                num_layers=2,
                patch_size=2,
                attention_head_dim=8,
                num_attention_heads=3,
                caption_channels=32,
                in_channels=4,
                cross_attention_dim=24,
                out_channels=8,
                use_additional_conditions=False,
            )
        ),
        vae=kl(4, scaling_factor=0.13025),
        scheduler=DPMSolverMultistepScheduler(**BETAS),
        text_encoder=t5(tokenizer),
        tokenizer=tokenizer,
    )


def _sana_parts(**further: Any) -> dict[str, Any]:
    from diffusers import AutoencoderDC, SanaTransformer2DModel
    from transformers import Gemma2Config, Gemma2Model

    tokenizer = words.plain(begins="<s>", length=4096)
    settings = {**decoder_settings(tokenizer), "query_pre_attn_scalar": 8, "sliding_window": 512}
    return {
        "transformer": lively(
            SanaTransformer2DModel(
                patch_size=1,
                in_channels=4,
                out_channels=4,
                num_layers=2,
                num_attention_heads=2,
                attention_head_dim=8,
                num_cross_attention_heads=2,
                cross_attention_head_dim=8,
                cross_attention_dim=16,
                caption_channels=16,
                sample_size=4,
                **further,
            )
        ),
        "vae": lively(
            AutoencoderDC(
                in_channels=3,
                latent_channels=4,
                attention_head_dim=4,
                encoder_block_types=("ResBlock",) * 5 + ("EfficientViTBlock",),
                decoder_block_types=("ResBlock",) * 5 + ("EfficientViTBlock",),
                encoder_block_out_channels=(8,) * 6,
                decoder_block_out_channels=(8,) * 6,
                encoder_qkv_multiscales=((),) * 5 + ((5,),),
                decoder_qkv_multiscales=((),) * 5 + ((5,),),
                encoder_layers_per_block=(1,) * 6,
                decoder_layers_per_block=(1,) * 6,
                downsample_block_type="conv",
                upsample_block_type="interpolate",
                decoder_norm_types="rms_norm",
                decoder_act_fns="silu",
                scaling_factor=0.41407,
            ),
            seed=1,
        ),
        "text_encoder": lively(Gemma2Model(Gemma2Config(**settings)), seed=2),
        "tokenizer": tokenizer,
    }


def sana() -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler, SanaPipeline

    return SanaPipeline(**_sana_parts(), scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0))


def sprint() -> Any:
    from diffusers import SanaSprintPipeline, SCMScheduler

    return SanaSprintPipeline(
        **_sana_parts(guidance_embeds=True, qk_norm="rms_norm_across_heads"), scheduler=SCMScheduler(prediction_type="trigflow", sigma_data=0.5)
    )


def zimage() -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel
    from transformers import Qwen3Config, Qwen3Model

    tokenizer = words.plain(chat=True)
    return ZImagePipeline(
        transformer=lively(
            ZImageTransformer2DModel(
                in_channels=4,
                dim=32,
                n_layers=2,
                n_refiner_layers=1,
                n_heads=2,
                n_kv_heads=2,
                cap_feat_dim=16,
                axes_dims=[8, 4, 4],
                axes_lens=[512, 32, 32],
            )
        ),
        vae=kl(4, scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        text_encoder=lively(Qwen3Model(Qwen3Config(**decoder_settings(tokenizer))), seed=2),
        tokenizer=tokenizer,
    )


def qwen() -> Any:
    from diffusers import AutoencoderKLQwenImage, FlowMatchEulerDiscreteScheduler, QwenImagePipeline, QwenImageTransformer2DModel
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    tokenizer = words.plain(further=("<image>", "<video>", "<vision>"))
    text = {**decoder_settings(tokenizer), "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]}}
    encoder = Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            text_config=text,
            vision_config={"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16, "fullatt_block_indexes": [0]},
            image_token_id=6,
            video_token_id=7,
            vision_start_token_id=8,
        )
    )
    return QwenImagePipeline(
        transformer=lively(
            QwenImageTransformer2DModel(
                patch_size=2,
                in_channels=16,
                out_channels=4,
                num_layers=2,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=16,
                axes_dims_rope=(8, 4, 4),
            )
        ),
        vae=lively(
            AutoencoderKLQwenImage(
                base_dim=8,
                z_dim=4,
                dim_mult=[1, 1, 1, 1],
                num_res_blocks=1,
                temperal_downsample=[False, True, True],
                latents_mean=[-0.5, 0.0, 0.3, 0.8],
                latents_std=[2.0, 1.5, 2.5, 1.0],
            ),
            seed=1,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, max_shift=0.9, max_image_seq_len=8192, shift_terminal=0.02),
        text_encoder=lively(encoder, seed=2),
        tokenizer=tokenizer,
    )


#: By the name of the model: its family, and how its pipeline is made.
BUILDERS: Mapping[str, tuple[str, Callable[[], Any]]] = {
    "sd": ("sd", sd),
    "sd2": ("sd", sd2),
    "sdxl": ("sdxl", sdxl),
    "sd3": ("sd3", sd3),
    "flux": ("flux", flux),
    "schnell": ("flux", schnell),
    "klein": ("flux2", flux2),
    "klein-base": ("flux2", klein_base),
    "pixart": ("pixart", pixart),
    "sana": ("sana", sana),
    "sprint": ("sana", sprint),
    "zimage": ("zimage", zimage),
    "qwen": ("qwen", qwen),
}
