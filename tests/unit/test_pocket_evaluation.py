"""The examination of the pocket model: what is kept out of training, the judge, the arithmetic of the table, and its text."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from training import dataset, evaluate, heldout, judge, marks, report, sprites
from training.artist import Artist, Way, adapted
from training.gallery import Gallery
from training.places import EDGE
from training.scenes import Painter, Placed
from training.softening import cosines, soften
from training.vocabulary import COLOURS, PLACES, STYLES, THINGS

GROUNDS = [*PLACES, *COLOURS]
FEW = 6


@pytest.fixture(scope="module")
def few() -> dict[tuple[str, str], np.ndarray]:
    """Discs for a few things."""
    names = [words[0] for words in THINGS.values()][:FEW]
    return {key: picture for key, picture in sprites.stand_ins().items() if key[0] in names}


@pytest.fixture(scope="module")
def trained(few: dict[tuple[str, str], np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    """A judge of a few steps and its losses."""
    work = tmp_path_factory.mktemp("work")
    np.savez(work / "sprites.npz", **{"|".join(key): picture for key, picture in few.items()})  # type: ignore[arg-type]
    return work, judge.train(work, 3_600, 16, batch=8, pool=48)


# ------------------------------------------------------------------------------------------------ what is kept out


def test_no_synonym_stands_in_any_caption() -> None:
    said = {word for group in (THINGS, PLACES, STYLES) for phrases in group.values() for phrase in phrases for word in re.findall(r"[a-z0-9]+", phrase.lower())}
    said |= {word for colour in COLOURS for word in colour.split()}
    assert not [word for word, _ in heldout.SYNONYMS if said & set(re.findall(r"[a-z0-9]+", word))]


def test_a_hundred_synonyms_each_mean_a_thing_of_the_world() -> None:
    assert len(heldout.synonyms(words[0] for words in THINGS.values())) == len(heldout.SYNONYMS) >= 100
    assert len({word for word, _ in heldout.SYNONYMS}) == len(heldout.SYNONYMS)


def test_one_combination_in_twenty_is_kept_out_of_training_and_always_the_same() -> None:
    every = list(itertools.product(judge.names(), GROUNDS, STYLES))
    share = sum(heldout.kept_out(*each) for each in every) / len(every)
    assert 0.04 < share < 0.06
    assert heldout.kept_out("fox", "night", "3d") and not heldout.kept_out("fox", "snow", "3d")  # by the hash, on every machine


def test_a_painter_left_alone_paints_nothing_that_is_kept_out(few: dict[tuple[str, str], np.ndarray]) -> None:
    painter = Painter(few, 5)
    for _ in range(80):
        scene = painter.scene()
        assert not any(heldout.kept_out(thing.name, scene.place, scene.style) for thing in scene.things)


def test_an_examiner_asks_for_what_was_kept_out_and_for_everything_alike() -> None:
    examiner = heldout.Examiner(judge.names(), GROUNDS, list(STYLES), 1)
    asked = [*examiner.singles(300), *examiner.pairs(40, ("and", "left")), *examiner.counts(30), *examiner.words()]
    assert all(heldout.kept_out(each.things[0], each.place, each.style) for each in asked)
    times = [sum(each.things == (thing,) for each in asked[:300]) for thing in judge.names()]
    assert max(times) - min(times) <= 1
    assert {each.relation for each in asked[300:340]} == {"and", "left"} and all(len(set(each.things)) == 2 for each in asked[300:340])
    assert [each.count for each in asked[340:370]] == [1, 2, 3] * 10


def test_an_examination_is_its_seed() -> None:
    asked = [heldout.Examiner(judge.names(), GROUNDS, list(STYLES), seed).singles(20) for seed in (1, 1, 2)]
    assert asked[0] == asked[1] != asked[2]


def test_a_world_too_small_to_keep_anything_out_cannot_be_examined() -> None:
    with pytest.raises(ValueError, match="kept out"):
        heldout.Examiner(["fox"], ["snow"], ["3d"], 1)


# ------------------------------------------------------------------------------------------------ the judge


def test_the_judge_learns(trained: tuple[Path, list[float]]) -> None:
    _, losses = trained
    assert len(losses) == 16 and np.mean(losses[-4:]) < 0.8 * np.mean(losses[:2])


def test_a_saved_judge_is_the_one_that_was_trained(trained: tuple[Path, list[float]]) -> None:
    work, _ = trained
    kept = torch.load(work / "judge.pt")["model"]
    assert all(torch.equal(value, kept[name]) for name, value in judge.load(work).state_dict().items())


def test_a_judge_goes_on_where_it_stopped(trained: tuple[Path, list[float]], tmp_path: Path) -> None:
    for name in ("sprites.npz", "judge.pt"):
        (tmp_path / name).write_bytes((trained[0] / name).read_bytes())
    assert judge.train(tmp_path, 3_600, 1, batch=8, pool=8)[0] < trained[1][0]
    assert torch.load(tmp_path / "judge.pt")["step"] == 17


def test_a_judge_of_another_vocabulary_is_refused(trained: tuple[Path, list[float]], tmp_path: Path) -> None:
    folder = tmp_path / "judge"
    folder.mkdir()
    (folder / "config.json").write_text((trained[0] / "judge" / "config.json").read_text().replace('"fox"', '"badger"'))
    with pytest.raises(ValueError, match="another vocabulary"):
        judge.load(tmp_path)


def test_a_reading_says_as_much_of_every_picture_alone_as_of_all(trained: tuple[Path, list[float]], few: dict[tuple[str, str], np.ndarray]) -> None:
    painter, reader = Painter(few, 3), judge.load(trained[0])
    pictures = np.stack([painter.scene().pixels for _ in range(5)])
    together, alone = judge.read(reader, pictures, batch=2), judge.read(reader, pictures[3:4])
    assert together.things.shape == (5, len(THINGS)) and together.cells.shape == (5, len(THINGS), 8, 8)
    assert np.allclose(together[3:4].features, alone.features, atol=1e-4)


@pytest.fixture(scope="module")
def painted(few: dict[tuple[str, str], np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work directory with two parts of scenes."""
    work = tmp_path_factory.mktemp("painted")
    np.savez(work / "sprites.npz", **{"|".join(key): picture for key, picture in few.items()})  # type: ignore[arg-type]
    for part, count in ((0, 20), (1, 12)):
        dataset.paint_part(work, part, count)
    return work


