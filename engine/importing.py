"""Importing torch without stopping everybody else's Python. Used by `engine.device`, once, before its first import of torch.

Two things hold the interpreter's lock for long when torch and diffusers are imported on a thread: the dynamic linker relocating torch's largest
libraries (seconds on a slow disk or a busy core), and full garbage collections over a heap that grows with every module.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

#: Torch's largest libraries that need no Python while they are loaded, in the order torch itself would load them.
_LIBRARIES = (
    ("libtorch_global_deps.so", os.RTLD_NOW | os.RTLD_GLOBAL),
    ("libc10.so", os.RTLD_NOW),
    ("libtorch_cpu.so", os.RTLD_NOW),
    ("libtorch_cuda.so", os.RTLD_NOW),
)
#: Turns a CPU worker of torch spins before it sleeps. OpenMP's default spins for milliseconds, which on a machine that does anything else
#: beside drawing (2 cores, both wanted elsewhere: 1.6 to 2.8 s a forward against 0.9) takes the core from the thread that is being waited for.
SPINS = "10000"


def preload_torch() -> None:
    """Let the dynamic linker do its work without the interpreter's lock; `import torch` then finds the libraries loaded.

    `ctypes.CDLL` would hold the lock while it loads, a foreign call of `dlopen` does not. Where a library is not found, nothing is lost.
    The operator's own OMP_WAIT_POLICY or GOMP_SPINCOUNT is respected.
    """
    if "OMP_WAIT_POLICY" not in os.environ:  # read by OpenMP when it is loaded
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None or not sys.platform.startswith("linux") or "torch" in sys.modules:
        return
    dlopen = ctypes.CDLL(None).dlopen
    dlopen.argtypes, dlopen.restype = [ctypes.c_char_p, ctypes.c_int], ctypes.c_void_p
    for name, flags in _LIBRARIES:
        path = Path(spec.origin).parent / "lib" / name
        if path.is_file() and not dlopen(os.fsencode(path), flags):
            return


def keep_kernels() -> None:
    """Compiled kernels go where they survive a restart, unless the operator said where."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache / "word-up" / "kernels"))


@contextlib.contextmanager
def no_collections() -> Iterator[None]:
    """No garbage collection inside; what was made inside is left out of later ones, for modules live as long as the process."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
