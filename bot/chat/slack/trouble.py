"""What Slack's errors mean to us: worth another try, a message or channel that is gone, a member who cannot be reached, a token that is no good.

Names are those of https://docs.slack.dev/reference/methods; read by everything here that asks Slack for something.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError

T = TypeVar("T")

PAUSES = (0.5, 2.0)  #: seconds between tries while a member waits; what is still owed after the last is the outbox's

#: The token is no good, and will not become so by waiting.
BAD_TOKEN = frozenset(
    {"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "org_login_required", "not_allowed_token_type", "no_permission"}
)
PASSING = frozenset(
    {"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org", "accesslimited"}
)
#: The message that was to be changed: a new one has to do.
MESSAGE_GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "is_inactive", "update_failed"})
#: The bot may not write there (any more).
PLACE_CLOSED = frozenset(
    {
        "not_in_channel",
        "channel_not_found",
        "is_archived",
        "restricted_action",
        "restricted_action_read_only_channel",
        "restricted_action_thread_only_channel",
        "restricted_action_non_threadable_channel",
        "restricted_action_thread_locked",
        "thread_not_found",
        "cannot_reply_to_message",
        "messages_tab_disabled",
        "no_permission",
        "team_access_not_granted",
        "ekm_access_denied",
        "channel_is_limited_access",
    }
)
#: Nobody there to write to.
MEMBER_GONE = frozenset(
    {
        "user_not_found",
        "users_not_found",
        "user_disabled",
        "user_not_visible",
        "account_inactive",
        "cannot_dm_bot",
        "channel_not_found",
        "messages_tab_disabled",
        "restricted_action",
        "is_archived",
        "cannot_message_user",
        "not_allowed",
    }
)
FILE_GONE = frozenset({"file_not_found", "file_deleted"})


class Later(ConnectionError):
    """Something that did not work now and may in a while."""


class Never(Exception):
    """Something that will not work by trying again."""


#: What asking Slack for something may raise.
EXPECTED = (SlackClientError, aiohttp.ClientError, TimeoutError, OSError, Later, Never)


def expected(error: BaseException) -> bool:
    return isinstance(error, EXPECTED)


def name_of(error: BaseException) -> str:
    """Slack's word for it; empty where the answer was none of Slack's."""
    data = _data(error)
    return str(data.get("error") or "") if data else ""


def status_of(error: BaseException) -> int:
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None) or getattr(response, "status", None)
    return status if isinstance(status, int) else 0


def retry_after(error: BaseException) -> float | None:
    """Seconds that a 429 asks to wait; None for anything else."""
    if status_of(error) != 429 and name_of(error) not in ("ratelimited", "rate_limited"):
        return None
    return seconds_in(getattr(getattr(error, "response", None), "headers", None) or {})


def seconds_in(headers: Mapping[str, Any]) -> float:
    """Of a 429's headers; one where they do not say."""
    try:
        return max(1.0, float(headers.get("Retry-After", 1)))
    except (TypeError, ValueError):
        return 1.0


def passing(error: BaseException) -> bool:
    """Whether trying again may help: the network, Slack's own trouble, its limits."""
    if isinstance(error, SlackApiError):
        status = status_of(error)
        return status == 429 or status >= 500 or name_of(error) in PASSING or not name_of(error)
    return isinstance(error, aiohttp.ClientError | TimeoutError | OSError | Later | SlackClientError)


def lacks_file(error: SlackApiError) -> bool:
    """Whether a block's picture is what is wrong: not processed yet, or deleted."""
    return name_of(error) in ("invalid_blocks", "invalid_arguments", "invalid_attachments") and "slack file" in told(error).replace("_", " ")


def told(error: SlackApiError) -> str:
    """Slack's explanations in one line."""
    data = _data(error) or {}
    metadata = data.get("response_metadata") or {}
    messages = [*(metadata.get("messages") or ()), *(data.get("errors") or ())]
    return "; ".join(map(str, messages))


def _data(error: BaseException) -> dict[str, Any] | None:
    data = getattr(getattr(error, "response", None), "data", None)
    return data if isinstance(data, dict) else None


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Try it again when that may help, a few times: a member waits for it."""
    for pause in PAUSES:
        try:
            return await work()
        except EXPECTED as error:
            if not passing(error):
                raise
            await asyncio.sleep(pause)
    return await work()
