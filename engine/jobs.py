"""What the device is handed: requests on their way, and questions about pictures and words. Used by `engine.local`, which makes them, and `engine.device`.

No torch here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from engine.api import Request
from engine.canvas import Canvas
from engine.codec import Pixels


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Look:
    """What is seen in each of these pictures (`Engine.look`)?"""

    model: str
    pictures: tuple[Pixels, ...]
    rows = 0  #: a question takes no picture's place


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Find:
    """How well does each of these pictures fit the words (`Engine.find`)?"""

    model: str
    words: str
    pictures: tuple[Pixels, ...]
    rows = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Weigh:
    """How much does the text's meaning change without each of these words (`Engine.weigh`)? `words` are the places of their characters."""

    model: str
    text: str
    words: tuple[tuple[int, int], ...]
    rows = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outline:
    """Where in the picture is what the phrase names (`Engine.mask`)? The picture is of a size that the model draws."""

    model: str
    picture: Pixels
    phrase: str
    rows = 4  #: it takes the places of as many pictures as step together for it (`engine.phrase`)


Question = Look | Find | Weigh | Outline


class Job(Protocol):
    """One request or question, as the device sees it. All methods are called on the device thread; `ended` exactly once, last."""

    request: Request | Question
    canvas: Canvas
    rows: int

    def progress(self, step: int, of: int) -> None: ...

    def wants_preview(self) -> bool: ...

    def preview(self, pictures: list[Pixels]) -> None: ...

    def ended(self, drawn: Any, error: BaseException | None, seconds: float) -> None:
        """`drawn` is what `engine.perform.perform` or `engine.questions.answer` returned; `error` an EngineError."""


class Paced:
    """A job's watch that allows a preview every 0.3 s, and less often where drawing one costs more than a tenth of the time."""

    def __init__(self, job: Job, clock: Callable[[], float], every: float = 0.3, share: float = 0.1) -> None:
        self._job, self._clock, self._every, self._share = job, clock, every, share
        self._asked = self._next = float("-inf")
        self.progress, self._send = job.progress, job.preview

    def wants_preview(self) -> bool:
        self._asked = self._clock()
        return self._asked >= self._next and self._job.wants_preview()

    def preview(self, pictures: list[Pixels]) -> None:
        now = self._clock()
        self._next = now + max(self._every, (now - self._asked) / self._share)
        self._send(pictures)
