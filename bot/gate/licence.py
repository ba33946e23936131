"""What a model's licence forbids, as both gates hold to it: whatever a place allows, and whoever allows it. Pure. Asked by `bot.licences` and `bot.workshop`.

A card names the uses that its licence forbids (`engine.api.USES`); docs/models.md has what each means. The rule about minors is not one: it always holds.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from bot.errors import Refused
from bot.gate.rules import Asked, People, Policy, Rule, Sexual, Verdict, stricter
from engine.api import DEGRADING, PEOPLE, SEXUAL, Capabilities

#: Which uses a rule stands for: one of them is enough. A sexual edit of a photograph is of whoever is on it.
CAUSES = {Rule.SEXUAL: {SEXUAL}, Rule.PEOPLE: {DEGRADING, PEOPLE}, Rule.EDITS: {SEXUAL, DEGRADING}}
_FROM_STRICT = tuple(People)


def under(policy: Policy, refuses: Collection[str]) -> Policy:
    """The stricter, in each, of what a place allows and what a model's licence does."""
    alone = alone_of(refuses)
    return replace(
        policy,
        sexual=stricter(policy.sexual, alone.sexual),
        people=min(policy.people, alone.people, key=_FROM_STRICT.index),
        edits=policy.edits and alone.edits,
    )


def alone_of(refuses: Collection[str]) -> Policy:
    """What the licence alone forbids, where all else is allowed."""
    people = People.REFUSE if PEOPLE in refuses else People.DEGRADING if DEGRADING in refuses else People.ALLOW
    edits = not CAUSES[Rule.EDITS] & {*refuses}
    return Policy(sexual=Sexual.REFUSE if SEXUAL in refuses else Sexual.ALLOW, people=people, edits=edits, artists=False)


def binds(refuses: Collection[str]) -> bool:
    """Whether there is anything for the gates in it."""
    return bool({*refuses} & {SEXUAL, DEGRADING, PEOPLE})


def forbids_alone(verdict: Verdict, place: Policy, asked: Asked) -> bool:
    """Whether pictures were refused, under both, for the licence's sake: the place alone would have shown them."""
    return verdict.rule is not Rule.MINORS and place.sexual is not Sexual.REFUSE and (place.edits or not asked.photograph)


def others(models: Sequence[Capabilities], verdict: Verdict) -> tuple[str, ...]:
    """The names of models whose licence has nothing against it, in the order of the shelf."""
    causes = CAUSES.get(verdict.rule, set())
    return tuple(each.model for each in models if not causes & each.refuses)


def refusal(verdict: Verdict, can: Capabilities, instead: Sequence[str] = ()) -> Refused:
    """What the member is told; nothing is charged, and nobody is asked. `instead`: models that may draw it here."""
    name = can.title or can.model
    if SEXUAL in CAUSES.get(verdict.rule, set()) & can.refuses:
        return Refused("refused.gate_licence_sexual_other", model=name, other=instead[0]) if instead else Refused("refused.gate_licence_sexual", model=name)
    return Refused("refused.gate_licence_people_other", model=name, other=instead[0]) if instead else Refused("refused.gate_licence_people", model=name)
