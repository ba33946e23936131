"""What a member's pictures mean: image prompts, a start, a mix, a style, a sketch; and what is said when the model, or the member, lacks one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.errors import BadWords, UserError
from bot.prompts import Source, Words, locate, resolve
from engine.api import Capabilities, Control, ImagePrompt, ImagineRequest, Part
from engine.checks import check
from engine.fake import FAKE_MODEL


def without(*operations: str) -> Capabilities:
    return replace(FAKE_MODEL, model="plain", operations=FAKE_MODEL.operations - set(operations))


PLAIN = without("image_prompt", "style", "control:edges", "control:sketch")
BARE = without("image_prompt", "style", "control:edges", "control:sketch", "source", "mix", "mask")
A, B, C = (Source(digest=each * 64, width=300, height=100) for each in "abc")
LIKE_THIS = Source(digest="d" * 64, width=64, height=64, role="style")
LINES = Source(digest="e" * 64, width=100, height=300, role="sketch")
HOLE = Source(digest="f" * 64, width=300, height=100, role="mask")


def made(text: str, *pictures: Source, model: Capabilities = FAKE_MODEL, defaults: tuple[Words, ...] = ()) -> ImagineRequest:
    located = locate(text)
    request = resolve(located.words, model, seed=1, pictures=pictures, defaults=defaults, places=located.places)
    check(request, model, dict.fromkeys(request.pictures, b""))
    return request


def fault(text: str, *pictures: Source, model: Capabilities = FAKE_MODEL) -> tuple[str, str]:
    with pytest.raises(UserError) as caught:
        made(text, *pictures, model=model)
    error = caught.value
    return error.message, text[error.start : error.end] if isinstance(error, BadWords) else ""


def test_with_an_adapter_pictures_stand_beside_the_words():
    request = made("a fox --iw 1.5", A, B)
    assert request.image_prompts == (ImagePrompt(picture=A.digest, weight=1.5), ImagePrompt(picture=B.digest, weight=1.5))
    assert (request.source, request.mix, request.width, request.height) == (None, (), 128, 128)
    assert made("", A).image_prompts == (ImagePrompt(picture=A.digest),)


def test_without_one_the_first_is_the_start_and_the_others_are_mixed_in():
    request = made("a fox", A, B, C, model=PLAIN)
    assert (request.source, request.mix, request.image_prompts) == (A.digest, (B.digest, C.digest), ())
    assert (request.width, request.height, request.strength) == (216, 72, 0.6)
    assert made("", A, model=PLAIN).parts == (Part(text=""),)


def test_strength_makes_the_first_a_start_even_with_an_adapter():
    request = made("a fox --strength 0.4 --iw 0.5", A, B)
    assert (request.source, request.strength, request.image_prompts) == (A.digest, 0.4, (ImagePrompt(picture=B.digest, weight=0.5),))
    assert made("a fox", A, defaults=(Words(strength=0.4),)).source is None, "a preference is not said"


def test_a_start_is_a_start_whatever_the_model_could_do_else():
    request = made("a fox", A, replace(B, role="start"), defaults=(Words(strength=0.3),))
    assert (request.source, request.strength) == (B.digest, 0.3)
    assert [each.picture for each in request.image_prompts] == [A.digest]


def test_a_mask_belongs_to_the_first_picture():
    request = made("a hat", A, HOLE)
    assert (request.source, request.mask, request.strength) == (A.digest, HOLE.digest, 0.9)
    assert fault("a hat", HOLE) == ("refused.mask_alone", "")
    assert fault("a hat", A, HOLE, model=without("mask")) == ("refused.no_mask", "")


def test_a_style_picture_lends_only_its_style():
    assert made("a fox", LIKE_THIS).image_prompts == (ImagePrompt(picture=LIKE_THIS.digest, style=True),)
    weights = [made(f"a fox --sref --sw {each}", LIKE_THIS).image_prompts[0].weight for each in (0, 50, 100, 550, 1000)]
    assert weights == [0, 0.5, 1, 2, 3]
    assert made("a fox", A, LIKE_THIS).image_prompts == (ImagePrompt(picture=A.digest), ImagePrompt(picture=LIKE_THIS.digest, style=True))


def test_a_sketch_is_followed_by_the_kind_the_model_has_and_lends_its_shape():
    request = made("a fox", LINES)
    assert request.control == Control(kind="sketch", picture=LINES.digest)
    assert (request.width, request.height) == (72, 216)
    control = made("a fox", LINES, model=without("control:sketch")).control
    assert control is not None
    assert control.kind == "edges"


@pytest.mark.parametrize(
    ("text", "pictures", "model", "message", "place"),
    [
        ("a fox --strength 0.4", (), FAKE_MODEL, "words.strength_alone", "--strength 0.4"),
        ("a fox --strength 0.4", (LINES,), FAKE_MODEL, "words.strength_alone", "--strength 0.4"),
        ("a fox --iw 2", (), FAKE_MODEL, "words.iw_alone", "--iw 2"),
        ("a fox --iw 2", (LIKE_THIS,), FAKE_MODEL, "words.iw_alone", "--iw 2"),
        ("a fox --iw 2", (A,), PLAIN, "words.cannot", "--iw 2"),
        ("a fox --iw 2 --strength 0.4", (A,), FAKE_MODEL, "words.both", "--iw 2"),
        ("a fox --sref", (A,), FAKE_MODEL, "words.sref_alone", "--sref"),
        ("a fox --sw 50", (), FAKE_MODEL, "words.sref_alone", "--sw 50"),
        ("a fox --sref", (LIKE_THIS,), PLAIN, "words.no_style_picture", "--sref"),
        ("a fox", (LIKE_THIS,), PLAIN, "words.no_style_picture", ""),
        ("a fox --sketch", (), FAKE_MODEL, "words.sketch_alone", "--sketch"),
        ("a fox --sketch", (LINES,), PLAIN, "words.no_sketch", "--sketch"),
        ("a fox", (LINES,), PLAIN, "words.no_sketch", ""),
        ("a fox", (LINES, LINES), FAKE_MODEL, "refused.one_of_a_kind", ""),
        ("a fox", (A,), BARE, "refused.no_source", ""),
        ("a fox", (A, B), without("image_prompt", "mix"), "refused.no_mix", ""),
        ("a fox", (A, B, C, LIKE_THIS, A, B), FAKE_MODEL, "refused.too_many_pictures", ""),
        ("", (LIKE_THIS,), FAKE_MODEL, "words.empty", ""),
        ("--sketch", (LINES,), FAKE_MODEL, "words.only_flags", "--sketch"),
    ],
)
def test_what_is_lacking_is_told_in_one_sentence(text: str, pictures: tuple[Source, ...], model: Capabilities, message: str, place: str):
    assert fault(text, *pictures, model=model) == (message, place)


def test_preferences_about_pictures_wait_for_a_picture():
    wishes = (Words(image_weight=2.0, style_weight=50, style_picture=True, sketch=True),)
    assert made("a fox", defaults=wishes) == made("a fox")
    assert made("a fox", A, model=PLAIN, defaults=wishes) == made("a fox", A, model=PLAIN)
    assert [each.weight for each in made("a fox", A, LIKE_THIS, defaults=wishes).image_prompts] == [2, 0.5]
