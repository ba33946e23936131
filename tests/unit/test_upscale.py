"""Enlarging by a network: the tensor work beside the pipelines."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from engine import upscale
from engine.codec import decode
from tests.contract.engines import picture


@pytest.fixture(autouse=True)
def no_grad() -> Any:
    with torch.no_grad():
        yield


@pytest.mark.parametrize("factor", [2, 4])
def test_no_seam_shows_between_tiles(factor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = upscale.SuperResolution(channels=8, blocks=3).eval()
    pixels = np.asarray(decode(picture(1, 70, 37)))
    whole = upscale.enlarge(network, network.reach, pixels, factor, torch.device("cpu"))
    monkeypatch.setattr(upscale, "TILE", 16)
    tiled = upscale.enlarge(network, network.reach, pixels, factor, torch.device("cpu"))
    assert whole.shape == (37 * factor, 70 * factor, 3)
    assert np.abs(whole.astype(int) - tiled).max() <= 1
    short = upscale.enlarge(network, 0, pixels, factor, torch.device("cpu"))
    assert np.abs(whole.astype(int) - short).max() > 1  # so the overlap is what does it


def doubled(image: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.interpolate(image, scale_factor=2, mode="nearest")


def test_a_network_of_two_enlarges_by_four_in_two_passes() -> None:
    pixels = np.asarray(decode(picture(1, 20, 12)))
    large = upscale.enlarge(doubled, 4, pixels, 4, torch.device("cpu"), scale=2)
    assert np.array_equal(large, pixels.repeat(4, axis=0).repeat(4, axis=1))
    assert np.array_equal(upscale.enlarge(doubled, 4, pixels, 2, torch.device("cpu"), scale=2), pixels.repeat(2, axis=0).repeat(2, axis=1))


class Loader:
    """What the package spandrel offers, as far as it is used (it cannot be installed beside a CPU build of torch)."""

    scale = 2

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def load_from_file(self, file: Path) -> Any:
        assert file.suffix == ".safetensors"
        descriptor = torch.nn.Module()
        descriptor.model, descriptor.scale, descriptor.forward = torch.nn.Conv2d(3, 3, 1), self.scale, doubled
        return descriptor


def test_a_published_network_is_read_by_spandrel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "4x.safetensors").write_bytes(b"weights")
    monkeypatch.setitem(sys.modules, "spandrel", SimpleNamespace(ModelLoader=Loader))
    network = upscale.load(tmp_path, torch.device("cpu"))
    assert network is not None and network.scale == 2 and network(torch.ones(1, 3, 4, 4)).shape == (1, 3, 8, 8)
    monkeypatch.setattr(Loader, "scale", 3)
    with pytest.raises(ValueError, match="enlarges 3×"):
        upscale.load(tmp_path / "4x.safetensors", torch.device("cpu"))


def test_a_published_network_without_spandrel_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "4x.safetensors").write_bytes(b"weights")
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(ImportError, match=r"4x\.safetensors needs the package spandrel"):
        upscale.load(tmp_path, torch.device("cpu"))
    assert upscale.load(tmp_path / "none", torch.device("cpu")) is None
