"""Where in a picture words make a difference: DiffEdit's first step (Couairon et al. 2022, arXiv:2210.11427). Used by `engine.questions`, inside a hub's task.

The picture is noised half-way, under several seeds, and the model predicts that noise (or, a flow model, its velocity) once told the phrase and once told
nothing. Where the two predictions differ is where the phrase has something to say: what it names, if that is there at all. It is the stock image-to-image
pipeline that encodes and noises, up to its first call of the denoiser (`engine.guidance.capture`), so that this works for every family with one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from engine import guidance, hub, operations
from engine.api import BadNumbers, UnsupportedOperation
from engine.families import Halves
from engine.jobs import Outline
from engine.model import Model

#: How far towards noise: the coarse layout is still to be seen, and what things are is still to be decided.
NOISED = 0.5
#: Of a schedule of so many steps: the first is the only one that is looked at.
STEPS = 20
#: Seeds whose differences are averaged, and how many of them step together: with and without the phrase, the rows of a default grid with guidance.
SEEDS, TOGETHER = 12, 4


def differences(model: Model, question: Outline) -> NDArray[np.float32]:
    """How much the phrase changes each latent cell, on average: cells down × cells across, at least 0. Raises UnsupportedOperation, BadNumbers."""
    found = [_round(model, question, range(first, first + TOGETHER)) for first in range(0, SEEDS, TOGETHER)]
    whole = torch.stack(found).mean(dim=0)
    if not bool(torch.isfinite(whole).all()):
        raise BadNumbers(f"{model.entry.can.model}: the differences a phrase makes are non-finite")
    cells: NDArray[np.float32] = whole.float().cpu().numpy()
    return cells


def _round(model: Model, question: Outline, seeds: range) -> torch.Tensor:
    pipeline, family, can = model.pipeline("picture"), model.family, model.entry.can
    denoiser = getattr(pipeline, family.denoiser)
    picture = Image.fromarray(question.picture)
    arguments = {
        **family.arguments(steps=STEPS, guidance=can.guidance if family.halves is Halves.NEVER else 1.0),
        "prompt": question.phrase,
        **operations.pictures([picture] * len(seeds), NOISED, STEPS),
    }
    captured = guidance.capture(pipeline, family, operations.called(pipeline, arguments, picture, list(seeds)))
    call = denoiser.arguments((), captured)
    nothing = operations.condition(model, family.blank or "", picture.width, picture.height)
    if model.step_cache is not None and (seat := hub.seat()) is not None:
        model.step_cache.forget(seat[1])  # other noise now
    told, untold = denoiser.together([call.kwargs, *guidance.calls_under(call, [(1.0, nothing)])])
    hub.stepped()
    one, other = (family.decodable(pipeline, _predicted(each), picture.width, picture.height) for each in (told, untold))
    if one.dim() != 4:
        raise UnsupportedOperation("a part by its name", can.model)
    return (one - other).abs().mean(dim=(0, 1))


def _predicted(output: Any) -> torch.Tensor:
    """What a denoiser returned: one tensor, or a list with one for each row."""
    found = output[0]
    return torch.stack(list(found)) if isinstance(found, list | tuple) else found
