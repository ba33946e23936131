"""Speed on a GPU with models of the real sizes: pictures a second including their files, one case a call (`python -m benchmarks.engine_gpu --case sdxl`).

Sides: `stock` (the diffusers pipeline, one picture after the other), `static` (one call for as many pictures as are in flight), `ours` (`engine.hub` with that
many requests in flight, each begun at another time, a new one for each that ends), and each again with the denoiser's repeated blocks compiled. Every result is
one line of JSON, appended to `--out`: the matrix-product rate of the device, the time of forwards by their rows, whether a picture's bits depend on its
company, and pictures a second with the share of the matrix-product rate that they make of the counted operations. Wall time; files are written by
two threads, as in the product. Without CUDA it says so and ends; `--tiny` runs the same code with tiny models on the CPU.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import functools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import engine_report
from benchmarks.engine_gpu_models import CASES, Loaded, load
from engine import codec, collate, hub
from engine.hub import Hub, Share, Task
from engine.model import SHARES
from engine.proxy import Proxy
from engine.tuning import BUCKETS, Compiled, bucket

OUT = Path(__file__).parent / "results" / "gpu.jsonl"
FLIGHTS = (1, 2, 4, 8, 16)
Images = NDArray[np.float32]


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Seconds of the quickest of `repeats`, after one to warm up."""
    work()
    synchronise(device)
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        synchronise(device)
        best = min(best, time.perf_counter() - started)
    return best


# ------------------------------------------------------------------------------------------------ what the device and the model can do


def ceiling(device: torch.device, edge: int) -> float:
    """Operations a second of a large square matrix product: bfloat16 on an accelerator, float32 on a CPU."""
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    a, b = (torch.randn(edge, edge, device=device, dtype=dtype) for _ in range(2))
    return float(2 * edge**3 / timed(lambda: a @ b, device, 20))


