"""A program of ours that reads strangers' bytes in a process of its own: how it is started, asked and ended. `bot.uploads` reads pictures so (the program is
`bot.decoding`), `bot.provenance` the manifests in them (`bot.provenance.reading`); each kind has processes of its own.

One question at a time goes to a process, over its standard input and output. It is kept for the next question while it lives. What it does to itself, or the
time it takes, costs the question that it was asked alone; and of its answer nothing is believed but what whoever asks has measured.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from queue import Empty, LifoQueue
from typing import IO, Generic, TypeVar, cast

from bot.decoding import READY

T = TypeVar("T")

START = 60.0  #: seconds that a process may take to start, on a busy machine


class Fallen(Exception):
    """The process died of the question, was ended because it took too long, or answered nonsense."""


def program(module: str) -> str:
    """What the interpreter is to run: that module's `main`, found where our own modules are. Pure."""
    return f"import sys; sys.path[:] = sys.argv[1:]; from {module} import main; main()"


class Child:
    """One such process. `exchange` is called by one thread at a time."""

    def __init__(self, code: str, name: str) -> None:
        """`code`: what it runs; `name`: what it is for, in an error. Raises OSError when it does not start, or cannot be confined."""
        # An environment without our secrets, a session of its own (Ctrl-C is meant for us), no open files but the pipes, modules from where ours are.
        environment = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(  # noqa: S603 (our own module, by our own interpreter)
            [sys.executable, "-I", "-c", code, *(each or os.getcwd() for each in sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=os.sep,
            start_new_session=True,
        )
        self._process = process
        self.end = weakref.finalize(self, _end, process)  # also when this program ends, or forgot about it
        self._to, self._from = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)  # both are pipes
        with _Watch(process, START):
            ready = self._from.read(len(READY))
        if ready != READY:
            self.end()
            raise OSError(f"the process that {name} does not start")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """From any thread: whoever waits for an answer hears that it has fallen."""
        self._process.kill()

    def exchange(self, question: bytes, answer: Callable[[Callable[[int], bytes]], T], seconds: float) -> T:
        """Send a frame and take the answer to it. `answer` is handed what reads so many bytes, and raises ValueError for what it does not believe.

        Raises Fallen, after which the process is gone.
        """
        try:
            with _Watch(self._process, seconds):
                self._to.write(question)
                self._to.flush()
                return answer(self._exactly)
        except (OSError, EOFError, ValueError) as error:
            self.end()
            raise Fallen(f"ended with {self._process.returncode}") from error

    def _exactly(self, count: int) -> bytes:
        """Raises EOFError."""
        data = self._from.read(count)
        if len(data) != count:
            raise EOFError
        return data


C = TypeVar("C", bound=Child)


class Kept(Generic[C]):
    """Processes that are kept while they live. Any thread may ask; there are as many as threads ask at once."""

    def __init__(self, make: Callable[[], C]) -> None:
        """`make` starts one, and raises OSError where it cannot."""
        self._make = make
        self._idle: LifoQueue[C] = LifoQueue()
        self._busy: set[C] = set()
        self._lock = threading.Lock()  # of what is busy
        self._closed = threading.Event()

    def using(self, ask: Callable[[C], T]) -> T:
        """Raises Fallen, and OSError when no process can be started, or none is wanted any more."""
        child = self._kept() or self._make()
        with self._lock:
            if self._closed.is_set():
                child.end()
                raise OSError("nothing is read any more")
            self._busy.add(child)
        try:
            answer = ask(child)
        finally:
            with self._lock:
                self._busy.discard(child)
        self._idle.put(child)
        if self._closed.is_set():
            self.close()
        return answer

    def _kept(self) -> C | None:
        """One that waits, and did not die meanwhile (where memory is short, the system ends whom it likes)."""
        while True:
            try:
                child = self._idle.get_nowait()
            except Empty:
                return None
            if child.lives:
                return child
            child.end()

    def close(self) -> None:
        """End all of them: nobody waits any more for what one may be stuck in."""
        with self._lock:
            self._closed.set()
            for child in self._busy:
                child.kill()
        while True:
            try:
                self._idle.get_nowait().end()
            except Empty:
                return


class _Watch:
    """Kills the process when what is done inside takes too long: the pipe then ends, and whoever reads it is free."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self._timer = threading.Timer(seconds, process.kill)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:  # what was still to be written to it
                continue
