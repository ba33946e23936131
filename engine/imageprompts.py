"""Pictures that stand where words stand, and references of style, by an IP-Adapter (Ye et al. 2023, arXiv:2308.06721). Used by `engine.operations`, inside a
hub's task.

Diffusers loads an adapter into a pipeline's U-Net, for everybody, at one scale. Here the U-Net has it once and for all, and each row says what it wants:

- The pipeline's own argument `ip_adapter_image_embeds` carries a request's pictures to the denoiser, as diffusers means it to: three tensors, the embeddings of
  the pictures that are to be shown, those whose style is wanted, and how strongly each of them pulls. So the scales travel with the rows, and requests with
  different pictures and scales share a forward.
- Before a forward that has them, the embeddings are projected to tokens; the cross-attentions then take diffusers' own adapter processor. In any
  other forward they take the processor they always had, and the U-Net is, bit for bit, one without an adapter.

Every picture is attended to by itself and the results are averaged, each times its own weight. That is what diffusers computes for as many adapters of the
same weights at scales wᵢ / n. Averaged embeddings would show a thing between the pictures; tokens side by side would let the one that looks
most like the noise take all the attention, whatever the weights; and a plain sum would pull five times as hard for five pictures.

A reference of style is heard only where a network draws style: InstantStyle (Wang et al. 2024, arXiv:2404.02733) found SDXL's to be `up_blocks.0.attentions.1`,
and names `up_blocks.1` for SD 1.5, where its authors say the effect is weaker.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0
from diffusers.models.embeddings import ImageProjection
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPVisionModelWithProjection
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from engine.api import ImagePrompt, ImagineRequest, UnsupportedOperation
from engine.canvas import Canvas
from engine.embeddings import EmbeddingCache
from engine.families import Halves
from engine.hub import Share
from engine.model import Model
from engine.proxy import Proxy

#: The cross-attentions that draw style, by family: how their names begin.
STYLE = {"sd": "up_blocks.1.", "sdxl": "up_blocks.0.attentions.1."}
#: Pictures a request may have.
MOST = 5


def arguments(model: Model, request: ImagineRequest, canvas: Canvas) -> dict[str, Any]:
    """What its pipeline is told of a request's image prompts; nothing when it has none. Raises UnsupportedOperation."""
    prompts = [(prompt, picture) for prompt, picture in zip(request.image_prompts, canvas.prompts, strict=True) if prompt.weight]
    if len(prompts) > MOST:
        raise UnsupportedOperation(f"more than {MOST} image prompts", model.entry.can.model)
    if not prompts:
        return {}
    adapter = of(model, prompts[0][0])
    shown, style = ([pair for pair in prompts if pair[0].style is wanted] for wanted in (False, True))
    scales = [prompt.weight / len(group) for group in (shown, style) for prompt, _ in group]
    seen = [adapter.see(prompt.picture, picture) for prompt, picture in (*shown, *style)]
    embeds, nothing = (torch.cat([each[k] for each in seen])[None] for k in (0, 1))
    halves = [nothing, embeds] if request.guidance > 1 and model.family.halves is not Halves.NEVER else [embeds]
    together = torch.cat(halves)
    strengths = torch.tensor(scales, device=together.device, dtype=together.dtype).expand(len(halves), 1, -1)
    return {"ip_adapter_image_embeds": [together[:, : len(shown)], together[:, len(shown) :], strengths]}


def of(model: Model, prompt: ImagePrompt) -> Adapter:
    """The model's adapter, read when first asked for. Raises UnsupportedOperation when it has none."""
    path, family = model.entry.image_adapter, model.entry.family
    if path is None or family not in STYLE:
        raise UnsupportedOperation("--sref" if prompt.style else "image prompts", model.entry.can.model)
    encoder = model.entry.image_encoder or (path if path.is_dir() else path.parent) / "image_encoder"
    unet = getattr(model.pipeline("words"), model.family.denoiser)._module
    memory = _Memory(model.memory, model.entry.can.model)
    adapter: Adapter = model.part("image_adapter", functools.partial(Adapter.load, path, encoder, unet, STYLE[family], memory))
    return adapter


@dataclass(frozen=True, slots=True)
class _Memory:
    """Where what was seen is remembered, and under whose name."""

    cache: EmbeddingCache
    owner: str


