"""The step cache by itself: small denoisers with random weights, walked through a few steps by several requests at once."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from diffusers import CacheMixin
from diffusers.hooks import FirstBlockCacheConfig, HookRegistry, apply_first_block_cache

from engine import rows
from engine.rows import Row
from engine.stepcache import StepCache, supports
from tests.unit.denoisers import DENOISERS, Owner, RowOf, furthest, made, meanwhile, outputs

STEPS = 8


@pytest.fixture(autouse=True)
def one_thread_without_gradients() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        yield
    torch.set_num_threads(threads)


#: Those of them diffusers' own first-block cache can do; it fails on the others.
STOCK = ("FLUX.1", "Qwen-Image", "PixArt")


# ------------------------------------------------------------------------------------------------ forwards of several rows


def alone(model: Any, row: RowOf, seed: int, steps: int = STEPS) -> list[torch.Tensor]:
    name = Row(Owner())
    return [outputs(model, [row(seed, step)], [name])[0] for step in range(steps)]


def in_company(model: Any, row: RowOf, seeds: Sequence[int], steps: int = STEPS) -> list[list[torch.Tensor]]:
    """Request k joins at step k, and all leave after `steps` steps of their own."""
    names, found = [Row(Owner()) for _ in seeds], [[] for _ in seeds]  # type: list[Row], list[list[torch.Tensor]]
    for turn in range(steps + len(seeds)):
        there = [k for k in range(len(seeds)) if 0 <= turn - k < steps]
        if there:
            for k, output in zip(there, outputs(model, [row(seeds[k], turn - k) for k in there], [names[k] for k in there]), strict=True):
                found[k].append(output)
    return found


@pytest.mark.parametrize("name", DENOISERS)
def test_a_row_draws_the_same_in_company_as_alone(name: str) -> None:
    model, row, threshold = made(name)
    cache = StepCache(model, threshold)
    by_itself = [alone(model, row, seed) for seed in range(5)]
    taken, computed = cache.taken, cache.computed
    assert taken > 5 and computed > 5  # both happen, or there is nothing to see here
    mixed = in_company(model, row, range(5))
    assert (cache.taken, cache.computed) == (2 * taken, 2 * computed)
    assert max(furthest(one, other) for one, other in zip(mixed, by_itself, strict=True)) < 2e-6


@pytest.mark.parametrize("name", STOCK)
def test_a_row_draws_what_diffusers_own_first_block_cache_draws_for_its_request_alone(name: str) -> None:
    model, row, threshold = made(name)
    stock = copy.deepcopy(model)
    apply_first_block_cache(stock, FirstBlockCacheConfig(threshold=threshold))
    StepCache(model, threshold)
    for seed, mixed in enumerate(in_company(model, row, range(4))):
        with CacheMixin.cache_context(stock, "the one condition"):
            by_itself = [stock(**row(seed, step), return_dict=False)[0][0] for step in range(STEPS)]
        HookRegistry.check_if_exists_or_initialize(stock).reset_stateful_hooks()
        assert furthest(mixed, by_itself) < 1e-6


@pytest.mark.parametrize("name", DENOISERS)
def test_where_nothing_changed_what_is_taken_over_is_what_would_have_been_computed(name: str) -> None:
    model, row, _ = made(name)
    full, names = alone(model, row, 1, steps=1) + alone(model, row, 2, steps=1), [Row(Owner()), Row(Owner())]
    cache = StepCache(model, 1e-6)
    outputs(model, [row(1, 0)], names[:1])
    mixed = outputs(model, [row(1, 0), row(2, 0)], names)  # the first takes over, the second goes on
    assert (cache.taken, cache.computed) == (1, 2) and furthest(mixed, full) < 2e-6
    again = outputs(model, [row(1, 0), row(2, 0)], names)  # nobody goes on
    assert (cache.taken, cache.computed) == (3, 2) and furthest(again, full) < 2e-6


@pytest.mark.parametrize("name", DENOISERS)
def test_a_step_is_taken_over_only_where_little_changes(name: str) -> None:
    model, row, _ = made(name)
    full = alone(model, row, 1)
    always = StepCache(model, float("inf"))
    taken_over = alone(model, row, 1)
    assert (always.taken, always.computed) == (STEPS - 1, 1)
    assert torch.equal(taken_over[0], full[0]) and furthest(taken_over[1:], full[1:]) > 1e-3  # it did leave something out
    always.detach()
    never = StepCache(model, 0.0)
    assert furthest(alone(model, row, 1), full) == 0.0
    assert (never.taken, never.computed) == (0, STEPS)


@pytest.mark.parametrize("name", DENOISERS)
def test_between_forwards_and_outside_the_hub_the_denoiser_is_what_it_was(name: str) -> None:
    model, row, _ = made(name)
    before, full = dict(model.__dict__), alone(model, row, 1, steps=2)
    StepCache(model, float("inf"))
    alone(model, row, 1, steps=2)
    assert {key: value for key, value in model.__dict__.items() if "hooks" not in key} == {key: value for key, value in before.items() if "hooks" not in key}
    assert furthest([model(**row(1, step), return_dict=False)[0][0] for step in range(2)], full) == 0.0


def test_a_forward_that_fails_leaves_the_denoiser_and_the_memory_as_they_were() -> None:
    model, row, threshold = made("FLUX.1")
    cache, name = StepCache(model, threshold), Row(Owner())
    outputs(model, [row(1, 0)], [name])
    kept, blocks = cache.kept(name), model.transformer_blocks
    broken = model.single_transformer_blocks[1].register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        outputs(model, [row(1, 3)], [name])
    broken.remove()
    assert cache.kept(name) is kept and model.transformer_blocks is blocks
    outputs(model, [row(1, 3)], [name])
    assert cache.kept(name) is not kept


def test_what_is_remembered_goes_with_its_request() -> None:
    model, row, threshold = made("PixArt")
    cache, here, there = StepCache(model, threshold), Owner(), Owner()
    outputs(model, [row(1, 0), row(2, 0)], [Row(here), Row(there)])
    half = cache.bytes // 2
    cache.forget(here)
    assert cache.kept(Row(here)) is None and cache.bytes == half > 0
    del there
    assert cache.bytes == 0


@pytest.mark.parametrize(("name", "positions"), [("FLUX.1", 7 + 16), ("Qwen-Image", 16)])
def test_positions_are_not_taken_for_rows_when_there_happen_to_be_as_many(name: str, positions: int) -> None:
    model, row, _ = made(name)
    names, moves = [Row(Owner()) for _ in range(positions)], [k % 2 for k in range(positions)]
    full = outputs(model, [row(k, move) for k, move in enumerate(moves)], [])
    cache = StepCache(model, 1e-6)
    outputs(model, [row(k, 0) for k in range(positions)], names)
    assert furthest(outputs(model, [row(k, move) for k, move in enumerate(moves)], names), full) < 2e-6
    assert cache.taken == moves.count(0) and cache.computed == positions + moves.count(1)


def test_rows_of_one_request_are_told_apart_by_call_and_place() -> None:
    model, row, threshold = made("PixArt")
    one = Owner()
    names = [Row(one, call=0, index=0), Row(one, call=0, index=1), Row(one, call=1, index=0)]
    StepCache(model, threshold)
    apart = [alone(model, row, seed) for seed in range(3)]
    joint = [outputs(model, [row(seed, step) for seed in range(3)], names) for step in range(STEPS)]
    assert max(furthest([each[k] for each in joint], apart[k]) for k in range(3)) < 2e-6


def test_padding_is_neither_remembered_nor_in_anybodys_way() -> None:
    model, row, threshold = made("U-Net")
    cache, padding = StepCache(model, threshold), [Row(None)] * 3
    by_itself, name = alone(model, row, 1), Row(Owner())
    cache.taken = 0
    padded = [outputs(model, [row(1, step)] * 4, [name, *padding])[0] for step in range(STEPS)]
    assert 0 < cache.taken < STEPS and furthest(padded, by_itself) < 2e-6


@pytest.mark.parametrize("name", ["FLUX.1", "U-Net"])
def test_with_one_size_a_rows_bits_do_not_depend_on_what_its_company_takes_over(name: str) -> None:
    model, row, threshold = made(name)
    cache, padding = StepCache(model, threshold, sizes=(4,)), [Row(None)] * 3
    here, others = Row(Owner()), [Row(Owner()) for _ in range(3)]
    company = [outputs(model, [row(1, step), *(row(k, STEPS - step) for k in (2, 3, 4))], [here, *others])[0] for step in range(STEPS)]
    cache.forget(here.owner)
    padded = [outputs(model, [row(1, step)] * 4, [here, *padding])[0] for step in range(STEPS)]
    assert all(torch.equal(one, other) for one, other in zip(company, padded, strict=True))


@pytest.mark.parametrize("name", ["FLUX.1", "U-Net"])
def test_the_smaller_forward_has_one_of_the_sizes_that_were_compiled(name: str) -> None:
    model, row, threshold = made(name)
    StepCache(model, threshold, sizes=(2, 4, 8))
    by_itself, names, sizes = [alone(model, row, seed) for seed in range(8)], [Row(Owner()) for _ in range(8)], []
    last = model.mid_block if name == "U-Net" else model.single_transformer_blocks[-1]
    last.register_forward_pre_hook(lambda module, args, kwargs: sizes.append(len((*args, *kwargs.values())[0])), with_kwargs=True)
    mixed = [outputs(model, [row(seed, step) for seed in range(8)], names) for step in range(STEPS)]
    assert set(sizes) <= {2, 4, 8} and min(sizes) < 8
    assert max(furthest([each[k] for each in mixed], by_itself[k]) for k in range(8)) < 2e-6


@pytest.mark.parametrize("name", ["FLUX.1", "U-Net"])
def test_a_forward_on_another_thread_is_done_in_full_and_disturbs_nothing(name: str) -> None:
    model, row, threshold = made(name)
    full, by_itself = alone(model, row, 5, steps=1)[0], alone(model, row, 1)
    StepCache(model, threshold)
    by_itself, mine = alone(model, row, 1), Row(Owner())
    for step in range(STEPS):
        inside = model.up_blocks[-1] if name == "U-Net" else model.transformer_blocks[0]
        theirs = meanwhile(inside, lambda: model(**row(5, 0), return_dict=False)[0][0])
        assert furthest(outputs(model, [row(1, step)], [mine]), by_itself[step : step + 1]) == 0.0
        assert torch.equal(theirs[0], full)


def test_a_forward_with_a_controlnet_is_done_in_full() -> None:
    model, row, _ = made("U-Net")
    cache, name = StepCache(model, float("inf")), Row(Owner())
    shapes = ((16, 8), (16, 8), (16, 4), (32, 4), (32, 2), (32, 2))
    control = {
        "down_block_additional_residuals": [torch.zeros(1, channels, edge, edge) for channels, edge in shapes],
        "mid_block_additional_residual": torch.zeros(1, 32, 2, 2),
    }
    with rows.running([name]):
        for step in range(3):
            model(**row(1, step), **control)
    assert cache.taken == cache.computed == 0


def test_a_denoiser_whose_blocks_are_not_known_is_refused_by_name() -> None:
    assert not supports(torch.nn.Linear(1, 1))
    with pytest.raises(ValueError, match="Linear"):
        StepCache(torch.nn.Linear(1, 1), 0.1)
