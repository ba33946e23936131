"""What is loaded is safetensors, whole, from inside the model's folder, and what its digests say; anything else is one sentence that names the file."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import pytest

from engine.api import EngineError, ModelCorrupt, ModelMissing
from engine.shelf import Entry, Shelf
from tests.unit.model_files import SDXL, listed, only_problem, pipeline, sha256, tensors


def refused(tmp_path: Path) -> EngineError:
    """What is said of the folder `xl`, as a model of a list; as a folder with a card of its own it may not be loaded either."""
    problem = only_problem(listed(tmp_path, '[[model]]\nwhere = "xl"\nfamily = "sdxl"\n'))
    (tmp_path / "xl" / "card.toml").write_text('name = "xl"\nfamily = "sdxl"\n')
    shelf = Shelf.open([tmp_path / "xl"], pocket=False)
    with pytest.raises(EngineError, match="xl"):
        raise only_problem(shelf) if shelf.problems else next(shelf.entry("xl").faults())
    return problem


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.bin", "model.ckpt", "model.pt", "model.pth", "model.pkl"])
def test_a_pickle_that_would_have_to_be_loaded_is_refused_by_name(tmp_path: Path, name: str) -> None:
    folder = pipeline(tmp_path / "xl")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").rename(folder / "unet" / name)
    problem = refused(tmp_path)
    assert isinstance(problem, ModelCorrupt) and f"unet/{name}" in str(problem)


def test_a_pickle_beside_safetensors_is_not_read_and_does_no_harm(tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "xl")
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"cos\nsystem\n")
    listed(tmp_path, '[[model]]\nwhere = "xl"\n').entry("xl").verify()


def test_a_checkpoint_that_is_no_safetensors_file_is_refused(tmp_path: Path) -> None:
    tensors(tmp_path / "old.ckpt")  # whatever is in it
    pipeline(tmp_path / "settings", with_weights=False)
    problem = only_problem(listed(tmp_path, '[[model]]\nwhere = "old.ckpt"\nname = "old"\nfamily = "sdxl"\nconfig = "settings"\n'))
    assert isinstance(problem, ModelCorrupt) and "old.ckpt" in str(problem)


@pytest.mark.parametrize(
    "change",
    [
        {"_class_name": ["pipeline", "MyPipeline"]},
        {"_class_name": "os"},
        {"_class_name": "StableVideoDiffusionPipeline"},
        {"unet": ["unet_custom", "MyUNet"]},
        {"unet": ["os", "system"]},
        {"unet": ["diffusers", "a.b"]},
        {"../unet": ["diffusers", "UNet2DConditionModel"]},
    ],
)
def test_an_index_that_names_code_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    folder = pipeline(tmp_path / "xl")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, **change}))
    problem = refused(tmp_path)
    assert isinstance(problem, ModelCorrupt) and "model_index.json" in str(problem)


def test_a_link_out_of_the_folder_is_refused_and_one_inside_is_not(tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "xl")
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights.rename(folder / "blob.safetensors")
    weights.symlink_to(folder / "blob.safetensors")
    assert not listed(tmp_path, '[[model]]\nwhere = "xl"\n').problems
    (folder / "blob.safetensors").rename(tmp_path / "outside.safetensors")
    weights.unlink()
    weights.symlink_to(tmp_path / "outside.safetensors")
    problem = refused(tmp_path)
    assert isinstance(problem, ModelCorrupt) and "vae/diffusion_pytorch_model.safetensors is a link" in str(problem)


# ------------------------------------------------------------------------------------------------ files


def test_a_file_cut_short_is_seen_without_any_digest(tmp_path: Path) -> None:
    weights = pipeline(tmp_path / "xl") / "unet" / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    for torn in (whole[:-1], whole[:20], whole[:5], b"", whole + b"x", struct.pack("<Q", 2**63) + whole):
        weights.write_bytes(torn)
        problem = only_problem(listed(tmp_path, '[[model]]\nwhere = "xl"\n'))
        assert isinstance(problem, ModelCorrupt) and weights.name in str(problem) and str(problem).startswith("xl: ")
    weights.write_bytes(whole)
    assert not listed(tmp_path, '[[model]]\nwhere = "xl"\n').problems


@pytest.mark.parametrize("lost", ["unet/diffusion_pytorch_model.safetensors", "model_index.json"])
def test_a_lost_file_is_seen_when_the_shelf_is_opened(tmp_path: Path, lost: str) -> None:
    (pipeline(tmp_path / "xl") / lost).unlink()
    problem = only_problem(listed(tmp_path, '[[model]]\nwhere = "xl"\nfamily = "sdxl"\n'))
    assert isinstance(problem, ModelMissing) and lost.partition("/")[0] in str(problem)


def test_a_lost_part_of_sharded_weights_is_told(tmp_path: Path) -> None:
    unet = pipeline(tmp_path / "xl") / "unet"
    (unet / "diffusion_pytorch_model.safetensors").unlink()
    parts = [f"diffusion_pytorch_model-0000{k}-of-00002.safetensors" for k in (1, 2)]
    for part in parts:
        tensors(unet / part)
    (unet / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": parts[0], "b": parts[1]}}))
    assert not listed(tmp_path, '[[model]]\nwhere = "xl"\n').problems
    (unet / parts[1]).unlink()
    assert parts[1] in str(only_problem(listed(tmp_path, '[[model]]\nwhere = "xl"\n')))


def with_digest(tmp_path: Path) -> tuple[Entry, Path]:
    """A listed model whose unet has a digest; the file has lain there for a while."""
    weights = pipeline(tmp_path / "xl") / "unet" / "diffusion_pytorch_model.safetensors"
    os.utime(weights, (1_000_000, 1_000_000))
    entry = listed(tmp_path, f'[[model]]\nwhere = "xl"\n[model.sha256]\n"unet/{weights.name}" = "{sha256(weights)}"\n').entry("xl")
    return entry, weights


def test_a_flipped_bit_is_one_clear_error(tmp_path: Path) -> None:
    entry, weights = with_digest(tmp_path)
    entry.verify()
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ModelCorrupt, match=r"^xl: unet/diffusion_pytorch_model\.safetensors is not what its digest says$"):
        entry.verify()
    weights.unlink()
    with pytest.raises(ModelMissing, match=r"^xl: unet/diffusion_pytorch_model\.safetensors is not there$"):
        entry.verify()


def test_a_file_that_has_not_changed_is_hashed_once_until_asked_anew(tmp_path: Path) -> None:
    entry, weights = with_digest(tmp_path)
    entry.verify()
    memory = tmp_path / "models.verified.json"
    known = json.loads(memory.read_text())
    (key,) = known
    memory.write_text(json.dumps({key: [*known[key][:-1], "0" * 64]}))  # a wrong memory, believed because the file is as it was
    with pytest.raises(ModelCorrupt):
        entry.verify()
    assert not list(entry.faults(fresh=True))  # reads the file, and remembers what is so
    entry.verify()
    memory.write_text(json.dumps({key: [*known[key][:-1], "0" * 64]}))
    os.utime(weights, (2_000_000, 2_000_000))  # now the memory is of another file
    entry.verify()


def test_a_memory_that_cannot_be_read_is_no_memory(tmp_path: Path) -> None:
    entry, _ = with_digest(tmp_path)
    for nonsense in ("", "[]", '{"x": 1}'):
        (tmp_path / "models.verified.json").write_text(nonsense)
        entry.verify()


def test_a_file_that_changed_a_moment_ago_is_not_remembered(tmp_path: Path) -> None:
    entry, weights = with_digest(tmp_path)
    os.utime(weights)
    entry.verify()
    assert not (tmp_path / "models.verified.json").exists()


def test_a_digest_may_not_be_of_a_file_outside(tmp_path: Path) -> None:
    pipeline(tmp_path / "xl")
    problem = only_problem(listed(tmp_path, f'[[model]]\nwhere = "xl"\nsha256 = {{ "../../x" = "{"0" * 64}" }}\n'))
    assert isinstance(problem, ModelCorrupt) and "outside" in str(problem)


def test_an_adapters_own_manifest_is_held_against_it(tmp_path: Path) -> None:
    pipeline(tmp_path / "xl")
    ink = tensors(tmp_path / "loras" / "ink.safetensors")
    (ink.parent / "MANIFEST.sha256").write_text(f"{sha256(ink)}  ink.safetensors\n{'0' * 64}  other.safetensors\n")
    entry = listed(tmp_path, '[[model]]\nwhere = "xl"\nloras = { ink = "loras/ink.safetensors" }\n').entry("xl")
    entry.verify()
    tensors(ink, 5)
    with pytest.raises(ModelCorrupt, match=r"ink\.safetensors"):
        entry.verify()


def test_unneeded_components_need_no_files(tmp_path: Path) -> None:
    pipeline(tmp_path / "xl", components={**SDXL, "safety_checker": ("stable_diffusion", "StableDiffusionSafetyChecker")})
    (tmp_path / "xl" / "safety_checker" / "config.json").unlink()
    (tmp_path / "xl" / "safety_checker").rmdir()
    assert not listed(tmp_path, '[[model]]\nwhere = "xl"\n').problems
