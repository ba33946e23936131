"""Chaos: each picture of a grid is told the words through noise of its own, which fades."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from engine.chaos import Unsettled
from engine.guidance import Conditions, weighted

SEEDS = (7, 8, 9)
WORDS = torch.linspace(-1, 3, 40).reshape(1, 5, 8)


def heard(chaos: float, way: float, told: Any = None, seeds: tuple[int, ...] = SEEDS) -> Conditions:
    """What the pictures are told after that share of the schedule."""
    unsettled = Unsettled(chaos, seeds)
    unsettled.way = way
    ((share, condition),) = unsettled.told(weighted([(1.0, told or {"encoder_hidden_states": WORDS})]))(len(seeds))
    assert share == 1.0
    return condition


def states(chaos: float, way: float, **changes: Any) -> torch.Tensor:
    found: torch.Tensor = heard(chaos, way, **changes)["encoder_hidden_states"]
    return found


def alike(one: torch.Tensor, other: torch.Tensor) -> float:
    """The correlation of two tensors."""
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])


def test_every_picture_hears_the_words_through_its_own_noise() -> None:
    found = states(1.0, 0.0)
    assert found.shape == (3, 5, 8)
    assert all(abs(alike(found[a], found[b])) < 0.5 for a, b in ((0, 1), (0, 2), (1, 2)))
    assert all(abs(alike(row, WORDS)) < 0.5 for row in found)  # at first there is noise alone


def test_the_noise_fades_and_then_the_words_are_the_words() -> None:
    ways = [alike(states(1.0, way)[0], WORDS) for way in (0.2, 0.3, 0.45, 0.59)]
    assert ways == sorted(ways) and ways[-1] > 0.95
    assert states(1.0, 0.6) is WORDS and states(1.0, 1.0) is WORDS


def test_the_less_chaos_the_more_is_heard() -> None:
    found = [alike(states(chaos, 0.0)[0], WORDS) for chaos in (1.0, 0.6, 0.3, 0.05)]
    assert found == sorted(found) and found[-1] > 0.95


@pytest.mark.parametrize("chaos", [0.2, 1.0])
def test_what_is_heard_has_the_words_own_mean_and_deviation(chaos: float) -> None:
    for row in states(chaos, 0.0):
        assert float(row.mean()) == pytest.approx(float(WORDS.mean()), abs=1e-5)
        assert float(row.std()) == pytest.approx(float(WORDS.std()), rel=1e-5)


def test_a_pictures_noise_is_its_seeds_whoever_it_is_drawn_beside_and_not_its_latents() -> None:
    grid, alone = states(0.7, 0.1), states(0.7, 0.1, seeds=(8,))
    assert torch.equal(grid[1], alone[0])
    latents = torch.randn(40, generator=torch.Generator("cpu").manual_seed(7))
    assert abs(alike(states(1.0, 0.0)[0], latents)) < 0.5


def test_masks_sizes_and_positions_stay_as_they_are() -> None:
    mask, ids, sizes = torch.ones(1, 5, dtype=torch.bool), torch.arange(15.0).reshape(5, 3), torch.full((1, 6), 64.0)
    pooled = torch.linspace(0, 1, 64)[None]
    told = {"encoder_hidden_states": WORDS, "encoder_attention_mask": mask, "txt_ids": ids, "added_cond_kwargs": {"text_embeds": pooled, "time_ids": sizes}}
    found = heard(1.0, 0.0, told)
    assert found["encoder_attention_mask"] is mask and found["txt_ids"] is ids and found["added_cond_kwargs"]["time_ids"] is sizes
    assert found["added_cond_kwargs"]["text_embeds"].shape == (3, 64)


def test_words_that_are_listed_row_by_row_stay_listed() -> None:
    found = heard(0.5, 0.0, {"cap_feats": [WORDS[0]]})["cap_feats"]
    assert isinstance(found, list) and [row.shape for row in found] == [(5, 8)] * 3 and not torch.equal(found[0], found[1])


def test_half_precision_stays_half() -> None:
    assert states(0.5, 0.0, told={"encoder_hidden_states": WORDS.half()}).dtype is torch.float16
