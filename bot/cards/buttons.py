"""The buttons under a job: only those that can do something. Pure; used by `bot.cards`.

A button of a private job ends its argument with "p", so that a press on it is answered privately even before anything is looked up. The most there is
has to fit what Discord takes: five rows of five, a select counting as a row, and a link that shares a row or takes one.
"""

from __future__ import annotations

from collections.abc import Sequence

from bot.cards.pictures import frames
from bot.cards.room import DIRECTIONS, MAX_EDGE, ZOOMS, is_enhanceable, panned
from bot.cards.words import children_of
from bot.domain import GRID, Action, Artifact, Button, Job, Select, Shown, Status, Verb
from bot.messages import Catalogue
from bot.prompts.flags import plain
from engine.api import Capabilities, ImagineRequest, UpscaleRequest

IN_BUTTONS = 4  #: pictures; a larger grid has selects
PRIVATE = "p"
ROW, ROWS = 5, 5

Row = tuple[Button, ...]
_PANS = {"l": "pan_left", "r": "pan_right", "u": "pan_up", "d": "pan_down"}


def buttons(shown: Shown, catalogue: Catalogue, can: Capabilities | None = None) -> tuple[tuple[Row, ...], tuple[Select, ...]]:
    """Rows and selects. `can` None: the model is not at hand, and there is what any model can do."""
    job = shown.job
    maker = _Maker(job, catalogue)
    match job.status:
        case Status.QUEUED | Status.RUNNING:
            return ((maker.make(Verb.CANCEL, "cancel", style="danger"), *maker.family(shown)),), ()
        case Status.FAILED | Status.CANCELLED:
            again = maker.make(Verb.REROLL, "retry", style="primary")
            return ((again, maker.make(Verb.REMIX, "remix"), maker.make(Verb.DELETE, "delete", style="danger"), *maker.family(shown)),), ()
    return _single(shown, maker, can) if len(frames(shown)) <= 1 else _grid(shown, maker, can)


def rows_of(*rows: Row) -> tuple[Row, ...]:
    """Those that have something in them."""
    return tuple(row for row in rows if row)


class _Maker:
    """Makes the buttons of one job."""

    def __init__(self, job: Job, catalogue: Catalogue) -> None:
        self._job, self.catalogue = job, catalogue

    def make(self, verb: Verb, key: str, *, index: int = GRID, argument: str = "", hint: str = "", **more: object) -> Button:
        parameters = {"number": index + 1, "factor": argument}
        wanted = {name: value for name, value in parameters.items() if name in self.catalogue.parameters(f"button.{key}")}
        hinted = hint or f"{key}_hint"
        hints = {name: value for name, value in parameters.items() if name in self.catalogue.parameters(f"button.{hinted}")}
        return Button(
            label=self.catalogue.say(f"button.{key}", **wanted),
            hint=self.catalogue.say(f"button.{hinted}", **hints),
            action=Action(verb=verb, job_id=self._job.id, index=index, argument=argument + (PRIVATE if self._job.private else "")),
            **more,  # type: ignore[arg-type]
        )

    def star(self, drawn: Sequence[Artifact]) -> Button:
        kept = bool(drawn) and drawn[0].favourite
        return self.make(Verb.FAVOURITE, "unfavourite" if kept else "favourite", hint="unfavourite_hint" if kept else "favourite_hint", pressed=kept)

    def common(self) -> Row:
        return (self.make(Verb.PARAMS, "params"), self.make(Verb.REMIX, "remix"), self.make(Verb.DELETE, "delete", style="danger"))

    def enhance(self, can: Capabilities | None) -> Row:
        return (self.make(Verb.ENHANCE, "enhance", style="primary"),) if is_enhanceable(self._job.request, can) else ()

    def family(self, shown: Shown) -> Row:
        """Up to where it came from, and down to what came of it."""
        down = (self.make(Verb.CHILDREN, "children"),) if children_of(shown) else ()
        return (*self.parent(), *down)

    def parent(self) -> Row:
        """A way back to where a child came from."""
        if self._job.parent is None:
            return ()
        button = self.make(Verb.SHOW, "parent")
        action = Action(verb=Verb.SHOW, job_id=self._job.parent.job_id, argument=button.action.argument)
        return (Button(label=button.label, hint=button.hint, action=action),)


# ------------------------------------------------------------------------------------------------ a grid


def _grid(shown: Shown, maker: _Maker, can: Capabilities | None) -> tuple[tuple[Row, ...], tuple[Select, ...]]:
    drawn = frames(shown)
    picks = tuple(maker.make(Verb.PICK, "pick", index=each.index) for each in drawn) if _may("upscale", can) else ()
    varies = tuple(maker.make(Verb.VARY, "vary", index=each.index) for each in drawn) if _may("source", can) and _has_words(shown.job) else ()
    reroll, star, common, enhance, family = maker.make(Verb.REROLL, "reroll"), maker.star(drawn), maker.common(), maker.enhance(can), maker.family(shown)
    if len(drawn) <= IN_BUTTONS:
        last = (*enhance, *common, *family)
        return rows_of((*picks, reroll), (*varies, star), *_fives(last, keep=len(enhance) + len(common))), ()
    catalogue = maker.catalogue
    selects = (
        Select(placeholder=catalogue.say("button.pick_many"), choices=picks),
        Select(placeholder=catalogue.say("button.vary_many"), choices=varies),
    )
    return rows_of((reroll, star, *common), (*enhance, *family)), tuple(each for each in selects if each.choices)


