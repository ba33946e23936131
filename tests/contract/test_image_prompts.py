"""Image prompts and references of style are what diffusers' own adapters make of them, and touch nobody who has none."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline

from engine import codec
from engine.api import BadInput, ImagePrompt, ImagineRequest, ModelMissing, Part, UnsupportedOperation
from engine.canvas import Canvas
from tests.contract.engines import digest, ignore, imagine, local_engine, picture, pixels, tiny, write_manifest
from tests.contract.families import shelves
from tests.contract.seeing import Guest, alone, build_adapter, far, load, party, seeing

TOLERANCE = 1e-5
PICTURES = {name: picture(seed, 80, 64) for seed, name in enumerate("abc")}
NAMES = {digest(data): name for name, data in PICTURES.items()}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model(one_thread: None) -> Any:
    return load(seeing())


def prompt(name: str, weight: float = 1.0, *, style: bool = False) -> ImagePrompt:
    return ImagePrompt(picture=digest(PICTURES[name]), weight=weight, style=style)


def seen(request: ImagineRequest, start: Any = None) -> Canvas:
    return Canvas(start=start, prompts=tuple(codec.decode(PICTURES[NAMES[each.picture]]) for each in request.image_prompts))


def with_prompts(*prompts: ImagePrompt, **changes: Any) -> ImagineRequest:
    return imagine(image_prompts=prompts, **{"steps": 4, **changes})


def stock(kind: Any, folder: Path, scales: Sequence[Any], adapter: Path | None = None) -> Any:
    """Diffusers' pipeline with as many adapters as there are scales, all of the same weights."""
    pipeline = kind.from_pretrained(folder, safety_checker=None) if kind is not StableDiffusionXLPipeline else kind.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.load_ip_adapter(str(adapter or folder / "adapter"), subfolder="", weight_name=["ip-adapter.safetensors"] * len(scales))
    pipeline.set_ip_adapter_scale(list(scales))
    return pipeline


def by_stock(pipeline: Any, request: ImagineRequest, **further: Any) -> Any:
    pipeline.scheduler = copy.deepcopy(pipeline.scheduler)
    return pipeline(
        request.parts[0].text,
        num_inference_steps=request.steps,
        guidance_scale=request.guidance,
        num_images_per_prompt=request.count,
        generator=[torch.Generator().manual_seed(request.seed + k) for k in range(request.count)],
        output_type="np",
        ip_adapter_image=[codec.decode(PICTURES[NAMES[each.picture]]) for each in request.image_prompts],
        **further,
    ).images


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_an_image_prompt_is_what_a_stock_pipeline_with_that_adapter_draws(model: Any, guidance: float) -> None:
    request = with_prompts(prompt("a", 0.7), guidance=guidance, count=2)
    wanted = by_stock(stock(StableDiffusionPipeline, seeing(), [0.7]), request)
    assert far(alone(model, request, seen(request)), wanted) < TOLERANCE
    assert far(alone(model, imagine(steps=4, guidance=guidance, count=2)), wanted) > 0.01  # and it does show


def test_several_image_prompts_pull_as_hard_as_one_each_by_its_weight(model: Any) -> None:
    request = with_prompts(prompt("a", 0.5), prompt("b", 1.5), prompt("c", 0.9, style=True))
    only_style = {"down": 0.0, "mid": 0.0, "up": {"block_1": 0.9}}
    wanted = by_stock(stock(StableDiffusionPipeline, seeing(), [0.25, 0.75, only_style]), request)
    assert far(alone(model, request, seen(request)), wanted) < TOLERANCE


def test_the_same_picture_as_style_is_not_what_it_is_as_content(model: Any) -> None:
    content, style = with_prompts(prompt("a")), with_prompts(prompt("a", style=True))
    assert far(alone(model, content, seen(content)), alone(model, style, seen(style))) > 0.001


