"""What a model cannot do is refused by the name a member knows it by, and so are numbers out of bounds; what it can is let through."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.api import (
    BadInput,
    Capabilities,
    Control,
    Emphasis,
    ImagePrompt,
    ImagineRequest,
    Lora,
    MorphRequest,
    Part,
    Request,
    Spot,
    UnsupportedOperation,
    UpscaleRequest,
)
from engine.checks import MOST_EMPHASES, MOST_PARTS, check, check_pictures, check_words, drawn_seeds, finished_by, grid_seeds
from engine.fake import FAKE_MODEL

INPUTS = {name: b"" for name in ("s", "m", "x")}
#: A model that only draws from words.
BARE = replace(FAKE_MODEL, operations=frozenset({"imagine"}), loras=())


def imagine(**changes: Any) -> ImagineRequest:
    fields: dict[str, Any] = {"model": "fake", "parts": (Part(text="a fox"),), "width": 128, "height": 128, "steps": 8, "guidance": 5.0, "count": 2}
    return ImagineRequest(**{**fields, **changes})


def morph(**changes: Any) -> MorphRequest:
    fields: dict[str, Any] = {"before": (Part(text="a fox"),), "after": (Part(text="a cat"),), "width": 128, "height": 128, "steps": 8, "guidance": 5.0}
    return MorphRequest(model="fake", **{**fields, **changes})


def moving(**changes: Any) -> MorphRequest:
    return morph(**{"after": (Part(text="a fox"),), "source": "s", **changes})


def upscale(**changes: Any) -> UpscaleRequest:
    return UpscaleRequest(model="fake", source="s", width=128, height=128, **changes)


def marked(start: int = 2, end: int = 5, weight: float = 1.3) -> tuple[Part, ...]:
    return (Part(text="a fox", emphasis=(Emphasis(start=start, end=end, weight=weight),)),)


def refused(request: Request, can: Capabilities = FAKE_MODEL) -> str:
    """What is said to be impossible; nothing when it is let through."""
    try:
        check(request, can, INPUTS)
    except UnsupportedOperation as error:
        return error.what
    return ""


SPOT = Spot(left=0, top=0, width=64, height=64)
ASKED: list[tuple[Request, str]] = [
    (imagine(source="s"), "a source image"),
    (imagine(mask="m"), "changing a region"),
    (imagine(spot=SPOT), "zoom and pan"),
    (imagine(mix=("s", "x")), "blending pictures"),
    (imagine(image_prompts=(ImagePrompt(picture="x"),)), "image prompts"),
    (imagine(image_prompts=(ImagePrompt(picture="x", style=True),)), "--sref"),
    (imagine(control=Control(kind="edges", picture="x")), "--control edges"),
    (imagine(loras=(Lora(name="ink"),)), "--lora"),
    (imagine(tile=True), "--tile"),
    (imagine(stop=0.5), "--stop"),
    (imagine(best_of=4), "--best"),
    (imagine(clip=0.5), "--clip"),
    (imagine(chaos=0.5), "--chaos"),
    (imagine(synthesis=True), "--synthesis"),
    (imagine(video=True), "--video"),
    (imagine(enlarge=4), "upscale"),
    (imagine(unwanted=("rain",)), "--no"),
    (imagine(parts=(Part(text="a"), Part(text="b"))), "::weights"),
    (imagine(parts=marked()), "(emphasis)"),
    (morph(), "morph"),
    (moving(), "animate"),
    (upscale(), "upscale"),
]


@pytest.mark.parametrize(("request_", "what"), ASKED, ids=[what for _, what in ASKED])
def test_every_operation_is_refused_by_its_name_where_the_model_has_it_not(request_: Request, what: str) -> None:
    assert refused(request_, BARE) == what
    whole = replace(request_, source="s") if what in ("changing a region", "zoom and pan") else request_
    assert refused(whole) == ""


def test_a_creative_upscale_is_an_ability_of_its_own() -> None:
    assert refused(upscale(creative=True), replace(BARE, operations=frozenset({"upscale"}))) == "creative upscale"
    assert refused(upscale(creative=True)) == ""


BOUNDS: list[tuple[Request, str]] = [
    (imagine(stop=0.05), "--stop"),
    (imagine(stop=1.5), "--stop"),
    (imagine(best_of=1), "--best"),
    (imagine(enlarge=3), "upscale 3x"),
    (imagine(best_of=17), "--best"),
    (imagine(clip=1.1), "--clip"),
    (imagine(clip=0.5, steps=1), "--clip in a single step"),
    (imagine(chaos=1.1), "--chaos"),
    (imagine(chaos=0.5, steps=1), "--chaos in a single step"),
    (imagine(chaos=0.5, synthesis=True), "--chaos with --synthesis"),
    (imagine(parts=(Part(text="a fox"),) * 9), "more than 8 parts"),
    (imagine(parts=(Part(text="a fox", emphasis=marked()[0].emphasis * 7),) * 2), "more than 12 emphases"),
    (moving(after=(Part(text="a cat"),)), "animate towards other words"),
    (moving(strength=1.5), "--strength"),
    (moving(frames=17), "--frames"),
    (moving(enlarge=3), "upscale 3x"),
    (imagine(loras=(Lora(name="ink"), Lora(name="gold"))), "--lora gold"),
    (imagine(loras=(Lora(name="ink", weight=float("nan")),)), "--lora"),
    (imagine(loras=(Lora(name="ink"),) * 9), "--lora"),
    (imagine(image_prompts=(ImagePrompt(picture="x"),) * 6), "more than 5 image prompts"),
    (imagine(image_prompts=(ImagePrompt(picture="x", weight=4),)), "--iw"),
    (imagine(control=Control(kind="edges", picture="x", scale=3)), "--control"),
    (imagine(control=Control(kind="pose", picture="x")), "--control pose"),
    (imagine(parts=(Part(text="a", weight=1), Part(text="b", weight=-1))), "::weights"),
    (imagine(parts=(Part(text="a", weight=float("inf")),)), "::weights"),
    (imagine(parts=marked(weight=2.5)), "(emphasis)"),
    (imagine(parts=marked(end=9)), "(emphasis)"),
    (imagine(parts=marked(start=5)), "(emphasis)"),
    (imagine(source="s", spot=Spot(left=125, top=0, width=64, height=64)), "zoom and pan"),
    (imagine(source="s", spot=Spot(left=-64, top=0, width=64, height=64)), "zoom and pan"),
    (imagine(source="s", spot=Spot(left=0, top=0, width=64, height=0)), "zoom and pan"),
    (imagine(source="s", spot=Spot(left=0, top=0, width=10_000, height=10_000)), "zoom and pan"),
    (morph(frames=1), "--frames"),
    (morph(frames=17), "--frames"),
    (morph(before=()), "imagine"),
    (morph(after=(Part(text="a", weight=1), Part(text="b", weight=-2))), "::weights"),
    (morph(unwanted=("rain",), guidance=1.0), "--no"),
    (morph(width=130), "--size"),
    (upscale(factor=3), "upscale 3x"),
    (upscale(creative=True, strength=1.5), "--strength"),
    (upscale(creative=True, steps=0), "--steps"),
    (upscale(creative=True, parts=marked(weight=3)), "(emphasis)"),
]


@pytest.mark.parametrize(("request_", "what"), BOUNDS, ids=[f"{n} {what}" for n, (_, what) in enumerate(BOUNDS)])
def test_numbers_out_of_bounds_are_refused_by_name(request_: Request, what: str) -> None:
    assert refused(request_) == what


def test_as_many_parts_and_emphases_as_are_allowed_are_let_through() -> None:
    emphases = marked()[0].emphasis
    parts = (
        *(Part(text="a fox", emphasis=emphases * 2) for _ in range(MOST_EMPHASES // 2)),
        *(Part(text="a fox") for _ in range(MOST_PARTS - MOST_EMPHASES // 2)),
    )
    assert len(parts) == MOST_PARTS and refused(imagine(parts=parts)) == ""


def test_a_picture_may_move_without_any_words() -> None:
    assert refused(moving(before=(), after=())) == ""


def test_pictures_that_are_missing_are_bad_input() -> None:
    for request in (
        imagine(source="gone"),
        moving(source="gone"),
        imagine(source="s", mask="gone"),
        imagine(mix=("gone",)),
        imagine(mask="m"),
        imagine(spot=SPOT),
    ):
        with pytest.raises(BadInput):
            check(request, FAKE_MODEL, INPUTS)


def test_the_best_are_chosen_among_the_seeds_that_follow() -> None:
    request = imagine(seed=2**32 - 1, count=2, best_of=4)
    assert drawn_seeds(request) == (2**32 - 1, 0, 1, 2) and grid_seeds(request) == (2**32 - 1, 0)


# ------------------------------------------------------------------------------------------------ questions


def test_words_begin_and_end_with_letters_or_digits() -> None:
    text = "a fox's well-lit den, 3d-render:  (café) …"
    found = [text[start:end] for start, end in check_words(text, FAKE_MODEL)]
    assert found == ["a", "fox's", "well-lit", "den", "3d-render", "café"]
    assert check_words(" … ", FAKE_MODEL) == []


def test_more_words_or_pictures_than_are_read_together_are_refused() -> None:
    assert len(check_words("fox " * 120, FAKE_MODEL)) == 120
    with pytest.raises(UnsupportedOperation, match="more than 120 words"):
        check_words("fox " * 121, FAKE_MODEL)
    check_pictures([b""] * 16, "/describe", FAKE_MODEL)
    with pytest.raises(BadInput):
        check_pictures([b""] * 17, "/describe", FAKE_MODEL)


def test_a_model_that_neither_sees_nor_shows_what_it_reads_says_so() -> None:
    with pytest.raises(UnsupportedOperation, match="/describe"):
        check_pictures([], "/describe", BARE)
    with pytest.raises(UnsupportedOperation, match="/shorten"):
        check_words("a fox", BARE)


# ------------------------------------------------------------------------------------------------ at what scale

SMALL = replace(FAKE_MODEL, width=128, height=128, finish=4)


@pytest.mark.parametrize(
    ("size", "by"),
    [((512, 512), 4), ((640, 384), 4), ((1024, 1024), 4), ((256, 256), 2), ((320, 192), 2), ((128, 128), 1), ((200, 150), 1)],
)
def test_a_picture_is_taken_for_finished_where_it_has_the_pixels_of_one(size: tuple[int, int], by: int) -> None:
    assert finished_by(*size, SMALL) == by
    assert finished_by(*size, FAKE_MODEL) == 1  # it finishes none
