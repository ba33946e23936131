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
    """Of this process. It holds signatures that were checked before, so that nobody fills it who cannot sign."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._seen: dict[str, float] = {}  #: signature → when nobody takes it any more

    def first(self, signature: str, timestamp: str) -> bool:
        """Whether this one was not seen before; it is from now on. Raises ValueError for a time that is none."""
        now = self._clock()
        self._seen = {each: until for each, until in self._seen.items() if until >= now}
        if signature in self._seen:
            return False
        self._seen[signature] = int(timestamp) + LIFE + 1
        return True

    def forget(self, signature: str) -> None:
        """It led to nothing: Slack may send it again."""
        self._seen.pop(signature, None)
