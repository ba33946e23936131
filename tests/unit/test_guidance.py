"""Weighted prompts, emphasis and morphs: the arithmetic of conditions, and where in a denoiser's calls it takes place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from engine import guidance
from engine.api import Emphasis, Part
from engine.families import FAMILIES, Family, Halves
from engine.guidance import Conditioned, between, shares, weighted
from engine.proxy import Proxy


def part(text: str, weight: float = 1.0, **emphasised: float) -> Part:
    """`part("a fox in the snow", snow=1.3)`: each keyword is a word of the text."""
    marks = tuple(Emphasis(start=text.index(word), end=text.index(word) + len(word), weight=strength) for word, strength in emphasised.items())
    return Part(text=text, weight=weight, emphasis=marks)


# ------------------------------------------------------------------------------------------------ shares


def test_weights_are_relative() -> None:
    assert shares([part("cat", 2), part("dog", 1)]) == [("cat", 2 / 3), ("dog", 1 / 3)]
    assert shares([part("cat", 5)]) == [("cat", 1.0)]
    assert shares([part("cat", 2), part("dog", -0.5)]) == [("cat", 2 / 1.5), ("dog", -0.5 / 1.5)]


def test_emphasis_is_the_difference_the_words_make() -> None:
    found = dict(shares([part("a fox, snow", snow=1.3)]))
    assert found == pytest.approx({"a fox, snow": 1.3, "a fox": -0.3})
    assert dict(shares([part("a fox, snow", snow=0.5)])) == pytest.approx({"a fox, snow": 0.5, "a fox": 0.5})
    assert dict(shares([part("a fox, snow", snow=0)])) == pytest.approx({"a fox": 1.0})
    assert shares([part("a fox, snow", snow=1)]) == [("a fox, snow", 1.0)]


def test_emphasis_counts_by_its_parts_weight_and_of_all_words_against_none() -> None:
    found = dict(shares([part("a fox", 2, fox=1.5), part("a hat", 2)]))
    assert found == pytest.approx({"a fox": 0.75, "a": -0.25, "a hat": 0.5})
    assert dict(shares([Part(text="fox", emphasis=(Emphasis(start=0, end=3, weight=1.5),))])) == pytest.approx({"fox": 1.5, "": -0.5})


def test_words_taken_out_leave_a_clean_sentence() -> None:
    (_, _), (rest, _) = sorted(shares([part("a fox , in the snow , 3d", snow=2)]), key=lambda pair: -pair[1])
    assert rest == "a fox, in the, 3d"


@given(st.lists(st.tuples(st.sampled_from(["a cat", "two dogs", "red"]), st.floats(-1, 5), st.floats(0, 2)), min_size=1, max_size=4))
def test_shares_always_add_up_to_one(spoken: list[tuple[str, float, float]]) -> None:
    parts = [Part(text=text, weight=weight, emphasis=(Emphasis(start=0, end=1, weight=strength),)) for text, weight, strength in spoken]
    if sum(each.weight for each in parts) < 0.1:
        return
    found = shares(parts)
    assert math.isclose(sum(share for _, share in found), 1.0, abs_tol=1e-6)
    assert len({text for text, _ in found}) == len(found)


# ------------------------------------------------------------------------------------------------ in the denoiser's place


class Adding(nn.Module):
    """A denoiser whose prediction is its input and the sum of what it is told."""

    def forward(self, sample: torch.Tensor, timestep: Any = None, encoder_hidden_states: Any = None, return_dict: bool = True) -> Any:
        return (sample + encoder_hidden_states.sum(dim=(1, 2)).view(-1, 1),)


class Ragged(nn.Module):
    """One whose pictures and words are lists with a tensor each, as Z-Image's are."""

    def forward(self, x: list[torch.Tensor], t: Any = None, cap_feats: Any = None, return_dict: bool = True) -> Any:
        return ([sample + words.sum() for sample, words in zip(x, cap_feats, strict=True)],)


def told(value: float, tokens: int = 3) -> Mapping[str, torch.Tensor]:
    return {"encoder_hidden_states": torch.full((1, tokens, 2), value / (2 * tokens))}


def family(halves: Halves) -> Family:
    return replace(FAMILIES["sd"], halves=halves)


SAMPLE = torch.zeros(2, 1)
WITHOUT, WITH = (torch.full((2, 3, 2), value / 6) for value in (100.0, 7.0))
BLEND = weighted([(1.5, told(10.0)), (-0.5, told(4.0))])  # 13


