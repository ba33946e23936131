"""Emphasis: which brackets mean it, what is drawn of it, and how it is written back."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.errors import BadWords
from bot.prompts import locate, parse, print_words
from engine.api import Emphasis, Part


def emphasised(text: str) -> list[tuple[str, float]]:
    return [(part.text[each.start : each.end], each.weight) for part in parse(text).parts for each in part.emphasis]


def fault(text: str) -> tuple[str, str]:
    with pytest.raises(BadWords) as caught:
        parse(text)
    return caught.value.message, text[caught.value.start : caught.value.end]


def test_brackets_with_a_weight_are_emphasis_and_leave_the_words():
    assert parse("a lamp, (soft glow:1.3) at sea").parts == (Part(text="a lamp, soft glow at sea", emphasis=(Emphasis(start=8, end=17, weight=1.3),)),)


def test_each_part_has_its_own():
    parts = parse("a (cat:0.5)::2 and (dogs:2)! (far:.25)").parts
    assert [(part.text, part.weight) for part in parts] == [("a cat", 2), ("and dogs! far", 1)]
    assert emphasised("a (cat:0.5)::2 and (dogs:2)! (far:.25)") == [("cat", 0.5), ("dogs", 2), ("far", 0.25)]


@pytest.mark.parametrize(
    "text",
    ["a fox (in the snow)", "a screen (16:9)", "noon (at 12:30)", "hello :)", "((", "a (note: 2) b", "(:1.3)", "f(x:y)", "(a) b:1.3)", ":( and 1.5", "() (1)"],
)
def test_other_brackets_stay_words(text: str):
    assert parse(text).parts == (Part(text=text),)
    assert print_words(parse(text)) == text


def test_words_in_brackets_may_be_emphasised_and_emphasis_may_stand_in_brackets():
    assert emphasised("((deep) sea:1.2)") == [("(deep) sea", 1.2)]
    assert emphasised("(a (sea:1.2))") == [("sea", 1.2)]
    assert parse("(a (sea:1.2))").text == "(a sea)"


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("( glow :1.30)", "(glow:1.3)"),
        ("（glow：１.３） fox", "(glow:1.3) fox"),
        ("(catch 22:2.0)", "(catch 22:2.0)"),  # without the point it would be a ratio
        ("(glow:1)", "(glow:1)"),
        ("(a:(1.3:1.0))", "(a:(1.3:1.0))"),
        ("(x: :1.5)", "(x: :1.5)"),
        ("(glow:1.3) b::2 c", "(glow:1.3) b::2 c::1"),
    ],
)
def test_another_way_of_writing_means_the_same(text: str, same: str):
    assert print_words(parse(text)) == same
    assert parse(same) == parse(text)


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("a fox (glow:3) --n 2", "words.emphasis_out_of_bounds", "3"),
        ("a --n 2 fox (glow:-0.1)", "words.emphasis_out_of_bounds", "-0.1"),
        ("a ((red:1.2) fox:1.3) b", "words.nested_emphasis", "((red:1.2) fox:1.3)"),
        ("a (red:1.2 fox", "words.open_bracket", "(red:1.2"),
        ("a (red:1.2:: fox)", "words.open_bracket", "(red:1.2"),
        ("fo\u200bx (red \u200bhat:2.5)", "words.emphasis_out_of_bounds", "2.5"),
    ],
)
def test_a_mistake_names_its_place(text: str, message: str, place: str):
    assert fault(text) == (message, place)


def test_spans_colour_brackets_and_weights():
    text = "a (soft --n 2 glow:1.3)::2 b"
    spans = [(text[start:end], kind) for start, end, kind in locate(text).spans]
    assert spans == [
        ("a", "text"), ("(", "weight"), ("soft", "text"), ("--n", "flag"), ("2", "value"), ("glow", "text"), (":1.3)", "weight"), ("::2", "weight"),
        ("b", "text"),
    ]  # fmt: skip
    assert text[slice(*locate(text).places["emphasis"])] == "(soft --n 2 glow:1.3)"


pieces = st.sampled_from(
    ["(", ")", ":", "::", "glow", "22", ":1.3)", ":2)", ":0.", "1.5", " ", "(red:1.3)", "::2", "--n 2", "-", ",", "（", "：", "\u200b", ":3)", "é"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(pieces, max_size=16).map("".join))
@example("(a:(1.3:1))")
@example("((a:1) :1.5)")
@example("(22:2.0)(x: :1.5)")
def test_any_brackets_parse_or_give_one_mistake_and_come_back_as_they_were(text: str):
    try:
        located = locate(text)
    except BadWords as error:
        assert 0 <= error.start < error.end <= len(text)
        return
    assert parse(print_words(located.words)) == located.words
    for part in located.words.parts:
        ends = [edge for each in part.emphasis for edge in (each.start, each.end)]
        assert ends == sorted(ends) and all(each.start < each.end <= len(part.text) and 0 <= each.weight <= 2 for each in part.emphasis)
