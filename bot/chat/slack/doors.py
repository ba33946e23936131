"""``GET /slack/install`` and ``GET /slack/oauth_redirect``: how a workspace lets the app in. bolt's flow, our pages. Owned by the adapter.

What Slack says to the code is a token: it goes into the vault and is shown, logged and kept nowhere else. bolt's own words about a flow that failed name
the code, so they are not written; ours name the reason alone.
"""

from __future__ import annotations

import html
import logging
from typing import Any
from urllib.parse import urlencode, urljoin

import aiohttp
import structlog
from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.oauth.async_callback_options import AsyncCallbackOptions, AsyncFailureArgs, AsyncSuccessArgs
from slack_bolt.oauth.async_oauth_flow import AsyncOAuthFlow
from slack_bolt.oauth.async_oauth_settings import AsyncOAuthSettings
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.chat.slack.blocks import Catalogue, Catalogues
from bot.chat.slack.installs import Installations, States
from bot.chat.slack.wire import is_loopback

log = structlog.get_logger(__name__)

INSTALL, BACK = "/slack/install", "/slack/oauth_redirect"
#: What is asked of a workspace: those of docs/slack-manifest.yaml, which says what each is for.
SCOPES = (
    *("channels:history", "channels:read", "chat:write", "commands", "files:read", "files:write", "groups:history", "groups:read"),
    *("im:history", "im:read", "im:write", "reactions:read", "users:read"),
)
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_STYLE = (
    "body{font:1.1rem/1.6 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem}"
    "@media(prefers-color-scheme:dark){body{background:#1d1c2b;color:#eee}a{color:#9cf}}"
)


class _Asking(AsyncWebClient):
    """The SDK's way of showing the client's secret is one that aiohttp gives up; Slack takes it in the form as well."""

    async def oauth_v2_access(
        self,
        *,
        client_id: str,
        client_secret: str,
        code: str | None = None,
        redirect_uri: str | None = None,
        grant_type: str | None = None,
        refresh_token: str | None = None,
        **more: Any,
    ) -> AsyncSlackResponse:
        given = {"client_id": client_id, "client_secret": client_secret, "code": code, "redirect_uri": redirect_uri, "grant_type": grant_type}
        return await self.api_call("oauth.v2.access", data={name: value for name, value in given.items() if value is not None})


class Doors:
    def __init__(self, *, client_id: str, client_secret: str, api_url: str, installations: Installations, catalogues: Catalogues) -> None:
        self._catalogues = catalogues
        silent = logging.getLogger("bot.chat.slack.oauth")
        silent.setLevel(logging.CRITICAL + 1)
        self._client = _Asking(base_url=api_url, logger=silent, retry_handlers=[])
        if is_loopback(api_url):
            self._client.proxy = None
        settings = AsyncOAuthSettings(
            client_id=client_id,
            client_secret=client_secret,
            scopes=SCOPES,
            install_path=INSTALL,
            redirect_uri_path=BACK,
            install_page_rendering_enabled=False,
            authorization_url=urljoin(api_url, "../oauth/v2/authorize"),
            installation_store=installations,
            state_store=States(client_secret),
            callback_options=AsyncCallbackOptions(success=self._in, failure=self._out),
            logger=silent,
        )
        self._flow = AsyncOAuthFlow(client=self._client, logger=silent, settings=settings)

    def open(self, session: aiohttp.ClientSession) -> None:
        self._client.session = session

    def routes(self) -> list[web.RouteDef]:
        return [web.get(INSTALL, self._install), web.get(BACK, self._back)]

    async def _install(self, request: web.Request) -> web.StreamResponse:
        return await to_aiohttp_response(await self._flow.handle_installation(await to_bolt_request(request)))

    async def _back(self, request: web.Request) -> web.StreamResponse:
        asked = await to_bolt_request(request)
        try:
            answer = await self._flow.handle_callback(asked)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            answer = self._failed(asked, type(error).__name__, 502)
        return await to_aiohttp_response(answer)

    async def _in(self, args: AsyncSuccessArgs) -> BoltResponse:
        who = args.installation
        log.info("slack.installed", team=who.team_id)
        say = self._catalogue(args.request)
        title = say.say("chat.installed_title", team=who.team_name or who.team_id or "")
        link = "https://slack.com/app_redirect?" + urlencode({"app": who.app_id or "", "team": who.team_id or ""})
        return BoltResponse(status=200, body=_page(title, say.say("chat.installed"), link, say.say("chat.installed_open")), headers=dict(_HEADERS))

    async def _out(self, args: AsyncFailureArgs) -> BoltResponse:
        return self._failed(args.request, args.reason, args.suggested_status_code)

    def _failed(self, request: AsyncBoltRequest, reason: str, status: int) -> BoltResponse:
        reason = reason if reason.isascii() and reason.isidentifier() and len(reason) <= 60 else "error"  # it may come from whoever wrote the address
        log.warning("slack.not_let_in", reason=reason)
        say = self._catalogue(request)
        body = _page(say.say("chat.not_installed_title"), say.say("chat.not_installed", reason=reason), INSTALL, say.say("chat.not_installed_again"))
        return BoltResponse(status=status, body=body, headers=dict(_HEADERS))

    def _catalogue(self, request: AsyncBoltRequest) -> Catalogue:
        """In the first language that the browser names."""
        said = (request.headers.get("accept-language") or [""])[0]
        return self._catalogues.of(said.partition(",")[0].partition(";")[0].strip())


def _page(title: str, text: str, link: str, label: str) -> str:
    shown = {name: html.escape(value) for name, value in {"title": title, "text": text, "link": link, "label": label}.items()}
    return (
        f'<!doctype html><html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{shown["title"]}</title>'
        f"<style>{_STYLE}</style></head><body><main><h1>{shown['title']}</h1><p>{shown['text']}</p>"
        f'<p><a href="{shown["link"]}">{shown["label"]}</a></p></main></body></html>'
    )
