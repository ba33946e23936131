"""While somebody types: the price, the mistake and the colours of what is there, and what could come next."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bot.domain import Style
from bot.prompts import Words, complete, read
from engine.fake import FAKE_MODEL

SIMPLE = replace(FAKE_MODEL, model="simple", operations=frozenset({"imagine"}), max_guidance=1.0, guidance=1.0, max_count=2)


def say(message: str, **parameters: object) -> str:
    return message


def labels(text: str, at: int | None = None, own: tuple[str, ...] = ()) -> list[str]:
    return [hint.label for hint in complete(text, len(text) if at is None else at, (FAKE_MODEL, SIMPLE), say, own)]


def applied(text: str, label: str) -> str:
    hint = next(hint for hint in complete(text, len(text), (FAKE_MODEL, SIMPLE), say) if hint.label == label)
    return text[: hint.start] + hint.insert + text[hint.end :]


def test_reading_prices_good_words_and_marks_bad_ones():
    text = "a fox --sede 7"
    reading = read(text, (FAKE_MODEL,), say, cost=lambda request, model, relaxed: request.steps)
    assert reading.mistake == "words.unknown_flag_near"
    assert reading.mistake_at is not None
    assert text[slice(*reading.mistake_at)] == "--sede"
    assert (8 - 2, 12, "mistake") in reading.spans
    assert read("a fox --seed 7", (FAKE_MODEL,), say, cost=lambda request, model, relaxed: request.steps).cost == 8


def spans(text: str) -> list[tuple[str, str]]:
    return [(text[start:end], kind) for start, end, kind in read(text, (FAKE_MODEL,), say, lists={"animal": ("cat",)}, sets={"wide": "--ar 2:1"}).spans]


def test_all_prompts_are_priced_together():
    def price(text: str, **given: Any) -> tuple[float | None, int]:
        reading = read(text, (FAKE_MODEL, SIMPLE), say, cost=lambda request, model, relaxed: request.count / (2 if relaxed else 1), **given)
        return reading.cost, reading.prompts

    assert price("{a, b} fox --n {1, 2, 3} --r 2") == (24, 12)
    assert price("a __animal__ --r 3", lists={"animal": ("cat", "dog")}) == (12, 3)
    assert price("a __animal__") == (4, 1), "lists that are not at hand are no mistake"
    assert price("a fox --ar __ratio__") == (None, 1)
    assert price("a fox --style mine") == (None, 1)
    assert read("a fox --style mine", (FAKE_MODEL,), say, styles=()).mistake == "words.unknown_style"
    assert price("a fox --relax") == (2, 1)
    assert price("a fox --wide", sets={"wide": "--n 1"}) == (1, 1)
    assert price("a fox --style small", styles=[Style(name="small", words="in ink --n 2")]) == (2, 1)
    assert price("a fox", defaults=[Words(model="simple")]) == (2, 1)
    assert read("{a, b", (FAKE_MODEL,), say).mistake == "words.brace_alone"
    assert read("{a,b,c,d,e,f,g} {1,2,3,4,5,6}", (FAKE_MODEL,), say).mistake == "words.too_many_prompts"


def test_braces_and_wildcards_have_colours_of_their_own():
    assert spans("a {b, --wide} d") == [("a", "text"), ("{", "weight"), ("b", "text"), (",", "weight"), ("--wide", "flag"), ("}", "weight"), ("d", "text")]
    assert spans("my __animal__! --n {1,2}") == [
        ("my", "text"), ("__animal__", "flag"), ("!", "text"), ("--n", "flag"), ("{", "weight"), ("1", "value"), (",", "weight"), ("2", "value"),
        ("}", "weight"),
    ]  # fmt: skip
    assert spans("a {fox}::2") == [("a", "text"), ("{fox}", "text"), ("::2", "weight")]
    assert spans("a __cat__") == [("a", "text"), ("__cat__", "mistake")]


@given(
    st.one_of(
        st.text(max_size=80),
        st.lists(st.sampled_from(["{", "a,", "}", "__a__", "--n 2", "--no b,", "--style ink", " ", "::2", "--r 2"]), max_size=12).map("".join),
    )
)
def test_reading_and_completing_take_any_text(text: str):
    last = 0
    for start, end, _ in read(text, (FAKE_MODEL,), say, lists={"a": ("cat", "dog")}).spans:
        assert last <= start < end <= len(text)
        last = end
    for at in range(0, len(text) + 1, 7):
        for hint in complete(text, at, (FAKE_MODEL,), say, ["a fox"]):
            assert 0 <= hint.start <= hint.end <= len(text)


def test_an_empty_or_unfinished_box_is_no_mistake():
    assert read("", (FAKE_MODEL,), say).mistake == ""
    assert read("--seed 7", (FAKE_MODEL,), say).mistake == ""
    for flag in ("--strength 0.4", "--iw 2", "--sref", "--sw 50", "--sketch"):
        assert read(f"a fox {flag}", (FAKE_MODEL,), say).mistake == ""  # the picture lies beside the box
    assert read("a fox --sketch", (SIMPLE,), say).mistake == "words.no_sketch"


def test_flags_complete():
    assert labels("a fox --se") == ["--seed"]
    assert labels("a fox --lora ink:1 --lo") == ["--lora"]
    assert labels("a fox --lora ") == ["ink:0.8", "paper:0.8"]
    assert labels("a fox --q") == ["--quality"]
    assert labels("a fox --s")[0] == "--stylize"
    assert "--seed" not in labels("a fox --seed 7 --")
    assert labels("a fox --re") == ["--repeat", "--relax"]
    assert applied("a fox --se", "--seed") == "a fox --seed "


def test_values_complete():
    assert labels("a fox --ar 1") == ["1:1", "16:9", "1:2"]
    assert labels("a fox --model ") == ["fake", "simple"]
    assert labels("a fox --sampler eu") == ["EulerDiscreteScheduler"]


def test_styles_and_sets_complete():
    own = [Style(name="muted", words="in muted colours"), Style(name="Ink", words="my ink")]

    def found(text: str) -> list[tuple[str, str]]:
        return [(each.label, each.detail) for each in complete(text, len(text), (FAKE_MODEL,), say, styles=own, sets={"rest": "--n 1"})]

    assert found("a fox --style ")[:3] == [("muted", "in muted colours"), ("Ink", "my ink"), ("watercolour", "watercolor painting")]
    assert found("a fox --style i") == [("Ink", "my ink"), ("isometric", "isometric illustration, clean shapes, soft shadows")]
    assert found("a fox --re") == [("--repeat", "flag.repeat"), ("--relax", "flag.relax"), ("--rest", "--n 1")]


def test_the_models_words_complete_also_of_two_words():
    assert labels("a fo") == ["fox"]
    assert applied("a fox in the snow, 3d re", "3d render") == "a fox in the snow, 3d render"
    assert labels("a fox --no sn") == ["snow"]


def test_own_prompts_and_examples_come_first():
    assert labels("a", own=("a red fox", "a red fox", "b")) == ["a red fox", "apple"]
    assert labels("")[:1] == [FAKE_MODEL.examples[0]]
