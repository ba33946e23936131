"""What diffusers calls things in each family of models: pipelines, the denoiser, its parameters, how guidance is spelled. Used by `engine.model`,
`engine.operations` and `engine.guidance`.

Nothing here runs a model. A family that is not listed can still be drawn as "auto": the pipeline its `model_index.json` names, from words alone.
docs/models-families.md is the operator's page.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from importlib.util import find_spec
from typing import Any

import diffusers
import torch
import transformers

from engine import latents
from engine.collate import Rules


class Halves(Enum):
    """How the unconditional prediction of classifier-free guidance is asked for."""

    UNCONDITIONAL_FIRST = "one call of twice the rows, the unconditional ones first"
    CONDITIONAL_FIRST = "one call of twice the rows, the conditional ones first"
    APART = "two calls, the conditional one first"
    NEVER = "not at all: guidance is a number the model was trained to take, or nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """How a family's stock pipelines are asked. Pipelines by what starts a picture: "words", "picture", "mask"; those named "control…" follow a map as well."""

    pipelines: Mapping[str, str]  #: diffusers classes
    denoiser: str = "transformer"  #: the component that is run once a step
    halves: Halves = Halves.UNCONDITIONAL_FIRST
    conditions: frozenset[str] = frozenset({"encoder_hidden_states"})  #: the denoiser's parameters that carry the words
    rules: Rules = field(default_factory=Rules)
    control_rules: Rules | None = None  #: of its ControlNets; None: the denoiser's
    guide: Callable[[float], dict[str, Any]] = lambda scale: {"guidance_scale": scale}  #: the request's guidance (1: none) as the pipeline's arguments
    extra: Mapping[str, Any] = field(default_factory=dict)  #: arguments every call of its pipelines gets
    by_steps: Callable[[int], dict[str, Any]] = lambda steps: {}  #: further ones that hang on the number of steps
    negative: bool = True  #: its pipelines take a negative prompt
    blank: str | None = None  #: the negative prompt when nothing is unwanted
    decodable: Callable[[Any, torch.Tensor, int, int], torch.Tensor] = latents.plain  #: what its pipelines hold, as what the autoencoder decodes

    def arguments(self, *, steps: int, guidance: float, unwanted: str | None = None) -> dict[str, Any]:
        """How its pipelines are told of steps, guidance and unwanted words."""
        negative = {"negative_prompt": unwanted if unwanted else self.blank} if self.negative else {}
        return {"num_inference_steps": steps, **self.extra, **self.by_steps(steps), **self.guide(guidance), **negative}

    def first_call(self, words: str, width: int, height: int, seed: int = 0) -> dict[str, Any]:
        """Arguments of a call of a pipeline for words that nobody means to finish: what it tells its denoiser at first is wanted (`guidance.capture`)."""
        return {
            **self.arguments(steps=2, guidance=1.0),  # Qwen-Image's schedule has no single step
            "prompt": words,
            "width": width,
            "height": height,
            "generator": torch.Generator("cpu").manual_seed(seed),
            "output_type": "latent",
        }


#: Sizes are the request's, not the nearest of a list; words are the member's, not cleaned by packages that are not there.
_AS_ASKED = {"use_resolution_binning": False, "clean_caption": False}
_MASKED = frozenset({"encoder_hidden_states", "encoder_attention_mask"})
_POSITIONS = Rules(alike=frozenset({"img_ids", "txt_ids"}))

