"""Write `requirements.lock` and `requirements-dev.lock` (called by `make lock`; needs `uv`).

Versions that are there and still fit stay; `--upgrade` takes the newest of everything.

torch is left out: the Makefile installs it first, the CPU or the CUDA build. What torch itself needs stays in, so that everything else is
pinned by hash.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
HEAD = "# Written by `make lock` from pyproject.toml. torch is not here: the Makefile installs it first.\n"


def locked(lock: Path, *groups: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        override, out = Path(folder, "override.txt"), Path(folder, "out.txt")
        override.write_text('torch==2.13.0 ; sys_platform == "never"\n')
        out.write_text(lock.read_text())  # what uv keeps to
        options = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-emit-index-url", "--no-annotate", "--no-header", "--quiet"]
        command = [
            sys.executable,
            "-m",
            "uv",
            "pip",
            "compile",
            "pyproject.toml",
            "--extra",
            "postgres",
            *groups,
            *options,
            *sys.argv[1:],
            "--override",
            str(override),
            "-o",
            str(out),
        ]
        subprocess.run(command, cwd=ROOT, check=True)
        text = out.read_text()
    entries = re.split(r"(?m)^(?=\S)", text)
    kept = [
        e
        for e in entries
        if e.strip() and not re.match(r"(torch|triton|cuda-|nvidia-)", e) and "emscripten' \\" not in e.split("\n")[0].replace("!= 'emscripten'", "")
    ]
    return HEAD + "".join(kept).replace(" and sys_platform == 'never'", "").replace(" ; sys_platform == 'never'", "")


if __name__ == "__main__":
    for name, groups in (("requirements.lock", ()), ("requirements-dev.lock", ("--group", "dev"))):
        lock = ROOT / name
        lock.write_text(locked(lock, *groups))
