"""The pocket model's network for sketches: it learns from the engine's own lines, starts without a word, and is a folder that stock diffusers read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel
from PIL import Image

from engine.api import Control
from engine.edges import FINDABLE, control_map
from tests.unit import apprentices
from training import dataset, lines, sketch

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return apprentices.workplace(tmp_path_factory.mktemp("work"))


def square() -> np.ndarray:
    picture = np.full((128, 128, 3), 230, np.uint8)
    picture[32:96, 32:96] = (200, 30, 30)
    return picture


def test_lines_are_those_the_engine_will_find() -> None:
    for kind in FINDABLE:
        shown = control_map(Control(kind=kind, picture=""), Image.fromarray(square()), 128, 128)
        found = lines.lines(square(), kind)
        assert found.any() and np.array_equal(np.asarray(shown)[..., 0] == 255, found)


def test_a_sketch_is_of_the_lines_in_the_things_half_of_the_time() -> None:
    found, rng = lines.lines(square(), "edges"), np.random.default_rng(0)
    found[:3] = True  # a horizon, say
    drawn = sketch.by_hand(torch.from_numpy(found).expand(200, -1, -1), torch.tensor([[[24, 24, 80], [0, 0, 0]]]).expand(200, -1, -1), rng).numpy()
    assert drawn.dtype == bool and drawn.shape == (200, 128, 128)
    assert 80 < sum(np.array_equal(each, found) for each in drawn) < 120
    assert 40 < sum(not each[:3].any() for each in drawn) < 100


def test_a_hand_does_to_each_picture_what_was_thrown_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = np.zeros((1, 16, 16), bool)
    found[0, 4], found[0, 12] = True, True

    def drawn(hand: sketch.Hand) -> np.ndarray:
        monkeypatch.setattr(sketch.Hand, "throw", lambda *_: hand)
        return sketch.by_hand(torch.from_numpy(found), torch.tensor([[[2, 2, 6]]]), np.random.default_rng(0))[0].numpy()

    assert np.array_equal(drawn(sketch.Hand()), found[0])
    alone = drawn(sketch.Hand(things=True))
    assert alone.sum() == 6 and alone[4, 2:8].all()
    missing = drawn(sketch.Hand(missing=(10, 3)))
    assert missing[12].tolist() == [not 3 <= x < 7 for x in range(16)] and missing[4].all()
    broad = drawn(sketch.Hand(broad=True))
    assert broad.any(1).nonzero()[0].tolist() == [3, 4, 5, 11, 12, 13] and broad[5].all()
    found[0, 4, :8] = False
    swaying = drawn(sketch.Hand(sway=np.full(16, 2.0)))
    assert swaying[4].tolist() == [x >= 6 for x in range(16)] and swaying[12].all()


def test_lines_agree_with_themselves_and_not_with_those_elsewhere() -> None:
    found = lines.lines(square(), "edges")
    assert sketch.agreement(square(), found) == pytest.approx(1)
    assert sketch.agreement(np.roll(square(), 1, axis=1), found) == pytest.approx(1)
    assert sketch.agreement(np.roll(square(), 24, axis=1), found) < 0.6
    assert sketch.agreement(np.zeros_like(square()), found) == 0


def test_a_fresh_network_says_nothing_and_fits_the_denoiser() -> None:
    denoiser = apprentices.unet()
    network: Any = sketch.build(denoiser)
    x, t, words = torch.randn(2, 48, 6, 10), torch.tensor([900, 100]), torch.zeros(2, 5, apprentices.WORDS)
    with torch.no_grad():
        down, mid = network(x, t, encoder_hidden_states=words, controlnet_cond=torch.ones(2, 3, 96, 160), return_dict=False)
        alone = denoiser(x, t, words, return_dict=False)[0]
        beside = denoiser(x, t, words, down_block_additional_residuals=down, mid_block_additional_residual=mid, return_dict=False)[0]
    assert torch.equal(alone, beside)
    assert torch.equal(network.down_blocks[1].resnets[0].conv1.weight, denoiser.down_blocks[1].resnets[0].conv1.weight)
    assert all(weight.requires_grad for weight in network.parameters())


def test_scenes_are_prepared_once_and_drawn_with_their_own_lines(work: Path) -> None:
    shapes, states = sketch.prepare(work)
    assert [shape.size for shape in shapes] == [(128, 128), (160, 96)] and (work / "lines.npz").exists()
    assert [len(shape.maps) for shape in shapes] == [9, 6]  # a quarter of the square ones is kept for measuring
    latents, index, maps = shapes[1].draw(4, np.random.default_rng(1))
    assert latents.shape == (4, 48, 6, 10) and maps.shape == (4, 3, 96, 160) and set(maps.unique().tolist()) <= {0.0, 1.0}
    assert states.shape[0] == 1 + int(max(shape.index.max() for shape in shapes)) + 1 >= int(index.max())
    picture = dataset.pixels(work, (160, 96))[0][2]
    bits = np.unpackbits(shapes[1].maps[2, 0], count=160 * 96).reshape(96, 160).astype(bool)
    assert np.array_equal(bits, lines.lines(picture, "edges"))


def test_lines_are_found_by_several_processes_and_once(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "SOME", 5)
    apart = [each.maps for each in lines.find_all(work, square=11, processes=2)]
    monkeypatch.setattr(lines, "_some", lambda *_: pytest.fail("these lines are known"))
    assert [len(each) for each in apart] == [11, 6]
    assert all(np.array_equal(each, again.maps) for each, again in zip(apart, lines.find_all(work, square=11), strict=True))
    one_by_one = [np.packbits(lines.lines(picture, "sketch")) for picture in dataset.pixels(work)[0][:11]]
    assert np.array_equal(apart[0][:, 1], np.stack(one_by_one))


def test_it_learns_and_stock_diffusers_read_it(work: Path) -> None:
    losses = sketch.train(work, seconds=600, steps=30, batch=4, lr=4e-3)
    assert sum(losses[-8:]) < 0.98 * sum(losses[:8])
    network: Any = ControlNetModel.from_pretrained(work / sketch.FOLDER)
    assert network.config.mid_block_type == "UNetMidBlock2D" and network.controlnet_mid_block.weight.abs().sum() > 0
    sides = {path.suffix: path.stat().st_size for path in (work / sketch.FOLDER).iterdir()}
    assert sides[".safetensors"] < 2.2 * sum(weight.numel() for weight in network.parameters()) + 50_000