def test_an_image_prompt_goes_with_a_picture_to_start_from(model: Any) -> None:
    start = codec.decode(picture(9, 64, 64))
    request = with_prompts(prompt("b", 0.8), source="0" * 64, strength=0.5)
    wanted = by_stock(stock(StableDiffusionImg2ImgPipeline, seeing(), [0.8]), request, image=start, strength=0.5)
    assert far(alone(model, request, seen(request, start)), wanted) < TOLERANCE


def test_requests_with_different_pictures_and_weights_share_forwards_and_each_equals_stock() -> None:
    model = load(seeing())
    requests = [with_prompts(prompt(name, weight), seed=k) for k, (name, weight) in enumerate([("a", 0.4), ("b", 0.4), ("c", 0.4)])]
    guests = [Guest(request, seen(request)) for request in requests]
    plain = Guest(imagine(steps=4, seed=9))
    hub = party(model, *guests, plain)
    assert hub.counters.forwards == 4 + 4  # one a step for the three together, one for who has no picture
    for guest in guests:
        assert far(guest.images, by_stock(stock(StableDiffusionPipeline, seeing(), [0.4]), guest.request)) < TOLERANCE
    assert np.array_equal(plain.images, alone(load(tiny()), plain.request))


def test_rows_in_one_forward_have_scales_of_their_own(model: Any) -> None:
    """Not by luck of an equal scale: the same forward, rows that pull differently."""
    faint, strong = (with_prompts(prompt("a", weight)) for weight in (0.2, 2.0))
    unet = model.pipeline("words").unet._module
    calls = []
    hook = unet.register_forward_pre_hook(lambda module, args, kwargs: calls.append(kwargs["added_cond_kwargs"]["image_embeds"]), with_kwargs=True)
    apart = [alone(model, request, seen(request)) for request in (faint, strong)]
    hook.remove()
    one, other = calls[0], calls[4]
    joint = {"image_embeds": [torch.cat(pair) for pair in zip(one, other, strict=True)]}
    torch.manual_seed(0)
    sample, words = torch.randn(4, 4, 8, 8), torch.randn(4, 24, 32)
    together = unet(sample, torch.tensor(400), words, added_cond_kwargs=joint).sample
    for half, embeds in zip((slice(0, 2), slice(2, 4)), (one, other), strict=True):
        single = unet(sample[half], torch.tensor(400), words[half], added_cond_kwargs={"image_embeds": embeds}).sample
        assert torch.allclose(together[half], single, atol=1e-5)
    assert far(*apart) > 0.01


def test_a_model_with_an_adapter_draws_plain_requests_bit_for_bit_as_before() -> None:
    model, request = load(seeing()), imagine(steps=4, count=2)
    before = alone(model, request)
    prompted = with_prompts(prompt("a"))
    alone(model, prompted, seen(prompted))
    assert np.array_equal(alone(model, request), before)
    nothing = with_prompts(prompt("a", 0.0), count=2)
    assert np.array_equal(alone(model, nothing, seen(nothing)), before)


