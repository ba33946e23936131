"""The device thread beyond single requests: several models in one memory, measuring in idle moments, words remembered, compiled blocks."""

from __future__ import annotations

import asyncio
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from engine import memory, probe, tuning
from engine.api import EngineDied, Lora, ModelCorrupt, UnsupportedOperation
from engine.collate import Arguments
from engine.local import LocalEngine
from engine.model import Model
from engine.shelf import Shelf
from tests.contract.engines import CARD, ignore, imagine, local_engine, pixels, tiny, write_manifest

GB = 1e-9


def twin(folder: Path, name: str) -> Path:
    """The tiny model under another name."""
    model = folder / name
    shutil.copytree(tiny(), model)
    (model / "card.toml").write_text(CARD + f'name = "{name}"\n', encoding="utf-8")
    write_manifest(model)
    return model


def loaded() -> Model:
    return Model.load(Shelf.open([tiny()], pocket=False).entries[0], torch.device("cpu"))


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  # it happens on another thread
            await asyncio.sleep(0.01)


# ------------------------------------------------------------------------------------------------ models in memory


async def test_models_are_read_when_asked_for_and_the_least_recently_used_makes_room(tmp_path: Path) -> None:
    names = ["one", "two", "three"]
    weight = loaded().bytes
    engine = local_engine([twin(tmp_path, name) for name in names], memory_gb=2.5 * weight * GB, max_rows=8)
    try:
        pictures = {name: (await engine.run(imagine(model=name), {}, ignore)).frames[0].png for name in ["one", "two", "one", "three"]}
        assert engine.stats().models_loaded == 2 == len(set(engine.stats().loaded)) and engine.stats().model_bytes == 2 * weight
        assert engine._device is not None
        assert engine._device._models.get("two") is None and engine._device._models.get("one") is not None
        again = (await engine.run(imagine(model="two"), {}, ignore)).frames[0].png
        assert np.array_equal(pixels(again), pixels(pictures["two"]))
    finally:
        await engine.aclose()


async def test_others_are_drawn_while_a_model_is_being_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = local_engine([twin(tmp_path, "one"), twin(tmp_path, "slow")], max_rows=8)
    reading, go_on = threading.Event(), threading.Event()
    read = Model.load

    def slowly(entry: Any, *args: Any) -> Model:
        if entry.can.model == "slow":
            reading.set()
            assert go_on.wait(60)
        return read(entry, *args)

    monkeypatch.setattr(Model, "load", slowly)
    try:
        await engine.run(imagine(model="one"), {}, ignore)
        late = asyncio.create_task(engine.run(imagine(model="slow"), {}, ignore))
        await until(reading.is_set)
        assert (await engine.run(imagine(model="one", seed=8), {}, ignore)).frames and not late.done()
        go_on.set()
        assert (await late).frames
    finally:
        go_on.set()
        await engine.aclose()


@pytest.mark.parametrize("how", ["cancelled", "closed"])
async def test_who_waits_for_a_model_may_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    engine = local_engine([twin(tmp_path, "slow")], max_rows=8)
    reading, go_on = threading.Event(), threading.Event()
    read = Model.load

    def slowly(*args: Any) -> Model:
        reading.set()
        assert go_on.wait(60)
        return read(*args)

    monkeypatch.setattr(Model, "load", slowly)
    try:
        waiting = asyncio.create_task(engine.run(imagine(model="slow"), {}, ignore))
        await until(reading.is_set)
        await until(lambda: engine._device is not None and engine._device._parked.get("slow"))
        if how == "cancelled":
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert engine.free_rows() == 8
        else:
            await engine.aclose()
            with pytest.raises(EngineDied):
                await waiting
    finally:
        go_on.set()
        await engine.aclose()


# ------------------------------------------------------------------------------------------------ words


async def test_words_are_encoded_once_whoever_says_them() -> None:
    engine = local_engine([tiny()], max_rows=8)
    try:
        first = await engine.run(imagine("a fox"), {}, ignore)
        encoded = engine.stats().words_encoded
        again = await engine.run(imagine("a fox"), {}, ignore)
        assert (engine.stats().words_encoded, engine.stats().words_remembered >= 2) == (encoded, True)
        assert first.frames[0].png == again.frames[0].png
        await engine.run(imagine("a dog"), {}, ignore)
        assert engine.stats().words_encoded == encoded + 1  # the unconditional half is everybody's
    finally:
        await engine.aclose()


# ------------------------------------------------------------------------------------------------ measuring


def test_the_knee_is_where_doubling_stops_to_pay() -> None:
    assert probe.knee({1: 10.0, 2: 11.0, 4: 13.0, 8: 25.0, 16: 50.0}) == 4
    assert probe.knee({1: 10.0, 2: 11.0, 4: 12.0}) == 4
    assert probe.knee({1: 10.0, 2: 20.0}) == 1
    assert probe.knee({1: 10.0, 2: 20.0, 4: 20.0}) == 4  # one slow measurement does not hide what comes after it


