"""Training of the upscaler: a few steps of it on discs for artwork, by the shipped autoencoder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine import upscale
from engine.shelf import POCKET
from training import critic as critics
from training import measures, sprites, upscaler


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work directory with an autoencoder, artwork that is discs, and the few scenes of a rehearsal."""
    folder = tmp_path_factory.mktemp("work")
    shutil.copytree(POCKET / "vae", folder / "vae")
    sprites.load(folder, rehearsal=True)
    upscaler.paint(folder, count=6, size=3)
    return folder


@pytest.fixture(scope="module")
def trained(work: Path) -> tuple[Path, list[float]]:
    return work, upscaler.train(work, seconds=3600, steps=6, pairs=6, batch=2, edge=16)


def test_what_was_trained_is_what_the_engine_loads(trained: tuple[Path, list[float]]) -> None:
    work, losses = trained
    assert len(losses) == 6 and all(np.isfinite(losses))
    network = upscale.load(work / "upscaler", torch.device("cpu"))
    assert network is not None and sum(weight.numel() for weight in network.parameters()) < 600_000
    own = upscaler.Upscaler()
    own.load_state_dict({name: value.half().float() for name, value in torch.load(work / "upscaler.pt")["ema"].items()})
    image = torch.rand(1, 3, 24, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(network(image), own(image), atol=1e-5)
        assert not torch.allclose(network(image), upscaler.enlarged(image), atol=1e-4)  # it has learned something


def test_a_second_sitting_goes_on_where_the_first_ended(trained: tuple[Path, list[float]]) -> None:
    work, _ = trained
    first = torch.load(work / "upscaler.pt")
    upscaler.train(work, seconds=3600, steps=2, pairs=6, batch=2, edge=16)
    second = torch.load(work / "upscaler.pt")
    assert (first["step"], second["step"]) == (6, 8) and second["seconds"] > first["seconds"]
    figures = json.loads((work / "upscaler.json").read_text())
    assert figures["scenes"] == 3 and figures["network"] != figures["plain"] != figures["lanczos"]  # the critic was heard
    with Image.open(work / "upscaler.png") as seen:
        assert seen.size == (4 * 512, 3 * 512)


def test_small_and_large_crops_show_the_same_part_of_the_same_scene(work: Path) -> None:
    store = upscaler.larges(work)
    exact = [np.stack([np.stack([upscaler.to_bytes(torch.nn.functional.avg_pool2d(upscaler.to_unit(scene[None]), 4))[0] for scene in part])]) for part in store]
    small, large = upscaler.crops(store, exact, 8, np.random.default_rng(0), edge=16)
    assert small.shape == (8, 3, 16, 16) and large.shape == (8, 3, 64, 64)
    assert (torch.nn.functional.avg_pool2d(large, 4) - small).abs().max() < 1 / 100


def test_crops_cut_on_the_device_show_the_same_part_of_the_same_scene_and_some_are_mirrored(work: Path) -> None:
    torch.manual_seed(0)
    store = upscaler.larges(work)
    exact = [np.stack([upscaler.to_bytes(torch.nn.functional.avg_pool2d(upscaler.to_unit(part), 4))] * 2) for part in store]
    held = upscaler.Held(store, exact, torch.device("cpu"))
    small, large = held.crops(64, edge=16)
    assert small.shape == (64, 3, 16, 16) and large.shape == (64, 3, 64, 64)
    assert (torch.nn.functional.avg_pool2d(large, 4) - small).abs().max() < 1 / 100
    whole, _ = held.crops(64, edge=128)  # nothing to choose but the scene and the side it is seen from
    seen = {bytes(upscaler.to_bytes(each[None])) for each in whole}
    known = {bytes(scene[:, ::way].copy()) for part in exact for scene in part[0] for way in (1, -1)}
    assert len(seen & known) > 6


def test_a_network_that_the_critic_spoiled_gives_way_to_the_one_of_before(work: Path, tmp_path: Path) -> None:
    truth = np.array(upscaler.larges(work)[0])
    small = upscaler.to_bytes(torch.nn.functional.avg_pool2d(upscaler.to_unit(truth), 4))
    good, bad = upscaler.Upscaler(), upscaler.Upscaler()
    torch.nn.init.constant_(bad.tail.bias, 0.3)
    upscaler.save(tmp_path / upscaler.PLAIN, good)
    upscaler.save(tmp_path / "upscaler", bad)
    figures = upscaler.finish(tmp_path, bad, truth, small)
    assert figures["network"] == figures["plain"] and figures["spoiled"]["psnr_db"] < figures["plain"]["psnr_db"] - upscaler.LOST
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "upscaler" / name).read_bytes() == (tmp_path / upscaler.PLAIN / name).read_bytes()


