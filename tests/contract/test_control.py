"""Pictures that follow a map are what diffusers' own control pipelines draw, whoever else is drawn beside them."""

from __future__ import annotations

import copy
import inspect
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, StableDiffusionControlNetImg2ImgPipeline, StableDiffusionControlNetInpaintPipeline, StableDiffusionControlNetPipeline
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from PIL import Image

from engine import codec, edges
from engine.api import BadInput, Control, ImagineRequest, ModelCorrupt, Part, UnsupportedOperation
from engine.canvas import Canvas
from engine.families import Family
from tests.contract.engines import digest, ignore, imagine, local_engine, picture, pixels, tiny, write_manifest
from tests.contract.families import shelves
from tests.contract.families.networks import lively
from tests.contract.seeing import Guest, alone, far, load, party, seeing

TOLERANCE = 2e-5
FOLLOWED = picture(5, 64, 64)
START = codec.decode(picture(4, 64, 64))
MASK = Image.fromarray((np.arange(64)[None, :].repeat(64, 0) >= 32).astype(np.uint8) * 255)
PIPELINES = {
    "words": StableDiffusionControlNetPipeline,
    "picture": StableDiffusionControlNetImg2ImgPipeline,
    "mask": StableDiffusionControlNetInpaintPipeline,
}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model(one_thread: None) -> Any:
    return load(seeing())


def following(kind: str = "edges", scale: float = 0.9, *, is_map: bool = False, **changes: Any) -> ImagineRequest:
    control = Control(kind=kind, picture=digest(FOLLOWED), scale=scale, is_map=is_map)
    return imagine(control=control, **{"steps": 4, **changes})


def laid(request: ImagineRequest, start: str = "words") -> Canvas:
    assert request.control is not None
    followed = edges.control_map(request.control, codec.decode(FOLLOWED), request.width, request.height)
    return Canvas(start=None if start == "words" else START, mask=MASK if start == "mask" else None, control=followed)


