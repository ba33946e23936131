"""The cards that ship with the program, and what the families can do: held against the page operators read, and against diffusers' own sources."""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
from pathlib import Path

import pytest

from bot.models import gigabytes
from engine.abilities import ANY_SCHEDULER, EXTRAS, OPERATIONS, PIPELINES, abilities
from engine.api import USES, ModelCorrupt
from engine.card import layered, read_bytes, read_table, shipped
from engine.shelf import HUB_ID, hub_folder, locate
from tests.unit.model_files import listed, pipeline, tensors

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
WANTED = (
    "sd15 sd21 sd-turbo sdxl sdxl-turbo sdxl-lightning sd35-medium sd35-large-turbo flux-schnell flux-dev flux2-klein z-image-turbo qwen-image "
    "sana sana-sprint pixart-sigma"
)
#: Where a family's words pipeline leads to: the start of its siblings' names.
STEMS = {"sd": "StableDiffusion", "sdxl": "StableDiffusionXL", "sd3": "StableDiffusion3", "flux": "Flux", "zimage": "ZImage", "qwen": "QwenImage"}
#: Pipelines of diffusers' list of those that draw from words which could be drawn with, and are made for changing a picture.
EDITORS = {"FluxKontextPipeline", "ZImageOmniPipeline"}


@functools.cache
def classes() -> dict[str, set[str]]:
    """Every pipeline of the installed diffusers, and the parameters of its `__call__`."""
    spec = importlib.util.find_spec("diffusers")
    assert spec is not None and spec.origin is not None
    found = {}
    for path in (Path(spec.origin).parent / "pipelines").rglob("pipeline_*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                calls = [each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__call__"]
                found[node.name] = {argument.arg for call in calls for argument in call.args.args}
    return found


def known_to_diffusers() -> set[str]:
    """The classes of its AutoPipelineForText2Image."""
    spec = importlib.util.find_spec("diffusers")
    assert spec is not None and spec.origin is not None
    text = (Path(spec.origin).parent / "pipelines" / "auto_pipeline.py").read_text(encoding="utf-8")
    (block,) = re.findall(r"^AUTO_TEXT2IMAGE_PIPELINES_MAPPING = OrderedDict\((.*?)^\)", text, re.S | re.M)
    return set(re.findall(r'\("[\w-]+", (\w+)\)', block))


def test_a_dozen_well_known_models_need_one_line_each(tmp_path: Path) -> None:
    assert set(WANTED.split()) <= set(shipped())
    store = tmp_path / "models"
    for card in shipped().values():
        folder = store / hub_folder(card["hub"])
        if "file" in card:
            tensors(folder / card["file"])
            pipeline(locate(card["config"], base=tmp_path, store=store), with_weights=False)
        kinds = [kind for kind, family in PIPELINES.items() if family == card["family"]]
        pipeline(folder, "SanaSprintPipeline" if "sprint" in card["name"] else kinds[-1])
    shelf = listed(tmp_path, "".join(f'[[model]]\ncard = "{name}"\n' for name in shipped()))
    assert not shelf.problems and [can.model for can in shelf.models()] == list(shipped())


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_card_says_what_an_operator_wants_to_know(name: str) -> None:
    card = shipped()[name]
    assert {"title", "hub", "family", "licence", "training_data", "memory", "width", "steps", "guidance", "scheduler", "cost_factor", "pace"} <= set(card)
    assert HUB_ID.fullmatch(card["hub"]) and read_bytes(card["memory"]) > 10**9
    assert card["guidance"] <= card.get("max_guidance", 20.0)
    assert bool(card.get("forbids")) == bool(card.get("refuses")) == (card["licence"] != "Apache-2.0")
    assert {*card.get("refuses", ())} <= {*USES}


def test_a_shipped_card_refuses_what_its_licence_is_known_to_forbid() -> None:
    """The same licence, the same uses."""
    for card in shipped().values():
        licence, refuses = card["licence"], {*card.get("refuses", ())}
        if "RAIL" in licence:
            assert refuses == {"degrading"}
        elif "Stability" in licence:
            assert refuses == {"sexual", "degrading"}
        elif "Gemma" in licence:
            assert refuses == {"commercial", "sexual", "degrading"}
        elif "Non-Commercial" in licence:
            assert refuses == {"commercial"}


