"""Options of Discord's commands, as the words and flags they stand for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.chat.discord import events
from bot.chat.discord.events import words
from bot.errors import BadWords
from bot.prompts import locate, parse

# ------------------------------------------------------------------------------------------------ options beside the prompt


@pytest.mark.parametrize(
    ("prompt", "options", "said"),
    [
        ("a fox", {}, "a fox"),
        ("  a fox \n", {}, "a fox"),
        ("a fox", {"aspect": "3:2"}, "a fox --ar 3:2"),
        ("a fox", {"model": "fake"}, "a fox --model fake"),
        ("a fox", {"private": True}, "a fox --private"),
        ("a fox", {"style": "3d render"}, "a fox, 3d render"),
        ("a fox,", {"style": "3d render"}, "a fox, 3d render"),
        ("a fox --seed 7", {"style": "3d render"}, "a fox, 3d render --seed 7"),
        ("a fox —seed 7", {"style": "3d render"}, "a fox, 3d render —seed 7"),
        ("a fox –seed 7", {"style": "3d render"}, "a fox, 3d render –seed 7"),
        ("a fox\n--seed 7", {"style": "3d  render "}, "a fox, 3d render\n--seed 7"),
        ("a well-known fox", {"style": "3d render"}, "a well-known fox, 3d render"),
        (
            "a fox --no rain",
            {"aspect": "3:2", "style": "ink", "model": "fake", "private": True},
            "a fox, ink --no rain --ar 3:2 --model fake --private",
        ),
        ("a fox", {"aspect": " ", "style": " ", "model": ""}, "a fox"),
        ("a fox", {"aspect": " 3:2 --seed 5", "model": "fake, --n 9"}, "a fox --ar 3:2 --model fake"),
        ("a fox", {"style": "ink --seed 5"}, "a fox, ink seed 5"),
        ("a fox --seed 7", {"style": "style:ink", "aspect": "3:2"}, "a fox --seed 7 --ar 3:2 --style ink"),
        ("a fox", {"style": "style:--n 9"}, "a fox --style n"),
        ("", {"style": "style:ink", "picture": True}, "--style ink"),
        ("a fox", {"style": "ink —seed 5 –private \u200b--n 9 －－hd"}, "a fox, ink seed 5 private n 9 hd"),
    ],
)
def test_options_are_the_words_and_flags_they_stand_for(prompt: str, options: dict[str, Any], said: str):
    assert words(prompt, **options) == said


def test_without_words_options_are_nothing_yet_so_that_the_form_opens():
    assert words("", aspect="3:2", style="ink", model="fake", private=True) == ""
    assert words("  \n", style="ink") == ""


def test_flags_alone_stay_a_mistake_whatever_the_style():
    assert words("--seed 7", style="ink") == "--seed 7"
    assert parse(words("--seed 7", style="ink", aspect="3:2")).parts == (), "there is nothing to draw"


FLAGLIKE = st.lists(
    st.sampled_from(
        ["--", "—", "–", "⸺", "-", "\u200b", "\u00ad", "﹣", "－", " ", "\u00a0", "\t", "seed", "private", "n", " 5", "=5", "::2", ",", "ink", "3:2"]
    )
    | st.text(max_size=5)
).map("".join)


@given(FLAGLIKE, FLAGLIKE, FLAGLIKE)
def test_an_option_is_no_way_in_for_other_flags(aspect: str, style: str, model: str):
    try:
        found = locate(words("a fox", aspect=aspect, style=style, model=model))
    except BadWords:
        return  # told to the member, with the words
    assert set(found.places) <= {"aspect", "model", "style"}
    assert not found.words.private and found.words.seed is None


@given(FLAGLIKE)
def test_a_style_alone_adds_no_flag_at_all(style: str):
    try:
        assert locate(words("a fox", style=style)).places == {}
    except BadWords as error:
        assert error.message not in {"words.unknown_flag", "words.unknown_flag_near", "words.no_value", "words.takes_nothing"}, "a weight, a link, too long"


# ------------------------------------------------------------------------------------------------ options of other commands


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (events.named("", "ink", "black ink"), ""),
        (events.named("save", " my ink ", " black ink "), "save my-ink black ink"),
        (events.named("drop", "ink", "black ink"), "drop ink"),
        (events.named("save", "ink", "black", server=True), "server save ink black"),
        (events.setting("lane", " relax "), "lane=relax"),
        (events.setting("lane", ""), "lane="),
        (events.setting("", "lane=relax"), "lane=relax"),
        (events.setting("", ""), ""),
        (events.both(" a fox ", "an owl --n 1"), "a fox | an owl --n 1"),
        (events.both("a fox", " "), ""),
    ],
)
def test_options_are_the_text_their_command_understands(said: str, text: str):
    assert said == text
