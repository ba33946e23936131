"""Which module calls may share a forward, and that everybody gets back exactly their own rows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput

from engine.collate import Arguments, Rules, concatenate, content, count_rows, merge, signature, slice_rows, split


def unet_call(rows: int, *, timestep: Any = None, size: int = 8, tokens: int = 24, dtype: torch.dtype = torch.float32, **kwargs: Any) -> Arguments:
    """Shaped like a pipeline's call of its denoiser: latents, timestep, text context."""
    sample = torch.randn(rows, 4, size, size, dtype=dtype)
    context = torch.randn(rows, tokens, 32, dtype=dtype)
    values = {"encoder_hidden_states": context, "timestep_cond": None, "return_dict": False, **kwargs}
    return Arguments((sample, torch.tensor(500) if timestep is None else timestep), values, rows)


def test_calls_at_different_timesteps_of_different_kinds_fit_together() -> None:
    whole, real, each = unet_call(2), unet_call(4, timestep=torch.tensor(12.5)), unet_call(3, timestep=torch.tensor([7.0, 8.0, 9.0]))
    assert signature(whole) == signature(real) == signature(each)
    joint = concatenate([whole, real, each])
    assert joint.rows == 9
    assert joint.args[1].tolist() == [500.0] * 2 + [12.5] * 4 + [7.0, 8.0, 9.0]
    assert torch.equal(joint.args[0][2:6], real.args[0])
    assert joint.kwargs["timestep_cond"] is None


def test_every_integer_timestep_survives_the_change_to_float() -> None:
    joint = concatenate([unet_call(1, timestep=torch.tensor(t)) for t in range(1000)])
    assert joint.args[1].tolist() == list(range(1000))


@pytest.mark.parametrize(
    "other",
    [
        unet_call(2, size=16),
        unet_call(2, tokens=77),
        unet_call(2, dtype=torch.float16),
        unet_call(2, return_dict=True),
        unet_call(2, cross_attention_kwargs={"scale": 0.5}),
        unet_call(2, extra=torch.zeros(5)),
    ],
)
def test_calls_that_differ_in_anything_but_rows_and_timestep_stay_apart(other: Arguments) -> None:
    assert signature(unet_call(2)) != signature(other)


def test_an_unknown_object_is_shared_only_by_those_who_hold_the_very_same_one() -> None:
    first, second = object(), object()
    assert signature(unet_call(2, hook=first)) == signature(unet_call(3, hook=first))
    assert signature(unet_call(2, hook=first)) != signature(unet_call(2, hook=second))


def test_nested_arguments_are_joined_in_place() -> None:
    added = [{"image_embeds": [torch.full((rows, 3), float(rows))]} for rows in (1, 2)]
    joint = concatenate([unet_call(1, added=added[0]), unet_call(2, added=added[1])])
    assert joint.kwargs["added"]["image_embeds"][0].tolist() == [[1.0] * 3, [2.0] * 3, [2.0] * 3]


@pytest.mark.parametrize("kind", ["tensor", "tuple", "list", "dict", "output"])
def test_split_gives_back_each_calls_rows_whatever_the_output_looks_like(kind: str) -> None:
    rows = torch.arange(12.0).reshape(6, 2)
    wrap: dict[str, Any] = {"tensor": rows, "tuple": (rows, None), "list": [rows], "dict": {"a": rows}, "output": UNet2DConditionOutput(sample=rows)}
    parts = split(wrap[kind], [1, 3, 2])
    assert type(parts[0]) is type(wrap[kind])
    inner = [part if kind == "tensor" else part["a"] if kind == "dict" else part[0] for part in parts]
    assert [value.shape[0] for value in inner] == [1, 3, 2]
    assert torch.equal(torch.cat(inner), rows)
    again = merge(parts)
    assert torch.equal(again if kind == "tensor" else again["a"] if kind == "dict" else again[0], rows)


def test_slices_cover_all_rows_and_padding_is_dropped_again() -> None:
    joint = concatenate([unet_call(2), unet_call(3)])
    pieces = [slice_rows(joint, 0, 4, pad_to=4), slice_rows(joint, 4, 5, pad_to=4)]
    assert [piece.rows for piece in pieces] == [4, 4]
    assert all(piece.args[0].shape[0] == piece.args[1].shape[0] == piece.kwargs["encoder_hidden_states"].shape[0] == 4 for piece in pieces)
    assert torch.equal(pieces[1].args[0], joint.args[0][4:5].expand(4, -1, -1, -1))
    first, second = split(merge([piece.args[0] for piece in pieces]), [2, 3])
    assert torch.equal(torch.cat([first, second]), joint.args[0])


def test_a_call_without_tensors_counts_as_one_row() -> None:
    assert count_rows(("words",), {"flag": True}) == 1
    assert count_rows((torch.tensor(3), torch.zeros(5, 2)), {}) == 5


# ------------------------------------------------------------------------------------------------ what shapes do not say


def named(rows: int, rules: Rules, **values: Any) -> Arguments:
    """A call as a proxy makes it: everything by name."""
    return Arguments((), {"hidden_states": torch.randn(rows, 6, 4), **values}, rows, rules)