def call(halves: Halves, guided: bool, *contexts: torch.Tensor) -> list[list[float]]:
    """What comes back for each call, row by row."""
    denoiser = Conditioned(Proxy(Adding(), {}), family(halves), BLEND, guided)
    found = []
    for context in contexts:
        (rows,) = denoiser(SAMPLE.repeat(len(context) // 2, 1), torch.tensor(5), encoder_hidden_states=context, return_dict=False)
        found.append(rows[:, 0].tolist())
    return found


@pytest.mark.parametrize(
    ("halves", "contexts", "expected"),
    [
        (Halves.UNCONDITIONAL_FIRST, [torch.cat([WITHOUT, WITH])], [[100, 100, 13, 13]]),
        (Halves.CONDITIONAL_FIRST, [torch.cat([WITH, WITHOUT])], [[13, 13, 100, 100]]),
        (Halves.APART, [WITH, WITHOUT, WITH, WITHOUT], [[13, 13], [100, 100], [13, 13], [100, 100]]),
    ],
)
def test_only_the_conditional_rows_are_predicted_under_the_blend(halves: Halves, contexts: list[torch.Tensor], expected: list[list[float]]) -> None:
    """So that unwanted words, which stand in the unconditional rows, are left alone."""
    for found, wanted in zip(call(halves, True, *contexts), expected, strict=True):
        assert found == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("halves", list(Halves))
def test_without_guidance_every_row_is_conditional(halves: Halves) -> None:
    for found in call(halves, False, WITH, WITH):
        assert found == pytest.approx([13, 13], abs=1e-4)


def test_a_stand_in_passes_for_the_module() -> None:
    module = Adding()
    stand_in = Conditioned(Proxy(module, {}), family(Halves.NEVER), BLEND, False)
    assert isinstance(stand_in, Adding) and isinstance(stand_in, nn.Module)
    assert stand_in.training is module.training


def test_capturing_returns_what_the_denoiser_would_have_been_given_and_runs_nothing() -> None:
    class Pipeline:
        def __init__(self) -> None:
            self.unet = Proxy(nn.Identity(), {})
            self.__dict__["unet"] = Proxy(Adding(), {})

        def __call__(self, prompt: str) -> None:
            self.unet(SAMPLE, 7, encoder_hidden_states=WITH, return_dict=False)
            raise AssertionError("the denoiser was run")

    captured = guidance.capture(Pipeline(), FAMILIES["sd"], {"prompt": "a cat"})
    assert captured["sample"] is SAMPLE and captured["timestep"] == 7
    assert guidance.conditions(captured, FAMILIES["sd"]) == {"encoder_hidden_states": WITH}

    class Idle(Pipeline):
        def __call__(self, prompt: str) -> None:
            pass

    with pytest.raises(RuntimeError, match="never called"):
        guidance.capture(Idle(), FAMILIES["sd"], {"prompt": "a cat"})


# ------------------------------------------------------------------------------------------------ morphs


def rows_of(blend: guidance.Blend, rows: int) -> list[float]:
    denoiser = Conditioned(Proxy(Adding(), {}), family(Halves.NEVER), blend, False)
    context = torch.zeros(rows, 3, 2)
    return denoiser(torch.zeros(rows, 1), torch.tensor(5), encoder_hidden_states=context, return_dict=False)[0][:, 0].tolist()  # type: ignore[no-any-return]


def test_a_morph_goes_from_one_condition_to_the_other_row_by_row() -> None:
    assert rows_of(between([(1.0, told(0.0))], [(1.0, told(8.0))], 5), 5) == pytest.approx([0, 2, 4, 6, 8], abs=1e-5)
    (_, mixed), *more = between([(1.0, told(0.0))], [(1.0, told(8.0))], 5)(5)
    assert not more and mixed["encoder_hidden_states"].shape[0] == 5  # one call, not two


def test_conditions_of_different_lengths_blend_their_predictions() -> None:
    blend = between([(1.0, told(0.0))], [(1.0, told(8.0, tokens=5))], 5)
    assert len(blend(5)) == 2
    assert rows_of(blend, 5) == pytest.approx([0, 2, 4, 6, 8], abs=1e-5)


def test_weighted_prompts_morph_part_by_part() -> None:
    blend = between([(1.5, told(10.0)), (-0.5, told(4.0))], [(1.0, told(2.0))], 3)
    found = rows_of(blend, 3)
    assert found[0] == pytest.approx(13, abs=1e-4) and found[2] == pytest.approx(2, abs=1e-4)


def test_what_is_the_same_at_both_ends_is_not_multiplied() -> None:
    """Positions of text tokens have no row dimension; what both prompts share is passed once."""
    positions = torch.arange(6.0).view(2, 3)
    one, other = ({"encoder_hidden_states": torch.full((1, 2, 2), value), "txt_ids": positions} for value in (0.0, 1.0))
    ((_, mixed),) = between([(1.0, one)], [(1.0, other)], 4)(4)
    assert mixed["txt_ids"] is positions and mixed["encoder_hidden_states"].shape == (4, 2, 2)


def test_masks_that_differ_are_not_averaged() -> None:
    one, other = ({"encoder_hidden_states": torch.ones(1, 2, 2), "encoder_attention_mask": torch.tensor([[1, last]])} for last in (0, 1))
    assert len(between([(1.0, one)], [(1.0, other)], 4)(4)) == 2


@pytest.mark.parametrize("tokens", [3, 4])
def test_ragged_words_morph_too(tokens: int) -> None:
    one, other = {"cap_feats": [torch.zeros(3, 2)]}, {"cap_feats": [torch.full((tokens, 2), 8.0 / (2 * tokens))]}
    zimage = replace(FAMILIES["zimage"], halves=Halves.NEVER)
    denoiser = Conditioned(Proxy(Ragged(), {}, rules=zimage.rules), zimage, between([(1.0, one)], [(1.0, other)], 5), False)
    (rows,) = denoiser([torch.zeros(1)] * 5, torch.zeros(5), [torch.zeros(3, 2)] * 5, return_dict=False)
    assert [float(row) for row in rows] == pytest.approx([0, 2, 4, 6, 8], abs=1e-5)
