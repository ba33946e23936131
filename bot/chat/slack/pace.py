"""How fast Slack is asked: its `Retry-After` and its tiers, by method. One a workspace; used by `bot.chat.slack.wire`, `files` and `posts`."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.chat.slack import limits, trouble

MINUTE = 60.0


class Pace:
    """Slack's `Retry-After`, by method: until then it is not asked again, by nobody. And how often it was asked in the last minute."""

    def __init__(self) -> None:
        self._refused: dict[str, tuple[float, BaseException]] = {}
        self._asked: dict[str, deque[float]] = {}

    def told(self, method: str, error: BaseException, seconds: float) -> None:
        until = _now() + seconds
        if until > self._refused.get(method, (0.0, error))[0]:
            self._refused[method] = (until, error)

    def left(self, method: str) -> float:
        """Seconds until it may be asked again."""
        return max(0.0, self._refused[method][0] - _now()) if method in self._refused else 0.0

    def refusal(self, method: str) -> BaseException | None:
        """What Slack said, while it holds."""
        return self._refused[method][1] if self.left(method) > 0 else None

    async def wait(self, method: str) -> None:
        seconds = self.left(method)
        if seconds > 0:
            await asyncio.sleep(seconds)
            await self.wait(method)  # somebody may have been told again meanwhile

    def asked(self, method: str) -> None:
        """Somebody asks it now."""
        self._lately(method).append(_now())

    def spare(self, method: str) -> bool:
        """Whether there is room for something that may as well be lost, without taking it from what must arrive."""
        return self.left(method) <= 0 and len(self._lately(method)) < limits.method(method).per_minute * limits.SPARE

    def _lately(self, method: str) -> deque[float]:
        times = self._asked.setdefault(method, deque(maxlen=limits.method(method).per_minute))
        while times and times[0] <= _now() - MINUTE:
            times.popleft()
        return times


class Client(AsyncWebClient):
    """The SDK's, in step with the others; `retries` 0: it refuses by itself what it would have to wait for."""

    def __init__(self, pace: Pace, retries: int, **settings: Any) -> None:
        super().__init__(retry_handlers=[], **settings)
        self._pace, self._retries = pace, retries

    async def api_call(self, api_method: str, **arguments: Any) -> AsyncSlackResponse:
        patience = limits.method(api_method).patience if self._retries else 0.0
        for left in range(self._retries, -1, -1):
            refusal = self._pace.refusal(api_method)
            if refusal is not None and self._pace.left(api_method) > patience:
                raise SlackApiError("Slack asked to wait", getattr(refusal, "response", None))  # type: ignore[no-untyped-call]
            await self._pace.wait(api_method)
            self._pace.asked(api_method)
            try:
                return await super().api_call(api_method, **arguments)
            except SlackApiError as error:
                seconds = trouble.retry_after(error)
                if seconds is None:
                    raise
                self._pace.told(api_method, error, seconds)
                if not left or seconds > patience:
                    raise
        raise AssertionError  # the last one returns or raises


def _now() -> float:
    return asyncio.get_running_loop().time()
