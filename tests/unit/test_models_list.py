"""The operator's list of models: one line is enough, further ones are laid over a card, and a mistake is one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.api import ModelCorrupt, ModelMissing
from engine.shelf import Shelf
from tests.unit.model_files import listed, only_problem, pipeline, tensors


def test_one_line_puts_a_pulled_card_on_the_shelf(tmp_path: Path) -> None:
    pipeline(tmp_path / "models" / "stabilityai--sdxl-turbo", variant="fp16")
    entry = listed(tmp_path, '[[model]]\ncard = "sdxl-turbo"\n').entry("sdxl-turbo")
    assert (entry.family, entry.variant, entry.can.steps, entry.can.max_guidance) == ("sdxl", "fp16", 1, 1.0)
    assert entry.scheduler_config == {"timestep_spacing": "trailing"} and entry.scheduler == "EulerAncestralDiscreteScheduler"
    assert "unwanted" not in entry.can.operations and entry.can.forbids and entry.memory == entry.can.memory == 6_900_000_000
    entry.verify()


def test_a_folder_alone_is_a_model_of_the_family_its_index_names(tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "Dream", "StableDiffusionPipeline")
    entry = listed(tmp_path, f'[[model]]\nwhere = "{folder}"\n').entry("dream")
    assert (entry.family, entry.source, entry.single_file, entry.can.width, entry.dtype) == ("sd", folder, False, 512, "float16")
    assert entry.scheduler == "EulerDiscreteScheduler"  # its own
    assert entry.memory == sum(path.stat().st_size for path in folder.rglob("*.safetensors"))


def test_a_table_is_laid_over_its_card(tmp_path: Path) -> None:
    pipeline(tmp_path / "xl")
    text = """
    [[model]]
    card = "sdxl-turbo"
    name = "quick"
    where = "xl"
    steps = 2
    abilities = ["imagine", "source"]
    memory = "7 GiB"
    quantise = "int8"
    step_cache = 0.1
    compile = true
    scheduler_config = { use_karras_sigmas = true }
    """
    entry = listed(tmp_path, text).entry("quick")
    assert entry.can.title == "SDXL-Turbo" and entry.can.steps == 2 and entry.can.operations == {"imagine", "source"}
    assert entry.scheduler_config == {"timestep_spacing": "trailing", "use_karras_sigmas": True}
    assert (entry.memory, entry.quantise, entry.step_cache, entry.compile) == (7 * 2**30, "int8", 0.1, True)
    assert entry.variant is None  # the card's fp16 is not in this folder


def test_further_files_bring_their_operations(tmp_path: Path) -> None:
    pipeline(tmp_path / "xl")
    bare = listed(tmp_path, '[[model]]\nwhere = "xl"\n').entry("xl").can.operations
    assert not bare & {"lora", "image_prompt", "style", "best", "clip", "synthesis", "control:edges"}
    for path in ("ink.safetensors", "canny/diffusion_pytorch_model.safetensors", "adapter.safetensors", "clip/model.safetensors"):
        tensors(tmp_path / path)
    text = """
    [[model]]
    where = "xl"
    image_adapter = "adapter.safetensors"
    sight = "clip"
    [model.loras]
    ink = "ink.safetensors"
    [model.controls]
    edges = "canny"
    """
    entry = listed(tmp_path, text).entry("xl")
    assert entry.can.operations - bare == {"lora", "control:edges", "image_prompt", "style", "best", "clip", "synthesis"}
    assert entry.loras == {"ink": tmp_path / "ink.safetensors"} and entry.can.loras == ("ink",) and entry.can.controls == ("edges",)
    assert (entry.image_adapter, entry.sight) == (tmp_path / "adapter.safetensors", tmp_path / "clip")
    (tmp_path / "ink.safetensors").unlink()
    assert "loras.ink" in str(only_problem(listed(tmp_path, text)))


def test_a_model_in_a_single_file_needs_the_settings_of_its_kind(tmp_path: Path) -> None:
    tensors(tmp_path / "Ink.safetensors")
    text = '[[model]]\nwhere = "Ink.safetensors"\nfamily = "sdxl"\nconfig = "settings"\n'
    problem = only_problem(listed(tmp_path, text))
    assert isinstance(problem, ModelMissing) and "pull stabilityai/stable-diffusion-xl-base-1.0 --config-only" in str(problem)
    pipeline(tmp_path / "settings", with_weights=False)
    entry = listed(tmp_path, text).entry("ink")
    assert entry.single_file and entry.source == tmp_path / "Ink.safetensors" and entry.config == tmp_path / "settings"
    assert entry.memory == (tmp_path / "Ink.safetensors").stat().st_size
    entry.verify()


def test_the_folders_come_first_then_the_list_then_the_pocket_model(tmp_path: Path) -> None:
    pipeline(tmp_path / "xl")
    own = tmp_path / "toy"
    own.mkdir()
    (own / "card.toml").write_text('family = "sd"')
    (tmp_path / "models.toml").write_text('[[model]]\nwhere = "xl"\n')
    shelf = Shelf.open([own], listing=tmp_path / "models.toml")
    assert [can.model for can in shelf.models()] == ["toy", "xl", "pocket"] and not shelf.problems
    assert Shelf.open([], listing=tmp_path / "models.toml", default="pocket").models()[0].model == "pocket"


def test_a_list_that_is_not_there_is_no_problem_and_one_that_is_no_toml_is_one(tmp_path: Path) -> None:
    assert not Shelf.open(listing=tmp_path / "models.toml").problems
    assert isinstance(only_problem(listed(tmp_path, "[[model]\n")), ModelCorrupt)


def test_a_cards_model_that_is_not_there_says_how_to_fetch_it_and_the_others_go_on(tmp_path: Path) -> None:
    pipeline(tmp_path / "xl")
    shelf = listed(tmp_path, '[[model]]\ncard = "sd15"\n[[model]]\nwhere = "xl"\n[[model]]\nwhere = "owner/name"\n')
    assert [can.model for can in shelf.models()] == ["xl"] and [entry.can.model for entry in shelf.absent] == ["sd15"]
    assert isinstance(shelf.problems["sd15"], ModelMissing) and "`wordup models pull sd15`" in str(shelf.problems["sd15"])
    assert "`wordup models pull owner/name`" in str(shelf.problems["name"])


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ('where = "xl"\nstepz = 4', "stepz"),
        ('where = "xl"\nsteps = "four"', "steps"),
        ('where = "xl"\nsteps = true', "steps"),
        ('where = "xl"\ncompile = 1', "compile"),
        ('where = "xl"\nmemory = "six"', "six"),
        ('where = "xl"\nquantise = "int3"', "int3"),
        ('where = "xl"\nstep_cache = 2.0', "step_cache"),
        ('where = "xl"\ndtype = "int8"', "dtype"),
        ('where = "xl"\nfamily = "sd3"', "family"),
        ('where = "xl"\nwidth = 1000\nmultiple = 64', "1000"),
        ('where = "xl"\ncost_factor = 0.0', "cost_factor"),
        ('where = "xl"\ncontrols = { smoke = "c" }', "smoke"),
        ('where = "xl"\nname = "two words"', "name"),
        ('where = "xl"\ntrust_remote_code = true', "trust_remote_code"),
        ('where = "xl"\ncustom_pipeline = "lpw"', "custom_pipeline"),
        ('where = "https://example.org/xl"', "https://example.org/xl"),
        ('where = "xl"\nsight = "http://example.org/clip"', "http://example.org/clip"),
        ('card = "sdxxl"', "sdxxl"),
        ('title = "nowhere"', "name"),
        ('name = "nowhere"', "where"),
    ],
)
def test_a_table_that_makes_no_sense_is_one_sentence_that_names_it(tmp_path: Path, table: str, told: str) -> None:
    pipeline(tmp_path / "xl")
    shelf = listed(tmp_path, f'[[model]]\n{table}\n[[model]]\nname = "good"\nwhere = "xl"\n')
    assert [can.model for can in shelf.models()] == ["good"]
    assert isinstance(only_problem(shelf), ModelCorrupt) and told in str(only_problem(shelf))


def test_two_models_of_one_name_are_told(tmp_path: Path) -> None:
    pipeline(tmp_path / "xl")
    shelf = listed(tmp_path, '[[model]]\nwhere = "xl"\n[[model]]\nwhere = "xl"\n')
    assert len(shelf.entries) == 1 and "two models called xl" in str(only_problem(shelf))
