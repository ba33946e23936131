"""Requests that somebody else made: caught and sent again, posted from another page, with a link that was stolen, forwarded, altered or guessed."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import string
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.signature import SignatureVerifier

from bot.chat.slack.intake import HttpIntake
from bot.chat.slack.replays import LIFE, Replays
from bot.chat.web import links, signin
from bot.chat.web.security import HEADERS
from bot.domain import Actor
from tests.fakes.slack import payloads
from tests.fakes.studio import NOW, paint
from tests.fakes.web import SECRET, Site
from tests.scenario.slack_scene import scene

ADA = Actor(platform="discord", id="7", name="Ada")
JOB = "01KD0000000000000000000001"
POSTS = ("/imagine", "/press", "/submit", "/read", "/sign-in", "/sign-out", f"/region/{JOB}/0")
ELSEWHERE = "https://evil.example"


# ------------------------------------------------------------------------------------------------ Slack's signatures


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_signature_is_taken_once_for_as_long_as_it_is_good():
    clock = Clock()
    seen = Replays(clock)
    assert seen.first("v0=a", "1000000") and not seen.first("v0=a", "1000000")
    assert seen.first("v0=b", "1000000"), "another request of the same second"
    clock.now += LIFE
    assert not seen.first("v0=a", "1000000"), "Slack's own check would still take it"
    clock.now += 2
    assert seen.first("v0=a", "1000000"), "and here not any more, so it need not be remembered"


def test_a_signature_from_the_future_is_remembered_until_it_is_past():
    clock = Clock()
    seen = Replays(clock)
    assert seen.first("v0=a", "1000300")
    clock.now += 300 + LIFE
    assert not seen.first("v0=a", "1000300")


def test_what_led_to_nothing_may_come_again_and_little_is_remembered():
    clock = Clock()
    seen = Replays(clock)
    assert seen.first("v0=a", "1000000")
    seen.forget("v0=a")
    seen.forget("v0=never")
    assert seen.first("v0=a", "1000000")
    for number in range(1000):
        clock.now += 10
        seen.first(f"v0={number}", str(int(clock.now)))
    assert len(seen._seen) <= LIFE // 10 + 2
    with pytest.raises(ValueError):
        seen.first("v0=z", "soon")


class Counted(dict[int, set[str]]):
    """How often somebody looked at one of its keys."""

    looks = 0

    def __iter__(self) -> Iterator[int]:
        for each in super().__iter__():
            self.looks += 1
            yield each


def test_a_flood_of_signed_requests_does_not_make_each_of_them_dearer():
    clock = Clock()
    seen = Replays(clock)
    seen._ending = counted = Counted()
    for number in range(20_000):
        clock.now += 0.01
        at = str(int(clock.now) - number % LIFE)
        assert seen.first(f"v0={number}", at) and not seen.first(f"v0={number}", at)
    assert counted.looks < 3 * 20_000, "a look or two a request, and not one at each signature of the last minutes"
    clock.now += 2 * LIFE + 2
    assert seen.first("v0=new", str(int(clock.now)))
    assert list(seen._seen) == ["v0=new"] and [each for held in counted.values() for each in held] == ["v0=new"], "nothing of it is left"


async def test_a_command_that_was_caught_and_is_sent_again_draws_nothing_more(tmp_path: Path) -> None:
    async with scene(tmp_path, socket=False) as s:
        told = payloads.command(s.wire, s.wire.ada, s.wire.art, "/imagine", "a fox --n 1", "9.8.7", f"http://{s.wire.host}/response/none")
        at = time.time() - 30
        assert await s.wire.deliver(payload=told, timestamp=at) == 200
        for _ in range(5):
            assert await s.wire.deliver(payload=told, timestamp=at) in (200, 401)
        assert await s.wire.deliver(payload=told, timestamp=at - 600) == 401, "too old"
        assert await s.wire.deliver(payload={**told, "text": "two hundred foxes"}, signature="bad") == 401
        await s.drawn("a hen --n 1")
        with contextlib.closing(sqlite3.connect(tmp_path / "bot.db")) as rows:
            assert sorted(rows.execute("SELECT words FROM jobs")) == [("a fox --n 1",), ("a hen --n 1",)]


class Counting:
    """In the place of slack-bolt: how often it is told, and what it answers."""

    def __init__(self) -> None:
        self.told, self.status = 0, 200

    async def async_dispatch(self, request: AsyncBoltRequest) -> BoltResponse:
        self.told += 1
        return BoltResponse(status=self.status, body="")


async def test_what_was_caught_reaches_nobody_a_second_time_even_without_an_id_of_its_own() -> None:
    intake, app = HttpIntake("127.0.0.1", 0, "secret"), Counting()
    body = json.dumps({"type": "event_callback", "event": {"type": "app_uninstalled"}})
    await intake.open()
    intake.serve(app)  # type: ignore[arg-type]

    async def send(client: aiohttp.ClientSession, at: int) -> int:
        signature = SignatureVerifier("secret").generate_signature(timestamp=str(at), body=body)
        headers = {"X-Slack-Request-Timestamp": str(at), "X-Slack-Signature": signature or "", "Content-Type": "application/json"}
        async with client.post(f"{intake.base}/slack/events", data=body, headers=headers) as answer:
            return answer.status

    try:
        async with aiohttp.ClientSession() as client:
            now = int(time.time())
            assert [await send(client, now - 60) for _ in range(4)] == [200] * 4
            assert app.told == 1
            app.status = 503
            assert await send(client, now - 30) == 503
            app.status = 200
            assert await send(client, now - 30) == 200
            assert app.told == 3, "what led to nothing may be sent again"
    finally:
        await intake.aclose()


# ------------------------------------------------------------------------------------------------ from another page


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("origin", [ELSEWHERE, "null", "http://127.0.0.1:1", "http://localhost.evil.example", ""])
async def test_no_page_elsewhere_posts_in_a_members_name(path: str, origin: str) -> None:
    async with Site() as site, site.visitor() as visitor:
        await visitor.get("/")
        status, _, _ = await visitor.post(
            path, {"text": "a fox", "action": "w1:reroll:x"}, headers={"Origin": origin or ELSEWHERE, "Sec-Fetch-Site": "cross-site"}
        )
        assert status == 403 and site.studio.events == []


@pytest.mark.parametrize("path", POSTS)
async def test_no_post_is_taken_without_the_forms_token(path: str) -> None:
    async with Site() as site, site.visitor() as visitor, site.visitor() as other:
        await visitor.get("/")
        await other.get("/")
        for token in ("", "0" * 64, other.token, visitor.token[:-1], visitor.token.upper()):
            status, _, _ = await visitor.post(path, {"text": "a fox", "token": token})
            assert status == 403, token
        assert site.studio.events == []


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "application/octet-stream", ""])
async def test_what_a_page_can_send_without_asking_is_no_form(kind: str) -> None:
    """A page elsewhere may post text without a question to the server; a form's fields in it are no form."""
    async with Site() as site, site.visitor() as visitor:
        await visitor.get("/")
        body = f"token={visitor.token}&text=a+fox".encode()
        async with visitor.session.post("/imagine", data=body, headers={"Content-Type": kind or "text/plain", "Origin": site.address}) as answer:
            assert answer.status in (400, 415)
        assert site.studio.events == []


