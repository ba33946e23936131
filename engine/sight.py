"""What an image-text model makes of pictures: how well they fit words, which of them fit best, and in which direction they would fit better.
Used by `engine.operations` and `engine.synthesis`, on the device thread.

The model is one of transformers' CLIP or SigLIP, in a folder of its own that the shelf names (`sight`). It is read when it is first asked for, computes in
float32 (pictures that differ little must still be told apart, and its gradients are small numbers), and every look is a turn of the hub.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, AutoTokenizer

from engine import checks, guidance, preview
from engine.api import ImagineRequest, UnsupportedOperation
from engine.cutouts import Form
from engine.embeddings import EmbeddingCache
from engine.hub import Share
from engine.model import Model
from engine.preview import Forecast
from engine.proxy import Proxy
from engine.results import Drawn

#: transformers' names of the networks that see and read.
KINDS = ("clip", "siglip")
#: How much the unwanted words count against a picture, where the wanted ones count 1.
UNWANTED = 0.5
#: Cutouts a gradient is the mean of, the whole picture among them.
CUTOUTS = 5
#: At `clip` 1, a step's push is this much of what the step itself changed: it shows, and the denoiser still mends what it breaks.
PUSH = 0.5
#: Latent cells along the longer side of what is decoded for a gradient. An image-text model sees some 224 pixels: more would cost and not be seen.
CELLS = 48
#: Scores are multiplied by this before their gradient is taken, so that half-precision decoders do not lose it; its length is set afterwards anyway.
LOUD = 1024.0


class Sight:
    """An image-text model in memory. Inside a hub's task its looks are the hub's to run."""

    def __init__(self, network: Any, tokenizer: Any, form: Form, memory: EmbeddingCache | None = None, owner: str = "") -> None:
        self.form, self._network, self._tokenizer = form, network, tokenizer
        self._look = Proxy(self._seen, {"__call__": Share.WHOLE})
        self._reading = Proxy(self._read, {"__call__": Share.WHOLE}, memory=memory, owner=owner)

    @classmethod
    def load(cls, folder: Path, device: torch.device, memory: EmbeddingCache | None = None, owner: str = "") -> Sight:
        """Read it from its folder: safetensors, nothing from a network. Blocking. Raises OSError, ValueError."""
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if config.model_type not in KINDS:
            raise ValueError(f"{folder.name} is a {config.model_type} model; one of {', '.join(KINDS)} is needed")
        network = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        form = Form.read(folder, int(config.vision_config.image_size))
        return cls(network.eval().requires_grad_(False).to(device), tokenizer, form, memory, owner)

    def words(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts × dimensions, each of length 1."""
        return torch.cat([self._reading(text) for text in texts])

    def pictures(self, images: torch.Tensor) -> torch.Tensor:
        """Pictures (count × 3 × height × width in 0..1) → count × dimensions, each of length 1."""
        seen: torch.Tensor = self._look(images)
        return seen

    @property
    def scale(self) -> float:
        """What it was trained to multiply its cosines by, before they become likelihoods."""
        return float(self._network.logit_scale.detach().exp())

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """Its weights."""
        parameters: Iterator[torch.nn.Parameter] = self._network.parameters()
        return parameters

    def score(self, images: torch.Tensor, aim: torch.Tensor) -> list[float]:
        """How well each picture fits: the cosine of its angle to the words; for several parts the sum of theirs, by their shares."""
        return [float(score) for score in self.pictures(images) @ aim]

    def aim(self, request: ImagineRequest) -> torch.Tensor:
        """What the pictures are held against: the request's parts by their shares (which add up to 1), less what is unwanted."""
        wishes = [*guidance.shares(request.parts), *((text, -UNWANTED / len(request.unwanted)) for text in request.unwanted)]
        shares = torch.tensor([share for _, share in wishes], device=self._network.device)
        return shares @ self.words([text for text, _ in wishes])

    def views(self, views: torch.Tensor) -> torch.Tensor:
        """Views as `form` makes them → views × dimensions, each of length 1. Differentiable; computes here and now."""
        return _unit(self._network.get_image_features(pixel_values=views))

    def _seen(self, images: torch.Tensor) -> torch.Tensor:
        return self.views(torch.stack([self.form.whole(image.to(self._network.device, torch.float32)) for image in images]))

    def _read(self, text: str) -> torch.Tensor:
        longest = self._network.config.text_config.max_position_embeddings
        tokens = self._tokenizer([text], padding="max_length", truncation=True, max_length=longest, return_tensors="pt")
        return _unit(self._network.get_text_features(input_ids=tokens.input_ids.to(self._network.device)))


def _unit(features: Any) -> torch.Tensor:
    embeds = getattr(features, "pooler_output", features)
    unit: torch.Tensor = embeds / embeds.norm(dim=-1, keepdim=True)
    return unit


def of(model: Model, what: str) -> Sight:
    """The image-text model on this model's shelf entry, read when first asked for. Raises UnsupportedOperation naming `what` when there is none."""
    path = model.entry.sight
    if path is None:
        raise UnsupportedOperation(what, model.entry.can.model)
    read = functools.partial(Sight.load, path, model.device, model.memory, model.entry.can.model)
    sight: Sight = model.part("sight", read)
    return sight


def best(model: Model, request: ImagineRequest, drawn: Drawn) -> Drawn:
    """The `count` pictures of those drawn that fit the words best, the best first. Inside a hub's task."""
    sight = of(model, "--best")
    scores = sight.score(torch.from_numpy(drawn.images).permute(0, 3, 1, 2), sight.aim(request))
    kept = ranked(scores)[: request.count]
    seeds = checks.drawn_seeds(request)
    return Drawn(drawn.images[kept], [[step[k] for k in kept] for step in drawn.forming], [seeds[k] for k in kept])


