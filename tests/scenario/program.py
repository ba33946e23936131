"""The program as a real process, over loopback: started, asked, killed, started again."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 300.0  #: seconds after which waiting for something is a failure, not slowness


class Program:
    """`python -m bot run` in a data directory of its own. Output is kept for assertions about logs."""

    def __init__(self, data: Path, **environment: str) -> None:
        self.data = data
        clean = {k: v for k, v in os.environ.items() if not k.startswith("WORDUP_")}
        own = {"WORDUP_DATA_DIR": str(data), "WORDUP_WEB_PORT": "0", "WORDUP_METRICS_PORT": "0", "OMP_NUM_THREADS": "2", "PYTHONUNBUFFERED": "1"}
        self.environment = {**clean, **own, **environment}
        self.output: list[str] = []
        self.url = self.metrics = ""

    def start(self) -> Program:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bot", "run"], cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        lines: queue.Queue[str | None] = queue.Queue()

        def read(stream: Any = self.process.stdout) -> None:
            with stream:
                for line in stream:
                    self.output.append(line)
                    lines.put(line)
            lines.put(None)

        threading.Thread(target=read, daemon=True).start()
        self.url = self.metrics = ""
        try:
            self._listening(lines)
        except BaseException:
            self.kill()  # whoever started it has nothing to end it by: it would be found running in the middle of another test
            raise
        return self

    def _listening(self, lines: queue.Queue[str | None]) -> None:
        """Wait until it said where the page and the metrics are."""
        deadline = time.monotonic() + PATIENCE
        while not (self.url and self.metrics):
            try:
                line = lines.get(timeout=max(0.1, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"the program was not ready after {PATIENCE:.0f} s:\n" + "".join(self.output[-30:])) from None
            if line is None:
                raise AssertionError("the program ended at its start:\n" + "".join(self.output[-30:]))
            if found := re.search(r"Studio: (http\S+)", line):
                self.url = found[1].rstrip("/")
            if found := re.search(r"metrics: (http\S+)", line):
                self.metrics = found[1]

    def get(self, url: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name: str) -> float:
        """The sum over a metric's labels."""
        _, text = self.get(self.metrics + "/metrics")
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if re.match(rf"{name}(\{{|\s)", line))

    def kill(self) -> None:
        """As a power cut would: no warning, no cleaning up."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=PATIENCE)

    def __enter__(self) -> Program:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()


def until(what: Any, patience: float = PATIENCE) -> Any:
    """Call until it returns something true; that value. Fails loudly."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if value := what():
            return value
        time.sleep(0.1)
    raise AssertionError(f"still not so after {patience:.0f} s: {getattr(what, '__name__', what)}")


def log_events(output: list[str]) -> list[dict[str, Any]]:
    """The JSON log lines among the output."""
    return [json.loads(line) for line in output if line.startswith("{")]
