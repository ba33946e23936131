"""What the gates hear of a job: its words, and whether a stranger's picture is in it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bot.domain import Actor, Artifact, Job, Origin, Place, Shown
from bot.errors import NotFound
from bot.gate import Asked
from bot.gate.asking import MOST_ANCESTORS, asked_of, from_outside, in_full
from engine.api import ImagePrompt, ImagineRequest, MorphRequest, Part, Request, UpscaleRequest

IMAGINE = ImagineRequest(model="m", parts=(Part(text="a fox"),), width=64, height=64, steps=4, guidance=2.0)
DRAWN, UPLOADED, MASK = "d" * 64, "e" * 64, "f" * 64


class Records:
    """A store of jobs, and of the pictures they drew."""

    def __init__(self, *jobs: Job, drawn: tuple[str, ...] = (DRAWN,)) -> None:
        self.jobs, self.drawn = {each.id: each for each in jobs}, drawn

    async def shown(self, job_id: str) -> Shown:
        if job_id not in self.jobs:
            raise NotFound("error.not_found")
        return Shown(job=self.jobs[job_id])

    async def find_picture(self, digest: str, actor_key: str) -> tuple[Job, Artifact] | None:
        assert actor_key == "web:ada"
        index = 0 if digest in self.drawn else -2
        return job("x", IMAGINE), Artifact(job_id="x", index=index, digest=digest, seed=0, width=1, height=1)


def job(id: str, request: Request, parent: str = "") -> Job:
    return Job(
        id=id,
        request=request,
        words="",
        actor=Actor(platform="web", id="ada"),
        place=Place(platform="web"),
        cost=1.0,
        parent=origin(parent) if parent else None,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def origin(job_id: str) -> Origin:
    return Origin(job_id=job_id, verb="v", index=0)


def test_weights_of_nothing_and_less_are_unwanted():
    parts = (Part(text="a fox"), Part(text="snow", weight=2.0), Part(text="trees", weight=-0.5), Part(text="night", weight=0.0))
    asked = asked_of(replace(IMAGINE, parts=parts, unwanted=("people",)), "a fox --no people", photograph=True)
    assert asked == Asked(wanted="a fox , snow", unwanted="people , trees , night", photograph=True)


def test_what_was_added_to_typed_words_stands_below_them():
    assert in_full(Asked(wanted="a fox", unwanted="people"), "a fox  --no people") == "a fox  --no people"
    assert in_full(Asked(wanted="a fox, in oil", unwanted="people"), "a fox --style oil") == "a fox --style oil\na fox, in oil\npeople"
    assert in_full(Asked(wanted=""), "a fox") == "a fox"


def test_both_ends_of_a_morph_are_wanted():
    morph = MorphRequest(model="m", before=(Part(text="a fox"),), after=(Part(text="an owl"),), unwanted=("snow",), width=64, height=64, steps=4, guidance=2.0)
    assert asked_of(morph, "a fox | an owl", photograph=False) == Asked(wanted="a fox , an owl", unwanted="snow")


def test_a_request_without_words_of_its_own_is_asked_for_in_those_that_were_typed():
    upscale = UpscaleRequest(model="m", source=DRAWN, width=64, height=64)
    assert asked_of(upscale, "a fox --seed 3", photograph=False) == Asked(wanted="a fox --seed 3")
    assert asked_of(replace(upscale, creative=True, parts=(Part(text="an owl"),)), "a fox", photograph=False) == Asked(wanted="an owl")


@pytest.mark.parametrize(
    ("request_", "outside"),
    [
        (IMAGINE, False),
        (replace(IMAGINE, source=DRAWN), False),
        (replace(IMAGINE, source=UPLOADED), True),
        (replace(IMAGINE, source=DRAWN, mask=MASK), False),
        (replace(IMAGINE, source=UPLOADED, mask=UPLOADED), True),  # a photograph that is sent as its own mask, too
        (replace(IMAGINE, source=DRAWN, image_prompts=(ImagePrompt(picture=UPLOADED),)), True),
        (UpscaleRequest(model="m", source=UPLOADED, width=64, height=64), True),
    ],
)
async def test_a_picture_that_was_not_drawn_here_is_from_outside(request_: Request, outside: bool):
    assert await from_outside(Records(), request_, None, "web:ada") is outside


async def test_what_was_made_of_an_upload_stays_from_outside():
    first = job("a", replace(IMAGINE, source=UPLOADED))
    second = job("b", replace(IMAGINE, source=DRAWN), parent="a")
    variation = replace(IMAGINE, source=DRAWN)
    assert await from_outside(Records(first, second), variation, origin("b"), "web:ada")
    innocent = job("a", IMAGINE)
    assert not await from_outside(Records(innocent, second), variation, origin("b"), "web:ada")
    assert not await from_outside(Records(first, second), IMAGINE, origin("b"), "web:ada")  # the words alone were taken over


async def test_where_it_came_from_cannot_be_told_it_counts_as_outside():
    variation = replace(IMAGINE, source=DRAWN)
    assert await from_outside(Records(), variation, origin("gone"), "web:ada")
    ring = job("a", variation, parent="a")  # also a line without an end
    assert await from_outside(Records(ring), variation, origin("a"), "web:ada")
    assert MOST_ANCESTORS > 8
