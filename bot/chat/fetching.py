"""Fetches the files members send along, from the platform's own hosts and from nowhere else. Used by the chats' adapters.

An address is checked twice: its name against the hosts the operator listed, and, at the socket, the number it leads to. A check of the name alone trusts
the name server, and a check in the resolver alone never sees an address that is a number already; the socket sees every one that is connected to, of
every try. So a listed name that is pointed into the operator's network (DNS rebinding) reaches nothing there.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Mapping
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver

TIMEOUT = aiohttp.ClientTimeout(total=30)
#: What files of members are declared to be: pictures, lists of prompts, and what nobody knows. Slack shows a page to sign in where the token does not do.
KINDS = frozenset({"text/plain", "text/csv", "text/tab-separated-values", "application/csv", "application/vnd.ms-excel", "application/octet-stream"})
#: IPv4 within IPv6, as networks without IPv4 reach it (RFC 6052 §2.1): the last four bytes are where it leads.
NAT64 = IPv6Network("64:ff9b::/96")


class Foreign(Exception):
    """The address is not one of the platform's own, or leads into a network that is not the public one."""


class Unreachable(Exception):
    """It could not be had."""


class Unfit(Unreachable):
    """It is declared to be something that nothing here reads; not a byte of it was taken."""


class TooHeavy(Exception):
    """More bytes than may be sent."""


class _Inward(OSError):
    """A connection that was about to be made to where no stranger may send us."""


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


def is_public(address: str) -> bool:
    """Whether this number leads to a host of the public internet. What carries an IPv4 address inside is judged by that, or not let through at all.

    Python's `is_global` (the registries of RFC 6890) says yes to some that are not: multicast, site-local (RFC 3879), 6to4 (RFC 3056) and IPv4-compatible
    addresses (RFC 4291 §2.5.5.1), and every NAT64 address, also of 127.0.0.1.
    """
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        inner = found.ipv4_mapped or (IPv4Address(int(found) & 0xFFFFFFFF) if found in NAT64 else None)
        if inner is None:
            return found.is_global and not (found.is_multicast or found.is_reserved or found.is_site_local or found.sixtofour or found.teredo)
        found = inner
    return found.is_global and not found.is_multicast


async def fetch(
    session: aiohttp.ClientSession,
    url: str,
    hosts: Collection[str],
    *,
    limit: int,
    headers: Mapping[str, str] | None = None,
    resolver: AbstractResolver | None = None,
) -> bytes:
    """At most `limit` bytes. Follows no redirects: they could lead anywhere, headers and all. Raises Foreign, Unreachable (Unfit among it), TooHeavy.

    `session` is the chat's, and says only whether that is still open: connections are made anew for each file, through sockets that are checked and shared
    with nothing else. `resolver`: asked for the names' numbers; None: the system.
    """
    if not allowed(url, hosts):
        raise Foreign
    if session.closed:
        raise Unreachable("closing")
    connector = aiohttp.TCPConnector(socket_factory=_checked(urlsplit(url).hostname or ""), resolver=resolver, force_close=True)
    try:
        async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=TIMEOUT, trust_env=False) as client:
            return await _read(client, url, limit, headers)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        if _is_inward(error):
            raise Foreign from None
        raise Unreachable(repr(error)) from error


async def _read(client: aiohttp.ClientSession, url: str, limit: int, headers: Mapping[str, str] | None) -> bytes:
    data = bytearray()
    async with client.get(url, headers=headers, allow_redirects=False) as answer:
        if answer.status != 200:
            raise Unreachable(str(answer.status))
        if not answer.content_type.startswith("image/") and answer.content_type not in KINDS:
            raise Unfit(answer.content_type)
        if (answer.content_length or 0) > limit:
            raise TooHeavy
        async for chunk in answer.content.iter_chunked(64 * 1024):
            data += chunk
            if len(data) > limit:
                raise TooHeavy
    return bytes(data)


def _checked(host: str) -> Callable[[Any], socket.socket]:
    """Makes the sockets of one fetch. A number that the operator wrote into the settings is meant, so that may be a private one; a name never leads to one."""

    def make(info: tuple[int, int, int, str, tuple[Any, ...]]) -> socket.socket:
        family, kind, protocol, _, address = info
        number = str(address[0])
        if not is_public(number) and not _is_meant(host, number):
            raise _Inward
        return socket.socket(family, kind, protocol)

    return make


def _is_meant(host: str, number: str) -> bool:
    try:
        return ip_address(host) == ip_address(number)
    except ValueError:
        return host == "localhost" and _is_loopback(number)


def _is_inward(error: BaseException) -> bool:
    """What a socket raised comes wrapped."""
    return isinstance(error, _Inward) or isinstance(getattr(error, "os_error", None), _Inward) or isinstance(error.__cause__, _Inward)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
