"""What the image-text model is asked: which pictures fit the words, in which direction they would fit better, and for pictures of its own."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from engine import codec, sight, synthesis
from engine.api import ImagineRequest, ModelCorrupt, Part, UnsupportedOperation
from engine.canvas import Canvas
from engine.cutouts import Form, resampling
from tests.contract.engines import digest, ignore, imagine, local_engine, picture, pixels, tiny, write_manifest
from tests.contract.seeing import EDGE, Guest, alone, build_sight, far, load, party, seeing

CLIP_FORM = Form(edge=EDGE)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model(one_thread: None) -> Any:
    return load(seeing())


@pytest.fixture(scope="module")
def seer(model: Any) -> sight.Sight:
    return sight.of(model, "--clip")


def tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image, np.float32)).permute(2, 0, 1) / 255


def scores(seer: sight.Sight, request: ImagineRequest, images: Any) -> list[float]:
    return seer.score(torch.from_numpy(images).permute(0, 3, 1, 2), seer.aim(request))


# ------------------------------------------------------------------------------------------------ looking and reading


@pytest.mark.parametrize("size", [(90, 64), (64, 101), (32, 32), (70, 70)])
def test_a_picture_is_framed_as_the_models_own_processor_frames_it(size: tuple[int, int]) -> None:
    image = codec.decode(picture(1, *size))
    ours = CLIP_FORM.whole(tensor(image))
    theirs = CLIPImageProcessorPil(size={"shortest_edge": EDGE}, crop_size=EDGE)(image, return_tensors="pt").pixel_values[0]
    assert (ours - theirs).abs().max() < 0.05  # theirs is rounded to 8 bits on the way
    half = (0.5, 0.5, 0.5)
    pressed = Form(edge=EDGE, squash=True, mean=half, deviation=half).whole(tensor(image))
    theirs = SiglipImageProcessorPil(size={"height": EDGE, "width": EDGE})(image, return_tensors="pt").pixel_values[0]
    assert (pressed - theirs).abs().max() < 0.05


def test_resampling_to_the_same_size_changes_nothing_and_may_mirror() -> None:
    assert torch.allclose(resampling(7, 0, 7, 7), torch.eye(7), atol=1e-6)
    assert torch.allclose(resampling(7, 7, 0, 7), torch.eye(7).flip(0), atol=1e-6)
    assert torch.allclose(resampling(50, 3.3, 40.1, 8).sum(dim=1), torch.ones(8))


def test_cutouts_begin_with_the_whole_and_repeat_under_the_same_seed() -> None:
    image = tensor(codec.decode(picture(2, 80, 64)))
    one, again, other = (CLIP_FORM.cutouts(image, 4, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again) and torch.equal(one[0], CLIP_FORM.whole(image))
    assert not torch.allclose(one[1], other[1], atol=0.05) and not torch.allclose(one[1], one[2], atol=0.05)


def test_every_pixel_has_a_say_in_the_cutouts() -> None:
    image = tensor(codec.decode(picture(2, 64, 64))).requires_grad_()
    with torch.enable_grad():  # a hub that ran on this thread before has left them off
        CLIP_FORM.cutouts(image, 3, torch.Generator().manual_seed(0)).square().sum().backward()
    assert image.grad is not None and (image.grad.abs().sum(dim=0) > 0).all()


def test_words_and_pictures_are_what_transformers_makes_of_them(seer: sight.Sight) -> None:
    network, tokenizer = CLIPModel.from_pretrained(seeing() / "sight").eval(), CLIPTokenizer.from_pretrained(seeing() / "sight")
    tokens = tokenizer(["a fox", "snow on a roof"], padding=True, return_tensors="pt")
    with torch.no_grad():
        words = torch.nn.functional.normalize(network.get_text_features(**tokens).pooler_output)
        image = codec.decode(picture(3, 64, 48))
        values = CLIPImageProcessorPil(size={"shortest_edge": EDGE}, crop_size=EDGE)(image, return_tensors="pt").pixel_values
        seen = torch.nn.functional.normalize(network.get_image_features(values).pooler_output)
    assert torch.allclose(seer.words(["a fox", "snow on a roof"]), words, atol=1e-5)
    assert float(seer.pictures(tensor(image)[None])[0] @ seen[0]) > 0.9999


def test_an_image_text_model_of_the_other_kind_will_do_and_one_of_neither_will_not(tmp_path: Path) -> None:
    build_sight(tmp_path / "siglip", seeing() / "tokenizer", kind="siglip")
    seer = sight.Sight.load(tmp_path / "siglip", torch.device("cpu"))
    assert seer.form.squash and seer.form.mean == (0.5, 0.5, 0.5)
    assert seer.words(["a fox"]).norm() == pytest.approx(1, abs=1e-5)
    assert len(seer.score(torch.rand(2, 3, 40, 50), seer.words(["a fox"])[0])) == 2
    folder = tmp_path / "tiny"
    shutil.copytree(seeing(), folder)
    shutil.copy(folder / "text_encoder" / "config.json", folder / "sight" / "config.json")
    write_manifest(folder)
    with pytest.raises(ModelCorrupt, match="sight"):
        sight.of(load(folder), "--best")


def test_parts_count_by_their_shares_and_unwanted_words_against(seer: sight.Sight) -> None:
    fox, owl, rain, fog = seer.words(["fox", "owl", "rain", "fog"])
    parts = (Part(text="fox", weight=3.0), Part(text="owl", weight=1.0))
    aim = seer.aim(imagine(parts=parts, unwanted=("rain", "fog")))
    assert torch.allclose(aim, 0.75 * fox + 0.25 * owl - 0.25 * rain - 0.25 * fog, atol=1e-6)
    assert torch.allclose(seer.aim(imagine("fox")), fox)


# ------------------------------------------------------------------------------------------------ the best of many


def test_the_best_are_kept_in_order_and_each_is_the_picture_of_its_seed(model: Any, seer: sight.Sight) -> None:
    request = imagine(count=2, best_of=5, steps=3)
    guest = Guest(request)
    party(model, guest)
    everything = alone(model, imagine(count=5, steps=3))
    fits = scores(seer, request, everything)
    best = sorted(range(5), key=lambda k: -fits[k])[:2]
    assert list(guest.drawn.seeds) == [request.seed + k for k in best]
    assert np.array_equal(guest.images, everything[best])
    assert best != [0, 1]  # or this test would show nothing


# ------------------------------------------------------------------------------------------------ guidance


@pytest.mark.parametrize("scheduler", [None, "EulerDiscreteScheduler", "DPMSolverMultistepScheduler", "UniPCMultistepScheduler"])
def test_a_push_has_a_length_in_proportion_to_the_step_and_the_last_step_has_none(model: Any, scheduler: str | None) -> None:
    request = imagine(steps=4, clip=0.5, scheduler=scheduler)
    pipeline, plain = model.pipeline("words", scheduler), model.scheduler(scheduler)
    sight.guide(model, request, pipeline)
    pipeline.scheduler.set_timesteps(4)
    plain.set_timesteps(4)
    seeded = torch.Generator().manual_seed(0)
    sample = torch.randn(2, 4, 8, 8, generator=seeded) * pipeline.scheduler.init_noise_sigma
    for timestep in plain.timesteps:
        noise = torch.randn(2, 4, 8, 8, generator=seeded)
        wanted = plain.step(noise, timestep, sample, return_dict=False)[0]
        found = pipeline.scheduler.step(noise, timestep, sample, return_dict=False)[0]
        for k in range(2):
            step, push = (wanted[k] - sample[k]).square().mean().sqrt(), (found[k] - wanted[k]).square().mean().sqrt()
            expected = 0.0 if timestep == plain.timesteps[-1] else float(0.5 * sight.PUSH * step)
            assert float(push) == pytest.approx(expected, rel=1e-3)
        sample = wanted


def test_guided_pictures_fit_the_words_better_and_the_more_the_harder_they_are_pushed(model: Any, seer: sight.Sight) -> None:
    drawn = {clip: alone(model, imagine("a fox", count=4, steps=8, clip=clip)) for clip in (0.0, 0.3, 1.0)}
    fits = {clip: sum(scores(seer, imagine("a fox"), images)) / 4 for clip, images in drawn.items()}
    assert fits[0.0] < fits[0.3] < fits[1.0]
    assert far(drawn[0.3], drawn[0.0]) < far(drawn[1.0], drawn[0.0])


def test_a_guided_picture_is_the_same_alone_in_a_grid_and_in_company(model: Any) -> None:
    request = imagine(steps=5, clip=0.8, seed=3, count=2)
    guest, other = Guest(request, joins=1), Guest(imagine("an owl", steps=5, clip=0.4, seed=9))
    plain = Guest(imagine(steps=6, seed=5, count=2))
    party(model, guest, other, plain)
    assert far(guest.images, alone(model, request)) < 1e-4
    assert far(guest.images[1:], alone(model, imagine(steps=5, clip=0.8, seed=4))) < 1e-4
    assert far(plain.images, alone(model, plain.request)) < 1e-4


def test_gradients_stay_where_they_are_taken(model: Any) -> None:
    modes = []

    class Asking(Guest):
        def progress(self, step: int, of: int) -> None:
            modes.append(torch.is_grad_enabled())

    party(model, Asking(imagine(steps=4, clip=0.5)), Asking(imagine(steps=4)))
    assert modes and not any(modes)


def test_guidance_goes_with_a_picture_to_start_from_and_other_shapes(model: Any) -> None:
    start = codec.decode(picture(4, 96, 64))
    request = imagine(steps=6, clip=0.8, width=96, height=64, source="0" * 64, strength=0.5)
    guided = alone(model, request, Canvas(start=start))
    assert guided.shape == (1, 64, 96, 3)
    assert far(guided, alone(model, replace(request, clip=0.0), Canvas(start=start))) > 1e-3


# ------------------------------------------------------------------------------------------------ pictures of its own


def test_synthesis_climbs_towards_the_words_from_its_seed(model: Any, seer: sight.Sight) -> None:
    request = imagine("a fox", synthesis=True, steps=20, count=2)
    drawn, begun = alone(model, request), alone(model, replace(request, steps=1))
    fits, before = scores(seer, request, drawn), scores(seer, request, begun)
    assert all(after > early + 0.05 for after, early in zip(fits, before, strict=True))
    assert np.isfinite(drawn).all() and 0.02 < drawn.std() < 0.4
    assert far(drawn[:1], drawn[1:]) > 0.05
    assert far(drawn[1:], alone(model, replace(request, seed=request.seed + 1, count=1))) < 1e-4  # each by itself


def test_others_step_while_a_synthesis_goes_on_and_it_comes_out_the_same(model: Any) -> None:
    request = imagine("a fox", synthesis=True, steps=25)
    reached = []

    class Passing(Guest):
        def progress(self, step: int, of: int) -> None:
            reached.append(climbing.steps)

    climbing, passing = Guest(request), Passing(imagine(steps=4))
    party(model, climbing, passing)
    assert climbing.steps == 25 and len(reached) == 4 and reached[-1] < 25
    assert np.array_equal(climbing.images, alone(model, request))
    assert len(climbing.previews) == 1 and climbing.previews[0].shape == (64, 64, 3)


def test_synthesis_begins_with_the_source_when_there_is_one(model: Any) -> None:
    start = codec.decode(picture(4, 64, 64))
    request = imagine("a fox", synthesis=True, steps=300, stop=1 / 300, source="0" * 64)
    vae = model.pipeline("words").vae._module
    code = vae.encode(tensor(start)[None] * 2 - 1).latent_dist.mode()
    known = (vae.decode(code).sample / 2 + 0.5).clamp(0, 1)[0].permute(1, 2, 0).numpy()
    near, elsewhere = alone(model, request, Canvas(start=start)), alone(model, replace(request, source=None))
    assert np.abs(near[0] - known).mean() < np.abs(elsewhere[0] - known).mean() / 2


def test_a_large_picture_is_seen_whole_and_in_windows(model: Any) -> None:
    edge = 8 * (sight.CELLS + 4)
    drawn = alone(model, imagine(synthesis=True, steps=2, width=edge, height=64))
    assert drawn.shape == (1, 64, edge, 3)
    seeded = torch.Generator().manual_seed(0)
    assert synthesis._window(torch.zeros(1, 4, 8, sight.CELLS + 4), seeded).shape == (1, 4, 8, sight.CELLS)
    assert sight.shrunk(torch.zeros(1, 4, 8, 2 * sight.CELLS)).shape == (1, 4, 4, sight.CELLS)


# ------------------------------------------------------------------------------------------------ through the engine


async def test_the_engine_chooses_steers_and_makes_pictures() -> None:
    engine = local_engine([seeing()])
    try:
        chosen = await engine.run(imagine(count=1, best_of=3, steps=3), {}, ignore)
        everything = await engine.run(imagine(count=3, steps=3), {}, ignore)
        seeds = [frame.seed for frame in everything.frames]
        same = everything.frames[seeds.index(chosen.frames[0].seed)]
        assert len(chosen.frames) == 1 and np.abs(pixels(chosen.frames[0].png) - pixels(same.png)).max() <= 1
        steered = await engine.run(imagine(clip=1.0), {}, ignore)
        plain = await engine.run(imagine(), {}, ignore)
        assert np.abs(pixels(steered.frames[0].png) - pixels(plain.frames[0].png)).max() > 3
        source = picture(4, 64, 64)
        made = await engine.run(imagine(synthesis=True, video=True, count=2, source=digest(source)), {digest(source): source}, ignore)
        assert [frame.seed for frame in made.frames] == [7, 8] and made.clip
    finally:
        await engine.aclose()


@pytest.mark.parametrize(
    ("changes", "what"), [({"best_of": 4}, "--best"), ({"clip": 0.5}, "--clip"), ({"synthesis": True}, "--synthesis"), ({"clip": 0.5, "steps": 1}, "--clip")]
)
def test_without_an_image_text_model_it_is_refused_by_name(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(UnsupportedOperation) as refused:
        alone(load(tiny()), imagine(**changes))
    assert refused.value.what.startswith(what)


def test_a_single_step_cannot_be_steered(model: Any) -> None:
    with pytest.raises(UnsupportedOperation, match="single step"):
        alone(model, imagine(steps=1, clip=0.5))
