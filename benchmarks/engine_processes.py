"""Runs in processes of their own, so that each has a peak of memory of its own. Used by `benchmarks.engine_load`."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import resource
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def isolated(works: Sequence[Callable[[], Any]], jobs: int = 1) -> list[Any]:
    """What each work returns, each run in a fork of this process, at most `jobs` at a time. Results must pickle; the works need not.

    Raises RuntimeError with the trace of a work that failed.
    """
    results: list[Any] = [None] * len(works)
    running: dict[Any, tuple[int, Any]] = {}
    line = list(range(len(works)))
    try:
        while line or running:
            while line and len(running) < jobs:
                number = line.pop(0)
                pipe, process = _started(works[number])
                running[pipe] = (number, process)
            for pipe in multiprocessing.connection.wait(list(running)):
                number, process = running.pop(pipe)
                failed, results[number] = _received(pipe)
                process.join()
                if failed:
                    raise RuntimeError(results[number])
    finally:
        for _, process in running.values():
            process.kill()
            process.join()
    return results


def _started(work: Callable[[], Any]) -> tuple[Any, Any]:
    context = multiprocessing.get_context("fork")  # the models are in memory already, and torch computes on one thread: there is nothing to lose
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(work, sending))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later warn of forks beside threads
        process.start()
    sending.close()
    return receiving, process


def _run(work: Callable[[], Any], pipe: Any) -> None:
    try:
        pipe.send((False, work()))
    except BaseException:
        pipe.send((True, traceback.format_exc()))


def _received(pipe: Any) -> tuple[bool, Any]:
    try:
        answer: tuple[bool, Any] = pipe.recv()
    except EOFError:
        return True, "a run ended without an answer (killed, perhaps for its memory)"
    return answer


def forget_peak() -> None:
    """Let the peak of resident memory begin anew, where the kernel can (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_mb() -> float:
    """The largest resident set since `forget_peak`, in megabytes (10^6 bytes); where the kernel does not tell, since the process began."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