async def test_nothing_is_changed_by_looking() -> None:
    """Images and links elsewhere make a browser GET, with its cookies: none of our addresses does anything then."""
    async with Site() as site, site.visitor() as visitor:
        await visitor.get("/")
        for path in POSTS[:-1]:
            status, _, _ = await visitor.get(f"{path}?text=a+fox&token={visitor.token}")
            assert status in (200, 404, 405, 403), path
        assert site.studio.events == []


async def test_cookies_stay_with_this_site_and_out_of_reach_of_scripts() -> None:
    async with Site(sign_in=True, public_url="https://pictures.example.org") as site, site.visitor() as visitor:
        token = signin.mint(SECRET, ADA.key, "Ada", site.clock())
        host = {"Host": "pictures.example.org"}
        _, page, first = await visitor.get(f"/sign-in?token={token}", **host)
        form = re.search(r'name="token" value="([0-9a-f]+)"', page)
        assert form is not None
        visit = first.headers["Set-Cookie"].partition(";")[0]
        async with aiohttp.ClientSession(site.address) as bare:  # a browser keeps Secure cookies from plain HTTP: this one is told what to send
            posted = bare.post(
                "/sign-in",
                data={"link": token, "token": form[1]},
                headers={**host, "Cookie": visit, "Origin": "https://pictures.example.org"},
                allow_redirects=False,
            )
            async with posted as answer:
                assert answer.status == 303
                cookies = [*first.headers.getall("Set-Cookie"), *answer.headers.getall("Set-Cookie")]
    assert len(cookies) >= 2
    for cookie in cookies:
        assert cookie.startswith("__Host-wordup-"), cookie
        assert {"httponly", "secure", "samesite=lax", "path=/"} <= {each.strip().lower() for each in cookie.split(";")[1:]}
        assert "domain=" not in cookie.lower()