def test_the_page_tells_the_same_as_the_cards() -> None:
    table = PAGE.read_text(encoding="utf-8").rpartition("| card | model |")[2].splitlines()[2:]
    told = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table if line.startswith("|")]
    meant = []
    for name, card in shipped().items():
        hub = f"[{card['hub']}](https://huggingface.co/{card['hub']})" + (" (gated)" if card.get("gated") else "")
        numbers = (str(card["width"]), str(card["steps"]), f"{card['guidance']:g}", gigabytes(read_bytes(card["memory"])))
        said = ("; ".join(card.get("forbids", ())) or "–", ", ".join(f"`{use}`" for use in card.get("refuses", ())) or "–")
        meant.append([f"`{name}`", card["title"], hub, card["family"], *numbers, card["licence"], *said])
    assert told == meant


def test_every_pipeline_on_the_list_is_one_of_diffusers_and_draws_from_words() -> None:
    assert {name for name in PIPELINES if "prompt" not in classes().get(name, ())} == set()


def test_what_diffusers_draws_from_words_is_on_the_list_unless_the_engine_says_why_not() -> None:
    from engine.families import refusal  # imports torch

    refused = {name: refusal(name) for name, family in PIPELINES.items() if family == "auto" and refusal(name)}
    assert not [why for why in refused.values() if "needs the package" not in why]  # which packages there are differs from machine to machine
    assert {name for name in known_to_diffusers() - set(PIPELINES) - EDITORS if not refusal(name)} == set()


def test_a_family_can_do_what_its_pipelines_take() -> None:
    for family, stem in STEMS.items():
        assert f"{stem}Img2ImgPipeline" in classes() and f"{stem}InpaintPipeline" in classes()
        assert {"source", "mix", "creative", "mask", "extend", "phrase"} <= OPERATIONS[family]
    for family in set(OPERATIONS) - set(STEMS):
        assert not {"source", "mask", "phrase"} & OPERATIONS[family]
    for name, family in PIPELINES.items():
        takes_unwanted = (
            "negative_prompt" in classes()[name] and family != "flux"
        )  # which takes them at the price of a second prediction it was not trained for
        assert ("unwanted" in abilities(family, name)) == takes_unwanted, name
    assert {"SanaSprintImg2ImgPipeline", "Flux2KleinInpaintPipeline"} <= set(classes())
    assert "source" in abilities("sana", "SanaSprintPipeline") and "source" not in abilities("sana", "SanaPipeline")
    assert {"mask", "extend"} <= abilities("flux2", "Flux2KleinPipeline") and "mask" not in abilities("flux2", "Flux2Pipeline")


def test_only_a_unet_tiles_and_only_epsilon_and_v_models_take_any_sampler() -> None:
    assert {family for family, can in OPERATIONS.items() if "tile" in can} == {"sd", "sdxl"}
    assert {"sd", "sdxl", "pixart"} == ANY_SCHEDULER


def test_without_guidance_nothing_can_be_unwanted() -> None:
    assert "unwanted" in abilities("sdxl") and "unwanted" not in abilities("sdxl", guided=False)


def test_files_a_familys_pipelines_cannot_use_are_refused_by_name() -> None:
    assert EXTRAS.keys() == OPERATIONS.keys()
    with pytest.raises(ValueError, match="loras"):
        abilities("pixart", loras=["ink"])
    with pytest.raises(ValueError, match="image_adapter"):
        abilities("zimage", image_adapter=True)
    assert {"best", "clip", "synthesis"} <= abilities("pixart", sight=True)


@pytest.mark.parametrize(("text", "count"), [("6.9 GB", 6_900_000_000), ("512MiB", 2**29), (" 7 gib ", 7 * 2**30), ("12", 12), (5, 5)])
def test_memory_is_written_as_people_write_it(text: str | int, count: int) -> None:
    assert read_bytes(text) == count


@pytest.mark.parametrize("text", ["six GB", "6 parsecs", "", "-1", -1])
def test_nonsense_is_no_memory(text: str | int) -> None:
    with pytest.raises(ValueError, match="bytes"):
        read_bytes(text)


def test_layers_lie_over_each_other_and_the_lower_ones_stay_as_they_were() -> None:
    lower = {"steps": 4, "loras": {"ink": "a"}}
    assert layered(lower, {"steps": 8, "loras": {"oil": "b"}}) == {"steps": 8, "loras": {"ink": "a", "oil": "b"}}
    assert lower == {"steps": 4, "loras": {"ink": "a"}}


def test_a_folders_own_card_may_say_more_than_is_read_but_may_not_ask_for_code() -> None:
    assert read_table({"license": "MIT", "artist": "me"}, strict=False) == {"licence": "MIT"}
    with pytest.raises(ModelCorrupt, match="trust_remote_code"):
        read_table({"trust_remote_code": False}, strict=False)
