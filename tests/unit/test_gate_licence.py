"""What a model's licence forbids, over what a place allows: the stricter of the two in each, and said to be the licence's only where it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.errors import Refused
from bot.gate import Answer, Asked, Gate, People, Policy, Rule, Sexual, Verdict
from bot.gate.licence import alone_of, binds, forbids_alone, others, refusal, under
from engine.api import USES
from engine.fake import FAKE_MODEL
from tests.unit.house import ENGLISH

OPEN = Policy(sexual=Sexual.ALLOW, people=People.ALLOW, edits=True, artists=False)
BOUND = replace(FAKE_MODEL, model="bound", title="Bound", refuses=frozenset({"sexual"}))


@pytest.fixture(scope="module")
def gate() -> Gate:
    return Gate.load()


@pytest.mark.parametrize(
    ("refuses", "meant"),
    [
        ((), (Sexual.ALLOW, People.ALLOW, True)),
        (("commercial",), (Sexual.ALLOW, People.ALLOW, True)),
        (("sexual",), (Sexual.REFUSE, People.ALLOW, False)),
        (("degrading",), (Sexual.ALLOW, People.DEGRADING, False)),
        (("people",), (Sexual.ALLOW, People.REFUSE, True)),
        (("sexual", "degrading", "people"), (Sexual.REFUSE, People.REFUSE, False)),
    ],
)
def test_a_place_that_allows_everything_is_as_strict_as_the_licence(refuses: tuple[str, ...], meant: tuple[Sexual, People, bool]) -> None:
    held = under(OPEN, refuses)
    assert (held.sexual, held.people, held.edits) == meant
    assert held.artists is OPEN.artists and held.words is OPEN.words, "the rest is the place's own"


def test_no_licence_makes_a_place_less_strict() -> None:
    strict = Policy(sexual=Sexual.REFUSE, people=People.REFUSE, edits=False)
    for use in ("", *USES):
        assert under(strict, {use}) == strict
    assert under(replace(OPEN, sexual=Sexual.HIDE), ()).sexual is Sexual.HIDE


def test_only_what_the_gates_can_see_is_theirs_to_hold_to() -> None:
    assert not binds(()) and not binds({"commercial"})
    assert all(binds({use}) for use in ("sexual", "degrading", "people"))


@pytest.mark.parametrize(
    ("words", "photograph", "refuses", "rule"),
    [
        ("a naked woman", False, "sexual", Rule.SEXUAL),
        ("a naked woman", False, "degrading", None),
        ("the same, topless", True, "sexual", Rule.EDITS),
        ("in lingerie", True, "degrading", Rule.EDITS),
        ("angela merkel on a leash", False, "degrading", Rule.PEOPLE),
        ("angela merkel on a leash", False, "sexual", None),
        ("angela merkel riding a bicycle", False, "degrading", None),
        ("angela merkel riding a bicycle", False, "people", Rule.PEOPLE),
        ("a fox in the snow", False, "sexual", None),
    ],
)
def test_each_use_stands_for_the_rules_it_is_named_after(gate: Gate, words: str, photograph: bool, refuses: str, rule: Rule | None) -> None:
    verdict = gate.judge(Asked(wanted=words, photograph=photograph), alone_of({refuses}))
    assert (verdict and verdict.rule) == rule
    assert verdict is None or verdict.answer is Answer.REFUSE, "nothing a licence forbids is drawn behind a click"


def test_another_model_is_named_only_where_its_licence_has_nothing_against_it() -> None:
    people = replace(FAKE_MODEL, model="people", refuses=frozenset({"degrading"}))
    shelf = (BOUND, people, FAKE_MODEL)
    assert others(shelf, Verdict(rule=Rule.SEXUAL)) == ("people", "fake")
    assert others(shelf, Verdict(rule=Rule.PEOPLE)) == ("bound", "fake")
    assert others(shelf, Verdict(rule=Rule.EDITS)) == ("fake",)


@pytest.mark.parametrize(
    ("rule", "refuses", "instead", "message"),
    [
        (Rule.SEXUAL, {"sexual"}, (), "refused.gate_licence_sexual"),
        (Rule.SEXUAL, {"sexual"}, ("fake",), "refused.gate_licence_sexual_other"),
        (Rule.EDITS, {"sexual", "degrading"}, (), "refused.gate_licence_sexual"),
        (Rule.EDITS, {"degrading"}, (), "refused.gate_licence_people"),
        (Rule.PEOPLE, {"sexual", "degrading"}, ("fake",), "refused.gate_licence_people_other"),
    ],
)
def test_the_refusal_says_what_the_licence_is_against(rule: Rule, refuses: set[str], instead: tuple[str, ...], message: str) -> None:
    told: Refused = refusal(Verdict(rule=rule), replace(BOUND, refuses=frozenset(refuses)), instead)
    assert told.message == message
    text = ENGLISH.say(told.message, **told.parameters)
    assert "The licence of Bound" in text and ("--model fake" in text) == bool(instead)


def test_pictures_are_the_licences_only_where_the_place_would_have_shown_them() -> None:
    sexual, edits, minors = (Verdict(rule=rule) for rule in (Rule.SEXUAL, Rule.EDITS, Rule.MINORS))
    plain, photograph = Asked(wanted="x"), Asked(wanted="x", photograph=True)
    assert forbids_alone(sexual, OPEN, plain) and forbids_alone(edits, OPEN, photograph)
    assert forbids_alone(sexual, replace(OPEN, sexual=Sexual.HIDE), plain)
    assert not forbids_alone(sexual, replace(OPEN, sexual=Sexual.REFUSE), plain)
    assert not forbids_alone(edits, replace(OPEN, edits=False), photograph)
    assert not forbids_alone(minors, OPEN, plain)
