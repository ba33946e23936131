"""Drafts, quick pictures and full ones: the same request in more or less work, by what the model's card says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot import limits
from engine.api import STRENGTHS, Capabilities, Effort, ImagineRequest, Lora, Part, UnsupportedOperation
from engine.card import capabilities
from engine.checks import check
from engine.efforts import drafted, in_full, own_adapters, quickened, usual
from engine.fake import FAKE_MODEL
from engine.shelf import Shelf
from tests.unit.model_files import pipeline, tensors

DRAFT, QUICK = Effort(steps=1, lora="draft"), Effort(steps=4, lora="quick")
SWIFT = replace(FAKE_MODEL, draft=DRAFT, quick=QUICK)
INK = Lora(name="ink", weight=0.8)


def imagine(**changes: Any) -> ImagineRequest:
    fields: dict[str, Any] = {"model": "fake", "parts": (Part(text="a fox"),), "width": 128, "height": 128, "steps": 8, "guidance": 5.0, "seed": 7}
    return ImagineRequest(**{**fields, **changes})


def of_card(**fields: Any) -> Capabilities:
    card = {"width": 128, "steps": 16, "loras": {"draft": "d", "quick": "q", "ink": "i"}, **fields}
    return capabilities(card, family="sd", name="swift", operations=frozenset({"imagine", "lora"}))


def test_a_draft_is_the_same_picture_in_one_step_and_enhancing_gives_the_request_back() -> None:
    request = imagine(loras=(INK,))
    draft = drafted(request, SWIFT)
    assert (draft.steps, draft.guidance, draft.loras) == (1, 1.0, (INK, Lora(name="draft")))
    assert (draft.seed, draft.parts, draft.width) == (request.seed, request.parts, request.width)
    assert in_full(draft, SWIFT) == request == in_full(quickened(draft, SWIFT), SWIFT)


def test_one_effort_takes_the_place_of_another() -> None:
    assert quickened(drafted(imagine(), SWIFT), SWIFT).loras == (Lora(name="quick"),)
    assert drafted(quickened(imagine(), SWIFT), SWIFT) == drafted(drafted(imagine(), SWIFT), SWIFT)


def test_a_draft_is_refused_where_it_would_leave_out_what_is_asked() -> None:
    with pytest.raises(UnsupportedOperation, match=r"cannot do --draft$"):
        drafted(imagine(), FAKE_MODEL)
    with pytest.raises(UnsupportedOperation, match="--draft from a picture"):
        drafted(imagine(source="s"), SWIFT)
    with pytest.raises(UnsupportedOperation, match="--draft with --no"):
        drafted(imagine(unwanted=("rain",)), SWIFT)
    with pytest.raises(UnsupportedOperation, match="--draft with --chaos"):
        drafted(imagine(chaos=0.5), SWIFT)
    assert quickened(imagine(chaos=0.5), SWIFT).steps == 4
    guided = replace(SWIFT, draft=Effort(steps=8, guidance=2.0))
    assert drafted(imagine(source="s", unwanted=("rain",)), guided).steps == 8


def test_what_few_steps_cannot_do_is_drawn_in_full() -> None:
    for request in (imagine(source="s"), imagine(unwanted=("rain",))):
        assert quickened(request, SWIFT) == request
    assert quickened(imagine(), FAKE_MODEL) == imagine()
    assert quickened(imagine(), SWIFT) == imagine(steps=4, guidance=1.0, loras=(Lora(name="quick"),))


def test_the_models_own_adapters_are_taken_and_never_offered() -> None:
    can = of_card(draft={"lora": "draft", "steps": 1}, quick={"lora": "quick", "steps": 4})
    assert can.loras == ("ink",) and own_adapters(can) == {"draft", "quick"} and usual(can) == Effort(steps=4, lora="quick")
    bare = replace(can, loras=(), operations=can.operations - {"lora"})
    check(drafted(imagine(), bare), bare, {})
    with pytest.raises(UnsupportedOperation, match="--lora ink"):
        check(imagine(loras=(INK,)), replace(bare, operations=can.operations), {})
    with pytest.raises(UnsupportedOperation, match=r"--lora$"):
        check(replace(drafted(imagine(), bare), loras=(INK,)), bare, {})


def test_a_model_with_nothing_but_its_own_adapters_has_none_to_offer() -> None:
    assert "lora" not in of_card(loras={"draft": "d"}, draft={"lora": "draft", "steps": 1}).operations
    assert "lora" in of_card(draft={"lora": "draft", "steps": 1}).operations
    assert usual(of_card()) == Effort(steps=16, guidance=7.0)


def test_a_folders_card_names_its_draft(tmp_path: Path) -> None:
    pipeline(tmp_path / "swift")
    tensors(tmp_path / "swift" / "draft.safetensors")
    text = 'family = "sdxl"\n[loras]\ndraft = "draft.safetensors"\n[draft]\nlora = "draft"\nsteps = 1\n[strengths]\nzoom = 0.1\n'
    (tmp_path / "swift" / "card.toml").write_text(text, encoding="utf-8")
    (entry,) = Shelf.open([tmp_path / "swift"], pocket=False).entries
    assert entry.can.draft == DRAFT and entry.can.quick is None and entry.can.loras == ()
    assert entry.loras == {"draft": tmp_path / "swift" / "draft.safetensors"}
    assert entry.can.strengths == {**STRENGTHS, "zoom": 0.1}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"draft": {"lora": "sketch", "steps": 1}}, "draft: 'sketch' is not among loras"),
        ({"draft": {"lora": "draft"}}, "draft: steps is not given"),
        ({"quick": {"steps": 0}}, "quick: steps or guidance out of range"),
        ({"quick": {"steps": 4, "guidance": 99.0}}, "quick: steps or guidance out of range"),
        ({"quick": {"steps": 4, "sampler": "DDIMScheduler"}}, "quick: sampler is not one of"),
        ({"strengths": {"zom": 0.1}}, "strengths: zom is not one of"),
        ({"strengths": {"zoom": 1.5}}, "strengths: zoom is not within"),
    ],
)
def test_a_card_that_makes_no_sense_is_told_where(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        of_card(**fields)


def test_a_draft_costs_little() -> None:
    full = limits.megapixel_steps(imagine(), SWIFT)
    assert limits.megapixel_steps(drafted(imagine(), SWIFT), SWIFT) == pytest.approx(full / 16)
    assert limits.megapixel_steps(quickened(imagine(), SWIFT), SWIFT) == pytest.approx(full / 4)
