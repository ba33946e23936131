"""The workspaces the bot is in, each with its own token, pace, files, posts, home tabs and handlers. Owned by `bot.chat.slack.adapter`.

That of the bot's own token is there from the start; those that installed the app are read from the vault when somebody there says something, or something
is owed to them, and forgotten when they change or were not heard of for long.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from slack_sdk.oauth.installation_store import Bot

from bot.chat.slack.files import Files
from bot.chat.slack.handlers import Handlers
from bot.chat.slack.home import Home
from bot.chat.slack.installs import Installations
from bot.chat.slack.posts import Posts
from bot.chat.slack.wire import Identity, Wire

log = structlog.get_logger(__name__)

REMEMBERED = 256  #: workspaces kept ready; the others are read again


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    wire: Wire
    files: Files
    home: Home
    posts: Posts
    handlers: Handlers


Make = Callable[[str, Identity], Workspace]
"""Of a token, and of whose it is."""


class Workspaces:
    """`own`: that of the bot's own token, if it has one. `installations`: the others', if others may install it."""

    def __init__(self, make: Make, own: Workspace | None, installations: Installations | None) -> None:
        self._make, self.own, self._installations = make, own, installations
        self._ready: OrderedDict[str, Workspace] = OrderedDict()

    async def of(self, team: str) -> Workspace | None:
        """The one whose token does for that workspace; None where it did not install the app (any more)."""
        if self.own is not None and (self._installations is None or team in ("", self.own.wire.identity.team)):
            return self.own
        if (ready := self._ready.get(team)) is not None:
            self._ready.move_to_end(team)
            return ready
        bot = await self._installed(team)
        if bot is None or not bot.bot_token:
            return self.own  # a member of a connected workspace, in a channel of ours
        identity = Identity(team=team, user=bot.bot_user_id or "", bot=bot.bot_id or "")
        made = self._ready.setdefault(team, self._make(bot.bot_token, identity))
        while len(self._ready) > REMEMBERED:
            self._ready.popitem(last=False)
        return made

    async def reply(self, via: str) -> Workspace | None:
        """The one that an answer's address names (`bot.chat.slack.events.via`); None where nobody can write there any more."""
        if not via:
            return self.own
        found = await self.of(via)
        return found if found is not None and found.wire.identity.team == via else None

    async def renewed(self, team: str) -> bool:
        """Slack refused its token: whether the vault has another by now (another process was told). Else it is gone for good."""
        refused = self._ready.pop(team, None)
        bot = await self._installed(team)
        return bot is not None and bool(bot.bot_token) and (refused is None or bot.bot_token != refused.wire.token)

    def changed(self, team: str) -> None:
        """It was installed again, or is no more."""
        self._ready.pop(team, None)

    async def left(self, team: str) -> None:
        """The app was removed there: what we know of it goes."""
        if self._installations is not None and team:
            await self._installations.async_delete_bot(enterprise_id=None, team_id=team)
        log.info("slack.uninstalled", team=team)

    async def aclose(self) -> None:
        for each in (*self._ready.values(), *((self.own,) if self.own else ())):
            await each.wire.aclose()

    async def _installed(self, team: str) -> Bot | None:
        if self._installations is None:
            return None
        return await self._installations.async_find_bot(enterprise_id=None, team_id=team)
