"""A small real app on slack-bolt, of the kind that `SlackWire` is for: it proves the fake over both transports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.slack.wire import SlackWire

QUIET: dict[str, Any] = {"unfurl_links": False, "unfurl_media": False}
FORM = {
    "type": "modal",
    "callback_id": "form",
    "title": {"type": "plain_text", "text": "Remix"},
    "submit": {"type": "plain_text", "text": "Draw"},
    "blocks": [
        {
            "type": "input",
            "block_id": "prompt",
            "label": {"type": "plain_text", "text": "Prompt"},
            "element": {"type": "plain_text_input", "action_id": "words"},
        },
        {
            "type": "input",
            "block_id": "size",
            "optional": True,
            "label": {"type": "plain_text", "text": "Size"},
            "element": {
                "type": "static_select",
                "action_id": "pick",
                "options": [{"text": {"type": "plain_text", "text": name}, "value": name.lower()} for name in ("Small", "Large")],
            },
        },
    ],
}


def section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def row(*labels: str) -> dict[str, Any]:
    buttons = [{"type": "button", "text": {"type": "plain_text", "text": label}, "action_id": f"press:{label.lower()}", "value": label[:1]} for label in labels]
    return {"type": "actions", "elements": buttons}


async def responded(wire: SlackWire, url: str, body: dict[str, Any]) -> tuple[int, str]:
    assert wire.session is not None
    async with wire.session.post(url, json=body) as answer:
        return answer.status, await answer.text()


class Bot:
    """A small app of the kind that the wire is for, and what it saw."""

    def __init__(self, wire: SlackWire) -> None:
        self.client = AsyncWebClient(wire.bot_token, base_url=wire.api_url)
        self.app = AsyncApp(client=self.client, signing_secret=wire.signing_secret)
        self.seen: list[dict[str, Any]] = []
        self.slow = 0.0
        app = self.app

        @app.command("/imagine")
        async def imagine(ack: Any, body: dict[str, Any], client: AsyncWebClient) -> None:
            self.seen.append(body)
            await asyncio.sleep(self.slow)
            await ack(text="On it.")
            said = {"text": body["text"], "blocks": [section(f"*{body['text']}*"), row("Again", "Remix & go")]}
            posted = await client.chat_postMessage(channel=body["channel_id"], **QUIET, **said)
            await client.chat_update(channel=posted["channel"], ts=posted["ts"], text="done", blocks=[section("done"), row("Again", "Remix & go")])

        @app.action("press:again")
        async def again(ack: Any, body: dict[str, Any], respond: Any) -> None:
            await ack()
            self.seen.append(body)
            if "response_url" in body:
                await respond(text="once more", replace_original=False)

        @app.action("press:remix & go")
        async def remix(ack: Any, body: dict[str, Any], client: AsyncWebClient) -> None:
            await ack()
            await client.views_open(trigger_id=body["trigger_id"], view=FORM)

        @app.view("form")
        async def form(ack: Any, body: dict[str, Any]) -> None:
            values = body["view"]["state"]["values"]
            self.seen.append(values)
            if "rude" in values["prompt"]["words"]["value"]:
                await ack(response_action="errors", errors={"prompt": "Politely, please."})
            else:
                await ack()

        @app.event("reaction_added")
        async def reaction(event: dict[str, Any]) -> None:
            self.seen.append(event)
            await asyncio.sleep(self.slow)

        @app.event("app_home_opened")
        async def home(event: dict[str, Any], client: AsyncWebClient) -> None:
            await client.views_publish(user_id=event["user"], view={"type": "home", "blocks": [section("Welcome"), row("Again")]})

        @app.shortcut("remix")
        async def shortcut(ack: Any, body: dict[str, Any], client: AsyncWebClient) -> None:
            await ack()
            await client.views_open(trigger_id=body["trigger_id"], view=FORM)

    @asynccontextmanager
    async def on(self, wire: SlackWire, transport: str) -> AsyncIterator[None]:
        if transport == "socket":
            handler = AsyncSocketModeHandler(self.app, wire.app_token, ping_interval=0.2)
            await handler.connect_async()
            try:
                await wire.connected()
                yield
            finally:
                await handler.close_async()
        else:
            site = web.Application()
            site.router.add_post("/slack/events", self._http)
            runner = web.AppRunner(site, access_log=None, shutdown_timeout=0.5)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            wire.events_url = f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
            try:
                yield
            finally:
                await runner.cleanup()

    async def _http(self, request: web.Request) -> web.Response:
        return await to_aiohttp_response(await self.app.async_dispatch(await to_bolt_request(request)))