FAMILIES: Mapping[str, Family] = {
    "sd": Family(
        pipelines={
            "words": "StableDiffusionPipeline",
            "picture": "StableDiffusionImg2ImgPipeline",
            "mask": "StableDiffusionInpaintPipeline",
            "control": "StableDiffusionControlNetPipeline",
            "control from picture": "StableDiffusionControlNetImg2ImgPipeline",
            "control from mask": "StableDiffusionControlNetInpaintPipeline",
        },
        denoiser="unet",
    ),
    "sdxl": Family(
        pipelines={
            "words": "StableDiffusionXLPipeline",
            "picture": "StableDiffusionXLImg2ImgPipeline",
            "mask": "StableDiffusionXLInpaintPipeline",
            "control": "StableDiffusionXLControlNetPipeline",
            "control from picture": "StableDiffusionXLControlNetImg2ImgPipeline",
            "control from mask": "StableDiffusionXLControlNetInpaintPipeline",
        },
        denoiser="unet",
        conditions=frozenset({"encoder_hidden_states", "added_cond_kwargs"}),
    ),
    "sd3": Family(
        pipelines={
            "words": "StableDiffusion3Pipeline",
            "picture": "StableDiffusion3Img2ImgPipeline",
            "mask": "StableDiffusion3InpaintPipeline",
            "control": "StableDiffusion3ControlNetPipeline",
        },
        conditions=frozenset({"encoder_hidden_states", "pooled_projections"}),
    ),
    "flux": Family(
        pipelines={
            "words": "FluxPipeline",
            "picture": "FluxImg2ImgPipeline",
            "mask": "FluxInpaintPipeline",
            "control": "FluxControlNetPipeline",
            "control from picture": "FluxControlNetImg2ImgPipeline",
            "control from mask": "FluxControlNetInpaintPipeline",
        },
        halves=Halves.NEVER,
        conditions=frozenset({"encoder_hidden_states", "pooled_projections", "txt_ids"}),
        rules=_POSITIONS,
        negative=False,
    ),
    "flux2": Family(  # klein
        pipelines={"words": "Flux2KleinPipeline", "mask": "Flux2KleinInpaintPipeline"},
        halves=Halves.APART,  # the base models; the distilled ones never: see `seen`
        conditions=frozenset({"encoder_hidden_states", "txt_ids"}),
        rules=_POSITIONS,
        negative=False,
        decodable=latents.flux2,
    ),
    "pixart": Family(  # Sigma
        pipelines={"words": "PixArtSigmaPipeline"},
        conditions=_MASKED,
        extra=_AS_ASKED,
        blank="",
    ),
    "sana": Family(
        pipelines={"words": "SanaPipeline", "control": "SanaControlNetPipeline"},
        conditions=_MASKED,
        extra=_AS_ASKED,
        blank="",
    ),
    "zimage": Family(
        pipelines={
            "words": "ZImagePipeline",
            "picture": "ZImageImg2ImgPipeline",
            "mask": "ZImageInpaintPipeline",
            "control": "ZImageControlNetPipeline",
        },
        halves=Halves.CONDITIONAL_FIRST,
        conditions=frozenset({"cap_feats"}),
        # Its pipelines for pictures and masks do not say what form the output is to have, and take any.
        rules=Rules(ragged=frozenset({"x", "cap_feats"}), always={"return_dict": False}),
        # What comes out is as long as the longest row that went in, and must fit what the denoiser makes of the same rows.
        control_rules=Rules(ragged=frozenset({"x", "cap_feats", "control_context"}), alone=True),
        guide=lambda scale: {"guidance_scale": max(0.0, scale - 1)},  # it adds scale · (cond − uncond) to cond
    ),
    "qwen": Family(
        pipelines={
            "words": "QwenImagePipeline",
            "picture": "QwenImageImg2ImgPipeline",
            "mask": "QwenImageInpaintPipeline",
            "control": "QwenImageControlNetPipeline",
        },
        halves=Halves.APART,
        conditions=frozenset({"encoder_hidden_states", "encoder_hidden_states_mask"}),
        rules=Rules(alike=frozenset({"img_shapes"}), padded={"encoder_hidden_states": "encoder_hidden_states_mask"}),
        guide=lambda scale: {"true_cfg_scale": scale},
        blank=" ",  # without a negative prompt it is not guided at all
    ),
}
#: Pipelines of a family that are asked in another way than its usual one, by the class `model_index.json` names.
VARIANTS: Mapping[str, Family] = {
    "PixArtAlphaPipeline": replace(FAMILIES["pixart"], pipelines={"words": "PixArtAlphaPipeline"}),
    "SanaSprintPipeline": replace(
        FAMILIES["sana"],
        pipelines={"words": "SanaSprintPipeline", "picture": "SanaSprintImg2ImgPipeline"},
        halves=Halves.NEVER,
        extra={**_AS_ASKED, "intermediate_timesteps": None},
        by_steps=lambda steps: {"intermediate_timesteps": 1.3} if steps == 2 else {},  # the pipeline's own default, which it takes for two steps only
        negative=False,
        decodable=latents.sprint,
    ),
    "Flux2Pipeline": replace(FAMILIES["flux2"], pipelines={"words": "Flux2Pipeline"}, halves=Halves.NEVER),
}


def family_of(name: str, pipeline: str = "") -> Family:
    """The family called `name`, as the pipeline class that a model names wants it (empty: the usual one).

    Raises ValueError when it is "auto" and nothing can be drawn with that class.
    """
    if name == "auto":
        return derived(pipeline)
    return VARIANTS.get(pipeline, FAMILIES[name])


def seen(family: Family, pipeline: Any) -> Family:
    """The family, corrected by what only a loaded model tells: whether guidance was distilled into it."""
    distilled = pipeline.config.get("is_distilled", False)
    embedded = family.denoiser == "unet" and pipeline.unet.config.get("time_cond_proj_dim") is not None
    return replace(family, halves=Halves.NEVER) if distilled or embedded else family


# ---------------------------------------------------------------------------------------------------- any other pipeline

