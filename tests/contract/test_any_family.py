"""A pipeline nobody described is drawn with from its class alone, shares forwards only after a trial, or is refused with a reason."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers.pipelines.auto_pipeline import AUTO_TEXT2IMAGE_PIPELINES_MAPPING

from engine import families
from engine.abilities import PIPELINES
from engine.model import Model
from tests.contract.engines import imagine
from tests.contract.families import shelves
from tests.contract.families.company import Guest, by_stock, far, party

TOLERANCE = 2e-5
PAGE = Path(__file__).parents[2] / "docs" / "models-families.md"


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    yield
    torch.set_grad_enabled(True)
    torch.set_num_threads(threads)


def evening(name: str) -> list[Guest]:
    """Texts of one length: those of others may need forwards of their own."""
    unwanted = ("rain",) if shelves.model(name).family.negative else ()
    return [
        Guest(imagine("a cat", name, steps=4, guidance=4.0, seed=1)),
        Guest(imagine("a dog", name, steps=2, guidance=3.0, seed=2, count=2, unwanted=unwanted), joins=1),
        Guest(imagine("a hat", name, steps=3, guidance=1.0, seed=3), joins=1),
    ]


def stock(name: str, guest: Guest) -> Any:
    family = shelves.model(name).family
    told = family.arguments(steps=guest.request.steps, guidance=guest.request.guidance, unwanted=", ".join(guest.request.unwanted) or None)
    del told["num_inference_steps"]
    return by_stock(shelves.stock(name, family.pipelines["words"]), guest, **told)


@pytest.mark.filterwarnings("ignore:`FluxPosEmbed` is deprecated:FutureWarning")
@pytest.mark.parametrize(
    "name", ["lcm", "lumina2", *(pytest.param(name, marks=pytest.mark.full) for name in sorted({*shelves.others.BUILDERS} - {"lcm", "lumina2"}))]
)
def test_a_pipeline_nobody_described_equals_stock_alone_and_in_company(name: str) -> None:
    model, guests = shelves.model(name), evening(name)
    assert not model.family.rules.alone
    hub = party(model, guests)
    assert not [guest.error for guest in guests if guest.error]
    assert hub.counters.forwards < sum(party(model, [Guest(guest.request)]).counters.forwards for guest in guests)
    assert [len(guest.steps) for guest in guests] == [4, 2, 3]
    for guest in guests:
        wanted = stock(name, guest)
        assert wanted.std() > 0.05
        assert far(guest.images, wanted) < TOLERANCE, guest.request


def test_requests_of_a_network_whose_rows_depend_on_each_other_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diffusers.Lumina2Transformer2DModel, "forward", _averaging(diffusers.Lumina2Transformer2DModel.forward))
    model = Model.load(shelves.entry(shelves.folder("lumina2")), torch.device("cpu"))
    assert model.family.rules.alone
    guests = [Guest(imagine("a cat", "lumina2", steps=2, guidance=3.0, seed=k)) for k in range(2)]
    hub = party(model, guests)
    assert hub.counters.forwards == sum(party(model, [Guest(guest.request)]).counters.forwards for guest in guests)  # none was shared
    assert max(far(guest.images, stock("lumina2", guest)) for guest in guests) < TOLERANCE


def _averaging(forward: Any) -> Any:
    @functools.wraps(forward)
    def averaging(*args: Any, **kwargs: Any) -> Any:
        predicted = forward(*args, **kwargs)[0]
        return (predicted + predicted.mean(dim=0, keepdim=True),)

    return averaging


# ------------------------------------------------------------------------------------------------ which there are


def test_the_page_tells_of_every_text_to_image_pipeline_whether_it_can_be_drawn_with() -> None:
    told = dict(re.findall(r"^\| `(\w+Pipeline)` \| (.+?) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    described = {each.pipelines["words"] for each in (*families.FAMILIES.values(), *families.VARIANTS.values())}
    offered = {name for name, family in PIPELINES.items() if family == "auto"}
    known = {kind.__name__ for kind in AUTO_TEXT2IMAGE_PIPELINES_MAPPING.values()} | offered
    assert {families.refusal(name) for name in offered} <= {"", "it needs the package torchvision"}  # nothing stands in the way but a package
    wanted = {name: families.refusal(name) or "drawn" for name in known - described}
    assert told == wanted


@pytest.mark.parametrize("name", ["GlmImagePipeline", "StableDiffusionUpscalePipeline", "WanPipeline", "NoSuchPipeline"])
def test_what_cannot_be_drawn_with_is_refused_with_a_reason(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} cannot be drawn with: "):
        families.family_of("auto", name)


def test_every_family_names_pipelines_that_diffusers_has() -> None:
    for family in (*families.FAMILIES.values(), *families.VARIANTS.values()):
        assert all(hasattr(diffusers, kind) for kind in family.pipelines.values())
