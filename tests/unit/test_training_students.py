"""The students of the pocket model's denoiser: they start as their teacher, come nearer to its pictures, and are files that others can read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from torch import nn

from engine import lowrank
from tests.unit import apprentices
from training import students
from training.discriminator import Discriminator, critic_loss
from training.students import LANDMARKS, TEACHER_STEPS, Critic, LowRank, Pool, drawn, sampler, shape_of, taught, trajectories

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return apprentices.workplace(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def pool(work: Path) -> Pool:
    return trajectories(work, count=16, batch=4)


def loaded(work: Path) -> Any:
    return UNet2DConditionModel.from_pretrained(work / "unet").eval().requires_grad_(False)


def some(count: int = 3, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Noise, words and the empty caption's states."""
    dice = torch.Generator().manual_seed(seed)
    return torch.randn(count, 48, 8, 8, generator=dice), torch.randn(count, 5, apprentices.WORDS, generator=dice), torch.zeros(1, 5, apprentices.WORDS)


# ------------------------------------------------------------------------------------------------ the teacher's ways


def test_the_teachers_landmarks_are_at_the_timesteps_of_the_four_steps() -> None:
    assert sampler(TEACHER_STEPS).timesteps[:: TEACHER_STEPS // LANDMARKS].tolist() == sampler(LANDMARKS).timesteps.tolist() == [999, 749, 499, 249]


def test_the_teachers_way_begins_at_the_noise_and_ends_where_a_guided_stock_pipeline_does(work: Path) -> None:
    noise, words, blank = some()
    network = loaded(work)
    way = taught(network, noise, words, blank, guidance=2.0)
    pipeline: Any = StableDiffusionPipeline(
        vae=None, text_encoder=None, tokenizer=None, unet=network, scheduler=sampler(1), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    pipeline.vae_scale_factor = 16
    drawn_by_stock = pipeline(
        prompt_embeds=words, negative_prompt_embeds=blank.expand_as(words), latents=noise, height=128, width=128, num_inference_steps=TEACHER_STEPS,
        guidance_scale=2.0, output_type="latent",
    ).images  # fmt: skip
    assert way.shape == (3, LANDMARKS + 1, 48, 8, 8) and torch.equal(way[:, 0], noise)
    assert torch.allclose(way[:, -1], drawn_by_stock, atol=1e-4)


def test_one_way_in_four_is_of_another_shape() -> None:
    sizes = [(128, 128), (160, 96), (96, 160)]
    assert [shape_of(k, sizes) for k in (0, 1, 2, 3, 7, 11)] == [(8, 8), (8, 8), (8, 8), (6, 10), (10, 6), (6, 10)]
    assert shape_of(3, sizes[:1]) == (8, 8)


def test_a_pool_is_kept_added_to_and_thrown_away_with_its_teacher(work: Path, pool: Pool) -> None:
    assert len(pool) == 16 and {states.shape[-2:] for states, _ in pool.groups} == {(8, 8), (6, 10)}
    again = trajectories(work, count=20, batch=4)
    assert len(again) == 20 and torch.equal(again.groups[0][0][:12], pool.groups[0][0])
    states, words = again.draw(4)
    assert states.shape[:2] == (4, LANDMARKS + 1) and words.shape == (4, students.LENGTH, apprentices.WORDS)
    before = again.groups[0][0][:4]
    apprentices.unet(seed=5).save_pretrained(work / "unet")
    try:
        assert not torch.equal(trajectories(work, count=4, batch=4).groups[0][0], before)
    finally:
        apprentices.unet().save_pretrained(work / "unet")


# ------------------------------------------------------------------------------------------------ low-rank changes


def test_a_student_starts_as_its_teacher_without_guidance(work: Path) -> None:
    noise, words, blank = some()
    network = loaded(work)
    unguided, begun = taught(network, noise, words, blank, guidance=1.0), drawn(network, LowRank(network)(), noise, words, TEACHER_STEPS)
    assert torch.allclose(begun[-1], unguided[:, -1], atol=1e-4)


def test_a_student_is_no_larger_than_its_budget_and_leaves_attention_alone(work: Path, tmp_path: Path) -> None:
    network = loaded(work)
    low = LowRank(network, budget=200_000)
    low.save(tmp_path / "one.safetensors")
    assert 150_000 < (tmp_path / "one.safetensors").stat().st_size < 240_000
    assert {"conv_in", "conv_out", "mid_block.resnets.0.conv1", "mid_block.resnets.0.time_emb_proj"} < set(low.layers)
    assert not [name for name in low.layers if ".attn" in name]


def test_the_engine_reads_what_was_saved_as_the_same_change(work: Path, tmp_path: Path) -> None:
    network = loaded(work)
    low = LowRank(network)
    for up in low.up:
        nn.init.normal_(up, std=0.1)
    low.save(tmp_path / "student.safetensors")
    found = lowrank.read(tmp_path / "student.safetensors", StableDiffusionPipeline, {"unet": network})["unet"]
    names, weights = {layer: name for name, layer in network.named_modules()}, low()
    assert len(found) == len(low.layers)
    for layer, pair in found.items():
        change = pair.scale * (pair.up.flatten(1) @ pair.down.flatten(1)).view_as(layer.weight)  # type: ignore[operator,arg-type]
        assert torch.allclose(layer.weight + change, weights[f"{names[layer]}.weight"], atol=2e-2)  # type: ignore[operator]


# ------------------------------------------------------------------------------------------------ learning


@pytest.mark.parametrize(("name", "by"), [("quick", 0.9), ("draft", 0.97)])
def test_a_student_comes_nearer_to_its_teachers_pictures(work: Path, pool: Pool, name: str, by: float) -> None:
    few = Pool(pool.captions, pool.words, [(states[:4], index[:4]) for states, index in pool.groups[:1]])
    losses = students.train(work, name, seconds=600, steps=20, pool=few, batch=4)
    assert sum(losses[-4:]) < by * sum(losses[:4])
    assert (work / "loras" / f"{name}.safetensors").exists() and (work / f"{name}.jsonl").read_text().count("\n") == 1


def test_the_critic_learns_to_tell_blurs_from_pictures_and_only_its_heads_change(work: Path) -> None:
    torch.manual_seed(0)
    critic = Critic(loaded(work), lr=1e-2)
    eyes = {name: weight.clone() for name, weight in critic.judge.eyes.state_dict().items()}
    _, words, _ = some(8)
    pictures = 1 + torch.randn(8, 48, 8, 8)
    losses = [critic.learn(pictures, 0.1 * pictures, words) for _ in range(30)]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    assert all(torch.equal(weight, eyes[name]) for name, weight in critic.judge.eyes.state_dict().items())


def test_the_critics_opinion_reaches_the_picture_and_not_the_denoiser(work: Path) -> None:
    network = loaded(work)
    critic, (picture, words, _) = Critic(network), some()
    picture.requires_grad_(True)
    torch.autograd.backward(critic.opinion(picture, words))
    assert picture.grad is not None and bool(picture.grad.abs().sum() > 0)
    assert all(weight.grad is None for weight in network.parameters())


def test_the_critic_looks_at_every_size_there_is_and_at_the_words(work: Path) -> None:
    judge, (picture, words, _) = Discriminator(loaded(work)), some()
    t = torch.full((3,), 300)
    scores = judge(picture, t, words)
    assert scores.shape == (3, 8 * 8 + 4 * 4 + 4 * 4)
    assert judge(torch.randn(3, 48, 6, 10), t, words).shape == (3, 6 * 10 + 2 * 3 * 5)
    assert not torch.allclose(scores, judge(picture, t, words.flip(0)))
    assert critic_loss(torch.full((4,), 2.0), torch.full((4,), -2.0)) == 0
