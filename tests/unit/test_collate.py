"""Which module calls may share a forward, and that everybody gets back exactly their own rows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput

from engine.collate import Arguments, concatenate, count_rows, merge, signature, slice_rows, split


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
