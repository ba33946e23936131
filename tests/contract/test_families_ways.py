"""Chaos, moving pictures, the weight of words and parts by their names in every family that has them: each leans on what the family's denoiser and scheduler
are called with.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from engine import operations, phrase, questions
from engine.abilities import OPERATIONS
from engine.api import MorphRequest, Part
from engine.hub import Hub, Task
from engine.jobs import Outline, Weigh
from tests.contract.engines import imagine
from tests.contract.families import shelves
from tests.contract.families.company import Guest, far, party
from tests.contract.families.shelves import BUILDERS

NAMES = ("sd", "sdxl", "sd3", "flux", "klein", "pixart", "sana", "sprint", "zimage", "qwen")
MOVING = tuple(name for name in NAMES if name != "sprint" and "animate" in OPERATIONS[BUILDERS[name][0]])
TOLERANCE = 2e-5


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    yield
    torch.set_grad_enabled(True)
    torch.set_num_threads(threads)


class Nobody:
    """Watches nothing."""

    def progress(self, step: int, of: int) -> None: ...

    def wants_preview(self) -> bool:
        return False

    def preview(self, pictures: list[Any]) -> None: ...


def in_hub(body: Any) -> Any:
    """The result of one task."""
    hub = Hub(max_rows=8, clock=lambda: 0.0)
    task = Task(body, 1, lambda task: None)
    hub.join(task)
    while hub.tick():
        pass
    if task.error:
        raise task.error
    return task.result


@pytest.mark.parametrize("name", NAMES)
def test_with_chaos_a_seed_is_still_a_picture_and_another_one_than_without(name: str) -> None:
    model = shelves.model(name)
    request = imagine("a cat", name, steps=3, guidance=3.0, seed=1, count=2, chaos=0.8)
    grid, second, settled = Guest(request), Guest(replace(request, seed=2, count=1)), Guest(replace(request, chaos=0.0))
    party(model, [grid, settled])
    party(model, [second])
    assert far(grid.images[1:], second.images) < TOLERANCE
    assert min(far(grid.images[k], settled.images[k]) for k in (0, 1)) > 100 * TOLERANCE


@pytest.mark.parametrize("name", MOVING)
def test_a_picture_moves_in_a_circle(name: str) -> None:
    start = Image.fromarray(np.tile(np.linspace(0, 255, 64, dtype=np.uint8)[None, :, None], (64, 1, 3)))
    words = (Part(text="a cat"),)
    request = MorphRequest(model=name, before=words, after=words, seed=1, width=64, height=64, frames=4, steps=4, guidance=3.0, source="0" * 64, strength=0.6)
    model = shelves.model(name)
    images = in_hub(lambda: operations.animate(model, request, start, Nobody())).images
    assert images.shape == (4, 64, 64, 3)
    apart = [float(np.abs(images[k] - images[(k + 1) % 4]).mean()) for k in range(4)]
    assert min(apart) > 1e-4 and max(apart) < 4 * min(apart)  # no step of the way is a leap, the last one to the first neither


@pytest.mark.parametrize("name", NAMES)
def test_every_family_tells_how_much_words_carry(name: str) -> None:
    text = "a cat on a boat"
    places = tuple((at, at + len(word)) for at, word in ((0, "a"), (2, "cat"), (6, "on"), (9, "a"), (11, "boat")))
    model = shelves.model(name)
    found = in_hub(lambda: questions.weigh(model, Weigh(model=name, text=text, words=places)))
    assert [(each.start, each.end) for each in found] == list(places)
    weights = [each.weight for each in found]
    assert max(weights) == 1 and min(weights) >= 0 and len(set(weights)) > 1


@pytest.mark.parametrize("name", MOVING)
def test_words_change_a_noised_picture_and_no_words_change_nothing(name: str) -> None:
    model = shelves.model(name)
    picture = np.asarray(Image.fromarray(np.random.default_rng(1).integers(0, 255, (4, 4, 3), np.uint8)).resize((96, 64), Image.Resampling.BICUBIC))

    def differences(words: str) -> Any:
        return in_hub(lambda: phrase.differences(model, Outline(model=name, picture=picture, phrase=words)))

    hat = differences("the hat")
    assert hat.ndim == 2 and hat.shape[1] * 2 == hat.shape[0] * 3 and hat.min() >= 0 and np.isfinite(hat).all()
    assert hat.max() > 1e-4 and np.abs(differences("a cat") - hat).max() > 0.01 * hat.max()
    assert differences(model.family.blank or "").max() < 1e-3 * hat.max()
