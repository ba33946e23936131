"""What keeps the studio page safe, tried from outside over HTTP."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

import bot.chat.web
from bot.chat.web import signin
from bot.chat.web.security import LOCAL, Guard, host_of, is_loopback, origin_of
from bot.domain import Actor
from tests.fakes.studio import NOW, paint
from tests.fakes.web import SECRET, Site

TEMPLATES = sorted((Path(bot.chat.web.__file__).parent / "templates").glob("*.html"))


# ------------------------------------------------------------------------------------------------ headers


@pytest.mark.parametrize("path", ["/", "/history", "/job/none", "/nothing", "/static/studio.js", "/sign-in", "/picture/" + "0" * 64 + ".png"])
async def test_every_answer_carries_the_protective_headers(path: str) -> None:
    async with Site() as site, site.visitor() as visitor:
        _, _, answer = await visitor.get(path)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_template_holds_what_the_policy_forbids_or_markup_let_through(template: Path) -> None:
    text = template.read_text("utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|https?://|\|\s*safe", text)


async def test_pages_are_not_kept_but_pictures_are() -> None:
    async with Site() as site, site.visitor() as visitor:
        digest = site.studio.keep(paint(1))
        _, _, page = await visitor.get("/")
        _, _, picture = await visitor.get(f"/picture/{digest}.png")
        status, _, _ = await visitor.get(f"/picture/{digest}.png", **{"If-None-Match": f'"{digest}"'})
    assert page.headers["Cache-Control"] == "no-store"
    assert picture.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert picture.headers["Content-Type"] == "image/png"
    assert status == 304


# ------------------------------------------------------------------------------------------------ who may post


async def test_a_form_without_the_token_does_nothing() -> None:
    async with Site() as site, site.visitor() as visitor:
        await visitor.get("/")
        status, _, _ = await visitor.post("/imagine", {"text": "a fox", "token": ""})
        assert status == 403
        status, _, _ = await visitor.post("/imagine", {"text": "a fox", "token": "0" * 64})
        assert status == 403
        assert not site.studio.events


async def test_a_token_of_another_browser_does_nothing() -> None:
    async with Site() as site, site.visitor() as victim, site.visitor() as attacker:
        await victim.get("/")
        await attacker.get("/")
        status, _, _ = await victim.post("/imagine", {"text": "a fox", "token": attacker.token})
        assert status == 403
        assert not site.studio.events


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost.evil.example"])
async def test_a_post_from_another_page_does_nothing_even_with_the_token(origin: str) -> None:
    async with Site() as site, site.visitor() as visitor:
        status, _, _ = await visitor.post("/imagine", {"text": "a fox"}, headers={"Origin": origin})
        assert status == 403
        assert not site.studio.events


async def test_a_browser_that_says_it_comes_from_elsewhere_is_believed() -> None:
    async with Site() as site, site.visitor() as visitor:
        await visitor.get("/")
        fields = {"text": "a fox", "token": visitor.token}
        async with visitor.session.post("/imagine", data=fields, headers={"Sec-Fetch-Site": "cross-site"}, allow_redirects=False) as answer:
            assert answer.status == 403
        assert not site.studio.events


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites() -> None:
    async with Site() as site, site.visitor() as visitor:
        _, _, answer = await visitor.get("/")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


async def test_behind_https_the_cookie_never_travels_in_the_clear() -> None:
    async with Site(public_url="https://art.example") as site, site.visitor() as visitor:
        _, _, answer = await visitor.get("/sign-in")
    assert answer.headers["Set-Cookie"].startswith("__Host-")
    assert "Secure" in answer.headers["Set-Cookie"]


# ------------------------------------------------------------------------------------------------ rebinding


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "[", ""])
async def test_a_foreign_name_that_leads_here_is_turned_away(host: str) -> None:
    async with Site() as site, site.visitor() as visitor:
        status, text, _ = await visitor.get("/", Host=host)
        assert status in (400, 421)
        assert "What shall we draw" not in text


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST"])
async def test_the_names_of_this_machine_are_welcome(host: str) -> None:
    async with Site() as site, site.visitor() as visitor:
        status, _, _ = await visitor.get("/", Host=host)
        assert status == 200


def test_the_public_name_is_welcome_where_it_is_set() -> None:
    guard = Guard.build(host="127.0.0.1", public_url="https://art.example/", secret=b"s", clock=lambda: NOW, sign_in=False)
    assert guard.host_allowed("art.example")
    assert not guard.host_allowed("other.example")


@pytest.mark.parametrize(
    ("host", "public_url", "expected"),
    [
        ("127.0.0.1", None, False),
        ("localhost", None, False),
        ("::1", None, False),
        ("127.0.0.1", "http://localhost:8000", False),
        ("0.0.0.0", None, True),
        ("192.168.1.5", None, True),
        ("127.0.0.1", "https://art.example", True),  # published through a proxy
    ],
)
def test_sign_in_is_asked_for_unless_only_this_machine_can_get_here(host: str, public_url: str | None, expected: bool) -> None:
    assert Guard.build(host=host, public_url=public_url, secret=b"s", clock=lambda: NOW, sign_in=None).sign_in is expected


def test_addresses_and_names_are_read_as_browsers_write_them() -> None:
    assert is_loopback("127.8.8.8")
    assert is_loopback("[::1]")
    assert not is_loopback("localhost.example")
    assert host_of("[::1]:80") == "::1"
    assert host_of("[") == ""
    assert origin_of("https://Art.example/studio/") == "https://art.example"
    assert origin_of("javascript:alert(1)") == ""


# ------------------------------------------------------------------------------------------------ markup in words

NASTY = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


async def test_markup_in_words_stays_words_everywhere() -> None:
    async with Site() as site, site.visitor() as visitor:
        job = site.studio.accept(LOCAL, NASTY).job.id
        pages = [(await visitor.get(path))[1] for path in ("/", f"/job/{job}", f"/card/{job}")]
        await site.studio.finish(job)
        asked = ("/", "/history", f"/history?search={NASTY}", f"/job/{job}", f"/card/{job}", f"/?words={NASTY}")
        pages += [(await visitor.get(path))[1] for path in asked]
        _, refused, _ = await visitor.post("/imagine", {"text": f"{NASTY} --{NASTY}"})
    for page in [*pages, refused]:
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "alert(1)" in page or "nothing" in page.lower()


async def test_markup_in_a_members_name_stays_a_name() -> None:
    async with Site(sign_in=True) as site, site.visitor() as visitor:
        _, page, _ = await visitor.get(f"/sign-in?token={signin.mint(SECRET, '7', NASTY, site.clock())}")
    assert "alert(1)" in page
    assert "<script>alert" not in page


async def test_a_form_never_leads_to_another_site() -> None:
    async with Site() as site, site.visitor() as visitor:
        job = await visitor.imagine("a fox")
        await site.studio.finish(job)
        for back in ("https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"):
            status, _, answer = await visitor.post("/press", {"action": f"w1:f:{job}:-1:", "back": back})
            assert (status, answer.headers["Location"]) == (303, "/")


# ------------------------------------------------------------------------------------------------ signing in


async def test_a_link_lets_its_member_in_once() -> None:
    async with Site(sign_in=True) as site, site.visitor() as first, site.visitor() as second:
        token = signin.mint(SECRET, "42", "Ada", site.clock())
        status, page, _ = await first.get(f"/sign-in?token={token}")
        assert status == 200
        assert "Ada" in page
        assert (await first.get("/"))[0] == 401  # looking at a link is not using it: chats do that to preview it
        await first.get(f"/sign-in?token={token}")
        status, _, answer = await first.post("/sign-in", {"link": token})
        assert (status, answer.headers["Location"]) == (303, "/")
        assert (await first.get("/"))[0] == 200

        await second.get(f"/sign-in?token={token}")
        assert (await second.post("/sign-in", {"link": token}))[0] == 403
        assert (await second.get("/"))[0] == 401


async def test_who_signed_in_is_the_actor_of_what_they_do() -> None:
    async with Site(sign_in=True) as site, site.visitor() as visitor:
        await sign_in(site, visitor, "42", "Ada")
        await visitor.imagine("a fox")
    assert site.studio.events[0].actor == Actor(platform="web", id="42", name="Ada")


async def sign_in(site: Site, visitor: object, actor_id: str, name: str) -> None:
    token = signin.mint(SECRET, actor_id, name, site.clock())
    await visitor.get(f"/sign-in?token={token}")  # type: ignore[attr-defined]
    assert (await visitor.post("/sign-in", {"link": token}))[0] == 303  # type: ignore[attr-defined]
    await visitor.get("/")  # type: ignore[attr-defined]


async def test_a_link_is_worth_nothing_after_a_quarter_of_an_hour() -> None:
    async with Site(sign_in=True) as site, site.visitor() as visitor:
        token = signin.mint(SECRET, "42", "Ada", site.clock())
        site.clock.go_on(minutes=15)
        assert (await visitor.get(f"/sign-in?token={token}"))[0] == 403
        assert (await visitor.post("/sign-in", {"link": token}))[0] == 403


async def test_a_session_ends_with_time_and_by_signing_out() -> None:
    async with Site(sign_in=True) as site, site.visitor() as visitor:
        await sign_in(site, visitor, "42", "Ada")
        site.clock.go_on(days=30)
        assert (await visitor.get("/"))[0] == 401
        await sign_in(site, visitor, "42", "Ada")
        assert (await visitor.post("/sign-out", {}))[0] == 303
        assert (await visitor.get("/"))[0] == 401


async def test_strangers_get_nothing_but_the_way_in() -> None:
    async with Site(sign_in=True) as site, site.visitor() as visitor:
        job = site.studio.accept(Actor(platform="web", id="42"), "a secret").job.id
        await site.studio.finish(job)
        digest = site.studio.jobs[job].artifacts[0].digest
        for path in ("/", "/history", f"/job/{job}", f"/card/{job}", f"/preview/{job}", f"/picture/{digest}.png", "/events", "/nothing"):
            status, text, _ = await visitor.get(path)
            assert status == 401, path
            assert "a secret" not in text
        assert (await visitor.get("/static/studio.css"))[0] == 200
        assert (await visitor.post("/imagine", {"text": "a fox"}))[0] == 401


def test_a_token_holds_only_with_its_secret_its_purpose_and_its_time() -> None:
    token = signin.mint(SECRET, "42", "Ada", NOW)
    ticket = signin.redeem(SECRET, token, NOW + timedelta(minutes=14, seconds=59))
    assert ticket is not None
    assert (ticket.actor_id, ticket.name) == ("42", "Ada")
    assert signin.redeem(b"another", token, NOW) is None
    assert signin.redeem(SECRET, token[:-2] + ("aa" if not token.endswith("aa") else "bb"), NOW) is None
    assert signin.redeem(SECRET, "", NOW) is None
    assert signin.redeem(SECRET, token, NOW + signin.LINK_LIFE) is None
    assert signin.read_session(SECRET, token, NOW) is None  # a link is no session
    assert signin.redeem(SECRET, signin.session(SECRET, "42", "Ada", NOW), NOW) is None  # nor the other way round
    assert signin.mint(SECRET, "42", "Ada", NOW) != token  # two links are two


# ------------------------------------------------------------------------------------------------ whose pictures


async def test_private_pictures_are_for_their_owner_alone() -> None:
    async with Site(sign_in=True) as site, site.visitor() as owner, site.visitor() as other:
        await sign_in(site, owner, "42", "Ada")
        await sign_in(site, other, "43", "Bob")
        job = site.studio.accept(Actor(platform="web", id="42"), "a secret", private=True).job.id
        await site.studio.finish(job)
        digest = site.studio.jobs[job].artifacts[0].digest
        assert (await owner.get(f"/picture/{digest}.png"))[0] == 200
        assert (await owner.get(f"/job/{job}"))[0] == 200
        for path in (f"/picture/{digest}.png", f"/job/{job}", f"/card/{job}"):
            status, text, _ = await other.get(path)
            assert status == 404
            assert "a secret" not in text
        # Not even by knowing what it is, from a cache or otherwise.
        assert (await other.get(f"/picture/{digest}.png", **{"If-None-Match": f'"{digest}"'}))[0] == 404