def test_pictures_of_a_gallery_are_those_that_its_words_tell_of(painted: Path) -> None:
    gallery, numbers = Gallery(painted, torch.device("cpu")), np.array([31, 0, 19, 20, 0])
    pictures, store = gallery.pictures(numbers), dataset.pixels(painted)
    expected = np.stack([store[1][11], store[0][0], store[0][19], store[1][0], store[0][0]])
    assert len(gallery) == 32 and gallery.words == dataset.words(painted)
    assert np.array_equal((pictures * 255).round().byte().permute(0, 2, 3, 1).numpy(), expected)


def test_a_gallery_without_scenes_says_how_they_are_painted(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="dataset"):
        Gallery(tmp_path, torch.device("cpu"))


def test_scenes_painted_before_teach_every_style_as_often_and_what_they_show(painted: Path) -> None:
    gallery = Gallery(painted, torch.device("cpu"))
    archive = judge.Archive(gallery, np.random.default_rng(0))
    pictures, cells, whole = archive.batch(600)
    there = sorted({list(STYLES).index(scene["style"]) for scene in gallery.words})
    times = np.bincount(whole[:, 1])[there]
    assert times.sum() == 600 and times.min() > 0.7 * 600 / len(there)
    labels = {gallery.pictures(np.array([n])).numpy().tobytes(): scene for n, scene in enumerate(gallery.words)}
    for picture, cell, (place, style, count) in zip(pictures[:40], cells[:40], whole[:40].tolist(), strict=True):
        scene = labels[picture[None].numpy().tobytes()]
        assert {judge.names()[k] for k in cell.unique().tolist() if 0 <= k < len(THINGS)} == {thing[0] for thing in scene["things"]}
        assert list(STYLES)[style] == scene["style"] and count == min(3, len(scene["things"])) - 1
        assert place == judge.IGNORED or judge.grounds()[place] == scene["place"]


def test_a_judge_learns_from_scenes_painted_before(painted: Path) -> None:
    losses = judge.train(painted, 3_600, 16, batch=8)
    assert len(losses) == 16 and np.mean(losses[-4:]) < 0.8 * np.mean(losses[:2])
    found = judge.measure(painted, 24)
    kinds = {"thing", "thing_kept_out", "place", "style"}
    assert set(found) == {f"{way}_{kind}" for way in ("crisp", "soft") for kind in kinds} and all(0 <= share <= 1 for share in found.values())


def test_cells_belong_to_the_thing_on_them_and_its_rim_to_nobody() -> None:
    back = Placed(name="fox", x=0, y=0, edge=64, mirrored=False)
    labels = judge.cell_labels([back, replace(back, name="owl", x=64, y=64)], {"fox": 0, "owl": 1})
    assert (labels[1:3, 1:3] == 0).all() and (labels[5:7, 5:7] == 1).all()
    assert (labels[0, :4] == judge.IGNORED).all() and (labels[:4, 5:] == 2).all()