def first_call(loaded: Loaded) -> dict[str, Any]:
    """The arguments, by name, of the denoiser's call for the first step of one picture."""
    denoiser, kept = loaded.denoiser, list[dict[str, Any]]()

    def keep(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        kept.append(Proxy(denoiser, {}).by_name(args, kwargs))

    hook = denoiser.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        loaded.pipeline(**loaded.arguments([0]))
    finally:
        hook.remove()
    return kept[0]


def operations(loaded: Loaded) -> float:
    """Floating point operations of one picture: all its denoising steps and its decoding, counted from shapes (a multiplication and an addition are two)."""
    counter = FlopCounterMode(display=False)
    with counter:
        loaded.pipeline(**loaded.arguments([0]))
    return float(counter.get_total_flops())


def row_times(loaded: Loaded, counts: Sequence[int], repeats: int) -> dict[int, float]:
    """Milliseconds of a denoising forward, by its rows; fewer than asked for where they do not fit."""
    proxy = Proxy(loaded.denoiser, {"__call__": Share.BATCH}, rules=loaded.family.rules)
    one = collate.slice_rows(proxy.arguments((), first_call(loaded)), 0, 1)
    out = {}
    for count in counts:
        joint = collate.concatenate([one] * count)
        try:
            out[count] = 1e3 * timed(functools.partial(loaded.denoiser, **joint.kwargs), loaded.device, repeats)
        except torch.OutOfMemoryError:
            break
    return out


# ------------------------------------------------------------------------------------------------ sides


class Files:
    """PNG files on two threads; `wait` for the last."""

    def __init__(self) -> None:
        self._pool, self._pending = ThreadPoolExecutor(2), list[Future[None]]()

    def add(self, images: Images) -> None:
        for image in images:
            self._pending.append(self._pool.submit(self._write, image))

    @staticmethod
    def _write(image: Images) -> None:
        codec.encode_png(Image.fromarray(codec.to_pixels(image)), "")

    def wait(self) -> None:
        for each in self._pending:
            each.result()
        self._pending.clear()


def stock(loaded: Loaded, seeds: Sequence[int]) -> Images:
    """One call of the stock pipeline, on a scheduler of its own."""
    pipeline = copy.copy(loaded.pipeline)
    pipeline.scheduler = copy.deepcopy(loaded.pipeline.scheduler)
    images: Images = pipeline(**loaded.arguments(seeds)).images
    return images


def static_rate(loaded: Loaded, together: int, pictures: int) -> float:
    """Pictures a second by calls of `together` pictures; with 1, one after the other."""
    files = Files()
    calls = max(1, pictures // together)
    stock(loaded, range(together))
    started = time.perf_counter()
    for call in range(calls):
        files.add(stock(loaded, range(call * together, (call + 1) * together)))
    files.wait()
    return calls * together / (time.perf_counter() - started)


class Ours:
    """The product's hub over the case's stock pipeline with proxies in it, as `engine.model` puts them there."""

    def __init__(self, loaded: Loaded, *, padded: bool = False) -> None:
        self._loaded, self.kind = loaded, loaded.case.name
        self.hub = Hub(max_rows=max(FLIGHTS), clock=time.perf_counter, forward_rows=BUCKETS[-1])
        if padded:
            self.hub.buckets[self.kind] = bucket
        self._proxied = copy.copy(loaded.pipeline)
        for name in (loaded.family.denoiser, "vae"):
            shares = SHARES[name]
            rules = loaded.family.rules if Share.BATCH in shares.values() else None
            self._proxied.__dict__[name] = Proxy(getattr(loaded.pipeline, name), shares, rules=rules)

    def join(self, seed: int, ended: Callable[[Images], None]) -> Task:
        def body() -> Images:
            pipeline = copy.copy(self._proxied)
            pipeline.__dict__["scheduler"] = copy.deepcopy(self._proxied.scheduler)
            images: Images = pipeline(**self._loaded.arguments([seed]), callback_on_step_end=self._stepped).images
            return images

        def landed(task: Task) -> None:
            if task.error is None:
                ended(task.result)
            elif not isinstance(task.error, hub.Cancelled):
                raise task.error

        task = Task(body, 1, landed, left=self._loaded.case.steps, kind=self.kind)
        self.hub.join(task)
        return task

    @staticmethod
    def _stepped(pipeline: Any, index: int, timestep: Any, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        hub.stepped()
        return tensors


def hub_rate(loaded: Loaded, together: int, pictures: int, *, padded: bool = False) -> float:
    """Pictures a second of the hub while `together` requests are always in flight, from the moment when as many have ended."""
    ours, files, tasks, finished = Ours(loaded, padded=padded), Files(), list[Task](), 0

    def ended(images: Images) -> None:
        nonlocal finished
        finished += 1
        files.add(images)
        tasks.append(ours.join(len(tasks), ended))

    for _ in range(together):
        tasks.append(ours.join(len(tasks), ended))
        for _ in range(loaded.case.steps // together):  # so that they are at different steps
            ours.hub.tick()
    while finished < together:
        ours.hub.tick()
    files.wait()
    begun, before = time.perf_counter(), finished
    while finished < before + max(pictures, together):
        ours.hub.tick()
    files.wait()
    taken, drawn = time.perf_counter() - begun, finished - before
    for task in tasks:
        ours.hub.cancel(task)
    return drawn / taken


def drawn_by_hub(loaded: Loaded, seeds: Sequence[int]) -> list[Images]:
    """All at once, in the order of the seeds."""
    ours, out = Ours(loaded), dict[int, Images]()
    for seed in seeds:
        ours.join(seed, functools.partial(out.__setitem__, seed))
    while ours.hub.tick():
        pass
    return [out[seed] for seed in seeds]


def company(loaded: Loaded) -> dict[str, Any]:
    """Whether a picture's bits depend on its company, and how far it is from stock's: largest difference of a channel in 0..1."""
    (alone,), (first, *_), (wanted,) = drawn_by_hub(loaded, [5]), drawn_by_hub(loaded, [5, 6, 7, 8]), stock(loaded, [5])[None]
    return {
        "same_bits_in_company": bool(np.array_equal(alone, first)),
        "difference_in_company": float(np.abs(alone - first).max()),
        "same_bits_as_stock": bool(np.array_equal(alone[0], wanted[0])),
        "difference_from_stock": float(np.abs(alone[0] - wanted[0]).max()),
    }


# ------------------------------------------------------------------------------------------------ all of a case


def measure(loaded: Loaded, flights: Sequence[int], pictures: int, sides: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One finding after the other, as lines of the results."""
    rate, flops = ceiling(loaded.device, 256 if loaded.tiny else 8192), operations(loaded)
    yield {"what": "device", "matrix_tflops": rate / 1e12, "tflop_a_picture": flops / 1e12, "limit_img_per_s": rate / flops}
    yield {"what": "company", **company(loaded)}
    yield {"what": "rows", "milliseconds": row_times(loaded, (1, 2) if loaded.tiny else BUCKETS, 3)}

    def finding(side: str, together: int, found: float) -> dict[str, Any]:
        return {"what": "rate", "side": side, "in_flight": together, "img_per_s": found, "share_of_ceiling": found * flops / rate}

    if "stock" in sides:
        yield finding("stock", 1, static_rate(loaded, 1, pictures))
    for together in flights:
        if "static" in sides:
            yield finding("static", together, static_rate(loaded, together, pictures))
        if "ours" in sides:
            yield finding("ours", together, hub_rate(loaded, together, pictures))
    if "compiled" in sides:
        yield from _compiled(loaded, flights, pictures, finding)


def _compiled(loaded: Loaded, flights: Sequence[int], pictures: int, finding: Callable[[str, int, float], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Ours by `engine.tuning`; stock's by diffusers' own `compile_repeated_blocks`, afterwards, because that cannot be undone."""
    halves = 2 if loaded.guided and loaded.family.denoiser == "unet" else 1
    proxy = Proxy(loaded.denoiser, {"__call__": Share.BATCH}, rules=loaded.family.rules)
    call = collate.slice_rows(proxy.arguments((), first_call(loaded)), 0, 1)
    compiled = Compiled(loaded.denoiser, backend="eager" if loaded.tiny else "inductor")
    started = time.perf_counter()
    compiled.warm(call, sorted({bucket(halves * together) for together in flights}))
    yield {"what": "compiling", "seconds": time.perf_counter() - started, "forwards": len(compiled.warmed)}
    for together in flights:
        yield finding("ours, compiled", together, hub_rate(loaded, together, pictures, padded=True))
    torch._dynamo.config.recompile_limit = 256  # its own limit of 8 shapes a function would leave most of stock's batches uncompiled
    loaded.denoiser.compile_repeated_blocks(backend="eager" if loaded.tiny else "inductor")
    yield finding("stock, compiled", 1, static_rate(loaded, 1, pictures))
    for together in flights:
        yield finding("static, compiled", together, static_rate(loaded, together, pictures))


def main() -> None:
    parser = argparse.ArgumentParser(description="The engine on a GPU, with models of the real sizes.")
    parser.add_argument("--case", choices=CASES, action="append", help="which (default: all, one after the other)")
    parser.add_argument("--sides", default="stock,static,ours", help="of stock, static, ours, compiled (compiling takes minutes)")
    parser.add_argument("--flights", default=",".join(map(str, FLIGHTS)), help="requests in flight")
    parser.add_argument("--pictures", type=int, default=16, help="drawn for each rate, at least")
    parser.add_argument("--out", type=Path, default=OUT, help="where the lines are appended")
    parser.add_argument("--tiny", action="store_true", help="tiny models on the CPU: only whether it runs")
    parser.add_argument("--write-docs", action="store_true", help="fill the table in docs/performance.md from --out")
    options = parser.parse_args()
    if not torch.cuda.is_available() and not options.tiny:
        print("There is no GPU here (torch.cuda.is_available() is false), so nothing was measured.")
        return
    device = torch.device("cpu" if options.tiny else "cuda")
    kind = "tiny on a CPU" if options.tiny else torch.cuda.get_device_name(device)
    torch.set_grad_enabled(False)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for name in options.case or CASES:
        loaded = load(CASES[name], device, options.tiny)
        for found in measure(loaded, [int(each) for each in options.flights.split(",")], options.pictures, options.sides.split(",")):
            line = {"date": datetime.datetime.now(datetime.UTC).date().isoformat(), "device": kind, "torch": torch.__version__, "case": name, **found}
            print(json.dumps(line), flush=True)
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        del loaded
        torch.cuda.empty_cache() if device.type == "cuda" else None
    if options.write_docs:
        lines = [json.loads(line) for line in options.out.read_text(encoding="utf-8").splitlines()]
        engine_report.write_between(engine_report.DOCS, "gpu", engine_report.gpu_table(lines))


if __name__ == "__main__":
    main()
