"""Permutations and wildcards: one text becomes several, or another, before it is parsed."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bot.errors import BadWords
from bot.prompts.permutations import MAX_PROMPTS, count, expand, group_marks
from bot.prompts.wildcards import fill, wildcards

ANIMALS = {"animal": ("cat", "dog", "eel"), "Far-place_2": ("moon",), "empty": ()}


def texts(text: str) -> list[str]:
    return [each.text for each in expand(text)]


def fault(text: str) -> tuple[str, str]:
    with pytest.raises(BadWords) as caught:
        expand(text)
    return caught.value.message, text[caught.value.start : caught.value.end]


@pytest.mark.parametrize(
    ("text", "prompts"),
    [
        ("{red, blue} car in {snow, rain}", ["red car in snow", "red car in rain", "blue car in snow", "blue car in rain"]),
        ("a {big {red, blue}, small} car", ["a big red car", "a big blue car", "a small car"]),
        ("a car {, by night}", ["a car ", "a car by night"]),
        ("fox --ar {3:2, 1:1} --n 1", ["fox --ar 3:2 --n 1", "fox --ar 1:1 --n 1"]),
        ("fox --{tile, n 2}", ["fox --tile", "fox --n 2"]),
        (r"{red\, white, blue} flag", ["red, white flag", "blue flag"]),
        (r"a \{red, blue\} car, {a,b}", ["a {red, blue} car, a", "a {red, blue} car, b"]),
        (r"a \, b {c,d}", [r"a \, b c", r"a \, b d"]),
        ("the {fox} and {{cat, dog}}", ["the {fox} and {cat}", "the {fox} and {dog}"]),
        ("{a,a}", ["a", "a"]),
        ("｛a，b｝", ["a", "b"]),
        ("a fox\nin  the snow", ["a fox in  the snow"]),
    ],
)
def test_groups_become_prompts(text: str, prompts: list[str]):
    assert texts(text) == prompts
    assert count(text) == len(prompts)


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("a {red, blue car", "words.brace_alone", "{"),
        ("a red} car", "words.brace_alone", "}"),
        ("a {{red, blue} car", "words.brace_alone", "{"),
        ("x {a,b,c,d,e,f,g} and {1,2,3,4,5,6} y", "words.too_many_prompts", "{a,b,c,d,e,f,g} and {1,2,3,4,5,6}"),
    ],
)
def test_a_mistake_names_its_place(text: str, message: str, place: str):
    assert fault(text) == (message, place)


def test_every_prompt_knows_the_way_back():
    text = "a {big {red, blue},  small } car"
    small = expand(text)[-1]
    assert text[slice(*small.span(2, 7))] == "small"
    assert text[slice(*small.span(8, 11))] == "car"


def test_prompts_that_are_long_together_are_refused():
    long = "x" * 5000
    assert len(expand(f"{{{','.join('abcdefghijk')}}} {long}")) == 11
    assert fault(f"{{{','.join('abcdefghijklm')}}} {long}") == ("words.prompts_too_long", "{a,b,c,d,e,f,g,h,i,j,k,l,m}")


def test_the_marks_of_groups_are_found():
    text = "{fox} {a, {b,c}} x\\,"
    assert [text[start:end] for start, end in group_marks(text)] == ["{", ",", "{", ",", "}", "}"]


def test_forty_are_allowed_and_counting_never_ends_in_expanding():
    assert len(texts("{a,b,c,d} {a,b,c,d,e} {a,b}")) == MAX_PROMPTS
    assert count("{a,b}" * 1200) == 1_000_000
    assert fault("{a,b}" * 1200)[0] == "words.too_many_prompts"
    assert count("{," * 2000 + "}" * 2000) == 2001


pieces = st.sampled_from(["{", "}", ",", "\\", "\\,", "\\{", "{a,b}", "fox", " ", "--n 2", "{red, {x,y}}", "｛", "\u200b", "\ud800"])


@settings(max_examples=250, deadline=None)
@given(st.lists(pieces, max_size=12).map("".join))
def test_any_text_expands_to_as_many_as_were_counted_or_gives_one_mistake(text: str):
    try:
        number = count(text)
        prompts = expand(text)
    except BadWords as error:
        assert 0 <= error.start < error.end <= len(text)
        return
    assert len(prompts) == number <= MAX_PROMPTS
    for each in prompts:
        assert len(each.origins) == len(each.text)
        assert list(each.origins) == sorted(each.origins)
        assert all(0 <= start < end <= len(text) for start, end in each.origins)


@settings(max_examples=200, deadline=None)
@given(st.recursive(st.sampled_from(["red", "a fox", "7"]), lambda inner: st.lists(inner, min_size=2, max_size=3), max_leaves=8))
def test_a_group_is_the_sum_of_its_options(tree: object):
    def written(node: object) -> str:
        return node if isinstance(node, str) else "{" + ", ".join(map(written, node)) + "}"  # type: ignore[call-overload]

    def leaves(node: object) -> list[str]:
        return [node] if isinstance(node, str) else [leaf for each in node for leaf in leaves(each)]  # type: ignore[attr-defined]

    assume(not isinstance(tree, str) and len(leaves(tree)) <= 6)
    assert texts(written(tree)) == leaves(tree)
    assert texts(f"{written(tree)} at {written(tree)}") == [f"{one} at {other}" for one in leaves(tree) for other in leaves(tree)]


# ------------------------------------------------------------------------------------------------ wildcards


def test_a_seed_draws_the_same_words_everywhere():
    drawn = [fill("__animal__ and __animal__", ANIMALS, seed).text for seed in range(4)]
    assert drawn == ["eel and eel", "dog and cat", "eel and dog", "dog and dog"]


def test_every_word_is_drawn_about_as_often():
    drawn = [fill("__animal__", ANIMALS, seed).text for seed in range(3000)]
    assert all(900 < drawn.count(each) < 1100 for each in ANIMALS["animal"])


def test_two_wildcards_of_one_list_are_drawn_apart():
    pairs = {fill("__animal__ __animal__", ANIMALS, seed).text for seed in range(200)}
    assert len(pairs) == 9


def test_names_mean_the_same_in_any_case_and_underscores_of_prose_stay():
    assert fill("__FAR-place_2__, __init, __ and ____ snake_case _a_", ANIMALS, 1).text == "moon, __init, __ and ____ snake_case _a_"
    assert [name for _, _, name in wildcards("__a____b__ ___c___")] == ["a", "b", "c"]


def test_what_a_list_holds_is_taken_as_it_stands():
    assert fill("__loop__", {"loop": ("__loop__ {a,b}",)}, 5).text == "__loop__ {a,b}"


@pytest.mark.parametrize(
    ("text", "message", "near"),
    [("a __animl__!", "words.unknown_list_near", "animal"), ("__xyz__", "words.unknown_list", None), ("__empty__", "words.unknown_list", None)],
)
def test_a_list_there_is_none_of_is_told_at_its_place(text: str, message: str, near: str | None):
    with pytest.raises(BadWords) as caught:
        fill(text, ANIMALS, 1)
    error = caught.value
    assert (error.message, error.parameters.get("near")) == (message, near)
    assert re.fullmatch("__[a-z]+__", text[error.start : error.end])


@given(st.lists(st.sampled_from(["_", "__", "a", "-", " ", "__animal__"]), max_size=20).map("".join), st.integers(0, 2**32 - 1))
def test_any_text_is_filled_or_gives_one_mistake(text: str, seed: int):
    try:
        filled = fill(text, ANIMALS, seed)
    except BadWords as error:
        assert 0 <= error.start < error.end <= len(text)
        return
    assert fill(text, ANIMALS, seed) == filled
    assert (filled.text == text) == (not wildcards(text))
    assert len(filled.origins) == len(filled.text)
    assert all(0 <= start < end <= len(text) for start, end in filled.origins)


def test_words_that_grow_beyond_what_is_read_are_refused():
    with pytest.raises(BadWords, match="too_long"):
        fill("__long__ " * 1000, {"long": ("x" * 1000,)}, 1)
