"""Requests are kept for ever, in the store and behind buttons: whatever is written can be read back, and so can what was written long ago."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.api import (
    Control,
    Emphasis,
    ImagePrompt,
    ImagineRequest,
    Lora,
    MorphRequest,
    Part,
    Request,
    Spot,
    UpscaleRequest,
    request_from_dict,
    request_to_dict,
)

numbers = st.floats(-10, 10)
counts = st.integers(-1000, 2**32)
text = st.text(max_size=20)
few = {"max_size": 3}
emphases = st.builds(Emphasis, start=counts, end=counts, weight=numbers)
parts = st.lists(st.builds(Part, text=text, weight=numbers, emphasis=st.lists(emphases, **few).map(tuple)), **few).map(tuple)
texts = st.lists(text, **few).map(tuple)
spots = st.builds(Spot, left=counts, top=counts, width=counts, height=counts)
controls = st.builds(Control, kind=text, picture=text, scale=numbers, is_map=st.booleans())
prompts = st.lists(st.builds(ImagePrompt, picture=text, weight=numbers, style=st.booleans()), **few).map(tuple)
loras = st.lists(st.builds(Lora, name=text, weight=numbers), **few).map(tuple)
sized = {"width": counts, "height": counts, "seed": counts, "steps": counts, "guidance": numbers}
requests = st.one_of(
    st.builds(
        ImagineRequest,
        model=text,
        parts=parts,
        unwanted=texts,
        count=counts,
        scheduler=st.none() | text,
        source=st.none() | text,
        strength=numbers,
        mask=st.none() | text,
        spot=st.none() | spots,
        mix=texts,
        image_prompts=prompts,
        control=st.none() | controls,
        loras=loras,
        tile=st.booleans(),
        stop=numbers,
        best_of=counts,
        clip=numbers,
        chaos=numbers,
        synthesis=st.booleans(),
        video=st.booleans(),
        enlarge=counts,
        **sized,
    ),
    st.builds(UpscaleRequest, model=text, source=text, factor=counts, creative=st.booleans(), parts=parts, strength=numbers, **sized),
    st.builds(
        MorphRequest,
        model=text,
        before=parts,
        after=parts,
        unwanted=texts,
        frames=counts,
        scheduler=st.none() | text,
        source=st.none() | text,
        strength=numbers,
        enlarge=counts,
        **sized,
    ),
)


@settings(max_examples=200, deadline=None)
@given(requests)
def test_every_request_comes_back_from_json_as_it_was(request: Request) -> None:
    assert request_from_dict(json.loads(json.dumps(request_to_dict(request)))) == request


@pytest.mark.parametrize("kind", [ImagineRequest, UpscaleRequest, MorphRequest])
def test_every_field_is_written(kind: type[Request]) -> None:
    assert set(request_to_dict(_plain(kind))) == {"kind", "v", *(field.name for field in fields(kind))}


def _plain(kind: type[Request]) -> Request:
    given: dict[str, Any] = {"model": "m", "width": 64, "height": 64, "steps": 4, "guidance": 2.0}
    own: dict[type, dict[str, Any]] = {
        ImagineRequest: {"parts": (Part(text="a fox"),)},
        UpscaleRequest: {"source": "0" * 64},
        MorphRequest: {"before": (Part(text="a fox"),), "after": (Part(text="a cat"),)},
    }
    return kind(**given, **own[kind])


# ------------------------------------------------------------------------------------------------ written by earlier versions of the program

#: As version 1 wrote them before it knew masks, morphs and the rest. Never edit these.
FROZEN: list[tuple[str, Request]] = [
    (
        '{"kind": "imagine", "v": 1, "model": "pocket", "parts": [{"text": "a fox in the snow", "weight": 2.0}, {"text": "3d", "weight": -0.5}], '
        '"unwanted": ["rain", "fog"], "seed": 4294967295, "width": 128, "height": 96, "count": 4, "steps": 16, "guidance": 2.0, "scheduler": null, '
        '"source": "abababababababababababababababababababababababababababababababab", "strength": 0.35}',
        ImagineRequest(
            model="pocket",
            parts=(Part(text="a fox in the snow", weight=2.0), Part(text="3d", weight=-0.5)),
            unwanted=("rain", "fog"),
            seed=4294967295,
            width=128,
            height=96,
            count=4,
            steps=16,
            guidance=2.0,
            source="ab" * 32,
            strength=0.35,
        ),
    ),
    (
        '{"kind": "upscale", "v": 1, "model": "pocket", "source": "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd", "factor": 4, '
        '"seed": 7, "width": 128, "height": 128}',
        UpscaleRequest(model="pocket", source="cd" * 32, factor=4, seed=7, width=128, height=128),
    ),
    (
        '{"kind": "morph", "v": 1, "model": "pocket", "before": [{"text": "a fox", "weight": 1.0, "emphasis": []}], '
        '"after": [{"text": "a cat", "weight": 1.0, "emphasis": [{"start": 2, "end": 5, "weight": 1.3}]}], "unwanted": [], "seed": 7, "width": 128, '
        '"height": 128, "frames": 8, "steps": 16, "guidance": 2.0, "scheduler": null}',
        MorphRequest(
            model="pocket",
            before=(Part(text="a fox"),),
            after=(Part(text="a cat", emphasis=(Emphasis(start=2, end=5, weight=1.3),)),),
            seed=7,
            width=128,
            height=128,
            steps=16,
            guidance=2.0,
        ),
    ),
]


@pytest.mark.parametrize(("written", "meant"), FROZEN, ids=["imagine", "upscale", "morph"])
def test_what_was_written_before_is_read_as_it_was_meant(written: str, meant: Request) -> None:
    assert request_from_dict(json.loads(written)) == meant


@pytest.mark.parametrize("changes", [{"kind": "sing"}, {"v": 2}, {"v": None}, {"kind": None}])
def test_what_this_program_does_not_know_is_said_to_be_unknown(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="unknown"):
        request_from_dict({**request_to_dict(_plain(UpscaleRequest)), **changes})


# ------------------------------------------------------------------------------------------------ what a request says about itself


def test_the_pictures_of_a_request_are_named_once_each() -> None:
    request = ImagineRequest(
        model="m",
        parts=(Part(text="a fox"),),
        width=64,
        height=64,
        steps=4,
        guidance=2.0,
        source="s",
        mask="m",
        mix=("s", "x"),
        image_prompts=(ImagePrompt(picture="p"), ImagePrompt(picture="x", style=True)),
        control=Control(kind="edges", picture="c"),
    )
    assert request.pictures == ("s", "m", "x", "p", "c")
    assert replace(_plain(MorphRequest), source="s").pictures == ("s",)
    assert _plain(MorphRequest).pictures == () and _plain(UpscaleRequest).pictures == ("0" * 64,)


def test_rows_are_the_pictures_that_step_together() -> None:
    fields_of: dict[str, Any] = {"model": "m", "parts": (Part(text="a fox"),), "width": 64, "height": 64, "steps": 4, "guidance": 2.0, "count": 3}
    assert ImagineRequest(**fields_of).rows == 3 and ImagineRequest(**fields_of, best_of=9).rows == 9
    assert _plain(MorphRequest).rows == 8 and _plain(UpscaleRequest).rows == 1
