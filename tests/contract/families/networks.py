"""One small pipeline of each family, with random weights and nothing left out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch

from tests.contract.families import words
from tests.contract.families.parts import BETAS, clip_text, decoder_settings, kl, lively, t5, unet


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


def flux2(*, distilled: bool = True, guided: bool = False) -> Any:
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
                guidance_embeds=guided,
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


def flux2_dev() -> Any:
    """FLUX.2 with its larger text encoder and guidance as a number."""
    from diffusers import Flux2Pipeline
    from transformers import Mistral3Config, Mistral3ForConditionalGeneration

    klein = flux2(guided=True)
    tokenizer = words.plain(chat=True, further=("<image>",))
    encoder = Mistral3ForConditionalGeneration(
        Mistral3Config(
            text_config={"model_type": "mistral", **decoder_settings(tokenizer, 8, layers=30)},  # the pipeline reads layers 10, 20 and 30
            vision_config={"model_type": "pixtral", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1},
            image_token_index=6,
        )
    )
    # Its own processor needs torchvision, for pictures that are not asked for here; of words it makes what its tokenizer does.
    return Flux2Pipeline(scheduler=klein.scheduler, vae=klein.vae, text_encoder=lively(encoder, seed=2), tokenizer=tokenizer, transformer=klein.transformer)


def pixart(*, alpha: bool = False) -> Any:
    from diffusers import DPMSolverMultistepScheduler, PixArtAlphaPipeline, PixArtSigmaPipeline, PixArtTransformer2DModel

    tokenizer = words.plain(ends="</s>")
    return (PixArtAlphaPipeline if alpha else PixArtSigmaPipeline)(
        transformer=lively(
            PixArtTransformer2DModel(
                sample_size=128 if alpha else 8,  # 128: the larger α, which is told of the picture's shape
                num_layers=2,
                patch_size=2,
                attention_head_dim=8,
                num_attention_heads=3,
                caption_channels=32,
                in_channels=4,
                cross_attention_dim=24,
                out_channels=8,
                use_additional_conditions=alpha,
            )
        ),
        vae=kl(4, scaling_factor=0.13025),
        scheduler=DPMSolverMultistepScheduler(**BETAS),
        text_encoder=t5(tokenizer),
        tokenizer=tokenizer,
    )


def alpha() -> Any:
    return pixart(alpha=True)


def _sana_parts(**further: Any) -> dict[str, Any]:
    from diffusers import AutoencoderDC, SanaPipeline, SanaTransformer2DModel
    from transformers import Gemma2Config, Gemma2Model

    instruction = inspect.signature(SanaPipeline.__call__).parameters["complex_human_instruction"].default  # put before all words: a token a line here
    tokenizer = words.plain(begins="<s>", length=4096, further=instruction)
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
    "flux2": ("flux2", flux2_dev),
    "pixart": ("pixart", pixart),
    "alpha": ("pixart", alpha),
    "sana": ("sana", sana),
    "sprint": ("sana", sprint),
    "zimage": ("zimage", zimage),
    "qwen": ("qwen", qwen),
}
