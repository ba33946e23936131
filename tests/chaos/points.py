"""Named points of a job's life, and a way to die at one of them. Armed in the bot's own process by `tests.chaos.victim`; the product knows nothing of it."""

from __future__ import annotations

import importlib
import inspect
import itertools
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A function of the program, and whether death comes before it does anything or after it did what it was for (it returned something true)."""

    module: str
    name: str  #: with the class's name before a dot, where there is one
    when: Literal["before", "after", "always"] = "after"  #: `always`: after it, whatever it returned


STORE, CHAT = "bot.store.sql", "tests.chaos.chat"

#: In the order of a job's life. "… written" is a transaction whose statements are done and that is not committed.
POINTS: Mapping[str, Point] = {
    "heard": Point(module="bot.studio", name="WordUpStudio.handle", when="before"),
    "submission written": Point(module="bot.store.inbox", name="submit"),
    "accepted": Point(module=STORE, name="SqlStore.submit"),
    "queued shown": Point(module="bot.studio", name="WordUpStudio.placed", when="before"),
    "placed": Point(module="bot.studio", name="WordUpStudio.placed", when="always"),
    "claim written": Point(module="bot.store.claims", name="claim"),
    "claimed": Point(module=STORE, name="SqlStore.claim"),
    "drawing": Point(module="tests.chaos.victim", name="step", when="always"),
    "progress shown": Point(module=CHAT, name="ChaosChat.progress", when="always"),
    "blob half written": Point(module="pathlib", name="Path.replace", when="before"),
    "blobs written": Point(module="bot.store.blobs", name="DiskBlobs.put"),
    "before finish": Point(module=STORE, name="SqlStore.finish", when="before"),
    "finish written": Point(module="bot.store.claims", name="finish"),
    "finished": Point(module=STORE, name="SqlStore.finish"),
    "cancel written": Point(module="bot.store.claims", name="cancel"),
    "cancelled": Point(module=STORE, name="SqlStore.cancel"),
    "before shown": Point(module=CHAT, name="ChaosChat.show", when="before"),
    "shown, not told": Point(module=CHAT, name="ChaosChat.show"),
    "told": Point(module=STORE, name="SqlStore.told", when="always"),
    "recovered": Point(module=STORE, name="SqlStore.requeue_expired"),
}


def arm(name: str, nth: int) -> None:
    """Die, without a word, the nth time this process comes to that point."""
    point = POINTS[name]
    *owners, attribute = point.name.split(".")
    owner: Any = importlib.import_module(point.module)
    for each in owners:
        owner = getattr(owner, each)
    _replace(owner, attribute, _deadly(getattr(owner, attribute), point, itertools.count(1), nth))


_replace = setattr


def _deadly(function: Callable[..., Any], point: Point, passes: itertools.count[int], nth: int) -> Callable[..., Any]:
    def come(when: str, result: object = None) -> None:
        here = when == "before" if point.when == "before" else when == "after" and (point.when == "always" or bool(result))
        if here and next(passes) == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def waits(*args: Any, **kwargs: Any) -> Any:
            come("before")
            result = await function(*args, **kwargs)
            come("after", result)
            return result

        return waits

    @wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:
        come("before")
        result = function(*args, **kwargs)
        come("after", result)
        return result

    return plain
