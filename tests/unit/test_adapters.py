"""LoRA adapters row by row, against weights fused by hand: `W + amount · alpha / rank · B A`."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    DiffusionPipeline,
    Flux2KleinPipeline,
    FluxPipeline,
    QwenImagePipeline,
    SanaPipeline,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    ZImagePipeline,
)
from safetensors.torch import save_file
from torch import nn

from engine.adapters import Adapters, plan
from engine.api import ModelCorrupt, ModelMissing
from engine.rows import Row, Traits
from engine.stepcache import StepCache
from tests.unit.denoisers import DENOISERS, Owner, furthest, made, meanwhile, noise, outputs

PIPELINES: Mapping[str, type[DiffusionPipeline]] = {
    "FLUX.1": FluxPipeline,
    "FLUX.2": Flux2KleinPipeline,
    "SD 3": StableDiffusion3Pipeline,
    "Qwen-Image": QwenImagePipeline,
    "Z-Image": ZImagePipeline,
    "Sana": SanaPipeline,
    "U-Net": StableDiffusionPipeline,
}
Deltas = dict[str, torch.Tensor]
"""By layer: what an adapter of weight 1 adds to its weights."""


@pytest.fixture(autouse=True)
def one_thread_without_gradients() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        yield
    torch.set_num_threads(threads)


def component(model: nn.Module) -> str:
    return "unet" if hasattr(model, "down_blocks") else "transformer"


def adapted(model: nn.Module) -> dict[str, nn.Module]:
    """The layers that adapters are trained for, as a rule: all but a model's first and last."""
    inside = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d) and ".0." in name}
    return {name: layer for name, layer in inside.items() if "embed" not in name and "final" not in name and getattr(layer, "groups", 1) == 1}


