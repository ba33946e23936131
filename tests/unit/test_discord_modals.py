"""Every form as Discord opens it: within its limits, with the words as they were, files and choices where they are asked for."""

from __future__ import annotations

from dataclasses import replace

import discord
import pytest

from bot import notes
from bot.chat.discord import limits
from bot.chat.discord.layout import modal
from bot.domain import Action, Field, Form, Verb
from tests.fakes.discord import rules
from tests.unit.test_cards import ENGLISH

JOB = "01KD" + "0" * 22


def box(form: discord.ui.Modal, number: int = 0) -> discord.ui.TextInput[discord.ui.Modal]:
    label = form.children[number]
    assert isinstance(label, discord.ui.Label) and isinstance(label.component, discord.ui.TextInput)
    return label.component


def form_of(**changes: object) -> Form:
    return replace(Form(name="imagine", title="Imagine", fields=(Field(name="words", label="What to draw", long=True),)), **changes)  # type: ignore[arg-type]


def test_a_form_asks_for_its_fields():
    shown_form = modal(
        Form(name="imagine", title="Imagine", fields=(Field(name="words", label="What", value="a fox", long=True), Field(name="n", label="How many")))
    )
    assert (shown_form.title, shown_form.custom_id) == ("Imagine", "imagine")
    assert [(box(shown_form, n).custom_id, box(shown_form, n).style, box(shown_form, n).default) for n in (0, 1)] == [
        ("words", discord.TextStyle.long, "a fox"),
        ("n", discord.TextStyle.short, None),
    ]
    rules.modal(shown_form.to_dict())


@pytest.mark.parametrize("required", [False, True])
def test_a_field_is_required_or_not(required: bool):
    assert box(modal(form_of(fields=(Field(name="words", label="What", required=required),)))).required is required


def test_what_is_too_long_for_a_form_is_cut():
    fields = tuple(Field(name=f"field {number}", label="l" * 100, value="x" * 6000, long=True) for number in range(8))
    cut = modal(form_of(title="t" * 100, fields=fields))
    rules.modal(cut.to_dict())
    assert (len(cut.title), len(cut.children)) == (limits.FORM_TITLE, limits.FORM_FIELDS)
    value = box(cut).default or ""
    assert len(value) == limits.FORM_VALUE and value.endswith("…"), "a member sees that not all of it is there"
    assert box(modal(form_of(fields=(Field(name="words", label="l", value="x" * limits.FORM_VALUE),)))).default == "x" * limits.FORM_VALUE


def test_a_form_asks_for_pictures_and_choices():
    form = modal(
        form_of(
            fields=(
                Field(name="images", label="Pictures", kind="picture", hint="Two to five"),
                Field(name="sketch", label="Sketch", kind="picture", required=False),
                Field(name="model", label="Model", kind="choice", choices=tuple((f"m{n}", f"Model {n}") for n in range(40)), value="m3", required=False),
                Field(name="none", label="No choice", kind="choice"),
            )
        )
    )
    rules.modal(form.to_dict())
    several, one, choice, text = (label["component"] for label in form.to_dict()["components"])
    assert (several["type"], several["min_values"], several["max_values"]) == (19, 1, limits.FORM_FILES)
    assert (one["min_values"], one["max_values"], one["required"]) == (0, 1, False)
    assert len(choice["options"]) == limits.CHOICES and [each["value"] for each in choice["options"] if each.get("default")] == ["m3"]
    assert text["type"] == 4, "a choice of nothing is asked for in words"
    assert form.to_dict()["components"][0]["description"] == "Two to five"


def test_every_form_there_is_can_be_opened():
    action = Action(verb=Verb.REMIX, job_id=JOB, argument="p")
    for form in (
        notes.imagine_form(ENGLISH),
        notes.imagine_form(ENGLISH, "x" * 6000),
        *(notes.remix_form(action, words, ENGLISH) for words in ("a", None, "x" * 6000)),
    ):
        rules.modal(modal(form).to_dict())


def test_what_a_form_is_about_comes_back_behind_a_bar():
    longest = f"{2**64 - 1}/{2**64 - 1}"
    opened = modal(notes.imagine_form(ENGLISH), longest)
    assert opened.custom_id == f"imagine|{longest}"
    assert len(opened.custom_id) <= limits.CUSTOM_ID
