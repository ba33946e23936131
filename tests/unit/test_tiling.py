"""Seamless pictures: on a torus, what is shifted around before is shifted around after."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from torch import nn

from engine import rows
from engine.rows import Row, Traits
from engine.tiling import Wrapping
from tests.unit.denoisers import made, meanwhile, outputs

SEAMLESS, PLAIN = Row("a request", Traits(tile=True)), Row("another")


@pytest.fixture(autouse=True)
def one_thread_without_gradients() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        yield
    torch.set_num_threads(threads)


def around(tensor: torch.Tensor, down: int, right: int) -> torch.Tensor:
    return torch.roll(tensor, (down, right), (-2, -1))


def denoised(unet: Any, call: dict[str, Any], name: Row) -> torch.Tensor:
    return outputs(unet, [call], [name])[0]


@pytest.mark.parametrize(("name", "latents"), [("U-Net", "sample"), ("Sana", "hidden_states")])
def test_a_seamless_row_has_no_edges_in_the_denoiser(name: str, latents: str) -> None:
    denoiser, row, _ = made(name)
    Wrapping(denoiser)
    call = row(1, 2)
    shifted = {**call, latents: around(call[latents], 4, 4)}  # by whole steps of the lowest resolution
    assert torch.allclose(denoised(denoiser, shifted, SEAMLESS), around(denoised(denoiser, call, SEAMLESS), 4, 4), atol=1e-5)
    assert not torch.allclose(denoised(denoiser, shifted, PLAIN), around(denoised(denoiser, call, PLAIN), 4, 4), atol=1e-3)


@pytest.mark.parametrize("kind", ["KL", "tiny"])
def test_a_seamless_row_has_no_edges_in_the_decoder(kind: str) -> None:
    torch.manual_seed(0)
    if kind == "KL":
        blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
        vae = AutoencoderKL(latent_channels=4, block_out_channels=(8, 16), norm_num_groups=8, **blocks).eval()
    else:
        channels = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8), "num_decoder_blocks": (2, 2), "num_encoder_blocks": (1, 1)}
        vae = AutoencoderTiny(latent_channels=4, **channels).eval()
    wrapping = Wrapping(vae.decoder)
    assert wrapping.convolutions > 4
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))

    def decoded(latents: torch.Tensor, name: Row) -> torch.Tensor:
        with rows.running([name]):
            return vae.decode(latents, return_dict=False)[0]

    there = around(latents, 3, 2)
    scale = decoded(latents, PLAIN).shape[-1] // 8
    assert torch.allclose(decoded(there, SEAMLESS), around(decoded(latents, SEAMLESS), 3 * scale, 2 * scale), atol=1e-5)
    assert not torch.allclose(decoded(there, PLAIN), around(decoded(latents, PLAIN), 3 * scale, 2 * scale), atol=1e-2)


def test_a_plain_row_after_a_seamless_one_is_the_very_same_as_before() -> None:
    unet, row, _ = made("U-Net")
    before = denoised(unet, row(1, 2), PLAIN)
    Wrapping(unet)
    denoised(unet, row(1, 2), SEAMLESS)
    assert torch.equal(denoised(unet, row(1, 2), PLAIN), before)
    assert torch.equal(unet(**row(1, 2)).sample[0], before)  # and so it is outside the hub


def test_a_seamless_row_that_fails_leaves_the_convolutions_as_they_were() -> None:
    unet, row, _ = made("U-Net")
    Wrapping(unet)
    broken = unet.mid_block.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        denoised(unet, row(1, 2), SEAMLESS)
    broken.remove()
    assert {each.padding_mode for each in unet.modules() if isinstance(each, nn.Conv2d)} == {"zeros"}


def test_a_forward_on_another_thread_does_not_end_a_seamless_one() -> None:
    unet, row, _ = made("U-Net")
    Wrapping(unet)
    seamless = denoised(unet, row(1, 2), SEAMLESS)
    meanwhile(unet.mid_block, lambda: unet(**row(2, 0)))
    assert torch.equal(denoised(unet, row(1, 2), SEAMLESS), seamless)


def test_a_detached_model_is_left_alone() -> None:
    unet, row, _ = made("U-Net")
    Wrapping(unet).detach()
    assert torch.equal(denoised(unet, row(1, 2), SEAMLESS), denoised(unet, row(1, 2), PLAIN))


def test_a_transformer_without_convolutions_has_nothing_to_wrap() -> None:
    assert Wrapping(made("FLUX.1")[0]).convolutions == 0
    assert Wrapping(made("PixArt")[0]).convolutions == 0
