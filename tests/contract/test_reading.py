"""Models are read from directories and from single files, without asking any network, and as precisely as they must be."""

from __future__ import annotations

import copy
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine import reading
from engine.api import ModelCorrupt, ModelMissing
from engine.model import Model
from engine.shelf import Entry, Shelf
from tests.contract.engines import imagine
from tests.contract.families import shelves, single
from tests.contract.families.company import START, Guest, by_stock, far, party

CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    yield
    torch.set_grad_enabled(True)
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _unreachable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody answers, and nobody was asked."""
    asked: list[Any] = []

    def refuse(self: socket.socket, address: Any) -> None:
        asked.append(address)
        raise OSError("there is no network here")

    def unknown(host: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append(host)
        raise socket.gaierror("there is no network here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    yield
    assert not asked


def listed(tmp_path: Path, **fields: str) -> Entry:
    """The entry of an operator's models.toml."""
    lines = {"width": "64", "height": "64", "min_edge": "32", "licence": '"none"', **{name: f'"{value}"' for name, value in fields.items()}}
    listing = tmp_path / "models.toml"
    listing.write_text("[[model]]\n" + "".join(f"{name} = {value}\n" for name, value in lines.items()), encoding="utf-8")
    shelf = Shelf.open((), listing=listing, pocket=False)
    assert not shelf.problems, shelf.problems
    return shelf.entries[0]


def without_weights(name: str, where: Path, *parts: str) -> Path:
    """A copy of a model's directory without the weights of these parts (all: of none named)."""
    shutil.copytree(shelves.folder(name), where)
    for path in where.rglob("*.safetensors*"):
        if not parts or path.parent.name in parts:
            path.unlink()
    return where


def test_every_family_is_read_without_asking_anybody() -> None:
    for name in ("sd", "klein", "sana", "qwen"):
        assert Model.load(shelves.entry(shelves.folder(name)), CPU).bytes > 0


def test_stable_diffusion_in_one_file_of_the_original_layout_is_the_same_model(tmp_path: Path) -> None:
    single.write_stable_diffusion(shelves.stock("sd", "StableDiffusionPipeline"), tmp_path / "one.safetensors")
    config = without_weights("sd", tmp_path / "config")
    entry = listed(tmp_path, name="one", family="sd", where="one.safetensors", config=str(config))
    assert entry.single_file and entry.source == tmp_path / "one.safetensors"
    guest = Guest(imagine("a fox", "one", steps=3, guidance=3.0))
    party(Model.load(entry, CPU), [guest])
    wanted = by_stock(shelves.stock("sd", "StableDiffusionPipeline"), guest, guidance_scale=3.0)
    assert np.array_equal(guest.images, wanted)


@pytest.mark.parametrize("layout", ["its maker's", "diffusers'"])
def test_a_denoiser_in_one_file_finds_the_other_components_in_a_folder(tmp_path: Path, layout: str) -> None:
    file = tmp_path / "z.safetensors"
    if layout == "diffusers'":
        shutil.copy(shelves.folder("zimage") / "transformer" / "diffusion_pytorch_model.safetensors", file)
    else:
        single.write_z_image(shelves.stock("zimage", "ZImagePipeline"), file)
    config = without_weights("zimage", tmp_path / "others", "transformer")
    entry = listed(tmp_path, name="z", family="zimage", where="z.safetensors", config=str(config))
    guest = Guest(imagine("a fox", "z", steps=3, guidance=3.0))
    party(Model.load(entry, CPU), [guest])
    wanted = by_stock(shelves.stock("zimage", "ZImagePipeline"), guest, guidance_scale=2.0)
    assert np.array_equal(guest.images, wanted)


def test_a_denoiser_in_one_file_without_the_other_components_is_a_clear_error(tmp_path: Path) -> None:
    single.write_z_image(shelves.stock("zimage", "ZImagePipeline"), tmp_path / "z.safetensors")
    config = without_weights("zimage", tmp_path / "others")
    entry = listed(tmp_path, name="z", family="zimage", where="z.safetensors", config=str(config))
    with pytest.raises((ModelMissing, ModelCorrupt), match=r"^z"):
        Model.load(entry, CPU)


# ------------------------------------------------------------------------------------------------ how precise


def test_on_a_cpu_everything_is_computed_in_float32_whatever_the_card_says() -> None:
    model = shelves.model("sd")
    assert model.entry.dtype == "float16"
    modules = [module for module in model.pipeline("words").components.values() if hasattr(module, "parameters")]
    assert {parameter.dtype for module in modules for parameter in module.parameters()} == {torch.float32}


def test_sdxls_autoencoder_stays_in_float32_when_the_rest_is_in_float16() -> None:
    """Its stock pipelines turn it to float32 and back around each decoding, which two requests must not do to each other."""
    from diffusers import StableDiffusionXLImg2ImgPipeline

    stock = shelves.stock("sdxl", "StableDiffusionXLPipeline")
    half = type(stock)(**{name: copy.deepcopy(part) for name, part in stock.components.items()}, add_watermarker=False).to(torch.float16)
    half.set_progress_bar_config(disable=True)
    reading.keep_precise(half)
    assert (half.vae.dtype, half.unet.dtype) == (torch.float32, torch.float16)
    turned: list[Any] = []
    half.vae.to = lambda *args, **kwargs: turned.append(args or kwargs)
    told: dict[str, Any] = {"prompt": "a cat", "num_inference_steps": 2, "width": 64, "height": 64, "output_type": "np"}
    one, other = (pipeline(**told, generator=torch.Generator().manual_seed(0)).images for pipeline in (half, stock))
    assert not turned and 1e-6 < far(one, other) < 0.05
    told |= {"image": START, "strength": 0.9}
    for name in ("width", "height"):
        del told[name]
    kinds = (StableDiffusionXLImg2ImgPipeline(**parts.components, add_watermarker=False) for parts in (half, stock))
    one, other = (pipeline(**told, generator=torch.Generator().manual_seed(0)).images for pipeline in kinds)
    assert not turned and 1e-6 < far(one, other) < 0.05


def test_the_cards_scheduler_and_its_settings_take_the_files_own_place(tmp_path: Path) -> None:
    shutil.copytree(shelves.folder("sd"), tmp_path / "sd")
    shelves.card(tmp_path / "sd", "sd", "sd", 'scheduler = "EulerDiscreteScheduler"\nscheduler_config = { timestep_spacing = "trailing" }')
    (tmp_path / "sd" / "MANIFEST.sha256").unlink()
    own = Model.load(shelves.entry(tmp_path / "sd"), CPU).scheduler(None)
    assert (type(own).__name__, own.config.timestep_spacing, own.config.beta_schedule) == ("EulerDiscreteScheduler", "trailing", "scaled_linear")


def test_distilled_guidance_is_seen_in_the_model_itself() -> None:
    from engine.families import Halves

    halves = {name: shelves.model(name).family.halves for name in ("klein", "klein-base", "sd", "sprint")}
    assert halves == {"klein": Halves.NEVER, "klein-base": Halves.APART, "sd": Halves.UNCONDITIONAL_FIRST, "sprint": Halves.NEVER}
