"""Who members are: their name, the language Slack shows them, whether they run the workspace. One a workspace, owned by `bot.chat.slack.wire`.

Asked of Slack once a day each, and remembered here only. An acknowledgement never waits for it: `known` says what is known now, `soon` waits a moment.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError

from bot.chat.slack import trouble

DAY = 86400.0  #: seconds that it is believed
HOUR = 3600.0  #: seconds that Slack is not asked again for somebody it will not tell of
SOON = 0.5  #: seconds that a member may wait so that the first word is in their language
REMEMBERED = 4096  #: members

Ask = Callable[[str], Awaitable[Mapping[str, Any]]]
"""Slack's user object. Raises SlackApiError, aiohttp.ClientError, TimeoutError."""


@dataclass(frozen=True, slots=True)
class Member:
    name: str = ""  #: as others see it; empty where the app may not ask
    locale: str = ""  #: an IETF tag ("pt-BR"); empty where nobody said
    admin: bool = False  #: an owner or administrator of the workspace


NOBODY = Member()


class People:
    def __init__(self, ask: Ask, monotonic: Callable[[], float]) -> None:
        self._ask, self._monotonic = ask, monotonic
        self._kept: OrderedDict[str, tuple[float, Member]] = OrderedDict()  # until when, and who
        self._asking: dict[str, asyncio.Task[Member]] = {}

    def known(self, user: str) -> Member:
        """What is known without asking, however old."""
        return self._kept.get(user, (0.0, NOBODY))[1]

    async def member(self, user: str) -> Member:
        """Asked for where it is not known; what was known before where Slack cannot say now. Never raises for what Slack does."""
        until, member = self._kept.get(user, (0.0, NOBODY))
        if not user or (user in self._kept and self._monotonic() < until):
            return member
        task = self._asking.get(user)
        if task is None:
            task = self._asking[user] = asyncio.create_task(self._asked(user), name="slack member")
            task.add_done_callback(lambda _: self._asking.pop(user, None))
        return await asyncio.shield(task)

    async def soon(self, user: str) -> Member:
        """What is known after a moment at the most; it is asked for meanwhile."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SOON):
                return await self.member(user)
        return self.known(user)

    async def aclose(self) -> None:
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    async def _asked(self, user: str) -> Member:
        before = self.known(user)
        try:
            member, keep = member_of(await self._ask(user)), DAY
        except (SlackApiError, aiohttp.ClientError, TimeoutError) as error:
            if trouble.passing(error):
                return before
            member, keep = before, HOUR  # no such member to us, or we may not ask
        self._kept[user] = (self._monotonic() + keep, member)
        self._kept.move_to_end(user)
        while len(self._kept) > REMEMBERED:
            self._kept.popitem(last=False)
        return member


def member_of(about: Mapping[str, Any]) -> Member:
    """Of Slack's user object."""
    profile: Mapping[str, Any] = about.get("profile") or {}
    return Member(
        name=str(profile.get("display_name") or about.get("real_name") or about.get("name") or ""),
        locale=str(about.get("locale") or ""),
        admin=bool(about.get("is_admin") or about.get("is_owner") or about.get("is_primary_owner")),
    )
