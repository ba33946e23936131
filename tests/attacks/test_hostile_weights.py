"""Model files made to run somebody's program, or changed on the way: a sample of each, alive, and none of them gets to run or to draw."""

from __future__ import annotations

import json
import os
import pickle
import re
import struct
from pathlib import Path

import pytest

from engine.api import EngineError, ModelCorrupt
from engine.shelf import Shelf
from engine.weights import PICKLES
from tests.unit.model_files import listed, only_problem, pipeline, sha256

ROOT = Path(__file__).parents[2]
LISTED = '[[model]]\nwhere = "xl"\nfamily = "sdxl"\n'


class Malice:
    """A pickle of this runs a command when it is read."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return os.mkdir, (str(self.proof),)


def everything(shelf: Shelf) -> list[str]:
    """All that the program does with a model before it may draw: what is wrong with it."""
    found = [str(problem) for problem in shelf.problems.values()]
    for entry in shelf.entries:
        try:
            entry.verify()
            found += [str(fault) for fault in entry.faults()]
        except EngineError as error:
            found.append(str(error))
    return found


def test_the_sample_is_alive(tmp_path: Path):
    """Else the tests below would show nothing."""
    pickle.loads(pickle.dumps(Malice(tmp_path / "ran")))  # noqa: S301 (it is our own)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("ending", sorted(PICKLES))
@pytest.mark.parametrize("component", ["unet", "vae", "text_encoder"])
def test_pickled_weights_are_refused_and_never_read(tmp_path: Path, ending: str, component: str):
    folder, proof = pipeline(tmp_path / "xl"), tmp_path / "ran"
    (weights,) = (folder / component).glob("*.safetensors")
    weights.unlink()
    weights.with_suffix(ending).write_bytes(pickle.dumps(Malice(proof)))
    problems = everything(listed(tmp_path, LISTED))
    assert len(problems) == 1 and f"{component}/{weights.stem}{ending}" in problems[0]
    assert not proof.exists()


def test_a_pickle_that_calls_itself_safetensors_is_refused_and_never_read(tmp_path: Path):
    folder, proof = pipeline(tmp_path / "xl"), tmp_path / "ran"
    (weights,) = (folder / "unet").glob("*.safetensors")
    weights.write_bytes(pickle.dumps(Malice(proof)))
    assert isinstance(only_problem(listed(tmp_path, LISTED)), ModelCorrupt)
    assert not proof.exists()


@pytest.mark.parametrize("where", ["pipeline.py", "unet/my_unet.py", "unet/diffusion_pytorch_model.py", "__init__.py", "sitecustomize.py"])
def test_a_program_in_a_models_folder_is_not_run(tmp_path: Path, where: str):
    folder, proof = pipeline(tmp_path / "xl"), tmp_path / "ran"
    (folder / where).write_text(f"import os\nos.mkdir({str(proof)!r})\n\nclass MyUNet: ...\n")
    everything(listed(tmp_path, LISTED))
    assert not proof.exists()


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("model_index.json", {"_class_name": ["pipeline", "MyPipeline"]}),
        ("model_index.json", {"unet": ["my_unet", "MyUNet"]}),
        ("model_index.json", {"unet": ["os", "system"]}),
        ("model_index.json", {"custom_pipeline": ["pipeline", "MyPipeline"]}),
    ],
)
def test_an_index_that_asks_for_a_program_is_refused(tmp_path: Path, file: str, change: dict[str, object]):
    folder, proof = pipeline(tmp_path / "xl"), tmp_path / "ran"
    for name in ("pipeline.py", "my_unet.py", "unet/my_unet.py"):
        (folder / name).write_text(f"import os\nos.mkdir({str(proof)!r})\n\nclass MyUNet: ...\nclass MyPipeline: ...\n")
    (folder / file).write_text(json.dumps({**json.loads((folder / file).read_text()), **change}))
    assert everything(listed(tmp_path, LISTED))
    assert not proof.exists()


def test_no_line_of_ours_would_let_a_models_program_run():
    """`trust_remote_code` is set nowhere, weights are asked for as safetensors wherever something is loaded, and no pickle is read by the bot or the engine."""
    for source in [*(ROOT / "engine").rglob("*.py"), *(ROOT / "bot").rglob("*.py")]:
        text = source.read_text("utf-8")
        assert not re.search(r"trust_remote_code\s*=|torch\.load\(|pickle\.loads?\(|custom_pipeline\s*=|\bmarshal\b|\bjoblib\b", text), source
        for line in text.splitlines():
            if ".from_pretrained" in line and not re.search(r"Auto(Config|Tokenizer)\.", line):
                assert "use_safetensors=True" in line and "local_files_only=True" in line, (source, line)


@pytest.mark.parametrize("at", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("bit", [1, 128])
def test_one_changed_bit_of_weights_with_a_digest_is_seen(tmp_path: Path, at: float, bit: int):
    folder = pipeline(tmp_path / "xl")
    (weights,) = (folder / "unet").glob("*.safetensors")
    text = f'{LISTED}[model.sha256]\n"unet/{weights.name}" = "{sha256(weights)}"\n'
    assert everything(listed(tmp_path, text)) == []
    data = bytearray(weights.read_bytes())
    start = 8 + struct.unpack("<Q", data[:8])[0]
    data[start + round(at * (len(data) - 1 - start))] ^= bit
    weights.write_bytes(data)
    problems = everything(listed(tmp_path, text))
    assert len(problems) == 1 and "not what its digest says" in problems[0]


def test_weights_that_were_put_in_the_place_of_others_are_seen(tmp_path: Path):
    """Whole and well made, of the same size: only the digest tells."""
    folder = pipeline(tmp_path / "xl")
    (weights,) = (folder / "unet").glob("*.safetensors")
    text = f'{LISTED}[model.sha256]\n"unet/{weights.name}" = "{sha256(weights)}"\n'
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-16] + struct.pack("<4f", 9, 9, 9, 9))
    assert "not what its digest says" in everything(listed(tmp_path, text))[0]


@pytest.mark.parametrize("length", [0, 1, 2**20, 2**40, 2**62, 2**64 - 1])
def test_a_header_that_lies_about_its_length_takes_no_memory(tmp_path: Path, length: int):
    folder = pipeline(tmp_path / "xl")
    (weights,) = (folder / "unet").glob("*.safetensors")
    weights.write_bytes(struct.pack("<Q", length) + b"{}")
    assert isinstance(only_problem(listed(tmp_path, LISTED)), ModelCorrupt)
