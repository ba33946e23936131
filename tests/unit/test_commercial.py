"""A bot that somebody earns money with: models whose licence forbids that are left out, and whoever runs it is told so in a sentence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot import commercial
from bot.cli import app
from bot.doctor import weights_findings
from bot.settings import Settings
from engine.api import ModelForbidden, ModelMissing
from engine.shelf import Shelf
from tests.unit.model_files import pipeline

WHY = "its licence forbids commercial use"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("WORDUP_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORDUP_DATA_DIR", str(tmp_path / "data"))


def folder(tmp_path: Path, name: str = "loan", card: str = 'refuses = ["commercial"]') -> Path:
    path = pipeline(tmp_path / name, "StableDiffusionPipeline")
    (path / "card.toml").write_text(f'name = "{name}"\nfamily = "sd"\n{card}\n')
    return path


def settings(**changes: object) -> Settings:
    return Settings(_env_file=None, **changes)  # type: ignore[arg-type]


def test_it_is_left_out_and_the_others_go_on(tmp_path: Path) -> None:
    models = str(folder(tmp_path))
    free = commercial.open_shelf(settings(models=models))
    assert [can.model for can in free.models()] == ["loan", "pocket"] and not free.problems
    assert commercial.left_out(settings(models=models)) == frozenset()
    paid = commercial.open_shelf(settings(models=models, commercial=True))
    assert [can.model for can in paid.models()] == ["pocket"] and WHY in str(paid.problems["loan"])
    assert commercial.left_out(settings(models=models, commercial=True)) == {"loan"}
    commercial.need_models(paid, "")


def test_whoever_has_bought_a_licence_says_so_in_the_models_table(tmp_path: Path) -> None:
    pipeline(tmp_path / "flux", "FluxPipeline")
    (tmp_path / "models.toml").write_text('[[model]]\ncard = "flux-dev"\nwhere = "flux"\n')
    held = settings(models_file=tmp_path / "models.toml", commercial=True)
    assert commercial.left_out(held) == {"flux-dev"}
    (tmp_path / "models.toml").write_text('[[model]]\ncard = "flux-dev"\nwhere = "flux"\nrefuses = []\n')
    assert commercial.left_out(held) == frozenset() and commercial.open_shelf(held).entry("flux-dev").can.forbids


def test_a_word_that_nobody_would_hold_to_is_a_mistake(tmp_path: Path) -> None:
    shelf = Shelf.open([folder(tmp_path, card='refuses = ["comercial"]')], pocket=False)
    (problem,) = shelf.problems.values()
    assert not shelf.entries and "'comercial' is not one of commercial, sexual, degrading, people" in str(problem)


def test_the_list_and_the_doctor_say_why(tmp_path: Path) -> None:
    environment = {"WORDUP_MODELS": str(folder(tmp_path)), "WORDUP_COMMERCIAL": "true"}
    listed = CliRunner().invoke(app, ["models", "list"], env=environment).output
    (line,) = [line for line in listed.splitlines() if line.startswith("loan")]
    assert line.endswith("forbidden") and WHY in listed
    assert CliRunner().invoke(app, ["models", "verify", "loan"], env=environment).exit_code == 0, "its files are as they should be"
    assert WHY in CliRunner().invoke(app, ["models", "bench", "loan"], env=environment).output
    found = weights_findings(settings(models=environment["WORDUP_MODELS"], commercial=True))
    (finding,) = [each for each in found if WHY in each.text]
    assert finding.level == "note" and "WORDUP_COMMERCIAL=false" in finding.fix
    assert all(WHY not in each.text for each in weights_findings(settings(models=environment["WORDUP_MODELS"])))


def test_the_doctor_names_conditions_that_only_the_operator_can_know(tmp_path: Path) -> None:
    models = str(folder(tmp_path, card='forbids = ["commercial use by whoever earns a million a year"]'))
    told = [each.text for each in weights_findings(settings(models=models, commercial=True)) if "a million" in each.text]
    assert told == ["its licence forbids commercial use by whoever earns a million a year"]
    assert not [each for each in weights_findings(settings(models=models)) if "a million" in each.text]


@pytest.mark.parametrize(("name", "chosen", "more"), [("pocket", "", "there is no other model"), ("loan", "loan", "WORDUP_MODEL names it")])
def test_where_it_is_the_only_one_or_the_default_the_program_says_so_and_ends(tmp_path: Path, name: str, chosen: str, more: str) -> None:
    """The first is called as the one that ships, and so stands in its place."""
    environment = {"WORDUP_MODELS": str(folder(tmp_path, name)), "WORDUP_COMMERCIAL": "true", "WORDUP_MODEL": chosen}
    for command in (["run"], ["imagine", "a fox"]):
        done = CliRunner().invoke(app, command, env=environment)
        said = " ".join(done.output.split())
        assert done.exit_code == 1 and said.count("cannot start") == 1, said
        assert WHY in said and more in said
    found = weights_findings(settings(models=environment["WORDUP_MODELS"], model=chosen, commercial=True))
    assert [each.level for each in found if WHY in each.text] == ["fail"]


def test_no_model_at_all_is_not_blamed_on_a_licence() -> None:
    with pytest.raises(ModelMissing, match="wordup doctor"):
        commercial.need_models(Shelf(()), "")
    with pytest.raises(ModelForbidden, match="no other model"):
        commercial.need_models(Shelf((), {"loan": ModelForbidden("loan is not offered")}), "")
