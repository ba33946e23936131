"""What a button says, and the request it makes of a picture: within what the engine takes, or refused in one sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import presses
from bot.cards import NOBODY
from bot.domain import GRID, Action, Artifact, Origin, Status, Verb
from bot.errors import Refused
from bot.messages import Catalogue
from engine.api import Capabilities, Effort, ImagineRequest, Lora, Part, Request, Spot
from engine.checks import check
from engine.fake import FAKE_MODEL
from tests.unit.test_cards import IMAGINE, UPSCALE, job

ENGLISH = Catalogue.load("en")
JOB = "01KA0000000000000000000000"
ABLE = replace(FAKE_MODEL, operations=FAKE_MODEL.operations | {"animate", "creative", "source", "mask", "extend"})
#: Shown four times as large as it is drawn, as the model that ships with the program does.
SMALL = replace(ABLE, model="small", multiple=16, max_edge=256, finish=4)
BASE = replace(IMAGINE, unwanted=("rain",), loras=(Lora(name="ink"),), scheduler="DDIMScheduler")
PICTURE = Artifact(job_id=JOB, index=1, digest="a" * 64, seed=8, width=128, height=96)
FINISHED = Artifact(job_id=JOB, index=0, digest="b" * 64, seed=7, width=512, height=384)
OTHERS = (Part(text="an owl"),)


def refusal(error: pytest.ExceptionInfo[Refused]) -> str:
    return ENGLISH.say(error.value.message, **error.value.parameters)


def drawable(request: Request, can: Capabilities) -> None:
    """The engine takes it."""
    check(request, can, dict.fromkeys(request.pictures, b""))


# ------------------------------------------------------------------------------------------------ what it says


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        (Verb.UPSCALE, ("2", "4", "2p")),
        (Verb.CREATIVE, ("2", "4p")),
        (Verb.ZOOM, ("1.5", "2", "", "p", "2p")),
        (Verb.PAN, ("l", "r", "u", "d", "lp")),
        (Verb.VARY, ("", "p", "subtle", "strongp")),
        (Verb.CHOOSE, ("lane=relax", "locale=pt-BR", "locale=", "!model=sdxl-ship", "!press=owner")),
        (Verb.ASK, ("flags", "!off", "forget")),
        (Verb.DECIDE, ("approve", "remove", "warn", "ban")),
        (Verb.SHOW, ("", "p", "set")),
    ],
)
def test_every_argument_that_a_button_has_is_taken(verb: Verb, arguments: tuple[str, ...]):
    for argument in arguments:
        action = Action(verb=verb, job_id=JOB, index=0, argument=argument)
        assert presses.action_of(action.encode()) == action


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        (Verb.UPSCALE, ("", "3", "p", "22")),
        (Verb.CREATIVE, ("", "8")),
        (Verb.ZOOM, ("1", "3", "99", "nan", "2x")),
        (Verb.PAN, ("", "p", "x", "lr")),
        (Verb.VARY, ("wild", "subtle ")),
        (Verb.CHOOSE, ("", "lane", "=relax", "LANE=relax", "lane= relax", "lane=a\nb", "lane=" + "x" * 61, "!!lane=relax")),
        (Verb.ASK, ("", "!", "two words", "p" * 21)),
        (Verb.DECIDE, ("", "promote", "banp", "BAN")),
    ],
)
def test_no_other_argument_is(verb: Verb, arguments: tuple[str, ...]):
    for argument in arguments:
        with pytest.raises(Refused, match=r"refused\.unknown_button"):
            presses.action_of(f"w1:{verb}:{JOB}:0:{argument}")


@given(st.text(max_size=120))
def test_strangers_buttons_are_refused_and_nothing_else_happens(text: str):
    for made in (text, f"w1:w:{JOB}:-1:{text}", f"w1:z:{JOB}:0:{text}"):
        try:
            action = presses.action_of(made)
        except Refused:
            continue
        assert action.encode() == made or action.index == int(made.split(":")[3])


def test_the_mark_of_privacy_is_no_part_of_what_a_button_says():
    private = Action(verb=Verb.ZOOM, job_id=JOB, index=0, argument="1.5p")
    assert (presses.argument_of(private), presses.is_private(private), presses.is_quiet(private)) == ("1.5", True, True)
    ship = Action(verb=Verb.CHOOSE, job_id=NOBODY, argument="!model=ship")  # ends with the mark's letter, and has none
    assert (presses.argument_of(ship), presses.choice_of(ship), presses.is_private(ship)) == ("!model=ship", ("model", "ship", True), False)


def test_a_choice_and_a_question_say_whose_they_are():
    assert presses.choice_of(Action(verb=Verb.CHOOSE, job_id=NOBODY, argument="locale=")) == ("locale", "", False)
    assert presses.asked_of(Action(verb=Verb.ASK, job_id=NOBODY, argument="!off")) == ("off", True)
    assert presses.asked_of(Action(verb=Verb.ASK, job_id=NOBODY, argument="sets")) == ("sets", False)


def test_a_zoom_without_a_factor_asks_and_with_one_draws():
    asks, draws = (Action(verb=Verb.ZOOM, job_id=JOB, index=0, argument=argument) for argument in ("p", "2"))
    assert (presses.asks(asks), presses.draws(asks)) == (True, False)
    assert (presses.asks(draws), presses.draws(draws)) == (False, True)
    assert {verb for verb in Verb if presses.asks(Action(verb=verb, job_id=JOB))} == {Verb.REMIX, Verb.REGION, Verb.ASK, Verb.REPORT, Verb.ZOOM}


def test_a_set_is_shown_and_stopped_in_place():
    for verb in (Verb.SHOW, Verb.CANCEL):
        of_set = Action(verb=verb, job_id=JOB, argument=presses.SET)
        assert presses.is_of_set(of_set) and presses.is_in_place(of_set)
    assert not presses.is_of_set(Action(verb=Verb.SHOW, job_id=JOB))
    assert not presses.is_in_place(Action(verb=Verb.SHOW, job_id=JOB))


@pytest.mark.parametrize("verb", list(Verb))
def test_a_child_remembers_which_picture_it_came_from(verb: Verb):
    origin = presses.origin_of(Action(verb=verb, job_id=JOB, index=2))
    of_one = {Verb.PICK, Verb.VARY, Verb.UPSCALE, Verb.CREATIVE, Verb.ZOOM, Verb.SQUARE, Verb.PAN, Verb.REGION, Verb.ANIMATE}
    assert origin == Origin(job_id=JOB, verb=verb.value, index=2 if verb in of_one else GRID)
    assert presses.index_of(origin) == (2 if verb in of_one else 0)


@pytest.mark.parametrize(("text", "factor"), [("1.5", 1.5), ("2", 2.0), (" 1,25× ", 1.25), ("3x", 3.0), ("1.", None), ("3.01", None), ("1", None)])
def test_a_zoom_is_read_as_members_write_it(text: str, factor: float | None):
    if factor is None:
        with pytest.raises(Refused, match=r"refused\.zoom"):
            presses.zoom_of(text)
    else:
        assert presses.zoom_of(text) == factor


@given(st.text(max_size=40))
def test_a_zoom_is_a_number_within_bounds_or_refused(text: str):
    try:
        assert 1 < presses.zoom_of(text) <= 3
    except Refused as error:
        assert ENGLISH.say(error.message, **error.parameters)


def test_sets_are_read_as_they_are_printed():
    sets = {"wide": "--ar 16:9 --q 2", "plain": "--style ink:0.5"}
    assert presses.read_sets(presses.print_sets(sets)) == sets
    assert presses.read_sets("\n --Wide : --ar 16:9 \nno name here\n: --ar 1:1\n") == {"wide": "--ar 16:9", "no name here": ""}


# ------------------------------------------------------------------------------------------------ what it makes


def test_a_variation_goes_as_far_as_it_is_asked_to():
    can = replace(ABLE, strengths={"vary_subtle": 0.2, "vary_strong": 0.7})
    assert [presses.varied(BASE, PICTURE, can, 3, how=how).strength for how in ("subtle", "strong", "")] == [0.2, 0.7, 0.7]
    child = presses.varied(BASE, PICTURE, can, 3)
    assert (child.source, child.seed, child.parts, child.unwanted, child.loras) == (PICTURE.digest, 3, BASE.parts, BASE.unwanted, BASE.loras)
    drawable(child, can)


def test_zooming_out_keeps_the_canvas_and_puts_the_picture_in_its_middle():
    child = presses.zoomed(BASE, PICTURE, ABLE, 2.0, 3)
    assert (child.width, child.height) == (128, 96)
    assert child.spot == Spot(left=32, top=24, width=64, height=48)
    assert (child.parts, child.source, child.strength) == (BASE.parts, PICTURE.digest, ABLE.strengths["zoom"])
    assert presses.zoomed(BASE, PICTURE, ABLE, 1.5, 3, OTHERS).parts == OTHERS
    for factor in (1.1, 1.5, 2.0, 3.0):
        drawable(presses.zoomed(BASE, PICTURE, ABLE, factor, 3), ABLE)


def test_a_finished_picture_is_carried_on_in_the_models_own_pixels():
    base = replace(BASE, width=128, height=96, enlarge=4, loras=(), scheduler=None, unwanted=())
    child = presses.panned(base, FINISHED, SMALL, "r", 3)
    assert (child.width, child.height, child.enlarge, child.spot) == (192, 96, 4, Spot(left=0, top=0, width=128, height=96))
    for made in (child, presses.zoomed(base, FINISHED, SMALL, 1.5, 3), presses.squared(base, FINISHED, SMALL, 3)):
        drawable(made, SMALL)


@pytest.mark.parametrize(
    ("direction", "size", "corner"), [("l", (192, 96), (64, 0)), ("r", (192, 96), (0, 0)), ("u", (128, 144), (0, 48)), ("d", (128, 144), (0, 0))]
)
def test_a_pan_draws_half_as_much_again_on_that_side(direction: str, size: tuple[int, int], corner: tuple[int, int]):
    child = presses.panned(BASE, PICTURE, ABLE, direction, 3)
    assert child.spot is not None
    assert (child.width, child.height) == size
    assert (child.spot.left, child.spot.top, child.spot.width, child.spot.height) == (*corner, 128, 96)
    drawable(child, ABLE)


def test_pans_go_on_until_the_model_has_no_room():
    base, widths = replace(BASE, loras=(), scheduler=None, unwanted=()), []
    with pytest.raises(Refused) as error:
        for _ in range(10):
            base = presses.panned(base, PICTURE, SMALL, "l", 3)
            drawable(base, SMALL)
            widths.append(base.width)
    assert widths == [192, 256]
    assert refusal(error).startswith("small draws edges of 256 pixels at most")


def test_a_square_is_as_high_as_it_was_wide():
    child = presses.squared(BASE, PICTURE, ABLE, 3)
    assert (child.width, child.height, child.spot) == (128, 128, Spot(left=0, top=16, width=128, height=96))
    drawable(child, ABLE)
    with pytest.raises(Refused) as error:
        presses.squared(child, PICTURE, ABLE, 3)
    assert refusal(error) == "This picture is square already. Nothing was charged."


def test_a_region_is_drawn_anew_as_the_words_say():
    child = presses.region(BASE, PICTURE, "c" * 64, OTHERS, ABLE, 3)
    assert (child.mask, child.source, child.parts, child.strength, child.spot) == ("c" * 64, PICTURE.digest, OTHERS, ABLE.strengths["region"], None)
    assert presses.region(BASE, PICTURE, "c" * 64, (), ABLE, 3).parts == BASE.parts
    drawable(child, ABLE)


def test_a_picture_moves_as_itself():
    clip = presses.animated(replace(BASE, enlarge=4), FINISHED, ABLE, 3)
    assert (clip.source, clip.before, clip.after, clip.seed, clip.enlarge) == (FINISHED.digest, BASE.parts, BASE.parts, 3, 4)
    assert (clip.width, clip.height, clip.scheduler) == (128, 96, "DDIMScheduler")
    drawable(clip, ABLE)


def test_a_creative_upscale_knows_the_words():
    child = presses.creative(FINISHED, 2, BASE, ABLE)
    assert (child.creative, child.parts, child.source, child.width, child.height, child.factor) == (True, BASE.parts, FINISHED.digest, 512, 384, 2)
    drawable(child, ABLE)
    with pytest.raises(Refused, match=r"refused\.too_large"):
        presses.creative(replace(FINISHED, width=3000), 2, BASE, ABLE)


def test_what_was_drawn_in_a_step_is_carried_on_in_full():
    swift = replace(ABLE, draft=Effort(steps=1, lora="sketch"), quick=Effort(steps=4, guidance=1.5))
    quick = replace(IMAGINE, steps=4, guidance=1.5)
    made: list[Any] = [
        presses.zoomed(quick, PICTURE, swift, 2.0, 3),
        presses.panned(quick, PICTURE, swift, "l", 3),
        presses.region(quick, PICTURE, "c" * 64, (), swift, 3),
        presses.animated(quick, PICTURE, swift, 3),
        presses.creative(PICTURE, 2, quick, swift),
    ]
    assert [(each.steps, each.guidance) for each in made] == [(8, 5.0)] * len(made)


def test_a_draft_is_enhanced_from_its_own_seed():
    can = replace(ABLE, draft=Effort(steps=1, lora="sketch"))
    draft = replace(IMAGINE, steps=1, guidance=1.0, loras=(Lora(name="ink"), Lora(name="sketch")))
    child = presses.enhanced(job(Status.DONE, request=draft), can)
    assert child == replace(IMAGINE, loras=(Lora(name="ink"),))
    drawable(child, can)
    for other in (IMAGINE, UPSCALE):
        with pytest.raises(Refused) as error:
            presses.enhanced(job(Status.DONE, request=other), can)
        assert refusal(error).startswith("This one is no draft")
    assert presses.in_full_words("a fox --draft --seed 7") == "a fox --seed 7"
    assert presses.in_full_words("a fox   --seed 7") == "a fox   --seed 7"


@pytest.mark.parametrize("direction", ["l", "r", "u", "d"])
def test_a_model_that_cannot_says_so_in_one_sentence(direction: str):
    none = replace(FAKE_MODEL, operations=frozenset({"imagine"}))
    tries = [
        lambda: presses.varied(BASE, PICTURE, none, 3),
        lambda: presses.region(BASE, PICTURE, "c" * 64, (), none, 3),
        lambda: presses.zoomed(BASE, PICTURE, none, 2.0, 3),
        lambda: presses.squared(BASE, PICTURE, none, 3),
        lambda: presses.panned(BASE, PICTURE, none, direction, 3),
        lambda: presses.animated(BASE, PICTURE, none, 3),
        lambda: presses.creative(PICTURE, 2, BASE, none),
        lambda: presses.enlarged(PICTURE, none, 2),
    ]
    for make in tries:
        with pytest.raises(Refused) as error:
            make()
        assert "fake cannot" in refusal(error) and "Nothing was charged" in refusal(error)


def test_an_upscale_is_the_same_and_a_creative_one_another_the_second_time():
    assert presses.rerolled(job(Status.DONE, request=UPSCALE), 99) == UPSCALE
    assert presses.rerolled(job(Status.DONE, request=replace(UPSCALE, creative=True)), 99).seed == 99
    child = presses.rerolled(job(Status.DONE), 99)
    assert isinstance(child, ImagineRequest) and child == replace(IMAGINE, seed=99)
