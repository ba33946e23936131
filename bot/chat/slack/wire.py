"""Everything asked of Slack's Web API, behind plain methods. Owned by `bot.chat.slack.adapter`; used by posts, files, home and handlers.

Two clients over one session: one that waits for Slack's `Retry-After` (twice at most), and a quick one that never does, for progress, which may be
lost. Neither tries a lost connection again by itself: a message may have been posted by then, and only who posts can look. Raises SlackApiError,
aiohttp.ClientError and TimeoutError; `bot.chat.slack.trouble` says what they mean.
"""

from __future__ import annotations

import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import structlog
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient

from bot.chat.slack import trouble
from bot.chat.slack.blocks import EVENT, Message
from bot.domain import Receipt

log = structlog.get_logger(__name__)

PLATFORM = "slack"
TIMEOUT = aiohttp.ClientTimeout(total=30, connect=10)
RETRIES = 2  #: waits for `Retry-After`, each call
MEMBERSHIP = 60.0  #: seconds that it is believed to be in a channel; that it is not is asked every time: it may have been invited just now
LOOKED_AT = 50  #: newest messages among which a job's own is looked for before another is posted
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_REMEMBERED = 2048


@dataclass(frozen=True, slots=True)
class Identity:
    team: str
    user: str
    bot: str


