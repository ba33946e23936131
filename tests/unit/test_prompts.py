"""The grammar: what members type, what it means, and what they are told when it means nothing."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.errors import BadWords
from bot.prompts import Words, locate, parse, print_words, read_flags
from bot.prompts.clean import clean
from bot.prompts.flags import FLAGS, plain
from engine.api import Lora, Part


def fault(text: str) -> tuple[str, str, dict[str, object]]:
    """(message, the words it points at, its parameters)."""
    with pytest.raises(BadWords) as caught:
        parse(text)
    error = caught.value
    return error.message, text[error.start : error.end], error.parameters


def test_plain_words_are_one_part():
    assert parse("  a fox\n in  the snow ") == Words(parts=(Part(text="a fox in the snow"),))


def test_every_flag_is_read():
    words = parse(
        "a fox --ar 6:4 --seed 7 --no red hat, rain --n 2 --steps 12 --cfg 3.5 --strength .5 --model tiny --sampler DDIM --private in the snow"
        " --stop 80 --best 8 --clip 0.5 --lora ink --lora paper:-0.25 --tile --video --chaos 30 --repeat 3"
        " --iw 1.5 --style muted --sref --sw 250 --sketch --relax"
    )
    assert words == Words(
        parts=(Part(text="a fox in the snow"),),
        unwanted=("red hat", "rain"),
        aspect=(3, 2),
        seed=7,
        count=2,
        steps=12,
        guidance=3.5,
        strength=0.5,
        model="tiny",
        scheduler="DDIM",
        stop=80,
        best=8,
        clip=0.5,
        loras=(Lora(name="ink"), Lora(name="paper", weight=-0.25)),
        tile=True,
        video=True,
        private=True,
        chaos=30,
        repeat=3,
        image_weight=1.5,
        style="muted",
        style_picture=True,
        style_weight=250,
        sketch=True,
        relax=True,
    )
    assert words.lane == "relax"
    assert (parse("fox --fast").lane, parse("fox").lane) == ("fast", "")


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("fox —ar 3:2", "fox --ar 3:2"),
        ("fox –seed 7", "fox --seed 7"),
        ("fox --SEED 7", "fox --seed 7"),
        ("fox --seed=7", "fox --seed 7"),
        ("fox --q .5", "fox --quality 0.5"),
        ("fox --v pocket", "fox --model pocket"),
        ("fox --size 128×96", "fox --size 128x96"),
        ("fox --no a --no b,c", "fox --no a, b, c"),
        ("fox --s 250", "fox --stylize 250"),
        ("fox --lora=ink", "fox --lora ink:1"),
        ("fox --lora:ink:−.5 --lora a/b", "fox --lora ink:-0.5 --lora a/b:1"),
        ("fox --c 30 --r 2", "fox --chaos 30 --repeat 2"),
        ("fox —relax —sketch", "fox --sketch --relax"),
        ("fox --IW=.5", "fox --iw 0.5"),
        ("cat:: dog", "cat::1 dog::1"),
        ("ｃａｔ：：２ dog", "cat::2 dog::1"),
        ("fo\u200bx \u202edear\u202c", "fox dear"),
        ("cat::2 rain::−0.5", "cat::2 rain::-0.5"),
    ],
)
def test_another_way_of_writing_means_the_same(text: str, same: str):
    assert parse(text) == parse(same)
    assert print_words(parse(text)) == same


@pytest.mark.parametrize("text", ["a fox — in the snow", "he said —hello there", "well-known -1 fox - x", "a -- b", "three --- dashes"])
def test_dashes_of_ordinary_prose_stay_words(text: str):
    assert print_words(parse(text)) == text


def test_weights_make_parts():
    assert parse("cat::2 dog::1 rain::-0.5").parts == (
        Part(text="cat", weight=2),
        Part(text="dog", weight=1),
        Part(text="rain", weight=-0.5),
    )


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("fox --sede 7", "words.unknown_flag_near", "--sede"),
        ("fox —sede 7", "words.unknown_flag_near", "—sede"),
        ("fox --xyzzy", "words.unknown_flag", "--xyzzy"),
        ("fox -seed 7", "words.one_dash", "-seed"),
        ("fox --seed", "words.no_value", "--seed"),
        ("fox --seed --n 2", "words.no_value", "--seed"),
        ("fox --no , --n 2", "words.no_value", ","),
        ("fox --seed seven", "words.bad_integer", "seven"),
        ("fox --cfg warm", "words.bad_number", "warm"),
        ("fox --ar wide", "words.bad_ratio", "wide"),
        ("fox --ar 0:1", "words.bad_ratio", "0:1"),
        ("fox --size big", "words.bad_size", "big"),
        ("fox --ar 9:1", "words.out_of_bounds", "9:1"),
        ("fox --seed -1", "words.out_of_bounds", "-1"),
        ("fox --seed 4294967296", "words.out_of_bounds", "4294967296"),
        ("fox --n 10", "words.out_of_bounds", "10"),
        ("fox --strength 1.5", "words.out_of_bounds", "1.5"),
        ("fox --quality 3", "words.not_a_choice", "3"),
        ("fox --private=yes", "words.takes_nothing", "--private=yes"),
        ("fox --seed 7 --seed 8", "words.twice", "--seed 8"),
        ("fox --ar 1:1 --size 64x64", "words.both", "--size 64x64"),
        ("fox --q 2 --steps 4", "words.both", "--steps 4"),
        ("fox --chaos 101", "words.out_of_bounds", "101"),
        ("fox --c much", "words.bad_integer", "much"),
        ("fox --iw 3.1", "words.out_of_bounds", "3.1"),
        ("fox --sw 1001", "words.out_of_bounds", "1001"),
        ("fox --repeat 1", "words.out_of_bounds", "1"),
        ("fox --r 11", "words.out_of_bounds", "11"),
        ("fox --style --n 2", "words.no_value", "--style"),
        ("fox --style ink,paper", "words.bad_name", "ink,paper"),
        ("fox --sref=yes", "words.takes_nothing", "--sref=yes"),
        ("fox --sref https://example.com/a.png", "words.link", "https://example.com/a.png"),
        ("fox --sketch=https://example.com/a.png", "words.link", "--sketch=https://example.com/a.png"),
        ("fox --fast --n 2 --relax", "words.both", "--relax"),
        ("a::1 b::1 c::1 d::1 e::1 f::1 g::1 h::1 i j", "words.too_many_parts", "i j"),
        ("a " + "(b:1.2) " * 12 + ":: (c:1.2) d", "words.too_many_emphases", "(c:1.2) d"),
        ("fox --stop 9", "words.out_of_bounds", "9"),
        ("fox --stop 80.5", "words.bad_integer", "80.5"),
        ("fox --best 17", "words.out_of_bounds", "17"),
        ("fox --clip 1.1", "words.out_of_bounds", "1.1"),
        ("fox --stylize 1001", "words.out_of_bounds", "1001"),
        ("fox --tile=yes", "words.takes_nothing", "--tile=yes"),
        ("fox --lora", "words.no_value", "--lora"),
        ("fox --lora ink:much", "words.bad_lora", "ink:much"),
        ("fox --lora :0.8", "words.bad_lora", ":0.8"),
        ("fox --lora ink:3.5", "words.out_of_bounds", "ink:3.5"),
        ("fox --lora ink --lora INK:0.5 --n 2", "words.twice", "--lora INK:0.5"),
        ("fox --lora a --lora b --lora c --lora d --lora e --lora f --lora g --lora h", "words.too_often", "--lora h"),
        ("fox --draft --steps 4", "words.both", "--steps 4"),
        ("fox --q 2 --draft", "words.both", "--draft"),
        ("fox --s 200 --cfg 3", "words.both", "--cfg 3"),
        ("cat::3d render", "words.bad_weight", "3d"),
        ("cat::900", "words.weight_out_of_bounds", "900"),
        ("::2 cat", "words.empty_part", "::2"),
        ("cat::1 dog::-1", "words.weights_not_positive", "cat::1 dog::-1"),
        ("https://example.com/a.png a fox", "words.link", "https://example.com/a.png"),
        ("fo\u200bx ｆｏｘ --sede 7", "words.unknown_flag_near", "--sede"),
    ],
)
def test_a_mistake_names_its_place(text: str, message: str, place: str):
    assert fault(text)[:2] == (message, place)


def test_the_nearest_flag_is_offered():
    assert fault("fox --sede 7")[2]["near"] == "seed"
    assert fault("fox --qualty 2")[2]["near"] == "quality"
    assert fault("fox --seed7")[2]["near"] == "seed"


def test_a_link_among_the_words_is_told_only_where_a_picture_was_meant():
    assert parse("fox --sref on a sign that says https://example.com").text == "fox on a sign that says https://example.com"


def test_flags_have_one_meaning_each():
    names = [name for flag in FLAGS for name in (flag.name, *flag.aliases)]
    assert len(names) == len(set(names))
    assert {flag.field for flag in FLAGS} == set(Words.__dataclass_fields__) - {"parts"}


SETS = {"wide": "--ar 16:9 --q 2", "Calm": "--no crowds, noise --lora ink", "broken": "--ar 99:1", "wordy": "a fox --n 2", "n": "--seed 3"}


def test_a_named_set_stands_for_its_flags():
    assert locate("fox --wide --no rain --calm", SETS).words == parse("fox --ar 16:9 --q 2 --no rain, crowds, noise --lora ink")
    assert locate("fox —wide at sea", SETS).words == parse("fox at sea --ar 16:9 --q 2")
    assert locate("fox --n 2", SETS).words.count == 2, "a flag of ours stays ours"
    text = "fox --wide at sea"
    assert text[slice(*locate(text, SETS).places["aspect"])] == "--wide"
    assert print_words(locate(text, SETS).words) == "fox at sea --ar 16:9 --quality 2"


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("fox --wide --ar 1:1", "words.twice", "--ar 1:1"),
        ("fox --ar 1:1 --wide", "words.twice", "--wide"),
        ("fox --calm --calm", "words.twice", "--calm"),
        ("fox --wide --steps 3", "words.both", "--steps 3"),
        ("fox --wide=2", "words.takes_nothing", "--wide=2"),
        ("fox --broken", "words.broken_set", "--broken"),
        ("fox --wordy", "words.broken_set", "--wordy"),
        ("fox --wibe", "words.unknown_flag_near", "--wibe"),
    ],
)
def test_a_mistake_with_a_set_names_its_place(text: str, message: str, place: str):
    with pytest.raises(BadWords) as caught:
        locate(text, SETS)
    assert (caught.value.message, text[caught.value.start : caught.value.end]) == (message, place)


def test_a_set_may_not_stand_for_a_set():
    with pytest.raises(BadWords, match="broken_set"):
        locate("fox --one", {"one": "--two", "two": "--n 2"})


def test_flags_alone_are_read_and_words_among_them_are_a_mistake():
    assert read_flags("--ar 3:2 --relax") == Words(aspect=(3, 2), relax=True)
    with pytest.raises(BadWords) as caught:
        read_flags("--n 2 fox")
    assert (caught.value.message, caught.value.start) == ("words.only_flags_here", 6)


def test_text_past_the_limit_is_refused_where_it_ends():
    assert parse("x" * 6000).text == "x" * 6000
    message, place, parameters = fault("x" * 6001)
    assert (message, place, parameters) == ("words.too_long", "x", {"limit": 6000, "length": 6001})
    assert fault("x" * 100_000)[0] == "words.too_long"


def test_letters_buried_in_marks_are_kept_readable():
    assert len(parse("a" + "\u0301" * 5000).text) <= 31


def test_only_flags_parse_because_a_picture_may_come_with_them():
    assert parse("--seed 7") == Words(seed=7)


def test_spans_colour_every_word():
    text = "cat::2 dog --seed 7 --no rain, fog"
    kinds = {(text[start:end], kind) for start, end, kind in locate(text).spans}
    assert kinds == {
        ("cat", "text"), ("::2", "weight"), ("dog", "text"), ("--seed", "flag"), ("7", "value"), ("--no", "flag"), ("rain, fog", "value"),
    }  # fmt: skip
    assert text[slice(*locate(text).places["seed"])] == "--seed 7"


pieces = st.sampled_from(
    ["fox", "in the snow", "::", "::2", "::-0.5", "--seed 7", "—seed", "--no a, b", "--ar 3:2", "--", "—", "--n", "2", " ", ",", ":", "é", "e\u0301", "ｆ",
     "\u200b", "\u202e", "--q .5", "--private", "-seed", "=", "\ud800", "가", "\u1161", "ﾞ", "--size 64x64", "--chaos", "https://a.b", "…", "´", "--cfg 3.10",
     "(", ")", ":1.3)", "--lora ink:0.5", "--lora", "--draft", "--stop 80", "--s 7", "--c 30", "--r 2", "--iw .5", "--style a", "--style", "--sref", "--sw 50",
     "--sketch", "—relax", "--fast", "--wide", "—wide", "--calm", "--broken"]
)  # fmt: skip
any_text = st.one_of(st.text(max_size=200), st.lists(pieces, max_size=20).map("".join), st.lists(pieces, max_size=20).map(" ".join))


@settings(max_examples=600, deadline=None)
@given(any_text)
@example("a —seed::1")
@example("x::—seed")
@example("b: ::1")
@example("--no a,--seed")
def test_any_text_parses_or_gives_one_mistake_that_lies_in_it(text: str):
    try:
        located = locate(text, SETS)
    except BadWords as error:
        assert 0 <= error.start <= error.end <= len(text)
        assert error.start < error.end
        return
    for start, end, kind in located.spans:
        assert 0 <= start < end <= len(text)
        assert kind in {"text", "flag", "value", "weight"}
    assert parse(print_words(located.words)) == located.words
    assert print_words(parse(print_words(located.words))) == print_words(located.words)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300))
def test_cleaning_keeps_the_map_back(text: str):
    cleaned = clean(text)
    assert len(cleaned.origins) == len(cleaned.text)
    assert all(0 <= start < end <= len(text) for start, end in cleaned.origins)
    assert list(cleaned.origins) == sorted(cleaned.origins)
    assert clean(cleaned.text).text == cleaned.text


@given(st.floats(min_value=-1e6, max_value=1e6, allow_nan=False))
def test_numbers_print_without_exponents_and_read_back(value: float):
    assert "e" not in plain(value)
    assert float(plain(value)) == value