def test_softened_pictures_are_other_pictures_of_the_same_thing(few: dict[tuple[str, str], np.ndarray]) -> None:
    painter = Painter(few, 4)
    crisp = judge.to_tensor(np.stack([painter.scene(style="pixel").pixels for _ in range(12)]))
    soft = soften(crisp, np.random.default_rng(0))
    assert soft.shape == crisp.shape and soft.min() >= 0 and soft.max() <= 1
    apart = (soft - crisp).abs().mean((1, 2, 3))
    assert (apart > 0.002).all() and (apart < 0.2).all()
    assert torch.equal(soft, soften(crisp, np.random.default_rng(0)))


@pytest.mark.parametrize("edge", [8, 16])
def test_the_cosine_basis_is_orthonormal(edge: int) -> None:
    basis = cosines(edge)
    assert torch.allclose(basis @ basis.T, torch.eye(edge), atol=1e-5)


# ------------------------------------------------------------------------------------------------ arithmetic


def test_among_the_first_k() -> None:
    scores = np.array([[0.1, 0.7, 0.2], [0.6, 0.3, 0.1]])
    assert marks.among(scores, [1, 1]).tolist() == [True, False]
    assert marks.among(scores, [1, 1], 2).tolist() == [True, True]


def test_both_of_two_in_either_order() -> None:
    scores = np.array([[0.9, 0.8, 0.1], [0.9, 0.8, 0.1], [0.9, 0.1, 0.8]])
    assert marks.both(scores, [(0, 1), (1, 0), (0, 1)]).tolist() == [True, True, False]


def test_where_a_thing_stands_to_another() -> None:
    left, right = np.zeros((8, 8)), np.zeros((8, 8))
    left[4:6, 1:3], right[3:5, 5:7] = 0.9, 0.8
    a, b = marks.middle(left), marks.middle(right)
    assert a == pytest.approx((2, 5)) and b == pytest.approx((6, 4))
    assert marks.stands(a, b, "left") and marks.stands(b, a, "right")
    assert not any(marks.stands(a, b, relation) for relation in ("right", "above", "below"))
    assert marks.stands((3, 1), (4, 6), "above") and marks.stands((4, 6), (3, 1), "below")


def test_spread_is_the_mean_distance_of_all_pairs() -> None:
    assert marks.spread(np.array([[0.0, 0], [3, 4], [0, 0]])) == pytest.approx(10 / 3)


def test_recall_goes_both_ways() -> None:
    near = np.array([[0.9, 0.8, 0.1], [0.95, 0.2, 0.3], [0.0, 0.1, 0.5]])
    own = np.eye(3, dtype=bool)
    # Pictures find captions 0 and 2; captions find picture 2 only.
    assert marks.recall(near, own, 1) == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert marks.recall(near, own, 3) == 1


def test_thumbnails_are_averages() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, EDGE, EDGE, 3), dtype=np.uint8)
    mean = pictures.reshape(2, 32, 4, 32, 4, 3).mean((2, 4)).reshape(2, -1)
    assert np.abs(marks.thumbnails(pictures) - mean).max() <= 0.5


def test_the_nearest_scene_is_found_wherever_it_lies() -> None:
    rng = np.random.default_rng(1)
    store = rng.integers(0, 256, (50, 48), dtype=np.uint8)
    thumbs = store[[3, 41]].copy()
    thumbs[0] ^= 1  # one level off, everywhere
    assert marks.nearest(thumbs, store, batch=7) == pytest.approx([1, 0], abs=1e-2)


def test_a_copy_is_nearer_than_any_painted_scene() -> None:
    assert marks.copies(np.array([3.0, 9.0, 10.0]), np.array([9.5, 20.0])).tolist() == [True, True, False]


def test_an_adapter_changes_the_network_and_leaves_it_as_it_was(tmp_path: Path) -> None:
    network = nn.ModuleDict({"line": nn.Linear(3, 2), "conv": nn.Conv2d(2, 4, 3)})
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = {"unet.line.lora_A.weight": torch.ones(1, 3), "unet.line.lora_B.weight": torch.full((2, 1), 0.5)}
    state |= {"unet.conv.lora_A.weight": torch.ones(1, 2, 3, 3), "unet.conv.lora_B.weight": torch.full((4, 1, 1, 1), 2.0)}
    save_file({name: value.half() for name, value in state.items()}, tmp_path / "quick.safetensors")
    with adapted(network, tmp_path / "quick.safetensors"):
        assert torch.allclose(network["line"].weight - before["line.weight"], torch.tensor(0.5))  # type: ignore[operator]
        assert torch.allclose(network["conv"].weight - before["conv.weight"], torch.tensor(2.0))  # type: ignore[operator]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


# ------------------------------------------------------------------------------------------------ the model at work


@pytest.fixture(scope="module")
def artist() -> Artist:
    return Artist(report.ROOT / "engine" / "pocket")


