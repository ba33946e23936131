"""`wordup models`: what it prints, what it fetches (from a hub on loopback, by the real client), and that the operator's file keeps every word of theirs."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from bot import models_hub
from bot.cli import app
from bot.models import time_it
from bot.models_file import CannotEdit, with_model
from engine.fake import FAKE_MODEL, FakeEngine
from tests.fakes.hub import COMMIT, FakeHub, Repository, fake_hub
from tests.unit.model_files import pipeline, sha256, tensors

Wordup = Callable[..., Result]


@pytest.fixture
def wordup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wordup:
    """`wordup models …` in a house of its own, where the list is models.toml."""
    for name in [name for name in os.environ if name.startswith("WORDUP_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORDUP_DATA_DIR", str(tmp_path))

    def call(*arguments: str, **options: str) -> Result:
        return CliRunner().invoke(app, ["models", *arguments], **options)

    return call


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with fake_hub() as running:
        monkeypatch.setattr(models_hub, "Hub", functools.partial(models_hub.Hub, endpoint=running.url))
        yield running


def repository(folder: Path, **facts: object) -> Repository:
    """What a hub would hold of this folder, with the ballast real repositories have."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    ballast = {
        ".gitattributes": b"x",
        "README.md": b"words",
        "unet/diffusion_pytorch_model.bin": b"pickle",
        "sd_xl.safetensors": b"12345678{all}",
        "a.py": b"!",
    }
    return Repository({**files, **ballast, "LICENSE.md": b"Do good."}, **facts)  # type: ignore[arg-type]


def both_precisions(folder: Path) -> Path:
    return pipeline(pipeline(folder), variant="fp16")


def test_without_a_verb_it_lists_the_shelf(wordup: Wordup) -> None:
    done = wordup()
    assert done.exit_code == 0 and done.output == wordup("list").output
    (_, pocket) = done.output.splitlines()
    assert pocket.split()[0] == "pocket" and pocket.endswith("ready") and "128×128" in pocket and "MIT" in pocket


def test_the_list_says_in_one_sentence_what_is_wrong(wordup: Wordup, tmp_path: Path) -> None:
    (pipeline(tmp_path / "torn") / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"x")
    (tmp_path / "models.toml").write_text('[[model]]\ncard = "sd15"\n[[model]]\nwhere = "torn"\n[[model]]\nname = "odd"\nwhere = "torn"\nstepz = 1\n')
    lines = wordup("list").output.splitlines()
    states = {line.split()[0]: line.split()[-1] for line in lines[1:] if not line.startswith(" ")}
    assert states == {"pocket": "ready", "sd15": "missing", "torn": "problem", "odd": "problem"}
    sentences = "\n".join(line for line in lines if line.startswith("    "))
    assert "wordup models pull sd15" in sentences and "diffusion_pytorch_model.safetensors" in sentences and "stepz" in sentences


def test_the_shipped_cards_are_listed_with_what_their_licences_forbid(wordup: Wordup) -> None:
    text = wordup("list", "--cards").output
    assert "black-forest-labs/FLUX.1-dev" in text and "The licence forbids commercial use of the model." in text


def test_verify_hashes_everything_and_names_each_file_that_is_wrong(wordup: Wordup, tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "xl")
    files = [folder / "unet" / "diffusion_pytorch_model.safetensors", folder / "vae" / "diffusion_pytorch_model.safetensors"]
    digests = "".join(f'"{path.relative_to(folder)}" = "{sha256(path)}"\n' for path in files)
    (tmp_path / "models.toml").write_text(f'[[model]]\nwhere = "xl"\n[model.sha256]\n{digests}')
    done = wordup("verify")
    assert done.exit_code == 0 and "xl: 2 files are what their digests say" in done.output and "pocket: " in done.output
    for path in files:
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    done = wordup("verify", "xl")
    assert done.exit_code == 1 and len(done.output.splitlines()) == 2
    assert all(f"xl: {path.relative_to(folder)} is not what its digest says" in done.output for path in files)
    assert wordup("verify", "pocket").exit_code == 0
    assert wordup("verify", "nobody").exit_code == 1


