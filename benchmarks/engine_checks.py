"""What `benchmarks.engine_load` measures beside the streams: equality with stock, the idle engine against stock, the host's cost a request-step, time a row."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.engine_sides import Images, Settings, Stock, draw_together, encode
from engine import rows
from engine.api import ImagineRequest
from engine.model import Model
from engine.results import Drawn


@contextlib.contextmanager
def decoded(vae: Any) -> Iterator[list[tuple[Any, torch.Tensor]]]:
    """Inside, what `vae` decodes is written down: whose it is (None outside the hub) and the latents, rows × channels × height × width."""
    seen: list[tuple[Any, torch.Tensor]] = []
    decode = vae.decode

    def watched(latents: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        now = rows.now()
        seen.append((now[0].owner if now else None, latents))
        return decode(latents, *args, **kwargs)

    vae.decode = watched
    try:
        yield seen
    finally:
        del vae.decode


def equality(model: Model, stock: Stock, requests: Sequence[ImagineRequest], settings: Settings) -> dict[str, float]:
    """All requests in the hub at once against each by the stock pipeline.

    `images` is the largest difference of a channel in 0..1; `latents` the largest difference of the finished latents, relative to their largest value.
    """
    with decoded(model.pipeline("words").vae._module) as seen:
        members = draw_together(model, requests, replace(settings, previews=False))
    images, latents = 0.0, 0.0
    for request, member in zip(requests, members, strict=True):
        with decoded(stock.from_words.vae) as wanted:
            images = max(images, _difference(stock.draw([request])[0], member.images))
        theirs, mine = torch.cat([each for _, each in wanted]), torch.cat([each for owner, each in seen if owner is member.task])
        latents = max(latents, float((theirs - mine).abs().max() / theirs.abs().max()))
    return {"requests": len(requests), "images": images, "latents": latents}


def _difference(stock: Images, ours: Images | None) -> float:
    if ours is None or stock.shape != ours.shape:
        raise AssertionError("a request was not drawn")
    return float(np.abs(stock - ours).max())


def idle(model: Model, stock: Stock, request: ImagineRequest, settings: Settings, pairs: int) -> dict[str, float]:
    """One request in an otherwise idle engine, against the stock pipeline: medians of ratios of CPU time, measured in turns, each time in another order."""
    quiet = replace(settings, previews=False)
    sides: dict[str, Callable[[], object]] = {
        "stock": lambda: encode(request, Drawn(stock.draw([request])[0])),
        "ours": lambda: draw_together(model, [request], quiet),
        "with_previews": lambda: draw_together(model, [request], replace(settings, previews=True)),
    }
    for draw in sides.values():
        draw()
    times: dict[str, list[float]] = {name: [] for name in sides}
    order = list(sides)
    for _ in range(pairs):
        for name in order:
            times[name].append(_seconds(sides[name]))
        order = order[1:] + order[:1]
    return {
        "stock_s": statistics.median(times["stock"]),
        "ratio": statistics.median(a / b for a, b in zip(times["ours"], times["stock"], strict=True)),
        "ratio_with_previews": statistics.median(a / b for a, b in zip(times["with_previews"], times["stock"], strict=True)),
    }


def _seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


@contextlib.contextmanager
def costless(denoiser: Any, vae: Any) -> Iterator[None]:
    """Inside, the denoiser's forward is its input and what is decoded is black, both for nothing."""

    def forward(sample: torch.Tensor, *args: Any, **kwargs: Any) -> tuple[torch.Tensor]:
        return (sample,)

    def decode(latents: torch.Tensor, *args: Any, **kwargs: Any) -> tuple[torch.Tensor]:
        return (latents.new_zeros(len(latents), 3, 8 * latents.shape[2], 8 * latents.shape[3]),)

    denoiser.forward, vae.decode = forward, decode
    try:
        yield
    finally:
        del denoiser.forward, vae.decode


def host_cost(model: Model, stock: Stock, request: ImagineRequest, settings: Settings, together: int, steps: int, repeats: int) -> dict[str, float]:
    """Milliseconds of CPU time a request-step spends outside the modules.

    The denoiser's forward is replaced by one that returns its input, decoding by black, and `together` requests are drawn with 10 and with 10 + `steps`
    steps: the difference is `steps` steps without the beginning and the end of a request. `hub_ms` is all of it (pipeline, scheduler, hub), `loop_ms`
    the same of stock pipelines one after the other (pipeline, scheduler), `over_loop_ms` what the hub adds. Each is from the least of `repeats` in turns.
    """
    settings = replace(settings, previews=False, max_rows=max(settings.max_rows, together), forward_rows=max(settings.forward_rows, 2 * together))
    crowds = {count: [replace(request, steps=count, seed=k) for k in range(together)] for count in (10, 10 + steps)}

    def loops(crowd: Sequence[ImagineRequest]) -> None:
        for each in crowd:
            encode(each, Drawn(stock.draw([each])[0]))

    least = {(side, count): float("inf") for side in ("hub", "loop") for count in crowds}
    pipeline, theirs = model.pipeline("words"), stock.from_words
    with costless(pipeline.unet._module, pipeline.vae._module), costless(theirs.unet, theirs.vae):
        for _ in range(repeats):
            for count, crowd in crowds.items():
                least["hub", count] = min(least["hub", count], _seconds(partial(draw_together, model, crowd, settings)))
                least["loop", count] = min(least["loop", count], _seconds(partial(loops, crowd)))
    hub, loop = (1e3 * (least[side, 10 + steps] - least[side, 10]) / steps / together for side in ("hub", "loop"))
    return {"together": together, "hub_ms": hub, "loop_ms": loop, "over_loop_ms": hub - loop}


def row_times(stock: Stock, request: ImagineRequest, counts: Sequence[int], repeats: int) -> dict[int, float]:
    """Milliseconds a row of one denoising forward of so many rows takes: the least of `repeats`. Where it stops falling is the knee."""
    unet, kept = stock.from_words.unet, dict[str, Any]()
    forward = unet.forward

    def keep(sample: torch.Tensor, timestep: Any, **kwargs: Any) -> Any:
        kept.update(sample=sample, timestep=timestep, kwargs=kwargs)
        return forward(sample, timestep, **kwargs)

    unet.forward = keep
    try:
        stock.draw([replace(request, steps=1, count=1)])
    finally:
        del unet.forward
    out = {}
    for count in counts:
        sample = kept["sample"][:1].repeat(count, 1, 1, 1)
        words = kept["kwargs"]["encoder_hidden_states"][:1].repeat(count, 1, 1)
        arguments = {**kept["kwargs"], "encoder_hidden_states": words}
        times = [_seconds(partial(unet, sample, kept["timestep"], **arguments)) for _ in range(repeats + 1)]  # the first warms up
        out[count] = 1e3 * min(times[1:]) / count
    return out
