"""Signatures of Slack's that were seen, so that a request somebody caught and sends again changes nothing. Used by `bot.chat.slack.intake`.

Slack's own check takes a signed request for five minutes either way of its time. What a member asks for is once only by its delivery id already; but events
such as `app_uninstalled` have nothing of that kind, and sent again after a workspace came back would throw it out. Slack's own second tries are signed anew,
with their own time; where they fall into the same second they are the same request, which was taken.
"""

from __future__ import annotations

import time
from collections.abc import Callable

LIFE = 300  #: seconds about its time that a signature is good for (`slack_sdk.signature.SignatureVerifier`)


class Replays:
    """Of this process. It holds signatures that were checked before, so that nobody fills it who cannot sign.

    A request costs the same however many are remembered: what nobody takes any more is let go once a second, by the second in which that came to be so.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._seen: dict[str, int] = {}  #: signature → the last second in which somebody might take it
        self._ending: dict[int, set[str]] = {}  #: the same, the other way round
        self._looked: int | None = None  #: the second in which it was looked for what has ended

    def first(self, signature: str, timestamp: str) -> bool:
        """Whether this one was not seen before; it is from now on. Raises ValueError for a time that is none."""
        until = int(timestamp) + LIFE + 1
        self._let_go(self._clock())
        if signature in self._seen:
            return False
        self._seen[signature] = until
        self._ending.setdefault(until, set()).add(signature)
        return True

    def _let_go(self, now: float) -> None:
        if int(now) == self._looked:
            return
        self._looked = int(now)
        for until in [each for each in self._ending if each < now]:
            for signature in self._ending.pop(until):
                del self._seen[signature]

    def forget(self, signature: str) -> None:
        """It led to nothing: Slack may send it again."""
        until = self._seen.pop(signature, None)
        if until is not None:
            self._ending[until].discard(signature)
