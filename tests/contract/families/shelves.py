"""The small models as model directories on a shelf, and what is loaded from them: ours, and diffusers' own."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from engine.model import Model
from engine.shelf import Entry, Shelf
from tests.contract.engines import write_manifest
from tests.contract.families import networks, others

#: By the name of the model: its family, and how its pipeline is made.
BUILDERS = {**networks.BUILDERS, **others.BUILDERS}

CARD = """
title = "{name}"
family = "{family}"
licence = "none"
width = 64
height = 64
multiple = {multiple}
min_edge = 32
max_edge = 256
steps = 4
guidance = 3.0
{further}
"""


@functools.cache
def shelf_folder() -> Path:
    """Where all models of this run lie."""
    folder = Path(tempfile.mkdtemp(prefix="wordup-families-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def folder(name: str) -> Path:
    """An ordinary diffusers directory with a card and a manifest."""
    family, build = BUILDERS[name]
    where = shelf_folder() / name
    build().save_pretrained(where)
    card(where, name, family)
    write_manifest(where)
    return where


def card(where: Path, name: str, family: str, further: str = "") -> None:
    (where / "card.toml").write_text(CARD.format(name=name, family=family, multiple=32 if family == "sana" else 16, further=further), encoding="utf-8")


def entry(where: Path) -> Entry:
    """As the product's own shelf reads it."""
    shelf = Shelf.open([where], pocket=False)
    assert not shelf.problems, shelf.problems
    return shelf.entries[0]


@functools.cache
def model(name: str) -> Model:
    return Model.load(entry(folder(name)), torch.device("cpu"))


@functools.cache
def stock(name: str, kind: str) -> Any:
    """The pipeline of class `kind` as diffusers loads it from the same directory, with nothing of ours in between."""
    import diffusers

    usual = model(name).family.pipelines["words"]
    pipeline = getattr(diffusers, kind).from_pretrained(folder(name)) if kind == usual else getattr(diffusers, kind).from_pipe(stock(name, usual))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