def sides(layer: Any, rank: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A and B."""
    shape = layer.weight.shape
    return noise(seed, rank, *shape[1:]) / math.sqrt(shape[1:].numel()), 0.3 * noise(seed + 1, shape[0], rank, *(1,) * (len(shape) - 2))


def delta(down: torch.Tensor, up: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
    return scale * (up.flatten(1) @ down.flatten(1)).view(up.shape[0], *down.shape[1:])


def write(path: Path, model: nn.Module, rank: int, seed: int) -> Deltas:
    """An adapter for all of a denoiser, as PEFT spells it."""
    state, deltas = {}, {}
    for name, layer in adapted(model).items():
        down, up = sides(layer, rank, seed := seed + 2)
        state |= {f"{component(model)}.{name}.lora_A.weight": down, f"{component(model)}.{name}.lora_B.weight": up}
        deltas[name] = delta(down, up)
    save_file(state, path)
    return deltas


def fused(model: Any, *changes: tuple[Deltas, float]) -> Any:
    whole = copy.deepcopy(model)
    for deltas, amount in changes:
        for name, value in deltas.items():
            whole.get_submodule(name).weight += amount * value
    return whole


def rows_with(*takes: tuple[tuple[str, float], ...]) -> list[Row]:
    return [Row(Owner(), Traits(loras=each)) for each in takes]


@pytest.mark.parametrize("steady", [False, True], ids=["only what is wanted", "steady"])
@pytest.mark.parametrize("name", PIPELINES)
def test_every_row_of_a_forward_has_adapters_of_its_own(name: str, steady: bool, tmp_path: Path) -> None:
    model, row, _ = made(name)
    ink, glow = write(tmp_path / "ink.safetensors", model, 4, 10), write(tmp_path / "glow.safetensors", model, 3, 500)
    expected = [fused(model, (ink, 0.8)), model, fused(model, (glow, -0.5)), fused(model, (ink, 0.3), (glow, 0.6)), model]
    alone = [outputs(copy.deepcopy(each), [row(k, 2)], [])[0] for k, each in enumerate(expected)]
    files = {each: tmp_path / f"{each}.safetensors" for each in ("ink", "glow")}
    adapters = Adapters(PIPELINES[name], {component(model): model}, files, steady=steady)
    adapters.load(files)
    takes = rows_with((("ink", 0.8),), (), (("glow", -0.5),), (("glow", 0.6), ("ink", 0.3)), ())
    mixed = outputs(model, [row(k, 2) for k in range(5)], takes)
    assert furthest(mixed, alone) < 2e-6
    plain = outputs(model, [row(k, 2) for k in range(4)], rows_with((), (), (), ()))
    assert all(float((one - other).abs().max()) > 1e-3 for k, (one, other) in enumerate(zip(mixed, plain, strict=False)) if k != 1)  # they do change something


# ------------------------------------------------------------------------------------------------ how files spell it


def unet_with(path: Path) -> tuple[Any, Any, Adapters]:
    model, row, _ = made("U-Net")
    adapters = Adapters(StableDiffusionPipeline, {"unet": model}, {"ink": path})
    return model, row, adapters


def assert_is_fused(path: Path, deltas: Deltas) -> None:
    model, row, adapters = unet_with(path)
    expected = outputs(fused(model, (deltas, 0.7)), [row(1, 0)], [])
    adapters.load(["ink"])
    assert furthest(outputs(model, [row(1, 0)], rows_with((("ink", 0.7),))), expected) < 2e-6


def test_kohyas_files_are_read_with_an_alpha_for_each_layer(tmp_path: Path) -> None:
    model, state, deltas = made("U-Net")[0], {}, {}
    for k, (name, layer) in enumerate(adapted(model).items()):
        rank, alpha, short = 2 + k % 3, 1.0 + k % 4, f"lora_unet_{name.replace('.', '_')}"
        down, up = sides(layer, rank, 10 * k)
        state |= {f"{short}.lora_down.weight": down, f"{short}.lora_up.weight": up, f"{short}.alpha": torch.tensor(alpha)}
        deltas[name] = delta(down, up, alpha / rank)
    save_file(state, tmp_path / "ink.safetensors")
    assert_is_fused(tmp_path / "ink.safetensors", deltas)


def test_pefts_configuration_is_honoured(tmp_path: Path) -> None:
    model, state, deltas = made("U-Net")[0], {}, {}
    config = {"r": 4, "lora_alpha": 6, "rank_pattern": {"attn1.to_q": 2}, "alpha_pattern": {"attn1.to_q": 5, "conv1": 3}, "use_rslora": True}
    for k, (name, layer) in enumerate(adapted(model).items()):
        rank = 2 if name.endswith("attn1.to_q") else 4
        alpha = 5 if name.endswith("attn1.to_q") else 3 if name.endswith("conv1") else 6
        down, up = sides(layer, rank, 10 * k)
        state |= {f"unet.{name}.lora_A.weight": down, f"unet.{name}.lora_B.weight": up}
        deltas[name] = delta(down, up, alpha / math.sqrt(rank))
    metadata = {"lora_adapter_metadata": json.dumps({f"unet.{key}": value for key, value in config.items()})}
    save_file(state, tmp_path / "ink.safetensors", metadata)
    assert_is_fused(tmp_path / "ink.safetensors", deltas)


def test_old_files_of_attention_processors_are_read(tmp_path: Path) -> None:
    model, state, deltas = made("U-Net")[0], {}, {}
    for k, (name, layer) in enumerate((name, layer) for name, layer in adapted(model).items() if "attn1.to_q" in name or "attn2.to_out" in name):
        parent, last = name.split(".to_")
        old = f"unet.{parent}.processor.to_{last.removesuffix('.0')}_lora"
        down, up = sides(layer, 3, 10 * k)
        state |= {f"{old}.down.weight": down, f"{old}.up.weight": up}
        deltas[name] = delta(down, up)
    save_file(state, tmp_path / "ink.safetensors")
    assert_is_fused(tmp_path / "ink.safetensors", deltas)


def test_a_linear_layers_sides_may_be_written_as_a_convolutions(tmp_path: Path) -> None:
    model, name = made("U-Net")[0], "mid_block.attentions.0.transformer_blocks.0.attn1.to_k"
    down, up = sides(model.get_submodule(name), 3, 1)
    save_file({f"unet.{name}.lora_A.weight": down[:, :, None, None], f"unet.{name}.lora_B.weight": up[:, :, None, None]}, tmp_path / "ink.safetensors")
    assert_is_fused(tmp_path / "ink.safetensors", {name: delta(down, up)})


LAYER = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_k"
GOOD = {f"{LAYER}.lora_A.weight": noise(1, 3, 32), f"{LAYER}.lora_B.weight": noise(2, 32, 3)}


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({f"unet.up_blocks.9.{key[5:]}": value for key, value in GOOD.items()}, "1 of its layers are not in this one, unet.up_blocks.9"),
        ({key.replace("unet", "transformer"): value for key, value in GOOD.items()}, "another kind of model: it names transformer.mid_block"),
        ({f"{LAYER}.lora_A.weight": noise(1, 3, 48), f"{LAYER}.lora_B.weight": noise(2, 32, 3)}, r"to_k is \(32, 32\) here"),
        ({f"{LAYER}.lora_A.weight": noise(1, 3, 32)}, "only one of its two sides"),
        ({**GOOD, f"{LAYER}.lora_magnitude_vector.weight": noise(3, 32)}, "is DoRA"),
        ({**GOOD, f"{LAYER}.lora_B.bias": noise(3, 32)}, r"lora_B.bias is no part of a plain LoRA"),
        ({"lora_unet_x.hada_w1_a": noise(1, 3, 3)}, "is LoHa"),
        ({"lora_unet_x.strange": noise(1, 3, 3)}, "cannot be read: ValueError"),
        ({}, "there is nothing in it"),
    ],
    ids=["a layer it lacks", "another model", "another shape", "half", "DoRA", "a bias", "LoHa", "strange", "empty"],
)
def test_a_file_that_does_not_fit_is_one_clear_error_with_the_adapters_name(state: Any, says: str, tmp_path: Path) -> None:
    save_file(state, tmp_path / "ink.safetensors")
    model, row, adapters = unet_with(tmp_path / "ink.safetensors")
    before = outputs(model, [row(1, 0)], rows_with(()))
    with pytest.raises(ModelCorrupt, match=f"^the adapter ink: .*{says}"):
        adapters.load(["ink"])
    assert furthest(outputs(model, [row(1, 0)], rows_with(())), before) == 0.0


def test_a_file_that_is_missing_or_cut_short_or_a_pickle_is_an_error_with_the_adapters_name(tmp_path: Path) -> None:
    path = tmp_path / "ink.safetensors"
    with pytest.raises(ModelMissing, match="the adapter ink"):
        unet_with(path)[2].load(["ink"])
    save_file(GOOD, path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ModelCorrupt, match="the adapter ink"):
        unet_with(path)[2].load(["ink"])
    (tmp_path / "ink.bin").write_bytes(b"")
    with pytest.raises(ModelCorrupt, match="the adapter ink"):
        unet_with(tmp_path / "ink.bin")[2].load(["ink"])


# ------------------------------------------------------------------------------------------------ who pays for it


@pytest.fixture
def ready(tmp_path: Path) -> tuple[Any, Any, Adapters]:
    model, row, _ = made("U-Net")
    for seed, name in enumerate(("ink", "glow")):
        write(tmp_path / f"{name}.safetensors", model, 3, 100 * seed)
    adapters = Adapters(StableDiffusionPipeline, {"unet": model}, {name: tmp_path / f"{name}.safetensors" for name in ("ink", "glow")})
    return model, row, adapters


def test_a_forward_without_adapters_finds_the_modules_untouched(ready: Any) -> None:
    model, row, adapters = ready
    before = outputs(model, [row(1, 0), row(2, 0)], rows_with((), ()))
    adapters.load(["ink"])
    outputs(model, [row(1, 0)], rows_with((("ink", 1.0),)))
    assert not [name for name, layer in model.named_modules() if "forward" in layer.__dict__]
    assert furthest(outputs(model, [row(1, 0), row(2, 0)], rows_with((), ())), before) == 0.0


def test_a_forward_that_fails_leaves_the_modules_untouched(ready: Any) -> None:
    model, row, adapters = ready
    adapters.load(["ink"])
    broken = model.up_blocks[0].register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        outputs(model, [row(1, 0)], rows_with((("ink", 1.0),)))
    broken.remove()
    assert not [name for name, layer in model.named_modules() if "forward" in layer.__dict__]


def test_a_layer_somebody_else_has_diverted_is_given_back_as_it_was(ready: Any) -> None:
    model, row, adapters = ready
    adapters.load(["ink"])
    layer, calls = model.mid_block.attentions[0].transformer_blocks[0].attn1.to_q, []
    inner = layer.forward
    layer.forward = theirs = lambda x: calls.append(1) or inner(x)
    outputs(model, [row(1, 0)], rows_with((("ink", 1.0),)))
    assert layer.__dict__["forward"] is theirs and calls == [1]


def test_a_forward_on_another_thread_has_no_adapters_and_ends_nobody_elses(ready: Any) -> None:
    model, row, adapters = ready
    adapters.load(["ink"])
    plain, inked = outputs(model, [row(2, 0)], []), outputs(model, [row(1, 0)], rows_with((("ink", 1.0),)))
    theirs = meanwhile(model.mid_block, lambda: model(**row(2, 0), return_dict=False)[0][0])
    assert furthest(outputs(model, [row(1, 0)], rows_with((("ink", 1.0),))), inked) == 0.0
    assert furthest(theirs, plain) == 0.0


def test_an_adapter_is_read_once_and_only_when_wanted(ready: Any, tmp_path: Path) -> None:
    adapters = ready[2]
    assert adapters.bytes == 0
    adapters.load(["ink", "ink"])
    one = adapters.bytes
    (tmp_path / "ink.safetensors").unlink()
    adapters.load(["ink", "glow"])
    assert one > 0 and adapters.bytes == 2 * one


def test_an_adapter_that_is_not_there_or_was_not_loaded_is_named(ready: Any) -> None:
    model, row, adapters = ready
    with pytest.raises(ModelMissing, match="there is no adapter gold"):
        adapters.load(["gold"])
    with pytest.raises(ModelMissing, match="the adapter glow was not loaded"):
        outputs(model, [row(1, 0)], rows_with((("glow", 1.0),)))


def test_steady_a_rows_bits_do_not_depend_on_its_companys_adapters(ready: Any) -> None:
    model, row, adapters = ready
    adapters.detach()
    adapters = Adapters(StableDiffusionPipeline, {"unet": model}, adapters._files, steady=True)
    adapters.load(["ink", "glow"])
    ink, glow, both = (("ink", 0.8),), (("glow", 0.5),), (("glow", 0.5), ("ink", 0.8))
    calls = [row(k, 0) for k in range(4)]
    companies = [(ink, (), (), ()), (ink, glow, both, ()), (ink, ink, glow, ink)]
    first, *others = (outputs(model, calls, rows_with(*company))[0] for company in companies)
    assert all(torch.equal(first, other) for other in others)


def test_rows_that_go_on_after_a_step_cache_keep_their_own_adapters(tmp_path: Path) -> None:
    model, row, threshold = made("FLUX.1")
    files = {name: tmp_path / f"{name}.safetensors" for name in ("ink", "glow")}
    for seed, path in enumerate(files.values()):
        write(path, model, 3, 100 * seed)
    Adapters(FluxPipeline, {"transformer": model}, files).load(files)
    cache = StepCache(model, threshold)
    takes = ((("ink", 0.8),), (), (("glow", 0.5), ("ink", 0.2)))
    alone = []
    for k, each in enumerate(takes):
        name = rows_with(each)
        alone.append([outputs(model, [row(k, step)], name)[0] for step in range(k, k + 8)])
    assert cache.taken and cache.computed
    names = rows_with(*takes)
    mixed = [outputs(model, [row(k, step + k) for k in range(3)], names) for step in range(8)]
    assert max(furthest([each[k] for each in mixed], alone[k]) for k in range(3)) < 2e-6


# ------------------------------------------------------------------------------------------------ what is applied together


def test_rows_that_all_want_the_same_are_not_told_apart() -> None:
    (product,) = plan([(("b", 0.5), ("a", 1.0))] * 3)
    assert (product.names, product.rows, product.chosen) == (("a", "b"), 0, None)
    assert product.amounts.tolist() == [[1.0, 0.5]]


def test_rows_that_want_none_are_left_out() -> None:
    (product,) = plan([(), (("a", 1.0),), (), (("b", 0.5),)])
    assert (product.names, product.rows, product.chosen.tolist()) == (("a", "b"), 4, [1, 3])  # type: ignore[union-attr]
    assert product.amounts.tolist() == [[1.0, 0.0], [0.0, 0.5]]


def test_an_adapter_named_twice_counts_twice_and_one_of_weight_zero_not_at_all() -> None:
    (product,) = plan([(("a", 0.5), ("a", 0.25), ("b", 0.0))])
    assert product.names == ("a",) and product.amounts.tolist() == [[0.75]]
    assert plan([(("a", 0.0),), ()]) == []


def test_a_layer_that_no_longer_has_the_forwards_rows_refuses_mixed_ones_and_serves_equal_ones(tmp_path: Path) -> None:
    model, row, _ = made("Z-Image")
    name = "all_x_embedder.2-1"  # sees all rows' tokens in one line
    down, up = sides(model.get_submodule(name), 3, 1)
    save_file({f"transformer.{name}.lora_A.weight": down, f"transformer.{name}.lora_B.weight": up}, tmp_path / "ink.safetensors")
    expected = outputs(fused(model, ({name: delta(down, up)}, 1.0)), [row(1, 0), row(2, 0)], [])
    Adapters(ZImagePipeline, {"transformer": model}, {"ink": tmp_path / "ink.safetensors"}).load(["ink"])
    ink = (("ink", 1.0),)
    assert furthest(outputs(model, [row(1, 0), row(2, 0)], rows_with(ink, ink)), expected) < 2e-6
    with pytest.raises(RuntimeError, match="cannot give each its own adapters"):
        outputs(model, [row(1, 0), row(2, 0)], rows_with(ink, ()))


def test_every_family_with_adapters_is_tried_here() -> None:
    assert set(DENOISERS) - set(PIPELINES) == {"PixArt"}  # diffusers knows none for it
