"""The forms: what they ask for, filled in with what is known, under names that come back as they were sent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bot import notes, presses
from bot.cards import NOBODY
from bot.domain import Action, Form, Verb
from bot.errors import Refused
from tests.unit.test_cards import ENGLISH

COMMANDS = frozenset({"imagine", "blend", "morph", "shorten", "describe", "verify", "upscale", "styles", "lists", "privacy"})
JOB = "01KA0000000000000000000000"
ZOOM = Action(verb=Verb.ZOOM, job_id=JOB, index=1)
REGION = Action(verb=Verb.REGION, job_id=JOB, index=1, argument="p")
ASKED = ("flags", "suffix", "sets", "!flags", "!suffix", "!channels", "!off")


def asked(name: str, **stored: object) -> Form:
    member, server = ({}, stored) if name.startswith("!") else (stored, {})
    return notes.ask_form(Action(verb=Verb.ASK, job_id=NOBODY, argument=name), ENGLISH, member, server)


def every_form() -> Iterator[Form]:
    yield notes.imagine_form(ENGLISH)
    for words in ("a fox", None):
        yield notes.remix_form(Action(verb=Verb.REMIX, job_id=JOB), words, ENGLISH)
        yield notes.zoom_form(ZOOM, words, ENGLISH)
        yield notes.region_form(REGION, words, ENGLISH)
    yield notes.words_form("shorten", ENGLISH)
    yield notes.morph_form(ENGLISH)
    yield notes.blend_form(ENGLISH)
    yield from (notes.picture_form(name, ENGLISH) for name in ("describe", "verify", "upscale"))
    yield from (asked(name) for name in (*ASKED, "style", "list", "forget"))


def test_every_form_fits_every_platform():
    for form in every_form():
        assert 1 <= len(form.name) <= 100 and 1 <= len(form.title) <= 24  # Slack's titles are the shortest
        assert 1 <= len(form.fields) <= 5
        assert len({field.name for field in form.fields}) == len(form.fields)
        assert all(1 <= len(field.label) <= 45 and len(field.hint) <= 100 for field in form.fields)


def test_every_form_comes_back_as_a_button_or_a_command():
    for form in every_form():
        if form.name not in COMMANDS:
            assert presses.action_of(form.name).encode() == form.name


def test_a_picture_may_come_along_and_need_not():
    for form in (notes.imagine_form(ENGLISH), notes.remix_form(Action(verb=Verb.VARY, job_id=JOB, index=0), "a fox", ENGLISH)):
        words, image = form.fields
        assert (words.name, words.kind, words.required) == ("words", "text", True)
        assert (image.name, image.kind, image.required) == ("image", "picture", False)


def test_a_blend_wants_two_pictures_and_takes_more():
    assert [(field.name, field.kind, field.required) for field in notes.blend_form(ENGLISH).fields] == [
        ("image", "picture", True),
        ("image2", "picture", True),
        ("image3", "picture", False),
        ("image4", "picture", False),
        ("words", "text", False),
    ]


def test_a_zoom_begins_with_a_factor_that_is_taken():
    factor = notes.zoom_form(ZOOM, "a fox", ENGLISH).fields[0]
    assert presses.zoom_of(factor.value) == 1.5


def test_a_region_is_painted_or_named():
    form = notes.region_form(REGION, "a fox", ENGLISH)
    assert Action.decode(form.name) == REGION
    assert [(field.name, field.kind, field.required) for field in form.fields] == [
        ("mask", "picture", False),
        ("what", "text", False),
        ("words", "text", True),
    ]


@pytest.mark.parametrize(
    ("name", "stored", "value"),
    [
        ("flags", {"flags": "--ar 3:2"}, "--ar 3:2"),
        ("suffix", {}, ""),
        ("sets", {"sets": {"wide": "--ar 16:9", "few": "--n 1"}}, "few: --n 1\nwide: --ar 16:9"),
        ("!channels", {"channels": ["2", "1"]}, "1 2"),
        ("!off", {"off": ["morph"]}, "morph"),
        ("!flags", {"flags": 7}, ""),
    ],
)
def test_what_holds_stands_in_the_form(name: str, stored: dict[str, object], value: str):
    form = asked(name, **stored)
    (field,) = form.fields
    assert (field.name, field.value, field.required) == ("value", value, False)
    assert presses.asked_of(Action.decode(form.name)) == (name.removeprefix("!"), name.startswith("!"))


def test_a_member_does_not_see_the_servers_flags_in_a_form_of_their_own():
    action = Action(verb=Verb.ASK, job_id=NOBODY, argument="flags")
    assert notes.ask_form(action, ENGLISH, {}, {"flags": "--ar 3:2"}).fields[0].value == ""


@pytest.mark.parametrize("name", ["!sets", "channels", "!forget", "other"])
def test_a_form_there_is_none_of_is_refused(name: str):
    with pytest.raises(Refused, match=r"refused\.unknown_form"):
        asked(name)


def test_forgetting_says_which_word_to_write():
    (field,) = asked("forget").fields
    assert field.label == "To be sure, write: forget" and field.value == "" and field.required
