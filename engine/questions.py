"""What can be asked of a model besides pictures: what it sees in some, where in one a thing is, and how much each word of a text carries. Used by
`engine.device`, inside a hub's task.

A word carries what is lost without it: the text is read whole and once more without each of its words, and the angle between what the denoiser is told then and
now is how far the meaning turns. That is measured on the conditions themselves, as the model's own pipeline makes them, so it works for every encoder: on the
pooled state where the denoiser is given one, on the mean of the words' states, and where there are both on either alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from engine import describe, guidance, operations, phrase, sight
from engine.api import Seen, UnsupportedOperation, Weight
from engine.codec import Pixels
from engine.describe import Description
from engine.guidance import Conditions
from engine.jobs import Find, Look, Outline, Question, Weigh
from engine.model import Model

#: The denoisers' parameters that hold one state for the whole text, and those that hold one for each of its words.
POOLED, STATES = frozenset({"pooled_projections", "text_embeds"}), frozenset({"encoder_hidden_states", "cap_feats"})
#: Angles whose cosine is this near to 1 are none: what is left of the encoders' rounding.
_NOTHING = 1e-6


def answer(model: Model, question: Question) -> Any:
    """What `engine.api.Engine` promises of the method that asks it. Raises EngineError."""
    if isinstance(question, Look):
        return look(model, question)
    if isinstance(question, Outline):
        return phrase.differences(model, question)
    return find(model, question) if isinstance(question, Find) else weigh(model, question)


def look(model: Model, question: Look) -> tuple[Seen, ...]:
    """Each picture by itself: they may have any sizes, and one at a time needs the least memory."""
    describer = describe.of(model)
    return tuple(_seen(describer(_tensor(picture))[0]) for picture in question.pictures)


def find(model: Model, question: Find) -> tuple[float, ...]:
    seer = sight.of(model, "/describe")
    (aim,) = seer.words([question.words])
    return tuple(seer.score(_tensor(picture), aim)[0] for picture in question.pictures)


def weigh(model: Model, question: Weigh) -> tuple[Weight, ...]:
    if not model.family.conditions:
        raise UnsupportedOperation("/shorten", model.entry.can.model)
    whole = _meanings(model, question.text)
    turned = [_angle(whole, _meanings(model, guidance.tidy(question.text[:start] + question.text[end:]))) for start, end in question.words]
    most = max(turned, default=0.0)
    weights = [each / most for each in turned] if most > _NOTHING else [1.0] * len(turned)
    return tuple(Weight(start=start, end=end, weight=weight) for (start, end), weight in zip(question.words, weights, strict=True))


def _meanings(model: Model, text: str) -> list[torch.Tensor]:
    """Vectors of length 1 that stand for the text."""
    can = model.entry.can
    told = operations.condition(model, text, can.width, can.height)
    found = list(_vectors(told))
    if not found:
        raise UnsupportedOperation("/shorten", can.model)
    return [vector / vector.norm().clamp(min=1e-12) for vector in found]


def _vectors(told: Conditions) -> list[torch.Tensor]:
    flat = {**told, **{name: value for each in told.values() if isinstance(each, Mapping) for name, value in each.items()}}
    pooled = [flat[name][0].double() for name in sorted(POOLED & flat.keys())]
    mask = next((value for name, value in flat.items() if name.endswith("mask") and isinstance(value, torch.Tensor)), None)
    states = []
    for name in sorted(STATES & flat.keys()):
        tokens = flat[name][0].double()  # of the only row, whether rows are stacked or listed
        kept = mask[0].bool().reshape(-1) if mask is not None and mask.dim() == 2 and mask.shape[1] == len(tokens) else None
        states.append((tokens if kept is None else tokens[kept]).mean(dim=0))
    return [*pooled, *states]


def _angle(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    """1 less the cosine, on average; 0 where they are the same."""
    turned = [1 - float(a @ b) for a, b in zip(one, other, strict=True)]
    return max(0.0, sum(turned) / len(turned))


def _seen(found: Description) -> Seen:
    return Seen(
        prompts=found.prompts,
        fits=found.fits,
        things=tuple(each.word for each in found.things),
        scores=tuple(each.score for each in found.things),
        ground=found.ground.word if found.ground else "",
        style=found.style.word if found.style else "",
    )


def _tensor(picture: Pixels) -> torch.Tensor:
    """1 × 3 × height × width in 0..1."""
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
