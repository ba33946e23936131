"""From what was typed to the single prompts that are drawn: permutations, wildcards, repetitions, styles, sets."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain import Style
from bot.errors import BadWords
from bot.prompts import BUILT_IN, Prompt, Words, parse, prepare, resolve
from bot.prompts.permutations import MAX_PROMPTS
from engine.api import Emphasis, Part
from engine.fake import FAKE_MODEL

LISTS = {"animal": ("cat", "dog", "eel"), "ratio": ("3:2", "1:2"), "odd": ("--sede",)}
SETS = {"wide": "--ar 2:1 --q 2", "often": "--r 2 --seed 9"}
STYLES = [
    Style(name="muted", words="in ink, muted --s 250 --no glare --n 2 --repeat 3 --style ink"),
    Style(name="Bare", words="--cfg 3"),
    Style(name="split", words="fog::0.5 (night:1.2)"),
    Style(name="broken", words="a --ar 99:1"),
    Style(name="ink", words="my own ink"),
]


def counting() -> Callable[[], int]:
    numbers = count(100)
    return lambda: next(numbers)


def prompts(text: str, *defaults: Words) -> tuple[Prompt, ...]:
    return prepare(text, lists=LISTS, seed=counting(), styles=STYLES, sets=SETS, defaults=defaults)


def texts(text: str) -> list[str]:
    return [each.text for each in prompts(text)]


def words(text: str, *defaults: Words) -> Words:
    (prompt,) = prompts(text, *defaults)
    return prompt.located.words


def fault(text: str) -> tuple[str, str]:
    with pytest.raises(BadWords) as caught:
        prompts(text)
    return caught.value.message, text[caught.value.start : caught.value.end]


# ------------------------------------------------------------------------------------------------ one text, several prompts


def test_one_prompt_is_itself():
    (prompt,) = prompts(" a fox --n 2 ")
    assert (prompt.text, prompt.located.words, prompt.style, prompt.seed) == ("a fox --n 2", parse("a fox --n 2"), Words(), 100)
    assert [each.located.words for each in prompts("")] == [Words()], "a picture may come along"


def test_each_permutation_has_a_seed_of_its_own_unless_one_is_said():
    assert [(each.text, each.seed) for each in prompts("a {red, blue} fox")] == [("a red fox", 100), ("a blue fox", 101)]
    assert [each.seed for each in prompts("a {red, blue} fox --seed 7")] == [7, 7]


def test_a_repetition_has_another_seed_and_no_flag_left_to_repeat_it():
    assert [(each.text, each.seed) for each in prompts("a fox --r 3 at sea")] == [("a fox at sea", 100), ("a fox at sea", 101), ("a fox at sea", 102)]
    assert [each.located.words for each in prompts("a fox --repeat=2")] == [parse("a fox")] * 2


def test_repetitions_of_a_seed_draw_no_picture_twice():
    repeated = prompts("a fox --seed 4294967295 --n 9 --r 2")
    assert [each.text for each in repeated] == ["a fox --seed 4294967295 --n 9", "a fox --seed 15 --n 9"]
    assert [each.located.words.seed for each in repeated] == [4294967295, 15]
    preferred = prompts("a fox --r 2", Words(seed=7))
    assert [(each.text, each.located.words.seed) for each in preferred] == [("a fox", 7), ("a fox", 23)]


def test_wildcards_are_filled_from_the_seed_so_that_it_repeats_them():
    assert texts("a __animal__ --seed 1") == texts("a __animal__ --seed 1") == ["a dog --seed 1"]
    assert len({texts(f"__animal__ --seed {each}")[0].split()[0] for each in range(9)}) == 3
    assert texts("__animal__ {by day, by night} --seed 1") == ["dog by day --seed 1", "dog by night --seed 1"]
    (prompt,) = prompts("a __animal__ --ar __ratio__")
    assert prompt.located.words == parse(prompt.text)
    assert "--seed" not in prompt.text
    assert [each.located.words.seed for each in prompts("__animal__ --often")] == [9, 25], "a set may say the seed"


def test_lists_that_are_not_at_hand_leave_the_wildcards():
    assert [each.text for each in prepare("a __cow__", lists=None, seed=counting())] == ["a __cow__"]
    with pytest.raises(BadWords, match="unknown_list"):
        prepare("a cow --ar __ratio__", lists=None, seed=counting())


def test_sets_are_spelled_out_in_what_is_stored():
    assert texts("fox --wide at sea") == ["fox --ar 2:1 --quality 2 at sea"]
    assert texts("fox --often") == ["fox --seed 9", "fox --seed 25"]


def test_no_more_prompts_than_are_allowed_come_of_a_text():
    assert len(prompts("{a,b,c,d} --r 10")) == MAX_PROMPTS
    assert fault("{a,b,c,d,e} fox --r 10") == ("words.too_many_prompts", "--r 10")
    assert fault("{a, {b,c} --r 10,d,e,f --r 10,g --r 10} x") == ("words.too_many_prompts", "--r 10")
    assert fault("{a,b,c,d,e,f,g} {1,2,3,4,5,6}")[0] == "words.too_many_prompts"


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("a {red, blue} fox --sede 7", "words.unknown_flag_near", "--sede"),
        ("a {red --ar 99:1, blue} fox", "words.out_of_bounds", "99:1"),
        ("the __animal__ and __animl__", "words.unknown_list_near", "__animl__"),
        ("the __animal__ {a, b --n 99}", "words.out_of_bounds", "99"),
        ("a\u200b __odd__ fox", "words.unknown_flag_near", "__odd__"),
        ("a {b, c", "words.brace_alone", "{"),
        ("{a, b} --style muddy", "words.unknown_style_near", "--style muddy"),
        ("{a, b} --style xyz", "words.unknown_style", "--style xyz"),
        ("a fox --style broken", "words.broken_style", "--style broken"),
    ],
)
def test_a_mistake_names_its_place_in_what_was_typed(text: str, message: str, place: str):
    assert fault(text) == (message, place)


def test_places_of_flags_are_in_what_was_typed():
    text = "a {red, blue} __animal__ --n 2"
    for prompt in prompts(text):
        assert text[slice(*prompt.located.places["count"])] == "--n 2"


def test_text_past_the_limit_is_refused_in_its_full_length():
    with pytest.raises(BadWords) as caught:
        prompts("x" * 100_000)
    assert caught.value.parameters == {"limit": 6000, "length": 100_000}


flags = st.sampled_from(["--r 2 ", "--style ink ", "--style muted ", "--wide ", "--seed 7 ", "--raw ", "--n 2 "])
pieces = st.sampled_from(["fox ", "{", "}", ",", "a, ", "__animal__", "__", "::2 ", "(a:1.2)", "\u200b"])


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.lists(pieces | flags, max_size=14).map("".join), st.text(max_size=60)))
def test_any_text_is_some_prompts_that_read_as_they_are_written_or_one_mistake_that_lies_in_it(text: str):
    try:
        found = prompts(text)
    except BadWords as error:
        assert 0 <= error.start < error.end <= len(text)
        return
    assert 1 <= len(found) <= MAX_PROMPTS
    for prompt in found:
        (again,) = prepare(prompt.text, lists=LISTS, seed=lambda: 5, styles=STYLES) if "{" not in prompt.text else (prompt,)
        assert again.located.words == prompt.located.words
        assert all(0 <= start < end <= len(text) for start, end, _ in prompt.located.spans)
        assert all(0 <= start < end <= len(text) for start, end in prompt.located.places.values())


# ------------------------------------------------------------------------------------------------ styles and suffixes


def test_a_styles_words_come_after_the_members_and_its_flags_below_theirs():
    (prompt,) = prompts("a fox --style Muted --s 50")
    assert prompt.text == "a fox --style Muted --s 50"
    assert prompt.located.words == Words(parts=(Part(text="a fox, in ink, muted"),), stylize=50)
    assert prompt.style == Words(stylize=250, unwanted=("glare",), count=2)
    request = resolve(prompt.located.words, FAKE_MODEL, seed=1, defaults=(prompt.style, Words(count=4, steps=3)))
    assert (request.count, request.steps, request.unwanted) == (2, 3, ("glare",))


def test_a_style_goes_behind_every_part_that_is_wanted():
    assert words("cat::2 dog, rain::-0.5 --style ink").parts == (Part(text="cat, my own ink", weight=2), Part(text="dog, rain", weight=-0.5))
    assert words("a (red:1.2) fox; --style split").parts == (
        Part(text="a red fox;", emphasis=(Emphasis(start=2, end=5, weight=1.2),)),
        Part(text="fog", weight=0.5),
        Part(text="night", emphasis=(Emphasis(start=0, end=5, weight=1.2),)),
    )
    assert words("--style ink").parts == (Part(text="my own ink"),)


def test_a_style_of_flags_alone_adds_no_words():
    (prompt,) = prompts("a fox --style bare")
    assert (prompt.located.words, prompt.style) == (parse("a fox"), Words(guidance=3.0))


def test_a_suffix_goes_behind_the_style():
    suffix = Words(parts=parse("at (dusk:1.2)").parts)
    assert words("a fox --style ink", suffix).parts == (Part(text="a fox, my own ink, at dusk", emphasis=(Emphasis(start=22, end=26, weight=1.2),)),)
    assert words("a fox", Words(), suffix, Words(parts=parse("never").parts)).text == "a fox, at dusk"
    assert words("a fox --raw", suffix).text == "a fox"
    assert words("--seed 7", suffix).parts == (), "a suffix alone is nothing to draw"


def test_a_style_may_be_a_preference():
    (prompt,) = prompts("a fox", Words(style="muted"))
    assert (prompt.located.words.text, prompt.style.stylize, prompt.text) == ("a fox, in ink, muted", 250, "a fox")
    assert words("a fox --style ink", Words(style="muted")).text == "a fox, my own ink"
    assert words("a fox --raw --style ink", Words(style="muted")).text == "a fox, my own ink", "one that is named is meant"
    for text, style in (("a fox --raw", "muted"), ("a fox", "gone"), ("a fox", "broken")):
        assert words(text, Words(style=style)).text == "a fox"


def test_built_in_styles_are_words_any_model_takes():
    assert 8 <= len(BUILT_IN) <= 12
    assert len({each.name.casefold() for each in BUILT_IN}) == len(BUILT_IN)
    for style in BUILT_IN:
        (prompt,) = prepare(f"a fox --style {style.name}", lists={}, seed=counting())
        assert resolve(prompt.located.words, FAKE_MODEL, seed=1, defaults=(prompt.style,)).parts == prompt.located.words.parts
        assert prompt.located.words.text.startswith("a fox, ")
