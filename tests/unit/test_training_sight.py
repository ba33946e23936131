"""The stages that teach the pocket model to see: they learn, they are fair, and what they save is what stock classes and the engine read."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file
from torch.nn import functional as F
from transformers import AutoTokenizer, BertTokenizer, CLIPModel, CLIPVisionModelWithProjection

from engine.embeddings import EmbeddingCache
from engine.imageprompts import Adapter, _Memory
from engine.sight import Sight
from training import autoencoder, dataset, denoiser, heldout, image_prompts, meanings, sight, sprites, text_encoder, vocabulary
from training.claims import OPEN, PATCHES, Claims, Names, covered
from training.meanings import Lessons
from training.texts import Script

SHIPPED = Path(__file__).parents[2] / "engine" / "pocket"
NAMES = Names.of_world()
STEPS = 9

# Scenes are mapped from disk, read-only, and nothing writes into them.
pytestmark = pytest.mark.filterwarnings("ignore:The given NumPy array is not writable:UserWarning")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.enable_grad():
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Iterator[Path]:
    """A work directory as the earlier stages leave it: scenes with discs for artwork, words of the model that ships, a U-Net that draws nothing yet."""
    folder = tmp_path_factory.mktemp("work")
    sprites.load(folder, rehearsal=True)
    dataset.paint_part(folder, 0, 24)
    for part in ("text_encoder", "tokenizer"):
        shutil.copytree(SHIPPED / part, folder / part)
    patch = pytest.MonkeyPatch()
    patch.setattr(meanings, "find_spec", lambda name: None)  # the teacher's package is not everywhere; the shipped encoder stands in
    patch.setattr(text_encoder, "ordinary_words", lambda work: [word for word, _ in heldout.SYNONYMS])
    patch.setattr(autoencoder, "FITTED", 24)
    torch.manual_seed(0)
    autoencoder.load(folder).save_pretrained(folder / "vae")
    denoiser.build().save_pretrained(folder / "unet")
    yield folder
    patch.undo()


@pytest.fixture(scope="module")
def trained(work: Path) -> list[float]:
    return sight.train(work, 1e9, STEPS, batch=8, lr=5e-3)


def scene(caption: str, *things: tuple[str, int, int, int], place: str = "snow", style: str = "cartoon", relation: str = "") -> dict[str, Any]:
    return {"caption": caption, "kind": "", "things": [[*thing, False] for thing in things], "relation": relation, "place": place, "style": style}


# ------------------------------------------------------------------------------------------------ what is true


def fits(*scenes: dict[str, Any]) -> list[list[bool]]:
    everyone = torch.arange(len(scenes))
    found: list[list[bool]] = Claims.of(list(scenes), NAMES).fits(everyone, everyone).tolist()
    return found


def test_a_caption_is_true_of_every_scene_that_shows_what_it_says() -> None:
    said = scene("a fox in the snow, cartoon", ("fox", 16, 32, 96))
    open_style = scene("a fox in the snow", ("fox", 32, 32, 80))
    other_place = scene("a fox on a beach, cartoon", ("fox", 16, 32, 96), place="beach")
    pencil = scene("a fox in winter, pencil sketch", ("fox", 16, 32, 96), style="pencil")
    found = fits(said, open_style, other_place, pencil)  # rows are pictures, columns captions
    assert found == [[True, True, False, False], [True, True, False, False], [False, False, True, False], [False, True, False, True]]


def test_two_foxes_are_not_one_and_a_small_one_is_not_a_big_one() -> None:
    small = scene("a small fox in the snow", ("fox", 32, 32, 64))
    big = scene("a fox in the snow", ("fox", 16, 16, 96))
    two = scene("two foxes in the snow", ("fox", 0, 32, 64), ("fox", 64, 32, 64))
    assert fits(small, big, two) == [[True, True, False], [False, True, False], [False, False, True]]


def test_left_of_is_true_of_a_pair_however_it_is_told() -> None:
    left = scene("a fox to the left of an owl in the snow", ("fox", 0, 32, 64), ("owl", 64, 32, 64), relation="left")
    right = scene("an owl right of a fox in the snow", ("owl", 64, 48, 64), ("fox", 0, 32, 64), relation="right")
    both = scene("an owl and a fox in the snow", ("owl", 64, 32, 64), ("fox", 0, 32, 64), relation="and")
    swapped = scene("a fox right of an owl in the snow", ("fox", 64, 32, 64), ("owl", 0, 32, 64), relation="right")
    assert fits(left, right, both, swapped) == [[True, True, True, False]] * 3 + [[False, False, True, True]]


def test_patches_are_named_where_a_thing_covers_half_of_them() -> None:
    assert covered(16, 32, 64).reshape(4, 4).tolist() == [[17 + 8 * row + k for k in range(4)] for row in range(4)]
    claims = Claims.of([scene("a fox in the snow", ("fox", 8, 9, 80))], NAMES)
    there = claims.patches[0].reshape(8, 8) != len(NAMES.things)
    assert there[1:5, 1:5].all() and there[1:5, 0].all() and not there[0].any() and not there[:, 6:].any()


def test_every_painted_caption_is_true_of_its_own_picture(work: Path) -> None:
    scenes = dataset.words(work)
    claims, everyone = Claims.of(scenes, NAMES), torch.arange(len(scenes))
    assert claims.fits(everyone, everyone).diagonal().all()
    assert (claims.claimed[:, 4] != OPEN).all()  # where it is, a caption always says


def test_what_is_also_true_is_neither_right_nor_wrong() -> None:
    seen, said = F.normalize(torch.randn(3, 8, generator=torch.Generator().manual_seed(0))), torch.eye(3, 8)
    also = torch.eye(3, dtype=torch.bool)
    also[0, 1] = True
    moved = said.clone()
    moved[1] += 3 * seen[0].detach()  # the second caption comes close to the first picture, of which it is true as well
    plain = [sight.agreement(seen, each, torch.eye(3, dtype=torch.bool)) for each in (said, moved)]
    fair = [sight.agreement(seen[:1], each[:1], also[:1, :1]) for each in (said, moved)]
    assert plain[1] > plain[0] and fair[1] == fair[0]
    logits = (seen @ moved.T)[0]
    alone = F.cross_entropy(logits[[0, 2]][None], torch.tensor([0]))
    both = sight.agreement(seen, moved, also)
    rows = [alone, *(F.cross_entropy((seen @ moved.T)[k][None], torch.tensor([k])) for k in (1, 2))]
    columns = [F.cross_entropy((moved @ seen.T)[k][None], torch.tensor([k])) for k in (0, 2)]
    columns.append(F.cross_entropy((moved @ seen.T)[1][1:][None], torch.tensor([0])))
    assert float(both) == pytest.approx(float(sum(rows) + sum(columns)) / 6, abs=1e-5)


# ------------------------------------------------------------------------------------------------ words


def test_a_free_word_takes_the_place_of_the_known_word_it_is_nearest_to() -> None:
    pairs = [("a hound", "a dog", 0, 0.9), ("in the woodland", "in a forest", 1, 0.5)]
    strange, known, sure = Lessons([], torch.empty(0), pairs, torch.empty(0)).likened(NAMES, 40, np.random.default_rng(0))
    assert len(strange) == len(known) == len(sure) == 40
    for ours, theirs, certain in zip(strange, known, sure.tolist(), strict=True):
        word, name = ("a hound", "a dog") if certain > 0.7 else ("in the woodland", "in a forest")
        assert word in ours and ours.replace(word, name) == theirs
    assert len(set(strange)) > 10


def test_the_teacher_is_asked_once_and_says_what_its_own_states_say(work: Path, trained: list[float]) -> None:
    tokenizer: Any = BertTokenizer.from_pretrained(work / "tokenizer")
    written = (work / "lessons.pt").stat().st_mtime_ns
    kept = meanings.lessons(work, tokenizer, np.random.default_rng(0), taught=1)
    assert (work / "lessons.pt").stat().st_mtime_ns == written and len(kept.texts) == len(kept.meant) > meanings.TAUGHT
    assert kept.pieces.shape == (len(tokenizer), kept.meant.shape[1])
    said = meanings.meanings(meanings.teacher(work), kept.texts[:50])
    assert F.cosine_similarity(said, kept.meant[:50]).min() > 0.9998  # a byte a number is kept of it
    assert all(0 <= sure <= 1.001 for *_, sure in kept.pairs)


def test_lessons_of_another_world_are_asked_again(work: Path, trained: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in ("text_encoder", "tokenizer"):
        shutil.copytree(work / part, tmp_path / part)
    shutil.copy(work / "lessons.pt", tmp_path)
    monkeypatch.setitem(vocabulary.STYLES, "mosaic", ("mosaic",))
    tokenizer: Any = BertTokenizer.from_pretrained(tmp_path / "tokenizer")
    again = meanings.lessons(tmp_path, tokenizer, np.random.default_rng(0), taught=3)
    assert "mosaic" in again.texts and len(again.texts) == len(again.meant) < meanings.TAUGHT


# ------------------------------------------------------------------------------------------------ texts cut once


def test_a_text_cut_beforehand_is_what_the_tokenizer_makes_of_it(work: Path, trained: list[float]) -> None:
    tokenizer: Any = BertTokenizer.from_pretrained(work / "tokenizer")
    captions, rng = [str(scene["caption"]) for scene in dataset.words(work)], np.random.default_rng(1)
    script = Script(tokenizer, [*captions, captions[3]], NAMES, meanings.lessons(work, tokenizer, rng), rng, torch.device("cpu"))
    for some in ([0, 5, 24], [7]):
        expected = tokenizer([[*captions, captions[3]][k] for k in some], padding=True, return_tensors="pt").input_ids
        assert torch.equal(script.tokens(script.captions[some]), expected)


def test_every_name_is_said_in_one_of_its_own_ways_and_in_time_in_all_of_them(work: Path, trained: list[float]) -> None:
    tokenizer: Any = BertTokenizer.from_pretrained(work / "tokenizer")
    rng = np.random.default_rng(2)
    script = Script(tokenizer, ["a fox"], NAMES, meanings.lessons(work, tokenizer, rng), rng, torch.device("cpu"))
    ways = [set(each) for group in NAMES.ways for each in group]
    cut = [{" ".join(map(str, tokenizer(way).input_ids)) for way in each} for each in ways]
    heard: list[set[str]] = [set() for _ in ways]
    for _ in range(60):
        for said, row in zip(heard, script.tokens(script.names(rng)).tolist(), strict=True):
            said.add(" ".join(str(piece) for piece in row if piece != tokenizer.pad_token_id))
    assert all(said <= own for said, own in zip(heard, cut, strict=True))
    dog = NAMES.things.index("dog")
    assert heard[dog] == cut[dog] and len(cut[dog]) > 4


# ------------------------------------------------------------------------------------------------ seeing


def test_a_few_steps_lower_the_loss_and_a_later_sitting_goes_on(work: Path, trained: list[float]) -> None:
    assert len(trained) == STEPS and sum(trained[-3:]) < 0.95 * sum(trained[:3])
    assert len(sight.train(work, 1e9, 1, batch=8)) == 1 and torch.load(work / "sight.pt")["step"] == STEPS + 1


def test_stock_classes_read_the_folder_and_miss_nothing(work: Path, trained: list[float]) -> None:
    for kind in (CLIPModel, CLIPVisionModelWithProjection):
        network, told = kind.from_pretrained(work / "sight", output_loading_info=True)
        assert not told["missing_keys"] and not told["mismatched_keys"]
        assert sum(p.numel() for p in network.parameters()) < 3.2e6
    assert network.dtype == torch.float16 and network.config.projection_dim == sight.SAYS
    tokens = AutoTokenizer.from_pretrained(work / "sight")(["a fox"], padding="max_length", truncation=True, max_length=24)
    assert tokens.input_ids[0].count(CLIPModel.from_pretrained(work / "sight").config.text_config.eos_token_id) == 1


def test_the_engine_sees_and_reads_what_training_does(work: Path, trained: list[float]) -> None:
    eyes, seer = sight.Eyes(work), Sight.load(work / "sight", torch.device("cpu"))
    pictures, texts = dataset.pixels(work)[0][:3], ["a fox", "two owls to the left of a castle in the snow, watercolor painting"]
    assert torch.allclose(eyes.read(texts), seer.words(texts), atol=1e-5)  # one pads to the longest, the other to 24
    assert torch.allclose(eyes.see(pictures), seer.pictures(sight.to_unit(pictures)), atol=1e-4)


def test_leaving_nothing_out_is_the_stock_network_and_leaving_out_is_not(work: Path, trained: list[float]) -> None:
    eyes = sight.Eyes(work)
    pictures = sight.normalised(sight.to_unit(dataset.pixels(work)[0][:2]))
    stock = eyes.model.get_image_features(pixel_values=pictures).pooler_output
    whole, part = torch.arange(PATCHES).expand(2, -1), torch.arange(10, 50).expand(2, -1)
    assert torch.allclose(sight.see(eyes.model, pictures)[0], stock, atol=1e-4)
    assert torch.allclose(sight.see(eyes.model, pictures, whole)[0], stock, atol=1e-4)
    seen, inner = sight.see(eyes.model, pictures, part)
    assert not torch.allclose(seen, stock, atol=1e-3) and inner.shape == (2, 40, sight.WIDTH)


def test_pictures_are_softened_and_moved_the_same_way_again() -> None:
    pictures = torch.rand(4, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    for change in (sight.softened, sight.shifted):
        one, again, other = (change(pictures, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
        assert torch.equal(one, again) and not torch.allclose(one, other, atol=0.01) and one.shape == pictures.shape
    assert sight.softened(pictures, torch.Generator().manual_seed(1)).std() < pictures.std()


def test_a_tokenizer_whose_ends_would_not_be_found_is_refused() -> None:
    class Old:
        cls_token_id, sep_token_id, pad_token_id = 1, 2, 0

    with pytest.raises(ValueError, match="end token"):
        sight.build(Old())


def test_what_was_learnt_is_measured_on_scenes_painted_anew(work: Path, trained: list[float]) -> None:
    found = sight.measure(work, count=12)
    assert found["scenes"] == 12 and (work / "sight_metrics.json").exists()
    shares = {name: value for name, value in found.items() if name != "scenes"}
    assert {"r1", "r5", "fair_r1", "fair_r5", "thing", "two_things", "ground", "style", "synonyms_1", "synonyms_5"} == set(shares)
    assert all(0 <= value <= 1 for value in shares.values()) and found["r1"] <= found["fair_r1"] and found["r1"] <= found["r5"]


# ------------------------------------------------------------------------------------------------ image prompts


@pytest.fixture(scope="module")
def prompted(work: Path, trained: list[float]) -> list[float]:
    return image_prompts.train(work, 1e9, 6, batch=8, lr=0.02, seen=20)


def test_an_adapter_learns_and_the_network_it_sits_in_does_not(work: Path, prompted: list[float]) -> None:
    assert len(prompted) == 6
    kind: Any = UNet2DConditionModel
    unet = kind.from_pretrained(work / "unet")
    adapter = image_prompts.attach(unet, image_prompts.untaught(unet, sight.SAYS))
    learning = {id(p) for p in adapter.parameters()}
    assert {id(p) for p in unet.parameters() if p.requires_grad} == learning and len(learning) > 4
    begun = image_prompts.tensors_of(adapter)
    learnt = load_file(work / "image_adapter" / "ip-adapter.safetensors")
    assert set(begun) == set(learnt) and all(value.dtype == torch.float16 for value in learnt.values())
    keys = [name for name in learnt if name.endswith("_k_ip.weight")]
    assert not torch.allclose(begun[keys[0]], learnt[keys[0]].float(), atol=1e-4)


def test_what_attach_takes_is_what_tensors_of_gives(work: Path) -> None:
    kind: Any = UNet2DConditionModel
    unet = kind.from_pretrained(work / "unet")
    begun = image_prompts.untaught(unet, 16)
    again = image_prompts.tensors_of(image_prompts.attach(unet, begun))
    assert set(again) == set(begun) and all(torch.equal(again[name], begun[name]) for name in begun)


def test_the_engine_and_diffusers_read_the_adapter_alike(work: Path, prompted: list[float]) -> None:
    pictures = dataset.pixels(work)[0][:1]
    kind: Any = UNet2DConditionModel
    stock, ours = (kind.from_pretrained(work / "unet").eval() for _ in range(2))
    adapter = Adapter.load(work / "image_adapter", work / "sight", ours, "up_blocks.1.", _Memory(EmbeddingCache(), "pocket"))
    image_prompts.attach(stock, load_file(work / "image_adapter" / "ip-adapter.safetensors"))
    embeds = adapter.see("a", StableDiffusionPipeline.numpy_to_pil(pictures / 255)[0])[0]
    known = image_prompts.embeddings(work, 20)[:1].float()
    assert torch.allclose(embeds, known, atol=0.02 * float(known.abs().max()))
    noise, words = torch.randn(1, autoencoder.LATENT_CHANNELS, 8, 8, generator=torch.Generator().manual_seed(0)), torch.zeros(1, 24, 384)
    with torch.no_grad():
        theirs = stock(noise, 500, words, added_cond_kwargs={"image_embeds": [embeds[:, None]]}).sample
        told = {"image_embeds": [embeds[:, None], embeds[:, :0, None].reshape(1, 0, sight.SAYS), torch.ones(1, 1, 1)]}
        assert torch.allclose(ours(noise, 500, words, added_cond_kwargs=told).sample, theirs, atol=1e-4)
        assert not torch.allclose(ours(noise, 500, words).sample, theirs, atol=1e-4)


def test_pictures_from_pictures_are_counted_at_each_scale(work: Path, prompted: list[float]) -> None:
    found = image_prompts.measure(work, count=2, scales=(0.5, 1.0), steps=2)
    assert found["prompts"] == 2 and 0 <= found["scale_0.5"] <= 1 and 0 <= found["scale_1.0"] <= 1
    assert (work / "image_prompts.png").exists() and (work / "image_prompts_metrics.json").exists()
