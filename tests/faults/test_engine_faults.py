"""What goes wrong on the device is told by its name, to those it concerns only, and the next request is drawn."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import torch

from engine.api import BadNumbers, EngineDied, EngineError, ModelCorrupt, ModelMissing, OutOfMemory, Progress, UpscaleRequest
from engine.local import LocalEngine
from tests.contract.engines import add_upscaler, digest, ignore, imagine, local_engine, picture, pixels, tiny, write_manifest

pytestmark = pytest.mark.asyncio(loop_scope="module")
Forward = Callable[..., Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[LocalEngine]:
    engine = local_engine([tiny()], max_rows=16)
    await engine.start()
    await engine.run(imagine(steps=1), {}, ignore)
    yield engine
    await engine.aclose()


@pytest.fixture
def sabotage(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Forward], Forward]], None]:
    """Replace the denoiser's forward by something made from it, until the test ends."""

    def replace(make: Callable[[Forward], Forward]) -> None:
        assert engine._device is not None
        unet = engine._device._models.get("tiny").pipeline("words").unet._module
        monkeypatch.setattr(unet, "forward", make(unet.forward))

    return replace


def rows_of(sample: torch.Tensor) -> int:
    return int(sample.shape[0])


async def test_out_of_memory_halves_the_rows_until_they_fit(engine: LocalEngine, sabotage: Any) -> None:
    wanted = await engine.run(imagine(count=4), {}, ignore)
    tried: list[int] = []

    def small(forward: Forward) -> Forward:
        def run(sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            tried.append(rows_of(sample))
            if rows_of(sample) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
            return forward(sample, *args, **kwargs)

        return run

    sabotage(small)
    # another size, since what was learnt about a shape is remembered: the other tests keep theirs
    narrow = await engine.run(imagine(count=4, width=32), {}, ignore)
    assert len(narrow.frames) == 4 and tried[:3] == [8, 4, 2] and set(tried[3:]) == {2}
    assert len(wanted.frames) == 4


async def test_a_request_that_never_fits_is_refused_and_the_next_is_drawn(engine: LocalEngine, sabotage: Any) -> None:
    def full(forward: Forward) -> Forward:
        def run(sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            if sample.shape[-1] > 8:
                raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")
            return forward(sample, *args, **kwargs)

        return run

    sabotage(full)
    large, small = await asyncio.gather(engine.run(imagine(width=128), {}, ignore), engine.run(imagine(), {}, ignore), return_exceptions=True)
    assert isinstance(large, OutOfMemory) and "128x64" in str(large)
    assert not isinstance(small, BaseException)


async def test_one_bad_row_spoils_the_batch_for_its_owner_only(engine: LocalEngine, sabotage: Any) -> None:
    alone = await engine.run(imagine(seed=5), {}, ignore)

    def picky(forward: Forward) -> Forward:
        def run(sample: torch.Tensor, timestep: Any, encoder_hidden_states: torch.Tensor, **kwargs: Any) -> Any:
            if bool((sample.abs() > 50).any()):
                raise ValueError("a row this kernel does not like")
            return forward(sample, timestep, encoder_hidden_states=encoder_hidden_states, **kwargs)

        return run

    sabotage(picky)
    device = engine._device
    assert device is not None
    model = device._models.get("tiny")
    spoiler = model.scheduler("EulerDiscreteScheduler")
    spoiler.scale_model_input = lambda sample, timestep: sample * 1000
    model._schedulers["EulerDiscreteScheduler"] = spoiler
    try:
        bad, good = await asyncio.gather(
            engine.run(imagine(seed=6, scheduler="EulerDiscreteScheduler"), {}, ignore), engine.run(imagine(seed=5), {}, ignore), return_exceptions=True
        )
    finally:
        del model._schedulers["EulerDiscreteScheduler"]
    assert isinstance(bad, EngineError) and "does not like" in str(bad)
    assert not isinstance(good, BaseException)
    assert np.array_equal(pixels(good.frames[0].png), pixels(alone.frames[0].png))


async def test_latents_that_are_no_numbers_are_told_and_not_drawn_black(engine: LocalEngine, sabotage: Any) -> None:
    sabotage(lambda forward: lambda *args, **kwargs: (forward(*args, **kwargs)[0] * float("nan"),))
    with pytest.raises(BadNumbers):
        await engine.run(imagine(), {}, ignore)
    assert engine.free_rows() == 16


async def test_when_the_device_thread_dies_all_in_flight_are_told_and_the_next_starts_it_again(engine: LocalEngine, sabotage: Any) -> None:
    def deadly(forward: Forward) -> Forward:
        def run(*args: Any, **kwargs: Any) -> Any:
            raise SystemExit("the driver has gone")

        return run

    sabotage(deadly)
    before = engine._device
    results = await asyncio.gather(*(engine.run(imagine(seed=k), {}, ignore) for k in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [EngineDied] * 3
    assert engine.free_rows() == 16
    assert (await engine.run(imagine(), {}, ignore)).frames
    assert engine._device is not before


async def test_a_device_that_is_stuck_is_given_up_and_what_it_says_later_concerns_nobody() -> None:
    engine = local_engine([tiny()], stuck_after=0.5)
    release, entered = threading.Event(), threading.Event()
    try:
        await engine.run(imagine(steps=1), {}, ignore)
        stuck = engine._device
        assert stuck is not None
        unet = stuck._models.get("tiny").pipeline("words").unet._module
        forward = unet.forward

        def hang(*args: Any, **kwargs: Any) -> Any:
            entered.set()
            release.wait(60)
            return forward(*args, **kwargs)

        unet.forward = hang
        reports: list[Progress] = []
        with pytest.raises(EngineDied):
            await engine.run(imagine(), {}, reports.append)
        assert entered.is_set() and not reports
        engine._stuck_after = 60.0
        assert (await engine.run(imagine(steps=2), {}, ignore)).frames
        release.set()
        await asyncio.to_thread(stuck.join, 30)
        assert not stuck.is_alive() and not reports
    finally:
        release.set()
        await engine.aclose()


# ------------------------------------------------------------------------------------------------ files


def copy_of(folder: Path, name: str) -> Path:
    return Path(shutil.copytree(tiny(), folder / name))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def first(folder: Path, pattern: str) -> Path:
    return sorted(folder.rglob(pattern))[0]


async def test_a_damaged_model_is_one_clear_error_and_the_others_go_on(tmp_path: Path) -> None:
    flipped, lost, torn, nonsense = (copy_of(tmp_path, name) for name in ("flipped", "lost", "torn", "nonsense"))
    flip(first(flipped / "unet", "*.safetensors"))
    first(lost / "vae", "*.safetensors").unlink()
    for folder in (torn, nonsense):  # without a manifest it is the reading itself that tells
        (folder / "MANIFEST.sha256").unlink()
    weights = first(torn / "vae", "*.safetensors")
    weights.write_bytes(weights.read_bytes()[:100])
    (nonsense / "unet" / "config.json").write_text("{")
    engine = local_engine([flipped, lost, torn, nonsense, tiny()])
    await engine.start()
    try:
        for name, kind in {"flipped": ModelCorrupt, "lost": ModelMissing, "torn": ModelCorrupt, "nonsense": ModelCorrupt}.items():
            with pytest.raises(kind, match=name):
                await engine.run(imagine(model=name), {}, ignore)
        assert (await engine.run(imagine(), {}, ignore)).frames
        shutil.copytree(tiny(), flipped, dirs_exist_ok=True)  # repaired while running
        assert (await engine.run(imagine(model="flipped"), {}, ignore)).frames
    finally:
        await engine.aclose()


async def test_pickled_weights_are_not_loaded(tmp_path: Path) -> None:
    model = copy_of(tmp_path, "pickled")
    for path in (model / "unet").glob("*.safetensors*"):
        path.unlink()
    torch.save({}, model / "unet" / "diffusion_pytorch_model.bin")
    write_manifest(model)
    engine = local_engine([model])
    try:
        with pytest.raises(EngineError, match="pickled"):
            await engine.run(imagine(model="pickled"), {}, ignore)
    finally:
        await engine.aclose()


async def test_a_models_own_upscaler_is_used_and_a_torn_one_is_told(tmp_path: Path) -> None:
    good, bad = copy_of(tmp_path, "good"), copy_of(tmp_path, "bad")
    for folder in (good, bad):
        add_upscaler(folder)
    (bad / "upscaler" / "model.safetensors").write_bytes(b"torn")
    write_manifest(bad)
    source = picture(1, 150, 20)
    engine = local_engine([good, bad, tiny()])
    try:
        drawn = {}
        for name in ("good", "tiny"):
            request = UpscaleRequest(model=name, source=digest(source), factor=2, width=150, height=20)
            reports: list[Progress] = []
            (frame,) = (await engine.run(request, {digest(source): source}, reports.append)).frames
            assert (frame.width, frame.height) == (300, 40)
            drawn[name] = pixels(frame.png)
        assert not np.array_equal(drawn["good"], drawn["tiny"])  # a network's, and the classical one
        with pytest.raises(ModelCorrupt):
            await engine.run(UpscaleRequest(model="bad", source=digest(source), width=150, height=20), {digest(source): source}, ignore)
    finally:
        await engine.aclose()
