"""What `wordup doctor` asks Discord: whether the token is good, where the bot is, what is switched on. Speaks plain HTTP; starts no client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiohttp

from bot.findings import Finding

WHAT = "Discord"
PORTAL = "https://discord.com/developers/applications"
#: View channels, send messages (in threads, too), embed links, attach files, read the message history.
PERMISSIONS = 1 << 10 | 1 << 11 | 1 << 38 | 1 << 14 | 1 << 15 | 1 << 16
_TIMEOUT = aiohttp.ClientTimeout(total=10)
_GUILD_INSTALL, _USER_INSTALL = "0", "1"


def invitation(application_id: str) -> str:
    """The address that adds the bot to a server."""
    return f"https://discord.com/oauth2/authorize?client_id={application_id}&scope=bot+applications.commands&permissions={PERMISSIONS}"


async def examine(token: str, api_url: str) -> list[Finding]:
    """Never raises for what Discord or the network does."""
    headers = {"Authorization": f"Bot {token}"}
    try:
        async with aiohttp.ClientSession(headers=headers, timeout=_TIMEOUT) as session, session.get(f"{api_url.rstrip('/')}/applications/@me") as answer:
            status, application = answer.status, await answer.json(content_type=None)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        reason = str(error) or type(error).__name__
        return [Finding(level="fail", what=WHAT, text=f"{api_url} does not answer: {reason}", fix="Check the network and WORDUP_DISCORD_API_URL.")]
    if status == 401:
        fix = f"Open {PORTAL}, your application, Bot, Reset Token, and copy it into WORDUP_DISCORD_TOKEN."
        return [Finding(level="fail", what=WHAT, text="the token is refused", fix=fix)]
    if status != 200 or not isinstance(application, Mapping):
        return [Finding(level="fail", what=WHAT, text=f"Discord answered {status}", fix="Try again in a minute.")]
    return findings(application)


def findings(application: Mapping[str, Any]) -> list[Finding]:
    """Of what Discord says about the application. Pure."""
    name, ident = str(application.get("name", "")), str(application.get("id", ""))
    servers = application.get("approximate_guild_count") or 0
    found = [
        Finding(level="ok", what=WHAT, text=f"the token is good: {name}, in {servers} servers; no privileged intents are needed")
        if servers
        else Finding(level="note", what=WHAT, text=f"the token is good: {name}, in no server yet", fix=f"Invite it: {invitation(ident)}")
    ]
    if application.get("interactions_endpoint_url"):
        fix = f"Open {PORTAL}, your application, General Information, and empty “Interactions Endpoint URL”."
        found.append(Finding(level="fail", what=WHAT, text="commands are sent to an HTTP endpoint and never reach the bot", fix=fix))
    installs = application.get("integration_types_config") or {}
    if installs and _GUILD_INSTALL not in installs:
        fix = f"Open {PORTAL}, your application, Installation, and tick “Guild Install”."
        found.append(Finding(level="fail", what=WHAT, text="it cannot be added to servers", fix=fix))
    if installs and _USER_INSTALL not in installs:
        fix = f"Open {PORTAL}, your application, Installation, and tick “User Install”, if members shall take it everywhere."
        found.append(Finding(level="note", what=WHAT, text="members cannot add it to their own account", fix=fix))
    return found
