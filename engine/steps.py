"""What happens after each denoising step, and how to stop before the last, whichever way a pipeline lets itself be watched. Used by `engine.operations`,
inside a hub's task.

Most stock pipelines call back after a step (`callback_on_step_end`) and look at `interrupt` before the next. Some (PixArt) do neither: those are watched at
their scheduler, which is the request's own copy and takes exactly one call a step.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch

from engine.families import Family

AfterStep = Callable[[int, int, torch.Tensor], torch.Tensor | None]
"""Steps done, of how many, and the latents as the pipeline holds them. Latents that are returned take their place; what is raised ends the request."""


def watch_steps(pipeline: Any, family: Family, arguments: Mapping[str, Any], after_step: AfterStep) -> dict[str, Any]:
    """The arguments to call `pipeline` with, so that `after_step` is called after each of its steps.

    `pipeline` is the request's own copy with a scheduler of its own, and may be changed. Whatever else watches the scheduler (`engine.preview.Forecast`) must
    have been put in place before: it then knows the step's outcome when `after_step` asks for it.
    """
    if "callback_on_step_end" in inspect.signature(type(pipeline).__call__).parameters:

        def told(pipeline: Any, index: int, timestep: Any, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            changed = after_step(index + 1, pipeline.num_timesteps, tensors["latents"])
            return tensors if changed is None else {**tensors, "latents": changed}

        return {**arguments, "callback_on_step_end": told}
    pipeline.scheduler.step = _watched(pipeline.scheduler, after_step)
    return dict(arguments)


def _watched(scheduler: Any, after_step: AfterStep) -> Callable[..., Any]:
    step, done = scheduler.step, 0

    @functools.wraps(step)  # pipelines read the signature to learn what a scheduler takes
    def watched(*args: Any, **kwargs: Any) -> Any:
        nonlocal done
        output = step(*args, **kwargs)
        done += 1
        of = len(scheduler.timesteps) - (getattr(scheduler, "begin_index", None) or 0)
        changed = after_step(done, of, output[0])
        if changed is None:
            return output
        if isinstance(output, tuple):
            return (changed, *output[1:])
        output.prev_sample = changed
        return output

    return watched


def stop(pipeline: Any, family: Family) -> None:
    """In `after_step`: no more steps. The pipeline goes on to decode the latents it has."""
    if hasattr(type(pipeline), "interrupt"):
        pipeline._interrupt = True
        return
    # It will go through the rest of its timesteps whatever it is told, so let there be nothing to do in them.
    pipeline.__dict__[family.denoiser] = _Idle(getattr(pipeline, family.denoiser))
    pipeline.scheduler.step = _kept


class _Idle:
    """Stands for a denoiser whose prediction nobody looks at any more."""

    def __init__(self, denoiser: Any) -> None:
        self.__dict__["_denoiser"] = denoiser

    def __getattr__(self, name: str) -> Any:
        return getattr(self._denoiser, name)

    def __call__(self, sample: torch.Tensor, *args: Any, **kwargs: Any) -> tuple[torch.Tensor]:
        return (sample,)


def _kept(model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, *args: Any, **kwargs: Any) -> tuple[torch.Tensor]:
    """A scheduler's step that changes nothing."""
    return (sample,)
