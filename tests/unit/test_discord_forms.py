"""What was given beside the words finds its way back through a form, however little room there is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.chat.discord import forms, limits
from bot.chat.discord.events import Found
from bot.chat.discord.forms import Beside
from bot.chat.discord.layout import modal
from bot.chat.discord.memory import REMEMBERED, Memory
from bot.domain import Field, Form

FORM = Form(name="imagine", title="Imagine", fields=(Field(name="words", label="What to draw"),))
KEY = str(2**64 - 1)
PICTURE = Found(url="https://cdn/1", name="a.png")


@given(st.builds(Beside, aspect=st.text(max_size=20), style=st.text(max_size=100), model=st.text(max_size=100), private=st.booleans()))
def test_options_come_back_from_the_form_or_from_memory(beside: Beside):
    told, kept = forms.context(beside, FORM, KEY)
    custom_id = modal(FORM, told).custom_id
    assert len(custom_id) <= limits.CUSTOM_ID
    back = custom_id.partition("|")[2]
    assert back == told, "nothing of it is cut"
    if kept:
        assert forms.kept_under(back) == KEY
    else:
        assert forms.kept_under(back) == "" and forms.read(back) == beside


@pytest.mark.parametrize(
    ("beside", "told", "kept"),
    [
        (Beside(), "", False),
        (Beside(message="11/22"), "11/22", False),
        (Beside(private=True), '=["","","",true]', False),
        (Beside(pictures=(PICTURE,)), f"~{KEY}", True),
        (Beside(message="11/22", pictures=(PICTURE,)), f"~{KEY}", True),
        (Beside(style="x" * 100), f"~{KEY}", True),
    ],
)
def test_only_what_is_too_much_for_the_form_is_kept(beside: Beside, told: str, kept: bool):
    assert forms.context(beside, FORM, KEY) == (told, kept)


@pytest.mark.parametrize("told", ["=", "=[]", "=[1,2]", "=7", '={"a":1}'])
def test_what_nobody_here_wrote_means_nothing(told: str):
    assert forms.read(told) is None


def test_an_option_fills_the_field_of_its_name_and_does_not_count_twice():
    form = Form(name="f", title="t", fields=(*FORM.fields, Field(name="model", label="Model", kind="choice", choices=(("fake", "The fake"),))))
    beside = Beside(aspect="3:2", model="fake")
    filled = forms.prefilled(form, {"model": "fake", "aspect": "3:2", "words": ""})
    assert [field.value for field in filled.fields] == ["", "fake"]
    assert forms.without(beside, form) == Beside(aspect="3:2")


def test_memory_is_bounded_and_forgets_the_oldest():
    memory = Memory()
    for number in range(REMEMBERED + 1):
        memory.keep(str(number), Beside(aspect=str(number)))
    assert memory.beside("0") is None and memory.beside("1") == Beside(aspect="1")


def test_follow_ups_and_removals_are_counted_apart():
    memory = Memory()
    memory.follow("a")
    memory.follow("a")
    memory.removed("a")
    assert (memory.followed("a"), memory.followed("b"), memory.removals("a"), memory.removals("b")) == (2, 0, 1, 0)
