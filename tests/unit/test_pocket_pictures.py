"""The examination of the pocket model with pictures beside its words: what it shows the model, through the engine, and how the figures are come by."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from engine.api import Control, ImagePrompt
from engine.shelf import POCKET
from training import evaluate, judge, report, sprites
from training.evaluate_pictures import SHOWN, Pictured, _thinned, _without_style, penned, shrunk
from training.places import EDGE
from training.scenes import Painter
from training.sketch import agreement
from training.studio import Studio


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Discs for artwork, and a judge that never saw any."""
    folder = tmp_path_factory.mktemp("work")
    np.savez(folder / "sprites.npz", **{"|".join(key): picture for key, picture in sprites.stand_ins().items()})  # type: ignore[arg-type]
    judge.keep(folder, judge.build())
    return folder


@pytest.fixture(scope="module")
def room(work: Path) -> Pictured:
    return Pictured(work, POCKET, share=0.01)


@pytest.fixture(scope="module")
def painter() -> Painter:
    return Painter(sprites.stand_ins(), 3)


def test_a_drawing_has_its_things_lines_and_not_its_scenerys(painter: Painter) -> None:
    scene = painter.scene(kind="one", place="city", style="cartoon")
    thing, drawing = scene.things[0], penned(scene)
    outside = np.ones_like(drawing)
    outside[thing.y - 1 : thing.y + thing.edge + 1, thing.x - 1 : thing.x + thing.edge + 1] = False
    assert drawing.any() and not (drawing & outside).any()
    assert 0 < _thinned(drawing).sum() < drawing.sum() / 2


def test_a_picture_agrees_with_its_own_lines_and_less_with_anothers(painter: Painter) -> None:
    one, other = (painter.scene(kind="one", things=[name], place="white", style="cartoon") for name in ("fox", "church"))
    own, strange = (agreement(one.pixels, _thinned(penned(scene))) for scene in (one, other))
    assert own > 0.9 and own > strange


def test_words_for_a_style_reference_name_no_style(painter: Painter) -> None:
    said = [_without_style(painter.scene(kind="one", place="snow", style="3d").caption) for _ in range(60)]
    assert all("3d" not in each and "render" not in each and each == each.strip(" ,") for each in said)


def test_pictures_of_the_size_members_see_are_read_at_the_judges_size() -> None:
    fine = np.random.default_rng(0).integers(0, 256, (2, SHOWN * EDGE, SHOWN * EDGE, 3), dtype=np.uint8)
    means = fine.reshape(2, EDGE, SHOWN, EDGE, SHOWN, 3).mean((2, 4))
    assert np.abs(shrunk(fine) - means).max() <= 1


def test_members_pictures_reach_the_model_and_change_what_it_draws(painter: Painter) -> None:
    studio, swift = Studio(POCKET), {"steps": 2}
    held = studio.hold(painter.scene(kind="one", place="red", style="cartoon").pixels)
    plain = studio.ask("a fox in the snow", 7, **swift)
    others = [
        studio.ask("a fox in the snow", 7, **swift, image_prompts=(ImagePrompt(picture=held),)),
        studio.ask("a fox in the snow", 7, **swift, control=Control(kind="sketch", picture=held)),
    ]
    first, *drawn = studio.draw([plain, *others])
    assert first.shape == (EDGE, EDGE, 3)
    assert all(np.abs(first.astype(int) - each).mean() > 2 for each in drawn)


def test_a_part_asks_the_same_alone_and_with_the_others(room: Pictured) -> None:
    asked = []
    for _ in range(2):
        room.begin(5)
        asked.append((room.examiner.singles(6), room.painter.scene().caption, room.rng.integers(1_000)))
        room.painter.scene()  # what another part would do
    assert asked[0] == asked[1]


def test_what_was_not_erased_stays_as_it_was(room: Pictured) -> None:
    room.begin()
    found = room.erased()
    assert found["region_rest"].value is not None and found["region_rest"].value > 0.8
    assert set(found) == {"region_thing", "region_place", "region_rest"} and all(mark.count == 4 for mark in found.values())


def test_of_a_model_that_takes_no_pictures_nothing_is_asked(work: Path, tmp_path: Path) -> None:
    model = tmp_path / "plain"
    shutil.copytree(POCKET, model, ignore=shutil.ignore_patterns("image_adapter", "control", "sight", "MANIFEST.sha256"))
    card = [line for line in (model / "card.toml").read_text().splitlines() if not line.startswith(("image_", "controls", "sight"))]
    (model / "card.toml").write_text("\n".join([*card, 'operations = ["imagine"]']) + "\n")
    assert list(Pictured(work, model, share=0.01).marks()) == []


def test_figures_about_pictures_leave_the_others_as_they_are(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps({"evaluation": evaluate.told({"place": evaluate.Mark(0.97, 150)})}))

    class Few:
        def __init__(self, *told: object) -> None: ...

        def marks(self) -> list[evaluate.Marks]:
            return [{"sketch_lines": evaluate.Mark(0.5, 8, quick=0.4, note="0.1 when the drawing is not shown")}]

    monkeypatch.setattr(evaluate, "Pictured", Few)
    found = evaluate.evaluate(work, tmp_path, pictures=True)
    assert found["place"]["value"] == 0.97 and found["sketch_lines"]["quick"] == 0.4
    assert json.loads((tmp_path / "metrics.json").read_text())["evaluation"] == found
    assert "sketch: lines are where the sketch has them (F1, within 2 pixels) |  | 0.50 | 0.40 |" in report.table(found)
