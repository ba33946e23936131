"""A member at the studio page, over plain HTTP: what a browser without JavaScript, or the page's own script, would send."""

from __future__ import annotations

import asyncio
import io
import json
import re
import uuid
from collections.abc import Sequence
from typing import Any

import aiohttp

from bot.domain import Upload


class Visitor:
    """Speaks to a running program. Use as an async context manager."""

    def __init__(self, url: str, *, ticket: str = "") -> None:
        """`ticket`: the token of a one-time link, where the studio asks for one."""
        self.url, self._ticket = url, ticket

    async def __aenter__(self) -> Visitor:
        self.session = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True), timeout=aiohttp.ClientTimeout(total=60))
        if self._ticket:
            await self._sign_in()
        html = await self.page("/")
        found = re.search(r'name="token" value="([^"]+)"', html)
        assert found, "the page has no form token"
        self.token = found[1]
        return self

    async def _sign_in(self) -> None:
        html = await self.page(f"/sign-in?token={self._ticket}")
        fields = dict(re.findall(r'name="(token|link)" value="([^"]+)"', html))
        async with self.session.post(f"{self.url}/sign-in", data=fields, headers={"Origin": self.url}) as answer:
            assert answer.status == 200, await answer.text()

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def page(self, path: str) -> str:
        async with self.session.get(self.url + path) as answer:
            return await answer.text()

    async def status(self, path: str) -> int:
        async with self.session.get(self.url + path) as answer:
            return answer.status

    async def post(self, path: str, *, upload: tuple[str, bytes] | None = None, files: Sequence[Upload] = (), **fields: str) -> dict[str, Any]:
        """What the page's script would get; {"status": …} beside it. `files` go along each with its role."""
        form = aiohttp.FormData()
        for name, value in {"token": self.token, "delivery": str(uuid.uuid4()), **fields}.items():
            form.add_field(name, value)
        if upload:
            form.add_field("picture", upload[1], filename=upload[0], content_type="application/octet-stream")
        for each in files:
            form.add_field(f"file.{each.role}", io.BytesIO(each.data), filename=each.name)
        async with self.session.post(self.url + path, data=form, headers={"Accept": "application/json", "Origin": self.url}) as answer:
            text = await answer.text()
            try:
                body = json.loads(text)
            except ValueError:
                body = {"text": text}
            return {"status": answer.status, **body}

    async def imagine(self, text: str, **more: Any) -> dict[str, Any]:
        return await self.post("/imagine", text=text, **more)

    async def press(self, action: str) -> dict[str, Any]:
        return await self.post("/press", action=action)

    async def card(self, job: str) -> str:
        return await self.page(f"/card/{job}")

    async def ended(self, job: str, patience: float = 300.0) -> str:
        """The job's card once it has ended."""
        async with asyncio.timeout(patience):
            while True:
                html = await self.card(job)
                if 'data-status="done"' in html or 'data-status="failed"' in html or 'data-status="cancelled"' in html:
                    return html
                await asyncio.sleep(0.1)


def actions(html: str) -> dict[str, str]:
    """A card's buttons: label → action."""
    import html as entities

    found = {}
    for tag in re.findall(r"<button[^>]*name=\"action\"[^>]*>.*?</button>", html, re.S):
        value = re.search(r'value="([^"]+)"', tag)
        label = re.sub(r"<[^>]+>", "", tag).strip()
        if value:
            found[entities.unescape(label)] = entities.unescape(value[1])
    return found


def pictures(html: str) -> list[str]:
    """Paths of the stored pictures a card shows, in order, each once."""
    return list(dict.fromkeys(re.findall(r"/picture/[0-9a-f]{64}\.png", html)))
