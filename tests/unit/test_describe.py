"""What a picture is said to show: the model's own words, ranked by its image-text model and tried in whole sentences."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import normalize

from engine import describe, perform
from engine.api import UnsupportedOperation
from engine.describe import Describer, Description
from engine.hub import Hub, Task
from tests.contract.engines import imagine, tiny, write_manifest
from tests.contract.seeing import Guest, load, seeing

WORDS = {
    "things": ("fox", "owl", "whale", "cherries"),
    "places": ("in the snow", "underwater", "desert"),
    "colours": ("red", "orange"),
    "styles": ("cartoon", "pencil sketch"),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread_without_gradients() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        yield
    torch.set_num_threads(threads)


class BagOfWords:
    """An image-text model for which a picture is the sentence it stands for: its number is the value of its pixels. Grammar is nothing to it."""

    scale = 30.0

    def __init__(self, *shown: str) -> None:
        self.shown, self.read = shown, [""][:0]

    def words(self, texts: list[str]) -> torch.Tensor:
        self.read += texts
        return torch.stack([self.vector(text) for text in texts])

    def pictures(self, images: torch.Tensor) -> torch.Tensor:
        return torch.stack([self.vector(self.shown[int(image.mean())]) for image in images])

    def vector(self, text: str) -> torch.Tensor:
        """Each word a direction of its own, whether one or many are meant; articles say little."""
        out = torch.zeros(4096)
        for word in text.replace(",", "").split():
            stem = word.rstrip("es")
            out[sum(ord(letter) * 31**k for k, letter in enumerate(stem)) % 4096] += 0.1 if word in {"a", "an", "the", "in", "on"} else 1.0
        return normalize(out, dim=0)

    def describe(self, words: Any = WORDS) -> list[Description]:
        images = torch.arange(len(self.shown)).float()[:, None, None, None].expand(-1, 3, 4, 4)
        return describe.describe(self, images, words)  # type: ignore[arg-type]


def named(description: Description) -> tuple[str, ...]:
    return tuple(thing.word for thing in description.things)


@pytest.mark.parametrize(
    ("shown", "things", "ground", "style"),
    [
        ("a fox in the snow, cartoon", ("fox",), "in the snow", "cartoon"),
        ("an owl on an orange background, pencil sketch", ("owl",), "orange", "pencil sketch"),
        ("cherries in the desert, cartoon", ("cherries",), "desert", "cartoon"),
        ("a fox and an owl underwater, pencil sketch", ("fox", "owl"), "underwater", "pencil sketch"),
        ("three whales on a red background, cartoon", ("whale",), "red", "cartoon"),
    ],
)
def test_a_picture_is_described_in_the_models_own_words(shown: str, things: tuple[str, ...], ground: str, style: str) -> None:
    (found,) = BagOfWords(shown).describe()
    assert found.prompts[0] == shown
    assert set(named(found)) == set(things)
    assert found.ground is not None and found.ground.word == ground
    assert found.style is not None and found.style.word == style


def test_each_picture_has_a_description_of_its_own() -> None:
    shown = ("two foxes in the snow, cartoon", "a whale underwater, cartoon")
    assert [found.prompts[0] for found in BagOfWords(*shown).describe()] == list(shown)


def test_four_prompts_are_offered_and_none_twice() -> None:
    (found,) = BagOfWords("a fox in the snow, cartoon").describe()
    assert len(set(found.prompts)) == len(found.prompts) == len(found.fits) == 4
    assert list(found.fits) == sorted(found.fits, reverse=True)


def test_how_likely_a_word_is_is_told_among_all_of_its_kind() -> None:
    (found,) = BagOfWords("a fox and an owl in the snow").describe()
    fox, owl = found.things
    assert 0.3 < owl.score <= fox.score < 0.6 and fox.score + owl.score <= 1
    (sure,) = BagOfWords("a fox").describe()
    assert sure.things[0].score > 0.99


def test_kinds_of_words_that_a_model_does_not_name_are_left_out() -> None:
    (found,) = BagOfWords("a fox in the snow").describe({"things": ("fox", "owl")})
    assert found.prompts[0] == "a fox" and found.ground is None and found.style is None
    (found,) = BagOfWords("a fox in the snow").describe({"places": ("in the snow", "underwater")})
    assert found.prompts[0] == "in the snow" and found.things == ()


def test_words_are_read_once_and_remembered() -> None:
    seer = BagOfWords("a fox in the snow, cartoon", "an owl underwater")
    describer = Describer(seer, WORDS)  # type: ignore[arg-type]
    for _ in range(3):
        describer(torch.ones(1, 3, 4, 4))
    assert seer.read.count("a fox") == 1 and seer.read.count("on a red background") == 1


@pytest.mark.parametrize(
    ("name", "one", "many"),
    [
        ("fox", "a fox", "foxes"),
        ("owl", "an owl", "owls"),
        ("unicorn", "a unicorn", "unicorns"),
        ("octopus", "an octopus", "octopuses"),
        ("cherries", "cherries", "cherries"),
        ("bread", "bread", "bread"),
        ("butterfly", "a butterfly", "butterflies"),
        ("monkey", "a monkey", "monkeys"),
        ("mouse", "a mouse", "mice"),
        ("fish", "a fish", "fish"),
        ("palm tree", "a palm tree", "palm trees"),
        ("cup of coffee", "a cup of coffee", "cups of coffee"),
    ],
)
def test_names_are_said_as_english_says_them(name: str, one: str, many: str) -> None:
    assert (describe.with_article(name), describe.plural(name)) == (one, many)


# ------------------------------------------------------------------------------------------------ a model that sees


@pytest.fixture(scope="module")
def model() -> Any:
    return load(seeing())


def test_likelihoods_are_those_of_the_image_text_model(model: Any) -> None:
    images, describer = torch.rand(2, 3, 48, 64, generator=torch.Generator().manual_seed(0)), describe.of(model)
    network = describer._sight._network
    seen, said = describer._sight.pictures(images), describer._sight.words(["in the snow", "on a red background"])
    for found, row in zip(describer(images), (network.logit_scale.exp() * seen @ said.T).softmax(1), strict=True):
        assert found.ground is not None and found.ground.word == ("snow", "red")[int(row.argmax())]
        assert found.ground.score == pytest.approx(float(row.max()), abs=1e-5)


def test_the_prompts_that_fit_best_are_those_the_image_text_model_scores_highest(model: Any) -> None:
    images, describer = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)), describe.of(model)
    (found,) = describer(images)
    scores = [describer._sight.score(images, describer._sight.words([prompt])[0])[0] for prompt in found.prompts]
    assert scores == pytest.approx(found.fits, abs=1e-5)


def test_describing_goes_on_beside_drawing_and_neither_changes_the_other(model: Any) -> None:
    images, request = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(2)), imagine(steps=4)
    ended: dict[str, Task] = {}
    hub = Hub(max_rows=64, clock=time.perf_counter)

    def join(name: str, body: Any) -> None:
        hub.join(Task(body, 1, lambda task: ended.update({name: task})))

    fresh, guest = load(seeing()), Guest(request)
    join("drawing", lambda: perform.perform(fresh, request, guest.canvas, guest))
    join("describing", lambda: describe.of(fresh)(images))
    turns = 0
    while hub.tick():
        turns += 1
    assert turns > request.steps + 8  # every word was a turn of the hub, and others had theirs between
    assert ended["describing"].result == describe.of(model)(images)
    alone = perform.perform(model, request, guest.canvas, Guest(request))
    assert ended["drawing"].result.images == pytest.approx(alone.images, abs=1e-5)


def test_a_model_without_eyes_or_without_words_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedOperation) as refusal:
        describe.of(load(tiny()))
    assert refusal.value.what == "/describe"
    folder = tmp_path / "tiny"
    shutil.copytree(seeing(), folder)
    (folder / "vocabulary.json").unlink()
    write_manifest(folder)
    with pytest.raises(UnsupportedOperation, match="describe"):
        describe.of(load(folder))