def ranked(scores: Sequence[float]) -> list[int]:
    """Their indexes, the highest first; of equals, the first."""
    return sorted(range(len(scores)), key=lambda k: -scores[k])


# ------------------------------------------------------------------------------------------------ guidance


def guide(model: Model, request: ImagineRequest, pipeline: Any) -> None:
    """Let the image-text model steer this request's copy of a pipeline by `request.clip`.

    After each step but the last, the scheduler's forecast of the finished latents is decoded and scored, and the latents the step has led to are moved along
    the gradient: classifier guidance (Dhariwal and Nichol 2021, arXiv:2105.05233) by a network that never saw noise, which is why it looks at the forecast.
    The denoiser is not differentiated. A push has a length in proportion to the step's own, so it means the same for every model, scheduler and number of
    steps. Nothing is moved after the last step, when no denoising would mend it; a request of one step is refused.
    """
    if request.steps < 2:
        raise UnsupportedOperation("--clip in a single step", model.entry.can.model)
    sight = of(model, "--clip")
    guided = _Guided(sight, model, request, pipeline)
    pipeline.scheduler.step = guided.step_of(pipeline.scheduler)


class _Guided:
    """One request's steering."""

    def __init__(self, sight: Sight, model: Model, request: ImagineRequest, pipeline: Any) -> None:
        self._sight, self._family, self._request, self._pipeline = sight, model.family, request, pipeline
        self._aim, self._decoder = sight.aim(request), Decoder(pipeline.vae)
        self._pushed = Proxy(self._push, {"__call__": Share.TURN})
        self._done = 0

    def step_of(self, scheduler: Any) -> Callable[..., Any]:
        """The scheduler's step with a push after it."""
        forecast = Forecast(scheduler)
        step = scheduler.step

        @functools.wraps(step)  # pipelines read the signature to learn what a scheduler takes
        def guided(model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            output = step(model_output, timestep, sample, *args, **kwargs)
            self._done += 1
            if float(timestep) == float(scheduler.timesteps[-1]):
                return output
            after = output[0]
            pushed = self._pushed(sample, after, forecast.latents(after), self._done)
            if isinstance(output, tuple):
                return (pushed, *output[1:])
            output.prev_sample = pushed
            return output

        return guided

    def _push(self, before: torch.Tensor, after: torch.Tensor, finished: torch.Tensor, done: int) -> torch.Tensor:
        """Each picture by itself: what becomes of it does not depend on how many are drawn beside it, and one at a time needs the least memory."""
        moved = after.clone()
        for k in range(len(after)):
            seed = (self._request.seed + k) % 2**32
            uphill = self._gradient(finished[k : k + 1], torch.Generator().manual_seed(seed * 1009 + done))
            length = self._request.clip * PUSH * _size(after[k].float() - before[k].float()) / _size(uphill).clamp(min=1e-12)
            if bool(torch.isfinite(length)):  # a half-precision decoder may have overflowed: then this step goes unguided
                moved[k] += (length * uphill[0]).to(moved.dtype)
        return moved

    def _gradient(self, finished: torch.Tensor, seeded: torch.Generator) -> torch.Tensor:
        """Where the score rises, of one picture's latents in the pipeline's own shape."""
        request, pipeline = self._request, self._pipeline
        with torch.enable_grad():  # the hub turned it off
            latents = finished.detach().float().requires_grad_()
            decodable = self._family.decodable(pipeline, latents, request.width, request.height)
            image = self._decoder(shrunk(decodable))[0]
            uphill: torch.Tensor = torch.autograd.grad(uplift(self._sight, image, self._aim, CUTOUTS, seeded), latents)[0]
        return uphill


def uplift(sight: Sight, image: torch.Tensor, aim: torch.Tensor, count: int, seeded: torch.Generator) -> torch.Tensor:
    """LOUD times the mean score of `count` cutouts of 3 × height × width in 0..1: what a gradient is taken of."""
    views = sight.form.cutouts(image.to(aim), count, seeded)
    return LOUD * (sight.views(views) @ aim).mean()


class Decoder:
    """An autoencoder's way back to pixels, with gradients, here and now."""

    def __init__(self, vae: Proxy) -> None:
        self._vae = vae._module
        self._clips = preview.codes_clips(self._vae)

    def __call__(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents as the autoencoder decodes them (pictures × channels × h × w) → pictures × 3 × height × width, about 0..1."""
        return self.read(self._vae.decode(self.written(latents), return_dict=False))

    def written(self, latents: torch.Tensor) -> torch.Tensor:
        """As the autoencoder takes them: a still is a clip of one frame to those that code clips."""
        latents = latents.to(self._vae.device, self._vae.dtype)
        return latents[:, :, None] if self._clips else latents

    def read(self, output: Sequence[torch.Tensor]) -> torch.Tensor:
        """Its output as pictures."""
        pictures = output[0][:, :, 0] if self._clips else output[0]
        return pictures.float() / 2 + 0.5


def shrunk(latents: torch.Tensor) -> torch.Tensor:
    """Averaged down to CELLS along the longer side. Decoders take that for a smaller picture of the same."""
    height, width = latents.shape[-2:]
    scale = CELLS / max(height, width)
    if scale >= 1:
        return latents
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return F.interpolate(latents, size=size, mode="bilinear", antialias=True, align_corners=False)


def _size(values: torch.Tensor) -> torch.Tensor:
    """Root of the mean square."""
    return values.square().mean().sqrt()
