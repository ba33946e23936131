"""A model's files → its stock pipeline, on the device and ready to be run. Used by `engine.model` alone.

Nothing here asks a network for anything: every file is named, local and safetensors.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors import safe_open

from engine import families, weights
from engine.entry import Entry
from engine.families import Family

#: How the tensors' names begin in a single file that holds more than the denoiser.
_WHOLE = ("first_stage_model.", "cond_stage_model.", "conditioner.", "text_encoders.", "vae.")


def read(entry: Entry, device: torch.device) -> tuple[Any, Family]:
    """The pipeline that draws from words, and its family. Blocking; whatever diffusers, transformers or safetensors raise goes through."""
    torch.set_grad_enabled(False)  # it is per thread, and this may be the loader's
    for library in (diffusers, transformers):  # their progress bars and hints are not for the operator's log
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    family = families.family_of(entry.family, entry.pipeline or (weights.pipeline_of(entry.config) if entry.config else ""))
    dtype = torch.float32 if device.type == "cpu" else getattr(torch, entry.dtype)
    kind = getattr(diffusers, family.pipelines["words"])
    read_from = functools.partial(kind.from_pretrained, dtype=dtype, local_files_only=True, use_safetensors=True, low_cpu_mem_usage=False, **_left_out(kind))
    if not entry.single_file:
        pipeline = read_from(entry.source, variant=entry.variant)
    elif entry.config is None:
        raise FileNotFoundError("a single file needs a folder with the configuration of its kind")
    elif _holds_more_than_denoiser(entry.source):
        pipeline = kind.from_single_file(str(entry.source), config=str(entry.config), dtype=dtype, local_files_only=True, **_left_out(kind))
    else:
        pipeline = read_from(entry.config, **{family.denoiser: _denoiser(entry.source, entry.config, family, dtype)})
    pipeline.scheduler = scheduler_like(pipeline.scheduler, entry.scheduler, entry.scheduler_config)
    keep_precise(pipeline)
    pipeline.to(device)
    for name, module in pipeline.components.items():
        if isinstance(module, torch.nn.Module):
            module.eval().requires_grad_(False)
        if name.startswith("text_encoder") and hasattr(getattr(module, "config", None), "use_cache"):
            module.config.use_cache = False  # words are encoded once, not continued: keys and values would only be kept for nothing
    return pipeline, families.seen(family, pipeline)


def _left_out(kind: Any) -> dict[str, Any]:
    """Components that are not read: what would check pictures, and what would rewrite words (ERNIE-Image's `pe`)."""
    accepted = inspect.signature(kind.__init__).parameters
    left_out: dict[str, Any] = {name: None for name in ("safety_checker", "feature_extractor", "pe", "pe_tokenizer") if name in accepted}
    return {**left_out, "requires_safety_checker": False} if "requires_safety_checker" in accepted else left_out


def _holds_more_than_denoiser(path: Path) -> bool:
    with safe_open(path, framework="pt") as file:
        return any(name.startswith(_WHOLE) for name in file.keys())  # noqa: SIM118  # it is no mapping


def _denoiser(path: Path, config: Path, family: Family, dtype: torch.dtype) -> Any:
    """The denoiser of a single file that holds nothing else, in its maker's layout or in diffusers'."""
    index = json.loads((config / "model_index.json").read_text(encoding="utf-8"))
    kind = getattr(diffusers, index[family.denoiser][1])
    return kind.from_single_file(str(path), config=str(config), subfolder=family.denoiser, dtype=dtype, local_files_only=True, low_cpu_mem_usage=False)


def keep_precise(pipeline: Any) -> None:
    """SDXL's own autoencoder overflows in float16, so its pipelines turn it to float32 before decoding and back afterwards: under the feet of whoever else is
    about to decode. Here it stays in float32, and takes what it is given.
    """
    if not hasattr(pipeline, "upcast_vae"):
        return
    vae = pipeline.vae
    if vae.dtype == torch.float16 and vae.config.force_upcast:
        vae.to(torch.float32)
        vae.register_to_config(force_upcast=False)
        vae.encode, vae.decode = _taking_any(vae.encode), _taking_any(vae.decode)


def _taking_any(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def taking(values: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        return method(values.float(), *args, **kwargs)

    return taking


def scheduler_like(own: Any, name: str, changes: Mapping[str, Any] | None = None) -> Any:
    """A scheduler of the diffusers class `name` (empty: the same) for a model made for `own`, with `changes` to its configuration.

    Latent models neither clip to -1..1 nor want PNDM's warm-up, whatever a class's defaults say, unless the model's own configuration does. Models of flow
    matching stay such with any scheduler that knows flows.
    """
    if name in ("", type(own).__name__):
        return type(own).from_config(own.config, **changes) if changes else own
    kind, config = getattr(diffusers, name), own.config
    wanted: dict[str, Any] = {"clip_sample": False, "skip_prk_steps": True}
    if "FlowMatch" in type(own).__name__ or config.get("use_flow_sigmas"):
        shift = config.get("shift", config.get("flow_shift", 1.0))
        wanted |= {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": shift, "shift": shift}
    accepted = inspect.signature(kind.__init__).parameters
    return kind.from_config(config, **{**{key: value for key, value in wanted.items() if key in accepted and key not in config}, **(changes or {})})