class Adapter:
    """An IP-Adapter in a U-Net, and the network that sees pictures for it."""

    def __init__(self, unet: Any, projection: nn.Module, attentions: Mapping[str, nn.Module], encoder: Any, style: str, memory: _Memory) -> None:
        self._projection, self._encoder, self._memory = projection, encoder, memory
        self._attentions = list(attentions.values())
        self._hears = _Hears()
        edge = encoder.config.image_size
        self._processor = CLIPImageProcessorPil(size={"shortest_edge": edge}, crop_size={"height": edge, "width": edge})  # as diffusers makes it
        self._look = Proxy(self._seen, {"__call__": Share.WHOLE})
        plain = unet.attn_processors
        unet.set_attn_processor(
            {name: _Attention(plain[name], attentions[name], self._hears, name.startswith(style)) if name in attentions else plain[name] for name in plain}
        )
        unet.register_forward_pre_hook(self._begin, with_kwargs=True)
        unet.register_forward_hook(self._finish, always_call=True)

    @classmethod
    def load(cls, path: Path, encoder: Path, unet: Any, style: str, memory: _Memory) -> Adapter:
        """Read an adapter in its published layout (tensors `image_proj.…` and `ip_adapter.…`) and put it into `unet`. Blocking. Raises OSError, ValueError."""
        tensors = load_file(_file(path)).items()
        state = {part: {name.removeprefix(part): value for name, value in tensors if name.startswith(part)} for part in ("image_proj.", "ip_adapter.")}
        state = {part.removesuffix("."): found for part, found in state.items()}
        if not all(state.values()):
            raise ValueError(f"{path.name} is no IP-Adapter: it has no tensors named image_proj and ip_adapter")
        if not encoder.is_dir():
            raise FileNotFoundError(f"{encoder} is not there, and pictures are seen by it")
        processors = unet._convert_ip_adapter_attn_to_diffusers([state], low_cpu_mem_usage=False)
        projection = unet._convert_ip_adapter_image_proj_to_diffusers(state["image_proj"], low_cpu_mem_usage=False)
        attentions = {name: each for name, each in processors.items() if isinstance(each, IPAdapterAttnProcessor2_0)}
        if not any(name.startswith(style) for name in attentions):  # a smaller network than the family's: its last attentions draw style
            style = [name for name in attentions if name.startswith("up_blocks.")][-1].split("attentions")[0]
        seeing = CLIPVisionModelWithProjection.from_pretrained(encoder, local_files_only=True, use_safetensors=True, dtype=unet.dtype)
        for module in (*attentions.values(), projection, seeing):
            module.to(unet.device, unet.dtype).eval().requires_grad_(False)
        return cls(unet, projection, attentions, seeing, style, memory)

    def parameters(self) -> Iterator[nn.Parameter]:
        """Its weights, and those of the network that sees for it."""
        for module in (self._projection, self._encoder, *self._attentions):
            yield from module.parameters()

    def see(self, digest: str, picture: Image.Image) -> tuple[torch.Tensor, torch.Tensor]:
        """A picture's embedding and that of no picture, 1 × … each, as the adapter was trained on. Remembered by the picture's digest."""
        found: tuple[torch.Tensor, torch.Tensor] = self._memory.cache.remembered((self._memory.owner, "image prompt", digest), lambda: self._look(picture))
        return found

    def _seen(self, picture: Image.Image) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = self._processor(picture, return_tensors="pt").pixel_values.to(self._encoder.device, self._encoder.dtype)
        if isinstance(self._projection, ImageProjection):
            embeds = self._encoder(pixels).image_embeds
            return embeds, torch.zeros_like(embeds)
        # The finer adapters ("plus") read what the encoder knows of every patch, and of an empty picture where there is none.
        inside = self._encoder(torch.cat([pixels, torch.zeros_like(pixels)]), output_hidden_states=True).hidden_states[-2]
        return inside[:1], inside[1:]

    def _begin(self, unet: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Before each forward of the U-Net: what its rows' pictures say to the attentions."""
        self._hears.everywhere = self._hears.in_style = []
        embeds = (kwargs.get("added_cond_kwargs") or {}).get("image_embeds")
        if embeds is None:
            return
        shown, style, strengths = embeds
        tokens = [self._projection(group[:, k]) for group in (shown, style) for k in range(group.shape[1])]
        heard = [(each, _Rows(strengths[:, 0, k, None, None])) for k, each in enumerate(tokens)]
        self._hears.everywhere, self._hears.in_style = heard[: shown.shape[1]], heard

    def _finish(self, unet: Any, args: tuple[Any, ...], output: Any) -> None:
        self._hears.everywhere = self._hears.in_style = []


class _Rows:
    """A scale for each row, where diffusers' processor expects one number for all."""

    def __init__(self, values: torch.Tensor) -> None:
        self._values = values

    def __eq__(self, other: object) -> bool:
        return False  # it asks whether the scale is 0, to save itself the work

    __hash__ = None  # type: ignore[assignment]

    def __mul__(self, attended: torch.Tensor) -> torch.Tensor:
        return self._values * attended


class _Hears(threading.local):
    """What the pictures of the forward that is running on this thread say: tokens and scales, one pair a picture."""

    everywhere: list[tuple[torch.Tensor, _Rows]] = []  # noqa: RUF012  # never changed in place
    in_style: list[tuple[torch.Tensor, _Rows]] = []  # noqa: RUF012  #: where style is drawn


class _Attention:
    """A cross-attention's processor: the one it had, or diffusers' for adapters when there is a picture to attend to."""

    def __init__(self, plain: Any, prompted: Any, hears: _Hears, in_style: bool) -> None:
        self._plain, self._prompted, self._hears, self._in_style = plain, prompted, hears, in_style
        prompted.to_k_ip, prompted.to_v_ip = (nn.ModuleList([layers[0]] * MOST) for layers in (prompted.to_k_ip, prompted.to_v_ip))

    def __call__(self, attn: Any, hidden_states: torch.Tensor, encoder_hidden_states: Any = None, attention_mask: Any = None, temb: Any = None) -> torch.Tensor:
        heard = self._hears.in_style if self._in_style else self._hears.everywhere
        if not heard:
            return self._plain(attn, hidden_states, encoder_hidden_states, attention_mask, temb)  # type: ignore[no-any-return]
        self._prompted.scale = [scale for _, scale in heard]
        told = (encoder_hidden_states, [tokens for tokens, _ in heard])
        return self._prompted(attn, hidden_states, told, attention_mask, temb)  # type: ignore[no-any-return]


def _file(path: Path) -> Path:
    """The adapter's own file, or the one that lies in its folder (the encoder has a folder of its own there)."""
    files = [path] if path.is_file() else sorted(path.glob("*.safetensors"))
    if len(files) != 1:
        raise FileNotFoundError(f"{path} holds {len(files)} .safetensors files; name the adapter's own")
    return files[0]