def test_a_pulled_card_is_on_the_shelf_whole_and_with_its_digests(wordup: Wordup, hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["stabilityai/sdxl-turbo"] = repository(both_precisions(tmp_path / "source"))
    done = wordup("pull", "sdxl-turbo", "--yes")
    assert done.exit_code == 0, done.output
    assert "Stability AI Community" in done.output and "The licence forbids commercial use" in done.output
    (table,) = tomllib.loads((tmp_path / "models.toml").read_text())["model"]
    assert (table["card"], table["revision"]) == ("sdxl-turbo", COMMIT) and table.keys() == {"card", "revision", "sha256"}
    fetched = {name.removeprefix("stabilityai/sdxl-turbo/") for name in hub.fetched}
    assert fetched == set(table["sha256"]) and len(hub.fetched) == len(fetched)
    assert {name for name in fetched if name.endswith(("safetensors", ".md", ".py", ".bin"))} == {
        "LICENSE.md",
        "text_encoder/model.fp16.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.fp16.safetensors",
    }
    assert wordup("verify", "sdxl-turbo").exit_code == 0
    first = wordup("list").output.splitlines()[1]
    assert first.startswith("sdxl-turbo") and first.endswith("ready")


def test_a_licence_that_is_not_free_for_every_use_wants_a_yes(wordup: Wordup, hub: FakeHub, tmp_path: Path) -> None:
    source = pipeline(tmp_path / "source")
    hub.repositories |= {
        "stabilityai/sdxl-turbo": repository(source),
        "owner/Odd": repository(source, licence="cc-by-nc-4.0"),
        "owner/Free": repository(source),
    }
    for what in ("sdxl-turbo", "owner/Odd"):
        done = wordup("pull", what)
        assert done.exit_code == 1 and "--yes" in done.output and not (tmp_path / "models.toml").exists()
    assert not [name for name in hub.fetched if name.endswith(".safetensors")]
    assert wordup("pull", "owner/Free").exit_code == 0


def test_any_repository_can_be_pulled_under_any_name_and_at_any_commit(wordup: Wordup, hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["owner/Dream"] = repository(both_precisions(tmp_path / "source"))
    assert wordup("pull", "owner/Dream").exit_code == 0
    assert wordup("pull", "owner/Dream", "--revision", COMMIT, "--name", "pinned", "--variant", "").exit_code == 0
    first, second = tomllib.loads((tmp_path / "models.toml").read_text())["model"]
    assert (first["name"], first["where"], first["family"], first["licence"], first["variant"]) == ("dream", "owner/Dream", "sdxl", "apache-2.0", "fp16")
    assert second["where"].endswith(f"owner--Dream@{COMMIT[:12]}") and "unet/diffusion_pytorch_model.safetensors" in second["sha256"]
    assert wordup("verify").exit_code == 0
    done = wordup("pull", "owner/Dream", "--name", "pinned")
    assert done.exit_code == 1 and "another model called pinned" in done.output
    assert wordup("pull", "owner/Dream", "--name", "two words").exit_code == 1


def test_a_card_that_is_one_file_brings_the_settings_of_its_kind(wordup: Wordup, hub: FakeHub, tmp_path: Path) -> None:
    whole = tensors(tmp_path / "whole.safetensors").read_bytes()
    names = [f"sdxl_lightning_{steps}step.safetensors" for steps in (2, 4)]
    hub.repositories["ByteDance/SDXL-Lightning"] = Repository({name: whole for name in names} | {"LICENSE.md": b"Do good."})
    hub.repositories["stabilityai/stable-diffusion-xl-base-1.0"] = repository(both_precisions(tmp_path / "source"))
    done = wordup("pull", "sdxl-lightning")
    assert done.exit_code == 0, done.output
    assert [name for name in hub.fetched if name.endswith("safetensors")] == [f"ByteDance/SDXL-Lightning/{names[1]}"]
    assert "stabilityai/stable-diffusion-xl-base-1.0/tokenizer/tokenizer_config.json" in hub.fetched
    assert wordup("verify", "sdxl-lightning").exit_code == 0


def test_settings_alone_can_be_fetched_for_a_file_of_ones_own(wordup: Wordup, hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["stabilityai/stable-diffusion-xl-base-1.0"] = repository(pipeline(tmp_path / "source"))
    tensors(tmp_path / "ink.safetensors")
    (tmp_path / "models.toml").write_text('[[model]]\nwhere = "ink.safetensors"\nfamily = "sdxl"\n')
    assert wordup("verify", "ink").exit_code == 1
    assert wordup("pull", "sdxl", "--config-only").exit_code == 0
    assert wordup("verify", "ink").exit_code == 0


def test_an_adapter_is_fetched_with_a_manifest_and_no_table(wordup: Wordup, hub: FakeHub, tmp_path: Path) -> None:
    weights = tensors(tmp_path / "x.safetensors").read_bytes()
    hub.repositories["owner/canny"] = Repository({"diffusion_pytorch_model.safetensors": weights, "diffusion_pytorch_model.bin": b"p", "config.json": b"{}"})
    done = wordup("pull", "owner/canny")
    assert done.exit_code == 0 and not (tmp_path / "models.toml").exists()
    assert "owner/canny/diffusion_pytorch_model.bin" not in hub.fetched
    pipeline(tmp_path / "xl")
    (tmp_path / "models.toml").write_text('[[model]]\nwhere = "xl"\ncontrols = { edges = "owner/canny" }\n')
    assert wordup("verify", "xl").exit_code == 0
    tensors(tmp_path / "models" / "owner--canny" / "diffusion_pytorch_model.safetensors", 5)
    assert wordup("verify", "xl").exit_code == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model_index.json": b'{"_class_name": ["mine", "My"], "unet": ["diffusers", "UNet2DConditionModel"]}'}, "custom pipeline"),
        ({"model_index.json": b'{"_class_name": "StableDiffusionXLPipeline", "unet": ["mine", "MyUNet"]}'}, "mine.MyUNet"),
        ({"unet/diffusion_pytorch_model.safetensors": None}, "unet has no safetensors"),
    ],
)
def test_what_would_be_refused_is_not_fetched(wordup: Wordup, hub: FakeHub, tmp_path: Path, change: dict[str, bytes | None], told: str) -> None:
    offered = repository(pipeline(tmp_path / "source"))
    offered.files = {name: data for name, data in {**offered.files, **change}.items() if data is not None}
    hub.repositories["owner/bad"] = offered
    done = wordup("pull", "owner/bad")
    assert done.exit_code == 1 and told in done.output and hub.fetched == ["owner/bad/model_index.json"]


def test_what_goes_wrong_with_the_hub_is_one_sentence(wordup: Wordup, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = pipeline(tmp_path / "source")
    hub.repositories |= {"owner/gated": repository(source, gated=True), "owner/open": repository(source)}
    monkeypatch.chdir(tmp_path)
    told = {
        ("owner/gated", "--yes"): "terms accepted",
        ("owner/nothing",): "is not there",
        ("owner/open", "--revision", "yesterday"): "no revision yesterday",
        ("owner/open", "--file", "x.safetensors"): "no safetensors file x.safetensors",
        ("nonsense",): "neither a card",
    }
    for arguments, sentence in told.items():
        done = wordup("pull", *arguments)
        assert done.exit_code == 1 and sentence in done.output.splitlines()[-1] and "Traceback" not in done.output, arguments
    monkeypatch.setattr(models_hub, "Hub", functools.partial(models_hub.Hub, endpoint="http://127.0.0.1:9"))
    done = wordup("pull", "owner/open")
    assert done.exit_code == 1 and "cannot be reached" in done.output and "by `where`" in done.output


def test_a_file_that_arrives_wrong_is_thrown_away_and_fetched_again(wordup: Wordup, hub: FakeHub, tmp_path: Path) -> None:
    wrong = "unet/diffusion_pytorch_model.safetensors"
    hub.repositories["owner/open"] = repository(pipeline(tmp_path / "source"), corrupt=frozenset({wrong}))
    done = wordup("pull", "owner/open")
    assert done.exit_code == 1 and wrong in done.output and not (tmp_path / "models.toml").exists()
    hub.repositories["owner/open"].corrupt = frozenset()
    assert wordup("pull", "owner/open").exit_code == 0 and wordup("verify", "open").exit_code == 0


def test_the_program_itself_pulls_from_the_hub_its_environment_names(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["owner/open"] = repository(pipeline(tmp_path / "source"))
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("WORDUP_", "HF_"))}
    own = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "WORDUP_DATA_DIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "bot", "models", "pull", "owner/open"]
    done = subprocess.run(command, cwd=tmp_path, env={**clean, **own}, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and "open is in" in done.stdout, done.stderr
    assert (tmp_path / "models" / "owner--open" / "unet" / "diffusion_pytorch_model.safetensors").is_file()


# ------------------------------------------------------------------------------------------------ the operator's file

OWN = """# my models
[[model]]  # the good one
name = "good"
where = "owner/good"
steps = 7   # seven
revision = "old"

[model.loras]
ink = "ink.safetensors"

[model.sha256]
# from last year
"a" = "1"

# the other one
[[model]]
name = "other"
where = "/models/other"
"""


def test_a_table_keeps_its_words_and_remarks_and_gets_new_digests() -> None:
    text = with_model(OWN, "good", {"revision": "new"}, {"b": "2", "c": "3"})
    good, other = tomllib.loads(text)["model"]
    assert (good["revision"], good["sha256"], good["steps"], good["loras"]) == ("new", {"b": "2", "c": "3"}, 7, {"ink": "ink.safetensors"})
    assert other == {"name": "other", "where": "/models/other"}
    remarks = [line for line in OWN.splitlines() if "#" in line]
    assert [line for line in text.splitlines() if "#" in line] == remarks
    last = with_model(text, "other", {"revision": "r"}, {"x": "9"})
    assert tomllib.loads(last)["model"][1] == {"name": "other", "where": "/models/other", "revision": "r", "sha256": {"x": "9"}}
    assert last.startswith(text.rstrip().rpartition("[[model]]")[0])


@pytest.mark.parametrize("text", ["", "# only a remark", OWN, OWN.rstrip()])
def test_a_new_table_is_added_at_the_end_and_nothing_else_changes(text: str) -> None:
    added = with_model(text, "new", {"name": "new", "where": "owner/new", "revision": "r"}, {'odd "name"\\': "1"})
    assert added.startswith(text)
    assert tomllib.loads(added)["model"][-1] == {"name": "new", "where": "owner/new", "revision": "r", "sha256": {'odd "name"\\': "1"}}


@pytest.mark.parametrize(
    "text",
    [
        'model = [{ name = "good", where = "x" }]\n',
        'note = """\n[[model]]\n"""\n[[model]]\nname = "good"\n',
        '[[model]]\nname = "good"\ntitle = """\nrevision = 3\n"""\n',
        '[[model]]\nname = "good"\nsha256 = { a = "1" }\nsha256.b = "2"\n',
    ],
)
def test_what_is_written_too_cleverly_is_left_to_its_author(text: str) -> None:
    with pytest.raises((CannotEdit, tomllib.TOMLDecodeError)):
        with_model(text, "good", {"revision": "r"}, {"a": "2"})


# ------------------------------------------------------------------------------------------------ timing


async def test_a_model_is_timed_alone_and_with_four_in_flight() -> None:
    engine = FakeEngine()
    together: list[int] = []
    engine._on_step = lambda request, step: _note(together, engine)
    took = await time_it(engine, FAKE_MODEL.model, pictures=2)
    await engine.aclose()
    assert took.alone > 0 and took.in_company > 0
    assert [request.count for request in engine.seen] == [1] * (1 + 2 + 4 + 4) and engine.most == 4
    alone = 3 * FAKE_MODEL.steps
    assert set(together[:alone]) == {1} and max(together[alone:]) == 4
    assert {(request.width, request.steps, request.guidance) for request in engine.seen} == {(FAKE_MODEL.width, FAKE_MODEL.steps, FAKE_MODEL.guidance)}


async def _note(together: list[int], engine: FakeEngine) -> None:
    together.append(engine.running)


def test_a_model_that_is_not_there_cannot_be_timed(wordup: Wordup) -> None:
    done = wordup("bench", "nobody")
    assert done.exit_code == 1 and "nobody is not on the shelf" in done.output
