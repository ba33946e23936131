"""Whether money is earned with this bot, and so which models it may not use: said at start, by `wordup models` and by `wordup doctor`.

Used by `bot.app`, `bot.doctor` and `bot.models_cli`. The shelf itself leaves them out (`engine.shelf`), so that they are never loaded.
"""

from __future__ import annotations

from bot.findings import Finding
from bot.settings import Settings
from engine.api import COMMERCIAL, ModelForbidden, ModelMissing
from engine.shelf import Shelf

FIX = "Choose another model; or set WORDUP_COMMERCIAL=false if nobody earns money with this bot, or `refuses = []` in its table if its makers let you."


def open_shelf(settings: Settings) -> Shelf:
    """The operator's models, without those that may not be used as this bot is."""
    default, store = settings.model or None, settings.models_store
    return Shelf.open(settings.model_folders, listing=settings.models_list, store=store, default=default, commercial=settings.commercial)


def left_out(settings: Settings) -> frozenset[str]:
    """Names of the operator's models that are not offered, because their licence forbids it. Reads cards."""
    if not settings.commercial:
        return frozenset()
    return frozenset(name for name, problem in open_shelf(settings).problems.items() if isinstance(problem, ModelForbidden))


def need_models(shelf: Shelf, default: str) -> None:
    """`default`: what WORDUP_MODEL names, or empty. Raises ModelForbidden where that one, or the last one, is left out; ModelMissing where there is none."""
    if isinstance(problem := shelf.problems.get(default), ModelForbidden):
        raise ModelForbidden(f"{problem}. WORDUP_MODEL names it; let it name another, or none")
    if not shelf.entries:
        forbidden = next((each for each in shelf.problems.values() if isinstance(each, ModelForbidden)), None)
        raise ModelForbidden(f"{forbidden}, and there is no other model") if forbidden else ModelMissing("no model can be read; `wordup doctor` says why")


def findings(shelf: Shelf, settings: Settings) -> list[Finding]:
    """Models that are left out; and those whose licence has conditions about money that only the operator can know."""
    found = []
    for problem in shelf.problems.values():
        if isinstance(problem, ModelForbidden):
            stops = not shelf.entries or problem is shelf.problems.get(settings.model)
            found.append(Finding(level="fail" if stops else "note", what="models", text=str(problem), fix=FIX))
    for can in shelf.models() if settings.commercial else ():
        if about := "; ".join(each for each in can.forbids if COMMERCIAL in each.casefold()):
            found.append(
                Finding(
                    level="note",
                    what=f"model {can.model}",
                    text=f"its licence forbids {about}",
                    fix="WORDUP_COMMERCIAL is true: read the licence, and whether you may use it as you do.",
                )
            )
    return found
