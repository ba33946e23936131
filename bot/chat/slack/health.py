"""What `wordup doctor` asks Slack: whether the tokens are good and may do what the bot does. Speaks plain HTTP; starts no client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiohttp

from bot.findings import Finding

WHAT = "Slack"
APPS = "https://api.slack.com/apps"
MANIFEST = "docs/slack-manifest.yaml"
#: As in docs/slack-manifest.yaml: scope → what does not work without it.
SCOPES: Mapping[str, str] = {
    "chat:write": "showing cards",
    "commands": "/imagine and /wordup",
    "files:write": "showing pictures",
    "files:read": "taking members' pictures",
    "im:write": "direct messages",
    "channels:read": "knowing where it may post",
    "groups:read": "knowing where it may post",
    "reactions:read": "emoji reactions",
    "users:read": "members' names, their language, who may change the settings",
}
_TIMEOUT = aiohttp.ClientTimeout(total=10)


async def examine(bot_token: str, app_token: str, api_url: str) -> list[Finding]:
    """`bot_token` may be empty where workspaces install the app. Never raises for what Slack or the network does."""
    base = api_url.rstrip("/")
    try:
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            if bot_token:
                who, scopes = await _ask(session, f"{base}/auth.test", bot_token)
                found = bot_findings(who, scopes)
            else:
                who = {"ok": True}
                found = [Finding(level="note", what=WHAT, text="no bot token: only workspaces that install the app are answered", fix=f"See {MANIFEST}.")]
            if who.get("ok") and app_token:
                found += socket_findings((await _ask(session, f"{base}/apps.connections.open", app_token))[0])
            elif who.get("ok"):
                fix = "Point Slack's request URLs (commands, interactivity, events) at https://your.host/slack/events."
                found.append(Finding(level="note", what=WHAT, text="no app token: Slack must reach us by HTTP, which cannot be checked from here", fix=fix))
            return found
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        reason = str(error) or type(error).__name__
        return [Finding(level="fail", what=WHAT, text=f"{api_url} does not answer: {reason}", fix="Check the network and WORDUP_SLACK_API_URL.")]


async def _ask(session: aiohttp.ClientSession, url: str, token: str) -> tuple[Mapping[str, Any], frozenset[str]]:
    async with session.post(url, headers={"Authorization": f"Bearer {token}"}) as answer:
        body = await answer.json(content_type=None)
        scopes = frozenset(filter(None, (scope.strip() for scope in answer.headers.get("x-oauth-scopes", "").split(","))))
        return (body if isinstance(body, Mapping) else {}), scopes


def bot_findings(who: Mapping[str, Any], scopes: frozenset[str]) -> list[Finding]:
    """Of `auth.test`. Pure."""
    if not who.get("ok"):
        fix = f"Open {APPS}, your app, OAuth & Permissions, and copy the Bot User OAuth Token into WORDUP_SLACK_BOT_TOKEN."
        return [Finding(level="fail", what=WHAT, text=f"the bot token is refused ({who.get('error', 'no answer')})", fix=fix)]
    found = [Finding(level="ok", what=WHAT, text=f"the bot token is good: {who.get('user', '')} in {who.get('team', '')}")]
    missing = [f"{scope} ({use})" for scope, use in SCOPES.items() if scopes and scope not in scopes]
    if missing:
        fix = f"Open {APPS}, your app, App Manifest, paste docs/slack-manifest.yaml, save, and install it again."
        found.append(Finding(level="fail", what=WHAT, text=f"scopes are missing: {', '.join(missing)}", fix=fix))
    return found


def socket_findings(opened: Mapping[str, Any]) -> list[Finding]:
    """Of `apps.connections.open`. Pure."""
    if opened.get("ok"):
        return [Finding(level="ok", what=WHAT, text="the app token is good: Socket Mode")]
    fix = f"Open {APPS}, your app, Basic Information, App-Level Tokens: make one with connections:write, and turn Socket Mode on."
    return [Finding(level="fail", what=WHAT, text=f"the app token is refused ({opened.get('error', 'no answer')})", fix=fix)]
