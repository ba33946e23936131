"""Fetches the pictures members send along, from the platform's own hosts and from nowhere else. Used by the chats' adapters."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

import aiohttp

TIMEOUT = aiohttp.ClientTimeout(total=30)


class Foreign(Exception):
    """The address is not one of the platform's own."""


class Unreachable(Exception):
    """It could not be had."""


class TooHeavy(Exception):
    """More bytes than may be sent."""


def allowed(url: str, hosts: Collection[str]) -> bool:
    """Whether the address lies on one of these hosts (a port counts), and the way there is encrypted unless it leads to this machine."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return False
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    names = {host, f"{host}:{port or usual}"} if port in (None, usual) else {f"{host}:{port}"}
    if parts.username or parts.password or names.isdisjoint(hosts):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


async def fetch(session: aiohttp.ClientSession, url: str, hosts: Collection[str], *, limit: int, headers: Mapping[str, str] | None = None) -> bytes:
    """At most `limit` bytes. Follows no redirects: they could lead anywhere, headers and all. Raises Foreign, Unreachable, TooHeavy."""
    if not allowed(url, hosts):
        raise Foreign
    data = bytearray()
    try:
        async with session.get(url, headers=headers, allow_redirects=False, timeout=TIMEOUT) as answer:
            if answer.status != 200 or answer.content_type == "text/html":  # Slack shows a log-in page where the token does not do
                raise Unreachable(str(answer.status))
            async for chunk in answer.content.iter_chunked(64 * 1024):
                data += chunk
                if len(data) > limit:
                    raise TooHeavy
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise Unreachable(repr(error)) from error
    return bytes(data)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
