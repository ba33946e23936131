"""What keeps the studio page safe: headers, the Host and Origin checks, the form token, and who is asking.

The threats it is written against: a page elsewhere that posts here (CSRF), a name that is pointed at 127.0.0.1 (DNS rebinding), words that carry
markup (XSS), a link that leaks, and a visitor nobody invited. `bot.chat.web.server` asks it about every request.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from aiohttp import web

from bot.chat.web import signin
from bot.domain import Actor

#: Nothing from elsewhere, nothing inline. `blob:` shows a chosen picture before it is sent.
CONTENT_SECURITY_POLICY = "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Server": "wordup",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": browsers would then send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), browsing-topics=()",
}

LOCAL = Actor(platform="web", id="local", name="you")


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only be reached from this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def host_of(header: str) -> str:
    """The name in a Host header, without port and brackets, in lower case; empty when it makes no sense."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def origin_of(url: str) -> str:
    """``scheme://host[:port]`` of a URL in the form browsers send; empty when it has none."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower() if parts.scheme in ("http", "https") and parts.netloc else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Decides who may ask for what. Holds no state: sessions and form tokens are signed, not kept."""

    secret: bytes
    sign_in: bool  #: False: whoever reaches the page is the local member
    names: frozenset[str]  #: hosts the page may be asked for by, besides addresses
    public_origin: str
    clock: Callable[[], datetime]

    @classmethod
    def build(cls, *, host: str, public_url: str | None, secret: bytes, clock: Callable[[], datetime], sign_in: bool | None) -> Guard:
        """`sign_in` None: needed unless only this machine can get here, that is, bound to loopback and published nowhere else."""
        public_host = (urlsplit(public_url).hostname or "") if public_url else ""
        if sign_in is None:
            sign_in = not is_loopback(host) or bool(public_host and not is_loopback(public_host))
        names = frozenset(name for name in ("localhost", host.strip("[]").lower(), public_host) if name)
        return cls(secret=secret, sign_in=sign_in, names=names, public_origin=origin_of(public_url or ""), clock=clock)

    # -- where a request was sent, and from where

    def host_allowed(self, header: str) -> bool:
        """Against rebinding: without sign-in, only names nobody else can point here. (With it, the cookie belongs to the right name.)

        An address cannot be rebound, so any will do.
        """
        if self.sign_in:
            return True
        name = host_of(header)
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self.names
        return True

    def origin_allowed(self, request: web.Request) -> bool:
        """Whether a POST comes from one of our own pages, as far as the browser tells. Clients that tell nothing still need the form token."""
        origin = request.headers.get("Origin")
        if origin is None:
            return request.headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none")
        ours = {f"{scheme}://{request.host}".lower() for scheme in (("http", "https") if self.sign_in else (request.scheme,))}
        return origin.lower() in ours | ({self.public_origin} if self.public_origin else set())

    # -- form tokens

    def form_token(self, visit: str, actor: Actor | None) -> str:
        """The token a form must carry: bound to this browser's visit cookie and to the member."""
        text = f"form\0{visit}\0{actor.key if actor else ''}"
        return hmac.new(self.secret, text.encode(), hashlib.sha256).hexdigest()

    def token_allowed(self, visit: str, actor: Actor | None, token: str) -> bool:
        return bool(visit) and hmac.compare_digest(self.form_token(visit, actor).encode(), token.encode())

    # -- cookies

    def _cookie(self, kind: str) -> str:
        """Cookies ignore ports, so two installations on one machine would overwrite each other's: the name carries a mark of the secret."""
        mark = hmac.new(self.secret, b"cookie", hashlib.sha256).hexdigest()[:8]
        prefix = "__Host-" if self.public_origin.startswith("https://") else ""
        return f"{prefix}wordup-{kind}-{mark}"

    def visit(self, request: web.Request) -> str:
        """The visit of the browser that asks, or empty."""
        return request.cookies.get(self._cookie("visit"), "")[:64]

    def begin_visit(self) -> str:
        return secrets.token_urlsafe(18)

    def actor(self, request: web.Request) -> Actor | None:
        """Who is asking; None when they must sign in first."""
        if not self.sign_in:
            return LOCAL
        ticket = signin.read_session(self.secret, request.cookies.get(self._cookie("session"), ""), self.clock())
        if ticket is None:
            return None
        platform, _, member = ticket.actor_id.partition(":")  # an Actor's key: a member of a chat is the same one here, history and wallet too
        return Actor(platform=platform, id=member, name=ticket.name) if member else Actor(platform="web", id=ticket.actor_id, name=ticket.name)

    def language(self, request: web.Request) -> str:
        """The language chosen in this browser, or empty. Not to be trusted."""
        return request.cookies.get(self._cookie("language"), "")[:35]

    def set_language(self, response: web.StreamResponse, code: str) -> None:
        self._set(response, "language", code)

    def set_visit(self, response: web.StreamResponse, visit: str) -> None:
        self._set(response, "visit", visit)

    def sign_in_as(self, response: web.StreamResponse, ticket: signin.Ticket) -> None:
        self._set(response, "session", signin.session(self.secret, ticket.actor_id, ticket.name, self.clock()))

    def sign_out(self, response: web.StreamResponse) -> None:
        response.del_cookie(self._cookie("session"), path="/", secure=self.public_origin.startswith("https://"), httponly=True, samesite="Lax")

    def _set(self, response: web.StreamResponse, kind: str, value: str) -> None:
        response.set_cookie(
            self._cookie(kind),
            value,
            max_age=int(signin.SESSION_LIFE.total_seconds()),
            path="/",
            httponly=True,
            samesite="Lax",
            secure=self.public_origin.startswith("https://"),
        )
