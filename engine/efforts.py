"""Ways to run a model with less work, as requests: a draft in a step, the few steps that are usual, and the same again in full.

Pure, for whoever makes requests of words and buttons; `bot.limits` prices the outcome like any other request. Which steps, which guidance and whose adapter
is the model's card to say (`draft`, `quick`). A seed is the same picture either way, as nearly as the adapter was trained to make it so: "Enhance" is
`in_full` of what was drafted.
"""

from __future__ import annotations

from dataclasses import replace

from engine.api import Capabilities, Effort, ImagineRequest, Lora, UnsupportedOperation

#: Steps that a picture to start from takes: with fewer, a strength has too few notches to mean anything.
LEAST_STEPS = 8


def own_adapters(can: Capabilities) -> frozenset[str]:
    """The names of the adapters that belong to a model's efforts. They are no style: nobody is offered them."""
    return frozenset(effort.lora for effort in (can.draft, can.quick) if effort and effort.lora)


def usual(can: Capabilities) -> Effort:
    """How the model is run when nobody says anything: what one credit buys a grid of."""
    return can.quick or Effort(steps=can.steps, guidance=can.guidance)


def drafted(request: ImagineRequest, can: Capabilities) -> ImagineRequest:
    """The request as a draft. Raises UnsupportedOperation where the model has no draft, or a draft would leave out what is asked."""
    if can.draft is None:
        raise UnsupportedOperation("--draft", can.model)
    if lost := _lost(request, can.draft):
        raise UnsupportedOperation(f"--draft {lost}", can.model)
    return _by(request, can.draft, can)


def quickened(request: ImagineRequest, can: Capabilities) -> ImagineRequest:
    """The request in the few steps that are usual, for whoever asked for no steps, guidance or sampler; as it is where they would leave out what is asked."""
    return request if can.quick is None or _lost(request, can.quick) else _by(request, can.quick, can)


def in_full(request: ImagineRequest, can: Capabilities) -> ImagineRequest:
    """The request with the model's own steps and guidance, whichever way it was made; members' adapters stay."""
    return _by(request, Effort(steps=can.steps, guidance=can.guidance), can)


def _lost(request: ImagineRequest, effort: Effort) -> str:
    """What of the request so little work leaves no room for; empty when there is nothing."""
    if request.source is not None and effort.steps < LEAST_STEPS:
        return "from a picture"
    if request.chaos > 0 and effort.steps < 2:
        return "with --chaos"
    return "with --no" if request.unwanted and effort.guidance <= 1 else ""


def _by(request: ImagineRequest, effort: Effort, can: Capabilities) -> ImagineRequest:
    others = tuple(each for each in request.loras if each.name not in own_adapters(can))
    loras = (*others, Lora(name=effort.lora)) if effort.lora else others
    return replace(request, steps=effort.steps, guidance=effort.guidance, scheduler=None, loras=loras)