def test_measuring_finds_a_knee_and_whether_company_changes_bits() -> None:
    seconds = iter(range(1000))
    findings = list(probe.measure(loaded(), lambda: float(next(seconds)) / 1000))
    assert findings[-1].knee == 64  # by this clock a forward takes the same time whatever its rows
    assert findings[-1].company_changes_bits in (True, False)


def test_measuring_stops_before_members_would_feel_it() -> None:
    seconds = iter(range(1000))
    findings = list(probe.measure(loaded(), lambda: 2.0 * next(seconds)))
    assert list(findings[-1].seconds) == [1]


async def test_the_engine_measures_when_idle_and_takes_as_many_rows_as_pay() -> None:
    engine = local_engine([tiny()])
    try:
        await engine.run(imagine(), {}, ignore)
        device = engine._device
        assert device is not None
        await until(lambda: not device._idle_work)
        found = device._findings["tiny"]
        assert found.knee and device.max_rows == max(8, found.knee) == engine.free_rows()
        await engine.run(imagine(width=128, height=128), {}, ignore)
        assert device._hub is not None and device._hub.caps["tiny", 128, 128] == max(1, round(found.knee / 4))  # four times the pixels
    finally:
        await engine.aclose()


# ------------------------------------------------------------------------------------------------ memory


def test_relief_gives_up_idle_models_then_whole_decoding_and_then_nothing_more_on_a_cpu() -> None:
    idle = [True, False]
    relief = memory.Relief(lambda: idle.pop(0) if idle else False)
    model = loaded()
    vae = model.pipeline("words").vae._module
    assert relief.find(model) and not vae.use_tiling
    assert relief.find(model) and vae.use_tiling
    assert not relief.find(model)
    relief.forget("tiny")
    assert relief.find(model)  # read again, it has a decoder to tile again


def test_a_module_that_visits_the_device_gives_the_same_output_and_goes_home() -> None:
    layer = torch.nn.Linear(3, 3)
    wanted = layer(torch.ones(1, 3))
    where: list[str] = []
    memory.visit(layer, torch.device("cpu"))
    layer.register_forward_pre_hook(lambda module, args: where.append(str(module.weight.device)))
    assert torch.equal(layer(torch.ones(1, 3)), wanted) and where == ["cpu"]


async def test_when_nothing_is_left_to_give_up_the_refusal_has_the_numbers() -> None:
    engine = local_engine([tiny()], max_rows=8)
    try:
        await engine.run(imagine(), {}, ignore)
        assert engine._device is not None
        model = engine._device._models.get("tiny")
        assert model is not None
        vae = model.pipeline("words").vae._module

        def full(*args: Any, **kwargs: Any) -> Any:
            raise torch.OutOfMemoryError("no room")

        vae.decode = full
        with pytest.raises(Exception, match=r"64x64 does not fit into the memory of cpu, even alone \(.* of .* GB free\)"):
            await engine.run(imagine(), {}, ignore)
        assert vae.use_tiling  # it did try
    finally:
        await engine.aclose()


# ------------------------------------------------------------------------------------------------ what a card asks for


def lora(path: Path, seed: int) -> Path:
    """An adapter of rank 2 on the tiny model's attentions, in diffusers' own spelling."""
    torch.manual_seed(seed)
    tensors = {}
    for name, module in tuning.denoiser_of(loaded()).named_modules():
        if name.endswith(("attn2.to_k", "attn2.to_v")):
            tensors[f"unet.{name}.lora_A.weight"] = torch.randn(2, module.in_features)
            tensors[f"unet.{name}.lora_B.weight"] = torch.randn(module.out_features, 2)
    save_file(tensors, path)
    return path


async def test_each_request_has_adapters_of_its_own_beside_others_in_one_batch(tmp_path: Path) -> None:
    model = twin(tmp_path, "dressed")
    for seed, name in enumerate(("ink", "glow")):
        lora(model / f"{name}.safetensors", seed)
    (model / "card.toml").write_text(CARD + 'name = "dressed"\n[loras]\nink = "ink.safetensors"\nglow = "glow.safetensors"\n', encoding="utf-8")
    write_manifest(model)
    engine = local_engine([model], max_rows=8)
    try:
        assert engine.models()[0].loras == ("ink", "glow") and "lora" in engine.models()[0].operations
        sets = [(), (Lora(name="ink", weight=0.8),), (Lora(name="ink"), Lora(name="glow", weight=-0.5))]
        wanted = [imagine(model="dressed", loras=each) for each in sets]
        alone = [pixels((await engine.run(each, {}, ignore)).frames[0].png) for each in wanted]
        company = [pixels(result.frames[0].png) for result in await asyncio.gather(*(engine.run(each, {}, ignore) for each in wanted))]
        for one, other in zip(alone, company, strict=True):
            assert np.abs(one - other).max() <= 1
        assert np.abs(alone[0] - alone[1]).max() > 1 and np.abs(alone[1] - alone[2]).max() > 1
        with pytest.raises(UnsupportedOperation, match="--lora chalk"):
            await engine.run(imagine(model="dressed", loras=(Lora(name="chalk"),)), {}, ignore)
    finally:
        await engine.aclose()


