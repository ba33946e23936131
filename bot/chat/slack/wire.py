"""Everything asked of Slack's Web API, behind plain methods. Owned by `bot.chat.slack.adapter`; used by posts, files, home and handlers.

One workspace each, with its own token and its own pace. Two clients over one session: one that waits for Slack's `Retry-After` (and asks twice more
at most, and only where the method is worth so long a wait), and a quick one that never does, for progress, which may be lost. Until that time has
passed neither asks for the same method, whoever was told. Neither tries a lost connection again by itself: a message may have been posted by then, and
only who posts can look. Raises SlackApiError, aiohttp.ClientError and TimeoutError; `bot.chat.slack.trouble` says what they mean.
"""

from __future__ import annotations

import logging
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import structlog
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.chat.slack import trouble
from bot.chat.slack.blocks import EVENT, LETTER, Message
from bot.chat.slack.pace import Client, Pace
from bot.chat.slack.people import People
from bot.domain import Receipt

log = structlog.get_logger(__name__)

PLATFORM = "slack"
TIMEOUT = aiohttp.ClientTimeout(total=30, connect=10)
RETRIES = 2  #: waits for `Retry-After`, each call
MEMBERSHIP = 60.0  #: seconds that it is believed to be in a channel; that it is not is asked every time: it may have been invited just now
LOOKED_AT = 50  #: newest messages among which a job's own is looked for before another is posted
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_REMEMBERED = 2048

Passed = Callable[[Receipt], Awaitable[object]]
"""Whether a message is none that is looked for."""


@dataclass(frozen=True, slots=True)
class Identity:
    team: str
    user: str
    bot: str


class Wire:
    """`identity` is known where the workspace installed the app; else `identify` asks for it."""

    def __init__(
        self, *, bot_token: str, app_token: str = "", api_url: str, monotonic: Callable[[], float] = time.monotonic, identity: Identity | None = None
    ) -> None:
        self.token, self._app_token, self._api_url, self._monotonic = bot_token, app_token, api_url, monotonic
        self.logger = quiet_logger()
        self.session: aiohttp.ClientSession | None = None
        self.pace = Pace()
        self.client = self._client(RETRIES)
        self._quick = self._client(0)
        self.identity = identity or Identity(team="", user="", bot="")
        self.people = People(self._about, monotonic)
        self._members: OrderedDict[str, float] = OrderedDict()
        self._dms: OrderedDict[str, str] = OrderedDict()

    def _client(self, retries: int) -> AsyncWebClient:
        client = Client(self.pace, retries, token=self.token, base_url=self._api_url, logger=self.logger)
        if is_loopback(self._api_url):
            client.proxy = None  # a proxy of the environment leads outwards
        return client

    def open(self, session: aiohttp.ClientSession) -> None:
        """The session is the caller's, who closes it after `aclose`."""
        self.session = self.client.session = self._quick.session = session

    async def aclose(self) -> None:
        self.session = None
        await self.people.aclose()

    # -- who we are

    async def identify(self) -> Identity:
        told = await self._quick.auth_test()
        self.identity = Identity(team=str(told["team_id"]), user=str(told["user_id"]), bot=str(told.get("bot_id") or ""))
        return self.identity

    async def socket_address(self) -> str:
        """A fresh address for Socket Mode; it can be used once."""
        return str((await self._quick.apps_connections_open(app_token=self._app_token))["url"])

    async def _about(self, user: str) -> Mapping[str, Any]:
        told: Mapping[str, Any] = (await self._quick.users_info(user=user, include_locale=True))["user"] or {}
        return told

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

    async def find(self, channel: str, thread: str, mark: str, passed: Passed | None = None) -> Receipt | None:
        """The newest message of ours about that job, or with that letter (`Card.once`), among the last ones; None also where the bot may not look.

        `passed`: not that one.
        """
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
            about = metadata.get("event_payload") or {}
            ours = said.get("user") == self.identity.user or said.get("bot_id") == self.identity.bot
            if ours and metadata.get("event_type") == EVENT and mark in (about.get("job_id"), about.get(LETTER)):
                found = Receipt(platform=PLATFORM, channel=channel, handle=str(said["ts"]))
                if passed is None or not await passed(found):
                    return found
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


def is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in LOOPBACK


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
