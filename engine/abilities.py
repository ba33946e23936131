"""What each family of models can do, by diffusers 0.42's pipelines, without importing them. Used by `engine.card`.

A family is a set of checkpoints that the same pipelines draw. `OPERATIONS` names what its pipelines do with the model's own files alone; `EXTRAS` what
further files add. The names are those of `engine.api.Capabilities.operations`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

#: Diffusers schedulers that sample any epsilon- or v-prediction model, need no further package and keep all their state to themselves.
SCHEDULERS = (
    "DDIMScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LCMScheduler",
    "PNDMScheduler",
    "TCDScheduler",
    "UniPCMultistepScheduler",
)
#: The families those schedulers sample. The others are flow-matching models, whose pipelines hand their own scheduler what no other takes.
ANY_SCHEDULER = frozenset({"sd", "sdxl", "pixart"})

_WORDS = frozenset({"imagine", "unwanted", "weights", "emphasis", "chaos", "stop", "morph", "video", "upscale", "shorten"})
_PICTURE = frozenset({"source", "mix", "creative"})  #: what an image-to-image pipeline makes possible
_NOISED = _PICTURE | {"animate"}  #: what one makes possible whose scheduler adds the noise, so that the noise can be chosen
_MASK = frozenset({"mask", "extend"})  #: what an inpainting pipeline makes possible
_REGION = _NOISED | _MASK | {"phrase"}  #: what both together do: a part of a picture is found by its name, in noise, and drawn anew

#: What each family can do without any further file.
OPERATIONS: Mapping[str, frozenset[str]] = {
    "sd": _WORDS | _REGION | {"tile"},  # circular convolutions: only a UNet is made of convolutions
    "sdxl": _WORDS | _REGION | {"tile"},
    "sd3": _WORDS | _REGION,
    "flux": (_WORDS | _REGION) - {"unwanted"},  # guidance is a number it was trained to take, not a second prediction
    "flux2": _WORDS - {"unwanted"},
    "pixart": _WORDS,
    "sana": _WORDS,
    "zimage": _WORDS | _REGION,
    "qwen": _WORDS | _REGION,
    "auto": frozenset({"imagine", "unwanted", "stop", "video", "upscale"}),
}
#: What some pipelines of a family can do more, or less, than the family.
_MORE: Mapping[str, frozenset[str]] = {"Flux2KleinPipeline": _MASK, "SanaSprintPipeline": _PICTURE}
_LESS: Mapping[str, frozenset[str]] = dict.fromkeys(
    ("SanaSprintPipeline", "DreamLiteMobilePipeline", "LatentConsistencyModelPipeline", "OmniGenPipeline"), frozenset({"unwanted"})
)

#: Which further files a family's pipelines can use: LoRA adapters, ControlNets, an IP-Adapter, an image-text model.
EXTRAS: Mapping[str, frozenset[str]] = {
    "sd": frozenset({"loras", "controls", "image_adapter", "sight"}),
    "sdxl": frozenset({"loras", "controls", "image_adapter", "sight"}),
    "sd3": frozenset({"loras", "controls", "sight"}),
    "flux": frozenset({"loras", "controls", "sight"}),
    "flux2": frozenset({"loras", "sight"}),
    "pixart": frozenset({"sight"}),
    "sana": frozenset({"loras", "controls", "sight"}),
    "zimage": frozenset({"loras", "controls", "sight"}),
    "qwen": frozenset({"loras", "controls", "sight"}),
    "auto": frozenset(),
}
#: The kinds of maps a ControlNet may follow.
CONTROLS = ("edges", "depth", "pose", "sketch")

#: The pipelines a `model_index.json` may name, and whose family each is. Anything else is refused.
PIPELINES: Mapping[str, str] = {
    "StableDiffusionPipeline": "sd",
    "StableDiffusionXLPipeline": "sdxl",
    "StableDiffusion3Pipeline": "sd3",
    "FluxPipeline": "flux",
    "Flux2Pipeline": "flux2",
    "Flux2KleinPipeline": "flux2",
    "PixArtAlphaPipeline": "pixart",
    "PixArtSigmaPipeline": "pixart",
    "SanaPipeline": "sana",
    "SanaSprintPipeline": "sana",
    "ZImagePipeline": "zimage",
    "QwenImagePipeline": "qwen",
    **dict.fromkeys(
        (
            "AuraFlowPipeline",
            "BriaFibo2Pipeline",
            "BriaFiboPipeline",
            "BriaPipeline",
            "ChromaPipeline",
            "CogView3PlusPipeline",
            "CogView4Pipeline",
            "DreamLiteMobilePipeline",
            "DreamLitePipeline",
            "ErnieImagePipeline",
            "HunyuanDiTPipeline",
            "Kandinsky3Pipeline",
            "LatentConsistencyModelPipeline",
            "LongCatImagePipeline",
            "Lumina2Pipeline",
            "LuminaPipeline",
            "NucleusMoEImagePipeline",
            "OmniGenPipeline",
            "OvisImagePipeline",
            "PRXPipeline",
            "QwenImage21Pipeline",
        ),
        "auto",
    ),
}
#: Pixels a side that the families' models were trained on, what sides must be a multiple of, and the numbers they are computed in on an accelerator.
EDGE: Mapping[str, int] = {"sd": 512, "qwen": 1328}
MULTIPLE: Mapping[str, int] = {"sd": 8, "sdxl": 8, "sana": 32, "pixart": 32}
DTYPE: Mapping[str, str] = {"sd": "float16", "sdxl": "float16", "pixart": "float16"}
#: Where the configuration and the tokenizers of a checkpoint in a single file come from.
CONFIGS: Mapping[str, str] = {"sd": "stable-diffusion-v1-5/stable-diffusion-v1-5", "sdxl": "stabilityai/stable-diffusion-xl-base-1.0"}


def abilities(
    family: str,
    pipeline: str = "",
    *,
    guided: bool = True,
    loras: Collection[str] = (),
    controls: Collection[str] = (),
    image_adapter: bool = False,
    sight: bool = False,
) -> frozenset[str]:
    """What a model of this family can do, drawn by this pipeline (empty: the family's usual one), with these further files.

    `guided`: whether classifier-free guidance means anything to it. Raises ValueError for files the family's pipelines cannot use.
    """
    given = {"loras": bool(loras), "controls": bool(controls), "image_adapter": image_adapter, "sight": sight}
    for extra, is_given in given.items():
        if is_given and extra not in EXTRAS[family]:
            raise ValueError(f"models of the family {family!r} cannot use {extra}")
    if strange := sorted(set(controls) - set(CONTROLS)):
        raise ValueError(f"controls: {strange[0]!r} is not one of {', '.join(CONTROLS)}")
    found = set((OPERATIONS[family] | _MORE.get(pipeline, frozenset())) - _LESS.get(pipeline, frozenset()))
    if not guided:
        found.discard("unwanted")
    if loras:
        found.add("lora")
    found |= {f"control:{kind}" for kind in controls}
    if image_adapter:
        found |= {"image_prompt", "style"}
    if sight:
        found |= {"best", "clip", "synthesis", "describe"}
    return frozenset(found)