def test_the_policy_lets_nothing_run_that_is_not_ours() -> None:
    policy = dict(each.strip().partition(" ")[::2] for each in HEADERS["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'self'" and policy["object-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["form-action"] == "'self'" and not {"script-src", "style-src", "connect-src"} & policy.keys()
    assert HEADERS["X-Content-Type-Options"] == "nosniff" and HEADERS["Cross-Origin-Resource-Policy"] == "same-origin"


async def test_what_is_served_as_a_picture_is_one_whatever_the_browser_would_like() -> None:
    async with Site() as site, site.visitor() as visitor:
        digest = site.studio.keep(paint(1))
        for path in (f"/picture/{digest}.png", f"/picture/{digest}.webp"):
            status, _, answer = await visitor.get(path, Accept="text/html", **{"Sec-Fetch-Dest": "document"})
            assert status == 200 and answer.headers["Content-Type"].startswith("image/")
            assert answer.headers["X-Content-Type-Options"] == "nosniff" and "unsafe" not in answer.headers["Content-Security-Policy"]


# ------------------------------------------------------------------------------------------------ markup in words and names

MARKUP = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "</title><script>alert(1)</script>",
    "<!--",
    "&lt;script&gt;",
    "\u2028\u2029</script>",
    "＜script＞alert(1)＜/script＞",  # NFKC makes brackets of these
]


class Running(HTMLParser):
    """Reads a page as a browser does, and notes whatever would run that is not one of our own files."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "iframe", "object", "embed", "base") and not (given.get("src") or "").startswith("/static/"):
            self.found.append(tag)
        if tag == "svg" and "onload" in given:
            self.found.append("svg")
        self.found += [f"{tag} {name}" for name in given if name.startswith("on")]
        self.found += [f"{tag} {name}" for name, value in attrs if name in ("src", "href", "action", "formaction") and "script:" in (value or "")]

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script" and data.strip():
            self.found.append(data)


@pytest.mark.parametrize("words", MARKUP)
async def test_markup_in_words_and_names_runs_nowhere(words: str) -> None:
    async with Site(sign_in=True) as site, site.visitor() as visitor:
        token = signin.mint(SECRET, "42", words, site.clock())
        pages = [(await visitor.get(f"/sign-in?token={token}"))[1]]
        assert (await visitor.post("/sign-in", {"link": token}))[0] == 303
        await visitor.get("/")
        pages.append((await visitor.post("/imagine", {"text": f"fox {words}"}))[1])
        job = site.studio.accept(Actor(platform="web", id="42", name=words), f"fox {words}").job.id
        await site.studio.finish(job)
        for path in ("/", "/history", f"/job/{job}", f"/card/{job}", f"/region/{job}/0", "/history?q=" + quote(words, safe="")):
            pages.append((await visitor.get(path))[1])
    for page in pages:
        read = Running()
        read.feed(page)
        assert read.found == []
        assert "fox 49" not in page


# ------------------------------------------------------------------------------------------------ stolen, forwarded, altered, guessed links


async def test_a_forwarded_sign_in_link_is_worth_nothing_once_it_was_used() -> None:
    async with Site(sign_in=True) as site, site.visitor() as ada, site.visitor() as eve:
        token = signin.mint(SECRET, ADA.key, "Ada", site.clock())
        await ada.get(f"/sign-in?token={token}")
        assert (await ada.post("/sign-in", {"link": token}))[0] == 303
        await eve.get("/sign-in")
        await eve.get(f"/sign-in?token={token}")
        assert (await eve.post("/sign-in", {"link": token}))[0] == 403
        assert (await eve.get("/"))[0] == 401


async def test_a_stolen_painter_link_opens_that_picture_alone_for_an_hour() -> None:
    async with Site(sign_in=True) as site, site.visitor() as eve:
        job = site.studio.accept(ADA, "a fox in the snow").job.id
        other = site.studio.accept(ADA, "a secret", private=True).job.id
        await site.studio.finish(job)
        await site.studio.finish(other)
        token = links.region_link(SECRET, ADA, job, 0, site.clock())
        assert (await eve.get(f"/region/{job}/0?token={token}"))[0] == 200
        for path in (f"/region/{job}/1", f"/region/{other}/0", f"/region/{other}/0/picture"):
            status, page, _ = await eve.get(f"{path}?token={token}")
            assert status == 403 and "a secret" not in page, path
        for path in ("/", "/history", f"/job/{job}", f"/job/{other}", "/events"):
            assert (await eve.get(f"{path}?token={token}"))[0] == 401, path
        assert (await eve.post("/sign-in", {"link": token}))[0] == 403
        site.clock.go_on(hours=1)
        assert (await eve.get(f"/region/{job}/0?token={token}"))[0] == 403


async def test_addresses_of_links_are_told_to_no_other_site() -> None:
    async with Site(sign_in=True) as site, site.visitor() as visitor:
        token = signin.mint(SECRET, ADA.key, "Ada", site.clock())
        _, page, answer = await visitor.get(f"/sign-in?token={token}")
    assert answer.headers["Referrer-Policy"] == "same-origin" and answer.headers["Cache-Control"] == "no-store"
    assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", page)


ALPHABET = string.ascii_letters + string.digits + "-_."
TOKENS = {
    "sign-in": signin.mint(SECRET, ADA.key, "Ada", NOW, ticket_id="one"),
    "session": signin.session(SECRET, ADA.key, "Ada", NOW),
    "region": links.region_link(SECRET, ADA, JOB, 0, NOW),
}


def opens(token: str) -> set[str]:
    """For what a token is good."""
    found = {
        "sign-in": signin.redeem(SECRET, token, NOW),
        "session": signin.read_session(SECRET, token, NOW),
        "region": links.read_region(SECRET, token, NOW),
    }
    return {purpose for purpose, read in found.items() if read is not None}


def test_each_token_is_good_for_its_own_purpose_alone():
    assert {purpose: opens(token) for purpose, token in TOKENS.items()} == {purpose: {purpose} for purpose in TOKENS}


@given(purpose=st.sampled_from(sorted(TOKENS)), at=st.integers(0, 400), to=st.sampled_from(ALPHABET))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_an_altered_token_opens_nothing(purpose: str, at: int, to: str):
    token = TOKENS[purpose]
    at %= len(token) - 1  # the last letter of a signature carries bits that count for nothing
    changed = token[:at] + to + token[at + 1 :]
    assert changed == token or opens(changed) == set()


@given(guess=st.text(ALPHABET, max_size=120) | st.text(max_size=60) | st.binary(max_size=60).map(lambda data: data.decode("latin-1")))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_a_guessed_token_opens_nothing_and_breaks_nothing(guess: str):
    assert opens(guess) == set()


async def test_a_digest_that_is_guessed_shows_nobody_elses_private_picture() -> None:
    async with Site(sign_in=True) as site, site.visitor() as eve:
        job = site.studio.accept(ADA, "a secret", private=True).job.id
        await site.studio.finish(job)
        token = signin.mint(SECRET, "43", "Eve", site.clock())
        await eve.get(f"/sign-in?token={token}")
        await eve.post("/sign-in", {"link": token})
        for artifact in site.studio.jobs[job].artifacts:
            assert (await eve.get(f"/picture/{artifact.digest}.png"))[0] == 404
        assert (await eve.get(f"/job/{job}"))[0] == 404
