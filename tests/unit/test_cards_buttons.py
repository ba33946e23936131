"""The buttons under a single picture and under a draft: each only where the model can, and all of them within what Discord takes."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from bot.cards import is_enhanceable, job_card
from bot.domain import Card, Origin, Shown, Status, Verb
from engine.api import Capabilities, Effort, ImagineRequest, Lora, MorphRequest, Part
from engine.fake import FAKE_MODEL
from tests.unit.test_cards import ENGLISH, IDS, IMAGINE, NOW, UPSCALE, buttons, job, labels, shown

ABLE = replace(
    FAKE_MODEL,
    operations=frozenset({"imagine", "upscale", "creative", "source", "mask", "extend", "animate", "describe"}),
    draft=Effort(steps=1, lora="sketch"),
)
PLAIN = replace(FAKE_MODEL, operations=frozenset({"imagine"}))
DRAFT = replace(IMAGINE, steps=1, guidance=1.0, loras=(Lora(name="sketch"),))


def card_of(what: Shown, can: Capabilities | None = ABLE, url: str = "") -> Card:
    return job_card(what, ENGLISH, now=NOW, url=url, can=can)


def oblong(count: int = 1, **changes: object) -> Shown:
    """Drawn 128 × 96, as `IMAGINE` asks."""
    found = shown(Status.DONE, count, **changes)  # type: ignore[arg-type]
    return replace(found, artifacts=tuple(replace(each, height=96) if each.index >= 0 else each for each in found.artifacts))


def verbs(card: Card) -> set[Verb]:
    return {button.action.verb for button in buttons(card)}


def test_a_single_picture_has_everything_its_model_can():
    assert labels(card_of(oblong())) == [
        ["Upscale 2×", "Upscale 4×", "Creative 2×"],
        ["Vary (subtle)", "Vary (strong)", "Vary (region)", "🔄 Again"],
        ["Zoom out 1.5×", "Zoom out 2×", "Zoom out …", "Make square", "Animate"],
        ["← Left", "→ Right", "↑ Up", "↓ Down", "Describe"],
        ["⭐ Keep", "Details", "Remix", "Delete"],
    ]


def test_a_model_that_can_do_nothing_more_leaves_what_needs_no_model():
    assert labels(card_of(oblong(), PLAIN)) == [["🔄 Again"], ["⭐ Keep", "Details", "Remix", "Delete"]]
    assert labels(card_of(oblong(4), PLAIN)) == [["🔄 Again"], ["⭐ Keep"], ["Details", "Remix", "Delete"]]
    assert card_of(shown(Status.DONE, 9), PLAIN).selects == ()


@pytest.mark.parametrize(
    ("operation", "gone"),
    [
        ("upscale", {Verb.UPSCALE}),
        ("creative", {Verb.CREATIVE}),
        ("source", {Verb.VARY}),
        ("mask", {Verb.REGION}),
        ("extend", {Verb.ZOOM, Verb.SQUARE, Verb.PAN}),
        ("animate", {Verb.ANIMATE}),
        ("describe", {Verb.DESCRIBE}),
    ],
)
def test_what_a_model_cannot_do_has_no_button(operation: str, gone: set[Verb]):
    less = replace(ABLE, operations=ABLE.operations - {operation})
    assert verbs(card_of(oblong())) - verbs(card_of(oblong(), less)) == gone


def test_a_square_picture_is_not_made_square():
    assert Verb.SQUARE in verbs(card_of(oblong()))
    assert Verb.SQUARE not in verbs(card_of(shown(Status.DONE, 1)))


def test_there_is_no_pan_where_the_canvas_has_no_room_left():
    wide = replace(ABLE, max_edge=128)  # 128 × 96: full across, half as much again fits neither
    assert [button.action.argument for button in buttons(card_of(oblong(), wide)) if button.action.verb is Verb.PAN] == ["u", "d"]


def test_the_size_of_a_finished_picture_is_not_the_canvas():
    finished = replace(IMAGINE, width=128, height=128, enlarge=4)
    card = card_of(shown(Status.DONE, 1, edge=512, request=finished), replace(ABLE, max_edge=256, finish=4))
    assert sum(button.action.verb is Verb.PAN for button in buttons(card)) == 4


def test_an_enlarged_picture_can_be_carried_on_where_its_words_are_known():
    upscale = replace(UPSCALE, width=128, height=96)
    child = oblong(request=upscale, parent=Origin(job_id=next(IDS), verb="u", index=1))
    assert {Verb.VARY, Verb.REGION, Verb.ZOOM, Verb.SQUARE, Verb.PAN, Verb.ANIMATE, Verb.CREATIVE, Verb.UPSCALE, Verb.DESCRIBE} <= verbs(card_of(child))
    assert Verb.REROLL not in verbs(card_of(child))
    sent = oblong(request=upscale)  # a member's own picture: nobody knows its words
    assert {Verb.VARY, Verb.REGION, Verb.ZOOM, Verb.PAN, Verb.ANIMATE, Verb.CREATIVE}.isdisjoint(verbs(card_of(sent)))
    assert {Verb.UPSCALE, Verb.DESCRIBE} <= verbs(card_of(sent))


def test_a_creative_upscale_is_drawn_again_with_another_seed():
    child = oblong(request=replace(UPSCALE, creative=True), parent=Origin(job_id=next(IDS), verb="t", index=0))
    assert Verb.REROLL in verbs(card_of(child))


def test_frames_of_a_morph_are_not_varied():
    words = (Part(text="a fox"),)
    request = MorphRequest(model="fake", before=words, after=words, width=128, height=128, steps=8, guidance=5.0)
    assert [select.placeholder for select in card_of(shown(Status.DONE, 8, request=request)).selects] == ["Enlarge …"]


@pytest.mark.parametrize("count", [1, 4, 9])
def test_a_draft_can_be_enhanced_and_nothing_else_can(count: int):
    assert Verb.ENHANCE in verbs(card_of(shown(Status.DONE, count, request=DRAFT)))
    assert Verb.ENHANCE not in verbs(card_of(shown(Status.DONE, count)))
    assert Verb.ENHANCE not in verbs(card_of(shown(Status.DONE, count, request=DRAFT), None))


def test_a_draft_is_told_by_its_steps_its_guidance_and_its_adapter():
    assert is_enhanceable(DRAFT, ABLE)
    assert not is_enhanceable(replace(DRAFT, loras=()), ABLE)
    assert not is_enhanceable(replace(DRAFT, steps=2), ABLE)
    assert not is_enhanceable(DRAFT, replace(ABLE, draft=None))
    assert not is_enhanceable(UPSCALE, ABLE)


def test_every_button_of_every_kind_of_model_fits_discord():
    """Five rows of five; a link that takes a row of its own where the last is full."""
    every = [ABLE, PLAIN, FAKE_MODEL, *(replace(ABLE, operations=ABLE.operations - {each}) for each in ABLE.operations)]
    origin = Origin(job_id=next(IDS), verb="v", index=0)
    requests: list[ImagineRequest | object] = [IMAGINE, DRAFT, UPSCALE, replace(UPSCALE, creative=True)]
    for can, request, parent, count in itertools.product(every, requests, (None, origin), (1, 4, 9)):
        without = oblong(count, request=request, parent=parent)
        child = job(Status.DONE, parent=Origin(job_id=without.job.id, verb="v", index=0))
        card = card_of(without.evolve(children=(child,)), can, url="https://pictures.example")
        assert all(1 <= len(row) <= 5 for row in card.rows)
        own_row = len(card.rows[-1]) + 1 > 5  # for the first link: others may stand in the text
        assert len(card.rows) + len(card.selects) + own_row <= 5
        found = buttons(card)
        assert Verb.CHILDREN in {button.action.verb for button in found}
        assert sum(button.action.verb is Verb.SHOW for button in found) == (parent is not None)
        assert len({button.action.encode() for button in found}) == len(found)
        assert len({button.label for button in found}) == len(found)
        assert all(len(button.hint.split()) >= 3 for button in found)


def test_buttons_under_a_private_single_picture_say_so():
    found = buttons(card_of(oblong(private=True)))
    assert all(button.action.argument.endswith("p") for button in found)
