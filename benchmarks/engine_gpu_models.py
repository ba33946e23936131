"""Models of the real sizes, with random weights and no text encoders, for `benchmarks.engine_gpu`: speed does not read the values.

Dimensions are those of the published configurations (`unet/config.json`, `transformer/config.json`, `vae/config.json`) of SD-Turbo, Stable Diffusion 1.5,
SDXL base and FLUX.2 klein 4B. Words come as embeddings of the shape their encoders give.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import diffusers
import torch

from engine.families import FAMILIES, Family


@dataclass(frozen=True, slots=True)
class Case:
    """What is drawn: one picture by `steps` steps, `edge` × `edge` pixels."""

    name: str
    family: str
    build: Callable[[bool], Any]
    steps: int
    edge: int
    guidance: float
    tokens: int
    width: int  #: channels of the words' embeddings
    pooled: int = 0  #: channels of the pooled embedding, where there is one


@dataclass(frozen=True, slots=True)
class Loaded:
    """A case in memory."""

    case: Case
    pipeline: Any
    device: torch.device
    tiny: bool

    @property
    def family(self) -> Family:
        return FAMILIES[self.case.family]

    @property
    def denoiser(self) -> Any:
        return getattr(self.pipeline, self.family.denoiser)

    @property
    def edge(self) -> int:
        return 64 if self.tiny else self.case.edge

    @property
    def guided(self) -> bool:
        return self.case.guidance > 1

    def arguments(self, seeds: Sequence[int]) -> dict[str, Any]:
        """What the stock pipeline is called with for one picture a seed. The words hang on the seed too."""
        case, words = self.case, [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        width, pooled = (32 if self.tiny else case.width), (32 if self.tiny else case.pooled)

        def embedded(*shape: int) -> torch.Tensor:
            return torch.stack([torch.randn(*shape, generator=each) for each in words]).to(self.device, self.denoiser.dtype)

        arguments: dict[str, Any] = {
            "prompt_embeds": embedded(case.tokens, width),
            "num_inference_steps": case.steps,
            "guidance_scale": case.guidance,
            "width": self.edge,
            "height": self.edge,
            "generator": [torch.Generator("cpu").manual_seed(seed) for seed in seeds],
            "output_type": "np",
        }
        if self.guided:
            arguments["negative_prompt_embeds"] = torch.zeros_like(arguments["prompt_embeds"])
        if case.pooled:
            arguments["pooled_prompt_embeds"] = embedded(pooled)
            arguments["negative_pooled_prompt_embeds"] = torch.zeros_like(arguments["pooled_prompt_embeds"])
        return arguments


def load(case: Case, device: torch.device, tiny: bool) -> Loaded:
    """Build it on the device: bfloat16 and, for a UNet, channels last on an accelerator, as the product has it (every side of the comparison gets that)."""
    before = torch.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float32 if device.type == "cpu" else torch.bfloat16)
    try:
        with torch.device(device):
            pipeline = case.build(tiny)
    finally:
        torch.set_default_dtype(before)
    pipeline.set_progress_bar_config(disable=True)
    for module in pipeline.components.values():
        if isinstance(module, torch.nn.Module):
            module.eval().requires_grad_(False)
    found = Loaded(case, pipeline, device, tiny)
    if device.type == "cuda" and found.family.denoiser == "unet":
        found.denoiser.to(memory_format=torch.channels_last)
    return found


def _autoencoder(tiny: bool, **settings: Any) -> Any:
    channels, groups = ((16, 16, 16, 16), 8) if tiny else ((128, 256, 512, 512), 32)
    return diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=channels,
        norm_num_groups=groups,
        layers_per_block=1 if tiny else 2,
        latent_channels=4,
        **settings,
    )


def _euler(**settings: Any) -> Any:
    schedule = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
    return diffusers.EulerDiscreteScheduler(**schedule, **settings)


def _stable_diffusion(unet: Any, tiny: bool) -> Any:
    return diffusers.StableDiffusionPipeline(
        vae=_autoencoder(tiny),
        text_encoder=None,
        tokenizer=None,
        unet=unet,
        scheduler=_euler(timestep_spacing="trailing"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _sd_15(tiny: bool) -> Any:
    real = {"block_out_channels": (320, 640, 1280, 1280), "attention_head_dim": 8, "cross_attention_dim": 768}
    small = {"block_out_channels": (16, 32, 32, 32), "attention_head_dim": 4, "cross_attention_dim": 32, "norm_num_groups": 8, "layers_per_block": 1}
    return _stable_diffusion(diffusers.UNet2DConditionModel(sample_size=64, **(small if tiny else real)), tiny)


def _sd_turbo(tiny: bool) -> Any:
    real = {"block_out_channels": (320, 640, 1280, 1280), "attention_head_dim": (5, 10, 20, 20), "cross_attention_dim": 1024}
    small = {"block_out_channels": (16, 32, 32, 32), "attention_head_dim": (2, 4, 4, 4), "cross_attention_dim": 32, "norm_num_groups": 8, "layers_per_block": 1}
    return _stable_diffusion(diffusers.UNet2DConditionModel(sample_size=64, use_linear_projection=True, **(small if tiny else real)), tiny)


def _sdxl(tiny: bool) -> Any:
    real: dict[str, Any] = {
        "block_out_channels": (320, 640, 1280),
        "attention_head_dim": (5, 10, 20),
        "cross_attention_dim": 2048,
        "transformer_layers_per_block": (1, 2, 10),
        "projection_class_embeddings_input_dim": 2816,
        "addition_time_embed_dim": 256,
    }
    small: dict[str, Any] = {
        "block_out_channels": (16, 32, 32),
        "attention_head_dim": (2, 4, 4),
        "cross_attention_dim": 32,
        "transformer_layers_per_block": (1, 1, 2),
        "projection_class_embeddings_input_dim": 32 + 6 * 8,
        "addition_time_embed_dim": 8,
        "norm_num_groups": 8,
        "layers_per_block": 1,
    }
    unet = diffusers.UNet2DConditionModel(
        sample_size=128,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        use_linear_projection=True,
        addition_embed_type="text_time",
        **(small if tiny else real),
    )
    return diffusers.StableDiffusionXLPipeline(
        vae=_autoencoder(tiny, scaling_factor=0.13025, force_upcast=False),
        text_encoder=None,
        text_encoder_2=None,
        tokenizer=None,
        tokenizer_2=None,
        unet=unet,
        scheduler=_euler(),
    )


def _klein(tiny: bool) -> Any:
    real: dict[str, Any] = {"num_layers": 5, "num_single_layers": 20, "num_attention_heads": 24, "joint_attention_dim": 7680}
    small: dict[str, Any] = {
        "num_layers": 1,
        "num_single_layers": 2,
        "num_attention_heads": 2,
        "attention_head_dim": 32,
        "axes_dims_rope": (8, 8, 8, 8),
        "joint_attention_dim": 32,
    }
    return diffusers.Flux2KleinPipeline(
        vae=diffusers.AutoencoderKLFlux2(**({"block_out_channels": (16, 16, 16, 16), "norm_num_groups": 8, "layers_per_block": 1} if tiny else {})),
        text_encoder=None,
        tokenizer=None,
        transformer=diffusers.Flux2Transformer2DModel(guidance_embeds=False, **(small if tiny else real)),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        is_distilled=True,
    )


CASES = {
    case.name: case
    for case in (
        Case("sd-turbo", "sd", _sd_turbo, steps=1, edge=512, guidance=1.0, tokens=77, width=1024),
        Case("sd15", "sd", _sd_15, steps=20, edge=512, guidance=7.5, tokens=77, width=768),
        Case("sdxl", "sdxl", _sdxl, steps=30, edge=1024, guidance=5.0, tokens=77, width=2048, pooled=1280),
        Case("klein-512", "flux2", _klein, steps=4, edge=512, guidance=1.0, tokens=512, width=7680),
        Case("klein-1024", "flux2", _klein, steps=4, edge=1024, guidance=1.0, tokens=512, width=7680),
    )
}