def test_an_adapter_of_the_finer_kind_reads_every_patch(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(tiny(), folder)
    unet = load(tiny()).pipeline("words").unet._module
    torch.manual_seed(3)
    build_adapter(folder / "adapter", unet, fine=True)
    with (folder / "card.toml").open("a") as card:
        card.write('image_adapter = "adapter/ip-adapter.safetensors"\nimage_encoder = "adapter/image_encoder"\n')
    write_manifest(folder)
    request = with_prompts(prompt("a", 0.6), prompt("b", 0.6))
    assert far(alone(load(folder), request, seen(request)), by_stock(stock(StableDiffusionPipeline, folder, [0.3, 0.3]), request)) < TOLERANCE


def test_a_picture_is_looked_at_once_however_often_it_is_asked_for(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    request = with_prompts(prompt("c"))
    first = alone(model, request, seen(request))
    monkeypatch.setattr(type(model._parts["image_adapter"]._encoder), "forward", None)  # whoever looks again fails
    assert np.array_equal(alone(model, request, seen(request)), first)


# ------------------------------------------------------------------------------------------------ SDXL


@pytest.fixture(scope="module")
def xl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("xl") / "sdxl"
    shutil.copytree(shelves.folder("sdxl"), folder)
    torch.manual_seed(4)
    build_adapter(folder / "adapter", shelves.model("sdxl").pipeline("words").unet._module)
    with (folder / "card.toml").open("a") as card:
        card.write('image_adapter = "adapter"\n')
    write_manifest(folder)
    return folder


def test_sdxl_takes_style_where_it_draws_style(xl: Path) -> None:
    request = with_prompts(prompt("a", 0.8, style=True), prompt("b", 0.5), model="sdxl")
    unet = shelves.model("sdxl").pipeline("words").unet._module
    assert any(name.startswith("up_blocks.0.attentions.1.") for name in unet.attn_processors)
    only_style = {"down": 0.0, "mid": 0.0, "up": {"block_0": [0.0, 0.8, *[0.0] * (unet.config.layers_per_block - 1)]}}
    wanted = by_stock(stock(StableDiffusionXLPipeline, xl, [only_style, 0.5]), request, width=64, height=64)
    assert far(alone(load(xl), request, seen(request)), wanted) < TOLERANCE


def test_weighted_words_and_an_image_prompt_go_together_where_words_have_company_of_their_own(xl: Path) -> None:
    """SDXL's denoiser is told of pictures in the same mapping as of words: a blend of words must not lose them."""
    model = load(xl)
    parts = (Part(text="cat", weight=2.0), Part(text="dog"))
    prompted = with_prompts(prompt("b", 0.9), parts=parts, model="sdxl", guidance=1.0)
    assert far(alone(model, prompted, seen(prompted)), alone(model, imagine(parts=parts, steps=4, model="sdxl", guidance=1.0))) > 0.001
    nearly = with_prompts(prompt("b", 0.9), parts=(Part(text="cat"), Part(text="dog", weight=1e-6)), model="sdxl")
    only = with_prompts(prompt("b", 0.9), parts=(Part(text="cat"),), model="sdxl")
    assert far(alone(model, nearly, seen(nearly)), alone(model, only, seen(only))) < 1e-4


# ------------------------------------------------------------------------------------------------ through the engine


async def test_the_engine_draws_from_pictures_and_refuses_by_name() -> None:
    engine = local_engine([seeing()])
    request = with_prompts(prompt("a"), prompt("b", style=True))
    inputs = {digest(data): data for data in PICTURES.values()}
    try:
        prompted = await engine.run(request, inputs, ignore)
        plain = await engine.run(imagine(steps=4), {}, ignore)
        assert np.abs(pixels(prompted.frames[0].png) - pixels(plain.frames[0].png)).max() > 3
        with pytest.raises(BadInput):
            await engine.run(request, {}, ignore)
    finally:
        await engine.aclose()
    for refused, what in ((with_prompts(prompt("a")), "image prompts"), (with_prompts(prompt("a", style=True)), "--sref")):
        plain_engine = local_engine([tiny()])
        try:
            with pytest.raises(UnsupportedOperation) as refusal:
                await plain_engine.run(refused, inputs, ignore)
            assert refusal.value.what == what
        finally:
            await plain_engine.aclose()


def test_more_pictures_than_five_are_refused(model: Any) -> None:
    request = with_prompts(*[prompt("a")] * 6)
    with pytest.raises(UnsupportedOperation, match="more than 5 image prompts"):
        alone(model, request, seen(request))


def test_an_adapter_without_its_encoder_is_one_clear_error(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(seeing(), folder)
    shutil.rmtree(folder / "adapter" / "image_encoder")
    write_manifest(folder)
    request = with_prompts(prompt("a"))
    with pytest.raises(ModelMissing, match="image_adapter"):
        alone(load(folder), request, seen(request))
