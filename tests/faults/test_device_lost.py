"""A device whose context is poisoned: nobody's job fails of it, the engine takes no more, and says so once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bot.app
from bot.settings import Settings
from engine.api import Engine, EngineDied, EngineError, ModelMissing
from engine.fake import FakeEngine
from engine.faults import context_lost
from engine.local import LocalEngine
from tests.contract.engines import ignore, imagine, local_engine, tiny

ASSERTED = (
    "CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be "
    "incorrect.\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.\n"
)


def break_at_large(engine: LocalEngine, error: Exception) -> Callable[[], None]:
    """From now on a forward of more than 64 pixels' latents raises that, and every one after it too; what undoes it."""
    assert engine._device is not None
    unet = engine._device._models.get("tiny").pipeline("words").unet._module
    forward, poisoned = unet.forward, [False]

    def run(sample: Any, *args: Any, **kwargs: Any) -> Any:
        poisoned[0] = poisoned[0] or sample.shape[-1] > 8
        if poisoned[0]:
            raise error
        return forward(sample, *args, **kwargs)

    unet.forward = run

    def undo() -> None:
        unet.forward = forward

    return undo


async def test_all_who_are_in_flight_may_be_drawn_again_and_nothing_more_is_taken() -> None:
    told: list[str] = []
    engine = local_engine([tiny()], max_rows=16, on_lost=told.append)
    await engine.run(imagine(steps=1), {}, ignore)
    break_at_large(engine, RuntimeError(ASSERTED))
    results = await asyncio.gather(*(engine.run(imagine(seed=seed, width=64 + 64 * (seed == 2)), {}, ignore) for seed in range(3)), return_exceptions=True)
    assert [type(each) for each in results] == [EngineDied] * 3, "the one at fault among them: nobody can tell"
    assert len(told) == 1 and "device-side assert" in told[0] and engine.lost == told[0]
    assert engine.free_rows() == 0
    with pytest.raises(EngineDied, match="device-side assert"):
        await engine.run(imagine(), {}, ignore)
    assert len(told) == 1
    await engine.aclose()


async def test_an_error_that_the_device_survives_is_its_requests_own() -> None:
    told: list[str] = []
    engine = local_engine([tiny()], max_rows=16, on_lost=told.append)
    await engine.run(imagine(steps=1), {}, ignore)
    undo = break_at_large(engine, RuntimeError("CUDA error: invalid argument"))
    with pytest.raises(EngineError, match="invalid argument"):
        await engine.run(imagine(width=128), {}, ignore)
    undo()
    assert (await engine.run(imagine(), {}, ignore)).frames
    assert not told and not engine.lost and engine.free_rows() == 16
    await engine.aclose()


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (RuntimeError(ASSERTED), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), True),
        (RuntimeError("HIP error: unspecified launch failure"), True),
        (EngineError("RuntimeError: CUDA error: misaligned address"), True),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), True),
        (RuntimeError("CUDA error: out of memory"), False),
        (RuntimeError("CUDA out of memory. Tried to allocate 20 GiB"), False),
        (RuntimeError("CUDA error: no kernel image is available for execution on the device"), False),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED"), False),
        (ValueError("misaligned address"), False),
        (ModelMissing("gone"), False),
    ],
    ids=lambda each: str(each)[:40] if isinstance(each, Exception) else "",
)
def test_which_errors_a_context_does_not_survive(error: Exception, lost: bool) -> None:
    assert context_lost(error) is lost


async def test_the_bot_ends_by_itself_when_its_engine_has_lost_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Callable[[str], None]] = []

    def made(settings: Settings, on_lost: Callable[[str], None]) -> Engine:
        told.append(on_lost)
        return FakeEngine()

    monkeypatch.setattr(bot.app, "make_engine", made)
    app = bot.app.App(Settings(_env_file=None, data_dir=tmp_path, web=False, metrics_port=-1))  # type: ignore[call-arg]
    started = asyncio.Event()
    running = asyncio.create_task(app.run(asyncio.Event(), lambda _: started.set()))
    await started.wait()
    assert not app.lost.is_set()
    told[0]("the device is gone")
    async with asyncio.timeout(60):
        await running
    assert app.lost.is_set(), "and whoever ran it begins a new one"


async def test_the_real_engine_is_made_so_that_it_can_say_so(tmp_path: Path) -> None:
    told: list[str] = []
    engine = bot.app.make_engine(Settings(_env_file=None, data_dir=tmp_path), told.append)  # type: ignore[call-arg]
    assert isinstance(engine, LocalEngine)
    engine._on_lost("the device is gone")
    assert told == ["the device is gone"]
