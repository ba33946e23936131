"""Pictures without a denoiser: latents moved until an image-text model finds the words in what the autoencoder makes of them. Used by `engine.perform`,
inside a hub's task.

The way of VQGAN-CLIP (Crowson et al. 2022, arXiv:2204.08583), with the model's own autoencoder: begin with soft colours (or the request's source), decode,
look at random cutouts, follow the gradient of their mean score with Adam. Two brakes keep it a picture: total variation against speckles, and a pull on
latents that leave the range which the decoder knows. Every iteration is a turn of the hub, so others step in between.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from engine import checks, codec, hub, preview, sight
from engine.api import BadNumbers, ImagineRequest
from engine.canvas import EMPTY, Canvas
from engine.codec import Pixels
from engine.hub import Share
from engine.model import Model
from engine.operations import FILM, FILM_EDGE, Watch
from engine.proxy import Proxy
from engine.results import Drawn
from engine.sight import LOUD, Decoder, Sight

#: Cutouts an iteration looks at.
CUTOUTS = 12
#: How far a latent may travel in all the iterations together (from a source: times the request's strength), and the most and least it moves in one;
#: in standard deviations.
JOURNEY, STRIDE, CREEP = 6.0, 0.2, 0.02
#: What the brakes weigh against the score, which is a cosine: total variation, and the square of what a latent exceeds CALM standard deviations by.
VARIATION, EXCESS, CALM = 0.25, 0.05, 2.5


def draw(model: Model, request: ImagineRequest, canvas: Canvas | None, watch: Watch) -> Drawn:
    """The request's `rows` pictures, each from its own seed in `steps` iterations. Raises UnsupportedOperation, BadNumbers."""
    seer = sight.of(model, "--synthesis")
    vae = model.pipeline("words").vae
    seeds = checks.drawn_seeds(request)
    begin = Proxy(_first, {"__call__": Share.WHOLE})
    decoder = Decoder(vae)
    canvas = canvas or EMPTY
    journey = JOURNEY * (request.strength if canvas.start else 1.0)
    climb = _Climb(seer, decoder, seer.aim(request), begin(vae, canvas, request, seeds).to(model.device), seeds, journey / request.steps)
    turn = Proxy(climb.step, {"__call__": Share.TURN})
    film: list[list[Pixels]] = []
    last = max(1, round(request.steps * request.stop))
    for step in range(1, last + 1):
        turn(step, request.steps)
        hub.stepped()
        films = request.video and step < last and step * FILM // last > (step - 1) * FILM // last
        if films:
            film.append([codec.coarser(picture, FILM_EDGE // codec.columns_of(len(seeds))) for picture in climb.pictures()])
        if step < last and watch.wants_preview():
            watch.preview(climb.pictures())
        watch.progress(step, last)
    return Drawn(_finished(vae, decoder, climb.latents, request), film, seeds)


def _first(vae: Proxy, canvas: Canvas, request: ImagineRequest, seeds: Sequence[int]) -> torch.Tensor:
    """What the pictures begin with, encoded: pictures × channels × h × w as the autoencoder decodes them."""
    if canvas.start is not None:
        start = torch.from_numpy(np.asarray(canvas.start, np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
        return preview.encoded(vae._module, start).expand(len(seeds), -1, -1, -1)
    return torch.cat([preview.encoded(vae._module, soft(seed, request.width, request.height)) for seed in seeds])


def soft(seed: int, width: int, height: int) -> torch.Tensor:
    """Soft seeded colours, noise in octaves with the coarse ones strongest: 1 × 3 × height × width in -1..1."""
    seeded = torch.Generator().manual_seed(seed)
    image = torch.zeros(1, 3, height, width)
    for size in (2, 4, 8, 16, 32):
        octave = torch.randn(1, 3, size, size, generator=seeded) / size**0.5
        image += F.interpolate(octave, size=(height, width), mode="bicubic", align_corners=False)
    return (0.4 * image / image.std()).clamp(-1, 1)


class _Climb:
    """Latents on their way up."""

    def __init__(self, seer: Sight, decoder: Decoder, aim: torch.Tensor, latents: torch.Tensor, seeds: Sequence[int], pace: float) -> None:
        self._seer, self._decoder, self._aim, self._seeds, self._pace = seer, decoder, aim, seeds, min(STRIDE, max(CREEP, pace))
        self._unit = latents.std(dim=(1, 2, 3), keepdim=True).clamp_min(1e-6)
        self._at = latents / self._unit  #: in standard deviations of where they began
        self._adam = torch.optim.Adam([self._at], lr=0.0, betas=(0.9, 0.99))
        self._seen: list[torch.Tensor] = []

    @property
    def latents(self) -> torch.Tensor:
        return self._at * self._unit

    def pictures(self) -> list[Pixels]:
        """What it has seen last, height × width × 3 each."""
        return [(image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy() for image in self._seen]

    def step(self, number: int, of: int) -> None:
        """One iteration of all pictures, each by itself: what becomes of one does not depend on how many there are. Slower towards the end."""
        self._adam.param_groups[0]["lr"] = self._pace * (0.55 + 0.45 * math.cos(math.pi * (number - 1) / of))
        self._at.grad = torch.cat([self._gradient(k, number) for k in range(len(self._seeds))])
        self._adam.step()

    def _gradient(self, k: int, number: int) -> torch.Tensor:
        seeded = torch.Generator().manual_seed(self._seeds[k] * 1009 + number)
        with torch.enable_grad():  # the hub turned it off
            at = self._at[k : k + 1].detach().requires_grad_()
            whole = number % 2 == 1 or max(at.shape[-2:]) <= sight.CELLS
            view = sight.shrunk(at) if whole else _window(at, seeded)
            image = self._decoder(view * self._unit[k])[0]
            variation = image.diff(dim=-1).abs().mean() + image.diff(dim=-2).abs().mean()
            excess = (at.abs() - CALM).clamp_min(0).square().mean()
            loss = LOUD * (VARIATION * variation + EXCESS * excess) - sight.uplift(self._seer, image, self._aim, CUTOUTS, seeded)
            gradient = torch.autograd.grad(loss, at)[0]
        if whole:
            self._seen[k : k + 1] = [image.detach()]
        return gradient.nan_to_num(0.0, 0.0, 0.0)


def _window(latents: torch.Tensor, seeded: torch.Generator) -> torch.Tensor:
    """A random part of at most CELLS each way: the fine structure of a large picture, which the shrunk whole does not show."""
    height, width = latents.shape[-2:]
    tall, wide = min(height, sight.CELLS), min(width, sight.CELLS)
    top, left = (int(torch.randint(0, room + 1, (), generator=seeded)) for room in (height - tall, width - wide))
    return latents[..., top : top + tall, left : left + wide]


def _finished(vae: Proxy, decoder: Decoder, latents: torch.Tensor, request: ImagineRequest) -> NDArray[np.float32]:
    """Decoded in full, picture by picture as the hub does it."""
    images = decoder.read(vae.decode(decoder.written(latents), return_dict=False))
    if not bool(torch.isfinite(images).all()):
        raise BadNumbers(f"{request.model}: the decoded picture is non-finite")
    finished: NDArray[np.float32] = images.clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()
    return finished
