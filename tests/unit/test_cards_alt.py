"""What a picture shows, for those who do not see it: its words, and what the model itself sees where that is something else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.cards import MAX_ALT, alt_text, disagrees, frames, job_card, parent_line
from bot.domain import CLIP, GRID, Artifact, Origin, Shown, Status, Verb
from engine.api import MorphRequest, Part
from tests.unit.test_cards import ENGLISH, IDS, NOW, job, shown


def seen(what: Shown, *texts: str) -> Shown:
    """With what the model sees in each picture, in their order."""
    found = {index: text for index, text in enumerate(texts)}
    return replace(what, artifacts=tuple(replace(each, seen=found.get(each.index, "")) for each in what.artifacts))


@pytest.mark.parametrize(
    ("words", "looks_like"),
    [
        ("a fox in the snow", "a red fox in the snow, 3d render"),
        ("three foxes", "a fox on a blue background"),
        ("strawberries on a plate", "a strawberry"),
        ("a fox in the snow", ""),
        ("", "a fox"),
        ("the", "a fox"),
        ("a car near a lighthouse", "a lighthouse at night"),
    ],
)
def test_the_same_thing_in_other_words_is_no_disagreement(words: str, looks_like: str):
    assert not disagrees(words, looks_like)


@pytest.mark.parametrize(
    ("words", "looks_like"),
    [
        ("a fox in the snow", "a penguin in the snow"),
        ("a fox in the snow", "a car at night"),
        ("a red apple", "a red car, cartoon"),
        ("eine Katze", "a cat"),
        ("雪の中の狐", "a fox in the snow"),
    ],
)
def test_another_thing_is_a_disagreement(words: str, looks_like: str):
    assert disagrees(words, looks_like)


def test_alt_text_says_what_the_model_sees_where_it_disagrees():
    one = seen(shown(Status.DONE, 1), "a penguin in the snow")
    assert alt_text(one, frames(one)[0], ENGLISH) == "“a fox in the snow”, drawn by fake. The model itself sees: a penguin in the snow."
    same = seen(shown(Status.DONE, 1), "a fox")
    assert alt_text(same, frames(same)[0], ENGLISH) == "“a fox in the snow”, drawn by fake."


def test_alt_text_of_a_sheet_names_the_pictures_that_differ():
    four = seen(shown(Status.DONE, 4), "a fox", "a cat in the snow", "a fox in the snow", "an owl")
    sheet = next(each for each in four.artifacts if each.index == GRID)
    text = alt_text(four, sheet, ENGLISH)
    assert text.endswith("In picture 2 the model itself sees: a cat in the snow. In picture 4 the model itself sees: an owl.")
    assert job_card(four, ENGLISH, now=NOW).pictures[0].alt == text


@given(st.text(max_size=3000), st.lists(st.text(max_size=600), min_size=1, max_size=9))
def test_alt_text_always_fits(words: str, texts: list[str]):
    what = seen(shown(Status.DONE, len(texts), words=words), *texts)
    assert all(0 < len(alt_text(what, each, ENGLISH)) <= MAX_ALT for each in what.artifacts)


def test_a_long_prompt_leaves_room_for_what_is_seen():
    one = seen(shown(Status.DONE, 1, words="fox " * 1500), "a penguin")
    assert alt_text(one, frames(one)[0], ENGLISH).endswith("The model itself sees: a penguin.")


def test_a_picture_that_moves_says_so():
    words = (Part(text="a fox"),)
    request = MorphRequest(model="fake", before=words, after=words, width=128, height=128, steps=8, guidance=5.0, source="c" * 64)
    done = shown(Status.DONE, 8, request=request)
    clip = Artifact(job_id=done.job.id, index=CLIP, digest="a" * 64, seed=7, width=512, height=512)
    card = job_card(replace(done, artifacts=(clip, *done.artifacts)), ENGLISH, now=NOW)
    assert card.clip is not None and card.clip.alt == "“a fox in the snow”, a clip of it moving, drawn by fake."


@pytest.mark.parametrize(
    ("verb", "line"),
    [
        (Verb.PICK, "U2 of “a red fox”."),
        (Verb.VARY, "V2 of “a red fox”."),
        (Verb.REROLL, "Drawn again from “a red fox”."),
        (Verb.UPSCALE, "Enlarged from “a red fox”."),
        (Verb.CREATIVE, "Enlarged with new detail from “a red fox”."),
        (Verb.ENHANCE, "Drawn in full from “a red fox”, a draft."),
        (Verb.ZOOM, "Zoomed out of “a red fox”."),
        (Verb.SQUARE, "Made square from “a red fox”."),
        (Verb.PAN, "More on one side of “a red fox”."),
        (Verb.REGION, "Part of “a red fox”, drawn anew."),
        (Verb.ANIMATE, "A clip of “a red fox”, moving."),
        (Verb.REMIX, "Remixed from “a red fox”."),
    ],
)
def test_a_child_quotes_its_parent(verb: Verb, line: str):
    child = job(Status.DONE, parent=Origin(job_id=next(IDS), verb=verb.value, index=1))
    assert parent_line(child, ENGLISH, "a (red:1.2) fox --seed 7") == line
    assert parent_line(child, ENGLISH) == line.replace("“a red fox”", "an earlier picture")


def test_a_very_long_parent_is_quoted_in_part():
    child = job(Status.DONE, parent=Origin(job_id=next(IDS), verb="v", index=0))
    assert len(parent_line(child, ENGLISH, "fox " * 1500)) < 100
    assert parent_line(job(Status.DONE), ENGLISH, "a fox") == ""