async def test_a_cards_step_cache_takes_steps_over_and_keeps_nothing_of_who_has_ended(tmp_path: Path) -> None:
    model = twin(tmp_path, "quick")
    (model / "card.toml").write_text(CARD + 'name = "quick"\nstep_cache = 0.5\n', encoding="utf-8")
    write_manifest(model)
    engine = local_engine([model], max_rows=8)
    try:
        await engine.run(imagine(model="quick", steps=20), {}, ignore)
        device = engine._device
        assert device is not None
        cache = device._models.get("quick").step_cache  # type: ignore[union-attr]
        assert cache is not None and cache.taken > 0 and cache.bytes == 0
    finally:
        await engine.aclose()


# ------------------------------------------------------------------------------------------------ compiled blocks


def counting(seen: list[int]) -> Any:
    """A compiler that runs what it was given, and counts."""

    def backend(graph: Any, inputs: Any) -> Any:
        seen.append(len(inputs))
        return graph.forward

    return backend


def test_blocks_run_compiled_for_warmed_shapes_only_and_mean_the_same() -> None:
    model, seen = loaded(), list[int]()
    unet = tuning.denoiser_of(model)
    call = probe.call_of(model)
    plain = unet(**call.kwargs)[0]
    compiled = tuning.Compiled(unet, counting(seen))  # type: ignore[arg-type]
    assert torch.equal(unet(**call.kwargs)[0], plain) and not seen
    compiled.warm(call, [1])
    assert seen
    graphs = len(seen)
    compiled.warm(call, [1, 2, 3, 4, 5])
    assert len(seen) == 5 * graphs > 8  # each of them, and not only as many as dynamo keeps by itself
    one = Arguments((), {**call.kwargs, "timestep": call.kwargs["timestep"].reshape(1)}, 1)
    assert torch.allclose(unet(**one.kwargs)[0], plain, atol=1e-5)
    larger = probe.call_of(model, 96, 64)
    unet(**larger.kwargs)  # nobody waits for a compiler
    assert len(seen) == 5 * graphs


def test_what_cannot_be_compiled_goes_on_as_it_was() -> None:
    def broken(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("no compiler here")

    model = loaded()
    unet, call = tuning.denoiser_of(model), probe.call_of(model)
    plain = unet(**call.kwargs)[0]
    compiled = tuning.Compiled(unet, broken)  # type: ignore[arg-type]
    compiled.warm(call, [1])
    assert not compiled.warmed and torch.equal(unet(**call.kwargs)[0], plain)


def test_a_size_is_compiled_when_it_was_asked_for_often() -> None:
    work: list[Any] = []
    ready: list[Any] = []
    model = loaded()
    warmer = tuning.Warmer(work.append, lambda kind, rows: ready.append(kind), backend=counting([]))  # type: ignore[arg-type]
    warmer.arrived(model, 1)
    assert len(work) == 1
    for _ in range(5):
        warmer.asked(model, 96, 64, 1)
    assert len(work) == 2
    for each in work:
        each()
    assert ready == [("tiny", 64, 64), ("tiny", 96, 64)]


async def test_compiled_and_padded_a_picture_is_the_same_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = twin(tmp_path, "quick")
    (model / "card.toml").write_text(CARD + 'name = "quick"\ncompile = true\n', encoding="utf-8")
    write_manifest(model)
    monkeypatch.setattr(tuning.Warmer, "backend", counting([]), raising=False)
    plain, engine = local_engine([tiny()], max_rows=4), local_engine([model], max_rows=4)
    try:
        wanted = (await plain.run(imagine(count=3), {}, ignore)).frames
        await engine.run(imagine(model="quick"), {}, ignore)
        device = engine._device
        assert device is not None and device._hub is not None
        hub = device._hub
        await until(lambda: ("quick", 64, 64) in hub.buckets)
        drawn = (await engine.run(imagine(model="quick", count=3), {}, ignore)).frames
        for one, other in zip(wanted, drawn, strict=True):
            assert np.abs(pixels(one.png) - pixels(other.png)).max() <= 1
    finally:
        await plain.aclose()
        await engine.aclose()


def test_quantising_without_its_package_or_by_an_unknown_name_is_one_clear_error() -> None:
    with pytest.raises(ModelCorrupt, match="tiny: quantise = 'int3'"):
        tuning.quantise(torch.nn.Linear(2, 2), "int3", "tiny")


async def test_an_engine_that_is_closed_while_it_measures_ends() -> None:
    engine: LocalEngine = local_engine([tiny()])
    await engine.run(imagine(steps=1), {}, ignore)
    await engine.aclose()
    with pytest.raises(EngineDied):
        await engine.run(imagine(), {}, ignore)