def test_neither_the_order_of_names_nor_a_none_keeps_calls_apart() -> None:
    one = Arguments((), {"sample": torch.zeros(2, 3), "guidance": None, "scale": 1.0}, 2)
    other = Arguments((), {"scale": 1.0, "sample": torch.zeros(1, 3)}, 1)
    assert signature(one) == signature(other)
    assert concatenate([one, other]).kwargs["sample"].shape == (3, 3) == concatenate([other, one]).kwargs["sample"].shape


def test_what_has_no_rows_is_passed_once_and_must_say_the_same() -> None:
    rules = Rules(shared=frozenset({"rotary"}))
    one, same, other = (named(rows, rules, rotary=(torch.full((2, 5), value),)) for rows, value in ((2, 1.0), (1, 1.0), (2, 3.0)))
    assert signature(one) == signature(same) != signature(other)
    joint = concatenate([one, same])
    assert joint.kwargs["rotary"][0].shape == (2, 5)
    assert slice_rows(joint, 0, 2, pad_to=4).kwargs["rotary"][0].shape == (2, 5)  # though it has as many rows as the call


def test_an_entry_a_row_of_which_the_first_is_read_must_be_the_same_in_all_rows() -> None:
    rules = Rules(alike=frozenset({"ids", "shapes"}))
    tall, wide = torch.arange(12).reshape(1, 6, 2), torch.arange(12).flip(0).reshape(1, 6, 2)
    one, more, other = (named(len(ids), rules, ids=ids, shapes=[[(1, 2, 3)]] * len(ids)) for ids in (tall, tall.repeat(3, 1, 1), wide))
    assert signature(one) == signature(more) != signature(other)
    assert signature(one) != signature(named(1, rules, ids=tall, shapes=[[(1, 3, 2)]]))
    joint = concatenate([one, more])
    assert torch.equal(joint.kwargs["ids"], tall.repeat(4, 1, 1)) and joint.kwargs["shapes"] == [[(1, 2, 3)]] * 4
    piece = slice_rows(joint, 3, 4, pad_to=2)
    assert piece.kwargs["ids"].shape[0] == len(piece.kwargs["shapes"]) == 2


def test_flat_ids_have_no_rows_even_when_there_are_as_many_tokens_as_rows() -> None:
    rules = Rules(alike=frozenset({"ids"}))
    calls = [named(rows, rules, ids=torch.arange(6).reshape(3, 2)) for rows in (3, 2)]
    assert concatenate(calls).kwargs["ids"].shape == (3, 2)
    assert count_rows((), {"ids": torch.zeros(7, 2), "hidden_states": torch.zeros(3, 1)}, rules) == 3


def test_lists_of_any_sizes_share_a_forward_and_their_outputs_go_back() -> None:
    rules = Rules(ragged=frozenset({"x", "words"}))

    def call(*sizes: int) -> Arguments:
        x = [torch.full((2, size), float(size)) for size in sizes]
        return Arguments((), {"x": x, "t": torch.ones(len(x)), "words": [row[0] for row in x]}, len(x), rules)

    one, other = call(3, 4), call(5)
    assert signature(one) == signature(other)
    assert count_rows((), one.kwargs, rules) == 2
    joint = concatenate([one, other])
    assert [row.shape[1] for row in joint.kwargs["x"]] == [3, 4, 5]
    padded = slice_rows(joint, 2, 3, pad_to=2)
    assert [row.shape[1] for row in padded.kwargs["x"]] == [5, 5] and padded.rows == 2
    back = split(([*joint.kwargs["x"], torch.zeros(1)],), [2, 1], rules)
    assert [[row.shape[1] for row in part[0]] for part in back] == [[3, 4], [5]]
    assert [row.shape[1] for row in merge(back, rules)[0]] == [3, 4, 5]


def test_texts_of_different_lengths_are_padded_and_masked() -> None:
    rules = Rules(padded={"words": "mask"})
    short, long = named(2, rules, words=torch.ones(2, 3, 4), mask=None), named(1, rules, words=torch.ones(1, 5, 4))
    holed = named(1, rules, words=torch.ones(1, 4, 4), mask=torch.tensor([[1, 1, 0, 1]]))
    assert signature(short) == signature(long) == signature(holed)
    joint = concatenate([short, long, holed])
    assert joint.kwargs["mask"].tolist() == [[True] * 3 + [False] * 2] * 2 + [[True] * 5, [True, True, False, True, False]]
    assert joint.kwargs["words"].shape == (4, 5, 4) and joint.kwargs["words"][0, 3:].abs().sum() == 0
    assert signature(short) != signature(named(2, rules, words=torch.ones(2, 3, 8)))


def test_texts_of_one_length_without_masks_get_none() -> None:
    rules = Rules(padded={"words": "mask"})
    joint = concatenate([named(rows, rules, words=torch.ones(rows, 3, 4), mask=None) for rows in (1, 2)])
    assert joint.kwargs["mask"] is None and joint.kwargs["words"].shape == (3, 3, 4)


def test_calls_that_are_to_be_alone_fit_nobody() -> None:
    rules = Rules(alone=True)
    call = named(1, rules)
    assert signature(call) != signature(call)


def test_what_a_tensor_says_is_told_by_its_bits_and_read_again_when_they_change() -> None:
    numbers = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert content(numbers) == content(numbers.clone()) != content(numbers.to(torch.bfloat16))
    assert content(torch.tensor([1 + 2j])) != content(torch.tensor([1 + 3j]))
    before = content(numbers)
    numbers[0, 0] = 5
    assert content(numbers) != before