class Wire:
    def __init__(self, *, bot_token: str, app_token: str, api_url: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._bot_token, self._app_token, self._api_url, self._monotonic = bot_token, app_token, api_url, monotonic
        self.logger = quiet_logger()
        self.session: aiohttp.ClientSession | None = None
        self.client = self._client([AsyncRateLimitErrorRetryHandler(max_retry_count=RETRIES)])
        self._quick = self._client([])
        self.identity = Identity(team="", user="", bot="")
        self._members: OrderedDict[str, float] = OrderedDict()
        self._dms: OrderedDict[str, str] = OrderedDict()
        self._names: OrderedDict[str, str] = OrderedDict()

    def _client(self, handlers: list[Any]) -> AsyncWebClient:
        client = AsyncWebClient(token=self._bot_token, base_url=self._api_url, retry_handlers=handlers, logger=self.logger)
        if urlsplit(self._api_url).hostname in LOOPBACK:
            client.proxy = None  # a proxy of the environment leads outwards
        return client

    def open(self) -> None:
        if self.session is None or self.session.closed:
            self.session = aiohttp.ClientSession(timeout=TIMEOUT)
        self.client.session = self._quick.session = self.session

    async def aclose(self) -> None:
        session, self.session = self.session, None
        if session is not None:
            await session.close()

    # -- who we are

    async def identify(self) -> Identity:
        told = await self._quick.auth_test()
        self.identity = Identity(team=str(told["team_id"]), user=str(told["user_id"]), bot=str(told.get("bot_id") or ""))
        return self.identity

    async def socket_address(self) -> str:
        """A fresh address for Socket Mode; it can be used once."""
        return str((await self._quick.apps_connections_open(app_token=self._app_token))["url"])

    async def name_of(self, user: str) -> str:
        """A member's name as others see it; empty where the app may not ask, or cannot now."""
        if user and user not in self._names:
            try:
                told = await self._quick.users_info(user=user)
            except (SlackApiError, aiohttp.ClientError, TimeoutError) as error:
                if isinstance(error, SlackApiError) and trouble.name_of(error) == "missing_scope":
                    self._names[user] = ""
                return ""
            about: Mapping[str, Any] = told["user"] or {}
            profile: Mapping[str, Any] = about.get("profile") or {}
            self._names[user] = str(profile.get("display_name") or about.get("real_name") or about.get("name") or "")
            _trim(self._names)
        return self._names.get(user, "")

    # -- where we may write

    async def is_in(self, channel: str) -> bool:
        """Whether the bot is in that channel. What it may not ask, or cannot now, it hopes for."""
        if not channel:
            return False
        if self._monotonic() - self._members.get(channel, -MEMBERSHIP) < MEMBERSHIP:
            return True
        try:
            told = await self.client.conversations_info(channel=channel)
        except SlackApiError as error:
            return trouble.passing(error) or trouble.name_of(error) not in trouble.PLACE_CLOSED
        except (aiohttp.ClientError, TimeoutError):
            return True
        about: Mapping[str, Any] = told["channel"] or {}
        if not about.get("is_member", True) or about.get("is_archived", False):  # a direct message of ours has no members to speak of
            return False
        self._members[channel] = self._monotonic()
        _trim(self._members)
        return True

    def left(self, channel: str) -> None:
        """Slack said so just now."""
        self._members.pop(channel, None)

    async def dm(self, user: str) -> str:
        """The channel of the direct message with a member."""
        if user not in self._dms:
            try:
                told = await self.client.conversations_open(users=user)
            except SlackApiError as error:
                if trouble.name_of(error) == "missing_scope":
                    return user  # chat.postMessage takes a member for their direct message
                raise
            self._dms[user] = str((told["channel"] or {})["id"])
            _trim(self._dms)
        return self._dms[user]

    # -- messages

    async def post(self, channel: str, thread: str, message: Message) -> Receipt:
        told = await self.client.chat_postMessage(channel=channel, thread_ts=thread or None, unfurl_links=False, unfurl_media=False, **message.arguments())
        return Receipt(platform=PLATFORM, channel=str(told["channel"]), handle=str(told["ts"]))

    async def edit(self, at: Receipt, message: Message, *, quickly: bool = False) -> None:
        client = self._quick if quickly else self.client
        await client.chat_update(channel=at.channel, ts=at.handle, **message.arguments())

    async def remove(self, at: Receipt) -> None:
        await self.client.chat_delete(channel=at.channel, ts=at.handle)

    async def whisper(self, channel: str, thread: str, user: str, message: Message) -> None:
        await self.client.chat_postEphemeral(channel=channel, user=user, thread_ts=thread or None, text=message.text, blocks=list(message.blocks))

    async def find(self, channel: str, thread: str, job_id: str) -> Receipt | None:
        """The newest message of ours about that job among the last ones; None also where the bot may not look."""
        try:
            if thread:
                told = await self.client.conversations_replies(channel=channel, ts=thread, include_all_metadata=True, limit=LOOKED_AT)
            else:
                told = await self.client.conversations_history(channel=channel, include_all_metadata=True, limit=LOOKED_AT)
        except SlackApiError as error:
            if trouble.passing(error):
                raise
            return None
        for said in told.get("messages") or []:
            metadata = said.get("metadata") or {}
            ours = said.get("user") == self.identity.user or said.get("bot_id") == self.identity.bot
            if ours and metadata.get("event_type") == EVENT and (metadata.get("event_payload") or {}).get("job_id") == job_id:
                return Receipt(platform=PLATFORM, channel=channel, handle=str(said["ts"]))
        return None

    # -- response URLs

    async def respond(self, url: str, body: Mapping[str, Any]) -> bool:
        """Answer by a response_url; whether it was taken. It carries no token, and is itself a secret."""
        session = self.session
        if session is None:
            return False
        try:
            async with session.post(url, json=dict(body), allow_redirects=False) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError) as error:
            log.info("slack.no_response", error=type(error).__name__)
            return False

    # -- forms and the home tab

    async def open_view(self, trigger: str, view: Mapping[str, Any]) -> None:
        """A trigger lives three seconds: there is time for a second try, but not for waiting."""
        try:
            await self._quick.views_open(trigger_id=trigger, view=dict(view))
        except (SlackApiError, aiohttp.ClientError) as error:
            if not trouble.passing(error):
                raise
            try:
                await self._quick.views_open(trigger_id=trigger, view=dict(view))
            except SlackApiError as again:
                if trouble.name_of(again) != "exchanged_trigger_id":  # else the first one got through
                    raise

    async def publish(self, user: str, view: Mapping[str, Any]) -> None:
        await self.client.views_publish(user_id=user, view=dict(view))


def quiet_logger() -> logging.Logger:
    """For the SDK and bolt: warnings and worse, without addresses (some are keys) and without tracebacks (they hold what was sent)."""
    logger = logging.getLogger("bot.chat.slack.sdk")
    logger.setLevel(logging.WARNING)
    if not logger.filters:
        logger.addFilter(_hush)
    return logger


_ADDRESS = re.compile(r"(?:https?|wss?)://[^\s'\"<>)]+")


def _hush(record: logging.LogRecord) -> bool:
    record.msg, record.args = _ADDRESS.sub("(address)", record.getMessage())[:500], ()
    record.exc_info = record.exc_text = None
    return True


def _trim(memory: OrderedDict[str, Any]) -> None:
    while len(memory) > _REMEMBERED:
        memory.popitem(last=False)
