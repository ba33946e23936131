"""The mask painter over HTTP: who may paint over what, which masks are taken, and where what is drawn goes."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import pytest
from PIL import Image

from bot.chat.web import links, signin
from bot.chat.web.painter import MAX_MASK, png_size
from bot.chat.web.security import LOCAL
from bot.domain import Action, Actor, Card, Place, ReplyTo, Submit, Upload, Verb
from tests.fakes.studio import NOW, paint
from tests.fakes.web import SECRET, Site, Visitor, shown_text

JSON = {"Accept": "application/json"}
ADA = Actor(platform="discord", id="7", name="Ada", locale="en-GB")


def mask(width: int = 128, height: int = 128) -> Upload:
    """The left half white."""
    picture = Image.new("L", (width, height))
    picture.paste(255, (0, 0, width // 2, height))
    out = io.BytesIO()
    picture.save(out, "PNG")
    return Upload(name="mask.png", data=out.getvalue(), role="mask")


async def drawn(site: Site, actor: Actor = LOCAL, *, private: bool = False) -> str:
    job = site.studio.accept(actor, "a fox in the snow", private=private).job.id
    if actor.platform != "web":
        shown = site.studio.jobs[job]
        site.studio.jobs[job] = shown.evolve(job=replace(shown.job, place=Place(platform=actor.platform, server="guild", channel="art")))
    await site.studio.finish(job)
    return job


def link_of(site: Site, job: str, index: int = 1, actor: Actor = ADA) -> str:
    return links.region_link(SECRET, actor, job, index, site.clock())


async def send(
    visitor: Visitor, job: str, *uploads: Upload, link: str = "", words: str = "a fox with a hat", json: bool = False, **fields: str
) -> tuple[int, str]:
    values = {"value.words": words, "link": link, **fields}
    status, text, answer = await visitor.post(f"/region/{job}/1", values, uploads=uploads, headers=JSON if json else None)
    return status, answer.headers.get("Location", "") if status == 303 else text


# ------------------------------------------------------------------------------------------------ links


def test_a_link_holds_only_for_its_member_its_picture_its_purpose_and_an_hour() -> None:
    token = links.region_link(SECRET, ADA, "01KD0000000000000000000001", 2, NOW)
    assert links.read_region(SECRET, token, NOW + links.REGION_LIFE / 2) == (ADA, "01KD0000000000000000000001", 2)
    assert links.read_region(SECRET, token, NOW + links.REGION_LIFE) is None
    assert links.read_region(b"another", token, NOW) is None
    assert links.read_region(SECRET, ("A" if token[0] != "A" else "B") + token[1:], NOW) is None
    assert links.read_region(SECRET, "", NOW) is None
    assert links.read_region(SECRET, signin.mint(SECRET, ADA.key, "Ada", NOW), NOW) is None  # another purpose
    assert signin.redeem(SECRET, token, NOW) is None and signin.read_session(SECRET, token, NOW) is None


async def test_a_link_of_a_chat_opens_the_painter_without_signing_in_and_nothing_else() -> None:
    async with Site(sign_in=True) as site, site.visitor() as visitor:
        job = await drawn(site, ADA, private=True)
        token = link_of(site, job)
        status, page, _ = await visitor.get(f"/region/{job}/1?token={token}")
        assert status == 200
        assert "a fox in the snow" in page and 'width="128" height="128"' in page
        source = re.search(r'<img src="(/region/[^"]+)"', page)
        assert source is not None
        digest = site.studio.jobs[job].artifacts[2].digest
        async with visitor.session.get(source[1].replace("&amp;", "&")) as answer:
            assert (answer.status, await answer.read()) == (200, await site.studio.picture(ADA, digest))
        for path in ("/", f"/job/{job}", f"/picture/{digest}.png", "/events"):
            assert (await visitor.get(path))[0] == 401


@pytest.mark.parametrize("kind", ["old", "forged", "of another picture", "of another job", "none"])
async def test_a_link_that_is_not_for_this_is_refused_with_one_sentence(kind: str) -> None:
    async with Site(sign_in=True) as site, site.visitor() as visitor:
        job, other = await drawn(site, ADA), await drawn(site, ADA)
        await visitor.get("/sign-in")
        token = {
            "old": link_of(site, job),
            "forged": links.region_link(b"another", ADA, job, 1, site.clock()),
            "of another picture": link_of(site, job, 0),
            "of another job": link_of(site, other),
            "none": "",
        }[kind]
        site.clock.go_on(hours=1 if kind == "old" else 0)
        status, page, _ = await visitor.get(f"/region/{job}/1?token={token}")
        assert status == 403
        assert ("Sign in first" if kind == "none" else "This link is too old") in shown_text(page)
        assert "a fox in the snow" not in page
        assert (await visitor.get(f"/region/{job}/1/picture?token={token}"))[0] == 403
        assert (await send(visitor, job, mask(), link=token))[0] == 403
        assert site.studio.events == []


async def test_a_bad_link_is_refused_even_to_those_who_are_signed_in() -> None:
    async with Site() as site, site.visitor() as visitor:
        job = await drawn(site)
        assert (await visitor.get(f"/region/{job}/1"))[0] == 200
        assert (await visitor.get(f"/region/{job}/1?token=nonsense"))[0] == 403


async def test_a_link_shows_nobody_what_they_may_not_see() -> None:
    async with Site(sign_in=True) as site, site.visitor() as visitor:
        job = await drawn(site, Actor(platform="discord", id="8"), private=True)
        assert (await visitor.get(f"/region/{job}/1?token={link_of(site, job)}"))[0] == 404


@pytest.mark.parametrize("path", ["/region/01KD0000000000000000009999/0", "/region/x/0", "/region/{job}/9", "/region/{job}/-1"])
async def test_a_picture_that_is_not_there_cannot_be_painted_over(path: str) -> None:
    async with Site() as site, site.visitor() as visitor:
        job = await drawn(site)
        assert (await visitor.get(path.format(job=job)))[0] == 404


# ------------------------------------------------------------------------------------------------ sending


async def test_what_is_painted_on_the_page_is_drawn_there() -> None:
    async with Site() as site, site.visitor() as visitor:
        job = await drawn(site)
        status, location = await send(visitor, job, mask())
    (event,) = site.studio.events
    assert isinstance(event, Submit)
    assert (status, location.startswith("/job/"), location != f"/job/{job}") == (303, True, True)
    assert Action.decode(event.form) == Action(verb=Verb.REGION, job_id=job, index=1)
    assert (dict(event.values), event.uploads) == ({"words": "a fox with a hat"}, (mask(),))
    assert (event.actor, event.reply_to.platform) == (LOCAL, "web")


async def test_what_is_painted_by_a_link_goes_back_into_the_conversation_as_its_members() -> None:
    async with Site(sign_in=True) as site, site.visitor() as visitor:
        job = await drawn(site, ADA)
        await visitor.get(f"/region/{job}/1?token={link_of(site, job)}")
        status, page = await send(visitor, job, mask(), link=link_of(site, job))
        answer = json.loads((await send(visitor, job, mask(), link=link_of(site, job), json=True))[1])
    event = site.studio.events[0]
    assert status == 200
    assert "It will appear in the conversation" in shown_text(page) and "/job/" not in page  # they are not signed in here
    assert event.actor == ADA
    assert event.place == Place(platform="discord", server="guild", channel="art")
    assert event.reply_to == ReplyTo(platform="discord", channel="art", user="7")
    assert answer["kind"] == "sent" and "It will appear in the conversation" in answer["html"]


async def test_whoever_is_signed_in_as_the_same_member_is_shown_the_way_to_the_job() -> None:
    async with Site(sign_in=True) as site, site.visitor() as visitor:
        ticket = signin.mint(SECRET, ADA.key, "Ada", site.clock())
        await visitor.get(f"/sign-in?token={ticket}")
        await visitor.post("/sign-in", {"link": ticket})
        job = await drawn(site, ADA)
        await visitor.get(f"/region/{job}/1?token={link_of(site, job)}")
        _, page = await send(visitor, job, mask(), link=link_of(site, job))
    child = max(site.studio.jobs)
    assert f'href="/job/{child}"' in page
    assert site.studio.events[0].reply_to.platform == "discord"


async def test_sending_twice_draws_once() -> None:
    async with Site() as site, site.visitor() as visitor:
        job = await drawn(site)
        for _ in range(2):
            await send(visitor, job, mask(), delivery="0123456789abcdef")
        assert len(site.studio.jobs) == 2


async def test_only_a_form_of_this_page_is_taken() -> None:
    async with Site(sign_in=True) as site, site.visitor() as visitor:
        job = await drawn(site, ADA)
        await visitor.get("/sign-in")
        assert (await send(visitor, job, mask(), link=link_of(site, job), token="0" * 64))[0] == 403
        assert site.studio.events == []


JPEG = io.BytesIO()
Image.new("L", (128, 128)).save(JPEG, "JPEG")


@pytest.mark.parametrize(
    ("uploads", "sentence"),
    [
        ((), "Paint over what shall change first"),
        ((Upload(name="a.png", data=paint(1)),), "Paint over what shall change first"),  # a picture, but no mask
        ((Upload(name="mask.png", data=JPEG.getvalue(), role="mask"),), "not a PNG"),
        ((mask(64, 64),), "128 × 128"),
    ],
    ids=["none", "no mask", "no png", "another size"],
)
@pytest.mark.parametrize("script", [False, True])
async def test_a_mask_that_does_not_fit_gets_one_sentence_and_the_words_are_kept(uploads: tuple[Upload, ...], sentence: str, script: bool) -> None:
    async with Site() as site, site.visitor() as visitor:
        job = await drawn(site)
        status, text = await send(visitor, job, *uploads, words="a red hat", json=script)
    assert status == 422
    assert sentence in (json.loads(text)["title"] if script else shown_text(text))
    assert script or re.search(r"<textarea[^>]*>a red hat</textarea>", text)
    assert site.studio.events == []


async def test_too_large_a_mask_is_not_read_to_its_end() -> None:
    async with Site() as site, site.visitor() as visitor:
        job = await drawn(site)
        status, text = await send(visitor, job, Upload(name="mask.png", data=b"x" * (MAX_MASK + 1), role="mask"))
    assert status == 413
    assert "more than 4 MB" in shown_text(text)


async def test_what_the_studio_refuses_is_said_on_the_painters_page() -> None:
    async with Site() as site, site.visitor() as visitor:
        job = await drawn(site)

        async def refuse(event: object) -> Card:
            return Card(title="Not this time", text="This model cannot draw a part anew.")

        site.studio._do = refuse  # type: ignore[method-assign]
        status, text = await send(visitor, job, mask())
    assert status == 422
    assert "This model cannot draw a part anew." in shown_text(text)


def test_the_size_of_a_png_is_read_from_its_header() -> None:
    assert png_size(mask(40, 24).data) == (40, 24)
    assert png_size(JPEG.getvalue()) is None
    assert png_size(b"\x89PNG\r\n\x1a\n") is None


# ------------------------------------------------------------------------------------------------ the way to it


async def test_the_button_under_a_picture_leads_to_the_painter() -> None:
    action = Action(verb=Verb.REGION, job_id="01KD0000000000000000000001", index=2)
    async with Site() as site, site.visitor() as visitor:
        status, _, answer = await visitor.post("/press", {"action": action.encode()})
        opened = json.loads((await visitor.post("/press", {"action": action.encode()}, headers=JSON))[1])
    assert (status, answer.headers["Location"]) == (303, "/region/01KD0000000000000000000001/2")
    assert opened == {"kind": "open", "url": "/region/01KD0000000000000000000001/2"}


async def test_without_a_script_the_page_asks_for_a_file() -> None:
    async with Site() as site, site.visitor() as visitor:
        page = (await visitor.get(f"/region/{await drawn(site)}/1"))[1]
    assert '<input type="file" name="file.mask" accept="image/png" required' in page
    assert re.search(r'<canvas id="mask"[^>]* hidden>', page) and re.search(r"<fieldset[^>]* hidden>", page)
    assert "128 × 128 pixels, white where" in shown_text(page)