def test_several_processes_paint_the_same_pool_as_one(work: Path, tmp_path: Path) -> None:
    (tmp_path / "sprites.npz").symlink_to(work / "sprites.npz")
    command = [sys.executable, "-c", f"from pathlib import Path; from training.upscaler import paint; paint(Path({str(tmp_path)!r}), 4, 2, processes=2)"]
    subprocess.run(command, check=True, timeout=120)
    parts = upscaler.larges(tmp_path)
    assert [len(part) for part in parts] == [2, 2]
    alone = tmp_path / "alone"
    (alone / "upscaler_pairs").mkdir(parents=True)
    (alone / "sprites.npz").symlink_to(work / "sprites.npz")
    upscaler.paint_part(alone, 1, 2)
    assert (np.load(alone / "upscaler_pairs" / "001.npy") == parts[1]).all()


def test_rebuilds_are_softer_than_the_scene_and_latents_that_are_further_off_make_them_worse(work: Path) -> None:
    from diffusers import AutoencoderTiny

    vae = AutoencoderTiny.from_pretrained(work / "vae", low_cpu_mem_usage=False)
    large = upscaler.larges(work)[0]
    truth = upscaler.to_bytes(torch.nn.functional.avg_pool2d(upscaler.to_unit(large), 4)).astype(int)
    errors = [np.abs(upscaler.rebuild(vae, large, off, np.random.default_rng(0)) - truth).mean() for off in (0.0, 3.0)]
    assert 0 < errors[0] < errors[1]


def test_the_critic_learns_to_tell_true_pictures_from_soft_ones(work: Path) -> None:
    torch.manual_seed(0)
    high = upscaler.to_unit(upscaler.larges(work)[0][:, 192:320, 192:320])
    base = upscaler.enlarged(torch.nn.functional.avg_pool2d(high, 4))
    critic = critics.Critic(8)
    judge = torch.optim.Adam(critic.parameters(), lr=3e-3)
    losses = [critics.learn(critic, judge, base, high, base) for _ in range(30)]
    assert losses[-1] < 0.9 * losses[0]


def test_the_critic_is_heard_in_proportion_to_the_other_losses() -> None:
    torch.manual_seed(0)
    model, image = upscaler.Upscaler(8, 1), torch.rand(1, 3, 8, 8)
    made = model(image)
    first, second = (made - 0.3).abs().mean(), 1000 * (made - 0.7).square().mean()
    weight = critics.balance(model.tail.weight, (first, second), share=0.5)
    one, other = (torch.autograd.grad(loss, model.tail.weight, retain_graph=True)[0].norm() for loss in (first, weight * second))
    assert other == pytest.approx(0.5 * one.item(), rel=1e-3)


def test_a_sharper_picture_measures_sharper_and_the_truth_is_as_sharp_as_itself(work: Path) -> None:
    truth = np.array(upscaler.larges(work)[0])
    soft = np.stack([upscaler.lanczos(np.asarray(Image.fromarray(scene).reduce(4))) for scene in truth])
    assert measures.compare(truth, truth)["sharpness"] == 1.0 and measures.compare(truth, truth)["gradient_error"] == 0.0
    figures = measures.compare(soft, truth)
    assert figures["sharpness"] < 0.9 and figures["gradient_error"] > 0.1 and 10 < figures["psnr_db"] < 60
