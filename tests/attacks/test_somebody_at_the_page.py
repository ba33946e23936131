"""Somebody else at the studio page: every route there is, read from the application itself, tried against a member's private picture.

A route with a part that is new, or a new form that is posted, makes these tests fail until they say what stands there.
"""

from __future__ import annotations

import asyncio
import itertools
import string
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from bot.chat.web import links, signin
from bot.chat.web.server import WebAdapter
from bot.domain import Actor, ReplyTo
from bot.usecases import COMMANDS
from tests.attacks.somebody import EVE, OWNER, PART, VALUES, WORDS, Scene, a_mask, a_scene, buttons, forms
from tests.fakes.web import SECRET, Site, Visitor
from tests.unit.house import LANGUAGES

PRESSED = ("", "2", "l", "set", "everything", "p")  #: arguments of the buttons that are tried here; `test_somebody_else` tries more


@pytest.fixture
async def scene(sqlite_url: str, memory: Path) -> AsyncIterator[Scene]:
    async with a_scene(sqlite_url, memory) as scene:
        yield scene


@dataclass(kw_only=True)
class Page:
    """The studio's page over a scene, with the owner and Eve at it, each in a browser of their own."""

    scene: Scene
    adapter: WebAdapter
    owner: Visitor
    eve: Visitor
    file: str  #: the key of what the owner was handed to save

    def routes(self) -> Iterator[tuple[str, str]]:
        """(method, pattern) of all there are."""
        runner = self.adapter._runner
        assert runner is not None
        for route in runner.app.router.routes():
            assert route.resource is not None
            if route.method != "HEAD":  # the same views as GET's
                yield route.method, route.resource.canonical

    def filled(self, pattern: str) -> Iterator[str]:
        """Every address of that pattern that is about the owner's picture. Raises KeyError for a part that the test does not know."""
        known = {
            "id": self.scene.ids,
            "index": ("0", "1"),
            "digest": tuple(self.scene.pictures),
            "ending": ("png", "webp"),
            "key": (self.file,),
            "name": ("everything.zip",),
        }
        names = [name for _, name, _, _ in string.Formatter().parse(pattern) if name]
        for values in itertools.product(*(known[name] for name in names)):
            yield pattern.format(**dict(zip(names, values, strict=True)))


async def signed_in(session: aiohttp.ClientSession, address: str, who: Actor) -> Visitor:
    visitor = Visitor(session, address)
    token = signin.mint(SECRET, who.key, who.name, datetime.now(UTC))
    await visitor.get(f"/sign-in?token={token}")
    status, _, _ = await visitor.post("/sign-in", {"link": token})
    assert status == 303
    assert (await visitor.get("/"))[0] == 200
    return visitor


@pytest.fixture
async def page(scene: Scene) -> AsyncIterator[Page]:
    spent = set[str]()

    async def spend(ticket: str) -> bool:
        fresh = ticket not in spent
        spent.add(ticket)
        return fresh

    adapter = WebAdapter(
        host="127.0.0.1",
        port=0,
        public_url=None,
        secret=SECRET,
        catalogues=LANGUAGES,
        clock=lambda: datetime.now(UTC),
        spend=spend,
        sign_in=True,
        read_manifest=scene.marker.read,
    )
    await adapter.start(scene.house.studio)
    address = adapter.url.rstrip("/")
    try:
        async with (
            aiohttp.ClientSession(address, cookie_jar=aiohttp.CookieJar(unsafe=True)) as one,
            aiohttp.ClientSession(address, cookie_jar=aiohttp.CookieJar(unsafe=True)) as other,
        ):
            file = adapter._shelf.put(OWNER.key, name="everything.zip", kind="application/zip", data=WORDS.encode())
            owner, eve = await signed_in(one, address, OWNER), await signed_in(other, address, EVE)
            yield Page(scene=scene, adapter=adapter, owner=owner, eve=eve, file=file)
    finally:
        await adapter.aclose()


async def got(visitor: Visitor, path: str) -> tuple[int, bytes]:
    async with visitor.session.get(path, allow_redirects=False) as answer:
        return answer.status, await answer.read()


