"""Which workspaces installed the app, and their tokens, sealed by the program's `Vault`. Used by `bot.chat.slack.doors` and `workspaces`.

`Installations` is bolt's `AsyncInstallationStore` of bots (user tokens are never asked for); `States` its store of OAuth states, which are signed and
live ten minutes, so that whichever process answers knows them. Tokens are in the vault and in memory, and nowhere else.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from slack_bolt.error import BoltError
from slack_sdk.oauth.installation_store import Bot, Installation
from slack_sdk.oauth.installation_store.async_installation_store import AsyncInstallationStore
from slack_sdk.oauth.state_store.async_state_store import AsyncOAuthStateStore

from bot.chat.slack.wire import quiet_logger
from bot.ports import Vault

LIFE = 600  #: seconds that somebody may take to say yes to Slack
_USED = 4096  #: states that are remembered as used
_KEPT = ("app_id", "enterprise_id", "enterprise_name", "team_id", "team_name", "bot_token", "bot_id", "bot_user_id", "bot_scopes", "installed_at")


def key(team: str) -> str:
    """In the vault."""
    return f"slack:installation:{team}"


class Installations(AsyncInstallationStore):
    """One a workspace: installing again replaces it. `changed` is told whose."""

    def __init__(self, vault: Vault, changed: Callable[[str], None] = lambda team: None) -> None:
        self._vault, self._changed = vault, changed

    @property
    def logger(self) -> logging.Logger:
        return quiet_logger()

    async def async_save(self, installation: Installation) -> None:
        """Raises BoltError where it cannot be kept, or is of a whole organisation."""
        await self.async_save_bot(installation.to_bot())

    async def async_save_bot(self, bot: Bot) -> None:
        """As `async_save`."""
        if bot.is_enterprise_install or not (bot.team_id and bot.bot_token and bot.bot_user_id):
            raise BoltError("no workspace's own installation")
        try:
            await self._vault.put(key(bot.team_id), json.dumps({name: getattr(bot, name) for name in _KEPT}).encode())
        except Exception as error:  # whatever the store has against it: bolt shows the page that says so
            raise BoltError(f"not kept: {type(error).__name__}") from None
        self._changed(bot.team_id)

    async def async_find_bot(self, *, enterprise_id: str | None, team_id: str | None, is_enterprise_install: bool | None = False) -> Bot | None:
        sealed = await self._vault.get(key(team_id)) if team_id and not is_enterprise_install else None
        if sealed is None:
            return None
        try:
            told: dict[str, Any] = {name: value for name, value in json.loads(sealed).items() if name in _KEPT}
            return Bot(**told)
        except (ValueError, TypeError, AttributeError):
            return None

    async def async_find_installation(
        self, *, enterprise_id: str | None, team_id: str | None, user_id: str | None = None, is_enterprise_install: bool | None = False
    ) -> Installation | None:
        """Whoever installed it: there is one a workspace."""
        bot = await self.async_find_bot(enterprise_id=enterprise_id, team_id=team_id, is_enterprise_install=is_enterprise_install)
        if bot is None:
            return None
        kept: dict[str, Any] = {name: getattr(bot, name) for name in _KEPT}
        return Installation(**kept, user_id="")

    async def async_delete_bot(self, *, enterprise_id: str | None, team_id: str | None) -> None:
        """Idempotent."""
        if team_id:
            await self._vault.remove(key(team_id))
            self._changed(team_id)

    async def async_delete_installation(self, *, enterprise_id: str | None, team_id: str | None, user_id: str | None = None) -> None:
        """One member's token was revoked: there are none."""

    async def async_delete_all(self, *, enterprise_id: str | None, team_id: str | None) -> None:
        await self.async_delete_bot(enterprise_id=enterprise_id, team_id=team_id)


class States(AsyncOAuthStateStore):
    """``<expiry>.<chance>.<signature>``; each is good once in a process, and a code of Slack's once anywhere."""

    def __init__(self, secret: str, clock: Callable[[], float] = time.time) -> None:
        """`secret` is the app's client secret; what signs is derived from it."""
        self._key, self._clock = hmac.digest(secret.encode(), b"wordup slack oauth state", hashlib.sha256), clock
        self._used: OrderedDict[str, None] = OrderedDict()

    @property
    def logger(self) -> logging.Logger:
        return quiet_logger()

    async def async_issue(self, *args: Any, **more: Any) -> str:
        said = f"{int(self._clock()) + LIFE}.{secrets.token_urlsafe(18)}"
        return f"{said}.{self._signature(said)}"

    async def async_consume(self, state: str) -> bool:
        said, _, signature = state.rpartition(".")
        expiry = said.partition(".")[0]
        good = state.isascii() and expiry.isdecimal() and hmac.compare_digest(signature, self._signature(said))
        if not good or self._clock() >= int(expiry) or said in self._used:
            return False
        self._used[said] = None
        while len(self._used) > _USED:
            self._used.popitem(last=False)
        return True

    def _signature(self, said: str) -> str:
        return hmac.new(self._key, said.encode(), hashlib.sha256).hexdigest()
