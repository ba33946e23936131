"""How far a picture can be carried on: the canvas, and where on it the picture lies, in the model's own pixels. Pure; tells which buttons a card has and
what they ask for (`bot.presses`).

A finished picture may be larger than the canvas it was drawn on (`ImagineRequest.enlarge`): everything here is in pixels of the request.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.api import Capabilities, ImagineRequest, Request, Spot

MAX_EDGE = 4096  #: pixels; what an upscale may lead to
ZOOMS = (1.5, 2.0)  #: factors that have a button of their own
MOST_ZOOM = 3.0
DIRECTIONS = ("l", "r", "u", "d")
LEAST_SHARE = 1 / 8  #: of an edge; less room than that is not worth a pan


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """What is drawn, and where the picture lies on it."""

    width: int
    height: int
    spot: Spot


def zoomed_out(width: int, height: int, factor: float) -> Canvas:
    """The same canvas, the picture `factor` times smaller in its middle."""
    across, down = round(width / factor), round(height / factor)
    return Canvas(width=width, height=height, spot=Spot(left=(width - across) // 2, top=(height - down) // 2, width=across, height=down))


def squared(width: int, height: int) -> Canvas | None:
    """As wide as high, by drawing along the longer sides; None where it is that already."""
    if width == height:
        return None
    edge = max(width, height)
    return Canvas(width=edge, height=edge, spot=Spot(left=(edge - width) // 2, top=(edge - height) // 2, width=width, height=height))


def panned(width: int, height: int, direction: str, can: Capabilities) -> Canvas | None:
    """Half as much again on one side ("l", "r", "u", "d"), or as much as the model can draw; None where that is next to nothing."""
    along = width if direction in ("l", "r") else height
    room = min(along // 2, can.max_edge - along) // can.multiple * can.multiple
    if room < max(can.multiple, LEAST_SHARE * along):
        return None
    spot = Spot(left=room if direction == "l" else 0, top=room if direction == "u" else 0, width=width, height=height)
    if direction in ("l", "r"):
        return Canvas(width=width + room, height=height, spot=spot)
    return Canvas(width=width, height=height + room, spot=spot)


def is_enhanceable(request: Request, can: Capabilities | None) -> bool:
    """Whether it was drawn as this model's draft: then there is more to be had from the same seed."""
    if can is None or can.draft is None or not isinstance(request, ImagineRequest):
        return False
    draft = can.draft
    has_adapter = not draft.lora or any(each.name == draft.lora for each in request.loras)
    return has_adapter and (request.steps, request.guidance) == (draft.steps, draft.guidance) != (can.steps, can.guidance)