async def test_no_page_shows_somebody_else_a_private_picture(page: Page) -> None:
    scene = page.scene
    patterns = [pattern for method, pattern in page.routes() if method == "GET" and pattern != "/events"]
    assert len(patterns) >= 14
    for pattern in patterns:
        about_it = any(f"{{{part}}}" in pattern for part in ("id", "digest", "key"))
        shown_to_owner = []
        for path in page.filled(pattern):
            status, body = await got(page.eve, path)
            assert status < 500 and not scene.told(body, path), (status, path)
            assert not any(job.encode() in body and job not in path for job in scene.ids), path
            assert not about_it or status in (403, 404), (status, path)
            status, body = await got(page.owner, path)
            shown_to_owner.append(status in (200, 204))  # 204: of a preview, where nothing forms any more
        assert not about_it or any(shown_to_owner), f"nobody is shown anything by {pattern}: say here what stands in it"
    for path in ("/", "/history", f"/job/{scene.ids[0]}", f"/origin/{scene.ids[1]}"):
        assert scene.shown_to_owner((await got(page.owner, path))[1]), path


async def test_a_link_of_somebody_elses_own_opens_no_private_picture(page: Page) -> None:
    """Signed by us, for Eve, about the owner's picture: as an old program, or one with a mistake, might have made it."""
    for job in page.scene.ids:
        token = links.region_link(SECRET, EVE, job, 0, datetime.now(UTC))
        for path in (f"/region/{job}/0?token={token}", f"/region/{job}/0/picture?token={token}"):
            status, body = await got(page.eve, path)
            assert status == 404 and not page.scene.told(body, path)


async def test_nothing_somebody_else_posts_reaches_a_private_picture(page: Page) -> None:
    scene = page.scene

    def posts(path: str, job: str) -> Iterator[dict[str, str]]:
        values = {f"value.{name}": value for name, value in VALUES.items()}
        match path.split("/")[1]:
            case "imagine":
                yield from ({"text": f"/{name} {text}".strip()} for name, text in itertools.product(COMMANDS, (job, PART, "export")))
            case "press":
                yield from ({"action": action, "back": f"/job/{job}"} for action in buttons(job, PRESSED))
            case "submit":
                yield from ({"form": form, **values} for form in forms(job))
            case "read":
                yield from ({"text": text, "at": str(len(text))} for text in (job, "a hidden", f"/show {job}"))
            case "region":
                yield from ({"link": link, **values} for link in ("", links.region_link(SECRET, EVE, job, 0, datetime.now(UTC))))
            case "sign-in":
                yield {"link": job}
            case "sign-out":
                yield {}
            case _:
                raise AssertionError(f"say here what is posted to {path}")

    paths = [path for method, pattern in page.routes() if method == "POST" for path in page.filled(pattern)]
    paths.sort(key=lambda path: path == "/sign-out")
    assert len({path.split("/")[1] for path in paths}) >= 7
    for path, job in itertools.product(paths, scene.ids):
        for fields in posts(path, job):
            mask = (a_mask(),) if path.startswith("/region/") else ()
            for headers in ({}, {"Accept": "application/json"}):
                status, body, answer = await page.eve.post(path, fields, uploads=mask, headers=headers)
                asked = f"{path} {fields}"
                assert status < 500, (status, asked)
                assert not scene.told(body.encode(), asked) and not scene.told(answer.headers.get("Location", "").encode(), asked), (status, asked)
    assert await scene.is_untouched()


async def test_the_stream_of_events_is_each_members_own(page: Page) -> None:
    scene, adapter = page.scene, page.adapter
    card = await scene.house.studio.card(OWNER, scene.ids[0])
    mine = await scene.house.drawn("an owl", actor=EVE)
    async with page.eve.listening() as stream:
        await adapter.show(ReplyTo(platform="web", channel=OWNER.id), card, None)
        await adapter.progress(ReplyTo(platform="web", channel=OWNER.id), card, None)
        await adapter.show(ReplyTo(platform="web", channel=EVE.id), mine, None)
        async with asyncio.timeout(60):
            kind, event = await anext(stream)
    assert (kind, event["id"]) == ("card", mine.job_id) and not scene.told(event)


async def test_members_of_two_chats_whose_ids_are_the_same_hear_nothing_of_each_other() -> None:
    async with Site(sign_in=True) as site, site.visitor() as page, site.visitor() as chat:
        for visitor, key in ((page, "4711"), (chat, "discord:4711")):
            link = signin.mint(SECRET, key, key, site.clock())
            await visitor.get(f"/sign-in?token={link}")
            assert (await visitor.post("/sign-in", {"link": link}))[0] == 303
            await visitor.get("/")
        async with page.listening() as theirs, chat.listening() as stream:
            job = await page.imagine("a secret of the page")
            other = await chat.imagine("an owl")
            for each in (job, other):
                await site.studio.step(each, 10)
            async with asyncio.timeout(60):
                heard = await anext(stream)
                mine = await anext(theirs)
        assert (heard[1]["id"], mine[1]["id"]) == (other, job)