def by_stock(folder: Path, request: ImagineRequest, start: str = "words") -> Any:
    assert request.control is not None
    network = ControlNetModel.from_pretrained(folder / "control" / request.control.kind)
    pipeline = PIPELINES[start].from_pretrained(folder, controlnet=network, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    canvas = laid(request, start)
    told: dict[str, Any] = {"image": canvas.control}
    if start != "words":
        told = {"image": [START] * request.count, "control_image": canvas.control, "strength": request.strength}
    if start == "mask":
        told["mask_image"] = MASK
    return pipeline(
        request.parts[0].text,
        negative_prompt=", ".join(request.unwanted) or None,
        controlnet_conditioning_scale=request.control.scale,
        num_inference_steps=request.steps,
        guidance_scale=request.guidance,
        num_images_per_prompt=request.count,
        generator=[torch.Generator().manual_seed(request.seed + k) for k in range(request.count)],
        output_type="np",
        **told,
    ).images


@pytest.mark.parametrize("guidance", [1.0, 4.0])
@pytest.mark.parametrize("start", ["words", "picture", "mask"])
def test_a_map_is_followed_as_the_stock_pipeline_follows_it(model: Any, start: str, guidance: float) -> None:
    request = following(is_map=True, guidance=guidance, strength=0.6, count=2)
    drawn = alone(model, request, laid(request, start))
    assert far(drawn, by_stock(seeing(), request, start)) < TOLERANCE
    plain = imagine(steps=4, guidance=guidance, strength=0.6, count=2)
    canvas = laid(request, start)
    assert far(drawn, alone(model, plain, Canvas(start=canvas.start, mask=canvas.mask))) > 0.005  # and it does show


def test_requests_that_follow_maps_share_forwards_with_each_other(model: Any) -> None:
    requests = [following(is_map=True, seed=1), following(is_map=True, seed=2, unwanted=("rain",)), following(is_map=True, scale=0.4, seed=3)]
    guests = [Guest(request, laid(request)) for request in requests]
    plain = Guest(imagine(steps=4, seed=9))
    hub = party(model, *guests, plain)
    # a step: the network once for the two of equal scale and once for the third, the denoiser once for the three and once for who follows nothing
    assert hub.counters.forwards == 4 * 4
    for guest in guests:
        assert far(guest.images, by_stock(seeing(), guest.request)) < TOLERANCE
    assert np.array_equal(plain.images, alone(load(tiny()), plain.request))


def test_each_kind_has_a_network_of_its_own_read_when_it_is_first_asked_for() -> None:
    model = load(seeing())
    before = model.bytes
    drawn = {}
    for kind in ("edges", "pose"):
        request = following(kind, is_map=True)
        drawn[kind] = alone(model, request, laid(request))
        assert far(drawn[kind], by_stock(seeing(), request)) < TOLERANCE
    assert far(drawn["edges"], drawn["pose"]) > 0.001
    assert model.bytes > before
    once = model.bytes
    alone(model, following("pose", is_map=True), laid(following("pose", is_map=True)))
    assert model.bytes == once


def test_two_who_ask_for_the_same_network_at_once_read_it_once() -> None:
    model = load(seeing())
    guests = [Guest(following(is_map=True, seed=k), laid(following(is_map=True))) for k in range(2)]
    hub = party(model, *guests)
    assert hub.counters.forwards == 4 * 2  # one network, or they could not have shared it
    assert not [guest.error for guest in guests if guest.error]


def test_weighted_words_follow_a_map_too(model: Any) -> None:
    plain = following(is_map=True, parts=(Part(text="cat"),))
    weighted = following(is_map=True, parts=(Part(text="cat", weight=0.5), Part(text="cat", weight=2.0), Part(text="dog", weight=0.0)))
    assert far(alone(model, weighted, laid(weighted)), alone(model, plain, laid(plain))) < TOLERANCE


# ------------------------------------------------------------------------------------------------ refusals


def test_what_cannot_be_followed_is_refused_by_name(model: Any) -> None:
    for request, start, what in (
        (following("depth", is_map=True), "words", "--control depth"),
        (following("sketch"), "words", "--control sketch"),
    ):
        with pytest.raises(UnsupportedOperation) as refused:
            alone(model, request, laid(request, start))
        assert refused.value.what == what


def test_a_folder_that_holds_something_else_is_one_clear_error(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(seeing(), folder)
    shutil.copy(folder / "unet" / "config.json", folder / "control" / "pose" / "config.json")
    write_manifest(folder)
    request = following("pose", is_map=True)
    with pytest.raises(ModelCorrupt, match=r"controls\.pose"):
        alone(load(folder), request, laid(request))


async def test_the_engine_finds_the_lines_and_follows_them() -> None:
    engine = local_engine([seeing()])
    inputs = {digest(FOLLOWED): FOLLOWED}
    try:
        followed = await engine.run(following(), inputs, ignore)
        plain = await engine.run(imagine(steps=4), {}, ignore)
        assert np.abs(pixels(followed.frames[0].png) - pixels(plain.frames[0].png)).max() > 3
        wanted = codec.to_pixels(by_stock(seeing(), following())[0]).astype(np.int16)
        assert np.abs(pixels(followed.frames[0].png) - wanted).max() <= 1
        with pytest.raises(BadInput, match="pose"):
            await engine.run(following("pose"), inputs, ignore)
        with pytest.raises(UnsupportedOperation, match="depth"):
            await engine.run(following("depth", is_map=True), inputs, ignore)
    finally:
        await engine.aclose()


# ------------------------------------------------------------------------------------------------ other families


def network_for(name: str, denoiser: Any) -> Any:
    """A ControlNet for a small model of this family, as diffusers makes one, with weights that matter."""
    whole = copy.deepcopy(denoiser)
    heads = {key: whole.config.get(key) for key in ("attention_head_dim", "num_attention_heads")}
    made: dict[str, Callable[[], Any]] = {
        "sdxl": lambda: ControlNetModel.from_unet(whole, conditioning_embedding_out_channels=(8, 16, 16, 16)),
        "sd3": lambda: diffusers.SD3ControlNetModel.from_transformer(whole, num_layers=1, num_extra_conditioning_channels=0),
        "flux": lambda: diffusers.FluxControlNetModel.from_transformer(whole, num_layers=1, num_single_layers=1, **heads),
        "qwen": lambda: diffusers.QwenImageControlNetModel.from_transformer(whole, num_layers=1, **heads),
        "sana": lambda: diffusers.SanaControlNetModel.from_config({**whole.config, "num_layers": 1}),
        "zimage": lambda: diffusers.ZImageControlNetModel(
            control_layers_places=[0], control_refiner_layers_places=[0], control_in_dim=4, dim=32, n_refiner_layers=1, n_heads=2, n_kv_heads=2
        ),
    }
    return lively(made[name](), seed=9)


@pytest.mark.filterwarnings("ignore:.*FluxPosEmbed.*:FutureWarning")
@pytest.mark.parametrize("name", ["sdxl", "sd3", "flux", *(pytest.param(name, marks=pytest.mark.full) for name in ("qwen", "sana", "zimage"))])
def test_every_family_follows_maps_as_its_stock_pipelines_do(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = shelves.model(name)
    network = network_for(name, getattr(base.pipeline("words"), base.family.denoiser)._module)
    network.save_pretrained(tmp_path)
    model = replace(base, entry=replace(base.entry, controls={"edges": tmp_path}), _parts={})
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", _steady(DiagonalGaussianDistribution.sample))
    starts = {"control": "words", "control from picture": "picture", "control from mask": "mask"}
    for pipeline, start in starts.items():
        if pipeline not in base.family.pipelines:
            continue
        requests = [following(is_map=True, model=name, seed=seed, steps=3, guidance=2.0, strength=0.7) for seed in (1, 2)]
        guests = [Guest(request, laid(request, start)) for request in requests]
        hub = party(model, *guests)
        assert hub.counters.rows >= 2 * hub.counters.forwards  # they shared every one
        for guest in guests:
            stock = _made_of(shelves.stock(name, base.family.pipelines["words"]), getattr(diffusers, base.family.pipelines[pipeline]), network)
            assert far(guest.images, told_of_a_map(stock, guest, start, base.family)) < TOLERANCE, start


def _made_of(words: Any, kind: Any, network: Any) -> Any:
    """Diffusers' pipeline for maps, of what diffusers loaded for words."""
    accepted = inspect.signature(kind.__init__).parameters
    given = {**words.config, **words.components, "controlnet": network}
    stock = kind(**{key: value for key, value in given.items() if key in accepted})
    stock.set_progress_bar_config(disable=True)
    return stock


def _steady(sample: Callable[..., Any]) -> Callable[..., Any]:
    """Without a seed, the likeliest: SD3's own pipeline draws its map from the process's randomness, so it never says the same twice."""
    return lambda self, generator=None: self.mode() if generator is None else sample(self, generator)


def told_of_a_map(stock: Any, guest: Guest, start: str, family: Family) -> Any:
    request, canvas = guest.request, guest.canvas
    accepted = inspect.signature(type(stock).__call__).parameters
    told: dict[str, Any] = {"control_image" if "control_image" in accepted else "image": canvas.control}
    if start != "words":
        told |= {"image": [START] * request.count, "strength": request.strength}
    if start == "mask":
        told["mask_image"] = MASK
    if "width" in accepted:
        told |= {"width": request.width, "height": request.height}
    stock.scheduler = copy.deepcopy(stock.scheduler)
    return stock(
        prompt=request.parts[0].text,
        **family.arguments(steps=request.steps, guidance=request.guidance),
        controlnet_conditioning_scale=0.9,
        num_images_per_prompt=request.count,
        generator=[torch.Generator().manual_seed(request.seed + k) for k in range(request.count)],
        output_type="np",
        **told,
    ).images


def test_a_seed_is_a_picture_where_the_stock_pipeline_draws_its_map_at_random(tmp_path: Path) -> None:
    base = shelves.model("sd3")
    network_for("sd3", base.pipeline("words").transformer._module).save_pretrained(tmp_path)
    model = replace(base, entry=replace(base.entry, controls={"edges": tmp_path}), _parts={})
    request = following(is_map=True, model="sd3", steps=2)
    assert np.array_equal(alone(model, request, laid(request)), alone(model, request, laid(request)))