def test_the_shipped_model_draws_the_same_picture_of_the_same_seed_in_any_company(artist: Artist) -> None:
    way = Way(2, 2.0)
    alone, together = artist.draw(["a fox in the snow"], [7], way), artist.draw(["an owl at night", "a fox in the snow"], [6, 7], way)
    assert together.shape == (2, EDGE, EDGE, 3) and together.dtype == np.uint8
    assert np.abs(alone[0].astype(int) - together[1]).max() <= 2 and np.abs(together[0].astype(int) - together[1]).max() > 60


def test_repainting_changes_what_is_under_the_mask_and_little_else(artist: Artist, few: dict[tuple[str, str], np.ndarray]) -> None:
    artist.full = Way(2, 2.0)
    picture, masks = Painter(few, 9).scene(kind="one", place="meadow", style="3d").pixels, np.zeros((1, EDGE, EDGE), bool)
    masks[0, 32:96, 32:96] = True
    drawn = artist.repaint(picture[None], masks, ["an owl on a red background"], [1])
    rebuilt = artist.repaint(picture[None], np.zeros_like(masks), ["an owl on a red background"], [1])
    apart = np.abs(drawn[0].astype(int) - rebuilt[0]).mean(2)
    assert apart[masks[0]].mean() > 10 > apart[:16].mean() and artist.pipeline.unet.config.in_channels == artist.pipeline.vae.config.latent_channels


# ------------------------------------------------------------------------------------------------ the table


def test_every_row_says_whether_it_was_reached() -> None:
    found = evaluate.told(
        {
            "object_top1": evaluate.Mark(0.8123, 300, ceiling=0.99, quick=0.75),
            "count": evaluate.Mark(0.5, 90),
            "near_copies": evaluate.Mark(0.0, 400),
            "diversity": evaluate.Mark(0.7, 24),
            "describe": evaluate.Mark(None, 0, note="there is no sight/ in this model"),
        }
    )
    assert found["object_top1"] == {"value": 0.8123, "target": 0.8, "count": 300, "ceiling": 0.99, "quick": 0.75}
    lines = report.table(found).splitlines()
    assert lines[2].endswith("| ≥ 80 % | 81.2 % ✓ | 75.0 % | 99.0 % | 300 |")
    assert "| ≥ 80 % | 50.0 % (short) | – | – | 90 |" in lines[3]
    assert "| ≥ 0.70 | 0.70 ✓ |" in lines[4]
    assert "| ≥ 80 % | there is no sight/ in this model |" in lines[5]
    assert "| < 1 % | 0.0 % ✓ |" in lines[6] and len(lines) == 7


def test_what_must_stay_under_a_limit_does_not_reach_it_exactly() -> None:
    goal = report.GOALS["near_copies"]
    assert report.reached(goal, 0.0) and not report.reached(goal, 0.01) and report.reached(goal, None) is None


def test_a_table_is_written_between_its_markers_and_nowhere_else() -> None:
    text = f"# Model\n{report.OPENS}\nold\n{report.CLOSES}\nmore\n"
    once = report.filled(text, "| new |\n")
    assert once == f"# Model\n{report.OPENS}\n| new |\n{report.CLOSES}\nmore\n" == report.filled(once, "| new |")
    with pytest.raises(ValueError, match="write between"):
        report.filled("# Model\n", "| new |")


def test_figures_join_what_the_model_already_says_and_its_manifest_still_verifies(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text('{"denoiser": {"step": 7}}')
    (tmp_path / "README.md").write_text(f"{report.OPENS}\n{report.CLOSES}\n")
    (readme := tmp_path.parent / f"{tmp_path.name}.md").write_text(f"before {report.OPENS}{report.CLOSES} after")
    report.write_figures(evaluate.told({"place": evaluate.Mark(0.97, 150)}), tmp_path)
    assert '"step": 7' in (tmp_path / "metrics.json").read_text()
    report.write_tables(tmp_path, readme)
    assert "97.0 % ✓" in (tmp_path / "README.md").read_text() and readme.read_text().startswith("before ")
    assert (tmp_path / "MANIFEST.sha256").read_text() == report.manifest(tmp_path)


def test_a_page_of_samples_is_as_large_as_it_may_be_and_no_larger() -> None:
    noise = list(np.random.default_rng(2).integers(0, 256, (16, 32, 32, 3), dtype=np.uint8))
    free, tight = report.page(noise), report.page(noise, most=12_000)
    assert len(tight) <= 12_000 < len(free) <= report.PAGE
    with pytest.raises(ValueError, match="does not fit"):
        report.page(noise, most=100)


def test_a_page_asks_for_all_kinds_of_scenes_in_its_style(few: dict[tuple[str, str], np.ndarray]) -> None:
    prompts = report.prompts_of(Painter(few, 1), "pencil", 16)
    assert len(prompts) == 16 and all("pencil" in prompt for prompt in prompts)
    assert prompts == report.prompts_of(Painter(few, 1), "pencil", 16)