#: Arguments of `__call__` that are switched off wherever a pipeline has them: sizes and words are the request's own, and no language model rewrites the words
#: while everybody waits.
_OFF = {**_AS_ASKED, "use_pe": False, "enable_prompt_rewrite": False, "use_kv_cache": False}
#: What a pipeline must take to be told of a request.
_NEEDED = ("prompt", "height", "width", "num_inference_steps", "num_images_per_prompt", "generator", "output_type")
#: Components that predict noise, by their names.
_DENOISES = re.compile(r"(prior_|unconditional_)?(transformer|unet|prior|decoder)(_\d)?")
#: What places tokens in the picture, wherever diffusers has it, is the same for all rows.
_PLACES = Rules(
    shared=frozenset({"image_rotary_emb", "visual_rope_pos", "text_rope_pos"}),
    alike=frozenset({"img_ids", "txt_ids", "img_shapes"}),
)
#: What cannot be seen from outside a class.
_REFUSED = {
    "Cosmos2TextToImagePipeline": "it does not run without a further package that checks words and pictures",
    "FluxKontextPipeline": "it is made to edit a picture by words",
    "GlmImagePipeline": "a language model first writes the picture's outline, token by token, and nobody could be drawn meanwhile",
    "HiDreamImagePipeline": "its transformer takes the words by layer first, not by row",
    "ZImageOmniPipeline": "it is made to edit pictures by words",
}


def derived(pipeline: str) -> Family:
    """The family of a diffusers pipeline nobody described here, from its class alone; drawn from words, without weights. Raises ValueError."""
    if reason := refusal(pipeline):
        raise ValueError(f"{pipeline} cannot be drawn with: {reason}")
    kind = getattr(diffusers, pipeline)
    accepted = inspect.signature(kind.__call__).parameters
    guided_by = next((name for name in ("true_cfg_scale", "guidance_scale") if name in accepted), None)
    return Family(
        pipelines={"words": pipeline},
        denoiser="unet" if "unet" in inspect.signature(kind.__init__).parameters else "transformer",
        conditions=frozenset(),
        rules=_PLACES,
        guide=(lambda scale: {guided_by: scale}) if guided_by else (lambda scale: {}),
        extra={name: value for name, value in _OFF.items() if name in accepted},
        negative="negative_prompt" in accepted,
        blank=" " if guided_by == "true_cfg_scale" else accepted["negative_prompt"].default if "negative_prompt" in accepted else None,
    )


def refusal(pipeline: str) -> str:
    """Why the pipeline class of that name cannot be drawn with as "auto"; empty when it can."""
    kind = getattr(diffusers, pipeline, None)
    if kind is None:
        return "diffusers does not have it"
    if missing := getattr(kind, "_backends", None):  # a stand-in for a class of which a package is not installed
        return f"it needs the packages {', '.join(missing)}"
    accepted, given = inspect.signature(kind.__call__).parameters, inspect.signature(kind.__init__).parameters
    obligatory = [name for name, each in accepted.items() if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD]
    denoisers = [name for name in given if _DENOISES.fullmatch(name)]
    reasons = {
        _REFUSED.get(pipeline, ""): pipeline in _REFUSED,
        "it draws from more than words": set(obligatory) - {"self", "prompt"} or {"control_image", "controlnet", "adapter"} & {*accepted, *given},
        "it takes no " + ", ".join(name for name in _NEEDED if name not in accepted): set(_NEEDED) - set(accepted),
        "it makes clips, not pictures": {"num_frames", "num_videos_per_prompt"} & set(accepted),
        "not one network denoises, but " + (" and ".join(denoisers) or "something else"): denoisers not in (["transformer"], ["unet"]),
        "it denoises pixels, not latents": not {"vae", "movq"} & set(given),
        "while it runs it changes the network that all requests share": "pag_applied_layers" in given,
        "its guidance keeps what it knows in an object that all requests would share": "guider" in given,
        "diffusers no longer looks after it": ".deprecated." in kind.__module__,
        "it needs the package accelerate": _kept_in_float32(given) and find_spec("accelerate") is None,
        "it needs the package torchvision": _processes_pictures(given) and find_spec("torchvision") is None,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _kept_in_float32(given: Mapping[str, inspect.Parameter]) -> bool:
    """Whether some component has layers that stay in float32 whatever the rest is: diffusers can read such a one with accelerate only."""
    return any(issubclass(kind, diffusers.ModelMixin) and kind._keep_in_fp32_modules for kind in _classes(given))


def _processes_pictures(given: Mapping[str, inspect.Parameter]) -> bool:
    """Whether words go through a processor that takes pictures and clips, too: transformers makes none without torchvision."""
    return any(issubclass(kind, transformers.ProcessorMixin) for kind in _classes(given))


def _classes(given: Mapping[str, inspect.Parameter]) -> list[type]:
    return [each.annotation for each in given.values() if inspect.isclass(each.annotation)]