def _fives(row: Row, keep: int) -> tuple[Row, ...]:
    """One row where it fits; else its first `keep` buttons together, and the others below."""
    return (row,) if len(row) <= ROW else (row[:keep], row[keep:])


# ------------------------------------------------------------------------------------------------ one picture


def _single(shown: Shown, maker: _Maker, can: Capabilities | None) -> tuple[tuple[Row, ...], tuple[Select, ...]]:
    job, drawn = shown.job, frames(shown)
    # An upscale of the same picture by the same model is the same picture: no reroll there.
    reroll = () if isinstance(job.request, UpscaleRequest) and not job.request.creative else (maker.make(Verb.REROLL, "reroll"),)
    star, common, family = maker.star(drawn), maker.common(), maker.family(shown)
    if can is None:
        first = (*_upscales(drawn, maker), maker.make(Verb.VARY, "vary_one", index=0), *reroll)
        return _with_family(rows_of(first, (star, *common)), family), ()
    works = can.operations if drawn and _has_words(job) else frozenset()
    rows = rows_of(
        (*(_upscales(drawn, maker) if _may("upscale", can) else ()), *_creative(drawn, maker, works)),
        (*_varies(maker, works), *reroll, *maker.enhance(can)),
        (*_zooms(shown, maker, works), *_animate(maker, works)),
        (*_pans(shown, maker, works, can), *_describe(maker, can)),
        (star, *common),
    )
    return _with_family(rows, family), ()


def _with_family(rows: tuple[Row, ...], family: Row) -> tuple[Row, ...]:
    """Beside the last row or below it; with five rows, in the first that have room: the last one keeps a place for a link."""
    if not family:
        return rows
    if len(rows) < ROWS - 1:
        return (*rows[:-1], (*rows[-1], *family)) if len(rows[-1]) + len(family) <= ROW else (*rows, family)
    found = list(rows)
    for button in family:
        at = next((place for place, row in enumerate(found[:-1]) if len(row) < ROW), len(found) - 1)
        found[at] = (*found[at], button)
    return tuple(found)


def _may(operation: str, can: Capabilities | None) -> bool:
    return can is None or operation in can.operations


def _has_words(job: Job) -> bool:
    """Whether there is a prompt to draw its pictures from once more: an upscale's is its parent's, a morph's two are no prompt."""
    return isinstance(job.request, ImagineRequest) or (isinstance(job.request, UpscaleRequest) and job.parent is not None)


def _upscales(drawn: Sequence[Artifact], maker: _Maker) -> Row:
    """Only those whose result stays within MAX_EDGE."""
    return tuple(maker.make(Verb.UPSCALE, "upscale", index=0, argument=str(factor)) for factor in (2, 4) if drawn and _edge(drawn) * factor <= MAX_EDGE)


def _creative(drawn: Sequence[Artifact], maker: _Maker, works: frozenset[str]) -> Row:
    if "creative" not in works or _edge(drawn) * 2 > MAX_EDGE:
        return ()
    return (maker.make(Verb.CREATIVE, "creative", index=0, argument="2"),)


def _edge(drawn: Sequence[Artifact]) -> int:
    return max(drawn[0].width, drawn[0].height)


def _varies(maker: _Maker, works: frozenset[str]) -> Row:
    found: Row = ()
    if "source" in works:
        found = tuple(maker.make(Verb.VARY, f"vary_{how}", index=0, argument=how) for how in ("subtle", "strong"))
    return (*found, maker.make(Verb.REGION, "region", index=0)) if "mask" in works else found


def _zooms(shown: Shown, maker: _Maker, works: frozenset[str]) -> Row:
    if "extend" not in works:
        return ()
    found = [maker.make(Verb.ZOOM, "zoom", index=0, argument=plain(factor)) for factor in ZOOMS]
    found.append(maker.make(Verb.ZOOM, "zoom_custom", index=0))
    drawn = frames(shown)
    if drawn[0].width != drawn[0].height:
        found.append(maker.make(Verb.SQUARE, "square", index=0))
    return tuple(found)


def _animate(maker: _Maker, works: frozenset[str]) -> Row:
    return (maker.make(Verb.ANIMATE, "animate", index=0),) if "animate" in works else ()


def _pans(shown: Shown, maker: _Maker, works: frozenset[str], can: Capabilities) -> Row:
    """Only where there is room; an upscale's canvas is its ancestor's, which is not at hand: a press tells."""
    if "extend" not in works:
        return ()
    request = shown.job.request
    return tuple(
        maker.make(Verb.PAN, _PANS[direction], index=0, argument=direction)
        for direction in DIRECTIONS
        if not isinstance(request, ImagineRequest) or panned(request.width, request.height, direction, can)
    )


def _describe(maker: _Maker, can: Capabilities) -> Row:
    return (maker.make(Verb.DESCRIBE, "describe", index=0),) if "describe" in can.operations else ()
